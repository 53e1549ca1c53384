"""Whatever may start does: no worker is idle beside an item that all its limits allow.

This reads the channels of the engine, so it holds at any instant of rest, whatever observers,
callbacks and other pipelines do. The limits themselves are checked by their model.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator

from antflow import Pipeline
from antflow._engine.channels.channel import Channel
from antflow._engine.limiting.limit_waiter import Candidate, LimitWaiter, Need
from antflow._engine.limiting.limited_channel import LimitedChannel
from antflow._limits.meter import Meter


class PromptStarts:
    """Looks at the first item of each line; `free` has those that lack nothing but a worker."""

    def __init__(self, slack: float) -> None:
        self._slack = slack
        self._free: dict[int, list[Candidate]] = {}

    def check_quiet(self, pipelines: Iterable[Pipeline]) -> Iterator[str]:
        """Yield what could start now, and does not."""
        self._free.clear()
        for channel in (each for pipeline in pipelines for each in _channels(pipeline)):
            is_idle = channel.receivers.has_idle
            if not isinstance(channel, LimitedChannel):
                if is_idle and channel.startable():
                    yield f"workers are idle, and {channel.peek()} waits"
            elif free := self._find_free(channel):
                self._free[id(channel)] = free
                if is_idle:
                    yield f"workers are idle, and {free[0].item} waits, which its limits allow"

    def check_start(self, pipeline: Pipeline, stage: int, priority: int) -> Iterator[str]:
        """Yield what was free before an item of this priority, is more urgent, and still waits."""
        channel = _channels(pipeline)[stage]
        before = {id(each.item) for each in self._free.get(id(channel), ())}
        if before and isinstance(channel, LimitedChannel):
            for each in self._find_free(channel):
                if id(each.item) in before and each.item.priority < priority:
                    yield f"an item of priority {priority} starts before {each.item}"

    def _find_free(self, channel: LimitedChannel) -> list[Candidate]:
        """Return the ready item and those in lines that may start, the first of each."""
        firsts = [(line, line.candidates[0]) for line in channel._lines]
        ready = channel.peek()
        if ready is not None:
            first = channel._seen.get(id(ready)) or channel.limiter.candidate(ready)
            if channel._lines.need_of(first) is None:  # or it lines up, or holds up the others
                firsts.append((channel._ready, first))
        found = []
        for waiter, each in firsts:
            held = [need for need in each.needs if self._is_held(waiter, need)]
            if any(not need.has_key for need in held):
                return []  # this holds up the stage
            if not held:
                found.append(each)
        return found

    def _is_held(self, waiter: LimitWaiter, need: Need) -> bool:
        """Return whether a limit holds up an item, or has an item of another stage go first."""
        meter = need.meters.single or need.meters._by_key.get(need.key)
        if meter is None:  # its key is in no use
            return need.meters.paused_until > self._now()
        return self._is_over(meter, need) or self._is_turn_of_another(waiter, meter)

    def _is_turn_of_another(self, waiter: LimitWaiter, meter: Meter) -> bool:
        own = [each.turn for each in (waiter, *meter.waiters) if each.stage is waiter.stage]
        for other in meter.waiters:
            assert isinstance(other, LimitWaiter)
            stage, need = other.stage, other.need
            assert isinstance(stage, LimitedChannel)
            is_before = stage is not waiter.stage and other.turn < min(own)
            is_before &= stage.receivers.has_idle
            if is_before and need is not None and self._is_over(meter, need):
                waiting = _waiting_at(stage, other)
                if any(need in each.needs for each in waiting):
                    return True
        return False

    def _is_over(self, meter: Meter, need: Need) -> bool:
        now = self._now()
        return meter.due(need.units, now) > now

    def _now(self) -> float:
        """Return the time at which a timer may have been due that has surely gone off."""
        return asyncio.get_running_loop().time() - self._slack


def _waiting_at(channel: LimitedChannel, waiter: LimitWaiter) -> list[Candidate]:
    """Return the items of which one may be the first of a waiter."""
    if waiter.line is not None:
        return [waiter.candidates[0]]
    ready = channel.peek()
    seen = channel._seen.get(id(ready))
    return [line.candidates[0] for line in channel._lines] + ([] if seen is None else [seen])


def _channels(pipeline: Pipeline) -> list[Channel]:
    run = pipeline._runs.latest
    return [] if run is None or run.is_over else [stage.input for stage in run.stages]
