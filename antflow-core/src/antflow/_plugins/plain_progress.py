"""The dashboard "progress" where no plugin has one: plain lines on standard error."""

from __future__ import annotations

import sys
from asyncio import get_running_loop
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from typing import Any

from antflow._errors.texts import many, message_text, safe_text
from antflow.dashboards import DashboardSnapshot
from antflow.results import ErrorSummary, PipelineResult
from antflow.stats import PipelineStats

PROGRESS = "progress"
"""Name of the dashboard that needs no plugin."""

LINE_SECONDS = 1.0
"""Seconds between two lines, at least."""

RATE_LINES = 10
"""Lines over which the rate is averaged."""

LONGEST_LEFT = 100 * 86400.0
"""Seconds; a longer time left is not shown."""

LONGEST_NAME = 100


class PlainProgress:
    """Writes one line a second at most, and a last one at the end of the run."""

    # It writes on the event loop, as a log handler does. A thread that is stuck in a write would
    # hold the stream's lock, for which log handlers and the interpreter's exit would wait.

    def on_start(self, pipeline: Any, total_items: int | None) -> None:
        """Begin to count; the first line follows after a second.

        Args:
            total_items: how many items there are; None if the input has no length.
        """
        self._name = safe_text(pipeline.name, LONGEST_NAME)
        self._total = total_items
        self._began = get_running_loop().time()
        self._due = self._began + LINE_SECONDS
        self._counted = deque([(self._began, 0)], maxlen=RATE_LINES + 1)
        self._latest: DashboardSnapshot | None = None

    def on_update(self, snapshot: DashboardSnapshot) -> None:
        """Write a line if the latest is a second old and items are left."""
        self._latest = snapshot
        now = get_running_loop().time()
        # At the end nothing is written here, since `on_finish` writes the last line.
        if now < self._due or share_ended(snapshot, self._total) == 1:
            return
        self._due = now + LINE_SECONDS
        ended = items_ended(snapshot.pipeline_stats)
        since, before = self._counted[0]
        self._counted.append((now, ended))
        rate = (ended - before) / (now - since)
        write_line(f"{self._name}: {', '.join(_so_far(snapshot, self._total, rate))}")

    def on_finish(self, results: list[PipelineResult], summary: ErrorSummary) -> None:
        """Write the last line."""
        if self._latest is None:  # the run ended before its first update
            return
        seconds = get_running_loop().time() - self._began
        write_line(f"{self._name}: {', '.join(_at_end(self._latest, self._total, seconds))}")


def _so_far(snapshot: DashboardSnapshot, total: int | None, rate: float) -> Iterator[str]:
    stats = snapshot.pipeline_stats
    so_far = " so far" if total is None else ""
    share = share_ended(snapshot, total)
    yield f"{_items(stats, total)}{so_far}{_percent(share, total)}"
    yield _failed(stats)
    yield per_time(rate)
    if (left := time_left(items_ended(stats), share, rate)) is not None:
        yield f"{timedelta(seconds=round(left))} left"
    yield from _limited(snapshot)


def _at_end(snapshot: DashboardSnapshot, total: int | None, seconds: float) -> Iterator[str]:
    stats = snapshot.pipeline_stats
    yield f"{_items(stats, total)} in {timedelta(seconds=round(seconds))}"
    yield _failed(stats)
    if seconds > 0:
        yield per_time(items_ended(stats) / seconds)


def _limited(snapshot: DashboardSnapshot) -> Iterator[str]:
    """Yield which stage waits for which limit, of several stages the one with the most items."""
    stages = snapshot.pipeline_stats.stage_stats.values()
    waits = [
        (stage.limits[name], stage.stage_name, name)
        for stage in stages
        if (name := stage.waits_for)
    ]
    if waits:
        limit, *names = max(waits, key=lambda wait: wait[0].waiting)
        stage_name, name = (safe_text(each, LONGEST_NAME) for each in names)
        pause = ""
        if limit.paused_until is not None:
            left = max(limit.paused_until - snapshot.timestamp, 0.0)
            pause = f", paused for {timedelta(seconds=round(left))}"
        yield f"{stage_name} waits for limit '{name}' ({many(limit.waiting, 'item')}){pause}"


def items_ended(stats: PipelineStats) -> int:
    """Return how many items succeeded, failed or were dropped."""
    return stats.items_processed + stats.items_failed + stats.items_dropped


def share_ended(snapshot: DashboardSnapshot, total: int | None) -> float | None:
    """Return the share of the items that have ended, from 0 to 1; None if it is unknown.

    Without a total, it is the share of the input that has been read, less what is in flight.

    Args:
        total: how many items there are; None if unknown.
    """
    stats = snapshot.pipeline_stats
    if total is not None:
        expected = max(total, stats.items_fed)  # tasks may feed more
        return items_ended(stats) / expected if expected else 1.0
    if snapshot.input_fraction is None:
        return None
    of_read = items_ended(stats) / stats.items_fed if stats.items_fed else 1.0
    return snapshot.input_fraction * of_read


def time_left(ended: int, share: float | None, rate: float) -> float | None:
    """Return the seconds until the remaining items have ended; None if that is unknown.

    Args:
        share: their share of all items, from 0 to 1; None if it is unknown.
        rate: items per second.
    """
    if not share or not ended:
        return None
    if share == 1:
        return 0.0
    left = ended * (1 / share - 1) / rate if rate > 0 else LONGEST_LEFT
    return left if left < LONGEST_LEFT else None


def per_time(rate: float) -> str:
    """Return items per second, or per minute or hour if they are few."""
    number, unit = rate, "s"
    for seconds, longer in (60, "min"), (3600, "h"):
        if 0 < number < 0.95:
            number, unit = rate * seconds, longer
    return f"{number:,.0f}/{unit}" if number >= 9.95 or not number % 1 else f"{number:.1f}/{unit}"


def percent(share: float) -> str:
    """Return a share in percent: 100 only if all has ended, 0 only if nothing has."""
    whole = round(share * 100)
    if whole in (0, 100) and share not in (0.0, 1.0):
        whole = 1 if share < 0.5 else 99
    return f"{whole}%"


def _items(stats: PipelineStats, total: int | None) -> str:
    ended = items_ended(stats)
    if total is None:
        return many(ended, "item")
    return f"{ended:,} of {many(max(total, stats.items_fed), 'item')}"


def _failed(stats: PipelineStats) -> str:
    return f"{many(stats.items_failed, 'item')} failed"


def _percent(share: float | None, total: int | None) -> str:
    if share is None:
        return ""
    of_what = " of the input" if total is None else ""
    return f" ({percent(share)}{of_what})"


def write_line(line: str) -> None:
    """Write a line to standard error, if there is one and it is open."""
    stream = sys.stderr
    if stream is None:  # as under pythonw
        return
    encoding = getattr(stream, "encoding", None) or "utf-8"
    # Replaced, so that a name that the terminal's encoding lacks does not end the display.
    with suppress(OSError, ValueError):  # it is closed, or its reader has ended
        shown = message_text(line, one_line=True)
        stream.write(shown.encode(encoding, "replace").decode(encoding) + "\n")
        stream.flush()
