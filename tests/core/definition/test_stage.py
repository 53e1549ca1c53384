"""The definition of a stage: what it refuses, and what it makes of its settings."""

from __future__ import annotations

import asyncio
import functools
import types
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Iterator
from dataclasses import dataclass
from math import inf, nan
from types import MappingProxyType
from typing import Any

import pytest

from antflow import Pipeline, PipelineError, Stage, StageValidationError, TaskFunc
from antflow.retry import ONCE, RetryPolicy
from antflow.stage import is_coroutine_function, task_name
from tests.naming import id_of


def double(value: int) -> int:
    return value * 2


async def fetch(value: int) -> int:
    return value


def stage(**changes: Any) -> Stage:
    return Stage(**{"name": "Parse", "workers": 2, "tasks": [double], **changes})


def refusal(**changes: Any) -> str:
    with pytest.raises(StageValidationError) as caught:
        stage(**changes).validate()
    return str(caught.value)


# The definition


def test_what_comes_after_queue_capacity_is_keyword_only() -> None:
    retries = ["per_task", 3, 1.0, 3]
    arguments: list[Any] = ["Work", 1, [fetch], *retries, True, {}, None, None, None, 5]
    assert Stage(*arguments).queue_capacity == 5
    with pytest.raises(TypeError):
        Stage(*[*arguments, print])
    assert Stage(*arguments, on_skip=print).on_skip is print


def test_two_stages_do_not_share_their_limits() -> None:
    first, second = stage(), stage()
    assert first.task_concurrency_limits is not second.task_concurrency_limits


# What it accepts


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"workers": 1},
        {"workers": 10_000},
        {"tasks": (double, fetch)},
        {"tasks": [functools.partial(double), lambda value: value, str]},
        {"retry": "per_stage"},
        {"task_attempts": 1, "stage_attempts": 1},
        {"task_wait_seconds": 0},
        {"task_wait_seconds": 0.0},
        {"task_wait_seconds": 3600},
        {"queue_capacity": 0},
        {"queue_capacity": 1},
        {"pull": True},
        {"task_concurrency_limits": {}},
        {"task_concurrency_limits": {"double": 1}},
        {"task_concurrency_limits": MappingProxyType({"double": 10_000})},
        {"tasks": [double, fetch], "task_concurrency_limits": {"fetch": 2, "double": 1}},
        {"tasks": [functools.partial(double)], "task_concurrency_limits": {"double": 2}},
        {"call_concurrency": 1},
        {"call_concurrency": 10_000},
        {"call_rate": 1},
        {"call_rate": 0.25},
        {"call_rate": 1000.5, "call_rate_period": 1},
        {"call_rate_period": 0.5},
        {"call_concurrency": None, "call_rate": None},
        {"call_concurrency": 2, "call_rate": 5, "call_rate_period": 3600},
    ],
    ids=id_of,
)
def test_valid_settings_are_accepted(changes: dict[str, Any]) -> None:
    stage(**changes).validate()


# What it refuses, by the field and the value

NOT_COUNTS = [0, -1, 1.0, 2.5, nan, inf, "3", None, True, False, [1]]
NOT_DURATIONS = [-1, -0.001, nan, inf, -inf, "1", None, [1]]
NOT_CAPACITIES = [-1, 1.0, 2.5, nan, inf, "3", True, False]
NOT_CALLS = [value for value in NOT_COUNTS if value is not None]
NOT_POSITIVE = [0, 0.0, -0.0, -1, -0.5, nan, inf, -inf, 1e10, "1", True, False, [1]]
NOT_SWITCHES = [0, 1, None, "yes", ""]
NOT_FUNCTIONS = [5, "double", ["double"], True]
BAD: dict[str, list[Any]] = {
    "workers": NOT_COUNTS,
    "task_attempts": NOT_COUNTS,
    "stage_attempts": NOT_COUNTS,
    "task_wait_seconds": NOT_DURATIONS,
    "queue_capacity": NOT_CAPACITIES,
    "retry": ["", "per_item", "PER_TASK", None, 3, True, ["per_task"]],
    "task_concurrency_limits": [None, 5, ["double"], [("double", 1)], "double", True],
    "call_concurrency": NOT_CALLS,
    "call_rate": NOT_POSITIVE,
    "call_rate_period": [*NOT_POSITIVE, None],
    "unpack_args": NOT_SWITCHES,
    "pull": NOT_SWITCHES,
    "on_success": NOT_FUNCTIONS,
    "on_failure": NOT_FUNCTIONS,
    "on_skip": NOT_FUNCTIONS,
    "skip_if": NOT_FUNCTIONS,
}
REMEDIES = {
    "task_concurrency_limits": "give a dict of task names and numbers",
    "call_concurrency": "give a number of tasks, 1 or more, or None",
    "call_rate": "give a number of calls per call_rate_period, above 0, or None",
    "call_rate_period": "give seconds, above 0",
    "unpack_args": "give True or False",
    "pull": "give True or False",
    "on_success": "give a function or None",
    "on_failure": "give a function or None",
    "on_skip": "give a function or None",
    "skip_if": "give a function or None",
}


