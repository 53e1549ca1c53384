"""Every display fits every window, whatever it shows."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antflow_rich._frames import FRAMES, plain_line, summary
from antflow_rich._views import RunView
from antflow_rich.plugin import DASHBOARDS
from tests.packages.rich.views import MIDWAY, VIEWS

WIDE_NAMES = replace(
    MIDWAY,
    name="注文の取り込み" * 5,
    stages=tuple(replace(stage, name="ステージ" * 8) for stage in MIDWAY.stages),
    workers=tuple(
        replace(worker, status="読み込み中" * 9, item="項目" * 9) for worker in MIDWAY.workers
    ),
)
ALL = [*VIEWS.values(), WIDE_NAMES, RunView("nothing yet")]


def test_each_display_can_be_asked_for() -> None:
    assert tuple(FRAMES) == DASHBOARDS


@pytest.mark.parametrize("name", FRAMES)
@given(st.sampled_from(ALL), st.integers(-1, 210), st.integers(-1, 70))
def test_no_frame_is_larger_than_its_window(
    name: str, view: RunView, width: int, height: int
) -> None:
    lines = FRAMES[name](view, width, height)
    assert len(lines) <= max(height, 0)
    assert all(line.cell_len <= width for line in lines)
    assert all("\n" not in line.plain for line in lines)


@pytest.mark.parametrize("name", FRAMES)
@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
def test_no_frame_ends_with_empty_lines_or_has_two_in_a_row(name: str, view: RunView) -> None:
    for size in (40, 12), (80, 24), (120, 40), (200, 60):
        lines = [line.plain.strip() for line in FRAMES[name](view, *size)]
        assert lines[-1]
        assert ("", "") not in pairwise(lines)


@pytest.mark.parametrize("name", ["compact", "detailed", "full"])
@pytest.mark.parametrize("size", [(40, 12), (80, 24), (120, 40), (200, 60)])
def test_the_bottleneck_and_the_failures_are_always_seen(name: str, size: tuple[int, int]) -> None:
    text = "\n".join(line.plain for line in FRAMES[name](MIDWAY, *size))
    assert "▶ Parse" in text
    assert "5 items failed" in text


@given(st.sampled_from(ALL), st.integers(1, 200))
def test_the_summary_fits_its_width(view: RunView, width: int) -> None:
    assert all(line.cell_len <= width for line in summary(view, width))
    assert "\n" not in plain_line(view)
