"""The hand-off in front of a stage: order, room, cancellation and closing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from math import inf
from random import Random
from typing import Any

import pytest

from antflow._engine.channels import channel as channel_module
from antflow._engine.channels.channel import Channel
from antflow._engine.channels.pull_channel import PullChannel
from antflow.results import PipelineResult
from tests.helpers.channel_script import Script, feed, item, make_channel, play, receive, send
from tests.helpers.virtual_time import simulate

ACTS: list[Callable[[Channel, PipelineResult], Awaitable[Any]]] = [send, feed]


def check(capacity: float, script: str, log: str, left: str) -> None:
    assert play(script, capacity) == (log, left)


# Order


@pytest.mark.parametrize(
    ("script", "left"),
    [
        ("+a +b +c", "a b c"),
        ("+d@5 +a@1 +f@9 +e@5 +b@1 +c@2", "a b c d e f"),
        ("+c@3 +a@1 +b@2 !", "a b c"),
    ],
)
def test_items_come_out_by_priority_then_by_arrival(script: str, left: str) -> None:
    check(inf, script, "", left)


def test_a_waiting_receiver_gets_the_most_urgent_item() -> None:
    check(inf, "r1 +late@9 +urgent@1 .", "r1:urgent", "late")


def test_a_receiver_that_was_woken_for_nothing_is_woken_again() -> None:
    check(inf, "r1 r2 +a - . +b .", "r2:b", "")


# Room


@pytest.mark.parametrize(
    ("capacity", "script", "log", "left"),
    [
        # A sender deposits, and waits if that was past the capacity.
        (0, "s1 s2", "", "s1 s2"),
        (1, "s1 s2 s3", "s1", "s1 s2 s3"),
        (3, "s1 s2 s3 s4 s5", "s1 s2 s3", "s1 s2 s3 s4 s5"),
        (inf, "s1 f1 s2 f2 s3", "s1 f1 s2 f2 s3", "s1 f1 s2 f2 s3"),
        # Each item taken lets one go on.
        (0, "s1 s2 s3 - .", "s1", "s2 s3"),
        (0, "s1 s2 s3 - . - .", "s1 s2", "s3"),
        (2, "s1 s2 s3 s4 s5 - . - .", "s1 s2 s3 s4", "s3 s4 s5"),
        # In front of a pull stage, a sender waits even if its item is taken in the same turn.
        (0, "r1 s1", "r1:s1 s1", ""),
        # Items past the capacity let none go on: what is taken comes back.
        (2, "s1 s2 s3 s4 +a +b - +c - +d - +e .", "s1 s2", "s4 a b c d e"),
        # A feeder waits, and then deposits; one item is let in where nothing may wait.
        (0, "f1 f2", "f1", "f1"),
        (0, "s1 f1", "f1", "s1 f1"),
        (0, "s1 f1 - .", "f1 s1", "f1"),
        (1, "f1 f2 f3 - .", "f1 f2", "f2"),
        (3, "f1 f2 f3 f4 f5 - .", "f1 f2 f3 f4", "f2 f3 f4"),
        # A feeder that was woken has its place, whatever is deposited before it runs.
        (1, "f1 f2 f3 - +a .", "f1 f2", "a f2"),
        (1, "f1 f2 f3 - +a . - .", "f1 f2", "f2"),
        (2, "f1 f2 f3 f4 f5 f6 - - +a +b . - - .", "f1 f2 f3 f4", "f3 f4"),
        (1, "f1 f2 s3 - +a . - . - .", "f1 s3 f2", "f2"),
        # A reserved place is not there for others, except in front of a pull stage.
        (1, "( f1", "", ""),
        (2, "( f1 f2", "f1", "f1"),
        (1, "( ) f1", "f1", "f1"),
        (1, "s1 s2 ( - .", "s1", "s2"),
        (1, "s1 s2 s3 ( - . - .", "s1 s2", "s3"),
        (0, "s1 ( - .", "s1", ""),
        (0, "( f1", "", ""),
        (inf, "( ( f1 s1", "f1 s1", "f1 s1"),
    ],
)
def test_room(capacity: float, script: str, log: str, left: str) -> None:
    check(capacity, script, log, left)


@pytest.mark.parametrize(
    ("line", "order"),
    [
        ("s1 s2 f1 f2", "s1 f1 s2 f2"),
        ("f1 f2 s1 s2", "s1 f1 s2 f2"),
        ("f1 s1 f2 f3", "s1 f1 f2 f3"),
        ("s1 s2 s3 f1", "s1 f1 s2 s3"),
    ],
)
@pytest.mark.parametrize("capacity", [1, 2])
def test_senders_and_feeders_take_turns_each_in_the_order_of_arrival(
    line: str, order: str, capacity: int
) -> None:
    deposits, names = " ".join(["+a", "+b"][:capacity]), order.split()
    for taken in range(len(names) + 1):
        script = f"{deposits} {line} {'- . ' * taken}"
        assert play(script, capacity)[0] == " ".join(names[:taken])


# The flags that spare either side a call


@pytest.mark.parametrize(
    ("script", "append_directly", "has_waiters"),
    [
        ("", True, False),
        ("r1", False, False),
        ("r1 +a", True, False),  # woken, and not there yet
        ("r1 +a .", True, False),
        ("r1 ~r1 .", True, False),
        ("r1 r2 +a .", False, False),
        ("L1", False, False),
        ("!", False, False),
        ("+a s1", True, True),
        ("+a s1 - .", True, False),
        ("+a s1 ~s1 .", True, False),
        ("+a f1", True, True),
        ("+a f1 ~f1 .", True, False),
        ("+a f1 x .", True, False),
        ("+a f1 s1 !", False, False),
    ],
)
def test_flags(script: str, append_directly: bool, has_waiters: bool) -> None:
    def look(seen: Script) -> tuple[bool, bool]:
        return seen.channel.append_directly, seen.channel.waiters.any

    assert play(script, look=look) == (append_directly, has_waiters)


def test_of_several_priorities_no_item_is_simply_appended() -> None:
    channel = Channel(1)
    channel.expect_priorities()
    assert not channel.append_directly


# Cancellation


@pytest.mark.parametrize(
    ("script", "log", "left"),
    [
        # Of receivers: before the deposit, in its turn, and after being woken.
        ("r1 r2 ~r1 . +a .", "r2:a", ""),
        ("r1 r2 ~r1 +a .", "r2:a", ""),
        ("r1 r2 +a ~r1 .", "r2:a", ""),
        ("r1 ~r1 . +a r2", "r2:a", ""),
        ("r1 +a ~r1 . r2 r3 +b .", "r2:a r3:b", ""),
        # A sender's item stays, and no other has room in its place.
        ("s1 s2 ~s2 . - s3", "s1", "s2 s3"),
        ("s1 s2 ~s2 . - s3 - .", "s1 s3", "s3"),
        ("s0 s1 s2 s3 ~s1 . - - .", "s0 s2", "s2 s3"),
        ("s0 s1 s2 - ~s1 .", "s0", "s1 s2"),
        ("s0 s1 s2 - ~s1 . - .", "s0 s2", "s2"),
        # A feeder leaves its place to the next.
        ("f1 f2 f3 ~f2 - .", "f1 f3", "f3"),
        ("f1 f2 f3 - ~f2 .", "f1 f3", "f3"),
        ("f1 f2 s3 - ~f2 .", "f1 s3", "s3"),
        ("f1 f2 - ~f2 . f3", "f1 f3", "f3"),
        # Room is not spent on one that is cancelled in the same turn.
        ("+a s1 s2 s3 ~s1 - .", "", "s1 s2 s3"),
        ("+a s1 s2 s3 ~s1 - . - .", "s2", "s2 s3"),
        ("+a f1 f2 f3 ~f1 - .", "f2", "f2"),
        # As the channel is closed.
        ("+a s1 ~s1 ! .", "", "a s1"),
        ("+a s1 ! ~s1 .", "", "a s1"),
        ("+a f1 ~f1 ! .", "", "a"),
        ("+a f1 ! ~f1 .", "", "a"),
        ("r1 ~r1 ! .", "", ""),
        ("r1 ! ~r1 .", "", ""),
    ],
)
def test_cancelling_one_that_waits_loses_nothing(script: str, log: str, left: str) -> None:
    check(1, script, log, left)


# Closing, and the end of feeding


@pytest.mark.parametrize(
    ("script", "log", "left"),
    [
        ("f1 f2 s1 s2 f3 ! .", "f1 s1 s2 f2:refused f3:refused", "f1 s1 s2"),
        ("r1 r2 ! .", "r1:None r2:None", ""),
        ("! s1 s2 f1 r1", "s1 s2 f1:refused r1:None", "s1 s2"),
        ("+a ! ! +b", "", "a b"),
        # A feeder that was woken before makes no later one wait, nor does a reserved place.
        ("f1 f2 - ! . f3", "f1 f2:refused f3:refused", ""),
        ("f1 f2 - ( ! . f3", "f1 f2:refused f3:refused", ""),
    ],
)
def test_closing_lets_all_go_on_and_sets_aside_what_is_left(
    script: str, log: str, left: str
) -> None:
    check(1, script, log, left)


@pytest.mark.parametrize(
    ("script", "log", "left"),
    [
        ("+a f1 s1 f2 x .", "f1:refused f2:refused", "a s1"),
        ("+a f1 s1 f2 x . - .", "f1:refused f2:refused s1", "s1"),
        ("+a f1 s1 - x .", "s1 f1:refused", "s1"),
        ("x +a f1", "f1:refused", "a"),
        ("+a f1 ~f1 x .", "", "a"),
    ],
)
def test_dismissed_feeders_go_on_and_senders_stay(script: str, log: str, left: str) -> None:
    check(1, script, log, left)


# Any interleaving


class Traffic:
    """Senders, feeders and receivers of numbered items; some items are tried again.

    An item is "lost" by a receiver that is cancelled while it has it, as a worker is only at the
    end of a run; so receivers are cancelled only while they wait.
    """

    def __init__(self, channel: Channel, random: Random) -> None:
        self.channel = channel
        self.arrived: list[Any] = []
        self.held = 0  # items that receivers are not done with
        self.deposited: list[Any] = []
        self._random = random

    async def deposit(
        self, act: Callable[[Channel, PipelineResult], Awaitable[Any]], name: int, number: int
    ) -> None:
        for value in range(number):
            own = item((name, value), self._random.choice((1, 100, 100)))
            if act is send:
                self.deposited.append(own.value)
            if await act(self.channel, own):
                self.deposited.append(own.value)

    async def receive(self) -> None:
        while (taken := await receive(self.channel)) is not None:
            self.held += 1
            await asyncio.sleep(self._random.choice((0, 0, 0.5)))
            if self._random.random() < 0.3:
                self.channel.park(taken, self._random.choice((0, 1, 1, 2)))
            else:
                self.arrived.append(taken.value)
            self.held -= 1
            if isinstance(self.channel, PullChannel):
                self.channel.held -= 1

    def is_empty(self) -> bool:
        return not (self.channel.queue or self.held or self.channel.parked)


@pytest.mark.parametrize("seed", range(150))
def test_whatever_is_deposited_arrives_once(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channel_module, "MIN_PARKED", 3)
    random = Random(seed)
    is_pull = seed % 4 == 0
    capacity = 0 if is_pull else random.choice((0, 1, 3, inf))

    async def main() -> None:
        channel = make_channel(0 if is_pull else capacity, 3)
        traffic = Traffic(channel, random)
        channel.expect_priorities()
        receiving = [asyncio.ensure_future(traffic.receive()) for _ in range(3)]
        working = [
            asyncio.ensure_future(traffic.deposit(act, name, 8))
            for name, act in enumerate(ACTS * 3)
        ]
        for _ in range(random.randrange(3)):
            await asyncio.sleep(random.choice((0, 0, 1)))
            working.pop(random.randrange(len(working))).cancel()
        await asyncio.gather(*working)
        while not traffic.is_empty():
            await asyncio.sleep(1)
        channel.close()
        await asyncio.gather(*receiving)
        assert channel.unprocessed == []
        assert sorted(traffic.arrived) == sorted(traffic.deposited)

    simulate(main, seed, max_steps=50_000)
