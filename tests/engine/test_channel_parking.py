"""Items that are tried again: when they are due, and what they leave room for."""

from __future__ import annotations

import asyncio
from math import inf
from typing import Any

import pytest

from antflow._engine.channels import channel as channel_module
from antflow._engine.channels.channel import Channel
from antflow._engine.channels.pull_channel import PullChannel
from tests.helpers.channel_script import Script, item, play
from tests.helpers.runs import run_exactly
from tests.helpers.virtual_time import SimulatedLoop, settle, simulate


@pytest.fixture(autouse=True)
def _few_parked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channel_module, "MIN_PARKED", 2)


def timers() -> list[float]:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, SimulatedLoop)
    return [timer.when() for timer in loop.timers()]


@pytest.mark.parametrize(
    ("script", "left"),
    [
        # In the order in which they are due, then in which they were parked.
        ("*a:3 *b:1 *c:2 >4", "b c a"),
        ("*a:1 >0.5 *b:0.5 *c:0.5 >1", "a b c"),
        ("*a:3 *b:1 *c:2 >2.5", "b c"),
        # Before fresh items, and behind those that were due earlier.
        ("+x *a:1 *b:2 +y >3", "a b x y"),
        ("+x *a:1 >2 *b:1 +y >2", "a b x y"),
        ("*a:1 >2 +x", "a x"),
        # Within their priority.
        ("+u@1 +x +z@900 *a:1 *b@1:2 >3", "b u a x z"),
        ("+u@1 *a:1 *b@1:2 *c@900:1 >3", "b u a c"),
        # Without a delay they are ready at once.
        ("+x *a:0", "a x"),
        ("+x *a:0 *b:0 *c:-1 +y", "a b c x y"),
        ("+x *a:1 >2 *b:0", "a b x"),
        ("+x@1 *a:0 +y", "x a y"),
        # Closing leaves what is ready, then what is parked.
        ("*a:1 *d:4 *b:2 *c:3 +x !", "x a b c d"),
        ("*a:1 *b:9 +x >2 !", "a x b"),
        ("! *a:1 *b:0", "a b"),
    ],
)
def test_a_parked_item_is_ready_when_it_is_due(script: str, left: str) -> None:
    assert play(script, inf)[1] == left


@pytest.mark.parametrize(
    ("script", "log"),
    [
        ("r1 *a:5 >4", ""),
        ("r1 *a:5 >6", "r1:a"),
        ("r1 *a:0 .", ""),  # the receiver that parks it takes it itself
        ("r1 r2 r3 *a:5 *b:5 *c:5 >6", "r1:a r2:b r3:c"),
        ("r1 r2 *a:5 ~r1 >6", "r2:a"),
        ("r1 *a:5 !  .", "r1:None"),
    ],
)
def test_receivers_are_woken_when_an_item_is_due(script: str, log: str) -> None:
    assert play(script, inf)[0] == log


def test_there_is_one_timer_and_none_once_the_channel_is_closed() -> None:
    async def main() -> None:
        channel = Channel(inf)
        seen = []
        for delay in (3, 1, 2):
            channel.park(item(delay), delay)
            seen.append(timers())
        assert seen == [[3.0], [1.0], [1.0]]
        await asyncio.sleep(1.5)
        assert timers() == [2.0]
        channel.close()
        assert timers() == []

    run_exactly(main)


@pytest.mark.parametrize("early", [1e-9, 1e-3])
def test_a_timer_that_fires_a_moment_early_makes_its_item_ready(
    early: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, SimulatedLoop)
        call_at = loop.call_at
        channel = Channel(inf)
        channel.park(item("a"), 1)
        channel.park(item("b"), 2)
        waiting = asyncio.ensure_future(channel.wait_for_item())
        await settle()
        monkeypatch.setattr(loop, "call_at", lambda at, *rest: call_at(at - early, *rest))
        await waiting
        assert [each.value for each in channel.queue] == ["a"]
        channel.close()

    simulate(main, tick=0.0, max_steps=1000)


@pytest.mark.parametrize(
    ("script", "changes"),
    [
        ("+x *a:0 >1", []),
        ("*a:2 *b:1", [True]),
        ("*a:2 *b:1 >1.5", [True]),
        ("*a:2 *b:1 >3", [True, False]),
        ("*a:2 >3 *b:1 >2", [True, False, True, False]),
        ("*a:2 !", [True, False]),
        ("*a:2 >3 !", [True, False]),
        ("!", []),
    ],
)
def test_a_change_between_some_parked_items_and_none_is_reported(
    script: str, changes: list[bool]
) -> None:
    async def main() -> None:
        seen: list[bool] = []
        played = Script(Channel(inf))
        played.channel.parked_items.on_change = seen.append
        await played.play(script)
        assert seen == changes
        await played.end()

    run_exactly(main)


FULL = "*a:5 *b:9 *c:9"


