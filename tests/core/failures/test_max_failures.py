"""`max_failures`: when a run stops, what its error has, and what the other calls do."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from math import inf, nan
from typing import Any

import pytest

from antflow import Pipeline, PipelineError, Stage, StatusTracker, TooManyFailuresError
from tests.helpers.failure_log import warning
from tests.helpers.runs import (
    Counted,
    by_process,
    by_run,
    by_stream,
    fail,
    raised_by,
    refuse_odd,
    same,
    stage,
    start_with,
    values,
    watched_or_not,
)
from tests.helpers.simulated import simulated
from tests.helpers.virtual_time import Gate, begun, others, simulate


def limited(most: float | None, *stages: Stage, **fields: Any) -> Pipeline:
    return Pipeline(stages or [stage(refuse_odd)], max_failures=most, **fields)


async def run_again(pipeline: Pipeline, items: Any) -> list[Any]:
    """Check that a pipeline that has stopped runs again."""
    await pipeline.feed(items)
    await pipeline.start()
    await pipeline.join()
    return values(pipeline.results)


@pytest.mark.parametrize("most", [True, False, -1, -0.5, nan, inf, 1.0, 1.5, 0.0, "3", [1]])
def test_a_limit_is_a_whole_number_or_a_share_below_1(most: Any) -> None:
    builder = Pipeline.create(name="crawl").add("Work", same).with_max_failures(most)
    for make in (builder.build, lambda: limited(most, name="crawl")):
        with pytest.raises(PipelineError) as caught:
            make()
        for word in ("'crawl'", f"max_failures of pipeline 'crawl' is {most!r}", "such as 0.1"):
            assert word in str(caught.value)


@watched_or_not
@pytest.mark.parametrize(
    ("most", "items", "stops_at"),
    [
        (None, [1] * 9, None),
        (0, [0, 2], None),
        (0, [0, 1, 2], (1, 2)),
        (2, [1, 1, 0], None),
        (2, [1, 1, 1], (3, 3)),
        (2, [1] * 999, (3, 3)),
        (0.5, [], None),
        (0.5, [1, 0], None),
        (0.5, [1, 1, 0], (2, 3)),  # at the end
        (0.29, [1] * 29 + [0] * 71, None),
        (0.5, [1] * 60 + [0] * 900, (60, 100)),  # at the hundredth item, a success
        (0.5, [1] * 50 + [0] * 900, None),
        (0.5, [0] * 100 + [1] * 101, (101, 201)),
        (0.1, [0] * 100 + [1] * 11 + [0] * 900, None),
        (0.1, [0] * 100 + [1] * 12 + [0] * 900, (12, 112)),
        (0.1, [0] * 100 + [1] * 900, (12, 112)),
    ],
)
@simulated()
async def test_a_run_stops_at_the_item_with_which_more_have_failed_than_may(
    most: float | None, items: list[int], stops_at: tuple[int, int] | None, watched: bool
) -> None:
    pipeline = limited(most, status_tracker=StatusTracker() if watched else None)
    error = await raised_by(pipeline.run(items))
    assert not others()
    stats = pipeline.get_stats()
    assert stats.items_outstanding == 0
    ended = stats.items_processed + stats.items_failed
    if stops_at is None:
        assert error is None
        assert ended == len(items)
        return
    assert isinstance(error, TooManyFailuresError)
    assert (stats.items_failed, ended) == stops_at
    assert values(error.results) == values(pipeline.results)
    assert values(error.failures) == values(pipeline.failures)
    assert values(error.unprocessed) == values(pipeline.unprocessed)
    assert ended + len(error.unprocessed) == stats.items_fed
    assert f"max_failures={most} was exceeded" in str(error)
    assert f"{stats.items_failed} of {stats.items_fed} items failed: Val" in str(error)


@simulated()
async def test_an_endless_input_is_read_no_further() -> None:
    items = Counted()
    with pytest.raises(TooManyFailuresError):
        await limited(0).run(items)
    assert items.read < 50


@simulated()
async def test_attempts_that_run_end_and_may_feed_the_pipeline() -> None:
    gate = Gate()

    async def crawl(value: str) -> str:
        if value == "bad":
            raise ValueError(value)
        await gate(value)
        await pipeline.feed(["found"])
        return value

    pipeline = limited(0, stage(crawl, workers=2))
    run = await begun(pipeline.run(["slow", "bad", "left"]))
    gate.open()
    error = await raised_by(run)
    assert isinstance(error, TooManyFailuresError)
    assert values(error.results) == ["slow"]
    assert values(error.unprocessed) == ["left", "found"]


@simulated()
async def test_a_stream_raises_after_its_last_result() -> None:
    pipeline = limited(1)
    stream = pipeline.stream([0, 1, 2, 3, 5, 7])
    got = [await anext(stream) for _ in range(4)]
    assert [result.outcome for result in got] == ["succeeded", "failed"] * 2
    with pytest.raises(TooManyFailuresError) as caught:
        await anext(stream)
    assert values(caught.value.unprocessed) == [5, 7]
    assert "2 of 6 items failed: ValueError x2 in Work: 1 is odd" in str(caught.value)
    assert not others()
    assert await run_again(pipeline, [2]) == [2]


@simulated()
async def test_every_call_raises_until_join_has_raised() -> None:
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
    assert await run_again(pipeline, [4]) == [4]


@simulated()
async def test_calls_that_wait_raise_too() -> None:
    gate = Gate()

    async def work(value: Any) -> Any:
        await gate(value)
        return await fail(value)

    pipeline = limited(0, stage(work, queue_capacity=1))
    await pipeline.start()
    calls = [await begun(pipeline.feed(range(9))), await begun(pipeline.process(9))]
    gate.open()
    feeding, processing = [await raised_by(call) for call in calls]
    assert isinstance(feeding, TooManyFailuresError)
    assert isinstance(processing, TooManyFailuresError)
    assert "the value read last was not fed" in str(feeding)
    assert values(feeding.unprocessed) == values(pipeline.unprocessed)
    assert isinstance(await raised_by(pipeline.join()), TooManyFailuresError)
    assert not others()


@simulated()
async def test_shutdown_returns_the_items_that_remain_to_be_fed_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    pipeline = limited(0)
    await start_with(pipeline, [1, 2, 4])
    assert warning(caplog).startswith("1 of 3 items failed: ValueError x1 in Work: 1 is odd (")
    left = await pipeline.shutdown()
    assert values(left) == [2, 4]
    assert await run_again(pipeline, left) == [2, 4]


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
def test_the_error_names_its_attributes_that_have_items(
    way: Callable[[Pipeline, Any], Awaitable[Any]],
    items: list[int],
    named: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        with pytest.raises(TooManyFailuresError) as caught:
            await way(limited(0), items)
        assert str(caught.value).partition(")")[2] == named
        assert bool(caught.value.failures) == (".failures" in named)

    simulate(main)
    assert ("item was returned unprocessed" in caplog.text) is (".unprocessed" in named)
    assert "discarded" not in caplog.text
