"""The plugin itself: which displays it has, when a command shows one, and what it imports."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import antflow_rich
from antflow import DashboardProtocol, Pipeline, Stage
from antflow_rich import Rich, plugin
from antflow_rich.plugin import DASHBOARDS
from tests.packages.rich.terminals import PseudoTerminal


@pytest.fixture(params=[True, False], ids=["terminal", "pipe"])
def is_terminal(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether standard error is a terminal that can be drawn in."""
    monkeypatch.setattr("sys.stderr.isatty", lambda: request.param, raising=False)
    return bool(request.param)


@pytest.fixture(autouse=True)
def results_elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Have standard output be another file than standard error, whatever the tests' own are."""
    with (tmp_path / "results").open("w") as results:
        monkeypatch.setattr(plugin, "STDOUT", results.fileno())
        yield


@pytest.fixture
def terminal(
    monkeypatch: pytest.MonkeyPatch, tty: PseudoTerminal, is_terminal: bool
) -> PseudoTerminal:
    """One that is standard error and standard output."""
    monkeypatch.setattr(plugin, "STDERR", tty.stream.fileno())
    monkeypatch.setattr(plugin, "STDOUT", tty.stream.fileno())
    return tty


def chosen(*arguments: str, terminal: PseudoTerminal | None = None) -> str | None:
    """Return the display of a command with those options; "{}" in them is the terminal."""
    name = "" if terminal is None else os.ttyname(terminal.stream.fileno())
    parser = ArgumentParser()
    parser.add_argument("--output", default="-")
    parser.add_argument("--failures")
    rich = Rich()
    rich.antflow_add_options(parser)
    options = parser.parse_args([each.format(name) for each in arguments])
    rich.antflow_configure(options)
    dashboard: str | None = options.dashboard
    return dashboard


def test_a_command_shows_the_progress_bar_on_a_terminal(is_terminal: bool) -> None:
    assert chosen() == ("progress" if is_terminal else None)


@pytest.mark.usefixtures("is_terminal")
@pytest.mark.parametrize(
    ("arguments", "dashboard"),
    [
        ("--progress", "progress"),
        ("--no-progress", ""),
        ("--dashboard full", "full"),
        ("--dashboard=compact", "compact"),
    ],
)
def test_a_command_shows_what_it_is_asked_for(arguments: str, dashboard: str) -> None:
    assert chosen(*arguments.split()) == dashboard


each_overlap = pytest.mark.parametrize(
    ("arguments", "what"),
    [("", "results"), ("--output {}", "results"), ("--output results --failures {}", "failures")],
)


@each_overlap
def test_a_command_draws_nothing_over_what_it_writes(
    terminal: PseudoTerminal, arguments: str, what: str
) -> None:
    assert chosen(*arguments.split(), terminal=terminal) is None
    assert chosen(*arguments.split(), "--no-progress", terminal=terminal) == ""


@each_overlap
@pytest.mark.parametrize("is_terminal", [True], indirect=True)
@pytest.mark.parametrize("option", ["--progress", "--dashboard=progress", "--dashboard=full"])
def test_a_command_refuses_to_draw_over_what_it_writes(
    terminal: PseudoTerminal, arguments: str, what: str, option: str
) -> None:
    remedy = "give --output FILE" if what == "results" else "give --failures another file"
    with pytest.raises(ValueError, match=f"drawn over the {what}, .*; {remedy}"):
        chosen(*arguments.split(), option, terminal=terminal)


@pytest.mark.parametrize("is_terminal", [False], indirect=True)
@pytest.mark.usefixtures("terminal")
def test_plain_lines_may_stand_between_results() -> None:
    assert chosen("--dashboard=full") == "full"


@pytest.mark.parametrize("is_terminal", [True], indirect=True)
@pytest.mark.usefixtures("terminal")
@pytest.mark.parametrize("output", [os.devnull, "results", "absent/results"])
def test_results_in_a_file_leave_the_terminal_free(output: str) -> None:
    assert chosen("--output", output) == "progress"
    assert chosen("--output", output, "--dashboard=full") == "full"


@pytest.mark.usefixtures("terminal")
def test_displays_of_others_are_left_to_them() -> None:
    options = Namespace(dashboard="web", output="-", failures=None)
    Rich().antflow_configure(options)
    assert options.dashboard == "web"
    assert Rich().antflow_dashboard("web") is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--progress --no-progress", "not allowed with argument --progress"),
        ("--progress --dashboard=full", "not allowed with argument --progress"),
        ("--dashboard=wonderful", "choose from"),
    ],
)
def test_a_command_refuses_two_displays_and_unknown_ones(
    arguments: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        chosen(*arguments.split())
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("name", DASHBOARDS)
def test_each_display_is_a_new_one(name: str) -> None:
    rich = Rich()
    one, other = rich.antflow_dashboard(name), rich.antflow_dashboard(name)
    assert isinstance(one, DashboardProtocol)
    assert one is not other


async def same(item: int) -> int:
    return item


async def test_an_unknown_dashboard_is_refused_with_the_known_names() -> None:
    pipeline = Pipeline([Stage(name="Same", workers=1, tasks=[same])], plugins=[Rich()])
    with pytest.raises(ValueError, match="compact, detailed, full, progress"):
        await pipeline.run([1], dashboard="wonderful")


@pytest.mark.parametrize("interval", [-1, "often", True, float("nan"), None])
def test_an_interval_that_is_none_is_refused(interval: Any) -> None:
    with pytest.raises(ValueError, match=re.escape(f"plain_interval of Rich is {interval!r}")):
        Rich(plain_interval=interval)


def test_rich_itself_is_imported_with_the_first_display() -> None:
    script = (
        "import sys, antflow_rich; assert 'rich' not in sys.modules; "
        "antflow_rich.Rich().antflow_dashboard('progress'); assert 'rich' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


def test_its_public_names_are_these() -> None:
    assert set(antflow_rich.__all__) == {"Rich", "__version__"}
