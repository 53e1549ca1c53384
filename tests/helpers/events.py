"""Observers that record events, chains of stages, and the laws of an item's events."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, TypeVar

from antflow import Pipeline, Stage, StatusEvent, TaskEvent, hookimpl
from tests.helpers.runs import same
from tests.helpers.virtual_time import Gate, others, simulate

Event = StatusEvent | TaskEvent
T = TypeVar("T")
ENDS = ("complete", "retry", "fail", "cancel")
LONG = 1000.0  # seconds until everything has come to where it waits
LETTERS = {
    "queued": "Q",
    "in_progress": "P",
    "retrying": "R",
    "skipped": "S",
    "completed": "C",
    "failed": "F",
    "unprocessed": "U",
}
PASSED = "Q(S|P(RP)*C)"
LIFE = re.compile(f"({PASSED})*({PASSED}|QP(RP)*F|Q(P(RP)*R?)?U)")


def short(event: Event) -> str:
    if isinstance(event, TaskEvent):
        return f"{event.event_type} {event.stage}.{event.task_name} {event.attempt}"
    return f"{event.status} {event.stage}{'!' if event.final else ''}"


class Watcher:
    """A plugin that records the events of items and attempts."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def record(self, event: Event) -> Any:
        self.events.append(event)

    @hookimpl
    def antflow_item_status(self, event: StatusEvent) -> Any:
        return self.record(event)

    @hookimpl
    def antflow_task_start(self, event: TaskEvent) -> Any:
        return self.record(event)

    antflow_task_success = antflow_task_start
    antflow_task_retry = antflow_task_start
    antflow_task_failure = antflow_task_start
    antflow_task_cancelled = antflow_task_start

    def of(self, item_id: Any) -> list[str]:
        """The events of an item, in short."""
        return [short(event) for event in self.events if event.item_id == item_id]

    def statuses_of(self, item_id: Any) -> list[str]:
        return [short(event) for event in self.statuses() if event.item_id == item_id]

    def lines(self) -> dict[Any, list[str]]:
        """The events of each item, in short."""
        return {item_id: self.of(item_id) for item_id in {event.item_id for event in self.events}}

    def statuses(self) -> list[StatusEvent]:
        return [event for event in self.events if isinstance(event, StatusEvent)]

    def attempts(self, *types: str) -> list[TaskEvent]:
        """The events of attempts, or those of these types."""
        events = [event for event in self.events if isinstance(event, TaskEvent)]
        return [event for event in events if not types or event.event_type in types]


class SlowWatcher(Watcher):
    """The same with asynchronous hooks that take a second."""

    async def record(self, event: Event) -> None:
        self.events.append(event)
        await asyncio.sleep(1)


@dataclass(frozen=True)
class Chain:
    """One stage or three: the one that a test is about, and others that run `same`."""

    number: int
    at: int

    @property
    def name(self) -> str:
        return "ABC"[self.at]

    @property
    def is_last(self) -> bool:
        return self.at == self.number - 1

    def stages(self, *tasks: Any, **fields: Any) -> list[Stage]:
        stages = [Stage(name, 1, [same]) for name in "ABC"[: self.number]]
        stages[self.at] = Stage(self.name, fields.pop("workers", 1), tasks, **fields)
        return stages

    def before(self) -> list[str]:
        return [line for name in "ABC"[: self.at] for line in passing(name)]

    def after(self) -> list[str]:
        lines = [line for name in "ABC"[self.at + 1 : self.number] for line in passing(name)]
        return [*lines[:-1], lines[-1] + "!"] if lines else []

    def expect(self, entries: str) -> list[str]:
        """Return all events of an item that has these in the stage."""
        lines = self.before() + self.lines(entries)
        last = entries.rpartition(", ")[2]
        if self.is_last or last in {"failed", "unprocessed"}:
            lines[-1] += "!"
        return lines if lines[-1].endswith("!") else lines + self.after()

    def expect_stop(self, entries: str) -> list[str]:
        """Return the same for an item that moves on to the next stage as the run stops."""
        if self.is_last or entries.endswith(("failed", "unprocessed")):
            return self.expect(entries)
        lines = self.before() + self.lines(entries)
        following = "ABC"[self.at + 1]
        return [*lines, f"queued {following}", f"unprocessed {following}!"]

    def lines(self, entries: str) -> list[str]:
        """Return "queued, start task 1" as ["queued A", "start A.task 1"]."""
        return [" ".join(self._line(*entry.split(" ", 1))) for entry in entries.split(", ")]

    def _line(self, kind: str, rest: str = "") -> tuple[str, str]:
        return kind, f"{self.name}.{rest}" if rest else self.name


