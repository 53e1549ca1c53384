"""`Lifespan`, the context manager around one run, which a single task enters, holds and leaves."""

from __future__ import annotations

import inspect
import logging
from asyncio import CancelledError, Event, Future, get_running_loop
from contextlib import AbstractAsyncContextManager, suppress
from contextvars import Context
from typing import Any

from antflow._cancellation import HOOK_SECONDS, cancellations, is_closing, present_task
from antflow._engine.base.run_state import RunState
from antflow._engine.base.user_awaitable import UserAwaitable
from antflow._errors.safe_logging import log_error
from antflow._errors.texts import short
from antflow.builder import LifespanFunc
from antflow.exceptions import PipelineError

REMEDY = "give a function of the pipeline that is decorated with contextlib.asynccontextmanager"

_logger = logging.getLogger(__name__)


class Lifespan:
    """Enters the lifespan before the first item of a run, and leaves it after the last worker.

    Args:
        run: the state of the run; `run.state` is what the context manager yields.
        function: returns the context manager; called with the pipeline.
    """

    # In a task of its own: cancel scopes and task groups must be left in the task that entered
    # them, and no task of the run begins before it and ends after it.

    def __init__(self, run: RunState, function: LifespanFunc) -> None:
        self._run = run
        self._function = function
        self._call: UserAwaitable | None = None  # once it is being entered
        self._entered: Future[None] | None = None
        self._leaving = Event()
        self._was_cancelled = False  # while workers ran

    async def enter(self, pipeline: object, context: Context) -> None:
        """Enter it; its error ends the run.

        Args:
            context: in which it runs; variables that it sets are set for the workers, too.
        """
        self._entered = get_running_loop().create_future()
        self._call = UserAwaitable(self._hold(pipeline), context)
        try:
            raised = await self._error_of(self._call, None, self._entered)
        finally:
            if not self._entered.done():
                self._leaving.set()  # in case it ignores its cancellation, and enters later
        if raised is not None:
            # Not raised: asyncio would raise an interrupt through the loop.
            self._note_error(raised, "entering")
            self._run.abort()

    async def leave(self) -> None:
        """Leave it if it was entered; its error becomes the run's, unless there is one already."""
        call, self._call = self._call, None  # a kept error would keep the frames of the run
        if call is None or self._entered is None or not self._entered.done():
            return
        self._leaving.set()
        try:
            seconds = HOOK_SECONDS if self._run.is_aborted or cancellations() else None
            raised = await self._error_of(call, seconds)
        except CancelledError:
            raised = None  # the caller finds it in `cancelling()` of its task
        if raised is None and self._was_cancelled:
            raised = _cancelled_error(self._run.name)
        if raised is not None:
            self._note_error(raised, "leaving")

    async def _error_of(
        self, call: UserAwaitable, seconds: float | None, until: Future[None] | None = None
    ) -> BaseException | None:
        """Wait as `UserAwaitable.wait` does, and return what the lifespan raises."""
        this = present_task()
        try:
            await call.wait(seconds, until)
        except BaseException as error:
            if is_closing(error, this):
                raise
            if not isinstance(error, CancelledError):
                return error
            if cancellations():
                raise
            return _cancelled_error(self._run.name)
        return None

    def _note_error(self, error: BaseException, moment: str) -> None:
        """Make an error the run's; log it if what waits for the run gets another."""
        run = self._run
        with suppress(Exception):  # an odd class may take no note
            error.add_note(f"raised on {moment} the lifespan of pipeline {run.name!r}")
        # What cancelled a run gets a CancelledError.
        if run.error is not None or (run.is_aborted and not self._was_cancelled):
            text = "Pipeline %r: its lifespan raised on %s."
            log_error(_logger, error, text, run.name, moment)
        run.error = run.error or error

    @property
    def is_begun(self) -> bool:
        """Whether it has been entered, or was to be, and is not left."""
        return self._call is not None

    def is_task(self, task: object) -> bool:
        """Return whether a task is the one in which the lifespan was entered."""
        return self._call is not None and task is not None and task is self._call.task

    async def _hold(self, pipeline: object) -> None:
        assert self._entered is not None
        manager = self._function(pipeline)
        _check_manager(manager, self._run.name)
        try:
            async with manager as self._run.state:
                self._entered.set_result(None)
                await self._wait_leaving()
        finally:
            self._run.state = None

    async def _wait_leaving(self) -> None:
        """Wait for the last worker; a cancellation aborts the run first, and is raised after it."""
        # Of the lifespan's own TaskGroup, or of asyncio.run at its end.
        cancelled: CancelledError | None = None
        while not self._leaving.is_set():
            try:
                await self._leaving.wait()
            except CancelledError as error:
                cancelled = error
                # Once: anyio cancels again and again, which would cut what workers clean up.
                if not (self._was_cancelled or self._leaving.is_set()):
                    self._was_cancelled = True
                    self._run.abort()
        if cancelled is not None:
            raise cancelled


def checked_lifespan(function: Any, pipeline: str) -> LifespanFunc | None:
    """Return the value of `lifespan` if it can be one.

    Raises:
        PipelineError: it is neither None nor a function that may return a context manager.
    """
    if function is None:
        return None
    what = None
    if hasattr(type(function), "__aenter__"):
        what = "a context manager already, which could be entered for one run only"
    elif not callable(function):
        what = f"of type {type(function).__name__}"
    elif inspect.isasyncgenfunction(function) or inspect.isgeneratorfunction(function):
        what = "a generator function without its decorator"
    elif inspect.iscoroutinefunction(function):
        what = "a coroutine function"
    elif not _takes_one(function):
        what = f"a function of {inspect.signature(function)}"
    if what is not None:
        raise PipelineError(
            f"lifespan={short(function)} of pipeline {pipeline!r} is {what}; {REMEDY}"
        )
    checked: LifespanFunc = function
    return checked


def _takes_one(function: Any) -> bool:
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # functions in C may have no signature
        return True
    try:
        signature.bind(None)
    except TypeError:
        return False
    return True


def _check_manager(manager: object, pipeline: str) -> None:
    if isinstance(manager, AbstractAsyncContextManager):
        return
    if inspect.iscoroutine(manager):
        manager.close()  # or Python would warn that it is never awaited
    raise PipelineError(
        f"The lifespan of pipeline {pipeline!r} returned {short(manager)}, which is no async "
        f"context manager; {REMEDY}"
    )


def _cancelled_error(pipeline: str) -> PipelineError:
    return PipelineError(
        f"Pipeline {pipeline!r} was stopped: the task of its lifespan was cancelled from outside "
        "of the pipeline or by the lifespan itself. Raise an exception, or call shutdown(), to "
        "stop the pipeline."
    )
