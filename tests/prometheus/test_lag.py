"""An event loop is asked how long it takes to answer."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from threading import Event, Thread

import pytest

from antflow_prometheus._lag import LIMIT, lags


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
    assert 0.0 < lags([loop])[loop] < LIMIT


def test_a_loop_that_is_held_up_is_waited_for_no_longer_than_the_limit(
    loop: asyncio.AbstractEventLoop,
) -> None:
    release = Event()
    loop.call_soon_threadsafe(release.wait)
    assert lags([loop]) == {loop: LIMIT}
    release.set()


def test_a_closed_loop_has_no_lag() -> None:
    closed = asyncio.new_event_loop()
    closed.close()
    assert lags([closed]) == {}


async def test_a_loop_that_asks_itself_is_not_waited_for() -> None:
    assert lags([asyncio.get_running_loop()]) == {}


def test_several_loops_are_waited_for_together(loop: asyncio.AbstractEventLoop) -> None:
    idle = [asyncio.new_event_loop() for _ in range(3)]
    try:
        measured = lags([loop, *idle])
    finally:
        for one in idle:
            one.close()
    assert [measured[one] for one in idle] == [LIMIT] * 3
    assert measured[loop] < LIMIT
