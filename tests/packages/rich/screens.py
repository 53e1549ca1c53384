"""Displays of the plugin as they are seen: in a terminal of a given size, or as lines in a file.

`shown` starts a display in a pseudo-terminal, `piped` one that writes to a stream. Both are given
snapshots one after the other, by a clock of the test. `Screen` interprets what a display writes.
"""

from __future__ import annotations

import asyncio
import io
import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, redirect_stderr
from threading import Condition, get_ident
from types import SimpleNamespace
from typing import Any, TextIO

from rich.cells import cell_len

from antflow import DashboardSnapshot, ErrorSummary
from antflow_rich import Rich
from tests.packages.rich.states import SECONDS, beginning, errors
from tests.packages.rich.terminals import PseudoTerminal, pseudo_terminal

PARTS = re.compile(r"\x1b\[(\??)([\d;]*)([A-Za-z])|([\r\n])|([^\x1b\r\n]+)|(.)", re.DOTALL)
UNFINISHED = re.compile(r"(?:\x1b(?:\[[?\d;]*)?)?\Z")

Cell = tuple[str, str]
"""A character and its style, as in the escape sequence: "1;31" is bold red."""

BLANK: Cell = (" ", "")


class Screen:
    """What is seen of the texts and escape sequences that were written to a terminal.

    Args:
        columns: width.
        lines: height.
    """

    def __init__(self, columns: int, lines: int) -> None:
        self.columns, self.height = columns, lines
        self.rows = self._blank_rows()
        self.scrolled: list[list[Cell]] = []
        self.modes = {"25": True, "7": True}
        """By number: 25 shows the cursor, 7 wraps, 1049 is the second screen, 2026 a frame."""
        self.has_overflowed = False
        self.frames = 0
        self._normal = self.rows
        self._row = self._column = 0
        self._style = self._unfinished = ""

    def resize(self, columns: int, lines: int) -> None:
        """Change the size; rows that have no more room scroll away."""
        self.columns, self.height = columns, lines
        while self._row >= lines:
            self.scrolled.append(self.rows.pop(0))
            self._row -= 1
        self._column = min(self._column, columns - 1)
        self.rows = [(row + [BLANK] * columns)[:columns] for row in self.rows]
        self.rows = (self.rows + self._blank_rows())[:lines]

    def feed(self, written: str) -> None:
        """Interpret what was written; of an escape sequence, the rest may come later."""
        written = self._unfinished + written
        self._unfinished = UNFINISHED.search(written)[0]  # type: ignore[index]
        written = written.removesuffix(self._unfinished)
        for private, numbers, command, line_end, text, unknown in PARTS.findall(written):
            assert not unknown, f"an unknown escape sequence in {written!r}"
            if text:
                self._write(text)
            elif line_end:
                self._column = 0
                if line_end == "\n":
                    self._next_row()
            elif private:
                self._set_mode(numbers, is_on=command == "h")
            else:
                self._command(command, numbers)

    @property
    def lines(self) -> list[str]:
        """The rows that are seen, without blanks at their ends and empty rows around."""
        return "\n".join(map(_text, self.rows)).strip("\n").split("\n")

    def last_rows(self, number: int) -> list[str]:
        """Return the last rows that are seen."""
        return [_text(row) for row in self.rows[-number:]]

    @property
    def all_lines(self) -> list[str]:
        """The rows that are seen, and those that have scrolled away."""
        return [text for text in map(_text, [*self.scrolled, *self.rows]) if text]

    def styles(self, text: str) -> set[str]:
        """Return the styles of a text that is seen once."""
        cells = [cell for row in self.rows for cell in [*row, ("\n", "")]]
        start = "".join(character or "\0" for character, _ in cells).index(text)
        return {style for _, style in cells[start : start + len(text)]}

    def _blank_rows(self) -> list[list[Cell]]:
        return [[BLANK] * self.columns for _ in range(self.height)]

    def _write(self, text: str) -> None:
        assert text.isprintable(), f"a control character: {text!r}"
        while text:
            part = text[: self.columns - self._column]
            if not part or cell_len(part) != len(part):
                self._put(part := text[0])
            else:
                cells = [(character, self._style) for character in part]
                self.rows[self._row][self._column : self._column + len(part)] = cells
                self._column += len(part)
            text = text[len(part) :]

    def _put(self, character: str) -> None:
        width = cell_len(character)
        if self._column + width > self.columns:
            if self.modes["7"]:
                self._column = 0
                self._next_row()
            else:
                self.has_overflowed = True
                self._column = self.columns - width
        cells = [(character, self._style), ("", self._style)][:width]
        self.rows[self._row][self._column : self._column + width] = cells
        self._column += width

    def _next_row(self) -> None:
        if self._row < self.height - 1:
            self._row += 1
            return
        self.has_overflowed |= "1049" in self.modes and not self.modes["7"]
        if "1049" not in self.modes:
            self.scrolled.append(self.rows[0])
        self.rows[:] = [*self.rows[1:], [BLANK] * self.columns]

    def _set_mode(self, number: str, *, is_on: bool) -> None:
        self.modes[number] = is_on
        self.frames += number == "2026" and not is_on
        if number == "1049":
            if is_on:
                self._normal, self._left = self.rows, (self._row, self._column)
                self.rows = self._blank_rows()
            else:
                self.rows, (self._row, self._column) = self._normal, self._left
                del self.modes[number]
                self.resize(self.columns, self.height)

    def _command(self, command: str, numbers: str) -> None:
        match command:
            case "m":
                self._style = "" if numbers == "0" else numbers
            case "A":
                self._row -= int(numbers or 1)
                assert self._row >= 0
            case "C":
                self._column = min(self._column + 1, self.columns - 1)
            case "H":
                self._row = self._column = 0
            case "K":
                row = self.rows[self._row]
                row[self._column :] = [BLANK] * (self.columns - self._column)
            case "J":
                self._command("K", "")
                below = self._row + 1
                self.rows[below:] = [[BLANK] * self.columns for _ in self.rows[below:]]
            case _:
                raise AssertionError(f"an unknown escape sequence: {numbers}{command}")


