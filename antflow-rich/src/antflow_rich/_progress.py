"""The display "progress": one line."""

from __future__ import annotations

from rich.text import Text

from . import _colours as colours
from ._figures import clock, rate
from ._lines import Piece, cut_text, fitting, text, width_of
from ._overall import SHORTEST_BAR, bar_line, done, failed, time_left
from ._scene import Scene

LONGEST_NAME = 20


def progress(scene: Scene, width: int, height: int) -> list[Text]:
    """Return the one line."""
    if width < 1 or height < 1:
        return []
    name = text(cut_text(scene.name, LONGEST_NAME), colours.TITLE)
    pieces = [
        Piece(done(scene), 1),
        Piece(text(rate(scene.rate)), 2),
        Piece(text(clock(scene.elapsed), colours.ASIDE), 4),
        Piece(time_left(scene), 3),
        Piece(failed(scene), 0 if scene.counts.failed else 5),
    ]
    room = width - SHORTEST_BAR - len("  100%  ")
    kept = fitting([piece for piece in pieces if piece.content], room)
    tail = text("  ").join(piece.content for piece in kept)
    head = name if width_of([*kept, Piece(name, 9)]) + SHORTEST_BAR <= room else None
    return [bar_line(scene, width, head, tail)]
