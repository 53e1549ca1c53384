"""What the fuzz draws: a pipeline, its items and their troubles, and how it is driven.

A scenario is plain data whose `repr` is Python that can be pasted into a regression test. Items
are numbers ("keys"), and every task returns the key that it was given. `outcome` says what must
become of an item that nobody interrupts; `tests.core.trial` runs a scenario and checks it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any, Literal, Protocol, TypeVar

from hypothesis import strategies as st

T = TypeVar("T")
Calls = Counter[tuple[int, int, int]]

ALWAYS = 99
FEEDING_KEYS = 100
CALL_KEYS = 1_000
AGAIN_KEYS = 2_000
CHILD_KEYS = 10_000

TroubleKind = Literal[
    "fail",  # raises an Exception
    "cancelled",  # raises CancelledError itself
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
]
Source = Literal["list", "generator", "async", "slow", "broken"]
Callbacks = Literal["", "sync", "async", "sync raises", "async raises"]
Then = Literal["", "refeed", "again"]


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
class StagePlan(Short):
    """One stage; `durations` has for each task the seconds that items take, item by item.

    A duration of 0 never suspends, and a negative one gives way once.
    """

    workers: int = 1
    capacity: int | None = None
    pull: bool = False
    per_stage: bool = False
    attempts: int = 1
    wait: float = 0.0
    durations: tuple[tuple[float, ...], ...] = ((0.0,),)
    callbacks: Callbacks = ""


@dataclass(frozen=True, repr=False)
class Trouble(Short):
    """What goes wrong with one item in the first `times` calls of one task."""

    key: int = 0
    stage: int = 0
    task: int = 0
    kind: TroubleKind = "fail"
    times: int = 1
    target: int = 0


@dataclass(frozen=True, repr=False)
class Feeding(Short):
    """One call of feed; `at=None` is before the start, None for `cancel_at` is never."""

    items: int = 0
    at: float | None = 0.0
    stage: int = 0
    priority: int = 100
    source: Source = "list"
    cancel_at: float | None = None


@dataclass(frozen=True, repr=False)
class Call(Short):
    """One call of process."""

    at: float = 0.0
    priority: int = 100
    cancel_at: float | None = None


@dataclass(frozen=True, repr=False)
class Stop(Short):
    """One call of shutdown by a bystander, at a time after the first item was read."""

    at: float = 0.0
    drain: bool = False
    timeout: float | None = None


@dataclass(frozen=True, repr=False)
class RunPlan(Short):
    """Driven by `run`, which is perhaps cancelled, once or twice."""

    main: Feeding = Feeding()
    return_exceptions: bool = False
    collect: bool = True
    cancel_at: float | None = None
    cancel_again: float | None = None
    intruder_at: float | None = None
    stop: Stop | None = None


@dataclass(frozen=True, repr=False)
class StreamPlan(Short):
    """Driven by `stream`, which is left after so many results in one way or another."""

    main: Feeding = Feeding()
    buffer: int | None = None
    pause: float = 0.0
    leave: Literal["end", "break", "aclose", "error in with", "cancel", "timeouts"] = "end"
    after: int = 1
    cancel_at: float = 0.0
    patience: float = 0.5
    feeds: int = 0
    stop: Stop | None = None


@dataclass(frozen=True, repr=False)
class ServicePlan(Short):
    """Driven by `start`, feeders and callers, and ended at a time."""

    end: Literal["join", "shutdown", "both", "leave", "leave by error"] = "join"
    at: float = 0.0
    drain: bool = False
    timeout: float | None = None
    cancel_at: float | None = None
    calls: tuple[Call, ...] = ()


@dataclass(frozen=True, repr=False)
class Scenario(Short):
    """One trial of the engine; `seed` draws the interleaving, 0 being asyncio's own."""

    stages: tuple[StagePlan, ...] = (StagePlan(),)
    drive: RunPlan | StreamPlan | ServicePlan = RunPlan()
    feedings: tuple[Feeding, ...] = ()
    troubles: tuple[Trouble, ...] = ()
    then: Then = ""
    tick: float = 1e-6
    seed: int = 0

    def has(self, *kinds: TroubleKind) -> bool:
        """Tell whether there is trouble of one of these kinds."""
        return any(trouble.kind in kinds for trouble in self.troubles)

    def trouble(self, key: int, stage: int, task: int) -> Iterator[Trouble]:
        """What may go wrong with an item in one task."""
        for trouble in self.troubles:
            if (trouble.key, trouble.stage, trouble.task) == (key, stage, task):
                yield trouble

    def is_skipped(self, key: int, stage: int) -> bool:
        """Whether skip_if tells a stage to skip an item."""
        kinds = {
            trouble.kind
            for trouble in self.troubles
            if (trouble.key, trouble.stage) == (key, stage)
        }
        return "skip" in kinds and "skip raises" not in kinds


