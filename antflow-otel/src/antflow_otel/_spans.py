"""What spans say of functions, of errors and of time, in a form that any exporter takes."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from traceback import format_exception, format_tb

from opentelemetry.trace import Span, StatusCode

from antflow import Stage, TaskFunc
from antflow.stage import task_name

from ._attributes import (
    ERROR,
    EXCEPTION_MESSAGE,
    EXCEPTION_STACKTRACE,
    EXCEPTION_TYPE,
    FUNCTION,
    STAGE,
    TASK,
)


def nanoseconds(timestamp: float) -> int:
    """Return a Unix time in seconds as spans have it."""
    return int(timestamp * 1e9)


def plain(text: str) -> str:
    """Return a text without lone surrogates, which OTLP cannot carry: a batch would be lost."""
    if text.isascii():
        return text
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def text_of(thing: object) -> str:
    """Return an id or an error as text, also where it cannot be had."""
    try:
        return plain(str(thing))
    except Exception:
        return plain(f"(a {type(thing).__name__} that has no text)")


def type_name(error: BaseException) -> str:
    """Return the canonical name of an error's class."""
    kind = type(error)
    name = kind.__qualname__ if kind.__module__ == "builtins" else _dotted(kind)
    return plain(name)


def function_name(task: TaskFunc) -> str:
    """Return the full name of a task's function: its partial's, or its type's `__call__`."""
    if isinstance(task, partial):
        return function_name(task.func)
    if isinstance(getattr(task, "__qualname__", None), str):
        return plain(_dotted(task))
    return plain(f"{_dotted(type(task))}.__call__")


def _dotted(named: object) -> str:
    return f"{getattr(named, '__module__', None) or '?'}.{getattr(named, '__qualname__', '?')}"


def stacktrace(error: BaseException) -> str:
    """Return the traceback of an error, also where its notes or its arguments cannot be shown."""
    try:
        return plain("".join(format_exception(error)))
    except Exception:
        frames = "".join(format_tb(error.__traceback__))
        return plain(f"{frames}{type_name(error)}: (it cannot be shown in full)")


def note_error(span: Span, error: BaseException) -> None:
    """Have a span say that it failed, and with what."""
    name, message = type_name(error), text_of(error)
    span.add_event(
        "exception",
        {
            EXCEPTION_TYPE: name,
            EXCEPTION_MESSAGE: message,
            EXCEPTION_STACKTRACE: stacktrace(error),
        },
    )
    note_failure(span, name, message)


def note_failure(span: Span, error_type: str, message: str) -> None:
    """Have a span say that it failed, without the traceback, which another one has."""
    span.set_attribute(ERROR, error_type)
    span.set_status(StatusCode.ERROR, message)


def name_steps(stages: Iterable[Stage]) -> dict[tuple[str, str], tuple[str, dict[str, str]]]:
    """Return the name and attributes of attempts, by the names of stage and task.

    Which function it is is left out where two of one stage have the same name.
    """
    steps: dict[tuple[str, str], tuple[str, dict[str, str]]] = {}
    for stage in stages:
        for task in stage.tasks:
            name = task_name(task)
            attributes = {
                STAGE: plain(stage.name),
                TASK: plain(name),
                FUNCTION: function_name(task),
            }
            known = steps.get((stage.name, name))
            if known is not None and known[1].get(FUNCTION) != attributes[FUNCTION]:
                del attributes[FUNCTION]
            steps[stage.name, name] = plain(f"{stage.name} {name}"), attributes
    return steps
