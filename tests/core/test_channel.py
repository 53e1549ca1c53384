"""The hand-off in front of a stage: order, room, wake-ups, cancellation and closing.

`send`, `feed` and `take` keep the channel's contract as workers and feeders do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from math import inf
from typing import Any

import pytest

from antflow._channel import Channel
from antflow._item import ItemRecord
from tests.core.run_parts import values
from tests.core.simulation import begun, others, settle, simulate

SEEDS = range(30)


def item(value: Any, priority: int = 100) -> ItemRecord:
    return ItemRecord(value, value, 0, priority, {})


async def send(channel: Channel, value: Any, priority: int = 100) -> None:
    """Hand an item on as a worker does."""
    channel.put(item(value, priority))
    if channel.is_overfull():
        await channel.wait_for_room()


async def feed(channel: Channel, value: Any, priority: int = 100) -> bool:
    """Feed an item as someone outside of the run does; False if the channel was closed."""
    if not channel.has_room():
        await channel.wait_for_place()
    if channel.closed:
        return False
    channel.put(item(value, priority))
    return True


def pop(channel: Channel) -> Any:
    taken = channel.queue.popleft()
    if channel.crowded:
        channel.make_room()
    return taken.value


async def take(channel: Channel) -> Any:
    """Take an item as a worker does; None if the channel is closed."""
    while not channel.queue:
        if channel.closed:
            return None
        await channel.wait_for_item()
    return pop(channel)


class Crowd:
    """Senders, feeders and receivers that run side by side; `log` lists who has gone on."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.log: list[str] = []
        self.tasks: dict[str, asyncio.Task[Any]] = {}

    async def join(self, name: str, priority: int = 100) -> asyncio.Task[Any]:
        """Start a sender, a feeder or a receiver, by its first letter, and let it get to wait."""
        if name[0] == "s":
            return await self._start(name, send(self.channel, name, priority))
        if name[0] == "f":
            return await self._start(name, feed(self.channel, name, priority))
        return await self._start(name, take(self.channel))

    async def cancel(self, name: str) -> None:
        self.tasks[name].cancel()
        await settle()

    async def end(self) -> None:
        self.channel.close()
        await settle()
        assert not others()

    async def _start(self, name: str, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        async def go() -> Any:
            result = await work
            self.log.append(name)
            return result

        task = self.tasks[name] = asyncio.ensure_future(go())
        await settle()
        return task


def crowd_at(capacity: float) -> Crowd:
    return Crowd(Channel(capacity))


# Order


def test_items_of_one_priority_come_out_as_they_came_in() -> None:
    channel = Channel(inf)
    for value in "abc":
        channel.put(item(value))
    assert values(channel.queue) == ["a", "b", "c"]


def test_lower_priorities_come_out_first_and_each_as_it_came_in() -> None:
    channel = Channel(inf)
    channel.sort()
    for value, priority in [("d", 5), ("a", 1), ("f", 9), ("e", 5), ("b", 1), ("c", 2)]:
        channel.put(item(value, priority))
    assert values(channel.queue) == ["a", "b", "c", "d", "e", "f"]


def test_a_waiting_receiver_gets_the_most_urgent_item() -> None:
    async def main() -> None:
        crowd = crowd_at(inf)
        receiver = await crowd.join("r")
        crowd.channel.put(item("late", 9))
        crowd.channel.put(item("urgent", 1))
        assert await receiver == "urgent"

    simulate(main)


# A deposit that needs no care


def test_nobody_waiting_and_one_priority_a_deposit_needs_no_care() -> None:
    assert Channel(1).direct


def test_of_several_priorities_each_deposit_needs_care() -> None:
    channel = Channel(1)
    channel.sort()
    assert not channel.direct


def test_a_waiting_receiver_needs_the_next_deposit_to_call_it() -> None:
    async def main() -> None:
        crowd = crowd_at(inf)
        await crowd.join("r")
        assert not crowd.channel.direct
        crowd.channel.put(item("a"))
        assert crowd.channel.direct
        await settle()
        assert crowd.channel.direct

    simulate(main)


def test_a_reserve_needs_the_next_deposit_to_start_it() -> None:
    channel = Channel(inf)
    channel.add_reserve([lambda: None])
    assert not channel.direct


def test_a_closed_channel_needs_care_for_each_deposit() -> None:
    channel = Channel(inf)
    channel.close()
    assert not channel.direct


# Room for senders


@pytest.mark.parametrize("capacity", [0, 1, 2, 5])
def test_senders_deposit_and_only_who_passes_the_capacity_waits(capacity: int) -> None:
    async def main() -> None:
        crowd = crowd_at(capacity)
        for number in range(capacity + 2):
            await crowd.join(f"s{number}")
        assert len(crowd.channel.queue) == capacity + 2
        assert crowd.log == [f"s{number}" for number in range(capacity)]
        assert crowd.channel.held == 2
        await crowd.end()

    simulate(main)


def test_without_bound_nobody_waits_for_room() -> None:
    async def main() -> None:
        crowd = crowd_at(inf)
        for number in range(100):
            await crowd.join(f"s{number}")
            await crowd.join(f"f{number}")
        assert len(crowd.log) == 200
        assert not crowd.channel.crowded

    simulate(main)


@pytest.mark.parametrize("capacity", [0, 1, 3])
def test_each_item_taken_lets_one_sender_go_on_in_the_order_of_arrival(capacity: int) -> None:
    async def main() -> None:
        crowd = crowd_at(capacity)
        for number in range(capacity + 3):
            await crowd.join(f"s{number}")
        for taken in range(1, 4):
            pop(crowd.channel)
            await settle()
            assert crowd.log == [f"s{number}" for number in range(capacity + taken)]
        assert not crowd.channel.crowded

    simulate(main)


def test_in_front_of_a_pull_stage_a_sender_waits_until_its_item_is_taken() -> None:
    async def main() -> None:
        crowd = crowd_at(0)
        receiver = await crowd.join("r")
        sender = asyncio.ensure_future(send(crowd.channel, "a"))
        await asyncio.sleep(0)
        assert not sender.done()
        assert await receiver == "a"
        await sender

    simulate(main)


def test_items_past_the_capacity_let_no_sender_go_on() -> None:
    """As a whole-stage retry does: what is taken comes back, and nothing has become less."""

    async def main() -> None:
        crowd = crowd_at(2)
        for number in range(4):
            await crowd.join(f"s{number}")
        for value in ("x", "y"):
            crowd.channel.put(item(value))
        for _ in range(20):
            again = pop(crowd.channel)
            crowd.channel.put(item(again))
            await settle()
        assert len(crowd.channel.queue) <= 6
        assert crowd.log == ["s0", "s1"]
        await crowd.end()

    simulate(main)


@pytest.mark.parametrize("seed", SEEDS)
def test_senders_do_not_grow_the_queue_while_items_are_tried_again(seed: int) -> None:
    capacity, senders, receivers = 3, 4, 2

    async def main() -> None:
        channel = Channel(capacity)
        longest = 0

        async def send_on_and_on() -> None:
            while not channel.closed:
                await send(channel, "new")
                await asyncio.sleep(0)

        async def try_again() -> None:
            nonlocal longest
            for _ in range(200):
                value = await take(channel)
                await asyncio.sleep(0)
                channel.put(item(value))
                longest = max(longest, len(channel.queue))

        sending = [asyncio.ensure_future(send_on_and_on()) for _ in range(senders)]
        await asyncio.gather(*(try_again() for _ in range(receivers)))
        channel.close()
        await asyncio.gather(*sending)
        assert longest <= capacity + senders + receivers

    simulate(main, seed, max_steps=20_000)


# Room for feeders


@pytest.mark.parametrize(("capacity", "room"), [(0, 1), (1, 1), (3, 3)])
def test_feeders_wait_before_they_deposit(capacity: int, room: int) -> None:
    async def main() -> None:
        crowd = crowd_at(capacity)
        for number in range(room + 2):
            await crowd.join(f"f{number}")
        assert crowd.log == values(crowd.channel.queue) == [f"f{n}" for n in range(room)]
        pop(crowd.channel)
        await settle()
        assert crowd.log == [f"f{n}" for n in range(room + 1)]
        assert len(crowd.channel.queue) == room
        await crowd.end()

    simulate(main)


def test_a_feeder_does_not_overtake_those_who_wait() -> None:
    async def main() -> None:
        crowd = crowd_at(1)
        await crowd.join("f1")
        await crowd.join("f2")
        pop(crowd.channel)
        assert not crowd.channel.has_room()
        await settle()
        assert crowd.log == ["f1", "f2"]

    simulate(main)


def test_the_place_of_a_feeder_that_was_called_is_kept() -> None:
    async def main() -> None:
        crowd = crowd_at(1)
        await crowd.join("f1")
        await crowd.join("f2")
        pop(crowd.channel)
        assert not crowd.channel.queue
        crowd.channel.put(item("sent"))
        assert crowd.channel.is_overfull()
        await settle()
        assert values(crowd.channel.queue) == ["sent", "f2"]
        assert not crowd.channel.has_room()

    simulate(main)


def test_places_kept_are_given_back_with_each_deposit() -> None:
    async def main() -> None:
        crowd = crowd_at(1)
        for number in range(20):
            await crowd.join(f"f{number}")
        for _ in range(20):
            assert len(crowd.channel.queue) == 1
            pop(crowd.channel)
            await settle()
        assert crowd.channel.granted == 0
        assert crowd.channel.has_room()
        assert not crowd.channel.crowded

    simulate(main)


# Senders and feeders together


@pytest.mark.parametrize("line", ["ssff", "ffss", "sfsf", "fsfs", "sffs", "fssf"])
@pytest.mark.parametrize("capacity", [1, 2])
def test_who_waits_for_room_goes_on_in_the_order_of_arrival(line: str, capacity: int) -> None:
    async def main() -> None:
        crowd = crowd_at(capacity)
        for number in range(capacity):
            crowd.channel.put(item(number))
        names = [f"{kind}{number}" for number, kind in enumerate(line)]
        for name in names:
            await crowd.join(name)
        assert crowd.log == []
        for taken in range(1, len(names) + 1):
            pop(crowd.channel)
            await settle()
            assert crowd.log == names[:taken]

    simulate(main)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("capacity", [0, 1, 3, inf])
def test_everything_sent_and_fed_arrives_once(capacity: float, seed: int) -> None:
    async def main() -> None:
        channel = Channel(capacity)
        arrived: list[Any] = []

        async def receive() -> None:
            while (value := await take(channel)) is not None:
                arrived.append(value)
                await asyncio.sleep(0)

        async def all_of(act: Callable[[Channel, Any], Coroutine[Any, Any, Any]], n: int) -> None:
            for value in range(n, n + 20):
                await act(channel, value)

        receiving = [asyncio.ensure_future(receive()) for _ in range(3)]
        work = [all_of(act, 20 * n) for n, act in enumerate([send, feed, send, feed])]
        await asyncio.gather(*work)
        await settle()
        channel.close()
        await asyncio.gather(*receiving)
        assert sorted(arrived) == list(range(80))
        assert channel.left_over == []

    simulate(main, seed)


# Cancellation


def test_a_receiver_cancelled_while_it_waits_is_forgotten() -> None:
    async def main() -> None:
        crowd = crowd_at(inf)
        await crowd.join("r1")
        await crowd.join("r2")
        await crowd.cancel("r1")
        crowd.channel.put(item("a"))
        assert await crowd.tasks["r2"] == "a"

    simulate(main)


def test_the_last_receiver_being_cancelled_leaves_a_deposit_for_the_next() -> None:
    async def main() -> None:
        crowd = crowd_at(inf)
        await crowd.join("r1")
        await crowd.cancel("r1")
        assert crowd.channel.direct
        crowd.channel.put(item("a"))
        assert await (await crowd.join("r2")) == "a"

    simulate(main)


def test_a_receiver_cancelled_in_the_turn_of_a_deposit_does_not_swallow_the_call() -> None:
    async def main() -> None:
        crowd = crowd_at(inf)
        await crowd.join("r1")
        await crowd.join("r2")
        crowd.tasks["r1"].cancel()
        crowd.channel.put(item("a"))
        assert await crowd.tasks["r2"] == "a"

    simulate(main)


def test_a_called_receiver_that_is_cancelled_passes_the_call_on() -> None:
    async def main() -> None:
        crowd = crowd_at(inf)
        await crowd.join("r1")
        await crowd.join("r2")
        crowd.channel.put(item("a"))
        crowd.tasks["r1"].cancel()
        assert await crowd.tasks["r2"] == "a"

    simulate(main)


def test_a_called_receiver_that_is_cancelled_passes_the_call_on_to_the_reserve() -> None:
    async def main() -> None:
        crowd = crowd_at(inf)
        started: list[int] = []
        await crowd.join("r1")
        crowd.channel.add_reserve([lambda: started.append(1)])
        crowd.channel.put(item("a"))
        assert started == []
        await crowd.cancel("r1")
        assert started == [1]

    simulate(main)


def test_after_a_called_receiver_was_cancelled_without_another_the_next_finds_the_item() -> None:
    async def main() -> None:
        crowd = crowd_at(inf)
        await crowd.join("r1")
        crowd.channel.put(item("a"))
        await crowd.cancel("r1")
        assert await (await crowd.join("r2")) == "a"
        await crowd.join("r3")
        crowd.channel.put(item("b"))
        assert await crowd.tasks["r3"] == "b"

    simulate(main)


def test_a_cancelled_sender_leaves_its_item_and_no_room_for_another() -> None:
    async def main() -> None:
        crowd = crowd_at(1)
        await crowd.join("s1")
        await crowd.join("s2")
        await crowd.cancel("s2")
        assert not crowd.channel.crowded
        assert values(crowd.channel.queue) == ["s1", "s2"]
        pop(crowd.channel)
        sender = await crowd.join("s3")
        assert not sender.done()
        pop(crowd.channel)
        await sender

    simulate(main)


def test_a_sender_cancelled_while_it_waits_leaves_its_turn_to_the_next() -> None:
    async def main() -> None:
        crowd = crowd_at(1)
        for number in range(4):
            await crowd.join(f"s{number}")
        await crowd.cancel("s1")
        pop(crowd.channel)
        pop(crowd.channel)
        await settle()
        assert crowd.log == ["s0", "s2"]
        await crowd.end()

    simulate(main)


def test_a_called_sender_that_is_cancelled_takes_nothing_with_it() -> None:
    async def main() -> None:
        crowd = crowd_at(1)
        for number in range(3):
            await crowd.join(f"s{number}")
        pop(crowd.channel)
        await crowd.cancel("s1")
        assert values(crowd.channel.queue) == ["s1", "s2"]
        pop(crowd.channel)
        await crowd.tasks["s2"]
        assert not crowd.channel.crowded

    simulate(main)


def test_a_feeder_cancelled_while_it_waits_has_fed_nothing_and_leaves_its_turn() -> None:
    async def main() -> None:
        crowd = crowd_at(1)
        for name in ("f1", "f2", "f3"):
            await crowd.join(name)
        await crowd.cancel("f2")
        pop(crowd.channel)
        await settle()
        assert values(crowd.channel.queue) == ["f3"]
        assert not crowd.channel.crowded

    simulate(main)


@pytest.mark.parametrize("next_in_line", ["f3", "s3"])
def test_a_called_feeder_that_is_cancelled_passes_its_place_on(next_in_line: str) -> None:
    async def main() -> None:
        crowd = crowd_at(1)
        for name in ("f1", "f2", next_in_line):
            await crowd.join(name)
        pop(crowd.channel)
        await crowd.cancel("f2")
        assert crowd.log == ["f1", next_in_line]
        assert crowd.channel.granted == 0
        assert values(crowd.channel.queue) == [next_in_line]

    simulate(main)


def test_a_called_feeder_that_is_cancelled_alone_gives_its_place_back() -> None:
    async def main() -> None:
        crowd = crowd_at(1)
        await crowd.join("f1")
        await crowd.join("f2")
        pop(crowd.channel)
        await crowd.cancel("f2")
        assert crowd.channel.has_room()
        assert not crowd.channel.crowded

    simulate(main)


@pytest.mark.parametrize("kind", ["s", "f"])
def test_room_is_not_spent_on_one_that_is_cancelled_in_the_same_turn(kind: str) -> None:
    async def main() -> None:
        crowd = crowd_at(1)
        crowd.channel.put(item("first"))
        for number in range(3):
            await crowd.join(f"{kind}{number}")
        crowd.tasks[f"{kind}0"].cancel()
        pop(crowd.channel)
        await settle()
        assert crowd.log == ([] if kind == "s" else ["f1"])
        pop(crowd.channel)
        await settle()
        assert crowd.log == (["s1"] if kind == "s" else ["f1", "f2"])
        await crowd.end()

    simulate(main)


@pytest.mark.parametrize("seed", range(200))
def test_whoever_is_cancelled_the_others_go_on(seed: int) -> None:
    async def main() -> None:
        channel = Channel(seed % 3)
        arrived: list[Any] = []

        async def receive() -> None:
            while (value := await take(channel)) is not None:
                arrived.append(value)
                await asyncio.sleep(0)

        async def act(kind: Callable[[Channel, Any], Coroutine[Any, Any, Any]], n: int) -> None:
            for value in range(5):
                await kind(channel, (n, value))

        receiving = [asyncio.ensure_future(receive()) for _ in range(4)]
        working = [asyncio.ensure_future(act(send if n % 2 else feed, n)) for n in range(6)]
        for turns, victim in zip((3, 1, 2, 1), (receiving, working) * 2, strict=False):
            for _ in range(turns * (seed % 7)):
                await asyncio.sleep(0)
            victim[seed % 2].cancel()
            victim.pop(seed % 2)
        await asyncio.gather(*working)
        await settle()
        assert not channel.queue
        assert len(arrived) == len(set(arrived)) >= 20
        channel.close()
        await asyncio.gather(*receiving)

    simulate(main, seed)


# Closing


def test_closing_wakes_everybody() -> None:
    async def main() -> None:
        crowd = crowd_at(1)
        for name in ("f1", "f2", "s1", "s2", "f3"):
            await crowd.join(name)
        assert crowd.log == ["f1"]
        crowd.channel.close()
        await settle()
        assert sorted(crowd.log) == ["f1", "f2", "f3", "s1", "s2"]
        assert not crowd.channel.crowded

    simulate(main)


def test_closing_wakes_receivers_to_find_nothing() -> None:
    async def main() -> None:
        crowd = crowd_at(1)
        for name in ("r1", "r2", "r3"):
            await crowd.join(name)
        crowd.channel.close()
        assert [await task for task in crowd.tasks.values()] == [None] * 3

    simulate(main)


def test_what_is_left_when_it_is_closed_is_set_aside_in_order() -> None:
    channel = Channel(inf)
    channel.sort()
    for value, priority in [("c", 3), ("a", 1), ("b", 2)]:
        channel.put(item(value, priority))
    channel.close()
    assert values(channel.left_over) == ["a", "b", "c"]
    assert not channel.queue


def test_what_comes_after_it_was_closed_is_set_aside_too() -> None:
    channel = Channel(inf)
    channel.put(item("left"))
    channel.close()
    channel.put(item("late"))
    assert values(channel.left_over) == ["left", "late"]
    assert not channel.queue


def test_a_closed_channel_makes_nobody_wait() -> None:
    async def main() -> None:
        crowd = crowd_at(0)
        crowd.channel.close()
        for name in ("s1", "s2", "f1", "f2", "r1"):
            await crowd.join(name)
        assert crowd.log == ["s1", "s2", "f1", "f2", "r1"]

    simulate(main)


def test_a_feeder_that_was_called_as_it_was_closed_makes_no_later_one_wait() -> None:
    async def main() -> None:
        crowd = crowd_at(1)
        await crowd.join("f1")
        await crowd.join("f2")
        pop(crowd.channel)
        crowd.channel.close()
        await settle()
        assert await crowd.tasks["f2"] is False
        later = await begun(feed(crowd.channel, "f3"))
        waits = not later.done()
        later.cancel()
        assert not waits

    simulate(main)


def test_closing_twice_sets_nothing_aside_twice() -> None:
    channel = Channel(inf)
    channel.put(item("a"))
    channel.close()
    channel.close()
    assert values(channel.left_over) == ["a"]


def test_closing_starts_no_receiver_from_the_reserve() -> None:
    started: list[int] = []
    channel = Channel(inf)
    channel.add_reserve([lambda: started.append(1)])
    channel.close()
    channel.put(item("late"))
    assert started == []


@pytest.mark.parametrize("kind", ["s", "f", "r"])
@pytest.mark.parametrize("close_first", [True, False])
def test_who_is_cancelled_as_it_is_closed_is_just_cancelled(kind: str, close_first: bool) -> None:
    async def main() -> None:
        crowd = crowd_at(1)
        if kind != "r":
            crowd.channel.put(item("first"))
        waiting = await crowd.join(kind)
        assert not waiting.done()
        if close_first:
            crowd.channel.close()
        waiting.cancel()
        crowd.channel.close()
        await settle()
        assert waiting.cancelled()
        expected = {"s": ["first", "s"], "f": ["first"], "r": []}
        assert values(crowd.channel.left_over) == expected[kind]

    simulate(main)


def test_feeders_that_are_not_wanted_any_more_go_on_and_senders_stay() -> None:
    async def main() -> None:
        channel = Channel(1)
        channel.put(item("first"))
        feeders = [asyncio.ensure_future(channel.wait_for_place()) for _ in range(3)]
        sender = await begun(send(channel, "sent"))
        channel.dismiss_feeders()
        await asyncio.gather(*feeders)
        await settle()
        assert not sender.done()
        pop(channel)
        await sender
        pop(channel)
        assert channel.granted == 0
        assert channel.has_room()

    simulate(main)


# Wake-ups


class Receivers:
    """Receivers that count how often each was woken, and what they took."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.woken: list[int] = []
        self.taken: list[Any] = []

    def wait(self, number: int, *, pause: bool = True) -> list[asyncio.Task[None]]:
        return [asyncio.ensure_future(self._receive(n, pause)) for n in range(number)]

    async def _receive(self, number: int, pause: bool) -> None:
        channel = self.channel
        while not channel.closed:
            await channel.wait_for_item()
            self.woken.append(number)
            while channel.queue:
                self.taken.append(pop(channel))
                if pause:
                    await asyncio.Event().wait()


def test_a_trickle_wakes_one_receiver_for_each_item() -> None:
    async def main() -> None:
        receivers = Receivers(Channel(inf))
        tasks = receivers.wait(50, pause=False)
        await settle()
        for number in range(20):
            receivers.channel.put(item(number))
            await settle()
            assert len(receivers.woken) == len(receivers.taken) == number + 1
        receivers.channel.close()
        await asyncio.gather(*tasks)

    simulate(main)


def test_what_one_receiver_does_within_its_turn_wakes_no_other() -> None:
    async def main() -> None:
        receivers = Receivers(Channel(inf))
        tasks = receivers.wait(50, pause=False)
        await settle()
        for number in range(100):
            receivers.channel.put(item(number))
        await settle()
        assert receivers.taken == list(range(100))
        assert len(receivers.woken) == 1
        receivers.channel.close()
        await asyncio.gather(*tasks)

    simulate(main)


@pytest.mark.parametrize(
    ("number", "most_turns"), [(1, 2), (2, 4), (10, 15), (100, 120), (1000, 500)]
)
def test_a_burst_wakes_a_receiver_for_each_item_within_a_few_turns(
    number: int, most_turns: int
) -> None:
    async def main() -> None:
        receivers = Receivers(Channel(inf))
        tasks = receivers.wait(number)
        await settle()
        for value in range(number):
            receivers.channel.put(item(value))
        turns = 0
        while len(receivers.taken) < number:
            await asyncio.sleep(0)
            turns += 1
            assert turns <= most_turns
        assert sorted(receivers.woken) == list(range(number))
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    simulate(main)


def test_a_burst_wakes_a_few_receivers_a_turn() -> None:
    number, most = 640, 10

    async def main() -> None:
        receivers = Receivers(Channel(inf))
        tasks = receivers.wait(number)
        await settle()
        for value in range(number):
            receivers.channel.put(item(value))
        before = 0
        while len(receivers.taken) < number:
            await asyncio.sleep(0)
            assert len(receivers.woken) - before <= most
            before = len(receivers.woken)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    simulate(main)


def test_receivers_that_woke_for_nothing_are_called_again() -> None:
    async def main() -> None:
        receivers = Receivers(Channel(inf))
        tasks = receivers.wait(2, pause=False)
        await settle()
        receivers.channel.put(item("a"))
        assert pop(receivers.channel) == "a"
        await settle()
        assert receivers.taken == []
        receivers.channel.put(item("b"))
        await settle()
        assert receivers.taken == ["b"]
        receivers.channel.close()
        await asyncio.gather(*tasks)

    simulate(main)


# Receivers in reserve


class Reserve:
    """Receivers to be started; `begin` lets those that have been started arrive."""

    def __init__(self, channel: Channel, number: int) -> None:
        self.channel = channel
        self.started = 0
        self._arrived = 0
        channel.add_reserve([self._start] * number)

    def _start(self) -> None:
        self.started += 1

    async def begin(self, *, takes: int = 1) -> None:
        while self._arrived < self.started:
            self._arrived += 1
            self.channel.arrived(takes)
            for _ in range(min(takes, len(self.channel.queue))):
                pop(self.channel)
        await settle()


def test_without_work_nobody_is_started() -> None:
    assert Reserve(Channel(inf), 3).started == 0


def test_work_that_was_there_before_the_reserve_starts_one() -> None:
    channel = Channel(inf)
    for value in range(5):
        channel.put(item(value))
    assert Reserve(channel, 3).started == 1


def test_a_deposit_starts_one_and_no_more_until_it_has_arrived() -> None:
    async def main() -> None:
        reserve = Reserve(Channel(inf), 3)
        for value in range(3):
            reserve.channel.put(item(value))
        assert reserve.started == 1
        await reserve.begin()
        assert reserve.started == 3

    simulate(main)


def test_one_that_leaves_no_work_is_the_only_one_started() -> None:
    async def main() -> None:
        reserve = Reserve(Channel(inf), 3)
        for value in range(3):
            reserve.channel.put(item(value))
        await reserve.begin(takes=3)
        assert reserve.started == 1
        reserve.channel.put(item("more"))
        assert reserve.started == 2
        await reserve.begin()

    simulate(main)


def test_who_waits_is_called_before_another_is_started() -> None:
    async def main() -> None:
        crowd = crowd_at(inf)
        receiver = await crowd.join("r")
        reserve = Reserve(crowd.channel, 1)
        crowd.channel.put(item("a"))
        assert await receiver == "a"
        assert reserve.started == 0
        crowd.channel.put(item("b"))
        assert reserve.started == 1

    simulate(main)


def test_no_more_are_started_than_there_are() -> None:
    async def main() -> None:
        reserve = Reserve(Channel(inf), 2)
        for value in range(10):
            reserve.channel.put(item(value))
        for _ in range(5):
            await reserve.begin()
        assert reserve.started == 2

    simulate(main)
