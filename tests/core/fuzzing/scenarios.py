"""What the fuzz draws: a pipeline, its items and their troubles, how it is driven and observed.

A scenario is plain data whose `repr` is Python that can be pasted into a regression test. Items
are numbers ("keys"), and every task returns the key that it was given. `outcome` says what must
become of an item that is not interrupted. `grow` makes a scenario from one number, each field from
the choices beside it, and `simpler` simplifies one that fails.
"""

# ruff: noqa: RUF009 - `drawn` makes a field
from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields, is_dataclass, replace
from random import Random
from typing import Any, Literal, TypeVar

P = TypeVar("P")
Mode = Literal["run", "stream", "service", "contended"]
Calls = Counter[tuple[int, int, int]]

ALWAYS = 99
FEEDING_KEYS = 100
CALL_KEYS = 1_000
AGAIN_KEYS = 2_000
CHILD_KEYS = 10_000
WATCHED_ODDS = 0.45
HANDLE_ODDS = 0.5
POLICY_ODDS = 0.4
LIMIT_ODDS = 0.4
RESIZED_ODDS = 0.3
UNKNOWN = -2
"""The stage in which an item fails where that is a matter of time."""

RETRY_SECONDS = 0.5
RETRY_AFTER_SECONDS = 0.75
PAUSE_SECONDS = 1.5
GROWTH_SECONDS = 0.25
MAX_WAIT_SECONDS = 0.4

TroubleKind = Literal[
    "fail",  # raises an Exception
    "cancelled",  # raises CancelledError itself
    "timeout",  # cancels its own worker, and raises an Exception instead
    "fatal",  # raises another BaseException
    "suicide",  # cancels its own worker, and waits
    "late suicide",  # cancels its own worker, and returns
    "stubborn",  # sleeps in `finally`
    "swallow",  # returns when it is cancelled
    "convert",  # raises an Exception when it is cancelled
    "feed",  # feeds its own pipeline
    "misuse",  # calls what a task must not call
    "skip",  # is skipped by the stage
    "skip raises",  # makes skip_if raise, so it is not skipped
    "final",  # raises an Exception that some policies do not repeat
    "retry after",  # raises RetryAfter
    "give up",  # raises GiveUp
    "hang",  # sleeps for long
    "strike",  # hangs, and has its worker cancelled when a time limit may be reached
    "pause",  # pauses the limits of its stage
    "pause key",  # pauses its key of the limits of its stage
    "retry after pause",  # raises RetryAfter that pauses the limits of its stage
    "correct up",  # has used more units than it cost
    "correct down",  # has used fewer units than it cost
]
Wait = Literal[
    "",  # task_wait_seconds
    "seconds",
    "backoff",  # without jitter
    "jitter",
    "function",
]
On = Literal[
    "",
    "type",  # no timeouts
    "tuple",
    "function",
]
Source = Literal[
    "list",
    "generator",
    "async",
    "slow",  # sleeps between two items
    "stuck",  # sleeps for long after the last item
    "broken",  # raises after the last item
]
Callbacks = Literal["", "sync", "async", "sync raises", "async raises"]
Then = Literal["", "refeed", "again"]
Manner = Literal[
    "plain",  # is no coroutine function, and returns
    "raises",
    "cancelled",  # raises CancelledError itself
    "yields",  # is a coroutine function from here on: suspends once
    "sleeps",
    "sleeps and raises",
    "sleeps and is cancelled",
    "swallows",  # sleeps, and returns when it is cancelled
    "stubborn",  # sleeps, and once more when it is cancelled
    "feeds",  # feeds the pipeline, once
    "misuses",  # calls what it must not call, once
]
PROMPT: tuple[Manner, ...] = ("plain", "raises", "cancelled")
ONCE: tuple[Manner, ...] = ("feeds", "misuses")
Method = Literal["on_start", "on_update", "on_finish"]
Fan = Literal[
    "",
    "group",
    "gather",
    "loose",  # a gather that leaves behind, when it is cancelled, what has not ended at once
]
Hook = Literal[
    "item_status", "task_start", "task_success", "task_retry", "task_failure", "task_cancelled"
]
CALLBACKS: dict[Hook, str] = {
    "item_status": "on_status_change",
    "task_start": "on_task_start",
    "task_success": "on_task_complete",
    "task_retry": "on_task_retry",
    "task_failure": "on_task_fail",
}
"""What a tracker calls its functions."""

