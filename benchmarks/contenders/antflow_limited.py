"""antflow with the limit that the environment variable `BENCH_LIMIT` names."""

import os
from collections.abc import Callable, Mapping, Sequence

from antflow import Limit, Pipeline, Stage
from benchmarks.contenders.interface import Task

NEVER_REACHED = 1_000_000_000
KEYS = 100

LIMITS: Mapping[str, Callable[[], Limit]] = {
    "rate": lambda: Limit(rate=NEVER_REACHED),
    "concurrency": lambda: Limit(concurrency=NEVER_REACHED),
    "rate-of-100-keys": lambda: Limit(rate=NEVER_REACHED, key=lambda item: item % KEYS),
}


def _pipeline(tasks: Sequence[Task], workers: int) -> Pipeline:
    limit = LIMITS[os.environ["BENCH_LIMIT"]]
    return Pipeline(
        [
            Stage(f"S{number}", workers, [task], limits=[limit()])
            for number, task in enumerate(tasks, start=1)
        ]
    )


async def collect(items: Sequence[int], tasks: Sequence[Task], workers: int) -> Sequence[object]:
    """Return the results of `run`, which are in the order of the input."""
    return await _pipeline(tasks, workers).run(items)
