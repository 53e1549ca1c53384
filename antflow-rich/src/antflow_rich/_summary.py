"""What stays on the screen when a run is over, and what stands for a display without a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from rich.cells import cell_len
from rich.text import Text

from . import _colours as colours
from ._columns import table
from ._errors import of_groups
from ._figures import clock, count, many, noun, percent, rate
from ._glyphs import ELLIPSIS
from ._lines import cut, cut_text, joined, text
from ._overall import figure
from ._scene import Scene

MOST_GROUPS = 10
SHORTEST_NAME = 8
INDENT = len("  items  ")


def summary(scene: Scene, width: int) -> list[Text]:
    """Return the lines that sum up a run: counts, time, rate, errors, busiest stage, faults."""
    lines = [
        verdict(scene, width),
        *outcomes(scene),
        *errors(scene, width),
        *busiest(scene, width),
        *faults(scene),
    ]
    return [cut(line, width) for line in lines]


def verdict(scene: Scene, width: int) -> Text:
    """Return how the run ended, when, and how fast it was, if there is room for that."""
    ended = text(f" {how_it_ended(scene)}: ", colour_of_end(scene))
    figures = f"{many(scene.counts.done, 'item')} in {clock(scene.elapsed)}"
    with_rate = joined(ended, f"{figures}, {rate(scene.rate)}")
    least = min(cell_len(scene.name), SHORTEST_NAME)
    end = with_rate if least + with_rate.cell_len <= width else joined(ended, figures)
    return with_name(text(), scene.name, end, width)


def how_it_ended(scene: Scene) -> str:
    """Return what can be said of the end: an input of unknown length may have broken off."""
    if scene.was_interrupted:
        return "was stopped"
    return "is done" if scene.counts.share == 1.0 else "has ended"


def colour_of_end(scene: Scene) -> str:
    """Return the colour of what is said of the end; none where it may be good or bad."""
    if scene.was_interrupted:
        return colours.WAITS
    return colours.GOOD if scene.counts.share == 1.0 else ""


def with_name(start: Text, name: str, end: Text, width: int) -> Text:
    """Return a line with a name in it that is cut, if it must be, rather than the rest."""
    room = max(width - start.cell_len - end.cell_len, SHORTEST_NAME)
    return joined(start, text(cut_text(name, room), colours.TITLE), end)


def outcomes(scene: Scene) -> Iterator[Text]:
    """Return the items by what became of them."""
    counts = scene.counts
    ends = (
        ("succeeded", counts.succeeded, colours.GOOD),
        (f"{noun(counts.failed, 'item')} failed", counts.failed, colours.BAD),
        ("dropped", counts.dropped, ""),
        ("unprocessed", counts.unprocessed, colours.WAITS),
    )
    pieces = [
        figure(count(number), end, style if number else "")
        for end, number, style in ends
        if number or end not in {"dropped", "unprocessed"}
    ]
    yield joined("  ", text("  ").join(pieces))


def errors(scene: Scene, width: int) -> Iterator[Text]:
    """Return the errors by type."""
    shown = scene.groups[:MOST_GROUPS]
    if shown:
        heading, *rows = table(of_groups(shown, width - 2), len(shown), width - 2)
        yield joined("  ", heading)
        for row, group in zip(rows, shown, strict=True):
            yield joined("  ", row)
            if group.example is not None and group.example.location:
                yield text(f"{' ' * INDENT}{group.example.location}", colours.ASIDE)
    if len(scene.groups) > len(shown):
        more = len(scene.groups) - len(shown)
        yield text(f"  {ELLIPSIS} {many(more, 'type')} of errors more", colours.ASIDE)


def busiest(scene: Scene, width: int) -> Iterator[Text]:
    """Return the stage whose workers were at work the longest part of their time."""
    stage = max(scene.stages, key=lambda stage: stage.overall[0], default=None)
    if stage is not None and stage.overall[0]:
        whose = "worker's" if stage.workers == 1 else "workers'"
        end = text(f" {percent(stage.overall[0])} of {count(stage.workers)} {whose} time")
        yield with_name(text("  busiest ", colours.ASIDE), stage.name, end, width)


def faults(scene: Scene) -> Iterator[Text]:
    """Return the plugins that raised."""
    if scene.faults:
        by_plugin = ", ".join(f"{name} {count(number)}" for name, number in scene.faults.items())
        yield joined("  ", text("plugin faults", colours.BAD), f" {by_plugin} (see the log)")


def plain_line(scene: Scene) -> str:
    """Return one line that says how far the run is, for a log or a pipe."""
    counts = scene.counts
    done = count(counts.done)
    if counts.total is not None and counts.share is not None:
        done = f"{done} of {count(counts.total)} ({percent(counts.share)}) done"
    elif counts.share is not None:
        done = f"{done} done ({percent(counts.share)} of the input)"
    else:
        done = f"{done} done"
    parts = [done, rate(scene.rate), f"{many(counts.failed, 'item')} failed"]
    parts.append(f"{clock(scene.elapsed)} elapsed")
    if scene.left is not None:
        parts.append(f"{clock(scene.left)} left")
    if scene.bottleneck is not None:
        parts.append(f"bottleneck {scene.bottleneck.name}")
    return f"{scene.name}: {', '.join(parts)}"
