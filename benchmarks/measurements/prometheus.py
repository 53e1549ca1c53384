"""What it costs an item that metrics can be scraped."""

from benchmarks.harness.model import Entry, Measurement
from benchmarks.harness.targets import SpeedRatio
from benchmarks.measurements.no_op import MICROSECONDS, measure

MEASUREMENT = Measurement(
    name="prometheus",
    title="No-op, 3 x 10 workers, with antflow-prometheus",
    about="The no-op pipeline with antflow-prometheus active, and without: by itself, and beside "
    "the plugin, which is loaded and left out. Python's garbage collector looks at all modules "
    "that are loaded, whoever uses them; what the plugin does is the difference to the latter.",
    size_heading="items",
    entries=(
        Entry("antflow", 100_000),
        Entry("antflow-beside-prometheus", 100_000),
        Entry("antflow-prometheus", 100_000),
    ),
    metrics=(MICROSECONDS,),
    measure=measure,
    compared=MICROSECONDS.name,
    targets=(
        SpeedRatio("costs 3 % more at most", "us", "antflow-prometheus", "antflow", 1 / 1.03),
        SpeedRatio(
            "what it does costs 3 % at most",
            "us",
            "antflow-prometheus",
            "antflow-beside-prometheus",
            1 / 1.03,
        ),
    ),
)
