"""The vocabulary of the suite: what is measured, on whom, and what must be reached."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Protocol

from benchmarks.contenders import CONTENDERS, Contender
from benchmarks.contenders.registry import THIS_CHECKOUT

OTHER_CHECKOUT = "other checkout"

Figures = Mapping[str, float]
"""What one child measured: metric name to value."""

Round = Mapping[str, Figures]
"""What one round measured: entry name to figures. Who failed or sat out is absent."""

Measure = Callable[[Contender, int], Awaitable[Figures]]
"""Runs in the child: does the work with that many items and returns the figures."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a measurement's table: a contender and how much it is given to do.

    `every` is for the slow ones: 3 lets it take part in the first round and each third after it.
    `other` is where it imports antflow from, if not from this checkout.
    """

    contender: str
    size: int
    name: str = ""
    every: int = 1
    other: Path | None = None

    @property
    def key(self) -> str:
        """The name that rounds and targets know it by."""
        return self.name or self.contender

    @property
    def label(self) -> str:
        """The name in tables."""
        label = CONTENDERS[self.contender].label
        return label.replace(THIS_CHECKOUT, OTHER_CHECKOUT) if self.other else label

    def of_other(self, sources: Path) -> "Entry":
        """The same entry with the antflow of another checkout."""
        return replace(self, name=f"{self.key}, {OTHER_CHECKOUT}", other=sources)


@dataclass(frozen=True, slots=True)
class Metric:
    """A column: the name in the figures, the heading with its unit, and how to print it."""

    name: str
    heading: str
    decimals: int = 2

    def text(self, value: float) -> str:
        """The value as the tables show it."""
        return f"{value:,.{self.decimals}f}"

    def difference(self, value: float) -> str:
        """A difference of two values, with its sign."""
        return f"{value:+,.{self.decimals}f}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """A target with what was measured for it; `reached` is None where that could not be said."""

    wanted: str
    measured: str
    reached: bool | None


class Target(Protocol):
    """Something that must be reached."""

    def judge(self, rounds: Sequence[Round]) -> Verdict:
        """Compare the figures of all rounds with the target."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """One kind of work: who does how much of it, what is read off, what must be reached.

    `compared` names the metric whose ratio to antflow's the table shows, `added` is one whose
    difference from antflow's it shows. `at_most_rounds` is for work that takes long and varies
    little.
    """

    name: str
    title: str
    about: str
    size_heading: str
    entries: Sequence[Entry]
    metrics: Sequence[Metric]
    measure: Measure
    targets: Sequence[Target] = ()
    compared: str | None = None
    added: Metric | None = None
    at_most_rounds: int | None = None


def values(rounds: Sequence[Round], key: str, metric: str) -> list[float]:
    """The values of one metric of one entry, of the rounds that have it."""
    return [figures[key][metric] for figures in rounds if key in figures]


def pairs(rounds: Sequence[Round], metric: str, one: str, other: str) -> list[tuple[float, float]]:
    """Both entries' values, from the rounds that have both."""
    return [
        (figures[one][metric], figures[other][metric])
        for figures in rounds
        if one in figures and other in figures
    ]


def median_ratio(rounds: Sequence[Round], metric: str, one: str, other: str) -> float | None:
    """The median of one / other, taken inside each round, which cancels what a round shares."""
    ratios = [first / second for first, second in pairs(rounds, metric, one, other) if second]
    return median(ratios) if ratios else None


def median_difference(rounds: Sequence[Round], metric: str, one: str, other: str) -> float | None:
    """The median of one - other, taken inside each round."""
    differences = [first - second for first, second in pairs(rounds, metric, one, other)]
    return median(differences) if differences else None
