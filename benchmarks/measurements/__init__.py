"""The measurements, one module for each. A new one is a module and its name in `_MODULES`."""

from collections.abc import Mapping

from benchmarks.harness.model import Measurement
from benchmarks.measurements import (
    executor,
    executor_threads,
    hooks,
    idle,
    imports,
    limits,
    loop_turns,
    memory,
    no_op,
    otel_metrics,
    otlp,
    prometheus,
    retries,
    retry_overhead,
    scrape,
    service,
    snapshot,
    stream,
    submits,
    threads,
    tracing,
    tracker,
    waits,
)

_MODULES = (
    no_op,
    tracker,
    hooks,
    prometheus,
    tracing,
    otlp,
    otel_metrics,
    waits,
    retries,
    retry_overhead,
    limits,
    stream,
    idle,
    snapshot,
    scrape,
    service,
    submits,
    executor,
    executor_threads,
    loop_turns,
    threads,
    memory,
    imports,
)

MEASUREMENTS: Mapping[str, Measurement] = {
    module.MEASUREMENT.name: module.MEASUREMENT for module in _MODULES
}
"""Every measurement by name, in the order in which they run."""
