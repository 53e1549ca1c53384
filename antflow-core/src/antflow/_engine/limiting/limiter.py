"""Takes the limits of a stage for its items: all that an item needs, or none."""

from __future__ import annotations

from asyncio import AbstractEventLoop, get_running_loop
from collections.abc import Callable, Collection, Hashable, Mapping
from math import inf
from numbers import Real
from types import CoroutineType
from typing import Any

from antflow._clock import CLOCK
from antflow._engine.channels.channel import ReadyItems
from antflow._errors.texts import short
from antflow._limits.grant import CommonGrant, Grant, Holder, Wait
from antflow._limits.meters import LOCK, Meters
from antflow._limits.window import ROUNDING
from antflow.exceptions import RetryAfter
from antflow.limits import Limit, meters_of
from antflow.results import PipelineResult
from antflow.retry import is_amount, is_duration

from .limit_waiter import Blocked, Candidate, LimitWaiter, Need

acquire, release = LOCK.acquire, LOCK.release


class Limiter:
    """Takes the limits of a stage in one run."""

    loop: AbstractEventLoop  # set by `begin`

    def __init__(self, limits: Mapping[str, Limit]) -> None:
        self.limits = limits
        self.all_meters: Collection[Meters] = [meters_of(limit) for limit in limits.values()]
        self.clock = CLOCK.get()
        self.holders: dict[Holder, None] = {}  # the attempts of workers that have been started
        self.last_grant: Grant | None = None  # of the item that was taken last
        self._constant = self._constant_needs()
        self.is_constant = self._constant is not None
        self._constant_meters = [need.meters.of(None, 0.0) for need in self._constant or ()]
        common = [hold for each in self._constant_meters if (hold := each.common_hold) is not None]
        has_common = len(common) == len(self._constant_meters)
        self._common_grant = CommonGrant(self, common) if has_common else None
        self._waiting_for: Callable[[Meters], int] = lambda _: 0

    def begin(self, clock: Callable[[], float], waiting_for: Callable[[Meters], int]) -> None:
        """Begin to use the limits on the running loop.

        Args:
            waiting_for: returns how many items of the stage wait for a limit.
        """
        self.loop, self.clock, self._waiting_for = get_running_loop(), clock, waiting_for
        for meters in self.all_meters:
            meters.join(self)

    def end(self) -> None:
        """Stop to use the limits; what is held still is released when it ends."""
        for meters in self.all_meters:
            meters.leave(self)

    def take_if_free(self, item: PipelineResult) -> bool:
        """Take the limits for an item if it may start now; only if all items need the same."""
        meters = self._constant_meters
        acquire()  # half the price of `with`
        try:
            now = self.clock()
            for meter in meters:
                if meter.waiters or meter.due(1.0, now) > now:
                    return False
            holds = []
            for meter in meters:  # no comprehension, which is a call before Python 3.12
                holds.append(meter.start(1.0, now, item.queued_at))  # noqa: PERF401
            self.last_grant = self._common_grant or Grant(self, holds)
        finally:
            release()
        return True

    def take_if_open(self, candidate: Candidate) -> bool:
        """Take the limits for an item if it may start now, and no stage waits for one of them."""
        acquire()
        try:
            now = self.clock()
            for need in candidate.needs:
                meter = need.meters.single or need.meters.of(need.key, now)
                if meter.waiters or meter.due(need.units, now) > now:
                    return False
            self.take(candidate, now)
        finally:
            release()
        return True

    def candidate(self, item: PipelineResult) -> Candidate:
        """Return an item with what it needs of the limits; this calls `key` and `cost`."""
        if self._constant is not None:
            return Candidate(item, self._constant)
        try:
            return Candidate(item, needs_of(self.limits, item.value))
        except BaseException as error:  # that of the item, as if its task had raised it
            return Candidate(item, (), error)

    def check(self, candidate: Candidate, waiter: LimitWaiter, now: float) -> Blocked | None:
        """Return why an item may not start now; None if it may.

        Args:
            waiter: whose first item it is.
            now: a fresh reading of the clock: an older one could exceed a window.
        """
        for need in candidate.needs:
            meters = need.meters
            meter = meters.single or meters.of(need.key, now)
            due = meter.due(need.units, now)
            if due > now:
                if due == inf:
                    due = meters.recheck_at(self.loop, now)
                return Blocked(need, meter, due, now)
            if meter.waiters and not meter.is_turn_of(waiter):
                return Blocked(need, meter, inf, now)
        return None

    def take(self, candidate: Candidate, now: float) -> None:
        """Take the limits for an item that may start; nothing was awaited since the check."""
        since = candidate.item.queued_at
        holds = [
            (need.meters.single or need.meters.of(need.key, now)).start(need.units, now, since)
            for need in candidate.needs
        ]
        grant = Grant(self, holds)
        if candidate.limit is not None:
            grant.wait = Wait(candidate.limit, now - candidate.since)
        grant.error = candidate.error
        self.last_grant = grant

    def release_all(self) -> None:
        """Release what all items hold, the event loop being closed."""
        for holder in self.holders:
            grant, holder.grant = holder.grant, None
            if grant is not None:
                grant.release(self.clock())

    def waiting_for(self, meters: Meters) -> int:
        """Return how many items of the stage wait for a limit."""
        return self._waiting_for(meters)

    def in_use(self, meters: Meters) -> int:
        """Return how many items of the stage hold a limit."""
        return sum(grant.holds(meters) for grant in self._grants())

    def _grants(self) -> list[Grant]:
        return [grant for each in list(self.holders) if (grant := each.grant) is not None]

    def _constant_needs(self) -> tuple[Need, ...] | None:
        """Return what all items need, if they need the same."""
        if any(limit.key or limit.cost for limit in self.limits.values()):
            return None
        return needs_of(self.limits, None)


