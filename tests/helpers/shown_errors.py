"""Which errors the running Python can format; versions differ."""

from __future__ import annotations

import traceback


def can_be_shown(error: Exception) -> bool:
    """Return whether a traceback of an error can be made, whatever its notes and arguments do."""
    try:
        traceback.format_exception(error)
    except Exception:
        return False
    return True
