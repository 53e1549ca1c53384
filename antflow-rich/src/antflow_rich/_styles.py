"""Colours and symbols of the displays, and ASCII substitutes for the symbols."""

from __future__ import annotations

from itertools import accumulate

from rich.cells import cell_len
from rich.text import Span, Text

# Colours. Each has one meaning, and none is the only sign of it: see NO_COLOR.
SUCCESS = "green"  # also: busy workers
FAILURE = "bold red"
WAITING = "yellow"  # workers that wait for a limit or for parked items
BLOCKED = "magenta"  # workers that wait for room downstream
BOTTLENECK = "bold yellow"
TITLE = "bold"
DIM = "dim"  # headings, and what matters less
STATE_COLOURS = {"busy": SUCCESS, "waiting": WAITING, "blocked": BLOCKED, "idle": DIM}

# Symbols
BAR_DONE, BAR_REST = "━", "─"
BAR_UNKNOWN = "╱"  # hatched: the bar says nothing about progress
STATE_SYMBOLS = {"busy": "█", "waiting": "▓", "blocked": "▒", "idle": "░"}
EIGHTHS = " ▁▂▃▄▅▆▇█"
ELLIPSIS = "…"
MARKER = "▶"

_SUBSTITUTES = str.maketrans("━─╱█▓▒░▁▂▃▄▅▆▇…▶µ", "=-/#+:.__--==%~>u")


def encodable(encoding: str, line: Text) -> Text:
    """Return a line with substitutes for what an encoding cannot write.

    The result is as wide as the line was.
    """
    if can_encode(encoding, line.plain):
        return line
    parts = [
        character if can_encode(encoding, character) else substitute(character)
        for character in line.plain
    ]
    result = line.copy()
    result.plain = "".join(parts)
    place = [0, *accumulate(map(len, parts))]  # of each character, as some have two substitutes
    result.spans = [Span(place[each.start], place[each.end], each.style) for each in line.spans]
    # A sequence of characters, such as a joined emoji, has other cells than its characters.
    result.truncate(line.cell_len, overflow="crop", pad=True)
    return result


def can_encode(encoding: str, text: str) -> bool:
    """Return whether an encoding has every character of a text; False for an unknown one."""
    try:
        text.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def substitute(character: str) -> str:
    """Return the ASCII substitute for a character, which is as wide."""
    plain = character.translate(_SUBSTITUTES)
    return plain if plain.isascii() else "?" * cell_len(character)
