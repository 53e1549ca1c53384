"""The deadlines of an early end, and the end of a process whose threads or tasks go on."""

from __future__ import annotations

import asyncio
import atexit
import os
import signal
import sys
import threading
from collections.abc import Callable
from io import StringIO
from queue import SimpleQueue
from typing import Any

import pytest

from antflow_cli import _signals as module
from antflow_cli._signals import ShutdownActions, SignalHandler, exit_in_time, exit_now

FOR_EVER = 3600.0


class CalledActions:
    """The names of the actions that were called, each with its thread."""

    def __init__(self, drain_seconds: float = FOR_EVER) -> None:
        self.called: SimpleQueue[str] = SimpleQueue()
        self.threads: dict[str, str] = {}
        names = "announce", "drain", "stop", "exit_now"
        actions = ShutdownActions(*map(self.action, names))
        self.handler = SignalHandler(actions, asyncio.get_running_loop(), drain_seconds)

    def action(self, name: str) -> Callable[[], None]:
        def call() -> None:
            self.threads[name] = threading.current_thread().name
            self.called.put(name)

        return call

    async def next(self, count: int) -> list[str]:
        return [await asyncio.to_thread(self.called.get, timeout=60) for _ in range(count)]


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GRACE_SECONDS", 0.001)


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


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("is_sent", [True, False])
async def test_a_run_is_ended_after_the_deadline_and_the_grace(is_sent: bool) -> None:
    actions = CalledActions(drain_seconds=0)
    with actions.handler.installed():
        if is_sent:
            signal.raise_signal(signal.SIGTERM)
            assert sorted(await actions.next(3)) == ["announce", "drain", "exit_now"]
        else:
            actions.handler.stop()
            assert sorted(await actions.next(2)) == ["exit_now", "stop"]
    assert actions.handler.signal is (signal.SIGTERM if is_sent else None)


@pytest.mark.usefixtures("hasty")
async def test_a_run_is_ended_without_the_loop_if_a_task_blocks_it() -> None:
    actions = CalledActions()
    with actions.handler.installed():
        actions.handler.stop()
        assert actions.called.get(timeout=60) == "exit_now"
        assert actions.threads == {"exit_now": "antflow-signals"}
        assert await actions.next(1) == ["stop"]
        await asyncio.sleep(0)
    assert actions.called.empty()


@pytest.mark.parametrize("signals", [0, 1, 2])
async def test_nothing_more_is_called_if_the_run_ends_in_time(
    signals: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "GRACE_SECONDS", FOR_EVER)
    actions = CalledActions()
    with actions.handler.installed():
        (watch,) = (each for each in threading.enumerate() if each.name == "antflow-signals")
        for _ in range(signals):
            signal.raise_signal(signal.SIGTERM)
        await actions.next(signals and 1 + signals)
    await asyncio.to_thread(watch.join, 60)
    assert not watch.is_alive()
    assert actions.called.empty()


@pytest.mark.usefixtures("hasty", "at_exit")
def test_a_process_is_ended_after_the_grace(codes: SimpleQueue[int]) -> None:
    exit_in_time(143)
    assert codes.get(timeout=60) == 143


def test_exit_handlers_have_no_time_limit(
    codes: SimpleQueue[int], at_exit: list[Callable[[], None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[Callable[[], None]] = []

    class FakeThread:
        def __init__(self, target: Callable[..., None], args: tuple[Any, ...], **_: object):
            self.start = lambda: started.append(lambda: target(*args))

    monkeypatch.setattr(module, "Thread", FakeThread)
    exit_in_time(143)
    [over], [watch] = at_exit, started
    over()
    watch()
    assert codes.empty()


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("is_blocked", [True, False])
def test_standard_output_is_flushed_unless_it_is_blocked(
    codes: SimpleQueue[int], monkeypatch: pytest.MonkeyPatch, is_blocked: bool
) -> None:
    flushed, released = threading.Event(), threading.Event()

    class Stream(StringIO):
        def flush(self) -> None:
            flushed.set()
            assert not is_blocked or released.wait(60)

    monkeypatch.setattr(sys, "stdout", Stream())
    exit_now(3)
    assert codes.get_nowait() == 3
    assert flushed.wait(60)
    released.set()
