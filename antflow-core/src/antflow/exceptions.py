"""The errors and the warning of antflow.

AntFlowError
├── PipelineError                 a pipeline was defined or used wrongly
│   ├── StageValidationError      a stage's configuration is invalid
│   ├── PipelineFullError         there is no room, and `submit_nowait` does not wait
│   ├── TooManyFailuresError      more items failed than `max_failures` allows
│   └── ItemsFailedError          items failed in a run with `raise_failures` (an ExceptionGroup)
├── ItemDroppedError              a dropped item has no value
├── AttemptTimeoutError           an attempt took more than `task_timeout` (a TimeoutError, too)
├── ItemTimeoutError              an item took more than `item_timeout` (a TimeoutError, too)
├── RetryAfter                    a task asks for another attempt after some seconds
├── GiveUp                        a task asks for no other attempt
├── ExecutorShutdownError         an executor takes no more calls
├── PluginError                   a plugin cannot take part, refuses a run, or raised in strict mode
└── TaskFailedError               a task raised CancelledError; your programs may raise it, too

PluginWarning                     a plugin is left out, or something around plugins is wrong
"""

from __future__ import annotations

from collections.abc import Sequence
from copyreg import __newobj__  # type: ignore[attr-defined]
from typing import Any, Self

MAX_GROUPED_ERRORS = 100  # a group prints the traceback of each
MAX_SECONDS = 10.0**9  # 30 years: a longer wait is a mistake, such as infinity


def text_of(error: BaseException) -> str:
    """Return an error's text on one line, or a placeholder if its `__str__` raises."""
    try:
        return " ".join(str(error).split())
    # Users' classes: reporting an error must not raise another, nor end the process as SystemExit.
    except BaseException as problem:
        return f"(no text: {type(problem).__name__} in __str__)"


class AntFlowError(Exception):
    """Base of antflow's own errors; a wrong argument may also raise ValueError or TypeError."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle and copy the error with its attributes."""
        # Python would call the class with `args` alone, which lacks the other arguments.
        return __newobj__, (type(self), *self.args), vars(self)


class PipelineError(AntFlowError):
    """A pipeline was defined or used wrongly; the text names the mistake and the remedy."""


class StageValidationError(PipelineError):
    """A stage's configuration is invalid; the text names the stage and the remedy."""


class PipelineFullError(PipelineError):
    """A pipeline has no room for another item, and the caller does not wait."""


class TooManyFailuresError(PipelineError):
    """More items failed than `Pipeline(max_failures=...)` allows, so the run was stopped.

    Args:
        text: how many items failed, and of what.
        results: the successes, in input order, as in `pipeline.results`.
        failures: the failures, in input order, as in `pipeline.failures`. Those that the consumer
            of a stream or the caller of `process` has received already are not among them.
        unprocessed: the items that had not ended; `feed` takes them back.
    """

    def __init__(
        self,
        text: str,
        *,
        results: Sequence[Any] = (),
        failures: Sequence[Any] = (),
        unprocessed: Sequence[Any] = (),
    ) -> None:
        super().__init__(text)
        self.results = [*results]
        self.failures = [*failures]
        self.unprocessed = [*unprocessed]


class ItemsFailedError(ExceptionGroup[Exception], PipelineError):
    """Items failed in a run with `raise_failures=True`; a group of their errors.

    The group has the errors of the first 100 failures at most, in input order. A CancelledError
    that a task raised is in it as the cause of a TaskFailedError. Groups that are split off have
    the same `results` and `failures`.

    Args:
        text: how many items failed, and of what.
        errors: the errors.
        results: the successes, in input order.
        failures: all failures, in input order.
    """

    results: list[Any]
    failures: list[Any]

    def __new__(
        cls,
        text: str,
        errors: Sequence[Exception],
        *,
        results: Sequence[Any] = (),
        failures: Sequence[Any] = (),
    ) -> Self:
        """Make a group, as ExceptionGroup does, and set its results."""
        # In `__new__`, where ExceptionGroup takes its arguments: `derive` must pass the results on.
        self = super().__new__(cls, text, errors)
        self.results = [*results]
        self.failures = [*failures]
        return self

    def __init__(
        self,
        text: str,
        errors: Sequence[Exception],
        *,
        results: Sequence[Any] = (),
        failures: Sequence[Any] = (),
    ) -> None:
        super().__init__(text, errors)

    def derive(self, errors: Sequence[Exception], /) -> ItemsFailedError:  # type: ignore[override]
        """Return a group of some of the errors, as `split`, `subgroup` and `except*` need it."""
        return ItemsFailedError(self.message, errors, results=self.results, failures=self.failures)


class ItemDroppedError(AntFlowError):
    """The value of a dropped item was asked for.

    Args:
        text: which item was dropped, and why.
        reason: why, as in `PipelineResult.reason`.
    """

    def __init__(self, text: str, *, reason: str | None = None) -> None:
        super().__init__(text)
        self.reason = reason


