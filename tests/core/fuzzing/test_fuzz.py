"""Random scenarios under random interleavings: no law may break in any of them.

`make test` runs the same 1,000 scenarios each time. With FUZZ_SECONDS in the environment fresh ones
are drawn for that long. A failure prints its scenario as Python, simplified; as a regression test
it is pasted into REGRESSIONS.
"""

from __future__ import annotations

import logging
import os
import re
import secrets
import time
from collections.abc import Iterable, Iterator
from random import Random

import pytest

from tests.core.fuzzing import scenarios
from tests.core.fuzzing.scenarios import (
    Change,
    DashboardPlan,
    Feeding,
    LimitPlan,
    Mode,
    ObserverPlan,
    RivalPlan,
    RunPlan,
    Scenario,
    ServicePlan,
    StageLimitPlan,
    StagePlan,
    Stop,
    StreamPlan,
    Trouble,
    grow,
    simpler,
    simplest,
)
from tests.core.fuzzing.trial import run_scenario

EXAMPLES: dict[Mode, int] = {"run": 300, "stream": 300, "service": 350, "contended": 50}
FUZZ_SECONDS = float(os.environ.get("FUZZ_SECONDS", "0"))
FUZZ_EXAMPLES = 500
TRIES_TO_SIMPLIFY = 400

REGRESSIONS = [
    # Before the start idle seconds were counted from the clock's origin, and fell at the start.
    Scenario(drive=ServicePlan(), feedings=(Feeding(items=1, at=None),)),
    # A feeder that had been granted its place made -1 items wait in front of a pull stage.
    Scenario(
        stages=(StagePlan(), StagePlan(workers=3, pull=True, durations=((1.25,),))),
        drive=RunPlan(main=Feeding(items=4)),
        troubles=(Trouble(key=2, kind="late suicide"),),
        seed=213312,
    ),
    Scenario(
        stages=(StagePlan(), StagePlan(workers=2, pull=True, durations=((1.0,),))),
        drive=ServicePlan(),
        feedings=(Feeding(items=7),),
        troubles=(Trouble(key=105, kind="fatal"),),
        seed=481467,
    ),
    # The run kept its cancelled consumer, whose frames kept the stream, which never ended the run.
    Scenario(drive=StreamPlan(main=Feeding(items=2), buffer=1, leave="cancel")),
    # Another worker took the item of a worker that had cancelled itself: one attempt too many.
    Scenario(
        stages=(StagePlan(workers=2, capacity=1, durations=((1.0,),)),),
        drive=RunPlan(main=Feeding(items=10)),
        troubles=(Trouble(kind="late suicide"),),
        tick=1e-3,
        seed=133,
    ),
    # A run that somebody drained took the end of its own reader for a cancelled input.
    Scenario(
        stages=(StagePlan(capacity=1, durations=((1.0,),)),),
        drive=RunPlan(main=Feeding(items=10), stop=Stop(at=1.5, drain=True)),
    ),
    # A task of a run whose stream had been dropped fed the next run instead of its own.
    Scenario(
        stages=(StagePlan(), StagePlan(durations=((0.0, 1.0),)), StagePlan()),
        drive=StreamPlan(main=Feeding(items=2), leave="cancel"),
        troubles=(Trouble(stage=2, kind="feed"),),
    ),
    # A consumer's feed was accepted after the end by completion, and left unprocessed.
    Scenario(
        stages=(StagePlan(), StagePlan(pull=True)),
        drive=StreamPlan(main=Feeding(items=1), feeds=1, stop=Stop(at=2.5)),
        seed=948360,
    ),
    # Dismissed feeders gave their room back, and woke none that waited for it.
    Scenario(
        stages=(StagePlan(), StagePlan(), StagePlan(workers=2, capacity=1, callbacks="async")),
        drive=ServicePlan(end="shutdown", at=1.0, drain=True),
        feedings=(
            Feeding(items=3, stage=2),
            Feeding(items=4),
            Feeding(items=6, at=None, stage=2, priority=200, source="async"),
        ),
        tick=0.0,
    ),
    # A sender did not count the slots reserved for feeders, and filled the stage past its capacity.
    Scenario(
        stages=(StagePlan(), StagePlan(capacity=1, durations=((1.25,),))),
        drive=RunPlan(main=Feeding(items=1)),
        feedings=(Feeding(items=2), Feeding(items=1, stage=1)),
    ),
    # A dashboard that swallowed its cancellation was updated for ever.
    Scenario(
        stages=(StagePlan(durations=((0.5,),)),),
        drive=RunPlan(main=Feeding(items=1)),
        dashboard=DashboardPlan(manner="swallows"),
    ),
    # The error of a consumer, cancelled as it fed and observers were called, kept the stream.
    Scenario(
        drive=StreamPlan(main=Feeding(items=2), buffer=1, leave="cancel", cancel_at=4.0, feeds=1),
        observers=(ObserverPlan(manner="sleeps and is cancelled"),),
    ),
    # A TaskGroup that had failed made its worker one that is being cancelled, before Python 3.13.
    Scenario(
        stages=(StagePlan(attempts=2),),
        drive=RunPlan(main=Feeding(items=2)),
        troubles=(Trouble(),),
        observers=(ObserverPlan(manner="cancelled"),),
        limits=(LimitPlan(calls=1, fan="group", hold=0.5),),
    ),
    # A worker that cancelled itself learned of it in an observer; another took its item.
    Scenario(
        stages=(StagePlan(workers=2, durations=((0.25,), (0.0,))),),
        drive=RunPlan(main=Feeding(items=1)),
        troubles=(Trouble(kind="late suicide"),),
        observers=(ObserverPlan(manner="stubborn", only="task_success"),),
    ),
    # A task of a run whose stream had been dropped waited, to start another, for its own end.
    Scenario(
        drive=StreamPlan(main=Feeding(items=1), leave="cancel"),
        troubles=(Trouble(kind="misuse"), Trouble(kind="swallow")),
        limits=(LimitPlan(rate=0.5, hold=0.25),),
    ),
    # And so did its observers and its dashboard.
    Scenario(
        stages=(StagePlan(durations=((1.0,),)),),
        drive=StreamPlan(main=Feeding(items=1), leave="cancel"),
        observers=(ObserverPlan(manner="misuses", every=3),),
    ),
    Scenario(
        drive=StreamPlan(leave="cancel", cancel_at=1.0),
        feedings=(Feeding(items=1), Feeding(at=4.0)),
        dashboard=DashboardPlan(manner="misuses"),
    ),
    # No worker was started in a run that was drained before its dashboard had begun.
    Scenario(
        drive=RunPlan(),
        observers=(ObserverPlan(manner="sleeps"),),
        dashboard=DashboardPlan(manner="feeds", stops="drain"),
    ),
    # A cancellation that met the observer of what a task feeds was forgotten.
    Scenario(
        drive=StreamPlan(main=Feeding(items=3)),
        troubles=(Trouble(key=2, kind="late suicide"), Trouble(key=2, kind="feed")),
        observers=(ObserverPlan(manner="sleeps"),),
    ),
    # A tracker whose start was cancelled and that no longer listens to starts missed the end.
    Scenario(
        drive=StreamPlan(main=Feeding(items=3), leave="error in with"),
        observers=(
            ObserverPlan(
                is_tracker=True,
                manner="sleeps and is cancelled",
                every=2,
                changes=(Change(at=0.5, hook="task_start", manner=None),),
            ),
        ),
    ),
    # Three pipelines that share two limits let each other go first, in a circle, for ever.
    Scenario(
        stages=(StagePlan(), StagePlan()),
        feedings=(Feeding(items=6),),
        observers=(ObserverPlan(manner="swallows"),),
        stage_limits=(
            StageLimitPlan(stages=(0, 1), rate=3, per=4.0, burst=4, concurrency=2, rivals=True),
            StageLimitPlan(stages=(0, 1, 2), per=4.0, burst=2, concurrency=1, costs=2, rivals=True),
        ),
        rival=RivalPlan(items=12, workers=4, duration=1.0, pause=2.0),
        then="refeed",
        tick=0.0,
    ),
    # A dashboard that had raised as its run was cancelled again was called for the end.
    Scenario(
        drive=RunPlan(main=Feeding(source="stuck"), cancel_at=0.5, cancel_again=0.25),
        dashboard=DashboardPlan(manner="sleeps and is cancelled", every=3),
        tick=0.0,
    ),
]
"""Scenarios that once failed."""


