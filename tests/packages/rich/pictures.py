"""Pictures of the displays for the documents: `make pictures` draws them, from fixed views."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from io import StringIO
from math import pi, sin
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

from antflow_rich._frames import FRAMES, summary
from antflow_rich._views import ErrorGroup, Failure, ItemCounts, RunView, StageView, WorkerView

FOLDER = Path(__file__).parents[3] / "docs" / "images"
FONTS = '"DejaVu Sans Mono", Menlo, Consolas, "Liberation Mono", monospace'
ASPECT = 0.602
"""Width of a character of these fonts, by its height."""

THEME = TerminalTheme(
    (22, 24, 29),
    (216, 219, 226),
    [
        (40, 42, 48), (232, 92, 92), (110, 190, 120), (226, 184, 84),
        (98, 150, 222), (188, 128, 208), (92, 184, 194), (216, 219, 226),
    ],
)  # fmt: skip

# What they show: a run in the middle and at its end.

STAGES = (
    StageView(
        "Fetch", 20, 3, 3, 100, 100, 6_342, 4, 31, 412.0, 0.048, 0.31,
        (0.16, 0.02, 0.80, 0.02), (0.2, 0.02, 0.75, 0.03),
    ),
    StageView(
        "Parse", 8, 8, 8, 80, 80, 6_250, 1, 0, 411.0, 0.019, 0.024,
        (0.98, 0.0, 0.0, 0.02), (0.96, 0.0, 0.0, 0.04), True,
    ),
    StageView(
        "Enrich", 12, 4, 7, 2, 120, 6_228, 0, 118, 409.0, 0.0071, 0.042,
        (0.34, 0.22, 0.0, 0.44), (0.3, 0.2, 0.0, 0.5), parked=14, next_retry=1.2,
    ),
    StageView(
        "Store", 4, 1, 1, 0, 40, 6_209, 0, 0, 409.0, 0.0021, 0.0048,
        (0.22, 0.0, 0.0, 0.78), (0.2, 0.0, 0.0, 0.8),
    ),
)  # fmt: skip

MESSAGES = {
    "ConnectionError": "the host did not answer within 10 s",
    "UnicodeDecodeError": "'utf-8' codec can't decode byte 0xe9 in position 1044: unexpected end",
}
REFUSED = ("Fetch", "ConnectionError", MESSAGES["ConnectionError"], 3)
UNREADABLE = ("Parse", "UnicodeDecodeError", MESSAGES["UnicodeDecodeError"], 1)
FAILURES = (
    Failure("order-6201", *REFUSED, 1.4, "orders.py:24, in fetch"),
    Failure("order-5988", *UNREADABLE, 3.2, "orders.py:31, in parse"),
    Failure("order-5310", *REFUSED, 9.1, "orders.py:24, in fetch"),
    Failure("order-2214", *REFUSED, 12.0, "orders.py:24, in fetch"),
    Failure("order-0042", *REFUSED, 14.6, "orders.py:24, in fetch"),
)
GROUPS = (
    ErrorGroup("ConnectionError", 4, FAILURES[0]),
    ErrorGroup("UnicodeDecodeError", 1, FAILURES[1]),
)


def worker(number: int) -> WorkerView:
    """Return one of the workers that hold an item."""
    stage, size = [("Fetch", 20), ("Parse", 8), ("Enrich", 12), ("Store", 4)][number % 4]
    doing = {
        "Fetch": f"GET /orders/{6201 + number}, {number * 7 % 90} of 96 kB",
        "Parse": "parse",
        "Enrich": "waiting for the price list",
        "Store": "insert",
    }[stage]
    return WorkerView(
        f"{stage}-W{number // 4 % size}", stage, f"order-{6201 + number}", doing,
        1 + (number % 5 == 0), 4.2 / (1 + number / 3), 300 + 11 * number, number % 7 == 0,
        0.04 + number / 900,
    )  # fmt: skip


def idle(number: int) -> WorkerView:
    return WorkerView(f"Store-W{number}", "Store", completed=1550, mean=0.0022)


HISTORY = tuple(
    (60 + 20 * at if at < 18 else 415 + 40 * sin(at / 2.3) + 30 * sin(at * pi / 1.7)) * (at != 20)
    for at in range(31)
)

MIDWAY = RunView(
    name="orders",
    counts=ItemCounts(10_000, 6_400, 6_209, 5),
    elapsed=15.3,
    rate=409.0,
    seconds_left=9.2,
    stages=STAGES,
    workers=(*map(worker, range(19)), *map(idle, range(1, 4))),
    busy_workers=19,
    groups=GROUPS,
    failures=FAILURES,
    history=HISTORY,
    span=0.5,
)
ENDLESS = replace(MIDWAY, counts=ItemCounts(None, 6_400, 6_209, 5), seconds_left=None)
READING = replace(MIDWAY, counts=ItemCounts(None, 6_400, 6_209, 5, input_fraction=0.508))
"""A file of which half has been read."""
ENDED = replace(
    MIDWAY,
    counts=ItemCounts(10_000, 10_000, 9_988, 12),
    elapsed=24.4,
    rate=409.8,
    seconds_left=None,
    stages=tuple(replace(stage, is_bottleneck=False) for stage in STAGES),
    groups=(replace(GROUPS[0], count=11), GROUPS[1]),
)


@dataclass(frozen=True)
class Picture:
    """One picture.

    Args:
        title: what stands above it.
        display: the display; "summary" for what stays in the end.
        view: what it shows.
        width: of the window, in cells.
        height: the same.
    """

    title: str
    display: str
    view: RunView
    width: int
    height: int

    @property
    def lines(self) -> Sequence[Text]:
        if self.display == "summary":
            return summary(self.view, self.width)
        return FRAMES[self.display](self.view, self.width, self.height)


PICTURES = {
    "progress": Picture("progress=True", "progress", MIDWAY, 80, 1),
    "unknown": Picture("progress=True, total unknown", "progress", ENDLESS, 80, 1),
    "input": Picture("antflow run --input orders.jsonl", "progress", READING, 80, 1),
    "compact": Picture('dashboard="compact"', "compact", MIDWAY, 80, 24),
    "detailed": Picture('dashboard="detailed"', "detailed", MIDWAY, 80, 24),
    "full": Picture('dashboard="full"', "full", MIDWAY, 120, 36),
    "narrow": Picture('dashboard="full", 40x12', "full", MIDWAY, 40, 12),
    "summary": Picture("when it is over", "summary", ENDED, 80, 24),
}


def svg(name: str, picture: Picture) -> str:
    """Return a picture as SVG, with fonts of the reader's computer only."""
    console = Console(
        width=picture.width,
        file=StringIO(),
        record=True,
        force_terminal=True,
        color_system="standard",
        legacy_windows=False,
    )
    for line in picture.lines:
        console.print(line, soft_wrap=True)
    form = re.sub(r"@font-face \{\{.*?\}\}\n", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
    return console.export_svg(
        title=picture.title,
        theme=THEME,
        code_format=form.replace("Fira Code, monospace", FONTS),
        font_aspect_ratio=ASPECT,
        unique_id=name,
    )


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for name, picture in PICTURES.items():
        (FOLDER / f"{name}.svg").write_text(svg(name, picture), encoding="utf-8")


if __name__ == "__main__":
    main()
