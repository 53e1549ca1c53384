"""What `Limit`, `Adaptive` and `Stage(limits=)` refuse, and misuse inside of tasks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest

from antflow import (
    Adaptive,
    Limit,
    Pipeline,
    RetryAfter,
    StageValidationError,
    current_limits,
)
from tests.helpers.runs import only_error, same, stage, values
from tests.helpers.simulated import simulated


def host(value: str) -> str:
    return value


async def later(value: str) -> str:
    return value


LIMITS: dict[str, tuple[dict[str, Any], str]] = {
    "nothing": ({}, "A Limit without rate and concurrency bounds nothing; give one of them"),
    "a name alone": ({"name": "a"}, "bounds nothing"),
    "a rate of 0": ({"rate": 0}, "rate of Limit is 0; give a number of units, above 0"),
    "a rate below 0": ({"rate": -1}, "rate of Limit is -1"),
    "a text as rate": ({"rate": "5"}, "rate of Limit is '5'"),
    "True as rate": ({"rate": True}, "rate of Limit is True"),
    "nan as rate": ({"rate": float("nan")}, "rate of Limit is nan"),
    "a rate that is not Python's": ({"rate": Fraction(5)}, "give an int or float of Python"),
    "no end of rate": ({"rate": float("inf")}, "rate of Limit is inf"),
    "less than one": ({"rate": 0.5, "per": 2}, "no window holds an item; give rate=1 and per=4"),
    "no time": ({"rate": 1, "per": 0}, "per of Limit is 0; give seconds, above 0"),
    "a text as time": ({"rate": 1, "per": "1"}, "per of Limit is '1'"),
    "no burst": ({"rate": 1, "burst": 0}, "burst of Limit is 0; give a number of units, above 0"),
    "a burst alone": ({"concurrency": 1, "burst": 2}, "burst of Limit belongs to a rate"),
    "a cost alone": ({"concurrency": 1, "cost": len}, "cost of Limit belongs to a rate"),
    "no attempts": ({"concurrency": 0}, "concurrency of Limit is 0; give a number of attempts, 1"),
    "half an attempt": ({"concurrency": 1.5}, "concurrency of Limit is 1.5"),
    "True as attempts": ({"concurrency": True}, "concurrency of Limit is True"),
    "the class": ({"concurrency": Adaptive}, "give a number of attempts, 1 or more, or Adaptive()"),
    "a key": ({"rate": 1, "key": "host"}, "key of Limit is 'host'; give a function"),
    "a number as cost": ({"rate": 1, "cost": 5}, "cost of Limit is 5; give a function"),
    "an empty name": ({"rate": 1, "name": ""}, "name of Limit is ''; give a text that is not"),
    "a number as name": ({"rate": 1, "name": 5}, "name of Limit is 5"),
}


@pytest.mark.parametrize("case", LIMITS)
def test_a_limit_refuses_what_it_cannot_keep(case: str) -> None:
    fields, text = LIMITS[case]
    with pytest.raises(ValueError, match="Limit") as caught:
        Limit(**fields)
    assert text in str(caught.value)


@pytest.mark.parametrize(
    ("bounds", "text"),
    [
        ((0,), "minimum of Adaptive is 0; give a whole number, 1 or more"),
        ((1.5,), "minimum of Adaptive is 1.5"),
        ((True,), "minimum of Adaptive is True"),
        ((1, None), "maximum of Adaptive is None"),
        ((5, 4), "maximum of Adaptive is 4, below its minimum 5"),
    ],
    ids=str,
)
def test_adaptive_refuses_what_is_no_range(bounds: tuple[Any, ...], text: str) -> None:
    with pytest.raises(ValueError, match="Adaptive") as caught:
        Adaptive(*bounds)
    assert text in str(caught.value)


def test_a_limit_shows_what_it_was_made_of_and_does_not_change() -> None:
    limit = Limit(rate=5, per=2, concurrency=Adaptive(2, 4), key=host, name="api")
    assert repr(limit) == (
        "Limit(rate=5, per=2, concurrency=Adaptive(minimum=2, maximum=4), key=host, name='api')"
    )
    assert (limit.rate, limit.per, limit.burst, limit.concurrency) == (5, 2, None, Adaptive(2, 4))
    assert (limit.key, limit.cost, limit.name) == (host, None, "api")
    assert repr(Limit(concurrency=3)) == "Limit(concurrency=3)"
    with pytest.raises(AttributeError):
        limit.rate = 6  # type: ignore[misc]


ONE = Limit(rate=1)
STAGES: dict[str, tuple[dict[str, Any], str]] = {
    "one limit": ({"limits": ONE}, "takes a list of limits, not Limit(rate=1, per=1.0); give limi"),
    "none": ({"limits": None}, "takes a list of limits, not None"),
    "a number": ({"limits": [5]}, "has 5 among its limits; give a Limit"),
    "a class": ({"limits": [Limit]}, "among its limits; give a Limit"),
    "twice": ({"limits": [ONE, ONE]}, "has a limit twice; an item would take it twice"),
    "one name": (
        {"limits": [Limit(rate=1, name="a"), Limit(rate=2, name="a")]},
        "has two limits named 'a'; name each differently",
    ),
    "keys and pull": (
        {"limits": [Limit(rate=1, key=host)], "pull": True},
        "leave out pull or key",
    ),
}


@pytest.mark.parametrize("case", STAGES)
def test_a_stage_refuses_limits_that_it_cannot_keep(case: str) -> None:
    fields, text = STAGES[case]
    with pytest.raises(StageValidationError) as caught:
        Pipeline([stage(same, name="First"), stage(same, **fields)])
    assert text in str(caught.value)
    assert "Stage 'Work'" in str(caught.value)


FUNCTIONS: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "a list as key": ({"key": lambda value: [value]}, TypeError, "key of limit 'api' returned [7]"),
    "an async key": ({"key": later}, TypeError, "key of limit 'api' returned <coroutine"),
    "a key that raises": ({"key": lambda value: value.host}, AttributeError, "host"),
    "a text as cost": ({"cost": str}, ValueError, "cost of limit 'api' returned '7'"),
    "a cost below 0": ({"cost": lambda value: -1}, ValueError, "return a number of units, 0 or"),
    "nan as cost": ({"cost": lambda value: float("nan")}, ValueError, "returned nan"),
    "a high cost": (
        {"cost": lambda value: 6},
        ValueError,
        "costs 6 units, and limit 'api' allows 5",
    ),
    "a cost that raises": ({"cost": lambda value: value["n"]}, TypeError, "subscriptable"),
}


@pytest.mark.parametrize("watched", [False, True])
@pytest.mark.parametrize("mode", ["per_task", "per_stage"])
@pytest.mark.parametrize("case", FUNCTIONS)
@simulated()
async def test_an_error_of_key_or_cost_is_the_failure_of_its_item(
    case: str, mode: Any, watched: bool
) -> None:
    fields, error, text = FUNCTIONS[case]

    def only_at_7(name: str) -> Callable[[Any], Any]:
        usual = {"key": None, "cost": 1}[name]
        return lambda value: fields[name](value) if value == 7 else usual

    functions: dict[str, Any] = {name: only_at_7(name) for name in fields}
    limit = Limit(rate=5, burst=5, name="api", **functions)
    failed: list[Any] = []
    callbacks: dict[str, Any] = {"on_failure": lambda id_, error, item: failed.append(id_)}
    options = {"task_attempts": 3, "stage_attempts": 3, "retry": mode, "limits": [limit]}
    pipeline = Pipeline([stage(same, **options, **(callbacks if watched else {}))])
    await pipeline.run([6, 7, 8])
    assert (values(pipeline.results), values(pipeline.failures)) == ([6, 8], [7])
    raised = only_error(pipeline)
    assert type(raised) is error
    assert text in str(raised)
    assert pipeline.get_stats().stage_stats["Work"].retried_attempts == 0
    assert failed == ([1] if watched else [])
    assert (limit.stats().in_use, limit.stats().waiting) == (0, 0)


@simulated()
async def test_correct_and_pause_refuse_what_makes_no_sense() -> None:
    limit, calls = Limit(rate=5, name="api"), Limit(concurrency=1)
    for units in (-1, "1", None, True, Fraction(5), float("nan"), float("inf")):
        with pytest.raises(
            ValueError, match=r"correct\(\) of limit 'api' got .*; give an int or float"
        ):
            limit.correct(units)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match=r"pause\(\) of limit 'api' got .*; give seconds, 0"):
            limit.pause(units)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="got key='a', and the limit has no keys; leave it out"):
        limit.pause(1, key="a")
    by_host = Limit(concurrency=1, key=str)
    with pytest.raises(ValueError, match=r"key=None, .* not limited; leave it out to pause all"):
        by_host.pause(1, key=None)
    with pytest.raises(ValueError, match=r"key=\['a'\], which cannot be a key of a dict; give"):
        by_host.pause(1, key=["a"])  # type: ignore[arg-type]
    assert by_host.stats().keys == 0
    with pytest.raises(RuntimeError, match=r"called for the limit, which has no rate"):
        calls.correct(1)
    with pytest.raises(RuntimeError, match=r"outside of a task of a stage with this limit; give"):
        limit.correct(1)


@simulated()
async def test_a_task_corrects_the_limits_of_its_own_stage_alone() -> None:
    mine, other = Limit(rate=5, burst=5, key=lambda value: None), Limit(rate=5)

    async def task(value: int) -> None:
        mine.correct(2)  # which does not bound the item
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match=r"give the limit to the stage: Stage\(limits="):
            other.correct(2)

    pipeline = Pipeline([stage(task, limits=[mine]), stage(same, name="Last", limits=[other])])
    await pipeline.run([1])
    assert not pipeline.failures


@simulated()
async def test_limits_without_names_are_numbered() -> None:
    names: list[str] = []

    async def task(value: int) -> None:
        names.extend(current_limits())
        with pytest.raises(TypeError):
            current_limits()["more"] = limits[0]  # type: ignore[index]

    limits = [Limit(rate=1), Limit(rate=1, name="limit-2"), Limit(rate=1), Limit(rate=1, name="x")]
    pipeline = Pipeline([stage(task, limits=limits)])
    await pipeline.run([1])
    assert names == ["limit", "limit-2", "limit-3", "x"]
    assert [*pipeline.get_stats().stage_stats["Work"].limits] == names
    assert current_limits() == {}


@pytest.mark.parametrize(
    ("limits", "text"),
    [
        (
            [Limit(rate=9, name="a"), Limit(rate=9)],
            "has no limit of this name; its limits are 'a', 'limit'",
        ),
        ([], "has no limits; give it some"),
    ],
    ids=["of others", "without limits"],
)
@simulated()
async def test_a_pause_of_an_unknown_limit_is_an_error(limits: list[Limit], text: str) -> None:
    async def task(value: int) -> None:
        raise RetryAfter(1, pause="unknown")

    pipeline = Pipeline([stage(task, limits=limits)])
    await pipeline.run([1])
    error = only_error(pipeline)
    assert isinstance(error, ValueError)
    assert isinstance(error.__cause__, RetryAfter)
    assert f"RetryAfter has pause='unknown', and stage 'Work' {text}" in str(error)


@pytest.mark.parametrize("pause", [1, None, 2.5])
def test_retry_after_refuses_a_pause_that_is_no_name(pause: Any) -> None:
    with pytest.raises(TypeError, match=r"pause of RetryAfter is .*; give True, or the name"):
        RetryAfter(1, pause=pause)


@pytest.mark.parametrize("pause", [True, "api"])
@simulated()
async def test_a_pause_without_limits_or_keys_to_pause_pauses_nothing(pause: Any) -> None:
    async def task(value: int) -> int:
        if value == 1:
            raise RetryAfter(1000, pause=pause)
        return value

    limit = Limit(rate=5, burst=5, key=lambda value: None, name="api")
    pipeline = Pipeline([stage(task, limits=[limit])])
    await pipeline.run([1, 2])
    assert values(pipeline.results) == [2]