@pytest.fixture
def quiet() -> Iterator[None]:
    """Let callbacks raise and feeds be refused by the thousand without a log of it."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def drawn(mode: Mode, number: int, seed: int = 0) -> Iterator[Scenario]:
    """Yield so many scenarios, the same ones for the same seed."""
    draw = Random(f"{mode} {seed}")
    for _ in range(number):
        yield grow(mode, draw.getrandbits(64))


def check_all(scenarios: Iterable[Scenario]) -> None:
    """Run scenarios; raise what the first failing one raises, in the simplest form of it."""
    for scenario in scenarios:
        failure = failure_of(scenario)
        if failure is not None:
            run_scenario(simplify_failing(scenario, failure))
            run_scenario(scenario)


def failure_of(scenario: Scenario) -> str | None:
    """How a scenario fails, without the numbers; None if it does not."""
    try:
        run_scenario(scenario)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        kind = f"{type(error).__name__}: {error}".splitlines()[0]
        return re.sub(r"-?[0-9][0-9.e-]*", "#", kind)[:80]
    return None


def simplify_failing(scenario: Scenario, failure: str) -> Scenario:
    """Find a simple scenario that fails in the same way."""
    return simplest(scenario, lambda other: failure_of(other) == failure, TRIES_TO_SIMPLIFY)


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("mode", EXAMPLES)
def test_no_law_breaks(mode: Mode) -> None:
    check_all(drawn(mode, EXAMPLES[mode]))


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("scenario", REGRESSIONS)
def test_what_failed_once_does_not_fail_again(scenario: Scenario) -> None:
    run_scenario(scenario)


@pytest.mark.usefixtures("quiet")
@pytest.mark.skipif(not FUZZ_SECONDS, reason="`make fuzz` runs it")
def test_no_law_breaks_for_as_long_as_asked() -> None:
    deadline = time.monotonic() + FUZZ_SECONDS
    while time.monotonic() < deadline:
        for mode in EXAMPLES:
            check_all(drawn(mode, FUZZ_EXAMPLES, seed=secrets.randbits(64)))


def test_a_scenario_is_python_that_makes_it_again() -> None:
    for mode in EXAMPLES:
        for number in range(100):
            scenario = grow(mode, number)
            assert eval(repr(scenario), vars(scenarios)) == scenario


def test_simplifying_finds_what_is_necessary() -> None:
    scenario = next(
        scenario
        for scenario in (grow("run", number) for number in range(1000))
        if scenario.has("fail") and len(scenario.stages) > 1 and scenario.stages[1].attempts == 3
    )

    def fails(candidate: Scenario) -> bool:
        return candidate.has("fail") and any(plan.attempts == 3 for plan in candidate.stages)

    simple = simplest(scenario, fails, tries=1000)
    assert fails(simple)
    assert not any(fails(candidate) for candidate in simpler(simple))
    assert len(simple.stages) == len(simple.troubles) == 1
