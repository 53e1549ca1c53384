"""The frame of each display, the summary after the run, and the line for logs."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from rich.cells import cell_len
from rich.text import Text

from . import _styles as styles
from ._formats import age, clock, count, exact_count, noun, percent, quantity, rate
from ._layout import (
    GAP,
    Piece,
    RowRequest,
    Section,
    fitting_pieces,
    fixed_section,
    gap_for,
    join,
    join_fitting,
    justify,
    labelled,
    side_by_side,
    stack,
    text,
    total_width,
    truncate,
    truncate_text,
)
from ._sections import (
    error_groups,
    group_columns,
    items_in_flight,
    recent_errors,
    stage_grid,
    stage_table,
    throughput_chart,
    worker_table,
    worker_totals,
)
from ._views import ItemCounts, RunView, StageView
from ._widgets import indeterminate_bar, progress_bar, table

MIN_BAR, MIN_INDETERMINATE_BAR, MIN_TITLE = 8, 3, 20  # widths
MAX_PROGRESS_NAME = 20
SMALL_HEIGHT = 24  # "detailed" takes all rows of such a window, of a higher one two thirds
WIDE, COLUMN_GAP = 120, 4  # "full" has two columns from that width on, with that gap
MAX_GROUPS = 10  # of errors in the summary
MIN_SUMMARY_NAME = 8
LOCATION_INDENT = len("  items  ")


def progress(view: RunView, width: int, height: int) -> list[Text]:
    """Return the frame of the display "progress": one line."""
    if width < 1 or height < 1:
        return []
    name = text(truncate_text(view.name, MAX_PROGRESS_NAME), styles.TITLE)
    room = width - min_bar_width(view.counts) - share_text(view.counts).cell_len - 2 * GAP
    pieces = progress_pieces(view, failed_text(view))
    if total_width([*pieces, Piece(name, 9)]) + MIN_BAR > room:
        pieces = progress_pieces(view, failed_text(view, short=True))
    kept = fitting_pieces(pieces, room)
    # A wait comes and goes, so it displaces nothing.
    spare = room - MIN_BAR - total_width([*kept, Piece(name, 9)]) - GAP
    if wait := fitting_limit_text(view, spare):
        kept.append(Piece(wait, 6))
    tail = text(" " * GAP).join(piece.content for piece in kept)
    head = name if total_width([*kept, Piece(name, 9)]) + MIN_BAR <= room else None
    return [bar_line(view, width, head, tail)]


def progress_pieces(view: RunView, failed: Text) -> list[Piece]:
    """Return the pieces behind the bar of "progress".

    Args:
        failed: the number of failed items, in the long or the short form.
    """
    pieces = [
        Piece(done_text(view), 1),
        Piece(text(rate(view.rate)), 2),
        Piece(text(clock(view.elapsed), styles.DIM), 4),
        Piece(time_left_text(view), 3),
        Piece(failed, 0 if view.counts.failed else 5),
    ]
    return [piece for piece in pieces if piece.content]


def compact(view: RunView, width: int, height: int) -> list[Text]:
    """Return the frame of the display "compact": the header and a grid of stages."""
    if width < 1:
        return []
    lines = header(view, width)
    return [*lines, *stage_grid(view.stages, width, height - len(lines))][: max(height, 0)]


def detailed(view: RunView, width: int, height: int) -> list[Text]:
    """Return the frame of the display "detailed": header, stages, workers, recent errors."""
    if width < 1:
        return []
    # A third of a high window is left to what tasks print.
    height = min(height, max(SMALL_HEIGHT, height * 2 // 3))
    return stack(
        [
            fixed_section(header(view, width), height),
            stage_table(view, width, 1, 3),
            worker_table(view, width, 4),
            recent_errors(view, width, 2),
        ],
        height,
        gap_for(height),
    )


def full(view: RunView, width: int, height: int) -> list[Text]:
    """Return the frame of the display "full": every section that has room in the window."""
    if width < 1:
        return []
    upper = [
        fixed_section(header(view, width), height),
        throughput_chart(view, width, 5),
        stage_table(view, width, 1, 3),
    ]
    gap = gap_for(height)
    if width < WIDE:
        return stack([*upper, *list_sections(view, width)], height, gap)
    left = width // 2 - COLUMN_GAP // 2
    right = width - left - COLUMN_GAP

    def draw(rows: int) -> list[Text]:
        lower_left = stack([items_in_flight(view, left, 0)], rows, gap)
        lower_right = stack(list_sections(view, right)[1:], rows, gap)
        return side_by_side(lower_left, lower_right, left, COLUMN_GAP)

    return stack([*upper, Section(draw, [RowRequest(2, 4)], height)], height, gap)


def list_sections(view: RunView, width: int) -> list[Section]:
    """Return the lists of "full"; the items in flight come first."""
    return [
        items_in_flight(view, width, 4),
        error_groups(view, width, 2),
        recent_errors(view, width, 7),
        worker_totals(view, width, 6),
    ]


Frame = Callable[[RunView, int, int], list[Text]]
"""Draws a view in lines that fit a width and a height."""

FRAMES: dict[str, Frame] = {
    "progress": progress,
    "compact": compact,
    "detailed": detailed,
    "full": full,
}
"""The frame of each display, by the display's name."""


