"""What runs in a context: the worker, as seen from the functions that it calls."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from antflow import Pipeline, Stage
from antflow.context import CURRENT_WORKER
from tests.core.simulation import Gate, settle, simulate


def worker_name() -> str:
    worker = CURRENT_WORKER.get()
    return str(getattr(worker, "name", worker))


def plain(_: Any) -> str:
    return worker_name()


async def coroutine(_: Any) -> str:
    return worker_name()


def test_outside_of_a_pipeline_there_is_no_worker() -> None:
    assert CURRENT_WORKER.get() is None


@pytest.mark.parametrize("task", [coroutine, plain])
def test_a_task_runs_on_behalf_of_its_worker(task: Callable[[Any], Any]) -> None:
    async def main() -> None:
        results = await Pipeline([Stage("Ask", workers=1, tasks=[task])]).run([0])
        assert [result.value for result in results] == ["Ask-W0"]

    simulate(main, threads=True)


def test_each_worker_has_a_context_of_its_own() -> None:
    async def main() -> None:
        seen: set[str] = set()

        async def meet(value: int) -> None:
            before = worker_name()
            await gate(value)
            assert worker_name() == before
            seen.add(before)

        gate = Gate()
        pipeline = Pipeline([Stage("Ask", workers=3, tasks=[meet])])
        running = asyncio.ensure_future(pipeline.run(range(3)))
        await settle()
        gate.open()
        assert len(await running) == 3
        assert seen == {"Ask-W0", "Ask-W1", "Ask-W2"}

    simulate(main)


def test_callbacks_run_on_behalf_of_the_worker_too() -> None:
    async def main() -> None:
        seen: list[str] = []

        def note(*_: Any) -> None:
            seen.append(worker_name())

        def skips(value: int) -> bool:
            note()
            return value == 2

        async def fails_on_1(value: int) -> None:
            if value == 1:
                raise ValueError(value)

        stage = Stage(
            "Ask",
            workers=1,
            tasks=[fails_on_1],
            task_attempts=1,
            skip_if=skips,
            on_success=note,
            on_failure=note,
            on_skip=note,
        )
        await Pipeline([stage]).run(range(3))
        assert seen == ["Ask-W0"] * 6

    simulate(main)


def test_who_runs_a_pipeline_does_not_become_its_worker() -> None:
    async def main() -> None:
        async for _ in Pipeline([Stage("Ask", workers=1, tasks=[coroutine])]).stream([0]):
            assert CURRENT_WORKER.get() is None
        assert CURRENT_WORKER.get() is None

    simulate(main)
