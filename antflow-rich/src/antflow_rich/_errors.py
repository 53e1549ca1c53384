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

SHORTEST_TYPE, SHORTEST_ITEM, SHORTEST_NAME, SHORTEST_LOCATION = 16, 16, 16, 22
FIT_FOR_LOCATIONS = 70
"""Cells from which on the list of failed items gives some of its errors' room to locations."""


def recent_errors(scene: Scene, width: int, rank: int) -> Block:
    """Return the list of the items that failed last."""
    return listed(scene.failures, scene.counts.failed, of_failures, width, rank)


def of_failures(failures: Sequence[Failure], width: int) -> list[Column]:
    """Return the columns of that list; about half of the width is for the errors' texts."""
    where = locations(failures, 3) if width >= FIT_FOR_LOCATIONS else []
    half = width * (9 if where else 11) // 20
    return [
        Column(
            "failed", [text(each.item) for each in failures], 1, "left", SHORTEST_ITEM, is_name=True
        ),
        Column(
            "stage", [text(each.stage) for each in failures], 2, "left", SHORTEST_NAME, is_name=True
        ),
        *where,
        Column("ago", [text(age(each.age), colours.ASIDE) for each in failures], 4),
        Column("attempts", [text(count(each.attempts)) for each in failures], 5),
        Column("error", [message(each) for each in failures], 0, "left", half),
    ]


def locations(failures: Sequence[Failure | None], rank: int) -> list[Column]:
    """Return the column of the lines that raised the errors, if any of them is known."""
    known = [failure.location if failure else "" for failure in failures]
    if not any(known):
        return []
    cells = [text(location) for location in known]
    return [Column("location", cells, rank, "left", SHORTEST_LOCATION, is_name=True)]


def message(failure: Failure) -> Text:
    """Return the class of an error and its text."""
    colon = ": " if failure.error else ""
    return joined(text(failure.error_type, colours.BAD), f"{colon}{failure.error}")


def error_groups(scene: Scene, width: int, rank: int) -> Block:
    """Return the list of the classes of errors, with an example for each."""
    return listed(scene.groups, len(scene.groups), of_located_groups, width, rank)


def of_located_groups(groups: Sequence[ErrorGroup], width: int) -> list[Column]:
    """Return the columns of that list, with the lines that raised the latest errors."""
    return [*of_groups(groups, width), *locations([each.example for each in groups], 3)]


def of_groups(groups: Sequence[ErrorGroup], width: int) -> list[Column]:
    """Return the columns that tell groups of errors apart."""
    return [
        Column("items", [text(count(each.count), colours.BAD) for each in groups], 0),
        Column("error", [kind(each) for each in groups], 1, "left", SHORTEST_TYPE, is_name=True),
        Column("latest", [example(each) for each in groups], 2, "left", max(width * 2 // 5, 24)),
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
