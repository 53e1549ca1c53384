"""The events that observers receive: an item changed its status; an attempt began or ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Any, ClassVar, Literal, Protocol, Self, cast

from ._errors.texts import one_line
from ._read_only import ReadOnlyDict, mutable, read_only

StatusType = Literal[
    "queued", "in_progress", "completed", "failed", "retrying", "skipped", "dropped", "unprocessed"
]
"""The status of an item in one stage."""

TaskEventType = Literal["start", "complete", "retry", "fail", "cancel"]
"""An attempt at a task starts, and then ends with one of the four other types."""


class _ItemFields(Protocol):
    """The attributes of the engine's item that a view shows."""

    id: Any
    value: Any
    sequence_id: int
    priority: int

    @property
    def metadata(self) -> dict[str, Any]: ...

    @property
    def carrier(self) -> dict[str, str]: ...


class ItemView:
    """A read-only view of an event's item, as the item is now, not as it was at the event."""

    __slots__ = ("_item",)

    def __init__(self, item: _ItemFields) -> None:
        self._item = item

    @one_line
    def __repr__(self) -> str:
        return f"ItemView(id={self.id!r}, value={self.value!r}, sequence_id={self.sequence_id})"

    @property
    def id(self) -> Any:
        """The item's own id; if it has none, its sequence number."""
        return self._item.id

    @property
    def value(self) -> Any:
        """The value that entered the stage; once the stage has finished, the value that left it."""
        return self._item.value

    @property
    def metadata(self) -> Mapping[str, Any]:
        """The metadata that came with the item; read-only."""
        # Tasks of later stages rely on it. What observers attach goes into the carrier.
        return MappingProxyType(self._item.metadata)

    @property
    def priority(self) -> int:
        """The item's priority; lower goes first."""
        return self._item.priority

    @property
    def sequence_id(self) -> int:
        """Position in the order in which the items were read, from 0."""
        return self._item.sequence_id

    @property
    def carrier(self) -> dict[str, str]:
        """Text that observers attach to the item, such as trace context; it travels with it."""
        return self._item.carrier


class _ItemEvent:
    """An event with a reference to its item, unless it is made by hand."""

    # Beside the dataclass fields, so that comparing, showing and copying an event leaves it out.
    __slots__ = ("_item",)

    __hash__ = None  # type: ignore[assignment]
    _item: _ItemFields
    _read_only: ClassVar[type[Any]]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, _ItemEvent) or fields(self) != fields(other):  # type: ignore[arg-type]
            return NotImplemented
        return self._values(compared=True) == other._values(compared=True)

    def __reduce__(self) -> tuple[Any, ...]:
        """Copy and pickle the event without its item, which belongs to a run; a copy is mutable."""
        values = tuple(
            dict(each) if isinstance(each, ReadOnlyDict) else each for each in self._values()
        )
        return mutable(type(self)), values

    def _values(self, *, compared: bool = False) -> tuple[Any, ...]:
        every = fields(cast("Any", self))
        return tuple(getattr(self, each.name) for each in every if each.compare or not compared)

    def about(self, item: _ItemFields) -> Self:
        """Set the item that the event is about, and return the event; the engine calls this.

        The event is read-only from now on.
        """
        self._item = item
        # A frozen dataclass costs five times as much to make as this one with a change of class.
        self.__class__ = self._read_only
        return self

    @property
    def item(self) -> ItemView:
        """A view of the item itself.

        Raises:
            LookupError: the event was made by hand, or comes from a tracker's history, which keeps
                no items.
        """
        try:
            # A view is made when it is asked for: most observers need only the item's id.
            return ItemView(self._item)
        except AttributeError:
            raise LookupError(
                "This event has no item: it was made by hand or comes from a tracker's history. "
                "Read event.item in a hook or callback, while the item is on its way."
            ) from None


@dataclass(slots=True, eq=False)
class StatusEvent(_ItemEvent):
    """An item changed its status in a stage.

    All observers of a run get the same object, which is read-only; a copy can be changed.

    Args:
        item_id: the item's id.
        stage: name of the stage.
        status: the item's new status.
        worker: name of the worker that holds the item; None if no worker does.
        timestamp: Unix time of the event.
        metadata: for "failed", the strings `error` and `error_type`; for "retrying", also
            `attempt`, the number of the next attempt, and `retry`, which is True.
        pipeline: the pipeline's name.
        run_id: identifies the run, across processes.
        final: whether this is the last event of the item.
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
        """The worker's number within its stage, from 0; None if there is no worker."""
        # From the right: a stage's name may contain "-W" itself.
        _, mark, number = (self.worker or "").rpartition("-W")
        return int(number) if mark and number.isdecimal() else None


@dataclass(slots=True, eq=False)
class TaskEvent(_ItemEvent):
    """An attempt at a task began or ended.

    All observers of a run get the same object, which is read-only; a copy can be changed.

    Args:
        item_id: the item's id.
        stage: name of the stage.
        task_name: name of the task.
        worker: name of the worker.
        event_type: whether the attempt started, or how it ended.
        attempt: number of the attempt, from 1: at the task, or, with `retry="per_stage"`, at the
            whole stage.
        timestamp: Unix time of the event.
        error: the exception of the attempt; None for "start" and "complete".
        duration: seconds that the task's function took, without hooks; None for "start", and for
            "cancel" if the function was not called.
        delay: for "retry", seconds until the next attempt; otherwise None.
        queue_wait: seconds that the item waited in front of the stage; for a retry, since it was
            due.
        pipeline: the pipeline's name.
        run_id: identifies the run, across processes.
        limit: name of the limit that the item waited for last, before it started; None if it did
            not wait for one.
        limit_wait: seconds from the moment when a limit held the item back until it started.
        result: for "complete", what the attempt returned; otherwise None. It is left out when
            events are compared or shown.
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
    limit: str | None = None
    limit_wait: float = 0.0
    # Left out of `==` and `repr`, which would run code of the value's class.
    result: Any = field(default=None, repr=False, compare=False)


READ_ONLY_TASK_EVENT = read_only(TaskEvent)

StatusEvent._read_only = read_only(StatusEvent)  # noqa: SLF001
TaskEvent._read_only = READ_ONLY_TASK_EVENT  # noqa: SLF001