@pytest.mark.parametrize(
    ("capacity", "script", "log", "left"),
    [
        (2, "*a:5 *b:9 s1 f1", "s1 f1", "s1 f1"),  # as many as may be parked
        (2, f"{FULL} s1 f1", "", "s1"),
        (2, f"{FULL} s1 s2 f1 - - .", "", ""),
        (2, f"{FULL} s1 f1 >6", "s1", "a s1"),
        (2, f"{FULL} s1 f1 >6 - .", "s1 f1", "s1 f1"),
        (9, f"{FULL} s1 s2 f1 >6", "s1 s2 f1", "a s1 s2 f1"),
        (2, f"{FULL} f1 !", "", "a b c"),
        (2, f"{FULL} s1 f1 ! .", "s1 f1:refused", "s1 a b c"),
        (3, f"{FULL} s1 f1", "s1 f1", "s1 f1"),  # as many as the capacity
        (3, f"{FULL} *d:9 s1 f1", "", "s1"),
        (inf, f"{FULL} *d:9 s1 f1", "s1 f1", "s1 f1"),
    ],
)
def test_too_many_parked_items_make_senders_and_feeders_wait(
    capacity: float, script: str, log: str, left: str
) -> None:
    assert play(script, capacity) == (log, left)


def test_while_too_many_are_parked_no_item_is_simply_appended() -> None:
    scripts = ("*a:5 *b:9", FULL, f"{FULL} >6")
    flags = [play(each, 2, look=lambda seen: seen.channel.append_directly) for each in scripts]
    assert flags == [True, False, True]


# Channels whose receivers hold a bounded number of items


def state(seen: Script) -> tuple[int, int, int]:
    return seen.channel.startable(), seen.channel.pending, seen.channel.parked


@pytest.mark.parametrize(
    ("script", "startable", "pending", "parked"),
    [
        ("", 0, 0, 0),
        ("+a +b +c", 2, 3, 0),
        ("+a +b +c -", 1, 2, 0),
        ("+a +b +c - - -", 0, 1, 0),
        ("+a +b +c - - =", 1, 1, 0),
        # One to be tried again keeps a receiver, also when it is due, until it is taken.
        ("+a +b *x:5", 1, 2, 1),
        ("+a *x:5 *y:5 -", 0, 1, 2),
        ("+a *x:5 *y:9 >6", 1, 1, 2),
        ("+a *x:5 *y:5 >6", 2, 1, 2),
        ("+a *x:5 *y:5 >6 -", 1, 1, 1),
        ("+a *x:5 *y:5 >6 - -", 0, 1, 0),
        ("+a *x:5 *y:5 >6 - - -", 0, 1, 0),
        ("+a *x:5 *y:5 >6 - - =", 1, 1, 0),
        ("+a *x:0", 2, 1, 1),
        # Their senders hold the items that they wait with.
        ("s1 s2 s3", 2, 0, 0),
        ("s1 s2 ~s2 .", 2, 1, 0),
        ("s1 s2 *x:5 >6", 2, 0, 1),
        ("+a *x:5 !", 0, 0, 0),
    ],
)
def test_what_a_pull_channel_lets_start(
    script: str, startable: int, pending: int, parked: int
) -> None:
    assert play(script, 0, 2, look=state) == (startable, pending, parked)


@pytest.mark.parametrize(
    ("script", "expected"),
    [("+a +b *x:5", (2, 2, 1)), ("+a +b *x:5 >6", (3, 3, 0)), ("+a +b +c - - -", (0, 0, 0))],
)
def test_any_other_channel_lets_all_ready_items_start(
    script: str, expected: tuple[int, int, int]
) -> None:
    assert play(script, inf, look=state) == expected


@pytest.mark.parametrize(
    ("script", "log", "left"),
    [  # A receiver that is woken for an item that may not start waits behind the others again.
        ("r1 *x:5 +a .", "r1:a", ""),
        ("r1 r2 *x:5 *y:5 s1", "", "s1"),
        ("r1 r2 *x:5 *y:6 s1 >5.5", "r2:x", "s1"),
        ("r1 r2 r3 *x:5 *y:6 s1 >6.5", "r2:x r3:y", "s1"),
        ("r1 *x:5 s1 s2 s3 . >1", "r1:s1 s1", "s2 s3"),
    ],
)
def test_receivers_are_kept_for_items_that_are_tried_again(
    script: str, log: str, left: str
) -> None:
    assert play(script, 0, 2) == (log, left)


def test_receivers_do_not_turn_in_circles_while_no_item_may_start() -> None:
    async def main() -> None:
        channel = PullChannel(2)
        woken = 0

        async def receive() -> Any:
            nonlocal woken
            while (taken := channel.get_nowait()) is None and not channel.closed:
                await channel.wait_for_item()
                woken += 1
            return taken

        channel.held = 1
        channel.park(item("x"), 100)
        receivers = [asyncio.ensure_future(receive()) for _ in range(2)]
        await settle()
        for value in "abc":
            channel.put_fed(item(value))
        await asyncio.sleep(99)
        assert woken <= 2
        channel.close()
        await asyncio.gather(*receivers)

    simulate(main, tick=0.0, max_steps=100)
