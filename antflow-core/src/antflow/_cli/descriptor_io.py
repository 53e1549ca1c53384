"""Files that say at once that they cannot be read or written yet, instead of having one wait."""

from __future__ import annotations

import os
from selectors import EVENT_READ, EVENT_WRITE, DefaultSelector


def read(descriptor: int, size: int) -> bytes:
    """Return what a file gives, at most so many bytes, as soon as it gives something.

    Raises:
        OSError: it cannot be read.
    """
    while True:
        try:
            return os.read(descriptor, size)
        except BlockingIOError:
            _wait(descriptor, EVENT_READ)


def write(descriptor: int, content: bytes) -> None:
    """Write all of something, as the file takes it.

    Raises:
        OSError: it cannot be written.
    """
    left = memoryview(content)
    while left:
        try:
            left = left[os.write(descriptor, left) :]
        except BlockingIOError:
            _wait(descriptor, EVENT_WRITE)


def _wait(descriptor: int, event: int) -> None:
    with DefaultSelector() as selector:
        selector.register(descriptor, event)
        selector.select()
