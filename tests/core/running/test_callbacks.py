"""What a stage calls beside its tasks: `skip_if`, `on_success`, `on_failure` and `on_skip`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from antflow import Pipeline, PipelineResult, Stage
from tests.helpers.runs import CustomExit, Failing, double, fail, left, run, same, stage, values
from tests.helpers.virtual_time import begun, others, simulate

Callback = Callable[..., Any]


# Skipping


def sync_skip(value: int) -> bool:
    return value == 1


async def async_skip(value: int) -> bool:
    await asyncio.sleep(1)
    return value == 1


@pytest.mark.parametrize("skip_if", [sync_skip, async_skip])
def test_a_skipped_item_keeps_its_value_and_goes_on(skip_if: Callback) -> None:
    task = Failing(0)

    async def double(value: int) -> int:
        await task(value)
        return 2 * value

    stages = [Stage("Work", 1, [double], skip_if=skip_if), Stage("Last", 1, [same])]
    pipeline = run(stages, [1, 2])
    assert values(pipeline.results) == [1, 4]
    assert task.calls == [2]
    stats = pipeline.get_stats().stage_stats["Work"]
    assert (stats.completed_items, stats.skipped_items) == (2, 1)
    assert pipeline.get_stats().items_processed == 2


def test_the_attempts_of_a_skipped_item_are_none() -> None:
    assert run([Stage("Work", 1, [same], skip_if=sync_skip)], [1]).results[0].attempts == 0


def test_a_skip_counts_by_its_truth() -> None:
    stage = Stage("Work", 1, [fail], task_attempts=1, skip_if=lambda value: value)
    pipeline = run([stage], ["text", ""])
    assert values(pipeline.results) == ["text"]
    assert values(pipeline.failures) == [""]


def test_skip_if_is_asked_once_an_item_and_not_once_an_attempt() -> None:
    asked: list[int] = []
    run([Stage("Work", 1, [Failing(2)], skip_if=asked.append)], [7])
    assert asked == [7]


async def async_refusal(value: int) -> bool:
    raise KeyError(value)


def sync_refusal(value: int) -> bool:
    raise KeyError(value)


async def cancelled_refusal(value: int) -> bool:
    raise asyncio.CancelledError


@pytest.mark.parametrize("skip_if", [sync_refusal, async_refusal, cancelled_refusal])
def test_an_item_is_not_skipped_if_the_predicate_raises(
    skip_if: Callback, caplog: pytest.LogCaptureFixture
) -> None:
    pipeline = run([Stage("Work", 1, [same], skip_if=skip_if)], [{"id": "x", "value": 7}])
    assert values(pipeline.results) == [7]
    assert pipeline.get_stats().stage_stats["Work"].skipped_items == 0
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert record.exc_info
    for word in ("'Work'", "skip_if", "'x'"):
        assert word in record.getMessage()


def test_a_base_exception_of_skip_if_ends_the_run() -> None:
    def leave(value: int) -> bool:
        raise CustomExit

    async def main() -> None:
        pipeline = Pipeline([Stage("Work", 1, [same], skip_if=leave)])
        with pytest.raises(CustomExit):
            await pipeline.run([1, 2])
        assert not others()
        stats = pipeline.get_stats()
        assert stats.items_fed == 2
        assert stats.items_processed + stats.items_failed + stats.items_unprocessed == 2

    simulate(main)


# Callbacks


class Recorder:
    """A callback of each kind that notes what it was called with."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, Any, dict[str, Any]]] = []

    def sync(self, *arguments: Any) -> None:
        self.calls.append(arguments)

    async def awaited(self, *arguments: Any) -> None:
        await asyncio.sleep(1)
        self.sync(*arguments)

    def returns_an_awaitable(self, *arguments: Any) -> Awaitable[None]:
        return self.awaited(*arguments)

    def callable_object(self, *arguments: Any) -> Any:
        return AsyncObject(self)(*arguments)


