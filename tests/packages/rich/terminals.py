"""Pseudo-terminals for tests."""

from __future__ import annotations

import fcntl
import os
import struct
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Thread
from typing import TextIO

NEARLY_FULL = 4000
"""Bytes that wait to be read, of 4,095 at most; further ones do not count until these are read."""


@dataclass
class PseudoTerminal:
    """A terminal whose output the test reads.

    Args:
        stream: writes to it.
        other_end: file descriptor that what was written is read from.
    """

    stream: TextIO
    other_end: int
    _read: list[bytes] = field(default_factory=list)

    def written(self) -> str:
        """Return all that was written to it so far."""
        while True:
            try:
                self._read.append(os.read(self.other_end, 65536))
            except BlockingIOError:
                return b"".join(self._read).decode()

    def wait_until_stopped(self) -> None:
        """Wait until a write blocks, since the terminal is full and is not read."""
        while self._waiting() < NEARLY_FULL:
            pass

    def assert_blocks_only(self, writing: Thread) -> None:
        """Check that the terminal blocks a thread that writes, and no thread that flushes."""
        self.wait_until_stopped()
        flushing = Thread(target=self.stream.flush, daemon=True)
        flushing.start()
        flushing.join(5)
        assert writing.is_alive()
        assert not flushing.is_alive()

    def _waiting(self) -> int:
        (count,) = struct.unpack("i", fcntl.ioctl(self.other_end, termios.FIONREAD, b"    "))
        return int(count)

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
            terminal = PseudoTerminal(stream, other_end)
            terminal.resize(columns, lines)
            yield terminal
    finally:
        os.close(other_end)
