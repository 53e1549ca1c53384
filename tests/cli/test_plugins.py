"""Plugins of a run: which are loaded, their options, their displays, and what goes wrong."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from argparse import Namespace
from typing import Any

import pytest

from antflow import hookimpl
from tests.helpers.command import Command
from tests.helpers.installation import Entry, install, raising


class Fast:
    """A plugin with an option, which notes the options and the start of the run."""

    def __init__(self) -> None:
        self.configured: list[Namespace] = []
        self.started: list[int | None] = []

    @hookimpl
    def antflow_add_options(self, parser: Any) -> None:
        parser.add_argument("--speed", type=int, help="how fast")

    @hookimpl
    def antflow_configure(self, options: Namespace) -> None:
        self.configured.append(options)
        if options.speed == 0:
            raise ValueError("--speed is 0; give\nmore")
        if options.speed == 13:
            raise RuntimeError("bad luck")

    @hookimpl
    def antflow_pipeline_start(self, total_items: int | None) -> None:
        self.started.append(total_items)


class Adding(Fast):
    """A plugin with one more option.

    Args:
        arguments: names of the option.
        fields: the rest of it.
    """

    def __init__(self, *arguments: str, **fields: Any) -> None:
        super().__init__()
        self.arguments, self.fields = arguments, fields

    @hookimpl
    def antflow_add_options(self, parser: Any) -> None:
        parser.add_argument("--first", help="before it")
        parser.add_argument(*self.arguments, **self.fields)


@pytest.fixture
def fast(command: Command, monkeypatch: pytest.MonkeyPatch) -> Fast:
    """A plugin that is installed."""
    plugin = Fast()
    install(monkeypatch, Entry("fast", lambda: plugin))
    return plugin


def test_an_option_is_passed_to_its_plugin(command: Command, fast: Fast) -> None:
    ran = command.run("1", "--values", "--speed", "3")
    assert (ran.code, ran.values, ran.err) == (0, ["1"], "")
    (options,) = fast.configured
    assert (options.speed, options.target, options.items) == (3, "program.py:pipeline", ["1"])
    assert fast.started == [1]


class Greedy(Fast):
    """A plugin that reads standard input, prints, and has child processes that do."""

    def take(self) -> None:
        subprocess.run(["cat"], stdout=subprocess.DEVNULL, check=True)
        sys.stdin.read()
        os.write(1, b"written\n")
        sys.stdout.write("printed\n")

    @hookimpl
    def antflow_add_options(self, parser: Any) -> None:
        self.take()

    @hookimpl
    def antflow_configure(self, options: Namespace) -> None:
        self.take()


def test_plugins_take_neither_the_input_nor_the_output(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, Entry("greedy", Greedy))
    ran = command.run("--values", "--ordered", given="1\n2\n")
    assert (ran.code, ran.out) == (0, "1\n2\n")
    assert ran.err.count("written\n") == ran.err.count("printed\n") == 2


@pytest.mark.parametrize(
    ("arguments", "items", "total"),
    [(["a", "b"], "", 2), ([], "items = [1]", 1), ([], "items = iter([1])", None), ([], "", None)],
)
def test_plugins_get_the_number_of_items_if_it_is_known(
    command: Command, fast: Fast, arguments: list[str], items: str, total: int | None
) -> None:
    assert command.run(*arguments, program=items).code == 0
    assert fast.started == [total]


def test_help_has_a_group_for_each_plugin(command: Command, fast: Fast) -> None:
    assert "plugin fast (some-plugin 1.2):\n  --speed SPEED" in command("run", "--help").out


@pytest.mark.parametrize(
    ("arguments", "active"),
    [
        (["--no-plugins"], []),
        (["--disable-plugins=fast,bad"], []),
        (["--disable-plugins=bad"], ["fast"]),
        (["--plugins", "fast"], ["fast"]),
        (["--plugins=fast", "--speed=3"], ["fast"]),
    ],
)
def test_a_plugin_that_is_not_chosen_is_not_imported(
    command: Command, arguments: list[str], active: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = Entry("bad", raising(AssertionError("it was imported")))
    install(monkeypatch, Entry("fast", lambda: Fast), bad)
    program = "async def task(_):\n    return list(pipeline.plugin_names)\npipeline = one(task)"
    ran = command.run("1", "--values", *arguments, program=program)
    assert (ran.err, bad.loads) == ("", 0)
    assert [name.lower() for name in ran.values[0]] == active


@pytest.mark.parametrize("option", ["--plugins", "--disable-plugins"])
def test_an_option_that_names_no_plugin_is_a_warning(
    command: Command, fast: Fast, option: str
) -> None:
    ran = command.run("1", "--values", option, "fats")
    assert (ran.code, ran.out) == (0, '"1"\n')
    assert ran.err.startswith(f"warning: {option} names 'fats', and no plugin of that name is ins")


def test_a_plugin_that_cannot_be_loaded_is_a_warning(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, Entry("bad", raising(ImportError("no nowhere"))))
    ran = command.run("1", "--values")
    assert (ran.code, ran.out) == (0, '"1"\n')
    assert ran.err.startswith("warning: Plugin 'bad'")


def test_a_misspelt_option_of_a_plugin_is_refused_with_its_name(
    command: Command, fast: Fast
) -> None:
    ran = command.run("--sped=3")
    assert ran.code == 2
    assert ran.err.endswith("unrecognized arguments: --sped=3; did you mean --speed?\n")


@pytest.mark.parametrize(
    ("plugin", "text"),
    [
        (Adding("--output"), "ArgumentError: argument --output: conflicting option string: --ou"),
        (Adding("--target"), "argument --target: its value would take the place of that of TARGET"),
        (Adding("--bad-in", dest="input"), "take the place of that of --input; give it a name, or"),
        (Adding("--bad-speed", dest="speed"), "would take the place of that of --speed; give"),
        (Adding("account"), "argument account: arguments without a name are TARGET and items"),
        (Adding("--account", required=True), "argument --account: nothing would run without it"),
        (Adding("--full", help="up to 100%"), "(ValueError: incomplete format); write %% where it"),
        (Adding("--full", help="%(nothing)s"), "cannot be shown (KeyError: 'nothing')"),
    ],
)
def test_an_option_that_cannot_work_is_a_warning_and_its_plugin_adds_none(
    command: Command, plugin: Adding, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fast = Fast()
    # Hooks are called in the reverse order: the plugin comes after `fast` has added its option.
    install(monkeypatch, Entry("a-bad", lambda: plugin), Entry("fast", lambda: fast))
    ran = command.run("1", "--output", "out", "--values", "--speed", "3")
    assert (ran.code, ran.files["out"]) == (0, '"1"\n')
    assert plugin.configured == []
    assert [(each.speed, "first" in each) for each in fast.configured] == [(3, False)]
    assert ran.err.startswith("warning: plugin 'a-bad' cannot add its options: ")
    assert text in ran.err
    assert ran.err.endswith("; fix it, or leave it out by --disable-plugins a-bad\n")
    assert ran.err.count("\n") == 1
    assert "plugin a-bad" not in command("run", "--help").out


def test_a_plugin_may_refuse_its_options(command: Command, fast: Fast) -> None:
    ran = command.run("--speed=0")
    assert ran.code == 2
    assert ran.err.endswith("error: plugin 'fast': --speed is 0; give more\n")


def test_any_other_error_is_a_warning_unless_plugins_are_held_strictly(
    command: Command, fast: Fast, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "plugin 'fast' cannot be configured: RuntimeError: bad luck; fix it, or leave it out "
    text += "by --disable-plugins fast"
    ran = command.run("1", "--speed=13")
    assert (ran.code, ran.err) == (0, f"warning: {text}\n")
    install(monkeypatch, Entry("fast", lambda: fast))  # as in a new process: it was left out
    monkeypatch.setenv("ANTFLOW_STRICT_PLUGINS", "1")
    ran = command.run("1", "--speed=13")
    assert ran.code == 2
    assert f"error: {text}, or unset ANTFLOW_STRICT_PLUGINS" in ran.err


class Boards:
    """A plugin with displays, chosen by one of several options or by the plugin itself."""

    antflow_dashboards = ("usual", "other")

    def __init__(self, *options: str) -> None:
        self.options = options
        self.shown: list[object] = []

    @hookimpl
    def antflow_add_options(self, parser: Any) -> None:
        for option in self.options:
            parser.add_argument(option, dest="dashboard")

    @hookimpl
    def antflow_configure(self, options: Namespace) -> None:
        options.dashboard = options.dashboard or "usual"

    @hookimpl
    def antflow_dashboard(self, name: str) -> Boards | None:
        self.shown.append(name)
        return self if name in self.antflow_dashboards else None

    def on_start(self, pipeline: object, total_items: int | None) -> None:
        self.shown.append(total_items)

    def on_update(self, snapshot: object) -> None: ...

    def on_finish(self, results: object, summary: Any) -> None:
        self.shown.append(summary.total_failed)


def test_plugins_and_their_options_choose_the_display(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    boards = Boards("--board", "--screen")
    install(monkeypatch, Entry("a", lambda: Boards("--lamp")), Entry("boards", lambda: boards))
    command.write("out", "precious")
    options = [[], ["--board", "other"], ["--screen", "usual"], ["--lamp", "other"]]
    for option in options:
        ran = command.run("1", "--output", "out", "--overwrite", *option)
        assert (ran.code, ran.err) == (0, "")
    names = [option[1] if option else "usual" for option in options]
    assert boards.shown == [each for name in names for each in (name, 1, 0)]
    ran = command.run("1", "--output", "out", "--overwrite", "--board", "absent")
    assert ran.code == 2
    assert "There is no dashboard 'absent'; installed are: " in ran.err
    assert ran.files["out"] != ""


def test_logging_of_plugins_is_the_commands_until_the_program_configures_it(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Talking:
        @hookimpl
        def antflow_configure(self) -> None:
            logging.getLogger("talking").warning("configured")

    install(monkeypatch, Entry("talking", lambda: Talking))
    program = "import logging\nlogging.basicConfig(format='ours: %(message)s')\n"
    program += "logging.warning('imported')"
    ran = command.run("1", program=program)
    assert ran.err == "WARNING: talking: configured\nours: imported\n"
