"""Results of items: successes, failures, and items that a run left unprocessed."""

from __future__ import annotations

from asyncio import CancelledError
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Generic, Literal, Self, TypeVar, overload

from ._errors.texts import shown
from ._errors.tracebacks import location, raise_kept
from ._task_types import Value_co
from .exceptions import ItemDroppedError, as_exception

T = TypeVar("T")


ItemOutcome = Literal["succeeded", "failed", "dropped", "expanded"]
"""How an item ended: it passed every stage, failed, or was dropped on purpose. "expanded" is
reserved: no task can expand an item yet."""


# Python's garbage collector stops tracking plain tuples of atoms, but no other records. A
# NamedTuple here cost pipelines whose items often fail 6% of their speed.
Retry = tuple[str, int, int, int, Any, float | None]
"""Where a retry resumes: the stage's name, the numbers of the task's and the stage's next attempt,
the index of the task, and its input if it is not the first task."""


class ItemDetails:
    """The attributes that most items do not need; made on first use.

    `carrier`, `metadata`, `error`, `stage` and `reason` are attributes of the result. `ended` is
    its outcome, where the error does not imply it. `attempts` counts those in stage `attempted_by`.
    The engine uses the others: `deadline` is when the item times out in its stage, on the run's
    clock, `drop_reason` why it is dropped when it waits next, `retry` where it resumes, and
    `retried_in` the `id()` of the queue in which it goes before fresh items.
    """

    __slots__ = (
        "attempted_by",
        "attempts",
        "carrier",
        "deadline",
        "drop_reason",
        "ended",
        "error",
        "metadata",
        "reason",
        "retried_in",
        "retry",
        "stage",
    )

    def __init__(self) -> None:
        self.metadata: dict[str, Any] | None = None
        self.carrier: dict[str, str] | None = None
        self.error: BaseException | None = None
        self.stage: str | None = None
        self.reason: str | None = None
        self.ended: ItemOutcome | None = None
        self.attempts = 1
        self.attempted_by: str | None = None
        self.retry: Retry | None = None
        self.deadline: float | None = None
        self.drop_reason: str | None = None
        self.retried_in: int | None = None


class _Detail(Generic[T]):
    """An attribute of a result that is stored in its `details`.

    Args:
        default: returns the value while none is stored.
        is_kept: whether to store that default, because the caller may change it in place.
    """

    def __init__(self, default: Callable[[], T], *, is_kept: bool = False) -> None:
        self._default = default
        self._is_kept = is_kept

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, result: None, owner: type) -> Self: ...

    @overload
    def __get__(self, result: _Record, owner: type) -> T: ...

    def __get__(self, result: _Record | None, owner: type) -> Self | T:
        if result is None:
            return self
        found: T | None = None
        if result.details is not None:
            found = getattr(result.details, self._name)
        if found is None:
            found = self._default()
            if self._is_kept:
                self.__set__(result, found)
        return found

    def __set__(self, result: _Record, value: T) -> None:
        setattr(result.get_details(), self._name, value)


class _OutcomeOfResult:
    """The outcome, which is stored only where the error does not imply it."""

    @overload
    def __get__(self, result: None, owner: type) -> Self: ...

    @overload
    def __get__(self, result: _Record, owner: type) -> ItemOutcome: ...

    def __get__(self, result: _Record | None, owner: type) -> Self | ItemOutcome:
        if result is None:
            return self
        details = result.details
        if details is None:  # as for most items, so this is one comparison
            return "succeeded"
        return details.ended or ("succeeded" if details.error is None else "failed")

    def __set__(self, result: _Record, outcome: ItemOutcome) -> None:
        if outcome in ("dropped", "expanded"):
            result.get_details().ended = outcome
        elif result.details is not None:
            result.details.ended = None


class _Record:
    """The engine's part of an item: the item and its result are one object."""

    # A second object for the result, or an attribute of its own for each detail, costs wide
    # pipelines 0.2 to 0.4 microseconds an item, most of it in garbage collection.
    __slots__ = ("details", "priority", "queued_at")

    details: ItemDetails | None
    priority: int  # unset in a result that no run has made
    queued_at: float
    carrier: _Detail[dict[str, str]] = _Detail(dict, is_kept=True)

    def get_details(self) -> ItemDetails:
        """Return the details, made on first use."""
        if self.details is None:
            self.details = ItemDetails()
        return self.details