@dataclass(frozen=True)
class Outcome:
    """What must become of an item: the stage in which it fails, or None."""

    fails_in: int | None = None


def outcome(scenario: Scenario, key: int, stage: int, calls: Calls) -> Outcome:
    """Foretell what becomes of an item that enters a stage, given the calls made with it before."""
    calls = Counter(calls)
    for number in range(stage, len(scenario.stages)):
        if not scenario.is_skipped(key, number) and not _passes(scenario, key, number, calls):
            return Outcome(fails_in=number)
    return Outcome()


def _passes(scenario: Scenario, key: int, stage: int, calls: Calls) -> bool:
    plan = scenario.stages[stage]
    tasks = range(len(plan.durations))
    if plan.per_stage:
        return _succeeds(scenario, plan.attempts, [(key, stage, task) for task in tasks], calls)
    return all(_succeeds(scenario, plan.attempts, [(key, stage, task)], calls) for task in tasks)


def _succeeds(
    scenario: Scenario, attempts: int, tasks: list[tuple[int, int, int]], calls: Calls
) -> bool:
    """Make attempts at a row of tasks until one gets through all of them."""
    for _ in range(attempts):
        for task in tasks:
            calls[task] += 1
            kind = next(_ends_of_attempt(scenario, task, calls[task]), None)
            if kind == "fail":
                break
            if kind is not None:
                return False
        else:
            return True
    return False


def _ends_of_attempt(
    scenario: Scenario, task: tuple[int, int, int], call: int
) -> Iterator[TroubleKind]:
    for trouble in scenario.trouble(*task):
        if trouble.kind in ("fail", "cancelled", "fatal") and call <= trouble.times:
            yield trouble.kind


class Draw(Protocol):
    """Hypothesis' `draw`."""

    def __call__(self, strategy: st.SearchStrategy[T]) -> T:
        """Draw a value."""


TIMES = (0.0, 0.5, 1.0, 1.5, 2.5, 4.0)
MAYBE_TIMES = (None, *TIMES)
DURATIONS = (0.0, -1.0, 0.5, 1.0, 0.25, 1.25)
PRIORITIES = (100, 1, 200)
KINDS: tuple[TroubleKind, ...] = (
    *("fail", "fail", "fail", "cancelled", "feed", "feed", "skip", "stubborn", "swallow"),
    *("convert", "skip raises", "fatal", "suicide", "late suicide", "misuse"),
)

_times = st.sampled_from(TIMES)
_maybe_times = st.sampled_from(MAYBE_TIMES)
_rarely = st.sampled_from((False, False, False, True))
_sometimes = st.booleans()
_durations = st.lists(st.sampled_from(DURATIONS), min_size=1, max_size=3).map(tuple)
_tasks = st.lists(_durations, min_size=1, max_size=2).map(tuple)
_callbacks: st.SearchStrategy[Callbacks] = st.sampled_from(
    ("", "", "", "sync", "async", "sync raises", "async raises")
)
_capacities = st.sampled_from((None, 1, 2, 1, 3, 5, 0))
_workers = st.sampled_from((1, 2, 1, 3, 5))
_attempts = st.sampled_from((1, 2, 3))
_waits = st.sampled_from((0.0, 0.5, 0.0, 1.0))
_counts = st.sampled_from((1, 2, 3, 4, 5, 6, 8, 10, 12, 0))
_few = st.integers(0, 4)
_troubles = st.sampled_from((0, 1, 1, 2, 2, 3, 4))
_priorities = st.sampled_from(PRIORITIES)
_feeders = {
    "run": st.sampled_from((0, 0, 1, 2)),
    "stream": st.sampled_from((0, 0, 1, 2)),
    "service": st.sampled_from((1, 2, 3, 0)),
}
_sources: st.SearchStrategy[Source] = st.sampled_from(
    ("list", "list", "generator", "async", "slow", "broken")
)
_kinds = st.sampled_from(KINDS)
_how_often = st.sampled_from((1, 2, ALWAYS))
_ticks = st.sampled_from((1e-6, 0.0, 1e-3))
_seeds = st.integers(0, 2**20)
_thens: st.SearchStrategy[Then] = st.sampled_from(("", "refeed", "again", "refeed"))


