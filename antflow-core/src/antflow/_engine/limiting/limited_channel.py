"""The channels in front of stages with limits: items start when the limits allow it."""

from __future__ import annotations

from asyncio import AbstractEventLoop
from collections.abc import Callable

from antflow._engine.channels.channel import Channel
from antflow._engine.channels.parking import ParkedItems
from antflow._engine.channels.pull_channel import PullChannel
from antflow._limits.meters import LOCK, Meters
from antflow.results import PipelineResult

from .key_lines import KeyLines
from .limit_waiter import Blocked, Candidate, LimitWaiter, Need
from .limiter import Limiter, SeenItems

MAX_MOVED = 200
"""So many items at most are moved to lines before other work on the event loop gets a turn."""


class LimitedChannel(Channel):
    """A channel whose items start when all limits of the stage allow it.

    An item whose key is blocked moves to the line of that key, and the items behind it go first;
    the lines hold as many items as may be parked. An item that a limit without keys blocks stays
    where it is, and the stage sleeps until the limit calls. So does one whose key is blocked while
    the lines are full, except that items in line may start.

    Args:
        capacity: ready items that may wait; infinity never makes a sender wait.
        max_parked: items that may be parked, and as many that may be in lines.
    """

    # Without __slots__, so that it can have PullChannel beside it as a base.

    def __init__(self, capacity: float, max_parked: int | None, limiter: Limiter) -> None:
        super().__init__(capacity, max_parked)
        self._limit_by(limiter)

    def _limit_by(self, limiter: Limiter) -> None:
        self.limiter = limiter
        self.is_limited = False  # whether items wait for a limit
        self.on_limited: Callable[[], None] | None = None  # called when that has changed
        # Takes the limits for the first ready item if it may start at once.
        self._take_if_free: Callable[[PipelineResult], bool] = (
            limiter.take_if_free if limiter.is_constant else self._take_if_open
        )
        self._lines = KeyLines(self, self.queue.rank)
        self._ready = LimitWaiter(self)  # waits for the first ready item
        self._seen = SeenItems(self.queue, limiter)
        self._stuck: PipelineResult | None = None  # the first ready item, while it is blocked
        self._stuck_by: Blocked | None = None  # why; None if others wait for its key
        self._is_asleep = False  # nothing can start
        self._goes_first = False  # others let it since a worker was free
        self._has_more = False  # items to look at in the next iteration of the loop
        self.calls = ParkedItems[LimitWaiter](LimitWaiter.call_by_clock, lambda: None)
        self._is_look_scheduled = False
        self.receivers.on_removed = self._pass_on_turns

    @property
    def loop(self) -> AbstractEventLoop:
        """The event loop of the run."""
        return self.limiter.loop

    @property
    def parked(self) -> int:
        """Number of items that wait until they are due, or for their key."""
        return super().parked + self._lines.items

    def waiting_for(self, meters: Meters) -> int:
        """Return how many items wait for a limit; from any thread."""
        first = self._ready.need
        # In front of a pull stage, senders hold what waits, so that nothing is pending.
        waiting = len(self.queue) if first is not None and first.meters is meters else 0
        return waiting + self._lines.waiting_for(meters, first)

    # Depositing

    def put(self, item: PipelineResult) -> None:
        """Deposit an item, behind those of its priority."""
        self.enqueue(item)
        self._wake_for_it()

    def _put_due(self, item: PipelineResult) -> None:
        self.queue.insert_due(item)
        self._wake_for_it()

    def _wake_for_it(self) -> None:
        if self._wants_receiver and self.startable():
            self.receivers.wake(1)

    def remove(self, item: PipelineResult) -> bool:
        """Take out an item that waits; return whether it was there."""
        first = self.peek()
        if not (super().remove(item) or self._lines.take_out(item)):
            return False
        self._seen.pop(id(item), None)
        if item is first or self._is_asleep:  # another stage may use what it waited for
            with LOCK:
                self._ready.stop()
        self._is_asleep, self._stuck = False, None  # what it held up has to be looked at
        self._schedule_look()
        self._update_limited()
        return True

    # Taking

    def startable(self) -> int:
        """Return how many items may be able to start now."""
        is_stuck = self._stuck is not None and self.peek() is self._stuck
        if self._has_more or (self._is_asleep and (is_stuck or not self.queue)):
            return 0
        return len(self._lines.called) + (0 if is_stuck else super().startable())

    def get_nowait(self) -> PipelineResult | None:
        """Take the first item that may start, with its limits; None if there is none."""
        queue = self.queue
        # As mostly; this spares the rest.
        if queue and self._stuck is None and self._take_if_free(queue[0]):
            item = queue.popleft()
            if self._seen:
                self._seen.pop(id(item), None)
            if self.waiters.any:
                self.waiters.wake()
            return item
        found = self._find(is_taken=True)
        self._update_limited()
        return found

    def _take_if_open(self, item: PipelineResult) -> bool:
        """Take the limits for the first ready item if it may start and nothing waits for a limit.

        Items may need different units, or have different keys.
        """
        if self._lines or self._is_asleep or self._ready.meter is not None:
            return False
        candidate = self._seen.look_at(item)
        return self.peek() is item and self.limiter.take_if_open(candidate)

    def _start(self, waiter: LimitWaiter, candidate: Candidate, now: float) -> PipelineResult:
        if self._is_asleep or self._stuck is not None:  # others have to be looked at again
            self._is_asleep, self._stuck = False, None
            self._schedule_look()
        if waiter is self._ready:
            del self._seen[id(candidate.item)]
            super().get_nowait()
        else:
            self._lines.pop_first(waiter)
            if waiter.candidates:
                self._lines.called.rotate(-1)  # so that lines take turns
            if self._lines.called and self.receivers.has_idle:  # the next in line may start, too
                self._schedule_look()
            if self.waiters.any:
                self.waiters.wake()
        waiter.stop()  # that their turn is used makes room for other stages
        self._ready.stop()
        self.limiter.take(candidate, now)
        self._pass_on_turns()
        return candidate.item

    def _pass_on_turns(self) -> None:
        """Let items of other stages start if no worker is free for the items here."""
        if self.receivers.has_idle:
            return
        with LOCK:
            for each in (self._ready, *(self._lines if self._goes_first else self._lines.called)):
                each.pass_on()
        self._goes_first = False

    def _find(self, *, is_taken: bool) -> PipelineResult | None:
        """Return the first item that may start; those before it are held back.

        Args:
            is_taken: whether to take it, with its limits.
        """
        for _ in range(MAX_MOVED):
            found = self._next()  # without the lock: `key` and `cost` may wait for another thread
            if found is not None and found[0] is self._ready and self.peek() is not found[1].item:
                continue  # they have submitted an item that goes first, or cancelled this one
            with LOCK:
                if found is None:
                    if self._stuck is not None and not self._is_asleep:
                        # Not before the lines were looked at: one may use the turn of this stage.
                        self._ready.wait(self._stuck_by)
                    return None
                waiter, candidate = found
                # Others may wait for its key already, so that a ready item has to line up.
                need = self._lines.need_of(candidate) if waiter is self._ready else None
                blocked = None
                if need is None:
                    now = self.limiter.clock()  # after `key` and `cost`, which may take a while
                    blocked = self.limiter.check(candidate, waiter, now)
                    if blocked is None:
                        return self._start(*found, now) if is_taken else candidate.item
                    if candidate.limit is None:
                        candidate.since = now
                    need, candidate.limit = blocked.need, blocked.need.name
                self._hold_back(waiter, candidate, need, blocked)
        self._has_more = True
        self._schedule_look()
        return None

    def _next(self) -> tuple[LimitWaiter, Candidate] | None:
        """Return what to look at next: the first ready item, or the first of a line."""
        ready = self.peek()
        if ready is self._stuck:
            ready = None
        if ready is None and (self._is_asleep or not self._lines.called):
            return None
        if self._lines.called:
            if self._is_mixed:
                self._lines.move_most_urgent_first()
            line = self._lines.called[0]
            first = line.candidates[0]
            if ready is None or first.item.priority <= ready.priority:
                return line, first
        assert ready is not None
        return self._ready, self._seen.look_at(ready)

    # Holding back

    def _hold_back(
        self, waiter: LimitWaiter, candidate: Candidate, need: Need, blocked: Blocked | None
    ) -> None:
        """Hold back an item that may not start.

        Args:
            waiter: whose first item it is.
            blocked: why it may not start; None if others wait for its key.
        """
        if not need.has_key:
            assert blocked is not None
            self._ready.wait(blocked)
            self._sleep()
        elif waiter is not self._ready:
            assert blocked is not None
            if waiter.line == need.line:
                self._lines.wait_again(waiter, blocked)
            else:
                self._lines.pop_first(waiter)
                self._lines.add(candidate, need, blocked)
                self._stuck = None  # which may have waited for the key of the line that it left
        elif self._lines.items < self._max_parked:
            if not self._is_asleep:  # or it waits for the item behind this one
                self._ready.stop()
            del self._seen[id(candidate.item)]
            self.queue.popleft()
            self._lines.add(candidate, need, blocked)
            if self.waiters.any:
                self.waiters.wake()
        else:
            self._stuck, self._stuck_by = candidate.item, blocked  # until an item leaves its line

    def _sleep(self) -> None:
        """Let nothing start until a limit calls."""
        self._is_asleep, self._stuck = True, self.peek()
        for line in self._lines.called:  # another stage may use what they do not use
            line.leave()

    # Calls of limits

    def can_start(self, waiter: LimitWaiter) -> bool:
        """Return whether a worker is free for the first item of a waiter."""
        if waiter is self._ready:
            return self.receivers.has_idle and super().startable() > 0
        return self.receivers.has_idle and not self._is_asleep

    def goes_first(self, waiter: LimitWaiter) -> bool:
        """Return whether another stage has to wait for its turn behind a waiter."""
        goes_first = self.can_start(waiter)
        self._goes_first |= goes_first
        return goes_first

    def on_called(self, waiter: LimitWaiter) -> None:
        """Look again, in the next iteration of the event loop, whether an item may start."""
        # Not at once: this may be called while another channel takes an item, or this one.
        if waiter is self._ready:
            self._is_asleep, self._stuck = False, None
        else:
            self._lines.note_called(waiter)
        self._schedule_look()

    def _schedule_look(self) -> None:
        if not self._is_look_scheduled:
            self._is_look_scheduled = True
            self.loop.call_soon(self._look)

    def _look(self) -> None:
        """Wake a worker if an item may start; those at work look for themselves."""
        self._is_look_scheduled = self._has_more = False
        if self.closed:
            return
        has_found = self.receivers.has_idle and self._find(is_taken=False) is not None
        self._update_limited()
        if has_found and self._wants_receiver:
            self.receivers.wake(1)

    def _update_limited(self) -> None:
        is_limited = self._lines.items > 0 or self._stuck is not None
        if is_limited != self.is_limited:
            self.is_limited = is_limited
            if self.on_limited is not None:
                self.on_limited()

    # Closing

    def _set_aside(self) -> None:
        super()._set_aside()
        self.unprocessed.extend(self._lines.clear())
        with LOCK:
            self._ready.stop()
        self.calls.clear()
        self._seen.clear()
        self._stuck = None
        self._update_limited()


class LimitedPullChannel(LimitedChannel, PullChannel):
    """A channel of a pull stage with limits, which have no keys.

    Args:
        receivers: how many there are.
    """

    def __init__(self, receivers: int, limiter: Limiter) -> None:
        PullChannel.__init__(self, receivers)
        self._limit_by(limiter)
        self._take_if_free = lambda _: False  # one that is due may go before the first
