"""Figures smoothed over time, as values: what comes after one is a new one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp

MOST_SPANS = 240
"""How many spans a history has at most, and more than a line is wide."""


@dataclass(frozen=True, slots=True)
class Lately:
    """Amounts that came in lately: what is older weighs less.

    Args:
        memory: seconds after which something weighs a third, by the number e.
        amounts: the weighted amounts.
        seconds: the weighted time in which they came.
    """

    memory: float
    amounts: tuple[float, ...] = (0.0,)
    seconds: float = 0.0

    def after(self, amounts: Sequence[float], seconds: float) -> Lately:
        """Return this with what came in the seconds since."""
        if seconds <= 0:
            return self
        kept = exp(-seconds / self.memory)
        before = self.amounts if len(self.amounts) == len(amounts) else [0.0] * len(amounts)
        return Lately(
            self.memory,
            tuple(old * kept + new for old, new in zip(before, amounts, strict=True)),
            self.seconds * kept + seconds,
        )

    @property
    def rate(self) -> float:
        """The first amount a second."""
        return self.amounts[0] / self.seconds if self.seconds else 0.0

    @property
    def shares(self) -> tuple[float, ...]:
        """Each amount's part of their sum; all 0 where there is none."""
        return shares_of(self.amounts)


def shares_of(amounts: Sequence[float]) -> tuple[float, ...]:
    """Return each amount's part of their sum; all 0 where the sum is 0."""
    total = sum(amounts)
    return tuple(amount / total if total > 0 else 0.0 for amount in amounts)


@dataclass(frozen=True, slots=True)
class History:
    """How much came in each of many spans of time, all of one length, from the beginning until now.

    Once there are too many, two become one: so it always covers all the time, in bounded memory.

    Args:
        span: seconds of one.
        amounts: what came in each; the last one may not be over.
        end: seconds from the beginning until now.
    """

    span: float = 0.5
    amounts: tuple[float, ...] = ()
    end: float = 0.0

    def after(self, amount: float, seconds: float) -> History:
        """Return this with what came, evenly, in the seconds since."""
        if seconds <= 0:
            return self
        end = self.end + seconds
        span, amounts = self.span, list(self.amounts)
        while end > span * MOST_SPANS:
            span, amounts = (
                2 * span,
                [sum(amounts[at : at + 2]) for at in range(0, len(amounts), 2)],
            )
        first, last = int(self.end / span), int(end / span)
        amounts += [0.0] * (last + 1 - len(amounts))
        for at in range(first, last + 1):
            overlap = min(end, (at + 1) * span) - max(self.end, at * span)
            amounts[at] += amount * max(overlap, 0.0) / seconds
        return History(span, tuple(amounts), end)

    @property
    def rates(self) -> tuple[float, ...]:
        """The amount a second in each span; the last is left out while most of it is to come."""
        if not self.amounts:
            return ()
        begun = self.end - (len(self.amounts) - 1) * self.span
        rates = [amount / self.span for amount in self.amounts]
        if begun < self.span / 2 and len(rates) > 1:
            rates.pop()
        else:
            rates[-1] = self.amounts[-1] / begun
        return tuple(rates)
