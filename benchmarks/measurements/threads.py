"""What other threads have to wait for while tasks that never suspend keep the loop busy."""

from threading import Event, Thread
from time import perf_counter, sleep

from benchmarks.contenders import Contender
from benchmarks.harness.model import Entry, Figures, Measurement, Metric
from benchmarks.harness.targets import AtMost
from benchmarks.measurements.loop_turns import percentile
from benchmarks.measurements.work import STAGES, WARM_UP, WORKERS, check, no_op, timed

SLEEP_SECONDS = 0.005

LONGEST = Metric("longest", "ms longest wait")
PERCENTILE = Metric("p90", "ms wait, 90 in 100")
RUNS = Metric("runs", "times it ran", decimals=0)


def note_waits(waits: list[float], over: Event) -> None:
    """Sleep and wake, and note how late the interpreter was to be had."""
    while not over.is_set():
        due = perf_counter() + SLEEP_SECONDS
        sleep(SLEEP_SECONDS)
        waits.append(perf_counter() - due)


async def measure(contender: Contender, size: int) -> Figures:
    """Run all items beside a thread that wants to run two hundred times a second."""
    program, tasks = contender.program(), [no_op] * STAGES
    await program.collect(range(WARM_UP), tasks, WORKERS)
    waits: list[float] = []
    over = Event()
    thread = Thread(target=note_waits, args=(waits, over), daemon=True)
    thread.start()
    results, _ = await timed(program.collect(range(size), tasks, WORKERS))
    over.set()
    thread.join()
    check(len(results), size)
    return {
        LONGEST.name: max(waits) * 1e3,
        PERCENTILE.name: percentile(waits, 90) * 1e3,
        RUNS.name: len(waits),
    }


MEASUREMENT = Measurement(
    name="threads",
    title="200,000 no-op items beside a thread",
    about="Three stages of ten workers, no-op tasks, beside a thread that sleeps 5 ms, notes how "
    "much later it woke, and sleeps again: as one does that serves metrics, draws a display or "
    "exports spans.",
    size_heading="items",
    entries=(Entry("queue", 200_000), Entry("antflow", 200_000)),
    metrics=(LONGEST, PERCENTILE, RUNS),
    measure=measure,
    targets=(AtMost("90 in 100 under 15 ms", PERCENTILE, "antflow", 15),),
)
