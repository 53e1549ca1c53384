"""Stages as a table and as cells."""

from __future__ import annotations

from dataclasses import replace

import pytest

from antflow_rich import _styles as styles
from antflow_rich._layout import join
from antflow_rich._sections import most_relevant, stage_grid, stage_table
from antflow_rich._views import RunView, StageView
from tests.packages.rich.views import LARGE, MIDWAY

HEADINGS = "stage workers active pending done failed retried rate p50 p95"
FETCH = "Fetch █▒▒▒▒▒▒▒ 3/20 100/100 6,342 4 31 412/s 48ms 310ms"


def table(view: RunView, width: int, rows: int = 99) -> list[str]:
    return [line.plain for line in stage_table(view, width, 0, 1).draw(rows)]


def test_all_of_it_is_there_in_eighty_columns() -> None:
    lines = table(MIDWAY, 80)
    assert lines[0].split() == HEADINGS.split()
    assert lines[1].split() == FETCH.split()
    assert lines[2].split()[:4] == ["▶", "Parse", "████████", "8/8"]


def test_the_bar_is_as_wide_as_there_is_room() -> None:
    lines = table(MIDWAY, 110)
    assert lines[0].split() == HEADINGS.split()
    assert {len(line) for line in lines[:-1]} == {110}
    assert lines[1].split()[1] == "██████▓" + 30 * "▒" + "░"


@pytest.mark.parametrize("width", range(10, 100))
def test_no_heading_is_cut_and_failures_and_bars_stay_longest(width: int) -> None:
    headings = table(MIDWAY, width)[0].split()
    assert set(headings) <= set(HEADINGS.split())
    if width >= 26:
        assert headings[:2] == ["stage", "workers"]
        assert "failed" in headings or width < 34


def test_the_bottleneck_is_marked_by_sign_and_colour() -> None:
    lines = stage_table(MIDWAY, 80, 0, 1).draw(99)
    marked = [
        line for line in lines if styles.BOTTLENECK in map(str, (s.style for s in line.spans))
    ]
    assert [line.plain.split()[1] for line in marked] == ["Parse", "busy"]
    assert lines[-1].plain.endswith("▶ bottleneck")


def test_without_a_bottleneck_the_legend_has_no_marker() -> None:
    stages = tuple(replace(stage, is_bottleneck=False) for stage in MIDWAY.stages)
    assert "▶" not in "".join(table(replace(MIDWAY, stages=stages), 80))


def test_a_zero_stays_in_the_background_and_a_failure_does_not() -> None:
    lines = join(*stage_table(MIDWAY, 80, 0, 1).draw(99))
    by_style = {
        lines.plain[span.start : span.end]: span.style
        for span in lines.spans
        if lines.plain[span.start : span.end] in {"0", "1", "4"}
    }
    assert by_style == {"0": styles.DIM, "1": styles.FAILURE, "4": styles.FAILURE}


def test_a_stage_without_a_bound_shows_what_waits_only() -> None:
    stage = StageView("Open", pending=12, capacity=None)
    assert table(RunView("p", stages=(stage,)), 80)[1].split()[3] == "12"


def test_without_room_for_all_the_most_relevant_stages_are_shown() -> None:
    lines = table(LARGE, 80, 6)
    assert len(lines) == 6
    shown = " ".join(lines)
    assert "▶ Import…ion 13" in shown
    assert "190,214" in shown
    assert lines[-1].endswith("… 26 stages more")
    names = [stage.name for stage in most_relevant(LARGE.stages, 4)]
    assert names == [f"Import orders of region {at}" for at in (0, 1, 13, 17)]


def test_failing_stages_that_are_not_shown_are_counted() -> None:
    stages = tuple(replace(stage, failed=1) for stage in LARGE.stages)
    assert table(replace(LARGE, stages=stages), 100, 6)[-1].endswith("… 26 stages more, 26 failing")


def test_in_a_narrow_window_the_legend_makes_room_for_that() -> None:
    assert table(LARGE, 40, 6)[-1] == "… 26 stages more"


def test_stages_that_look_alike_are_all_there() -> None:
    alike = tuple(replace(MIDWAY.stages[0], name=f"S{at}") for at in range(6))
    assert len(most_relevant(alike, 4)) == 4


def test_cells() -> None:
    lines = [line.plain for line in stage_grid(MIDWAY.stages, 80, 9)]
    assert lines == [
        "  Fetch  █▒▒▒▒▒▒▒ 3/20 busy   ▶ Parse  ████████  8/8 busy",
        "  Enrich ███▓▓░░░ 4/12 busy     Store  ██░░░░░░  1/4 busy",
    ]


def test_more_cells_than_there_is_room_for() -> None:
    lines = [line.plain for line in stage_grid(LARGE.stages, 80, 4)]
    assert len(lines) == 4
    assert lines[-1] == "  … 27 more"
    assert any(line.startswith("▶") for line in lines)


def test_no_cells() -> None:
    assert stage_grid((), 80, 4) == []
    assert stage_grid(MIDWAY.stages, 80, 0) == []
