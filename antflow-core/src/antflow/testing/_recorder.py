"""`Recorder`: a plugin that remembers every call of a hook, in order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from antflow._plugins.validation import PREFIX
from antflow.events import StatusEvent, TaskEvent
from antflow.hookspecs import hookimpl
from antflow.results import ErrorSummary


@dataclass(frozen=True, slots=True)
class HookCall:
    """One call of a hook.

    `str` shows what is the same in each run, such as
    "task_retry item=1 stage=Parse task=parse attempt=1 error=ValueError".

    Args:
        hook: name of the hook, such as "antflow_task_start".
        arguments: the arguments of the call, by name.
    """

    hook: str
    arguments: dict[str, Any]

    @property
    def event(self) -> Any:
        """The event that the hook was called with.

        Raises:
            LookupError: this hook is not called with an event.
        """
        if "event" not in self.arguments:
            raise LookupError(f"{self.hook} has no event, only {', '.join(self.arguments)}")
        return self.arguments["event"]

    @property
    def item_id(self) -> Any:
        """The id of the event's item; None if the hook is not called with an event."""
        return getattr(self.arguments.get("event"), "item_id", None)

    def __str__(self) -> str:
        fields = " ".join(f"{name}={value}" for name, value in self._fields())
        return f"{self.hook.removeprefix(PREFIX)} {fields}".rstrip()

    def _fields(self) -> Iterator[tuple[str, object]]:
        for name, value in self.arguments.items():
            if isinstance(value, TaskEvent):
                yield from _task_fields(value)
            elif isinstance(value, StatusEvent):
                yield from _status_fields(value)
            elif isinstance(value, ErrorSummary):
                yield "failed", value.total_failed
            elif name == "pipeline":
                yield name, getattr(value, "name", value)
            # other values, such as a parser, differ in each run
            elif value is None or isinstance(value, str | int):
                yield name, value


def _task_fields(event: TaskEvent) -> Iterator[tuple[str, object]]:
    yield "item", event.item_id
    yield "stage", event.stage
    yield "task", event.task_name
    yield "attempt", event.attempt
    if event.error is not None:
        yield "error", type(event.error).__name__


def _status_fields(event: StatusEvent) -> Iterator[tuple[str, object]]:
    yield "item", event.item_id
    yield "stage", event.stage
    yield "status", event.status


class Recorder:
    """A plugin that remembers every call of a hook, in order, and does nothing else.

    `calls` has all calls. It keeps every event and item in memory, so use it in tests only.
    """

    antflow_name = "recorder"

    def __init__(self) -> None:
        self.calls: list[HookCall] = []

    @property
    def hooks(self) -> list[str]:
        """Names of the hooks that were called, in order, without "antflow_"."""
        return [call.hook.removeprefix(PREFIX) for call in self.calls]

    @property
    def lines(self) -> list[str]:
        """Each call as text, in order."""
        return [str(call) for call in self.calls]

    def of(self, hook: str) -> list[HookCall]:
        """Return the calls of one hook.

        Args:
            hook: with or without "antflow_".
        """
        full = PREFIX + hook.removeprefix(PREFIX)
        return [call for call in self.calls if call.hook == full]

    def about(self, item_id: Any) -> list[HookCall]:
        """Return the calls whose event is about one item."""
        return [
            call for call in self.calls if "event" in call.arguments and call.item_id == item_id
        ]

    def clear(self) -> None:
        """Forget all calls."""
        self.calls.clear()

    def _record(self, hook: str, **arguments: Any) -> None:
        self.calls.append(HookCall(PREFIX + hook, arguments))

    @hookimpl
    def antflow_add_options(self, parser: Any) -> None:
        """Record that the command line asks for options."""
        self._record("add_options", parser=parser)

    @hookimpl
    def antflow_configure(self, options: Any) -> None:
        """Record the options of the command line."""
        self._record("configure", options=options)

    @hookimpl
    def antflow_dashboard(self, name: str) -> None:
        """Record that a dashboard is asked for, and return None."""
        self._record("dashboard", name=name)

    @hookimpl
    def antflow_pipeline_start(self, pipeline: Any, total_items: int | None) -> None:
        """Record that a run begins."""
        self._record("pipeline_start", pipeline=pipeline, total_items=total_items)

    @hookimpl
    def antflow_item_start(self, event: StatusEvent) -> None:
        """Record that an item enters the run."""
        self._record("item_start", event=event)

    @hookimpl
    def antflow_item_status(self, event: StatusEvent) -> None:
        """Record that an item has changed its status."""
        self._record("item_status", event=event)

    @hookimpl
    def antflow_item_finish(self, event: StatusEvent) -> None:
        """Record that an item has ended."""
        self._record("item_finish", event=event)

    @hookimpl
    def antflow_task_start(self, event: TaskEvent) -> None:
        """Record that an attempt begins."""
        self._record("task_start", event=event)

    @hookimpl
    def antflow_task_success(self, event: TaskEvent) -> None:
        """Record that an attempt has returned."""
        self._record("task_success", event=event)

    @hookimpl
    def antflow_task_retry(self, event: TaskEvent) -> None:
        """Record that an attempt has failed and another follows."""
        self._record("task_retry", event=event)

    @hookimpl
    def antflow_task_failure(self, event: TaskEvent) -> None:
        """Record that an attempt has failed and no other follows."""
        self._record("task_failure", event=event)

    @hookimpl
    def antflow_task_cancelled(self, event: TaskEvent) -> None:
        """Record that an attempt was cancelled."""
        self._record("task_cancelled", event=event)

    @hookimpl
    def antflow_pipeline_finish(self, pipeline: Any, error_summary: ErrorSummary) -> None:
        """Record that a run has ended."""
        self._record("pipeline_finish", pipeline=pipeline, error_summary=error_summary)
