"""Formats of numbers and of user texts: short, on one line, and always in the same form."""

from __future__ import annotations

from math import isfinite

from antflow.logs import escape_controls

UNKNOWN = "-"

# More characters than a line shows, and few enough to format again in every frame.
MAX_TEXT = 500


def count(number: int) -> str:
    """Return a count, exact below ten million."""
    return f"{number:,}" if number < 10_000_000 else scaled(number)


def exact_count(number: int) -> str:
    """Return a count with all of its digits."""
    return f"{number:,}"


def scaled(number: float) -> str:
    """Return a number with at most three digits and a letter for its magnitude."""
    for unit in ("", "k", "M", "G"):
        if number < 999.5:  # 999.5 rounds to 1000, which is four digits
            return f"{digits(number)}{unit}"
        number /= 1000
    return f"{number:,.0f}T"


def digits(number: float) -> str:
    """Return a number below 1000 with as many decimals as are significant."""
    if number and number < 0.095:
        return f"{number:.2f}"
    return f"{number:.1f}" if number < 9.95 and number % 1 else f"{number:.0f}"


def rate(items: float) -> str:
    """Return items per second, or per minute or hour where they are few."""
    for unit, seconds in (("s", 1), ("min", 60), ("h", 3600)):
        if items * seconds >= 0.95:
            return f"{scaled(items * seconds)}/{unit}"
    return f"{digits(items * 3600)}/h" if items > 0 else "0/s"


def duration(seconds: float) -> str:
    """Return a duration, in units from microseconds to days."""
    if not isfinite(seconds):
        return UNKNOWN
    for unit, unit_seconds in (("µs", 1e-6), ("ms", 1e-3)):
        if seconds < 999.5 * unit_seconds:
            return f"{digits(seconds / unit_seconds)}{unit}"
    return f"{digits(seconds)}s" if seconds < 99.5 else age(seconds)


def age(seconds: float) -> str:
    """Return the time since something happened, in seconds or coarser."""
    if not isfinite(seconds):
        return UNKNOWN
    if seconds < 9.95:
        return f"{seconds:.1f}s"
    whole = round(seconds)
    if whole < 100:
        return f"{whole}s"
    minutes, hours = whole // 60, whole // 3600
    if minutes < 100:
        return f"{minutes}m{whole % 60:02}s"
    return f"{hours}h{minutes % 60:02}m" if hours < 100 else f"{hours // 24}d{hours % 24:02}h"


def clock(seconds: float) -> str:
    """Return minutes and seconds, with hours and days where there are any."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    if days:
        return f"{days}d {hour:02}:{minute:02}:{second:02}"
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"


def percent(share: float) -> str:
    """Return a share in percent."""
    whole = round(share * 100)
    # 100% means all and 0% means nothing, so 99.9% must not be rounded up.
    if whole in (0, 100) and share not in (0.0, 1.0):
        whole = 1 if share < 0.5 else 99
    return f"{whole}%"


def quantity(number: int, singular: str, plural: str | None = None) -> str:
    """Return a count with its noun."""
    return f"{count(number)} {noun(number, singular, plural)}"


def noun(number: int, singular: str, plural: str | None = None) -> str:
    """Return the form of a noun that goes with a number."""
    return singular if number == 1 else plural or f"{singular}s"


def one_line(text: str) -> str:
    """Return a text on one line, with control characters escaped, as in antflow's messages."""
    # Escaped before anything is laid out, so that the width is that of what is shown.
    return escape_controls(" ".join(text[: 2 * MAX_TEXT].split())[:MAX_TEXT], one_line=True)


def text_of(value: object) -> str:
    """Return `str(value)` on one line, or a note if the object's `__str__` raises."""
    try:
        return one_line(str(value))
    except BaseException as error:  # users' classes: not even a SystemExit may end the thread
        return f"(no text: {type(error).__name__} in __str__)"
