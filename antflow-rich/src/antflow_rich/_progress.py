"""The display "progress": one line."""

from __future__ import annotations

from rich.text import Text

from . import _colours as colours
from ._figures import clock, rate
from ._lines import GAP, Piece, cut_text, fitting, text, width_of
from ._overall import SHORTEST_BAR, bar_line, done, failed, share, shortest_bar, time_left
from ._scene import Scene

LONGEST_NAME = 20


def progress(scene: Scene, width: int, height: int) -> list[Text]:
    """Return the one line."""
    if width < 1 or height < 1:
        return []
    name = text(cut_text(scene.name, LONGEST_NAME), colours.TITLE)
    least = shortest_bar(scene.counts)
    room = width - least - share(scene.counts).cell_len - 2 * GAP
    pieces = figures(scene, failed(scene))
    if width_of([*pieces, Piece(name, 9)]) + SHORTEST_BAR > room:
        pieces = figures(scene, failed(scene, briefly=True))
    kept = fitting(pieces, room)
    tail = text(" " * GAP).join(piece.content for piece in kept)
    head = name if width_of([*kept, Piece(name, 9)]) + SHORTEST_BAR <= room else None
    return [bar_line(scene, width, head, tail)]


def figures(scene: Scene, failures: Text) -> list[Piece]:
    """Return what stands behind the bar, as far as there is room.

    Args:
        scene: the run.
        failures: how many items failed.
    """
    pieces = [
        Piece(done(scene), 1),
        Piece(text(rate(scene.rate)), 2),
        Piece(text(clock(scene.elapsed), colours.ASIDE), 4),
        Piece(time_left(scene), 3),
        Piece(failures, 0 if scene.counts.failed else 5),
    ]
    return [piece for piece in pieces if piece.content]
