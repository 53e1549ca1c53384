"""Retries and time limits in spans and metrics."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from antflow import Backoff, GiveUp, RetryAfter
from tests.helpers.virtual_time import simulate
from tests.packages.otel.metering import Metered, stage
from tests.packages.otel.tracing import Traced


def test_what_waits_for_a_retry_and_what_was_given_up_is_collected() -> None:
    metered = Metered()

    async def work(value: int) -> None:
        if value == 0:
            await asyncio.sleep(1000)
        raise RetryAfter(30) if value == 1 else GiveUp(KeyError(value))

    async def main() -> None:
        one = metered.pipeline(stage(task=work, task_attempts=2, task_timeout=5, retry_wait=60))
        await one.start()
        await one.feed(range(4))
        await asyncio.sleep(10)
        states = metered.values("antflow.stage.item.count", "antflow.item.state")
        assert states == {"pending": 0, "in_progress": 0, "parked": 2}
        await one.join()

    simulate(main)
    assert metered.value("antflow.stage.item.count") == 0
    assert metered.value("antflow.stage.attempt.timed_out") == 2
    assert metered.value("antflow.stage.attempt.given_up") == 2


def test_the_delay_is_the_one_that_the_task_asked_for() -> None:
    traced = Traced()
    errors = [RetryAfter(30, KeyError()), OSError("busy"), GiveUp(LookupError("no such page"))]

    async def work(value: Any) -> Any:
        raise errors.pop(0)

    one = stage(task=work, task_attempts=9, retry_wait=Backoff(4, jitter=False))
    simulate(lambda: traced.pipeline(one).run([1]))
    spans = [span.attributes or {} for span in traced.named("Work work")]
    assert [each.get("antflow.attempt.delay") for each in spans] == [30, 8, None]
    assert [each["error.type"] for each in spans] == [
        *("antflow.exceptions.RetryAfter", "OSError", "LookupError"),
    ]
    assert [each["antflow.outcome"] for each in spans] == ["retried", "retried", "failed"]


@pytest.mark.parametrize(("limit", "count"), [("task_timeout", 2), ("item_timeout", 1)])
def test_an_attempt_that_took_too_long_is_an_error(limit: str, count: int) -> None:
    traced = Traced()

    async def hang(value: Any) -> Any:
        await asyncio.sleep(1000)

    options: Any = {limit: 5}
    one = stage(task=hang, task_attempts=2, retry_wait=3, **options)
    simulate(lambda: traced.pipeline(one).run([1]))
    spans = [span.attributes or {} for span in traced.named("Work hang")]
    kind = "AttemptTimeoutError" if limit == "task_timeout" else "ItemTimeoutError"
    assert [each["error.type"] for each in spans] == [f"antflow.exceptions.{kind}"] * count
    assert [each.get("antflow.attempt.delay") for each in spans] == [3, None][-count:]
