"""The spans that antflow-otel makes, made by hand: as OpenTelemetry documents it, or with less.

No pipeline: every call of every item is awaited in one coroutine, one after the other, inside of
as many spans, with the same names, attributes and parents.
"""

import os
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager

from opentelemetry.context import attach, detach
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, ParentBased
from opentelemetry.trace import Span, Tracer, set_span_in_context

from benchmarks.contenders.interface import Task

QUEUE = 1 << 20


class _Nowhere(SpanExporter):
    """Takes spans and drops them."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        """Do nothing."""


def provider(*, sampled: bool) -> TracerProvider:
    """Return a provider with a batch processor, whose root spans are sampled or not."""
    made = TracerProvider(ParentBased(ALWAYS_ON if sampled else ALWAYS_OFF))
    made.add_span_processor(BatchSpanProcessor(_Nowhere(), max_queue_size=QUEUE))
    return made


def _of_item(number: int) -> dict[str, str]:
    return {
        "antflow.pipeline.name": "pipeline",
        "antflow.run.id": "pipeline-1",
        "antflow.item.id": str(number),
    }


def _of_visit(stage: str) -> dict[str, str | float]:
    return {
        "antflow.pipeline.name": "pipeline",
        "antflow.stage.name": stage,
        "antflow.worker.name": f"{stage}-W0",
        "antflow.stage.queue_wait": 0.001,
    }


def _of_attempt(stage: str) -> dict[str, str | int]:
    return {
        "antflow.stage.name": stage,
        "antflow.task.name": "no_op",
        "code.function.name": "benchmarks.measurements.work.no_op",
        "antflow.attempt.number": 1,
    }


async def collect(items: Sequence[int], tasks: Sequence[Task], workers: int) -> list[int]:
    """Await the tasks of each item in turn, inside of spans; `workers` has no meaning here."""
    tracer = provider(sampled=True).get_tracer("by hand")
    work = _work_leanly if os.environ.get("BENCH_SPANS") == "lean" else _work
    return [await work(tracer, item, tasks) for item in items]


async def _work(tracer: Tracer, item: int, tasks: Sequence[Task]) -> int:
    value = item
    with _current(tracer, "pipeline", _of_item(item)):
        for number, task in enumerate(tasks, start=1):
            stage = f"S{number}"
            with (
                _current(tracer, stage, _of_visit(stage)),
                _current(tracer, f"{stage} no_op", _of_attempt(stage)),
            ):
                value = await task(value)
    return value


def _current(
    tracer: Tracer, name: str, attributes: Mapping[str, str | float]
) -> AbstractContextManager[Span]:
    return tracer.start_as_current_span(name, attributes=attributes)


async def _work_leanly(tracer: Tracer, item: int, tasks: Sequence[Task]) -> int:
    value = item
    trace = tracer.start_span("pipeline", attributes=_of_item(item))
    of_item = set_span_in_context(trace)
    for number, task in enumerate(tasks, start=1):
        stage = f"S{number}"
        visit = tracer.start_span(stage, of_item, attributes=_of_visit(stage))
        of_visit = set_span_in_context(visit, of_item)
        attempt = tracer.start_span(f"{stage} no_op", of_visit, attributes=_of_attempt(stage))
        token = attach(set_span_in_context(attempt, of_visit))
        value = await task(value)
        detach(token)
        attempt.end()
        visit.end()
    trace.end()
    return value
