"""The head of a display: how far the run is, as pieces of lines."""

from __future__ import annotations

from rich.text import Text

from . import _colours as colours
from ._bars import chart, progress_bar
from ._figures import clock, count, percent, rate
from ._lines import Piece, at_both_ends, cut, in_order, joined, text
from ._scene import Scene

SHORTEST_BAR = 8


def figure(value: str, noun: str, style: str = "") -> Text:
    """Return a figure with what it counts."""
    return joined(text(value, style), text(f" {noun}", style or colours.ASIDE))


def done(scene: Scene) -> Text:
    """Return how many items have ended, of how many."""
    counts = scene.counts
    if counts.total is None:
        return figure(count(counts.done), "done")
    return joined(count(counts.done), text(f"/{count(counts.total)}", colours.ASIDE))


def failed(scene: Scene) -> Text:
    """Return how many items failed."""
    number = scene.counts.failed
    return figure(count(number), "failed", colours.BAD if number else "")


def time_left(scene: Scene) -> Text:
    """Return how long the rest will take; empty where that cannot be said."""
    return text() if scene.left is None else figure(clock(scene.left), "left")


def title(scene: Scene, width: int) -> Text:
    """Return the name of the pipeline and, at the right end, the time."""
    times = [figure(clock(scene.elapsed), "elapsed"), time_left(scene)]
    right = text("  ").join(each for each in times if each)
    return at_both_ends(cut(text(scene.name, colours.TITLE), width), right, width)


def bar_line(scene: Scene, width: int, head: Text | None = None, tail: Text | None = None) -> Text:
    """Return a line that a bar fills, or throughput over time where the total is unknown.

    Args:
        scene: the run.
        width: how wide the line is.
        head: what stands before it.
        tail: what stands behind it.
    """
    share = scene.counts.share
    parts = [part for part in (head, tail) if part]
    if share is not None:
        parts.insert(1 if head else 0, text(f"{percent(share):>4}", colours.TITLE))
    room = width - sum(part.cell_len + 2 for part in parts)
    if room < SHORTEST_BAR:
        return in_order([Piece(part, -at) for at, part in enumerate(parts)], width)
    if share is None:
        (bar,) = chart(scene.history, room, 1)
        bar.append(" " * (room - bar.cell_len))
    else:
        bar = progress_bar(scene.counts, room)
    parts.insert(1 if head else 0, bar)
    return text("  ").join(parts)


def outcome_line(scene: Scene, width: int) -> Text:
    """Return the items by what became of them, and the rate."""
    counts = scene.counts
    pieces = [
        Piece(figure(count(counts.succeeded), "succeeded"), 2),
        Piece(failed(scene), 0),
        Piece(figure(count(counts.remaining), "remaining"), 3),
        Piece(text(rate(scene.rate), colours.TITLE), 1),
    ]
    if counts.dropped:
        pieces.insert(2, Piece(figure(count(counts.dropped), "dropped"), 4))
    if scene.faults:
        faults = sum(scene.faults.values())
        pieces.append(Piece(figure(count(faults), "plugin faults", colours.BAD), 5))
    return in_order(pieces, width)


def overall(scene: Scene, width: int) -> list[Text]:
    """Return the three lines that say how far the run is."""
    return [
        title(scene, width),
        bar_line(scene, width, tail=done(scene)),
        outcome_line(scene, width),
    ]
