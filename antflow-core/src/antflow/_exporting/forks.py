"""Resets counts and locks in forked child processes."""

from __future__ import annotations

import os
from typing import Protocol
from weakref import WeakSet


class Resettable(Protocol):
    """An object with locks, sockets or counts of this process."""

    def reset(self) -> None:
        """Start from zero with new locks, in a child process with one thread."""


_known: WeakSet[Resettable] = WeakSet()


def reset_after_fork(resettable: Resettable) -> None:
    """Call an object's `reset` in every child process that is forked from now on.

    A child inherits its parent's counts, and locks that threads of the parent hold. The object is
    not kept alive.

    Args:
        resettable: an object with a method `reset` without arguments.
    """
    _known.add(resettable)


def _reset_all() -> None:
    for resettable in list(_known):
        resettable.reset()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset_all)