def _text(row: list[Cell]) -> str:
    return "".join(character for character, _ in row).rstrip()


READS = 3  # of the clock for each frame; after the last one, the display waits for an update


class TestClock:
    """The clock of a display: it stands still between two updates."""

    def __init__(self) -> None:
        self.now = 100.0
        self._reads = 0
        self._test_thread = get_ident()
        self._changed = Condition()

    def __call__(self) -> float:
        if get_ident() != self._test_thread:
            with self._changed:
                self._reads += 1
                self._changed.notify_all()
        return self.now

    def is_after(self, frames: int, seconds: float) -> bool:
        """Return whether so many frames have ended, after a wait of some seconds at most."""
        with self._changed:
            return self._changed.wait_for(
                lambda: self._reads >= frames * READS and self._reads % READS == 0, seconds
            )


class Shown:
    """A display of one run, and what is seen of it.

    Args:
        display: the display, as the plugin has returned it.
        name: name of the pipeline.
        total: expected number of items; None if unknown.
    """

    def __init__(self, display: Any, name: str, total: int | None) -> None:
        self.display = display
        self.pipeline = SimpleNamespace(name=name, plugin_faults={})
        self.clock = TestClock()
        self.frames = 0
        self.is_open = True
        display.on_start(self.pipeline, total)
        display._thread._clock = self.clock
        self.waits: list[float] = []
        display._thread._is_finishing.wait = self.waits.append  # as if a frame were always due

    def update(
        self,
        snapshot: DashboardSnapshot,
        after: float = 1.0,
        faults: Mapping[str, int] | None = None,
    ) -> list[str]:
        """Show a state some seconds after the one before; return the lines that are seen."""
        self.clock.now += after
        self.pipeline.plugin_faults = faults or {}
        self.display.on_update(snapshot)
        return self.wait_for_frame()

    def replay(
        self, state: DashboardSnapshot, faults: Mapping[str, int] | None = None
    ) -> list[str]:
        """Show the beginning of a run, and a state `SECONDS` later."""
        self.update(beginning(state))
        return self.update(state, SECONDS, faults)

    def wait_for_frame(self) -> list[str]:
        """Return the lines that are seen after the next frame."""
        self.frames += 1
        assert self.clock.is_after(self.frames, 30)
        return self.lines

    def finish(self, summary: ErrorSummary | None = None) -> list[str]:
        """End the run; return the lines that are left."""
        self.is_open = False
        asyncio.run(self._finish(summary or errors()))
        return self.left

    async def _finish(self, summary: ErrorSummary) -> None:
        await self.display.on_finish([], summary)

    def close(self) -> None:
        """End without a summary, if the run has not ended."""
        if self.is_open:
            self.is_open = False
            self.display.on_exit()

    @property
    def lines(self) -> list[str]:
        """The lines that are seen; none where that is not known."""
        return []

    @property
    def left(self) -> list[str]:
        return self.lines


