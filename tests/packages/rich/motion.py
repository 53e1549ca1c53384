"""A picture in motion for the documents: `make motion` records `make demo`, as a terminal shows it.

The program runs in a pseudo-terminal, whose screen is read a few times a second. The frames become
one SVG that moves without scripts. A row that several frames have in common is in it once.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from pathlib import Path
from time import monotonic, sleep
from xml.sax.saxutils import escape, quoteattr

from rich.color import Color, blend_rgb
from rich.text import Text

from tests.packages.rich.pictures import ASPECT, FOLDER, FONTS, THEME
from tests.packages.rich.screens import Cell, Screen
from tests.packages.rich.terminals import pseudo_terminal

DEMO = Path(__file__).parents[3] / "examples" / "survey.py"
COLUMNS, LINES = 100, 30
INTERVAL = 0.1
"""Seconds from a look at the screen to the next; a display changes less often than that."""
PAUSE = 5.0
"""Seconds for which the last frame stays."""
STILL = 0.6
"""Where motion is not wanted, the frame at this part of the recording is shown."""

WIDTH, HEIGHT, BASE = 9, 18, 14  # of a cell, and how far below its top letters stand
MARGIN, BAR = 12, 36

Row = tuple[Cell, ...]


@dataclass(frozen=True)
class Frame:
    """What is seen from a moment on.

    Args:
        at: seconds since the program was started.
        rows: the rows of the screen.
    """

    at: float
    rows: tuple[Row, ...]


def record(
    command: Sequence[str], columns: int = COLUMNS, lines: int = LINES, interval: float = INTERVAL
) -> list[Frame]:
    """Run a command in a terminal of that size; return what was seen, each frame a new one."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in {"COLUMNS", "LINES", "NO_COLOR", "CI"}
    }
    frames: list[Frame] = []
    screen = Screen(columns, lines)
    empty = tuple(map(tuple, screen.rows))
    with pseudo_terminal(columns, lines) as terminal:
        begun = monotonic()
        with subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=terminal.stream,
            stderr=terminal.stream,
            env=environment | {"TERM": "xterm-256color"},
        ) as program:
            is_over = False
            while not is_over:
                is_over = program.poll() is not None
                screen.feed(terminal.read_new())
                rows = tuple(map(tuple, screen.rows))
                is_whole = not screen.modes.get("2026")
                if is_whole and rows != (frames[-1].rows if frames else empty):
                    frames.append(Frame(monotonic() - begun, rows))
                if not is_over:
                    # A frame that is being written is there in a moment.
                    sleep(interval if is_whole else 0.005)
        assert program.returncode == 0, "\n".join(screen.all_lines)
    return frames


# Characters that join each other are drawn as shapes: fonts leave gaps between them.

EIGHTHS = "▁▂▃▄▅▆▇█"
SHADES = {"▓": 0.65, "▒": 0.45, "░": 0.22}
LINES_OF = {"━": 3, "─": 1, "╸": 3, "╺": 3}
SHAPED = re.compile(f"[{EIGHTHS}{''.join(SHADES)}{''.join(LINES_OF)}▶]")


def _shape(character: str, start: int, count: int) -> str:
    """Return equal characters, of which the first is in a column, as a shape."""
    left, width = start * WIDTH, count * WIDTH
    if character == "▶":
        return f'<path d="M{left} {4 - BASE}l8 5-8 5z"/>'
    top, height, shade = 0, HEIGHT, ""
    if character in EIGHTHS:
        height = round(HEIGHT * (EIGHTHS.index(character) + 1) / 8)
        top = HEIGHT - height
    elif character in SHADES:
        shade = f' opacity="{SHADES[character]}"'
    else:
        height = LINES_OF[character]
        top = (HEIGHT - height) // 2
        width //= 1 if character in "━─" else 2
        left += width if character == "╺" else 0
    return f'<path d="M{left} {top - BASE}h{width}v{height}h-{width}z"{shade}/>'


def _text(text: str, start: int) -> str:
    """Return a text, of which the first character is in a column, as wide as its cells are."""
    start += len(text) - len(text.lstrip())
    text = text.strip()
    if not text:
        return ""
    length = f' textLength="{len(text) * WIDTH}"' if len(text) > 1 else ""
    return f'<text x="{start * WIDTH}"{length}>{escape(text)}</text>'


def _pieces(row: Row) -> Iterator[tuple[str, str]]:
    """Give the style and the SVG of what a row has."""
    at = 0
    for style, cells in groupby(row, key=lambda cell: cell[1]):
        text = "".join(character for character, _ in cells)
        drawn, kept = "", 0
        for found in re.finditer(rf"({SHAPED.pattern})\1*", text):
            drawn += _text(text[kept : found.start()], at + kept)
            drawn += _shape(found[1], at + found.start(), len(found[0]))
            kept = found.end()
        drawn += _text(text[kept:], at + kept)
        at += len(text)
        if drawn:
            yield style, drawn


