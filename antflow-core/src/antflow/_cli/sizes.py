"""The inputs of a run that say how long they are, or how far they have been read."""

from __future__ import annotations

import os
import stat
from collections.abc import AsyncIterator
from typing import Any

from .source import Source


class Counted:
    """An input that says how many items it has.

    Args:
        items: the input.
        length: how many items it has.
    """

    def __init__(self, items: AsyncIterator[Any], length: int) -> None:
        self._items = items
        self._length = length

    def __aiter__(self) -> AsyncIterator[Any]:
        return self._items

    def __len__(self) -> int:
        return self._length


class Measured:
    """Lines of a regular file, which say what share of the file they are.

    Args:
        items: the items of the lines.
        source: counts the bytes of the lines that were read.
        descriptor: of the file; the part before its present offset is not read.
    """

    def __init__(self, items: AsyncIterator[Any], source: Source, descriptor: int) -> None:
        self._items = items
        self._source = source
        self._descriptor = descriptor
        self._offset = os.lseek(descriptor, 0, os.SEEK_CUR)

    def __aiter__(self) -> AsyncIterator[Any]:
        return self._items

    def fraction_read(self) -> float | None:
        """Return the share of the file that was read, from 0 to 1; None if its size is unknown.

        The size is asked for each time, since the file may grow meanwhile.
        """
        if self._source.is_at_end:
            return 1.0
        size = os.fstat(self._descriptor).st_size - self._offset
        return self._source.consumed_bytes / size if size > 0 else None


def is_measurable(descriptor: int) -> bool:
    """Return whether a file has a size that says how much there is to read."""
    return stat.S_ISREG(os.fstat(descriptor).st_mode)
