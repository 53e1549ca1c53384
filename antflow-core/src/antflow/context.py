"""What a task may ask about itself, and the way back from a user's function to its worker."""

from __future__ import annotations

from asyncio import Semaphore
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, asynccontextmanager
from contextvars import ContextVar
from typing import Any, Protocol

from ._limits.stage_limits import Limits
from .results import PipelineResult


class CurrentItem:
    """The item that the current task works on. Valid only while the task runs.

    Args:
        item: the item.
        stage: name of the stage.
        attempt: number of the attempt.
        pipeline: name of the pipeline.
    """

    __slots__ = ("_item", "attempt", "pipeline", "stage")

    def __init__(self, item: PipelineResult, stage: str, attempt: int, pipeline: str) -> None:
        self._item = item
        self.stage = stage
        self.attempt = attempt
        self.pipeline = pipeline

    def __repr__(self) -> str:
        return f"CurrentItem(id={self.id!r}, stage={self.stage!r}, attempt={self.attempt})"

    @property
    def id(self) -> Any:
        """The item's own id; if it has none, its sequence number."""
        return self._item.id

    @property
    def metadata(self) -> dict[str, Any]:
        """The metadata that came with the item; changes to it travel on with the item."""
        return self._item.metadata

    @property
    def priority(self) -> int:
        """The item's priority; lower goes first."""
        return self._item.priority

    @property
    def carrier(self) -> dict[str, str]:
        """Text that observers attach to the item, such as trace context; it travels with it."""
        return self._item.carrier


class CurrentWorker(Protocol):
    """What the present code's worker offers to it."""

    @property
    def limits(self) -> Limits:
        """The limits of its stage."""

    @property
    def stage_name(self) -> str:
        """Its stage's name."""

    def current_item(self) -> CurrentItem | None:
        """Return the item that it holds."""

    def set_status_text(self, text: str, min_interval: float) -> bool:
        """Set what the task is at; False if that was done less than `min_interval` seconds ago."""

    def waiting(self) -> AbstractContextManager[None]:
        """Wait for a limit inside of this, to be cut short when the run is closed."""


CURRENT_WORKER: ContextVar[CurrentWorker | None] = ContextVar(
    "antflow_current_worker", default=None
)
"""The worker that runs the present code; set once by each worker in its own context."""


def current_item() -> CurrentItem | None:
    """Return the item that the current task works on; None outside a worker.

    Its metadata may be changed. Call this while the task runs: code that a task leaves running,
    such as an abandoned thread, would see the worker's next item.
    """
    worker = CURRENT_WORKER.get()
    return None if worker is None else worker.current_item()


def set_task_status(text: str, min_interval: float = 0.0) -> bool:
    """Set the status text of the current task.

    Dashboards and `WorkerState.current_task` show it.

    Args:
        text: the text, shown until the attempt ends or sets another.
        min_interval: seconds that must pass between two texts of one attempt; a text that comes
            earlier is ignored.

    Returns:
        Whether the text was set; False outside a worker, or if it came too early.
    """
    worker = CURRENT_WORKER.get()
    return worker is not None and worker.set_status_text(text, min_interval)


@asynccontextmanager
async def concurrency_limit() -> AsyncIterator[None]:
    """An async context manager that limits how many of the stage's tasks are inside it at once.

    Inside it, the task holds one of the stage's `call_concurrency` places, and waits for one if
    all are taken. When the pipeline is shut down, an attempt that waits here is cancelled, and its
    item is reported as unprocessed.

    Raises:
        RuntimeError: the stage has no `call_concurrency`, or this is used outside a task.
    """
    worker = CURRENT_WORKER.get()
    semaphore = None if worker is None else worker.limits.calls
    if worker is None or semaphore is None:
        raise RuntimeError(_unset("concurrency_limit()", "call_concurrency", worker))
    await acquire(worker, semaphore)
    try:
        yield
    finally:
        semaphore.release()


@asynccontextmanager
async def rate_limit(amount: float = 1) -> AsyncIterator[None]:
    """An async context manager that waits, on entry, until `call_rate` allows another call.

    A leaky bucket: `call_rate` calls at once, then one per `call_rate_period / call_rate` seconds.
    Calls that wait go on in the order of their arrival. When the pipeline is shut down, an attempt
    that waits here is cancelled, and its item is reported as unprocessed.

    Args:
        amount: how much of `call_rate` the call takes, above 0. The most is `call_rate`, or 1 if
            `call_rate` is below 1.

    Raises:
        RuntimeError: the stage has no `call_rate`, or this is used outside a task.
        ValueError: `amount` is not a number above 0, or is more than the most.
    """
    worker = CURRENT_WORKER.get()
    rate = None if worker is None else worker.limits.rate
    if worker is None or rate is None:
        raise RuntimeError(_unset("rate_limit()", "call_rate", worker))
    _check_amount(amount, rate.most, worker.stage_name)
    if rate.has_capacity(amount):
        await rate.acquire(amount)
    else:
        with worker.waiting():
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
    rate = None if worker is None else worker.limits.rate
    return rate is None or rate.has_capacity(amount)


async def acquire(worker: CurrentWorker, semaphore: Semaphore) -> None:
    """Acquire a semaphore; the worker counts as waiting meanwhile."""
    if semaphore.locked():
        with worker.waiting():
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


def _unset(call: str, field: str, worker: CurrentWorker | None) -> str:
    if worker is None:
        return f"{call} was used outside of a task; set {field} on a Stage, and use it in its tasks"
    return (
        f"{call} was used in stage {worker.stage_name!r}, which has no {field}; "
        f"set {field} on the Stage"
    )