@pytest.mark.parametrize(
    ("field", "value"),
    [(field, value) for field, values in BAD.items() for value in values],
    ids=id_of,
)
def test_a_bad_value_is_named_with_its_stage_and_field(field: str, value: Any) -> None:
    text = refusal(**{field: value})
    assert text.startswith("Stage 'Parse' ")
    assert field.removesuffix("s") in text
    assert repr(value) in text


@pytest.mark.parametrize(("field", "remedy"), REMEDIES.items(), ids=list(REMEDIES))
def test_a_bad_value_is_refused_with_what_to_give_instead(field: str, remedy: str) -> None:
    for value in BAD[field]:
        text = refusal(**{field: value})
        assert f"{field}={value!r}" in text
        assert remedy in text


@pytest.mark.parametrize("most", NOT_COUNTS, ids=id_of)
def test_the_limit_of_a_task_must_be_a_number_of_workers(most: Any) -> None:
    text = refusal(task_concurrency_limits={"double": most})
    assert text == (
        f"Stage 'Parse' has the limit {most!r} for task 'double'; "
        "give a number of workers, 1 or more"
    )


@pytest.mark.parametrize("name", ["Double", "", "tripel", None, 0, double], ids=id_of)
def test_a_limit_for_an_unknown_task_is_refused_with_the_tasks_there_are(name: Any) -> None:
    text = refusal(tasks=[double, fetch], task_concurrency_limits={"double": 1, name: 1})
    assert text == (
        f"Stage 'Parse' has a limit for an unknown task {name!r}; its tasks are 'double', 'fetch'"
    )


def test_a_bad_limit_of_any_task_is_found() -> None:
    text = refusal(tasks=[double, fetch], task_concurrency_limits={"double": 1, "fetch": 0})
    assert "the limit 0 for task 'fetch'" in text


@pytest.mark.parametrize("retry", ["per_task", "per_stage"])
@pytest.mark.parametrize("field", ["task_attempts", "task_wait_seconds", "stage_attempts"])
def test_settings_of_the_other_retry_mode_are_checked_too(retry: str, field: str) -> None:
    assert f"{field}=-1" in refusal(retry=retry, **{field: -1})


@pytest.mark.parametrize("name", ["", None, 3, b"Parse", ["Parse"]])
def test_a_name_must_be_a_text(name: Any) -> None:
    assert repr(name) in refusal(name=name)


@pytest.mark.parametrize("tasks", [[], (), None])
def test_a_stage_without_tasks_is_refused(tasks: Any) -> None:
    assert "'Parse' must have at least one task" in refusal(tasks=tasks)


@pytest.mark.parametrize("tasks", [5, object(), iter([double]), (task for task in [double])])
def test_tasks_that_are_no_sequence_are_refused(tasks: Any) -> None:
    """An iterator would be read by the check itself, and the stage would do nothing."""
    text = refusal(tasks=tasks)
    assert text.startswith("Stage 'Parse' ")
    assert repr(tasks) in text


