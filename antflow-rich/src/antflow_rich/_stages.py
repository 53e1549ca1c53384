"""Stages: a table with a bar of what their workers' time goes into, and one cell for each."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rich.text import Text

from . import _colours as colours
from ._bars import state_bar
from ._columns import Column, table
from ._figures import count, duration, many, rate, scaled
from ._glyphs import ELLIPSIS, HERE, OF_STATE
from ._layout import Block, Need
from ._lines import Piece, at_both_ends, cut, cut_inside, in_order, joined, padded, text, width_of
from ._scene import STATES, Scene, StageScene

SHORTEST_NAME = 16
FEW, SEVERAL = 4, 8
SHORT_BAR, LONG_BAR = 8, 80


def stage_table(scene: Scene, width: int, rank: int, rank_of_more: int) -> Block:
    """Return the table, a row a stage, with a line below that says what the bar means.

    Args:
        scene: the run.
        width: how wide it is.
        rank: its rank among other blocks, for a few stages.
        rank_of_more: the same for as many as are looked at easily.
    """

    def draw(rows: int) -> list[Text]:
        has_key = rows > 2
        shown = most_telling(scene.stages, rows - 1 - has_key)
        lines = table(columns(shown), len(shown), width)
        names = {stage.name for stage in shown}
        hidden = [stage for stage in scene.stages if stage.name not in names]
        return [*lines, *[key(shown, hidden, width) for _ in range(has_key)]]

    stages = len(scene.stages)
    needs = [Need(rank, min(stages, FEW) + 1), Need(rank_of_more, min(stages, SEVERAL) + 2)]
    return Block(draw, needs, stages + 2 if stages else 0)


def most_telling(stages: Sequence[StageScene], most: int) -> list[StageScene]:
    """Return so many stages, in their order: the bottleneck, those that fail, then the busiest."""
    ranked = sorted(
        stages, key=lambda stage: (not stage.is_bottleneck, -stage.failed, stage.lately[3])
    )
    kept = {stage.name for stage in ranked[: max(most, 0)]}
    return [stage for stage in stages if stage.name in kept]


def columns(stages: Sequence[StageScene]) -> list[Column]:
    """Return the columns of the table."""

    def each(say: Callable[[StageScene], Text]) -> list[Text]:
        return [say(stage) for stage in stages]

    has_retried = any(stage.retried for stage in stages)
    return [
        Column("stage", each(name), 0, "left", SHORTEST_NAME, is_name=True),
        Column("workers", bars(stages), 1, "left", SHORT_BAR, LONG_BAR),
        Column("active", each(active), 3),
        Column("pending", each(pending), 4),
        Column("done", each(lambda stage: number(stage.completed)), 5),
        Column("failed", each(lambda stage: number(stage.failed, colours.BAD)), 2),
        Column("retried", each(lambda stage: number(stage.retried)), 7 if has_retried else 10),
        Column("rate", each(lambda stage: text(rate(stage.rate))), 6),
        Column("p50", each(lambda stage: text(duration(stage.p50))), 9),
        Column("p95", each(lambda stage: text(duration(stage.p95))), 8),
    ]


def bars(stages: Sequence[StageScene]) -> Callable[[int, int], Text]:
    """Return what draws a stage's bar."""
    return lambda row, width: state_bar(stages[row].lately, width)


def name(stage: StageScene) -> Text:
    """Return the name, marked where the stage is the bottleneck."""
    if stage.is_bottleneck:
        return text(f"{HERE} {stage.name}", colours.NARROWEST)
    return text(f"  {stage.name}")


def active(stage: StageScene) -> Text:
    """Return how many items the workers hold, and how many workers there are."""
    return joined(str(stage.in_progress), text(f"/{stage.workers}", colours.ASIDE))


def pending(stage: StageScene) -> Text:
    """Return how many items wait, and for how many there is room."""
    if stage.capacity is None:
        return number(stage.pending)
    return joined(scaled(stage.pending), text(f"/{scaled(stage.capacity)}", colours.ASIDE))


def number(value: int, style: str = "") -> Text:
    """Return a count; 0 stays in the background."""
    return text(count(value), style if value else colours.ASIDE)


def key(stages: Sequence[StageScene], hidden: Sequence[StageScene], width: int) -> Text:
    """Return what bars and marks mean, and how many stages are not shown."""
    signs = [Piece(sign(OF_STATE[state], state, colours.OF_STATE[state]), 1) for state in STATES]
    if any(stage.is_bottleneck for stage in stages):
        signs.append(Piece(sign(HERE, "bottleneck", colours.NARROWEST), 2))
    if not hidden:
        return cut(joined("  ", in_order(signs, width - 2)), width)
    failing = sum(stage.failed > 0 for stage in hidden)
    more = f"{ELLIPSIS} {many(len(hidden), 'stage')} more"
    left_out = text(f"{more}, {failing} failing" if failing else more, colours.ASIDE)
    room = width - left_out.cell_len - 4
    line = joined("  ", in_order(signs, room)) if room >= width_of(signs[:4]) else text()
    return at_both_ends(line, left_out, width) if line else cut(left_out, width)


def sign(mark: str, meaning: str, style: str) -> Text:
    """Return a mark with what it means."""
    return joined(text(mark, style), text(f" {meaning}", colours.ASIDE))


def stage_cells(stages: Sequence[StageScene], width: int, height: int) -> list[Text]:
    """Return the stages as cells of a grid, each with a bar and busy of total workers."""
    if not stages or height < 1:
        return []
    longest = max(name(stage).cell_len for stage in stages)
    numbers = max(len(busy(stage).plain) for stage in stages)
    cell = min(longest + 1 + SHORT_BAR + 1 + numbers, width)
    columns_ = max((width + 3) // (cell + 3), 1)
    shown = most_telling(stages, columns_ * height)
    if len(shown) < len(stages):
        shown = most_telling(stages, columns_ * height - 1)
    cells = [stage_cell(stage, cell, numbers) for stage in shown]
    if len(shown) < len(stages):
        cells.append(text(f"  {ELLIPSIS} {len(stages) - len(shown)} more", colours.ASIDE))
    rows = [cells[at : at + columns_] for at in range(0, len(cells), columns_)]
    return [in_grid(row, cell) for row in rows]


def in_grid(cells: Sequence[Text], width: int) -> Text:
    """Return one line of cells of that width."""
    line = text("   ").join(padded(each, width) for each in cells)
    line.rstrip()
    return line


def stage_cell(stage: StageScene, width: int, numbers: int) -> Text:
    """Return one stage in few words."""
    room = width - 1 - SHORT_BAR - 1 - numbers
    title = padded(cut_inside(name(stage), room), room)
    return joined(
        title, " ", state_bar(stage.lately, SHORT_BAR), " ", padded(busy(stage), numbers, "right")
    )


def busy(stage: StageScene) -> Text:
    """Return how many workers work, of how many."""
    return joined(str(stage.busy), text(f"/{stage.workers} busy", colours.ASIDE))
