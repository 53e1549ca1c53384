"""The measurements, one module for each. A new one is a module and its name in `_MODULES`."""

from collections.abc import Mapping

from benchmarks.harness.model import Measurement
from benchmarks.measurements import (
    api,
    command,
    display,
    executor,
    executor_memory,
    executor_threads,
    hooks,
    hostile,
    hosts,
    idle,
    imports,
    keys,
    latency,
    limits,
    loop_turns,
    memory,
    no_op,
    otel_metrics,
    otlp,
    prometheus,
    rates,
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
    rates,
    api,
    hosts,
    stream,
    idle,
    latency,
    snapshot,
    scrape,
    service,
    submits,
    executor,
    executor_threads,
    executor_memory,
    hostile,
    display,
    loop_turns,
    threads,
    memory,
    keys,
    command,
    imports,
)

MEASUREMENTS: Mapping[str, Measurement] = {
    module.MEASUREMENT.name: module.MEASUREMENT for module in _MODULES
}
"""Every measurement by name, in the order in which they run."""
