"""Failures by their kind, which is the stage and the type of the error, with the first of each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from heapq import nlargest

from antflow._texts import safe_text
from antflow.exceptions import text_of

MOST_KINDS = 100
"""Kinds of which the first failure is kept: a program may make its types of errors as it goes."""

MOST_SHOWN = 5
"""Kinds that are shown, without tracebacks."""

LONGEST_TEXT = 500
"""Characters of an error's text that are shown."""

LONGEST_NAME = 100
"""Characters of an id, a type, a stage or a location that are shown."""


@dataclass(frozen=True)
class First:
    """The first failure of a kind.

    Args:
        text: of its error.
        place: its input and, if it is known, the line of the program.
        trace: its traceback; "" if there is none to show.
    """

    text: str
    place: str
    trace: str


class Kinds:
    """Counts failures by their kind.

    Args:
        trace_of: returns the traceback of an error; None if no traceback is shown.
    """

    def __init__(self, trace_of: Callable[[BaseException], str] | None = None) -> None:
        self._trace_of = trace_of
        self._counts: Counter[tuple[str, str | None]] = Counter()
        self._first: dict[tuple[str, str | None], First] = {}
        self._others = 0

    def add(
        self, error: BaseException, stage: str | None, input_place: str, location: str | None
    ) -> None:
        """Count a failure.

        Args:
            error: the reason.
            stage: in which it failed; None if it was in none.
            input_place: what it was in the input, such as "line 7".
            location: the line of the program, if it is known.
        """
        kind = type(error).__name__, stage
        if kind not in self._first:
            if len(self._first) >= MOST_KINDS:
                self._others += 1
                return
            trace = self._trace_of(error) if self._trace_of is not None else ""
            place = "; ".join(
                safe_text(each, LONGEST_NAME) for each in (input_place, location) if each
            )
            self._first[kind] = First(safe_text(text_of(error), LONGEST_TEXT), place, trace)
        self._counts[kind] += 1

    def has(self, error_type: str) -> bool:
        """Return whether an error of a type of that name is among them."""
        return any(kind == error_type for kind, _ in self._first)

    def lines(self) -> Iterator[str]:
        """Return a line for each kind, the most frequent first, with its first failure.

        If tracebacks are shown, each kind is, followed by its traceback.
        """
        most = MOST_KINDS if self._trace_of is not None else MOST_SHOWN
        left = self._counts.total() + self._others
        for kind in nlargest(most, self._counts, key=self._counts.__getitem__):
            left -= self._counts[kind]
            yield self._line(kind)
        if left:
            yield f"{left:,} {'item' if left == 1 else 'items'} failed in other ways"

    def _line(self, kind: tuple[str, str | None]) -> str:
        error_type, stage = kind
        first = self._first[kind]
        name = safe_text(error_type, LONGEST_NAME)
        where = "" if stage is None else f" in {safe_text(stage, LONGEST_NAME)}"
        line = f"{name} x{self._counts[kind]:,}{where}: {first.text} ({first.place})"
        return f"{line}\n{first.trace}" if first.trace else line
