"""Keeps the files of a run, and its signals, from child processes of the program."""

from __future__ import annotations

import os
import signal
from asyncio import AbstractEventLoop, TimerHandle
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import local

from ._files import DESCRIPTORS, STDERR

LOOK_SECONDS = 0.5

_IN_CHILD: list[Callable[[], None]] = []
_IN_PARENT: list[Callable[[], None]] = []
_BLOCKED = local()


def _before_fork() -> None:
    # A signal that came before the functions are called would go to the run.
    if _IN_CHILD:
        _BLOCKED.before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())


def _unblock() -> None:
    before = vars(_BLOCKED).pop("before", None)
    if before is not None:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _call_in_parent() -> None:
    _unblock()
    for function in _IN_PARENT:
        function()


def _call_in_child() -> None:
    try:
        for function in _IN_CHILD:
            function()
    finally:
        _unblock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=_call_in_parent,
        after_in_child=_call_in_child,
    )


@contextmanager
def called_in_children(function: Callable[[], None]) -> Iterator[None]:
    """Call a function in each child process that is forked until the block is left."""
    _IN_CHILD.append(function)
    try:
        yield
    finally:
        _IN_CHILD.remove(function)


@contextmanager
def awake_after_forks(loop: AbstractEventLoop) -> Iterator[None]:
    """Have an event loop look regularly for calls from threads, from the first fork on.

    A forked process that goes on has the pipe that wakes the loop, and may read from it.
    """
    has_forked = False
    timer: TimerHandle | None = None

    def look() -> None:
        nonlocal timer
        timer = loop.call_later(LOOK_SECONDS, look)

    def begin() -> None:
        nonlocal has_forked
        if not has_forked:
            has_forked = True
            loop.call_soon_threadsafe(look)

    _IN_PARENT.append(begin)
    try:
        yield
    finally:
        _IN_PARENT.remove(begin)
        if timer is not None:
            timer.cancel()


class PrivateFiles:
    """Files that child processes must not have, under whatever descriptor.

    A new program does not inherit them; in a forked process they are the null device. The standard
    descriptors stay as they are.
    """

    def __init__(self) -> None:
        self._files: set[tuple[int, int]] = set()
        self._inheritable: list[int] = []

    def add(self, *descriptors: int | None) -> None:
        """Add the files of these descriptors, as far as they are open."""
        for descriptor in descriptors:
            if descriptor is not None and (file := _file(descriptor)) is not None:
                self._files.add(file)
        for descriptor in self._descriptors():
            if os.get_inheritable(descriptor):
                self._inheritable.append(descriptor)
                os.set_inheritable(descriptor, False)

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Keep the files from child processes until the block is left."""
        with called_in_children(self._replace):
            try:
                yield
            finally:
                for descriptor in self._inheritable:
                    with suppress(OSError):  # the program has closed it
                        os.set_inheritable(descriptor, True)

    def _replace(self) -> None:
        for descriptor in self._descriptors():
            with suppress(OSError):
                null = os.open(os.devnull, os.O_RDWR)
                os.dup2(null, descriptor, inheritable=False)
                os.close(null)

    def _descriptors(self) -> list[int]:
        return [
            each for each in _open_descriptors() if each > STDERR and _file(each) in self._files
        ]


def _file(descriptor: int) -> tuple[int, int] | None:
    try:
        status = os.fstat(descriptor)
    except (OSError, OverflowError):
        return None
    return status.st_dev, status.st_ino


def _open_descriptors() -> list[int]:
    for folder in DESCRIPTORS:
        with suppress(OSError):
            return [int(path.name) for path in Path(folder).iterdir()]
    return []
