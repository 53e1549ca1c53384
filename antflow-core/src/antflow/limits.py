"""`Limit`: how many attempts may start within a time, and how many may run at once."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from heapq import nlargest
from itertools import islice
from math import inf
from operator import attrgetter
from time import time
from typing import Any

from ._clock import CLOCK
from ._errors.suggestions import explains_arguments
from ._errors.texts import one_line, short
from ._limits.adaptive import AdaptiveConcurrency
from ._limits.grant import CURRENT_HOLDER, Grant
from ._limits.meter import Meter
from ._limits.meters import LOCK, Meters
from ._limits.window import Window
from .retry import MIN_RATE, is_amount, is_count, is_duration, is_other_number, is_positive
from .stats import KeyStats, LimitStats

BUSIEST_KEYS = 20
"""So many keys are in the statistics of a limit."""


class _AllKeys:
    def __repr__(self) -> str:
        return "<all keys>"


_ALL_KEYS = _AllKeys()


@explains_arguments
@dataclass(frozen=True, slots=True)
class Adaptive:
    """A number of attempts at once that follows what the called service can take.

    It starts at the minimum, and grows by one after as many successes as it allows attempts. It
    halves when an attempt raises RetryAfter or a TimeoutError, and when the limit is paused: once
    for all attempts that have started since it halved last. (Additive increase, multiplicative
    decrease: Chiu and Jain, 1989.)

    Args:
        minimum: attempts at once, at first and at least.
        maximum: attempts at once, at most.

    Raises:
        ValueError: `minimum` is not a whole number, 1 or more, or `maximum` is below it.
    """

    minimum: int = 1
    maximum: int = 200

    def __post_init__(self) -> None:
        for name in ("minimum", "maximum"):
            if not is_count(value := getattr(self, name), 1):
                raise ValueError(f"{name} of Adaptive is {value!r}; give a whole number, 1 or more")
        if self.maximum < self.minimum:
            raise ValueError(
                f"maximum of Adaptive is {self.maximum}, below its minimum {self.minimum}; give "
                "a maximum that is not below the minimum"
            )


@explains_arguments
class Limit:
    """How many attempts of stages may start within a time, and how many may run at once.

    Give it to stages: `Stage(limits=[limit])`. An item takes all limits of its stage when a worker
    takes the item, at its start and after each wait for a retry, and holds them until it leaves the
    stage or is parked. An item that may not start waits without a worker.

    Stages, pipelines and event loops of one process may share a limit. It remembers what has
    started when a pipeline ends, so that the next one starts no more than the rate allows.

    Args:
        rate: units that may start within any window of `per` seconds. None for no bound.
        per: length of the window in seconds.
        burst: units that may start at once; after them, starts are evenly spaced. None for 1. A
            `cost` above it starts when the spacing has caught up.
        concurrency: attempts that may run at once, a number or `Adaptive`. None for no bound.
        key: a function of an item's value; the limit then holds for each key on its own, such as a
            host or a tenant. Items of a key that waits let those of other keys pass. An item whose
            key is None is not limited.
        cost: a function of an item's value that returns the units which it takes of the rate. None
            for 1. A cost above `rate` is the failure of its item, with a ValueError.
        name: names the limit in statistics, metrics and errors. None for "limit".

    Raises:
        ValueError: a value is not of the kind that is described here, or the limit bounds nothing.
    """

    def __init__(
        self,
        *,
        rate: float | None = None,
        per: float = 1.0,
        burst: float | None = None,
        concurrency: int | Adaptive | None = None,
        key: Callable[[Any], Hashable] | None = None,
        cost: Callable[[Any], float] | None = None,
        name: str | None = None,
    ) -> None:
        self._rate = rate
        self._per = per
        self._burst = burst
        self._concurrency = concurrency
        self._key = key
        self._cost = cost
        self._name = name
        _check(self)
        self._meters = Meters(self._new_meter, per, has_keys=key is not None)

    @property
    def rate(self) -> float | None:
        """Units that may start within any window; None for no bound."""
        return self._rate

    @property
    def per(self) -> float:
        """Length of the window in seconds."""
        return self._per

    @property
    def burst(self) -> float | None:
        """Units that may start at once; None for 1."""
        return self._burst

    @property
    def concurrency(self) -> int | Adaptive | None:
        """Attempts that may run at once; None for no bound."""
        return self._concurrency

    @property
    def key(self) -> Callable[[Any], Hashable] | None:
        """The function that returns the key of a value; None for one limit for all values."""
        return self._key

    @property
    def cost(self) -> Callable[[Any], float] | None:
        """The function that returns the units of a value; None for 1."""
        return self._cost

    @property
    def name(self) -> str | None:
        """Names the limit in statistics, metrics and errors."""
        return self._name

    @one_line
    def __repr__(self) -> str:
        names = ("rate", "per", "burst", "concurrency", "key", "cost", "name")
        given = [(name, getattr(self, name)) for name in names]
        shown_fields = [
            f"{name}={getattr(value, '__name__', None) or repr(value)}"
            for name, value in given
            if value is not None and (name != "per" or self._rate is not None)
        ]
        return f"Limit({', '.join(shown_fields)})"

    def correct(self, units: float) -> None:
        """Replace the cost of the current attempt by the units that it really used.

        Call it in a task of a stage with this limit, while the task runs: code that a task leaves
        running would correct the worker's next item. Units above the cost delay later starts; units
        below it are free again. Several calls in one attempt: the last one counts.

        Args:
            units: of the rate, 0 or more.

        Raises:
            RuntimeError: the limit has no rate, or this is not a task of a stage with this limit.
            ValueError: `units` is not a number, 0 or more.
        """
        if not is_amount(units):
            raise ValueError(
                f"correct() of {self._label} got {units!r}; give an int or float, 0 or more"
            )
        if self._rate is None:
            raise RuntimeError(
                f"correct() was called for {self._label}, which has no rate to book in"
            )
        self._grant("correct").correct(self._meters, units)

    def pause(self, seconds: float, *, key: Hashable = _ALL_KEYS) -> None:
        """Let no attempt start for some seconds; those that run go on.

        It may be called from any thread. Of several pauses, the one that ends last counts.

        Args:
            seconds: length of the pause, from now on.
            key: pauses this key alone; without it, all keys are paused.

        Raises:
            ValueError: `seconds` is not a number, 0 or more, the limit has no keys, or `key` is not
                one of an item: None, or what cannot be a key of a dict.
        """
        if not is_duration(seconds):
            raise ValueError(f"pause() of {self._label} got {seconds!r}; give seconds, 0 or more")
        if key is not _ALL_KEYS and (problem := self._key_problem(key)) is not None:
            raise ValueError(f"pause() of {self._label} got key={short(key)}, {problem}")
        with LOCK:
            now = CLOCK.get()()
            if key is not _ALL_KEYS:
                paused = [self._meters.of(key, now)]
                paused[0].pause(now + seconds)
            else:
                paused = self._meters.all()
                self._meters.pause(now + seconds)
            for meter in paused:
                meter.overload()

    def stats(self) -> LimitStats:
        """Return what is in use and what waits, over all stages and runs; from any thread."""
        return limit_stats(self)

    def _key_problem(self, key: object) -> str | None:
        if self._key is None:
            return "and the limit has no keys; leave it out"
        if key is None:
            return "and items whose key is None are not limited; leave it out to pause all keys"
        try:
            hash(key)
        except TypeError:
            return "which cannot be a key of a dict; give what the function `key` returns"
        return None

    @property
    def _label(self) -> str:
        return "the limit" if self._name is None else f"limit {self._name!r}"

    def _new_meter(self, meters: Meters, key: Any) -> Meter:
        concurrency = self._concurrency
        allowed = (
            AdaptiveConcurrency(concurrency.minimum, concurrency.maximum)
            if isinstance(concurrency, Adaptive)
            else concurrency
        )
        burst = 1.0 if self._burst is None else self._burst
        window = None if self._rate is None else Window(self._rate, self._per, burst)
        return Meter(meters, key, allowed, window)

    def _grant(self, call: str) -> Grant:
        holder = CURRENT_HOLDER.get()
        grant = None if holder is None else holder.grant
        if grant is None or not grant.is_of(self._meters):
            raise RuntimeError(
                f"{call}() was called for {self._label} outside of a task of a stage with this "
                "limit; give the limit to the stage: Stage(limits=[limit])"
            )
        return grant


def named(limits: Sequence[Limit]) -> dict[str, Limit]:
    """Return the limits of a stage by name; those without one are "limit", "limit-2", ..."""
    names: dict[str, Limit] = {}
    taken = {limit.name for limit in limits}
    for limit in limits:
        name, number = limit.name or "limit", 1
        while limit.name is None and (name in names or name in taken):
            number += 1
            name = f"limit-{number}"
        names[name] = limit
    return names


def meters_of(limit: Limit) -> Meters:
    """Return the state of a limit, which its stages and runs share."""
    return limit._meters  # noqa: SLF001 - of this module


def limit_stats(limit: Limit, waiting: int | None = None, in_use: int | None = None) -> LimitStats:
    """Return the statistics of a limit.

    Args:
        waiting: items of one stage that wait for it; None for those of all.
        in_use: attempts of one stage that hold it; None for those of all.
    """
    clock, meters = CLOCK.get(), meters_of(limit)
    with LOCK:
        to_unix, now = time() - clock(), clock()
        by_key = [_key_stats(meters, meter, now, to_unix) for meter in _busiest(meters.all())]
    single = by_key[0] if limit.key is None else None
    is_paused = meters.paused_until > now
    all_paused_until = meters.paused_until + to_unix if is_paused else None
    return LimitStats(
        waiting=meters.waiting if waiting is None else waiting,
        in_use=meters.in_use if in_use is None else in_use,
        available=None if single is None else single.available,
        concurrency=None if single is None else single.concurrency,
        paused_until=all_paused_until if single is None else single.paused_until,
        keys=meters.keys,
        busiest=() if single is not None else tuple(by_key),
    )


def _busiest(meters: Sequence[Meter]) -> list[Meter]:
    """Return the meters of the busiest keys."""
    # Most keys are idle. Displays and exporters ask often, and to compare 100,000 takes 0.1 s.
    busy = [meter for meter in meters if meter.in_use or meter.waiters]
    idle = (meter for meter in meters if not (meter.in_use or meter.waiters))
    most = nlargest(BUSIEST_KEYS, busy, key=attrgetter("waiting", "in_use"))
    return [*most, *islice(idle, BUSIEST_KEYS - len(most))]


def _key_stats(meters: Meters, meter: Meter, now: float, to_unix: float) -> KeyStats:
    paused_until = max(meters.paused_until, meter.paused_until)
    return KeyStats(
        key=meter.key,
        waiting=meter.waiting,
        in_use=meter.in_use,
        available=meter.available(now) if paused_until <= now else 0.0,
        concurrency=None if meter.allowed == inf else int(meter.allowed),
        paused_until=paused_until + to_unix if paused_until > now else None,
    )


def _check(limit: Limit) -> None:
    """Check what a limit was made with.

    Raises:
        ValueError: a value is invalid; the text says what to give instead.
    """
    if limit.rate is None and limit.concurrency is None:
        raise ValueError("A Limit without rate and concurrency bounds nothing; give one of them")
    for name in ("rate", "per", "burst", "concurrency"):
        if is_other_number(value := getattr(limit, name)):
            raise ValueError(f"{name} of Limit is {value!r}; give an int or float of Python")
    if not is_positive(limit.per):
        raise ValueError(f"per of Limit is {limit.per!r}; give seconds, above 0")
    _check_rate(limit)
    concurrency = limit.concurrency
    if not (concurrency is None or is_count(concurrency, 1) or isinstance(concurrency, Adaptive)):
        raise ValueError(
            f"concurrency of Limit is {concurrency!r}; give a number of attempts, 1 or more, or "
            "Adaptive()"
        )
    for name in ("key", "cost"):
        function = getattr(limit, name)
        if function is not None and not callable(function):
            raise ValueError(f"{name} of Limit is {function!r}; give a function of an item's value")
    if limit.name is not None and (not isinstance(limit.name, str) or not limit.name):
        raise ValueError(f"name of Limit is {limit.name!r}; give a text that is not empty, or None")


def _check_rate(limit: Limit) -> None:
    rate, burst = limit.rate, limit.burst
    if rate is None:
        for name in ("burst", "cost"):
            if getattr(limit, name) is not None:
                raise ValueError(f"{name} of Limit belongs to a rate; give a rate, or leave it out")
        return
    if not (is_amount(rate) and rate >= MIN_RATE):
        raise ValueError(f"rate of Limit is {rate!r}; give a number of units, above 0")
    if rate < 1 and limit.cost is None:
        raise ValueError(
            f"rate of Limit is {rate!r}, so that no window holds an item; give rate=1 and "
            f"per={limit.per / rate:g}"
        )
    if burst is not None and not (is_amount(burst) and burst > 0):
        raise ValueError(f"burst of Limit is {burst!r}; give a number of units, above 0")
