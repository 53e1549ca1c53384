"""`current_item()`: what tasks and callbacks know of the item that they work on."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from antflow import CurrentItem, current_item
from tests.helpers.runs import Failing, piped, same, stage, start_with, values, watched_or_not
from tests.helpers.simulated import simulated
from tests.helpers.virtual_time import Gate


def the_item() -> CurrentItem:
    item = current_item()
    assert item is not None
    return item


def described() -> tuple[Any, str, int, dict[str, Any], int, dict[str, str]]:
    """Return every field of the current item."""
    item = the_item()
    return item.id, item.stage, item.attempt, dict(item.metadata), item.priority, item.carrier


async def describe(_: Any) -> Any:
    return described()


def describe_in_a_thread(_: Any) -> Any:
    return described()


async def describe_in_another_thread(_: Any) -> Any:
    return await asyncio.to_thread(described)


async def describe_in_a_sub_task(_: Any) -> Any:
    (found,) = await asyncio.gather(describe(_))
    return found


@watched_or_not
@pytest.mark.parametrize(
    "task", [describe, describe_in_a_thread, describe_in_another_thread, describe_in_a_sub_task]
)
@simulated(threads=True)
async def test_a_task_knows_its_item(task: Callable[[Any], Any], watched: bool) -> None:
    pipeline = piped(stage(task, name="Ask"), watched=watched)
    await pipeline.feed([{"id": "a", "value": 1, "source": "x"}], priority=7)
    (first, second) = values(await pipeline.run(["b"]))
    assert first == ("a", "Ask", 1, {"source": "x"}, 7, {})
    assert second == (1, "Ask", 1, {}, 100, {})


@simulated()
async def test_outside_of_a_worker_there_is_no_item() -> None:
    def items() -> Iterator[int]:
        assert current_item() is None
        yield 1

    stream = piped(stage(describe)).stream(items())
    assert [current_item() async for _ in stream] == [None]
    assert current_item() is None


@simulated()
async def test_workers_at_work_at_once_have_an_item_each() -> None:
    async def look(value: int) -> bool:
        await asyncio.sleep(10 - value)
        return bool(the_item().id == value)

    assert values(await piped(stage(look, workers=3)).run(range(6))) == [True] * 6


@simulated()
async def test_a_pipeline_inside_of_a_task_has_items_of_its_own() -> None:
    async def outer(value: str) -> list[Any]:
        before = the_item().id
        (result,) = await piped(stage(describe, name="Inner")).run([{"id": "in", "value": 1}])
        assert the_item().id == before
        return [before, result.value[0]]

    (result,) = await piped(stage(outer, name="Outer")).run([{"id": "out", "value": 1}])
    assert result.value == ["out", "in"]


@simulated()
async def test_a_task_left_behind_has_no_item_once_its_run_is_over() -> None:
    left_behind: list[asyncio.Task[Any]] = []

    async def look_later() -> Any:
        await asyncio.sleep(10)
        return current_item()

    async def task(_: Any) -> None:
        left_behind.append(asyncio.ensure_future(look_later()))

    await piped(stage(task)).run([0])
    assert await left_behind[0] is None


@simulated()
async def test_the_current_item_shows_what_it_is_and_cannot_be_replaced() -> None:
    async def show(_: Any) -> str:
        with pytest.raises(AttributeError):
            the_item().id = "other"  # type: ignore[misc]
        return repr(the_item())

    (result,) = await piped(stage(show)).run([{"id": "a", "value": 1}])
    assert result.value == "CurrentItem(id='a', stage='Work', attempt=1)"


# Metadata and the carrier


@watched_or_not
@simulated(threads=True)
async def test_metadata_that_tasks_and_callbacks_write_goes_on_with_the_item(watched: bool) -> None:
    async def count(value: int) -> int:
        metadata = the_item().metadata
        metadata["visits"] = metadata.get("visits", 0) + 1
        return value

    def note_thread(value: int) -> int:
        the_item().metadata["thread"] = threading.current_thread().name
        return value

    async def note(*_: Any) -> None:
        the_item().metadata["noted"] = True

    stages = stage(count, name="A"), stage(count, note_thread, count, name="B", on_success=note)
    results = await piped(*stages, watched=watched).run([{"id": 0, "value": 1, "source": "x"}, 2])
    written = {"visits": 3, "thread": "B-T0", "noted": True}
    assert [result.metadata for result in results] == [{"source": "x", **written}, written]


@watched_or_not
@simulated()
async def test_failures_and_items_that_are_left_have_the_metadata_too(watched: bool) -> None:
    gate = Gate()

    async def note(value: int) -> int:
        the_item().metadata["seen"] = value
        if value == 1:
            raise ValueError
        await gate(value)
        return value

    pipeline = piped(stage(note, workers=2), watched=watched)
    await start_with(pipeline, [1, 2])
    (left,) = await pipeline.shutdown(timeout=0)
    (failure,) = pipeline.failures
    assert (failure.metadata, left.metadata) == ({"seen": 1}, {"seen": 2})


@simulated()
async def test_what_is_attached_to_the_carrier_travels_with_the_item() -> None:
    async def attach(value: str) -> str:
        the_item().carrier["trace"] = value
        return value

    async def look(_: str) -> dict[str, str]:
        return the_item().carrier

    pipeline = piped(stage(attach, name="A", workers=2), stage(look, name="B"))
    assert values(await pipeline.run(["x", "y"])) == [{"trace": "x"}, {"trace": "y"}]


# Attempts


RETRIES: dict[str, dict[str, Any]] = {
    "per_task": {"task_attempts": 3, "task_wait_seconds": 1},
    "per_stage": {"retry": "per_stage", "stage_attempts": 3},
}


@watched_or_not
@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("per_task", [("first", 1), ("second", 1), ("second", 2), ("second", 3), ("third", 1)]),
        (
            "per_stage",
            [*((task, n) for n in (1, 2, 3) for task in ("first", "second")), ("third", 3)],
        ),
    ],
)
@simulated()
async def test_attempts_are_those_of_the_task_or_of_the_stage_and_begin_at_1_in_each_stage(
    mode: str, expected: list[tuple[str, int]], watched: bool
) -> None:
    attempts: list[tuple[str, int]] = []

    def noting(name: str, last: int = 1) -> Callable[[int], Any]:
        async def task(value: int) -> int:
            attempts.append((name, the_item().attempt))
            if the_item().attempt < last:
                raise ValueError
            return value

        return task

    tasks = noting("first"), noting("second", last=3), noting("third")
    pipeline = piped(stage(*tasks, **RETRIES[mode]), stage(describe, name="B"), watched=watched)
    (result,) = await pipeline.run([0])
    assert attempts == expected
    assert result.value[2] == 1


# Callbacks


@watched_or_not
@simulated()
async def test_callbacks_know_the_item_too(watched: bool) -> None:
    seen: list[tuple[str, Any, str]] = []

    def noting(role: str) -> Callable[..., bool]:
        def note(*_: Any) -> bool:
            seen.append((role, the_item().id, the_item().stage))
            return bool(the_item().id == 2)

        return note

    async def refuse_1(value: int) -> int:
        if value == 1:
            raise ValueError
        return value

    roles = {role: noting(role) for role in ("skip_if", "on_success", "on_failure", "on_skip")}
    await piped(stage(refuse_1, name="Ask", **roles), watched=watched).run(range(3))
    assert seen == [
        ("skip_if", 0, "Ask"),
        ("on_success", 0, "Ask"),
        ("skip_if", 1, "Ask"),
        ("on_failure", 1, "Ask"),
        ("skip_if", 2, "Ask"),
        ("on_skip", 2, "Ask"),
    ]


@watched_or_not
@pytest.mark.parametrize("fields", RETRIES.values(), ids=RETRIES)
@pytest.mark.parametrize(("role", "failures"), [("on_success", 2), ("on_failure", 9)])
@simulated()
async def test_callbacks_know_how_many_attempts_were_made(
    role: str, failures: int, fields: dict[str, Any], watched: bool
) -> None:
    attempts: list[int] = []

    def note(*_: Any) -> None:
        attempts.append(the_item().attempt)

    one = stage(same, Failing(failures), **{role: note}, **fields)
    await piped(one, watched=watched).run([0])
    assert attempts == [3]
