"""The lag of event loops."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator
from threading import Event, Thread
from unittest.mock import Mock
from weakref import ref

import pytest

from antflow_prometheus._event_loops import MAX_LAG, LoopLag


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """An event loop that runs in another thread."""
    one = asyncio.new_event_loop()
    thread = Thread(target=one.run_forever)
    thread.start()
    yield one
    one.call_soon_threadsafe(one.stop)
    thread.join()
    one.close()


def test_a_loop_with_nothing_to_do_answers_at_once(loop: asyncio.AbstractEventLoop) -> None:
    assert 0.0 < LoopLag().measure([loop])[loop] < MAX_LAG


def test_a_loop_that_is_held_up_is_waited_for_no_longer_than_the_limit(
    loop: asyncio.AbstractEventLoop,
) -> None:
    release = Event()
    loop.call_soon_threadsafe(release.wait)
    assert LoopLag().measure([loop]) == {loop: MAX_LAG}
    release.set()


def test_a_closed_loop_has_no_lag() -> None:
    closed = asyncio.new_event_loop()
    closed.close()
    assert LoopLag().measure([closed]) == {}


async def test_a_loop_that_asks_itself_is_not_waited_for() -> None:
    assert LoopLag().measure([asyncio.get_running_loop()]) == {}


def test_several_loops_are_measured_at_once(loop: asyncio.AbstractEventLoop) -> None:
    idle = [asyncio.new_event_loop() for _ in range(3)]
    try:
        measured = LoopLag().measure([loop, *idle])
    finally:
        for one in idle:
            one.close()
    assert [measured[one] for one in idle] == [MAX_LAG] * 3
    assert measured[loop] < MAX_LAG


def test_a_loop_that_does_not_answer_is_called_once(monkeypatch: pytest.MonkeyPatch) -> None:
    stopped = asyncio.new_event_loop()
    call = Mock(wraps=stopped.call_soon_threadsafe)
    monkeypatch.setattr(stopped, "call_soon_threadsafe", call)
    lag = LoopLag()
    assert [lag.measure([stopped]) for _ in range(3)] == [{stopped: MAX_LAG}] * 3
    assert call.call_count == 1
    stopped.run_until_complete(asyncio.sleep(0))
    assert lag.measure([stopped]) == {stopped: MAX_LAG}
    assert call.call_count == 2
    stopped.close()


def test_a_loop_that_is_gone_is_not_kept_alive() -> None:
    one = asyncio.new_event_loop()
    lag = LoopLag()
    lag.measure([one])
    one.close()
    gone = ref(one)
    del one
    gc.collect()
    assert gone() is None