HOOKS: tuple[Hook, ...] = (*CALLBACKS, "task_cancelled")
TASK_HOOKS = HOOKS[1:]
HOOK_SETS: tuple[tuple[Hook, ...], ...] = (
    *(HOOKS, HOOKS, HOOKS, ("item_status",), TASK_HOOKS, ("task_start", "task_cancelled")),
    *(("task_success", "task_failure"), ("item_status", "task_retry", "task_cancelled"), ()),
)
CONTENDED_BOUNDS: tuple[dict[str, Any], ...] = (
    *({"rate": 4, "burst": 4, "costs": 4}, {"rate": 3, "burst": 3, "costs": 3}),
    *({"concurrency": 1}, {"concurrency": 2}, {"concurrency": 9}),
)
KINDS = (
    *("fail", "fail", "fail", "fail", "cancelled", "feed", "feed", "skip", "stubborn", "swallow"),
    *("convert", "skip raises", "fatal", "suicide", "late suicide", "misuse", "timeout"),
)
POLICY_KINDS: tuple[TroubleKind, ...] = (
    *("fail", "fail", "final", "retry after", "retry after", "give up"),
    *("hang", "hang", "hang", "strike"),
)
LIMIT_KINDS: tuple[TroubleKind, ...] = (
    *("fail", "fail", "pause", "pause key", "retry after pause", "retry after", "skip"),
    *("correct up", "correct down"),
)
LIMIT_CALLS: tuple[TroubleKind, ...] = ("pause", "pause key", "correct up", "correct down")
RAISING = (
    *("fail", "timeout", "cancelled", "fatal", "final", "retry after", "retry after pause"),
    "give up",
)
RESISTANCE: tuple[TroubleKind | None, ...] = (None, None, None, "swallow", "convert", "stubborn")
MANNERS = (
    *("plain", "plain", "raises", "cancelled", "yields", "sleeps", "sleeps"),
    *("sleeps and raises", "sleeps and is cancelled", "swallows", "stubborn", "feeds", "misuses"),
)
SOURCES = ("list", "list", "generator", "async", "slow", "stuck", "broken")
LEAVES = ("end", "end", "break", "aclose", "error in with", "cancel", "timeouts", "timeouts")
ENDS = ("join", "join", "shutdown", "shutdown", "both", "leave", "leave by error")
TIMES = (0.0, 0.5, 1.0, 1.5, 2.5, 4.0)
SHORT_TIMES = (0.0, 0.25, 0.5, 1.0, 1.5, 2.5)
DURATIONS = (0.0, 0.0, -1.0, 0.25, 0.5, 1.0, 1.25)
PRIORITIES = (100, 100, 1, 200)
ITEMS = (0, 1, 2, 3, 4, 6, 8, 10, 12)
FLAG = (False, True)


def drawn(*choices: Any) -> Any:
    """A field whose value is drawn from these; the first is its default."""
    return field(default=choices[0], metadata={"choices": choices})


def maybe(odds: float, choices: tuple[Any, ...] = TIMES) -> tuple[Any, ...]:
    """Return the choices with so many times None that another one is drawn with these odds."""
    return (None,) * round(len(choices) * (1 / odds - 1)) + choices


class Short:
    """Shows only the fields that differ from their defaults."""

    def __repr__(self) -> str:
        differing = [
            f"{field.name}={getattr(self, field.name)!r}"
            for field in fields(self)  # type: ignore[arg-type]
            if getattr(self, field.name) != field.default
        ]
        return f"{type(self).__name__}({', '.join(differing)})"


@dataclass(frozen=True, repr=False)
class PolicyPlan(Short):
    """Which attempts a stage repeats and when, and how long attempts and items may take."""

    wait: Wait = drawn("", "seconds", "backoff", "jitter", "jitter", "function")
    on: On = drawn("", "", "", "type", "tuple", "function")
    never: bool = drawn(*FLAG)
    timeout: float | None = drawn(*maybe(0.3, (0.5, 1.0, 2.0)))
    max_parked: int | None = drawn(None, None, 1, 2, 3)
    task_timeout: float | None = drawn(*maybe(0.5, (0.5, 1.0, 1.5)))
    item_timeout: float | None = drawn(*maybe(0.4, (1.0, 2.0, 3.5)))

    @property
    def is_timed(self) -> bool:
        """Whether it is a matter of time what becomes of an item."""
        return not (self.timeout is self.task_timeout is self.item_timeout is None)

    def repeats(self, kind: Literal["task", "final", "timeout"]) -> bool:
        """Whether another attempt may follow an error of this kind."""
        if kind == "final":
            return not (self.on or self.never)
        return kind == "task" or self.on != "type"


@dataclass(frozen=True, repr=False)
class StagePlan(Short):
    """One stage; `durations` has for each task the seconds that items take, item by item.

    A duration of 0 never suspends, and a negative one suspends once.
    """

    workers: int = drawn(1, 1, 2, 3, 5)
    capacity: int | None = drawn(None, 0, 1, 1, 2, 3, 5)
    pull: bool = False
    per_stage: bool = False
    attempts: int = drawn(1, 2, 3)
    wait: float = drawn(0.0, 0.0, 0.5, 1.0)
    durations: tuple[tuple[float, ...], ...] = ((0.0,),)
    callbacks: Callbacks = drawn("", "", "", "sync", "async", "sync raises", "async raises")
    policy: PolicyPlan = PolicyPlan()

    def waits(self, attempt: int) -> tuple[float, float]:
        """The least and the most seconds until the attempt after this one."""
        most = {
            "": 0.0 if self.per_stage else self.wait,
            "seconds": RETRY_SECONDS,
            "function": GROWTH_SECONDS * attempt,
        }.get(self.policy.wait, min(GROWTH_SECONDS * 2 ** (attempt - 1), MAX_WAIT_SECONDS))
        return (0.0 if self.policy.wait == "jitter" else most), most


