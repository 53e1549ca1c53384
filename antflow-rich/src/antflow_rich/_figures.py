"""Numbers as texts: short, and of the same form each time."""

from __future__ import annotations

from math import isfinite

NONE = "-"


def count(number: int) -> str:
    """Return a count, exact below ten million."""
    return f"{number:,}" if number < 10_000_000 else scaled(number)


def exactly(number: int) -> str:
    """Return a count with all of its digits."""
    return f"{number:,}"


def scaled(number: float) -> str:
    """Return a number with three digits at most, and a letter for its size."""
    for unit in ("", "k", "M", "G"):
        if number < 999.5:
            return f"{digits(number)}{unit}"
        number /= 1000
    return f"{number:,.0f}T"


def digits(number: float) -> str:
    """Return a number below 1000 with as many decimals as tell something."""
    if number and number < 0.095:
        return f"{number:.2f}"
    return f"{number:.1f}" if number < 9.95 and number % 1 else f"{number:.0f}"


def rate(items: float) -> str:
    """Return items a second, or a minute or an hour where they are few."""
    for unit, seconds in (("s", 1), ("min", 60), ("h", 3600)):
        if items * seconds >= 0.95:
            return f"{scaled(items * seconds)}/{unit}"
    return f"{digits(items * 3600)}/h" if items > 0 else "0/s"


def duration(seconds: float) -> str:
    """Return how long something took, from microseconds to days."""
    if not isfinite(seconds):
        return NONE
    for unit, each in (("µs", 1e-6), ("ms", 1e-3)):
        if seconds < 999.5 * each:
            return f"{digits(seconds / each)}{unit}"
    return f"{digits(seconds)}s" if seconds < 99.5 else age(seconds)


def age(seconds: float) -> str:
    """Return how long ago something was, in seconds or coarser."""
    if not isfinite(seconds):
        return NONE
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
    """Return minutes and seconds, with hours and days where there are some."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    if days:
        return f"{days}d {hour:02}:{minute:02}:{second:02}"
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"


def percent(share: float) -> str:
    """Return a share in percent: 100 for all only, and 0 for nothing only."""
    whole = round(share * 100)
    if whole in (0, 100) and share not in (0.0, 1.0):
        whole = 1 if share < 0.5 else 99
    return f"{whole}%"


def many(number: int, one: str, several: str | None = None) -> str:
    """Return a count with its noun."""
    return f"{count(number)} {noun(number, one, several)}"


def noun(number: int, one: str, several: str | None = None) -> str:
    """Return a noun for that many."""
    return one if number == 1 else several or f"{one}s"
