"""Limits in spans and metrics."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from antflow import Limit
from tests.helpers.virtual_time import Gate, settle, simulate
from tests.packages.otel.metering import Metered
from tests.packages.otel.tracing import Traced, attributes_of, same, stage

pytestmark = pytest.mark.usefixtures("no_complaints")


def test_what_waits_for_a_limit_is_collected() -> None:
    metered = Metered()

    async def main() -> None:
        tokens = Limit(concurrency=1, name="tokens")
        hosts = Limit(rate=1, per=100, key=lambda value: value % 2, name="hosts")
        one = metered.pipeline(stage(task=Gate(), limits=[tokens, hosts], workers=3))
        await one.start()
        await one.feed(range(5))
        await settle()
        tokens.pause(9)
        prefix = "antflow.stage.limit."
        shown = {
            name.removeprefix(prefix): metered.values(name, "antflow.limit.name")
            for name in metered.metrics()
            if name.startswith(prefix)
        }
        assert shown == {
            "item.waiting": {"tokens": 4, "hosts": 0},
            "attempt.count": {"tokens": 1, "hosts": 1},
            "concurrency": {"tokens": 1},
            "pause.count": {"tokens": 1, "hosts": 0},
            "key.count": {"hosts": 1},
        }
        await one.shutdown(timeout=0)

    simulate(main)
    assert metered.value("antflow.stage.limit.item.waiting") == 0


def waits_of(traced: Traced) -> list[tuple[str, int, str, float, float]]:
    """Return each event of a wait: its span, the attempt, the limit, the wait, the time before."""
    found: list[tuple[str, int, str, float, float]] = []
    for span in traced.spans:
        for event in span.events:
            if event.name == "antflow.limit.wait":
                attributes: Any = dict(event.attributes or {})
                wait = attributes.pop("antflow.limit.wait_duration")
                limit = attributes.pop("antflow.limit.name")
                assert not attributes
                before = ((span.start_time or 0) - event.timestamp) / 1e9
                number = int(attributes_of(span)["antflow.attempt.number"])
                found.append((span.name, number, limit, round(wait), round(before)))
    return found


@pytest.mark.parametrize("retry", ["per_task", "per_stage"])
def test_an_attempt_has_the_wait_for_a_limit_before_it(retry: str) -> None:
    """One starts every ten seconds; the second item's second task fails at first."""
    traced = Traced()
    errors = [None, ValueError()]

    async def work(value: int) -> int:
        await asyncio.sleep(1)
        return value

    async def check(value: int) -> int:
        if errors and (error := errors.pop(0)):
            raise error
        return value

    attempts: dict[str, Any] = (
        {"stage_attempts": 2} if retry == "per_stage" else {"task_attempts": 2}
    )
    one = stage(
        tasks=[work, check],
        limits=[Limit(rate=1, per=10, name="tokens\udcff")],
        retry=retry,
        **attempts,
        task_wait_seconds=0,
        retry_wait=0,
    )
    simulate(lambda: traced.pipeline(one, stage("Next", same)).run([1, 2]))
    again = "Work work" if retry == "per_stage" else "Work check"
    assert waits_of(traced) == [
        ("Work work", 1, "tokens\\udcff", 10, 10),
        (again, 2, "tokens\\udcff", 9, 9),
    ]


def test_an_attempt_that_waited_for_no_limit_has_no_event() -> None:
    traced = Traced()
    one = stage(limits=[Limit(concurrency=10)])
    simulate(lambda: traced.pipeline(one).run(range(3)))
    assert waits_of(traced) == []
