"""The clock of `antflow.testing` for this repository's tests: ticks, and a seeded order.

    from tests.helpers.virtual_time import simulate

    def test_a_retry_waits() -> None:
        async def main() -> float:
            await pipeline.run([1])  # waits of an hour take no time
            return asyncio.get_running_loop().time()

        assert simulate(main) == pytest.approx(3600)

`simulate` runs a coroutine on a `SimulatedLoop` and checks that it leaves nothing behind. Inside,
`settle` waits until every other task is blocked, `begun` starts a call and settles, and `others`
returns the other tasks. A `Gate` is a task for a stage that holds values until the test lets them
through.
"""

from __future__ import annotations

import asyncio
import gc
import heapq
import random
import signal
import sys
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, TypeVar

from antflow.testing import Clock, ClockLoop
from antflow.testing import StuckError as Deadlock

__all__ = [
    "Deadlock",
    "Gate",
    "LeftOver",
    "Livelock",
    "SimulatedLoop",
    "begun",
    "others",
    "settle",
    "simulate",
]

T = TypeVar("T")
Main = Callable[[], Coroutine[Any, Any, T]] | Coroutine[Any, Any, T]

MAX_STEPS = 1_000_000
MAX_SPIN_SECONDS = 20.0
SWEEP_ROUNDS = 5
SWEEP_STEPS = 10_000
THREAD_GRACE_SECONDS = 0.05


class Livelock(AssertionError):
    """Callbacks go on and on, or one of them does not end."""


class LeftOver(AssertionError):
    """The main coroutine finished and left tasks, timers or unseen exceptions behind."""


class TickingClock(Clock):
    """A clock that a tick moves forward with every callback and every reading by the engine.

    So code that looks at the clock in order to yield sees time pass.
    """

    def __init__(self, tick: float, seed: int | None, max_steps: int) -> None:
        super().__init__()
        self.reports: list[str] = []
        self._tick = tick
        self._seed = seed
        self._max_steps = max_steps

    def time(self) -> float:
        """Let a tick pass, and return the time."""
        self._now += self._tick
        return self._now

    def make_loop(self) -> SimulatedLoop:
        """Return a loop whose reports this clock keeps."""
        return SimulatedLoop(self, self._seed, self._max_steps, self.reports)


class SimulatedLoop(ClockLoop):
    """A clock's loop whose seed draws the order of callbacks, and that limits their number.

    `when_quiet`, if set, is called each time that nothing is ready, before time goes on.
    """

    _ready: deque[asyncio.Handle]
    _selector: Any
    _process_events: Callable[[Any], None]

    def __init__(
        self, clock: TickingClock, seed: int | None, max_steps: int, reports: list[str]
    ) -> None:
        super().__init__(clock)
        self.steps = 0
        self.broken: BaseException | None = None
        self.when_quiet: Callable[[], None] | None = None
        self._max_steps = max_steps
        self._settling: list[asyncio.Future[None]] = []
        self._random = None if seed is None else random.Random(seed)
        # Below 1 the newest callbacks are favoured and above 1 the oldest: some faults need a
        # callback that waits for long, others one that overtakes all.
        self._bias = 1.0 if self._random is None else self._random.choice((0.3, 1.0, 1.0, 3.0))
        self.set_exception_handler(lambda _, context: reports.append(_report(context)))

    def time(self) -> float:
        """Return the time without a tick."""
        return Clock.time(self._clock)

    def thread_wait_seconds(self) -> float:
        """Return a short time: tests have threads that wait for a timer."""
        return THREAD_GRACE_SECONDS

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        """Join the executor's threads, which may take longer than that short time."""
        await super().shutdown_default_executor()

    def forgive(self) -> None:
        """Forget what broke, and allow the callbacks that end what is left."""
        self.broken = None
        self.when_quiet = None
        self._max_steps = self.steps + SWEEP_STEPS

    def settled(self) -> asyncio.Future[None]:
        """Return a future that is done once nothing is ready to run."""
        future = self.create_future()
        self._settling.append(future)
        return future

    def _run_once(self) -> None:
        self._release_timers()
        if not self._ready:
            self._wait()
        if self._ready:
            self._step()
        if self.broken is not None:
            error = self.broken
            self.forgive()
            self.fail(error)

    def _step(self) -> None:
        self.steps += 1
        if self.steps > self._max_steps:
            tasks = "\n".join(f"  {task!r}" for task in asyncio.all_tasks(self))
            self.broken = Livelock(f"{self._max_steps} callbacks ran; pending:\n{tasks}")
            return
        handle = self._draw()
        self._clock.time()
        if not handle.cancelled():
            handle._run()
        del handle  # a traceback that somebody keeps would keep this frame, and so the task

    def _draw(self) -> asyncio.Handle:
        ready = self._ready
        if self._random is None or len(ready) == 1:
            return ready.popleft()
        index = min(int(len(ready) * self._random.random() ** self._bias), len(ready) - 1)
        handle = ready[index]
        del ready[index]
        return handle

    def _release_timers(self) -> None:
        scheduled = self._scheduled
        while scheduled and (scheduled[0].cancelled() or scheduled[0].when() <= self.time()):
            self._ready.append(heapq.heappop(scheduled))

    def _wait(self) -> None:
        """Nothing is ready: end a settle, or have the selector move the time."""
        if self.when_quiet is not None:
            self.when_quiet()
        if self._settling:
            waiting, self._settling = self._settling, []
            for future in waiting:
                if not future.done():
                    future.set_result(None)
            return
        timeout = self._scheduled[0].when() - self.time() if self._scheduled else None
        self._process_events(self._selector.select(timeout))
        self._release_timers()

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Cancelled timers stay in the heap until their time: nothing to count."""


class Gate:
    """A task for a stage that holds each value until the test lets it through.

    `entered` lists the values in the order in which they came, `waiting` those still held.
    """

    def __init__(self, name: str = "gate") -> None:
        self.__name__ = name
        self.entered: list[Any] = []
        self._held: list[tuple[Any, asyncio.Future[None]]] = []
        self._is_open = False

    @property
    def waiting(self) -> list[Any]:
        """The values that are held now, in the order in which they came."""
        return [value for value, future in self._held if not future.done()]

    async def __call__(self, value: Any) -> Any:
        """Hold the value; return it when the gate opens."""
        self.entered.append(value)
        if not self._is_open:
            entry = (value, asyncio.get_running_loop().create_future())
            self._held.append(entry)
            try:
                await entry[1]
            finally:
                self._held.remove(entry)
        return value

    def open(self) -> None:
        """Let everything through from now on."""
        self._is_open = True
        for _, future in self._held:
            if not future.done():
                future.set_result(None)

    def let(self, *values: Any) -> None:
        """Let these values through, which must be waiting, and nothing else."""
        for value in values:
            self._future(value).set_result(None)

    def fail(self, value: Any, error: BaseException) -> None:
        """End the wait of this value by an exception."""
        self._future(value).set_exception(error)

    def _future(self, value: Any) -> asyncio.Future[None]:
        for held, future in self._held:
            if held == value and not future.done():
                return future
        raise AssertionError(f"{value!r} does not wait at {self.__name__}, but {self.waiting}")


async def settle() -> None:
    """Wait until every other task is blocked at this instant of virtual time."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, SimulatedLoop), "settle() works inside simulate() only"
    await loop.settled()