def header(view: RunView, width: int) -> list[Text]:
    """Return the first lines of a dashboard: title, progress bar, and items by outcome."""
    bar = bar_line(view, width, tail=done_text(view))
    return [title_line(view, width), bar, outcome_line(view, width)]


def title_line(view: RunView, width: int) -> Text:
    """Return the name of the pipeline and, at the right end, the times."""
    pieces = [Piece(labelled(clock(view.elapsed), "elapsed"), 1)]
    if left := time_left_text(view):
        pieces.append(Piece(left, 0))
    name = text(view.name, styles.TITLE)
    room = width - min(name.cell_len, MIN_TITLE) - GAP
    times = join_fitting(pieces, room)
    return justify(truncate(name, width - times.cell_len - GAP), times, width)


def bar_line(view: RunView, width: int, head: Text | None = None, tail: Text | None = None) -> Text:
    """Return a line with a progress bar that takes the rest of the width.

    Args:
        width: cells of the line.
        head: text before the bar.
        tail: text behind the share that is done.
    """
    counts = view.counts
    parts = [part for part in (head, share_text(counts), tail) if part]
    room = width - sum(part.cell_len + 2 for part in parts)
    if room < min_bar_width(counts):
        return join_fitting([Piece(part, -at) for at, part in enumerate(parts)], width)
    if counts.share is None:
        bar = indeterminate_bar(view.elapsed, room)
    else:
        bar = progress_bar(counts, room)
    parts.insert(1 if head else 0, bar)
    return text("  ").join(parts)


def outcome_line(view: RunView, width: int) -> Text:
    """Return the items by outcome, and the rate."""
    counts = view.counts
    rest = "under way" if counts.total is None else "remaining"
    pieces = [
        Piece(labelled(exact_count(counts.succeeded), "succeeded"), 2),
        Piece(failed_text(view), 0),
        Piece(labelled(exact_count(counts.remaining), rest), 3),
        Piece(text(rate(view.rate), styles.TITLE), 1),
    ]
    if counts.dropped:
        pieces.insert(2, Piece(labelled(exact_count(counts.dropped), "dropped"), 4))
    if parked := parked_text(view):
        pieces.append(Piece(parked, 7))
    if view.faults:
        faults = sum(view.faults.values())
        pieces.append(Piece(text(quantity(faults, "plugin fault"), styles.FAILURE), 5))
    room = width - total_width(pieces) - GAP
    if wait := fitting_limit_text(view, room) or limit_text(view, short=True):
        pieces.append(Piece(wait, 6))
    return join_fitting(pieces, width)


