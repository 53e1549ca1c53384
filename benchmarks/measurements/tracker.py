"""What it costs to watch every item."""

from benchmarks.harness.model import Entry, Measurement
from benchmarks.harness.targets import GrowthAtMost
from benchmarks.measurements.no_op import MICROSECONDS, measure

MEASUREMENT = Measurement(
    name="tracker",
    title="No-op, 3 x 10 workers, with a StatusTracker",
    about="The no-op pipeline without a tracker, with a StatusTracker as it is, which remembers "
    "everything, and with one that also calls plain functions: when an item changes its status, "
    "when a task starts and when it completes.",
    size_heading="items",
    entries=(
        Entry("antflow", 100_000),
        Entry("antflow-tracker", 100_000),
        Entry("antflow-callbacks", 100_000),
    ),
    metrics=(MICROSECONDS,),
    measure=measure,
    added=MICROSECONDS,
    targets=(
        GrowthAtMost("a tracker adds 6 us at most", MICROSECONDS, "antflow-tracker", "antflow", 6),
    ),
)
