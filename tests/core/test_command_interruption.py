"""Signals, and the clock that runs beside the loop."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable
from queue import SimpleQueue

import pytest

from antflow._cli import signals as module
from antflow._cli.signals import Interruption, Ways

FOR_EVER = 3600.0


class Noted:
    """The ways that were gone, in their order, each with the thread that went it."""

    def __init__(self, drain_seconds: float = FOR_EVER) -> None:
        self.ways: SimpleQueue[str] = SimpleQueue()
        self.threads: dict[str, str] = {}
        self.interruption = Interruption(
            Ways(self.way("announce"), self.way("drain"), self.way("stop"), self.way("leave")),
            asyncio.get_running_loop(),
            drain_seconds,
        )

    def way(self, name: str) -> Callable[[], None]:
        def note() -> None:
            self.threads[name] = threading.current_thread().name
            self.ways.put(name)

        return note

    async def next(self, count: int) -> list[str]:
        return [await asyncio.to_thread(self.ways.get, timeout=60) for _ in range(count)]


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GRACE_SECONDS", FOR_EVER)


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GRACE_SECONDS", 0.001)


@pytest.mark.usefixtures("patient")
async def test_each_signal_goes_one_way_further() -> None:
    noted = Noted()
    with noted.interruption.watched():
        signal.raise_signal(signal.SIGTERM)
        assert await noted.next(2) == ["announce", "drain"]
        signal.raise_signal(signal.SIGINT)
        assert await noted.next(1) == ["stop"]
        signal.raise_signal(signal.SIGTERM)
        assert await noted.next(1) == ["leave"]
    assert noted.interruption.signal is signal.SIGTERM
    assert noted.threads["drain"] == noted.threads["leave"] == threading.main_thread().name
    assert noted.threads["announce"] == "antflow-interruption"


@pytest.mark.usefixtures("hasty")
async def test_past_the_deadline_and_the_grace_it_leaves() -> None:
    noted = Noted(drain_seconds=0)
    with noted.interruption.watched():
        signal.raise_signal(signal.SIGTERM)
        assert sorted(await noted.next(3)) == ["announce", "drain", "leave"]


@pytest.mark.usefixtures("hasty")
async def test_past_the_grace_after_a_stop_it_leaves() -> None:
    noted = Noted()
    with noted.interruption.watched():
        noted.interruption.stop()
        assert sorted(await noted.next(2)) == ["leave", "stop"]
    assert noted.interruption.signal is None


@pytest.mark.usefixtures("hasty")
async def test_it_leaves_without_the_loop_where_a_task_holds_that() -> None:
    noted = Noted()
    with noted.interruption.watched():
        noted.interruption.stop()
        assert noted.ways.get(timeout=60) == "leave"
        assert noted.threads == {"leave": "antflow-interruption"}
        assert await noted.next(1) == ["stop"]
        await asyncio.sleep(0)
    assert noted.ways.empty()


@pytest.mark.usefixtures("patient")
async def test_when_the_run_is_over_nothing_is_done_any_more() -> None:
    before = [signal.getsignal(each) for each in module.SIGNALS]
    noted = Noted()
    with noted.interruption.watched():
        (watch,) = (each for each in threading.enumerate() if each.name == "antflow-interruption")
        assert [signal.getsignal(each) for each in module.SIGNALS] != before
    await asyncio.to_thread(watch.join, 60)
    assert not watch.is_alive()
    assert [signal.getsignal(each) for each in module.SIGNALS] == before
    assert noted.ways.empty()


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("signals", [1, 2])
async def test_a_run_that_ends_in_time_is_let_go(signals: int) -> None:
    noted = Noted()
    with noted.interruption.watched():
        (watch,) = (each for each in threading.enumerate() if each.name == "antflow-interruption")
        for _ in range(signals):
            signal.raise_signal(signal.SIGTERM)
        await noted.next(1 + signals)
    await asyncio.to_thread(watch.join, 60)
    assert not watch.is_alive()
    assert noted.ways.empty()


async def test_a_signal_that_is_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Noted().interruption.watched():
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
            assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("patient")
async def test_a_signal_is_known_before_any_handler_is_called(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Interruption, "_note", lambda *_: None)
    noted = Noted()
    with noted.interruption.watched():
        signal.raise_signal(signal.SIGTERM)
        assert await noted.next(2) == ["announce", "drain"]
    assert noted.interruption.signal is signal.SIGTERM


@pytest.mark.usefixtures("patient")
async def test_a_program_may_handle_signals_of_its_own() -> None:
    noted, told = Noted(), asyncio.Event()
    loop = asyncio.get_running_loop()
    with noted.interruption.watched():
        loop.add_signal_handler(signal.SIGUSR1, told.set)
        signal.raise_signal(signal.SIGUSR1)
        await told.wait()
        signal.raise_signal(signal.SIGTERM)
        assert await noted.next(2) == ["announce", "drain"]
        signal.raise_signal(signal.SIGTERM)
        assert await noted.next(1) == ["stop"]
        loop.remove_signal_handler(signal.SIGUSR1)
    assert noted.ways.empty()


@pytest.mark.usefixtures("patient")
async def test_another_signal_is_no_interruption() -> None:
    before = signal.signal(signal.SIGUSR1, lambda *_: None)
    noted = Noted()
    with noted.interruption.watched():
        signal.raise_signal(signal.SIGUSR1)
        signal.raise_signal(signal.SIGINT)
        assert await noted.next(2) == ["announce", "drain"]
    signal.signal(signal.SIGUSR1, before)
    assert noted.interruption.signal is signal.SIGINT


async def test_what_python_wrote_signals_to_is_put_back() -> None:
    with Noted().interruption.watched():
        assert signal.set_wakeup_fd(-1) != -1
    assert signal.set_wakeup_fd(-1) == -1