@cache
def _look(style: str) -> str:
    """Return a style of the terminal as CSS, "" for that of plain text."""
    parts = Text.from_ansi(f"\x1b[{style}m.").spans
    if not parts or isinstance(parts[0].style, str):
        return ""
    look = parts[0].style
    color = (look.color or Color.default()).get_truecolor(THEME)
    if look.dim:
        color = blend_rgb(color, THEME.background_color, 0.4)
    fill = f"fill:{color.hex};" if color != THEME.foreground_color else ""
    return fill + ("font-weight:bold" if look.bold else "")


class Rows:
    """The rows of all frames, each of which is defined once, and the styles that they have."""

    def __init__(self) -> None:
        self.names: dict[Row, str] = {}
        self.classes: dict[str, str] = {}
        self.definitions: list[str] = []

    def name(self, row: Row) -> str:
        """Return the name of a row, which is defined from then on."""
        if row not in self.names:
            self.names[row] = f"r{len(self.names)}"
            drawn = "".join(map(self._styled, *zip(*_pieces(row), strict=True)))
            self.definitions.append(f'<g id="{self.names[row]}">{drawn}</g>')
        return self.names[row]

    def _styled(self, style: str, drawn: str) -> str:
        if not (look := _look(style)):
            return drawn
        name = self.classes.setdefault(look, f"s{len(self.classes)}")
        # A single element needs no group around it.
        if drawn.count("<") == 1 + drawn.count("</"):
            return re.sub("^<([a-z]+)", rf'<\1 class="{name}"', drawn)
        return f'<g class="{name}">{drawn}</g>'

    @property
    def css(self) -> str:
        return "".join(f".{name}{{{look}}}" for look, name in self.classes.items())


def animated(frames: Sequence[Frame], title: str, description: str) -> str:
    """Return frames as an SVG that shows them one after the other, for as long as they were seen.

    The frames lie side by side in a window that is as wide as one, and steps from each to the next.
    """
    rows, strip = Rows(), []
    columns, lines = len(frames[0].rows[0]), len(frames[0].rows)
    width, height = columns * WIDTH, lines * HEIGHT
    for number, frame in enumerate(frames):
        for line, row in enumerate(frame.rows):
            if any(character.strip() for character, _ in row):
                x, y = number * width, line * HEIGHT + BASE
                strip.append(f'<use href="#{rows.name(row)}" x="{x}" y="{y}"/>')
    lasts = frames[-1].at - frames[0].at + PAUSE
    steps = "".join(
        f"{(frame.at - frames[0].at) / lasts:.3%}{{transform:translateX(-{number * width}px)}}"
        for number, frame in enumerate(frames)
    )
    still = int((len(frames) - 1) * STILL) * width
    definitions, uses = "\n".join(rows.definitions), "\n".join(strip)
    outer_width, outer_height = width + 2 * MARGIN, height + BAR + MARGIN
    foreground, background = THEME.foreground_color.hex, THEME.background_color.hex
    return f"""\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {outer_width} {outer_height}" \
width="{outer_width}" height="{outer_height}" role="img" \
aria-label={quoteattr(description)} xml:space="preserve">
<style>
text{{font-family:{FONTS};font-size:{WIDTH / ASPECT:.2f}px;white-space:pre}}
{rows.css}
#strip{{transform:translateX(-{still}px);animation:play {lasts:.1f}s step-end infinite}}
@keyframes play{{{steps}}}
@media(prefers-reduced-motion:reduce){{#strip{{animation:none}}}}
</style>
<defs>
{definitions}
</defs>
<rect x=".5" y=".5" width="{outer_width - 1}" height="{outer_height - 1}" rx="8" \
fill="{background}" stroke="#fff" stroke-opacity=".35"/>
<circle cx="20" cy="18" r="6" fill="#ff5f57"/><circle cx="40" cy="18" r="6" fill="#febc2e"/>\
<circle cx="60" cy="18" r="6" fill="#28c840"/>
<text x="{outer_width // 2}" y="23" text-anchor="middle" fill="{foreground}">{escape(title)}</text>
<svg x="{MARGIN}" y="{BAR}" width="{width}" height="{height}" fill="{foreground}">\
<g id="strip">
{uses}
</g></svg>
</svg>
"""


def main() -> None:
    frames = record([sys.executable, str(DEMO)])
    description = (
        "A terminal in which make demo runs: progress, throughput, stages with their workers, "
        "the limit that holds them back, failed items, and in the end a summary"
    )
    (FOLDER / "demo.svg").write_text(animated(frames, "make demo", description), encoding="utf-8")


if __name__ == "__main__":
    main()
