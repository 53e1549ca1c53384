"""The head of a display: how far the run is, as pieces of lines."""

from __future__ import annotations

from rich.text import Text

from . import _colours as colours
from ._bars import chart, progress_bar
from ._figures import clock, exactly, many, percent, rate
from ._lines import GAP, Piece, at_both_ends, cut, in_order, joined, text
from ._scene import Scene

SHORTEST_BAR, SHORTEST_TITLE = 8, 20


def figure(value: str, noun: str, style: str = "") -> Text:
    """Return a figure with what it counts."""
    return joined(text(value, style), text(f" {noun}", style or colours.ASIDE))


def done(scene: Scene) -> Text:
    """Return how many items have ended, of how many."""
    counts = scene.counts
    if counts.total is None:
        return figure(exactly(counts.done), "done")
    return joined(exactly(counts.done), text(f"/{exactly(counts.total)}", colours.ASIDE))


def failed(scene: Scene) -> Text:
    """Return how many items failed."""
    number = scene.counts.failed
    return figure(exactly(number), "failed", colours.BAD if number else "")


def time_left(scene: Scene) -> Text:
    """Return how long the rest will take; empty where that cannot be said."""
    return text() if scene.left is None else figure(clock(scene.left), "left")


def title(scene: Scene, width: int) -> Text:
    """Return the name of the pipeline and, at the right end, the time."""
    pieces = [Piece(figure(clock(scene.elapsed), "elapsed"), 1)]
    if left := time_left(scene):
        pieces.append(Piece(left, 0))
    name = text(scene.name, colours.TITLE)
    room = width - min(name.cell_len, SHORTEST_TITLE) - GAP
    times = in_order(pieces, room)
    return at_both_ends(cut(name, width - times.cell_len - GAP), times, width)


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
    rest = "under way" if counts.total is None else "remaining"
    pieces = [
        Piece(figure(exactly(counts.succeeded), "succeeded"), 2),
        Piece(failed(scene), 0),
        Piece(figure(exactly(counts.remaining), rest), 3),
        Piece(text(rate(scene.rate), colours.TITLE), 1),
    ]
    if counts.dropped:
        pieces.insert(2, Piece(figure(exactly(counts.dropped), "dropped"), 4))
    if scene.faults:
        faults = sum(scene.faults.values())
        pieces.append(Piece(text(many(faults, "plugin fault"), colours.BAD), 5))
    return in_order(pieces, width)


def overall(scene: Scene, width: int) -> list[Text]:
    """Return the lines that say how far the run is."""
    bar = bar_line(scene, width, tail=done(scene))
    return [title(scene, width), bar, outcome_line(scene, width)]


def overall_beside_chart(scene: Scene, width: int) -> list[Text]:
    """Return these lines for a display that shows throughput over time as well."""
    lines = overall(scene, width)
    return lines if scene.counts.total is not None else [lines[0], lines[2]]
