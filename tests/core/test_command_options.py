"""The options of `antflow run`, as argparse reads them."""

from __future__ import annotations

from argparse import Namespace

import pytest

from antflow._command.options import chosen_by, plugin_choice, run_parser


def parsed(*arguments: str) -> Namespace:
    return run_parser().parse_intermixed_args(arguments)


def test_what_is_meant_where_nothing_is_said() -> None:
    options = parsed("jobs.py:pipeline")
    assert vars(options) == {
        "dashboard": None,
        "disable_plugins": None,
        "drain_seconds": 10.0,
        "failures": None,
        "input": None,
        "items": [],
        "lines": False,
        "log_level": "warning",
        "loop": "asyncio",
        "no_plugins": False,
        "ordered": False,
        "output": "-",
        "plugins": None,
        "summary": False,
        "target": "jobs.py:pipeline",
        "values": False,
    }


def test_items_and_options_may_be_mixed() -> None:
    options = parsed("--ordered", "t:p", "a", "--output", "o", "b", "--", "--c")
    assert (options.target, options.items) == ("t:p", ["a", "b", "--c"])
    assert (options.ordered, options.output) == (True, "o")


@pytest.mark.parametrize("text", ["-1", "nan", "inf", "soon"])
def test_seconds_are_0_or_more(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parsed("t:p", f"--drain-seconds={text}")
    assert ended.value.code == 2
    assert f"{text!r} is not a number of seconds; give 0 or more" in capsys.readouterr().err


def test_an_option_is_not_abbreviated(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parsed("t:p", "--out=x")
    assert "--out=x" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "variables"),
    [
        ([], {}),
        (["--plugins", "a,b"], {"ANTFLOW_PLUGINS": "a,b"}),
        (["x", "--disable-plugins=c"], {"ANTFLOW_DISABLE_PLUGINS": "c"}),
        (["--unknown", "--no-plugins"], {"ANTFLOW_PLUGIN_AUTOLOAD": "0"}),
        (["--", "--no-plugins"], {}),
    ],
)
def test_the_choice_of_plugins_is_read_whatever_else_there_is(
    arguments: list[str], variables: dict[str, str]
) -> None:
    chosen, _ = plugin_choice().parse_known_args(arguments)
    assert chosen_by(chosen) == variables


def test_help_fits_a_terminal_and_says_what_the_exit_code_means(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    with pytest.raises(SystemExit):
        parsed("--help")
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 100
    assert "Exit code: 0 all items succeeded, 1 some did not, 2 wrong usage, 130 or 143" in out
