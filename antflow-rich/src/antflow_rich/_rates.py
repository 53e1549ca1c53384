"""Rates and shares over recent time, and the history of throughput, as immutable values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp

from antflow import StageStats

from ._views import STATES, Shares

RATE_SECONDS = 5.0  # time constant of the rates that are shown
MAX_SPANS = 240  # more than a line is wide


@dataclass(frozen=True, slots=True)
class DecayingSum:
    """Amounts and the time in which they came; both decay exponentially.

    Args:
        time_constant: seconds after which an amount weighs 1/e.
        amounts: the weighted amounts.
        seconds: the weighted time in which they came.
    """

    time_constant: float
    amounts: tuple[float, ...] = (0.0,)
    seconds: float = 0.0

    def after(self, amounts: Sequence[float], seconds: float) -> DecayingSum:
        """Return the sum with the amounts of the following seconds added."""
        if seconds <= 0:
            return self
        weight = exp(-seconds / self.time_constant)
        before = self.amounts if len(self.amounts) == len(amounts) else [0.0] * len(amounts)
        return DecayingSum(
            self.time_constant,
            tuple(old * weight + new for old, new in zip(before, amounts, strict=True)),
            # The time decays too. So the step length does not matter, and the first rate is an
            # average, not a climb from 0.
            self.seconds * weight + seconds,
        )

    @property
    def rate(self) -> float:
        """The first amount per second."""
        return self.amounts[0] / self.seconds if self.seconds else 0.0

    @property
    def shares(self) -> tuple[float, ...]:
        """Each amount's share of the sum; all 0 where the sum is 0."""
        return shares_of(self.amounts)


def shares_of(amounts: Sequence[float]) -> tuple[float, ...]:
    """Return each amount's share of the sum; all 0 where the sum is 0."""
    total = sum(amounts)
    return tuple(amount / total if total > 0 else 0.0 for amount in amounts)


@dataclass(frozen=True, slots=True)
class RateHistory:
    """Amounts in consecutive spans of time of equal length, from the start until now.

    Args:
        span: length of a span, in seconds.
        amounts: the amount in each span; the last span may not be over.
        end: seconds from the start until now.
    """

    span: float = 0.5
    amounts: tuple[float, ...] = ()
    end: float = 0.0

    def after(self, amount: float, seconds: float) -> RateHistory:
        """Return the history with an amount spread evenly over the following seconds."""
        if seconds <= 0:
            return self
        end = self.end + seconds
        span, amounts = self.span, list(self.amounts)
        # Merging pairs of spans covers a run of any length in bounded memory.
        while end > span * MAX_SPANS:
            span, amounts = (
                2 * span,
                [sum(amounts[at : at + 2]) for at in range(0, len(amounts), 2)],
            )
        first, last = int(self.end / span), int(end / span)
        amounts += [0.0] * (last + 1 - len(amounts))
        for at in range(first, last + 1):
            overlap = min(end, (at + 1) * span) - max(self.end, at * span)
            amounts[at] += amount * max(overlap, 0.0) / seconds
        return RateHistory(span, tuple(amounts), end)

    @property
    def rates(self) -> tuple[float, ...]:
        """The amount per second in each span."""
        if not self.amounts:
            return ()
        elapsed = self.end - (len(self.amounts) - 1) * self.span
        rates = [amount / self.span for amount in self.amounts]
        # The rate of a span that has hardly begun is noise.
        if elapsed < self.span / 2 and len(rates) > 1:
            rates.pop()
        else:
            rates[-1] = self.amounts[-1] / elapsed
        return tuple(rates)


_NO_ITEMS = DecayingSum(RATE_SECONDS)
_NO_TIME = DecayingSum(RATE_SECONDS, (0.0, 0.0, 0.0, 0.0))


@dataclass(frozen=True, slots=True)
class StageRates:
    """Rates of one stage, updated from one snapshot to the next.

    Args:
        ended: items that had left the stage.
        seconds: worker-seconds in each of `STATES`.
        workers: number of workers, also after they have stopped.
        items: items that left the stage recently.
        times: worker-seconds in each state recently.
    """

    ended: int
    seconds: tuple[float, ...]
    workers: int
    items: DecayingSum = _NO_ITEMS
    times: DecayingSum = _NO_TIME

    @classmethod
    def of(cls, stats: StageStats) -> StageRates:
        """Return the rates at the first snapshot."""
        ended = stats.completed_items + stats.failed_items + stats.dropped_items
        seconds = tuple(stats.seconds.get(state, 0.0) for state in STATES)
        return cls(ended, seconds, sum(stats.workers.values()))

    def after(self, stats: StageStats, seconds: float) -> StageRates:
        """Return the rates at a snapshot taken that many seconds later."""
        if seconds <= 0:
            return self
        now = self.of(stats)
        spent = [max(new - old, 0.0) for new, old in zip(now.seconds, self.seconds, strict=True)]
        return StageRates(
            now.ended,
            now.seconds,
            now.workers or self.workers,
            self.items.after((now.ended - self.ended,), seconds),
            # The workers' states at the moment of a snapshot say little, their recent time much.
            self.times.after(spent, seconds),
        )

    @property
    def rate(self) -> float:
        """Items per second that left the stage recently."""
        return self.items.rate

    @property
    def recent(self) -> Shares:
        """Shares of the workers' time recently."""
        return _as_shares(self.times.shares)

    @property
    def overall(self) -> Shares:
        """Shares of the workers' time since the run began."""
        return _as_shares(shares_of(self.seconds))


def _as_shares(values: Sequence[float]) -> Shares:
    busy, waiting, blocked, idle = values
    return busy, waiting, blocked, idle
