"""The options of `antflow run`, as argparse reads them."""

from __future__ import annotations

from argparse import Namespace

import pytest

from antflow._cli.options import plugin_choice_parser, plugin_environment, run_parser


def parsed(*arguments: str) -> Namespace:
    return run_parser().parse_intermixed_args(arguments)


def test_defaults() -> None:
    options = parsed("jobs.py:pipeline")
    assert vars(options) == {
        "append": False,
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
        "overwrite": False,
        "plugins": None,
        "summary": False,
        "target": "jobs.py:pipeline",
        "traceback": False,
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


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("--ouput", "--output"),
        ("--ouput=x", "--output"),
        ("--out=x", "--output"),
        ("--Output", "--output"),
        ("--over_write", "--overwrite"),
        ("--log", "--log-level"),
        ("--plugin", "--plugins"),
    ],
)
def test_a_misspelt_option_is_refused_with_the_nearest_one(
    given: str, meant: str, capsys: pytest.CaptureFixture[str]
) -> None:
    parser = run_parser()
    _, unknown = parser.parse_known_intermixed_args(["t:p", given])
    with pytest.raises(SystemExit) as ended:
        parser.reject_unknown(unknown, "see the manual")
    assert ended.value.code == 2
    err = capsys.readouterr().err
    assert err.endswith(f"error: unrecognized arguments: {given}; did you mean {meant}?\n")


def test_an_option_like_no_other_is_refused_with_another_remedy(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for unknown in ["--quiet"], ["-x"], ["extra"]:
        with pytest.raises(SystemExit):
            run_parser().reject_unknown(unknown, "see the manual")
        assert capsys.readouterr().err.endswith(f": {unknown[0]}; see the manual\n")


def test_a_misspelt_value_is_refused_with_the_nearest_one(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        parsed("t:p", "--loop", "uvlop")
    assert capsys.readouterr().err.endswith("; did you mean uvloop?\n")


def test_a_file_is_added_to_or_replaced_but_not_both(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parsed("t:p", "--append", "--overwrite")
    assert ended.value.code == 2
    assert "argument --overwrite: not allowed with argument --append" in capsys.readouterr().err


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
def test_the_choice_of_plugins_is_read_among_unknown_arguments(
    arguments: list[str], variables: dict[str, str]
) -> None:
    chosen, _ = plugin_choice_parser().parse_known_args(arguments)
    assert plugin_environment(chosen) == variables


@pytest.mark.parametrize("columns", [50, 80, 100, 150])
def test_help_fits_the_terminal(
    columns: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    with pytest.raises(SystemExit):
        parsed("--help")
    lines = capsys.readouterr().out.splitlines()
    assert columns - 20 < max(map(len, lines)) <= columns
    paragraph = " ".join(lines[lines.index("") + 1 :])
    assert "TARGET is module:pipeline or file.py:pipeline: a Pipeline, a builder, or" in paragraph


def test_help_says_what_the_exit_code_means(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    with pytest.raises(SystemExit):
        parsed("--help")
    out = capsys.readouterr().out
    assert "\n\nExit code: 0 all items succeeded, 1 some did not, 2 wrong usage, 130 or 143" in out
