"""Failures that speak: what a run says of failed items, and when they raise an error."""

from __future__ import annotations

import asyncio
import copy
import logging
import pickle
import re
from collections.abc import Awaitable, Callable
from dataclasses import replace
from math import inf, nan
from typing import Any

import pytest

from antflow import (
    ItemDroppedError,
    ItemsFailedError,
    Pipeline,
    PipelineError,
    PipelineResult,
    Stage,
    StageValidationError,
    StatusTracker,
    TaskFailedError,
    TooManyFailuresError,
)
from tests.helpers.runs import (
    Counted,
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
from tests.helpers.virtual_time import Gate, begun, others, simulate

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


def warning(caplog: pytest.LogCaptureFixture) -> str:
    """Return the one warning of failed items."""
    (record,) = (record for record in caplog.records if record.name == "antflow")
    assert record.levelno == logging.WARNING
    return record.getMessage()


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "antflow"]


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


@watched_or_not
@pytest.mark.parametrize(
    ("way", "is_logged"),
    [
        (by_run, True),
        (by_feed, True),
        (by_shutdown, True),
        (by_leaving, True),
        (cancelled, True),
        (by_stream, False),
        (by_process, False),
        (by_returning, False),
        (by_raising, False),
    ],
)
def test_one_warning_says_what_failed_unless_the_caller_got_the_failures(
    way: Callable[[Pipeline, Any], Awaitable[list[Any]]],
    is_logged: bool,
    watched: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        assert await way(piped(stage(refuse_odd), watched=watched), range(5)) == [0, 2, 4]

    simulate(main)
    expected = (
        r"2 of 5 items failed: ValueError x2 in Work: 1 is odd \(item 1, runs\.py:\d+\); "
        r"see pipeline\.failures"
    )
    if is_logged:
        assert re.fullmatch(expected, warning(caplog))
    else:
        assert warnings(caplog) == []


def test_without_failures_nothing_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    simulate(lambda: piped(stage(same)).run([1, 2]))
    assert caplog.records == []


def test_each_run_warns_of_its_own_failures(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        pipeline = piped(stage(refuse_odd))
        for items in [1], [2], [1, 2, 3]:
            await pipeline.run(items)

    simulate(main)
    assert [text.partition(" items")[0] for text in warnings(caplog)] == [
        "1 of 1 item failed: ValueError x1 in Work: 1 is odd (item 0, runs.py:"
        + warnings(caplog)[0].rpartition(":")[2],
        "2 of 3",
    ]


def test_failures_that_could_not_be_returned_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    pipeline = piped(stage(fail), collect_results=False)
    assert simulate(lambda: pipeline.run([1], return_exceptions=True)) == []
    assert warning(caplog).startswith("1 of 1 item failed: ValueError x1 in Work: 1 fails (item 0,")


def test_a_named_pipeline_is_named(caplog: pytest.LogCaptureFixture) -> None:
    simulate(lambda: Pipeline([stage(fail)], name="crawl").run([1]))
    assert warning(caplog).startswith("Pipeline 'crawl': 1 of 1 item failed: ")


def test_kinds_are_stages_and_types_and_five_have_an_example(
    caplog: pytest.LogCaptureFixture,
) -> None:
    types = [type(f"Error{number}", (Exception,), {}) for number in range(7)]

    async def first(value: Any) -> Any:
        if value % 2:
            raise types[value % 3]("early")
        return value

    async def second(value: Any) -> Any:
        raise types[3 + value % 4](f"late {value}")

    simulate(lambda: piped(stage(first), stage(second, name="Last")).run(range(24)))
    said, *kinds = re.split(r": (?=Error)|; ", warning(caplog))
    assert said == "24 of 24 items failed"
    assert any(kind.startswith("Error0 x4 in Work: early (item ") for kind in kinds)
    assert [" (item " in kind for kind in kinds] == [True] * 5 + [False]
    assert kinds[5] == "see pipeline.failures"


def test_all_kinds_are_counted_the_most_frequent_first(caplog: pytest.LogCaptureFixture) -> None:
    async def each_its_own(value: int) -> Any:
        raise type(f"Error{value % 30}", (Exception,), {})("no")

    simulate(lambda: piped(stage(each_its_own, workers=1)).run([*range(30), 9, 39, 8]))
    _, *kinds = re.split(r": (?=Error)|; ", warning(caplog))
    assert all(f"Error{number} x1 in Work: no (item " in kinds[number] for number in range(5))
    assert kinds[5:8] == ["Error9 x3 in Work", "Error8 x2 in Work", "Error5 x1 in Work"]
    assert kinds[25:] == ["and 5 items failed in other ways", "see pipeline.failures"]


def test_memory_and_text_are_bounded(caplog: pytest.LogCaptureFixture) -> None:
    async def each_its_own(value: int) -> Any:
        raise type(f"Error{value}", (Exception,), {})

    simulate(lambda: piped(stage(each_its_own)).run(range(1500)))
    assert warning(caplog).endswith("; and 1475 items failed in other ways; see pipeline.failures")
    assert warning(caplog).startswith("1500 of 1500 items failed: Error0 x1 in Work (item 0, test_")


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
def test_what_cannot_be_shown_is_made_harmless(
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
def test_an_error_that_no_retry_cures_is_a_failure_at_once(
    never: Any, attempts: int, retry: str
) -> None:
    async def main() -> None:
        tracker = StatusTracker()
        stages = [stage(misspelt, never_retry=never, **RETRIES[retry])]
        pipeline = Pipeline(stages, status_tracker=tracker)
        await pipeline.run([1])
        assert [failure.attempts for failure in pipeline.failures] == [attempts]
        assert [item.attempts for item in tracker.get_failed_items()] == [attempts]
        assert pipeline.get_stats().stage_stats["Work"].retried_attempts == attempts - 1

    simulate(main)


@pytest.mark.parametrize("never", ["NameError", NameError("x"), [NameError], (int,), None, (1,)])
def test_what_is_no_type_of_errors_is_refused(never: Any) -> None:
    with pytest.raises(StageValidationError) as caught:
        Pipeline([Stage("Fetch", 1, [same], never_retry=never)])
    for word in ("'Fetch'", f"never_retry={never!r}", "(NameError, TypeError)"):
        assert word in str(caught.value)


# Results


def result_of(**fields: Any) -> PipelineResult:
    return PipelineResult("a", 7, 0, **fields)


ENDS = [
    (result_of(), "succeeded", None),
    (result_of(metadata={"k": 1}), "succeeded", None),
    (result_of(error=ValueError("x")), "failed", ValueError),
    (result_of(error=SystemExit(2)), "failed", SystemExit),
    (result_of(error=asyncio.CancelledError(), stage="Work"), "failed", TaskFailedError),
    (result_of(outcome="dropped", reason="duplicate"), "dropped", ItemDroppedError),
    (result_of(outcome="dropped"), "dropped", ItemDroppedError),
    (result_of(outcome="expanded"), "expanded", None),
]


@pytest.mark.parametrize(("result", "outcome", "error"), ENDS, ids=repr)
def test_a_result_has_an_outcome_and_is_unwrapped_accordingly(
    result: PipelineResult, outcome: str, error: type[BaseException] | None
) -> None:
    assert result.outcome == outcome
    assert result.is_success is (outcome == "succeeded")
    if error is None:
        assert result.unwrap() == 7
    else:
        with pytest.raises(error):
            result.unwrap()


def pickled(value: Any) -> Any:
    return pickle.loads(pickle.dumps(value))


@pytest.mark.parametrize("copied", [copy.copy, replace, pickled])
@pytest.mark.parametrize("result", [result for result, _, _ in ENDS], ids=repr)
def test_a_copy_has_the_same_outcome_and_reason(
    result: PipelineResult, copied: Callable[[PipelineResult], PipelineResult]
) -> None:
    other = copied(result)
    assert (other.outcome, other.reason) == (result.outcome, result.reason)


def test_a_failure_without_its_error_is_a_success() -> None:
    assert replace(result_of(error=ValueError()), error=None).outcome == "succeeded"


def test_a_dropped_item_says_why() -> None:
    with pytest.raises(ItemDroppedError, match="Item 'a' was dropped \\(duplicate\\)") as caught:
        result_of(outcome="dropped", reason="duplicate").unwrap()
    assert pickled(caught.value).reason == "duplicate"


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


def test_a_cancelled_error_is_the_cause_of_what_is_raised() -> None:
    async def main() -> None:
        pipeline = piped(stage(cancel_itself))
        await pipeline.run([1])
        (failure,) = pipeline.failures
        assert failure.outcome == "failed"
        with pytest.raises(TaskFailedError) as caught:
            failure.unwrap()
        assert caught.value.__cause__ is failure.error is caught.value.original_exception
        assert caught.value.task_name == "Work"

    simulate(main)


# raise_failures


async def run_it(pipeline: Pipeline, items: Any) -> Any:
    return await pipeline.run(items, raise_failures=True)


async def build_it(pipeline: Pipeline, items: Any) -> Any:
    builder = Pipeline.create().add("Work", refuse_odd, workers=1, retries=1)
    return await builder.run(items, raise_failures=True)


async def quick(pipeline: Pipeline, items: Any) -> Any:
    return await Pipeline.quick(items, refuse_odd, retries=1, raise_failures=True)


@pytest.mark.parametrize("way", [run_it, build_it, quick])
def test_failures_are_raised_once_all_items_have_ended(
    way: Callable[[Pipeline, Any], Awaitable[Any]],
) -> None:
    async def main() -> None:
        pipeline = piped(stage(refuse_odd))
        assert values(await way(pipeline, [0, 2])) == [0, 2]
        with pytest.raises(ItemsFailedError) as caught:
            await way(pipeline, range(5))
        error = caught.value
        assert isinstance(error, ExceptionGroup)
        assert isinstance(error, PipelineError)
        assert [str(each) for each in error.exceptions] == ["1 is odd", "3 is odd"]
        assert values(error.results) == [0, 2, 4]
        assert values(error.failures) == [1, 3]
        assert "2 of 5 items failed: ValueError x2 in" in str(error)
        assert not others()

    simulate(main)


def test_at_most_a_hundred_errors_are_raised_and_a_cancelled_one_as_a_cause() -> None:
    async def main() -> None:
        pipeline = piped(stage(raise_it))
        errors = [asyncio.CancelledError(), *map(ValueError, range(149))]
        with pytest.raises(ItemsFailedError) as caught:
            await pipeline.run(errors, raise_failures=True)
        first, *others = caught.value.exceptions
        assert isinstance(first, TaskFailedError)
        assert first.__cause__ is errors[0]
        assert others == errors[1:100]
        assert len(caught.value.failures) == 150

    simulate(main)


def test_a_part_of_the_group_keeps_results_and_failures() -> None:
    error = ItemsFailedError(
        "text", [ValueError(1), KeyError(2)], results=["r"], failures=["f", "g"]
    )
    matching, rest = error.split(ValueError)
    for part in (matching, rest, error.subgroup(KeyError), pickled(error)):
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


def test_failures_cannot_be_both_returned_and_raised() -> None:
    pipeline = piped(stage(same))
    with pytest.raises(ValueError, match="Cannot use both return_exceptions"):
        simulate(lambda: pipeline.run([1], return_exceptions=True, raise_failures=True))


def test_what_the_input_raised_comes_first() -> None:
    def broken() -> Any:
        yield 1
        raise LookupError("the input broke")

    with pytest.raises(LookupError):
        simulate(lambda: piped(stage(fail)).run(broken(), raise_failures=True))


# max_failures


@pytest.mark.parametrize("most", [True, False, -1, -0.5, nan, inf, 1.0, 1.5, 0.0, "3", [1]])
def test_what_is_no_limit_of_failures_is_refused(most: Any) -> None:
    builder = Pipeline.create(name="crawl").add("Work", same).with_max_failures(most)
    makes: list[Callable[[], Pipeline]] = [
        lambda: Pipeline([stage(same)], name="crawl", max_failures=most),
        builder.build,
    ]
    for make in makes:
        with pytest.raises(PipelineError) as caught:
            make()
        for word in ("'crawl'", f"max_failures of pipeline 'crawl' is {most!r}", "such as 0.1"):
            assert word in str(caught.value)


def limited(most: float | None, *stages: Stage, **fields: Any) -> Pipeline:
    return Pipeline(stages or [stage(refuse_odd)], max_failures=most, **fields)


def test_the_log_calls_what_the_error_holds_returned(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(TooManyFailuresError):
        simulate(lambda: limited(0).run([1, 2, 3]))
    assert "items were returned unprocessed" in caplog.text
    assert "discarded" not in caplog.text


@watched_or_not
@pytest.mark.parametrize(
    ("most", "items", "is_exceeded"),
    [
        (None, [1] * 9, False),
        (0, [0, 2], False),
        (0, [0, 1, 2], True),
        (2, [1, 1, 0], False),
        (2, [1, 1, 1], True),
        (0.5, [], False),
        (0.5, [1, 0], False),
        (0.5, [1, 1, 0], True),  # at the end
        (0.29, [1] * 29 + [0] * 71, False),
        (0.5, [1] * 60 + [0] * 900, True),  # at the hundredth item, a success
        (0.5, [1] * 50 + [0] * 900, False),
        (0.5, [0] * 100 + [1] * 101, True),
        (0.1, [0] * 100 + [1] * 11 + [0] * 900, False),
        (0.1, [0] * 100 + [1] * 12 + [0] * 900, True),
    ],
)
def test_a_run_stops_when_more_items_fail_than_may(
    most: float | None, items: list[int], is_exceeded: bool, watched: bool
) -> None:
    async def main() -> None:
        tracker = StatusTracker() if watched else None
        pipeline = limited(most, status_tracker=tracker)
        error = await raised_by(pipeline.run(items))
        assert isinstance(error, TooManyFailuresError) is is_exceeded
        assert not others()
        stats = pipeline.get_stats()
        assert stats.items_outstanding == 0
        ended = stats.items_processed + stats.items_failed
        if error is None:
            assert ended == len(items)
            return
        assert isinstance(error, TooManyFailuresError)
        assert values(error.results) == values(pipeline.results)
        assert values(error.failures) == values(pipeline.failures)
        assert values(error.unprocessed) == values(pipeline.unprocessed)
        assert ended + len(error.unprocessed) == stats.items_fed
        assert f"max_failures={most} was exceeded" in str(error)
        assert f"{stats.items_failed} of {stats.items_fed} items failed: Val" in str(error)

    simulate(main)


@pytest.mark.parametrize(
    ("most", "items", "failed", "ended"),
    [
        (2, [1] * 999, 3, 3),
        (0.5, [1] * 60 + [0] * 900, 60, 100),
        (0.1, [0] * 100 + [1] * 900, 12, 112),
    ],
)
def test_it_stops_at_that_item(most: float, items: list[int], failed: int, ended: int) -> None:
    async def main() -> None:
        pipeline = limited(most)
        with pytest.raises(TooManyFailuresError) as caught:
            await pipeline.run(items)
        assert len(caught.value.failures) == failed
        assert len(caught.value.failures) + len(caught.value.results) == ended

    simulate(main)


def test_an_endless_input_is_read_no_further() -> None:
    async def main() -> None:
        items = Counted()
        with pytest.raises(TooManyFailuresError):
            await limited(0).run(items)
        assert items.read < 50

    simulate(main)


def test_running_attempts_end_and_their_items_stand() -> None:
    async def main() -> None:
        gate = Gate()

        async def work(value: str) -> str:
            return await (fail if value == "bad" else gate)(value)  # type: ignore[no-any-return]

        pipeline = limited(0, stage(work, workers=2))
        run = await begun(pipeline.run(["slow", "bad", "left"]))
        gate.open()
        error = await raised_by(run)
        assert isinstance(error, TooManyFailuresError)
        assert values(error.results) == ["slow"]
        assert values(error.unprocessed) == ["left"]

    simulate(main)


def test_a_stream_raises_after_its_last_result() -> None:
    async def main() -> None:
        pipeline = limited(1)
        stream = pipeline.stream([0, 1, 2, 3, 5, 7])
        got = [await anext(stream) for _ in range(4)]
        assert [result.outcome for result in got] == ["succeeded", "failed"] * 2
        with pytest.raises(TooManyFailuresError) as caught:
            await anext(stream)
        assert values(caught.value.unprocessed) == [5, 7]
        assert "2 of 6 items failed: ValueError x2 in Work: 1 is odd" in str(caught.value)
        assert not others()
        await pipeline.feed([2])  # for the next run
        await pipeline.start()
        await pipeline.join()
        assert values(pipeline.results) == [2]

    simulate(main)


def test_join_and_what_comes_later_raise_until_the_end_is_reported() -> None:
    async def main() -> None:
        pipeline = limited(0)
        await pipeline.start()
        assert (await pipeline.process(2)).value == 2
        assert (await pipeline.process(1)).outcome == "failed"
        for call in (pipeline.feed, pipeline.feed, pipeline.process):
            with pytest.raises(TooManyFailuresError):
                await call([4])
        with pytest.raises(TooManyFailuresError) as caught:
            await pipeline.join()
        assert caught.value.unprocessed == []
        await pipeline.feed([4])
        await pipeline.start()
        await pipeline.join()
        assert values(pipeline.results) == [4]

    simulate(main)


def test_what_is_under_way_raises_too() -> None:
    async def main() -> None:
        gate = Gate()

        async def work(value: Any) -> Any:
            await gate(value)
            return await fail(value)

        pipeline = limited(0, stage(work, queue_capacity=1))
        await pipeline.start()
        calls = [await begun(pipeline.feed(range(9))), await begun(pipeline.process(9))]
        gate.open()
        raised = [await raised_by(call) for call in calls]
        assert [type(each) for each in raised] == [TooManyFailuresError] * 2
        assert "the value read last was not fed" in str(raised[0])
        assert isinstance(raised[0], TooManyFailuresError)
        assert values(raised[0].unprocessed) == values(pipeline.unprocessed)
        assert isinstance(await raised_by(pipeline.join()), TooManyFailuresError)
        assert not others()

    simulate(main)


def test_shutdown_returns_what_is_left_to_be_fed_again() -> None:
    async def main() -> None:
        pipeline = limited(0)
        await start_with(pipeline, [1, 2, 4])
        left = await pipeline.shutdown()
        assert values(left) == [2, 4]
        await pipeline.feed(left)
        await pipeline.start()
        await pipeline.join()
        assert values(pipeline.results) == [2, 4]

    simulate(main)


def test_a_task_may_feed_on_and_loses_nothing() -> None:
    async def main() -> None:
        gate = Gate()

        async def crawl(value: str) -> str:
            if value == "bad":
                raise ValueError(value)
            if value == "slow":
                await gate(value)
                await pipeline.feed(["found"])
            return value

        pipeline = limited(0, stage(crawl, workers=2))
        run = await begun(pipeline.run(["slow", "bad"]))
        gate.open()
        error = await raised_by(run)
        assert isinstance(error, TooManyFailuresError)
        assert values(error.results) == ["slow"]
        assert values(error.unprocessed) == ["found"]

    simulate(main)


def test_the_log_speaks_as_well(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        await start_with(limited(0), [1, 2])

    simulate(main)
    assert warning(caplog).startswith(
        "1 of 2 items failed: ValueError x1 in Work: 1 is odd (item 0"
    )


@pytest.mark.parametrize(
    ("way", "items", "named"),
    [
        (by_run, [1, 2], "; see .failures and .unprocessed of this error"),
        (by_run, [1], "; see .failures of this error"),
        (by_stream, [1, 2], "; see .unprocessed of this error"),
        (by_stream, [1], ""),
        (by_process, [1], ""),
    ],
)
def test_the_error_names_what_it_has(
    way: Callable[[Pipeline, Any], Awaitable[Any]], items: list[int], named: str
) -> None:
    async def main() -> None:
        with pytest.raises(TooManyFailuresError) as caught:
            await way(limited(0), items)
        assert str(caught.value).partition(")")[2] == named
        assert bool(caught.value.failures) == (".failures" in named)

    simulate(main)


def test_the_error_can_be_pickled() -> None:
    error = TooManyFailuresError("text", results=[1], failures=[2], unprocessed=[3])
    again = pickled(error)
    assert (str(again), again.results, again.failures, again.unprocessed) == ("text", [1], [2], [3])


# Texts


def test_a_summary_counts_locations() -> None:
    async def main() -> None:
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

    simulate(main)


def test_a_summary_counts_five_locations() -> None:
    scope: dict[str, Any] = {}
    lines = [f"    if value == {number}: return x" for number in range(7)]
    source = "\n".join(["async def many(value):", *lines])
    exec(compile(source, "/home/many.py", "exec"), scope)

    async def main() -> None:
        pipeline = piped(stage(scope["many"]))
        await pipeline.run([*range(7), 6])
        *_, title, first, second, third, fourth, fifth, rest = str(
            pipeline.get_error_summary()
        ).splitlines()
        assert title == "By location:"
        assert first == "  many.py:8, in many: 2"
        assert [second, third, fourth, fifth] == [
            f"  many.py:{line}, in many: 1" for line in (2, 3, 4, 5)
        ]
        assert rest == "  (2 more)"

    simulate(main)
