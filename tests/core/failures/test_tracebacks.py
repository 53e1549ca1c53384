"""Tracebacks of failed items: the user's frames, and no others."""

from __future__ import annotations

import asyncio
import json
import re
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest

import antflow
from antflow import (
    Limit,
    Pipeline,
    PipelineResult,
    Stage,
    StatusEvent,
    StatusTracker,
    TaskEvent,
    current_item,
    hookimpl,
)
from antflow.logs import format_traceback
from tests.helpers.runs import watched_or_not
from tests.helpers.simulated import simulated
from tests.helpers.virtual_time import simulate

PACKAGE = Path(antflow.__file__).parent


@dataclass(frozen=True)
class FrozenError(Exception):
    """An error whose attributes cannot be set the usual way."""

    text: str


def chained(value: Any) -> Any:
    try:
        return {}[value]
    except KeyError:
        raise FrozenError("no such page")  # noqa: B904 - as users write it


def caused(value: Any) -> Any:
    try:
        return {}[value]
    except KeyError as error:
        raise ValueError("no such page") from error


async def chained_later(value: Any) -> Any:
    await asyncio.sleep(0)
    return chained(value)


async def grouped(value: Any) -> Any:
    async with asyncio.TaskGroup() as group:
        group.create_task(chained_later(value))


async def limited(value: Any) -> Any:
    async with antflow.rate_limit():
        return value


async def nested(value: Any) -> Any:
    inner = Pipeline([Stage("Inner", 1, [chained], task_attempts=1)])
    await inner.run([value])
    raise RuntimeError("nested") from inner.failures[0].error


async def stop_iteration(value: Any) -> Any:
    return next(iter(()))


def task_in_another_file() -> Callable[[Any], Any]:
    scope: dict[str, Any] = {}
    source = "def fetch(url):\n\n\n    return x\n"
    exec(compile(source, "/home/someone/antflow-shop/fetch.py", "exec"), scope)
    return scope["fetch"]  # type: ignore[no-any-return]


OPTIONS: dict[str, dict[str, Any]] = {
    "one_attempt": {"task_attempts": 1},
    "per_task": {"task_attempts": 3, "task_wait_seconds": 0},
    "per_stage": {"retry": "per_stage", "stage_attempts": 3},
    "all_fields": {"task_attempts": 3, "task_wait_seconds": 0, "skip_if": lambda value: False},
    "limited": {"task_attempts": 3, "task_wait_seconds": 0, "task_concurrency_limits": {}},
}


def failed(task: Callable[[Any], Any], options: str, *, watched: bool = False) -> Pipeline:
    """Run one item through a task that fails."""

    async def main() -> Pipeline:
        fields = dict(OPTIONS[options])
        if "task_concurrency_limits" in fields:
            fields["task_concurrency_limits"] = {task.__name__: 1}
        tracker = StatusTracker(on_task_start=lambda event: None) if watched else None
        stage = Stage("Fetch", 1, [task], **fields)
        pipeline = Pipeline([stage], status_tracker=tracker)
        await pipeline.run(["page"])
        return pipeline

    return simulate(main, threads=True)


def frames(entry: TracebackType | None) -> list[tuple[Path, str]]:
    return [(Path(frame.filename), frame.name) for frame in traceback.extract_tb(entry)]


def linked(error: BaseException | None) -> list[BaseException]:
    """Return an error and those that Python shows with it."""
    if error is None:
        return []
    inner = error.exceptions if isinstance(error, BaseExceptionGroup) else ()
    shown = [error.__cause__ or error.__context__, *inner]
    return [error, *(other for each in shown for other in linked(each))]


HERE = rf"{Path(__file__).name}:\d+, in "


@pytest.mark.parametrize("options", OPTIONS)
@watched_or_not
@pytest.mark.parametrize(
    ("task", "errors", "location"),
    [
        (chained, ["FrozenError", "KeyError"], HERE + "chained"),
        (caused, ["ValueError", "KeyError"], HERE + "caused"),
        (chained_later, ["FrozenError", "KeyError"], HERE + "chained"),
        (grouped, ["ExceptionGroup", "FrozenError", "KeyError"], HERE + "chained"),
        (limited, ["RuntimeError"], HERE + "limited"),
        (nested, ["RuntimeError", "FrozenError", "KeyError"], HERE + "nested"),
        # Python raises the first of the two, and it has no frame of the task
        (stop_iteration, ["RuntimeError", "StopIteration"], HERE + "stop_iteration"),
        # the innermost frame outside of libraries, or else the task's
        (task_in_another_file(), ["NameError"], "fetch.py:4, in fetch"),
        (json.loads, ["JSONDecodeError", "StopIteration"], r"__init__.py:\d+, in loads"),
        (int, ["ValueError"], None),
    ],
)
def test_an_error_has_the_users_frames_only_is_shown_once_and_has_a_location(
    task: Callable[[Any], Any], errors: list[str], location: str | None, options: str, watched: bool
) -> None:
    pipeline = failed(task, options, watched=watched)
    (failure,) = pipeline.failures
    shown = linked(failure.error)
    assert [type(each).__name__ for each in shown] == errors
    for each in shown:
        assert not [path for path, _ in frames(each.__traceback__) if PACKAGE in path.parents]
    (item,) = pipeline.get_error_summary().failed_items
    assert item.location == failure.location
    assert bool(location) is bool(failure.location)
    assert re.fullmatch(location or "", failure.location or "")


