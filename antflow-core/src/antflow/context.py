"""Functions for tasks: the current item, the status text, and the stage's limits."""

from __future__ import annotations

from asyncio import Semaphore
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, nullcontext
from contextvars import ContextVar
from types import MappingProxyType
from typing import Any, Protocol

from ._errors.texts import one_line
from ._limits.call_limits import CallLimits
from .limits import Limit
from .results import PipelineResult


class CurrentItem:
    """The item that the current task works on. Valid only while the task runs.

    Args:
        item: holds the id, value and metadata.
        stage: name of the stage.
        attempt: number of the attempt, from 1.
        pipeline: name of the pipeline.
        state: what the pipeline's lifespan yielded; None without one.
    """

    __slots__ = ("_item", "attempt", "pipeline", "stage", "state")

    def __init__(
        self, item: PipelineResult, stage: str, attempt: int, pipeline: str, state: Any = None
    ) -> None:
        self._item = item
        self.stage = stage
        self.attempt = attempt
        self.pipeline = pipeline
        self.state = state

    @one_line
    def __repr__(self) -> str:
        return f"CurrentItem(id={self.id!r}, stage={self.stage!r}, attempt={self.attempt})"

    @property
    def id(self) -> Any:
        """The item's own id, or its sequence number if it has none."""
        return self._item.id

    @property
    def metadata(self) -> dict[str, Any]:
        """The metadata that came with the item; changes go on to the next stages."""
        return self._item.metadata

    @property
    def priority(self) -> int:
        """The item's priority; lower goes first."""
        return self._item.priority

    @property
    def carrier(self) -> dict[str, str]:
        """Text that observers attach to the item, such as trace context."""
        return self._item.carrier


class CurrentStage(Protocol):
    """What these functions need of the stage of the task."""

    name: str
    limits: Mapping[str, Limit]
    call_limits: CallLimits


class Waits(Protocol):
    """Marks the worker as waiting inside of the present attempt."""

    def mark(self) -> AbstractContextManager[None]:
        """Mark the worker as waiting; a shutdown cancels the wait."""

    def mark_anywhere(self) -> AbstractContextManager[None]:
        """Mark the worker as waiting; also from a thread in which the task runs."""


class CurrentAttempt(Protocol):
    """What these functions need of the attempt that calls the task."""

    def current_item(self) -> CurrentItem | None:
        """Return the item that the attempt is made at."""

    def set_status_text(self, text: str, min_interval: float) -> bool:
        """Set the status text; return False if less than `min_interval` seconds have passed."""


class CurrentWorker(Protocol):
    """What these functions need of the worker that runs the task."""

    @property
    def stage(self) -> CurrentStage:
        """The stage."""

    @property
    def attempt(self) -> CurrentAttempt:
        """The present attempt."""

    @property
    def waits(self) -> Waits:
        """The waits inside of the present attempt."""


CURRENT_WORKER: ContextVar[CurrentWorker | None] = ContextVar(
    "antflow_current_worker", default=None
)
"""The worker that runs the current task; each worker sets it once, in its own context."""


def current_item() -> CurrentItem | None:
    """Return the item that the current task works on; None outside a task.

    You may change its metadata. Call this while the task runs: code that a task leaves running,
    such as an abandoned thread, would see the worker's next item.
    """
    worker = CURRENT_WORKER.get()
    return None if worker is None else worker.attempt.current_item()


def set_task_status(text: str, min_interval: float = 0.0) -> bool:
    """Set the status text of the current task.

    Dashboards and `WorkerState.current_task` show it.

    Args:
        text: shown until the attempt ends or sets another.
        min_interval: least time between two texts of one attempt, in seconds; a text that comes
            earlier is ignored.

    Returns:
        Whether the text was set; False outside a task, or if it came too early.
    """
    worker = CURRENT_WORKER.get()
    return worker is not None and worker.attempt.set_status_text(text, min_interval)


def current_limits() -> Mapping[str, Limit]:
    """Return the limits of the current task's stage, by name; none outside a task.

    A limit without a name is "limit"; a second one is "limit-2". In a call of an `AsyncExecutor`,
    these are the limits of all its calls.
    """
    worker = CURRENT_WORKER.get()
    # Copied, since those of an executor's calls come and go, also while a thread asks.
    return MappingProxyType({} if worker is None else dict(worker.stage.limits.items()))


