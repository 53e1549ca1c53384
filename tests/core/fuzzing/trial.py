"""Runs one scenario of the fuzz against the engine, on the simulated loop."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from functools import partial
from random import Random
from typing import Any
from unittest.mock import patch

from antflow import Pipeline, PipelineResult, UnprocessedItem
from antflow._engine.channels import channel
from antflow._engine.workers import attempt_steps
from antflow._limits import window
from tests.helpers.observers import observe
from tests.helpers.virtual_time import SimulatedLoop, settle, simulate

from .audit import Feeder, Violation
from .drivers import drive
from .observers import Observers
from .scenarios import AGAIN_KEYS, CHILD_KEYS, Scenario
from .users import Users
from .workload import Workload
from .world import World

MAX_STEPS = 50_000
MAX_SPIN_SECONDS = 3.0  # of processor time; a scenario takes about 0.02 s
AGAIN_ITEMS = 5
REFEEDS = 4
MIN_PARKED = (channel.MIN_PARKED, 1, 2)
"""Small bounds, too: few scenarios park a thousand items."""

MAX_EXACT_ENTRIES = (window.MAX_EXACT_ENTRIES, 2)
MERGED_SHARE = (window.MERGED_SHARE, 0.5)
"""Windows that merge their entries soon, too: few scenarios start five hundred attempts."""


def run_scenario(scenario: Scenario) -> None:
    """Run a scenario and check every law.

    Raises:
        AssertionError: a law was broken; the text has the scenario as Python.
    """
    try:
        with (
            patch.object(channel, "MIN_PARKED", MIN_PARKED[scenario.seed % len(MIN_PARKED)]),
            patch.object(window, "MAX_EXACT_ENTRIES", MAX_EXACT_ENTRIES[scenario.seed % 2]),
            patch.object(window, "MERGED_SHARE", MERGED_SHARE[scenario.seed % 2]),
            patch.object(attempt_steps, "random", Random(scenario.seed).random),
        ):
            simulate(
                lambda: try_scenario(scenario),
                scenario.seed or None,
                tick=scenario.tick,
                max_steps=MAX_STEPS,
                max_spin_seconds=MAX_SPIN_SECONDS,
            )
    except BaseException as error:
        error.add_note(f"reproduce it by:\nrun_scenario(\n    {scenario!r}\n)")
        raise


async def try_scenario(scenario: Scenario) -> None:
    """Drive the pipeline as the scenario says, and once more if it says so."""
    world = World(scenario)
    users = Users(world)
    observers = Observers(world, users)
    pipeline = Pipeline(Workload(world, users).stages(), collect_results=world.collects)
    observe(pipeline, *observers.make())
    if scenario.dashboard is not None:
        world.dashboard = observers.make_dashboard(scenario.dashboard)
    world.open(pipeline)
    users.adopt_current_task()
    loop = asyncio.get_running_loop()
    assert isinstance(loop, SimulatedLoop)
    loop.when_quiet = partial(check_quiet, world)
    observers.plan_changes()
    rival = None
    if scenario.rival is not None:
        rival = users.spawn(world.stage_limits.run_rival(scenario.rival))
    await drive(world, users)
    await finish(world)
    if scenario.then == "refeed":
        await refeed(world, users)
    elif scenario.then == "again":
        await run_again(world, users)
    if rival is not None:
        await rival
    if left := world.stage_limits.check_all_released() + world.audit.violations:
        raise Violation("\n".join(left))


async def finish(world: World) -> None:
    """Check what became of a run, and let end what its tasks have left behind.

    That are calls of a gather that was cancelled, and the timer of a rate.
    """
    world.finish_audit()
    await settle()


def check_quiet(world: World) -> None:
    """Check the run that is on now."""
    world.stage_limits.check_prompt_starts()
    stats = world.audit.check_quiet()
    if stats is not None and world.scenario.limits:
        world.limits.check_quiet(stats)
    if stats is not None and world.scenario.stage_limits:
        world.stage_limits.check_quiet(stats)


async def refeed(world: World, users: Users) -> None:
    """Feed what was left over, until nothing is; the first time, feed what failed, too."""
    failed = world.pipeline.failures
    for _ in range(REFEEDS):
        if not (failed or world.pipeline.unprocessed):
            return
        world.begin_audit()
        users.forget_cancellation()
        again, failed = failed, []
        await users.outcome(
            users.spawn(users.checked(partial(start_refeed_join, world, users, again)))
        )
        await finish(world)
    is_right = world.audit.interrupted or not world.pipeline.unprocessed
    world.audit.require(is_right, "left over again")


async def start_refeed_join(world: World, users: Users, failed: list[PipelineResult]) -> None:
    """Feed what was left over, and what failed, to a new run, each item at its own stage."""
    audit = world.audit
    left: list[UnprocessedItem | PipelineResult] = [*world.pipeline.unprocessed, *failed]
    feeder = Feeder()
    names = list(world.pipeline.get_worker_names())

    def source() -> Iterator[Any]:
        for item in left:
            assert item.stage is not None
            audit.read(item.value, names.index(item.stage), item.priority, feeder)
            yield item
            audit.asked(feeder)

    await world.pipeline.start()
    await users.feed(feeder, source(), None, 100)
    audit.causes.add("closing")
    await world.pipeline.join()


async def run_again(world: World, users: Users) -> None:
    """Run once more, which starts from nothing and meets no trouble."""
    world.begin_audit()
    users.forget_cancellation()
    feeder = Feeder(interrupted=True)
    keys = range(AGAIN_KEYS, AGAIN_KEYS + AGAIN_ITEMS)
    source = users.keys(feeder, keys)
    returned = await users.outcome(users.spawn(users.checked(lambda: world.pipeline.run(source))))
    feeder.interrupted = False
    if world.collects and not any(plan.policy.is_timed for plan in world.scenario.stages):
        values = [result.value for result in returned or () if result.value < CHILD_KEYS]
        world.audit.require(values == list(keys), f"a second run returned {returned}")
    await finish(world)
