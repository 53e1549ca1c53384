"""The model of one run: what went in, what its tasks saw, what came out, and the laws of that."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Any, Literal, NamedTuple

from antflow import (
    FailedItem,
    ItemTimeoutError,
    Pipeline,
    PipelineResult,
    PipelineStats,
    StageStats,
    UnprocessedItem,
)
from antflow._engine.channels import channel

from .policies import PolicyBook
from .scenarios import UNKNOWN, Calls, Scenario, ServicePlan, StagePlan, StreamPlan, outcome

Cause = Literal[
    "cancel", "fatal", "suicide", "late suicide", "input", "left", "shutdown", "closing"
]
MAX_COMPLAINTS = 5
OBSERVE_EVERY = 4
"""Every so many tasks that begin, all counts are read; they are at each instant of rest, too."""

ENDS = ("processed", "failed", "dropped", "unprocessed")
PARTS = ("completed", "failed", "dropped", "unprocessed", "pending", "parked", "in_progress")
SHOWN = (
    *("stage_name", "fed_items", *(f"{name}_items" for name in PARTS), "workers", "items_fed"),
    *(f"items_{name}" for name in (*ENDS, "outstanding", "in_flight")),
)


class Violation(AssertionError):
    """The engine broke a law in a scenario."""


@dataclass
class Brief:
    """Shows the counts of a stage or a pipeline."""

    stats: StageStats | PipelineStats

    def __str__(self) -> str:
        found = {name: getattr(self.stats, name, None) for name in SHOWN}
        return ", ".join(f"{name}={value}" for name, value in found.items() if value is not None)


@dataclass(eq=False)
class Feeder:
    """One input and the keys that the engine took from it; an interrupted one may lose the last.

    Between taking a key and asking for the next the engine `waits_at` a stage, or should not wait
    if it is fed from `inside` of the run. `late` counts keys taken after a shutdown had begun.
    """

    keys: list[int] = field(default_factory=list)
    interrupted: bool = False
    inside: bool = False
    waits_at: int | None = None
    late: int = 0


@dataclass(frozen=True)
class Entry:
    """How a key entered the run, and the stage in which it must fail, if it must."""

    stage: int
    priority: int
    feeder: Feeder
    fails_in: int | None


@dataclass
class Arrival:
    """Between which two events a key came to wait in front of a stage; None if it is not known."""

    priority: int
    earliest: int
    latest: int | None


class Due(NamedTuple):
    """Where a key is tried again, and between which two times it is due."""

    stage: int
    priority: int
    earliest: float
    latest: float


class Audit:
    """What went into one run of a pipeline, what its tasks saw, and what came out.

    Keys are `active` in a task, perhaps `waiting` for so many limits there, `retrying` between two
    attempts, or `announced` while observers are called because they are fed to a stage. In the end
    `ends` has for each the last status and the stage, and `ids` its id. Unless the scenario is
    ordered, the moment at which a key goes into or out of a channel is not known. Keys that are
    `doomed` may be dropped, and those whose handle was `cancelled` fail as they like. The audit
    `is_blind` to what succeeds where results are not collected.
    """

    def __init__(self, scenario: Scenario, pipeline: Pipeline, all_calls: Calls) -> None:
        self.scenario = scenario
        self.pipeline = pipeline
        self.all_calls = all_calls
        self.violations: list[str] = []
        self.causes: set[Cause] = set()
        self.entries: dict[int, Entry] = {}
        self.feeders: set[Feeder] = set()
        self.delivered: list[PipelineResult] = []
        self.replies: dict[int, PipelineResult] = {}
        self.unanswered: set[int] = set()
        self.doomed: set[int] = set()
        self.cancelled: set[int] = set()
        self.active: dict[int, int] = {}
        self.waiting: Counter[int] = Counter()
        self.retrying: dict[int, int] = {}
        self.due: dict[int, Due] = {}
        self._overtaken: dict[int, tuple[float, str]] = {}
        self.announced: dict[int, int] = {}
        self.ends: dict[int, tuple[str, int]] = {}
        self.ids: dict[int, Any] = {}
        self.callbacks: Counter[tuple[str, int, int]] = Counter()
        self.is_blind = self.is_started = self.consumer_waits = False
        self.refuses = self.stops = False
        self.policies = PolicyBook(self, scenario)
        self._is_ordered = scenario.is_ordered
        self._starts: list[list[int]] = [[] for _ in scenario.stages]
        self._calls: Calls = Counter()
        self._begun = self._events = 0
        self._arrivals: list[dict[int, Arrival]] = [{} for _ in scenario.stages]
        self._lost: set[int] = set()
        self._passed: set[tuple[int, int, int]] = set()
        self._names = {name: number for number, name in enumerate(pipeline.get_worker_names())}
        self._highest: Counter[str] = Counter()
        self._seconds: dict[tuple[int, str], float] = defaultdict(float)
        self._workers = [plan.workers for plan in scenario.stages]
        self._most_workers = [scenario.most_workers(stage) for stage in range(len(self._workers))]
        self._most_held = _most_held(scenario)
        self._most_pending = [_most_pending(scenario, stage) for stage in range(len(self._starts))]

    @property
    def closing(self) -> bool:
        """Whether the run is asked to end, or has a reason to."""
        return bool(self.causes)

    @property
    def interrupted(self) -> bool:
        """Whether items may be left over: the end was not only joined and the input not broken."""
        return bool(self.causes - {"closing", "input"})

    def complain(self, text: str) -> None:
        """Record that a law was broken."""
        if len(self.violations) < MAX_COMPLAINTS:
            self.violations.append(f"at {_now():.6f} s: {text}")

    def complain_of(self, texts: Iterable[str]) -> None:
        """Record each of these as a law that was broken."""
        for text in texts:
            self.complain(text)

    def require(self, holds: bool, text: str, *arguments: object) -> None:
        """Record that a law was broken unless it holds; the arguments are formatted only then."""
        if not holds:
            self.complain(text.format(*arguments) if arguments else text)

    # What the run is seen doing

    def read(self, key: int, stage: int, priority: int, feeder: Feeder) -> None:
        """The engine takes a key from an input."""
        self.require(key not in self.entries, "{} was fed twice (the fuzz is wrong)", key)
        is_known = key not in self.doomed
        fails_in = outcome(self.scenario, key, stage, self.all_calls) if is_known else UNKNOWN
        self.entries[key] = Entry(stage, priority, feeder, fails_in)
        self.feeders.add(feeder)
        feeder.keys.append(key)
        feeder.waits_at = stage
        self._events += 1
        self._arrivals[stage][key] = Arrival(priority, self._events, None)
        if self.refuses and not feeder.inside:
            feeder.late += 1
            self.require(feeder.late <= 1, "{} was read after shutdown had begun", key)
        stats = self.observe()
        ended = stats.items_processed + stats.items_failed + stats.items_dropped
        if isinstance(self.scenario.drive, StreamPlan):
            ended = len(self.delivered)
        held = len(self.entries) - ended
        self.require(held <= self._most_held, "{} held, more than {}", held, self._most_held)

    def asked(self, feeder: Feeder) -> None:
        """The engine asks for the next key, or is done: what it took last is in the channel."""
        feeder.waits_at = None
        self._events += 1
        if feeder.keys:
            key = feeder.keys[-1]
            arrival = self._arrivals[self.entries[key].stage].get(key)
            if arrival is not None and arrival.latest is None:
                arrival.latest = self._events

    def arrives(self, key: int, stage: int) -> None:
        """A key is handed to a stage at this moment."""
        if stage < len(self._arrivals) and key in self.entries:
            self._events += 1
            priority = self.entries[key].priority
            self._arrivals[stage][key] = Arrival(priority, self._events, self._events)

    def take(self, key: int, stage: int) -> None:
        """A worker takes a key: it must be the first of those that surely wait."""
        self.policies.seen(key, stage)
        running = _number_at(self.active, stage) + 1
        is_right = not self._is_ordered or running <= self._workers[stage]
        self.require(is_right, "{} of {} workers run in {}", running, self._workers[stage], stage)
        taken = self._arrivals[stage].pop(key, None)
        if taken is None or self.interrupted or not self._is_ordered:
            return
        now = _now() - self._slack
        self._check_due(key, Due(stage, taken.priority, now, now))
        rank = taken.priority, taken.earliest
        lines = self.scenario.keys_of(key, stage)
        if len(lines) > 1:
            return  # one that waits for two keys leaves the line of the first
        for other, arrival in self._arrivals[stage].items():
            if other in self.doomed or self.scenario.keys_of(other, stage) != lines:
                continue
            if lines and arrival.priority != taken.priority:
                continue  # a line that is full is not entered by what precedes its items
            if arrival.latest is not None and (arrival.priority, arrival.latest) < rank:
                self.complain(f"stage {stage} took {key} {taken} before {other} {arrival}")

    def begin(self, key: int, stage: int, task: int, *, is_late: bool) -> int:
        """A task begins with a key; returns the number of this call, over all runs.

        It `is_late` if no observer had been called for it when shutdown began.
        """
        call, plan = (key, stage, task), self.scenario.stages[stage]
        self.require(key in self.entries, "{} was not fed to this run", call)
        self.require(key not in self.active, "{}, while in {}", call, self.active.get(key))
        self.active[key] = stage
        self.retrying.pop(key, None)
        due = self.due.pop(key, None)
        self._check_overtaken()
        self._overtaken.pop(key, None)
        if due is not None and self._is_ordered and not self.interrupted:
            self._check_due(key, due._replace(earliest=due.earliest - self._slack))
        self.policies.begin(key, stage, task)
        self.all_calls[call] += 1
        self._calls[call] += 1
        self.require(self._calls[call] <= plan.attempts, "too many attempts at {}", call)
        self.require(not is_late, "{} began after shutdown had", call)
        running = _number_at(self.active, stage)
        is_right = running <= self._most_workers[stage]
        self.require(is_right, "{} items run in stage {}", running, stage)
        if task == 0 and self._calls[call] == 1:
            self._starts[stage].append(key)
        self.is_started = True
        if key in self.entries:
            self._require_passed(key, self.entries[key].stage, stage)
        self._begun += 1
        if self._begun % OBSERVE_EVERY == 0:
            self.observe()
        return self.all_calls[call]

    def resized(self, stage: int, workers: int) -> None:
        """The number of workers of a stage was changed."""
        self._workers[stage] = workers
        self.observe()

    def end(self, key: int) -> None:
        """A task ends with a key, returning or raising."""
        self.active.pop(key, None)

    def attempt(self, key: int, stage: int, task: int) -> int:
        """Number of the latest attempt at a task, or at the stage if that is retried as a whole."""
        per_stage = self.scenario.stages[stage].per_stage
        return self._calls[key, stage, 0 if per_stage else task]

    def coming_attempt(self, key: int, stage: int, task: int) -> int:
        """Number of the attempt that is about to begin."""
        is_counted = self.scenario.stages[stage].per_stage and task > 0
        return self.attempt(key, stage, task) + (not is_counted)

    def fails(self, key: int, stage: int, task: int, error: BaseException) -> None:
        """A task raises: the stage or the task may be tried again."""
        verdict = self.policies.end(key, stage, task, error)
        if verdict is None or not verdict.may_retry:
            return
        if self.scenario.stages[stage].per_stage and not verdict.most:
            if verdict.is_retried:
                self.arrives(key, stage)
            return
        self.retrying[key] = stage
        if verdict.is_retried:
            times = verdict.at + verdict.least, verdict.at + verdict.most
            self.due[key] = Due(stage, self.entries[key].priority, *times)

    def _check_due(self, key: int, taken: Due) -> None:
        """A worker goes on with a key: none that is to be tried again should have come before."""
        if self.scenario.limits or self.scenario.observers or self.scenario.stage_limits:
            return  # which hold up those that have been taken
        for other, due in self.due.items():
            is_ahead = due.stage == taken.stage and due.priority <= taken.priority
            is_ahead &= other not in self.doomed
            if is_ahead and due.latest < taken.earliest:
                text = f"stage {taken.stage} took {key} {taken} before {other} {due}"
                self._overtaken.setdefault(other, (_now(), text))

    def _check_overtaken(self) -> None:
        """Whatever began before one that was due began with it: another worker had taken that."""
        # Between taking and beginning, a worker may await a callback, and another is faster.
        for key, (at, text) in list(self._overtaken.items()):
            if at < _now():
                del self._overtaken[key]
                self.complain(text)

    @property
    def _slack(self) -> float:
        """So long ago, what was due is surely ready."""
        return 300 * self.scenario.tick + 1e-6

    def passed(self, key: int, stage: int, task: int) -> None:
        """A task returned."""
        self._passed.add((key, stage, task))

    # What must hold at any moment

    def observe(self) -> PipelineStats:
        """Check what must hold at any moment, once this run has taken its first item."""
        stats = self.pipeline.get_stats()
        self._check_overtaken()
        if self.entries:
            self.check_counters(stats)
            for number, stage in enumerate(stats.stage_stats.values()):
                self._check_stage(number, stage)
            if self.scenario.resizes:
                self._check_listed_workers(stats)
        return stats

    def _check_listed_workers(self, stats: PipelineStats) -> None:
        """Check that the workers that are counted are listed, once and by the lowest names."""
        states, metrics = self.pipeline.get_worker_states(), self.pipeline.get_worker_metrics()
        for number, (name, names) in enumerate(self.pipeline.get_worker_names().items()):
            known = {f"{name}-W{number}" for number in range(self._most_workers[number])}
            listed = [state.worker_name for state in states.values() if state.stage == name]
            is_right = (
                listed == list(names) and {*listed} <= known and states.keys() == metrics.keys()
            )
            self.require(is_right, "{} are listed of {}", listed, names)
            counted = sum(stats.stage_stats[name].workers.values())
            is_right = counted in (len(listed), 0)
            self.require(is_right, "{} are listed of {}", listed, Brief(stats.stage_stats[name]))

    def check_counters(self, stats: PipelineStats) -> None:
        """Check that the totals agree with each other and with what was read."""
        brief, fed, read = Brief(stats), stats.items_fed, len(self.entries)
        counts = {name: getattr(stats, f"items_{name}") for name in ENDS}
        self.require(
            fed == sum(counts.values()) + stats.items_outstanding, "the sum is wrong in {}", brief
        )
        self.require(
            len(self.active) <= stats.items_in_flight <= stats.items_outstanding,
            "tasks run with {}, but {}",
            self.active,
            brief,
        )
        self.require(read - len(self.feeders) <= fed <= read, "{} were read: {}", read, brief)
        for name, number in (*counts.items(), ("fed", fed)):
            self.require(number >= self._highest[name], "the count of {} fell: {}", name, brief)
            self._highest[name] = number

    def _check_stage(self, number: int, stage: StageStats) -> None:
        plan, brief, require = self.scenario.stages[number], Brief(stage), self.require
        running = _number_at(self.active, number)
        unlimited = sum(at == number and not self.waiting[key] for key, at in self.active.items())
        announced = _number_at(self.announced, number)
        most = inf if self.interrupted else self._most_pending[number]
        most += _number_at(self.retrying, number) - announced
        most_workers = self._most_workers[number]
        most_parked = _most_parked(plan) + self._most_pending[number] + most_workers
        if self.scenario.keyed_limits_of(number):
            most_parked += _most_parked(plan)
        else:
            most -= stage.parked_items
        if plan.pull:
            most_parked = most_workers - running
        is_right = self.interrupted or stage.parked_items <= most_parked + announced
        workers, busy = stage.workers, stage.workers["busy"]
        require(0 <= stage.pending_items <= most, "{} announced in {}", announced, brief)
        require(is_right, "more than {} are parked in {}", most_parked, brief)
        require(running <= stage.in_progress_items <= most_workers, "{} run in {}", running, brief)
        require(unlimited <= busy, "{} items run, fewer workers are busy in {}", unlimited, brief)
        require(running <= busy + workers["waiting"], "{} items run in {}", running, brief)
        is_right = min(workers.values()) >= 0 and sum(workers.values()) <= most_workers
        require(is_right, "wrong number of workers in {}", brief)
        parts = (
            stage.completed_items
            + stage.failed_items
            + stage.dropped_items
            + stage.unprocessed_items
            + stage.pending_items
            + stage.parked_items
            + stage.in_progress_items
        )
        require(stage.fed_items == parts, "fed is not the sum of its parts in {}", brief)
        for state, seconds in stage.seconds.items():
            fell = self._seconds[number, state] - seconds
            require(fell <= 1e-9, "{} seconds fell by {} in {}", state, fell, brief)
            self._seconds[number, state] = seconds

    # What must hold when nothing moves

    def check_quiet(self) -> PipelineStats | None:
        """No task can run at this instant: each that waits must have a reason.

        Returns the statistics that were checked, if this is no moment at which anything may be.
        """
        if not self.is_started or not self.entries:
            return None
        if self.interrupted:
            for stage in self.observe().stage_stats.values() if self.stops else ():
                is_right = not stage.workers["blocked"]
                self.require(is_right, "waits for room in spite of shutdown: {}", Brief(stage))
            return None
        stats = self.observe()
        stages = list(stats.stage_stats.values())
        full_buffer = self._has_full_buffer(stats)
        for number, stage in enumerate(stages):
            # A failure waits for room in the buffer, from whatever stage it comes.
            blocked = stages[number - 1].workers["blocked"] if number and not full_buffer else 0
            self._check_quiet_stage(number, stage, blocked)
        ready = self._ready(stats) if self.consumer_waits else 0
        self.require(not ready, "{} are ready, and the consumer waits", ready)
        is_right = full_buffer or not stages[-1].workers["blocked"]
        self.require(is_right, "workers wait for room in the buffer: {}", Brief(stats))
        return stats

    def _check_quiet_stage(self, number: int, stage: StageStats, blocked: int) -> None:
        plan = self.scenario.stages[number]
        self.policies.check_parked(number, stage.parked_items)
        idle, announced = self.free_workers(plan, stage), _number_at(self.announced, number)
        wanted, there = self._workers[number], sum(stage.workers.values())
        is_right = there in (wanted, 0) or (there > wanted and not idle)  # 0: the run is over
        self.require(is_right, "{} workers are wanted: {}", wanted, Brief(stage))
        feeders = [
            feeder
            for feeder in self.feeders
            if feeder.waits_at == number and feeder.keys[-1] not in self.announced
        ]
        full = plan.pull or stage.pending_items + announced >= _capacity(plan)
        reserved = bool(announced and full)  # room, while observers are called for its item
        holds_back = stage.parked_items > _most_parked(plan)
        waits = f"{idle} workers idle, {blocked} senders and {len(feeders)} feeders wait: {{}}"
        for_a_worker = stage.pending_items or (blocked and (plan.pull or not reserved))
        is_right = holds_back or not idle or bool(stage.limits)  # checked by their model
        is_right |= not (for_a_worker or (feeders and not reserved))
        self.require(is_right, waits, Brief(stage))
        is_right = full or holds_back or not (blocked or feeders)
        self.require(is_right, f"there is room; {waits}", Brief(stage))
        is_inside = any(feeder.inside for feeder in feeders)
        self.require(not is_inside, "a feed from inside waits: {}", Brief(stage))

    def free_workers(self, plan: StagePlan, stage: StageStats) -> int:
        """Return how many workers may take an item; those without one wait while one is parked."""
        if not (stage.parked_items or stage.limits):
            return stage.workers["idle"]
        limited = stage.in_progress_items - stage.workers["busy"]
        kept = stage.parked_items if plan.pull else 0
        return max(0, stage.workers["idle"] + stage.workers["waiting"] - limited - kept)

    def waiting_in(self, stage: int) -> list[int]:
        """Return the keys that surely wait in front of a stage, and not for a retry."""
        waiting = self._arrivals[stage].items()
        return [key for key, each in waiting if each.latest is not None and key not in self.doomed]

    def most_parked(self, stage: int) -> float:
        """Return how many items may wait for their keys, and as many for retries."""
        return _most_parked(self.scenario.stages[stage])

    def _ready(self, stats: PipelineStats) -> int:
        return stats.items_processed + stats.items_failed - len(self.delivered)

    def _has_full_buffer(self, stats: PipelineStats) -> bool:
        drive = self.scenario.drive
        return isinstance(drive, StreamPlan) and self._ready(stats) >= (
            10 * self.scenario.stages[-1].workers if drive.buffer is None else drive.buffer
        )

    def is_alive(self) -> bool:
        """Whether the run is surely not over: items are on their way, or wait to be taken."""
        stats = self.pipeline.get_stats()
        blocked = any(stage.workers["blocked"] for stage in stats.stage_stats.values())
        return stats.items_outstanding > 0 or blocked

    # What became of it

    def settle_accounts(self, collected: bool = True) -> None:
        """The run is over: check that every item ended once, and as it had to."""
        if not self.entries:
            return
        stats = self.observe()
        self.require(stats.items_outstanding == 0, "outstanding at the end: {}", Brief(stats))
        self.require(not self.active, "tasks still run with {}", self.active)
        pipeline, last = self.pipeline, len(self.scenario.stages) - 1
        results = [*pipeline.results, *pipeline.failures, *pipeline.undelivered]
        results += [*self.delivered, *self.replies.values()]
        left = {item.value: item for item in pipeline.unprocessed}
        self._check_once([*results, *pipeline.unprocessed])
        ended: list[PipelineResult | UnprocessedItem] = [*results, *left.values()]
        for item in ended:
            if item.value in self.entries:
                self._check_end(item, self.entries[item.value])
        succeeded = {result.value for result in results if result.is_success}
        dropped = [result for result in results if result.outcome == "dropped"]
        failures = [result for result in results if result.outcome == "failed"]
        gone = {f.value for f in failures}, {d.value for d in dropped}, set(left)
        self._check_complete(stats, succeeded, *gone, collected)
        self.is_blind = not collected
        self.ends = {
            **dict.fromkeys(succeeded, ("completed", last)),
            **{result.value: ("failed", self.number(result.stage)) for result in failures},
            **{result.value: ("dropped", self.number(result.stage)) for result in dropped},
            **{item.value: ("unprocessed", self.number(item.stage)) for item in left.values()},
        }
        self.ids = {item.value: item.id for item in ended}
        summary = pipeline.get_error_summary()
        self.require(summary.total_failed == len(failures), "{} in {}", len(failures), summary)
        self.check_failed_items(summary.failed_items)
        for number, stage in enumerate(stats.stage_stats.values()):
            failed_here = [f for f in failures if self.number(f.stage) == number]
            self.policies.check_statistics(number, stage, failed_here)
        self._check_callbacks()
        self._check_order()

    def _check_once(self, ended: list[PipelineResult | UnprocessedItem]) -> None:
        ends = Counter(item.value for item in ended)
        twice = [key for key, number in ends.items() if number > 1]
        self.require(not twice, "ended more than once: {}", twice)
        unknown = ends.keys() - self.entries.keys()
        self.require(not unknown, "ended without having been fed: {}", unknown)

    def _check_end(self, item: PipelineResult | UnprocessedItem, entry: Entry) -> None:
        """Check that an item ended as it had to, after all tasks before that."""
        key, last = item.value, len(self.scenario.stages) - 1
        if isinstance(item, UnprocessedItem):
            self.require(self.interrupted, "{} is left without an interruption", item)
            self.require(item.priority == entry.priority, "{} lost its priority", item)
            self._require_passed(key, entry.stage, self.number(item.stage))
            return
        if item.outcome == "dropped":
            self._check_dropped(item, entry)
            return
        stage = last if item.is_success else self.number(item.stage)
        if not item.is_success:
            self.policies.check_failure(item, stage)
        is_right = entry.fails_in in (UNKNOWN, None if item.is_success else stage)
        if self.interrupted and not item.is_success:  # its cancellation may have made it fail
            is_right |= any(
                trouble.kind == "convert" and (trouble.key, trouble.stage) == (key, stage)
                for trouble in self.scenario.troubles
            )
        self.require(is_right, "{} had to fail in {}: {!r}", key, entry.fails_in, item)
        self._require_passed(key, entry.stage, stage + item.is_success)
        is_late = isinstance(item.error, ItemTimeoutError)
        self._check_attempts(key, stage, item, is_late=is_late)

    def _check_dropped(self, item: PipelineResult, entry: Entry) -> None:
        """Check that an item was dropped that may be, for its own reason."""
        key, stage = item.value, self.number(item.stage)
        reasons = {"cancelled"} if key in self.cancelled else {"expired"}
        is_right = key in self.doomed and item.reason in reasons and item.error is None
        self.require(is_right, "{} was dropped, not for {}", item, reasons)
        self._require_passed(key, entry.stage, stage)
        made = self.attempts_made(key, stage)
        is_right = item.attempts == made or len(self.scenario.stages[stage].durations) > 1
        self.require(is_right, "{} attempts were made: {}", made, item)

    def _check_attempts(
        self, key: int, stage: int, item: PipelineResult | FailedItem, *, is_late: bool
    ) -> None:
        """Check the number of attempts; a late item may not have had the one that was due.

        It may have been the first at the next task. A tracker, too, sees no attempt of that number.
        """
        made = self.attempts_made(key, stage)
        is_right = item.attempts == made or (is_late and 1 <= item.attempts <= made + 1)
        self.require(is_right, "{} attempts were made: {}", made, item)

    def check_failed_items(self, items: Iterable[FailedItem]) -> None:
        """Check how many attempts were made, of those items whose id is theirs alone."""
        numbers = Counter(self.ids.values())
        keys = {id_: key for key, id_ in self.ids.items() if numbers[id_] == 1}
        for item in items:
            key = keys.get(item.item_id)
            if key is not None and self.ends[key][0] == "failed":
                is_late = item.error_type == "ItemTimeoutError"
                self._check_attempts(key, self.number(item.stage), item, is_late=is_late)

    def attempts_made(self, key: int, stage: int) -> int:
        """How many attempts a stage made with a key at what it did last; none if it skipped it."""
        tasks = range(len(self.scenario.stages[stage].durations))
        begun = [task for task in tasks if self._calls[key, stage, task]]
        return self.attempt(key, stage, begun[-1]) if begun else 0

    def _check_complete(
        self,
        stats: PipelineStats,
        succeeded: set[int],
        failed: set[int],
        dropped: set[int],
        left: set[int],
        collected: bool,
    ) -> None:
        missing = self.entries.keys() - succeeded - failed - dropped - left
        feeders = {key: self.entries[key].feeder for key in missing}
        lost = {key for key, f in feeders.items() if f.interrupted and f.keys[-1] == key}
        lost |= missing & self.unanswered  # given up while it waited for room
        self._lost, brief, fed = lost, Brief(stats), len(self.entries) - len(lost)
        least, most = len(missing - lost), len(missing)  # where results are not collected
        if collected:
            least = most = len(succeeded)
            self.require(missing == lost, "vanished: {}", missing - lost)
            self.require(stats.items_fed == fed, "{} were fed: {}", fed, brief)
        is_right = least <= stats.items_processed <= most
        self.require(is_right, "{} to {} succeeded: {}", least, most, brief)
        self.require(stats.items_failed == len(failed), "{} failed: {}", failed, brief)
        self.require(stats.items_dropped == len(dropped), "{} dropped: {}", dropped, brief)
        self.require(stats.items_unprocessed == len(left), "{} are left: {}", left, brief)

    def _check_callbacks(self) -> None:
        twice = [called for called, number in self.callbacks.items() if number > 1]
        self.require(not twice, "called back more than once: {}", twice)
        if self.interrupted:
            return
        due = {due for key in self.entries for due in self._callbacks_due(key)}
        needed = due - {due for key in self._lost for due in self._callbacks_due(key)}
        called = self.callbacks.keys()
        wrong = needed - called, called - due
        self.require(not any(wrong), "callbacks missing {}, undue {}", *wrong)

    def _callbacks_due(self, key: int) -> Iterable[tuple[str, int, int]]:
        entry = self.entries[key]
        for stage in range(entry.stage, len(self.scenario.stages)):
            end = self.ends.get(key)
            if end == ("dropped", stage):
                return
            is_known = entry.fails_in != UNKNOWN
            fails = entry.fails_in == stage if is_known else end == ("failed", stage)
            if self.scenario.stages[stage].callbacks:
                skipped = self.scenario.is_skipped(key, stage)
                yield ("skip" if skipped else "failure" if fails else "success"), key, stage
            if fails:
                return

    def _check_order(self) -> None:
        """Check that items began in order, in the first stages as far as one worker does them."""
        groups = {(e.feeder, e.priority, e.stage) for e in self.entries.values()}
        if len(groups) != 1:
            return
        ((feeder, _, first),) = groups
        for stage, plan in enumerate(self.scenario.stages if first == 0 else ()):
            if self._most_workers[stage] > 1 or self.scenario.keyed_limits_of(stage):
                return
            began = [feeder.keys.index(key) for key in self._starts[stage]]
            self.require(began == sorted(began), "out of order in stage {}: {}", stage, began)
            calls = [number for (_, at, _), number in self._calls.items() if at == stage]
            if plan.per_stage or max(calls, default=0) > 1:
                return

    def check_priorities(self, keys: set[int]) -> None:
        """These keys waited in front of one worker: they began by priority, then in their order."""
        began = [self.entries[key].priority for key in self._starts[0] if key in keys]
        self.require(began == sorted(began), "out of priority: {}", began)

    def _require_passed(self, key: int, first: int, before: int) -> None:
        """Check that a key went through every task of the stages in between."""
        for stage in range(first, before):
            if not self.scenario.is_skipped(key, stage):
                for task in range(len(self.scenario.stages[stage].durations)):
                    passed = (key, stage, task) in self._passed
                    self.require(passed, "{} did not pass task {} of {}", key, task, stage)

    def number(self, stage: str | None) -> int:
        """Number of a stage in the pipeline; -1 if there is none of that name."""
        return -1 if stage is None else self._names.get(stage, -1)


def _now() -> float:
    return asyncio.get_running_loop().time()


def _number_at(keys: Mapping[int, int], stage: int) -> int:
    return sum(at == stage for at in keys.values()) if keys else 0


def _capacity(plan: StagePlan) -> float:
    if plan.pull:
        return 1  # a feeder may leave one item waiting
    return 10 * plan.workers if plan.capacity is None else plan.capacity or inf


def _most_held(scenario: Scenario) -> float:
    """How many items may be held by the channels, the workers, and the feeders."""
    if scenario.is_fed_from_inside:
        return inf
    held: float = 2 + len(scenario.feedings)
    for number, plan in enumerate(scenario.stages):
        workers = scenario.most_workers(number)
        held += _capacity(plan) + workers
        held += _most_parked(plan) + 1 if scenario.keyed_limits_of(number) else 0
        held += _most_parked(plan) + workers if plan.attempts > 1 else 0
    if isinstance(scenario.drive, StreamPlan):
        buffer = scenario.drive.buffer
        held += 10 * scenario.stages[-1].workers if buffer is None else buffer + 1
    if isinstance(scenario.drive, ServicePlan):
        held += len(scenario.drive.calls)
    return held


def _most_parked(plan: StagePlan) -> float:
    """How many items are parked before input waits."""
    if plan.policy.max_parked is not None and not plan.pull:
        return plan.policy.max_parked
    return max(channel.MIN_PARKED, _capacity(plan))


def _most_pending(scenario: Scenario, stage: int) -> float:
    """How many items may wait in front of a stage: its own retries, and one from each sender."""
    plan = scenario.stages[stage]
    senders = scenario.most_workers(stage - 1) if stage and not plan.pull else 0
    retries = scenario.most_workers(stage) if plan.per_stage else 0
    return inf if scenario.is_fed_from_inside else _capacity(plan) + senders + retries
