"""What failed: the latest items, and all of them by type."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from . import _colours as colours
from ._columns import Column
from ._figures import age, count
from ._layout import Block
from ._lines import joined, text
from ._lists import listed
from ._scene import ErrorGroup, Failure, Scene

SHORTEST_TYPE, SHORTEST_ITEM, SHORTEST_NAME = 16, 16, 16


def recent_errors(scene: Scene, width: int, rank: int) -> Block:
    """Return the list of the items that failed last."""
    return listed(scene.failures, scene.counts.failed, of_failures, width, rank)


def of_failures(failures: Sequence[Failure], width: int) -> list[Column]:
    """Return the columns of that list; more than half of the width is for the errors' texts."""
    most_of_it = width * 11 // 20
    return [
        Column(
            "failed", [text(each.item) for each in failures], 1, "left", SHORTEST_ITEM, is_name=True
        ),
        Column(
            "stage", [text(each.stage) for each in failures], 2, "left", SHORTEST_NAME, is_name=True
        ),
        Column("ago", [text(age(each.age), colours.ASIDE) for each in failures], 3),
        Column("attempts", [text(count(each.attempts)) for each in failures], 4),
        Column("error", [message(each) for each in failures], 0, "left", most_of_it),
    ]


def message(failure: Failure) -> Text:
    """Return the class of an error and its text."""
    colon = ": " if failure.error else ""
    return joined(text(failure.error_type, colours.BAD), f"{colon}{failure.error}")


def error_groups(scene: Scene, width: int, rank: int) -> Block:
    """Return the list of the classes of errors, with an example for each."""
    return listed(scene.groups, len(scene.groups), of_groups, width, rank)


def of_groups(groups: Sequence[ErrorGroup], width: int) -> list[Column]:
    """Return the columns of that list."""
    return [
        Column("items", [text(count(each.count), colours.BAD) for each in groups], 0),
        Column("error", [kind(each) for each in groups], 1, "left", SHORTEST_TYPE, is_name=True),
        Column("latest", [example(each) for each in groups], 2, "left", max(width // 3, 24)),
    ]


def kind(group: ErrorGroup) -> Text:
    """Return the class of errors."""
    return text(group.error_type, colours.BAD)


def example(group: ErrorGroup) -> Text:
    """Return the latest item of a group: which, where, and the error's text."""
    latest = group.example
    if latest is None:
        return text()
    where = text(f"{latest.item} in {latest.stage}: ", colours.ASIDE)
    return joined(where, latest.error)
