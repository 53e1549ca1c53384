"""What each colour means; nothing is coloured that has none of these meanings."""

from __future__ import annotations

GOOD = "green"
"""Items that succeeded, workers at work."""

BAD = "bold red"
"""Failures."""

WAITS = "yellow"
"""Time in which workers wait for a limit, or for parked items."""

BLOCKED = "magenta"
"""Time that goes into waits for room downstream."""

NARROWEST = "bold yellow"
"""The bottleneck."""

TITLE = "bold"
ASIDE = "dim"
"""Headings, and what matters less."""

OF_STATE = {"busy": GOOD, "waiting": WAITS, "blocked": BLOCKED, "idle": ASIDE}