@dataclass(frozen=True, repr=False)
class Trouble(Short):
    """What goes wrong with one item in the first `times` calls of one task."""

    key: int = 0
    stage: int = 0
    task: int = 0
    kind: TroubleKind = drawn(*KINDS)
    times: int = drawn(1, 2, ALWAYS)
    target: int = 0


@dataclass(frozen=True, repr=False)
class Feeding(Short):
    """One call of feed; `at=None` is before the start, None for `cancel_at` is never."""

    items: int = drawn(*ITEMS)
    at: float | None = drawn(*TIMES)
    stage: int = 0
    priority: int = drawn(*PRIORITIES)
    source: Source = drawn(*SOURCES)
    cancel_at: float | None = drawn(*maybe(0.4))


@dataclass(frozen=True, repr=False)
class Call(Short):
    """One call of process, or of submit, whose handle may drop the item some seconds later.

    Where the caller awaits a handle, `cancel_at` cancels what awaits it.
    """

    at: float = drawn(*TIMES)
    priority: int = drawn(*PRIORITIES)
    cancel_at: float | None = drawn(*maybe(0.3))
    how: Literal["process", "submit", "submit_nowait"] = "process"
    drop_at: float | None = None
    expires_in: float | None = None

    @property
    def may_drop(self) -> bool:
        """Whether the item may end as dropped."""
        return not (self.drop_at is self.expires_in is None)


@dataclass(frozen=True, repr=False)
class Stop(Short):
    """One call of shutdown by a bystander, at a time after the first item was read."""

    at: float = drawn(*TIMES)
    drain: bool = drawn(*FLAG)
    timeout: float | None = drawn(*maybe(0.5))


@dataclass(frozen=True, repr=False)
class RunPlan(Short):
    """Driven by `run`, which is perhaps cancelled, once or twice."""

    main: Feeding = Feeding()
    return_exceptions: bool = drawn(*FLAG)
    collect: bool = drawn(True, True, True, True, False)
    cancel_at: float | None = drawn(*maybe(0.4))
    cancel_again: float | None = drawn(None, 0.0, 0.25)
    intruder_at: float | None = drawn(*maybe(0.2))
    stop: Stop | None = None


@dataclass(frozen=True, repr=False)
class StreamPlan(Short):
    """Driven by `stream`, which is left after so many results in one manner or another."""

    main: Feeding = Feeding()
    buffer: int | None = drawn(None, 0, 1, 3)
    pause: float = drawn(0.0, -1.0, 0.5, 2.0)
    leave: Literal["end", "break", "aclose", "error in with", "cancel", "timeouts"] = drawn(*LEAVES)
    after: int = drawn(1, 0, 2, 3, 4)
    cancel_at: float = drawn(*TIMES)
    patience: float = drawn(0.5, 0.25, 1.0)
    feeds: int = drawn(0, 0, 1, 3)
    stop: Stop | None = None


@dataclass(frozen=True, repr=False)
class ServicePlan(Short):
    """Driven by `start`, feeders and callers, and ended at a time."""

    end: Literal["join", "shutdown", "both", "leave", "leave by error"] = drawn(*ENDS)
    at: float = drawn(*TIMES)
    drain: bool = drawn(*FLAG)
    timeout: float | None = drawn(*maybe(0.5))
    cancel_at: float | None = drawn(*maybe(0.2))
    calls: tuple[Call, ...] = ()


Drive = RunPlan | StreamPlan | ServicePlan


@dataclass(frozen=True, repr=False)
class Change(Short):
    """A tracker's callback is set some seconds after the beginning, or removed by None."""

    at: float = drawn(*SHORT_TIMES)
    hook: Hook = drawn(*CALLBACKS)
    manner: Manner | None = drawn(*MANNERS, None)


@dataclass(frozen=True, repr=False)
class ObserverPlan(Short):
    """An observer that has a manner in every so many calls, `only` of one hook or of all."""

    is_tracker: bool = drawn(False, False, False, True, True)
    hooks: tuple[Hook, ...] = drawn(*HOOK_SETS)
    manner: Manner = drawn(*MANNERS)
    only: Hook | None = drawn(None, None, None, "item_status", *HOOKS)
    every: int = drawn(1, 1, 2, 3)
    changes: tuple[Change, ...] = ()
    max_history: int | None = drawn(None, None, 0, 3)


