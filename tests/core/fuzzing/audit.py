"""The books that the fuzz keeps beside the engine's own, and how the two are compared."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from math import inf
from typing import Any, Literal, NamedTuple

from antflow import FailedItem, Pipeline, PipelineResult, PipelineStats, StageStats, UnprocessedItem
from antflow._engine import channel
from tests.core.fuzzing.scenarios import Calls, Outcome, ServicePlan, StagePlan, StreamPlan, outcome

from .watched import Watched

Cause = Literal[
    "cancel", "fatal", "suicide", "late suicide", "input", "left", "shutdown", "closing"
]
MAX_COMPLAINTS = 5
STAGE_COUNTS = ("fed", "pending", "parked", "in_progress", "completed", "failed", "unprocessed")


class Violation(AssertionError):
    """The engine broke a law in a scenario."""


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
    """How a key entered the run."""

    stage: int
    priority: int
    feeder: Feeder
    expected: Outcome


@dataclass
class Arrival:
    """Between which two events a key came to wait in front of a stage; None if it is not known."""

    priority: int
    earliest: int
    latest: int | None


class Due(NamedTuple):
    """When and where a key is tried again."""

    stage: int
    priority: int
    at: float


class Audit:
    """What went into one run of a pipeline, what its tasks saw, and what came out.

    Keys are `active` in a task, perhaps `waiting` for so many limits there, `retrying` between two
    attempts, or `telling` while observers are told that they are being fed to a stage. In the end
    `ends` has for each the last status and the stage, and `ids` its id. Unless `is_ordered`, the
    moment at which a key goes into or out of a channel is not known. It `is_blind` to what succeeds
    where results are not collected.
    """

    def __init__(self, scenario: Watched, pipeline: Pipeline, all_calls: Calls) -> None:
        self.scenario = scenario
        self.pipeline = pipeline
        self.violations: list[str] = []
        self.causes: set[Cause] = set()
        self.entries: dict[int, Entry] = {}
        self.feeders: set[Feeder] = set()
        self.delivered: list[PipelineResult] = []
        self.replies: dict[int, PipelineResult] = {}
        self.unanswered: set[int] = set()
        self.active: dict[int, int] = {}
        self.waiting: Counter[int] = Counter()
        self.retrying: dict[int, int] = {}
        self.due: dict[int, Due] = {}
        self.telling: dict[int, int] = {}
        self.ends: dict[int, tuple[str, int]] = {}
        self.ids: dict[int, Any] = {}
        self.is_ordered = True
        self.is_blind = False
        self.is_started = False
        self.consumer_waits = False
        self.refuses = False
        self.stops = False
        self.starts: list[list[int]] = [[] for _ in scenario.stages]
        self.callbacks: Counter[tuple[str, int, int]] = Counter()
        self.all_calls = all_calls
        self._calls: Calls = Counter()
        self._events = 0
        self._waiting: list[dict[int, Arrival]] = [{} for _ in scenario.stages]
        self._lost: set[int] = set()
        self._passed: set[tuple[int, int, int]] = set()
        self._names = {name: place for place, name in enumerate(pipeline.get_worker_names())}
        self._highest: Counter[str] = Counter()
        self._seconds: dict[tuple[int, str], float] = {}
        self._bound = _most_held(scenario)
        self._most_pending = [_most_pending(scenario, stage) for stage in range(len(self.starts))]

    @property
    def closing(self) -> bool:
        """Whether the run was told to end, or has a reason to."""
        return bool(self.causes)

    @property
    def interrupted(self) -> bool:
        """Whether items may be left over: the end was not only joined and the input not broken."""
        return bool(self.causes - {"closing", "input"})

    def complain(self, text: str) -> None:
        """Record that a law was broken."""
        if len(self.violations) < MAX_COMPLAINTS:
            now = asyncio.get_running_loop().time()
            self.violations.append(f"at {now:.6f} s: {text}")

    def require(self, holds: bool, text: str, *arguments: object) -> None:
        """Record that a law was broken unless it holds; the arguments are formatted only then."""
        if not holds:
            self.complain(text.format(*arguments) if arguments else text)

    # What the run is seen doing

    def read(self, key: int, stage: int, priority: int, feeder: Feeder) -> None:
        """The engine takes a key from an input."""
        self.require(key not in self.entries, "{} was fed twice (the fuzz is wrong)", key)
        expected = outcome(self.scenario, key, stage, self.all_calls)
        self.entries[key] = Entry(stage, priority, feeder, expected)
        self.feeders.add(feeder)
        feeder.keys.append(key)
        feeder.waits_at = stage
        self._events += 1
        self._waiting[stage][key] = Arrival(priority, self._events, None)
        if self.refuses and not feeder.inside:
            feeder.late += 1
            self.require(feeder.late <= 1, "{} was read after shutdown had begun", key)
        stats = self.observe()
        if isinstance(self.scenario.drive, StreamPlan):
            ended = len(self.delivered)
        else:
            ended = stats.items_processed + stats.items_failed + stats.items_dropped
        held = len(self.entries) - ended
        self.require(held <= self._bound, "{} items are held, more than {}", held, self._bound)

    def asked(self, feeder: Feeder) -> None:
        """The engine asks for the next key, or is done: what it took last is in the channel."""
        feeder.waits_at = None
        self._events += 1
        if feeder.keys:
            key = feeder.keys[-1]
            arrival = self._waiting[self.entries[key].stage].get(key)
            if arrival is not None and arrival.latest is None:
                arrival.latest = self._events

    def arrives(self, key: int, stage: int) -> None:
        """A key is handed to a stage at this moment."""
        if stage < len(self._waiting) and key in self.entries:
            self._events += 1
            priority = self.entries[key].priority
            self._waiting[stage][key] = Arrival(priority, self._events, self._events)

    def take(self, key: int, stage: int) -> None:
        """A worker takes a key: it must be the first of those that surely wait."""
        waiting = self._waiting[stage]
        taken = waiting.pop(key, None)
        if taken is None or self.interrupted or not self.is_ordered:
            return
        self._check_due(key, Due(stage, taken.priority, self._long_ago()))
        for other, arrival in waiting.items():
            if arrival.latest is None:
                continue
            if (arrival.priority, arrival.latest) < (taken.priority, taken.earliest):
                self.complain(f"stage {stage} took {key} {taken} before {other} {arrival}")

    def begin(self, key: int, stage: int, task: int, *, is_late: bool) -> int:
        """A task begins with a key; returns the number of this call, over all runs.

        It `is_late` if nobody had been told of it when shutdown began.
        """
        call = (key, stage, task)
        self.require(key in self.entries, "{} was not fed to this run, but reached {}", key, call)
        self.require(
            key not in self.active, "{} is in {} and in {}", key, call, self.active.get(key)
        )
        self.active[key] = stage
        self.retrying.pop(key, None)
        due = self.due.pop(key, None)
        if due is not None and self.is_ordered and not self.interrupted:
            self._check_due(key, due._replace(at=due.at - self._slack()))
        self.all_calls[call] += 1
        self._calls[call] += 1
        plan = self.scenario.stages[stage]
        self.require(self._calls[call] <= plan.attempts, "too many attempts at {}", call)
        self.require(not is_late, "{} began after shutdown had", call)
        running = self._running(stage)
        self.require(running <= plan.workers, "{} items run in stage {}", running, stage)
        if task == 0 and self._calls[call] == 1:
            self.starts[stage].append(key)
        self.is_started = True
        if key in self.entries:
            self._require_passed(key, self.entries[key].stage, stage)
        self.observe()
        return self.all_calls[call]

    def end(self, key: int) -> None:
        """A task ends with a key, in whatever way."""
        self.active.pop(key, None)

    def attempt(self, key: int, stage: int, task: int) -> int:
        """Number of the latest attempt at a task, or at the stage if that is retried as a whole."""
        per_stage = self.scenario.stages[stage].per_stage
        return self._calls[key, stage, 0 if per_stage else task]

    def coming_attempt(self, key: int, stage: int, task: int) -> int:
        """Number of the attempt that is about to begin."""
        is_counted = self.scenario.stages[stage].per_stage and task > 0
        return self.attempt(key, stage, task) + (not is_counted)

    def fails(self, key: int, stage: int, task: int) -> None:
        """A task raises an Exception: the stage starts anew, or the task may be tried again."""
        plan = self.scenario.stages[stage]
        if self.attempt(key, stage, task) < plan.attempts:
            if plan.per_stage:
                self.arrives(key, stage)
            else:
                self.retrying[key] = stage
                at = asyncio.get_running_loop().time() + plan.wait
                self.due[key] = Due(stage, self.entries[key].priority, at)

    def _check_due(self, key: int, taken: Due) -> None:
        """A worker goes on with a key: none that is to be tried again should have come before."""
        if self.scenario.limits or self.scenario.observers:
            return  # which hold up those that have been taken
        for other, due in self.due.items():
            if due.stage == taken.stage and due.priority <= taken.priority and due.at < taken.at:
                self.complain(f"stage {taken.stage} took {key} {taken} before {other} {due}")

    def _long_ago(self) -> float:
        """Return a time such that what was due then is surely ready."""
        return asyncio.get_running_loop().time() - self._slack()

    def _slack(self) -> float:
        return 100 * self.scenario.tick + 1e-6

    def passed(self, key: int, stage: int, task: int) -> None:
        """A task returned."""
        self._passed.add((key, stage, task))

    def observe(self) -> PipelineStats:
        """Check what must hold at any moment, once this run has taken its first item."""
        stats = self.pipeline.get_stats()
        if self.entries:
            self.check_counters(stats)
            for number, stage in enumerate(stats.stage_stats.values()):
                self._check_stage(number, stage)
        return stats

    def check_counters(self, stats: PipelineStats) -> None:
        """Check that the totals agree with each other and with what was read."""
        ended = {
            "processed": stats.items_processed,
            "failed": stats.items_failed,
            "dropped": stats.items_dropped,
            "unprocessed": stats.items_unprocessed,
        }
        fed = stats.items_fed
        if fed != sum(ended.values()) + stats.items_outstanding:
            self.complain(f"fed is not the sum of its parts: {_totals(stats)}")
        if not len(self.active) <= stats.items_in_flight <= stats.items_outstanding:
            self.complain(f"tasks run with {self.active}, but: {_totals(stats)}")
        if not len(self.entries) - len(self.feeders) <= fed <= len(self.entries):
            self.complain(f"{len(self.entries)} items were read: {_totals(stats)}")
        for name, number in (*ended.items(), ("fed", fed)):
            if number < self._highest[name]:
                self.complain(f"the count of {name} fell to {number}: {_totals(stats)}")
            self._highest[name] = number

    def _check_stage(self, number: int, stage: StageStats) -> None:
        workers = self.scenario.stages[number].workers
        running = self._running(number)
        unlimited = sum(
            1 for key, at in self.active.items() if at == number and not self.waiting[key]
        )
        most = inf if self.interrupted else self._most_pending[number]
        told = sum(1 for at in self.telling.values() if at == number)
        retried = sum(1 for at in self.retrying.values() if at == number)
        if not 0 <= stage.pending_items <= most - told + retried - stage.parked_items:
            self.complain(f"{stage.pending_items} and {told} pending in {_brief(stage)}")
        self._check_parked(number, stage, running)
        if not running <= stage.in_progress_items <= workers:
            self.complain(
                f"{running} items run, {stage.in_progress_items} in progress in {_brief(stage)}"
            )
        if unlimited > stage.workers["busy"]:
            self.complain(f"{unlimited} items run, and fewer workers are busy in {_brief(stage)}")
        if running > stage.workers["busy"] + stage.workers["waiting"]:
            self.complain(f"{running} items run, and fewer workers are at work in {_brief(stage)}")
        if min(stage.workers.values()) < 0 or sum(stage.workers.values()) > workers:
            self.complain(f"wrong number of workers in {_brief(stage)}")
        if stage.fed_items != (
            stage.completed_items
            + stage.failed_items
            + stage.dropped_items
            + stage.unprocessed_items
            + stage.pending_items
            + stage.parked_items
            + stage.in_progress_items
        ):
            self.complain(f"fed is not the sum of its parts in {_brief(stage)}")
        for state, seconds in stage.seconds.items():
            before = self._seconds.get((number, state), 0.0)
            if seconds < before - 1e-9:
                self.complain(f"{state} seconds fell by {before - seconds} in {_brief(stage)}")
            self._seconds[number, state] = seconds

    def _check_parked(self, number: int, stage: StageStats, running: int) -> None:
        plan = self.scenario.stages[number]
        most = _bound_of_parked(plan) + self._most_pending[number] + plan.workers
        if plan.pull:
            most = plan.workers - running
        told = sum(1 for at in self.telling.values() if at == number)
        if not self.interrupted and stage.parked_items > most + told:
            self.complain(f"more than {most} are parked in {_brief(stage)}")

    def _running(self, stage: int) -> int:
        return sum(1 for other in self.active.values() if other == stage)

    def check_quiet(self) -> PipelineStats | None:
        """Nobody does anything at this instant: whoever waits has to have a reason.

        Returns the statistics that were checked, if this is no moment at which anything may be.
        """
        if not self.is_started or not self.entries:
            return None
        if self.interrupted:
            self._check_quiet_shutdown()
            return None
        stats = self.observe()
        stages = list(stats.stage_stats.values())
        full_buffer = self._has_full_buffer(stats)
        for number, (plan, stage) in enumerate(zip(self.scenario.stages, stages, strict=True)):
            idle = self._free_workers(number, stage)
            # A failure waits for room in the buffer, from whatever stage it comes.
            blocked = stages[number - 1].workers["blocked"] if number and not full_buffer else 0
            told = sum(1 for at in self.telling.values() if at == number)
            feeders = [
                feeder
                for feeder in self.feeders
                if feeder.waits_at == number and feeder.keys[-1] not in self.telling
            ]
            full = plan.pull or stage.pending_items + told >= _capacity(plan)
            kept = told and full  # a place, while observers are told that it is taken
            holds_back = stage.parked_items > _bound_of_parked(plan)
            full |= holds_back
            if (
                idle
                and not holds_back
                and (
                    stage.pending_items
                    or (blocked and (plan.pull or not kept))
                    or (feeders and not kept)
                )
            ):
                self.complain(
                    f"{idle} workers idle, {blocked} senders and {len(feeders)} feeders wait: "
                    f"{_brief(stage)}"
                )
            if not full and (blocked or feeders):
                self.complain(
                    f"{blocked} senders and {len(feeders)} feeders wait, though there is room: "
                    f"{_brief(stage)}"
                )
            if any(feeder.inside for feeder in feeders):
                self.complain(f"a feed from inside waits: {_brief(stage)}")
        if isinstance(self.scenario.drive, StreamPlan):
            ready = self._ready(stats)
            self.require(
                not (ready and self.consumer_waits), "{} are ready, and the consumer waits", ready
            )
        if stages[-1].workers["blocked"] and not full_buffer:
            self.complain(f"workers wait for room in the buffer: {_totals(stats)}")
        return stats

    def _free_workers(self, number: int, stage: StageStats) -> int:
        """Return how many workers may take an item; those without one wait while one is parked."""
        if not stage.parked_items:
            return stage.workers["idle"]
        limited = stage.in_progress_items - stage.workers["busy"]
        kept = stage.parked_items if self.scenario.stages[number].pull else 0
        return max(0, stage.workers["waiting"] - limited - kept)

    def _check_quiet_shutdown(self) -> None:
        """Nobody waits for room when the pipeline is being shut down."""
        for stage in self.observe().stage_stats.values() if self.stops else ():
            if stage.workers["blocked"]:
                self.complain(f"workers wait for room in spite of shutdown: {_brief(stage)}")

    def _ready(self, stats: PipelineStats) -> int:
        return stats.items_processed + stats.items_failed - len(self.delivered)

    def _has_full_buffer(self, stats: PipelineStats) -> bool:
        drive = self.scenario.drive
        if not isinstance(drive, StreamPlan):
            return False
        default = 10 * self.scenario.stages[-1].workers
        return self._ready(stats) >= (default if drive.buffer is None else drive.buffer)

    def is_alive(self) -> bool:
        """Whether the run is surely not over: items are on their way, or wait to be taken."""
        stats = self.pipeline.get_stats()
        workers = [stage.workers for stage in stats.stage_stats.values()]
        return stats.items_outstanding > 0 or any(states["blocked"] for states in workers)

    # What became of it

    def settle_accounts(self, collected: bool = True) -> None:
        """The run is over: check that every item ended once, and as it had to."""
        if not self.entries:
            return
        stats = self.observe()
        self.require(
            stats.items_outstanding == 0, f"items outstanding at the end: {_totals(stats)}"
        )
        self.require(not self.active, f"tasks still run with {self.active}")
        successes, failures = self._split()
        left = {item.value: item for item in self.pipeline.unprocessed}
        self._check_once(successes, failures)
        for result in successes:
            self._check_success(result)
        for result in failures:
            self._check_failure(result)
        for item in left.values():
            self._check_left(item)
        self._check_complete(stats, {r.value for r in successes}, failures, set(left), collected)
        self.is_blind = not collected
        last = len(self.scenario.stages) - 1
        self.ends = {
            **{result.value: ("completed", last) for result in successes},
            **{result.value: ("failed", self.number(result.stage)) for result in failures},
            **{item.value: ("unprocessed", self.number(item.stage)) for item in left.values()},
        }
        self.ids = {result.value: result.id for result in (*successes, *failures)}
        self.ids.update((item.value, item.id) for item in left.values())
        self._check_summary(len(failures))
        self._check_callbacks()
        self._check_order()

    def _check_summary(self, failures: int) -> None:
        summary = self.pipeline.get_error_summary()
        self.require(summary.total_failed == failures, f"{failures} failed: {summary}")
        self.check_failed_items(summary.failed_items)

    def check_failed_items(self, items: Iterable[FailedItem]) -> None:
        """Check how many attempts were made, of those items whose id is theirs alone."""
        numbers = Counter(self.ids.values())
        keys = {id_: key for key, id_ in self.ids.items() if numbers[id_] == 1}
        for item in items:
            key = keys.get(item.item_id)
            if key is not None and self.ends[key][0] == "failed":
                made = self.attempts_made(key, self.number(item.stage))
                self.require(item.attempts == made, f"{made} attempts were made: {item}")

    def _split(self) -> tuple[list[PipelineResult], list[PipelineResult]]:
        results = [
            *self.pipeline.results,
            *self.pipeline.failures,
            *self.pipeline.undelivered,
            *self.delivered,
            *self.replies.values(),
        ]
        return [r for r in results if r.is_success], [r for r in results if not r.is_success]

    def _check_once(self, *ended: Iterable[PipelineResult]) -> None:
        ends = Counter(result.value for results in ended for result in results)
        ends.update(item.value for item in self.pipeline.unprocessed)
        twice = [key for key, number in ends.items() if number > 1]
        self.require(not twice, f"ended more than once: {twice}")
        unknown = [key for key in ends if key not in self.entries]
        self.require(not unknown, f"ended without having been fed: {unknown}")

    def _check_success(self, result: PipelineResult) -> None:
        entry = self.entries.get(result.value)
        if entry is None:
            return
        self.require(
            entry.expected.fails_in is None,
            f"{result.value} succeeded, but had to fail in stage {entry.expected.fails_in}",
        )
        self._require_passed(result.value, entry.stage, len(self.scenario.stages))
        self._check_attempts(result, len(self.scenario.stages) - 1)

    def _check_failure(self, result: PipelineResult) -> None:
        entry = self.entries.get(result.value)
        if entry is None:
            return
        stage = self.number(result.stage)
        may_fail = entry.expected.fails_in == stage
        if self.interrupted:  # being cancelled made it fail
            may_fail |= any(
                trouble.kind == "convert" and (trouble.key, trouble.stage) == (result.value, stage)
                for trouble in self.scenario.troubles
            )
        self.require(
            may_fail,
            f"{result.value} failed in stage {stage} with {result.error!r}, not {entry.expected}",
        )
        self._require_passed(result.value, entry.stage, stage)
        self._check_attempts(result, stage)

    def _check_attempts(self, result: PipelineResult, stage: int) -> None:
        made = self.attempts_made(result.value, stage)
        self.require(result.attempts == made, f"{made} attempts were made, not {result.attempts}")

    def attempts_made(self, key: int, stage: int) -> int:
        """How many attempts a stage made with a key at what it did last; none if it skipped it."""
        tasks = range(len(self.scenario.stages[stage].durations))
        begun = [task for task in tasks if self._calls[key, stage, task]]
        return self.attempt(key, stage, begun[-1]) if begun else 0

    def _check_left(self, item: UnprocessedItem) -> None:
        entry = self.entries.get(item.value)
        if entry is None:
            return
        self.require(self.interrupted, f"{item.value} is unprocessed, and nobody interrupted")
        self.require(item.priority == entry.priority, f"{item.value} lost its priority: {item}")
        self._require_passed(item.value, entry.stage, self.number(item.stage))

    def _check_complete(
        self,
        stats: PipelineStats,
        succeeded: set[int],
        failures: list[PipelineResult],
        left: set[int],
        collected: bool,
    ) -> None:
        failed = {result.value for result in failures}
        missing = self.entries.keys() - succeeded - failed - left
        lost = self._lost = {
            key
            for key in missing
            if self.entries[key].feeder.interrupted and self.entries[key].feeder.keys[-1] == key
        }
        lost |= missing & self.unanswered  # given up while it waited for room
        fed = len(self.entries) - len(lost)
        if collected:
            self.require(missing == lost, f"vanished: {sorted(missing - lost)}")
            self.require(stats.items_processed == len(succeeded), f"{succeeded}: {_totals(stats)}")
            self.require(stats.items_fed == fed, f"{fed} were fed: {_totals(stats)}")
        else:  # nobody sees which of those that may be lost have succeeded
            least = len(missing - lost)
            right = least <= stats.items_processed <= len(missing)
            self.require(right, f"{least} or more succeeded: {_totals(stats)}")
        self.require(stats.items_failed == len(failed), f"{failed} failed: {_totals(stats)}")
        self.require(stats.items_unprocessed == len(left), f"{left} are left: {_totals(stats)}")

    def _check_callbacks(self) -> None:
        twice = [called for called, number in self.callbacks.items() if number > 1]
        self.require(not twice, f"called back more than once: {twice}")
        if self.interrupted:
            return
        due = {due for key in self.entries for due in self._callbacks_due(key)}
        perhaps = {due for key in self._lost for due in self._callbacks_due(key)}
        called = self.callbacks.keys()
        self.require(
            due - perhaps <= called <= due,
            f"callbacks missing {due - perhaps - called}, undue {called - due}",
        )

    def _callbacks_due(self, key: int) -> Iterable[tuple[str, int, int]]:
        entry = self.entries[key]
        for stage in range(entry.stage, len(self.scenario.stages)):
            fails = entry.expected.fails_in == stage
            if self.scenario.stages[stage].callbacks:
                skipped = self.scenario.is_skipped(key, stage)
                yield ("skip" if skipped else "failure" if fails else "success"), key, stage
            if fails:
                return

    def _check_order(self) -> None:
        """Check that items began in order, in the first stages as far as one worker does them."""
        feeders = {id(entry.feeder): entry.feeder for entry in self.entries.values()}
        if len(feeders) != 1 or any(entry.stage for entry in self.entries.values()):
            return
        if len({entry.priority for entry in self.entries.values()}) > 1:
            return
        (feeder,) = feeders.values()
        for stage, plan in enumerate(self.scenario.stages):
            if plan.workers > 1:
                return
            began = [feeder.keys.index(key) for key in self.starts[stage]]
            self.require(began == sorted(began), f"out of order in stage {stage}: {began}")
            if plan.per_stage or self._has_retried(stage):
                return

    def _has_retried(self, stage: int) -> bool:
        return any(number > 1 for (_, at, _), number in self._calls.items() if at == stage)

    def check_priorities(self, keys: set[int]) -> None:
        """These keys waited together in front of one worker: they began by priority, then order."""
        began = [key for key in self.starts[0] if key in keys]
        ranks = [(self.entries[key].priority, key) for key in began]
        self.require(
            [rank for rank, _ in ranks] == sorted(rank for rank, _ in ranks),
            f"out of priority: {ranks}",
        )

    def _require_passed(self, key: int, first: int, before: int) -> None:
        """Check that a key went through every task of the stages in between."""
        for stage in range(first, before):
            if not self.scenario.is_skipped(key, stage):
                for task in range(len(self.scenario.stages[stage].durations)):
                    passed = (key, stage, task) in self._passed
                    self.require(passed, "{} did not pass task {} of {}", key, task, stage)

    def number(self, stage: str | None) -> int:
        """Place of a stage in the pipeline; -1 if there is none of that name."""
        return -1 if stage is None else self._names.get(stage, -1)


def _capacity(plan: StagePlan) -> float:
    if plan.pull:
        return 1  # a feeder may leave one item waiting
    return 10 * plan.workers if plan.capacity is None else plan.capacity or inf


def _most_held(scenario: Watched) -> float:
    """How many items may be held: what fits into the channels, the workers, and who feeds."""
    if scenario.is_fed_from_inside:
        return inf
    places = 1 + sum(_capacity(plan) + plan.workers for plan in scenario.stages)
    places += sum(_most_parked(plan) for plan in scenario.stages)
    if isinstance(scenario.drive, StreamPlan):
        buffer = scenario.drive.buffer
        places += 10 * scenario.stages[-1].workers if buffer is None else buffer + 1
    if isinstance(scenario.drive, ServicePlan):
        places += len(scenario.drive.calls)
    return places + 1 + len(scenario.feedings)


def _most_parked(plan: StagePlan) -> float:
    """How many items may be parked: so many that input waits, and one from each worker."""
    return _bound_of_parked(plan) + plan.workers if plan.attempts > 1 else 0


def _bound_of_parked(plan: StagePlan) -> float:
    """How many items are parked before input waits."""
    return max(channel.MIN_PARKED, _capacity(plan))


def _most_pending(scenario: Watched, stage: int) -> float:
    """How many items may wait in front of a stage: its own retries, and one from each sender."""
    plan = scenario.stages[stage]
    senders = scenario.stages[stage - 1].workers if stage and not plan.pull else 0
    retries = plan.workers if plan.per_stage else 0
    return inf if scenario.is_fed_from_inside else _capacity(plan) + senders + retries


def _brief(stage: StageStats) -> str:
    return ", ".join(
        f"{name}={getattr(stage, name)}"
        for name in ("stage_name", *(f"{what}_items" for what in STAGE_COUNTS), "workers")
    )


def _totals(stats: PipelineStats) -> dict[str, Any]:
    return {
        name: getattr(stats, f"items_{name}")
        for name in (
            *("fed", "processed", "failed", "dropped", "unprocessed", "outstanding", "in_flight"),
        )
    }
