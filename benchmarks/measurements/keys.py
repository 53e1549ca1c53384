"""How much memory a limit takes whose keys never repeat."""

from benchmarks.contenders import Contender
from benchmarks.harness.model import Entry, Figures, Measurement, Metric
from benchmarks.harness.targets import AtMost
from benchmarks.measurements.memory import GROWTH, MEGABYTES, read_memory
from benchmarks.measurements.work import no_op

EARLY = Metric("early", "MB peak after a tenth of the keys")
MICROSECONDS = Metric("us", "us per item")


async def measure(contender: Contender, size: int) -> Figures:
    """Stream items through a stage with a limit for each, and read the largest resident sizes."""
    return await read_memory(contender, size, no_op)


MEASUREMENT = Measurement(
    name="keys",
    title="Memory over a million keys that never repeat",
    about="Items are streamed through one stage of ten workers, whose limit has a key for each "
    "item: ten in a tenth of a second, and two at once. A key is forgotten a tenth of a second "
    "after its last use, so the faster the items, the more keys are kept. The largest resident "
    "size of the process, when a tenth of the items have been read and at the end.",
    size_heading="keys",
    entries=(Entry("antflow-new-keys", 1_000_000),),
    metrics=(EARLY, MEGABYTES, GROWTH, MICROSECONDS),
    measure=measure,
    at_most_rounds=1,
    targets=(AtMost("at most 8 bytes a key", GROWTH, "antflow-new-keys", 8),),
)
