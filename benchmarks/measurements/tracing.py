"""What it costs an item to be traced."""

from benchmarks.harness.model import Entry, Measurement
from benchmarks.harness.targets import AtMost, SpeedRatio
from benchmarks.measurements.no_op import MICROSECONDS, measure

MEASUREMENT = Measurement(
    name="tracing",
    title="No-op, 3 x 10 workers, with traces by antflow-otel",
    about="The no-op pipeline by itself, beside antflow-otel, which is loaded and left out, and by "
    "it: where no provider is configured, where no item is sampled, and where all are, seven spans "
    "an item that go through OpenTelemetry's batch processor to an exporter that drops them. With "
    "that compare as many spans made by hand around the bare calls, with the same names and "
    "attributes: each made the current one, as OpenTelemetry documents it, or the attempt's alone, "
    "the least that lets the task's own spans find their parent; and the same least in the "
    "asyncio.Queue pipeline, where as many items are under way.",
    size_heading="items",
    entries=(
        Entry("antflow", 100_000),
        Entry("antflow-beside-otel", 100_000),
        Entry("antflow-otel", 100_000),
        Entry("antflow-otel-unsampled", 30_000),
        Entry("antflow-otel-traces", 5_000),
        Entry("spans", 5_000),
        Entry("lean-spans", 5_000),
        Entry("queue-spans", 5_000),
    ),
    metrics=(MICROSECONDS,),
    measure=measure,
    compared=MICROSECONDS.name,
    targets=(
        SpeedRatio("no provider costs 1 % at most", "us", "antflow-otel", "antflow", 1 / 1.01),
        SpeedRatio(
            "what it does without one costs 1 % at most",
            "us",
            "antflow-otel",
            "antflow-beside-otel",
            1 / 1.01,
        ),
        AtMost("6 us an item and stage, not sampled", MICROSECONDS, "antflow-otel-unsampled", 6),
        SpeedRatio("1.2 x the spans by hand", "us", "antflow-otel-traces", "spans", 1 / 1.2),
        SpeedRatio("1.2 x the lean ones", "us", "antflow-otel-traces", "lean-spans", 1 / 1.2),
        SpeedRatio("1.2 x those in queues", "us", "antflow-otel-traces", "queue-spans", 1 / 1.2),
    ),
)