def passing(name: str) -> list[str]:
    return [
        f"queued {name}",
        f"in_progress {name}",
        f"start {name}.same 1",
        f"complete {name}.same 1",
        f"completed {name}",
    ]


CHAINS = [Chain(1, 0), Chain(3, 1)]


class Task:
    """A task called "task", or another name, that calls a function."""

    def __init__(self, function: Callable[[Any], Awaitable[Any]], name: str = "task") -> None:
        self.__name__ = name
        self._function = function

    async def __call__(self, value: Any) -> Any:
        return await self._function(value)


async def give_up(value: Any) -> Any:
    raise asyncio.CancelledError


def watched(stages: Iterable[Stage], *observers: object, name: str = "pipeline") -> Pipeline:
    """Return a pipeline whose hooks are called in the order of these observers."""
    return Pipeline(stages, name=name, plugins=observers[::-1], autoload=False)


def run(
    watcher: Watcher, stages: Iterable[Stage], items: Iterable[Any] = (0,), **arguments: Any
) -> Pipeline:
    """Run items to their end, and check the laws of their events."""

    async def main() -> Pipeline:
        pipeline = watched(stages, watcher)
        await pipeline.run(items)
        assert not others()
        return pipeline

    pipeline: Pipeline = simulate(main, **arguments)
    check_laws(watcher)
    return pipeline


async def under_way(call: Awaitable[T]) -> asyncio.Task[T]:
    """Start a call as a task, wait until everything is blocked, and return the task."""
    task = asyncio.ensure_future(call)
    await asyncio.sleep(LONG)
    return task


async def cancel(running: asyncio.Task[Any]) -> None:
    running.cancel()
    await asyncio.wait([running])
    assert not others()


def worker(name: str) -> asyncio.Task[Any]:
    (found,) = (task for task in others() if task.get_name() == name)
    return found


def check_laws(watcher: Watcher) -> None:
    """Check what holds for every item of a run, however it ends."""
    assert len({event.run_id for event in watcher.events}) <= 1
    for item_id in {event.item_id for event in watcher.events}:
        events = [event for event in watcher.events if event.item_id == item_id]
        check_statuses([event for event in events if isinstance(event, StatusEvent)])
        check_attempts(events)


def check_statuses(events: list[StatusEvent]) -> None:
    finals = [event.final for event in events]
    assert finals == [False] * (len(events) - 1) + [True], [short(event) for event in events]
    letters = "".join(LETTERS[event.status] for event in events)
    assert LIFE.fullmatch(letters), letters
    visits = [name for name, _ in groupby(event.stage for event in events)]
    assert visits == sorted(set(visits), key=str), "no item returns to an earlier stage"
    for event in events:
        assert (event.worker is None) == (event.status in {"queued", "unprocessed"})


def check_attempts(events: list[Event]) -> None:
    """Check that the next event of an item after a start is the end of that attempt."""
    begun: TaskEvent | None = None
    for event in events:
        if begun is not None:
            assert isinstance(event, TaskEvent), short(event)
            assert event.event_type in ENDS
            assert (event.task_name, event.attempt) == (begun.task_name, begun.attempt)
            assert (event.worker, event.queue_wait) == (begun.worker, begun.queue_wait)
            begun = None
        elif isinstance(event, TaskEvent):
            assert event.event_type == "start", short(event)
            begun = event
    assert begun is None


ONCE: dict[str, Any] = {"task_attempts": 1, "stage_attempts": 1}


@dataclass
class Stop:
    """A pipeline whose first item is held by its task, and whose second waits behind it."""

    chain: Chain
    watcher: Watcher
    gate: Gate = field(default_factory=lambda: Gate("task"))

    def pipeline(self, **fields: Any) -> Pipeline:
        return watched(self.chain.stages(self.gate, **fields), self.watcher)

    async def running(self, **fields: Any) -> tuple[Pipeline, asyncio.Task[Any]]:
        pipeline = self.pipeline(**fields)
        running = await under_way(pipeline.run([0, 1]))
        assert self.gate.waiting == [0]
        return pipeline, running

    def check(self, entries: str) -> None:
        check_laws(self.watcher)
        assert self.watcher.of(0) == self.chain.expect_stop(entries)
        assert self.watcher.of(1) == self.chain.expect("queued, unprocessed")