@dataclass(frozen=True, repr=False)
class DashboardPlan(Short):
    """A dashboard that has a manner in every so many calls, `only` of one method or of all.

    One that has hooks observes, too. With `stops` it shuts the pipeline down when it is started.
    """

    interval: float = drawn(0.5, 0.5, 0.25, 4.0)
    manner: Manner = drawn(*MANNERS)
    only: Method | None = drawn(None, "on_start", "on_update", "on_finish")
    every: int = drawn(1, 1, 2, 3)
    hooks: tuple[Hook, ...] = drawn((), (), *HOOK_SETS)
    stops: Literal["", "stop", "drain"] = drawn("", "", "", "", "", "stop", "drain")


@dataclass(frozen=True, repr=False)
class LimitPlan(Short):
    """What limits the tasks of one stage: one of them as a whole, and calls in all of them.

    A task calls twice at once from a group of its own where it fans out, and holds each permit for
    some seconds. Rates and periods are powers of two, so that times are exact.
    """

    stage: int = 0
    task: int = 0
    tasks: int | None = drawn(None, 1, 1, 2)
    calls: int | None = drawn(None, 1, 1, 2)
    rate: float | None = drawn(None, None, 0.5, 1.0, 2.0, 4.0)
    period: float = drawn(1.0, 0.5, 2.0, 8.0)
    fan: Fan = drawn("", "", "group", "gather", "loose")
    hold: float = drawn(0.0, 0.25, 0.5, 1.0)


@dataclass(frozen=True, repr=False)
class StageLimitPlan(Short):
    """A limit on the attempts of some stages, which share it with another pipeline if it `rivals`.

    With `keys` there are so many, and one more that is None. An item costs up to `costs` units.
    At the beginning it is `paused` for some seconds.
    """

    stages: tuple[int, ...] = (0,)
    rate: int | None = drawn(None, 1, 2, 3, 4)
    per: float = drawn(1.0, 0.5, 2.0, 4.0)
    burst: float | None = drawn(None, None, 1, 2, 4, 0.5)
    concurrency: int | None = drawn(None, 1, 1, 2, 3)
    adaptive_to: int | None = drawn(None, None, 6)
    keys: int = drawn(0, 0, 1, 2, 3, 5)
    costs: int = drawn(1, 1, 1, 2, 3)
    rivals: bool = drawn(*FLAG)
    paused: float = 0.0

    @property
    def bounds(self) -> bool:
        """Whether it bounds anything."""
        return self.rate is not None or self.concurrency is not None

    def key(self, value: int) -> int | None:
        """Return the key of an item; 0 for all if it has no keys."""
        return value % (self.keys + 1) or None if self.keys else 0

    def cost(self, value: int) -> int:
        """Return the units of an item."""
        return min(1 + value % self.costs, self.rate or 1)


@dataclass(frozen=True, repr=False)
class RivalPlan(Short):
    """A pipeline of one stage that runs beside the other one, and shares its limits."""

    items: int = drawn(3, 1, 6, 12)
    workers: int = drawn(1, 1, 2, 4)
    duration: float = drawn(0.0, -1.0, 0.25, 1.0)
    pause: float = drawn(0.0, 0.5, 2.0)
    runs: int = drawn(1, 2)


@dataclass(frozen=True, repr=False)
class Resize(Short):
    """One call of set_workers, some seconds after the beginning; it may be refused by then."""

    at: float = drawn(*SHORT_TIMES)
    stage: int = 0
    workers: int = drawn(1, 1, 2, 3, 6)