async def begun(call: Awaitable[T]) -> asyncio.Task[T]:
    """Have a call run in a task of its own until every task is blocked, and return that task."""
    task = asyncio.ensure_future(call)
    await settle()
    return task


def others() -> set[asyncio.Task[Any]]:
    """The unfinished tasks of the running loop, without the current one."""
    return {task for task in asyncio.all_tasks() if task is not asyncio.current_task()}


def simulate(
    main: Main[T],
    seed: int | None = None,
    *,
    tick: float = 1e-6,
    threads: bool = False,
    max_steps: int = MAX_STEPS,
    max_spin_seconds: float = MAX_SPIN_SECONDS,
) -> T:
    """Run a coroutine to its end on a simulated loop and check that it left nothing behind.

    Args:
        main: the coroutine, or a function without arguments that makes it.
        seed: draws the order of ready callbacks; None keeps asyncio's own.
        tick: virtual seconds that pass with every callback and reading of the engine's clock.
        threads: says that real threads call back; the clock waits for them in any case.
        max_steps: callbacks after which it is called a livelock.
        max_spin_seconds: processor time after which it is called one, too.

    Raises:
        Deadlock: nothing can ever run again, and `main` has not finished.
        Livelock: see `max_steps` and `max_spin_seconds`.
        LeftOver: `main` finished and left a task, a timer, an exception that was never retrieved,
            or anything else that was reported to the loop or to `sys.unraisablehook`.
    """
    clock, left = TickingClock(tick, seed, max_steps), list[str]()
    with _unraisable(clock.reports), _watchdog(max_spin_seconds):
        try:
            result = clock.run(_leave_nothing(main, left))
        except BaseException as error:
            if left:
                error.add_note("left by main:\n" + "\n".join(left))
            raise
        del main  # what is collected now reports now what was never retrieved
        gc.collect()
    if left or clock.reports:
        raise LeftOver("left by main:\n" + "\n".join([*left, *clock.reports]))
    return result


async def _leave_nothing(main: Main[T], left: list[str]) -> T:
    """Run `main`, describe the tasks and timers that it leaves, and end the tasks."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert isinstance(loop, SimulatedLoop)
    assert task is not None
    task.set_name("main")
    try:
        return await (main() if callable(main) else main)
    finally:
        if not loop.is_closed():  # as it is where `main` refused to end
            left += [f"  {each!r}" for each in (*others(), *loop.timers())]
            loop.forgive()
            for _ in range(SWEEP_ROUNDS if left else 0):
                for each in others():
                    each.cancel()
                await settle()


def _report(context: dict[str, Any]) -> str:
    message = context.get("message", "reported without a message")
    return f"  {message}: {context.get('exception')!r} {context.get('task', '')}"


@contextmanager
def _unraisable(reports: list[str]) -> Iterator[None]:
    """Report what cannot be raised, such as the warning of a coroutine that nobody awaited."""
    previous = sys.unraisablehook

    def note(event: sys.UnraisableHookArgs) -> None:
        reports.append(f"  {event.err_msg or 'unraisable'}: {event.exc_value!r}")

    sys.unraisablehook = note
    try:
        yield
    finally:
        sys.unraisablehook = previous


@contextmanager
def _watchdog(seconds: float) -> Iterator[None]:
    """End a callback that spins: no count of callbacks can, and a hung test names no culprit."""
    if threading.current_thread() is not threading.main_thread() or sys.platform == "win32":
        yield
        return

    def bark(signum: int, frame: FrameType | None) -> None:
        where = f"{frame.f_code.co_qualname}, line {frame.f_lineno}" if frame else "an unknown line"
        error = Livelock(f"{seconds} s of processor time went by, in {where}")
        with suppress(RuntimeError):  # the loop may be over
            loop = asyncio.get_running_loop()
            assert isinstance(loop, SimulatedLoop)
            loop.broken = error
        raise error

    previous = signal.signal(signal.SIGVTALRM, bark)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds, 1.0)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, previous)
