"""The spans of a run, for each outcome of items and attempts."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry import baggage
from opentelemetry.context import attach, detach
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, ParentBased, Sampler
from opentelemetry.trace import INVALID_SPAN, SpanKind, get_current_span

from antflow import (
    Backoff,
    GiveUp,
    Pipeline,
    PipelineResult,
    RetryAfter,
    Stage,
    StatusEvent,
    TaskEvent,
    current_item,
    hookimpl,
)
from antflow_otel import OTel
from antflow_otel import _trace_observer as _traces
from antflow_otel._trace_observer import TraceObserver
from tests.helpers.virtual_time import others, settle, simulate
from tests.packages.otel.metering import Metered
from tests.packages.otel.tracing import (
    Traced,
    complaints,
    context_of,
    ids,
    is_error,
    links_of,
    same,
    stage,
)

LONG = 1000.0


@pytest.fixture(autouse=True)
def nothing_is_complained_of(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    yield
    assert complaints(caplog.get_records("call")) == []


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


async def other(value: Any) -> Any:
    return value


async def sleeps(value: Any) -> Any:
    await asyncio.sleep(LONG)
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
    assert all(span.kind is SpanKind.INTERNAL for span in traced.spans)


def test_each_item_is_a_trace_of_its_own_linked_to_the_run() -> None:
    traced = Traced()
    simulate(lambda: traced.pipeline(stage()).run(range(5)))
    run, items = traced.only("run letters"), traced.named("letters")
    assert len({context_of(span).trace_id for span in [run, *items]}) == 6
    assert all(links_of(item) == {context_of(run).span_id} for item in items)
    assert not run.links


def test_spans_say_what_they_are_of() -> None:
    traced = Traced()
    simulate(lambda: traced.pipeline(stage()).run([{"id": "one", "value": 1}]))
    assert traced.only("run letters").attributes == {
        "antflow.pipeline.name": "letters",
        "antflow.run.id": (run_id := (traced.only("letters").attributes or {})["antflow.run.id"]),
        "antflow.run.total_items": 1,
    }
    assert traced.only("letters").attributes == {
        "antflow.pipeline.name": "letters",
        "antflow.run.id": run_id,
        "antflow.item.id": "one",
    }
    visit = dict(traced.only("Work").attributes or {})
    wait = visit.pop("antflow.stage.queue_wait")
    assert isinstance(wait, float)
    assert wait > 0
    assert visit == {
        "antflow.pipeline.name": "letters",
        "antflow.stage.name": "Work",
        "antflow.worker.name": "Work-W0",
    }
    assert traced.only("Work same").attributes == {
        "antflow.stage.name": "Work",
        "antflow.task.name": "same",
        "antflow.attempt.number": 1,
        "code.function.name": "tests.packages.otel.metering.same",
    }


def test_spans_come_from_one_scope_with_a_schema() -> None:
    traced = Traced()
    simulate(lambda: traced.pipeline(stage()).run([1]))
    for span in traced.spans:
        scope = span.instrumentation_scope
        assert scope is not None
        assert scope.name == "antflow_otel"
        assert scope.version
        assert scope.schema_url == "https://opentelemetry.io/schemas/1.33.0"


def test_a_span_is_inside_of_its_parent_in_time() -> None:
    traced = Traced()
    simulate(lambda: traced.pipeline(stage("A"), stage("B")).run(range(3)))
    known = {context_of(span).span_id: span for span in traced.spans}
    below = [span for span in traced.spans if span.parent is not None]
    assert len(below) == 12
    for span in below:
        assert span.parent is not None
        parent = known[span.parent.span_id]
        assert parent.start_time is not None
        assert span.start_time is not None
        assert span.end_time is not None
        assert parent.end_time is not None
        assert parent.start_time <= span.start_time <= span.end_time <= parent.end_time


def test_the_task_runs_in_its_attempt() -> None:
    traced = Traced()

    async def ask(value: Any) -> Any:
        with traced.tracer.start_as_current_span("asked"):
            await asyncio.sleep(1)
        return value

    simulate(lambda: traced.pipeline(stage(task=ask)).run(list("ab")))
    attempts = {context_of(span).span_id for span in traced.named("Work ask")}
    asked = {span.parent.span_id for span in traced.named("asked") if span.parent is not None}
    assert len(attempts) == 2
    assert asked == attempts


def test_so_does_a_thread() -> None:
    traced = Traced()
    threads: set[str] = set()

    def ask(value: Any) -> Any:
        threads.add(threading.current_thread().name)
        with traced.tracer.start_as_current_span("asked"):
            return value

    simulate(lambda: traced.pipeline(stage(task=ask)).run([1]), threads=True)
    assert threads == {"Work-T0"}
    assert traced.tree() == ["run letters", "letters", "  Work", "    Work ask", "      asked"]


@pytest.mark.parametrize("feed_context", ["link", "child"])
@pytest.mark.parametrize("trace", ["item", "run"])
def test_outside_of_attempts_the_span_of_the_run_is_current_and_never_that_of_who_began_it(
    trace: str, feed_context: str
) -> None:
    traced, seen = Traced(trace=trace, feed_context=feed_context), []

    def look(*_: Any) -> None:
        seen.append(get_current_span().get_span_context())

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
    assert seen == [context_of(traced.only("run letters"))] * 4


def test_what_a_task_leaves_attached_is_gone_at_its_end() -> None:
    traced, seen = Traced(), []

    async def attaches(value: Any) -> Any:
        seen.append(baggage.get_baggage("left"))
        attach(baggage.set_baggage("left", "behind"))
        return value

    simulate(lambda: traced.pipeline(stage(task=attaches, workers=1)).run(range(3)))
    assert seen == [None] * 3


# Retries and failures


def test_an_error_that_a_retry_heals_is_one_of_the_attempt_alone() -> None:
    traced = Traced()
    one = stage(task=fails(1), task_attempts=3, task_wait_seconds=2)
    simulate(lambda: traced.pipeline(one).run([1]))
    assert traced.tree() == [
        *("run letters", "letters", "  Work", "    Work work", "    Work work"),
    ]
    assert traced.outcomes() == {"Work work": [("retried", True)]}
    first, second = (span.attributes or {} for span in traced.named("Work work"))
    assert first["error.type"] == "ValueError"
    assert first["antflow.attempt.delay"] == 2
    assert (first["antflow.attempt.number"], second["antflow.attempt.number"]) == (1, 2)
    assert "error.type" not in second


def test_the_delay_is_the_one_that_the_task_asked_for() -> None:
    traced = Traced()
    errors = [RetryAfter(30, KeyError()), OSError("busy"), GiveUp(LookupError("no such page"))]

    async def work(value: Any) -> Any:
        raise errors.pop(0)

    one = stage(task=work, task_attempts=9, retry_wait=Backoff(4, jitter=False))
    simulate(lambda: traced.pipeline(one).run([1]))
    spans = [span.attributes or {} for span in traced.named("Work work")]
    assert [each.get("antflow.attempt.delay") for each in spans] == [30, 8, None]
    assert [each["error.type"] for each in spans] == [
        *("antflow.exceptions.RetryAfter", "OSError", "LookupError"),
    ]
    assert [each["antflow.outcome"] for each in spans] == ["retried", "retried", "failed"]


@pytest.mark.parametrize(("limit", "count"), [("task_timeout", 2), ("item_timeout", 1)])
def test_an_attempt_that_took_too_long_is_an_error(limit: str, count: int) -> None:
    traced = Traced()

    async def hang(value: Any) -> Any:
        await asyncio.sleep(LONG)

    options: Any = {limit: 5}
    one = stage(task=hang, task_attempts=2, retry_wait=3, **options)
    simulate(lambda: traced.pipeline(one).run([1]))
    spans = [span.attributes or {} for span in traced.named("Work hang")]
    kind = "AttemptTimeoutError" if limit == "task_timeout" else "ItemTimeoutError"
    assert [each["error.type"] for each in spans] == [f"antflow.exceptions.{kind}"] * count
    assert [each.get("antflow.attempt.delay") for each in spans] == [3, None][-count:]


def test_a_failure_is_an_error_of_the_last_attempt_and_of_the_item() -> None:
    traced = Traced()
    one = stage(task=fails(1, 2, error=LookupError), task_attempts=2, task_wait_seconds=0)
    simulate(lambda: traced.pipeline(one, stage("Next")).run([1]))
    assert traced.outcomes() == {
        "letters": [("failed", True)],
        "Work": [("failed", False)],
        "Work work": [("retried", True), ("failed", True)],
    }
    item = traced.only("letters")
    assert (item.attributes or {})["error.type"] == "LookupError"
    assert item.status.description == "call 2"
    assert not item.events
    (event,) = traced.named("Work work")[1].events
    assert event.name == "exception"
    attributes = dict(event.attributes or {})
    assert (attributes["exception.type"], attributes["exception.message"]) == (
        "LookupError",
        "call 2",
    )
    assert "in work" in str(attributes["exception.stacktrace"])
    assert (traced.only("run letters").attributes or {})["antflow.run.failed_items"] == 1
    assert not is_error(traced.only("run letters"))


def test_a_task_that_raises_a_cancellation_has_failed() -> None:
    traced = Traced()
    simulate(lambda: traced.pipeline(stage(task=fails(1, error=asyncio.CancelledError))).run([1]))
    assert traced.outcomes()["letters"] == [("failed", True)]
    item = traced.only("letters").attributes or {}
    assert item["error.type"] == "asyncio.exceptions.CancelledError"


def test_a_stage_that_is_retried_as_a_whole_is_visited_again() -> None:
    traced = Traced()
    one = stage(tasks=[same, fails(1)], retry="per_stage", stage_attempts=2)
    simulate(lambda: traced.pipeline(one).run([1]))
    assert traced.tree() == [
        "run letters",
        "letters",
        *("  Work", "    Work same", "    Work work"),
        *("  Work", "    Work same", "    Work work"),
    ]
    assert traced.outcomes() == {"Work": [("retried", False)], "Work work": [("retried", True)]}
    numbers = [
        (span.attributes or {})["antflow.attempt.number"] for span in traced.named("Work same")
    ]
    assert numbers == [1, 2]


def test_one_that_fails_in_the_end_is_a_failure_of_the_item() -> None:
    traced = Traced()
    one = stage(task=fails(1, 2), retry="per_stage", stage_attempts=2)
    simulate(lambda: traced.pipeline(one).run([1]))
    assert traced.outcomes() == {
        "letters": [("failed", True)],
        "Work": [("retried", False), ("failed", False)],
        "Work work": [("retried", True), ("failed", True)],
    }


def test_an_error_without_text_and_names_that_utf8_lacks_do_no_harm() -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    async def raises(value: Any) -> Any:
        raise Mute

    traced = Traced()
    one = traced.pipeline(stage("St\udcffage", raises), name="pipe\udcff")
    simulate(lambda: one.run([{"id": "\udcff"}]))
    assert not one.plugin_faults
    item = traced.only("pipe\\udcff")
    assert (item.attributes or {})["antflow.item.id"] == "\\udcff"
    for span in traced.spans:
        texts = [
            span.name,
            span.status.description or "",
            *map(str, (span.attributes or {}).values()),
        ]
        texts += [str(each) for event in span.events for each in (event.attributes or {}).values()]
        assert "".join(texts).encode()


@pytest.mark.parametrize("error", [ValueError("\udcff"), ExceptionGroup("\ud800", [KeyError()])])
def test_errors_with_text_that_utf8_lacks_can_be_exported(error: Exception) -> None:
    async def raises(value: Any) -> Any:
        raise error from ValueError("\udc80")

    traced = Traced()
    simulate(lambda: traced.pipeline(stage(task=raises)).run([1]))
    sent = encode_spans(traced.spans).SerializeToString()
    assert str(error).encode("utf-8", "backslashreplace") in sent
    assert b"\\udc80" in sent


class Unshowable(Exception):
    @property
    def __notes__(self) -> list[str]:  # type: ignore[override]
        raise RuntimeError


def test_an_error_that_cannot_be_shown_is_one_of_attempt_and_item_like_others() -> None:
    traced = Traced()
    one = traced.pipeline(stage(task=fails(1, 2, error=Unshowable), task_attempts=2))
    simulate(lambda: one.run([1]))
    assert not one.plugin_faults
    assert traced.outcomes() == {
        "letters": [("failed", True)],
        "Work": [("failed", False)],
        "Work work": [("retried", True), ("failed", True)],
    }


def test_an_attempt_is_ended_even_if_nothing_can_be_said_of_its_error(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError

    monkeypatch.setattr(_traces, "record_exception", fail)
    traced = Traced()
    one = traced.pipeline(stage(task=fails(1, 2), task_attempts=2))
    simulate(lambda: one.run([1]))
    assert one.plugin_faults == {"otel.run": 2}
    assert traced.tree() == [
        *("run letters", "letters", "  Work", "    Work work", "    Work work"),
    ]
    caplog.clear()


# Skips


def test_a_stage_that_an_item_skips_is_no_visit() -> None:
    traced = Traced()
    skipping = stage("B", skip_if=lambda value: value == 1)
    simulate(lambda: traced.pipeline(stage("A"), skipping).run([1]))
    assert traced.tree() == ["run letters", "letters", "  A", "    A same"]
    assert traced.outcomes() == {}


# Shutdown, cancellation and early exit


def everything_has_ended(traced: Traced, one: Pipeline, items: int) -> None:
    assert not one.plugin_faults
    assert len(traced.named(one.name)) == items
    assert len(traced.named(f"run {one.name}")) == 1
    assert not others()


def test_a_shutdown_that_cuts_ends_every_span() -> None:
    traced = Traced()

    async def main() -> None:
        one = traced.pipeline(stage(task=sleeps, workers=1))
        await one.start()
        await one.feed([1, 2])
        await settle()
        await one.shutdown(timeout=0)
        everything_has_ended(traced, one, 2)

    simulate(main)
    assert traced.outcomes() == {
        "letters": [("unprocessed", False), ("unprocessed", False)],
        "Work": [("cancelled", False)],
        "Work sleeps": [("cancelled", False)],
    }


def test_so_does_one_between_two_attempts() -> None:
    traced = Traced()

    async def main() -> None:
        one = traced.pipeline(stage(task=fails(1), task_attempts=2, task_wait_seconds=LONG))
        await one.start()
        await one.feed([1])
        await settle()
        await one.shutdown()
        everything_has_ended(traced, one, 1)

    simulate(main)
    assert traced.outcomes() == {
        "letters": [("unprocessed", False)],
        "Work": [("unprocessed", False)],
        "Work work": [("retried", True)],
    }


def test_so_does_one_between_two_tasks_and_two_stages() -> None:
    traced = Traced()

    async def stops(value: Any) -> Any:
        stopping.append(asyncio.ensure_future(one.shutdown()))
        await asyncio.sleep(0)
        return value

    stopping: list[asyncio.Future[Any]] = []
    one = traced.pipeline(stage("A", tasks=[stops, same]), stage("B"))

    async def main() -> None:
        await one.start()
        await one.feed([1])
        await settle()
        await asyncio.gather(*stopping)
        everything_has_ended(traced, one, 1)

    simulate(main)
    assert traced.tree() == ["run letters", "letters", "  A", "    A stops"]
    assert traced.outcomes() == {"letters": [("unprocessed", False)], "A": [("unprocessed", False)]}


def test_a_run_that_is_cancelled_ends_every_span() -> None:
    traced = Traced()
    one = traced.pipeline(stage(task=sleeps), stage("B"))

    async def main() -> None:
        running = asyncio.ensure_future(one.run(range(5)))
        await settle()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        everything_has_ended(traced, one, one.get_stats().items_fed)

    simulate(main)
    assert traced.outcomes()["Work sleeps"] == [("cancelled", False)] * 2


def test_a_stream_that_is_left_ends_every_span() -> None:
    traced = Traced()
    one = traced.pipeline(stage(), stage("B", workers=1))

    async def main() -> None:
        async for _ in one.stream(range(1000)):
            break
        await settle()
        assert one.get_stats().items_fed < 1000
        everything_has_ended(traced, one, one.get_stats().items_fed)

    simulate(main)
    outcomes = traced.outcomes().get("letters", [])
    assert len(outcomes) == len(one.unprocessed)
    assert set(outcomes) <= {("unprocessed", False)}


def test_an_exception_in_the_body_of_a_stream_ends_every_span() -> None:
    traced = Traced()
    one = traced.pipeline(stage(task=fails(3)))

    async def fail_in_the_body() -> None:
        async with one.stream(range(1000)) as results:
            async for _ in results:
                raise KeyError

    async def main() -> None:
        with pytest.raises(KeyError):
            await fail_in_the_body()
        everything_has_ended(traced, one, one.get_stats().items_fed)

    simulate(main)


def test_a_task_that_ends_the_run_ends_every_span() -> None:
    class Exit(BaseException):
        """It does not exist."""

    traced = Traced()
    one = traced.pipeline(stage(task=fails(2, error=Exit), workers=1))

    async def main() -> None:
        with pytest.raises(Exit):
            await one.run(range(5))
        everything_has_ended(traced, one, one.get_stats().items_fed)

    simulate(main)


@pytest.mark.parametrize("seed", range(20))
def test_in_any_order_of_callbacks_each_span_ends_in_its_own_context(seed: int) -> None:
    traced = Traced()
    stages = [
        stage("A", fails(2, 5, 9), task_attempts=2, task_wait_seconds=0.5, workers=3),
        stage("B", fails(4, 6), retry="per_stage", stage_attempts=2),
        stage("C", sleeps, skip_if=lambda value: value % 7),
    ]
    one = traced.pipeline(*stages)

    async def main() -> None:
        await one.start()
        await one.feed(range(30))
        await asyncio.sleep(LONG / 2)
        await one.shutdown(timeout=1)
        everything_has_ended(traced, one, 30)

    simulate(main, seed=seed)
    known = {context_of(span).span_id for span in traced.spans}
    assert all(span.parent is None or span.parent.span_id in known for span in traced.spans)


class Slow:
    """A plugin that takes its time when attempts start and items change."""

    @hookimpl
    async def antflow_task_start(self, event: TaskEvent) -> None:
        await asyncio.sleep(LONG)

    @hookimpl
    async def antflow_item_status(self, event: StatusEvent) -> None:
        await asyncio.sleep(1)


def test_a_cancellation_in_another_plugins_start_ends_the_attempt() -> None:
    traced = Traced()
    one = traced.pipeline(stage(), plugins=[Slow()])

    async def main() -> None:
        await one.start()
        await one.feed([1])
        await asyncio.sleep(10)
        await one.shutdown(timeout=0)
        everything_has_ended(traced, one, 1)

    simulate(main)
    assert traced.outcomes()["Work same"] == [("cancelled", False)]


@pytest.mark.parametrize("with_metrics", [True, False])
def test_other_plugins_act_inside_of_the_attempt(with_metrics: bool) -> None:
    seen: list[str] = []

    class Looking:
        @hookimpl(tryfirst=True)
        def antflow_task_start(self, event: TaskEvent) -> None:
            self.look()

        @hookimpl
        def antflow_task_success(self, event: TaskEvent) -> None:
            self.look()

        @hookimpl
        def antflow_task_retry(self, event: TaskEvent) -> None:
            self.look()

        @hookimpl
        def antflow_task_failure(self, event: TaskEvent) -> None:
            self.look()

        def look(self) -> None:
            span = get_current_span()
            assert isinstance(span, ReadableSpan)
            assert span.is_recording()
            seen.append(span.name)

    traced = Traced(meter_provider=Metered().provider if with_metrics else None)
    one = traced.pipeline(stage(task=fails(1, 3), task_attempts=2, workers=1), plugins=[Looking()])
    simulate(lambda: one.run([1, 2]))
    assert seen == ["Work work"] * 6
    assert one.plugin_faults == {}


@pytest.mark.parametrize("with_metrics", [True, False])
def test_at_start_and_end_of_a_run_they_act_inside_of_its_span(with_metrics: bool) -> None:
    seen: list[Any] = []

    class Looking:
        @hookimpl
        def antflow_pipeline_start(self, pipeline: Pipeline) -> None:
            seen.append(get_current_span())

        @hookimpl
        def antflow_pipeline_finish(self, pipeline: Pipeline) -> None:
            seen.extend([get_current_span(), get_current_span().is_recording()])

    traced = Traced(meter_provider=Metered().provider if with_metrics else None)
    simulate(lambda: traced.pipeline(stage(), plugins=[Looking()]).run([1]))
    at_start, at_end, is_recording = seen
    assert at_start is at_end
    assert at_start.name == "run letters"
    assert is_recording


# Sampling


def test_of_an_item_that_is_not_sampled_nothing_is_recorded_but_its_tasks_know() -> None:
    traced = Traced(ParentBased(ALWAYS_OFF))
    flags: list[bool] = []

    async def ask(value: Any) -> Any:
        with traced.tracer.start_as_current_span("asked") as span:
            context = span.get_span_context()
            flags.append(context.is_valid and not context.trace_flags.sampled)
            assert context.trace_id == get_current_span().get_span_context().trace_id
        if value == 2:
            raise ValueError(value)
        return value

    one = traced.pipeline(stage("A", ask), stage("B", tasks=[ask, same]))
    simulate(lambda: one.run(range(3)))
    assert traced.spans == ()
    assert flags == [True] * 5
    assert not one.plugin_faults


def test_the_carrier_of_an_item_that_is_not_sampled_is_left_alone_if_it_ends() -> None:
    carriers: list[dict[str, str]] = []

    class Noting:
        @hookimpl
        def antflow_item_start(self, event: StatusEvent) -> None:
            carriers.append(event.item.carrier)

    traced = Traced(ParentBased(ALWAYS_OFF))
    one = traced.pipeline(stage(task=fails(2)), plugins=[Noting()])
    simulate(lambda: one.run(range(3)))
    assert carriers == [{}] * 3


# Carriers


def test_the_carrier_says_where_the_item_belongs() -> None:
    traced, carriers = Traced(), []

    async def look(value: Any) -> Any:
        item = current_item()
        assert item is not None
        carriers.append(dict(item.carrier))
        return value

    simulate(lambda: traced.pipeline(stage("A", look), stage("B", look)).run([1]))
    trace_id, span_id = ids(traced.only("letters"))
    assert [carrier["traceparent"][:52] for carrier in carriers] == [
        f"00-{trace_id:032x}-{span_id:016x}"
    ] * 2


@pytest.mark.parametrize("sampled", [True, False])
def test_an_item_that_is_left_and_fed_again_goes_on_in_its_trace(sampled: bool) -> None:
    traced = Traced() if sampled else Traced(ParentBased(ALWAYS_OFF))
    carriers: list[str] = []

    async def look(value: Any) -> Any:
        carriers.append(f"{get_current_span().get_span_context().trace_id:032x}")
        return value

    async def main() -> None:
        one = traced.pipeline(stage(task=sleeps))
        await one.start()
        await one.feed([1])
        await settle()
        left = await one.shutdown(timeout=0)
        assert (
            left[0].carrier["traceparent"].endswith(("-01", "-03") if sampled else ("-00", "-02"))
        )
        again = traced.pipeline(stage(task=look))
        await again.start()
        await again.feed(left * 2)
        await again.join()
        assert carriers == [left[0].carrier["traceparent"][3:35]] * 2
        assert not again.plugin_faults

    simulate(main)
    assert len(traced.named("letters")) == (3 if sampled else 0)
    if sampled:
        before, *after = traced.named("letters")
        assert [span.parent.span_id for span in after if span.parent] == [ids(before)[1]] * 2


def test_one_that_is_fed_again_before_the_start_is_linked_to_who_starts() -> None:
    traced = Traced()

    async def main() -> None:
        one = traced.pipeline(stage(task=sleeps))
        await one.start()
        await one.feed([1])
        await settle()
        left = await one.shutdown(timeout=0)
        again = traced.pipeline(stage(), name="again")
        await again.feed(left)
        with traced.tracer.start_as_current_span("request"):
            await again.start()
        await again.join()

    simulate(main)
    before, run, request = map(traced.only, ("letters", "run again", "request"))
    item = traced.only("again")
    assert item.parent is not None
    assert item.parent.span_id == context_of(before).span_id
    assert links_of(item) == {context_of(run).span_id, context_of(request).span_id}


def test_tasks_see_the_baggage_of_who_fed_their_item() -> None:
    traced, seen = Traced(), []

    async def look(value: Any) -> Any:
        seen.append(baggage.get_baggage("customer"))
        return value

    async def main() -> None:
        async with traced.pipeline(stage(task=look)) as one:
            await one.start()
            for customer in "ab":
                token = attach(baggage.set_baggage("customer", customer))
                await one.process(1)
                detach(token)

    simulate(main)
    assert seen == ["a", "b"]


# An end whose event comes too late


async def traces_of(traced: Traced, one: Pipeline) -> TraceObserver:
    return TraceObserver(traced.tracer, one, None, "item", "link")


def test_what_is_open_when_the_run_ends_is_ended_with_it() -> None:
    traced = Traced()
    one = traced.pipeline(stage())
    traces = simulate(lambda: traces_of(traced, one))
    item = PipelineResult(0, "x", 0)
    traces.antflow_item_start(StatusEvent("x", "Work", "queued", None, 1.0).about(item))
    traces.antflow_pipeline_finish(one.get_error_summary())
    assert traced.outcomes() == {"letters": [("unprocessed", False)]}
    assert traced.only("letters").start_time == 1_000_000_000  # the event's
    assert not traces._open_items
    traces.antflow_item_finish(StatusEvent("x", "Work", "unprocessed", None, 2.0).about(item))
    assert len(traced.spans) == 2


def test_an_item_whose_start_was_missed_is_left_alone() -> None:
    traced = Traced()
    traces = simulate(lambda: traces_of(traced, traced.pipeline(stage())))
    event = TaskEvent("x", "Work", "same", "Work-W0", "start", 1, 1.0).about(
        PipelineResult(0, "x", 0)
    )
    for hook in ("start", "success", "retry", "failure", "cancelled"):
        getattr(traces, f"antflow_task_{hook}")(event)
    assert traced.spans == ()


# A sampler or a processor of spans that raises


class Raising(SpanProcessor):
    """A processor that raises at the first end of a span of a name."""

    def __init__(self, name: str) -> None:
        self.names = {name}

    def on_end(self, span: ReadableSpan) -> None:
        if span.name in self.names:
            self.names.remove(span.name)
            raise LookupError("from a processor of spans")


class RaisingOnce(Sampler):
    """A sampler that raises at the first span of a name."""

    def __init__(self, name: str) -> None:
        self.names = {name}

    def should_sample(self, *arguments: Any, **named: Any) -> Any:
        name = arguments[2]
        if name in self.names:
            self.names.remove(name)
            raise LookupError("from a sampler")
        return ALWAYS_ON.should_sample(*arguments, **named)

    def get_description(self) -> str:
        return "raises once"


TREE = ["letters", "  A", "    A same", "  B", "    B same"]


@pytest.mark.parametrize("name", TREE[1:], ids=str.strip)
def test_a_processor_that_raises_at_the_end_of_a_span_leaves_no_other_open(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    traced = Traced()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(traced.exporter))
    provider.add_span_processor(Raising(name.strip()))
    traced.plugin = OTel(provider)
    pipeline = traced.pipeline(stage("A"), stage("B"))
    simulate(lambda: pipeline.run(["x"]))
    assert traced.tree()[1:] == TREE
    assert sum(pipeline.plugin_faults.values()) == 1
    caplog.clear()


def test_a_sampler_that_raises_costs_the_span_of_that_attempt_alone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    traced = Traced(RaisingOnce("A same"))
    pipeline = traced.pipeline(stage("A"), stage("B"))
    simulate(lambda: pipeline.run(["x"]))
    assert traced.tree()[1:] == [line for line in TREE if line != "    A same"]
    assert sum(pipeline.plugin_faults.values()) == 1
    caplog.clear()


def test_a_processor_that_raises_at_the_end_of_the_run_leaves_no_other_span_open() -> None:
    traced = Traced()
    traced.provider.add_span_processor(Raising("letters"))
    one = traced.pipeline(stage())
    traces = simulate(lambda: traces_of(traced, one))
    for item in [PipelineResult(number, number, number) for number in range(2)]:
        traces.antflow_item_start(StatusEvent(item.id, "Work", "queued", None, 1.0).about(item))
    with pytest.raises(LookupError):
        traces.antflow_pipeline_finish(one.get_error_summary())
    assert [span.name for span in traced.spans] == ["letters", "letters", "run letters"]


# Nested pipelines


@pytest.mark.parametrize("feed_context", ["link", "child"])
def test_a_pipeline_in_a_task_leads_back_to_it(feed_context: str) -> None:
    traced = Traced(feed_context=feed_context)

    async def nests(value: Any) -> Any:
        inner = traced.pipeline(stage("Inner"), name="inner")
        results = await inner.run([value])
        assert not inner.plugin_faults
        return results[0].value

    outer = traced.pipeline(Stage("Outer", 1, [nests]), name="outer")
    simulate(lambda: outer.run([1]))
    attempt, item = traced.only("Outer nests"), traced.only("inner")
    run = traced.only("run inner")
    assert run.parent is not None
    assert run.parent.span_id == context_of(attempt).span_id
    if feed_context == "link":
        assert item.parent is None
        assert links_of(item) == {context_of(run).span_id, context_of(attempt).span_id}
    else:
        assert item.parent is not None
        assert item.parent.span_id == context_of(attempt).span_id
    assert not outer.plugin_faults


def test_an_item_that_a_task_feeds_is_linked_to_the_attempt() -> None:
    traced = Traced()

    async def crawls(value: int) -> int:
        if value == 0:
            await one.feed([1])
        return value

    one = traced.pipeline(stage(task=crawls, workers=1), name="crawler")

    async def main() -> None:
        await one.run([0])

    simulate(main)
    first, second = traced.named("crawler")
    attempts = traced.named("Work crawls")
    assert second.parent is None
    assert context_of(attempts[0]).span_id in links_of(second)
    assert context_of(attempts[0]).span_id not in links_of(first)


@pytest.mark.parametrize("feed_context", ["link", "child"])
@pytest.mark.parametrize("trace", ["item", "run"])
def test_an_item_that_a_callback_feeds_is_of_the_run(trace: str, feed_context: str) -> None:
    traced = Traced(trace=trace, feed_context=feed_context)

    async def follow(item_id: Any, value: int, _: Any) -> None:
        if value < 2:
            await one.feed([value + 1])

    one = traced.pipeline(stage(on_success=follow, workers=1))

    async def main() -> None:
        with traced.tracer.start_as_current_span("request"):
            await one.feed([0])
            await one.start()
        await one.join()

    simulate(main)
    assert not one.plugin_faults
    request, run = traced.only("request"), context_of(traced.only("run letters"))
    first, *fed = traced.named("letters")
    above = first.parent.span_id if first.parent else None
    if trace == "run":
        assert above == run.span_id
    elif feed_context == "child":
        assert above == context_of(request).span_id
    else:
        assert links_of(first) == {run.span_id, context_of(request).span_id}
    assert len(fed) == 2
    for item in fed:
        above = item.parent.span_id if item.parent else None
        assert above == (run.span_id if trace == "run" else None)
        assert [link.context for link in item.links] == ([run] if trace == "item" else [])
