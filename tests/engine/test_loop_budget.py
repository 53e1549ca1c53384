"""How work that never suspends shares the event loop with other tasks and with threads."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest

from antflow._engine.base import loop_budget
from antflow._engine.base.loop_budget import (
    BETWEEN_NAPS_SECONDS,
    BUDGET_SECONDS,
    LONG_SECONDS,
    SHARE,
    WOKEN_PER_TURN,
    LoopBudget,
    budget_of,
)
from tests.helpers.virtual_time import simulate

TOO_LONG = BUDGET_SECONDS * 1.01


class Work:
    """Works without suspending, except where the budget says so; `log` lists what it did."""

    def __init__(self) -> None:
        self.now = 100.0
        self.log: list[str] = []
        self.budget = LoopBudget(lambda: self.now)

    def advance(self, seconds: float) -> float:
        self.now += seconds
        return self.now

    async def do(self, name: str, pieces: int, seconds: float) -> None:
        for _ in range(pieces):
            start = self.now
            self.advance(seconds)
            self.log.append(name)
            assert await self.budget.maybe_yield(start) == self.now

    async def do_all(self, names: list[str] | str, pieces: int, seconds: float) -> str:
        await asyncio.gather(*(self.do(name, pieces, seconds) for name in names))
        return "".join(self.log)


@pytest.fixture
def work() -> Work:
    return Work()


def test_each_iteration_of_the_loop_may_take_the_budget(work: Work) -> None:
    async def main() -> None:
        budget = work.budget
        for _ in range(2):
            start = work.now
            assert start > budget.until
            assert not budget.should_yield(start, start)
            assert budget.until == start + BUDGET_SECONDS
            assert budget.should_yield(work.advance(TOO_LONG), start)
            await asyncio.sleep(0)
        # The time in which a caller was suspended is not its own.
        left = work.now
        marked = work.advance(5.0)
        budget.should_yield(marked, marked)
        now = work.advance(TOO_LONG)
        assert not budget.should_yield(now, left)
        assert budget.should_yield(now, marked)

    simulate(main)


@pytest.mark.parametrize(("is_alone", "taken"), [(False, 0.0), (False, 0.005), (True, 0.0)])
def test_other_threads_run_now_and_then_if_there_are_any(
    work: Work, monkeypatch: pytest.MonkeyPatch, is_alone: bool, taken: float
) -> None:
    naps: list[float] = []

    def sleep(_seconds: float) -> None:
        naps.append(work.now)
        work.advance(taken)

    monkeypatch.setattr(loop_budget, "sleep", sleep)
    monkeypatch.setattr(loop_budget, "active_count", lambda: 1 if is_alone else 2)
    began = work.now
    simulate(lambda: work.do_all("ab", 300, 0.0005))
    if is_alone:
        assert naps == []
        return
    awake = [after - before - taken for before, after in pairwise([began, *naps, work.now])]
    least = max(BETWEEN_NAPS_SECONDS, SHARE * taken)
    assert max(awake) < least + 3 * BUDGET_SECONDS
    assert min(awake[1:-1]) >= least - 1e-9


def test_work_that_never_suspends_lets_other_tasks_run(work: Work) -> None:
    async def main() -> None:
        gaps: list[float] = []
        busy = asyncio.ensure_future(work.do("a", pieces=1000, seconds=BUDGET_SECONDS / 10))
        last = work.now
        while not busy.done():
            await asyncio.sleep(0)
            gaps.append(work.now - last)
            last = work.now
        assert max(gaps) <= 2 * BUDGET_SECONDS
        assert len(gaps) < 150

    simulate(main)


@pytest.mark.parametrize(
    ("names", "pieces", "seconds", "log"),
    [
        ("abc", 3, BUDGET_SECONDS / 20, "aaabbbccc"),
        # First come, first served. The first finds no mark, and so yields after two pieces.
        ("abcdef", 2, TOO_LONG, "aa" + "bcdef" + "bcdef"),
    ],
)
def test_callers_yield_only_past_the_budget_and_go_on_in_their_order(
    work: Work, names: str, pieces: int, seconds: float, log: str
) -> None:
    assert simulate(lambda: work.do_all(names, pieces, seconds)) == log


@pytest.mark.parametrize("seed", range(10))
def test_all_that_yield_are_woken_in_any_order_of_callbacks(work: Work, seed: int) -> None:
    names = [str(number) for number in range(5 * WOKEN_PER_TURN)]
    simulate(lambda: work.do_all(names, 4, TOO_LONG), seed)
    assert sorted(work.log) == sorted(names * 4)


@pytest.mark.parametrize(
    ("held", "woken_per_turn"), [(TOO_LONG, WOKEN_PER_TURN), (2 * LONG_SECONDS, 1)]
)
def test_a_few_are_woken_at_once_and_their_budget_begins_then(
    work: Work, held: float, woken_per_turn: int
) -> None:
    async def main() -> None:
        woken: list[int] = []
        budget = work.budget

        async def yield_as(number: int) -> None:
            await budget.yield_now()
            woken.append(number)
            assert budget.until == work.now + BUDGET_SECONDS
            assert budget.should_yield(work.now + TOO_LONG, work.now)

        yielding = [asyncio.ensure_future(yield_as(n)) for n in range(3 * WOKEN_PER_TURN)]
        await asyncio.sleep(0)
        budget.should_yield(work.now, work.now)
        work.advance(held)
        seen = [0]
        while not all(task.done() for task in yielding):
            await asyncio.sleep(0)
            if len(woken) != seen[-1]:
                seen.append(len(woken))
        assert seen[:2] == [0, woken_per_turn]
        assert seen[2] == seen[1] + WOKEN_PER_TURN  # the turn of the first was short
        assert woken == sorted(woken)

    simulate(main)


def test_a_cancelled_caller_delays_no_other(work: Work) -> None:
    async def main() -> None:
        budget = work.budget
        yielding = [asyncio.ensure_future(budget.yield_now()) for _ in range(2 * WOKEN_PER_TURN)]
        await asyncio.sleep(0)
        for cancelled in yielding[:-1]:
            cancelled.cancel()
        budget.should_yield(work.now, work.now)
        for _ in range(2):  # to be woken, and to run
            await asyncio.sleep(0)
        assert [task.cancelled() for task in yielding] == [True] * (len(yielding) - 1) + [False]
        assert yielding[-1].done()
        loop = asyncio.get_running_loop()
        assert budget_of(loop, lambda: 0.0) is budget_of(loop, lambda: 1.0)

    simulate(main)