def limiter_of(limits: Mapping[str, Limit]) -> Limiter | None:
    """Return what takes the limits of a stage; None if it has none."""
    return Limiter(limits) if limits else None


def slow_down(
    stage: str,
    limiter: Limiter | None,
    grant: Grant | None,
    error: RetryAfter | TimeoutError,
) -> BaseException:
    """Have limits follow an error which says that the called service is overloaded.

    Args:
        limiter: of the stage; None if it has no limits.

    Returns:
        The error, or a ValueError if it asks for no number of seconds, or for a pause of a limit
        that the stage does not have.
    """
    if grant is not None:
        grant.overload()
    # A task may have set it, and the `__init__` of a subclass may have left it out.
    if isinstance(error, RetryAfter) and not is_duration(getattr(error, "seconds", None)):
        return _caused_by(
            error,
            f"{type(error).__name__} has no number of seconds; call super().__init__(seconds)",
        )
    pause = isinstance(error, RetryAfter) and error.pause
    limits = {} if limiter is None else limiter.limits
    if isinstance(pause, str) and pause not in limits:
        return _caused_by(
            error,
            f"RetryAfter has pause={pause!r}, and stage {stage!r} has no limit of this name; its "
            f"limits are {', '.join(map(repr, limits))}"
            if limits
            else f"RetryAfter has pause={pause!r}, and stage {stage!r} has no limits; give it some",
        )
    if isinstance(error, RetryAfter) and grant is not None:
        for name, limit in limits.items():
            if pause is True or pause == name:
                grant.pause(meters_of(limit), error.seconds)
    return error


def _caused_by(cause: BaseException, text: str) -> ValueError:
    error = ValueError(text)
    error.__cause__ = cause
    return error


def needs_of(limits: Mapping[str, Limit], value: Any) -> tuple[Need, ...]:
    """Return what a value needs of the limits of its stage, those without keys first.

    Raises:
        TypeError: a key cannot be a key of a dict.
        ValueError: a cost is not a number, or is more than a window holds.
        BaseException: what `key` or `cost` raised, or `__eq__` of a key.
    """
    needs = [need for name, limit in limits.items() if (need := _need(name, limit, value))]
    if len(needs) < 2:
        return tuple(needs)
    # A limit without keys holds up the whole stage, so it is checked before an item is moved to the
    # line of its key.
    return tuple(sorted(needs, key=lambda need: need.has_key))


def _need(name: str, limit: Limit, value: Any) -> Need | None:
    meters, key = meters_of(limit), None
    if limit.key is not None:
        key = _key(name, limit.key(value))
        if key is None:
            return None
        meters.has(key)  # an `__eq__` that raises fails the item, if it is asked now
    units = 1.0 if limit.cost is None else _units(name, limit, limit.cost(value))
    return Need(meters, key, units, name, limit.key is not None)


def _key(name: str, key: Any) -> Hashable:
    try:
        hash(key)
        is_key = not isinstance(key, CoroutineType)
        if not is_key:
            key.close()  # or Python warns that it was never awaited
    except TypeError:
        is_key = False
    if not is_key:
        raise TypeError(
            f"key of limit {name!r} returned {short(key)}; return a value that can be a key of a "
            "dict, or None for no limit"
        )
    return key  # type: ignore[no-any-return]


def _units(name: str, limit: Limit, units: Any) -> float:
    if not isinstance(units, int | float) and isinstance(units, Real):
        units = float(units)  # such as a number of numpy
    if not is_amount(units):
        raise ValueError(
            f"cost of limit {name!r} returned {short(units)}; return a number of units, 0 or more"
        )
    assert limit.rate is not None
    if units > limit.rate * (1 + ROUNDING):
        raise ValueError(
            f"The item costs {units:g} units, and limit {name!r} allows {limit.rate:g} in "
            f"{limit.per:g} s; split the item, or give the limit a higher rate"
        )
    return units  # type: ignore[no-any-return]


class SeenItems(dict[int, Candidate]):
    """Ready items that were looked at, by `id()`.

    They are kept until they go: so `key` and `cost` are called once, also where a more urgent item
    comes before one.
    """

    __slots__ = ("_limiter", "_queue")

    def __init__(self, queue: ReadyItems, limiter: Limiter) -> None:
        super().__init__()
        self._queue = queue
        self._limiter = limiter

    def look_at(self, item: PipelineResult) -> Candidate:
        """Return a ready item with what it needs; it may be ready no more after that."""
        candidate = self.get(id(item))
        if candidate is None:
            candidate = self._limiter.candidate(item)
            # `key` and `cost` may have submitted an item that goes first, or cancelled this one.
            queue = self._queue
            if (queue and queue[0] is item) or any(each is item for each in queue):
                self[id(item)] = candidate
        return candidate
