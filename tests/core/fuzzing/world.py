"""What the parts of one trial share: scenario, pipeline, and the audit of its present run."""

from __future__ import annotations

import asyncio
from collections import Counter
from itertools import count
from typing import TYPE_CHECKING

from antflow import Pipeline

from .attempts import Watcher
from .audit import Audit, Violation
from .limits import LimitBook
from .scenarios import CHILD_KEYS, Calls, RunPlan, Scenario, StreamPlan
from .stage_limits import StageLimitBook
from .watch import Watch

if TYPE_CHECKING:
    from .observers import FuzzedDashboard

STUBBORN_SECONDS = 0.5
CALLBACK_SECONDS = 0.25
SUICIDE_SECONDS = 1.0
SHORT_SECONDS = 0.25
LONG_SECONDS = 50.0
NAP_SECONDS = 0.25
HANG_SECONDS = 5.0


class TaskError(Exception):
    """A task fails."""


class FinalError(Exception):
    """A task fails in a manner that some policies do not repeat."""


class Fatal(BaseException):
    """A task raises what is no Exception."""


class InputError(Exception):
    """An input raises half-way."""


class ObserverError(Exception):
    """An observer or a dashboard raises."""


class LeaveError(Exception):
    """The body of an `async with` raises."""


class World:
    """One pipeline under a scenario, whose runs are audited one after the other."""

    pipeline: Pipeline
    audit: Audit
    watch: Watch

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.collects = not isinstance(scenario.drive, RunPlan) or scenario.drive.collect
        self.children = count(CHILD_KEYS)
        self.fatal: list[Fatal] = []
        self.watchers: list[Watcher] = []
        self.dashboard: FuzzedDashboard | None = None
        self.limits = LimitBook(scenario)
        self.stage_limits = StageLimitBook(scenario)

    def open(self, pipeline: Pipeline) -> None:
        """Take in the pipeline, and audit its first run."""
        self.pipeline = pipeline
        self._begin(Counter())

    def begin_audit(self) -> None:
        """Audit another run of the pipeline."""
        self._begin(self.audit.all_calls)
        self.fatal.clear()

    def _begin(self, all_calls: Calls) -> None:
        self.audit = Audit(self.scenario, self.pipeline, all_calls)
        self.limits.audit = self.stage_limits.audit = self.audit
        self.watch = Watch(self.audit, self.scenario, list(self.watchers))

    def finish_audit(self) -> None:
        """Check what became of the run.

        Raises:
            Violation: a law was broken in it.
        """
        self.audit.settle_accounts(self.collects)
        self.stage_limits.check_end(self.pipeline.get_stats())
        self.watch.settle()
        if self.dashboard is not None:
            drive = self.scenario.drive
            by_turns = isinstance(drive, StreamPlan) and drive.leave == "timeouts"
            self.dashboard.settle(is_once=not by_turns)
            self.dashboard = None
            del self.watchers[len(self.scenario.observers) :]
        if self.audit.violations:
            raise Violation("\n".join(self.audit.violations))

    def is_running(self) -> bool:
        """Whether a run is started, and not over."""
        run = self.pipeline._runs.latest
        return run is not None and run.is_started and not run.is_over

    def takes_items(self) -> bool:
        """Whether the run that observers see is not over; it may not have begun."""
        run, seen = self.pipeline._runs.latest, self.watch.runs
        return run is not None and not run.is_over and (not seen or run.dispatcher.run_id in seen)

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
        seconds = sum(each.get(trouble.kind, 0.0) for trouble in self.scenario.troubles)
        if not self.scenario.is_prompt:  # an observer was cancelled, and the callback follows
            seconds += CALLBACK_SECONDS
        return seconds

    def longest_attempt(self) -> float:
        """How long an attempt that has begun may take, with the callback after it."""
        callback = any(map(self.calls_back_later, range(len(self.scenario.stages))))
        durations = [d for plan in self.scenario.stages for task in plan.durations for d in task]
        suicide = SUICIDE_SECONDS * self.scenario.has("suicide")
        suicide += HANG_SECONDS * self.scenario.has("hang", "strike")
        hold = max((plan.hold for plan in self.scenario.limits), default=0.0)
        return max(*durations, 0.0) + hold + CALLBACK_SECONDS * callback + suicide


async def pause(seconds: float) -> None:
    """Sleep; give way once if it is negative, and do not suspend at all if it is 0."""
    if seconds:
        await asyncio.sleep(max(seconds, 0.0))


def now() -> float:
    """Return the time on the running loop."""
    return asyncio.get_running_loop().time()
