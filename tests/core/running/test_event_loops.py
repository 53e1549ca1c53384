"""Runs on event loops of all kinds: other task factories, eager tasks, loops that were closed."""

from __future__ import annotations

import asyncio
import gc
import itertools
from collections.abc import Callable, Coroutine, Iterator
from functools import partial
from typing import Any, TypeVar

import pytest

from antflow import ItemHandle, Pipeline, PipelineError, PluginError, TaskFunc, hookimpl
from tests.helpers.runs import (
    Use,
    by_feed,
    by_process,
    by_run,
    by_stream,
    left,
    same,
    same_later,
    stage,
    values,
)
from tests.helpers.task_factories import TASK_FACTORIES, each_task_factory
from tests.helpers.virtual_time import others

T = TypeVar("T")
Call = Callable[[Pipeline], Coroutine[Any, Any, None]]
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


async def by_slow_stream(pipeline: Pipeline, items: Any) -> list[Any]:
    return [result.value async for result in pipeline.stream(items, buffer_size=1)]


async def by_leaving_a_stream(pipeline: Pipeline, items: Any) -> list[Any]:
    async with pipeline.stream(itertools.count()) as stream:
        await anext(stream)
    return await by_run(pipeline, items)


async def by_shutdown(pipeline: Pipeline, items: Any) -> list[Any]:
    await pipeline.start()
    await pipeline.feed(items)
    await pipeline.shutdown()
    return values(pipeline.results) + left(pipeline)


USES = [by_run, by_slow_stream, by_leaving_a_stream, by_feed, by_process, by_shutdown]


FACTORIES = TASK_FACTORIES | {"plain": only_loop_and_coroutine}


@pytest.mark.parametrize("factory", FACTORIES.values(), ids=FACTORIES)
@pytest.mark.parametrize(
    ("use", "task", "options"),
    [
        *((use, same, {"queue_capacity": 30}) for use in USES),
        (by_run, same_later, {}),
        (by_run, same_in_a_thread, {}),
        *((by_run, same, {"queue_capacity": capacity}) for capacity in (0, 1)),
        *((use, same, {"pull": True}) for use in (by_run, by_slow_stream)),
    ],
)
@pytest.mark.parametrize("number", [1, 30])  # one item is read in the first step of an eager task
def test_a_pipeline_runs_with_another_task_factory(
    use: Use, task: TaskFunc, options: dict[str, Any], number: int, factory: Any
) -> None:
    stages = [
        stage(task, name=name, workers=2, **options if is_last else {})
        for name, is_last in (("First", False), ("Second", True))
    ]
    pipeline = Pipeline(stages, autoload=False)
    done = on_real_loop(lambda: use(pipeline, range(number)), factory)
    assert sorted(done) == list(range(number))


@each_task_factory
@pytest.mark.parametrize("later", [False, True])
def test_plugins_of_a_refused_run_get_its_end(later: bool, factory: Any) -> None:
    calls = []

    class Refusing:
        @hookimpl
        def antflow_pipeline_start(self) -> Any:
            calls.append("start")
            return self.refuse_later() if later else self.refuse()

        def refuse(self) -> None:
            raise PluginError("no")

        async def refuse_later(self) -> None:
            self.refuse()

        @hookimpl
        def antflow_pipeline_finish(self) -> None:
            calls.append("finish")

    pipeline = Pipeline([stage(same)], plugins=[Refusing()], autoload=False)
    with pytest.raises(PluginError):
        on_real_loop(lambda: by_run(pipeline, [1]), factory)
    assert calls == ["start", "finish"]


# A loop that was closed


async def by_feed_before_the_start(pipeline: Pipeline, items: Any) -> list[Any]:
    await pipeline.feed(items)
    return await by_run(pipeline, [])


async def by_run_after_a_shutdown(pipeline: Pipeline, items: Any) -> list[Any]:
    await pipeline.shutdown()
    return await by_run(pipeline, items)


async def only_start(_: Pipeline) -> None:
    """Leave the pipeline as it is: just started."""


async def process_one(pipeline: Pipeline) -> None:
    await pipeline.process(0)


async def leave_one_at_work(pipeline: Pipeline) -> None:
    await pipeline.feed([9, 9])
    await asyncio.sleep(0)


def start_on_a_loop_that_is_closed(pipeline: Pipeline, before: Call) -> None:
    """Start a pipeline, do something with it, and close the loop that it runs on."""
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda *_: None)  # it complains of the tasks that go with it
    loop.run_until_complete(pipeline.start())
    loop.run_until_complete(before(pipeline))
    loop.close()


@pytest.fixture
def collected() -> Iterator[None]:
    """Collect what a test leaves, so that no other test gets the warnings of it."""
    yield
    gc.collect()


def leaves_a_run_on_a_closed_loop(test: Any) -> Any:
    """Mark a test whose pipeline warns, when it is collected, that its run never ended."""
    ignored = pytest.mark.filterwarnings("ignore:.*its event loop closed:ResourceWarning")
    return ignored(pytest.mark.usefixtures("collected")(test))


@leaves_a_run_on_a_closed_loop
@pytest.mark.parametrize("before", [only_start, process_one, leave_one_at_work])
@pytest.mark.parametrize(
    "use",
    [by_run, by_stream, by_feed, by_process, by_feed_before_the_start, by_run_after_a_shutdown],
)
def test_a_pipeline_whose_loop_was_closed_works_on_another(before: Call, use: Use) -> None:
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
@leaves_a_run_on_a_closed_loop
def test_a_pipeline_whose_loop_was_closed_asks_for_a_start(
    call: Callable[[Pipeline], Coroutine[Any, Any, Any]],
) -> None:
    pipeline = Pipeline([stage(same)])
    start_on_a_loop_that_is_closed(pipeline, lambda pipeline: pipeline.feed([1]))
    with pytest.raises(PipelineError, match=r"call start\(\)"):
        on_real_loop(lambda: call(pipeline))


async def _await(handle: ItemHandle) -> Any:
    return await handle


async def _cancel(handle: ItemHandle) -> bool:
    return handle.cancel()


@leaves_a_run_on_a_closed_loop
def test_an_item_whose_loop_was_closed_never_ends() -> None:
    async def wait_for_ever(_: int) -> None:
        await asyncio.Event().wait()

    async def submit(pipeline: Pipeline) -> None:
        handles.append(await pipeline.submit(1))

    handles = list[ItemHandle]()
    start_on_a_loop_that_is_closed(Pipeline([stage(wait_for_ever)]), submit)
    (handle,) = handles
    for call in (_await, _cancel):
        with pytest.raises(PipelineError, match=r"loop .* was closed.* item is lost; submit"):
            on_real_loop(partial(call, handle))
    with pytest.raises(PipelineError, match=r"loop .* was closed"):
        handle.cancel()


def test_an_item_that_has_ended_is_not_cancelled_after_its_loop() -> None:
    async def main() -> ItemHandle:
        async with Pipeline([stage(same)]).running() as pipeline:
            return await pipeline.submit(1)

    handle = asyncio.run(main())
    assert not handle.cancel()
    assert not on_real_loop(partial(_cancel, handle))
