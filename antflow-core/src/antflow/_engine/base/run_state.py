"""The state of a run that its parts share: its phase, its clock, and how to end it."""

from __future__ import annotations

from asyncio import AbstractEventLoop, CancelledError, Event, Task, get_running_loop, sleep
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from enum import IntEnum, auto
from typing import Any, Protocol

from antflow._cancellation import present_task
from antflow._clock import CLOCK
from antflow.exceptions import PipelineError

from .loop_budget import LoopBudget
from .reentrancy import Reentrancy
from .run_tasks import RunTasks


class Phase(IntEnum):
    """How far a run is."""

    NEW = auto()
    """It may be fed, and has not been started."""
    OPEN = auto()
    INPUT_CLOSED = auto()
    """No call of `feed` from outside may begin; the run closes when all fed items have ended."""
    DRAINING = auto()
    """Those that have begun are stopped, too."""
    CLOSED = auto()
    """Nothing more is taken; attempts that run may end."""
    ABORTED = auto()
    """What runs is cancelled."""
    FINALIZED = auto()
    """The items that are left have been reported, so that none can be added."""
    OVER = auto()
    """No task of the run is left."""


class Entry(Protocol):
    """The way of items that are fed.

    Attributes:
        received: how many there were.
    """

    received: int


class End(Protocol):
    """The way of items that went through every stage.

    Attributes:
        reported: how many there were, unless a worker is at work.
    """

    reported: int

    @property
    def received(self) -> int:
        """How many there were."""


