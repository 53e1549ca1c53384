"""The spans of a run and its items: names, attributes and outcomes."""

from __future__ import annotations

import asyncio
import functools
import threading
from typing import Any

import pytest
from opentelemetry import baggage
from opentelemetry.context import attach
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import INVALID_SPAN, SpanKind, get_current_span

from antflow import hookimpl
from tests.helpers.shown_errors import can_be_shown
from tests.helpers.virtual_time import simulate
from tests.packages.otel.metering import Metered
from tests.packages.otel.tracing import Traced, attributes_of, ids, is_error, same, stage

pytestmark = pytest.mark.usefixtures("no_complaints")


def fails(*times: int, error: type[BaseException] = ValueError) -> Any:
    """Return a task that raises at its calls of these numbers, from 1."""
    calls = 0

    async def work(value: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls in times:
            raise error(f"call {calls}")
        return value

    return work


def raises(error: BaseException) -> Any:
    async def task(value: Any) -> Any:
        raise error

    return task


async def other(value: Any) -> Any:
    return value


# Success


def test_an_item_is_a_trace_with_its_visits_and_attempts() -> None:
    traced = Traced()
    simulate(lambda: traced.pipeline(stage("A"), stage("B", tasks=[same, other])).run(["x"]))
    assert traced.tree() == [
        "run letters",
        *("letters", "  A", "    A same", "  B", "    B same", "    B other"),
    ]
    assert traced.outcomes() == {}
    known = {ids(span)[1]: span for span in traced.spans}
    for span in traced.spans:
        assert span.kind is SpanKind.INTERNAL
        scope = span.instrumentation_scope
        assert scope is not None
        assert (scope.name, bool(scope.version)) == ("antflow_otel", True)
        assert scope.schema_url == "https://opentelemetry.io/schemas/1.33.0"
        parent = known[span.parent.span_id] if span.parent else span
        times: list[Any] = [parent.start_time, span.start_time, span.end_time, parent.end_time]
        assert times == sorted(times)


def test_spans_have_the_attributes_of_what_they_represent() -> None:
    traced = Traced()
    simulate(lambda: traced.pipeline(stage()).run([{"id": "one", "value": 1}]))
    item = attributes_of(traced.only("letters"))
    of_run = {"antflow.pipeline.name": "letters", "antflow.run.id": item["antflow.run.id"]}
    assert item == {**of_run, "antflow.item.id": "one"}
    run = attributes_of(traced.only("run letters"))
    assert run == {**of_run, "antflow.run.total_items": 1}
    visit = attributes_of(traced.only("Work"))
    assert visit.pop("antflow.stage.queue_wait") > 0
    assert visit == {
        "antflow.pipeline.name": "letters",
        "antflow.stage.name": "Work",
        "antflow.worker.name": "Work-W0",
    }
    assert attributes_of(traced.only("Work same")) == {
        "antflow.stage.name": "Work",
        "antflow.task.name": "same",
        "antflow.attempt.number": 1,
        "code.function.name": "tests.packages.otel.metering.same",
    }


@functools.wraps(other)
async def wrapped(value: Any) -> Any:
    return await other(value)


class Called:
    async def __call__(self, value: Any) -> Any:
        return value

    async def method(self, value: Any) -> Any:
        return value


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (functools.partial(other), f"{__name__}.other"),
        (functools.partial(functools.partial(other)), f"{__name__}.other"),
        (wrapped, f"{__name__}.other"),
        (Called(), f"{__name__}.Called.__call__"),
        (Called().method, f"{__name__}.Called.method"),
        (str, "builtins.str"),
        (repr, "builtins.repr"),
        ("x".join, "?.str.join"),
    ],
)
def test_an_attempt_has_the_full_name_of_its_function(function: Any, name: str) -> None:
    traced = Traced()
    simulate(lambda: traced.pipeline(stage(task=function)).run(["x"]), threads=True)
    (attempt,) = (s for s in traced.spans if "antflow.attempt.number" in attributes_of(s))
    assert attributes_of(attempt)["code.function.name"] == name


def test_of_two_functions_with_one_name_neither_is_named() -> None:
    async def another(value: Any) -> Any:
        return value

    another.__name__ = "same"
    traced = Traced()
    pipeline = traced.pipeline(stage(tasks=[same, another, same]), stage("Next", tasks=[same]))
    simulate(lambda: pipeline.run([1]))
    named = ["code.function.name" in attributes_of(s) for s in traced.named("Work same")]
    assert named == [False] * 3
    assert "code.function.name" in attributes_of(traced.only("Next same"))


