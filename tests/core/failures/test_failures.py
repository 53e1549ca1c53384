"""Failed items: the warning about them, errors that are not retried, and raising failures."""

from __future__ import annotations

import asyncio
import pickle
import re
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from antflow import (
    ItemDroppedError,
    ItemsFailedError,
    Pipeline,
    PipelineError,
    StatusTracker,
    TaskFailedError,
    TooManyFailuresError,
    exceptions,
)
from tests.helpers.failure_log import warning, warnings
from tests.helpers.runs import (
    Use,
    by_feed,
    by_process,
    by_run,
    by_stream,
    fail,
    piped,
    raised_by,
    refuse_odd,
    same,
    stage,
    start_with,
    values,
    watched_or_not,
)
from tests.helpers.simulated import simulated
from tests.helpers.virtual_time import begun, others, simulate

RETRIES: dict[str, dict[str, Any]] = {
    "per_task": {"task_attempts": 3, "task_wait_seconds": 1},
    "per_stage": {"retry": "per_stage", "stage_attempts": 3},
}
either_retry = pytest.mark.parametrize("retry", RETRIES)


async def misspelt(value: Any) -> Any:
    return valeu  # type: ignore[name-defined] # noqa: F821


async def no_arguments() -> None:
    """A task that cannot be called with a value."""


async def raise_type_error(value: Any) -> Any:
    raise TypeError("not a number")


async def cancel_itself(value: Any) -> Any:
    raise asyncio.CancelledError


async def raise_it(error: BaseException) -> Any:
    raise error


# The warning


async def by_shutdown(pipeline: Pipeline, items: Any) -> list[Any]:
    await pipeline.start()
    await pipeline.feed(items)
    await pipeline.shutdown(drain=True)
    return values(pipeline.results)


async def by_leaving(pipeline: Pipeline, items: Any) -> list[Any]:
    async with pipeline:
        await start_with(pipeline, items)
    return values(pipeline.results)


async def by_returning(pipeline: Pipeline, items: Any) -> list[Any]:
    results = await pipeline.run(items, return_exceptions=True)
    return [result.value for result in results if result.is_success]


async def by_raising(pipeline: Pipeline, items: Any) -> list[Any]:
    with pytest.raises(ItemsFailedError):
        await pipeline.run(items, raise_failures=True)
    return values(pipeline.results)


async def cancelled(pipeline: Pipeline, items: Any) -> list[Any]:
    reader = asyncio.Event()

    async def endless() -> Any:
        for item in items:
            yield item
        await reader.wait()

    run = await begun(pipeline.run(endless()))
    run.cancel()
    assert isinstance(await raised_by(run), asyncio.CancelledError)
    return values(pipeline.results)


LOGGED = [by_run, by_feed, by_shutdown, by_leaving, cancelled]


@watched_or_not
@pytest.mark.parametrize("way", [*LOGGED, by_stream, by_process, by_returning, by_raising])
def test_one_warning_says_what_failed_unless_the_caller_got_the_failures(
    way: Use, watched: bool, caplog: pytest.LogCaptureFixture
) -> None:
    pipeline = piped(stage(refuse_odd), watched=watched)
    assert simulate(lambda: way(pipeline, range(5))) == [0, 2, 4]
    expected = (
        r"2 of 5 items failed: ValueError x2 in Work: 1 is odd \(item 1, runs\.py:\d+\); "
        r"see pipeline\.failures"
    )
    if way in LOGGED:
        assert re.fullmatch(expected, warning(caplog))
    else:
        assert warnings(caplog) == []


def test_each_run_warns_of_its_own_failures(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        pipeline = piped(stage(refuse_odd))
        for items in [1], [2], [1, 2, 3]:
            await pipeline.run(items)

    simulate(main)
    assert [text.partition(":")[0] for text in warnings(caplog)] == [
        *("1 of 1 item failed", "2 of 3 items failed")
    ]


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"collect_results": False}, "1 of 1 item failed: ValueError x1 in Work: 1 fails (item 0,"),
        ({"name": "crawl"}, "Pipeline 'crawl': 1 of 1 item failed: "),
    ],
)
def test_failures_that_no_result_shows_are_logged_with_the_name_of_the_pipeline(
    fields: dict[str, Any], text: str, caplog: pytest.LogCaptureFixture
) -> None:
    returns = not fields.get("collect_results", True)
    simulate(lambda: Pipeline([stage(fail)], **fields).run([1], return_exceptions=returns))
    assert warning(caplog).startswith(text)


def test_all_kinds_are_counted_the_most_frequent_first(caplog: pytest.LogCaptureFixture) -> None:
    async def each_its_own(value: int) -> Any:
        raise type(f"Error{value % 30}", (Exception,), {})("no")

    work = stage(each_its_own, skip_if=lambda value: value == 6)
    simulate(lambda: piped(work, stage(fail, name="Last")).run([*range(30), 9, 39, 8]))
    _, *kinds = re.split(r": (?=Error)|; ", warning(caplog))
    assert all(f"Error{number} x1 in Work: no (item " in kinds[number] for number in range(5))
    assert kinds[5:8] == ["Error9 x3 in Work", "Error8 x2 in Work", "Error5 x1 in Work"]
    assert "ValueError x1 in Last" in kinds
    assert kinds[25:] == ["and 5 items failed with other errors", "see pipeline.failures"]


