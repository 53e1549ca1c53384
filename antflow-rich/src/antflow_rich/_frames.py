"""Every display: what it draws of a scene, in a window of some width and height."""

from __future__ import annotations

from collections.abc import Callable

from rich.text import Text

from ._compact import compact
from ._detailed import detailed
from ._full import full
from ._progress import progress
from ._scene import Scene
from ._summary import plain_line, summary

__all__ = ["FRAMES", "Frame", "plain_line", "summary"]

Frame = Callable[[Scene, int, int], list[Text]]
"""Draws a scene in lines, none wider than the width, and no more than the height."""

FRAMES: dict[str, Frame] = {
    "progress": progress,
    "compact": compact,
    "detailed": detailed,
    "full": full,
}
"""By the name that a display is asked for."""
