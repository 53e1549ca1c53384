"""The characters that pictures are made of, and what stands for them where they cannot be shown."""

from __future__ import annotations

from rich.text import Text

DONE, REST = "━", "─"
HATCHED = "╱"
"""For a bar that says nothing of how much is done."""

OF_STATE = {"busy": "█", "waiting": "▓", "blocked": "▒", "idle": "░"}
EIGHTHS = " ▁▂▃▄▅▆▇█"
ELLIPSIS = "…"
HERE = "▶"

_PLAIN = str.maketrans("━─╱█▓▒░▁▂▃▄▅▆▇…▶µ", "=-/#+:.__--==%~>u")


def fit_for(encoding: str, line: Text) -> Text:
    """Return a line without what an encoding cannot write; it is as wide as it was, or less.

    Args:
        encoding: that of the stream, such as "utf-8" or "ascii".
        line: any line.
    """
    if can_write(encoding, line.plain):
        return line
    plain = "".join(each if can_write(encoding, each) else substitute(each) for each in line.plain)
    fitting = line.copy()
    fitting.plain = plain
    return fitting


def can_write(encoding: str, text: str) -> bool:
    """Return whether an encoding has every character of a text; False for an unknown one."""
    try:
        text.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def substitute(character: str) -> str:
    """Return the ASCII character that stands for one."""
    plain = character.translate(_PLAIN)
    return plain if plain.isascii() else "?"
