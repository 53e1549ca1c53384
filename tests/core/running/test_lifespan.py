"""Lifespans: entered before the first item of a run, left after the last worker, in one task."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from typing import Any

import pytest

from antflow import Pipeline, PipelineError, PluginError, current_item, hookimpl
from tests.helpers.runs import (
    CustomExit,
    Use,
    assert_all_are_somewhere,
    by_feed,
    by_process,
    by_run,
    by_stream,
    cancel,
    ids,
    left,
    now,
    raised_by,
    same,
    sleep_long,
    stage,
    values,
)
from tests.helpers.simulated import simulated
from tests.helpers.virtual_time import Gate, begun, others, simulate

VARIABLE: ContextVar[str] = ContextVar("VARIABLE", default="unset")
USES = [by_run, by_stream, by_feed, by_process]
each_use = pytest.mark.parametrize("use", USES, ids=lambda use: use.__name__)


class Log:
    """What happened, in order; a lifespan, a plugin, a task and an input that write to it."""

    def __init__(self) -> None:
        self.events: list[Any] = []

    @asynccontextmanager
    async def lifespan(self, pipeline: Pipeline) -> AsyncIterator[str]:
        task = asyncio.current_task()
        VARIABLE.set("set")
        await asyncio.sleep(1)
        self.events.append("entered")
        try:
            async with asyncio.timeout(1000):
                yield "pool"
        finally:
            await asyncio.sleep(1)
            assert asyncio.current_task() is task
            self.events.append("left")

    @hookimpl
    def antflow_pipeline_start(self, pipeline: Pipeline) -> None:
        self.events.append(("start", pipeline.state))

    @hookimpl
    def antflow_pipeline_finish(self, pipeline: Pipeline) -> None:
        self.events.append(("finish", pipeline.state))

    async def task(self, value: Any) -> Any:
        item = current_item()
        assert item is not None
        self.events.append((value, item.state, VARIABLE.get()))
        return value

    def items(self, *items: Any) -> Iterator[Any]:
        self.events.append("reading")
        yield from items

    def pipeline(self, *tasks: Any, **fields: Any) -> Pipeline:
        fields = {"lifespan": self.lifespan, "plugins": [self], **fields}
        return Pipeline([stage(*tasks or [self.task])], **fields)


def raising(error: BaseException, *, on: str) -> Any:
    """Return a lifespan that raises on "entering" or "leaving"."""

    @asynccontextmanager
    async def lifespan(_: Pipeline) -> AsyncIterator[None]:
        await asyncio.sleep(1)
        if on == "entering":
            raise error
        yield
        await asyncio.sleep(1)
        raise error

    return lifespan


# The order of events


@each_use
@simulated()
async def test_it_surrounds_the_work_of_a_run(use: Use) -> None:
    log = Log()
    one = log.pipeline()
    for _ in range(2):  # each run has a lifespan of its own
        assert await use(one, log.items(1)) == [1]
        log.events.remove("reading")
        before, work, after = log.events[:2], log.events[2], log.events[3:]
        assert before == [("start", None), "entered"]
        assert work == (1, "pool", "set")
        assert after == ["left", ("finish", None)]
        assert (one.state, others()) == (None, set())
        log.events.clear()


@simulated()
async def test_input_is_read_once_it_is_entered() -> None:
    log = Log()
    await log.pipeline().run(log.items())
    assert log.events == [("start", None), "entered", "reading", "left", ("finish", None)]


@simulated()
async def test_the_state_of_the_pipeline() -> None:
    one = Log().pipeline(Gate())
    starting = await begun(one.start())
    assert one.state is None
    await starting
    assert one.state == "pool"
    leaving = await begun(one.shutdown())
    assert one.state == "pool"
    await leaving
    assert one.state is None


@simulated(threads=True)
async def test_the_state_in_a_thread() -> None:
    def work(_: Any) -> Any:
        item = current_item()
        return item and item.state

    assert values(await Log().pipeline(work).run([1])) == ["pool"]


@simulated()
async def test_without_one_there_is_no_state() -> None:
    log = Log()
    await log.pipeline(lifespan=None).run([1])
    assert log.events == [("start", None), (1, None, "unset"), ("finish", None)]


@simulated()
async def test_the_builder() -> None:
    log = Log()
    built = Pipeline.create().with_lifespan(log.lifespan).add("Work", log.task)
    await built.run([1])
    assert log.events == ["entered", (1, "pool", "set"), "left"]


@simulated()
async def test_any_callable_that_returns_a_context_manager() -> None:
    class Pool:
        def __init__(self, pipeline: Pipeline) -> None:
            self.name = pipeline.name

        async def __aenter__(self) -> str:
            return self.name

        async def __aexit__(self, *_: object) -> None:
            pass

    assert values(await Pipeline([stage(_state)], lifespan=Pool, name="p").run([1])) == ["p"]


async def _state(_: Any) -> Any:
    item = current_item()
    return item and item.state


@simulated()
async def test_items_that_it_feeds_are_worked_on() -> None:
    @asynccontextmanager
    async def lifespan(pipeline: Pipeline) -> AsyncIterator[None]:
        await pipeline.feed(range(50))  # beyond the capacity
        yield

    one = Pipeline([stage(same)], lifespan=lifespan)
    await one.run(["a"])
    assert values(one.results) == [*range(50), "a"]


# Errors


@pytest.mark.parametrize("error", [OSError("down"), CustomExit(), KeyboardInterrupt()], ids=repr)
@each_use
@simulated()
async def test_an_error_on_entering(use: Use, error: BaseException) -> None:
    log = Log()
    one = log.pipeline(lifespan=raising(error, on="entering"))
    fed = [] if use in (by_run, by_stream) else ["early"]
    await one.feed(fed)
    if use is by_feed:
        use = _start
    assert await raised_by(use(one, log.items(1))) is error
    assert error.__notes__[0] == "raised on entering the lifespan of pipeline 'pipeline'"
    assert log.events == [("start", None), ("finish", None)]  # nothing was read
    assert (left(one), one.get_stats().items_fed, others()) == (fed, len(fed), set())


async def _start(pipeline: Pipeline, _: Any) -> list[Any]:
    await pipeline.start()
    return []


@pytest.mark.parametrize("error", [OSError("down"), CustomExit(), KeyboardInterrupt()], ids=repr)
@each_use
@simulated()
async def test_an_error_on_leaving(use: Use, error: BaseException) -> None:
    log = Log()
    one = log.pipeline(lifespan=raising(error, on="leaving"))
    assert await raised_by(use(one, [1, 2])) is error
    assert error.__notes__[0] == "raised on leaving the lifespan of pipeline 'pipeline'"
    assert values(one.results) == ([1, 2] if use in (by_run, by_feed) else [])
    assert (log.events[-1], left(one), others()) == (("finish", None), [], set())


@simulated()
async def test_a_second_error_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def ending(_: Any) -> None:
        raise CustomExit

    one = Pipeline([stage(ending)], lifespan=raising(OSError("down"), on="leaving"))
    assert isinstance(await raised_by(one.run([1])), CustomExit)
    assert "Pipeline 'pipeline': its lifespan raised on leaving." in caplog.text
    assert "OSError: down" in caplog.text


@simulated()
async def test_a_plugin_may_refuse_the_run_first() -> None:
    class Refusing:
        @hookimpl
        def antflow_pipeline_start(self) -> None:
            raise PluginError("no")

    log = Log()
    with pytest.raises(PluginError):
        await log.pipeline(plugins=[Refusing()]).run(log.items(1))
    assert log.events == []


@simulated()
async def test_a_task_group_that_fails_ends_the_run_before_it_is_left() -> None:
    log = Log()

    @asynccontextmanager
    async def lifespan(_: Pipeline) -> AsyncIterator[None]:
        async def watch() -> None:
            await asyncio.sleep(5)
            raise OSError("down")

        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(watch())
                yield
        finally:
            log.events.append("left")

    async def work(value: Any) -> None:
        try:
            await asyncio.sleep(1000)
        finally:
            log.events.append("cut")

    one = log.pipeline(work, lifespan=lifespan, plugins=[])
    with pytest.raises(ExceptionGroup) as raised:
        await one.run([1, 2])
    assert [str(each) for each in raised.value.exceptions] == ["down"]
    assert (log.events, left(one), now() < 6) == (["cut", "left"], [1, 2], True)


@simulated()
async def test_a_lifespan_that_ends_by_itself_ends_the_run() -> None:
    @asynccontextmanager
    async def lifespan(_: Pipeline) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(5):
                yield
        except TimeoutError:
            pass

    one = Pipeline([stage(sleep_long)], lifespan=lifespan)
    with pytest.raises(PipelineError, match="the task of its lifespan was cancelled"):
        await one.run([1])
    assert left(one) == [1]


@simulated()
async def test_a_task_that_it_cancels_and_awaits() -> None:
    @asynccontextmanager
    async def lifespan(_: Pipeline) -> AsyncIterator[None]:
        task = asyncio.create_task(asyncio.sleep(1000))
        yield
        await asyncio.sleep(0)
        task.cancel()
        await task

    one = Pipeline([stage(same)], lifespan=lifespan)
    with pytest.raises(PipelineError, match="the task of its lifespan was cancelled"):
        await one.run([1])
    assert values(one.results) == [1]


@simulated()
async def test_its_tasks_cannot_wait_for_the_run() -> None:
    errors = []

    @asynccontextmanager
    async def lifespan(pipeline: Pipeline) -> AsyncIterator[None]:
        async def call(after: float = 0) -> None:
            await asyncio.sleep(after)
            waits = pipeline.shutdown(), pipeline.join(), pipeline.process(1)
            errors.extend([await raised_by(each) for each in waits])

        await call()
        async with asyncio.TaskGroup() as group:
            group.create_task(call(after=5))
            yield
        await call()

    await Pipeline([stage(sleep_long)], lifespan=lifespan).run([1])
    assert len(errors) == 9
    assert all(isinstance(error, PipelineError) for error in errors), errors


# Early ends


async def _by_closed_stream(pipeline: Pipeline, items: Any) -> list[Any]:
    async with pipeline.stream(items) as results:
        return [result.value async for result in results]


@pytest.mark.parametrize("moment", ["entering", "working", "leaving"])
@pytest.mark.parametrize("use", [by_run, _by_closed_stream], ids=["run", "stream"])
@simulated()
async def test_a_cancelled_run_leaves_it(use: Use, moment: str) -> None:
    log = Log()
    one = log.pipeline(same if moment == "leaving" else sleep_long)
    running = await begun(use(one, [1, 2]))
    await asyncio.sleep({"entering": 0.5, "working": 1.5, "leaving": 1.5}[moment])
    await cancel(running)
    entered = [] if moment == "entering" else ["entered"]
    # A cancellation cuts what is awaited as it is left, as in any task.
    assert [each for each in log.events if isinstance(each, str)] == [
        *entered,
        *(["left"] if moment == "working" else []),
    ]
    assert (log.events[-1], one.state) == (("finish", None), None)
    if moment == "working":
        assert_all_are_somewhere(one, [0, 1])


class Stubborn:
    """A lifespan that ignores its cancellation, on "entering" or "leaving"."""

    def __init__(self, moment: str, seconds: float) -> None:
        self._moment = moment
        self._seconds = seconds
        self.log: list[str] = []

    @asynccontextmanager
    async def __call__(self, _: Pipeline) -> AsyncIterator[None]:
        await self._hold("entering")
        yield
        await self._hold("leaving")

    async def _hold(self, moment: str) -> None:
        if moment == self._moment:
            until = now() + self._seconds
            while (seconds := until - now()) > 0:
                try:
                    await asyncio.sleep(seconds)
                except asyncio.CancelledError:
                    self.log.append("cancelled")
        self.log.append(moment)


@pytest.mark.parametrize(
    ("moment", "seconds", "log"),
    [
        ("entering", 3, ["cancelled", "entering", "leaving"]),
        ("entering", 50, ["cancelled"]),
        ("leaving", 3, ["entering", "leaving"]),
        ("leaving", 8, ["entering", "cancelled", "leaving"]),
        ("leaving", 50, ["entering", "cancelled"]),
    ],
)
@simulated()
async def test_a_cancelled_run_waits_for_a_limited_time(
    moment: str, seconds: float, log: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    lifespan = Stubborn(moment, seconds)
    one = Pipeline([stage(sleep_long)], lifespan=lifespan)
    running = await begun(one.run([1]))
    begin = now()
    running.cancel()
    await asyncio.wait([running])
    assert running.cancelled()
    assert lifespan.log == log
    assert now() - begin < 10.1
    assert ("lifespan" in caplog.text) is (seconds > 5)
    await asyncio.sleep(100)  # one that was left behind enters late, and is left at once
    assert lifespan.log[-1] == "leaving"
    assert not others()


@simulated()
async def test_a_run_that_is_not_cancelled_waits_for_it() -> None:
    lifespan = Stubborn("leaving", 1000)
    await Pipeline([stage(same)], lifespan=lifespan).run([1])
    assert lifespan.log == ["entering", "leaving"]


@pytest.mark.parametrize("drain", [True, False], ids=["drain", "stop"])
@simulated()
async def test_a_shutdown_while_it_is_entered(drain: bool) -> None:
    log = Log()
    one = log.pipeline()
    await one.feed([1])
    starting = await begun(one.start())
    await asyncio.sleep(0.5)
    unprocessed = await one.shutdown(drain=drain)
    await starting
    if drain:  # what was fed before needs what the lifespan opens
        assert (unprocessed, log.events[2]) == ([], (1, "pool", "set"))
    else:
        assert (values(unprocessed), log.events) == ([1], [("start", None), ("finish", None)])


@simulated()
async def test_a_run_that_is_stopped_before_its_start_enters_nothing() -> None:
    log = Log()
    one = log.pipeline()
    await one.feed([1])
    assert ids(await one.shutdown()) == [0]
    assert log.events == []


@pytest.mark.parametrize("error", [KeyboardInterrupt, CustomExit])
@simulated()
async def test_an_error_that_ends_the_run_leaves_it(error: type[BaseException]) -> None:
    async def ending(_: Any) -> None:
        raise error

    log = Log()
    assert isinstance(await raised_by(log.pipeline(ending).run([1])), error)
    assert log.events[-2:] == ["left", ("finish", None)]


@pytest.mark.parametrize("use", [by_run, by_feed], ids=lambda use: use.__name__)
def test_asyncio_run_that_is_interrupted_leaves_it(use: Use) -> None:
    log = Log()

    async def main() -> None:
        asyncio.get_running_loop().call_later(2.5, _interrupt)
        await use(log.pipeline(sleep_long), [1])

    with pytest.raises(KeyboardInterrupt):
        simulate(main)
    assert log.events[-2:] == ["left", ("finish", None)]


def _interrupt() -> None:
    raise KeyboardInterrupt


@simulated()
async def test_a_stream_that_is_left_leaves_it() -> None:
    log = Log()
    async with log.pipeline().stream(range(100)) as results:
        async for _ in results:
            break
    assert log.events[-2:] == ["left", ("finish", None)]


@pytest.mark.parametrize("seed", range(20))
@simulated()
async def test_no_moment_of_a_cancellation_loses_anything(seed: int) -> None:
    for turns in range(1, 60):
        log = Log()
        one = log.pipeline()
        await one.feed([1, 2])
        running = asyncio.ensure_future(one.run([3]))
        for _ in range(turns):
            await asyncio.sleep(0 if turns % 2 else 0.05)
        running.cancel()
        await asyncio.wait([running])
        assert not others()
        assert log.events.count("entered") >= log.events.count("left")
        assert one.state is None
        ended = values(one.results) + values(await one.shutdown())
        assert sorted(ended) == [1, 2, 3][: one.get_stats().items_fed]


# Values that are refused


@asynccontextmanager
async def no_argument() -> AsyncIterator[None]:
    yield


async def generator(_: Pipeline) -> AsyncIterator[None]:
    yield


@contextmanager
def plain(_: Pipeline) -> Iterator[None]:
    yield


async def coroutine(_: Pipeline) -> None: ...


@pytest.mark.parametrize(
    ("lifespan", "error"),
    [
        (3, "lifespan=3 of pipeline 'p' is of type int; give a function of the pipeline that is"),
        (generator, "is a generator function without its decorator; give a function of the"),
        (coroutine, "is a coroutine function; give a function of the pipeline"),
        (no_argument, r"is a function of \(\).*; give a function of the pipeline"),
        (no_argument(), "is a context manager already, which could be entered for one run only"),
    ],
)
def test_a_value_that_is_no_lifespan(lifespan: Any, error: str) -> None:
    with pytest.raises(PipelineError, match=error):
        Pipeline([stage(same)], name="p", lifespan=lifespan)
    with pytest.raises(PipelineError, match=error):
        Pipeline.create(name="p").add("Work", same).with_lifespan(lifespan).build()


def returns_a_coroutine(pipeline: Pipeline) -> Any:
    return coroutine(pipeline)


@pytest.mark.parametrize("lifespan", [plain, returns_a_coroutine, lambda _: None])
@simulated()
async def test_a_function_that_returns_no_context_manager(lifespan: Any) -> None:
    one = Pipeline([stage(same)], name="p", lifespan=lifespan)
    with pytest.raises(PipelineError, match=r"of pipeline 'p' returned .*, which is no async"):
        await one.run([1])
