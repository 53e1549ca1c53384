"""The observers of a trial: they note what they are told, and then behave as is planned."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

from antflow import StatusEvent, StatusTracker, TaskEvent, hookimpl

from .attempts import present_worker
from .users import Users
from .watch import Watcher
from .watched import CALLBACKS, ONCE, PROMPT, Change, DashboardPlan, Hook, Manner, ObserverPlan
from .world import NAP_SECONDS, ObserverError, World

Event = StatusEvent | TaskEvent


def make_observers(world: World, users: Users) -> list[object]:
    """Make the observers of a scenario, each with a watcher that keeps its books."""
    observers: list[object] = []
    for number, plan in enumerate(world.scenario.observers):
        watcher = Watcher(number, plan)
        world.watchers.append(watcher)
        make = _make_tracker if plan.is_tracker else _make_object
        observers.append(make(world, users, watcher))
    return observers


def observe_as_well(world: World, users: Users, dashboard: object, plan: DashboardPlan) -> None:
    """Give a dashboard the hooks that it is planned to have, and a watcher for the first run."""
    if plan.hooks:
        manners = ObserverPlan(hooks=plan.hooks, manner=plan.manner, every=plan.every)
        watcher = Watcher(len(world.watchers), manners)
        world.watchers.append(watcher)
        for hook in plan.hooks:
            setattr(dashboard, f"antflow_{hook}", hookimpl(_function(world, users, watcher, hook)))


def plan_changes(world: World, users: Users) -> None:
    """Have the callbacks of trackers changed when it is time."""
    for watcher in world.watchers:
        for change in watcher.plan.changes if watcher.tracker is not None else ():
            users.later(change.at, _change, world, users, watcher, change)


class FullTracker(StatusTracker):
    """A tracker that is told of cancelled attempts, too."""

    on_task_cancelled: Callable[[TaskEvent], Any]

    def antflow_task_cancelled(self, event: TaskEvent) -> Any:
        """Pass an event on."""
        return self.on_task_cancelled(event)


def _make_object(world: World, users: Users, watcher: Watcher) -> object:
    return SimpleNamespace(
        **{f"antflow_{hook}": _function(world, users, watcher, hook) for hook in watcher.plan.hooks}
    )


def _make_tracker(world: World, users: Users, watcher: Watcher) -> object:
    functions = {hook: _function(world, users, watcher, hook) for hook in watcher.plan.hooks}
    callbacks: dict[str, Any] = {
        CALLBACKS[hook]: functions[hook] for hook in functions if hook in CALLBACKS
    }
    kind = FullTracker if "task_cancelled" in functions else StatusTracker
    tracker = watcher.tracker = kind(**callbacks, max_history=watcher.plan.max_history)
    if isinstance(tracker, FullTracker):
        tracker.on_task_cancelled = functions["task_cancelled"]
    return tracker


def _change(world: World, users: Users, watcher: Watcher, change: Change) -> None:
    """Set a callback of a tracker, or remove it."""
    function = None
    if change.manner is None:
        watcher.since.pop(change.hook, None)
    else:
        function = _function(world, users, watcher, change.hook, change.manner)
        world.watch.attempts.moment += 1
        watcher.since.setdefault(change.hook, world.watch.attempts.moment)
    setattr(watcher.tracker, CALLBACKS[change.hook], function)


def _function(
    world: World, users: Users, watcher: Watcher, hook: Hook, manner: Manner | None = None
) -> Callable[[Any], Any]:
    """Make what an observer is called with: a coroutine function in some manners."""
    plan = watcher.plan
    if manner is None:
        manner = plan.manner if plan.only in (None, hook) else "plain"
    calls = 0

    def note(event: Event) -> bool:
        """Note an event; tell whether it is time for the manner."""
        nonlocal calls
        calls += 1
        if isinstance(event, StatusEvent):
            world.watch.told_status(watcher, event)
        else:
            world.watch.told_task(watcher, hook, event)
        return calls == plan.every if manner in ONCE else calls % plan.every == 0

    def told(event: Event) -> None:
        if note(event):
            with _counting_faults(world):
                misbehave(manner)

    async def told_later(event: Event) -> None:
        is_time = note(event)
        key = event.item.value
        is_feeding = isinstance(event, StatusEvent) and is_entry(world, event, key)
        if is_feeding:
            world.audit.telling[key] = world.audit.entries[key].stage
        try:
            if is_time:
                with _counting_faults(world):
                    await behave(world, users, manner)
        finally:
            if is_feeding:
                world.audit.telling.pop(key, None)

    return told if manner in PROMPT else told_later


@contextmanager
def _counting_faults(world: World) -> Iterator[None]:
    """Count what an observer raises, unless it is cancelled with its teller."""
    try:
        yield
    except ObserverError:
        world.watch.faults += 1
        raise
    except asyncio.CancelledError:
        task = asyncio.current_task()
        world.watch.faults += task is not None and not task.cancelling()
        raise


def _note_cancellation(world: World) -> None:
    """An observer is cancelled with its teller: a worker that cancelled itself learns of it now."""
    world.watch.attempts.struck.add(present_worker())
    if "late suicide" in world.audit.causes:
        world.audit.causes.add("suicide")


def is_entry(world: World, event: StatusEvent, key: int) -> bool:
    """Whether an event is about an item that is being fed."""
    entry = world.audit.entries.get(key)
    is_there = entry is not None and world.audit.number(event.stage) == entry.stage
    return event.status == "queued" and is_there


def misbehave(manner: Manner) -> None:
    """Raise what an observer of this manner raises."""
    if manner.endswith("raises"):
        raise ObserverError
    if manner.endswith("cancelled"):
        raise asyncio.CancelledError


async def behave(world: World, users: Users, manner: Manner) -> None:
    """Take time, and then raise, as an observer of this manner does."""
    if manner == "gives way":
        await asyncio.sleep(0)
        return
    if manner in PROMPT:
        misbehave(manner)
        return
    if manner == "feeds":
        if world.takes_items():
            await users.feed_children(0, may_be_late=True)
        return
    if manner == "misuses":
        if world.is_running():
            await users.misuse()
        return
    world.watch.naps(NAP_SECONDS)
    try:
        await asyncio.sleep(NAP_SECONDS)
    except asyncio.CancelledError:
        _note_cancellation(world)
        if manner == "stubborn":
            world.watch.naps(NAP_SECONDS)
            await asyncio.sleep(NAP_SECONDS)
        if manner != "swallows":
            raise
    misbehave(manner)
