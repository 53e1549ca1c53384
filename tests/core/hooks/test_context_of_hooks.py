"""Context variables: what hooks and tasks see of each other's settings."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from contextvars import ContextVar, Token
from typing import Any

import pytest

from antflow import Pipeline, Stage, StatusEvent, StatusTracker, TaskEvent, current_item, hookimpl
from tests.helpers.events import Watcher, cancel, check_laws, run, under_way, watched
from tests.helpers.hooks import EACH_USE, hooked, pipeline
from tests.helpers.runs import Failing, same, values
from tests.helpers.simulated import simulated
from tests.helpers.virtual_time import Gate, simulate

VARIABLE: ContextVar[str] = ContextVar("VARIABLE", default="unset")


class Contextual(Watcher):
    """Sets a variable when an attempt starts, and resets it when the attempt has ended."""

    def __init__(self) -> None:
        super().__init__()
        self.tasks: list[asyncio.Task[Any] | None] = []
        self._tokens: dict[str, Token[str]] = {}

    @hookimpl
    def antflow_task_start(self, event: TaskEvent) -> Any:
        self.tasks.append(asyncio.current_task())
        self._tokens[event.worker] = VARIABLE.set(f"{event.item_id} {event.attempt}")
        return self.record(event)

    @hookimpl
    def antflow_task_success(self, event: TaskEvent) -> Any:
        assert VARIABLE.get() == f"{event.item_id} {event.attempt}"
        VARIABLE.reset(self._tokens.pop(event.worker))
        self.tasks.append(asyncio.current_task())
        return self.record(event)

    antflow_task_retry = antflow_task_failure = antflow_task_cancelled = antflow_task_success

    def check(self) -> None:
        check_laws(self)
        assert not self._tokens


class SlowContextual(Contextual):
    """The same with asynchronous hooks that wait before and after."""

    @hookimpl
    async def antflow_task_start(self, event: TaskEvent) -> None:
        await asyncio.sleep(1)
        super().antflow_task_start(event)
        await asyncio.sleep(1)

    @hookimpl
    async def antflow_task_success(self, event: TaskEvent) -> None:
        await asyncio.sleep(1)
        super().antflow_task_success(event)
        await asyncio.sleep(1)

    antflow_task_retry = antflow_task_failure = antflow_task_cancelled = antflow_task_success


@pytest.fixture(params=[Contextual, SlowContextual])
def contextual(request: pytest.FixtureRequest) -> Contextual:
    found: Contextual = request.param()
    return found


@pytest.mark.parametrize("retry", ["per_task", "per_stage"])
def test_the_hooks_of_an_attempt_and_its_task_share_a_context(
    contextual: Contextual, retry: Any
) -> None:
    seen: list[str] = []

    async def task(value: int) -> None:
        seen.append(VARIABLE.get())
        contextual.tasks.append(asyncio.current_task())
        if value and len(seen) < 3:
            raise ValueError

    run(contextual, [Stage("A", 1, [task], retry)], [1])
    assert seen == ["0 1", "0 2", "0 3"]
    assert len(contextual.tasks) == 9
    assert len(set(contextual.tasks)) == 1
    contextual.check()


def test_the_hook_of_a_failure_has_the_context_of_the_attempt(contextual: Contextual) -> None:
    run(contextual, [Stage("A", 3, [Failing(9)])], range(5))
    contextual.check()


@simulated()
async def test_the_hook_of_a_cancelled_attempt_has_its_context(contextual: Contextual) -> None:
    await cancel(await under_way(watched([Stage("A", 2, [Gate()])], contextual).run(range(5))))
    contextual.check()
    assert len(contextual.attempts("cancel")) == 2


def test_a_plain_function_sees_in_its_thread_what_a_start_hook_sets(contextual: Contextual) -> None:
    def task(value: int) -> tuple[str, bool]:
        return VARIABLE.get(), threading.current_thread() is threading.main_thread()

    pipeline = run(contextual, [Stage("A", 2, [task])], range(3), threads=True)
    assert values(pipeline.results) == [(f"{number} 1", False) for number in range(3)]


@simulated()
async def test_other_hooks_and_callbacks_see_what_a_start_hook_sets() -> None:
    seen: list[str] = []
    setting = StatusTracker(on_task_start=lambda event: VARIABLE.set("set"))
    reading = StatusTracker(
        lambda event: seen.append(VARIABLE.get()) if event.status == "completed" else None,
        on_task_start=lambda event: seen.append(VARIABLE.get()),
    )
    stage = Stage("A", 1, [same], on_success=lambda *_: seen.append(VARIABLE.get()))
    await watched([stage], setting, reading).run([0])
    assert VARIABLE.get() == "unset"
    assert seen == ["set"] * 3


def test_hooks_of_an_attempt_see_the_current_item() -> None:
    seen: list[Any] = []

    def ask(event: TaskEvent) -> None:
        item = current_item()
        seen.append(None if item is None else (item.id, item.stage, item.attempt))

    tracker = StatusTracker(on_task_start=ask, on_task_retry=ask, on_task_complete=ask)
    simulate(watched([Stage("A", 1, [Failing(1)], retry="per_stage")], tracker).run([0]))
    assert seen == [(0, "A", 1), (0, "A", 1), (0, "A", 2), (0, "A", 2)]


# The hooks of a run


@EACH_USE
@simulated()
async def test_a_run_sees_what_its_start_hook_sets_and_the_caller_does_not(
    use: Callable[[Pipeline], Awaitable[None]],
) -> None:
    seen: list[str] = []

    async def start(self: object) -> None:
        seen.append(VARIABLE.get())
        VARIABLE.set("of the run")

    async def look(value: Any) -> Any:
        seen.append(VARIABLE.get())
        return value

    finish = hooked(pipeline_start=start, pipeline_finish=lambda self: seen.append(VARIABLE.get()))
    one = pipeline(finish, tasks=[look])
    for _ in range(2):
        await use(one)
        assert VARIABLE.get() == "unset"
    assert seen == ["unset", *["of the run"] * 3] * 2


@simulated()
async def test_the_hooks_of_a_run_see_the_context_of_the_call() -> None:
    seen: list[str] = []

    def look(self: object) -> None:
        seen.append(VARIABLE.get())

    VARIABLE.set("caller")
    one = pipeline(hooked(pipeline_start=look, pipeline_finish=look))
    await one.run([1])
    stream = one.stream([1])
    VARIABLE.set("later")
    async for _ in stream:
        pass
    assert seen == ["caller"] * 4


@simulated()
async def test_an_item_starts_in_the_context_of_the_call_that_feeds_it() -> None:
    seen: list[str] = []

    def start(self: object, event: StatusEvent) -> None:
        seen.append(VARIABLE.get())

    async with pipeline(hooked(item_start=start)) as one:
        await one.start()
        VARIABLE.set("of process")
        await one.process(1)
        VARIABLE.set("of feed")
        await one.feed([2])
        await one.join()
    assert seen == ["of process", "of feed"]
