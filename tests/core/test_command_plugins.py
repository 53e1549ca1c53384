"""Plugins on the command line: their options, and what is done with those that go wrong."""

from __future__ import annotations

import os
from argparse import ArgumentParser, Namespace
from typing import Any

import pytest

from antflow import hookimpl
from antflow._cli.options import run_parser
from antflow._cli.plugin_options import PluginOptions, find_plugins
from tests.helpers.installation import Entry, install, raising

pytestmark = pytest.mark.usefixtures("nothing_installed")


class Optional:
    """A plugin with an option."""

    def __init__(self) -> None:
        self.configured: list[Namespace] = []

    @hookimpl
    def antflow_add_options(self, parser: ArgumentParser) -> None:
        parser.add_argument("--speed", type=int, help="how fast")

    @hookimpl
    def antflow_configure(self, options: Namespace) -> None:
        self.configured.append(options)
        if options.speed == 0:
            raise ValueError("--speed is 0; give\nmore")
        if options.speed == 13:
            raise RuntimeError("bad luck")


class Adding(Optional):
    """A plugin with one more option.

    Args:
        arguments: names of the option.
        fields: the rest of it.
    """

    def __init__(self, *arguments: str, **fields: Any) -> None:
        super().__init__()
        self.arguments, self.fields = arguments, fields

    @hookimpl
    def antflow_add_options(self, parser: ArgumentParser) -> None:
        parser.add_argument("--first", help="before it")
        parser.add_argument(*self.arguments, **self.fields)


def options_of(*arguments: str) -> tuple[PluginOptions, Any]:
    options = PluginOptions(run_parser(), ["t:p", *arguments])
    return options, options.parse()


def test_an_option_is_passed_to_its_plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    plugin = Optional()
    install(monkeypatch, Entry("fast", lambda: plugin))
    options, parsed = options_of("--speed", "3")
    assert parsed.speed == 3
    options.configure(parsed)
    assert plugin.configured == [parsed]


def test_help_has_a_group_for_each_plugin(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    install(monkeypatch, Entry("fast", lambda: Optional))
    with pytest.raises(SystemExit):
        options_of("--help")
    assert "plugin fast (some-plugin 1.2):\n  --speed SPEED" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["--no-plugins"], ["--disable-plugins=fast"]])
def test_a_plugin_that_is_not_chosen_is_not_imported(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    install(monkeypatch, Entry("fast", raising(AssertionError("it was imported"))))
    options_of(*arguments)
    assert capsys.readouterr().err == ""


def test_an_unknown_option_is_rejected_with_a_hint_at_plugins(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as ended:
        options_of("--speed", "3")
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert (
        "unrecognized arguments: --speed" in error
    )  # what belongs to it, Python's versions differ
    assert "; a plugin's options need the plugin, installed and active" in error


def test_a_misspelt_option_of_a_plugin_is_refused_with_its_name(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    install(monkeypatch, Entry("fast", lambda: Optional))
    with pytest.raises(SystemExit) as ended:
        options_of("--sped=3")
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert error.endswith("unrecognized arguments: --sped=3; did you mean --speed?\n")


def test_plugins_may_be_chosen_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    bad = raising(AssertionError("it was imported"))
    install(monkeypatch, Entry("fast", lambda: Optional), Entry("bad", bad))
    options_of("--plugins", "fast", "--speed=3")
    assert os.environ["ANTFLOW_PLUGINS"] == "fast"


@pytest.mark.parametrize(
    ("plugin", "text"),
    [
        (Adding("--output"), "ArgumentError: argument --output: conflicting option string: --ou"),
        (Adding("--target"), "argument --target: its value would take the place of that of TARGET"),
        (Adding("--bad-in", dest="input"), "take the place of that of --input; give it a name, or"),
        (Adding("account"), "argument account: arguments without a name are TARGET and items"),
        (Adding("--account", required=True), "argument --account: nothing would run without it"),
        (Adding("--full", help="up to 100%"), "(ValueError: incomplete format); write %% where it"),
        (Adding("--full", help="%(nothing)s"), "cannot be shown (KeyError: 'nothing')"),
    ],
)
def test_an_option_that_cannot_work_is_a_warning_and_its_plugin_adds_none(
    plugin: Adding, text: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    install(monkeypatch, Entry("bad", lambda: plugin), Entry("fast", lambda: Optional))
    parser = run_parser()
    options = PluginOptions(parser, ["t:p", "1", "--output", "o", "--speed", "3"])
    parsed = options.parse()
    options.configure(parsed)
    assert (parsed.target, parsed.items, parsed.output, parsed.speed) == ("t:p", ["1"], "o", 3)
    assert plugin.configured == []
    assert "first" not in parsed
    assert "plugin bad" not in parser.format_help()
    err = capsys.readouterr().err
    assert err.startswith("warning: plugin 'bad' cannot add its options: ")
    assert text in err
    assert err.endswith("; mend it, or leave it out by --disable-plugins bad\n")
    assert err.count("\n") == 1


def test_an_option_may_not_take_the_place_of_another_plugins(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = Adding("--bad-speed", dest="speed", default="slow")
    install(monkeypatch, Entry("bad", lambda: bad), Entry("fast", lambda: Optional))
    _, parsed = options_of()
    assert parsed.speed is None
    assert "would take the place of that of --speed" in capsys.readouterr().err


class Board:
    """A plugin with an option that chooses a display.

    Args:
        names: of the option.
    """

    def __init__(self, *names: str) -> None:
        self.names = names

    @hookimpl
    def antflow_add_options(self, parser: ArgumentParser) -> None:
        for name in self.names:
            parser.add_argument(name, dest="dashboard")


def test_options_of_several_plugins_may_choose_the_display(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    one, other = Board("--board", "--screen"), Board("--lamp")
    install(monkeypatch, Entry("one", lambda: one), Entry("other", lambda: other))
    for name in (*one.names, *other.names):
        assert options_of(name, "it")[1].dashboard == "it"
    assert capsys.readouterr().err == ""


def test_a_plugin_may_refuse_its_options(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    install(monkeypatch, Entry("fast", lambda: Optional))
    options, parsed = options_of("--speed=0")
    with pytest.raises(SystemExit) as ended:
        options.configure(parsed)
    assert ended.value.code == 2
    assert "error: plugin 'fast': --speed is 0; give more\n" in capsys.readouterr().err


def test_any_other_error_is_a_warning_unless_plugins_are_held_strictly(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    install(monkeypatch, Entry("fast", lambda: Optional))
    options, parsed = options_of("--speed=13")
    options.configure(parsed)
    text = (
        "plugin 'fast' cannot be configured: RuntimeError: bad luck; mend it, or leave it out by "
        "--disable-plugins fast"
    )
    assert capsys.readouterr().err == f"warning: {text}\n"
    monkeypatch.setenv("ANTFLOW_STRICT_PLUGINS", "1")
    with pytest.raises(SystemExit):
        options.configure(parsed)
    assert f"error: {text}, or unset ANTFLOW_STRICT_PLUGINS" in capsys.readouterr().err


def test_warnings_about_plugins_go_to_standard_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    install(monkeypatch, Entry("bad", raising(ImportError("no nowhere"))))
    assert [plugin.status for plugin in find_plugins()] == ["failed"]
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("warning: Plugin 'bad'")