class AttemptTimeoutError(AntFlowError, TimeoutError):
    """An attempt took more than the `task_timeout` of its stage; it is retried like any error."""


class ItemTimeoutError(AntFlowError, TimeoutError):
    """An item took more than the `item_timeout` of its stage; it is not retried."""


class RetryAfter(AntFlowError):  # noqa: N818 - named after the header
    """Raised by a task, to be tried again after some seconds; that uses up an attempt.

    `retry_on` and `never_retry` are not asked. If no attempt is left, the item fails with the
    cause, or with this error if it has none.

    Args:
        seconds: until the next attempt, as a server's Retry-After says.
        cause: the error because of which the task asks for it.
        pause: whether no attempt of the stage may start until then: True pauses all limits of the
            stage, those with keys for the item's key alone; a name pauses that limit.

    Raises:
        ValueError: `seconds` is not a number of seconds, 0 or more.
        TypeError: `cause` is not an exception, or `pause` is neither a bool nor a name.
    """

    cause: BaseException | None = None  # for subclasses whose `__init__` does not call this one
    pause: bool | str = False

    def __init__(
        self, seconds: float, cause: BaseException | None = None, *, pause: bool | str = False
    ) -> None:
        is_number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
        if not is_number or not 0 <= seconds <= MAX_SECONDS:
            raise ValueError(
                f"RetryAfter got {seconds!r}; give seconds, 0 or more, at most {MAX_SECONDS:,.0f}"
            )
        if cause is not None and not isinstance(cause, BaseException):
            raise TypeError(f"cause of RetryAfter is {cause!r}; give an exception or None")
        if not isinstance(pause, bool | str):
            raise TypeError(f"pause of RetryAfter is {pause!r}; give True, or the name of a limit")
        super().__init__(seconds, cause)  # so that it can be pickled
        self.seconds = seconds
        self.cause = cause
        self.pause = pause

    def __str__(self) -> str:
        reason = "" if self.cause is None else f": {text_of(self.cause)}"
        return f"try again after {self.seconds:g} seconds{reason}"


class GiveUp(AntFlowError):  # noqa: N818 - named after what the task asks for
    """Raised by a task, so that its item fails at once with the cause.

    Args:
        cause: the error of the item.

    Raises:
        TypeError: `cause` is not an exception.
    """

    def __init__(self, cause: BaseException) -> None:
        if not isinstance(cause, BaseException):
            raise TypeError(f"cause of GiveUp is {cause!r}; give an exception, as GiveUp(error)")
        super().__init__(cause)
        self.cause = cause

    def __str__(self) -> str:
        return text_of(self.cause)


class ExecutorShutdownError(AntFlowError):
    """An executor was shut down, or has ended, and takes no more calls."""


class PluginError(AntFlowError):
    """A plugin cannot take part, refuses a run, or raised while `ANTFLOW_STRICT_PLUGINS` is set.

    A plugin raises it in `antflow_pipeline_start` to end the run before its first item.

    Args:
        text: what is wrong, and what to do about it.
        plugin: the plugin's name; if it is left out in a hook, antflow fills it in.
        hook: name of the hook that raised; None for a plugin that cannot take part.
        item_id: id of the item of the hook's event; None if there is no such item.
    """

    def __init__(
        self, text: str, *, plugin: str = "", hook: str | None = None, item_id: object = None
    ) -> None:
        super().__init__(text)
        self.plugin = plugin
        self.hook = hook
        self.item_id = item_id


class PluginWarning(UserWarning):
    """A plugin is left out, or a setting about plugins is wrong; the text has the remedy."""


class TaskFailedError(AntFlowError):
    """A task has failed; your programs may raise it, too.

    antflow itself raises it in place of a CancelledError that a task raised, which would look like
    a cancellation of the caller: in `PipelineResult.unwrap` and `ItemsFailedError`. The `error` of
    a failed item is always the exception of its task.

    Args:
        task_name: the name of the task; where antflow raises it, of the stage.
        original_exception: the exception that the task raised.
    """

    def __init__(self, task_name: str, original_exception: BaseException) -> None:
        try:
            text = repr(original_exception)
        except BaseException:
            text = type(original_exception).__name__
        super().__init__(f"Task {task_name!r} failed: {text}")
        self.task_name = task_name
        self.original_exception = original_exception


def as_exception(error: BaseException, stage: str | None) -> Exception:
    """Return the exception to raise for an item's error: itself, or a TaskFailedError it causes."""
    # A CancelledError raised as it is would cancel the caller's task, and no group may hold one.
    if isinstance(error, Exception):
        return error
    failed = TaskFailedError(stage or "", error)
    failed.__cause__ = error
    return failed