@dataclass(frozen=True, repr=False)
class Scenario(Short):
    """One trial of the engine; `seed` draws the interleaving, 0 being asyncio's own.

    Where it `asks`, tasks ask for their item and set their status.
    """

    stages: tuple[StagePlan, ...] = (StagePlan(),)
    drive: Drive = RunPlan()
    feedings: tuple[Feeding, ...] = ()
    troubles: tuple[Trouble, ...] = ()
    observers: tuple[ObserverPlan, ...] = ()
    dashboard: DashboardPlan | None = None
    limits: tuple[LimitPlan, ...] = ()
    stage_limits: tuple[StageLimitPlan, ...] = ()
    rival: RivalPlan | None = None
    resizes: tuple[Resize, ...] = ()
    asks: bool = False
    then: Then = drawn("", "refeed", "refeed", "again")
    tick: float = drawn(1e-6, 1e-6, 0.0, 0.0, 1e-3)
    seed: int = 0

    def has(self, *kinds: TroubleKind) -> bool:
        """Return whether there is trouble of one of these kinds."""
        return any(trouble.kind in kinds for trouble in self.troubles)

    def trouble(self, key: int, stage: int, task: int) -> Iterator[Trouble]:
        """What may go wrong with an item in one task."""
        for trouble in self.troubles:
            if (trouble.key, trouble.stage, trouble.task) == (key, stage, task):
                yield trouble

    def is_skipped(self, key: int, stage: int) -> bool:
        """Return whether skip_if has a stage skip an item."""
        kinds = {each.kind for each in self.troubles if (each.key, each.stage) == (key, stage)}
        return "skip" in kinds and "skip raises" not in kinds

    def limits_of(self, stage: int) -> LimitPlan:
        """Return what limits the tasks of a stage."""
        return next((plan for plan in self.limits if plan.stage == stage), LimitPlan(stage))

    def stage_limits_of(self, stage: int) -> list[int]:
        """Return the numbers of the limits that bound the attempts of a stage."""
        return [
            number
            for number, plan in enumerate(self.stage_limits)
            if stage in plan.stages and plan.bounds and not (plan.keys and self.stages[stage].pull)
        ]

    def keyed_limits_of(self, stage: int) -> list[StageLimitPlan]:
        """Return the limits with keys that bound the attempts of a stage."""
        plans = (self.stage_limits[number] for number in self.stage_limits_of(stage))
        return [plan for plan in plans if plan.keys]

    def keys_of(self, key: int, stage: int) -> tuple[int | None, ...]:
        """Return the keys of an item for the keyed limits of a stage."""
        return tuple(plan.key(key) for plan in self.keyed_limits_of(stage))

    @property
    def is_prompt(self) -> bool:
        """Whether no observer takes time."""
        manners = self._manners()
        if self.dashboard is not None and self.dashboard.hooks:
            manners.add(self.dashboard.manner)
        return manners <= set(PROMPT)

    def most_workers(self, stage: int) -> int:
        """Return how many workers a stage has at most."""
        numbers = [resize.workers for resize in self.resizes if resize.stage == stage]
        return max(self.stages[stage].workers, *numbers, 0)

    @property
    def is_fed_from_inside(self) -> bool:
        """Whether a task, an observer, the dashboard or the consumer of a stream feeds."""
        return (
            self.has("feed")
            or bool(getattr(self.drive, "feeds", 0))
            or "feeds" in self._manners()
            or (self.dashboard is not None and self.dashboard.manner == "feeds")
        )

    @property
    def is_ordered(self) -> bool:
        """Whether nothing holds up an item before its task, or between task and next stage."""
        return self.is_prompt and not any(plan.tasks for plan in self.limits)

    def _manners(self) -> set[Manner]:
        changes = {change.manner or "plain" for o in self.observers for change in o.changes}
        return changes | {plan.manner for plan in self.observers}


# What must become of an item


def outcome(scenario: Scenario, key: int, stage: int, calls: Calls) -> int | None:
    """Return the stage in which an item that enters one must fail, after these calls with it."""
    calls = Counter(calls)
    for number in range(stage, len(scenario.stages)):
        if scenario.is_skipped(key, number):
            continue
        if scenario.stages[number].policy.is_timed:
            return UNKNOWN
        if not _passes(scenario, key, number, calls):
            return number
    return None


def _passes(scenario: Scenario, key: int, stage: int, calls: Calls) -> bool:
    plan = scenario.stages[stage]
    tasks = [(key, stage, task) for task in range(len(plan.durations))]
    rows = [tasks] if plan.per_stage else [[task] for task in tasks]
    return all(_succeeds(scenario, plan, row, calls) for row in rows)


def _succeeds(
    scenario: Scenario, plan: StagePlan, tasks: list[tuple[int, int, int]], calls: Calls
) -> bool:
    """Make attempts at a row of tasks until one succeeds at all of them."""
    repeated = ["fail", "timeout", "retry after", "retry after pause"]
    if plan.policy.repeats("final"):
        repeated.append("final")
    for _ in range(plan.attempts):
        for task in tasks:
            calls[task] += 1
            kind = _end_of_attempt(scenario, task, calls[task])
            if kind in repeated:
                break
            if kind is not None:
                return False
        else:
            return True
    return False


def _end_of_attempt(
    scenario: Scenario, task: tuple[int, int, int], call: int
) -> TroubleKind | None:
    for trouble in scenario.trouble(*task):
        if trouble.kind in RAISING and call <= trouble.times:
            return trouble.kind
    return None


# Drawing


