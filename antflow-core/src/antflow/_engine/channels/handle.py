"""`ItemHandle`, the caller's end of one submitted item."""

from __future__ import annotations

from asyncio import Future, get_running_loop
from collections.abc import Callable, Generator
from typing import Any, Generic, Literal, Protocol

from antflow._engine.base.run_state import RunState
from antflow._errors.texts import one_line, shown
from antflow._task_types import Value_co
from antflow.exceptions import PipelineError
from antflow.results import ItemOutcome, PipelineResult

from .channel import CANCELLED

ItemStatus = Literal["waiting", "running", "unprocessed"] | ItemOutcome
"""Where an item is: in front of a stage or in one, left when its pipeline stopped, or ended."""


class Canceller(Protocol):
    """What a handle asks of its run."""

    def drop(self, item: PipelineResult, reason: str, *, interrupts: bool) -> None:
        """Drop an item that has not ended."""

    def is_running(self, item: PipelineResult) -> bool:
        """Return whether a worker holds an item."""


class ItemHandle(Generic[Value_co]):
    """One item that was submitted; awaiting the handle returns the item's `PipelineResult`.

    The result, failed or not, is kept nowhere else. The handle may be awaited several times.
    Cancelling a task that awaits it does not cancel the item. If the pipeline stops before the item
    has ended, awaiting raises PipelineError, and the item is in `pipeline.unprocessed`.
    """

    __slots__ = (
        "__weakref__",
        "_awaited",
        "_callbacks",
        "_canceller",
        "_item",
        "_outcome",
        "_run",
        "is_forgotten",
    )

    def __init__(self, item: PipelineResult[Value_co], run: RunState, canceller: Canceller) -> None:
        self._item = item
        self._run = run
        self._canceller = canceller
        self._outcome: PipelineResult[Value_co] | BaseException | None = None
        # None until something awaits it, or is to be called.
        self._awaited: list[Future[PipelineResult[Value_co]]] | None = None
        self._callbacks: list[Callable[[], None]] | None = None
        self.is_forgotten = False  # whether the result is kept like any other

    @one_line
    def __repr__(self) -> str:
        return f"<ItemHandle {shown(self.id)}: {self.status}>"

    @property
    def id(self) -> Any:
        """The item's own id; if it has none, its sequence number."""
        return self._item.id

    @property
    def status(self) -> ItemStatus:
        """Where the item is: "waiting" or "running", or how it ended.

        That is "succeeded", "failed" or "dropped", or "unprocessed" if its pipeline stopped before.
        An item waits in front of a stage, for a retry or for a limit.
        """
        if isinstance(self._outcome, PipelineResult):
            return self._outcome.outcome
        if self._outcome is not None:
            return "unprocessed"
        return "running" if self._canceller.is_running(self._item) else "waiting"

    def done(self) -> bool:
        """Return whether the item has ended, or was left unprocessed."""
        return self._outcome is not None

    def cancel(self) -> bool:
        """Drop the item, with the reason "cancelled".

        Where it waits, it is dropped at once. An attempt that runs is cancelled, and its item is
        dropped when that has ended; should the attempt return a value nevertheless, the item is
        dropped in front of the next stage, or has succeeded in the last one.

        Returns:
            False if the item has ended already.

        Raises:
            PipelineError: the item has not ended, and the pipeline runs on another event loop or in
                another thread.
        """
        if self.done():
            return False
        self._check_loop("cancel()", "loop.call_soon_threadsafe(handle.cancel)")
        self._canceller.drop(self._item, CANCELLED, interrupts=True)
        return True

    def __await__(self) -> Generator[Any, None, PipelineResult[Value_co]]:
        if self._outcome is None:
            self.check_await()
            # Each has a future of its own: to cancel what awaits one cancels that future.
            future: Future[PipelineResult[Value_co]] = get_running_loop().create_future()
            if self._awaited is None:
                self._awaited = []
            self._awaited.append(future)
            try:
                return (yield from future)
            finally:
                if self._awaited is not None and future in self._awaited:
                    self._awaited.remove(future)
        if isinstance(self._outcome, BaseException):
            raise self._outcome.with_traceback(None)  # or that of an earlier await would grow
        return self._outcome

    def check_await(self) -> None:
        """Raise PipelineError if the present code cannot wait for the item."""
        self._check_loop("await", "process_threadsafe(item)")
        if self._run.is_inside():
            raise PipelineError(
                f"A task of pipeline {self._run.name!r}, or the consumer of its stream, cannot "
                "wait for an item of the same pipeline, which may wait for it; await the "
                "handle outside"
            )

    @property
    def result(self) -> PipelineResult[Value_co] | None:
        """The result; None if the item has not ended, or was left unprocessed."""
        return self._outcome if isinstance(self._outcome, PipelineResult) else None

    @property
    def stopped_by(self) -> BaseException | None:
        """The error that ended the pipeline before the item; None if there is none."""
        outcome = self._outcome
        return outcome.__cause__ if isinstance(outcome, BaseException) else None

    @property
    def item(self) -> PipelineResult[Value_co]:
        """The item."""
        return self._item

    def expire(self) -> None:
        """Drop the item where it waits, with the reason "expired"; an attempt that runs may end."""
        if not self.done():
            self._canceller.drop(self._item, "expired", interrupts=False)

    def call_at_end(self, callback: Callable[[], None]) -> None:
        """Call a function when the item has ended, or was left unprocessed."""
        if self._callbacks is None:
            self._callbacks = []
        self._callbacks.append(callback)

    def end(self, outcome: PipelineResult[Value_co] | BaseException) -> None:
        """Set the result of the item, or the error that is raised in its place."""
        self._outcome = outcome
        awaited, self._awaited = self._awaited, None
        for future in awaited or ():
            if future.done():
                continue
            if isinstance(outcome, BaseException):
                future.set_exception(outcome)
            else:
                future.set_result(outcome)
        callbacks, self._callbacks = self._callbacks, None
        for callback in callbacks or ():
            callback()

    def _check_loop(self, call: str, remedy: str) -> None:
        if self._run.is_loop_closed:
            raise PipelineError(
                f"The event loop of pipeline {self._run.name!r} was closed before item "
                f"{shown(self.id)} had ended, so the item is lost; submit the item again, and call "
                "join() or shutdown() before the loop is closed"
            )
        try:
            is_other = self._run.is_on_other_loop
        except RuntimeError:  # no loop runs in this thread
            is_other = True
        if is_other:
            raise PipelineError(
                f"Pipeline {self._run.name!r} runs on another event loop than this {call} of the "
                f"handle of item {shown(self.id)}; use {remedy}"
            )