@st.composite
def scenarios(draw: Draw, mode: Literal["run", "stream", "service"]) -> Scenario:
    """Draw a scenario that is driven in one way."""
    stages = tuple(_draw_stage(draw, number) for number in range(draw(st.integers(1, 4))))
    feedings = tuple(
        _draw_feeding(draw, len(stages), may_precede=mode == "service")
        for _ in range(draw(_feeders[mode]))
    )
    drive = _DRIVES[mode](draw)
    keys = _keys(drive, feedings)
    return Scenario(
        stages=stages,
        drive=drive,
        feedings=feedings,
        troubles=tuple(
            _draw_trouble(draw, stages, keys) for _ in range(draw(_troubles) if keys else 0)
        ),
        then=draw(_thens),
        tick=draw(_ticks),
        seed=draw(_seeds),
    )


def _draw_stage(draw: Draw, number: int) -> StagePlan:
    pull = number > 0 and draw(_rarely)
    return StagePlan(
        workers=draw(_workers),
        capacity=None if pull else draw(_capacities),
        pull=pull,
        per_stage=not pull and draw(_sometimes),
        attempts=draw(_attempts),
        wait=draw(_waits),
        durations=draw(_tasks),
        callbacks=draw(_callbacks),
    )


def _draw_feeding(draw: Draw, stages: int, may_precede: bool) -> Feeding:
    return Feeding(
        items=draw(_counts),
        at=draw(_maybe_times if may_precede else _times),
        stage=draw(st.integers(0, stages - 1)),
        priority=draw(_priorities),
        source=draw(_sources),
        cancel_at=draw(_maybe_times) if draw(_sometimes) else None,
    )


def _draw_trouble(draw: Draw, stages: tuple[StagePlan, ...], keys: list[int]) -> Trouble:
    stage = draw(st.integers(0, len(stages) - 1))
    return Trouble(
        key=draw(st.sampled_from((*keys[:3], *keys[:3], *keys))),
        stage=stage,
        task=draw(st.integers(0, len(stages[stage].durations) - 1)),
        kind=draw(_kinds),
        times=draw(_how_often),
        target=draw(st.integers(0, len(stages) - 1)),
    )


def _draw_main(draw: Draw) -> Feeding:
    return Feeding(items=draw(_counts), source=draw(_sources))


def _draw_stop(draw: Draw) -> Stop:
    return Stop(at=draw(_times), drain=draw(_sometimes), timeout=draw(_maybe_times))


def _draw_run(draw: Draw) -> RunPlan:
    cancel_at = draw(_maybe_times) if draw(_sometimes) else None
    return RunPlan(
        main=_draw_main(draw),
        return_exceptions=draw(_sometimes),
        collect=not draw(_rarely),
        cancel_at=cancel_at,
        cancel_again=None if cancel_at is None else draw(st.sampled_from((None, 0.0, 0.25))),
        intruder_at=draw(_maybe_times) if draw(_rarely) else None,
        stop=_draw_stop(draw) if draw(_rarely) else None,
    )


def _draw_stream(draw: Draw) -> StreamPlan:
    return StreamPlan(
        main=_draw_main(draw),
        buffer=draw(st.sampled_from((None, 0, 1, 3))),
        pause=draw(st.sampled_from((0.0, -1.0, 0.5, 2.0))),
        leave=draw(
            st.sampled_from(
                ("end", "end", "timeouts", "break", "aclose", "error in with", "cancel", "timeouts")
            )
        ),
        after=draw(_few),
        cancel_at=draw(_times),
        patience=draw(st.sampled_from((0.5, 0.25, 1.0))),
        feeds=draw(_few) if draw(_rarely) else 0,
        stop=_draw_stop(draw) if draw(_rarely) else None,
    )


def _draw_service(draw: Draw) -> ServicePlan:
    return ServicePlan(
        end=draw(
            st.sampled_from(
                ("join", "join", "shutdown", "shutdown", "both", "leave", "leave by error")
            )
        ),
        at=draw(_times),
        drain=draw(_sometimes),
        timeout=draw(_maybe_times),
        cancel_at=draw(_maybe_times) if draw(_rarely) else None,
        calls=tuple(_draw_call(draw) for _ in range(draw(_few) if draw(_rarely) else 0)),
    )


def _draw_call(draw: Draw) -> Call:
    return Call(
        at=draw(_times),
        priority=draw(_priorities),
        cancel_at=draw(_maybe_times) if draw(_rarely) else None,
    )


_DRIVES: dict[str, Any] = {"run": _draw_run, "stream": _draw_stream, "service": _draw_service}


def _keys(drive: RunPlan | StreamPlan | ServicePlan, feedings: tuple[Feeding, ...]) -> list[int]:
    """All keys that the scenario feeds by itself, the simplest first."""
    if isinstance(drive, ServicePlan):
        keys = [CALL_KEYS + number for number in range(len(drive.calls))]
    else:
        keys = list(range(drive.main.items))
    for number, feeding in enumerate(feedings, start=1):
        keys += range(FEEDING_KEYS * number, FEEDING_KEYS * number + feeding.items)
    return keys
