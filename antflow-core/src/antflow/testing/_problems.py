"""Problems of a plugin, and the report that lists them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from textwrap import indent
from typing import Literal, get_args

ProblemKind = Literal[
    "rules",
    "raised",
    "outcome",
    "events",
    "tasks",
    "timers",
    "threads",
    "files",
    "context",
    "references",
    "process",
    "warnings",
]
"""The kinds of problems that `check_plugin` finds; it explains each."""

KINDS: tuple[ProblemKind, ...] = get_args(ProblemKind)

AddProblem = Callable[[ProblemKind, str], None]
"""Takes the kind and the text of a problem; `Findings.add` for one scenario."""

MAX_SCENARIOS_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem of a plugin.

    Args:
        kind: the kind of problem.
        text: what is wrong, and what to do about it.
        scenarios: names of the test runs in which it was seen; empty if it was found before any.
    """

    kind: ProblemKind
    text: str
    scenarios: tuple[str, ...] = ()

    def __str__(self) -> str:
        shown = ", ".join(self.scenarios[:MAX_SCENARIOS_SHOWN])
        if more := len(self.scenarios[MAX_SCENARIOS_SHOWN:]):
            shown += f" and {more} more"
        where = f" (in {shown})" if shown else ""
        return f"{self.kind}{where}:\n{indent(self.text, '    ')}"


@dataclass(frozen=True, slots=True)
class PluginReport:
    """The findings of a check of a plugin.

    Args:
        name: the plugin's name.
        scenarios: names of the test runs that it went through.
        calls: how often each of its hooks was called, by the hook's name.
        problems: the problems that were found.
    """

    name: str
    scenarios: tuple[str, ...]
    calls: Counter[str]
    problems: tuple[Problem, ...]

    def __str__(self) -> str:
        if not self.problems:
            return f"Plugin {self.name!r} is as it should be in {', '.join(self.scenarios)}."
        number = len(self.problems)
        heading = f"Plugin {self.name!r} has {number} problem{'s' if number > 1 else ''}."
        return "\n\n".join([heading, *map(str, self.problems)])


class PluginProblemsError(AssertionError):
    """A check of a plugin has found problems; the text has all of them.

    Args:
        report: the findings of the check.
    """

    def __init__(self, report: PluginReport) -> None:
        super().__init__(str(report))
        self.report = report


class Findings:
    """Collects problems: one of each kind and text, with all the scenarios where it was seen.

    Args:
        ignore: kinds of problems to ignore.

    Raises:
        ValueError: `ignore` has an unknown kind.
    """

    def __init__(self, ignore: Iterable[ProblemKind]) -> None:
        # a single kind is a string, which is an iterable too
        self._ignored = {ignore} if isinstance(ignore, str) else set(ignore)
        self._found: dict[tuple[ProblemKind, str], list[str]] = {}
        for kind in sorted(self._ignored - set(KINDS)):
            raise ValueError(
                f"ignore of check_plugin names {kind!r}; choose among {', '.join(KINDS)}"
            )

    def add(self, kind: ProblemKind, text: str, scenario: str | None = None) -> None:
        """Add a problem, or a scenario to one that is known."""
        if kind not in self._ignored:
            scenarios = self._found.setdefault((kind, text), [])
            if scenario is not None and scenario not in scenarios:
                scenarios.append(scenario)

    def problems(self) -> tuple[Problem, ...]:
        """Return the problems in the order in which they were found first."""
        return tuple(
            Problem(kind, text, tuple(scenarios)) for (kind, text), scenarios in self._found.items()
        )
