"""The state of one limit: its meters, by key."""

from __future__ import annotations

import os
from asyncio import AbstractEventLoop
from collections.abc import Callable, Hashable
from math import inf
from threading import RLock
from typing import Any, Protocol
from weakref import WeakSet

from .meter import Meter

LOCK = RLock()
"""Guards all limits of the process: those of a stage are checked and taken in one step."""

RECHECK = 1.0
"""Seconds after which waiting items look again while another event loop uses their limit."""


class User(Protocol):
    """A stage in one run that has limits."""

    @property
    def loop(self) -> AbstractEventLoop:
        """The event loop of the run."""

    def waiting_for(self, meters: Meters) -> int:
        """Return how many items wait for a limit."""

    def release_all(self) -> None:
        """Release what its attempts hold, the event loop being closed."""


class Meters:
    """The meters of one limit: one, or one for each key that is in use.

    Args:
        make: returns a new meter of this limit for a key.
        per: seconds for which an unused key is kept.
        has_keys: whether the limit has keys.
    """

    def __init__(self, make: Callable[[Meters, Any], Meter], per: float, *, has_keys: bool) -> None:
        self.paused_until = -inf  # for all keys
        self.in_use = 0  # attempts
        self._make = make
        self._per = per
        self._single = None if has_keys else make(self, None)
        self._by_key: dict[Hashable, Meter] = {}
        self._users: WeakSet[User] = WeakSet()  # in runs that have not ended
        _of_process.add(self)

    def of(self, key: Hashable, now: float) -> Meter:
        """Return the meter for a key; the key is ignored if the limit has none."""
        if self._single is not None:
            return self._single
        meter = self._by_key.get(key)
        if meter is None:
            self._forget_idle(now)
            meter = self._by_key[key] = self._make(self, key)
        return meter

    def has(self, key: Hashable) -> bool:
        """Return whether a key is in use; this compares it to others."""
        return key in self._by_key

    def all(self) -> list[Meter]:
        """Return the meters; with keys, those of the keys that are not forgotten."""
        return [self._single] if self._single is not None else list(self._by_key.values())

    @property
    def single(self) -> Meter | None:
        """The only meter, if the limit has no keys."""
        return self._single

    @property
    def keys(self) -> int:
        """Number of keys that are not forgotten."""
        return len(self._by_key)

    @property
    def waiting(self) -> int:
        """Number of items that wait for the limit, in all runs."""
        with LOCK:
            users = list(self._users)
        return sum(user.waiting_for(self) for user in users)

    def pause(self, until: float) -> None:
        """Let no attempt start until that time, whatever its key."""
        self.paused_until = max(self.paused_until, until)

    # The stages that use it

    def join(self, user: User) -> None:
        """Note that a stage uses the limit from now on."""
        with LOCK:
            self._users.add(user)

    def leave(self, user: User) -> None:
        """Note that the run of a stage has ended."""
        with LOCK:
            self._users.discard(user)

    def recheck_at(self, loop: AbstractEventLoop, now: float) -> float:
        """Return when to look again at a limit that attempts hold; release lost ones.

        Those of a closed event loop do not end, and it may be closed without notice.
        """
        others = [user for user in self._users if user.loop is not loop]
        lost = [user for user in others if user.loop.is_closed()]
        for user in lost:
            self._users.discard(user)
            user.release_all()
        if lost:
            return now
        return now + RECHECK if others else inf

    def after_fork(self) -> None:
        """Forget the attempts of the parent process; what has started in the window counts."""
        self._users.clear()
        self.in_use = 0
        for meter in self.all():
            meter.in_use = 0
            meter.waiters.clear()

    def _forget_idle(self, now: float) -> None:
        """Look at two keys, the oldest, and forget those that are idle."""
        # Two for each new one: so at most about twice as many are kept as are in use.
        for _ in range(min(2, len(self._by_key))):
            key = next(iter(self._by_key))
            meter = self._by_key.pop(key)
            if not meter.is_idle(now, self._per):
                self._by_key[key] = meter  # now the last


_of_process: WeakSet[Meters] = WeakSet()


def _after_fork_in_child() -> None:
    for meters in list(_of_process):
        meters.after_fork()
    LOCK.release()


if hasattr(os, "register_at_fork"):  # not on Windows
    # Held during the fork, so that the child does not inherit a limit that is half changed.
    os.register_at_fork(
        before=LOCK.acquire, after_in_parent=LOCK.release, after_in_child=_after_fork_in_child
    )
