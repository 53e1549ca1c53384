"""What the fuzz draws: a pipeline, its items and their troubles, and how it is driven.

A scenario is plain data whose `repr` is Python that can be pasted into a regression test. Items
are numbers ("keys"), and every task returns the key that it was given. `outcome` says what must
become of an item that nobody interrupts; `tests.core.fuzzing` runs a scenario and checks it.

A scenario grows from one number, which hypothesis draws: so it takes microseconds where drawing
each part takes milliseconds, and few scenarios are trivial. `simpler` is what makes up for the lost
shrinking: it knows the parts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, is_dataclass, replace
from random import Random
from typing import Any, Literal

Mode = Literal["run", "stream", "service"]
Calls = Counter[tuple[int, int, int]]

ALWAYS = 99
FEEDING_KEYS = 100
CALL_KEYS = 1_000
AGAIN_KEYS = 2_000
CHILD_KEYS = 10_000

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
            if kind in ("fail", "timeout"):
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
        if trouble.kind in ("fail", "timeout", "cancelled", "fatal") and call <= trouble.times:
            yield trouble.kind


TIMES = (0.0, 0.5, 1.0, 1.5, 2.5, 4.0)
DURATIONS = (0.0, 0.0, -1.0, 0.25, 0.5, 1.0, 1.25)
PRIORITIES = (100, 100, 1, 200)
ITEMS = (0, 1, 2, 3, 4, 6, 8, 10, 12)
SOURCES: tuple[Source, ...] = ("list", "list", "generator", "async", "slow", "stuck", "broken")
KINDS: tuple[TroubleKind, ...] = (
    *("fail", "fail", "fail", "fail", "cancelled", "feed", "feed", "skip", "stubborn", "swallow"),
    *("convert", "skip raises", "fatal", "suicide", "late suicide", "misuse", "timeout"),
)
CALLBACKS: tuple[Callbacks, ...] = ("", "", "", "sync", "async", "sync raises", "async raises")
THENS: tuple[Then, ...] = ("", "refeed", "refeed", "again")


def grow(mode: Mode, number: int) -> Scenario:
    """Make the scenario of this number, driven in one way."""
    draw = Random(number)
    stages = tuple(_stage(draw, place) for place in range(draw.randint(1, 4)))
    few = draw.choice((1, 2, 3) if mode == "service" else (0, 0, 1, 2))
    feedings = tuple(_feeding(draw, len(stages), mode) for _ in range(few))
    drive = _DRIVES[mode](draw)
    keys = _keys(drive, feedings)
    number_of_troubles = draw.choice((0, 1, 1, 2, 2, 3, 4)) if keys else 0
    troubles = [_trouble(draw, stages, keys) for _ in range(number_of_troubles)]
    if _chance(draw, 0.2):
        stages, flaky = _flaky(draw, stages, keys)
        troubles += flaky
    return Scenario(
        stages=stages,
        drive=drive,
        feedings=feedings,
        troubles=tuple(troubles),
        then=draw.choice(THENS),
        tick=draw.choice((1e-6, 1e-6, 0.0, 0.0, 1e-3)),
        seed=draw.choice((0, *range(1, 10))) and draw.randint(1, 10**6),
    )


def _chance(draw: Random, odds: float) -> bool:
    return draw.random() < odds


def _perhaps_time(draw: Random, odds: float) -> float | None:
    return draw.choice(TIMES) if _chance(draw, odds) else None


def _stage(draw: Random, place: int) -> StagePlan:
    pull = place > 0 and _chance(draw, 0.2)
    return StagePlan(
        workers=draw.choice((1, 1, 2, 3, 5)),
        capacity=None if pull else draw.choice((None, 0, 1, 1, 2, 3, 5)),
        pull=pull,
        per_stage=not pull and _chance(draw, 0.4),
        attempts=draw.randint(1, 3),
        wait=draw.choice((0.0, 0.0, 0.5, 1.0)),
        durations=tuple(_durations(draw) for _ in range(draw.choice((1, 1, 2)))),
        callbacks=draw.choice(CALLBACKS),
    )


def _durations(draw: Random) -> tuple[float, ...]:
    return tuple(draw.choice(DURATIONS) for _ in range(draw.randint(1, 3)))


def _feeding(draw: Random, stages: int, mode: Mode) -> Feeding:
    return Feeding(
        items=draw.choice(ITEMS),
        at=None if mode == "service" and _chance(draw, 0.2) else draw.choice(TIMES),
        stage=draw.choice((0, draw.randrange(stages))),
        priority=draw.choice(PRIORITIES),
        source=draw.choice(SOURCES),
        cancel_at=_perhaps_time(draw, 0.4),
    )


def _trouble(draw: Random, stages: tuple[StagePlan, ...], keys: list[int]) -> Trouble:
    stage = draw.randrange(len(stages))
    return Trouble(
        key=draw.choice(draw.choice((keys, keys[:3]))),
        stage=stage,
        task=draw.randrange(len(stages[stage].durations)),
        kind=draw.choice(KINDS),
        times=draw.choice((1, 2, ALWAYS)),
        target=draw.randrange(len(stages)),
    )


def _flaky(
    draw: Random, stages: tuple[StagePlan, ...], keys: list[int]
) -> tuple[tuple[StagePlan, ...], list[Trouble]]:
    """Have most items fail once in one stage, which waits before it tries them again."""
    place = draw.randrange(len(stages))
    plan = stages[place]
    plan = replace(
        plan,
        capacity=plan.capacity if plan.pull else draw.choice((1, 2, None)),
        attempts=draw.randint(2, 3),
        wait=draw.choice((0.25, 0.5, 1.0)),
        per_stage=False,
    )
    stages = (*stages[:place], plan, *stages[place + 1 :])
    failing = [key for key in keys if _chance(draw, 0.8)]
    return stages, [Trouble(key=key, stage=place) for key in failing]


def _main(draw: Random) -> Feeding:
    return Feeding(items=draw.choice(ITEMS), source=draw.choice(SOURCES))


def _run(draw: Random) -> RunPlan:
    cancel_at = _perhaps_time(draw, 0.4)
    return RunPlan(
        main=_main(draw),
        return_exceptions=_chance(draw, 0.5),
        collect=_chance(draw, 0.8),
        cancel_at=cancel_at,
        cancel_again=None if cancel_at is None else draw.choice((None, 0.0, 0.25)),
        intruder_at=_perhaps_time(draw, 0.2),
        stop=_stop(draw, 0.2),
    )


def _stream(draw: Random) -> StreamPlan:
    return StreamPlan(
        main=_main(draw),
        buffer=draw.choice((None, 0, 1, 3)),
        pause=draw.choice((0.0, -1.0, 0.5, 2.0)),
        leave=draw.choice(
            ("end", "end", "break", "aclose", "error in with", "cancel", "timeouts", "timeouts")
        ),
        after=draw.randint(0, 4),
        cancel_at=draw.choice(TIMES),
        patience=draw.choice((0.25, 0.5, 1.0)),
        feeds=draw.choice((0, 0, 1, 3)),
        stop=_stop(draw, 0.3),
    )


def _service(draw: Random) -> ServicePlan:
    return ServicePlan(
        end=draw.choice(
            ("join", "join", "shutdown", "shutdown", "both", "leave", "leave by error")
        ),
        at=draw.choice(TIMES),
        drain=_chance(draw, 0.5),
        timeout=_perhaps_time(draw, 0.5),
        cancel_at=_perhaps_time(draw, 0.2),
        calls=tuple(_call(draw) for _ in range(draw.choice((0, 0, 1, 3)))),
    )


def _stop(draw: Random, odds: float) -> Stop | None:
    if not _chance(draw, odds):
        return None
    return Stop(at=draw.choice(TIMES), drain=_chance(draw, 0.5), timeout=_perhaps_time(draw, 0.5))


def _call(draw: Random) -> Call:
    return Call(
        at=draw.choice(TIMES),
        priority=draw.choice(PRIORITIES),
        cancel_at=_perhaps_time(draw, 0.3),
    )


_DRIVES: dict[Mode, Callable[[Random], RunPlan | StreamPlan | ServicePlan]] = {
    "run": _run,
    "stream": _stream,
    "service": _service,
}


def _keys(drive: RunPlan | StreamPlan | ServicePlan, feedings: tuple[Feeding, ...]) -> list[int]:
    """All keys that the scenario feeds by itself."""
    if isinstance(drive, ServicePlan):
        keys = [CALL_KEYS + number for number in range(len(drive.calls))]
    else:
        keys = list(range(drive.main.items))
    for number, feeding in enumerate(feedings, start=1):
        keys += range(FEEDING_KEYS * number, FEEDING_KEYS * number + feeding.items)
    return keys


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
        for place in range(len(value)):
            yield value[:place] + value[place + 1 :]
        for place, part in enumerate(value):
            for smaller in simpler(part):
                yield (*value[:place], smaller, *value[place + 1 :])
    elif isinstance(value, int) and not isinstance(value, bool) and value > 1:
        yield value // 2
        yield value - 1


def _simpler_fields(value: Any) -> Iterator[Any]:
    for field in fields(value):
        now = getattr(value, field.name)
        if now != field.default:
            yield replace(value, **{field.name: field.default})
            for smaller in simpler(now):
                yield replace(value, **{field.name: smaller})