@dataclass(init=False)
class PipelineResult(_Record, Generic[Value_co]):
    """The result of one item; `PipelineResult[T]` is one whose value is a T if it is a success.

    Args:
        id: the item's own id; if it has none, its sequence number.
        value: the value that the last task returned; for a failure, the value that entered the
            stage in which the item failed.
        sequence_id: position in the order in which the items were read, from 0.
        metadata: the metadata that came with the item.
        error: the exception of the last attempt; None for a success.
        stage: name of the stage in which the item failed or was dropped; None for a success.
        attempts: attempts made in the item's last stage: at its last task, or, with
            `retry="per_stage"`, at the whole stage; 0 if the stage skipped the item.
        outcome: "succeeded", "failed" or "dropped"; None for "failed" if there is an error, and
            else for "succeeded".
        reason: why the item was dropped; None for others.
    """

    __slots__ = ("id", "sequence_id", "value")

    id: Any
    value: Value_co
    sequence_id: int
    metadata: _Detail[dict[str, Any]] = _Detail(dict, is_kept=True)
    error: _Detail[BaseException | None] = _Detail(lambda: None)
    stage: _Detail[str | None] = _Detail(lambda: None)
    attempts: _Detail[int] = _Detail(lambda: 1)
    outcome: _OutcomeOfResult = _OutcomeOfResult()
    reason: _Detail[str | None] = _Detail(lambda: None)

    def __init__(
        self,
        id: Any,  # noqa: A002 - named as users name it
        value: Value_co,
        sequence_id: int,
        metadata: dict[str, Any] | None = None,
        error: BaseException | None = None,
        stage: str | None = None,
        attempts: int = 1,
        outcome: ItemOutcome | None = None,
        reason: str | None = None,
    ) -> None:
        self.id = id
        self.value = value
        self.sequence_id = sequence_id
        self.details = None
        # Each of these makes the details, so a default is not set.
        if metadata is not None:
            self.metadata = metadata
        if error is not None:
            self.error = error
        if stage is not None:
            self.stage = stage
        if attempts != 1:
            self.attempts = attempts
        if outcome is not None:
            self.outcome = outcome
        if reason is not None:
            self.reason = reason

    def __copy__(self) -> PipelineResult[Value_co]:
        copied = replace(self)
        # Not among the fields, but `feed` takes both from a result that it feeds again.
        if self.details is not None and self.details.carrier:
            copied.carrier = self.carrier
        if hasattr(self, "priority"):
            copied.priority = self.priority
        return copied

    @property
    def is_success(self) -> bool:
        """Whether the item passed every stage."""
        return self.outcome == "succeeded"

    @property
    def location(self) -> str | None:
        """Where your code failed: the innermost frame of your own, as "fetch.py:4, in fetch".

        If no frame is your own, it is that of the task's function; None for a success, and where
        there is no such frame.
        """
        return None if self.error is None else location(self.error)

    def unwrap(self) -> Value_co:
        """Return the value of a success, or raise an error for any other result.

        Raises:
            ItemDroppedError: the item was dropped.
            TaskFailedError: a task raised CancelledError, which is the cause of this error; raised
                itself, it would look like a cancellation of the caller.
            BaseException: the error of the item.
        """
        if self.outcome == "dropped":
            raise ItemDroppedError(
                f"Item {shown(self.id)} was dropped ({self.reason or 'no reason given'}), so it "
                'has no value; look at its outcome, which is "dropped", before you unwrap it',
                reason=self.reason,
            )
        if isinstance(self.error, CancelledError):
            raise as_exception(self.error, self.stage)
        if self.error is not None:
            raise_kept(self.error)
        return self.value


@dataclass(slots=True)
class UnprocessedItem:
    """An item that was accepted but did not end; `feed` puts it back into its stage.

    Args:
        id: the item's id.
        value: the value with which the item entered, or was to enter, `stage`.
        metadata: the metadata that came with the item.
        priority: the item's priority; lower goes first.
        stage: name of the stage that the item did not finish.
        sequence_id: position in the order in which the items were read, from 0.
        carrier: text that observers attached to the item, such as trace context.
    """

    id: Any
    value: Any
    metadata: dict[str, Any]
    priority: int
    stage: str
    sequence_id: int
    carrier: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FailedItem:
    """One item that failed.

    Args:
        item_id: the item's id.
        error: the text of the exception.
        error_type: name of the exception's class.
        stage: name of the stage in which the item failed.
        attempts: attempts made: at the task that failed, or, with `retry="per_stage"`, at the
            whole stage.
        timestamp: Unix time of the failure.
        location: your innermost frame, as "fetch.py:4, in fetch"; None if there is none.
    """

    item_id: Any
    error: str
    error_type: str
    stage: str
    attempts: int
    timestamp: float
    location: str | None = None


@dataclass(frozen=True, slots=True)
class ErrorSummary:
    """The failures of a run: counts and details.

    Args:
        total_failed: number of items that failed.
        errors_by_type: number of failed items by the name of the exception's class.
        errors_by_stage: number of failed items by the name of the stage.
        failed_items: details of the latest failures that are kept, in the order in which they
            failed.
    """

    total_failed: int
    errors_by_type: dict[str, int]
    errors_by_stage: dict[str, int]
    failed_items: list[FailedItem]

    def __str__(self) -> str:
        if not self.total_failed:
            return "No errors occurred"
        parts = [f"{self.total_failed} failed items"]
        for title, counts in ("By type", self.errors_by_type), ("By stage", self.errors_by_stage):
            if counts:
                parts += ["", f"{title}:"]
                parts += [f"  {name}: {count}" for name, count in _most_first(counts)]
        locations = Counter(
            each.location for each in self.failed_items if each.location is not None
        )
        if locations:
            parts += ["", "By location:"]
            parts += [f"  {name}: {count}" for name, count in locations.most_common(_MAX_LOCATIONS)]
            if (more := len(locations) - _MAX_LOCATIONS) > 0:
                parts.append(f"  ({more} more)")
        return "\n".join(parts)


_MAX_LOCATIONS = 5  # in a text for people


def _most_first(counts: dict[str, int]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda entry: -entry[1])
