"""A deterministic asyncio for tests: virtual time, a seeded order of callbacks, no silent hang.

    from tests.helpers.virtual_time import Gate, settle, simulate

    def test_retry_waits() -> None:
        async def main() -> float:
            await pipeline.run([1])  # waits of an hour take no time
            return asyncio.get_running_loop().time()

        assert simulate(main) == pytest.approx(3600)

The public names, all of them:

- `simulate(main, seed=None, tick=1e-6, threads=False, ...)` runs `main`, a function that
  returns a coroutine or the coroutine itself, and returns what it returned. Time is virtual and
  starts at 0. `seed=None` runs callbacks first in, first out, as asyncio does; a number draws
  another order. It raises what `main` raised, or else
  - `Deadlock` if nothing can ever run again and `main` is not finished,
  - `Livelock` if more than `max_steps` callbacks ran, or one takes `max_spin_seconds` of processor
    time,
  - `LeftOver` if at the end of `main` a task or a timer is left, if an exception was never
    retrieved, or anything else was reported to the loop or to `sys.unraisablehook`.
- `await settle()` waits until every other task is blocked: on a timer or on something that
  nobody is about to do. Time stands still meanwhile (but for the ticks).
- `await begun(call)` runs a call as a task until all are blocked, and returns the task.
- `Gate()` is a task for a stage; each call waits until the test lets the value through.
- `others()` is the set of unfinished tasks but for the one that asks.

Time advances by `tick` seconds with every callback and every reading of the engine's clock, so that
code which looks at the clock to be fair gets to see time pass. With `threads=True` real threads may
call back through `call_soon_threadsafe`: the loop waits really, for some milliseconds before time
jumps to the next timer, and for some seconds before it calls it a deadlock.
"""

from __future__ import annotations

import asyncio
import contextvars
import gc
import heapq
import random
import signal
import sys
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, TypeVar

from antflow._engine.clock import CLOCK

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

MAX_STEPS = 1_000_000
MAX_SPIN_SECONDS = 20.0
SWEEP_ROUNDS = 5
SWEEP_STEPS = 10_000
THREAD_GRACE_SECONDS = 0.05
THREAD_LIMIT_SECONDS = 10.0


class Deadlock(AssertionError):
    """Nothing is ready, no timer is left, and the main coroutine has not finished."""


class Livelock(AssertionError):
    """Callbacks go on and on, or one of them does not end."""


class LeftOver(AssertionError):
    """The main coroutine finished and left tasks, timers or unseen exceptions behind."""


class VirtualTime:
    """The seconds of a simulation: a clock that holds no reference to the loop it belongs to."""

    def __init__(self, tick: float) -> None:
        self.now = 0.0
        self._tick = tick

    def advance(self) -> float:
        """Let one tick pass and return the time."""
        self.now += self._tick
        return self.now


class SimulatedLoop(asyncio.SelectorEventLoop):
    """An event loop with virtual time, whose ready callbacks run in an order drawn from a seed.

    `when_quiet`, if set, is called each time that nothing is ready, before time goes on.
    """

    _ready: deque[asyncio.Handle]
    _scheduled: list[asyncio.TimerHandle]

    def __init__(
        self,
        seed: int | None = None,
        tick: float = 1e-6,
        threads: bool = False,
        max_steps: int = MAX_STEPS,
    ) -> None:
        super().__init__()
        self.steps = 0
        self.reports: list[str] = []
        self.broken: BaseException | None = None
        self.when_quiet: Callable[[], None] | None = None
        self.virtual = VirtualTime(tick)
        self._threads = threads
        self._max_steps = max_steps
        self._settling: list[asyncio.Future[None]] = []
        self._random = None if seed is None else random.Random(seed)
        # Below 1 the newest callbacks are favoured and above 1 the oldest: some faults need a
        # callback that waits for long, others one that overtakes all.
        self._bias = 1.0 if self._random is None else self._random.choice((0.3, 1.0, 1.0, 3.0))
        self.set_exception_handler(_report)

    def time(self) -> float:
        """The virtual time in seconds since the loop was made."""
        return self.virtual.now

    def forgive(self, max_steps: int) -> None:
        """Forget what broke and who asked, and run at most so many callbacks more."""
        self.broken = None
        self.when_quiet = None
        self._max_steps = self.steps + max_steps

    def settled(self) -> asyncio.Future[None]:
        """A future that is done once nothing is ready to run."""
        future = self.create_future()
        self._settling.append(future)
        return future

    def timers(self) -> list[asyncio.TimerHandle]:
        """The timers that are neither cancelled nor over."""
        return [timer for timer in self._scheduled if not timer.cancelled()]

    def _run_once(self) -> None:
        self._release_timers()
        if not self._ready:
            self._wait()
        if self._ready:
            self._step()
        if self.broken is not None:
            raise self.broken

    def _step(self) -> None:
        self.steps += 1
        if self.steps > self._max_steps:
            self.broken = Livelock(self._describe(f"{self._max_steps} callbacks ran"))
            return
        handle = self._draw()
        self.virtual.advance()
        if not handle.cancelled():
            handle._run()
        del handle  # a traceback that somebody keeps would keep this frame, and so the task

    def _draw(self) -> asyncio.Handle:
        ready = self._ready
        if self._random is None or len(ready) == 1:
            return ready.popleft()
        place = min(int(len(ready) * self._random.random() ** self._bias), len(ready) - 1)
        handle = ready[place]
        del ready[place]
        return handle

    def _release_timers(self) -> None:
        scheduled = self._scheduled
        while scheduled and (scheduled[0].cancelled() or scheduled[0].when() <= self.virtual.now):
            self._ready.append(heapq.heappop(scheduled))

    def _wait(self) -> None:
        """Nothing is ready: end a settle, wait for a thread, or jump to the next timer."""
        if self.when_quiet is not None:
            self.when_quiet()
        if self._settling:
            waiting, self._settling = self._settling, []
            for future in waiting:
                if not future.done():
                    future.set_result(None)
        elif self._threads and self._select(
            THREAD_GRACE_SECONDS if self._scheduled else THREAD_LIMIT_SECONDS
        ):
            return
        elif self._scheduled:
            self.virtual.now = max(self.virtual.now, self._scheduled[0].when())
            self._release_timers()
        else:
            self.broken = Deadlock(self._describe("nothing is ready and no timer is left"))

    def _select(self, seconds: float) -> bool:
        """Wait really, for a thread to call back; False if none did."""
        selector: Any = vars(self)["_selector"]
        found = selector.select(seconds)
        process: Callable[[Any], None] = getattr(self, "_process_events")  # noqa: B009
        process(found)
        return bool(found)

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Cancelled timers stay in the heap until their time: nothing to count."""

    def _describe(self, what: str) -> str:
        pending = _describe_tasks(asyncio.all_tasks(self))
        return f"at {self.virtual.now:.6f} s {what}; pending:\n{pending}"


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
    main: Callable[[], Coroutine[Any, Any, T]] | Coroutine[Any, Any, T],
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
        threads: wait really for threads that call back.
        max_steps: callbacks after which it is called a livelock.
        max_spin_seconds: processor time after which it is called one, too.

    Raises:
        Deadlock, Livelock, LeftOver: see the text of this module.
    """
    gc.freeze()  # so that collecting what this simulation leaves costs next to nothing
    try:
        loop = SimulatedLoop(seed, tick, threads, max_steps)
        reports = loop.reports
        with _unraisable(reports):
            try:
                with _watchdog(loop, max_spin_seconds):
                    result = _run(loop, main)
            finally:
                loop.close()
            del loop, main  # who is collected now complains now of what was never retrieved
            gc.collect()
    finally:
        gc.unfreeze()
    if reports:
        raise LeftOver("left by main:\n" + "\n".join(reports))
    return result


