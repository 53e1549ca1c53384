"""What it costs an item that OpenTelemetry collects metrics."""

from benchmarks.harness.model import Entry, Measurement
from benchmarks.harness.targets import SpeedRatio
from benchmarks.measurements.no_op import MICROSECONDS, measure

MEASUREMENT = Measurement(
    name="otel-metrics",
    title="No-op, 3 x 10 workers, with metrics by antflow-otel",
    about="The no-op pipeline with a meter provider of OpenTelemetry's SDK. Counts are read when "
    "they are collected; durations are read as quantiles, or recorded in two histograms for "
    "each attempt, which takes the SDK some 8 microseconds each.",
    size_heading="items",
    entries=(
        Entry("antflow", 100_000),
        Entry("antflow-beside-quantiles", 100_000),
        Entry("antflow-otel-quantiles", 100_000),
        Entry("antflow-otel-histograms", 10_000),
    ),
    metrics=(MICROSECONDS,),
    measure=measure,
    compared=MICROSECONDS.name,
    targets=(
        SpeedRatio(
            "quantiles cost 3 % more at most", "us", "antflow-otel-quantiles", "antflow", 1 / 1.03
        ),
        SpeedRatio(
            "what reading them does costs 3 % at most",
            "us",
            "antflow-otel-quantiles",
            "antflow-beside-quantiles",
            1 / 1.03,
        ),
    ),
)
