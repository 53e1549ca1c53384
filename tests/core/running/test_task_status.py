"""`set_task_status()`: texts by which a task shows what it is doing."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from antflow import Pipeline, current_item, set_task_status
from tests.helpers.runs import piped, same, stage, stats_of, values, watched_or_not
from tests.helpers.simulated import simulated
from tests.helpers.virtual_time import Gate, begun, settle


def texts(pipeline: Pipeline) -> tuple[str | None, str | None]:
    """Return the status of the first worker's task, and the task's name."""
    state = pipeline.get_worker_states()["Work-W0"]
    return state.current_task, state.task_name


def setting(*statuses: str, **options: float) -> Callable[[Any], Any]:
    """Return a task that sets one status a second, and returns what each call returned."""

    async def task(_: Any) -> list[bool]:
        answers = []
        for text in statuses:
            answers.append(set_task_status(text, **options))
            await asyncio.sleep(1)
        return answers

    return task


@simulated()
async def test_outside_of_a_worker_there_is_no_status_to_set() -> None:
    assert not set_task_status("lost")
    stream = piped(stage(same)).stream([0])
    assert [set_task_status("lost") async for _ in stream] == [False]


@watched_or_not
@simulated(tick=0.0)
async def test_a_status_is_shown_until_the_next_one_the_next_task_or_the_end(watched: bool) -> None:
    silent = Gate("silent")
    pipeline = piped(stage(setting("one", "two"), silent, setting("again")), watched=watched)
    running = asyncio.ensure_future(pipeline.run([0]))
    await asyncio.sleep(0.5)
    assert texts(pipeline) == ("one", "task")
    await asyncio.sleep(1)
    assert texts(pipeline) == ("two", "task")
    await asyncio.sleep(1)
    assert texts(pipeline) == ("silent", "silent")
    silent.open()
    await settle()
    assert texts(pipeline) == ("again", "task")
    assert pipeline.get_dashboard_snapshot().worker_states["Work-W0"].current_task == "again"
    assert values(await running) == [[True]]
    assert texts(pipeline) == (None, None)


@watched_or_not
@simulated(tick=0.0)
async def test_a_status_is_not_shown_for_the_next_item(watched: bool) -> None:
    async def set_once(value: int) -> None:
        if value == 0:
            set_task_status("loud")
        await asyncio.sleep(2)

    pipeline = piped(stage(set_once), watched=watched)
    running = asyncio.ensure_future(pipeline.run([0, 1]))
    await asyncio.sleep(1)
    assert texts(pipeline) == ("loud", "set_once")
    await asyncio.sleep(2)
    assert pipeline.get_worker_states()["Work-W0"].current_item_id == 1
    assert texts(pipeline) == ("set_once", "set_once")
    await running


@watched_or_not
@simulated(tick=0.0)
async def test_a_status_is_not_shown_for_the_next_attempt(watched: bool) -> None:
    async def set_and_fail(_: Any) -> None:
        item = current_item()
        assert item is not None
        if item.attempt == 1:
            set_task_status("connecting")
        await asyncio.sleep(2)
        raise ValueError

    one = stage(set_and_fail, task_attempts=2, task_wait_seconds=4)
    pipeline = piped(one, watched=watched)
    running = asyncio.ensure_future(pipeline.run([0]))
    await asyncio.sleep(1)
    assert texts(pipeline) == ("connecting", "set_and_fail")
    await asyncio.sleep(3)
    assert stats_of(pipeline).parked_items == 1
    assert texts(pipeline) == (None, None)
    await asyncio.sleep(3)
    assert texts(pipeline) == ("set_and_fail", "set_and_fail")
    await running


# min_interval


@watched_or_not
@pytest.mark.parametrize(
    ("min_interval", "answers"),
    [
        (0, [True, True, True, True, True]),
        (1, [True, True, True, True, True]),
        (1.5, [True, False, True, False, True]),
        (2, [True, False, True, False, True]),
        (3, [True, False, False, True, False]),
        (100, [True, False, False, False, False]),
    ],
)
@simulated(tick=0.0)
async def test_a_status_that_comes_too_early_is_left_out(
    min_interval: float, answers: list[bool], watched: bool
) -> None:
    statuses = [str(number) for number in range(len(answers))]
    pipeline = piped(stage(setting(*statuses, min_interval=min_interval)), watched=watched)
    running = asyncio.ensure_future(pipeline.run([0]))
    last = ""
    for number, is_shown in enumerate(answers):
        await asyncio.sleep(0.5)
        last = str(number) if is_shown else last
        assert texts(pipeline)[0] == last
        await asyncio.sleep(0.5)
    assert values(await running) == [answers]


@watched_or_not
@pytest.mark.parametrize("workers", [1, 3])
@simulated(tick=0.0)
async def test_each_item_may_set_a_status_at_once(watched: bool, workers: int) -> None:
    task = setting("a", "b", min_interval=100)
    pipeline = piped(stage(task, workers=workers), watched=watched)
    assert values(await pipeline.run(range(3))) == [[True, False]] * 3


@simulated(tick=0.0)
async def test_the_tasks_of_a_stage_share_the_interval_of_an_item() -> None:
    first, second = setting("a", min_interval=100), setting("b", min_interval=100)
    assert values(await piped(stage(first, second)).run([0])) == [[False]]


# From threads, sub-tasks, callbacks and inner pipelines


@simulated(threads=True)
async def test_a_plain_function_sets_its_status_from_its_thread() -> None:
    is_set, is_seen = threading.Event(), threading.Event()

    def work(_: Any) -> list[bool]:
        answers = [set_task_status("from a thread"), set_task_status("too early", 100)]
        is_set.set()
        is_seen.wait(10)
        return answers

    pipeline = piped(stage(work))
    running = asyncio.ensure_future(pipeline.run([0]))
    await asyncio.to_thread(is_set.wait, 10)
    assert texts(pipeline) == ("from a thread", "work")
    is_seen.set()
    assert values(await running) == [[True, False]]


@simulated()
async def test_sub_tasks_set_the_status_of_the_task() -> None:
    gate = Gate()

    async def sub_task(text: str) -> bool:
        answer = set_task_status(text)
        await gate(text)
        return answer

    async def task(_: Any) -> list[bool]:
        return [*await asyncio.gather(sub_task("a"), sub_task("b"))]

    pipeline = piped(stage(task))
    running = await begun(pipeline.run([0]))
    assert texts(pipeline) == ("b", "task")
    gate.open()
    assert values(await running) == [[True, True]]


@pytest.mark.parametrize("role", ["skip_if", "on_success", "on_skip", "on_failure"])
@simulated()
async def test_a_callback_sets_the_status_while_it_runs(role: str) -> None:
    gate = Gate()

    async def callback(*_: Any) -> bool:
        assert set_task_status(role)
        await gate(role)
        return False

    async def task(_: Any) -> None:
        if role == "on_failure":
            raise ValueError

    fields: dict[str, Any] = {"skip_if": lambda _: role == "on_skip", role: callback}
    pipeline = piped(stage(task, **fields))
    running = await begun(pipeline.run([0]))
    assert texts(pipeline) == (role, "task")
    gate.open()
    await running


@simulated()
async def test_a_pipeline_inside_of_a_task_has_a_status_of_its_own() -> None:
    gate = Gate()

    async def inner(_: Any) -> None:
        set_task_status("inside")
        await gate("inner")

    async def outer(_: Any) -> None:
        set_task_status("outside")
        await inner_pipeline.run([0])

    inner_pipeline, outer_pipeline = piped(stage(inner)), piped(stage(outer))
    running = await begun(outer_pipeline.run([0]))
    assert texts(inner_pipeline) == ("inside", "inner")
    assert texts(outer_pipeline) == ("outside", "outer")
    gate.open()
    await running


@simulated(tick=0.0)
async def test_a_task_left_behind_sets_no_status_once_its_run_is_over() -> None:
    left_behind: list[asyncio.Task[bool]] = []

    async def set_late() -> bool:
        await asyncio.sleep(10)
        return set_task_status("too late")

    async def task(_: Any) -> None:
        left_behind.append(asyncio.ensure_future(set_late()))

    await piped(stage(task)).run([0])
    assert not await left_behind[0]
