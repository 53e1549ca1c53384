"""What the parts of one trial share: scenario, pipeline, and the audit of its present run."""

from __future__ import annotations

import asyncio
from collections import Counter
from itertools import count

from antflow import Pipeline
from tests.core.scenarios import CHILD_KEYS, RunPlan, Scenario

from .audit import Audit, Violation

STUBBORN_SECONDS = 0.5
CALLBACK_SECONDS = 0.25
SUICIDE_SECONDS = 1.0
SHORT_SECONDS = 0.25
LONG_SECONDS = 50.0


class TaskError(Exception):
    """A task fails."""


class Fatal(BaseException):
    """A task raises what is no Exception."""


class InputError(Exception):
    """An input raises half-way."""


class LeaveError(Exception):
    """The body of an `async with` raises."""


class World:
    """One pipeline under a scenario, whose runs are audited one after the other."""

    pipeline: Pipeline
    audit: Audit

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.collects = not isinstance(scenario.drive, RunPlan) or scenario.drive.collect
        self.children = count(CHILD_KEYS)
        self.fatal: list[Fatal] = []

    def open(self, pipeline: Pipeline) -> None:
        """Take in the pipeline, and audit its first run."""
        self.pipeline = pipeline
        self.audit = Audit(self.scenario, pipeline, Counter())

    def begin_audit(self) -> None:
        """Audit another run of the pipeline."""
        self.audit = Audit(self.scenario, self.pipeline, self.audit.all_calls)
        self.fatal.clear()

    def finish_audit(self) -> None:
        """Check what became of the run.

        Raises:
            Violation: a law was broken in it.
        """
        self.audit.settle_accounts(self.collects)
        if self.audit.violations:
            raise Violation("\n".join(self.audit.violations))

    @property
    def is_timed(self) -> bool:
        """Whether ticks are too short to be confused with seconds."""
        return self.scenario.tick < 1e-3

    def calls_back_later(self, stage: int) -> bool:
        """Whether the callbacks of a stage take time."""
        return self.scenario.stages[stage].callbacks.startswith("async")

    def stubborn_seconds(self) -> float:
        """How long the tasks that do not end when they are cancelled may take altogether."""
        each = dict.fromkeys(("swallow", "convert"), CALLBACK_SECONDS)
        each["stubborn"] = STUBBORN_SECONDS + CALLBACK_SECONDS
        return sum(each.get(trouble.kind, 0.0) for trouble in self.scenario.troubles)

    def longest_attempt(self) -> float:
        """How long an attempt that has begun may take, with the callback after it."""
        callback = any(map(self.calls_back_later, range(len(self.scenario.stages))))
        durations = [d for plan in self.scenario.stages for task in plan.durations for d in task]
        suicide = SUICIDE_SECONDS * self.scenario.has("suicide")
        return max(*durations, 0.0) + CALLBACK_SECONDS * callback + suicide


async def pause(seconds: float) -> None:
    """Sleep; give way once if it is negative, and do not suspend at all if it is 0."""
    if seconds:
        await asyncio.sleep(max(seconds, 0.0))


def now() -> float:
    """Return the time on the running loop."""
    return asyncio.get_running_loop().time()
