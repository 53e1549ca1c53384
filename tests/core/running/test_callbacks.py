"""What a stage calls beside its tasks: `skip_if`, `on_success`, `on_failure` and `on_skip`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from antflow import Pipeline, PipelineResult, Stage
from tests.helpers.runs import (
    CustomExit,
    Failing,
    cancel,
    double,
    fail,
    left,
    run,
    same,
    stage,
    stats_of,
    values,
)
from tests.helpers.simulated import simulated
from tests.helpers.virtual_time import begun, others

Callback = Callable[..., Any]
each_role = pytest.mark.parametrize("role", ["on_success", "on_failure", "on_skip"])
ITEM = {"id": "x", "value": 1, "size": "L"}


# Skipping


def is_one(value: int) -> bool:
    return value == 1


async def is_one_later(value: int) -> bool:
    await asyncio.sleep(1)
    return value == 1


def truth(value: int) -> Any:
    return "text" if value == 1 else ""


@pytest.mark.parametrize("skip_if", [is_one, is_one_later, truth])
def test_a_skipped_item_keeps_its_value_and_goes_on(skip_if: Callback) -> None:
    pipeline = run([stage(double, skip_if=skip_if), stage(same, name="Last")], [1, 2])
    assert values(pipeline.results) == [1, 4]
    stats = stats_of(pipeline)
    assert (stats.completed_items, stats.skipped_items) == (2, 1)
    assert pipeline.get_stats().items_processed == 2
    assert run([stage(double, skip_if=skip_if)], [1]).results[0].attempts == 0


def test_skip_if_is_called_once_an_item_and_not_once_an_attempt() -> None:
    calls: list[int] = []
    run([Stage("Work", 1, [Failing(2)], skip_if=calls.append)], [7])
    assert calls == [7]


def raise_now(*_: Any) -> None:
    raise KeyError("callback")


async def raise_later(*_: Any) -> None:
    await asyncio.sleep(1)
    raise KeyError("callback")


async def raise_cancelled(*_: Any) -> None:
    raise asyncio.CancelledError


class RaisingObject:
    async def __call__(self, *_: Any) -> None:
        await raise_later()


each_raising = pytest.mark.parametrize(
    "callback", [raise_now, raise_later, raise_cancelled, RaisingObject()]
)


@each_raising
def test_an_item_is_not_skipped_if_the_predicate_raises(
    callback: Callback, caplog: pytest.LogCaptureFixture
) -> None:
    pipeline = run([stage(double, skip_if=callback)], [{"id": "x", "value": 7}])
    assert values(pipeline.results) == [14]
    assert stats_of(pipeline).skipped_items == 0
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert record.exc_info
    for word in ("'Work'", "skip_if", "'x'"):
        assert word in record.getMessage()


# Callbacks


class Calls:
    """Callbacks of each kind that record their arguments."""

    def __init__(self) -> None:
        self.arguments: list[tuple[Any, ...]] = []

    def plain(self, *arguments: Any) -> None:
        self.arguments.append(arguments)

    async def coroutine(self, *arguments: Any) -> None:
        await asyncio.sleep(1)
        self.plain(*arguments)

    def returning_an_awaitable(self, *arguments: Any) -> Awaitable[None]:
        return self.coroutine(*arguments)

    @property
    def callable_object(self) -> Callback:
        recorded = self

        class Called:
            async def __call__(self, *arguments: Any) -> None:
                await recorded.coroutine(*arguments)

        return Called()


@pytest.mark.parametrize(
    "kind", ["plain", "coroutine", "returning_an_awaitable", "callable_object"]
)
@pytest.mark.parametrize(
    ("role", "task", "value"),
    [("on_success", double, 2), ("on_failure", fail, 1), ("on_skip", fail, 1)],
)
def test_a_callback_gets_the_id_the_value_or_error_and_the_item(
    role: str, task: Any, value: int, kind: str
) -> None:
    calls, unwanted = Calls(), Calls()
    callbacks = dict.fromkeys(("on_success", "on_failure", "on_skip"), unwanted.plain)
    callbacks[role] = getattr(calls, kind)
    one = stage(same, task, skip_if=lambda _: role == "on_skip", **callbacks)
    pipeline = run([one], [ITEM])
    given = pipeline.failures[0].error if role == "on_failure" else value
    assert calls.arguments == [("x", given, {"id": "x", "value": value, "size": "L"})]
    assert unwanted.arguments == []


@pytest.mark.parametrize("policy", ["per_task", "per_stage"])
@pytest.mark.parametrize(("role", "failures"), [("on_success", 1), ("on_failure", 9)])
def test_a_callback_is_called_once_an_item_however_often_it_was_tried(
    role: str, failures: int, policy: Any
) -> None:
    calls = Calls()
    options: dict[str, Any] = {role: calls.plain}
    run([Stage("Work", 1, [Failing(failures)], policy, **options)], [1])
    assert len(calls.arguments) == 1


def test_what_a_callback_does_to_its_dict_does_not_reach_the_item() -> None:
    def spoil(item_id: Any, value: Any, item: dict[str, Any]) -> None:
        item.clear()

    pipeline = run([stage(same, on_success=spoil)], [ITEM])
    assert pipeline.results[0].metadata == {"size": "L"}


# Callbacks that raise, or are cancelled


def calling(role: str, callback: Callback) -> Stage:
    """Return a stage whose items fail, are skipped or succeed, so that this callback is called."""
    options: dict[str, Any] = {"skip_if": lambda _: role == "on_skip", role: callback}
    return stage(fail if role == "on_failure" else same, **options)


def ended_by(role: str, pipeline: Pipeline) -> list[PipelineResult]:
    return pipeline.failures if role == "on_failure" else pipeline.results


@each_raising
@each_role
def test_a_callback_that_raises_is_logged_and_changes_nothing(
    callback: Callback, role: str, caplog: pytest.LogCaptureFixture
) -> None:
    stages = [calling(role, callback), stage(same, name="Last")]
    pipeline = run(stages, [ITEM, {"id": "y", "value": 2}])
    assert values(ended_by(role, pipeline)) == [1, 2]
    assert [record.levelno for record in caplog.records if record.exc_info] == [logging.ERROR] * 2
    assert caplog.records[0].exc_info
    for word in ("'Work'", "callback", "'x'"):
        assert word in caplog.records[0].getMessage()


@each_role
@simulated()
async def test_an_outcome_stands_though_its_callback_is_cancelled(role: str) -> None:
    async def wait_for_ever(*_: Any) -> None:
        await asyncio.get_running_loop().create_future()

    pipeline = Pipeline([calling(role, wait_for_ever)])
    await cancel(await begun(pipeline.run([1, 2])))
    assert values(ended_by(role, pipeline)) == [1]
    assert left(pipeline) == [2]


@pytest.mark.parametrize("role", ["on_success", "on_failure", "on_skip", "skip_if"])
@simulated()
async def test_an_exception_outside_exception_ends_the_run_and_the_outcome_stands(
    role: str,
) -> None:
    def leave(*_: Any) -> None:
        raise CustomExit

    pipeline = Pipeline([calling(role, leave)])
    with pytest.raises(CustomExit):
        await pipeline.run([1, 2])
    assert not others()
    ended = values(ended_by(role, pipeline))
    assert ended == ([] if role == "skip_if" else [1])
    assert ended + left(pipeline) == [1, 2]


async def with_failing_task_group(*_: Any) -> None:
    """Handle the errors of a TaskGroup, which before Python 3.13 leaves a cancellation behind."""
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(fail(0))
    except* ValueError:
        pass


@pytest.mark.parametrize("role", ["skip_if", "on_success", "on_failure", "on_skip"])
def test_a_callback_may_use_a_task_group_that_fails(role: str) -> None:
    pipeline = run([calling(role, with_failing_task_group)], [1, 2, 3])
    assert len(pipeline.results) + len(pipeline.failures) == 3
