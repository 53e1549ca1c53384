"""What stays on the screen when a run is over, and what stands for a display without a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from rich.text import Text

from . import _colours as colours
from ._columns import table
from ._errors import of_groups
from ._figures import clock, count, many, percent, rate
from ._glyphs import ELLIPSIS
from ._lines import cut, joined, text
from ._overall import figure
from ._scene import Scene, StageScene

MOST_GROUPS = 10


def summary(scene: Scene, width: int) -> list[Text]:
    """Return the lines that sum up a run: counts, time, rate, errors, busiest stage, faults."""
    lines = [verdict(scene), *outcomes(scene), *errors(scene, width), *remarks(scene)]
    return [cut(line, width) for line in lines]


def verdict(scene: Scene) -> Text:
    """Return how the run ended, when, and how fast it was."""
    counts = scene.counts
    ended = "was stopped" if scene.was_interrupted else "is done"
    style = colours.WAITS if scene.was_interrupted else colours.GOOD
    return joined(
        text(scene.name, colours.TITLE),
        text(f" {ended}: ", style),
        text(f"{many(counts.done, 'item')} in {clock(scene.elapsed)}, {rate(scene.rate)}"),
    )


def outcomes(scene: Scene) -> Iterator[Text]:
    """Return the items by what became of them."""
    counts = scene.counts
    ends = (
        ("succeeded", counts.succeeded, colours.GOOD),
        ("failed", counts.failed, colours.BAD),
        ("dropped", counts.dropped, ""),
        ("unprocessed", counts.unprocessed, colours.WAITS),
    )
    pieces = [
        figure(count(number), end, style if number else "")
        for end, number, style in ends
        if number or end in {"succeeded", "failed"}
    ]
    yield joined("  ", text("  ").join(pieces))


def errors(scene: Scene, width: int) -> Iterator[Text]:
    """Return the errors by type."""
    shown = scene.groups[:MOST_GROUPS]
    if shown:
        for line in table(of_groups(shown, width - 2), len(shown), width - 2):
            yield joined("  ", line)
    if len(scene.groups) > len(shown):
        more = len(scene.groups) - len(shown)
        yield text(f"  {ELLIPSIS} {many(more, 'type')} of errors more", colours.ASIDE)


def remarks(scene: Scene) -> Iterator[Text]:
    """Return the busiest stage, and the plugins that raised."""
    busiest = max(scene.stages, key=lambda stage: stage.overall[0], default=None)
    if busiest is not None and busiest.overall[0]:
        yield joined("  ", busiest_line(busiest))
    if scene.faults:
        by_plugin = ", ".join(f"{name} {count(number)}" for name, number in scene.faults.items())
        yield joined("  ", text("plugin faults", colours.BAD), f" {by_plugin} (see the log)")


def busiest_line(stage: StageScene) -> Text:
    """Return which stage was the busiest, in no more words than a narrow window has room for."""
    workers = many(stage.workers, "worker")
    return joined(
        text("busiest ", colours.ASIDE),
        text(stage.name, colours.TITLE),
        f" {percent(stage.overall[0])} of {workers}",
        text("' time" if stage.workers != 1 else "'s time"),
    )


def plain_line(scene: Scene) -> str:
    """Return one line that says how far the run is, for a log or a pipe."""
    counts = scene.counts
    done = count(counts.done)
    if counts.total is not None and counts.share is not None:
        done = f"{done} of {count(counts.total)} ({percent(counts.share)})"
    parts = [f"{done} done", rate(scene.rate), f"{count(counts.failed)} failed"]
    parts.append(f"{clock(scene.elapsed)} elapsed")
    if scene.left is not None:
        parts.append(f"{clock(scene.left)} left")
    if scene.bottleneck is not None:
        parts.append(f"bottleneck {scene.bottleneck.name}")
    return f"{scene.name}: {', '.join(parts)}"
