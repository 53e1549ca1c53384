"""The definition of a stage: what it refuses, and what it makes of its settings."""

from __future__ import annotations

import asyncio
import functools
import types
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Iterator
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
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


def test_a_stage_is_checked_when_it_is_used_and_not_when_it_is_made() -> None:
    unfinished = stage(workers=0)
    unfinished.workers = 1
    unfinished.validate()


# What it accepts


ACCEPTED: dict[str, list[Any]] = {
    "workers": [1, 10_000],
    "tasks": [(double, fetch), [functools.partial(double), lambda value: value, str]],
    "retry": ["per_stage"],
    "task_attempts": [1],
    "stage_attempts": [1],
    "task_wait_seconds": [0, 0.0, 3600],
    "queue_capacity": [0, 1, None],
    "pull": [True],
    "task_concurrency_limits": [{}, {"double": 1}, MappingProxyType({"double": 10_000})],
    "call_concurrency": [1, 10_000, None],
    "call_rate": [1, 0.25, 1000.5, None],
    "call_rate_period": [1, 0.5, 3600],
    "never_retry": [(), NameError, (NameError, KeyboardInterrupt)],
}


@pytest.mark.parametrize(
    "changes",
    [
        *({field: value} for field, values in ACCEPTED.items() for value in values),
        {"tasks": [double, fetch], "task_concurrency_limits": {"fetch": 2, "double": 1}},
        {"tasks": [functools.partial(double)], "task_concurrency_limits": {"double": 2}},
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
NOT_FUNCTIONS = [5, "double", ["double"], True]
NOT_EXCEPTIONS = ["NameError", NameError("x"), [NameError], (int,), None, (1,)]
OTHER_NUMBERS = [Decimal(2), Fraction(2)]  # as those of numpy are
ITERATORS = [5, object(), iter([double]), (task for task in [double])]
BAD: list[tuple[str, list[Any], str]] = [
    ("workers", NOT_COUNTS, "must have at least 1 worker, not {!r}; set workers to 1 or more"),
    *(
        (field, NOT_COUNTS, f"has {field}={{!r}}; it counts the first attempt too, so give 1 or ")
        for field in ("task_attempts", "stage_attempts")
    ),
    ("task_wait_seconds", NOT_DURATIONS, "has task_wait_seconds={!r}; give seconds, 0 or more"),
    ("retry", ["per_tsak", "PER_TASK"], "has retry={!r}. Invalid retry policy; did you mean 'per_"),
    ("retry", ["stage"], "has retry={!r}. Invalid retry policy; did you mean 'per_stage'?"),
    (
        "retry",
        ["", "never", None, 3, True, ["per_task"]],
        "has retry={!r}. Invalid retry policy; use 'per_task' or 'per_stage'",
    ),
    *(
        (field, OTHER_NUMBERS, f"has {field}={{!r}}; give an int or float of Python")
        for field in ("workers", "task_attempts", "task_timeout", "retry_wait", "call_rate")
    ),
    ("never_retry", NOT_EXCEPTIONS, "has never_retry={!r}; give a type of exceptions, or a tuple "),
    ("queue_capacity", NOT_CAPACITIES, "has queue_capacity={!r}; give a number of items, 0 for no"),
    (
        "task_concurrency_limits",
        [None, 5, ["double"], [("double", 1)], "double", True],
        "has task_concurrency_limits={!r}; give a dict of task names and numbers",
    ),
    ("call_concurrency", NOT_CALLS, "has call_concurrency={!r}; give a number of tasks, 1 or more"),
    ("call_rate", NOT_POSITIVE, "has call_rate={!r}; give a number of calls per call_rate_period"),
    ("call_rate_period", [*NOT_POSITIVE, None], "has call_rate_period={!r}; give seconds, above 0"),
    *(
        (field, [0, 1, None, "yes", ""], f"has {field}={{!r}}; give True or False")
        for field in ("unpack_args", "pull")
    ),
    *(
        (field, NOT_FUNCTIONS, f"has {field}={{!r}}; give a function or None")
        for field in ("on_success", "on_failure", "on_skip", "skip_if")
    ),
    ("tasks", [[], (), None], "must have at least one task; give tasks=[function, ...]"),
    # An iterator would be read by the check itself, and the stage would do nothing.
    ("tasks", ITERATORS, "takes a list of tasks, not {!r}; give tasks=[function]"),
    ("tasks", [double], "takes a list of tasks, not {!r}; write tasks=[double]"),
]
OTHERS: list[tuple[dict[str, Any], str]] = [
    *(
        ({"tasks": [double, task]}, f"has a task that cannot be called: {task!r}; give the func")
        for task in ("double", None, 3, double(1), [double])
    ),
    *(
        ({"retry": retry, field: -1}, f"has {field}=-1")
        for retry in ("per_task", "per_stage")
        for field in ("task_attempts", "task_wait_seconds", "stage_attempts")
    ),
    *(
        (
            {"task_concurrency_limits": {"double": most}},
            f"has the limit {most!r} for task 'double'; give a number of workers, 1 or more",
        )
        for most in NOT_COUNTS
    ),
    *(
        (
            {"tasks": [double, fetch], "task_concurrency_limits": {"double": 1, name: 1}},
            f"has a limit for an unknown task {name!r}; its tasks are 'double', 'fetch'",
        )
        for name in ("Double", "", "tripel", None, 0, double)
    ),
    (
        {"tasks": [double, fetch], "task_concurrency_limits": {"double": 1, "fetch": 0}},
        "has the limit 0 for task 'fetch'",
    ),
    ({"pull": True, "retry": "per_stage"}, "cannot pull with retry='per_stage'"),
    ({"pull": True, "queue_capacity": 5}, "cannot pull with queue_capacity=5"),
    ({"pull": True, "queue_capacity": 0}, "cannot pull with queue_capacity=0"),
]
REFUSED = [
    *(({field: value}, text.format(value)) for field, values, text in BAD for value in values),
    *OTHERS,
]


@pytest.mark.parametrize(("changes", "text"), REFUSED, ids=id_of)
def test_a_bad_setting_is_refused_with_the_stage_the_value_and_the_remedy(
    changes: dict[str, Any], text: str
) -> None:
    assert refusal(**changes).startswith(f"Stage 'Parse' {text}")


@pytest.mark.parametrize("name", ["", None, 3, b"Parse", ["Parse"]])
def test_a_name_must_be_a_text(name: Any) -> None:
    assert refusal(name=name) == f"A stage's name must be a non-empty string, not {name!r}"


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
    ("stages", "text"),
    [
        ([], "Pipeline 'books' must have at least one stage; give stages=[...]"),
        (7, "Pipeline 'books' takes a list of stages, not 7"),
        ([stage(), double], "Pipeline 'books' takes a list of stages; <function double"),
        ([stage(pull=True)], "Stage 'Parse' cannot pull: it is the first stage, and nothing"),
        ([stage(), stage(name="Other"), stage()], "Duplicate stage name 'Parse'"),
        ([stage(), stage(name="Other", workers=0)], "Stage 'Other' must have at least 1 worker"),
    ],
)
def test_a_pipeline_refuses_stages_that_it_cannot_run(stages: Any, text: str) -> None:
    error = StageValidationError if text.startswith(("Dup", "Stage 'O")) else PipelineError
    with pytest.raises(error) as caught:
        Pipeline(stages, name="books")
    assert str(caught.value).startswith(text)


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
    ("task", "name", "is_awaited"),
    [
        (double, "double", False),
        (fetch, "fetch", True),
        (functools.partial(double), "double", False),
        (functools.partial(functools.partial(double)), "double", False),
        (functools.partial(functools.partial(fetch)), "fetch", True),
        (functools.partial(Sync()), "Sync", False),
        (functools.partial(Async()), "Async", True),
        (timed(double), "double", False),
        (timed(fetch), "fetch", True),
        (timed(timed(fetch)), "fetch", True),
        (timed(functools.partial(fetch)), "call", True),
        (functools.partial(timed(fetch)), "fetch", True),
        (later, "later", False),
        (lambda value: [fetch(value)][0], "<lambda>", False),
        (Sync(), "Sync", False),
        (Sync().method, "method", False),
        (Async, "Async", False),
        (Async(), "Async", True),
        (Async().method, "method", True),
        (Async.static, "static", True),
        (Async.of_class, "of_class", True),
        (Named(), "named", False),
        (OddlyNamed(), "OddlyNamed", False),
        (str.upper, "upper", False),
        (len, "len", False),
        (int, "int", False),
    ],
    ids=id_of,
)
def test_a_task_has_a_name_and_is_a_coroutine_function_or_a_plain_one(
    task: Callable[..., Any], name: str, is_awaited: bool
) -> None:
    assert task_name(task) == name
    assert is_coroutine_function(task) is is_awaited
