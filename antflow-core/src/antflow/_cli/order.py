"""Results in the order of their inputs."""

from __future__ import annotations

from asyncio import Event
from collections import deque
from collections.abc import Callable

MOST_AHEAD = 10_000
"""Inputs that may be read past the first one that has not ended."""


class Order:
    """Keeps results back until those of the inputs before them have come.

    Args:
        write: writes a line about an input.
    """

    def __init__(self, write: Callable[[bytes, int], None]) -> None:
        self._write = write
        self._expected: deque[int] = deque()
        self._ended: dict[int, bytes | None] = {}
        self._numbers: set[int] = set()
        self._changed = Event()

    @property
    def is_full(self) -> bool:
        """Whether to wait for room before the next input is read."""
        return len(self._expected) >= MOST_AHEAD

    async def room(self) -> None:
        """Wait until there is room for another input."""
        while self.is_full:
            self._changed.clear()
            await self._changed.wait()

    def expect(self, number: int) -> None:
        """Take note of the next input."""
        self._expected.append(number)
        self._numbers.add(number)

    def end(self, number: int, line: bytes | None) -> bool:
        """Take the line of an input, None if it has none; False for a number not expected."""
        if number not in self._numbers:
            return False
        self._ended[number] = line
        while self._expected and self._expected[0] in self._ended:
            self._let_go(self._expected.popleft())
        self._changed.set()
        return True

    def release(self) -> None:
        """Write all that is kept back; nothing more will come."""
        for number in self._expected:
            if number in self._ended:
                self._let_go(number)
        self._expected.clear()

    def _let_go(self, number: int) -> None:
        self._numbers.discard(number)
        line = self._ended.pop(number)
        if line is not None:
            self._write(line, number)
