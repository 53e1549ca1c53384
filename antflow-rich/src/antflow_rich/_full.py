"""The display "full": all that is known of a run, for a whole screen."""

from __future__ import annotations

from rich.text import Text

from ._errors import error_groups, recent_errors
from ._layout import Block, Need, fixed, gap_in, stacked
from ._lines import beside
from ._overall import overall
from ._scene import Scene
from ._stages import stage_table
from ._throughput import throughput
from ._workers import items_in_flight, worker_totals

WIDE = 120
BETWEEN = 4


def full(scene: Scene, width: int, height: int) -> list[Text]:
    """Return the lines of the display."""
    if width < 1:
        return []
    head = overall(scene, width)
    upper = [
        fixed(head, height),
        throughput(scene, width, 5),
        stage_table(scene, width, 1, 3),
    ]
    gap = gap_in(height)
    if width < WIDE:
        return stacked([*upper, *lists(scene, width)], height, gap)
    left = width // 2 - BETWEEN // 2
    right = width - left - BETWEEN

    def draw(rows: int) -> list[Text]:
        lower_left = stacked([items_in_flight(scene, left, 0)], rows, gap)
        lower_right = stacked(lists(scene, right)[1:], rows, gap)
        return beside(lower_left, lower_right, left, BETWEEN)

    return stacked([*upper, Block(draw, [Need(2, 4)], height)], height, gap)


def lists(scene: Scene, width: int) -> list[Block]:
    """Return the lists of a display."""
    return [
        items_in_flight(scene, width, 4),
        error_groups(scene, width, 2),
        recent_errors(scene, width, 7),
        worker_totals(scene, width, 6),
    ]
