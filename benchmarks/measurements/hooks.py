"""What a plugin costs each attempt."""

from benchmarks.harness.model import Entry, Measurement
from benchmarks.harness.targets import GrowthAtMost
from benchmarks.measurements.no_op import MICROSECONDS, measure

MEASUREMENT = Measurement(
    name="hooks",
    title="No-op, 3 x 10 workers, with plugins",
    about="The no-op pipeline without a plugin, with one that implements no hook, and with one and "
    "three that implement `antflow_task_start` and `antflow_task_success` by functions that do "
    "nothing. Each item makes one attempt a stage.",
    size_heading="items",
    entries=(
        Entry("antflow", 100_000),
        Entry("antflow-idle-plugin", 100_000),
        Entry("antflow-observer", 100_000),
        Entry("antflow-3-observers", 100_000),
    ),
    metrics=(MICROSECONDS,),
    measure=measure,
    added=MICROSECONDS,
    targets=(
        GrowthAtMost(
            "a plugin that implements nothing adds nothing (0.05 us)",
            MICROSECONDS,
            "antflow-idle-plugin",
            "antflow",
            0.05,
        ),
        GrowthAtMost(
            "one observer of starts and successes adds 3 us at most",
            MICROSECONDS,
            "antflow-observer",
            "antflow",
            3,
        ),
    ),
)
