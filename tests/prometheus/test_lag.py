"""An event loop is asked how long it takes to answer."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator
from threading import Event, Thread
from unittest.mock import Mock
from weakref import ref

import pytest

from antflow_prometheus._lag import LIMIT, Lags


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
    assert 0.0 < Lags().of([loop])[loop] < LIMIT


def test_a_loop_that_is_held_up_is_waited_for_no_longer_than_the_limit(
    loop: asyncio.AbstractEventLoop,
) -> None:
    release = Event()
    loop.call_soon_threadsafe(release.wait)
    assert Lags().of([loop]) == {loop: LIMIT}
    release.set()


def test_a_closed_loop_has_no_lag() -> None:
    closed = asyncio.new_event_loop()
    closed.close()
    assert Lags().of([closed]) == {}


async def test_a_loop_that_asks_itself_is_not_waited_for() -> None:
    assert Lags().of([asyncio.get_running_loop()]) == {}


def test_several_loops_are_waited_for_together(loop: asyncio.AbstractEventLoop) -> None:
    idle = [asyncio.new_event_loop() for _ in range(3)]
    try:
        measured = Lags().of([loop, *idle])
    finally:
        for one in idle:
            one.close()
    assert [measured[one] for one in idle] == [LIMIT] * 3
    assert measured[loop] < LIMIT


def test_a_loop_that_does_not_answer_is_called_once(monkeypatch: pytest.MonkeyPatch) -> None:
    stopped = asyncio.new_event_loop()
    call = Mock(wraps=stopped.call_soon_threadsafe)
    monkeypatch.setattr(stopped, "call_soon_threadsafe", call)
    lags = Lags()
    assert [lags.of([stopped]) for _ in range(3)] == [{stopped: LIMIT}] * 3
    assert call.call_count == 1
    stopped.run_until_complete(asyncio.sleep(0))
    assert lags.of([stopped]) == {stopped: LIMIT}
    assert call.call_count == 2
    stopped.close()


def test_a_loop_that_is_gone_is_not_kept_alive() -> None:
    one = asyncio.new_event_loop()
    lags = Lags()
    lags.of([one])
    one.close()
    gone = ref(one)
    del one
    gc.collect()
    assert gone() is None
