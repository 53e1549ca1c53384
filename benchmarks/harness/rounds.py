"""The rounds of a measurement: A B C, A B C, ..., each in a new process."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.contenders import CONTENDERS
from benchmarks.harness.environments import EnvironmentFailedError, interpreter
from benchmarks.harness.model import Entry, Figures, Measurement, Round
from benchmarks.harness.processes import ChildFailedError, measure

Log = Callable[[str], None]


@dataclass(slots=True)
class Outcome:
    """All rounds of one measurement, and why entries are missing where they are."""

    measurement: Measurement
    entries: Sequence[Entry]
    rounds: list[Round] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Runner:
    """Runs measurements, making environments as they are needed."""

    log: Log = lambda line: print(line, file=sys.stderr, flush=True)
    versions: dict[str, str] = field(default_factory=dict)
    _interpreters: dict[str, Path | EnvironmentFailedError] = field(default_factory=dict)

    def run(self, measurement: Measurement, entries: Sequence[Entry], rounds: int) -> Outcome:
        """Run the rounds. An entry that fails is left out of the rounds that follow."""
        outcome = Outcome(measurement, entries)
        rounds = min(rounds, measurement.at_most_rounds or rounds)
        for number in range(1, rounds + 1):
            self.log(f"{measurement.name}: round {number} of {rounds}")
            outcome.rounds.append(self._round(outcome, number))
        return outcome

    def _round(self, outcome: Outcome, number: int) -> Round:
        found: dict[str, Figures] = {}
        for entry in outcome.entries:
            if entry.key in outcome.failures or (number - 1) % entry.every:
                continue
            try:
                found[entry.key] = self._measure(outcome.measurement, entry)
            except (ChildFailedError, EnvironmentFailedError) as error:
                outcome.failures[entry.key] = f"round {number}, {error.reason}"
                self.log(f"  {entry.key}: {error}")
            else:
                self.log(f"  {entry.key}: {_brief(outcome.measurement, found[entry.key])}")
        return found

    def _measure(self, measurement: Measurement, entry: Entry) -> Figures:
        python = self._interpreter(CONTENDERS[entry.contender].environment)
        report = measure(python, measurement, entry)
        if report.version is not None:
            self.versions[entry.contender] = report.version
        return report.figures

    def _interpreter(self, environment: str) -> Path:
        if environment not in self._interpreters:
            try:
                self._interpreters[environment] = interpreter(environment)
            except EnvironmentFailedError as error:
                self._interpreters[environment] = error
        found = self._interpreters[environment]
        if isinstance(found, EnvironmentFailedError):
            raise found
        return found


def _brief(measurement: Measurement, figures: Figures) -> str:
    return ", ".join(
        f"{metric.text(figures[metric.name])} {metric.heading}" for metric in measurement.metrics
    )