def grow(mode: Mode, number: int) -> Scenario:
    """Make the scenario of this number, driven in one mode; a part is observed or limited."""
    if mode == "contended":
        return _contended(Random(f"contention of {number}"))
    draw = Random(number)
    stages = tuple(_stage(draw, index) for index in range(draw.randint(1, 4)))
    few = draw.choice((1, 2, 3) if mode == "service" else (0, 0, 1, 2))
    feedings = tuple(_feeding(draw, len(stages), mode) for _ in range(few))
    drive = _drive(draw, mode)
    keys = _keys(drive, feedings)
    number_of_troubles = draw.choice((0, 1, 1, 2, 2, 3, 4)) if keys else 0
    troubles = tuple(_trouble(draw, stages, keys) for _ in range(number_of_troubles))
    if draw.random() < 0.2:
        stages, flaky = _flaky(draw, stages, keys)
        troubles += flaky
    seed = 0 if draw.random() < 0.1 else draw.randint(1, 10**6)
    plans: dict[str, Any] = {"stages": stages, "feedings": feedings}
    if draw.random() < WATCHED_ODDS:
        plans = _watched(draw, mode, stages, feedings)
    scenario = _make(draw, Scenario, **plans, drive=drive, troubles=troubles, seed=seed)
    draw = Random(f"policies of {number}")
    if draw.random() < POLICY_ODDS:
        scenario = _with_policies(draw, scenario, keys)
    draw = Random(f"handles of {number}")
    if draw.random() < HANDLE_ODDS:
        scenario = _with_handles(draw, scenario)
    draw = Random(f"stage limits of {number}")
    if draw.random() < LIMIT_ODDS:
        scenario = _with_stage_limits(draw, scenario, keys)
    draw = Random(f"workers of {number}")
    if draw.random() < RESIZED_ODDS:
        scenario = replace(scenario, resizes=tuple(_resizes(draw, len(stages))))
    return scenario


def _make(draw: Random, plan: Callable[..., P], **given: Any) -> P:
    """Make a plan, with each field that is not given drawn from its choices."""
    for each in fields(plan):  # type: ignore[arg-type]
        if each.name not in given and "choices" in each.metadata:
            given[each.name] = draw.choice(each.metadata["choices"])
    return plan(**given)


def _stage(draw: Random, index: int) -> StagePlan:
    pull = index > 0 and draw.random() < 0.2
    durations = tuple(
        tuple(draw.choices(DURATIONS, k=draw.randint(1, 3))) for _ in range(draw.choice((1, 1, 2)))
    )
    per_stage = not pull and draw.random() < 0.4
    plan = _make(draw, StagePlan, pull=pull, per_stage=per_stage, durations=durations)
    return replace(plan, capacity=None) if pull else plan


def _feeding(draw: Random, stages: int, mode: Mode) -> Feeding:
    plan = _make(draw, Feeding, stage=draw.choice((0, draw.randrange(stages))))
    return replace(plan, at=None) if mode == "service" and draw.random() < 0.2 else plan


def _drive(draw: Random, mode: Mode) -> Drive:
    if mode == "service":
        calls = tuple(_make(draw, Call) for _ in range(draw.choice((0, 0, 1, 3))))
        return _make(draw, ServicePlan, calls=calls)
    main = _make(draw, Feeding, at=0.0, priority=100, cancel_at=None)
    stop = _make(draw, Stop) if draw.random() < (0.2 if mode == "run" else 0.3) else None
    if mode == "run":
        return _make(draw, RunPlan, main=main, stop=stop)
    return _make(draw, StreamPlan, main=main, stop=stop)


def _keys(drive: Drive, feedings: tuple[Feeding, ...]) -> list[int]:
    """All keys that the scenario feeds by itself."""
    if isinstance(drive, ServicePlan):
        keys = [CALL_KEYS + number for number in range(len(drive.calls))]
    else:
        keys = list(range(drive.main.items))
    for number, feeding in enumerate(feedings, start=1):
        keys += range(FEEDING_KEYS * number, FEEDING_KEYS * number + feeding.items)
    return keys


def _trouble(draw: Random, stages: tuple[StagePlan, ...], keys: list[int]) -> Trouble:
    stage = draw.randrange(len(stages))
    return _make(
        draw,
        Trouble,
        key=draw.choice(draw.choice((keys, keys[:3]))),
        stage=stage,
        task=draw.randrange(len(stages[stage].durations)),
        target=draw.randrange(len(stages)),
    )


def _flaky(
    draw: Random, stages: tuple[StagePlan, ...], keys: list[int]
) -> tuple[tuple[StagePlan, ...], tuple[Trouble, ...]]:
    """Have most items fail once in one stage, which waits before it tries them again."""
    index = draw.randrange(len(stages))
    plan = replace(
        stages[index],
        capacity=stages[index].capacity if stages[index].pull else draw.choice((1, 2, None)),
        attempts=draw.randint(2, 3),
        wait=draw.choice((0.25, 0.5, 1.0)),
        durations=draw.choice((stages[index].durations, ((0.0,),))),
        per_stage=False,
    )
    failing = [key for key in keys if draw.random() < 0.8]
    return (
        (*stages[:index], plan, *stages[index + 1 :]),
        tuple(Trouble(key=key, stage=index) for key in failing),
    )