class AsyncObject:
    """A callable object whose `__call__` is a coroutine function."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    async def __call__(self, *arguments: Any) -> None:
        await self._recorder.awaited(*arguments)


each_role = pytest.mark.parametrize("role", ["on_success", "on_failure", "on_skip"])
KINDS = ["sync", "awaited", "returns_an_awaitable", "callable_object"]
ITEM = {"id": "x", "value": 1, "size": "L"}


@pytest.mark.parametrize("kind", KINDS)
def test_on_success_gets_the_new_value_and_the_item(kind: str) -> None:
    recorder, unwanted = Recorder(), Recorder()
    stage = Stage(
        "Work",
        1,
        [double],
        on_success=getattr(recorder, kind),
        on_failure=unwanted.sync,
        on_skip=unwanted.sync,
    )
    run([stage], [ITEM])
    assert recorder.calls == [("x", 2, {"id": "x", "value": 2, "size": "L"})]
    assert unwanted.calls == []


@pytest.mark.parametrize("kind", KINDS)
def test_on_failure_gets_the_last_error_and_the_item_as_it_entered(kind: str) -> None:
    recorder, unwanted = Recorder(), Recorder()
    stage = Stage(
        "Work",
        1,
        [same, Failing(99)],
        on_failure=getattr(recorder, kind),
        on_success=unwanted.sync,
        on_skip=unwanted.sync,
    )
    pipeline = run([stage], [ITEM])
    assert recorder.calls == [
        ("x", pipeline.failures[0].error, {"id": "x", "value": 1, "size": "L"})
    ]
    assert unwanted.calls == []


@pytest.mark.parametrize("kind", KINDS)
def test_on_skip_gets_the_value_and_the_item(kind: str) -> None:
    recorder, unwanted = Recorder(), Recorder()
    stage = Stage(
        "Work",
        1,
        [fail],
        skip_if=lambda value: True,
        on_skip=getattr(recorder, kind),
        on_success=unwanted.sync,
        on_failure=unwanted.sync,
    )
    run([stage], [ITEM])
    assert recorder.calls == [("x", 1, {"id": "x", "value": 1, "size": "L"})]
    assert unwanted.calls == []


def test_a_callback_is_called_once_an_item_however_often_it_was_tried() -> None:
    success, failure = Recorder(), Recorder()
    for policy in ("per_task", "per_stage"):
        stage = Stage("Work", 1, [Failing(1)], policy, on_success=success.sync)
        run([stage], [1])
        stage = Stage("Work", 1, [Failing(9)], policy, on_failure=failure.sync)
        run([stage], [1])
    assert len(success.calls) == len(failure.calls) == 2


def test_what_a_callback_does_to_its_dict_does_not_reach_the_item() -> None:
    def spoil(item_id: Any, value: Any, item: dict[str, Any]) -> None:
        item.clear()

    pipeline = run([Stage("Work", 1, [same], on_success=spoil)], [ITEM])
    assert pipeline.results[0].metadata == {"size": "L"}


def raise_now(*_: Any) -> None:
    raise KeyError("callback")


async def raise_later(*_: Any) -> None:
    await asyncio.sleep(1)
    raise KeyError("callback")


async def raise_cancelled(*_: Any) -> None:
    raise asyncio.CancelledError


class RaisingObject:
    """A callable object whose `__call__` raises."""

    async def __call__(self, *_: Any) -> None:
        await raise_later()


def calling(role: str, callback: Callback) -> Stage:
    """Return a stage whose items fail, are skipped or succeed, so that this callback is called."""
    task = fail if role == "on_failure" else same
    return stage(task, skip_if=lambda value: role == "on_skip", **{role: callback})


def ended_by(role: str, pipeline: Pipeline) -> list[PipelineResult]:
    return pipeline.failures if role == "on_failure" else pipeline.results


@pytest.mark.parametrize("callback", [raise_now, raise_later, raise_cancelled, RaisingObject()])
@each_role
def test_a_callback_that_raises_is_logged_and_changes_nothing(
    callback: Callback, role: str, caplog: pytest.LogCaptureFixture
) -> None:
    stages = [calling(role, callback), Stage("Last", 1, [same])]
    pipeline = run(stages, [ITEM, {"id": "y", "value": 2}])
    assert values(ended_by(role, pipeline)) == [1, 2]
    assert [record.levelno for record in caplog.records if record.exc_info] == [logging.ERROR] * 2
    assert caplog.records[0].exc_info
    for word in ("'Work'", "callback", "'x'"):
        assert word in caplog.records[0].getMessage()


@each_role
def test_an_outcome_stands_though_its_callback_is_cancelled(role: str) -> None:
    async def wait_for_ever(*_: Any) -> None:
        await asyncio.get_running_loop().create_future()

    async def main() -> None:
        pipeline = Pipeline([calling(role, wait_for_ever)])
        running = await begun(pipeline.run([1, 2]))
        running.cancel()
        await asyncio.wait([running])
        assert values(ended_by(role, pipeline)) == [1]
        assert left(pipeline) == [2]

    simulate(main)


@each_role
def test_a_base_exception_of_a_callback_ends_the_run_and_the_outcome_stands(role: str) -> None:
    def leave(*_: Any) -> None:
        raise CustomExit

    async def main() -> None:
        pipeline = Pipeline([calling(role, leave)])
        with pytest.raises(CustomExit):
            await pipeline.run([1, 2])
        assert not others()
        assert values(ended_by(role, pipeline)) == [1]
        assert left(pipeline) == [2]

    simulate(main)


async def with_failing_task_group(*_arguments: Any) -> None:
    """Handle the errors of a TaskGroup, which before Python 3.13 leaves a cancellation behind."""
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(fail(0))
    except* ValueError:
        pass


@pytest.mark.parametrize("role", ["skip_if", "on_success", "on_failure", "on_skip"])
def test_a_callback_may_use_a_task_group_that_fails(role: str) -> None:
    options: dict[str, Any] = {"skip_if": sync_skip} if role == "on_skip" else {}
    options[role] = with_failing_task_group
    task = Failing(99) if role == "on_failure" else same
    pipeline = run([stage(task, **options)], [1, 2, 3])
    assert len(pipeline.results) + len(pipeline.failures) == 3
