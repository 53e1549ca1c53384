"""Workers and what they hold."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from . import _colours as colours
from ._columns import Column
from ._figures import duration
from ._layout import Block
from ._lines import text
from ._lists import listed
from ._scene import Scene, WorkerScene
from ._stages import number

SHORTEST_NAME, SHORTEST_ITEM = 16, 16


def worker_table(scene: Scene, width: int, rank: int) -> Block:
    """Return the list of workers: those that have had their item longest first."""
    return listed(scene.workers, scene.total_workers, of_workers, width, rank)


def of_workers(workers: Sequence[WorkerScene], width: int) -> list[Column]:
    """Return the columns of that list."""
    return [
        Column(
            "worker", [text(each.name) for each in workers], 0, "left", SHORTEST_NAME, is_name=True
        ),
        Column("item", [item(each) for each in workers], 2, "left", SHORTEST_ITEM, is_name=True),
        Column("age", [held_for(each) for each in workers], 3),
        Column("attempt", [attempt(each) for each in workers], 4),
        *of_the_past(workers),
        Column("doing", [doing(each) for each in workers], 1, "left", width // 3),
    ]


def of_the_past(workers: Sequence[WorkerScene]) -> list[Column]:
    """Return the columns for what workers have done."""
    return [
        Column("done", [number(each.completed) for each in workers], 6),
        Column("failed", [number(each.failed, colours.BAD) for each in workers], 5),
        Column("mean", [text(duration(each.mean)) for each in workers], 7),
    ]


def worker_totals(scene: Scene, width: int, rank: int) -> Block:
    """Return the list of workers with what they have done, for beside the items in flight."""
    return listed(scene.workers, scene.total_workers, of_totals, width, rank)


def of_totals(workers: Sequence[WorkerScene], width: int) -> list[Column]:
    """Return the columns of that list."""
    return [
        Column(
            "worker", [text(each.name) for each in workers], 0, "left", SHORTEST_NAME, is_name=True
        ),
        *of_the_past(workers),
        Column("item", [item(each) for each in workers], 1, "left", SHORTEST_ITEM, is_name=True),
    ]


def items_in_flight(scene: Scene, width: int, rank: int) -> Block:
    """Return the list of the items that workers hold, the oldest first."""
    held = [worker for worker in scene.workers if worker.item is not None]
    return listed(held, scene.busy_workers, of_items, width, rank)


def of_items(workers: Sequence[WorkerScene], width: int) -> list[Column]:
    """Return the columns of that list."""
    return [
        Column(
            "in flight", [item(each) for each in workers], 0, "left", SHORTEST_ITEM, is_name=True
        ),
        Column(
            "stage", [text(each.stage) for each in workers], 2, "left", SHORTEST_NAME, is_name=True
        ),
        Column("attempt", [attempt(each) for each in workers], 4),
        Column("age", [held_for(each) for each in workers], 3),
        Column("doing", [doing(each) for each in workers], 1, "left", width // 3),
    ]


def item(worker: WorkerScene) -> Text:
    """Return the item that a worker holds."""
    return text("idle", colours.ASIDE) if worker.item is None else text(worker.item)


def held_for(worker: WorkerScene) -> Text:
    """Return how long it has held it."""
    return text() if worker.item is None else text(duration(worker.age))


def attempt(worker: WorkerScene) -> Text:
    """Return which attempt it is at; the first is not worth a look."""
    if worker.item is None:
        return text()
    return text(str(worker.attempt), colours.WAITS if worker.attempt > 1 else colours.ASIDE)


def doing(worker: WorkerScene) -> Text:
    """Return what the task says of itself."""
    return text(worker.status)
