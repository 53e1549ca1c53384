"""`Pipeline.quick`: a pipeline in one call."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from typing import Any

import pytest

from antflow import Backoff, Pipeline, PipelineError, current_item
from tests.helpers.inputs import later
from tests.helpers.runs import Failing, cancel, double, now, refuse_odd, sleep_long, values
from tests.helpers.simulated import simulated
from tests.naming import id_of


async def fetch_data(value: Any) -> Any:
    return value


def add_one(value: int) -> int:
    return value + 1


# What it does


@pytest.mark.parametrize(
    ("tasks", "results"),
    [
        (double, [2, 4]),
        ([double, fetch_data, double], [4, 8]),
        ((add_one, double), [4, 6]),
        ([double] * 5, [32, 64]),
        ([lambda value: value + 1, lambda value: value * 10], [20, 30]),
    ],
)
@simulated(threads=True)
async def test_a_task_or_a_list_of_tasks_makes_a_stage_each(tasks: Any, results: list[int]) -> None:
    assert values(await Pipeline.quick([1, 2], tasks)) == results


@simulated()
async def test_results_are_in_input_order_without_what_failed() -> None:
    async def sleep(value: int) -> int:
        await asyncio.sleep(10 - value)
        return value

    assert values(await Pipeline.quick(range(5), [sleep, refuse_odd], retries=1)) == [0, 2, 4]
    assert values(await Pipeline.quick(later(range(3)), double)) == [0, 2, 4]
    assert await Pipeline.quick([], double) == []


@simulated()
async def test_cancelling_it_cancels_all_that_runs() -> None:
    quick = asyncio.ensure_future(Pipeline.quick(range(9), [sleep_long, double]))
    await asyncio.sleep(1)
    await cancel(quick)


@pytest.mark.parametrize(("arguments", "most"), [((), 5), ((2,), 2), ((9,), 9)])
@simulated()
async def test_workers_is_the_number_of_workers_of_each_stage(arguments: Any, most: int) -> None:
    inside: list[int] = [0]
    seen: list[int] = []

    async def visit(value: int) -> int:
        inside[0] += 1
        seen.append(inside[0])
        await asyncio.sleep(1)
        inside[0] -= 1
        return value

    await Pipeline.quick(range(20), visit, *arguments)
    assert max(seen) == most


@pytest.mark.parametrize(
    ("options", "attempts"), [({}, 3), ({"retries": 1}, 1), ({"retries": 5}, 5)]
)
@simulated(tick=0.0)
async def test_retries_is_the_number_of_attempts_of_each_task(options: Any, attempts: int) -> None:
    failing = Failing(times=99)
    assert await Pipeline.quick([7], [fetch_data, failing], **options) == []
    assert failing.calls == [7] * attempts
    assert now() == attempts - 1


@pytest.mark.parametrize(
    ("wait", "seconds"),
    [(None, 2), (0, 0), (5, 10), (lambda attempt, _: attempt, 3), (Backoff(4, jitter=False), 12)],
)
@simulated(tick=0.0)
async def test_retry_wait_is_the_time_between_attempts(wait: Any, seconds: float) -> None:
    assert await Pipeline.quick([7], [fetch_data, Failing(times=99)], retry_wait=wait) == []
    assert now() == seconds


@simulated(tick=0.0)
async def test_task_timeout_is_the_time_of_an_attempt() -> None:
    calls = []

    async def hang_at_first(value: int) -> int:
        calls.append(value)
        await asyncio.sleep(1000 if len(calls) == 1 else 1)
        return value

    assert values(await Pipeline.quick([7], hang_at_first, task_timeout=5)) == [7]
    assert now() == 5 + 1 + 1
    with pytest.raises(PipelineError, match="Stage 'FetchData' has task_timeout=0; give seconds"):
        await Pipeline.quick([7], fetch_data, task_timeout=0)
    with pytest.raises(PipelineError, match="Stage 'FetchData' has retry_wait='x'; give seconds"):
        await Pipeline.quick([7], fetch_data, retry_wait="x")  # type: ignore[call-overload]


# What stages are called


async def refusal(*arguments: Any, **options: Any) -> str:
    with pytest.raises(PipelineError) as caught:
        await Pipeline.quick(*arguments, **options)
    return str(caught.value)


class Parse:
    async def __call__(self, value: Any) -> Any:
        return value

    async def method_name(self, value: Any) -> Any:
        return value


def named(name: str) -> Callable[[Any], Any]:
    """Return a task of that name, which appends the name of its stage to the value."""

    async def task(value: Any) -> Any:
        item = current_item()
        assert item is not None
        return [*value, item.stage]

    task.__name__ = name
    return task


@pytest.mark.parametrize(
    ("task", "name"),
    [
        (fetch_data, "FetchData"),
        (double, "Double"),
        (functools.partial(fetch_data), "FetchData"),
        (functools.partial(functools.partial(add_one)), "AddOne"),
        (Parse(), "Parse"),
        (Parse().method_name, "MethodName"),
        (str, "Str"),
        (named("load__it"), "LoadIt"),
        (named("_private"), "Private"),
        (named("step_2"), "Step2"),
        (named("a_b_c"), "ABC"),
        (lambda value: value, "<Lambda>"),
    ],
)
@simulated()
async def test_a_stage_is_named_after_its_task(task: Callable[[Any], Any], name: str) -> None:
    assert (await refusal([1], task, workers=0)).startswith(f"Stage '{name}' ")


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["double", "double"], ["Double", "Double2"]),
        (["double"] * 4, ["Double", "Double2", "Double3", "Double4"]),
        (["double", "fetch_data", "double"], ["Double", "FetchData", "Double2"]),
        (["step", "step_2", "step"], ["Step", "Step2", "Step3"]),
        (["step_2", "step", "step"], ["Step2", "Step", "Step3"]),
        (["a_b", "a__b"], ["AB", "AB2"]),
    ],
)
@simulated()
async def test_stages_of_one_name_are_numbered(names: list[str], expected: list[str]) -> None:
    (result,) = await Pipeline.quick([[]], [named(name) for name in names])
    assert result.value == expected


@pytest.mark.parametrize("name", ["_", "__", "___"])
@simulated()
async def test_a_task_whose_name_says_nothing_makes_a_stage_all_the_same(name: str) -> None:
    (result,) = await Pipeline.quick([[]], [named(name), named(name)])
    assert len(set(result.value)) == 2


# What it refuses


@pytest.mark.parametrize(
    ("tasks", "text"),
    [
        ([], "must have at least one stage"),
        ((), "must have at least one stage"),
        *((bad, "a task or a list of tasks") for bad in (None, 5, "double", {double})),
        ({"double": double}, "a task or a list of tasks"),
        *(([double, bad], "cannot be called") for bad in (None, 5, "double", [double])),
    ],
    ids=id_of,
)
@simulated()
async def test_what_is_no_task_and_no_list_of_tasks_is_refused(tasks: Any, text: str) -> None:
    message = await refusal([1], tasks)
    assert text in message
    bad = tasks[-1] if text == "cannot be called" else tasks
    assert not tasks or repr(bad) in message


@pytest.mark.parametrize("number", [0, -1, 1.5, None, "5", True], ids=id_of)
@pytest.mark.parametrize(
    ("option", "start", "part"),
    [
        ("workers", "Stage 'FetchData' must have at least 1 worker", "{!r}"),
        ("retries", "Stage 'FetchData' ", "attempts={!r}"),
    ],
)
@simulated()
async def test_a_bad_number_of_workers_or_retries_is_refused_and_nothing_is_read(
    option: str, start: str, part: str, number: Any
) -> None:
    items = iter([1, 2])
    text = await refusal(items, [fetch_data, double], **{option: number})
    assert text.startswith(start)
    assert part.format(number) in text
    assert list(items) == [1, 2]
