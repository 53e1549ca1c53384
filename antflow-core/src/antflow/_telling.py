"""What a worker tells of its item, and how it hears out who is told."""

from __future__ import annotations

from asyncio import CancelledError
from collections.abc import Awaitable
from time import time
from typing import Any

from ._desk import Desk, RunForWorker
from ._item import ItemRecord
from ._notifier import Cut, Listeners, is_cancellation_coming, those_of
from ._stage_run import StageRun, Step
from ._tracebacks import remove_own_frames, unchanged_traceback
from .events import StatusType, TaskEvent, TaskEventType
from .exceptions import text_of


class InterruptedAttemptError(Exception):
    """The run was closed while an item was between two attempts, or waited for a limit."""


class Teller(Desk):
    """A desk whose worker tells what becomes of the item, and ends when it is cancelled.

    Args:
        name: names the worker.
        post: the stage in this run.
        run: the run.
    """

    __slots__ = ("_cut", "_waited")

    def __init__(self, name: str, post: StageRun, run: RunForWorker) -> None:
        super().__init__(name, post, run)
        self._waited = 0.0
        self._cut: Cut = None  # raised when what is done with the item is told

    def _tell(
        self,
        item: ItemRecord,
        status: StatusType,
        metadata: dict[str, Any] | None = None,
        *,
        final: bool = False,
    ) -> Awaitable[Cut] | None:
        """Tell that the item has changed its status here; what is returned is to be heard out."""
        return self.post.notifier.tell_status(
            item, self.post.name, status, self.name, metadata, final=final
        )

    async def _hear(self, told: Awaitable[Cut] | None) -> None:
        """Wait until all has been told; a cancellation is kept until the item is dealt with."""
        if told is not None and (cut := await told) is not None and self._sift(cut) is cut:
            self._cut = cut

    async def _hear_start(self, told: Awaitable[tuple[Listeners, Cut]] | None, step: Step) -> None:
        """Wait until a start has been told; where the attempt is not to be made, it is cancelled.

        Raises:
            InterruptedAttemptError: it is not to be made, since the run was closed meanwhile or
                the worker is being cancelled.
        """
        notifier = self.post.notifier
        called, cut = (notifier.task_start, None) if told is None else await told
        if cut is None and not self.post.inbox.closed:
            return
        if cut is not None and self._sift(cut) is cut:
            self._cut = cut
        listeners = those_of(notifier.task_cancelled, called)
        if listeners:
            event = self._task_event(step, "cancel", error=cut or CancelledError())
            await self._hear(notifier.tell(listeners, event))
        raise InterruptedAttemptError

    async def _tell_failure(self, step: Step, duration: float, error: BaseException) -> None:
        """Tell what became of an attempt that raised.

        Args:
            step: the task.
            duration: seconds that the function took.
            error: what it raised.
        """
        kind: TaskEventType
        notifier, delay = self.post.notifier, None
        if isinstance(error, InterruptedAttemptError) or self._ends_worker(error):
            kind, listeners = "cancel", notifier.task_cancelled
        elif (delay := self._delay(error)) is not None:
            kind, listeners = "retry", notifier.task_retry
        else:
            kind, listeners = "fail", notifier.task_failure
            remove_own_frames(error)  # observers record it as the item's failure
        if listeners:
            event = self._task_event(step, kind, duration, error, delay)
            with unchanged_traceback(error):
                await self._hear(notifier.tell(listeners, event))

    def _delay(self, error: BaseException) -> float | None:
        """Return the seconds until the attempt that follows a failed one; None if none follows."""
        if self.post.inbox.closed:
            return None
        delay = self.post.task_policy.delay(self.attempt, error)
        if delay is None:
            delay = self.post.stage_policy.delay(self.attempt_number, error)
        return delay

    def _task_event(
        self,
        step: Step,
        kind: TaskEventType,
        duration: float | None = None,
        error: BaseException | None = None,
        delay: float | None = None,
    ) -> TaskEvent:
        item, notifier = self.item, self.post.notifier
        assert item is not None
        if error is not None and isinstance(error, InterruptedAttemptError):
            error = CancelledError()
        return TaskEvent(
            item.id,
            self.post.name,
            step.name,
            self.name,
            kind,
            self.attempt if item.extra is None else self.attempt_number,
            time(),
            error,
            duration,
            delay,
            self._waited,
            notifier.pipeline,
            notifier.run_id,
        ).about(item)

    # What cancels it

    def _sift(self, error: BaseException | None) -> BaseException | None:
        """Take back the cancellation that cut a wait short, and call it what it is."""
        if not self.is_cut_short or self.task is None:
            return error
        self.is_cut_short = False
        self.task.uncancel()
        if isinstance(error, CancelledError) and not self._ends_worker(error):
            return InterruptedAttemptError()
        return error

    def _ends_worker(self, error: BaseException) -> bool:
        """Tell whether an error means that this worker itself has to end."""
        if isinstance(error, CancelledError):
            return self.task is not None and self.task.cancelling() > 0
        return isinstance(error, GeneratorExit)

    def _forget_swallowed(self) -> None:
        """Take back cancellations that came to nothing, as a TaskGroup leaves before Python 3.13.

        One that is still to be delivered stands.
        """
        if self.task is not None and not is_cancellation_coming(self.task):
            while self.task.cancelling():
                self.task.uncancel()


def error_fields(error: BaseException) -> dict[str, str]:
    """Return an error as events and summaries show it: its text and the name of its class."""
    try:
        text = str(error)
    except Exception:
        text = text_of(error)
    return {"error": text, "error_type": type(error).__name__}
