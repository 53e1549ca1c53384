"""What the fuzz draws besides a scenario: who watches the run, and what limits its tasks."""

from __future__ import annotations

from dataclasses import dataclass, fields
from random import Random
from typing import Literal

from tests.core.fuzzing.scenarios import (
    Feeding,
    Mode,
    Scenario,
    ServicePlan,
    Short,
    StagePlan,
    grow,
)

Hook = Literal[
    "item_status", "task_start", "task_success", "task_retry", "task_failure", "task_cancelled"
]
HOOKS: tuple[Hook, ...] = (
    *("item_status", "task_start", "task_success", "task_retry", "task_failure", "task_cancelled"),
)
TASK_HOOKS = HOOKS[1:]
CALLBACKS: dict[Hook, str] = {
    "item_status": "on_status_change",
    "task_start": "on_task_start",
    "task_success": "on_task_complete",
    "task_retry": "on_task_retry",
    "task_failure": "on_task_fail",
}
"""What a tracker calls its functions."""

Manner = Literal[
    "plain",  # is no coroutine function, and returns
    "raises",
    "cancelled",  # raises CancelledError itself
    "gives way",  # is a coroutine function from here on: suspends once
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


@dataclass(frozen=True, repr=False)
class Change(Short):
    """A tracker's callback is set some seconds after the beginning, or removed by None."""

    at: float = 0.0
    hook: Hook = "item_status"
    manner: Manner | None = "plain"


@dataclass(frozen=True, repr=False)
class ObserverPlan(Short):
    """An observer that has a manner in every so many calls, `only` of one hook or of all."""

    is_tracker: bool = False
    hooks: tuple[Hook, ...] = HOOKS
    manner: Manner = "plain"
    only: Hook | None = None
    every: int = 1
    changes: tuple[Change, ...] = ()
    max_history: int | None = None


@dataclass(frozen=True, repr=False)
class DashboardPlan(Short):
    """A dashboard that has a manner in every so many calls, `only` of one method or of all.

    One that has hooks observes, too. With `stops` it shuts the pipeline down when it is started.
    """

    interval: float = 0.5
    manner: Manner = "plain"
    only: Method | None = None
    every: int = 1
    hooks: tuple[Hook, ...] = ()
    stops: Literal["", "stop", "drain"] = ""


@dataclass(frozen=True, repr=False)
class LimitPlan(Short):
    """What limits the tasks of one stage: one of them as a whole, and calls in all of them.

    A task calls twice at once from a group of its own where it fans out. A place is held for some
    seconds.
    """

    stage: int = 0
    task: int = 0
    places: int | None = None
    calls: int | None = None
    rate: float | None = None
    period: float = 1.0
    fan: Fan = ""
    hold: float = 0.0


@dataclass(frozen=True, repr=False)
class Watched(Scenario):
    """A scenario that is watched and limited; where it `asks`, tasks ask and say what they do."""

    observers: tuple[ObserverPlan, ...] = ()
    dashboard: DashboardPlan | None = None
    limits: tuple[LimitPlan, ...] = ()
    asks: bool = False

    def limits_of(self, stage: int) -> LimitPlan:
        """Return what limits the tasks of a stage."""
        return next((plan for plan in self.limits if plan.stage == stage), LimitPlan(stage))

    @property
    def is_prompt(self) -> bool:
        """Whether no observer takes time."""
        dashboard = self.dashboard
        manners = self._manners()
        if dashboard is not None and dashboard.hooks:
            manners.add(dashboard.manner)
        return manners <= set(PROMPT)

    @property
    def is_fed_from_inside(self) -> bool:
        """Whether a task, an observer, the dashboard or the consumer of a stream feeds."""
        dashboard = self.dashboard
        return (
            self.has("feed")
            or bool(getattr(self.drive, "feeds", 0))
            or "feeds" in self._manners()
            or (dashboard is not None and dashboard.manner == "feeds")
        )

    def _manners(self) -> set[Manner]:
        changes = {change.manner or "plain" for o in self.observers for change in o.changes}
        return changes | {plan.manner for plan in self.observers}

    @property
    def is_ordered(self) -> bool:
        """Whether nothing holds up an item before its task, or between task and next stage."""
        return self.is_prompt and not any(plan.places for plan in self.limits)


def watched(scenario: Scenario) -> Watched:
    """Return the scenario as one that is watched by nobody, if it is no other."""
    if isinstance(scenario, Watched):
        return scenario
    return Watched(**{field.name: getattr(scenario, field.name) for field in fields(scenario)})


ODDS = 0.45
MANNERS: tuple[Manner, ...] = (
    *("plain", "plain", "raises", "cancelled", "gives way", "sleeps", "sleeps"),
    *("sleeps and raises", "sleeps and is cancelled", "swallows", "stubborn", "feeds", "misuses"),
)
HOOK_SETS: tuple[tuple[Hook, ...], ...] = (
    *(HOOKS, HOOKS, HOOKS, ("item_status",), TASK_HOOKS, ("task_start", "task_cancelled")),
    *(("task_success", "task_failure"), ("item_status", "task_retry", "task_cancelled"), ()),
)
ONLY: tuple[Hook | None, ...] = (*(None, None, None), *("item_status", "item_status"), *TASK_HOOKS)
TIMES = (0.0, 0.25, 0.5, 1.0, 1.5, 2.5)


def grow_watched(mode: Mode, number: int) -> Scenario:
    """Make the scenario of this number; a part of them is watched or limited."""
    scenario = grow(mode, number)
    draw = Random(f"watched {number}")
    if draw.random() > ODDS:
        return scenario
    fed_before = isinstance(scenario.drive, ServicePlan)
    crowd = _crowd(draw, scenario.stages) if draw.random() < 0.3 else ()
    return Watched(
        **{**vars(scenario), "feedings": scenario.feedings + crowd},
        observers=tuple(_observer(draw) for _ in range(draw.choice((0, 1, 1, 2, 2, 3)))),
        dashboard=None if fed_before or draw.random() > 0.4 else _dashboard(draw),
        limits=_limits(draw, scenario) if draw.random() < 0.4 else (),
        asks=draw.random() < 0.3,
    )


def _crowd(draw: Random, stages: tuple[StagePlan, ...]) -> tuple[Feeding, ...]:
    """Draw some who feed the same stage at the same time, and so wait for each other's places."""
    at = draw.choice(TIMES)
    stage = draw.choice([number for number, plan in enumerate(stages) if not plan.pull])
    return tuple(
        Feeding(items=draw.choice((1, 2, 4)), at=at, stage=stage)
        for _ in range(draw.choice((2, 2, 3)))
    )


def _observer(draw: Random) -> ObserverPlan:
    is_tracker = draw.random() < 0.4
    changes = draw.choice((0, 0, 1, 2, 3)) if is_tracker else 0
    return ObserverPlan(
        is_tracker=is_tracker,
        hooks=draw.choice(HOOK_SETS),
        manner=draw.choice(MANNERS),
        only=draw.choice(ONLY),
        every=draw.choice((1, 1, 2, 3)),
        changes=tuple(_change(draw) for _ in range(changes)),
        max_history=draw.choice((None, None, 0, 3)),
    )


def _change(draw: Random) -> Change:
    return Change(
        at=draw.choice(TIMES),
        hook=draw.choice(tuple(CALLBACKS)),
        manner=draw.choice((None, *MANNERS)),
    )


def _dashboard(draw: Random) -> DashboardPlan:
    return DashboardPlan(
        interval=draw.choice((0.25, 0.5, 0.5, 4.0)),
        manner=draw.choice(MANNERS),
        only=draw.choice((None, "on_start", "on_update", "on_finish")),
        every=draw.choice((1, 1, 2, 3)),
        hooks=draw.choice(((), (), *HOOK_SETS)),
        stops=draw.choice(("", "", "", "", "", "stop", "drain")),
    )


def _limits(draw: Random, scenario: Scenario) -> tuple[LimitPlan, ...]:
    """Draw limits of some stages.

    Rates and periods are powers of two, so that times are exact.
    """
    return tuple(
        LimitPlan(
            stage=stage,
            task=draw.randrange(len(plan.durations)),
            places=draw.choice((None, 1, 1, 2)),
            calls=draw.choice((None, 1, 1, 2)),
            rate=draw.choice((None, None, 0.5, 1.0, 2.0, 4.0)),
            period=draw.choice((0.5, 1.0, 2.0, 8.0)),
            fan=draw.choice(("", "", "group", "gather", "loose")),
            hold=draw.choice((0.0, 0.25, 0.5, 1.0)),
        )
        for stage, plan in enumerate(scenario.stages)
        if draw.random() < 0.7
    )
