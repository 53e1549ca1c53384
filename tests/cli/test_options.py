"""Options and help of the commands, and what is refused."""

from __future__ import annotations

import subprocess
import sys
from argparse import ArgumentError
from typing import Any

import pytest

from antflow import __version__
from antflow_cli import run_options
from tests.helpers.command import Command
from tests.helpers.installation import Entry, Good, install

TARGET = "program.py:pipeline"


def error_of(command: Command, *arguments: str) -> str:
    """Return the error of wrong usage, which follows the usage."""
    command.run()
    ran = command(*arguments)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("usage: antflow")
    return ran.err


def test_items_and_options_may_be_mixed(command: Command) -> None:
    command.run()
    arguments = ["--ordered", TARGET, "a", "--output", "o", "b", "--values", "--", "--c"]
    assert command("run", *arguments).records("o") == ["a", "b", "--c"]


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ([], "error: COMMAND is missing; give run, plugins or hooks"),
        (["hooks", "extra"], "unrecognized arguments: extra\n"),
        (["rnu", TARGET], "; did you mean run?\n"),
        (["plugin"], "; did you mean plugins?\n"),
        (["--verison"], "; did you mean --version?\n"),
        (
            ["plugins", "--jsn"],
            "antflow plugins: error: unrecognized arguments: --jsn; did you mean",
        ),
        (["run"], "TARGET is missing; write module:pipeline or file.py:pipeline"),
        (["run", TARGET, "a", "--input", "b"], "there are both items and --input; give one of"),
        (["run", TARGET, "a", "--lines"], "--lines is about --input; items after TARGET are text"),
        (["run", TARGET, "--append", "--overwrite"], "not allowed with argument --append"),
        (["run", TARGET, "--loop", "uvlop"], "; did you mean uvloop?\n"),
        (["run", TARGET, "--plugins"], "argument --plugins: expected one argument"),
        (["run", TARGET, "--ouput", "x"], "; did you mean --output?\n"),
        (["run", TARGET, "--ouput=x"], "arguments: --ouput=x; did you mean --output?\n"),
        (["run", TARGET, "--out=x"], "arguments: --out=x; did you mean --output?\n"),
        (["run", TARGET, "--Output=x"], "arguments: --Output=x; did you mean --output?\n"),
        (["run", TARGET, "--over_write"], "; did you mean --overwrite?\n"),
        (["run", TARGET, "--log=info"], "; did you mean --log-level?\n"),
        (["run", TARGET, "--plugin=a"], "; did you mean --plugins?\n"),
        (
            ["run", TARGET, "--quiet"],
            "; a plugin's options need the plugin, installed and active: ",
        ),
        (
            ["run", TARGET, "-x"],
            "-x; put items that begin with - after --; a plugin's options need",
        ),
        *(
            (["run", TARGET, f"--drain-seconds={text}"], f"{text!r} is not a number of seconds; gi")
            for text in ("-1", "nan", "inf", "soon")
        ),
    ],
)
def test_wrong_usage_is_refused_with_the_remedy(
    command: Command, arguments: list[str], error: str
) -> None:
    assert error in error_of(command, *arguments)


def test_lines_need_an_input(command: Command) -> None:
    ran = command.run("--lines", program="items = [1]")
    assert ran.code == 2
    assert "the items are `items` of program.py:pipeline; give --input - to read stand" in ran.err


# Help


@pytest.mark.parametrize("arguments", [["run"], ["plugins"], ["hooks"]])
@pytest.mark.parametrize("columns", [50, 80, 120])
def test_help_fits_the_terminal(
    command: Command, arguments: list[str], columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    ran = command(*arguments, "--help")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith(f"usage: antflow {arguments[0]}")
    assert columns - 20 < max(map(len, ran.out.splitlines())) <= columns


def test_help_explains_targets_and_exit_codes(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    text = command("run", "--help").out
    assert (
        "\n\nExit code: 0 all items succeeded, 1 some did not, 2 wrong usage, 129, 130 or" in text
    )
    assert "TARGET is module:pipeline or file.py:pipeline: a Pipeline, a builder, a fun" in text


@pytest.mark.parametrize(("option", "words"), [("--help", "run plugins hooks"), ("--version", "")])
def test_asking_for_help_loads_no_plugin(
    command: Command, option: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    installation = install(monkeypatch, Entry("good", lambda: Good))
    ran = command(option)
    assert (ran.code, installation.looks) == (0, 0)
    assert {*words.split()} <= {*ran.out.split()}


@pytest.mark.parametrize("package", ["antflow", "antflow_cli"])
def test_the_package_is_the_command_too(package: str) -> None:
    arguments: Any = [sys.executable, "-m", package, "--version"]
    ran = subprocess.run(arguments, capture_output=True, text=True, timeout=60, check=False)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, f"antflow {__version__}\n", "")


# In the tests of a plugin


def add_colour(parser: Any) -> None:
    parser.add_argument("--colour", default="red")


def test_options_as_a_plugin_gets_them() -> None:
    options = run_options(["--colour", "blue", TARGET, "a"], add_colour)
    assert (options.colour, options.items, options.ordered) == ("blue", ["a"], False)
    assert run_options([TARGET]).dashboard is None


@pytest.mark.parametrize(
    ("name", "fields", "text"),
    [
        ("--output", {}, "conflicting option string: --output"),
        ("--colour", {"required": True}, "leave out required=True"),
        ("--colour", {"dest": "failures"}, "would take the place of that of --failures"),
    ],
)
def test_an_option_that_is_not_possible_is_refused(name: str, fields: Any, text: str) -> None:
    with pytest.raises(ArgumentError, match=text):
        run_options([TARGET], lambda parser: parser.add_argument(name, **fields))
