"""`Pipeline.quick`: a pipeline in one call."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from antflow import Pipeline, PipelineError, StageValidationError
from antflow.builder import stages_for
from tests.helpers.runs import cancel, double, now, values
from tests.helpers.virtual_time import simulate
from tests.naming import id_of


async def fetch_data(value: Any) -> Any:
    return value


def add_one(value: int) -> int:
    return value + 1


def names(tasks: Any) -> list[str]:
    return [stage.name for stage in stages_for(tasks, workers=1, retries=1)]


# What it does


def test_one_task_is_one_stage() -> None:
    async def main() -> None:
        assert values(await Pipeline.quick([1, 2, 3], double)) == [2, 4, 6]

    simulate(main)


def test_a_list_of_tasks_is_a_stage_each() -> None:
    async def main() -> None:
        assert values(await Pipeline.quick([1, 2], [double, fetch_data, double])) == [4, 8]

    simulate(main)


def test_a_plain_function_is_a_task_too() -> None:
    async def main() -> None:
        assert values(await Pipeline.quick([1, 2], [add_one, double])) == [4, 6]

    simulate(main, threads=True)


def test_results_are_in_input_order_though_the_last_ends_first() -> None:
    async def sleep(value: int) -> int:
        await asyncio.sleep(10 - value)
        return value

    async def main() -> None:
        assert values(await Pipeline.quick(range(5), sleep)) == [0, 1, 2, 3, 4]

    simulate(main)


def test_what_fails_is_not_among_the_results() -> None:
    async def refuse_odd(value: int) -> int:
        if value % 2:
            raise ValueError
        return value

    async def main() -> None:
        assert values(await Pipeline.quick(range(5), refuse_odd, retries=1)) == [0, 2, 4]

    simulate(main)


def test_items_may_be_any_iterable() -> None:
    async def later() -> AsyncIterator[int]:
        for number in range(3):
            yield number

    async def main() -> None:
        assert values(await Pipeline.quick(later(), double)) == [0, 2, 4]
        assert values(await Pipeline.quick((n for n in range(3)), double)) == [0, 2, 4]
        assert await Pipeline.quick([], double) == []

    simulate(main)


def test_cancelling_it_cancels_all_that_runs() -> None:
    async def sleep(value: int) -> None:
        await asyncio.sleep(1000)

    async def main() -> None:
        quick = asyncio.ensure_future(Pipeline.quick(range(9), [sleep, double]))
        await asyncio.sleep(1)
        await cancel(quick)

    simulate(main)


@pytest.mark.parametrize(("arguments", "most"), [((), 5), ((2,), 2), ((9,), 9)])
def test_so_many_workers_are_at_work_in_each_stage(arguments: Any, most: int) -> None:
    inside: list[int] = [0]
    seen: list[int] = []

    async def visit(value: int) -> int:
        inside[0] += 1
        seen.append(inside[0])
        await asyncio.sleep(1)
        inside[0] -= 1
        return value

    async def main() -> None:
        await Pipeline.quick(range(20), visit, *arguments)
        assert max(seen) == most

    simulate(main)


@pytest.mark.parametrize(
    ("options", "attempts"), [({}, 3), ({"retries": 1}, 1), ({"retries": 5}, 5)]
)
def test_retries_counts_the_attempts_of_each_task(options: Any, attempts: int) -> None:
    calls: list[int] = []

    async def fail(value: int) -> None:
        calls.append(value)
        raise ValueError

    async def main() -> None:
        assert await Pipeline.quick([7], [fetch_data, fail], **options) == []
        assert calls == [7] * attempts
        assert now() == attempts - 1

    simulate(main, tick=0.0)


# What stages are called


class Parse:
    async def __call__(self, value: Any) -> Any:
        return value

    async def method_name(self, value: Any) -> Any:
        return value


def named(name: str) -> Callable[[Any], Any]:
    async def task(value: Any) -> Any:
        return value

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
def test_a_stage_is_named_after_its_task(task: Callable[[Any], Any], name: str) -> None:
    assert names(task) == [name]


@pytest.mark.parametrize(
    ("tasks", "expected"),
    [
        ([double, double], ["Double", "Double2"]),
        ([double] * 4, ["Double", "Double2", "Double3", "Double4"]),
        ([double, fetch_data, double], ["Double", "FetchData", "Double2"]),
        ([named("step"), named("step_2"), named("step")], ["Step", "Step2", "Step3"]),
        ([named("step_2"), named("step"), named("step")], ["Step2", "Step", "Step3"]),
        ([named("a_b"), named("a__b")], ["AB", "AB2"]),
        ((double, double), ["Double", "Double2"]),
    ],
)
def test_stages_of_one_name_are_numbered(tasks: Any, expected: list[str]) -> None:
    assert names(tasks) == expected


def test_repeated_tasks_run_one_after_the_other() -> None:
    async def main() -> None:
        assert values(await Pipeline.quick([1], [double] * 5)) == [32]

    simulate(main)


def test_many_lambdas_make_a_stage_each() -> None:
    async def main() -> None:
        tasks = [lambda value: value + 1, lambda value: value * 10]
        assert values(await Pipeline.quick([1], tasks)) == [20]

    simulate(main, threads=True)


@pytest.mark.parametrize("name", ["_", "__", "___"])
def test_a_task_whose_name_says_nothing_makes_a_stage_all_the_same(name: str) -> None:
    async def main() -> None:
        assert values(await Pipeline.quick([1], [named(name), named(name)])) == [1]

    simulate(main)


def test_a_failure_names_the_stage() -> None:
    async def main() -> None:
        with pytest.raises(StageValidationError, match="'FetchData'"):
            await Pipeline.quick([1], fetch_data, workers=0)

    simulate(main)


# What it refuses


async def refusal(*arguments: Any, **options: Any) -> str:
    with pytest.raises(PipelineError) as caught:
        await Pipeline.quick(*arguments, **options)
    return str(caught.value)


@pytest.mark.parametrize("tasks", [[], ()])
def test_no_task_is_refused(tasks: Any) -> None:
    async def main() -> None:
        assert "must have at least one stage" in await refusal([1], tasks)

    simulate(main)


@pytest.mark.parametrize("tasks", [None, 5, "double", {"double": double}, {double}], ids=id_of)
def test_what_is_no_task_and_no_list_is_refused(tasks: Any) -> None:
    async def main() -> None:
        text = await refusal([1], tasks)
        assert "a task or a list of tasks" in text
        assert repr(tasks) in text

    simulate(main)


@pytest.mark.parametrize("task", [None, 5, "double", [double]], ids=id_of)
def test_a_task_that_cannot_be_called_is_refused(task: Any) -> None:
    async def main() -> None:
        text = await refusal([1], [double, task])
        assert "cannot be called" in text
        assert repr(task) in text

    simulate(main)


@pytest.mark.parametrize("workers", [0, -1, 1.5, None, "5", True], ids=id_of)
def test_a_bad_number_of_workers_is_refused(workers: Any) -> None:
    async def main() -> None:
        text = await refusal([1], [fetch_data, double], workers=workers)
        assert text.startswith("Stage 'FetchData' must have at least 1 worker")
        assert repr(workers) in text

    simulate(main)


@pytest.mark.parametrize("retries", [0, -1, 1.5, None, "5", True], ids=id_of)
def test_a_bad_number_of_retries_is_refused(retries: Any) -> None:
    async def main() -> None:
        text = await refusal([1], fetch_data, retries=retries)
        assert text.startswith("Stage 'FetchData' ")
        assert f"attempts={retries!r}" in text

    simulate(main)


@pytest.mark.parametrize("items", [None, 5, double], ids=id_of)
def test_what_is_no_input_is_refused(items: Any) -> None:
    async def main() -> None:
        with pytest.raises(TypeError, match="iterable"):
            await Pipeline.quick(items, double)

    simulate(main)


def test_what_is_refused_has_read_nothing() -> None:
    async def main() -> None:
        items = iter([1, 2])
        await refusal(items, double, workers=0)
        assert list(items) == [1, 2]

    simulate(main)