def fitting_limit_text(view: RunView, room: int) -> Text:
    """Return which limit holds up most items, in the longest form that fits; empty if none does."""
    forms = limit_text(view), limit_text(view, short=True)
    return next((form for form in forms if form.cell_len <= room), text())


def limit_text(view: RunView, *, short: bool = False) -> Text:
    """Return which limit holds up most items, and in which stage; empty if none does."""
    stage = view.limited_stage
    if stage is None or stage.limit_wait is None:
        return text()
    wait = stage.limit_wait
    if not short:
        return text(waits_for(stage), styles.WAITING)
    if wait.paused is not None:
        return labelled(wait.name, f"paused for {age(wait.paused)}", styles.WAITING)
    verb = noun(wait.items, "waits", "wait")
    return labelled(exact_count(wait.items), f"{verb} for {wait.name}", styles.WAITING)


def waits_for(stage: StageView) -> str:
    """Return what a stage waits for, as a sentence; empty if it does not wait for a limit."""
    wait = stage.limit_wait
    if wait is None:
        return ""
    pause = "" if wait.paused is None else f", paused for {age(wait.paused)}"
    return f"{stage.name} waits for limit '{wait.name}' ({quantity(wait.items, 'item')}){pause}"


def parked_text(view: RunView) -> Text:
    """Return the number of parked items, and the time until the next retry is due."""
    if not view.parked:
        return text()
    due = "" if view.next_retry is None else f" ({age(view.next_retry)})"
    return labelled(exact_count(view.parked), f"parked{due}", styles.WAITING)


def done_text(view: RunView) -> Text:
    """Return the number of items that have ended, and the total if it is known."""
    counts = view.counts
    if counts.total is None:
        return labelled(exact_count(counts.done), "done")
    return join(exact_count(counts.done), text(f"/{exact_count(counts.total)}", styles.DIM))


def failed_text(view: RunView, *, short: bool = False) -> Text:
    """Return the number of failed items."""
    number = view.counts.failed
    label = "failed" if short else f"{noun(number, 'item')} failed"
    return labelled(exact_count(number), label, styles.FAILURE if number else "")


def share_text(counts: ItemCounts) -> Text:
    """Return the share that is done."""
    if counts.share is None:
        return text("total unknown", styles.DIM)
    of_what = " of the input" if counts.total is None else ""
    return join(text(f"{percent(counts.share):>4}", styles.TITLE), text(of_what, styles.DIM))


def min_bar_width(counts: ItemCounts) -> int:
    """Return the fewest cells of a bar; an indeterminate one needs few."""
    return MIN_INDETERMINATE_BAR if counts.share is None else MIN_BAR


def time_left_text(view: RunView) -> Text:
    """Return the estimated time left; empty if it is unknown."""
    if view.seconds_left is None:
        return text()
    return labelled(clock(view.seconds_left), "left")


def summary(view: RunView, width: int) -> list[Text]:
    """Return the lines that stay after a run: outcome, errors, busiest stage, plugin faults."""
    lines = [
        result_line(view, width),
        outcome_counts(view),
        *error_lines(view, width),
        *busiest_stage(view, width),
        *fault_lines(view),
    ]
    return [truncate(line, width) for line in lines]


def result_line(view: RunView, width: int) -> Text:
    """Return how the run ended, its duration, and its rate if there is room for it."""
    ended = text(f" {end_phrase(view)}: ", end_style(view))
    items = f"{quantity(view.counts.done, 'item')} in {clock(view.elapsed)}"
    with_rate = join(ended, f"{items}, {rate(view.rate)}")
    min_name = min(cell_len(view.name), MIN_SUMMARY_NAME)
    end = with_rate if min_name + with_rate.cell_len <= width else join(ended, items)
    return line_with_name(text(), view.name, end, width)


