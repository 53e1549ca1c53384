"""Limits how long workers that never suspend may hold one turn of the event loop."""

from __future__ import annotations

from asyncio import AbstractEventLoop, Future, get_running_loop
from collections import deque
from collections.abc import Callable
from math import inf
from threading import active_count
from time import sleep
from weakref import WeakKeyDictionary

BUDGET_SECONDS = 0.002
WOKEN_PER_TURN = 8
LONG_SECONDS = 0.01
"""Tasks that compute for long hold a turn for so long; then one worker at a time goes on."""
BETWEEN_NAPS_SECONDS = 0.01
NAP_SECONDS = 1e-6
"""The shortest sleep, which takes about 80 us. Without it, metrics were served late, and a batch
processor lost spans; with it, beside a thread that computes, a no-op pipeline takes 1.3 times as
long."""
SHARE = 4
"""After a nap of d seconds, the next one comes SHARE x d seconds later at the earliest, so that
threads that compute slow the loop only so far."""


class LoopBudget:
    """How long the workers of all runs on one loop may hold its present turn.

    asyncio does not say when a turn begins. The first worker that finds `until` passed schedules
    `_on_turn` for the next turn, and may go on for the budget once more. If `until` passes again
    before `_on_turn` has run, the turn is still the same one, and the worker yields. `_on_turn`
    wakes a few of those that have yielded, in order, and each works on at least one item; after a
    long turn it wakes one.

    Other threads have their turn, too. One that waits for the interpreter asks for it after a
    switch interval of 5 ms; but each turn of the loop gives it up and takes it back before the
    other has woken, and then the other waits for 5 ms anew.
    """

    __slots__ = ("_awake_until", "_clock", "_marked_at", "_yielding", "until")

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._marked_at = inf
        self._awake_until = -inf
        self._yielding: deque[Future[None]] = deque()
        self.until = -inf

    def should_yield(self, now: float, start: float) -> bool:
        """Return whether to yield; to be asked when `now` is past `until`.

        Args:
            now: in seconds, on the run's clock.
            start: when the caller began what it has just done. A caller that began before the mark
                was left has been away since, and has not held this turn.
        """
        if self._marked_at is not inf:
            return start >= self._marked_at
        self._mark(now)
        return False

    def is_long(self) -> bool:
        """Return whether a worker that was woken in this turn leaves the turn to others first."""
        # Without a mark, which is left by the first that holds it, the clock need not be read.
        return self._marked_at is not inf and self._clock() - self._marked_at > LONG_SECONDS

    async def maybe_yield(self, start: float) -> float:
        """Yield if the turn has been held for too long, and return the time.

        Args:
            start: when the caller began what it has just done, on the run's clock.
        """
        now = self._clock()
        if now > self.until and self.should_yield(now, start):
            await self.yield_now()
            now = self._clock()
        return now

    async def yield_now(self) -> None:
        """Let the loop turn, and come back when it is this caller's time."""
        waiter = get_running_loop().create_future()
        self._yielding.append(waiter)
        await waiter

    def _mark(self, now: float) -> None:
        self._marked_at = now
        self.until = now + BUDGET_SECONDS
        get_running_loop().call_soon(self._on_turn)

    def _on_turn(self) -> None:
        most = 1 if self.is_long() else WOKEN_PER_TURN
        self._marked_at = inf
        self._let_threads_run()
        woken = 0
        while self._yielding and woken < most:
            waiter = self._yielding.popleft()
            if not waiter.done():
                waiter.set_result(None)
                woken += 1
        if woken:
            self._mark(self._clock())

    def _let_threads_run(self) -> None:
        """Be away for long enough that another thread wakes, now and then, if there is one."""
        now = self._clock()
        if now >= self._awake_until and active_count() > 1:
            sleep(NAP_SECONDS)
            woken = self._clock()
            self._awake_until = woken + max(BETWEEN_NAPS_SECONDS, SHARE * (woken - now))


_budgets: WeakKeyDictionary[AbstractEventLoop, LoopBudget] = WeakKeyDictionary()


def budget_of(loop: AbstractEventLoop, clock: Callable[[], float]) -> LoopBudget:
    """Return the one budget of a loop."""
    budget = _budgets.get(loop)
    if budget is None:
        budget = _budgets[loop] = LoopBudget(clock)
    return budget