def _with_policies(draw: Random, scenario: Scenario, keys: list[int]) -> Scenario:
    """Give stages policies and time limits, and items the troubles that these are for."""
    stages, troubles = list(scenario.stages), list(scenario.troubles)
    for index, plan in enumerate(stages):
        if draw.random() < 0.7:
            policy = _make(draw, PolicyPlan)
            if scenario.limits_of(index).fan == "loose":  # leaves calls behind that are counted
                policy = replace(policy, task_timeout=None, item_timeout=None)
            attempts = draw.choice((plan.attempts, 2, 3, 4))
            stages[index] = replace(plan, policy=policy, attempts=attempts)
    for _ in range(draw.choice((1, 2, 3, 5)) if keys else 0):
        kind = draw.choice(POLICY_KINDS)
        trouble = replace(_trouble(draw, scenario.stages, keys), kind=kind)
        troubles.append(trouble)
        resistance = draw.choice(RESISTANCE)
        if kind in ("hang", "strike") and resistance is not None:
            troubles.append(replace(trouble, kind=resistance))
    return replace(scenario, stages=tuple(stages), troubles=tuple(troubles))


def _with_stage_limits(draw: Random, scenario: Scenario, keys: list[int]) -> Scenario:
    """Give stages limits on attempts, and items the troubles that these are for."""
    numbers, stages = range(len(scenario.stages)), list(scenario.stages)
    limits = []
    for _ in range(draw.choice((1, 1, 2, 3))):
        plan = _make(draw, StageLimitPlan)
        if not plan.bounds:
            bounds: dict[str, Any] = draw.choice(({"rate": 2}, {"concurrency": 1}))
            plan = replace(plan, **bounds)
        size = draw.randint(1, len(stages))
        limits.append(replace(plan, stages=tuple(sorted(draw.sample(numbers, size)))))
    for index, stage in enumerate(stages):
        if draw.random() < 0.3:
            policy = replace(stage.policy, max_parked=draw.choice((1, 2, 3)))
            stages[index] = replace(stage, policy=policy)
    kinds = draw.choices(LIMIT_KINDS, k=draw.choice((0, 1, 2, 4)) if keys else 0)
    troubles = [replace(_trouble(draw, scenario.stages, keys), kind=kind) for kind in kinds]
    if draw.random() < 0.3:  # most items, at least the later ones, have the same
        kinds_of_all: tuple[TroubleKind, ...] = ("retry after", "skip", "pause key")
        number, kind_of_all = draw.randrange(len(stages)), draw.choice(kinds_of_all)
        size = draw.randint(0, len(keys))
        troubles += [Trouble(key=key, stage=number, kind=kind_of_all) for key in keys[size:]]
        stages[number] = replace(stages[number], workers=5, attempts=2)
    return replace(
        scenario,
        stages=tuple(stages),
        troubles=scenario.troubles + tuple(troubles),
        stage_limits=tuple(limits),
        rival=_make(draw, RivalPlan) if draw.random() < 0.4 else None,
    )


def _contended(draw: Random) -> Scenario:
    """Draw a service whose callers submit much at once that waits for few limits, and drop some.

    Nothing else goes wrong, so that what waits does so for the limits, and for long.
    """
    stages = tuple(_contended_stage(draw, index) for index in range(draw.choice((1, 2))))
    numbers = tuple(range(len(stages)))
    limits = tuple(
        StageLimitPlan(
            stages=draw.choice((numbers, (0,))),
            per=draw.choice((2.0, 4.0)),
            keys=draw.choice((0, 2, 3)),
            rivals=draw.choice(FLAG),
            paused=draw.choice((0.0, 0.5, 1.5)),
            **draw.choice(CONTENDED_BOUNDS),
        )
        for _ in range(draw.choice((0, 1, 2)))
    )
    calls = tuple(
        Call(
            at=draw.choice((0.0, 0.0, 0.0, 0.25, 0.5)),
            priority=draw.choice((100, 1)),
            how="submit",
            drop_at=draw.choice(maybe(0.4, SHORT_TIMES[1:])),
        )
        for _ in range(draw.choice((4, 12)))
    )
    keys = [CALL_KEYS + number for number in range(len(calls))]
    kinds: tuple[TroubleKind, ...] = ("pause", "pause key", "retry after", "retry after")
    troubles = tuple(
        Trouble(key=draw.choice(keys[:4]), stage=draw.choice(numbers), kind=draw.choice(kinds))
        for _ in range(draw.choice((1, 2, 4)))
    )
    return Scenario(
        stages=stages,
        drive=ServicePlan(end="join", at=4.0, calls=calls),
        troubles=troubles,
        stage_limits=limits,
        rival=_make(draw, RivalPlan, items=draw.choice((3, 6))) if draw.random() < 0.6 else None,
        tick=draw.choice((1e-6, 0.0)),
        seed=draw.randint(0, 10**6),
    )


