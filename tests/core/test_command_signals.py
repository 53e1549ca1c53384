"""SIGINT and SIGTERM, and the deadlines of a shutdown."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator
from queue import SimpleQueue

import pytest

from antflow._cli import signals as module
from antflow._cli.signals import ShutdownActions, SignalHandler

FOR_EVER = 3600.0


class CalledActions:
    """The names of the actions that were called, in their order, each with its thread."""

    def __init__(self, drain_seconds: float = FOR_EVER) -> None:
        self.called: SimpleQueue[str] = SimpleQueue()
        self.threads: dict[str, str] = {}
        self.handler = SignalHandler(
            ShutdownActions(
                self.action("announce"),
                self.action("drain"),
                self.action("stop"),
                self.action("exit_now"),
            ),
            asyncio.get_running_loop(),
            drain_seconds,
        )

    def action(self, name: str) -> Callable[[], None]:
        def call() -> None:
            self.threads[name] = threading.current_thread().name
            self.called.put(name)

        return call

    async def next(self, count: int) -> list[str]:
        return [await asyncio.to_thread(self.called.get, timeout=60) for _ in range(count)]


@pytest.fixture(autouse=True)
def listens_to_sigint() -> Iterator[None]:
    """Have SIGINT heeded: a shell starts what runs in the background with SIGINT ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GRACE_SECONDS", FOR_EVER)


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GRACE_SECONDS", 0.001)


@pytest.mark.usefixtures("patient")
async def test_each_signal_calls_the_next_action() -> None:
    actions = CalledActions()
    with actions.handler.installed():
        signal.raise_signal(signal.SIGTERM)
        assert await actions.next(2) == ["announce", "drain"]
        signal.raise_signal(signal.SIGINT)
        assert await actions.next(1) == ["stop"]
        signal.raise_signal(signal.SIGTERM)
        assert await actions.next(1) == ["exit_now"]
    assert actions.handler.signal is signal.SIGTERM
    assert actions.threads["drain"] == actions.threads["exit_now"] == threading.main_thread().name
    assert actions.threads["announce"] == "antflow-signals"


@pytest.mark.usefixtures("hasty")
async def test_it_exits_after_the_deadline_and_the_grace() -> None:
    actions = CalledActions(drain_seconds=0)
    with actions.handler.installed():
        signal.raise_signal(signal.SIGTERM)
        assert sorted(await actions.next(3)) == ["announce", "drain", "exit_now"]


@pytest.mark.usefixtures("hasty")
async def test_it_exits_after_a_stop_and_the_grace() -> None:
    actions = CalledActions()
    with actions.handler.installed():
        actions.handler.stop()
        assert sorted(await actions.next(2)) == ["exit_now", "stop"]
    assert actions.handler.signal is None


@pytest.mark.usefixtures("hasty")
async def test_it_exits_without_the_loop_if_a_task_blocks_it() -> None:
    actions = CalledActions()
    with actions.handler.installed():
        actions.handler.stop()
        assert actions.called.get(timeout=60) == "exit_now"
        assert actions.threads == {"exit_now": "antflow-signals"}
        assert await actions.next(1) == ["stop"]
        await asyncio.sleep(0)
    assert actions.called.empty()


@pytest.mark.usefixtures("patient")
async def test_nothing_is_called_after_the_run() -> None:
    before = [signal.getsignal(each) for each in module.SIGNALS]
    actions = CalledActions()
    with actions.handler.installed():
        (watch,) = (each for each in threading.enumerate() if each.name == "antflow-signals")
        assert [signal.getsignal(each) for each in module.SIGNALS] != before
    await asyncio.to_thread(watch.join, 60)
    assert not watch.is_alive()
    assert [signal.getsignal(each) for each in module.SIGNALS] == before
    assert actions.called.empty()


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("signals", [1, 2])
async def test_nothing_more_is_called_if_the_run_ends_in_time(signals: int) -> None:
    actions = CalledActions()
    with actions.handler.installed():
        (watch,) = (each for each in threading.enumerate() if each.name == "antflow-signals")
        for _ in range(signals):
            signal.raise_signal(signal.SIGTERM)
        await actions.next(1 + signals)
    await asyncio.to_thread(watch.join, 60)
    assert not watch.is_alive()
    assert actions.called.empty()


async def test_a_signal_that_is_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with CalledActions().handler.installed():
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
            assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("patient")
async def test_a_signal_is_known_before_any_handler_is_called(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(SignalHandler, "_on_signal", lambda *_: None)
    actions = CalledActions()
    with actions.handler.installed():
        signal.raise_signal(signal.SIGTERM)
        assert await actions.next(2) == ["announce", "drain"]
    assert actions.handler.signal is signal.SIGTERM


@pytest.mark.usefixtures("patient")
async def test_a_program_may_handle_signals_of_its_own() -> None:
    actions, received = CalledActions(), asyncio.Event()
    loop = asyncio.get_running_loop()
    with actions.handler.installed():
        loop.add_signal_handler(signal.SIGUSR1, received.set)
        signal.raise_signal(signal.SIGUSR1)
        await received.wait()
        signal.raise_signal(signal.SIGTERM)
        assert await actions.next(2) == ["announce", "drain"]
        signal.raise_signal(signal.SIGTERM)
        assert await actions.next(1) == ["stop"]
        loop.remove_signal_handler(signal.SIGUSR1)
    assert actions.called.empty()


@pytest.mark.usefixtures("patient")
async def test_another_signal_is_ignored() -> None:
    before = signal.signal(signal.SIGUSR1, lambda *_: None)
    actions = CalledActions()
    with actions.handler.installed():
        signal.raise_signal(signal.SIGUSR1)
        signal.raise_signal(signal.SIGINT)
        assert await actions.next(2) == ["announce", "drain"]
    signal.signal(signal.SIGUSR1, before)
    assert actions.handler.signal is signal.SIGINT


async def test_the_wakeup_descriptor_is_restored() -> None:
    with CalledActions().handler.installed():
        assert signal.set_wakeup_fd(-1) != -1
    assert signal.set_wakeup_fd(-1) == -1
