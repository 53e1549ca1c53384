"""Functions, errors and times in the form of spans."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import StatusCode

from antflow import Stage
from antflow_otel._spans import (
    describe_attempts,
    function_name,
    record_exception,
    replace_surrogates,
    safe_str,
    stacktrace,
    to_nanoseconds,
    type_name,
)

HERE = "tests.packages.otel.test_spans"


async def task(value: Any) -> Any:
    return value


@functools.wraps(task)
async def wrapped(value: Any) -> Any:
    return await task(value)


class Called:
    async def __call__(self, value: Any) -> Any:
        return value

    async def method(self, value: Any) -> Any:
        return value


class Custom(Exception):
    """An error of a module's own."""


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError


def test_time_is_in_nanoseconds() -> None:
    assert to_nanoseconds(1.5) == 1_500_000_000


@pytest.mark.parametrize(
    ("text", "shown"), [("plain", "plain"), ("délai €", "délai €"), ("a\udcff", "a\\udcff")]
)
def test_a_text_is_left_as_it_is_unless_utf8_lacks_it(text: str, shown: str) -> None:
    assert replace_surrogates(text) == shown
    assert safe_str(text) == shown


def test_an_id_is_a_text() -> None:
    assert safe_str(12) == "12"
    assert safe_str(("a", 1)) == "('a', 1)"
    assert safe_str(Mute()) == "(a Mute that has no text)"


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (task, f"{HERE}.task"),
        (functools.partial(task), f"{HERE}.task"),
        (functools.partial(functools.partial(task)), f"{HERE}.task"),
        (wrapped, f"{HERE}.task"),
        (Called(), f"{HERE}.Called.__call__"),
        (Called().method, f"{HERE}.Called.method"),
        (str, "builtins.str"),
        (len, "builtins.len"),
        ("x".join, "?.str.join"),
    ],
)
def test_a_function_has_its_full_name(function: Any, name: str) -> None:
    assert function_name(function) == name


@pytest.mark.parametrize(
    ("error", "name"),
    [
        (ValueError(), "ValueError"),
        (Custom(), f"{HERE}.Custom"),
        (OSError(2, "no"), "FileNotFoundError"),
    ],
)
def test_an_error_has_the_canonical_name_of_its_class(error: BaseException, name: str) -> None:
    assert type_name(error) == name


def test_attempts_are_named_after_stage_and_task() -> None:
    steps = describe_attempts([Stage("One", 1, [task, len]), Stage("Two", 1, [task])])
    assert steps["One", "task"] == (
        "One task",
        {
            "antflow.stage.name": "One",
            "antflow.task.name": "task",
            "code.function.name": f"{HERE}.task",
        },
    )
    assert [name for name, _ in steps.values()] == ["One task", "One len", "Two task"]


def test_of_two_functions_with_one_name_none_is_named() -> None:
    def other(value: Any) -> Any:
        return value

    other.__name__ = "task"
    steps = describe_attempts([Stage("One", 1, [task, other, task])])
    assert steps["One", "task"] == (
        "One task",
        {"antflow.stage.name": "One", "antflow.task.name": "task"},
    )
    same = describe_attempts([Stage("One", 1, [task, task])])
    assert same["One", "task"][1]["code.function.name"] == f"{HERE}.task"


@pytest.mark.parametrize(
    ("error", "message"), [(Custom("no"), "no"), (Mute(), "(a Mute that has no text)")]
)
def test_a_span_says_what_it_failed_with(error: Exception, message: str) -> None:
    span: Any = TracerProvider(shutdown_on_exit=False).get_tracer("tests").start_span("span")
    try:
        raise error
    except Exception as raised:
        record_exception(span, raised)
    assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, message)
    assert span.attributes == {"error.type": type_name(error)}
    (event,) = span.events
    assert event.name == "exception"
    assert event.attributes["exception.type"] == type_name(error)
    assert event.attributes["exception.message"] == message
    assert "raise error" in event.attributes["exception.stacktrace"]


class Unshowable(Exception):
    @property
    def __notes__(self) -> list[str]:  # type: ignore[override]
        raise RuntimeError


def odd_syntax() -> SyntaxError:
    error = SyntaxError("odd")
    error.lineno, error.text = 1, 5  # type: ignore[assignment]
    return error


@pytest.mark.skipif(sys.version_info >= (3, 13), reason="Python 3.13 can show every error")
@pytest.mark.parametrize("make", [Unshowable, odd_syntax])
def test_of_an_error_that_cannot_be_shown_the_frames_are_told(
    make: Callable[[], Exception],
) -> None:
    def raises() -> None:
        raise make()

    with pytest.raises(Exception) as caught:  # noqa: PT011
        raises()
    trace = stacktrace(caught.value)
    assert "in raises" in trace
    assert f"{type_name(caught.value)}: (it cannot be shown in full)" in trace


def test_nor_do_frames_of_an_odd_file_hold_what_utf8_lacks() -> None:
    code = compile("def raises(error):\n    raise error", "odd\udcff.py", "exec")
    names: dict[str, Any] = {}
    exec(code, names)
    for error in (ValueError(), Unshowable()):
        with pytest.raises(type(error)):
            names["raises"](error)
        assert "odd\\udcff.py" in stacktrace(error)
