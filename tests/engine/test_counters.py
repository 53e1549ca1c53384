"""What a run counts: worker-seconds by state, and failures by type."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antflow._stats.counters import BLOCKED, BUSY, IDLE, MAX_ERROR_TYPES, WAITING, StageCounters


def counters_of(workers: int, began: float | None = 0.0) -> StageCounters:
    counters = StageCounters(["task"], workers)
    if began is not None:
        counters.begin(began)
    return counters


def seconds(counters: StageCounters, now: float) -> list[float]:
    return [time for time, _ in counters.states(now)]


def workers(counters: StageCounters, now: float) -> list[int]:
    return [number for _, number in counters.states(now)]


@pytest.mark.parametrize(
    ("began", "now", "idle"), [(None, 1000.0, 0.0), (1000.0, 1000.0, 0.0), (100.0, 102.0, 6.0)]
)
def test_at_first_all_workers_are_idle_from_the_beginning_on(
    began: float | None, now: float, idle: float
) -> None:
    assert counters_of(3, began).states(now) == [(idle, 3), (0.0, 0), (0.0, 0), (0.0, 0)]


def test_time_goes_to_the_state_that_each_worker_is_in() -> None:
    counters = counters_of(2, 10.0)
    counters.move(IDLE, BUSY, 11.0)
    assert seconds(counters, 13.0) == [4.0, 2.0, 0.0, 0.0]
    counters.move(BUSY, WAITING, 14.0)
    counters.move(IDLE, BUSY, 15.0)
    counters.move(WAITING, BLOCKED, 16.0)
    assert seconds(counters, 20.0) == seconds(counters, 20.0) == [1.0 + 5.0, 3.0 + 5.0, 2.0, 4.0]
    assert workers(counters, 20.0) == [0, 1, 0, 1]


def test_workers_without_an_item_wait_while_items_are_parked() -> None:
    counters = counters_of(3)
    counters.move(IDLE, BUSY, 1.0)
    counters.set_waiting(2.0, is_limited=False, has_parked=True)
    assert workers(counters, 2.0) == [0, 1, 2, 0]
    counters.move(BUSY, IDLE, 4.0)
    assert workers(counters, 4.0) == [0, 0, 3, 0]
    counters.set_waiting(4.5, is_limited=False, has_parked=True)  # as before
    counters.move(IDLE, BUSY, 5.0)
    counters.move(BUSY, WAITING, 6.0)  # for a limit
    counters.set_waiting(7.0, is_limited=False, has_parked=False)
    assert workers(counters, 7.0) == [2, 0, 1, 0]
    assert seconds(counters, 8.0) == [1 * 3 + 1 * 2 + 1 * 2, 3 + 1, 2 * 2 + 3 + 2 + 3 + 1, 0.0]


def test_after_the_end_time_stands_still_and_no_worker_is_there() -> None:
    counters = counters_of(2)
    counters.move(IDLE, BUSY, 1.0)
    counters.set_waiting(3.0, is_limited=False, has_parked=True)
    counters.stop(4.0)
    assert counters.states(99.0) == [(4.0, 0), (3.0, 0), (1.0, 0), (0.0, 0)]


# Sixteenths of a second are exact in binary, so that no rounding hides a mistake.
TICKS = st.integers(0, 160).map(lambda n: n / 16)
MOVES = st.lists(
    st.tuples(TICKS, st.integers(0, 4), st.sampled_from(range(4)), st.none() | st.booleans()),
    max_size=30,
)


@given(MOVES, TICKS)
def test_no_state_ever_falls_and_together_they_are_all_the_time_there_was(
    moves: list[tuple[float, int, int, bool | None]], rest: float
) -> None:
    counters = counters_of(5, 3.0)
    now, states, before, has_parked = 3.0, [IDLE] * 5, [0.0] * 4, False
    for step, worker, target, parked in [*moves, (rest, 0, IDLE, None)]:
        now += step
        for read in range(2):
            after = seconds(counters, now)
            assert all(new >= old for new, old in zip(after, before, strict=True)), read
            assert sum(after) == 5 * (now - 3.0)
            shown = [WAITING if has_parked and state == IDLE else state for state in states]
            assert workers(counters, now) == [shown.count(state) for state in range(4)]
            before = after
            if read == 0 and parked is not None:
                counters.set_waiting(now, is_limited=False, has_parked=parked)
                has_parked = parked
            elif read == 0 and states[worker] != target:
                counters.move(states[worker], target, now)
                states[worker] = target


def test_past_fifty_types_the_rest_are_others_and_known_ones_still_count() -> None:
    counters = counters_of(1)
    kinds = [type(f"Error{number}", (Exception,), {}) for number in range(60)]
    for kind in [*kinds, *kinds]:
        counters.count_failure(kind())
    assert counters.failed == 120
    known = {f"Error{number}": 2 for number in range(MAX_ERROR_TYPES)}
    assert counters.errors_by_type == {**known, "other": 20}
    assert MAX_ERROR_TYPES == 50