def test_memory_and_text_are_bounded(caplog: pytest.LogCaptureFixture) -> None:
    async def each_its_own(value: int) -> Any:
        raise type(f"Error{value}", (Exception,), {})

    simulate(lambda: piped(stage(each_its_own)).run(range(1100)))
    assert warning(caplog).endswith("1075 items failed with other errors; see pipeline.failures")
    assert warning(caplog).startswith("1100 of 1100 items failed: Error0 x1 in Work (item 0, test_")


class Unspeakable:
    def __repr__(self) -> str:
        raise RuntimeError("no text")


class UnspeakableError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


@pytest.mark.parametrize(
    ("item_id", "error", "said"),
    [
        ("a\nb", ValueError("x"), "ValueError x1 in Work: x (item 'a\\nb', test_failures.py:"),
        (0, ValueError("a\n\x1b[31mb\u202e"), "x1 in Work: a \\x1b[31mb\\u202e (item 0, test_"),
        (0, ValueError("\udcff%s"), "x1 in Work: \\udcff%s (item 0, test_"),
        (0, ValueError("x" * 9999), f"x1 in Work: {'x' * 197}... (item 0, test_"),
        ("x" * 9999, ValueError(), f"x1 in Work (item '{'x' * 56}..., test_"),
        (0, ValueError(), "ValueError x1 in Work (item 0, test_"),
        (Unspeakable(), ValueError("x"), "x1 in Work: x (item (of type Unspeakable), test_"),
        (0, UnspeakableError(), "x1 in Work: (no text: RuntimeError in __str__) (item 0, test_"),
        (0, type("Odd\x1b", (Exception,), {})(), "Odd\\x1b x1 in Work (item 0, test_"),
    ],
)
def test_control_characters_and_long_or_broken_texts_are_replaced(
    item_id: Any, error: Exception, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    simulate(lambda: piped(stage(raise_it)).run([{"id": item_id, "value": error}]))
    assert said in warning(caplog)
    assert warning(caplog).isprintable()


@either_retry
@pytest.mark.parametrize(
    ("task", "attempts"), [(misspelt, 4), (no_arguments, 4), (raise_type_error, None), (fail, None)]
)
def test_attempts_that_could_not_help_name_the_remedy(
    task: Callable[..., Any], attempts: int | None, retry: str, caplog: pytest.LogCaptureFixture
) -> None:
    simulate(lambda: piped(stage(task, **RETRIES[retry])).run([1, 2]))
    _, _, advice = warning(caplog).partition("; see pipeline.failures")
    if attempts is None:
        assert advice == ""
    else:
        assert advice == (
            f". {attempts} attempts were spent on errors that no retry cures; give stage 'Work' "
            "never_retry=(NameError, TypeError)"
        )


# Errors that are not retried


@either_retry
@pytest.mark.parametrize(
    ("never", "attempts"),
    [
        ((), 3),
        ((NameError, TypeError), 1),
        (NameError, 1),
        (Exception, 1),
        (TypeError, 3),
        (UnboundLocalError, 3),
    ],
)
@simulated()
async def test_an_error_that_no_retry_cures_is_a_failure_at_once(
    never: Any, attempts: int, retry: str
) -> None:
    tracker = StatusTracker()
    stages = [stage(misspelt, never_retry=never, **RETRIES[retry])]
    pipeline = Pipeline(stages, status_tracker=tracker)
    await pipeline.run([1])
    assert [failure.attempts for failure in pipeline.failures] == [attempts]
    assert [item.attempts for item in tracker.get_failed_items()] == [attempts]
    assert pipeline.get_stats().stage_stats["Work"].retried_attempts == attempts - 1


# Results


@pytest.mark.parametrize("task", [fail, no_arguments])
def test_an_error_does_not_grow_as_it_is_unwrapped(task: Callable[..., Any]) -> None:
    pipeline = piped(stage(task))
    simulate(lambda: pipeline.run([1]))
    (failure,) = pipeline.failures
    location = failure.location
    lengths = []
    for _ in range(3):
        with pytest.raises(Exception) as caught:  # noqa: PT011 - each task has its own
            failure.unwrap()
        lengths.append(len(caught.traceback))
    assert lengths[0] == lengths[2]
    assert failure.location == location


@simulated()
async def test_a_cancelled_error_is_the_cause_of_what_is_raised() -> None:
    pipeline = piped(stage(cancel_itself))
    await pipeline.run([1])
    (failure,) = pipeline.failures
    assert failure.outcome == "failed"
    with pytest.raises(TaskFailedError) as caught:
        failure.unwrap()
    assert caught.value.__cause__ is failure.error is caught.value.original_exception
    assert caught.value.task_name == "Work"
    assert str(caught.value) == "Task 'Work' failed: CancelledError()"


# raise_failures


RAISING: list[Callable[[Any], Awaitable[Any]]] = [
    lambda items: piped(stage(refuse_odd)).run(items, raise_failures=True),
    lambda items: (
        Pipeline.create().add("Work", refuse_odd, retries=1).run(items, raise_failures=True)
    ),
    lambda items: Pipeline.quick(items, refuse_odd, retries=1, raise_failures=True),
]


@pytest.mark.parametrize("run", RAISING, ids=["run", "builder", "quick"])
@simulated()
async def test_failures_are_raised_once_all_items_have_ended(
    run: Callable[[Any], Awaitable[Any]],
) -> None:
    assert values(await run([0, 2])) == [0, 2]
    with pytest.raises(ItemsFailedError) as caught:
        await run(range(5))
    error = caught.value
    assert isinstance(error, ExceptionGroup)
    assert isinstance(error, PipelineError)
    assert [str(each) for each in error.exceptions] == ["1 is odd", "3 is odd"]
    assert values(error.results) == [0, 2, 4]
    assert values(error.failures) == [1, 3]
    assert "2 of 5 items failed: ValueError x2 in" in str(error)
    assert not others()


@simulated()
async def test_at_most_a_hundred_errors_are_raised_and_a_cancelled_one_as_a_cause() -> None:
    pipeline = piped(stage(raise_it))
    errors = [asyncio.CancelledError(), *map(ValueError, range(149))]
    with pytest.raises(ItemsFailedError) as caught:
        await pipeline.run(errors, raise_failures=True)
    first, *others = caught.value.exceptions
    assert isinstance(first, TaskFailedError)
    assert first.__cause__ is errors[0]
    assert others == errors[1:100]
    assert len(caught.value.failures) == 150


def test_a_part_of_the_group_keeps_results_and_failures() -> None:
    error = ItemsFailedError(
        "text", [ValueError(1), KeyError(2)], results=["r"], failures=["f", "g"]
    )
    matching, rest = error.split(ValueError)
    for part in (matching, rest, error.subgroup(KeyError)):
        assert isinstance(part, ItemsFailedError)
        assert (part.results, part.failures) == (["r"], ["f", "g"])
    caught: list[BaseExceptionGroup[Exception]] = []
    try:
        raise error
    except* KeyError as part:
        caught.append(part)
    except* ValueError as part:
        caught.append(part)
    assert [type(part) for part in caught] == [ItemsFailedError] * 2


@pytest.mark.parametrize(
    "error",
    [
        ItemsFailedError("text", [ValueError(1)], results=["r"], failures=["f"]),
        TooManyFailuresError("text", results=[1], failures=[2], unprocessed=[3]),
        ItemDroppedError("text", reason="duplicate"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_keeps_its_attributes_through_pickle(error: Exception) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), vars(again)) == (type(error), str(error), vars(error))


def test_the_tree_of_errors_in_the_docstring_has_each_of_them() -> None:
    drawn = set(re.findall(r"(?m)^[│ ├└─]*(\w+(?:Error|Warning))\b", exceptions.__doc__ or ""))
    assert drawn == {name for name in vars(exceptions) if name.endswith(("Error", "Warning"))}


def test_failures_cannot_be_both_returned_and_raised() -> None:
    pipeline = piped(stage(same))
    with pytest.raises(ValueError, match="Cannot use both return_exceptions"):
        simulate(lambda: pipeline.run([1], return_exceptions=True, raise_failures=True))


def test_an_error_of_the_input_is_raised_rather_than_the_failures() -> None:
    def broken() -> Any:
        yield 1
        raise LookupError("the input broke")

    with pytest.raises(LookupError):
        simulate(lambda: piped(stage(fail)).run(broken(), raise_failures=True))


# Texts


@simulated()
async def test_a_summary_counts_locations() -> None:
    tracker = StatusTracker()
    stages = stage(refuse_odd), stage(misspelt, name="Last")
    pipeline = Pipeline(stages, status_tracker=tracker)
    await pipeline.run(range(5))
    for text in map(str, (pipeline.get_error_summary(), tracker.get_error_summary())):
        lines = text.splitlines()
        assert lines[0] == "5 failed items"
        assert {"  ValueError: 2", "  NameError: 3", "  Work: 2", "  Last: 3"} < set(lines)
        where = [line.strip() for line in lines[lines.index("By location:") + 1 :]]
        assert re.fullmatch(r"test_failures\.py:\d+, in misspelt: 3", where[0])
        assert re.fullmatch(r"runs\.py:\d+, in refuse_odd: 2", where[1])


@simulated()
async def test_a_summary_counts_the_five_most_frequent_locations() -> None:
    scope: dict[str, Any] = {}
    lines = [f"    if value == {number}: return x" for number in range(7)]
    source = "\n".join(["async def many(value):", *lines])
    exec(compile(source, "/home/many.py", "exec"), scope)
    pipeline = piped(stage(scope["many"]))
    await pipeline.run([*range(7), 6])
    assert str(pipeline.get_error_summary()).splitlines()[-7:] == [
        "By location:",
        "  many.py:8, in many: 2",
        *(f"  many.py:{line}, in many: 1" for line in (2, 3, 4, 5)),
        "  (2 more)",
    ]
