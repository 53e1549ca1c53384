"""What stays of a run when it has ended, and the lines where nothing can be redrawn."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest

from antflow import DashboardSnapshot
from tests.packages.rich.screens import left, piped, shown
from tests.packages.rich.states import (
    BEGINNING,
    ENDED,
    LARGE,
    LIMITED,
    MIDWAY,
    READING,
    SECONDS,
    STAGES,
    STOPPED,
    errors,
    failed,
    only,
    state,
)

ALONE = state([replace(STAGES[1], workers={"idle": 1})])
REST = "5 items failed, 0:15 elapsed"

# The summary


def test_the_summary_has_outcome_errors_and_the_busiest_stage() -> None:
    assert left(ENDED, 80) == [
        "orders is done: 10,000 items in 0:15, 654/s",
        "  9,988 succeeded  12 items failed",
        "  items  error               latest",
        "     11  ConnectionError     order-6201 in Fetch: the host did not answer withi…",
        "         orders.py:24, in fetch",
        "      1  UnicodeDecodeError  order-5988 in Parse: 'utf-8' codec can't decode by…",
        "         orders.py:31, in parse",
        "  busiest Parse 98% of 8 workers' time",
    ]


def test_the_summary_of_a_stopped_run_says_what_is_left() -> None:
    lines = left(STOPPED, faults={"journal": 3, "other": 1})
    assert lines[0] == "orders was stopped: 6,214 items in 0:15, 406/s"
    assert lines[1] == "  6,209 succeeded  5 items failed  186 unprocessed"
    assert lines[-1] == "  plugin faults journal 3, other 1 (see the log)"


@pytest.mark.parametrize(
    ("ended", "total", "verdict"),
    [
        (only(10), 10, "is done: 10 items"),
        (only(5), 10, "was stopped: 5 items"),
        (only(5), 5, "is done: 5 items"),
        (only(), 0, "is done: 0 items in 0:15, 0/s"),
        (only(1), 1, "is done: 1 item in 0:15, 3.9/min"),
        (only(5), None, "has ended: 5 items"),
        (only(5, items_fed=7, items_unprocessed=2), None, "was stopped: 5 items"),
        (replace(only(5), input_fraction=0.9), None, "has ended: 5 items"),
        (replace(only(5), input_fraction=1.0), None, "is done: 5 items"),
        (only(4, items_dropped=1, items_fed=5), 5, "is done: 5 items"),
    ],
)
def test_the_first_line_says_how_the_run_has_ended(
    ended: DashboardSnapshot, total: int | None, verdict: str
) -> None:
    assert left(ended, total=total)[0].startswith(f"orders {verdict}")


@pytest.mark.parametrize(
    ("ended", "total", "styles"),
    [(only(9), 9, {"32"}), (only(5), 9, {"33"}), (only(5), None, {""})],
)
def test_only_a_run_of_which_all_is_known_to_be_done_is_called_a_success(
    ended: DashboardSnapshot, total: int | None, styles: set[str]
) -> None:
    with shown("progress", total=total) as run:
        run.replay(ended)
        verdict = run.finish()[0].partition(":")[0].removeprefix("orders ")
        assert run.screen.styles(verdict) == styles


@pytest.mark.parametrize(
    ("ended", "options", "line"),
    [
        (only(9, 1), {}, "  9 succeeded  1 item failed"),
        (only(8, 2, items_dropped=3), {}, "  8 succeeded  2 items failed  3 dropped"),
        (only(items_fed=0), {"total": 0}, "  0 succeeded  0 items failed"),
        (LARGE, {}, "  … 30 types of errors more"),
        (ALONE, {}, "  busiest Parse 98% of 1 worker's time"),
        (ENDED, {"columns": 40}, "  busiest Parse 98% of 8 workers' time"),
        (STOPPED, {"columns": 44}, "orders was stopped: 6,214 items in 0:15"),
        (STOPPED, {"columns": 46}, "orders was stopped: 6,214 items in 0:15, 406/s"),
        (STOPPED, {"columns": 37}, "orders was stopped: 6,214 items in 0…"),
        (
            ENDED, {"columns": 60, "name": "a stage with quite a long name, and then some"},
            "a stage with quite a l… is done: 10,000 items in 0:15, 654/s",
        ),
        (
            state([replace(STAGES[1], stage_name="a stage with quite a long name, and then some")]),
            {"columns": 60}, "  busiest a stage with quite a long… 98% of 8 workers' time",
        ),
    ],
)  # fmt: skip
def test_a_line_of_the_summary(
    ended: DashboardSnapshot, options: dict[str, object], line: str
) -> None:
    assert line in left(ended, **options)  # type: ignore[arg-type]


def test_the_summary_has_failures_that_no_snapshot_had() -> None:
    with shown("progress", 100, total=300) as run:
        run.replay(only(200))
        lines = run.finish(errors([failed(1)]))
    assert lines[:2] == [
        "orders was stopped: 201 items in 0:15, 13/s",
        "  200 succeeded  1 item failed",
    ]
    assert lines[3] == "      1  ValueError  1 in Work: 1 is wrong"


def test_a_run_that_ends_before_its_first_snapshot_has_a_summary() -> None:
    with shown("full", total=None) as run:
        assert run.finish() == [
            "orders has ended: 0 items in 0:00, 0/s",
            "  0 succeeded  0 items failed",
        ]


@pytest.mark.parametrize("columns", [1, 7, 20, 50])
def test_the_summary_fits_its_width(columns: int) -> None:
    for ended in (ENDED, LARGE):
        assert max(map(len, left(ended, columns))) <= columns


# Lines of text


WAIT = "Fetch waits for limit 'tokens' (120 items)"


@pytest.mark.parametrize(
    ("shown_state", "total", "line"),
    [
        (
            MIDWAY, 10_000,
            f"6,214 of 10,000 (62%) done, 406/s, {REST}, 0:09 left, bottleneck Parse",
        ),
        (
            LIMITED, None,
            f"6,214 done, 406/s, {REST}, bottleneck Parse, {WAIT}",
        ),
        (MIDWAY, None, f"6,214 done, 406/s, {REST}, bottleneck Parse"),
        (
            READING, None,
            f"6,214 done (49% of the input), 406/s, {REST}, 0:16 left, bottleneck Parse",
        ),
        (only(4, 1), 5, "5 of 5 (100%) done, 20/min, 1 item failed, 0:15 elapsed, 0:00 left"),
    ],
)  # fmt: skip
def test_a_stream_gets_a_line_of_text(
    shown_state: DashboardSnapshot, total: int | None, line: str
) -> None:
    with piped(total=total) as run:
        assert run.replay(shown_state)[-1] == f"orders: {line}"


def test_lines_come_at_once_and_then_at_intervals() -> None:
    with piped(plain_interval=10) as run:
        for after in (0.0, 0.5, 9.4, 0.1, 9.0, 6.0, 9.0):
            run.update(only(int(10 * (run.clock.now + after - 100.0))), after)
        assert [line.split()[1] for line in run.lines] == ["0", "100", "250"]


def test_neither_lines_nor_summary_have_escapes_or_blanks_at_their_ends() -> None:
    with piped(name="pages\x1b[31m 日") as run:
        run.replay(MIDWAY)
        lines = run.finish(MIDWAY.error_summary)
    assert lines[1].startswith("pages\\x1b[31m 日: 6,214 of 10,000")
    assert lines[2].startswith("pages\\x1b[31m 日 was stopped: ")
    assert all(line == line.rstrip() and line.isprintable() for line in lines)
    assert 98 < max(map(len, lines[2:])) <= 100


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_what_the_encoding_of_a_stream_lacks_is_replaced(encoding: str) -> None:
    raw = io.BytesIO()
    with piped(io.TextIOWrapper(raw, encoding), name="größer 日") as run:
        run.replay(MIDWAY)
        run.finish(MIDWAY.error_summary)
    lines = raw.getvalue().decode(encoding).splitlines()
    name = "gr??er ??" if encoding == "ascii" else "größer ??"
    assert lines[1].startswith(f"{name}: 6,214 of 10,000")
    assert lines[-2].endswith(" orders.py:31, in parse")
    assert lines[-3].endswith("byte 0xe9 in position~")


def test_lines_follow_what_the_program_has_written_to_the_stream(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    with path.open("w", encoding="utf-8") as stream:
        with piped(stream, name="pages", total=0) as run:
            stream.write("begun\n")
            run.finish()
        stream.write("afterwards\n")
    written = path.read_text().splitlines()
    assert [line.split()[0] for line in written] == ["begun", "pages", "0", "afterwards"]


def test_nothing_is_written_of_a_run_that_ends_without_a_summary() -> None:
    with piped() as run:
        run.close()
        assert run.lines == []


# Figures


@pytest.mark.parametrize(
    ("items", "seconds", "text"),
    [
        (0, 10.0, "0/s"), (5, 10.0, "30/min"), (1, 1000.0, "3.6/h"), (1, 1e5, "0.04/h"),
        (314, 100.0, "3.1/s"), (996, 100.0, "10/s"), (4_994, 5.0, "999/s"), (4_998, 5.0, "1.0k/s"),
        (14_040, 10.0, "1.4k/s"), (20_000, 10.0, "2k/s"), (95 * 10**9, 10.0, "9.5G/s"),
        (2 * 10**16, 10.0, "2,000T/s"),
    ],
)  # fmt: skip
def test_a_rate_has_three_digits_at_most(items: int, seconds: float, text: str) -> None:
    with piped(total=None) as run:
        run.update(only())
        assert run.update(only(items), seconds)[-1].split(", ")[-3] == text


@pytest.mark.parametrize(
    ("done", "total", "text"),
    [
        (0, 10, "0 of 10 (0%)"), (1, 10_000, "1 of 10,000 (1%)"), (5, 10, "5 of 10 (50%)"),
        (9_999, 10_000, "9,999 of 10,000 (99%)"), (10, 10, "10 of 10 (100%)"),
        (9_999_999, 12_500_000, "9,999,999 of 12M (80%)"), (12, 3, "12 of 12 (100%)"),
    ],
)  # fmt: skip
def test_0_and_100_percent_are_exact(done: int, total: int, text: str) -> None:
    with piped(total=total) as run:
        assert f" {text} done, " in run.update(only(done))[-1]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0:00"), (59.6, "1:00"), (75.0, "1:15"), (3600.0, "1:00:00"),
        (93_784.0, "1d 02:03:04"),
    ],
)  # fmt: skip
def test_the_time_elapsed_is_shown_as_a_clock(seconds: float, text: str) -> None:
    with piped() as run:
        run.update(only())
        assert f" {text} elapsed" in run.update(only(), seconds)[-1]


def test_the_time_left_is_shown_as_far_as_it_is_known() -> None:
    with piped(total=1000) as run:
        assert " left" not in run.update(only())[-1]
        line = [run.update(only(20 * second))[-1] for second in range(1, 11)][-1]
        assert ", 20/s, " in line
        assert line.endswith(" 0:40 left")
        assert " left" not in run.update(only(200), 1e5)[-1]  # it would be more than 100 days
    with piped(total=None) as run:
        run.update(only())
        half = replace(only(100, items_fed=125), input_fraction=0.5)
        assert run.update(half, 10.0)[-1].endswith(" 0:15 left")
        done = replace(only(250), input_fraction=1.0)
        assert run.update(done, 10.0)[-1].endswith(" 0:00 left")


def test_items_that_ended_before_the_display_began_are_no_throughput() -> None:
    with piped(total=1000) as run:
        run.update(only(500))
        assert ", 10/s, " in run.update(only(510))[-1]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0s"), (9.949, "9.9s"), (9.96, "10s"), (99.4, "99s"), (100.0, "1m40s"),
        (5999.0, "99m59s"), (6000.0, "1h40m"), (360_000.0, "4d04h"),
    ],
)  # fmt: skip
def test_the_age_of_a_failure_is_short(seconds: float, text: str) -> None:
    with shown("detailed", 200, 60) as run:
        lines = run.update(state(failures=[failed("item-1", ago=seconds)]))
    (line,) = [line for line in lines if line.startswith("item-1")]
    assert line.split()[2] == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0µs"), (0.000012, "12µs"), (0.0012, "1.2ms"), (0.31, "310ms"), (0.9996, "1.0s"),
        (1.25, "1.2s"), (42.0, "42s"), (125.0, "2m05s"),
    ],
)  # fmt: skip
def test_a_duration_has_the_unit_that_fits(seconds: float, text: str) -> None:
    worker, metrics = next(iter(MIDWAY.worker_states.values())), MIDWAY.worker_metrics["Fetch-W0"]
    taken = replace(metrics, items_processed=1, items_failed=1, total_processing_time=2 * seconds)
    with shown("detailed", 200, 60) as run:
        lines = run.update(state(workers=[(worker, taken)]))
    (line,) = [line for line in lines if line.startswith("Fetch-W0")]
    assert line.split()[6] == text


# Texts of users


class Mute:
    def __str__(self) -> str:
        raise LookupError("nothing to say")


@pytest.mark.parametrize(
    ("item", "text"),
    [
        ("order 7: größer als 3", "order 7: größer als 3"),
        ("first\n  second\tthird\r\n", "first second third"),
        ("a\x1b[2Jb", r"a\x1b[2Jb"),
        ("a\x07\x9b1m\x00b", r"a\x07\x9b1m\x00b"),
        ("a\u202eb\udcff", r"a\u202eb\udcff"),
        (("a", 1), "('a', 1)"),
        (Mute(), "(no text: LookupError in __str__)"),
        (10**5000, "(no text: ValueError in __str__)"),
        ("x" * 10**6, "x" * 500),
    ],
    ids=range(9),
)
def test_the_text_of_an_item_is_put_on_one_line_without_commands(item: object, text: str) -> None:
    with shown("progress", 1000) as run:
        run.update(BEGINNING)
        run.update(only(0, 1), SECONDS)
        lines = run.finish(errors([failed(item, error="wrong")]))
    assert lines[3] == f"      1  ValueError  {text} in Work: wrong"
