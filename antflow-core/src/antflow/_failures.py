"""What a run says of its failed items, and when there are too many of them."""

from __future__ import annotations

from math import isfinite
from typing import NamedTuple

from ._texts import safe_repr, safe_text
from ._tracebacks import place
from .exceptions import PipelineError, text_of
from .types import PipelineResult

MOST_SHOWN_KINDS = 5
MOST_COUNTED_KINDS = 1000
FEWEST_FOR_A_SHARE = 100
"""Items that must have succeeded or failed before a share of failures means something."""

_LONGEST_TEXT = 200
_LONGEST_NAME = 60


class _Kind(NamedTuple):
    stage: str
    error_type: str


class FailureTally:
    """Counts failed items by kind, which is their stage and the type of their error.

    Of the first five kinds it keeps a text about the first item. Memory is bounded: beyond 1,000
    kinds it counts the items only.
    """

    __slots__ = ("_counts", "_examples", "_futile_attempts", "_futile_stages", "total")

    def __init__(self) -> None:
        self.total = 0
        self._counts: dict[_Kind, int] = {}
        self._examples: dict[_Kind, str] = {}
        self._futile_attempts = 0
        self._futile_stages: dict[str, None] = {}

    def add(self, item: PipelineResult, attempts: int) -> None:
        """Count one failed item.

        Args:
            item: the item, with its error, which has been stripped of antflow's frames.
            attempts: attempts made.
        """
        error, stage = item.error, item.stage or ""
        assert error is not None
        self.total += 1
        kind = _Kind(stage, type(error).__name__)
        if kind in self._counts:
            self._counts[kind] += 1
        elif len(self._counts) < MOST_COUNTED_KINDS:
            self._counts[kind] = 1
            if len(self._examples) < MOST_SHOWN_KINDS:
                self._examples[kind] = _example(item.id, error)
        if attempts > 1 and _is_futile_to_retry(error):
            self._futile_attempts += attempts - 1
            self._futile_stages[stage] = None

    def summary(self, fed: int, pipeline: str) -> str:
        """Return one line: how many items failed, and the first item of each kind.

        Args:
            fed: how many items were fed.
            pipeline: the pipeline's name; the default one is left out.
        """
        name = "" if pipeline == "pipeline" else f"Pipeline {safe_repr(pipeline, _LONGEST_NAME)}: "
        shown = [
            f"{safe_text(kind.error_type, _LONGEST_NAME)} x{self._counts[kind]} "
            f"in {safe_text(kind.stage, _LONGEST_NAME)}{example}"
            for kind, example in self._examples.items()
        ]
        if more := len(self._counts) - len(self._examples):
            shown.append(f"and {more} more {'kind' if more == 1 else 'kinds'} of errors")
        failed = f"{self.total} of {fed} {'item' if fed == 1 else 'items'} failed"
        return f"{name}{failed}: {'; '.join(shown)}"

    def advice(self) -> str:
        """Return what to add about retries that could not help; nothing if none were made."""
        if not self._futile_attempts:
            return ""
        spent = (
            "1 attempt was spent on an error"
            if self._futile_attempts == 1
            else f"{self._futile_attempts} attempts were spent on errors"
        )
        stages = f"stage{'s' * (len(self._futile_stages) > 1)} "
        stages += ", ".join(safe_repr(name, _LONGEST_NAME) for name in self._futile_stages)
        return f". {spent} that no retry cures; give {stages} never_retry=(NameError, TypeError)"


def checked_max_failures(most: object, pipeline: str) -> int | float | None:
    """Return a limit of failures if it is one.

    Raises:
        PipelineError: it is neither None, nor a whole number, nor a share.
    """
    if most is None:
        return None
    if isinstance(most, int) and not isinstance(most, bool) and most >= 0:
        return most
    if isinstance(most, float) and isfinite(most) and 0 < most < 1:
        return most
    raise PipelineError(
        f"max_failures of pipeline {pipeline!r} is {most!r}; give a whole number of items, 0 or "
        "more, or a share of them between 0 and 1 such as 0.1, or None for no limit"
    )


def exceeds(most: float, failed: int, ended: int, *, at_end: bool = False) -> bool:
    """Tell whether more items failed than are allowed.

    Args:
        most: a number of items (an int), or a share of those that ended (a float).
        failed: items that failed.
        ended: items that succeeded or failed.
        at_end: whether no more items will end; before that, a share of few items is not judged.
    """
    if isinstance(most, int):
        return failed > most
    if not ended or not (at_end or ended >= FEWEST_FOR_A_SHARE):
        return False
    return failed / ended > most


def _is_futile_to_retry(error: BaseException) -> bool:
    """Tell whether another attempt fails in the same way: a name or the call itself is wrong."""
    is_call_itself = isinstance(error, TypeError) and error.__traceback__ is None
    return isinstance(error, NameError) or is_call_itself


def _example(item_id: object, error: BaseException) -> str:
    text = safe_text(text_of(error), _LONGEST_TEXT)
    where = place(error)
    at = "" if where is None else f", {safe_text(where, _LONGEST_NAME)}"
    return f"{f': {text}' if text else ''} (item {safe_repr(item_id, _LONGEST_NAME)}{at})"
