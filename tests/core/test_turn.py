"""Sharing the turns of a loop."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest

from antflow import _turn
from antflow._turn import (
    BETWEEN_NAPS_SECONDS,
    BUDGET_SECONDS,
    SHARE,
    WOKEN_PER_TURN,
    Turns,
    turns_of,
)
from tests.core.simulation import settle, simulate


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def pass_by(self, seconds: float) -> float:
        self.now += seconds
        return self.now


class Work:
    """Someone who works without suspending, but for the rests that `turns` asks for."""

    def __init__(self, turns: Turns, clock: Clock, log: list[str]) -> None:
        self._turns = turns
        self._clock = clock
        self._log = log

    async def do(self, name: str, pieces: int, seconds: float) -> None:
        for _ in range(pieces):
            start = self._clock.now
            now = self._clock.pass_by(seconds)
            self._log.append(name)
            if now > self._turns.until and self._turns.should_rest(now, start):
                await self._turns.rest()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def turns(clock: Clock) -> Turns:
    return Turns(clock)


def test_a_turn_may_be_held_for_the_budget(clock: Clock, turns: Turns) -> None:
    async def main() -> None:
        start = clock.now
        assert start > turns.until
        assert not turns.should_rest(start, start)
        assert turns.until == start + BUDGET_SECONDS
        now = clock.pass_by(BUDGET_SECONDS * 1.01)
        assert now > turns.until
        assert turns.should_rest(now, start)

    simulate(main)


def test_a_new_turn_grants_the_budget_once_more(clock: Clock, turns: Turns) -> None:
    async def main() -> None:
        turns.should_rest(clock.now, clock.now)
        await asyncio.sleep(0)
        start = clock.pass_by(BUDGET_SECONDS * 1.01)
        assert not turns.should_rest(start, start)
        assert turns.until == start + BUDGET_SECONDS

    simulate(main)


def test_who_was_away_has_not_held_the_turn(clock: Clock, turns: Turns) -> None:
    async def main() -> None:
        left = clock.now
        marked = clock.pass_by(5.0)
        turns.should_rest(marked, marked)
        now = clock.pass_by(BUDGET_SECONDS * 1.01)
        assert not turns.should_rest(now, left)
        assert turns.should_rest(now, marked)

    simulate(main)


@pytest.mark.parametrize(("is_alone", "is_long"), [(False, False), (False, True), (True, False)])
def test_other_threads_are_let_run_now_and_then_if_there_are_any(
    clock: Clock, turns: Turns, monkeypatch: pytest.MonkeyPatch, is_alone: bool, is_long: bool
) -> None:
    naps: list[float] = []
    taken = 0.005 if is_long else 0.0

    def sleep(_seconds: float) -> None:
        naps.append(clock.now)
        clock.pass_by(taken)

    monkeypatch.setattr(_turn, "sleep", sleep)
    monkeypatch.setattr(_turn, "active_count", lambda: 1 if is_alone else 2)

    async def main() -> None:
        log: list[str] = []
        work = Work(turns, clock, log)
        await asyncio.gather(work.do("a", 300, 0.0005), work.do("b", 300, 0.0005))

    began = clock.now
    simulate(main)
    if is_alone:
        assert naps == []
        return
    awake = [after - before - taken for before, after in pairwise([began, *naps, clock.now])]
    least = max(BETWEEN_NAPS_SECONDS, SHARE * taken)
    assert max(awake) < least + 3 * BUDGET_SECONDS
    assert min(awake[1:-1]) >= least - 1e-9


def test_work_that_never_suspends_lets_others_have_a_turn(clock: Clock, turns: Turns) -> None:
    async def main() -> None:
        gaps: list[float] = []
        work = Work(turns, clock, [])
        busy = asyncio.ensure_future(work.do("a", pieces=1000, seconds=BUDGET_SECONDS / 10))
        last = clock.now
        while not busy.done():
            await asyncio.sleep(0)
            gaps.append(clock.now - last)
            last = clock.now
        assert max(gaps) <= 2 * BUDGET_SECONDS
        assert len(gaps) < 150

    simulate(main)


def test_within_the_budget_nobody_rests(clock: Clock, turns: Turns) -> None:
    async def main() -> None:
        log: list[str] = []
        work = Work(turns, clock, log)
        await asyncio.gather(
            *(work.do(name, pieces=3, seconds=BUDGET_SECONDS / 20) for name in "abc")
        )
        assert "".join(log) == "aaabbbccc"

    simulate(main)


def test_who_rests_is_woken_first_come_first_served(clock: Clock, turns: Turns) -> None:
    async def main() -> None:
        log: list[str] = []
        work = Work(turns, clock, log)
        await asyncio.gather(
            *(work.do(name, pieces=2, seconds=BUDGET_SECONDS * 1.01) for name in "abcdef")
        )
        # The first finds no mark, and so does not rest after one piece but after two.
        assert "".join(log) == "aa" + "bcdef" + "bcdef"

    simulate(main)


@pytest.mark.parametrize("seed", range(20))
def test_everyone_who_rests_is_woken_in_whatever_order_the_loop_runs(
    clock: Clock, turns: Turns, seed: int
) -> None:
    async def main() -> None:
        log: list[str] = []
        work = Work(turns, clock, log)
        names = [str(number) for number in range(5 * WOKEN_PER_TURN)]
        await asyncio.gather(
            *(work.do(name, pieces=4, seconds=BUDGET_SECONDS * 1.01) for name in names)
        )
        assert sorted(log) == sorted(names * 4)

    simulate(main, seed)


def test_a_few_are_woken_a_turn(clock: Clock, turns: Turns) -> None:
    async def main() -> None:
        woken: list[int] = []

        async def rest(number: int) -> None:
            await turns.rest()
            woken.append(number)

        resting = [asyncio.ensure_future(rest(number)) for number in range(3 * WOKEN_PER_TURN)]
        await asyncio.sleep(0)
        turns.should_rest(clock.now, clock.now)
        seen = [0]
        while not all(task.done() for task in resting):
            await asyncio.sleep(0)
            if len(woken) != seen[-1]:
                seen.append(len(woken))
        assert seen == [0, WOKEN_PER_TURN, 2 * WOKEN_PER_TURN, 3 * WOKEN_PER_TURN]
        assert woken == sorted(woken)

    simulate(main)


def test_who_is_woken_holds_the_turn_from_then_on(clock: Clock, turns: Turns) -> None:
    async def main() -> None:
        async def rest() -> None:
            await turns.rest()
            assert turns.until == clock.now + BUDGET_SECONDS
            start = clock.now
            assert turns.should_rest(clock.pass_by(BUDGET_SECONDS * 1.01), start)

        resting = asyncio.ensure_future(rest())
        await asyncio.sleep(0)
        turns.should_rest(clock.now, clock.now)
        clock.pass_by(1.0)
        await resting

    simulate(main)


def test_cancelling_who_rests_does_not_cost_another_its_turn(clock: Clock, turns: Turns) -> None:
    async def main() -> None:
        resting = [asyncio.ensure_future(turns.rest()) for _ in range(2 * WOKEN_PER_TURN)]
        await asyncio.sleep(0)
        for cancelled in resting[:-1]:
            cancelled.cancel()
        turns.should_rest(clock.now, clock.now)
        await settle()
        assert [task.cancelled() for task in resting] == [True] * (len(resting) - 1) + [False]
        assert resting[-1].done()

    simulate(main)


def test_a_loop_has_one_record_of_its_turns(clock: Clock) -> None:
    first, second = asyncio.new_event_loop(), asyncio.new_event_loop()
    try:
        assert turns_of(first, clock) is turns_of(first, Clock())
        assert turns_of(first, clock) is not turns_of(second, clock)
    finally:
        first.close()
        second.close()