def test_a_task_runs_in_its_attempt_in_a_thread_too() -> None:
    traced = Traced()
    threads: set[str] = set()

    async def ask(value: Any) -> Any:
        with traced.tracer.start_as_current_span("asked"):
            await asyncio.sleep(1)
        return value

    def ask_in_a_thread(value: Any) -> None:
        threads.add(threading.current_thread().name)
        with traced.tracer.start_as_current_span("asked"):
            pass

    pipeline = traced.pipeline(stage("A", ask), stage(task=ask_in_a_thread))
    simulate(lambda: pipeline.run(list("ab")), threads=True)
    below = [
        *("letters", "  A", "    A ask", "      asked"),
        *("  Work", "    Work ask_in_a_thread", "      asked"),
    ]
    assert traced.tree() == ["run letters", *below, *below]
    assert "MainThread" not in threads


@pytest.mark.parametrize("feed_context", ["link", "child"])
@pytest.mark.parametrize("trace", ["item", "run"])
def test_outside_of_attempts_the_span_of_the_run_is_current(trace: str, feed_context: str) -> None:
    traced, seen = Traced(trace=trace, feed_context=feed_context), []

    def look(*_: Any) -> None:
        seen.append(get_current_span().get_span_context().span_id)

    async def main() -> None:
        one = traced.pipeline(stage(on_success=look, skip_if=look))
        with traced.tracer.start_as_current_span("request") as request:
            await one.start()
            assert get_current_span() is request
            await one.process(1)
            assert get_current_span() is request
        await one.process(2)
        await one.shutdown()
        assert get_current_span() is INVALID_SPAN

    simulate(main)
    assert seen == [ids(traced.only("run letters"))[1]] * 4


def test_a_context_that_a_task_attaches_ends_with_it() -> None:
    traced, seen = Traced(), []

    async def attaches(value: Any) -> Any:
        seen.append(baggage.get_baggage("left"))
        attach(baggage.set_baggage("left", "behind"))
        return value

    simulate(lambda: traced.pipeline(stage(task=attaches, workers=1)).run(range(3)))
    assert seen == [None] * 3


def test_a_stage_that_an_item_skips_is_no_visit() -> None:
    traced = Traced()
    skipping = stage("B", skip_if=lambda value: value == 1)
    simulate(lambda: traced.pipeline(stage("A"), skipping).run([1]))
    assert traced.tree() == ["run letters", "letters", "  A", "    A same"]
    assert traced.outcomes() == {}


# Retries and failures

FAILED = {"letters": [("failed", True)], "Work": [("failed", False)]}
TWICE = [("retried", True), ("failed", True)]


@pytest.mark.parametrize(
    ("options", "tree", "outcomes"),
    [
        (
            {"task": fails(1), "task_attempts": 3},
            ["Work", "  Work work", "  Work work"],
            {"Work work": [("retried", True)]},
        ),
        (
            {"task": fails(1, 2), "task_attempts": 2},
            ["Work", "  Work work", "  Work work"],
            {**FAILED, "Work work": TWICE},
        ),
        (
            {"tasks": [same, fails(1)], "retry": "per_stage", "stage_attempts": 2},
            ["Work", "  Work same", "  Work work"] * 2,
            {"Work": [("retried", False)], "Work work": [("retried", True)]},
        ),
        (
            {"task": fails(1, 2), "retry": "per_stage", "stage_attempts": 2},
            ["Work", "  Work work"] * 2,
            {**FAILED, "Work": [("retried", False), ("failed", False)], "Work work": TWICE},
        ),
        (
            {"task": fails(1, error=asyncio.CancelledError)},
            ["Work", "  Work work"],
            {**FAILED, "Work work": [("failed", True)]},
        ),
    ],
    ids=["healed", "failed", "stage healed", "stage failed", "raised a cancellation"],
)
def test_a_retry_is_an_error_of_the_attempt_and_a_failure_also_of_the_item(
    options: Any, tree: list[str], outcomes: Any
) -> None:
    traced = Traced()
    simulate(lambda: traced.pipeline(stage(**options)).run([1]))
    assert traced.tree() == ["run letters", "letters", *(f"  {line}" for line in tree)]
    assert traced.outcomes() == outcomes
    attempts = traced.named("Work work")
    numbers = [attributes_of(attempt)["antflow.attempt.number"] for attempt in attempts]
    assert numbers == list(range(1, len(attempts) + 1))
    assert ["error.type" in attributes_of(each) for each in attempts] == list(
        map(is_error, attempts)
    )


