"""The sequence numbers of one run: each item has one that no other item of the run has."""

from __future__ import annotations

from bisect import bisect_right


class Numbers:
    """Gives new items their numbers, and lets items of an earlier run keep theirs.

    `coming` is the number of the next new item. Where an item that is fed back has a greater one,
    those in between are left to others that are fed back.
    """

    __slots__ = ("_kept", "_left_from", "_left_until", "coming")

    def __init__(self) -> None:
        self.coming = 0
        self._kept: set[int] = set()
        self._left_from: list[int] = []
        self._left_until: list[int] = []

    def of(self, own: int) -> int:
        """Return the number that an item gets which had one in an earlier run: that, if it can."""
        return own if self._is_free(own) else self.coming

    def keep(self, number: int) -> None:
        """Give a number to nobody else."""
        if number >= self.coming:
            self._left_from.append(self.coming)
            self._left_until.append(number + 1)
            self.coming = number + 1
        self._kept.add(number)

    def give_back(self, number: int) -> None:
        """Have a number that was kept free again: its item was not fed."""
        self._kept.discard(number)

    def _is_free(self, number: int) -> bool:
        if number >= self.coming:
            return True
        at = bisect_right(self._left_from, number) - 1
        return at >= 0 and number < self._left_until[at] and number not in self._kept
