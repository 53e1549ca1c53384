"""`StatusTracker`: an observer that remembers the status of each item and calls functions."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import fields
from operator import itemgetter
from typing import Any, get_args

from ._errors.tracebacks import location
from ._plugins.dispatcher import Observer
from .events import StatusEvent as StatusEvent
from .events import StatusType, TaskEvent
from .hookspecs import hookimpl
from .results import ErrorSummary, FailedItem
from .retry import is_count

StatusCallback = Callable[[StatusEvent], Any]
TaskCallback = Callable[[TaskEvent], Any]
TASK_CALLBACKS = {
    "antflow_task_start": "on_task_start",
    "antflow_task_success": "on_task_complete",
    "antflow_task_retry": "on_task_retry",
}
"""The callbacks of hooks that have a listener only while the callback is set.

Without one, the hook costs nothing. `antflow_task_failure` always has a listener, since it records
the number of attempts.
"""

VALUES_PER_EVENT = len(fields(StatusEvent)) - 1
"""Values of one event in a history: all fields but the item's id.

A history is one flat list, so that an event costs no object that the garbage collector tracks.
"""

LATEST_STATUS = 1 - VALUES_PER_EVENT
"""Index of the latest status in a history: the second value of the last event."""


class StatusTracker(Observer):
    """Remembers the status of each item of a run, and the events that led to it.

    The callbacks are functions or coroutine functions. Each may be set, replaced and removed at any
    time, as the attribute of its name. An exception in a callback is logged, and the item goes on.

    Args:
        on_status_change: called when an item changes its status.
        on_task_start: called when an attempt at a task begins.
        on_task_complete: called when an attempt has succeeded.
        on_task_retry: called when an attempt has failed and another is due.
        on_task_fail: called when an attempt has failed and no other follows.
        max_history: number of ended items to remember, the latest ones; None for all, which
            takes memory for every item that is fed.

    Raises:
        ValueError: `max_history` is not a whole number, 0 or more.
    """

    def __init__(
        self,
        on_status_change: StatusCallback | None = None,
        on_task_start: TaskCallback | None = None,
        on_task_complete: TaskCallback | None = None,
        on_task_retry: TaskCallback | None = None,
        on_task_fail: TaskCallback | None = None,
        *,
        max_history: int | None = None,
    ) -> None:
        if max_history is not None and not is_count(max_history, 0):
            raise ValueError(
                f"max_history is {max_history!r}; give the number of items that have ended to "
                "remember, 0 or more, or None for all"
            )
        super().__init__()
        self.on_status_change = on_status_change
        self.on_task_start = on_task_start
        self.on_task_complete = on_task_complete
        self.on_task_retry = on_task_retry
        self.on_task_fail = on_task_fail
        self.max_history = max_history
        self._histories: dict[Any, list[Any]] = {}
        self._attempts: dict[Any, tuple[str, int, str | None]] = {}
        self._ended: OrderedDict[Any, None] = OrderedDict()

    def get_status(self, item_id: Any) -> StatusEvent | None:
        """Return the latest event of an item; None if the item is not known."""
        history = self._histories.get(_key_in(self._histories, item_id))
        return _event(item_id, history[-VALUES_PER_EVENT:]) if history else None

    def get_tracked_ids(self) -> list[Any]:
        """Return the ids of all remembered items, in the order of their first events."""
        return [_id_of(key) for key in list(self._histories)]

    def get_by_status(self, status: StatusType) -> list[StatusEvent]:
        """Return the latest event of each item that has this status now."""
        return [
            _event(_id_of(key), history[-VALUES_PER_EVENT:])
            for key, history in list(self._histories.items())
            if history[LATEST_STATUS] == status
        ]

    def get_stats(self) -> dict[str, int]:
        """Return how many items have each status now."""
        # copied at once, since another thread may read while a run adds items
        counts = Counter(map(itemgetter(LATEST_STATUS), list(self._histories.values())))
        return {status: counts[status] for status in get_args(StatusType)}

    def get_history(self, item_id: Any) -> list[StatusEvent]:
        """Return all events of an item, in order; an empty list if the item is not known."""
        history = self._histories.get(_key_in(self._histories, item_id), [])
        starts = range(0, len(history), VALUES_PER_EVENT)
        return [_event(item_id, history[start : start + VALUES_PER_EVENT]) for start in starts]

    def get_failed_items(self) -> list[FailedItem]:
        """Return details of each remembered item that has failed.

        An attempt is counted when it fails, so `attempts` is 1 for an item whose `item_timeout`
        ended between two attempts.
        """
        return [self._failed_item(event) for event in self.get_by_status("failed")]

    def get_error_summary(self) -> ErrorSummary:
        """Return the failures among the remembered items: counts and details."""
        failed = self.get_failed_items()
        return ErrorSummary(
            total_failed=len(failed),
            errors_by_type=dict(Counter(item.error_type for item in failed)),
            errors_by_stage=dict(Counter(item.stage for item in failed)),
            failed_items=failed,
        )

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if name in TASK_CALLBACKS.values():
            self.changed()  # a callback may be set or removed during a run

    def listens_to(self, hook: str) -> bool:
        """Return whether a callback is set for this hook; True for hooks without a callback."""
        callback = TASK_CALLBACKS.get(hook)
        if callback is None or getattr(type(self), hook) is not getattr(StatusTracker, hook):
            return True  # a subclass that implements the hook itself needs no callback
        return getattr(self, callback) is not None

    @hookimpl
    def antflow_item_status(self, event: StatusEvent) -> Any:
        """Add an event to the item's history, and pass it to `on_status_change`."""
        item_id = event.item_id
        try:
            history = self._histories.get(item_id)
        except Exception:  # rare, so that hashable ids need no check
            item_id = _key_in(self._histories, item_id)
            history = self._histories.get(item_id)
        if history is None:
            history = self._histories[item_id] = []
        # the event's fields, not the event: it refers to the item, whose value would stay alive
        history += (
            event.stage,
            event.status,
            event.worker,
            event.timestamp,
            event.metadata or None,
            event.pipeline,
            event.run_id,
            event.final,
        )
        if event.final and self.max_history is not None:
            self._forget_beyond(self.max_history, item_id)
        return None if self.on_status_change is None else self.on_status_change(event)

    @hookimpl
    def antflow_task_start(self, event: TaskEvent) -> Any:
        """Pass an event to `on_task_start`."""
        return None if self.on_task_start is None else self.on_task_start(event)

    @hookimpl
    def antflow_task_success(self, event: TaskEvent) -> Any:
        """Pass an event to `on_task_complete`."""
        return None if self.on_task_complete is None else self.on_task_complete(event)

    @hookimpl
    def antflow_task_retry(self, event: TaskEvent) -> Any:
        """Pass an event to `on_task_retry`."""
        return None if self.on_task_retry is None else self.on_task_retry(event)

    @hookimpl
    def antflow_task_failure(self, event: TaskEvent) -> Any:
        """Record the number of attempts and the error's location, and call `on_task_fail`."""
        where = None if event.error is None else location(event.error)
        key = _key_in(self._histories, event.item_id)
        self._attempts[key] = event.run_id, event.attempt, where
        return None if self.on_task_fail is None else self.on_task_fail(event)

    def _failed_item(self, event: StatusEvent) -> FailedItem:
        key = _key_in(self._histories, event.item_id)
        run_id, attempts, where = self._attempts.get(key, ("", 1, None))
        if run_id != event.run_id:  # an earlier run's; in this one, no attempt has failed for good
            attempts, where = 1, None
        return FailedItem(
            item_id=event.item_id,
            error=str(event.metadata.get("error", "")),
            error_type=str(event.metadata.get("error_type", "")),
            stage=event.stage or "",
            attempts=attempts,
            timestamp=event.timestamp,
            location=where,
        )

    def _forget_beyond(self, most: int, ended: Any) -> None:
        """Forget the items that ended first, except those that were fed again since."""
        self._ended[ended] = None
        self._ended.move_to_end(ended)
        while len(self._ended) > most:
            oldest, _ = self._ended.popitem(last=False)
            if self._histories[oldest][-1]:  # `final` of its latest event
                del self._histories[oldest]
                self._attempts.pop(oldest, None)


def _event(item_id: Any, entry: list[Any]) -> StatusEvent:
    stage, status, worker, timestamp, metadata, *rest = entry
    return StatusEvent(item_id, stage, status, worker, timestamp, metadata or {}, *rest)


class _Identity:
    """The key of an id that can be neither hashed nor shown: the object itself."""

    __slots__ = ("item_id",)

    def __init__(self, item_id: object) -> None:
        self.item_id = item_id

    def __hash__(self) -> int:
        return id(self.item_id)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Identity) and self.item_id is other.item_id


def _key_in(known: dict[Any, Any], item_id: Any) -> Any:
    """Return an id as a key of a dictionary: its text if its class cannot be one."""
    try:
        known.get(item_id)
    except Exception:  # `__hash__` and `__eq__` of users' classes raise anything
        try:
            return repr(item_id)
        except BaseException:
            return _Identity(item_id)
    return item_id


def _id_of(key: Any) -> Any:
    return key.item_id if isinstance(key, _Identity) else key
