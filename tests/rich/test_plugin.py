"""The plugin itself: which displays it has, and what it is imported with."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import Any

import pytest

import antflow_rich
from antflow import DashboardProtocol, Pipeline, Stage
from antflow.plugins import hooks_of
from antflow_rich import Rich
from antflow_rich.plugin import DASHBOARDS


def test_it_is_asked_for_displays_alone() -> None:
    assert hooks_of(Rich()) == ("antflow_dashboard",)


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
