"""What a run counts: worker-seconds by state, and failures by type."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antflow._accounting import (
    BLOCKED,
    BUSY,
    IDLE,
    MOST_ERROR_TYPES,
    STATES,
    WAITING,
    StageAccount,
)


def seconds(account: StageAccount, now: float) -> list[float]:
    return [time for time, _ in account.activity(now)]


def workers(account: StageAccount, now: float) -> list[int]:
    return [number for _, number in account.activity(now)]


def test_states_stand_where_their_numbers_say() -> None:
    named = {STATES[IDLE]: IDLE, STATES[BUSY]: BUSY, STATES[WAITING]: WAITING}
    named[STATES[BLOCKED]] = BLOCKED
    assert named == {"idle": 0, "busy": 1, "waiting": 2, "blocked": 3}


def test_at_first_all_workers_are_idle() -> None:
    account = StageAccount(["task"], workers=3)
    account.begin(100.0)
    assert account.activity(102.0) == [(6.0, 3), (0.0, 0), (0.0, 0), (0.0, 0)]


def test_time_counts_from_the_beginning_only() -> None:
    account = StageAccount(["task"], workers=2)
    account.begin(1000.0)
    assert seconds(account, 1000.0) == [0.0] * 4


def test_before_the_beginning_no_time_has_passed() -> None:
    assert StageAccount(["task"], workers=2).activity(1000.0)[0] == (0.0, 2)


def test_time_goes_to_the_state_that_each_worker_is_in() -> None:
    account = StageAccount(["task"], workers=2)
    account.begin(10.0)
    account.move(IDLE, BUSY, 11.0)
    account.move(BUSY, WAITING, 14.0)
    account.move(IDLE, BUSY, 15.0)
    account.move(WAITING, BLOCKED, 16.0)
    assert seconds(account, 20.0) == [1.0 + 5.0, 3.0 + 5.0, 2.0, 4.0]
    assert workers(account, 20.0) == [0, 1, 0, 1]


def test_reading_does_not_change_what_is_read() -> None:
    account = StageAccount(["task"], workers=2)
    account.begin(0.0)
    account.move(IDLE, BUSY, 1.0)
    assert account.activity(5.0) == account.activity(5.0)
    assert seconds(account, 3.0) == [4.0, 2.0, 0.0, 0.0]


def test_after_the_end_time_stands_still_and_no_worker_is_there() -> None:
    account = StageAccount(["task"], workers=2)
    account.begin(0.0)
    account.move(IDLE, BUSY, 1.0)
    account.stop(4.0)
    assert account.activity(99.0) == [(5.0, 0), (3.0, 0), (0.0, 0), (0.0, 0)]


# Sixteenths of a second are exact in binary, so that no rounding hides a mistake.
TICKS = st.integers(0, 160).map(lambda n: n / 16)
MOVES = st.lists(st.tuples(TICKS, st.integers(0, 4), st.sampled_from(range(4))), max_size=30)


@given(MOVES, TICKS)
def test_no_state_ever_falls_and_together_they_are_all_the_time_there_was(
    moves: list[tuple[float, int, int]], rest: float
) -> None:
    account = StageAccount(["task"], workers=5)
    account.begin(3.0)
    now, states, before = 3.0, [IDLE] * 5, [0.0] * 4
    for step, worker, target in [*moves, (rest, 0, IDLE)]:
        now += step
        for read in range(2):
            after = seconds(account, now)
            assert all(new >= old for new, old in zip(after, before, strict=True)), read
            assert sum(after) == 5 * (now - 3.0)
            assert workers(account, now) == [states.count(state) for state in range(4)]
            before = after
            if read == 0 and states[worker] != target:
                account.move(states[worker], target, now)
                states[worker] = target


def test_failures_are_counted_by_type() -> None:
    account = StageAccount(["task"], workers=1)
    for error in (ValueError(1), KeyError(2), ValueError(3)):
        account.count_failure(error)
    assert account.failed == 3
    assert account.errors_by_type == {"ValueError": 2, "KeyError": 1}


def test_past_fifty_types_the_rest_are_others_and_known_ones_still_count() -> None:
    account = StageAccount(["task"], workers=1)
    kinds = [type(f"Error{number}", (Exception,), {}) for number in range(60)]
    for kind in [*kinds, *kinds]:
        account.count_failure(kind())
    assert account.failed == 120
    assert account.errors_by_type == {
        **{f"Error{number}": 2 for number in range(MOST_ERROR_TYPES)},
        "other": 20,
    }
    assert MOST_ERROR_TYPES == 50


@pytest.mark.parametrize("names", [["a", "b"], ["a", "a"]])
def test_tasks_of_one_name_share_an_account(names: list[str]) -> None:
    assert list(StageAccount(names, workers=1).tasks) == sorted(set(names))