class RunState:
    """The state of one run: how far it is, its tasks, and how to end it.

    Args:
        on_idle: called when it is closed and has no task any more, maybe again.
    """

    def __init__(self, name: str, on_idle: Callable[[], None]) -> None:
        self.name = name
        self.tasks = RunTasks(self._on_task_end)
        self.context: Context | None = None  # of its workers, once it is started
        self.closers: list[Callable[[], object]] = []  # called when it is closed
        self._on_idle = on_idle
        self.clock = CLOCK.get()
        self.budget = LoopBudget(self.clock)  # of the loop, once the run is started
        self.loop: AbstractEventLoop | None = None
        self.feeding_loop: AbstractEventLoop | None = None  # of those that feed before the start
        self.phase = Phase.NEW
        self.accepts_input = True
        self.is_closed = False
        self.is_abandoned = False  # its stream was dropped
        self.returns_unprocessed = False  # by shutdown(), or with a TooManyFailuresError
        self.state: Any = None  # what the lifespan has yielded, while it is entered
        self.error: BaseException | None = None
        self.is_raised = False  # the error was, by a call that waited for the run
        self.finished = Event()
        self.reentrancy = Reentrancy(self)
        self.entries: Sequence[Entry] = ()
        self.ends: Sequence[End] = ()
        self.ended_early = 0  # items that failed or were dropped
        self.active_feeds = 0
        self.announced_items = 0  # whose "queued" is emitted, and that are not deposited yet

    @property
    def fed_items(self) -> int:
        """How many items were fed."""
        return sum(entry.received for entry in self.entries)

    @property
    def succeeded_items(self) -> int:
        """How many items went through every stage."""
        return sum(end.received for end in self.ends)

    def close(self) -> None:
        """Take no more; attempts that run may end."""
        if self.is_closed:
            return
        self.advance(Phase.CLOSED)
        for close in self.closers:
            self.on_open_loop(close)
        self._end_if_idle()

    def abort(self, error: BaseException | None = None) -> None:
        """Close and cancel everything.

        Args:
            error: what ended the run; of several, the first is raised.
        """
        if self.is_over:
            return
        if self.error is None:
            self.error = error
        tasks = self.tasks
        running = {*tasks.active, tasks.ending} - {present_task(), None}
        if self.is_abandoned and not self.is_aborted:
            # `shutdown` has cancelled the reader, which may clean up.
            running -= tasks.cancelled
        self.close()
        self.advance(Phase.ABORTED)
        for task in running:
            if task is not None:
                self.on_open_loop(task.cancel)

    def spawn(self, awaitable: Awaitable[Any]) -> Task[None]:
        """Await something in a task of the run, which begins also if it is cancelled first."""
        return self.tasks.spawn(awaitable, self.context)

    def _on_task_end(self, task: Task[None]) -> None:
        """End the run if a task of it failed or was cancelled from outside, or was the last."""
        if task.cancelled():
            is_expected = task is self.reentrancy.reader or task in self.tasks.cancelled
            if not (is_expected or self.is_closed):
                self.abort(self.cancelled_from_outside(task.get_name()))
        elif (error := task.exception()) is not None:
            self.abort(error)
        self._end_if_idle()

    def _end_if_idle(self) -> None:
        if self.is_closed and not self.tasks.active:
            self._on_idle()

    def cancelled_from_outside(self, worker: str) -> PipelineError:
        """Return the error of a run whose worker was cancelled: the pool would shrink silently."""
        return PipelineError(
            f"Pipeline {self.name!r} was stopped: its worker {worker!r} was cancelled from "
            "outside of the pipeline or by the task that it ran. Raise an exception to fail an "
            "item; cancel what called run(), or call shutdown(), to stop the pipeline."
        )

    def advance(self, phase: Phase) -> None:
        """Enter a phase, unless the run is past it."""
        self.phase = max(self.phase, phase)
        # Kept as attributes, since they are read for each item.
        self.accepts_input = self.phase < Phase.DRAINING
        self.is_closed = self.phase >= Phase.CLOSED

    @property
    def is_new(self) -> bool:
        """Whether it has not been started."""
        return self.phase is Phase.NEW

    @property
    def is_aborted(self) -> bool:
        """Whether what runs is cancelled."""
        return self.phase >= Phase.ABORTED

    @property
    def is_finalized(self) -> bool:
        """Whether the items that are left have been reported."""
        return self.phase >= Phase.FINALIZED

    @property
    def is_over(self) -> bool:
        """Whether no task of it is left."""
        return self.phase is Phase.OVER

    @property
    def is_loop_closed(self) -> bool:
        """Whether it can never go on, its event loop having been closed."""
        return self.loop is not None and self.loop.is_closed() and not self.is_over

    @property
    def is_on_other_loop(self) -> bool:
        """Whether it is going on, but not on the running event loop."""
        if self.loop is None or self.loop is get_running_loop():
            return False
        return not (self.is_over or self.is_loop_closed)

    @property
    def is_fed_on_other_loop(self) -> bool:
        """Whether a feed waits for the start, but not on the running event loop."""
        loop = self.feeding_loop
        if loop is None or not (self.is_new and self.active_feeds):
            return False
        return not loop.is_closed() and loop is not get_running_loop()

    def on_open_loop(self, wake: Callable[[], object]) -> None:
        """Wake or cancel tasks, unless the event loop is closed and none of them can go on."""
        try:
            wake()
        except RuntimeError:
            if not self.is_loop_closed:
                raise

    async def leave_eager_step(self) -> None:
        """Wait, as a task of the run that is just being created, until it has been created."""
        # The first step of an eager task is made inside create_task(): a worker would take items
        # amid the deposit that starts it, and end before the run knows it.
        if self.tasks.is_creating:
            await sleep(0)

    def is_inside(self) -> bool:
        """Return whether a worker, or the stream's consumer, may be waiting for this code."""
        return self.reentrancy.is_inside_task() or self.is_consumer()

    def is_consumer(self) -> bool:
        """Return whether the present task is the one that took the stream's last result."""
        return not (self.is_abandoned or self.is_closed) and self.reentrancy.is_consumer()

    def close_input(self) -> None:
        """Let no feed from outside begin, and close the run when all fed items have ended."""
        self.advance(Phase.INPUT_CLOSED)
        self.check_done()

    def check_done(self) -> None:
        """Close the run if its input is closed and nothing is outstanding."""
        # Called only when a worker finds no item, a feed ends or the input is closed: every worker
        # has reported what it ended by then, so that no item costs a comparison.
        if (
            self.phase in (Phase.INPUT_CLOSED, Phase.DRAINING)
            and self.fed_items == self.ended_early + sum(end.reported for end in self.ends)
            and not (self.active_feeds and self.accepts_input)
            and not (self.announced_items or self.reentrancy.has_observing)
        ):
            self.close()

    def raise_once(self) -> None:
        """Raise what ended the run, unless that was done already."""
        if self.error is not None and not self.is_raised:
            self.is_raised = True
            raise self.error

    async def wait_closed(self) -> None:
        """Wait until no task of the run is left; to be cancelled comes into effect only then."""
        cancelled: CancelledError | None = None
        while not self.is_over:
            try:
                await self.finished.wait()
            except CancelledError as error:
                cancelled = error
                self.abort()
        if cancelled is not None:
            raise cancelled