def end_phrase(view: RunView) -> str:
    """Return how the run ended."""
    if view.was_interrupted:
        return "was stopped"
    # An input of unknown length may have broken off, so its end is not called success.
    return "is done" if view.counts.share == 1.0 else "has ended"


def end_style(view: RunView) -> str:
    """Return the style of the phrase for the end."""
    if view.was_interrupted:
        return styles.WAITING
    return styles.SUCCESS if view.counts.share == 1.0 else ""


def line_with_name(start: Text, name: str, end: Text, width: int) -> Text:
    """Return a line that fits a width by truncating the name in it."""
    room = max(width - start.cell_len - end.cell_len, MIN_SUMMARY_NAME)
    return join(start, text(truncate_text(name, room), styles.TITLE), end)


def outcome_counts(view: RunView) -> Text:
    """Return the number of items by outcome."""
    counts = view.counts
    outcomes = (
        ("succeeded", counts.succeeded, styles.SUCCESS),
        (f"{noun(counts.failed, 'item')} failed", counts.failed, styles.FAILURE),
        ("dropped", counts.dropped, ""),
        ("unprocessed", counts.unprocessed, styles.WAITING),
    )
    pieces = [
        labelled(count(number), label, style if number else "")
        for label, number, style in outcomes
        if number or label not in {"dropped", "unprocessed"}
    ]
    return join("  ", text("  ").join(pieces))


def error_lines(view: RunView, width: int) -> Iterator[Text]:
    """Return the errors by type, with examples."""
    shown = view.groups[:MAX_GROUPS]
    if shown:
        heading, *rows = table(group_columns(shown, width - 2), len(shown), width - 2)
        yield join("  ", heading)
        for row, group in zip(rows, shown, strict=True):
            yield join("  ", row)
            if group.example is not None and group.example.location:
                yield text(f"{' ' * LOCATION_INDENT}{group.example.location}", styles.DIM)
    if len(view.groups) > len(shown):
        more = quantity(len(view.groups) - len(shown), "type")
        yield text(f"  {styles.ELLIPSIS} {more} of errors more", styles.DIM)


def busiest_stage(view: RunView, width: int) -> Iterator[Text]:
    """Return the stage with the largest share of busy time."""
    stage = max(view.stages, key=lambda stage: stage.overall[0], default=None)
    if stage is not None and stage.overall[0]:
        whose = "worker's" if stage.workers == 1 else "workers'"
        end = text(f" {percent(stage.overall[0])} of {count(stage.workers)} {whose} time")
        yield line_with_name(text("  busiest ", styles.DIM), stage.name, end, width)


def fault_lines(view: RunView) -> Iterator[Text]:
    """Return the plugins whose hooks raised."""
    if view.faults:
        by_plugin = ", ".join(f"{name} {count(number)}" for name, number in view.faults.items())
        yield join("  ", text("plugin faults", styles.FAILURE), f" {by_plugin} (see the log)")


def plain_line(view: RunView) -> str:
    """Return the progress of a run as one line of plain text, for a log or a pipe."""
    counts = view.counts
    done = count(counts.done)
    if counts.total is not None and counts.share is not None:
        done = f"{done} of {count(counts.total)} ({percent(counts.share)}) done"
    elif counts.share is not None:
        done = f"{done} done ({percent(counts.share)} of the input)"
    else:
        done = f"{done} done"
    parts = [done, rate(view.rate), f"{quantity(counts.failed, 'item')} failed"]
    parts.append(f"{clock(view.elapsed)} elapsed")
    if view.seconds_left is not None:
        parts.append(f"{clock(view.seconds_left)} left")
    if view.bottleneck is not None:
        parts.append(f"bottleneck {view.bottleneck.name}")
    if view.limited_stage is not None:
        parts.append(waits_for(view.limited_stage))
    return f"{view.name}: {', '.join(parts)}"
