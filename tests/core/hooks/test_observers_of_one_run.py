"""What antflow_pipeline_start returns takes part in that run and in no other."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest

from antflow import Pipeline, PluginError, Stage, StatusEvent, StatusTracker, hookimpl
from tests.helpers.hooks import LONG, START, Journal, Scoping, hooked, pipeline
from tests.helpers.runs import raised_by, same
from tests.helpers.simulated import simulated
from tests.helpers.virtual_time import begun, simulate

pytestmark = pytest.mark.usefixtures("nothing_installed")

PASSED = ["queued", "in_progress", "task start", "task complete", "completed!"]


def two_stages(*plugins: object) -> Pipeline:
    return Pipeline([Stage("A", 1, [same]), Stage("B", 1, [same])], plugins=plugins)


@simulated()
async def test_it_gets_the_events_of_its_run() -> None:
    scoping = Scoping()
    one = pipeline(scoping)
    names = one.plugin_names
    await one.run([1])
    assert (names, one.plugin_names) == (("scoping",), ("scoping", "scoping.run"))
    await one.run([1])
    assert [journal.calls for journal in scoping.made] == [[*PASSED, "finish"]] * 2


@simulated()
async def test_two_pipelines_at_once_have_one_each() -> None:
    scoping = Scoping()

    async def nest(value: Any) -> Any:
        return len(await pipeline(scoping).run(range(value)))

    await asyncio.gather(pipeline(scoping).run([1]), pipeline(scoping, tasks=[nest]).run([3]))
    assert sorted(journal.calls.count("queued") for journal in scoping.made) == [1, 1, 3]
    assert all(journal.calls.count("finish") == 1 for journal in scoping.made)


def test_it_is_called_before_the_other_plugins() -> None:
    calls: list[str] = []

    def named(name: str) -> Any:
        return hooked(
            task_start=lambda self: calls.append(name),
            pipeline_finish=lambda self: calls.append(f"{name} finishes"),
        )

    simulate(pipeline(Scoping(lambda: named("scoped")), named("given")).run([1]))
    assert calls == ["scoped", "given", "scoped finishes", "given finishes"]


def test_a_plugin_that_returns_itself_is_called_once() -> None:
    class Itself(Journal):
        @hookimpl
        def antflow_pipeline_start(self, pipeline: Pipeline, total_items: int | None) -> Any:
            return self

    journal = Itself()
    simulate(pipeline(journal).run([1]))
    assert journal.calls == [*PASSED, "finish"]


def test_an_observer_that_two_plugins_return_is_called_once() -> None:
    shared = Journal()
    one, two = Scoping(lambda: shared), Scoping(lambda: shared)
    two.antflow_name = "two"
    simulate(pipeline(one, two).run([1]))
    assert shared.calls == [*PASSED, "finish"]


def test_it_may_be_a_tracker() -> None:
    scoping = Scoping(StatusTracker)
    simulate(pipeline(scoping).run([1, 2]))
    assert scoping.made[0].get_stats()["completed"] == 2


@simulated()
async def test_it_gets_the_events_of_items_that_were_fed_before_the_run() -> None:
    scoping, journal = Scoping(), Journal()
    one = two_stages(scoping, journal)
    await one.feed(["x"])
    await one.feed(["y"], target_stage="B")
    await one.start()
    await one.join()
    scoped = scoping.made[0].calls
    assert scoped[:2] == ["queued", "queued"]
    assert Counter(scoped) == Counter(journal.calls) - Counter(["start None"])


class SlowAtX(Journal):
    """A journal that takes long when item "x" is queued."""

    @hookimpl
    async def antflow_item_status(self, event: StatusEvent) -> None:
        self.calls.append(f"{event.status} {event.item_id} {event.stage}")
        if event.item_id == "x" and event.status == "queued":
            await asyncio.sleep(LONG)


@simulated()
async def test_an_item_that_is_fed_while_it_gets_earlier_events_is_queued_once() -> None:
    scoping = Scoping(SlowAtX)
    one = two_stages(scoping)
    await one.feed([{"id": "x"}])
    starting = await begun(one.start())
    await one.feed([{"id": "y"}], target_stage="B")
    await starting
    await one.join()
    counted = Counter(scoping.made[0].calls)
    assert counted["queued y B"] == counted["queued x A"] == 1


@simulated()
async def test_it_gets_the_start_of_an_item_whose_queued_event_is_still_awaited() -> None:
    scoping = Scoping()
    one = pipeline(scoping, SlowAtX())
    feeding = await begun(one.feed([{"id": "x"}]))
    await one.start()
    await feeding
    await one.join()
    assert scoping.made[0].calls == [*PASSED, "finish"]


# Errors


def unmarked() -> object:
    return type("Bad", (), {"antflow_task_start": lambda self: None})()


@pytest.mark.usefixtures("strict")
def test_a_returned_object_that_cannot_take_part_ends_a_strict_run() -> None:
    error = simulate(raised_by(pipeline(Scoping(unmarked)).run([1])))
    assert isinstance(error, PluginError)
    assert (error.plugin, error.hook) == ("scoping", START)
