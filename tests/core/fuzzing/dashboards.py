"""The dashboard of a trial: it notes how it is called, and behaves as is planned."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from antflow import DashboardSnapshot, ErrorSummary, PipelineResult

from .observers import behave, misbehave, observe_as_well
from .users import Users
from .watched import ONCE, PROMPT, DashboardPlan, Method
from .world import ObserverError, World


class FuzzedDashboard:
    """A dashboard that checks that it is called in order, and never twice at once.

    Args:
        world: the trial.
        users: those who may shut the pipeline down.
        plan: how it behaves.
    """

    def __init__(self, world: World, users: Users, plan: DashboardPlan) -> None:
        self.total_items: int | None = None
        self.interval = plan.interval
        self._world = world
        self._users = users
        self._plan = plan
        self._present: Method | None = None
        self._calls: Counter[Method] = Counter()
        self._finished: list[PipelineResult] = []
        self._has_raised = False
        self._was_cancelled = False
        self._last: Method | None = None
        observe_as_well(world, users, self, plan)

    def on_start(self, pipeline: Any, total_items: int | None) -> Any:
        """Begin, once."""
        right = pipeline is self._world.pipeline and total_items == self.total_items
        self._require(right, f"wrong start of {pipeline} with {total_items} items")
        self._require(self._last in (None, "on_finish"), f"started after {self._last}")
        return self._call("on_start")

    def on_update(self, snapshot: DashboardSnapshot) -> Any:
        """Show a snapshot."""
        self._require(self._last not in (None, "on_finish"), f"updated after {self._last}")
        if self._world.audit.entries:
            self._world.audit.check_counters(snapshot.pipeline_stats)
        return self._call("on_update")

    def on_finish(self, results: list[PipelineResult], summary: ErrorSummary) -> Any:
        """Show the end."""
        may_finish = self._last == "on_update" or self._was_cancelled  # in `on_start`
        self._require(may_finish, f"finished after {self._last}")
        self._finished = results
        stats = self._world.pipeline.get_stats()
        self._require(summary.total_failed == stats.items_failed, f"{stats}, but {summary}")
        return self._call("on_finish")

    def settle(self, *, is_once: bool) -> None:
        """The run is over: check that this has finished, if it was started."""
        starts, finishes = self._calls["on_start"], self._calls["on_finish"]
        if not self._has_raised:
            self._require(starts == finishes, f"started {starts} times, finished {finishes} times")
        if is_once:
            self._require(starts <= 1, f"started {starts} times")
        if self._last == "on_finish":
            kept = self._world.pipeline.results
            self._require(self._finished == kept, f"finished with {self._finished}, not {kept}")

    def _require(self, holds: bool, text: str) -> None:
        self._world.audit.require(holds, "dashboard {}", text)

    def _call(self, method: Method) -> Any:
        plan = self._plan
        self._require(self._present is None, f"called for {method} during {self._present}")
        self._require(not self._has_raised, f"called for {method} after it had raised")
        self._last = method
        self._calls[method] += 1
        if method == "on_start" and plan.stops:
            self._users.disturb(self._users.stop_at_once(drain=plan.stops == "drain"))
        calls = self._calls[method]
        is_time = calls == plan.every if plan.manner in ONCE else calls % plan.every == 0
        is_time &= plan.only in (None, method)
        if plan.manner not in PROMPT:
            return self._take_time(method, is_time)
        if is_time:
            with self._noting_errors():
                misbehave(plan.manner)
        return None

    async def _take_time(self, method: Method, is_time: bool) -> None:
        self._present = method
        try:
            if is_time:
                with self._noting_errors():
                    await behave(self._world, self._users, self._plan.manner)
        except asyncio.CancelledError:
            self._was_cancelled = True
            raise
        finally:
            self._present = None

    @contextmanager
    def _noting_errors(self) -> Iterator[None]:
        """Note that the dashboard has raised, unless who calls it is being cancelled."""
        try:
            yield
        except ObserverError:
            self._has_raised = True
            raise
        except asyncio.CancelledError:
            task = asyncio.current_task()
            self._has_raised = task is not None and not task.cancelling()
            raise
