"""How many receivers are woken, or started, for the items that are there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from math import inf
from typing import Any

import pytest

from antflow._engine.channels.channel import Channel
from tests.helpers.channel_script import item, play
from tests.helpers.virtual_time import settle, simulate


class Receivers:
    """Receivers that count how often each was woken, and what they took.

    Args:
        busy: whether each keeps the first item that it takes.
    """

    def __init__(self, *, busy: bool) -> None:
        self.channel = Channel(inf)
        self.woken: list[int] = []
        self.taken: list[Any] = []
        self._busy = busy

    def put(self, number: int) -> None:
        for value in range(number):
            self.channel.put(item(value))

    @asynccontextmanager
    async def waiting(self, number: int) -> AsyncIterator[None]:
        tasks = [asyncio.ensure_future(self._receive(n)) for n in range(number)]
        await settle()
        yield
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _receive(self, number: int) -> None:
        while True:
            await self.channel.wait_for_item()
            self.woken.append(number)
            while (taken := self.channel.get_nowait()) is not None:
                self.taken.append(taken.value)
                if self._busy:
                    await asyncio.Event().wait()


@pytest.mark.parametrize("at_once", [1, 100])
def test_work_that_one_receiver_does_within_its_turn_wakes_no_other(at_once: int) -> None:
    async def main() -> None:
        receivers = Receivers(busy=False)
        async with receivers.waiting(50):
            for number in range(1, 20):
                receivers.put(at_once)
                await settle()
                assert len(receivers.taken) == number * at_once
                assert len(receivers.woken) == number

    simulate(main)


@pytest.mark.parametrize(
    ("number", "most_turns", "most_a_turn"),
    [(1, 2, 1), (2, 4, 2), (10, 15, 2), (100, 120, 2), (640, 400, 10), (1000, 500, 16)],
)
def test_a_burst_wakes_a_receiver_for_each_item_a_few_in_a_turn(
    number: int, most_turns: int, most_a_turn: int
) -> None:
    async def main() -> None:
        receivers = Receivers(busy=True)
        async with receivers.waiting(number):
            receivers.put(number)
            turns = before = 0
            while len(receivers.taken) < number:
                await asyncio.sleep(0)
                assert len(receivers.woken) - before <= most_a_turn
                before = len(receivers.woken)
                turns += 1
                assert turns <= most_turns
            assert sorted(receivers.woken) == list(range(number))

    simulate(main)


@pytest.mark.parametrize(
    ("script", "started"),
    [
        ("L3", 0),
        ("+a +b +c +d L3", 1),
        ("L3 +a +b +c", 1),  # and no more until that one has arrived
        ("L3 +a +b +c A .", 3),
        ("L3 +a +b +c A3 .", 1),  # which leaves no work
        ("L3 +a +b +c A3 +d", 2),
        ("L2 +a +b +c +d +e A . A . A .", 2),
        ("L3 *a:1 >2", 1),
        ("L3 *a:0", 0),
        ("*a:1 L3", 0),
        ("r1 L1 +a .", 0),  # those that wait come first
        ("r1 L1 +a . +b", 1),
        ("r1 L1 +a ~r1", 0),
        ("r1 L1 +a ~r1 .", 1),
        ("L1 ! +a", 0),
    ],
)
def test_lazy_receivers_are_started_when_there_is_work_for_them(script: str, started: int) -> None:
    assert play(script, inf, look=lambda seen: seen.started) == started
