"""The head of a display: how far the run is, as pieces of lines."""

from __future__ import annotations

from rich.text import Text

from . import _colours as colours
from ._bars import indeterminate_bar, progress_bar
from ._figures import clock, exactly, many, noun, percent, rate
from ._lines import GAP, Piece, at_both_ends, cut, in_order, joined, text
from ._scene import Counts, Scene

SHORTEST_BAR, SHORTEST_INDETERMINATE_BAR, SHORTEST_TITLE = 8, 3, 20


def figure(value: str, name: str, style: str = "") -> Text:
    """Return a figure with what it counts."""
    return joined(text(value, style), text(f" {name}", style or colours.ASIDE))


def done(scene: Scene) -> Text:
    """Return how many items have ended, of how many."""
    counts = scene.counts
    if counts.total is None:
        return figure(exactly(counts.done), "done")
    return joined(exactly(counts.done), text(f"/{exactly(counts.total)}", colours.ASIDE))


def failed(scene: Scene, *, briefly: bool = False) -> Text:
    """Return how many items failed."""
    number = scene.counts.failed
    name = "failed" if briefly else f"{noun(number, 'item')} failed"
    return figure(exactly(number), name, colours.BAD if number else "")


def share(counts: Counts) -> Text:
    """Return which part is done, and of what, for beside a bar."""
    if counts.share is None:
        return text("total unknown", colours.ASIDE)
    of_what = " of the input" if counts.total is None else ""
    return joined(text(f"{percent(counts.share):>4}", colours.TITLE), text(of_what, colours.ASIDE))


def shortest_bar(counts: Counts) -> int:
    """Return the cells that a bar needs; one that says nothing of progress needs few."""
    return SHORTEST_INDETERMINATE_BAR if counts.share is None else SHORTEST_BAR


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
    """Return a line that a bar fills, with the part that is done, or that the total is unknown.

    Args:
        scene: the run.
        width: how wide the line is.
        head: what stands before it.
        tail: what stands behind it.
    """
    counts = scene.counts
    parts = [part for part in (head, share(counts), tail) if part]
    room = width - sum(part.cell_len + 2 for part in parts)
    if room < shortest_bar(counts):
        return in_order([Piece(part, -at) for at, part in enumerate(parts)], width)
    if counts.share is None:
        bar = indeterminate_bar(scene.elapsed, room)
    else:
        bar = progress_bar(counts, room)
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
