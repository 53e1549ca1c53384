"""The model of what observers see of one run, and what has to hold in it."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field

from antflow import StatusEvent, StatusTracker, TaskEvent

from .attempts import Attempts, Watcher
from .audit import Audit
from .scenarios import Hook, Scenario

Step = tuple[str, int]
"""A status and the number of the stage in which an item has it."""

NEXT_STATUSES: dict[str, tuple[str, ...]] = {
    "queued": ("in_progress", "skipped", "dropped", "unprocessed"),
    "in_progress": ("completed", "failed", "retrying", "dropped", "unprocessed"),
    "retrying": ("in_progress", "dropped", "unprocessed"),
    "completed": ("queued",),
    "skipped": ("queued",),
}
ENDS = ("failed", "dropped", "unprocessed")
PASSES = ("completed", "skipped")
WITHOUT_WORKER = ("queued", "dropped", "unprocessed")
METADATA: dict[str, set[str]] = {
    "failed": {"error", "error_type"},
    "dropped": {"reason"},
    "retrying": {"attempt", "retry", "error", "error_type"},
}


@dataclass
class Trace:
    """What one observer saw of one item."""

    last_stage: int
    steps: list[Step] = field(default_factory=list)
    worker: str | None = None
    is_over: bool = False

    def add(self, event: StatusEvent, stage: int, entry: int) -> str | None:
        """Note an event; returns what is wrong with it, if anything is."""
        before = self.steps[-1] if self.steps else None
        wrong = self._mistake(event, stage, before, entry)
        self.steps.append((event.status, stage))
        self.worker = event.worker
        self.is_over |= event.final
        return wrong

    def _mistake(
        self, event: StatusEvent, stage: int, before: Step | None, entry: int
    ) -> str | None:
        status = event.status
        if self.is_over:
            return "comes after the last"
        if event.final != (status in ENDS or (status in PASSES and stage == self.last_stage)):
            return f"has final={event.final}"
        if before is None:
            return None if (status, stage) == ("queued", entry) else f"is the first, not in {entry}"
        if status not in NEXT_STATUSES.get(before[0], ()) or stage - before[1] != (
            status == "queued"
        ):
            return f"follows {before}"
        if (
            before[0] == "in_progress"
            and event.worker
            and (_stage_of(event.worker) != _stage_of(self.worker))
        ):
            return f"is of another stage's worker than {self.worker}"
        return None


class Watch:
    """What the observers of one run saw of it."""

    def __init__(self, audit: Audit, scenario: Scenario, watchers: list[Watcher]) -> None:
        for watcher in watchers:
            watcher.since = dict.fromkeys(watcher.since, 0)
        self._audit = audit
        self._scenario = scenario
        self._watchers = watchers
        self.attempts = Attempts(audit, scenario, watchers)
        self._last_stage = len(scenario.stages) - 1
        self._traces: dict[Watcher, dict[int, Trace]] = {watcher: {} for watcher in watchers}
        self._ids: dict[int, int] = {}
        self._numbered: dict[int, int] = {}
        self.runs: set[str] = set()
        self._naps: list[tuple[float, float]] = []
        self.faults = 0

    # What observers see

    def see_status(self, watcher: Watcher, event: StatusEvent) -> None:
        """An observer is called for the status of an item."""
        self.attempts.moment += 1
        key, stage = event.item.value, self._audit.number(event.stage)
        self._check_origin(watcher, event, key)
        self._check_status(watcher, event, key, stage)
        if event.worker is not None:
            self.attempts.close(event.worker)
        if watcher.tracker is not None and watcher.tracker.max_history is None:
            latest = watcher.tracker.get_status(event.item_id)
            self._audit.require(latest == event, "the tracker has {}, not {}", latest, event)
        if watcher.sees_each_status() and key in self._audit.entries:
            trace = self._traces[watcher].setdefault(key, Trace(self._last_stage))
            wrong = trace.add(event, stage, self._audit.entries[key].stage)
            self._audit.require(wrong is None, "{} {}: {}", watcher, wrong, event)

    def see_task(self, watcher: Watcher, hook: Hook, event: TaskEvent) -> None:
        """An observer is called for an attempt."""
        key = event.item.value
        self._check_origin(watcher, event, key)
        for other in self._watchers:
            trace = self._traces[other].get(key)
            if trace is not None and other.sees_each_status():
                at = ("in_progress", self._audit.number(event.stage))
                self._audit.require(
                    trace.steps[-1] == at, "{} is called at {}: {}", other, trace.steps[-1], event
                )
        if hook == "task_start":
            self.attempts.started(watcher, key, event)
        else:
            self.attempts.ended(watcher, key, hook, event)

    def _check_origin(self, watcher: Watcher, event: StatusEvent | TaskEvent, key: int) -> None:
        audit, item = self._audit, event.item
        audit.require(key in audit.entries, "{} is called for {}, which was not fed", watcher, key)
        if key in audit.entries:
            audit.require(item.priority == audit.entries[key].priority, "wrong priority: {}", event)
        audit.require(item.id == event.item_id, "wrong item: {}", event)
        audit.require(
            self._numbered.setdefault(item.sequence_id, key) == key, "two of one number: {}", event
        )
        audit.require(
            self._ids.setdefault(key, event.item_id) == event.item_id, "another id: {}", event
        )
        audit.require(event.pipeline == audit.pipeline.name, "wrong pipeline: {}", event)
        self.runs.add(event.run_id)
        audit.require(len(self.runs) == 1, "events of several runs: {}", self.runs)

    def _check_status(self, watcher: Watcher, event: StatusEvent, key: int, stage: int) -> None:
        audit, status = self._audit, event.status
        has_worker = event.worker == f"S{stage}-W{event.worker_id}"
        is_right = event.worker is None if status in WITHOUT_WORKER else has_worker
        audit.require(is_right, "wrong worker: {}", event)
        audit.require(
            event.metadata.keys() == METADATA.get(status, set()), "wrong metadata: {}", event
        )
        if status == "retrying":
            coming = audit.attempt(key, stage, 0) + 1
            is_right = event.metadata["attempt"] == coming and event.metadata["retry"] is True
            audit.require(is_right, "attempt {} is coming: {}", coming, event)
        if status == "unprocessed":
            audit.require(audit.interrupted, "{}: not interrupted, and {}", watcher, event)
            if watcher.number == 0:
                audit.observe()

    # Time that observers take

    def naps(self, seconds: float) -> None:
        """An observer sleeps."""
        now = asyncio.get_running_loop().time()
        self._naps.append((now, now + seconds))

    def slept_since(self, time: float) -> float:
        """How long observers slept altogether in naps that were not over at a time."""
        return sum(end - begin for begin, end in self._naps if end >= time)

    # What came of it

    def settle(self) -> None:
        """The run is over: each item has had its last event, and each attempt its end."""
        self.attempts.settle()
        faults = self._audit.pipeline.plugin_faults
        is_right = sum(faults.values()) == self.faults
        self._audit.require(is_right, "{} faults, not {}", faults, self.faults)
        for watcher in self._watchers:
            if watcher.sees_each_status():
                self._check_ends(watcher)
            if watcher.tracker is not None:
                self._check_history(watcher, watcher.tracker)

    def _check_ends(self, watcher: Watcher) -> None:
        audit, traces = self._audit, self._traces[watcher]
        passed = 0
        for key in audit.entries:
            trace = traces.get(key, Trace(self._last_stage))
            end = audit.ends.get(key)
            wrong = _wrong_end(trace, end, is_known=not audit.is_blind)
            passed += bool(trace.steps) and trace.steps[-1][0] in PASSES
            audit.require(wrong is None, "{}: {} {}", watcher, key, wrong)
        if audit.entries:
            processed = audit.observe().items_processed
            audit.require(passed == processed, "{}: {} passed, not {}", watcher, passed, processed)

    def _check_history(self, watcher: Watcher, tracker: StatusTracker) -> None:
        audit = self._audit
        numbers = Counter({**self._ids, **audit.ids}.values())
        for key, end in () if audit.is_blind else audit.ends.items():
            history = tracker.get_history(audit.ids[key])
            events = [event for event in history if event.run_id == history[-1].run_id]
            if numbers[audit.ids[key]] > 1 or (not events and tracker.max_history is not None):
                continue  # it shares its id with one that was fed before it, or is forgotten
            trace = Trace(self._last_stage)
            for event in events:
                wrong = trace.add(event, audit.number(event.stage), audit.entries[key].stage)
                audit.require(wrong is None, "history of {} {}: {}", key, wrong, event)
            wrong = _wrong_end(trace, end, is_known=True)
            audit.require(wrong is None, "{}: history of {} {}", watcher, key, wrong)
        audit.check_failed_items(tracker.get_failed_items())
        if tracker.max_history is not None:
            kept = sum(1 for item_id in tracker.get_tracked_ids() if _has_ended(tracker, item_id))
            audit.require(kept <= tracker.max_history, "{} remembers {}", watcher, kept)


def _has_ended(tracker: StatusTracker, item_id: int) -> bool:
    latest = tracker.get_status(item_id)
    return latest is not None and latest.final


def _wrong_end(trace: Trace, end: Step | None, *, is_known: bool) -> str | None:
    """Return what is wrong with how a trace ends; `end` is None where the item was not fed."""
    steps = trace.steps
    if end is None:
        statuses = [status for status, _ in steps]
        if statuses in ([], ["queued", "unprocessed"]):
            return None
        if not is_known and trace.is_over and statuses[-1] in PASSES:
            return None
        return f"was not fed, but is seen as {steps}"
    if not steps or not trace.is_over:
        return f"has no last event: {steps}"
    last = steps[-1]
    status = "completed" if last[0] in PASSES else last[0]
    return None if (status, last[1]) == end else f"ended as {end}, but is seen as {steps}"


def _stage_of(worker: str | None) -> str | None:
    """Return the name of a worker's stage; after a retry, another one may go on with an item."""
    return None if worker is None else worker.rpartition("-W")[0]
