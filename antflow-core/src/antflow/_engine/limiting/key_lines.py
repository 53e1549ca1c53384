"""The items of one stage that wait for their keys, in a line for each key."""

from __future__ import annotations

from bisect import insort_right
from collections import deque
from collections.abc import Callable, Iterator

from antflow._limits.meters import LOCK, Meters
from antflow.results import PipelineResult

from .limit_waiter import Blocked, Candidate, LimitWaiter, Line, Need, WaitingStage


class KeyLines:
    """Items that wait for their keys, in a line for each key of a limit.

    Args:
        stage: the stage's channel.
        rank: returns where an item stands in its line; lower goes first.
    """

    def __init__(
        self, stage: WaitingStage, rank: Callable[[PipelineResult], tuple[int, bool]]
    ) -> None:
        self._stage = stage
        self._rank = rank
        self._lines: dict[Line, LimitWaiter] = {}
        self.items = 0  # in all lines
        self.called: deque[LimitWaiter] = deque()  # lines whose first item may be able to start

    def __bool__(self) -> bool:
        return bool(self._lines)

    def __iter__(self) -> Iterator[LimitWaiter]:
        return iter(list(self._lines.values()))

    def need_of(self, candidate: Candidate) -> Need | None:
        """Return for which key others wait already, so that a ready item has to line up."""
        return next((need for need in candidate.needs if need.line in self._lines), None)

    def waiting_for(self, meters: Meters, first: Need | None) -> int:
        """Return how many items in lines wait for a limit; from any thread.

        Args:
            first: what the first ready item of the stage waits for.
        """
        return sum(line.waiting for line in self if line.is_for(meters, first))

    def add(self, candidate: Candidate, need: Need, blocked: Blocked | None) -> None:
        """Add an item to the line of its key.

        Args:
            blocked: why it may not start; None if others wait for its key.
        """
        line = self._lines.get(need.line)
        if line is None:
            assert blocked is not None
            line = self._lines[need.line] = LimitWaiter(self._stage, need.line)
            line.wait(blocked)
        waiting = line.candidates
        insort_right(waiting, candidate, key=lambda each: self._rank(each.item))
        if len(waiting) > 1 and waiting[0] is candidate:  # it may cost less than the one behind it
            line.call()
        self.items += 1

    def note_called(self, line: LimitWaiter) -> None:
        """Note that the first item of a line may be able to start."""
        if line.candidates:
            self.called.append(line)

    def move_most_urgent_first(self) -> None:
        """Move the first of the called lines with the most urgent item to the front."""
        line = min(self.called, key=lambda each: each.candidates[0].item.priority)
        if line is not self.called[0]:
            self.called.remove(line)
            self.called.appendleft(line)

    def wait_again(self, line: LimitWaiter, blocked: Blocked) -> None:
        """Have a line that was called wait again: its first item may not start."""
        self.called.remove(line)
        line.wait(blocked)

    def pop_first(self, line: LimitWaiter) -> None:
        """Take the first item out of a line."""
        line.candidates.popleft()
        self.items -= 1
        self._close_if_empty(line)

    def take_out(self, item: PipelineResult) -> bool:
        """Take out one item; return whether it was there."""
        for line in self:
            for index, candidate in enumerate(line.candidates):
                if candidate.item is item:
                    del line.candidates[index]
                    self.items -= 1
                    if not index and line.candidates:  # the next may cost less
                        line.call()
                    self._close_if_empty(line)
                    return True
        return False

    def clear(self) -> list[PipelineResult]:
        """Take out all items, and wait for no key any more."""
        left = [candidate.item for line in self for candidate in line.candidates]
        with LOCK:
            for line in self:
                line.stop()
        self._lines.clear()
        self.called.clear()
        self.items = 0
        return left

    def _close_if_empty(self, line: LimitWaiter) -> None:
        if line.candidates:
            return
        assert line.line is not None
        if line in self.called:
            self.called.remove(line)
        del self._lines[line.line]
        with LOCK:
            line.stop()
