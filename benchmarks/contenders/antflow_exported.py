"""antflow, traced: the spans are sent by OTLP.

The environment variable `BENCH_SAMPLED` says which part of the items is sampled.
"""

import os
from collections.abc import Sequence

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBasedTraceIdRatio

from antflow import Pipeline
from antflow_otel import OTel
from benchmarks.contenders.antflow_pipeline import stages
from benchmarks.contenders.interface import Task
from benchmarks.contenders.spans_by_hand import QUEUE


async def exported(
    items: Sequence[int], tasks: Sequence[Task], workers: int, url: str
) -> Sequence[object]:
    """Return the results of `run`, once all spans have been sent; none is left out."""
    provider = TracerProvider(ParentBasedTraceIdRatio(float(os.environ["BENCH_SAMPLED"])))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(url), max_queue_size=QUEUE))
    results = await Pipeline(stages(tasks, workers), plugins=[OTel(provider)]).run(items)
    provider.shutdown()
    return results
