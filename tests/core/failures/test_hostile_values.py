"""Errors, ids and inputs whose own methods raise: every item and every run ends nevertheless."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from types import TracebackType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antflow import (
    Pipeline,
    Stage,
    StatusEvent,
    StatusTracker,
    TaskEvent,
    TaskFailedError,
    hookimpl,
)
from tests.helpers.runs import CustomExit, only_error, same, stage, values
from tests.helpers.simulated import simulated
from tests.helpers.virtual_time import simulate

RAISED: list[BaseException] = [
    ValueError("no text"),
    KeyboardInterrupt(),
    SystemExit(3),
    GeneratorExit(),
    asyncio.CancelledError(),
    CustomExit(),
    RecursionError(),
]
each_raised = pytest.mark.parametrize("raised", RAISED, ids=lambda error: type(error).__name__)


# Errors without a text


class TextlessError(Exception):
    """An error whose text raises another."""

    def __init__(self, raised: BaseException) -> None:
        super().__init__(raised)
        self.raised = raised

    def __str__(self) -> str:
        raise self.raised

    __repr__ = __str__


class Observer:
    """Listens to everything about items and attempts."""

    @hookimpl
    def antflow_item_status(self, event: StatusEvent) -> None:
        pass

    @hookimpl
    async def antflow_task_failure(self, event: TaskEvent) -> None:
        await asyncio.sleep(0)


def plugin_of(function: Callable[..., Any]) -> object:
    class Plugin:
        @hookimpl
        def antflow_item_status(self, event: StatusEvent) -> Any:
            return function(event)

    return Plugin()


def pipelines(task: Any, **fields: Any) -> Iterator[Pipeline]:
    """Yield a pipeline for each loop of workers, and for several tasks."""
    yield Pipeline([stage(task, **fields)])
    yield Pipeline([stage(task, **fields)], plugins=[Observer()])
    yield Pipeline([stage(same, task, **fields)], status_tracker=StatusTracker())


@each_raised
@pytest.mark.parametrize("retries", [{}, {"task_attempts": 2}, {"retry": "per_stage"}], ids=repr)
@simulated()
async def test_an_item_fails_though_its_error_has_no_text(
    raised: BaseException, retries: dict[str, Any]
) -> None:
    error = TextlessError(raised)

    async def fail(_: int) -> None:
        raise error

    for pipeline in pipelines(fail, **retries):
        assert await pipeline.run([1, 2]) == []
        stats = pipeline.get_stats()
        assert (stats.items_failed, stats.items_outstanding) == (2, 0)
        (kind,) = pipeline.get_error_summary().errors_by_type
        assert kind == "TextlessError"


@each_raised
@pytest.mark.parametrize("role", ["on_success", "skip_if", "plugin", "dashboard"])
@simulated()
async def test_an_item_succeeds_though_an_error_beside_it_has_no_text(
    role: str, raised: BaseException
) -> None:
    def fail(*_: Any) -> None:
        raise TextlessError(raised)

    class Display:
        on_start = on_update = on_finish = fail

    functions: dict[str, Any] = {role: fail} if role in ("on_success", "skip_if") else {}
    plugins = [plugin_of(fail)] if role == "plugin" else []
    pipeline = Pipeline([stage(same, **functions)], plugins=plugins)
    dashboard: Any = Display() if role == "dashboard" else None
    assert values(await pipeline.run([1], custom_dashboard=dashboard)) == [1]


@each_raised
@simulated()
async def test_an_unwrapped_cancellation_without_text_is_a_task_failed_error(
    raised: BaseException,
) -> None:
    class TextlessCancelledError(asyncio.CancelledError):
        def __str__(self) -> str:
            raise raised

        __repr__ = __str__

    async def fail(_: int) -> None:
        raise TextlessCancelledError

    pipeline = Pipeline([stage(fail)])
    await pipeline.run([1])
    with pytest.raises(TaskFailedError, match="'Work' failed: TextlessCancelledError"):
        pipeline.failures[0].unwrap()


# Ids of all kinds


class Unhashable:
    __hash__ = None  # type: ignore[assignment]


class Unshowable:
    def __repr__(self) -> str:
        raise CustomExit


class Neither(Unshowable):
    __hash__ = None  # type: ignore[assignment]


class RaisingHash(Unshowable):
    def __hash__(self) -> int:
        raise ValueError("no hash")


class RaisingComparison(Unshowable):
    def __hash__(self) -> int:
        return 1

    def __eq__(self, other: object) -> bool:
        raise ValueError("not comparable")


IDS = [Unhashable, Unshowable, Neither, RaisingHash, RaisingComparison, list, float]


@given(kinds=st.lists(st.sampled_from(IDS), min_size=1, max_size=6))
def test_a_tracker_knows_items_by_any_id(kinds: list[type]) -> None:
    ids = [kind() for kind in dict.fromkeys(kinds)]

    async def refuse_the_first(number: int) -> int:
        if number == 0:
            raise ValueError
        return number

    async def main() -> None:
        tracker = StatusTracker()
        pipeline = Pipeline([stage(refuse_the_first)], status_tracker=tracker)
        await pipeline.run([{"id": one, "value": number} for number, one in enumerate(ids)])
        assert pipeline.plugin_faults == {}
        assert len(tracker.get_tracked_ids()) == len(ids)
        for number, one in enumerate(ids):
            statuses = [event.status for event in tracker.get_history(one)]
            end = "completed" if number else "failed"
            assert statuses == ["queued", "in_progress", end]
            event = tracker.get_status(one)
            assert event is not None
            assert event.item_id is one
        assert len(tracker.get_failed_items()) == 1

    simulate(main)


@pytest.mark.parametrize("kind", IDS)
@simulated()
async def test_errors_about_items_name_any_id(kind: type, caplog: pytest.LogCaptureFixture) -> None:
    def fail(*_: Any) -> None:
        raise ValueError("from a callback")

    pipeline = Pipeline([stage(same, on_success=fail)], plugins=[plugin_of(fail)])
    assert values(await pipeline.run([{"id": kind(), "value": 7}])) == [7]
    assert len(caplog.messages) == 2
    with pytest.raises(ValueError, match="is not a failure"):
        await pipeline.feed(pipeline.results)


# Inputs with an odd length


class Sized:
    """An input of three, whose `__len__` returns or raises this."""

    def __init__(self, length: Any) -> None:
        self._length = length

    def __len__(self) -> Any:
        if isinstance(self._length, Exception):
            raise self._length
        return self._length

    def __iter__(self) -> Iterator[int]:
        return iter(range(3))

    @property
    def fraction_read(self) -> float:
        raise LookupError


LENGTHS = [TypeError(), NotImplementedError(), OverflowError(), 2**63, 2**200, -1, None, "3", 1.5]


@pytest.mark.parametrize("length", LENGTHS, ids=repr)
@simulated()
async def test_an_input_whose_length_is_none_is_read_as_one_of_unknown_length(length: Any) -> None:
    totals: list[int | None] = []

    class Started:
        @hookimpl
        def antflow_pipeline_start(self, total_items: int | None) -> None:
            totals.append(total_items)

    pipeline = Pipeline([stage(same)], plugins=[Started()])
    assert values(await pipeline.run(Sized(length))) == [0, 1, 2]
    assert [result.value async for result in pipeline.stream(Sized(length))] == [0, 1, 2]
    await pipeline.feed(Sized(length))
    assert totals == [None, None]
    await pipeline.shutdown()


@simulated()
async def test_a_range_that_is_longer_than_any_list_can_be_streamed() -> None:
    pipeline = Pipeline([stage(same)])
    async with pipeline.stream(range(10**30)) as stream:
        assert (await anext(stream)).value == 0


# One error that is raised again and again

THE_ERROR = ValueError("the same for all")
TIMES = 500
MOST_ENTRIES = 150


async def raise_it(*_: Any) -> None:
    raise THE_ERROR


def raise_it_at_once(*_: Any) -> None:
    raise THE_ERROR


async def raise_it_from_the_depth(_: Any, depth: int = 30) -> None:
    if depth:
        await raise_it_from_the_depth(None, depth - 1)
    raise THE_ERROR


def retried(task: Any) -> tuple[list[Stage], int]:
    return [stage(task, task_attempts=TIMES, task_wait_seconds=0)], 1


RAISES_IT: dict[str, Callable[[], tuple[list[Stage], int]]] = {
    "failed items": lambda: ([stage(raise_it)], TIMES),
    "retries of a task": lambda: retried(raise_it),
    "retries of a deep task": lambda: retried(raise_it_from_the_depth),
    "retries of a stage": lambda: ([stage(raise_it, retry="per_stage", stage_attempts=TIMES)], 1),
    "skip_if": lambda: ([stage(same, skip_if=raise_it)], TIMES),
    "on_success": lambda: ([stage(same, on_success=raise_it_at_once)], TIMES),
}


def entries(traceback: TracebackType | None) -> int:
    count = 0
    while traceback is not None:
        count, traceback = count + 1, traceback.tb_next
    return count


@pytest.fixture(autouse=True)
def fresh_error() -> None:
    THE_ERROR.__traceback__ = THE_ERROR.__context__ = None


@pytest.mark.parametrize("raises", RAISES_IT.values(), ids=RAISES_IT)
@pytest.mark.parametrize("is_observed", [False, True], ids=["plain", "observed"])
@simulated()
async def test_the_traceback_of_one_error_does_not_grow(
    raises: Callable[[], tuple[list[Stage], int]], is_observed: bool
) -> None:
    stages, items = raises()
    tracker = StatusTracker(on_task_retry=lambda _: None) if is_observed else None
    pipeline = Pipeline(stages, status_tracker=tracker)
    await pipeline.run(range(items))
    assert 0 < entries(THE_ERROR.__traceback__) < MOST_ENTRIES


@pytest.mark.parametrize("function", [raise_it, raise_it_at_once])
@simulated()
async def test_nor_does_that_of_an_error_that_a_plugin_raises(
    function: Callable[..., Awaitable[None] | None],
) -> None:
    pipeline = Pipeline([stage(same)], plugins=[plugin_of(function)])
    await pipeline.run(range(TIMES))
    assert 0 < entries(THE_ERROR.__traceback__) < MOST_ENTRIES


@simulated()
async def test_the_last_raise_of_one_error_can_be_found() -> None:
    pipeline = Pipeline(retried(raise_it)[0])
    await pipeline.run([1])
    error = only_error(pipeline)
    assert error is THE_ERROR
    assert pipeline.failures[0].location is not None
    assert pipeline.failures[0].location.endswith(", in raise_it")
