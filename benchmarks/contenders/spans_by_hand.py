"""The spans that antflow-otel makes, made by hand: as OpenTelemetry documents it, or with less.

No pipeline, but for one of asyncio.Queues where that is asked for: every call of every item is
awaited in one coroutine, one after the other, inside of as many spans, with the same names,
attributes and parents.
"""

import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

from opentelemetry.context import Context, attach, detach
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, ParentBased
from opentelemetry.trace import Span, Tracer, set_span_in_context

from benchmarks.contenders import asyncio_queues
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


async def collect(items: Sequence[int], tasks: Sequence[Task], workers: int) -> Sequence[int]:
    """Await the tasks of each item inside of spans, in the way that `BENCH_SPANS` names."""
    tracer = provider(sampled=True).get_tracer("by hand")
    way = os.environ["BENCH_SPANS"]
    if way == "queue":
        return await _collect_by_queues(tracer, items, tasks, workers)
    work = _work_leanly if way == "lean" else _work
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
        value = await _visit(tracer, of_item, f"S{number}", task, value)
    trace.end()
    return value


async def _visit(tracer: Tracer, of_item: Context, stage: str, task: Task, value: int) -> int:
    visit = tracer.start_span(stage, of_item, attributes=_of_visit(stage))
    of_visit = set_span_in_context(visit, of_item)
    attempt = tracer.start_span(f"{stage} no_op", of_visit, attributes=_of_attempt(stage))
    token = attach(set_span_in_context(attempt, of_visit))
    value = await task(value)
    detach(token)
    attempt.end()
    visit.end()
    return value


class _Item:
    """What travels through the queues: a value with its span."""

    def __init__(self, tracer: Tracer, value: int) -> None:
        self.value = value
        self.span = tracer.start_span("pipeline", attributes=_of_item(value))
        self.context = set_span_in_context(self.span)


async def _collect_by_queues(
    tracer: Tracer, items: Sequence[int], tasks: Sequence[Task], workers: int
) -> Sequence[int]:
    def visiting(number: int, task: Task) -> Callable[[_Item], Awaitable[_Item | int]]:
        async def visit(item: _Item) -> _Item | int:
            item.value = await _visit(tracer, item.context, f"S{number}", task, item.value)
            if number < len(tasks):
                return item
            item.span.end()
            return item.value

        return visit

    fed: Any = (_Item(tracer, item) for item in items)
    visits: Any = [visiting(number, task) for number, task in enumerate(tasks, start=1)]
    return await asyncio_queues.collect(fed, visits, workers)
