"""Scripts of what senders, feeders and receivers do at a channel, one word for each step.

======== ===============================================================================
s1 f1 r1 start a sender, feeder or receiver of that name and let it run until it waits
+a       deposit "a"
*a:2     park "a" for two seconds
-        take an item that may start
=        finish an item that was taken
~s1      cancel a task
( )      reserve a place; give it back
x        dismiss the feeders that wait
L3       add three lazy receivers
A  A3    let each lazy receiver that was started arrive and take one item; or up to three
.        let everything run until it waits
>3       let three seconds pass
!        close the channel
======== ===============================================================================

`s1@5` and `+a@5` have priority 5.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from antflow._engine.base.item import new_item
from antflow._engine.channels.channel import Channel
from antflow._engine.channels.pull_channel import PullChannel
from antflow.results import PipelineResult
from tests.helpers.runs import run_exactly, values
from tests.helpers.virtual_time import others, settle


def item(value: Any, priority: int = 100) -> PipelineResult:
    return new_item(value, value, 0, priority)


async def send(channel: Channel, sent: PipelineResult) -> None:
    """Hand an item on as a worker does."""
    channel.put(sent)
    if channel.is_overfull():
        await channel.waiters.wait_as_sender()


async def feed(
    channel: Channel, fed: PipelineResult, is_refused: Callable[[], bool] = lambda: False
) -> bool:
    """Feed an item from outside of the run; False if it is not taken any more."""
    if not channel.has_room():
        await channel.waiters.wait_as_feeder()
    if channel.closed or is_refused():
        channel.waiters.wake()
        return False
    channel.put_fed(fed)
    return True


async def receive(channel: Channel) -> PipelineResult | None:
    """Take an item as a worker does; None if the channel is closed."""
    while (taken := channel.get_nowait()) is None:
        if channel.closed:
            return None
        await channel.wait_for_item()
    return taken


class Script:
    """A channel and those that use it.

    `log` lists the senders and feeders that have gone on, and receivers as "r1:a" with what they
    took. `taken` lists the values that have left the channel, `started` counts lazy receivers.
    """

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.log: list[str] = []
        self.taken: list[str] = []
        self.started = 0
        self._arrived = 0
        self._is_dismissed = False
        self._deposited: list[str] = []
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._actions: dict[str, Callable[[str], object]] = {
            "+": lambda word: channel.put_fed(self._deposit(word)),
            "*": self._park,
            "-": lambda _: self._took(channel.get_nowait()),
            "=": self._finish,
            "~": lambda name: self._tasks[name].cancel(),
            "(": lambda _: self._reserve(1),
            ")": lambda _: self._reserve(-1),
            "x": self._dismiss,
            "L": lambda number: channel.receivers.add_lazy(int(number), self._start),
            "A": lambda takes: self._arrive(int(takes or 1)),
            "!": lambda _: channel.close(),
        }

    @property
    def left(self) -> list[str]:
        """The values that have not left the channel, in order; not those that are parked."""
        return values([*self.channel.queue, *self.channel.unprocessed])

    async def play(self, script: str) -> None:
        for word in script.split():
            await self._step(word[0], word[1:], word)

    async def end(self) -> None:
        """Close the channel, and see that nothing waits and that no item was lost or doubled."""
        self.channel.close()
        await settle()
        assert not others()
        assert not self.channel.waiters.senders
        assert sorted(self._deposited) == sorted([*self.taken, *values(self.channel.unprocessed)])

    async def _step(self, verb: str, rest: str, word: str) -> None:
        if verb in "sfr":
            name = word.partition("@")[0]
            self._tasks[name] = asyncio.ensure_future(self._use(name, self._item(word)))
        if verb in ".sfr":
            await settle()
        elif verb == ">":
            await asyncio.sleep(float(rest))
        else:
            self._actions[verb](rest)

    def _park(self, word: str) -> None:
        value, delay = word.split(":")
        self.channel.park(self._deposit(value), float(delay))

    def _finish(self, _word: str) -> None:
        if isinstance(self.channel, PullChannel):
            self.channel.held -= 1

    def _dismiss(self, _word: str) -> None:
        self._is_dismissed = True
        self.channel.waiters.dismiss_feeders()

    def _reserve(self, number: int) -> None:
        self.channel.waiters.reserved += number

    def _item(self, word: str) -> PipelineResult:
        value, _, priority = word.partition("@")
        return item(value, int(priority or 100))

    def _deposit(self, word: str) -> PipelineResult:
        deposited = self._item(word)
        self._deposited.append(deposited.value)
        return deposited

    async def _use(self, name: str, own: PipelineResult) -> None:
        if name[0] == "s":
            self._deposited.append(name)
            await send(self.channel, own)
        elif name[0] == "f":
            if await feed(self.channel, own, lambda: self._is_dismissed):
                self._deposited.append(name)
            else:
                name += ":refused"
        else:
            name += f":{self._took(await receive(self.channel))}"
        self.log.append(name)

    def _took(self, taken: PipelineResult | None) -> str | None:
        if taken is None:
            return None
        value: str = taken.value
        self.taken.append(value)
        return value

    def _start(self) -> None:
        self.started += 1

    def _arrive(self, takes: int) -> None:
        while self._arrived < self.started:
            self._arrived += 1
            self.channel.receivers.arrive(takes)
            for _ in range(takes):
                self._took(self.channel.get_nowait())


def make_channel(capacity: float, max_held: int | None = None) -> Channel:
    """Return a channel; one of capacity 0 is that of a pull stage."""
    return Channel(capacity) if capacity else PullChannel(max_held or 99)


def play(
    script: str,
    capacity: float = 1,
    max_held: int | None = None,
    look: Callable[[Script], Any] = lambda seen: (" ".join(seen.log), " ".join(seen.left)),
) -> Any:
    """Play a script at a new channel, and see that it loses nothing.

    Args:
        script: the script.
        capacity: the channel's.
        max_held: the channel's.
        look: what to return of the end of the script; by default its log and what is left.
    """

    async def main() -> Any:
        seen = Script(make_channel(capacity, max_held))
        await seen.play(script)
        found = look(seen)
        await seen.end()
        return found

    return run_exactly(main)
