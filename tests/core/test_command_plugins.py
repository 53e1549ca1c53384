"""Plugins on the command line: their options, and what is done with those that go wrong."""

from __future__ import annotations

import os
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from typing import Any

import pytest

from antflow import hookimpl
from antflow._command.options import run_parser
from antflow._command.plugins import Options, found_plugins
from antflow._discovery import INSTALLED
from tests.core.test_discovery import Entry, install, raising


class Optional:
    """A plugin with an option."""

    def __init__(self) -> None:
        self.told: list[Namespace] = []

    @hookimpl
    def antflow_add_options(self, parser: ArgumentParser) -> None:
        parser.add_argument("--speed", type=int, help="how fast")

    @hookimpl
    def antflow_configure(self, options: Namespace) -> None:
        self.told.append(options)
        if options.speed == 0:
            raise ValueError("--speed is 0; give\nmore")
        if options.speed == 13:
            raise RuntimeError("bad luck")


class Greedy(Optional):
    @hookimpl
    def antflow_add_options(self, parser: ArgumentParser) -> None:
        parser.add_argument("--output")


@pytest.fixture(autouse=True)
def nothing_installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in "ANTFLOW_PLUGINS", "ANTFLOW_DISABLE_PLUGINS", "ANTFLOW_PLUGIN_AUTOLOAD":
        monkeypatch.setenv(name, "")  # so that it is put back
    monkeypatch.delenv("ANTFLOW_STRICT_PLUGINS", raising=False)
    install(monkeypatch)
    yield
    INSTALLED.forget()


def options_of(*arguments: str) -> tuple[Options, Any]:
    options = Options(run_parser(), ["t:p", *arguments])
    return options, options.parse()


def test_an_option_is_read_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    plugin = Optional()
    install(monkeypatch, Entry("fast", lambda: plugin))
    options, parsed = options_of("--speed", "3")
    assert parsed.speed == 3
    options.configure(parsed)
    assert plugin.told == [parsed]


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


def test_plugins_may_be_chosen_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    bad = raising(AssertionError("it was imported"))
    install(monkeypatch, Entry("fast", lambda: Optional), Entry("bad", bad))
    options_of("--plugins", "fast", "--speed=3")
    assert os.environ["ANTFLOW_PLUGINS"] == "fast"


def test_an_option_that_is_taken_is_a_warning_and_the_plugin_is_not_configured(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plugin = Greedy()
    install(monkeypatch, Entry("greedy", lambda: plugin))
    options, parsed = options_of("--output", "o")
    options.configure(parsed)
    assert parsed.output == "o"
    assert plugin.told == []
    err = capsys.readouterr().err
    assert err.startswith("warning: plugin 'greedy' cannot add its options: ArgumentError: ")
    assert "conflicting option string: --output" in err


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
    text = "plugin 'fast' cannot be configured: RuntimeError: bad luck"
    assert capsys.readouterr().err == f"warning: {text}\n"
    monkeypatch.setenv("ANTFLOW_STRICT_PLUGINS", "1")
    with pytest.raises(SystemExit):
        options.configure(parsed)
    assert f"error: {text}; mend it, disable the plugin, or unset" in capsys.readouterr().err


def test_what_is_wrong_with_a_plugin_goes_to_standard_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    install(monkeypatch, Entry("bad", raising(ImportError("no nowhere"))))
    assert [plugin.status for plugin in found_plugins()] == ["failed"]
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("warning: Plugin 'bad'")
