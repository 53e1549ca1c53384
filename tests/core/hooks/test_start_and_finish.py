"""antflow_pipeline_start and antflow_pipeline_finish: once each, however a run goes and ends."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from itertools import product
from typing import Any

import pytest

from antflow import Pipeline, PipelineError, hookimpl
from tests.helpers.hooks import (
    EACH_USE,
    FINISH,
    LONG,
    START,
    Ends,
    Journal,
    by_feeding,
    by_run,
    by_streaming,
    check_conservation,
    drain,
    hooked,
    pipeline,
)
from tests.helpers.installation import Entry, install
from tests.helpers.runs import CustomExit, cancel, fail, raised_by, same, values
from tests.helpers.simulated import simulated
from tests.helpers.virtual_time import Gate, begun, others, settle, simulate

pytestmark = pytest.mark.usefixtures("nothing_installed")

Use = Callable[[Pipeline], Awaitable[None]]


class Holding(Journal):
    """A journal whose start or finish hook takes long, and which records if that is cancelled."""

    antflow_name = "holding"

    def __init__(self, hook: str) -> None:
        super().__init__()
        self.hook = hook
        self.seconds = LONG

    async def _hold(self, hook: str) -> None:
        if hook != self.hook:
            return
        try:
            await asyncio.sleep(self.seconds)
        except asyncio.CancelledError:
            self.calls.append("cancelled")
            raise

    @hookimpl
    async def antflow_pipeline_start(self, pipeline: Pipeline, total_items: int | None) -> Any:
        self.calls.append(f"start {total_items}")
        await self._hold(START)

    @hookimpl
    async def antflow_pipeline_finish(self) -> None:
        self.calls.append("finish")
        await self._hold(FINISH)


@EACH_USE
@simulated()
async def test_each_run_starts_and_finishes_once(use: Use) -> None:
    journal = Journal()
    total = 2 if use in (by_run, by_streaming) else None
    one = pipeline(journal)
    for _ in range(2):
        await use(one)
        assert not others()
    run = [
        *(f"start {total}", "queued", "queued"),
        *["in_progress", "task start", "task complete", "completed!"] * 2,
        "finish",
    ]
    assert journal.calls == run * 2


@EACH_USE
@pytest.mark.parametrize("hook", [START, FINISH])
@simulated()
async def test_a_run_waits_for_an_asynchronous_start_and_finish(use: Use, hook: str) -> None:
    holding = Holding(hook)
    await use(pipeline(holding))
    assert asyncio.get_running_loop().time() > LONG
    holding.check()
    assert "cancelled" not in holding.calls


def test_the_plugins_start_one_after_the_other_and_finish_in_the_same_order() -> None:
    calls: list[str] = []

    def named(name: str) -> Any:
        async def start(self: object) -> None:
            calls.append(f"{name} starts")
            await asyncio.sleep(1)
            calls.append(f"{name} has started")

        return hooked(pipeline_start=start, pipeline_finish=lambda self: calls.append(name))

    simulate(pipeline(named("a"), named("b")).run([1]))
    assert calls == ["b starts", "b has started", "a starts", "a has started", "b", "a"]


def test_the_input_is_read_after_all_plugins_have_started() -> None:
    read: list[float] = []

    def items() -> Iterator[int]:
        read.append(asyncio.get_running_loop().time())
        yield 1

    simulate(pipeline(Holding(START)).run(items()))
    assert read[0] > LONG


@simulated()
async def test_items_that_are_fed_before_the_start_wait_until_all_plugins_have_started() -> None:
    holding = Holding(START)
    one = pipeline(holding)
    await one.feed(["x"])
    starting = await begun(one.start())
    assert holding.calls == ["queued", "start None"]
    await one.feed(["y"])
    await starting
    await one.join()
    assert holding.calls[2:4] == ["queued", "in_progress"]


def test_the_finish_gets_the_failures_and_the_statistics() -> None:
    ends = Ends()
    simulate(pipeline(ends, tasks=[fail]).run([1, 2]))
    assert ends.failed == [({"ValueError": 2}, 2)]


@simulated()
async def test_quick_and_the_builder_call_the_hooks(monkeypatch: pytest.MonkeyPatch) -> None:
    installed, given = Ends(), Ends()
    installed.antflow_name = "installed"
    install(monkeypatch, Entry("installed", lambda: installed))
    await Pipeline.quick([1], same)
    builder = Pipeline.create().add("Work", same).with_plugins(given)
    await builder.run([1])
    await drain(builder.stream([1]))
    installed.check(runs=3)
    given.check(runs=2)


@simulated()
async def test_a_pipeline_that_never_ran_neither_starts_nor_finishes() -> None:
    journal = Journal()
    one = pipeline(journal)
    await one.feed(["x"])
    assert len(await one.shutdown()) == 1
    one.stream([1])
    assert journal.calls == ["queued", "unprocessed!"]


# Runs that end early


async def leave(value: Any) -> None:
    raise CustomExit


def broken() -> Iterator[int]:
    yield 1
    raise LookupError("no more")


@pytest.mark.parametrize("as_stream", [False, True])
@pytest.mark.parametrize(
    ("items", "task", "error"), [(broken(), same, LookupError), ([1, 2], leave, CustomExit)]
)
@simulated()
async def test_a_run_that_an_error_ends_finishes(
    items: Any, task: Any, error: type[BaseException], as_stream: bool
) -> None:
    journal = Journal()
    items = broken() if error is LookupError else items
    one = pipeline(journal, tasks=[task])
    call = drain(one.stream(items)) if as_stream else one.run(items)
    assert isinstance(await raised_by(call), error)
    check_conservation(one)
    assert not others()
    journal.check()
    assert journal.calls.count("completed!") == (error is LookupError)


@pytest.mark.parametrize("how", ["break", "aclose", "async with"])
@simulated()
async def test_a_stream_that_is_left_finishes(how: str) -> None:
    journal = Journal()
    one = pipeline(journal)
    stream = one.stream(range(100))
    if how == "async with":
        async with stream:
            await anext(stream)
    else:
        async for _ in stream:
            break
    if how == "aclose":
        await stream.aclose()
    del stream
    await settle()
    assert not others()
    check_conservation(one)
    journal.check()


@pytest.mark.parametrize("as_stream", [False, True])
@pytest.mark.parametrize("phase", [START, "work", FINISH])
@simulated()
async def test_a_run_that_is_cancelled_in_any_phase_finishes(phase: str, as_stream: bool) -> None:
    journal, holding, gate = Journal(), Holding(phase), Gate()
    if phase != "work":
        gate.open()

    async def consume(one: Pipeline) -> None:
        async with one.stream(range(3)) as stream:
            await drain(stream)

    one = pipeline(holding, journal, tasks=[gate])
    await cancel(await begun(consume(one) if as_stream else one.run(range(3))))
    check_conservation(one)
    assert asyncio.get_running_loop().time() < LONG
    assert not one.plugin_faults
    journal.check()
    assert holding.calls.count("cancelled") == (phase != "work")
    assert [each for each in holding.calls if each != "cancelled"] == journal.calls
    assert ("in_progress" in journal.calls) == (phase != START)


@simulated()
async def test_a_second_cancellation_ends_a_finish_hook_and_the_others_are_called() -> None:
    holding, last = Holding(FINISH), Ends()
    running = await begun(pipeline(last, holding, tasks=[Gate()]).run([1]))
    running.cancel()
    await settle()
    assert holding.calls[-1] == "finish"
    await cancel(running)
    assert holding.calls[-2:] == ["finish", "cancelled"]
    last.check()


@simulated()
async def test_a_call_of_start_that_is_cancelled_ends_the_run_and_another_can_follow() -> None:
    holding = Holding(START)
    one = pipeline(holding)
    await one.feed(["x"])
    await cancel(await begun(one.start()))
    assert len(one.unprocessed) == 1
    check_conservation(one)
    holding.seconds = 0
    assert values(await one.run(["y"])) == ["y"]
    assert holding.calls[:5] == ["queued", "start None", "cancelled", "unprocessed!", "finish"]


@pytest.mark.parametrize("timeout", [None, 0, 5])
@pytest.mark.parametrize("drains", [False, True])
@simulated()
async def test_a_shutdown_during_a_start_hook_finishes_the_run(
    drains: bool, timeout: float | None
) -> None:
    holding = Holding(START)
    one = pipeline(holding)
    await one.feed(["x"])
    starting = await begun(one.start())
    await one.shutdown(drain=drains, timeout=timeout)
    await asyncio.wait([starting])
    check_conservation(one)
    assert not others()
    assert not one.plugin_faults
    holding.check()


@pytest.mark.parametrize("drains", [False, True])
@pytest.mark.parametrize("use", [by_run, by_streaming, by_feeding])
def test_a_shutdown_right_after_the_begin_leaves_start_and_finish_paired(
    use: Use, drains: bool
) -> None:
    async def main(ends: Ends, iterations: int) -> None:
        one = pipeline(ends)
        await one.feed(["early"])
        running = asyncio.create_task(raised_by(use(one)))
        for _ in range(iterations):
            await asyncio.sleep(0)
        await one.shutdown(drain=drains)
        await running
        await one.shutdown()  # what was fed too late
        check_conservation(one)
        assert not others()

    for iterations in range(6):
        ends = Ends()
        simulate(main(ends, iterations))
        ends.check(runs=len(ends.calls) // 2)


@simulated()
async def test_a_shutdown_at_its_timeout_does_not_wait_for_a_finish_hook() -> None:
    holding = Holding(FINISH)
    one = pipeline(holding)
    await one.start()
    await one.feed(["x"])
    await one.shutdown(drain=True, timeout=5)
    assert asyncio.get_running_loop().time() < 10
    assert holding.calls[-2:] == ["finish", "cancelled"]


@simulated()
async def test_a_start_hook_that_cancels_its_own_task_does_not_hang() -> None:
    async def start(self: object) -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(0)

    ends = Ends()
    one = pipeline(ends, hooked(pipeline_start=start))
    await raised_by(one.run([1]))
    check_conservation(one)
    assert not others()
    ends.check()


def test_the_finish_is_called_though_all_tasks_are_cancelled_as_the_run_ends() -> None:
    """asyncio.run does so at its end, perhaps before the task that calls the hook has begun."""
    ends = Ends()

    async def main() -> None:
        async for _ in pipeline(ends).stream(range(20)):
            break
        known = asyncio.all_tasks()
        while not (ending := asyncio.all_tasks() - known):
            await asyncio.sleep(0)
        for task in ending:
            task.cancel()

    asyncio.run(main())
    ends.check()


# Hooks that call the pipeline


CALLS: dict[str, Callable[[Pipeline], Awaitable[object]]] = {
    "feed": lambda of: of.feed(["more"]),
    "join": Pipeline.join,
    "shutdown": lambda of: of.shutdown(),
    "drain": lambda of: of.shutdown(drain=True),
    "process": lambda of: of.process("more"),
    "run": lambda of: of.run(["more"]),
}


@pytest.mark.parametrize(
    ("hook", "call", "in_task"), [*product((START, FINISH), CALLS, (False, True))]
)
@pytest.mark.parametrize("use", [by_run, by_feeding])
def test_a_hook_that_calls_the_pipeline_does_not_hang(
    hook: str, call: str, in_task: bool, use: Use
) -> None:
    """A start hook may feed, and another task may shut down; all else would wait for itself."""
    errors: list[BaseException] = []
    is_shut_down = hook == START and in_task and call in ("shutdown", "drain")

    async def ask(self: object, pipeline: Pipeline) -> None:
        async def do() -> None:
            await CALLS[call](pipeline)

        try:
            await (asyncio.ensure_future(do()) if in_task else do())
        except BaseException as error:
            errors.append(error)
            raise

    async def main() -> None:
        one = pipeline(hooked(**{hook.removeprefix("antflow_"): ask}))
        await raised_by(use(one))
        if is_shut_down:
            await one.shutdown()  # what was fed afterwards
        check_conservation(one)
        assert not others()
        if is_shut_down:
            return
        is_allowed = call == "feed" and hook == START
        assert one.plugin_faults == ({} if is_allowed else {"Hooked": 1})
        assert len(one.results) == (3 if is_allowed else 2)
        assert [type(error) for error in errors] == ([] if is_allowed else [PipelineError])

    simulate(main)
