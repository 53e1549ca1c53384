"""antflow with the plugins that the environment variable `BENCH_PLUGINS` names.

Those that `BENCH_BESIDE` names are made and left out: their modules are loaded all the same.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from antflow import Pipeline, TaskEvent, hookimpl
from benchmarks.contenders.antflow_pipeline import stages
from benchmarks.contenders.interface import Task


class Idle:
    """A plugin that implements nothing."""


class Observer:
    """A plugin with hooks for the start of an attempt and for its success."""

    @hookimpl
    def antflow_task_start(self, event: TaskEvent) -> None:
        """Do nothing."""

    @hookimpl
    def antflow_task_success(self, event: TaskEvent) -> None:
        """Do nothing."""


def _prometheus() -> object:
    from prometheus_client import CollectorRegistry

    from antflow_prometheus import Prometheus

    return Prometheus(CollectorRegistry())


def _otel_metrics(quantiles: Sequence[float] | None) -> object:
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader

    from antflow_otel import OTel

    return OTel(meter_provider=MeterProvider([InMemoryMetricReader()]), quantiles=quantiles)


def _otel() -> object:
    """Return the plugin where no provider is configured."""
    from antflow_otel import OTel

    return OTel()


def _otel_traces(*, sampled: bool) -> object:
    from antflow_otel import OTel
    from benchmarks.contenders.spans_by_hand import provider

    return OTel(provider(sampled=sampled))


KINDS: Mapping[str, Callable[[], object]] = {
    "idle": Idle,
    "observer": Observer,
    "prometheus": _prometheus,
    "otel": _otel,
    "otel-unsampled": partial(_otel_traces, sampled=False),
    "otel-traces": partial(_otel_traces, sampled=True),
    "otel-quantiles": partial(_otel_metrics, (0.5, 0.99)),
    "otel-histograms": partial(_otel_metrics, None),
}


async def collect(items: Sequence[int], tasks: Sequence[Task], workers: int) -> Sequence[object]:
    """Return the results of `run`, which are in the order of the input."""
    plugins, left_out = _made("BENCH_PLUGINS"), _made("BENCH_BESIDE")
    results = await Pipeline(stages(tasks, workers), plugins=plugins).run(items)
    del left_out
    return results


def _made(variable: str) -> list[object]:
    return [KINDS[name]() for name in os.environ.get(variable, "").split()]
