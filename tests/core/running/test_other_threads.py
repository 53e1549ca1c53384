"""A pipeline that runs on one event loop, used from other threads and event loops."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from contextvars import ContextVar
from typing import Any

import pytest

from antflow import Item, Pipeline, PipelineError, hookimpl
from tests.helpers.observers import observe
from tests.helpers.runs import fail, ids, raised_by, same, stage, stats_of, values
from tests.helpers.simulated import simulated
from tests.helpers.virtual_time import Gate, begun, settle, simulate
from tests.naming import id_of

COLOUR: ContextVar[str] = ContextVar("colour", default="none")
PATIENCE_SECONDS = 10
"""How long a test that is broken waits for a thread; one that is not never waits."""

Call = Callable[[Pipeline], Coroutine[Any, Any, Any]]


def with_threads(main: Callable[[], Coroutine[Any, Any, Any]], seed: int | None = None) -> Any:
    return simulate(main, seed, threads=True)


async def elsewhere(call: Callable[[], Any]) -> Any:
    """Call a function in another thread, and wait for it while the loop goes on."""
    return await asyncio.get_running_loop().run_in_executor(None, call)


def answer(future: concurrent.futures.Future[Any]) -> Any:
    return future.result(PATIENCE_SECONDS)


async def started(*tasks: Any, **fields: Any) -> Pipeline:
    pipeline = Pipeline([stage(*(tasks or (same,)), **fields)], name="books")
    await pipeline.start()
    return pipeline


# Calls that belong to the loop of the run


async def leave(pipeline: Pipeline) -> None:
    async with pipeline:
        pass


CALLS: list[Call] = [
    lambda pipeline: pipeline.feed([1]),
    lambda pipeline: pipeline.feed_async(later()),
    lambda pipeline: pipeline.feed([1], read_in_thread=True),
    lambda pipeline: pipeline.process(1),
    lambda pipeline: pipeline.join(),
    lambda pipeline: pipeline.shutdown(),
    lambda pipeline: pipeline.shutdown(drain=True, timeout=0),
    leave,
]
NAMES = ["feed", "feed_async", "in thread", "process", "join", "shutdown", "drain", "leave"]


async def later() -> AsyncIterator[int]:
    yield 1


@pytest.mark.parametrize("call", CALLS, ids=NAMES)
@simulated(threads=True)
async def test_calls_on_another_loop_are_refused_and_the_run_goes_on(call: Call) -> None:
    pipeline = await started()
    for _ in range(2):
        with pytest.raises(PipelineError) as caught:
            await elsewhere(lambda: asyncio.run(call(pipeline)))
        for word in ("'books'", "feed_threadsafe(items", "process_threadsafe(item"):
            assert word in str(caught.value)
    await pipeline.feed([7])
    await pipeline.join()
    assert values(pipeline.results) == [7]


@pytest.mark.parametrize("call", CALLS[4:6], ids=NAMES[4:6])
@simulated(threads=True)
async def test_a_run_that_is_over_may_be_asked_on_any_loop(call: Call) -> None:
    pipeline = await started()
    await pipeline.join()
    await elsewhere(lambda: asyncio.run(call(pipeline)))


@simulated(threads=True)
async def test_a_pipeline_that_is_not_started_may_be_fed_on_any_loop() -> None:
    pipeline = Pipeline([stage(same)])
    await elsewhere(lambda: asyncio.run(pipeline.feed([1])))
    assert values(await pipeline.run([2])) == [1, 2]


async def first_of_stream(pipeline: Pipeline) -> None:
    await anext(pipeline.stream([1]))


WHILE_FED: dict[str, Call] = {
    "start": lambda pipeline: pipeline.start(),
    "run": lambda pipeline: pipeline.run([1]),
    "stream": first_of_stream,
    "feed": lambda pipeline: pipeline.feed([1]),
    "shutdown": lambda pipeline: pipeline.shutdown(),
}


@simulated(threads=True)
async def test_a_feed_that_waits_for_the_start_binds_the_pipeline_to_its_loop() -> None:
    is_waiting, is_refused = threading.Event(), threading.Event()
    pipeline = Pipeline([stage(same, queue_capacity=1)], name="books")

    async def feed() -> None:
        feeding = asyncio.create_task(pipeline.feed([0, 1]))
        while not pipeline.get_stats().items_fed:
            await asyncio.sleep(0)
        is_waiting.set()
        await asyncio.to_thread(is_refused.wait, PATIENCE_SECONDS)
        assert not feeding.done()
        feeding.cancel()

    thread = threading.Thread(target=lambda: asyncio.run(feed()))
    thread.start()
    await elsewhere(lambda: is_waiting.wait(PATIENCE_SECONDS))
    errors = {name: await raised_by(call(pipeline)) for name, call in WHILE_FED.items()}
    is_refused.set()
    await elsewhere(thread.join)
    for error in errors.values():
        assert isinstance(error, PipelineError)
        for word in ("'books'", "not started", "start() first", "feed_threadsafe(items"):
            assert word in str(error)
    assert values(await pipeline.run([2])) == [0, 2]


# Feeding from any thread


@simulated(threads=True)
async def test_any_thread_may_feed() -> None:
    pipeline = await started()
    futures = await elsewhere(
        lambda: [
            pipeline.feed_threadsafe([1, 2]),
            pipeline.feed_threadsafe(Item(number) for number in range(3, 5)),
            pipeline.feed_threadsafe(later()),
        ]
    )
    assert [isinstance(future, concurrent.futures.Future) for future in futures] == [True] * 3
    assert await elsewhere(lambda: [answer(future) for future in futures]) == [None] * 3
    await pipeline.join()
    assert sorted(values(pipeline.results)) == [1, 1, 2, 3, 4]


@simulated(threads=True)
async def test_stage_and_priority_are_those_of_feed() -> None:
    gate = Gate()
    pipeline = Pipeline([stage(fail), stage(gate, name="Second")])
    await pipeline.start()
    await pipeline.feed(["first"], "Second")
    await settle()
    for number, priority in ((1, 50), (2, 7)):
        future = pipeline.feed_threadsafe([number], "Second", priority)
        await asyncio.wrap_future(future)
    gate.open()
    await pipeline.join()
    assert gate.entered == ["first", 2, 1]


@pytest.mark.parametrize("seed", [None, 1, 2, 3])
@simulated(threads=True)
async def test_a_thread_waits_for_room(seed: int | None) -> None:
    gate = Gate()
    pipeline = await started(gate, queue_capacity=1)
    future = pipeline.feed_threadsafe([1, 2, 3])
    await settle()
    assert not future.done()
    assert pipeline.get_stats().items_fed == 2
    gate.open()
    await asyncio.wrap_future(future)
    await pipeline.join()
    assert values(pipeline.results) == [1, 2, 3]


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda pipeline: pipeline.feed_threadsafe("text"), TypeError),
        (lambda pipeline: pipeline.feed_threadsafe(5), TypeError),
        (lambda pipeline: pipeline.feed_threadsafe([1], "Gone"), ValueError),
        (lambda pipeline: pipeline.feed_threadsafe([1], priority="high"), ValueError),
        (lambda pipeline: pipeline.process_threadsafe(1, priority="high"), ValueError),
    ],
    ids=["text", "number", "stage", "priority", "priority of process"],
)
@simulated(threads=True)
async def test_wrong_arguments_are_refused_at_once(
    call: Callable[[Pipeline], Any], error: type[Exception]
) -> None:
    pipeline = await started()
    with pytest.raises(error):
        await elsewhere(lambda: call(pipeline))
    await pipeline.join()


@simulated(threads=True)
async def test_an_exception_of_the_items_is_that_of_the_future() -> None:
    def breaking() -> Any:
        yield 1
        raise LookupError("broken")

    pipeline = await started()
    with pytest.raises(LookupError, match="broken"):
        await elsewhere(lambda: answer(pipeline.feed_threadsafe(breaking())))
    await pipeline.join()
    assert values(pipeline.results) == [1]


# Calling from any thread


@simulated(threads=True)
async def test_any_thread_gets_the_result_of_its_item() -> None:
    async def check(value: int) -> Any:
        return await (fail(value) if value < 0 else same(value))

    pipeline = await started(check, workers=3)

    def call() -> list[Any]:
        futures = [pipeline.process_threadsafe(Item(n, id=f"i{n}"), n) for n in (1, -2, 3)]
        return [answer(future) for future in futures]

    results = await elsewhere(call)
    assert [(each.id, each.value, each.is_success) for each in results] == [
        ("i1", 1, True),
        ("i-2", -2, False),
        ("i3", 3, True),
    ]
    assert (pipeline.results, pipeline.failures) == ([], [])
    await pipeline.join()


@simulated(threads=True)
async def test_hooks_see_the_context_of_the_thread() -> None:
    seen = []

    class Looking:
        def antflow_item_start(self, event: Any) -> None:
            seen.append(COLOUR.get())

    pipeline = Pipeline([stage(same)])
    observe(pipeline, Looking())
    await pipeline.start()

    def call() -> None:
        COLOUR.set("red")
        answer(pipeline.process_threadsafe(1))

    await elsewhere(call)
    await pipeline.join()
    assert seen == ["red"]


# Cancelling


@pytest.mark.parametrize("seed", [None, 1, 2, 3])
@simulated(threads=True)
async def test_cancelling_the_future_cancels_the_feed_but_not_an_item_of_process(
    seed: int | None,
) -> None:
    gate = Gate()
    pipeline = await started(gate, queue_capacity=1)
    processing = pipeline.process_threadsafe(0)
    await settle()
    feeding = pipeline.feed_threadsafe([1, 2, 3, 4])
    await settle()
    for future in (processing, feeding):
        assert await elsewhere(future.cancel)
    await settle()
    gate.open()
    await pipeline.join()
    assert values(pipeline.results) == [0, 1]
    assert feeding.cancelled()
    assert concurrent.futures.wait([feeding], timeout=0).done == {feeding}


@simulated(threads=True)
async def test_a_call_that_is_cancelled_before_it_began_does_nothing() -> None:
    pipeline = await started()
    future = pipeline.feed_threadsafe([1])
    assert future.cancel()
    await settle()
    await pipeline.join()
    assert pipeline.get_stats().items_fed == 0
    assert concurrent.futures.wait([future], timeout=0).done == {future}


# From a task's own thread


def on_a_loop_of_its_own(call: Call) -> Callable[[Pipeline], Any]:
    return lambda pipeline: asyncio.run(call(pipeline))


IN_A_TASK = [*map(on_a_loop_of_its_own, CALLS[:4]), lambda pipeline: pipeline.process_threadsafe(2)]


@pytest.mark.parametrize("call", IN_A_TASK, ids=[*NAMES[:4], "process_threadsafe"])
@simulated(threads=True)
async def test_a_task_in_a_thread_can_only_feed_by_feed_threadsafe(
    call: Callable[[Pipeline], Any],
) -> None:
    def work(_: int) -> None:
        call(pipeline)

    pipeline = Pipeline([stage(work)])
    await pipeline.run([0])
    (failure,) = pipeline.failures
    assert isinstance(failure.error, PipelineError)
    assert "feed_threadsafe" in str(failure.error)


@pytest.mark.parametrize("waits", [False, True])
@simulated(threads=True)
async def test_a_task_in_a_thread_feeds_past_the_capacity(waits: bool) -> None:
    def visit(text: str) -> str:
        if len(text) < 4:
            future = pipeline.feed_threadsafe([text + "a", text + "b"])
            if waits:
                answer(future)
        return text

    pipeline = Pipeline([stage(visit, queue_capacity=1)])
    assert len(await pipeline.run([""])) == 2**5 - 1


@simulated(threads=True)
async def test_a_task_in_a_thread_may_feed_while_the_run_is_joined() -> None:
    gate = threading.Event()

    def visit(number: int) -> int:
        assert gate.wait(PATIENCE_SECONDS)
        if number:
            answer(pipeline.feed_threadsafe([number - 1]))
        return number

    pipeline = Pipeline([stage(visit)])
    await pipeline.start()
    await pipeline.feed([3])
    joining = await begun(pipeline.join())
    with pytest.raises(PipelineError, match="about to end"):
        await asyncio.wrap_future(pipeline.feed_threadsafe([9]))
    gate.set()
    await joining
    assert sorted(values(pipeline.results)) == [0, 1, 2, 3]


@simulated(threads=True)
async def test_a_task_in_a_thread_may_wait_for_another_pipeline() -> None:
    inner = await started()

    def work(value: int) -> Any:
        return answer(inner.process_threadsafe(value)).value

    assert values(await Pipeline([stage(work)]).run([1, 2])) == [1, 2]
    await inner.join()


# Pipelines that do not run


async def nothing(_: Pipeline) -> None:
    pass


async def join(pipeline: Pipeline) -> None:
    await pipeline.start()
    await pipeline.join()


async def only_feed(pipeline: Pipeline) -> None:
    await pipeline.feed([1])


@pytest.mark.parametrize("before", [nothing, join, only_feed], ids=id_of)
@pytest.mark.parametrize("use", [Pipeline.feed_threadsafe, Pipeline.process_threadsafe])
@simulated(threads=True)
async def test_a_pipeline_that_does_not_run_is_refused(before: Call, use: Any) -> None:
    pipeline = Pipeline([stage(same)], name="books")
    await before(pipeline)
    with pytest.raises(PipelineError, match="'books' is not running"):
        await elsewhere(lambda: use(pipeline, [1]))


@pytest.mark.parametrize("use", [Pipeline.feed_threadsafe, Pipeline.process_threadsafe])
@pytest.mark.parametrize("is_closed", [False, True])
def test_a_loop_that_does_not_run_is_refused(is_closed: bool, use: Any) -> None:
    pipeline = Pipeline([stage(same)], name="books")
    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(pipeline.start())
        if not is_closed:
            with pytest.raises(PipelineError, match="'books' is not running"):
                use(pipeline, [1])
        loop.run_until_complete(pipeline.shutdown())
    finally:
        loop.close()
    with pytest.raises(PipelineError, match="'books' is not running"):
        use(pipeline, [1])


@pytest.mark.parametrize("seed", [None, 1, 2, 3])
@pytest.mark.parametrize("stop", [Pipeline.shutdown, Pipeline.join], ids=["shutdown", "join"])
@simulated(threads=True)
async def test_calls_that_wait_when_the_run_ends_fail(stop: Call, seed: int | None) -> None:
    pipeline = await started(Gate(), queue_capacity=1)
    futures: list[Any] = [pipeline.process_threadsafe(1)]
    await settle()
    futures += [pipeline.feed_threadsafe([2, 3]), pipeline.process_threadsafe(4)]
    await settle()
    await pipeline.shutdown(timeout=0)
    await settle()
    for future in futures:
        error = future.exception(0)
        assert isinstance(error, PipelineError)
        assert "stopped" in str(error)
    assert sorted(ids(pipeline.unprocessed)) == [0, 1]
    assert stats_of(pipeline).fed_items == 2
    assert await raised_by(stop(pipeline)) is None


@pytest.mark.parametrize("seed", [None, 1, 2, 3])
def test_calls_that_the_loop_does_not_start_before_the_end_of_the_run_fail(
    seed: int | None,
) -> None:
    futures: list[concurrent.futures.Future[Any]] = []

    class Late:
        @hookimpl
        def antflow_pipeline_finish(self, pipeline: Pipeline) -> None:
            futures.extend(pipeline.feed_threadsafe([number]) for number in range(2))
            futures[0].cancel()

    simulate(Pipeline([stage(same)], plugins=[Late()]).run([1]), seed)
    assert futures[0].cancelled()
    assert isinstance(futures[1].exception(0), PipelineError)


@simulated()
async def test_a_loop_that_is_closed_as_it_is_called_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise RuntimeError("Event loop is closed")

    pipeline = await started()
    with monkeypatch.context() as patch:
        patch.setattr(asyncio.get_running_loop(), "call_soon_threadsafe", refuse)
        with pytest.raises(PipelineError, match="'books' was stopped"):
            pipeline.feed_threadsafe([1])
    await pipeline.join()


@simulated(threads=True)
async def test_a_run_that_ends_as_it_is_called_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    is_asked, is_over = threading.Event(), threading.Event()

    def wait_for_the_end() -> bool:
        is_asked.set()
        return is_over.wait(PATIENCE_SECONDS)

    pipeline = await started()
    with monkeypatch.context() as patch:
        patch.setattr(asyncio.get_running_loop(), "is_running", wait_for_the_end)
        calling = asyncio.ensure_future(elsewhere(lambda: pipeline.feed_threadsafe([1])))
        await asyncio.to_thread(is_asked.wait, PATIENCE_SECONDS)
        await pipeline.join()
        is_over.set()
        with pytest.raises(PipelineError, match="'books' was stopped"):
            await calling
