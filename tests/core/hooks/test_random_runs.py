"""Random pipelines, stops and cancellations: the laws of events hold in all of them."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable
from itertools import product
from typing import Any

import pytest

from antflow import PipelineError, Stage
from tests.helpers.events import Event, Task, Watcher, check_laws, watched
from tests.helpers.virtual_time import others, simulate


class RandomWatcher(Watcher):
    """Takes a random time for each event, often none, and sometimes raises."""

    def __init__(self, chance: random.Random) -> None:
        super().__init__()
        self._chance = chance

    def record(self, event: Event) -> Any:
        self.events.append(event)
        draw = self._chance.random()
        if draw < 0.1:
            raise ValueError
        return self.wait() if draw < 0.6 else None

    async def wait(self) -> None:
        await asyncio.sleep(self._chance.choice([0, 0, 1, 5]))
        if self._chance.random() < 0.1:
            raise asyncio.CancelledError


class Scenario:
    """A random pipeline with plain and slow observers, and a random end."""

    def __init__(self, number: int, seed: int) -> None:
        self.chance = random.Random(f"{number} {seed}")
        slow = [RandomWatcher(self.chance) for _ in range(2)]
        self.watchers: list[Watcher] = [Watcher(), slow[0], Watcher(), slow[1]]
        self.names = "ABC"[:number]
        self.pipeline = watched([self.stage(name) for name in self.names], *self.watchers)
        self.processed: list[Any] = []

    def stage(self, name: str) -> Stage:
        chance = self.chance
        return Stage(
            name,
            chance.randint(1, 3),
            [Task(self.work, f"task{number}") for number in range(chance.randint(1, 2))],
            chance.choice(["per_task", "per_stage"]),
            task_wait_seconds=chance.choice([0, 1]),
            skip_if=chance.choice([None, lambda value: value % 4 == 1]),
            queue_capacity=chance.choice([None, 1, 2]),
        )

    async def work(self, value: int) -> int:
        draw = self.chance.random()
        if draw < 0.5:
            await asyncio.sleep(self.chance.choice([0, 1, 5]))
        if draw < 0.2:
            raise ValueError if draw < 0.15 else asyncio.CancelledError
        return value

    async def run(self) -> None:
        """Run ten items, and stop in the middle or not."""
        running = asyncio.create_task(self.pipeline.run(range(10)))
        await asyncio.sleep(self.chance.choice([0, 1, 10, 30, 100]))
        end = self.chance.choice(["wait", "cancel", "worker", "stop"])
        if end == "cancel":
            running.cancel()
        elif end == "worker":
            self.cancel_one(task for task in others() if "-W" in task.get_name())
        elif end == "stop":
            await self.stop()
        await asyncio.wait([running])
        self.check_errors(running)

    async def serve(self) -> None:
        """Feed and process from several sides, cancel some of it, and stop."""
        await self.pipeline.start()
        callers = [asyncio.create_task(self.call(number)) for number in range(6)]
        for _ in range(3):
            await asyncio.sleep(self.chance.choice([0, 1, 5, 20]))
            self.cancel_one(callers)
        end = self.chance.choice(["join", "cancel", "stop"])
        ending = asyncio.create_task(self.stop() if end == "stop" else self.pipeline.join())
        if end == "cancel":
            await asyncio.sleep(self.chance.choice([0, 1, 5]))
            ending.cancel()
        await asyncio.wait([ending])
        await self.pipeline.shutdown(timeout=0)
        await asyncio.wait(callers)
        self.check_errors(ending, *callers)

    async def call(self, number: int) -> None:
        await asyncio.sleep(self.chance.choice([0, 1, 5]))
        if "not running" in repr(self.pipeline):
            return
        if number % 2:
            result = await self.pipeline.process({"id": f"process {number}", "value": number})
            self.processed.append(result.id)
        else:
            items = [{"id": f"{number} {index}", "value": index} for index in range(4)]
            await self.pipeline.feed(items, target_stage=self.chance.choice(self.names))

    async def stop(self) -> None:
        drain, timeout = self.chance.random() < 0.3, self.chance.choice([None, 0, 3])
        try:
            await self.pipeline.shutdown(drain=drain, timeout=timeout)
        except PipelineError as error:
            assert "was cancelled" in str(error)  # noqa: PT017 - it need not be raised

    def cancel_one(self, tasks: Iterable[asyncio.Task[Any]]) -> None:
        tasks = sorted(tasks, key=asyncio.Task.get_name)
        if tasks:
            self.chance.choice(tasks).cancel()

    def check_errors(self, *tasks: asyncio.Task[Any]) -> None:
        for task in tasks:
            if not task.cancelled() and task.exception() is not None:
                assert isinstance(task.exception(), PipelineError)

    def check(self) -> None:
        """Check the laws of events, and that events and results agree."""
        first = self.watchers[0]
        check_laws(first)
        for item_id, watcher in product(first.lines(), self.watchers):
            assert watcher.statuses_of(item_id) == first.statuses_of(item_id)
        ended = {event.item_id: event.status for event in first.statuses() if event.final}
        passed = {
            item_id for item_id, status in ended.items() if status in {"completed", "skipped"}
        }
        failed = {item_id for item_id, status in ended.items() if status == "failed"}
        processed = set(self.processed)
        assert {result.id for result in self.pipeline.results} == passed - processed
        assert {result.id for result in self.pipeline.failures} == failed - processed
        self.check_left({item_id for item_id, status in ended.items() if status == "unprocessed"})

    def check_left(self, reported: set[Any]) -> None:
        """Check what is left; an item that was announced when the run was over was not fed."""
        left = [item.id for item in self.pipeline.unprocessed]
        assert len(left) == len(set(left))
        late = reported - set(left)
        assert set(left) <= reported
        assert all(len(self.watchers[0].of(item_id)) == 2 for item_id in late)
        stats = self.pipeline.get_stats()
        assert stats.items_fed == len(self.watchers[0].lines()) - len(late)
        assert stats.items_outstanding == 0


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("number", [1, 3])
@pytest.mark.parametrize("use", ["run", "serve"])
def test_the_laws_of_events_hold_in_random_runs(use: str, number: int, seed: int) -> None:
    scenario = Scenario(number, seed)
    simulate(getattr(scenario, use), seed=seed)
    scenario.check()
