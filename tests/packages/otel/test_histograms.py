"""Records of items' waits and of attempts' durations."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import get_current_span

from tests.helpers.virtual_time import Gate, settle, simulate
from tests.packages.otel.metering import Metered, stage

DURATION = "antflow.task.attempt.duration"
WAIT = "antflow.stage.item.wait"


async def sleep_and_fail(value: int) -> int:
    await asyncio.sleep(2)
    if value:
        raise ValueError(value)
    return value


async def second(value: Any) -> Any:
    return value


def test_durations_are_those_of_the_attempts_in_seconds() -> None:
    metered = Metered()
    simulate(lambda: metered.pipeline(stage(task=sleep_and_fail)).run([0, 1, 0]))
    found = metered.points(DURATION)
    attributes = {
        "antflow.pipeline.name": "letters",
        "antflow.stage.name": "Work",
        "antflow.task.name": "sleep_and_fail",
    }
    failed = frozenset({**attributes, "error.type": "ValueError"}.items())
    counts = {series: point.count for series, point in found.items()}
    assert counts == {frozenset(attributes.items()): 2, failed: 1}
    for point in found.values():
        assert point.sum == pytest.approx(2 * point.count, abs=0.01)
        assert (point.explicit_bounds[0], point.explicit_bounds[-1]) == (0.001, 100)


@pytest.mark.parametrize(
    ("options", "items", "durations", "waits"),
    [
        # A retry of a task waits for no worker; one of the whole stage does.
        ({"task": sleep_and_fail, "task_attempts": 3}, [1], {"sleep_and_fail": 3}, 1),
        (
            {"task": sleep_and_fail, "retry": "per_stage", "stage_attempts": 3},
            [1],
            {"sleep_and_fail": 3},
            3,
        ),
        ({"tasks": [sleep_and_fail, second]}, [0, 0], {"sleep_and_fail": 2, "second": 2}, 2),
    ],
)
def test_each_attempt_has_a_duration_and_each_wait_in_front_of_the_stage_is_recorded(
    options: Any, items: list[int], durations: dict[str, int], waits: int
) -> None:
    metered = Metered()
    pipeline = metered.pipeline(stage(**options))
    simulate(lambda: pipeline.run(items))
    assert metered.values(DURATION, "antflow.task.name") == durations
    assert metered.value(WAIT) == waits


def test_waits_are_those_in_front_of_the_stage() -> None:
    metered = Metered()
    pipeline = metered.pipeline(stage(task=sleep_and_fail, workers=1))
    simulate(lambda: pipeline.run([0, 0, 0]))
    (point,) = metered.points(WAIT).values()
    assert point.sum == pytest.approx(2 + 4, abs=0.01)


def test_cancelled_attempts_are_recorded_as_such() -> None:
    metered = Metered()

    async def main() -> None:
        pipeline = metered.pipeline(stage(task=Gate()))
        await pipeline.start()
        await pipeline.feed([1])
        await settle()
        await pipeline.shutdown(timeout=0)

    simulate(main)
    assert metered.values(DURATION, "error.type") == {"CancelledError": 1}


def test_past_a_hundred_classes_errors_are_of_one_type() -> None:
    async def fail(value: int) -> Any:
        raise type(f"E{value}", (Exception,), {})

    metered = Metered()
    simulate(lambda: metered.pipeline(stage(task=fail)).run(range(120)))
    counted = metered.values(DURATION, "error.type")
    assert len(counted) == 101
    assert counted["_OTHER"] == 20
    assert metered.values("antflow.stage.item.left", "error.type")["_OTHER"] >= 20


@pytest.mark.parametrize("is_traced", [False, True])
def test_exemplars_are_those_of_the_span_that_is_current_in_the_attempt(is_traced: bool) -> None:
    provider = TracerProvider(ALWAYS_ON, shutdown_on_exit=False)
    metered = Metered(tracer_provider=provider if is_traced else None)
    current: list[int] = []

    async def task(value: int) -> None:
        current.append(get_current_span().get_span_context().span_id)

    async def main() -> None:
        with provider.get_tracer("test").start_as_current_span("around"):
            await metered.pipeline(stage(task=task)).run([1])

    simulate(main)
    (point,) = metered.points(DURATION).values()
    assert [each.span_id for each in point.exemplars] == current