def test_a_failure_has_its_class_message_and_traceback() -> None:
    traced = Traced()
    one = stage(task=fails(1, 2, error=LookupError), task_attempts=2, task_wait_seconds=2)
    simulate(lambda: traced.pipeline(one, stage("Next")).run([1]))
    item, (first, last) = traced.only("letters"), traced.named("Work work")
    assert attributes_of(item)["error.type"] == "LookupError"
    assert item.status.description == last.status.description == "call 2"
    assert not item.events
    assert attributes_of(first)["antflow.attempt.delay"] == 2
    assert "antflow.attempt.delay" not in attributes_of(last)
    (event,) = last.events
    attributes = dict(event.attributes or {})
    assert event.name == "exception"
    assert attributes["exception.type"] == "LookupError"
    assert attributes["exception.message"] == "call 2"
    assert "in work" in str(attributes["exception.stacktrace"])
    run = traced.only("run letters")
    assert attributes_of(run)["antflow.run.failed_items"] == 1
    assert not is_error(run)


class Custom(Exception):
    """An error of a module's own."""


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError


class Unshowable(Exception):
    @property
    def __notes__(self) -> list[str]:  # type: ignore[override]
        raise RuntimeError


def odd_syntax() -> SyntaxError:
    error = SyntaxError("odd")
    error.lineno, error.text = 1, 5  # type: ignore[assignment]
    return error


@pytest.mark.parametrize(
    ("error", "name", "message"),
    [
        (OSError(2, "no"), "FileNotFoundError", "[Errno 2] no"),
        (Custom("délai €"), f"{__name__}.Custom", "délai €"),
        (Mute(), f"{__name__}.Mute", "(a Mute that has no text)"),
        (Unshowable("no"), f"{__name__}.Unshowable", "no"),
        (odd_syntax(), "SyntaxError", "odd (line 1)"),
        (ValueError("\udcff"), "ValueError", "\\udcff"),
        (ExceptionGroup("\ud800", [KeyError()]), "ExceptionGroup", "\\ud800 (1 sub-exception)"),
    ],
    ids=lambda each: type(each).__name__ if isinstance(each, Exception) else "",
)
def test_every_error_can_be_shown_and_exported(error: Exception, name: str, message: str) -> None:
    error.__cause__ = ValueError("\udc80")
    traced = Traced()
    one = traced.pipeline(stage(task=raises(error)))
    simulate(lambda: one.run([1]))
    assert not one.plugin_faults
    assert traced.outcomes() == {**FAILED, "Work task": [("failed", True)]}
    attempt = traced.only("Work task")
    assert (attributes_of(attempt)["error.type"], attempt.status.description) == (name, message)
    assert attributes_of(traced.only("letters"))["error.type"] == name
    shown = str((attempt.events[0].attributes or {})["exception.stacktrace"])
    assert "in task" in shown
    is_cut = f"{name}: (it cannot be shown in full)" in shown
    assert is_cut is not can_be_shown(error)
    assert is_cut or "\\udc80" in shown
    assert encode_spans(traced.spans).SerializeToString()


def test_names_that_utf8_cannot_encode_can_be_exported() -> None:
    code = compile("async def odd(value):\n    raise error", "odd\udcff.py", "exec")
    names: dict[str, Any] = {"error": Unshowable(), "__name__": "mod\udcff"}
    exec(code, names)
    traced = Traced()
    one = traced.pipeline(stage("St\udcffage", names["odd"]), name="pipe\udcff")
    simulate(lambda: one.run([{"id": "\udcff"}, {"id": Mute()}]))
    assert not one.plugin_faults
    items = [attributes_of(item)["antflow.item.id"] for item in traced.named("pipe\\udcff")]
    assert items == ["\\udcff", "(a Mute that has no text)"]
    assert encode_spans(traced.spans).SerializeToString()


# Beside other plugins


class Looking:
    """A plugin that notes the current span in each hook."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    @hookimpl(tryfirst=True)
    def antflow_task_start(self) -> None:
        span = get_current_span()
        assert isinstance(span, ReadableSpan)
        assert span.is_recording()
        self.seen.append(span.name)

    @hookimpl
    def antflow_task_success(self) -> None:
        self.antflow_task_start()

    antflow_task_retry = antflow_task_failure = antflow_task_success
    antflow_pipeline_start = antflow_pipeline_finish = antflow_task_success


@pytest.mark.parametrize("with_metrics", [True, False])
def test_hooks_of_other_plugins_are_called_inside_of_the_attempt_or_the_run(
    with_metrics: bool,
) -> None:
    looking = Looking()
    traced = Traced(meter_provider=Metered().provider if with_metrics else None)
    one = traced.pipeline(stage(task=fails(1, 3), task_attempts=2, workers=1), plugins=[looking])
    simulate(lambda: one.run([1, 2]))
    assert looking.seen == ["run letters", *["Work work"] * 6, "run letters"]
    assert one.plugin_faults == {}
