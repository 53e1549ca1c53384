"""Failed items counted by kind, the texts about them, and the limit on their number."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from heapq import nlargest
from math import isfinite
from typing import NamedTuple

from antflow._errors.texts import many, safe_repr, safe_text
from antflow._errors.tracebacks import location
from antflow.exceptions import (
    MAX_GROUPED_ERRORS,
    ItemsFailedError,
    PipelineError,
    TooManyFailuresError,
    as_exception,
    text_of,
)
from antflow.results import PipelineResult, UnprocessedItem

MAX_EXAMPLES = 5
"""Kinds of failures of which the first item is shown."""

MAX_TRACES = 100
"""The same where each has its traceback."""

MAX_LISTED_KINDS = 20
"""Further kinds that are shown with their counts."""

MAX_COUNTED_KINDS = 1000
"""Kinds that are counted: a program may make types of errors without end."""

MIN_ITEMS_FOR_SHARE = 100
"""Items that must have ended before a share of failures is compared with its limit."""

_IN_LOGS = "d"
"""Format of numbers in logs: without separators, because programs read logs."""

_LONGEST_TEXT = 200
_LONGEST_NAME = 60
_LONGEST_LOCATION = 100


class _Kind(NamedTuple):
    stage: str | None
    error_type: str


class _Example(NamedTuple):
    """The first item of a kind: the error's text, the item's name, and where it failed."""

    text: str
    item: str
    location: str | None
    trace: str


class FailureTally:
    """Counts failed items by kind, which is their stage and the type of their error.

    Of the first kinds it keeps a text about the first item. Beyond 1,000 kinds it counts the items
    only, so that its memory is bounded. `total` is the number of failures. The texts have no
    control characters.

    Args:
        trace_of: returns the traceback of an error, "" for none; None if tracebacks are not shown.
        remedy: what to do where attempts were spent on errors that no retry cures; None for
            `never_retry` of the stage.
    """

    __slots__ = (
        "_counts",
        "_examples",
        "_futile_attempts",
        "_futile_stages",
        "_max_examples",
        "_remedy",
        "_trace_of",
        "total",
    )

    def __init__(
        self,
        trace_of: Callable[[BaseException], str] | None = None,
        remedy: str | None = None,
    ) -> None:
        self.total = 0
        self._counts: Counter[_Kind] = Counter()
        self._examples: dict[_Kind, _Example] = {}
        self._futile_attempts = 0
        self._futile_stages: dict[str, None] = {}
        self._trace_of = trace_of
        self._remedy = remedy
        self._max_examples = MAX_EXAMPLES if trace_of is None else MAX_TRACES

    def add(self, item: PipelineResult, attempts: int) -> None:
        """Count the item of a failed result.

        Args:
            item: the result.
            attempts: how many attempts were made at it.
        """
        error = item.error
        assert error is not None
        kind = _Kind(item.stage, type(error).__name__)
        if self._count(kind, error, attempts):
            name = f"item {safe_repr(item.id, _LONGEST_NAME)}"
            self._keep_example(kind, error, name, location(error))

    def add_error(
        self,
        error: BaseException,
        name: str,
        *,
        stage: str | None = None,
        attempts: int = 1,
        location: str | None = None,
    ) -> None:
        """Count a failure that need not be of an item, such as of an input that cannot be read.

        Args:
            error: the reason.
            name: of what failed, such as "line 7".
            stage: the stage in which it failed; None if it failed before the first.
            attempts: how many attempts were made at it.
            location: the line of the program that raised the error, as in
                `PipelineResult.location`.
        """
        kind = _Kind(stage, type(error).__name__)
        if self._count(kind, error, attempts):
            self._keep_example(kind, error, safe_text(name, _LONGEST_NAME), location)

    def _count(self, kind: _Kind, error: BaseException, attempts: int) -> bool:
        """Count a failure, and return whether to keep it as the example of its kind."""
        self.total += 1
        if attempts > 1 and _is_futile_to_retry(error):
            self._futile_attempts += attempts - 1
            self._futile_stages[kind.stage or ""] = None  # a dict, as a set in order
        is_new = kind not in self._counts
        if is_new and len(self._counts) >= MAX_COUNTED_KINDS:
            return False
        self._counts[kind] += 1
        return is_new and len(self._examples) < self._max_examples

    def _keep_example(
        self, kind: _Kind, error: BaseException, name: str, location: str | None
    ) -> None:
        # Texts, not the objects: an error holds its frames, and these the user's values.
        self._examples[kind] = _Example(
            text=safe_text(text_of(error), _LONGEST_TEXT),
            item=name,
            location=None if location is None else safe_text(location, _LONGEST_LOCATION),
            trace="" if self._trace_of is None else self._trace_of(error),
        )

    def has(self, error_type: str) -> bool:
        """Return whether an item failed with an error type of that name."""
        return any(kind.error_type == error_type for kind in self._counts)

    def summary(self, fed: int, pipeline: str) -> str:
        """Return one line: how many items failed, and an example of each of the first kinds.

        Args:
            fed: how many items were fed.
            pipeline: the pipeline's name; the default one is left out.
        """
        name = "" if pipeline == "pipeline" else f"Pipeline {safe_repr(pipeline, _LONGEST_NAME)}: "
        kinds = [self._line(kind, is_in_log=True) for kind in self._listed()]
        if others := self._others():
            kinds.append(f"and {many(others, 'item', _IN_LOGS)} failed with other errors")
        failed = f"{self.total} of {many(fed, 'item', _IN_LOGS)} failed"
        return f"{name}{failed}: {'; '.join(kinds)}"

    def lines(self) -> Iterator[str]:
        """Return a line for each kind; tracebacks, if they are shown, follow below their line."""
        for kind in self._listed():
            example = self._examples.get(kind)
            trace = f"\n{example.trace}" if example is not None and example.trace else ""
            yield self._line(kind) + trace
        if others := self._others():
            yield f"{many(others, 'item')} failed with other errors"

    def _listed(self) -> list[_Kind]:
        """Return the kinds with an example as they came, then the most frequent others."""
        # A copy, because another thread may count meanwhile.
        further = [kind for kind in list(self._counts) if kind not in self._examples]
        most = nlargest(MAX_LISTED_KINDS, further, key=self._counts.__getitem__)
        return [*self._examples, *most]

    def _line(self, kind: _Kind, *, is_in_log: bool = False) -> str:
        name = safe_text(kind.error_type, _LONGEST_NAME)
        where = "" if kind.stage is None else f" in {safe_text(kind.stage, _LONGEST_NAME)}"
        line = f"{name} x{self._counts[kind]:{_IN_LOGS if is_in_log else ','}}{where}"
        example = self._examples.get(kind)
        if example is None:
            return line
        place = example.location
        if place is not None:
            place = f", {place.rpartition(', in ')[0]}" if is_in_log else f"; {place}"
        return f"{line}{': ' if example.text else ''}{example.text} ({example.item}{place or ''})"

    def _others(self) -> int:
        """Return how many items are of a kind that is not listed."""
        return self.total - sum(self._counts[kind] for kind in self._listed())

    def advice(self) -> str:
        """Return the remedy as the end of a summary; empty if there is none."""
        remedy = self.remedy()
        return f". {remedy}" if remedy else ""

    def remedy(self) -> str:
        """Return a text on how to avoid futile retries; empty if none were made."""
        if not self._futile_attempts:
            return ""
        spent = (
            "1 attempt was spent on an error"
            if self._futile_attempts == 1
            else f"{self._futile_attempts} attempts were spent on errors"
        )
        stages = f"stage{'s' * (len(self._futile_stages) > 1)} "
        stages += ", ".join(safe_repr(name, _LONGEST_NAME) for name in self._futile_stages)
        remedy = self._remedy or f"give {stages} never_retry=(NameError, TypeError)"
        return f"{spent} that no retry cures; {remedy}"


def too_many_failures(
    limit: float | None,
    summary: str,
    *,
    results: Sequence[PipelineResult],
    failures: Sequence[PipelineResult],
    unprocessed: Sequence[UnprocessedItem],
    addition: str = "",
) -> TooManyFailuresError:
    """Return the error of a run in which more items failed than `max_failures` allows.

    Args:
        limit: the value of `max_failures`.
        summary: which items failed.
        results: the successes that are kept.
        failures: the failures that are kept.
        unprocessed: the items that had not ended.
        addition: ends the text.
    """
    kept = {".failures": failures, ".unprocessed": unprocessed}
    named = " and ".join(name for name, items in kept.items() if items)
    where = f"; see {named} of this error" if named else ""
    return TooManyFailuresError(
        f"max_failures={limit} was exceeded, and the run was stopped: {summary}{where}{addition}",
        results=results,
        failures=failures,
        unprocessed=unprocessed,
    )


def items_failed_error(
    summary: str,
    advice: str,
    *,
    results: Sequence[PipelineResult],
    failures: Sequence[PipelineResult],
) -> ItemsFailedError:
    """Return the group of errors of a run with `raise_failures` in which items failed.

    Args:
        summary: which items failed.
        advice: ends the text.
        results: the successes that are kept.
        failures: the failures that are kept.
    """
    # The first errors only: Python prints a traceback for each error of an uncaught group.
    errors = [
        as_exception(failure.error, failure.stage)
        for failure in failures[:MAX_GROUPED_ERRORS]
        if failure.error is not None
    ]
    text = f"{summary}; see .failures and .results of this error{advice}"
    return ItemsFailedError(text, errors, results=results, failures=failures)


def checked_max_failures(most: object, pipeline: str) -> int | float | None:
    """Return the value of `max_failures` if it is valid.

    Raises:
        PipelineError: it is neither None, nor a whole number, nor a share.
    """
    if most is None:
        return None
    if isinstance(most, int) and not isinstance(most, bool) and most >= 0:
        return most
    # 1.0 is refused: it could mean one item, or all of them.
    if isinstance(most, float) and isfinite(most) and 0 < most < 1:
        return most
    raise PipelineError(
        f"max_failures of pipeline {pipeline!r} is {most!r}; give a whole number of items, 0 or "
        "more, or a share of them between 0 and 1 such as 0.1, or None for no limit"
    )


def exceeds(most: float, failed: int, ended: int, *, at_end: bool = False) -> bool:
    """Return whether more items failed than are allowed.

    Args:
        most: a number of items (an int), or a share of those that ended (a float).
        ended: items that succeeded or failed.
        at_end: whether no more items will end.
    """
    if isinstance(most, int):
        return failed > most
    # One failure among the first three items is a third, and no sign of a broken run.
    if not ended or not (at_end or ended >= MIN_ITEMS_FOR_SHARE):
        return False
    return failed / ended > most


def _is_futile_to_retry(error: BaseException) -> bool:
    """Return whether another attempt must fail in the same way: a name or the call is wrong."""
    # A TypeError without a frame of the user's was raised by the call of the task itself.
    is_call_itself = isinstance(error, TypeError) and error.__traceback__ is None
    return isinstance(error, NameError) or is_call_itself