class ShownInTerminal(Shown):
    """A display in a pseudo-terminal."""

    def __init__(self, tty: PseudoTerminal, size: tuple[int, int], *arguments: Any) -> None:
        self.tty, self._screen = tty, Screen(*size)
        super().__init__(*arguments)

    def wait_for_frame(self) -> list[str]:
        self.frames += 1
        while self.screen.frames < self.frames:
            self.tty.wait()
        while not self.clock.is_after(self.frames, 0.01):
            assert self.screen.height  # a full terminal is read
        return self.lines

    def write(self, text: str, after: float = 1.0) -> list[str]:
        """Write a text as the program does; return the lines that are seen after the frame."""
        self.clock.now += after
        self.tty.stream.write(text)
        return self.wait_for_frame()

    async def _finish(self, summary: ErrorSummary) -> None:
        loop = asyncio.get_running_loop()
        loop.add_reader(self.tty.other_end, lambda: self.screen)
        await self.display.on_finish([], summary)
        loop.remove_reader(self.tty.other_end)

    def resize(self, columns: int, lines: int) -> None:
        """Resize the terminal, whose lines are redrawn with the next frame."""
        self.screen.resize(columns, lines)
        self.tty.resize(columns, lines)

    @property
    def screen(self) -> Screen:
        """The screen with all that was written so far."""
        self._screen.feed(self.tty.read_new())
        return self._screen

    @property
    def lines(self) -> list[str]:
        return self.screen.lines

    @property
    def left(self) -> list[str]:
        return self.screen.all_lines


class ShownInStream(Shown):
    """A display whose lines go to a stream; they are known of one in memory."""

    stream: TextIO

    @property
    def lines(self) -> list[str]:
        return self.stream.getvalue().splitlines() if hasattr(self.stream, "getvalue") else []


@contextmanager
def shown(
    display: str = "full",
    columns: int = 80,
    lines: int = 24,
    *,
    total: int | None = 10_000,
    name: str = "orders",
    encoding: str = "utf-8",
    before: str = "",
    tty: PseudoTerminal | None = None,
) -> Iterator[ShownInTerminal]:
    """Start a display in a terminal, which is standard error.

    Args:
        display: name of the display.
        columns: width of the terminal.
        lines: height of the terminal.
        total: expected number of items.
        name: name of the pipeline.
        encoding: encoding of the terminal.
        before: what is written to the terminal before.
        tty: the terminal; a new one unless it is given.
    """
    with ExitStack() as stack:
        if tty is None:
            tty = stack.enter_context(pseudo_terminal(columns, lines, encoding=encoding))
        stack.enter_context(redirect_stderr(tty.stream))
        if before:
            tty.stream.write(before)
            tty.stream.flush()
        made = Rich().antflow_dashboard(display)
        started = ShownInTerminal(tty, (columns, lines), made, name, total)
        try:
            yield started
        finally:
            started.close()


@contextmanager
def piped(
    stream: TextIO | None = None,
    *,
    total: int | None = 10_000,
    name: str = "orders",
    plain_interval: float = 0,
    display: str = "progress",
) -> Iterator[ShownInStream]:
    """Start a display with a stream as standard error; see `shown`."""
    stream = io.StringIO() if stream is None else stream
    with redirect_stderr(stream):
        made = Rich(plain_interval).antflow_dashboard(display)
        started = ShownInStream(made, name, total)
        started.stream = stream
        try:
            yield started
        finally:
            started.close()


def drawn(
    display: str, columns: int, lines: int, state: DashboardSnapshot, **options: Any
) -> list[str]:
    """Return the lines of a display `SECONDS` after the beginning of a run; see `shown`."""
    with shown(display, columns, lines, **options) as run:
        return run.replay(state)


def left(
    state: DashboardSnapshot,
    columns: int = 100,
    faults: Mapping[str, int] | None = None,
    **options: Any,
) -> list[str]:
    """Return the lines that stay of a run that ends in a state."""
    with shown("progress", columns, 99, **options) as run:
        run.replay(state, faults)
        return run.finish(state.error_summary)
