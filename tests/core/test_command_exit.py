"""The end of a process whose threads or tasks are still running."""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Callable
from io import StringIO
from queue import SimpleQueue
from threading import Event

import pytest

from antflow._cli import signals
from antflow._cli.signals import exit_in_time, exit_now


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
    monkeypatch.setattr(signals, "GRACE_SECONDS", 0.001)
    exit_in_time(143)
    assert codes.get(timeout=60) == 143


def test_exit_handlers_have_no_time_limit(
    codes: SimpleQueue[int],
    at_exit: list[Callable[[], None]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    started: list[tuple[Callable[..., None], tuple[Event, int]]] = []

    class FakeThread:
        def __init__(self, target: Callable[..., None], args: tuple[Event, int], **_: object):
            started.append((target, args))

        def start(self) -> None:
            pass

    monkeypatch.setattr(signals, "Thread", FakeThread)
    exit_in_time(143)
    [over] = at_exit
    over()
    [(watch, arguments)] = started
    watch(*arguments)
    assert codes.empty()


def test_standard_output_is_flushed(
    codes: SimpleQueue[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Slow(StringIO):
        is_flushed = False

        def flush(self) -> None:
            self.is_flushed = True

    stream = Slow()
    monkeypatch.setattr(sys, "stdout", stream)
    exit_now(3)
    assert stream.is_flushed
    assert codes.get_nowait() == 3


def test_a_blocked_stream_does_not_keep_the_process_alive(
    codes: SimpleQueue[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    released = Event()

    class Blocked(StringIO):
        def flush(self) -> None:
            released.wait(60)

    monkeypatch.setattr(signals, "GRACE_SECONDS", 0.001)
    monkeypatch.setattr(sys, "stdout", Blocked())
    exit_now(3)
    assert codes.get_nowait() == 3
    released.set()
