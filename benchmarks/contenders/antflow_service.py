"""antflow inside a service: each request submits an item and awaits its handle."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from antflow import Pipeline, Stage
from benchmarks.contenders.interface import Answer, Step

EXPIRES_IN = 5.0


@asynccontextmanager
async def answering(steps: Sequence[Step]) -> AsyncIterator[Answer]:
    """Give what submits a number to a pipeline of the steps and returns its result."""
    stages = [
        Stage(f"S{number}", workers=step.workers, tasks=[step.task])
        for number, step in enumerate(steps, start=1)
    ]
    async with Pipeline(stages, collect_results=False).running() as pipeline:

        async def answer(number: int) -> int:
            handle = pipeline.submit_nowait(number, expires_in=EXPIRES_IN)
            result: int = (await handle).unwrap()
            return result

        yield answer
