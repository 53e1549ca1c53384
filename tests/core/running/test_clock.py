"""The clock of a run: monotonic, and replaceable."""

from __future__ import annotations

import asyncio
import time
from contextvars import copy_context

import pytest

from antflow import Pipeline, Stage
from antflow._engine.clock import CLOCK
from tests.helpers.virtual_time import Gate, settle, simulate


def test_durations_come_from_a_monotonic_clock() -> None:
    assert CLOCK.get() is time.perf_counter


def test_a_run_measures_by_the_clock_of_the_context_that_made_it() -> None:
    async def main() -> None:
        gate = Gate()
        pipeline = Pipeline([Stage("Wait", workers=1, tasks=[gate])])
        readings = [100.0]
        context = copy_context()
        context.run(CLOCK.set, lambda: readings[-1])
        running = asyncio.get_running_loop().create_task(pipeline.run(["x"]), context=context)
        await settle()
        readings.append(107.5)
        gate.open()
        await running
        duration = pipeline.get_stats().stage_stats["Wait"].tasks["gate"].duration
        assert duration.sum == pytest.approx(7.5)

    simulate(main)
