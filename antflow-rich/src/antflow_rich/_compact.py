"""The display "compact": the head, and each stage in a few words."""

from __future__ import annotations

from rich.text import Text

from ._overall import overall
from ._scene import Scene
from ._stages import stage_cells


def compact(scene: Scene, width: int, height: int) -> list[Text]:
    """Return the lines of the display."""
    if width < 1:
        return []
    lines = overall(scene, width)
    return [*lines, *stage_cells(scene.stages, width, height - len(lines))][: max(height, 0)]
