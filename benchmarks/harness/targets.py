"""The kinds of target."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.harness.model import Metric, Round, Verdict, median_difference, median_ratio, values

NOT_MEASURED = "not measured"


@dataclass(frozen=True, slots=True)
class SpeedRatio:
    """The first entry must be `at_least` times as fast as the second, by a metric of time."""

    wanted: str
    metric: str
    entry: str
    than: str
    at_least: float

    def judge(self, rounds: Sequence[Round]) -> Verdict:
        """Judge the median of the ratios of all rounds."""
        ratio = median_ratio(rounds, self.metric, self.than, self.entry)
        if ratio is None:
            return Verdict(self.wanted, NOT_MEASURED, None)
        return Verdict(self.wanted, f"{ratio:,.2f} x its speed", ratio >= self.at_least)


@dataclass(frozen=True, slots=True)
class AtMost:
    """A figure of one entry must not be above a limit."""

    wanted: str
    metric: Metric
    entry: str
    limit: float

    def judge(self, rounds: Sequence[Round]) -> Verdict:
        """Judge the median of all rounds, and show the worst."""
        found = values(rounds, self.entry, self.metric.name)
        if not found:
            return Verdict(self.wanted, NOT_MEASURED, None)
        middle, worst = median(found), max(found)
        measured = f"{self.metric.text(middle)} (worst round {self.metric.text(worst)})"
        return Verdict(self.wanted, f"{measured} {self.metric.heading}", middle <= self.limit)


@dataclass(frozen=True, slots=True)
class GrowthAtMost:
    """A figure of the larger entry must not exceed that of the smaller by more than a limit."""

    wanted: str
    metric: Metric
    larger: str
    smaller: str
    limit: float

    def judge(self, rounds: Sequence[Round]) -> Verdict:
        """Judge the median of the differences of all rounds."""
        growth = median_difference(rounds, self.metric.name, self.larger, self.smaller)
        if growth is None:
            return Verdict(self.wanted, NOT_MEASURED, None)
        measured = f"{self.metric.difference(growth)} {self.metric.heading}"
        return Verdict(self.wanted, measured, growth <= self.limit)
