"""The plugin itself: which displays it has, and what it is imported with."""

from __future__ import annotations

import re
import subprocess
import sys
from argparse import ArgumentParser
from typing import Any

import pytest

import antflow_rich
from antflow import DashboardProtocol, Pipeline, Stage
from antflow.plugins import hooks_of
from antflow_rich import Rich
from antflow_rich.plugin import DASHBOARDS


def test_it_is_asked_for_displays_and_options_alone() -> None:
    assert hooks_of(Rich()) == ("antflow_add_options", "antflow_configure", "antflow_dashboard")


@pytest.fixture(params=[True, False], ids=["terminal", "pipe"])
def is_terminal(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether standard error is a terminal that can be drawn in."""
    monkeypatch.setattr("sys.stderr.isatty", lambda: request.param, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("CI", raising=False)
    return bool(request.param)


def chosen(*arguments: str) -> str | None:
    parser = ArgumentParser()
    plugin = Rich()
    plugin.antflow_add_options(parser)
    options = parser.parse_args(arguments)
    plugin.antflow_configure(options)
    dashboard: str | None = options.dashboard
    return dashboard


def test_a_command_shows_the_progress_bar_on_a_terminal(is_terminal: bool) -> None:
    assert chosen() == ("progress" if is_terminal else None)


@pytest.mark.usefixtures("is_terminal")
@pytest.mark.parametrize(
    ("arguments", "dashboard"),
    [
        (["--progress"], "progress"),
        (["--no-progress"], ""),
        (["--dashboard", "full"], "full"),
        (["--dashboard=compact"], "compact"),
    ],
)
def test_a_command_shows_what_it_is_asked_for(arguments: list[str], dashboard: str) -> None:
    assert chosen(*arguments) == dashboard


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--progress", "--no-progress"], "not allowed with argument --progress"),
        (["--progress", "--dashboard=full"], "not allowed with argument --progress"),
        (["--dashboard=wonderful"], "choose from"),
    ],
)
def test_a_command_refuses_two_displays_and_unknown_ones(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        chosen(*arguments)
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("name", DASHBOARDS)
def test_each_display_is_a_new_one(name: str) -> None:
    plugin = Rich()
    one, other = plugin.antflow_dashboard(name), plugin.antflow_dashboard(name)
    assert isinstance(one, DashboardProtocol)
    assert one is not other


def test_another_name_is_left_to_others() -> None:
    assert Rich().antflow_dashboard("web") is None


async def same(item: int) -> int:
    return item


async def test_an_unknown_dashboard_is_told_with_the_names_that_there_are() -> None:
    pipeline = Pipeline([Stage(name="Same", workers=1, tasks=[same])], plugins=[Rich()])
    with pytest.raises(ValueError, match="compact, detailed, full, progress"):
        await pipeline.run([1], dashboard="wonderful")


@pytest.mark.parametrize("interval", [-1, "often", True, float("nan"), None])
def test_an_interval_that_is_none_is_refused(interval: Any) -> None:
    with pytest.raises(ValueError, match=re.escape(f"plain_interval of Rich is {interval!r}")):
        Rich(plain_interval=interval)


def test_rich_itself_is_imported_when_a_display_is_asked_for() -> None:
    script = (
        "import sys, antflow_rich; assert 'rich' not in sys.modules; "
        "antflow_rich.Rich().antflow_dashboard('progress'); assert 'rich' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


def test_its_public_names_are_these() -> None:
    assert set(antflow_rich.__all__) >= {"Rich", "__version__"}
    assert all(hasattr(antflow_rich, name) for name in antflow_rich.__all__)
