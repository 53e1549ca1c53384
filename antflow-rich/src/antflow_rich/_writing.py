"""Writing to a stream that may be stopped, so that nobody but who writes waits for it.

Who is stopped inside of a stream's own `write` holds its lock, and so stops all who only flush it:
every log handler, in the event loop's thread, too, and the interpreter as it exits.
"""

from __future__ import annotations

import os
from io import TextIOWrapper
from time import sleep
from typing import Any

PAUSE = 0.01
"""Seconds between two attempts to write to what takes nothing at present."""


def encoding_of(stream: Any) -> str:
    """Return the encoding of a stream; UTF-8 where it does not say."""
    return getattr(stream, "encoding", None) or "utf-8"


def is_descriptors(stream: Any) -> bool:
    """Return whether a stream writes to a file descriptor, and its `write` does nothing else."""
    if os.name != "posix" or not isinstance(stream, TextIOWrapper) or "write" in vars(stream):
        return False
    try:
        return stream.fileno() >= 0
    except (ValueError, OSError):
        return False


def write(stream: Any, text: str, *, to_descriptor: bool) -> None:
    """Write at once, with question marks for what the stream's encoding lacks.

    Args:
        stream: where.
        text: what.
        to_descriptor: whether to go past the stream, if it is one that `is_descriptors`.
    """
    encoding = encoding_of(stream)
    encoded = text.encode(encoding, "replace")
    if to_descriptor:
        write_all(stream.fileno(), encoded)
        return
    stream.write(encoded.decode(encoding))
    stream.flush()


def write_all(descriptor: int, encoded: bytes) -> None:
    """Write all to a file; one that does not wait by itself is waited for."""
    left = memoryview(encoded)
    while left:
        try:
            left = left[os.write(descriptor, left) :]
        except BlockingIOError:
            sleep(PAUSE)  # select says of a terminal that takes nothing that it does
