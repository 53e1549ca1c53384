"""The summary that stays when a run is over."""

from __future__ import annotations

from dataclasses import replace

import pytest

from antflow_rich._frames import MAX_GROUPS, plain_line, summary
from antflow_rich._views import ItemCounts, RunView
from tests.packages.rich.views import BEGINNING, ENDED, ENDLESS, LARGE, MIDWAY, READING, STOPPED


def lines(view: RunView, width: int = 100) -> list[str]:
    return [line.plain for line in summary(view, width)]


def test_all_of_it() -> None:
    assert lines(ENDED, 80) == [
        "orders is done: 10,000 items in 0:24, 410/s",
        "  9,988 succeeded  12 items failed",
        "  items  error               latest",
        "     11  ConnectionError     order-6201 in Fetch: the host did not answer withi…",
        "         orders.py:24, in fetch",
        "      1  UnicodeDecodeError  order-5988 in Parse: 'utf-8' codec can't decode by…",
        "         orders.py:31, in parse",
        "  busiest Parse 96% of 8 workers' time",
    ]


def test_a_run_that_was_stopped() -> None:
    shown = lines(STOPPED)
    assert shown[0] == "orders was stopped: 6,214 items in 0:15, 406/s"
    assert shown[1] == "  6,209 succeeded  5 items failed  186 unprocessed"
    assert shown[-1] == "  plugin faults journal 3 (see the log)"


def test_of_an_input_of_unknown_length_it_is_not_known_whether_the_end_is_good() -> None:
    ended = replace(ENDLESS, counts=replace(ENDLESS.counts, fed=6214))
    verdict = summary(ended, 100)[0]
    assert verdict.plain == "orders has ended: 6,214 items in 0:15, 409/s"
    assert {str(span.style) for span in verdict.spans} == {"bold"}
    stopped = replace(ended, was_interrupted=True)
    assert lines(stopped)[0].startswith("orders was stopped: ")


@pytest.mark.parametrize(("fraction", "how"), [(0.9, "has ended"), (1.0, "is done")])
def test_an_input_of_which_everything_was_read_is_done(fraction: float, how: str) -> None:
    counts = replace(READING.counts, fed=6214, input_fraction=fraction)
    assert lines(replace(READING, counts=counts))[0].startswith(f"orders {how}: ")


def test_one_item_failed() -> None:
    one = replace(ENDED, counts=ItemCounts(10, 10, 9, 1))
    assert lines(one)[1] == "  9 succeeded  1 item failed"
    assert ", 1 item failed, " in plain_line(one)


@pytest.mark.parametrize(
    ("width", "expected"),
    [
        (44, "orders was stopped: 6,214 items in 0:15"),
        (46, "orders was stopped: 6,214 items in 0:15, 406/s"),
        (37, "orders was stopped: 6,214 items in 0…"),
    ],
)
def test_a_rate_that_there_is_no_room_for_is_left_out_whole(width: int, expected: str) -> None:
    assert lines(STOPPED, width)[0] == expected


def test_a_run_of_nothing() -> None:
    ended = replace(BEGINNING, counts=ItemCounts(0))
    assert lines(ended) == ["orders is done: 0 items in 0:00, 0/s", "  0 succeeded  0 items failed"]


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_the_busiest_stage_is_not_cut(width: int) -> None:
    assert "  busiest Parse 96% of 8 workers' time" in lines(ENDED, width)


def test_names_are_cut_rather_than_figures() -> None:
    name = "a stage with quite a long name, and then some"
    long = replace(ENDED, name=name, stages=(replace(ENDED.stages[1], name=name),))
    shown = lines(long, 60)
    assert shown[0] == "a stage with quite a l… is done: 10,000 items in 0:24, 410/s"
    assert shown[-1] == "  busiest a stage with quite a long… 96% of 8 workers' time"


def test_one_worker_one_item() -> None:
    alone = replace(ENDED.stages[1], workers=1)
    shown = lines(replace(ENDED, counts=ItemCounts(1, 1, 1), stages=(alone,), groups=()))
    assert shown[0].startswith("orders is done: 1 item in ")
    assert shown[-1] == "  busiest Parse 96% of 1 worker's time"


def test_many_types_of_errors() -> None:
    shown = lines(LARGE)
    assert f"  … {40 - MAX_GROUPS} types of errors more" in shown


def test_one_line_for_a_log() -> None:
    assert plain_line(MIDWAY) == (
        "orders: 6,214 of 10,000 (62%) done, 409/s, 5 items failed, 0:15 elapsed, 0:09 left, "
        "bottleneck Parse"
    )
    assert plain_line(ENDLESS) == (
        "orders: 6,214 done, 409/s, 5 items failed, 0:15 elapsed, bottleneck Parse"
    )
    assert plain_line(READING) == (
        "orders: 6,214 done (49% of the input), 409/s, 5 items failed, 0:15 elapsed, 0:09 left, "
        "bottleneck Parse"
    )
