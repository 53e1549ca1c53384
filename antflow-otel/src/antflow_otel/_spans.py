"""Formats functions, errors and times for spans, in a form that every exporter accepts."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from traceback import format_exception, format_tb

from opentelemetry.trace import Span, StatusCode

from antflow import Stage, TaskEvent, TaskFunc
from antflow.stage import task_name

from ._attributes import (
    ERROR,
    EXCEPTION_MESSAGE,
    EXCEPTION_STACKTRACE,
    EXCEPTION_TYPE,
    FUNCTION,
    LIMIT,
    LIMIT_WAIT,
    STAGE,
    TASK,
)


def to_nanoseconds(timestamp: float) -> int:
    """Return a Unix time in seconds as the integer that spans take."""
    return int(timestamp * 1e9)


def replace_surrogates(text: str) -> str:
    """Return a text without lone surrogates: one of them would lose a whole batch in OTLP."""
    if text.isascii():
        return text
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def safe_str(thing: object) -> str:
    """Return an id or an error as text, even if its `__str__` raises."""
    try:
        return replace_surrogates(str(thing))
    except BaseException:  # users' classes: not even a SystemExit there may end the run
        return replace_surrogates(f"(a {type(thing).__name__} that has no text)")


def type_name(error: BaseException) -> str:
    """Return the canonical name of an error's class."""
    kind = type(error)
    name = kind.__qualname__ if kind.__module__ == "builtins" else _dotted_name(kind)
    return replace_surrogates(name)


def function_name(task: TaskFunc) -> str:
    """Return the full name of a task's function: its partial's, or its type's `__call__`."""
    if isinstance(task, partial):
        return function_name(task.func)
    if isinstance(getattr(task, "__qualname__", None), str):
        return replace_surrogates(_dotted_name(task))
    return replace_surrogates(f"{_dotted_name(type(task))}.__call__")


def _dotted_name(named: object) -> str:
    return f"{getattr(named, '__module__', None) or '?'}.{getattr(named, '__qualname__', '?')}"


def stacktrace(error: BaseException) -> str:
    """Return the traceback of an error, even if its notes or arguments cannot be shown."""
    try:
        return replace_surrogates("".join(format_exception(error)))
    except Exception:
        # The frames alone call no code of the exception.
        frames = "".join(format_tb(error.__traceback__))
        return replace_surrogates(f"{frames}{type_name(error)}: (it cannot be shown in full)")


def record_exception(span: Span, error: BaseException) -> None:
    """Record an exception with its traceback, and set the span's status to error."""
    name, message = type_name(error), safe_str(error)
    span.add_event(
        "exception",
        {
            EXCEPTION_TYPE: name,
            EXCEPTION_MESSAGE: message,
            EXCEPTION_STACKTRACE: stacktrace(error),
        },
    )
    set_error(span, name, message)


def record_limit_wait(span: Span, event: TaskEvent) -> None:
    """Record when an item began to wait for a limit before an attempt, and for how long.

    Args:
        event: its start.
    """
    if event.limit is not None:
        span.add_event(
            "antflow.limit.wait",
            {LIMIT: replace_surrogates(event.limit), LIMIT_WAIT: event.limit_wait},
            to_nanoseconds(event.timestamp - event.limit_wait),
        )


def set_error(span: Span, error_type: str, message: str) -> None:
    """Set the span's status to error; the traceback is in the span of the attempt."""
    span.set_attribute(ERROR, error_type)
    span.set_status(StatusCode.ERROR, message)


def describe_attempts(stages: Iterable[Stage]) -> dict[tuple[str, str], tuple[str, dict[str, str]]]:
    """Return the span names and attributes of attempts, by the names of stage and task.

    The function's name is left out where two functions of one stage have the same task name.
    """
    attempts: dict[tuple[str, str], tuple[str, dict[str, str]]] = {}
    for stage in stages:
        for task in stage.tasks:
            name = task_name(task)
            attributes = {
                STAGE: replace_surrogates(stage.name),
                TASK: replace_surrogates(name),
                FUNCTION: function_name(task),
            }
            known = attempts.get((stage.name, name))
            # Events name a task, not its function.
            if known is not None and known[1].get(FUNCTION) != attributes[FUNCTION]:
                del attributes[FUNCTION]
            attempts[stage.name, name] = replace_surrogates(f"{stage.name} {name}"), attributes
    return attempts
