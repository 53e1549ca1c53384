"""Pictures of the displays for the documents: `make pictures` draws them, from fixed views."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

from antflow_rich._frames import FRAMES, summary
from antflow_rich._views import RunView
from tests.packages.rich.views import ENDED, ENDLESS, MIDWAY, READING

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
