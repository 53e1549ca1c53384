"""Making what a forked child process has inherited its own."""

from __future__ import annotations

import os
from typing import Protocol
from weakref import WeakSet


class Renewable(Protocol):
    """What holds locks, or counts what this process does."""

    def renew(self) -> None:
        """Begin anew, in a child process that has this one thread only."""


_known: WeakSet[Renewable] = WeakSet()


def renewed_in_children(one: Renewable) -> None:
    """Have something begin anew in every child process that is forked from now on.

    The child has a copy of what its parent has counted, and of locks that threads may hold which
    are not there.
    """
    _known.add(one)


def _renew() -> None:
    for one in list(_known):
        one.renew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew)
