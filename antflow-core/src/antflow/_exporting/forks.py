"""Resets counts and locks in forked child processes."""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import Protocol
from weakref import ref


class Resettable(Protocol):
    """An object with locks, sockets or counts of this process."""

    def reset(self) -> None:
        """Start from zero with new locks, in a child process with one thread."""


_known: dict[int, ref[Resettable]] = {}
"""By identity: objects that are equal are all reset."""


def reset_after_fork(resettable: Resettable) -> None:
    """Call an object's `reset` in every child process that is forked from now on.

    A child inherits its parent's counts, and locks that threads of the parent hold. The object is
    not kept alive. If a `reset` raises, the others are called, and `sys.unraisablehook` reports it.

    Args:
        resettable: an object with a method `reset` without arguments.
    """
    key = id(resettable)
    _known[key] = ref(resettable, lambda _: _known.pop(key, None))


def _reset_all() -> None:
    with ExitStack() as resets:
        for known in list(_known.values()):
            if (resettable := known()) is not None:
                resets.callback(resettable.reset)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset_all)