# format_traceback


def raised(function: Callable[[], object]) -> BaseException:
    try:
        function()
    except BaseException as error:
        return error
    raise AssertionError("nothing was raised")


def test_a_traceback_has_no_frame_of_antflow() -> None:
    async def run_inside() -> None:
        await Pipeline([Stage("Inner", 1, [chained])]).run(1)  # type: ignore[arg-type]

    error = raised(lambda: asyncio.run(run_inside()))
    text = format_traceback(error)
    assert text.startswith("Traceback (most recent call last):\n")
    assert "in run_inside" in text
    assert str(PACKAGE) not in text
    assert text.endswith("\n")


def test_a_traceback_has_its_causes_unless_they_are_left_out() -> None:
    error = raised(partial(caused, "x"))
    assert "KeyError: 'x'" in format_traceback(error)
    text = format_traceback(error, chain=False)
    assert "KeyError" not in text
    assert text.endswith("ValueError: no such page\n")


def test_frames_of_hidden_packages_are_removed() -> None:
    error = raised(partial(json.loads, "{"))
    assert "json" in format_traceback(error)
    text = format_traceback(error, hidden=["json"])
    assert "in raised" in text
    assert "decoder.py" not in text


@pytest.mark.parametrize(
    "error",
    [
        ValueError("was not raised"),
        raised(partial(json.loads, "{")).with_traceback(None),
        raised(lambda: Limit(rate=-1)),
    ],
    ids=["not raised", "without a traceback", "of antflow"],
)
def test_without_a_frame_there_is_no_traceback(error: BaseException) -> None:
    hidden = [__name__.partition(".")[0]]
    assert format_traceback(error, hidden=hidden) == ""


def test_a_wrong_file_is_shown_by_its_own_line() -> None:
    error = raised(lambda: compile("a = = 1\n", "wrong.py", "exec"))
    text = format_traceback(error, hidden=[__name__.partition(".")[0]])
    assert text.startswith('  File "wrong.py", line 1\n    a = = 1\n')


def test_frames_of_the_testing_kit_are_kept() -> None:
    def fetch(value: Any) -> Any:
        scope: dict[str, Any] = {"item": current_item()}
        path = str(PACKAGE / "testing" / "_kit.py")
        exec(compile("def of_the_kit():\n    return x\n", path, "exec"), scope)
        return scope["of_the_kit"]()

    (failure,) = failed(fetch, "per_task").failures
    assert failure.error is not None
    kept = [(path.name, name) for path, name in frames(failure.error.__traceback__)]
    assert kept[-1] == ("_kit.py", "of_the_kit")


SHARED = ConnectionError("the server is down")


@simulated()
async def test_the_traceback_of_an_error_that_each_item_raises_does_not_grow() -> None:
    async def first(value: Any) -> Any:
        raise SHARED

    async def second(value: Any) -> Any:
        raise SHARED

    for task in first, second:
        pipeline = Pipeline([Stage("Fetch", 2, [task], task_attempts=1)])
        await pipeline.run(range(300))
        assert len(frames(SHARED.__traceback__)) <= 100
        assert str(pipeline.failures[-1].location).endswith(f", in {task.__name__}")


def deep(value: Any) -> Any:
    return deep(value - 1) if value else chained(value)


def test_the_traceback_of_a_deep_recursion_is_whole() -> None:
    async def main() -> Pipeline:
        pipeline = Pipeline([Stage("Fetch", 1, [deep], task_attempts=1)])
        await pipeline.run([200, 200])
        return pipeline

    for failure in simulate(main, threads=True).failures:
        assert failure.error is not None
        names = [name for _, name in frames(failure.error.__traceback__)]
        assert names == ["deep"] * 201 + ["chained"]
        assert str(failure.location).endswith(", in chained")


class Raising:
    """An observer that raises an item's error again."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    @hookimpl
    def antflow_task_failure(self, event: TaskEvent) -> None:
        raise self.error

    @hookimpl
    async def antflow_item_finish(self, event: StatusEvent) -> None:
        raise self.error


@pytest.mark.parametrize("is_long", [False, True], ids=["short", "long"])
def test_a_function_that_raises_the_error_again_leaves_its_traceback_as_it_is(
    is_long: bool,
) -> None:
    error = ValueError()

    def fetch(value: int) -> None:
        if value:
            fetch(value - 1)
        raise error

    def on_failure(item_id: Any, raised: BaseException, item: Any) -> None:
        raise raised

    async def main() -> None:
        stage = Stage("Fetch", 1, [fetch], task_attempts=1, on_failure=on_failure)
        pipeline = Pipeline([stage], plugins=[Raising(error)])
        await pipeline.run([100 if is_long else 0])
        assert pipeline.plugin_faults == {"Raising": 2}

    simulate(main, threads=True)
    names = [name for _, name in frames(error.__traceback__)]
    assert names == ["fetch"] * (101 if is_long else 1)


@pytest.mark.parametrize(
    "result",
    [
        PipelineResult(0, "page", 0),
        PipelineResult(0, "page", 0, error=ValueError("never raised")),
        PipelineResult(0, "page", 0, error=ExceptionGroup("never raised", [ValueError()])),
    ],
    ids=["success", "error", "group"],
)
def test_what_has_no_traceback_has_no_location(result: PipelineResult) -> None:
    assert result.location is None
