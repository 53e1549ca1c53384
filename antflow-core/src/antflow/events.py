"""Plain data that observers receive: what became of an item, and of one attempt at it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Any, Literal, Protocol, Self, cast

StatusType = Literal[
    "queued", "in_progress", "completed", "failed", "retrying", "skipped", "dropped", "unprocessed"
]
"""What an item is at, in one stage."""

TaskEventType = Literal["start", "complete", "retry", "fail", "cancel"]
"""What happens to one attempt at a task: it starts, then ends in one of four ways."""


class _Viewed(Protocol):
    id: Any
    value: Any
    sequence_id: int
    priority: int

    @property
    def metadata(self) -> dict[str, Any]: ...

    @property
    def carrier(self) -> dict[str, str]: ...


class ItemView:
    """The item of an event, to be read: it shows the item as it is now, not as it was then."""

    __slots__ = ("_item",)

    def __init__(self, item: _Viewed) -> None:
        self._item = item

    def __repr__(self) -> str:
        return f"ItemView(id={self.id!r}, value={self.value!r}, sequence_id={self.sequence_id})"

    @property
    def id(self) -> Any:
        """The item's own id, else its sequence number."""
        return self._item.id

    @property
    def value(self) -> Any:
        """What entered the stage; once the stage has completed, what left it."""
        return self._item.value

    @property
    def metadata(self) -> Mapping[str, Any]:
        """Whatever else came with the item."""
        return MappingProxyType(self._item.metadata)

    @property
    def priority(self) -> int:
        """Its priority, lower first."""
        return self._item.priority

    @property
    def sequence_id(self) -> int:
        """Position in the order in which the items were read, from 0."""
        return self._item.sequence_id

    @property
    def carrier(self) -> dict[str, str]:
        """What observers attach to the item, such as trace context; it travels with the item."""
        return self._item.carrier


class _OfItem:
    """An event as the engine makes it knows its item; one that is made by hand does not."""

    __slots__ = ("_item",)

    _item: _Viewed

    def __reduce__(self) -> tuple[Any, ...]:
        """Copy and pickle the event without its item, which belongs to a run."""
        return type(self), tuple(getattr(self, each.name) for each in fields(cast("Any", self)))

    def about(self, item: _Viewed) -> Self:
        """Say which item the event is about; for who makes it."""
        self._item = item
        return self

    @property
    def item(self) -> ItemView:
        """The item itself.

        Raises:
            LookupError: the event was made by hand, or comes from a tracker's history, which keeps
                no items.
        """
        try:
            return ItemView(self._item)
        except AttributeError:
            raise LookupError(
                "This event has no item: it was made by hand or comes from a tracker's history. "
                "Read event.item in a hook or callback, while the item is on its way."
            ) from None


@dataclass(slots=True)
class StatusEvent(_OfItem):
    """An item changed its status in a stage; one object for all observers, not to be changed.

    Args:
        item_id: the item's id.
        stage: name of the stage.
        status: what the item is at.
        worker: name of the worker that has it; None where none has.
        timestamp: Unix time.
        metadata: of failed, `error` and `error_type` as texts; of retrying, also `attempt`, the
            number of the coming one, and `retry`, which is True.
        pipeline: the pipeline's name.
        run_id: names the run, uniquely in this process.
        final: whether no other event of this item follows.
    """

    item_id: Any
    stage: str | None
    status: StatusType
    worker: str | None
    timestamp: float
    metadata: dict[str, Any] = field(default_factory=dict)
    pipeline: str = ""
    run_id: str = ""
    final: bool = False

    @property
    def worker_id(self) -> int | None:
        """The worker's number within its stage, from 0; None where there is no worker."""
        _, mark, number = (self.worker or "").rpartition("-W")
        return int(number) if mark and number.isdecimal() else None


@dataclass(slots=True)
class TaskEvent(_OfItem):
    """An attempt at a task began or ended; one object for all observers, not to be changed.

    Args:
        item_id: the item's id.
        stage: name of the stage.
        task_name: name of the task.
        worker: name of the worker.
        event_type: what happened.
        attempt: number of the attempt, from 1: of the task, or of the stage as a whole where that
            is what is retried.
        timestamp: Unix time.
        error: what the attempt raised; None for start and complete.
        duration: seconds that the function took, and nothing else; None for start.
        delay: of retry, seconds until the next attempt.
        queue_wait: seconds that the item waited in front of the stage.
        pipeline: the pipeline's name.
        run_id: names the run, uniquely in this process.
    """

    item_id: Any
    stage: str
    task_name: str
    worker: str
    event_type: TaskEventType
    attempt: int
    timestamp: float
    error: BaseException | None = None
    duration: float | None = None
    delay: float | None = None
    queue_wait: float = 0.0
    pipeline: str = ""
    run_id: str = ""