def test_a_task_in_place_of_a_list_is_refused_with_the_list_to_write() -> None:
    text = refusal(tasks=double)
    assert text.startswith("Stage 'Parse' ")
    assert "tasks=[double]" in text


@pytest.mark.parametrize("task", ["double", None, 3, double(1), [double]])
def test_a_task_that_cannot_be_called_is_refused_by_value(task: Any) -> None:
    text = refusal(tasks=[double, task])
    assert text.startswith("Stage 'Parse' ")
    assert repr(task) in text


async def generate_later(value: Any) -> AsyncIterator[Any]:
    yield value


def generate(value: Any) -> Iterator[Any]:
    yield value


@dataclass(frozen=True)
class Generating:
    text: str = ""

    def __call__(self, value: Any) -> Iterator[Any]:
        yield value

    def method(self, value: Any) -> Iterator[Any]:
        yield value

    @functools.cache  # noqa: B019 - as users write it
    def cached(self, value: Any) -> Iterator[Any]:
        yield value


class GeneratingLater:
    async def __call__(self, value: Any) -> AsyncIterator[Any]:
        yield value


@pytest.mark.parametrize(
    ("task", "kind", "name"),
    [
        (generate_later, "an async generator", "generate_later"),
        (functools.partial(generate_later), "an async generator", "generate_later"),
        (GeneratingLater(), "an async generator", "GeneratingLater"),
        (generate, "a generator", "generate"),
        (functools.partial(functools.partial(generate)), "a generator", "generate"),
        (lambda value: (yield value), "a generator", "<lambda>"),
        (Generating(), "a generator", "Generating"),
        (functools.partial(Generating()), "a generator", "Generating"),
        (Generating().method, "a generator", "method"),
        (functools.lru_cache(maxsize=1)(generate), "a generator", "generate"),
        (functools.cache(generate_later), "an async generator", "generate_later"),
        (functools.partial(functools.cache(generate)), "a generator", "generate"),
        (Generating().cached, "a generator", "cached"),
    ],
    ids=id_of,
)
def test_a_generator_function_is_refused_as_a_task(task: TaskFunc, kind: str, name: str) -> None:
    text = refusal(tasks=[fetch, task])
    assert text.startswith(f"Stage 'Parse' has a task that is {kind}: {name!r}")
    assert "feed_threadsafe()" in text


@functools.wraps(generate)
def collect(value: Any) -> list[Any]:
    return list(generate(value))


@types.coroutine
def awaited(value: Any) -> Generator[Any, None, Any]:
    yield
    return value


@pytest.mark.parametrize(
    ("task", "result"),
    [(int, 7), (Generating, Generating("7")), (collect, ["7"]), (awaited, "7")],
    ids=id_of,
)
def test_what_returns_a_value_is_a_task_though_it_looks_like_a_generator(
    task: TaskFunc, result: Any
) -> None:
    results = asyncio.run(Pipeline([stage(tasks=[task])]).run(["7"]))
    assert [each.value for each in results] == [result]


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"retry": "never"}, ["Invalid retry policy", "'never'", "'per_task'", "'per_stage'"]),
        ({"workers": 0}, ["must have at least 1 worker", "not 0", "1 or more"]),
        ({"tasks": []}, ["must have at least one task", "tasks=["]),
        ({"pull": True, "retry": "per_stage"}, ["pull", "per_stage", "retry='per_task'"]),
        ({"pull": True, "queue_capacity": 5}, ["pull", "queue_capacity=5", "leave one"]),
        ({"pull": True, "queue_capacity": 0}, ["pull", "queue_capacity=0", "leave one"]),
    ],
    ids=id_of,
)
def test_texts_that_existing_programs_rely_on(changes: dict[str, Any], parts: list[str]) -> None:
    text = refusal(**changes)
    assert [part for part in ["'Parse'", *parts] if part not in text] == []


