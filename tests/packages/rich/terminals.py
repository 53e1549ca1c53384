"""Pseudo-terminals for tests."""

from __future__ import annotations

import codecs
import fcntl
import os
import select
import struct
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TextIO

NEARLY_FULL = 4000
"""Bytes that wait to be read, of 4,095 at most; further ones do not count until these are read."""


@dataclass
class PseudoTerminal:
    """A terminal whose output the test reads.

    Args:
        stream: writes to it.
        other_end: file descriptor that what was written is read from.
        decoder: decodes what is read.
    """

    stream: TextIO
    other_end: int
    decoder: codecs.IncrementalDecoder
    _read: list[str] = field(default_factory=list)

    def written(self) -> str:
        """Return all that was written to it so far."""
        self.read_new()
        return "".join(self._read)

    def read_new(self) -> str:
        """Return what was written to it since it was read last."""
        new = b""
        with suppress(BlockingIOError):
            while True:
                new += os.read(self.other_end, 65536)
        self._read.append(self.decoder.decode(new))
        return self._read[-1]

    def wait(self) -> None:
        """Wait until there is something to read."""
        ready, _, _ = select.select([self.other_end], [], [], 30)
        assert ready, "nothing was written"

    def wait_until_stopped(self) -> None:
        """Wait until a write blocks, since the terminal is full and is not read."""
        while not self.is_stopped:
            pass

    @property
    def is_stopped(self) -> bool:
        """Whether the terminal is full, so that a write blocks."""
        (count,) = struct.unpack("i", fcntl.ioctl(self.other_end, termios.FIONREAD, b"    "))
        return int(count) >= NEARLY_FULL

    def resize(self, columns: int, lines: int) -> None:
        size = struct.pack("HHHH", lines, columns, 0, 0)
        fcntl.ioctl(self.other_end, termios.TIOCSWINSZ, size)


@contextmanager
def pseudo_terminal(
    columns: int = 80, lines: int = 24, encoding: str = "utf-8"
) -> Iterator[PseudoTerminal]:
    """Open one of that size."""
    other_end, own_end = os.openpty()
    os.set_blocking(other_end, False)
    tty.setraw(own_end)
    try:
        with open(own_end, "w", encoding=encoding, buffering=1) as stream:  # noqa: PTH123
            terminal = PseudoTerminal(stream, other_end, codecs.getincrementaldecoder(encoding)())
            terminal.resize(columns, lines)
            yield terminal
    finally:
        os.close(other_end)
