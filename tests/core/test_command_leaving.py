"""The end of a process that something left behind would keep."""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Callable
from io import StringIO
from queue import SimpleQueue
from threading import Event

import pytest

from antflow._cli import signals as leaving
from antflow._cli.signals import leave, leave_in_time


@pytest.fixture
def codes(monkeypatch: pytest.MonkeyPatch) -> SimpleQueue[int]:
    """The codes that this process would have ended with."""
    ended: SimpleQueue[int] = SimpleQueue()
    monkeypatch.setattr(os, "_exit", ended.put)
    return ended


@pytest.fixture
def at_exit(monkeypatch: pytest.MonkeyPatch) -> list[Callable[[], None]]:
    registered: list[Callable[[], None]] = []
    monkeypatch.setattr(atexit, "register", registered.append)
    return registered


@pytest.mark.usefixtures("at_exit")
def test_the_process_is_ended_after_the_grace(
    codes: SimpleQueue[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leaving, "GRACE_SECONDS", 0.001)
    leave_in_time(143)
    assert codes.get(timeout=60) == 143


def test_what_is_done_at_the_exit_may_take_its_time(
    codes: SimpleQueue[int],
    at_exit: list[Callable[[], None]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    started: list[tuple[Callable[..., None], tuple[Event, int]]] = []

    class Noted:
        def __init__(self, target: Callable[..., None], args: tuple[Event, int], **_: object):
            started.append((target, args))

        def start(self) -> None:
            pass

    monkeypatch.setattr(leaving, "Thread", Noted)
    leave_in_time(143)
    [over] = at_exit
    over()
    [(watch, arguments)] = started
    watch(*arguments)
    assert codes.empty()


def test_what_was_printed_is_flushed(
    codes: SimpleQueue[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Slow(StringIO):
        is_flushed = False

        def flush(self) -> None:
            self.is_flushed = True

    stream = Slow()
    monkeypatch.setattr(sys, "stdout", stream)
    leave(3)
    assert stream.is_flushed
    assert codes.get_nowait() == 3


def test_a_stream_that_takes_nothing_keeps_no_process(
    codes: SimpleQueue[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    released = Event()

    class Blocked(StringIO):
        def flush(self) -> None:
            released.wait(60)

    monkeypatch.setattr(leaving, "GRACE_SECONDS", 0.001)
    monkeypatch.setattr(sys, "stdout", Blocked())
    leave(3)
    assert codes.get_nowait() == 3
    released.set()
