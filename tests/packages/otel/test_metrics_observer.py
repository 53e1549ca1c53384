"""Records of items' waits and of attempts' durations."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.helpers.virtual_time import Gate, settle, simulate
from tests.packages.otel.metering import Metered, stage

DURATION = "antflow.task.attempt.duration"
WAIT = "antflow.stage.item.wait"


def counts(metered: Metered, name: str, attribute: str) -> dict[str, int]:
    found: dict[str, int] = {}
    for series, point in metered.points(name).items():
        value = dict(series).get(attribute, "")
        found[value] = found.get(value, 0) + point.count
    return found


async def sleep_and_fail(value: int) -> int:
    await asyncio.sleep(2)
    if value:
        raise ValueError(value)
    return value


def test_durations_are_those_of_the_attempts_in_seconds() -> None:
    metered = Metered()
    simulate(lambda: metered.pipeline(stage(task=sleep_and_fail)).run([0, 1, 0]))
    points = metered.points(DURATION)
    assert {dict(series).get("error.type"): p.count for series, p in points.items()} == {
        None: 2,
        "ValueError": 1,
    }
    for series, point in points.items():
        assert (
            dict(series).items()
            >= {
                "antflow.pipeline.name": "letters",
                "antflow.stage.name": "Work",
                "antflow.task.name": "sleep_and_fail",
            }.items()
        )
        assert point.sum == pytest.approx(2 * point.count, abs=0.01)
        assert point.explicit_bounds[0] == 0.001
        assert point.explicit_bounds[-1] == 100


def test_attempts_that_are_retried_are_recorded_and_what_was_waited_only_once() -> None:
    metered = Metered()
    pipeline = metered.pipeline(stage(task=sleep_and_fail, task_attempts=3))
    simulate(lambda: pipeline.run([1]))
    assert counts(metered, DURATION, "error.type") == {"ValueError": 3}
    assert counts(metered, WAIT, "antflow.stage.name") == {"Work": 1}


def test_each_attempt_of_a_whole_stage_records_a_wait() -> None:
    metered = Metered()
    pipeline = metered.pipeline(stage(task=sleep_and_fail, retry="per_stage", stage_attempts=3))
    simulate(lambda: pipeline.run([1]))
    assert counts(metered, DURATION, "error.type") == {"ValueError": 3}
    assert counts(metered, WAIT, "antflow.stage.name") == {"Work": 3}


def test_the_second_task_of_a_stage_is_waited_for_by_nobody() -> None:
    async def second(value: Any) -> Any:
        return value

    metered = Metered()
    pipeline = metered.pipeline(stage(tasks=[sleep_and_fail, second]), stage("Other"))
    simulate(lambda: pipeline.run([0, 0]))
    assert counts(metered, DURATION, "antflow.task.name") == {
        "sleep_and_fail": 2,
        "second": 2,
        "same": 2,
    }
    assert counts(metered, WAIT, "antflow.stage.name") == {"Work": 2, "Other": 2}


def test_waits_are_those_in_front_of_the_stage() -> None:
    metered = Metered()
    pipeline = metered.pipeline(stage(task=sleep_and_fail, workers=1))
    simulate(lambda: pipeline.run([0, 0, 0]))
    (point,) = metered.points(WAIT).values()
    assert point.sum == pytest.approx(2 + 4, abs=0.01)


def test_cancelled_attempts_are_recorded_as_such() -> None:
    metered = Metered()

    async def main() -> None:
        gate = Gate()
        pipeline = metered.pipeline(stage(task=gate))
        await pipeline.start()
        await pipeline.feed([1])
        await settle()
        await pipeline.shutdown(timeout=0)

    simulate(main)
    assert counts(metered, DURATION, "error.type") == {"CancelledError": 1}


def test_past_a_hundred_classes_errors_are_of_one_type() -> None:
    async def fail(value: int) -> Any:
        raise type(f"E{value}", (Exception,), {})

    metered = Metered()
    simulate(lambda: metered.pipeline(stage(task=fail)).run(range(120)))
    counted = counts(metered, DURATION, "error.type")
    assert len(counted) == 101
    assert counted["_OTHER"] == 20
