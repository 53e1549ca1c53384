"""antflow with limits: the one that `BENCH_LIMIT` names, or those that a measurement asks for."""

import os
from collections.abc import AsyncGenerator, Callable, Hashable, Iterable, Mapping, Sequence

from antflow import Limit, Pipeline, Stage
from benchmarks.contenders.interface import ApiRates, FatalAnswerError, Task, Visit, VisitTask

NEVER_REACHED = 1_000_000_000
KEYS = 100

LIMITS: Mapping[str, Callable[[], Limit]] = {
    "rate": lambda: Limit(rate=NEVER_REACHED),
    "concurrency": lambda: Limit(concurrency=NEVER_REACHED),
    "rate-of-100-keys": lambda: Limit(rate=NEVER_REACHED, key=lambda item: item % KEYS),
    "new-keys": lambda: Limit(rate=10, per=0.1, concurrency=2, key=lambda item: item),
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


async def consume(items: Iterable[int], tasks: Sequence[Task], workers: int) -> int:
    """Iterate over `stream` and count."""
    count = 0
    async for _ in _pipeline(tasks, workers).stream(items):
        count += 1
    return count


async def at_rate(items: Sequence[int], task: Task, rate: int, workers: int) -> int:
    """Call the task by a stage whose limit has that rate, evenly spaced or all of it at once."""
    burst = rate if os.environ["BENCH_BURST"] else None
    stage = Stage("Call", workers, [task], limits=[Limit(rate=rate, burst=burst)])
    return len(await Pipeline([stage]).run(items))


async def visit_all(
    visits: Sequence[Visit], task: VisitTask, workers: int, limited: str, rate: int
) -> AsyncGenerator[Visit, None]:
    """Give the visits as they end, by a stage with a limit for one host."""

    def host(visit: Visit) -> Hashable:
        return visit[0] if visit[0] == limited else None

    stage = Stage("Visit", workers, [task], limits=[Limit(rate=rate, key=host)])
    async with Pipeline([stage], collect_results=False).stream(visits) as results:
        async for result in results:
            yield result.value


async def ask_all(costs: Sequence[int], ask: Task, rates: ApiRates, workers: int) -> int:
    """Ask by a stage with two limits, which repeats what failed, and return how many succeeded."""
    limits = [
        Limit(rate=rates.requests, per=rates.per, burst=rates.requests / 20, name="requests"),
        Limit(rate=rates.tokens, per=rates.per, cost=lambda item: costs[item], name="tokens"),
    ]
    stage = Stage(
        "Ask",
        workers,
        [ask],
        task_attempts=5,
        retry_wait=0.1,
        never_retry=FatalAnswerError,
        limits=limits,
    )
    return len(await Pipeline([stage]).run(range(len(costs))))
