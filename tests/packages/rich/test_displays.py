"""What each display shows of a run, in windows of several sizes."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from antflow import DashboardSnapshot, LimitStats
from tests.packages.rich.screens import drawn, shown
from tests.packages.rich.states import (
    ALL,
    BEGINNING,
    FAILURES,
    IDLE,
    LARGE,
    LIMITED,
    MIDWAY,
    NOW,
    READING,
    STAGES,
    WITHOUT_ERRORS,
    failed,
    holding,
    only,
    state,
    worked,
)

DASHBOARDS = ("compact", "detailed", "full")
DISPLAYS = ("progress", *DASHBOARDS)
SIZES = ((40, 12), (80, 24), (120, 40), (200, 60))

# The line of "progress"


def progress(shown_state: DashboardSnapshot, columns: int, **options: object) -> str:
    (line,) = drawn("progress", columns, 24, shown_state, **options)
    return line


@pytest.mark.parametrize(
    ("columns", "start", "end"),
    [
        (100, "orders  ━━━", "─   62%  6,214/10,000  406/s  0:15  0:09 left  5 items failed"),
        (80, "orders  ━━━", "─   62%  6,214/10,000  406/s  0:15  0:09 left  5 failed"),
        (70, "━━━", "─   62%  6,214/10,000  406/s  0:15  0:09 left  5 failed"),
        (60, "━━━", "─   62%  6,214/10,000  406/s  0:09 left  5 failed"),
        (46, "━━━", "─   62%  6,214/10,000  406/s  5 failed"),
        (40, "━━━", "─   62%  6,214/10,000  5 failed"),
        (28, "━━━", "─   62%  5 failed"),
        (16, "", " 62%  5 failed"),
    ],
)
def test_a_narrow_progress_bar_leaves_out_what_matters_least(
    columns: int, start: str, end: str
) -> None:
    line = progress(MIDWAY, columns)
    assert line.startswith(start)
    assert line.endswith(end)
    assert len(line) == columns or not start


@pytest.mark.parametrize(
    ("shown_state", "columns", "options", "end"),
    [
        (WITHOUT_ERRORS, 80, {}, "0:09 left  0 failed"),
        (WITHOUT_ERRORS, 50, {}, "  62%  6,214/10,000  406/s  0:09 left"),
        (BEGINNING, 80, {}, "  0%  0/10,000  0/s  0:15  0 items failed"),
        (MIDWAY, 80, {"total": None}, "╱  total unknown  6,214 done  406/s  0:15  5 items failed"),
        (MIDWAY, 40, {"total": None}, "──╱  total unknown  6,214 done  5 failed"),
        (
            READING, 80, {"total": None},
            "─   49% of the input  6,214 done  406/s  0:15  0:16 left  5 failed",
        ),
        (READING, 40, {"total": None}, "─   49% of the input  5 failed"),
        (state(fraction=1.0), 40, {"total": None}, "─   97% of the input  5 failed"),
    ],
)  # fmt: skip
def test_a_progress_bar_ends_with_the_figures_that_are_known(
    shown_state: DashboardSnapshot, columns: int, options: dict[str, None], end: str
) -> None:
    assert progress(shown_state, columns, **options).endswith(end)


def test_a_long_name_is_cut_or_left_out_of_a_progress_bar() -> None:
    name = "nightly import of every order of the year"
    assert progress(MIDWAY, 120, name=name).startswith("nightly import of e…  ━━")
    assert progress(MIDWAY, 70, name=name).startswith("━")


@pytest.mark.parametrize(
    ("shown_state", "total", "bar"),
    [
        (only(40, 20), 100, "━━━━━━────"),
        (only(9_999), 10_000, "━━━━━━━━━━─"),
        (only(1000), 1000, "━━━━━━━━━━"),
        (only(), 0, "━━━━━━━━━━"),
        (only(6, items_fed=12), 3, "━━━━━─────"),  # tasks that feed their pipeline add to the total
        (only(items_dropped=5, items_fed=5), 10, "━━━━━─────"),
        (replace(only(4, items_fed=5), input_fraction=1.0), None, "━━━━━━━━──"),
        (replace(only(5), input_fraction=1.0), None, "━━━━━━━━━━"),
    ],
)
def test_the_bar_is_full_only_when_all_is_done(
    shown_state: DashboardSnapshot, total: int | None, bar: str
) -> None:
    line = progress(shown_state, 200, total=total, name="x").removeprefix("x  ")
    cells = line[: max(line.rfind("━"), line.rfind("─")) + 1]
    assert set(cells) <= set("━─")
    assert cells.count("━") / len(cells) == pytest.approx(bar.count("━") / 10, abs=0.01)
    assert ("─" in cells) is ("─" in bar)


def test_a_bar_of_unknown_length_moves_to_and_fro() -> None:
    positions = []
    with shown("compact", total=None) as run:
        for _ in range(13):
            bar = run.update(only(1))[1].split(" ")[0]
            assert set(bar) == {"─", "╱"}
            positions.append(bar.index("╱") / (len(bar) - bar.count("╱")))
    assert positions == pytest.approx(
        [0.5, 0.66, 0.83, 1.0, 0.83, 0.66, 0.5, 0.33, 0.16, 0.0, 0.16, 0.33, 0.5], abs=0.03
    )


# Styles: a colour has one meaning, and is never the only sign


def test_failures_are_red_and_successes_green() -> None:
    with shown("compact") as run:
        run.replay(MIDWAY)
        screen = run.screen
        assert screen.styles("5 items failed") == {"1;31"}
        bar = [style for _, style in screen.rows[2][:60]]
        assert bar == ["32"] * 36 + ["1;31"] + ["2"] * 23
        run.update(WITHOUT_ERRORS)
        assert "1;31" not in {style for row in run.screen.rows for _, style in row}


def test_the_detailed_table_marks_the_bottleneck_and_dims_zeros() -> None:
    with shown("detailed") as run:
        run.replay(MIDWAY)
        screen = run.screen
        assert screen.styles("▶ Parse") == {"1;33"}
        assert screen.styles("▶ bottleneck") == {"1;33", "2"}
        assert screen.styles("     4       31") == {"", "1;31"}
        assert screen.styles("     0      118") == {"", "2"}
        assert screen.styles("     2   300       1") == {"", "33", "1;31"}  # a second attempt
        assert screen.styles("     1   311       0") == {"", "2"}
        legend = [screen.styles(each) for each in ("█ b", "▓ w", "▒ b", "░ i")]
        assert legend == [{"32", "2"}, {"33", "2"}, {"35", "2"}, {"2"}]


# Header


@pytest.mark.parametrize(
    ("columns", "outcomes"),
    [
        (80, "6,209 succeeded  5 items failed  3,786 remaining  406/s"),
        (40, "6,209 succeeded  5 items failed  406/s"),
        (24, "5 items failed  406/s"),
        (14, "5 items failed"),
    ],
)
def test_failures_stay_the_longest_in_the_header(columns: int, outcomes: str) -> None:
    assert drawn("compact", columns, 24, MIDWAY)[2] == outcomes


@pytest.mark.parametrize(
    ("shown_state", "options", "outcome"),
    [
        (only(4, 1), {}, "1 item failed"),
        (only(5), {}, "0 items failed"),
        (LARGE, {}, "120 dropped"),
        (MIDWAY, {"total": None}, "186 under way"),
        (only(12_500_000), {"total": None}, "12,500,000 succeeded"),
    ],
)
def test_the_header_names_each_outcome(
    shown_state: DashboardSnapshot, options: dict[str, None], outcome: str
) -> None:
    assert outcome in drawn("compact", 100, 24, shown_state, **options)[2].split("  ")


@pytest.mark.parametrize(("number", "text"), [(1, "1 plugin fault"), (3, "3 plugin faults")])
def test_the_header_counts_plugin_faults(number: int, text: str) -> None:
    with shown("compact", 100) as run:
        assert text in run.replay(MIDWAY, {"journal": number})[2].split("  ")


def test_a_long_name_makes_room_for_the_time_left() -> None:
    name = "nightly import of every order of the year"
    assert (
        drawn("compact", 46, 24, MIDWAY, name=name)[0]
        == "nightly import of ev…  0:15 elapsed  0:09 left"
    )
    assert drawn("compact", 34, 24, MIDWAY, name=name)[0] == "nightly import of ever…  0:09 left"


# Sections in windows of several sizes

HEADINGS = ("throughput", "stage", "in flight", "items", "failed", "worker")


def headings(lines: list[str]) -> list[str]:
    return [name for line in lines for name in HEADINGS if line.startswith(f"{name} ")]


@pytest.mark.parametrize(
    ("display", "columns", "lines", "shown_state", "sections", "height"),
    [
        ("detailed", 80, 24, MIDWAY, "stage, worker, failed", 22),
        ("detailed", 40, 12, MIDWAY, "stage", 9),
        ("detailed", 40, 13, MIDWAY, "stage, failed", 12),
        ("detailed", 80, 24, WITHOUT_ERRORS, "stage, worker", 22),
        ("detailed", 80, 24, BEGINNING, "stage", 10),
        ("detailed", 80, 24, LARGE, "stage, failed", 22),
        ("detailed", 80, 26, LARGE, "stage, worker, failed", 24),
        ("detailed", 80, 32, LARGE, "stage, worker, failed", 24),
        ("detailed", 80, 62, LARGE, "stage, worker, failed", 40),
        ("full", 80, 24, MIDWAY, "throughput, stage, in flight, items", 24),
        ("full", 80, 60, MIDWAY, "throughput, stage, in flight, items, failed, worker", 60),
        ("full", 40, 12, MIDWAY, "stage, items", 12),
        ("full", 80, 24, WITHOUT_ERRORS, "throughput, stage, in flight, worker", 24),
        ("full", 80, 24, LARGE, "stage, in flight, items", 24),
        ("full", 80, 24, BEGINNING, "throughput, stage", 15),
    ],
)
def test_a_display_has_the_sections_that_its_window_has_room_for(
    display: str, columns: int, lines: int, shown_state: Any, sections: str, height: int
) -> None:
    drawn_lines = drawn(display, columns, lines, shown_state)
    assert headings(drawn_lines) == sections.split(", ")
    assert len(drawn_lines) == height


def test_a_wide_full_display_shows_lists_side_by_side() -> None:
    lines = drawn("full", 120, 36, MIDWAY)
    assert any(line.startswith("in flight") and " items  error" in line for line in lines)
    assert any("   worker " in line for line in lines)
    assert len(lines) == 36


@pytest.mark.parametrize("display", DISPLAYS)
@pytest.mark.parametrize("name", ALL)
def test_no_frame_is_larger_than_its_window(display: str, name: str) -> None:
    draw = random.Random(f"{display} {name}")
    sizes = [(draw.randint(1, 210), draw.randint(1, 70)) for _ in range(3)]
    with shown(display, name="注文の取り込み" * 5) as run:
        run.update(BEGINNING)
        for columns, lines in [(1, 1), (9, 70), *SIZES[:3], *sizes]:
            run.resize(columns, lines)
            seen = run.update(ALL[name])
            assert not run.screen.has_overflowed, (columns, lines, seen)
            if (columns, lines) in SIZES and name != "beginning":  # whose chart is empty
                assert ("", "") not in pairwise(line.strip() for line in seen), seen


def test_wide_characters_take_two_columns() -> None:
    stages = [replace(each, stage_name="ステージ" * 8 + str(at)) for at, each in enumerate(STAGES)]
    workers = [
        (replace(one, current_item_id="項目" * 9, current_task="読み込み中" * 9), metrics)
        for one, metrics in map(holding, range(9))
    ]
    for display, (columns, lines) in [(each, size) for each in DISPLAYS for size in SIZES]:
        with shown(display, columns, lines, name="注文の取り込み" * 5) as run:
            run.replay(state(stages, workers=workers))
            assert not run.screen.has_overflowed


@pytest.mark.parametrize("display", DASHBOARDS)
@pytest.mark.parametrize("size", SIZES)
def test_the_bottleneck_and_the_failures_are_always_seen(
    display: str, size: tuple[int, int]
) -> None:
    text = "\n".join(drawn(display, *size, MIDWAY))
    assert "▶ Parse" in text
    assert "5 items failed" in text


@pytest.mark.parametrize("display", DISPLAYS)
def test_a_display_of_a_run_without_stages_and_names_is_drawn(display: str) -> None:
    assert "0/10,000" in "\n".join(drawn(display, 80, 24, only(), name=""))


# Stages


def rows(
    display: str, columns: int, lines: int, shown_state: DashboardSnapshot, first: str
) -> list[list[str]]:
    """Return the words of each line from the one on that starts with a heading."""
    found = drawn(display, columns, lines, shown_state)
    start = next(at for at, line in enumerate(found) if line.startswith(first))
    return [line.split() for line in found[start:]]


STAGE_HEADINGS = "stage workers active pending done failed retried rate p50 p95"


@pytest.mark.parametrize("columns", [80, 87, 110])
def test_the_stage_table_has_all_figures_of_a_stage(columns: int) -> None:
    table = rows("detailed", columns, 24, MIDWAY, "stage")
    # The least important column comes where there is room for it.
    parked, number, width = (" parked", " 0", 80) if columns > 87 else ("", "", 72)
    assert " ".join(table[0]) == STAGE_HEADINGS.replace(" rate", f"{parked} rate")
    assert " ".join(table[1][2:]) == f"3/20 100/100 6,342 4 31{number} 415/s 41ms 384ms"
    assert table[2][:2] == ["▶", "Parse"]
    assert len(table[1][1]) == columns - width
    assert " ".join(table[5]) == "█ busy ▓ waiting ▒ blocked ░ idle ▶ bottleneck"


@pytest.mark.parametrize("display", ["detailed", "full"])
def test_what_waits_for_a_retry_and_until_when(display: str) -> None:
    later, sooner = replace(STAGES[0], parked_items=9), replace(STAGES[2], parked_items=1_204)
    stages = [
        replace(later, next_retry=NOW + 31),
        STAGES[1],
        replace(sooner, next_retry=NOW + 4.2),
        replace(STAGES[3], parked_items=2, next_retry=NOW - 0.3),  # it is due
    ]
    lines = drawn(display, 119, 40, state(stages))
    assert lines[2].endswith("1,215 parked (0.0s)")
    table = rows(display, 119, 40, state(stages), "stage")
    column = table[0].index("parked")
    assert table[1][column : column + 2] == ["9", "(31s)"]
    assert "1,204 (4.2s)" in " ".join(table[3])
    lines = drawn(display, 80, 40, state(stages[:3]))
    assert lines[2].endswith("1,213 parked (4.2s)")
    assert "parked" not in drawn(display, 80, 40, MIDWAY)[2]


def limited(*waits: LimitStats | None) -> DashboardSnapshot:
    """Return the run in the middle, whose first stages wait for limits."""
    limits = [{} if wait is None else {"tokens": wait} for wait in waits]
    return state([replace(stage, limits=each) for stage, each in zip(STAGES, limits, strict=False)])


@pytest.mark.parametrize("display", ["detailed", "full"])
@pytest.mark.parametrize("columns", [80, 119])
def test_a_stage_says_for_which_limit_it_waits(display: str, columns: int) -> None:
    table = rows(display, columns, 40, LIMITED, "stage")
    words = [" ".join(line) for line in table[:5]]
    assert ("waits for" in words[0]) is ("tokens (120)" in words[1])
    assert "waits for" in words[0]
    assert "p95" not in words[0] or columns > 80  # the least important columns make room
    assert "6,250 1 - 0" in words[2] or columns == 80  # nothing waits for its limit
    assert "credits (12s)" in words[3]
    assert "-" not in words[4]  # it has no limits


def test_without_limits_there_is_no_column_for_them() -> None:
    assert "waits for" not in " ".join(rows("detailed", 200, 24, MIDWAY, "stage")[0])


LONG = "Fetch waits for limit 'tokens' (120 items)"


@pytest.mark.parametrize("display", DASHBOARDS)
@pytest.mark.parametrize(
    ("columns", "snapshot", "end"),
    [
        (120, LIMITED, LONG),
        (80, LIMITED, "120 wait for tokens"),
        (60, LIMITED, "3,786 remaining  406/s"),
        (80, limited(LimitStats(1, 4)), "1 waits for tokens"),
        (120, limited(LimitStats(1, 4)), "Fetch waits for limit 'tokens' (1 item)"),
        (80, limited(LimitStats(9, 4, paused_until=NOW + 8)), "tokens paused for 8.0s"),
        (
            120,
            limited(None, LimitStats(9, 4, paused_until=NOW + 8)),
            "Parse waits for limit 'tokens' (9 items), paused for 8.0s",
        ),
        (120, limited(None, LimitStats(9, 4, paused_until=NOW - 1)), "paused for 0.0s"),
        (120, limited(LimitStats(0, 4)), "3,786 remaining  406/s"),
    ],
)
def test_the_limit_that_holds_back_most_items_is_named_where_there_is_room(
    display: str, columns: int, snapshot: DashboardSnapshot, end: str
) -> None:
    assert drawn(display, columns, 24, snapshot)[2].endswith(end)


@pytest.mark.parametrize(
    ("columns", "end"),
    [
        (80, "5 failed"),
        (110, "5 items failed  120 wait for tokens"),
        (140, f"5 items failed  {LONG}"),
    ],
)
def test_progress_names_the_limit_in_room_that_nothing_needs(columns: int, end: str) -> None:
    (line,) = drawn("progress", columns, 24, LIMITED)
    assert line.endswith(f" 62%  6,214/10,000  406/s  0:15  0:09 left  {end}")
    assert line.startswith("orders  ━━━━━")


def test_without_retries_there_is_no_column_for_them() -> None:
    stages = [replace(stage, retried_attempts=0) for stage in STAGES]
    assert "parked" not in rows("detailed", 119, 24, state(stages), "stage")[0]


def test_the_bar_of_a_stage_shows_its_workers_time_by_state() -> None:
    bars = [line[1] for line in rows("detailed", 110, 24, MIDWAY, "stage")[1:4]]
    assert bars[0] == "█████▓" + 24 * "▒"
    grid = drawn("compact", 80, 24, MIDWAY)[3:]
    assert grid == [
        "  Fetch  █▒▒▒▒▒▒▒ 3/20 busy   ▶ Parse  ████████  8/8 busy",
        "  Enrich ███▓▓░░░ 4/12 busy     Store  ██░░░░░░  1/4 busy",
    ]


@pytest.mark.parametrize("columns", range(26, 80, 3))
def test_no_heading_is_cut_and_failures_and_bars_stay_longest(columns: int) -> None:
    found = rows("detailed", columns, 24, MIDWAY, "stage")[0]
    assert found == [each for each in STAGE_HEADINGS.split() if each in found]
    assert found[:2] == ["stage", "workers"]
    assert "failed" in found or columns < 34


def test_a_stage_without_a_bottleneck_or_a_bound_is_shown_plainly() -> None:
    alone = worked("Open", 2, (0.5, 0.0, 0.0, 0.5), pending_items=12, capacity=None)
    table = rows("detailed", 80, 24, state([alone]), "stage")
    assert table[1] == ["Open", "█" * 8 + "░" * 8, "0/2", "12", "0", "0", "0", "0/s", "-", "-"]
    assert " ".join(table[2]) == "█ busy ▓ waiting ▒ blocked ░ idle"


def test_workers_that_have_stopped_are_still_counted() -> None:
    with shown("detailed") as run:
        run.replay(MIDWAY)
        ended = state([replace(each, workers={}) for each in STAGES])
        assert " 3/20 " in run.update(ended)[5]


def test_the_latest_seconds_decide_on_bars_and_the_bottleneck() -> None:
    """Parse was the bottleneck for long, and then Store is for ten seconds."""
    spent = [{"idle": 40.0}, {"busy": 1.0, "idle": 19.0}, {"idle": 40.0}, {"busy": 40.0}]
    later = [
        replace(each, seconds={key: old + more.get(key, 0.0) for key, old in each.seconds.items()})
        for each, more in zip(STAGES, spent, strict=True)
    ]
    with shown("compact") as run:
        assert "▶ Parse" in "".join(run.replay(MIDWAY))
        grid = "".join(run.update(state(later), 10.0))
    assert "▶ Store  ███████░" in grid
    assert "▶ Parse" not in grid


@pytest.mark.parametrize(
    ("columns", "failing", "note"),
    [
        (80, 0, "… 24 stages more"),
        (40, 0, "… 24 stages more"),
        (100, 1, "… 24 stages more, 24 failing"),
    ],
)
def test_the_most_relevant_stages_are_shown_and_the_others_counted(
    columns: int, failing: int, note: str
) -> None:
    stages = LARGE.pipeline_stats.stage_stats.values()
    large = state([replace(each, failed_items=max(each.failed_items, failing)) for each in stages])
    table = [" ".join(line) for line in rows("detailed", columns, 12, large, "stage")]
    legend = next(at for at, line in enumerate(table) if "more" in line)
    assert table[legend].endswith(note)
    assert ("busy" in table[legend]) is (columns > 40)
    assert any(line.startswith("▶ Import") and "n 13 █" in line for line in table)
    assert any("190,214" in line for line in table)


def test_a_grid_without_room_for_all_stages_counts_the_others() -> None:
    lines = drawn("compact", 80, 8, LARGE)
    assert len(lines) == 7
    assert lines[-1] == "  … 27 more"
    assert any(line.startswith("▶") for line in lines)
    assert len(drawn("compact", 40, 3, LARGE)) == 2
    assert len(drawn("compact", 40, 2, LARGE)) == 1


# Workers and items in flight


def test_workers_are_listed_by_how_long_they_have_held_their_item() -> None:
    table = rows("detailed", 200, 60, MIDWAY, "worker")
    assert " ".join(table[0]) == "worker item age attempt done failed mean doing 19 of 44"
    assert (
        " ".join(table[1]) == "Fetch-W0 order-6201 4.2s 2 300 1 40ms GET /orders/6201, 0 of 96 kB"
    )
    assert table[2][:2] == ["Parse-W0", "order-6202"]


def test_idle_workers_and_those_of_unknown_totals_come_with_what_is_known() -> None:
    one, metrics = holding(0)
    unknown = state(workers=[(replace(one, attempt=None), metrics), *IDLE])
    unknown.worker_metrics.clear()
    table = rows("detailed", 100, 60, unknown, "worker")
    assert table[1][:6] == ["Fetch-W0", "order-6201", "4.2s", "1", "0", "0"]
    assert table[2] == ["Store-W1", "idle", "0", "0", "-"]


def test_a_narrow_list_of_workers_keeps_what_they_do_now() -> None:
    table = rows("detailed", 40, 40, MIDWAY, "worker")
    assert table[0][:3] == ["worker", "item", "doing"]


def test_of_many_workers_those_with_the_oldest_items_are_listed() -> None:
    states = [
        (replace(holding(at)[0], worker_name=f"W{at}", processing_since=NOW - at), holding(at)[1])
        for at in range(1000)
    ]
    lines = drawn("full", 80, 250, state(workers=states))
    start = next(at for at, line in enumerate(lines) if line.startswith("worker"))
    assert [line.split()[0] for line in lines[start + 1 : start + 3]] == ["W999", "W998"]
    assert lines[start].endswith(" of 44")


def test_items_in_flight_are_listed_the_oldest_first() -> None:
    table = rows("full", 100, 90, MIDWAY, "in flight")
    assert table[0] == ["in", "flight", "stage", "attempt", "age", "doing"]
    assert table[1][:4] == ["order-6201", "Fetch", "2", "4.2s"]
    assert table[19][:2] == ["order-6219", "Fetch"]
    assert table[20] == []


def test_without_items_in_flight_there_is_no_list_of_them() -> None:
    assert "in flight" not in headings(drawn("full", 80, 60, state(workers=IDLE)))


def test_an_item_without_an_id_and_a_clock_that_was_set_back_are_shown() -> None:
    one, metrics = holding(0)
    odd = replace(one, current_item_id=None, processing_since=NOW + 5.0)
    table = rows("full", 80, 60, state(workers=[(odd, metrics)]), "in flight")
    assert table[1][:4] == ["None", "Fetch", "2", "0µs"]


# Failures


@pytest.mark.parametrize(
    ("columns", "found"),
    [
        (40, ["failed", "error"]),
        (60, ["failed", "stage", "ago", "error"]),
        (80, ["failed", "stage", "location", "error"]),
        (200, ["failed", "stage", "location", "ago", "attempts", "error"]),
    ],
)
def test_the_latest_failures_have_most_room_for_their_errors(
    columns: int, found: list[str]
) -> None:
    table = rows("detailed", columns, 60, MIDWAY, "failed")
    assert [each for each in table[0] if each.isalpha() and each != "of"] == found
    assert table[1][0] == "order-6201"
    assert ("orders.py:24," in table[1]) is ("location" in found)
    if columns == 200:
        error = "ConnectionError: the host did not answer within 10 s"
        assert " ".join(table[1][5:]) == f"1.4s 3 {error}"


@pytest.mark.parametrize(
    ("failure", "columns", "text"),
    [
        (failed("7", "KeyError", error=""), 80, "7       Work   0.0s         1  KeyError"),
        (replace(FAILURES[3], location=""), 80, "order-5988  Parse  3.2s         1  Unicode"),
        (
            replace(FAILURES[0], location="a_module_of_a_long_name.py:1234, in Client.fetch"),
            80, "order-0042  Fetch  a_module_of_a…nt.fetch  ",
        ),
        (failed("7", ago=-5.0), 200, "7       Work   0.0s         1  ValueError: 7 is wrong"),
    ],
)  # fmt: skip
def test_what_is_unknown_of_a_failure_takes_no_room(
    failure: object, columns: int, text: str
) -> None:
    lines = drawn("detailed", columns, 60, state(failures=[failure]))  # type: ignore[list-item]
    (line,) = [each for each in lines if each.startswith(text.split(" ", 1)[0])]
    assert line.startswith(text)


def test_failures_that_are_not_listed_are_counted() -> None:
    assert rows("detailed", 80, 24, LARGE, "failed")[0][-3:] == ["4", "of", "190,214"]
    many = state(failures=[failed(f"item-{at}") for at in range(1000)], items_failed=1000)
    lines = drawn("detailed", 80, 300, many)
    assert sum(line.startswith("item-") for line in lines) == 100
    assert any(line.startswith("failed") and line.endswith("100 of 1,000") for line in lines)


def test_errors_are_grouped_by_type_with_the_latest_of_each() -> None:
    table = rows("full", 100, 60, MIDWAY, "items")
    assert table[0] == ["items", "error", "latest", "location"]
    about = " ".join(table[1])
    assert about.startswith("4 ConnectionError order-6201 in Fetch: the host did not answer wit…")
    assert about.endswith("… orders.py:24, in fetch")
    assert table[2][:2] == ["1", "UnicodeDecodeError"]


def test_the_example_of_an_error_is_kept_as_long_as_its_type() -> None:
    first, second = failed(1), failed(2, "KeyError")
    with shown("full", 80, 60) as run:
        run.update(state(failures=[first]))
        kept = run.update(state(failures=[second], more={"ValueError": 1, "other": 12}))
        assert "   12  other" in kept
        assert any(line.startswith("    1  ValueError  1 in Work: 1 is wrong") for line in kept)
        run.update(state(failures=[second]))
        gone = run.update(state(failures=[second], more={"ValueError": 1}))
    assert "    1  ValueError" in gone


@pytest.mark.parametrize("field", ["item_id", "error_type", "stage", "error", "location"])
def test_no_text_of_a_failure_reaches_the_terminal_as_a_command(field: str) -> None:
    evil = replace(FAILURES[0], **{field: "a\x1b[2J\nb"})  # type: ignore[arg-type]
    assert "a\\x1b[2J b" in "".join(drawn("full", 200, 60, state(failures=[evil])))


# Throughput


def test_the_chart_reaches_the_top_at_the_peak_and_shows_the_least() -> None:
    with shown("full", 80, 60) as run:
        run.update(BEGINNING)
        assert headings(run.update(only(1), 0.4)) == []  # nothing to compare yet
        for processed in (1000, 1001, 1001, 1501):
            run.update(state(items_processed=processed, items_failed=0), 2.5)
        lines = run.lines
    assert lines[4].startswith("throughput  over 0:10  ")
    assert lines[4].endswith("  peak 400/s")
    bars = [line.ljust(80) for line in lines[5:8]]
    tops = ["".join(row[at] for row in bars) for at in (10, 30, 50, 70)]
    assert tops == ["███", "  ▁", "  ▁", " ▄█"]
