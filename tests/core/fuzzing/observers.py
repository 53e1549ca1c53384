"""The observers and the dashboard of a trial: they note each call, and behave as planned."""

from __future__ import annotations

import asyncio
from asyncio import CancelledError
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

from antflow import (
    DashboardSnapshot,
    ErrorSummary,
    PipelineResult,
    StatusEvent,
    StatusTracker,
    TaskEvent,
    hookimpl,
)

from .attempts import Watcher, present_worker
from .scenarios import (
    CALLBACKS,
    ONCE,
    PROMPT,
    Change,
    DashboardPlan,
    Hook,
    Manner,
    Method,
    ObserverPlan,
)
from .users import Users
from .world import NAP_SECONDS, ObserverError, World

Event = StatusEvent | TaskEvent


class FullTracker(StatusTracker):
    """A tracker that sees cancelled attempts, too."""

    on_task_cancelled: Callable[[TaskEvent], Any]

    def antflow_task_cancelled(self, event: TaskEvent) -> Any:
        """Pass an event on."""
        return self.on_task_cancelled(event)


class Observers:
    """Makes the observers of a scenario, each with a watcher for the model."""

    def __init__(self, world: World, users: Users) -> None:
        self._world = world
        self._users = users

    def make(self) -> list[object]:
        """Make all observers, and plan their changes."""
        observers: list[object] = []
        for plan in self._world.scenario.observers:
            watcher = self._watcher(plan)
            make = self._make_tracker if plan.is_tracker else self._make_object
            observers.append(make(watcher))
        return observers

    def make_dashboard(self, plan: DashboardPlan) -> FuzzedDashboard:
        """Make a dashboard with the hooks that it is planned to have, for the first run."""
        dashboard = FuzzedDashboard(self._world, self._users, plan)
        if plan.hooks:
            manners = ObserverPlan(hooks=plan.hooks, manner=plan.manner, every=plan.every)
            watcher = self._watcher(manners)
            for hook in plan.hooks:
                setattr(dashboard, f"antflow_{hook}", hookimpl(self._function(watcher, hook)))
        return dashboard

    def plan_changes(self) -> None:
        """Have the callbacks of trackers changed when it is time."""
        for watcher in self._world.watchers:
            for change in watcher.plan.changes if watcher.tracker is not None else ():
                self._users.later(change.at, self._change, watcher, change)

    def _watcher(self, plan: ObserverPlan) -> Watcher:
        watcher = Watcher(len(self._world.watchers), plan)
        self._world.watchers.append(watcher)
        return watcher

    def _make_object(self, watcher: Watcher) -> object:
        hooks = watcher.plan.hooks
        return SimpleNamespace(
            **{f"antflow_{hook}": self._function(watcher, hook) for hook in hooks}
        )

    def _make_tracker(self, watcher: Watcher) -> object:
        functions = {hook: self._function(watcher, hook) for hook in watcher.plan.hooks}
        callbacks: dict[str, Any] = {
            CALLBACKS[hook]: function for hook, function in functions.items() if hook in CALLBACKS
        }
        kind = FullTracker if "task_cancelled" in functions else StatusTracker
        tracker = watcher.tracker = kind(**callbacks, max_history=watcher.plan.max_history)
        if isinstance(tracker, FullTracker):
            tracker.on_task_cancelled = functions["task_cancelled"]
        return tracker

    def _change(self, watcher: Watcher, change: Change) -> None:
        """Set a callback of a tracker, or remove it."""
        function = None
        if change.manner is None:
            watcher.since.pop(change.hook, None)
        else:
            function = self._function(watcher, change.hook, change.manner)
            self._world.watch.attempts.moment += 1
            watcher.since.setdefault(change.hook, self._world.watch.attempts.moment)
        setattr(watcher.tracker, CALLBACKS[change.hook], function)

    def _function(
        self, watcher: Watcher, hook: Hook, manner: Manner | None = None
    ) -> Callable[[Any], Any]:
        """Make what an observer is called with: a coroutine function in some manners."""
        plan, world = watcher.plan, self._world
        own = manner or (plan.manner if plan.only in (None, hook) else "plain")
        calls = 0

        def note(event: Event) -> bool:
            """Note an event; return whether it is time for the manner."""
            nonlocal calls
            calls += 1
            if isinstance(event, StatusEvent):
                world.watch.see_status(watcher, event)
            else:
                world.watch.see_task(watcher, hook, event)
            return is_time(calls, own, plan.every)

        def observe(event: Event) -> None:
            if note(event):
                with self._counting_faults():
                    misbehave(own)

        async def observe_later(event: Event) -> None:
            is_due = note(event)
            key = event.item.value
            entry = world.audit.entries.get(key)
            is_entry = isinstance(event, StatusEvent) and event.status == "queued"
            is_entry &= entry is not None and world.audit.number(event.stage) == entry.stage
            if is_entry and entry is not None:
                world.audit.announced[key] = entry.stage
            try:
                if is_due:
                    with self._counting_faults():
                        await behave(world, self._users, own)
            finally:
                if is_entry:
                    world.audit.announced.pop(key, None)

        return observe if own in PROMPT else observe_later

    @contextmanager
    def _counting_faults(self) -> Iterator[None]:
        """Count what an observer raises, unless the task that calls it is cancelled."""
        try:
            yield
        except BaseException as error:
            self._world.watch.faults += is_own_fault(error)
            raise