def _contended_stage(draw: Random, index: int) -> StagePlan:
    return StagePlan(
        workers=draw.choice((1, 1, 2, 5)),
        pull=index > 0,
        attempts=2,
        durations=(tuple(draw.choices((-1.0, 0.25, 1.0), k=2)),),
        policy=PolicyPlan(max_parked=draw.choice((None, 1, 2))),
    )


def _with_handles(draw: Random, scenario: Scenario) -> Scenario:
    """Have a service called by more callers, who submit and drop, some of them into trouble."""
    drive, troubles = scenario.drive, list(scenario.troubles)
    if not isinstance(drive, ServicePlan):
        return scenario
    more = tuple(_make(draw, Call) for _ in range(draw.choice((1, 2, 4, 8))))
    calls = tuple(
        replace(
            call,
            how=draw.choice(("process", "submit", "submit", "submit_nowait")),
            drop_at=draw.choice(maybe(0.5, (*SHORT_TIMES, 0.0, 0.0))),
            expires_in=draw.choice(maybe(0.4, SHORT_TIMES)),
        )
        for call in drive.calls + more
    )
    drive = replace(drive, calls=tuple(_only_handles_drop(call) for call in calls))
    keys = [CALL_KEYS + number for number in range(len(calls))]
    number = draw.choice((0, 0, 1, 3))
    troubles.extend(_trouble(draw, scenario.stages, keys) for _ in range(number))
    return replace(scenario, drive=drive, troubles=tuple(troubles))


def _only_handles_drop(call: Call) -> Call:
    """Return a call whose end is seen: that of a cancelled call of process might not be."""
    if call.how != "process":
        return call
    return replace(
        call, drop_at=None, cancel_at=None if call.expires_in is not None else call.cancel_at
    )


def _resizes(draw: Random, stages: int) -> Iterator[Resize]:
    """Draw calls of set_workers, some of them at the same moment."""
    for _ in range(draw.choice((1, 2, 3))):
        first = _make(draw, Resize, stage=draw.randrange(stages))
        yield first
        if draw.random() < 0.4:
            yield _make(draw, Resize, at=first.at, stage=first.stage)


def _watched(
    draw: Random, mode: Mode, stages: tuple[StagePlan, ...], feedings: tuple[Feeding, ...]
) -> dict[str, Any]:
    """Draw observers and limits, and maybe feeders that wait for room at the same time."""
    crowd: tuple[Feeding, ...] = ()
    if draw.random() < 0.3:
        at, size = draw.choice(SHORT_TIMES), draw.choice((2, 2, 3))
        stage = draw.choice([number for number, plan in enumerate(stages) if not plan.pull])
        crowd = tuple(
            Feeding(items=draw.choice((1, 2, 4)), at=at, stage=stage) for _ in range(size)
        )
    has_dashboard = mode != "service" and draw.random() < 0.4
    has_limits = draw.random() < 0.4
    return {
        "stages": stages,
        "feedings": feedings + crowd,
        "observers": tuple(_observer(draw) for _ in range(draw.choice((0, 1, 1, 2, 2, 3)))),
        "dashboard": _make(draw, DashboardPlan) if has_dashboard else None,
        "limits": tuple(
            _make(draw, LimitPlan, stage=stage, task=draw.randrange(len(plan.durations)))
            for stage, plan in enumerate(stages)
            if has_limits and draw.random() < 0.7
        ),
        "asks": draw.random() < 0.3,
    }


def _observer(draw: Random) -> ObserverPlan:
    plan = _make(draw, ObserverPlan)
    changes = draw.choice((0, 0, 1, 2, 3)) if plan.is_tracker else 0
    return replace(plan, changes=tuple(_make(draw, Change) for _ in range(changes)))


# Simplifying


def simplest(scenario: Scenario, fails: Callable[[Scenario], bool], tries: int) -> Scenario:
    """Simplify a failing scenario step by step for as long as it fails and there are tries."""
    candidates = simpler(scenario)
    for _ in range(tries):
        candidate = next(candidates, None)
        if candidate is None:
            break
        if fails(candidate):
            scenario, candidates = candidate, simpler(candidate)
    return scenario


def simpler(value: Any) -> Iterator[Any]:
    """Yield values that are one step simpler, the simplest first; not all of them make sense."""
    if is_dataclass(value):
        yield from _simpler_fields(value)
    elif isinstance(value, tuple):
        for index in range(len(value)):
            yield value[:index] + value[index + 1 :]
        for index, part in enumerate(value):
            for smaller in simpler(part):
                yield (*value[:index], smaller, *value[index + 1 :])
    elif isinstance(value, int) and not isinstance(value, bool) and value > 1:
        yield value // 2
        yield value - 1


def _simpler_fields(value: Any) -> Iterator[Any]:
    for each in fields(value):
        now = getattr(value, each.name)
        if now != each.default:
            yield replace(value, **{each.name: each.default})
            for smaller in simpler(now):
                yield replace(value, **{each.name: smaller})
