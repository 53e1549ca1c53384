"""Runs on event loops of all kinds: other task factories, eager tasks, loops that were closed."""

from __future__ import annotations

import asyncio
import itertools
import sys
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import pytest

from antflow import Pipeline, PipelineError, TaskFunc
from tests.helpers.runs import (
    Use,
    by_feed,
    by_process,
    by_run,
    by_stream,
    same,
    same_later,
    stage,
    values,
)
from tests.helpers.virtual_time import others

T = TypeVar("T")


REAL_SECONDS = 10  # after which a test on a real loop has hung


def same_in_a_thread(value: Any) -> Any:
    return value


def on_real_loop(main: Callable[[], Coroutine[Any, Any, T]], factory: Any = None) -> T:
    """Run a coroutine on asyncio's own loop, with a task factory, and see that no task is left."""

    async def limited() -> T:
        asyncio.get_running_loop().set_task_factory(factory)
        async with asyncio.timeout(REAL_SECONDS):
            result = await main()
        assert not others()
        return result

    return asyncio.run(limited())


# Other task factories


def only_loop_and_coroutine(loop: Any, coroutine: Any) -> asyncio.Task[Any]:
    return asyncio.Task(coroutine, loop=loop)


def test_run_works_with_a_task_factory_that_takes_only_loop_and_coroutine() -> None:
    async def main() -> list[Any]:
        pipeline = Pipeline([stage(same, workers=2), stage(same_later, name="Second")])
        return values(await pipeline.run([1, 2, 3]))

    assert on_real_loop(main, only_loop_and_coroutine) == [1, 2, 3]


@pytest.mark.skipif(sys.version_info < (3, 12), reason="there are no eager tasks yet")
@pytest.mark.parametrize("task", [same, same_later, same_in_a_thread])
class TestEagerTasks:
    """Each way to use a pipeline, where tasks begin to run as soon as they are made."""

    @staticmethod
    def pipeline(task: TaskFunc, capacity: int | None = None) -> Pipeline:
        return Pipeline(
            [
                stage(task, name=name, workers=2, queue_capacity=capacity)
                for name in ("First", "Second")
            ]
        )

    @staticmethod
    def run_eagerly(main: Callable[[], Coroutine[Any, Any, T]]) -> T:
        return on_real_loop(main, vars(asyncio)["eager_task_factory"])

    @pytest.mark.parametrize("capacity", [None, 0, 1])
    def test_run(self, task: TaskFunc, capacity: int | None) -> None:
        async def main() -> list[Any]:
            return values(await self.pipeline(task, capacity).run(range(30)))

        assert self.run_eagerly(main) == list(range(30))

    def test_stream(self, task: TaskFunc) -> None:
        async def main() -> list[Any]:
            stream = self.pipeline(task).stream(range(30), buffer_size=1)
            return [result.value async for result in stream]

        assert sorted(self.run_eagerly(main)) == list(range(30))

    def test_leaving_a_stream(self, task: TaskFunc) -> None:
        async def main() -> None:
            async with self.pipeline(task).stream(itertools.count()) as stream:
                await anext(stream)

        self.run_eagerly(main)

    def test_process(self, task: TaskFunc) -> None:
        async def main() -> list[Any]:
            pipeline = self.pipeline(task)
            await pipeline.start()
            found = [(await pipeline.process(number)).value for number in range(3)]
            found += values(await asyncio.gather(*map(pipeline.process, range(3, 6))))
            await pipeline.join()
            assert pipeline.results == []
            return found

        assert self.run_eagerly(main) == list(range(6))

    def test_feed_and_join(self, task: TaskFunc) -> None:
        async def main() -> list[Any]:
            pipeline = self.pipeline(task, 1)
            await pipeline.start()
            await pipeline.feed(range(30))
            await pipeline.join()
            return values(pipeline.results)

        assert self.run_eagerly(main) == list(range(30))

    def test_shutdown(self, task: TaskFunc) -> None:
        async def main() -> None:
            pipeline = self.pipeline(task)
            await pipeline.start()
            await pipeline.feed(range(30))
            left = [item.value for item in await pipeline.shutdown()]
            assert sorted(values(pipeline.results) + left) == list(range(30))

        self.run_eagerly(main)


# A loop that was closed


async def by_feed_before_the_start(pipeline: Pipeline, items: Any) -> list[Any]:
    await pipeline.feed(items)
    await pipeline.start()
    await pipeline.join()
    return values(pipeline.results)


async def by_run_after_a_shutdown(pipeline: Pipeline, items: Any) -> list[Any]:
    await pipeline.shutdown()
    return await by_run(pipeline, items)


async def begin(_: Pipeline) -> None:
    """Leave the pipeline as it is: just started."""


async def process_one(pipeline: Pipeline) -> None:
    await pipeline.process(0)


async def leave_one_at_work(pipeline: Pipeline) -> None:
    await pipeline.feed([9, 9])
    await asyncio.sleep(0)


def start_on_a_loop_that_is_closed(
    pipeline: Pipeline, before: Callable[[Pipeline], Coroutine[Any, Any, None]]
) -> None:
    """Start a pipeline, do something with it, and close the loop that it runs on."""
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda *_: None)  # it complains of the tasks that go with it
    loop.run_until_complete(pipeline.start())
    loop.run_until_complete(before(pipeline))
    loop.close()


@pytest.mark.parametrize("before", [begin, process_one, leave_one_at_work])
@pytest.mark.parametrize(
    "use",
    [by_run, by_stream, by_feed, by_process, by_feed_before_the_start, by_run_after_a_shutdown],
)
def test_a_pipeline_whose_loop_was_closed_works_on_another(
    before: Callable[[Pipeline], Coroutine[Any, Any, None]], use: Use
) -> None:
    async def wait_for_ever_at_9(value: int) -> int:
        if value == 9:
            await asyncio.Event().wait()
        return value

    pipeline = Pipeline([stage(wait_for_ever_at_9)])
    start_on_a_loop_that_is_closed(pipeline, before)
    assert on_real_loop(lambda: use(pipeline, [1, 2])) == [1, 2]


@pytest.mark.parametrize(
    "call", [Pipeline.join, lambda pipeline: pipeline.process(1)], ids=["join", "process"]
)
def test_a_pipeline_whose_loop_was_closed_asks_for_a_start(
    call: Callable[[Pipeline], Coroutine[Any, Any, Any]],
) -> None:
    pipeline = Pipeline([stage(same)])
    start_on_a_loop_that_is_closed(pipeline, lambda pipeline: pipeline.feed([1]))
    with pytest.raises(PipelineError, match=r"call start\(\)"):
        on_real_loop(lambda: call(pipeline))