class FuzzedDashboard:
    """A dashboard that checks that it is called in order, and never twice at once.

    Args:
        world: the trial.
        users: may shut the pipeline down.
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
        is_right = self._has_raised or starts == finishes
        self._require(is_right, f"started {starts} times, finished {finishes} times")
        self._require(not is_once or starts <= 1, f"started {starts} times")
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
        is_due = is_time(self._calls[method], plan.manner, plan.every)
        is_due &= plan.only in (None, method)
        if plan.manner not in PROMPT:
            return self._take_time(method, is_due)
        if is_due:
            with self._noting_errors():
                misbehave(plan.manner)
        return None

    async def _take_time(self, method: Method, is_due: bool) -> None:
        self._present = method
        try:
            if is_due:
                with self._noting_errors():
                    await behave(self._world, self._users, self._plan.manner)
        except CancelledError:
            self._was_cancelled = True
            raise
        finally:
            self._present = None

    @contextmanager
    def _noting_errors(self) -> Iterator[None]:
        """Note that the dashboard has raised, unless the task that calls it is cancelled."""
        try:
            yield
        except BaseException as error:
            self._has_raised |= is_own_fault(error)
            raise


def is_time(calls: int, manner: Manner, every: int) -> bool:
    """Return whether an observer behaves in its manner at this call."""
    return calls == every if manner in ONCE else calls % every == 0


def is_own_fault(error: BaseException) -> bool:
    """Return whether an observer raised this, not the cancellation of a task that calls it."""
    if isinstance(error, asyncio.CancelledError):
        task = asyncio.current_task()
        return task is None or not task.cancelling()
    return isinstance(error, ObserverError)


def misbehave(manner: Manner) -> None:
    """Raise what an observer of this manner raises."""
    if manner.endswith("raises"):
        raise ObserverError
    if manner.endswith("cancelled"):
        raise asyncio.CancelledError


async def behave(world: World, users: Users, manner: Manner) -> None:
    """Take time, and then raise, as an observer of this manner does."""
    if manner == "yields":
        await asyncio.sleep(0)
    elif manner == "feeds":
        if world.takes_items():
            await users.feed_children(0, may_be_late=True)
    elif manner == "misuses":
        if world.is_running():
            await users.misuse()
    elif manner not in PROMPT:
        await _nap(world, manner)
    misbehave(manner)


async def _nap(world: World, manner: Manner) -> None:
    world.watch.naps(NAP_SECONDS)
    try:
        await asyncio.sleep(NAP_SECONDS)
    except asyncio.CancelledError:
        # A worker that cancelled itself learns of it now.
        world.watch.attempts.strike(present_worker())
        if "late suicide" in world.audit.causes:
            world.audit.causes.add("suicide")
        if manner == "stubborn":
            world.watch.naps(NAP_SECONDS)
            await asyncio.sleep(NAP_SECONDS)
        if manner != "swallows":
            raise