def _run(
    loop: SimulatedLoop, main: Callable[[], Coroutine[Any, Any, T]] | Coroutine[Any, Any, T]
) -> T:
    left: list[str] = []

    async def watched() -> T:
        try:
            return await (main() if callable(main) else main)
        finally:
            left.extend(_describe_tasks(others()).splitlines())

    context = contextvars.copy_context()
    context.run(CLOCK.set, loop.virtual.advance)
    task = loop.create_task(watched(), name="main", context=context)
    try:
        result = _drive(loop, task)
    except BaseException as error:
        if left:
            error.add_note("left by main:\n" + "\n".join(left))
        _sweep(loop)
        if task.done() and not task.cancelled():
            task.exception()  # seen: it is being raised
        raise
    loop.reports += left
    loop.reports += [f"  timer {timer!r}" for timer in loop.timers()]
    _sweep(loop)
    return result


def _drive(loop: SimulatedLoop, task: asyncio.Task[T]) -> T:
    task.add_done_callback(lambda _: loop.stop())
    while not task.done():  # a stop may be left from a task that was driven before
        loop.run_forever()
    return task.result()


def _sweep(loop: SimulatedLoop) -> None:
    """End whatever still runs, so that one failing simulation does not disturb the next."""
    loop.forgive(SWEEP_STEPS)
    try:
        for end in (_cancel_others, loop.shutdown_asyncgens, loop.shutdown_default_executor):
            _drive(loop, loop.create_task(end()))
    except AssertionError as error:
        loop.reports.append(f"  could not be ended: {error}")
    for task in asyncio.all_tasks(loop):
        setattr(task, "_log_destroy_pending", False)  # noqa: B010
        coroutine = task.get_coro()
        if coroutine is not None:
            with suppress(Exception):  # what it does about its end is of no interest any more
                coroutine.close()


async def _cancel_others() -> None:
    for _ in range(SWEEP_ROUNDS):
        for task in others():
            task.cancel()
        await settle()


def _report(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    assert isinstance(loop, SimulatedLoop)
    message = context.get("message", "reported without a message")
    loop.reports.append(f"  {message}: {context.get('exception')!r} {context.get('task', '')}")


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
def _watchdog(loop: SimulatedLoop, seconds: float) -> Iterator[None]:
    """End a callback that spins: no count of callbacks can, and a hung test names no culprit."""
    if threading.current_thread() is not threading.main_thread() or sys.platform == "win32":
        yield
        return

    def bark(signum: int, frame: FrameType | None) -> None:
        where = f"{frame.f_code.co_qualname} ({_place(frame)})" if frame else "an unknown place"
        loop.broken = Livelock(f"{seconds} s of processor time went by, in {where}")
        raise loop.broken

    previous = signal.signal(signal.SIGVTALRM, bark)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds, 1.0)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, previous)


def _describe_tasks(tasks: Iterable[asyncio.Task[Any]]) -> str:
    return "\n".join(sorted(f"  task {task.get_name()}: {_where(task)}" for task in tasks))


def _where(task: asyncio.Task[Any]) -> str:
    """The coroutines a task is in, outermost first, each with its file and line."""
    places = []
    awaited: Any = task.get_coro()
    while awaited is not None:
        frame = getattr(awaited, "cr_frame", None) or getattr(awaited, "gi_frame", None)
        if frame is not None:
            places.append(f"{awaited.__qualname__} ({_place(frame)})")
        awaited = getattr(awaited, "cr_await", None) or getattr(awaited, "gi_yieldfrom", None)
    return " > ".join(places) or repr(task)


def _place(frame: FrameType) -> str:
    return f"{frame.f_code.co_filename.rsplit('/', 1)[-1]}:{frame.f_lineno}"