@contextmanager
def mark_waiting() -> Iterator[None]:
    """A context manager that marks the current task's worker as waiting, not busy.

    Use it around a wait of your own, such as for a semaphore or for a free connection, so that
    statistics and displays show it. When the pipeline is shut down, an attempt inside it is
    cancelled, and its item is reported as unprocessed. Outside a task it does nothing.
    """
    worker = CURRENT_WORKER.get()
    with nullcontext() if worker is None else worker.waits.mark_anywhere():
        yield


@asynccontextmanager
async def concurrency_limit() -> AsyncIterator[None]:
    """An async context manager that limits how many of the stage's tasks are inside it at once.

    At most `call_concurrency` tasks of the stage are inside; others wait on entry. When the
    pipeline is shut down, an attempt that waits here is cancelled, and its item is reported as
    unprocessed.

    Raises:
        RuntimeError: the stage has no `call_concurrency`, or this is used outside a task.
    """
    worker = CURRENT_WORKER.get()
    semaphore = None if worker is None else worker.stage.call_limits.calls
    if worker is None or semaphore is None:
        raise RuntimeError(_missing_setting("concurrency_limit()", "call_concurrency", worker))
    await acquire(worker, semaphore)
    try:
        yield
    finally:
        semaphore.release()


@asynccontextmanager
async def rate_limit(amount: float = 1) -> AsyncIterator[None]:
    """An async context manager that waits, on entry, until `call_rate` allows another call.

    A leaky bucket: `call_rate` calls at once, then one per `call_rate_period / call_rate` seconds.
    Waiting calls proceed in the order of their arrival. When the pipeline is shut down, an attempt
    that waits here is cancelled, and its item is reported as unprocessed.

    Args:
        amount: how much of `call_rate` the call takes, above 0; at most `call_rate`, or 1 if
            `call_rate` is below 1.

    Raises:
        RuntimeError: the stage has no `call_rate`, or this is used outside a task.
        ValueError: `amount` is not a number above 0, or is more than the most.
    """
    worker = CURRENT_WORKER.get()
    rate = None if worker is None else worker.stage.call_limits.rate
    if worker is None or rate is None:
        raise RuntimeError(_missing_setting("rate_limit()", "call_rate", worker))
    _check_amount(amount, rate.most, worker.stage.name)
    if rate.has_capacity(amount):  # no wait, so the worker's state need not change
        await rate.acquire(amount)
    else:
        with worker.waits.mark():
            await rate.acquire(amount)
    yield


def call_rate_has_capacity(amount: float = 1) -> bool:
    """Return whether `rate_limit` would allow this many calls now, without using any up.

    Args:
        amount: number of calls.

    Returns:
        True also if the stage has no `call_rate`, and outside a task.
    """
    worker = CURRENT_WORKER.get()
    rate = None if worker is None else worker.stage.call_limits.rate
    return rate is None or rate.has_capacity(amount)


async def acquire(worker: CurrentWorker, semaphore: Semaphore) -> None:
    """Acquire a semaphore, and mark the worker as waiting meanwhile."""
    if semaphore.locked():  # also while others are queued for it
        with worker.waits.mark():
            await semaphore.acquire()
    else:
        await semaphore.acquire()


def _check_amount(amount: object, most: float, stage: str) -> None:
    if not isinstance(amount, int | float) or isinstance(amount, bool) or not amount > 0:
        remedy = "give a number above 0"
    elif amount > most:
        remedy = f"give {most:g} at most, or raise call_rate on the Stage"
    else:
        return
    raise ValueError(f"rate_limit() in stage {stage!r} has amount={amount!r}; {remedy}")


def _missing_setting(call: str, field: str, worker: CurrentWorker | None) -> str:
    if worker is None:
        return f"{call} was used outside of a task; set {field} on a Stage, and use it in its tasks"
    return (
        f"{call} was used in stage {worker.stage.name!r}, which has no {field}; "
        f"set {field} on the Stage"
    )
