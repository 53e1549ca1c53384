"""Sections of the dashboards: throughput, stages, workers, items in flight, and errors."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rich.text import Text

from . import _styles as styles
from ._formats import age, clock, count, duration, quantity, rate, scaled
from ._layout import (
    Piece,
    RowRequest,
    Section,
    join,
    join_fitting,
    justify,
    pad,
    text,
    total_width,
    truncate,
    truncate_middle,
)
from ._views import STATES, ErrorGroup, Failure, RunView, StageView, WorkerView
from ._widgets import TableColumn, chart, list_section, state_bar, table

MIN_NAME, MIN_ITEM, MIN_TYPE, MIN_LIMIT, MIN_LOCATION = 16, 16, 16, 14, 22  # widths of columns
MIN_WIDTH_FOR_LOCATIONS = 70  # below, the list of failed items has no room for locations
FEW_STAGES, SEVERAL_STAGES = 4, 8
SHORT_BAR, LONG_BAR = 8, 80
CHART_ROWS = 4


def throughput_chart(view: RunView, width: int, rank: int, rows: int = CHART_ROWS) -> Section:
    """Return a chart of the items per second since the run began.

    Args:
        width: cells of the section.
        rank: rank of the section.
        rows: maximal height, including the line with the scale.
    """

    def draw(room: int) -> list[Text]:
        scale = justify(
            join(text("throughput"), text(f"  over {clock(view.elapsed)}", styles.DIM)),
            text(f"peak {rate(max(view.history))}", styles.DIM),
            width,
        )
        return [scale, *chart(view.history, width, room - 1)]

    return Section(draw, [RowRequest(rank, 2)], rows if len(view.history) > 1 else 0)


def stage_table(view: RunView, width: int, rank: int, rank_for_more: int) -> Section:
    """Return a table with a row for each stage and a legend below.

    Args:
        width: cells of the section.
        rank: rank of the request for a few stages.
        rank_for_more: rank of the request for several.
    """

    def draw(rows: int) -> list[Text]:
        has_legend = rows > 2
        shown = most_relevant(view.stages, rows - 1 - has_legend)
        lines = table(stage_columns(shown), len(shown), width)
        names = {stage.name for stage in shown}
        hidden = [stage for stage in view.stages if stage.name not in names]
        return [*lines, *[legend(shown, hidden, width) for _ in range(has_legend)]]

    stages = len(view.stages)
    requests = [
        RowRequest(rank, min(stages, FEW_STAGES) + 1),
        RowRequest(rank_for_more, min(stages, SEVERAL_STAGES) + 2),
    ]
    return Section(draw, requests, stages + 2 if stages else 0)


def most_relevant(stages: Sequence[StageView], most: int) -> list[StageView]:
    """Return the bottleneck, then stages with failures, then the busiest, in pipeline order."""
    ranked = sorted(
        stages, key=lambda stage: (not stage.is_bottleneck, -stage.failed, stage.recent[3])
    )
    kept = {stage.name for stage in ranked[: max(most, 0)]}
    return [stage for stage in stages if stage.name in kept]


def stage_columns(stages: Sequence[StageView]) -> list[TableColumn]:
    """Return the columns of the stage table."""

    def cells(draw: Callable[[StageView], Text]) -> list[Text]:
        return [draw(stage) for stage in stages]

    return [
        TableColumn("stage", cells(stage_name), 0, "left", MIN_NAME, is_name=True),
        TableColumn("workers", state_bars(stages), 1, "left", SHORT_BAR, LONG_BAR),
        TableColumn("active", cells(active_cell), 3),
        TableColumn("pending", cells(pending_cell), 4),
        TableColumn("done", cells(lambda stage: count_cell(stage.completed)), 6),
        TableColumn("failed", cells(lambda stage: count_cell(stage.failed, styles.FAILURE)), 2),
        *limit_columns(stages),
        *retry_columns(stages),
        TableColumn("rate", cells(lambda stage: text(rate(stage.rate))), 7),
        TableColumn("p50", cells(lambda stage: text(duration(stage.p50))), 10),
        TableColumn("p95", cells(lambda stage: text(duration(stage.p95))), 9),
    ]


def state_bars(stages: Sequence[StageView]) -> Callable[[int, int], Text]:
    """Return a function that draws the bar of a row in a width."""
    return lambda row, width: state_bar(stages[row].recent, width)


def stage_name(stage: StageView) -> Text:
    """Return the name of a stage, with a marker if it is the bottleneck."""
    if stage.is_bottleneck:
        return text(f"{styles.MARKER} {stage.name}", styles.BOTTLENECK)
    return text(f"  {stage.name}")


def active_cell(stage: StageView) -> Text:
    """Return the number of items that workers hold, of the number of workers."""
    return join(str(stage.in_progress), text(f"/{stage.workers}", styles.DIM))


def pending_cell(stage: StageView) -> Text:
    """Return the number of items that wait, of the capacity."""
    if stage.capacity is None:
        return count_cell(stage.pending)
    return join(scaled(stage.pending), text(f"/{scaled(stage.capacity)}", styles.DIM))


def retry_columns(stages: Sequence[StageView]) -> list[TableColumn]:
    """Return the columns of the attempts that were retried, and of the items that wait for one."""
    retried = [count_cell(stage.retried) for stage in stages]
    if not any(stage.retried for stage in stages):
        return [TableColumn("retried", retried, 12)]  # the first to be left out
    # It stays when no item waits any more, or the table would change with every retry.
    return [
        TableColumn("retried", retried, 8),
        TableColumn("parked", [parked_cell(stage) for stage in stages], 11),
    ]


def limit_columns(stages: Sequence[StageView]) -> list[TableColumn]:
    """Return the column of the limits that items wait for; none for stages without limits."""
    # It stays while nothing waits, or the table would change again and again.
    if not any(stage.has_limits for stage in stages):
        return []
    cells = [limit_cell(stage) for stage in stages]
    return [TableColumn("waits for", cells, 5, "left", MIN_LIMIT, is_name=True)]


def limit_cell(stage: StageView) -> Text:
    """Return the limit that items wait for, and how many, or how long it is paused."""
    wait = stage.limit_wait
    if wait is None:
        return text("-" if stage.has_limits else "", styles.DIM)
    more = count(wait.items) if wait.paused is None else age(wait.paused)
    return join(text(wait.name, styles.WAITING), text(f" ({more})", styles.DIM))


def parked_cell(stage: StageView) -> Text:
    """Return the number of items that wait for a retry, and the time until the next is due."""
    if stage.next_retry is None:
        return count_cell(stage.parked)
    return join(
        text(count(stage.parked), styles.WAITING),
        text(f" ({age(stage.next_retry)})", styles.DIM),
    )


def count_cell(value: int, style: str = "") -> Text:
    """Return a count; 0 is dim."""
    return text(count(value), style if value else styles.DIM)


def legend(stages: Sequence[StageView], hidden: Sequence[StageView], width: int) -> Text:
    """Return the meaning of bars and markers, and the number of hidden stages."""
    entries = [
        Piece(labelled_symbol(styles.STATE_SYMBOLS[state], state, styles.STATE_COLOURS[state]), 1)
        for state in STATES
    ]
    if any(stage.is_bottleneck for stage in stages):
        marker = labelled_symbol(styles.MARKER, "bottleneck", styles.BOTTLENECK)
        entries.append(Piece(marker, 2))
    if not hidden:
        return truncate(join("  ", join_fitting(entries, width - 2)), width)
    failing = sum(stage.failed > 0 for stage in hidden)
    more = f"{styles.ELLIPSIS} {quantity(len(hidden), 'stage')} more"
    note = text(f"{more}, {failing} failing" if failing else more, styles.DIM)
    room = width - note.cell_len - 4
    if room < total_width(entries[:4]):  # a legend of some states only would mislead
        return truncate(note, width)
    return justify(join("  ", join_fitting(entries, room)), note, width)


def labelled_symbol(symbol: str, meaning: str, style: str) -> Text:
    """Return a symbol and its meaning, which is dim."""
    return join(text(symbol, style), text(f" {meaning}", styles.DIM))


def stage_grid(stages: Sequence[StageView], width: int, height: int) -> list[Text]:
    """Return a grid of cells, each with a stage's name, bar and busy workers."""
    if not stages or height < 1:
        return []
    longest = max(stage_name(stage).cell_len for stage in stages)
    numbers = max(len(busy_cell(stage).plain) for stage in stages)
    cell = min(longest + 1 + SHORT_BAR + 1 + numbers, width)
    columns = max((width + 3) // (cell + 3), 1)
    shown = most_relevant(stages, columns * height)
    if len(shown) < len(stages):
        shown = most_relevant(stages, columns * height - 1)
    cells = [grid_cell(stage, cell, numbers) for stage in shown]
    if len(shown) < len(stages):
        more = f"  {styles.ELLIPSIS} {len(stages) - len(shown)} more"
        cells.append(text(more, styles.DIM))
    rows = [cells[at : at + columns] for at in range(0, len(cells), columns)]
    return [grid_row(row, cell) for row in rows]


def grid_row(cells: Sequence[Text], width: int) -> Text:
    """Return one line of cells of that width."""
    line = text("   ").join(pad(cell, width) for cell in cells)
    line.rstrip()
    return line


def grid_cell(stage: StageView, width: int, numbers: int) -> Text:
    """Return the cell of one stage; `numbers` is the width of its busy workers."""
    room = width - 1 - SHORT_BAR - 1 - numbers
    name = pad(truncate_middle(stage_name(stage), room), room)
    bar = state_bar(stage.recent, SHORT_BAR)
    return join(name, " ", bar, " ", pad(busy_cell(stage), numbers, "right"))


def busy_cell(stage: StageView) -> Text:
    """Return the number of busy workers, of all workers."""
    return join(str(stage.busy), text(f"/{stage.workers} busy", styles.DIM))


def worker_table(view: RunView, width: int, rank: int) -> Section:
    """Return the list of workers, those with the longest-held items first."""
    return list_section(view.workers, view.total_workers, worker_columns, width, rank)


def worker_columns(workers: Sequence[WorkerView], width: int) -> list[TableColumn]:
    """Return the columns of the list of workers."""
    return [
        name_column("worker", [worker.name for worker in workers], 0),
        TableColumn(
            "item", [item_cell(worker) for worker in workers], 2, "left", MIN_ITEM, is_name=True
        ),
        TableColumn("age", [age_cell(worker) for worker in workers], 3),
        TableColumn("attempt", [attempt_cell(worker) for worker in workers], 4),
        *worker_total_columns(workers),
        TableColumn("doing", [text(worker.status) for worker in workers], 1, "left", width // 3),
    ]


def worker_total_columns(workers: Sequence[WorkerView]) -> list[TableColumn]:
    """Return the columns for the totals of workers."""
    return [
        TableColumn("done", [count_cell(worker.completed) for worker in workers], 6),
        TableColumn("failed", [count_cell(worker.failed, styles.FAILURE) for worker in workers], 5),
        TableColumn("mean", [text(duration(worker.mean)) for worker in workers], 7),
    ]


def worker_totals(view: RunView, width: int, rank: int) -> Section:
    """Return the list of workers with their totals, for displays that list items separately."""
    return list_section(view.workers, view.total_workers, totals_columns, width, rank)


def totals_columns(workers: Sequence[WorkerView], width: int) -> list[TableColumn]:
    """Return the columns of the list of totals."""
    return [
        name_column("worker", [worker.name for worker in workers], 0),
        *worker_total_columns(workers),
        TableColumn(
            "item", [item_cell(worker) for worker in workers], 1, "left", MIN_ITEM, is_name=True
        ),
    ]


def items_in_flight(view: RunView, width: int, rank: int) -> Section:
    """Return the list of the items that workers hold, the longest-held first."""
    held = [worker for worker in view.workers if worker.item is not None]
    return list_section(held, view.busy_workers, item_columns, width, rank)


def item_columns(workers: Sequence[WorkerView], width: int) -> list[TableColumn]:
    """Return the columns of the list of items in flight."""
    return [
        item_column("in flight", workers, 0),
        name_column("stage", [worker.stage for worker in workers], 2),
        TableColumn("attempt", [attempt_cell(worker) for worker in workers], 4),
        TableColumn("age", [age_cell(worker) for worker in workers], 3),
        TableColumn("doing", [text(worker.status) for worker in workers], 1, "left", width // 3),
    ]


def name_column(heading: str, names: Sequence[str], rank: int) -> TableColumn:
    """Return a column of names, whose ends stay visible."""
    return TableColumn(
        heading, [text(name) for name in names], rank, "left", MIN_NAME, is_name=True
    )


def item_column(heading: str, workers: Sequence[WorkerView], rank: int) -> TableColumn:
    """Return the column of the items that workers hold."""
    cells = [item_cell(worker) for worker in workers]
    return TableColumn(heading, cells, rank, "left", MIN_ITEM, is_name=True)


def item_cell(worker: WorkerView) -> Text:
    """Return the item that a worker holds."""
    return text("idle", styles.DIM) if worker.item is None else text(worker.item)


def age_cell(worker: WorkerView) -> Text:
    """Return the time since a worker took its item."""
    return text() if worker.item is None else text(duration(worker.age))


def attempt_cell(worker: WorkerView) -> Text:
    """Return the number of the attempt; the first is dim."""
    if worker.item is None:
        return text()
    return text(str(worker.attempt), styles.WAITING if worker.attempt > 1 else styles.DIM)


def recent_errors(view: RunView, width: int, rank: int) -> Section:
    """Return the list of the items that failed last."""
    return list_section(view.failures, view.counts.failed, failure_columns, width, rank)


def failure_columns(failures: Sequence[Failure], width: int) -> list[TableColumn]:
    """Return the columns of the list of failed items."""
    locations = location_columns(failures, 3) if width >= MIN_WIDTH_FOR_LOCATIONS else []
    min_error = width * (9 if locations else 11) // 20  # about half is for the errors' texts
    return [
        name_column("failed", [failure.item for failure in failures], 1),
        name_column("stage", [failure.stage for failure in failures], 2),
        *locations,
        TableColumn("ago", [text(age(failure.age), styles.DIM) for failure in failures], 4),
        TableColumn("attempts", [text(count(failure.attempts)) for failure in failures], 5),
        TableColumn("error", [error_cell(failure) for failure in failures], 0, "left", min_error),
    ]


def location_columns(failures: Sequence[Failure | None], rank: int) -> list[TableColumn]:
    """Return the column of the lines that raised the errors; none if no line is known."""
    locations = [failure.location if failure else "" for failure in failures]
    if not any(locations):
        return []
    cells = [text(location) for location in locations]
    return [TableColumn("location", cells, rank, "left", MIN_LOCATION, is_name=True)]


def error_cell(failure: Failure) -> Text:
    """Return the class and the text of an error."""
    colon = ": " if failure.error else ""
    return join(text(failure.error_type, styles.FAILURE), f"{colon}{failure.error}")


def error_groups(view: RunView, width: int, rank: int) -> Section:
    """Return the list of errors by class, with an example for each."""
    return list_section(view.groups, len(view.groups), located_group_columns, width, rank)


def located_group_columns(groups: Sequence[ErrorGroup], width: int) -> list[TableColumn]:
    """Return the columns of that list, with the lines that raised the latest errors."""
    return [*group_columns(groups, width), *location_columns([each.example for each in groups], 3)]


def group_columns(groups: Sequence[ErrorGroup], width: int) -> list[TableColumn]:
    """Return the columns for the count, the class and the example of error groups."""
    types = [text(group.error_type, styles.FAILURE) for group in groups]
    examples = [example_cell(group) for group in groups]
    return [
        TableColumn("items", [text(count(group.count), styles.FAILURE) for group in groups], 0),
        TableColumn("error", types, 1, "left", MIN_TYPE, is_name=True),
        TableColumn("latest", examples, 2, "left", max(width * 2 // 5, 24)),
    ]


def example_cell(group: ErrorGroup) -> Text:
    """Return the latest item of a group, its stage, and the error's text."""
    latest = group.example
    if latest is None:
        return text()
    return join(text(f"{latest.item} in {latest.stage}: ", styles.DIM), latest.error)
