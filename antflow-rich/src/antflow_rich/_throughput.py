"""Throughput over time."""

from __future__ import annotations

from rich.text import Text

from . import _colours as colours
from ._bars import chart
from ._figures import clock, rate
from ._layout import Block, Need
from ._lines import at_both_ends, joined, text
from ._scene import Scene

TALLEST = 4


def throughput(scene: Scene, width: int, rank: int, rows: int = TALLEST) -> Block:
    """Return a chart of the items a second since the run began, with a line that says its scale.

    Args:
        scene: the run.
        width: how wide it is.
        rank: its rank among other blocks.
        rows: how tall it may be, that line included.
    """

    def draw(room: int) -> list[Text]:
        scale = at_both_ends(
            joined(text("throughput"), text(f"  over {clock(scene.elapsed)}", colours.ASIDE)),
            text(f"peak {rate(max(scene.history))}", colours.ASIDE),
            width,
        )
        return [scale, *chart(scene.history, width, room - 1)]

    return Block(draw, [Need(rank, 2)], rows if len(scene.history) > 1 else 0)
