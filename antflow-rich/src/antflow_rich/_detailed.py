"""The display "detailed": the head, the stages, the workers and the latest errors."""

from __future__ import annotations

from rich.text import Text

from ._errors import recent_errors
from ._layout import fixed, gap_in, stacked
from ._overall import overall
from ._scene import Scene
from ._stages import stage_table
from ._workers import worker_table

SMALL = 24
"""Rows of a window that it takes all of; of a higher one, a third is left to what tasks print."""


def detailed(scene: Scene, width: int, height: int) -> list[Text]:
    """Return the lines of the display."""
    if width < 1:
        return []
    height = min(height, max(SMALL, height * 2 // 3))
    head = overall(scene, width)
    return stacked(
        [
            fixed(head, height),
            stage_table(scene, width, 1, 3),
            worker_table(scene, width, 4),
            recent_errors(scene, width, 2),
        ],
        height,
        gap_in(height),
    )
