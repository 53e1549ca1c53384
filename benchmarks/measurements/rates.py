"""Calls at a rate: how long they take, and how many there are in the worst second."""

import asyncio
from time import perf_counter

from benchmarks.contenders import Contender
from benchmarks.harness.model import Entry, Figures, Measurement, Metric
from benchmarks.harness.targets import AtMost
from benchmarks.measurements.windows import worst_window
from benchmarks.measurements.work import check

SECONDS = 2.5
"""So long a run takes if its calls are spaced evenly."""

CALL = 0.01
WORKERS = 100
OURS = {"antflow-limits": "evenly spaced", "antflow-burst": "at once"}
CONTENDERS = (
    *OURS,
    "aiolimiter",
    "aiolimiter-even",
    "aiometer",
    "streamable",
)
RATES = (100, 2_000)

TAKEN = Metric("s", "s")
IDEAL = Metric("ideal", "s if evenly spaced")
ABOVE = Metric("above", "% more", decimals=1)
WORST = Metric("worst", "calls in the worst second", decimals=0)
SHARE = Metric("share", "% of the rate in the worst second", decimals=1)


async def measure(contender: Contender, size: int) -> Figures:
    """Make calls of 10 ms at a rate of `size` a second, for some seconds."""
    program, count, times = contender.program(), int(size * SECONDS), list[float]()

    async def call(item: int) -> int:
        times.append(perf_counter())
        await asyncio.sleep(CALL)
        return item

    begin = perf_counter()
    check(await program.at_rate(range(count), call, size, WORKERS), count)
    taken, ideal = perf_counter() - begin, (count - 1) / size + CALL
    worst = worst_window(times, 1.0)
    return {
        TAKEN.name: taken,
        IDEAL.name: ideal,
        ABOVE.name: (taken / ideal - 1) * 100,
        WORST.name: worst,
        SHARE.name: worst / size * 100,
    }


def _key(contender: str, rate: int) -> str:
    return f"{contender}, {rate}"


MEASUREMENT = Measurement(
    name="rates",
    title="Calls at a rate",
    about="Calls that take 10 ms, at a rate of so many a second, for two seconds and a half. The "
    "worst second is the one with the most starts among all seconds, not only those of a clock. "
    "Where the whole rate may start at once, two seconds are enough; those who take less time made "
    "more calls in a second than the rate allows.",
    size_heading="calls a second",
    entries=tuple(
        Entry(contender, rate, _key(contender, rate)) for rate in RATES for contender in CONTENDERS
    ),
    metrics=(TAKEN, IDEAL, ABOVE, WORST, SHARE),
    measure=measure,
    at_most_rounds=1,
    targets=tuple(
        target
        for rate in RATES
        for target in (
            AtMost(
                f"{rate:,} a second, evenly spaced: within 3% of the time",
                ABOVE,
                _key("antflow-limits", rate),
                3,
            ),
            *(
                AtMost(
                    f"{rate:,} a second, {what}: one call more in the worst second at most",
                    WORST,
                    _key(contender, rate),
                    rate + 1,
                )
                for contender, what in OURS.items()
            ),
        )
    ),
)
