"""The sequence ids of one run: each item has one that no other item of the run has."""

from __future__ import annotations

from bisect import bisect_right


class SequenceIds:
    """Gives new items their ids, and lets items of an earlier run keep theirs.

    `next` is the id of the next new item. Where an item that is fed back has a greater one, those
    in between are left to others that are fed back.
    """

    __slots__ = ("_left_from", "_left_until", "_taken", "next")

    def __init__(self) -> None:
        self.next = 0
        self._taken: set[int] = set()
        self._left_from: list[int] = []
        self._left_until: list[int] = []

    def id_for(self, own: int) -> int:
        """Return the id for an item that had one in an earlier run: that, if it is free."""
        return own if self._is_free(own) else self.next

    def take(self, number: int) -> None:
        """Give an id to no other item."""
        if number >= self.next:
            self._left_from.append(self.next)
            self._left_until.append(number + 1)
            self.next = number + 1
        self._taken.add(number)

    def give_back(self, number: int) -> None:
        """Make an id that was taken free again: its item was not fed."""
        self._taken.discard(number)

    def _is_free(self, number: int) -> bool:
        if number >= self.next:
            return True
        at = bisect_right(self._left_from, number) - 1
        return at >= 0 and number < self._left_until[at] and number not in self._taken