@pytest.mark.parametrize(
    ("stages", "error", "parts"),
    [
        ([], PipelineError, ["'books'", "must have at least one stage"]),
        ([stage(pull=True)], PipelineError, ["'Parse'", "first stage"]),
        (
            [stage(), stage(name="Other"), stage()],
            StageValidationError,
            ["Duplicate stage name", "'Parse'"],
        ),
        ([stage(), stage(name="Other", workers=0)], StageValidationError, ["'Other'", "1 worker"]),
    ],
)
def test_what_a_pipeline_refuses_of_its_stages(
    stages: list[Stage], error: type[Exception], parts: list[str]
) -> None:
    with pytest.raises(error) as caught:
        Pipeline(stages, name="books")
    assert [part for part in parts if part not in str(caught.value)] == []


def test_a_stage_is_checked_when_it_is_used_and_not_when_it_is_made() -> None:
    unfinished = stage(workers=0)
    unfinished.workers = 1
    unfinished.validate()


# What it makes of its settings


@pytest.mark.parametrize(
    ("changes", "capacity"),
    [
        ({"workers": 3}, 30),
        ({"queue_capacity": 7}, 7),
        ({"queue_capacity": 1}, 1),
        ({"queue_capacity": 0}, inf),
        ({"pull": True}, 0),
    ],
    ids=id_of,
)
def test_capacity(changes: dict[str, Any], capacity: float) -> None:
    assert stage(**changes).capacity == capacity


@pytest.mark.parametrize(
    ("retry", "of_task", "of_stage"),
    [("per_task", RetryPolicy(4, 0.5), ONCE), ("per_stage", ONCE, RetryPolicy(5))],
)
def test_either_the_task_or_the_stage_is_tried_again(
    retry: str, of_task: RetryPolicy, of_stage: RetryPolicy
) -> None:
    made = stage(retry=retry, task_attempts=4, task_wait_seconds=0.5, stage_attempts=5)
    assert made.task_policy == of_task
    assert made.stage_policy == of_stage


# Tasks: what they are called, and whether they are coroutine functions


class Sync:
    def __call__(self, value: int) -> int:
        return value

    def method(self, value: int) -> int:
        return value


class Async:
    async def __call__(self, value: int) -> int:
        return value

    async def method(self, value: int) -> int:
        return value

    @staticmethod
    async def static(value: int) -> int:
        return value

    @classmethod
    async def of_class(cls, value: int) -> int:
        return value


def timed(function: Callable[[int], Any]) -> Callable[[int], Any]:
    @functools.wraps(function)
    def call(value: int) -> Any:
        return function(value)

    return call


def later(value: int) -> Coroutine[Any, Any, int]:
    return fetch(value)


class Named(Sync):
    __name__ = "named"


class OddlyNamed(Sync):
    __name__ = 7


@pytest.mark.parametrize(
    ("task", "name"),
    [
        (double, "double"),
        (fetch, "fetch"),
        (functools.partial(double), "double"),
        (functools.partial(functools.partial(fetch)), "fetch"),
        (functools.partial(Sync()), "Sync"),
        (timed(double), "double"),
        (lambda value: value, "<lambda>"),
        (Sync(), "Sync"),
        (Sync().method, "method"),
        (Named(), "named"),
        (OddlyNamed(), "OddlyNamed"),
        (str.upper, "upper"),
        (int, "int"),
    ],
)
def test_name_of_a_task(task: Callable[..., Any], name: str) -> None:
    assert task_name(task) == name


@pytest.mark.parametrize(
    "task",
    [
        fetch,
        functools.partial(fetch),
        functools.partial(functools.partial(fetch)),
        functools.partial(Async()),
        timed(fetch),
        timed(timed(fetch)),
        timed(functools.partial(fetch)),
        functools.partial(timed(fetch)),
        Async(),
        Async().method,
        Async.static,
        Async.of_class,
    ],
)
def test_a_coroutine_function_is_found(task: Callable[..., Any]) -> None:
    assert is_coroutine_function(task)


@pytest.mark.parametrize(
    "task",
    [
        double,
        functools.partial(double),
        functools.partial(functools.partial(double)),
        timed(double),
        later,
        lambda value: [fetch(value)][0],
        Sync(),
        Sync().method,
        Async,
        str.upper,
        len,
        int,
    ],
)
def test_a_plain_function_is_not_taken_for_a_coroutine_function(task: Callable[..., Any]) -> None:
    assert not is_coroutine_function(task)
