"""`Dispatcher`, which calls the hooks of one run."""

from __future__ import annotations

import logging
from asyncio import CancelledError
from collections import Counter
from collections.abc import Awaitable, Callable, Container, Iterator
from inspect import isawaitable
from os import urandom
from time import time
from typing import Any, NamedTuple, Protocol
from weakref import WeakSet

from antflow._cancellation import (
    await_in_time,
    cancellations,
    is_closing,
    present_task,
    uncancel_group,
)
from antflow._errors.safe_logging import log_error
from antflow._errors.texts import shown
from antflow._errors.tracebacks import limit_traceback
from antflow._read_only import NO_METADATA, ReadOnlyDict
from antflow.events import StatusEvent, StatusType, TaskEvent
from antflow.exceptions import PluginError, text_of
from antflow.results import PipelineResult

_logger = logging.getLogger(__name__)


class Listener(NamedTuple):
    """One hook function of one observer.

    Args:
        call: the function; an awaitable that it returns is awaited.
    """

    observer: object
    name: str
    hook: str
    call: Callable[[Any], Any]


START = "antflow_pipeline_start"

WaitFor = Callable[[Awaitable[Any]], Awaitable[Any]]
"""Awaits an awaitable for a limited time."""

Listeners = tuple[Listener, ...]
"""Functions in the order of their calls."""


class Observer:
    """A plugin that may begin or cease to listen to a hook during a run.

    Any other plugin always listens to all hooks that it implements.
    """

    def __init__(self) -> None:
        # Weak, because an observer such as a tracker may be used for more runs than one.
        self._dispatchers: WeakSet[Dispatcher] = WeakSet()

    def listens_to(self, hook: str) -> bool:
        """Return whether the observer listens to a hook now."""
        raise NotImplementedError

    def attach(self, dispatcher: Dispatcher) -> None:
        """Notify a dispatcher of changes, as long as it exists."""
        self._dispatchers.add(dispatcher)

    def changed(self) -> None:
        """Make the dispatchers look up the listeners again."""
        for dispatcher in tuple(self._dispatchers):
            dispatcher.compile()


class ListenerSource(Protocol):
    """The plugins of a run."""

    def listeners(self, hook: str) -> Listeners:
        """Return the functions that implement a hook, in the order of the calls."""

    def observers(self) -> list[Observer]:
        """Return the plugins that notify dispatchers of changes."""


class Dispatcher:
    """Calls the observers of one run in their order, and keeps their exceptions from the run.

    `emit` returns None when all calls are made, or else an awaitable that makes the remaining ones.
    An exception is counted, and logged once per hook and plugin. In a `strict` run, the first
    exception ends the run.

    The listeners of each hook are an attribute: `status` for an item's status, `item_start` for its
    first status event, `item_finish` for its last, and one for each hook of an attempt.

    Args:
        abort: ends the run; called with a KeyboardInterrupt or SystemExit of an observer, with a
            PluginError of `antflow_pipeline_start`, and in a strict run with any PluginError.
    """

    # A cancellation is remembered by asyncio alone, in the task's `cancelling()`: it ends the hook
    # that it meets, the remaining hooks are called, and the worker looks at the task once it has
    # applied the item's outcome (`_conclude` in `_engine.workers.loops`). So each start
    # that was emitted has its end, and no flag of ours can disagree with asyncio.

    __slots__ = (
        "__weakref__",
        "_abort",
        "_logged",
        "_plugins",
        "fault_listeners",
        "faults",
        "item_finish",
        "item_start",
        "observes_tasks",
        "pipeline",
        "run_id",
        "status",
        "strict",
        "task_cancelled",
        "task_failure",
        "task_retry",
        "task_start",
        "task_success",
    )

    def __init__(self, pipeline: str, abort: Callable[[BaseException], None]) -> None:
        self.pipeline = pipeline
        # Random, so that runs of several processes, or of a forked one, differ.
        self.run_id = f"{pipeline}-{urandom(8).hex()}"
        self.faults: Counter[str] = Counter()
        self.fault_listeners: list[Callable[[str], None]] = []  # called with the plugin's name
        self.strict = False
        self._abort = abort
        self._logged: set[tuple[str, str]] = set()

    def listen(self, plugins: ListenerSource) -> None:
        """Call these plugins from now on, in place of any earlier ones."""
        self._plugins = plugins
        for observer in plugins.observers():
            observer.attach(self)
        self.compile()

    def compile(self) -> None:
        """Look up the listeners of each hook."""
        # An empty tuple is false: for a hook without listeners, no event is made.
        listeners = self._plugins.listeners
        self.status = listeners("antflow_item_status")
        # An item's start and finish are its first and last status event. They have hooks of their
        # own, because a tracer needs only these two: three events a stage would cost it 2 us.
        self.item_start = listeners("antflow_item_start") + self.status
        self.item_finish = self.status + listeners("antflow_item_finish")
        self.task_start = listeners("antflow_task_start")
        self.task_success = listeners("antflow_task_success")
        self.task_retry = listeners("antflow_task_retry")
        self.task_failure = listeners("antflow_task_failure")
        self.task_cancelled = listeners("antflow_task_cancelled")
        ends = self.task_success + self.task_retry + self.task_failure + self.task_cancelled
        self.observes_tasks = bool(self.task_start + ends)

    @property
    def is_silent(self) -> bool:
        """Whether no plugin listens to items or attempts."""
        return not (self.item_start or self.item_finish or self.observes_tasks)

    def emit_status(
        self,
        item: PipelineResult,
        stage: str,
        status: StatusType,
        worker: str | None = None,
        metadata: dict[str, Any] | None = None,
        *,
        final: bool = False,
        listeners: Listeners | None = None,
    ) -> Awaitable[None] | None:
        """Emit a status event.

        Args:
            final: whether it is the item's last event.
            listeners: the functions to call; None for all listeners of the event's hook.
        """
        if listeners is None:
            listeners = self.item_finish if final else self.status
        event = StatusEvent(
            item.id,
            stage,
            status,
            worker,
            time(),
            NO_METADATA if metadata is None else ReadOnlyDict(metadata),
            self.pipeline,
            self.run_id,
            final,
        )
        return self.emit(listeners, event.about(item))

    def emit(self, listeners: Listeners, event: Any) -> Awaitable[None] | None:
        """Call listeners with an event; return an awaitable if one of them has to be awaited."""
        # Plain functions, the common case, cost no coroutine: one is made at the first awaitable.
        remaining = iter(listeners)
        for listener in remaining:
            try:
                answer = listener.call(event)
            except BaseException as error:
                self._on_error(listener, error, event)
            else:
                # Most functions return None, which a comparison finds faster than `isawaitable`.
                if answer is not None and isawaitable(answer):
                    return self._await_observers(listener, answer, remaining, event)
        return None

    async def _await_observers(
        self,
        listener: Listener,
        answer: Awaitable[Any],
        remaining: Iterator[Listener],
        event: Any,
    ) -> None:
        """Await an answer, then call the remaining listeners and await theirs."""
        await self._await(listener, answer, event)
        for following in remaining:
            await self._call(following, event)

    async def _call(self, listener: Listener, event: Any, wait_for: WaitFor | None = None) -> Any:
        try:
            answer = listener.call(event)
        except BaseException as error:
            self._on_error(listener, error, event)
            return None
        return (
            await self._await(listener, answer, event, wait_for) if isawaitable(answer) else answer
        )

    async def _await(
        self,
        listener: Listener,
        answer: Awaitable[Any],
        event: Any,
        wait_for: WaitFor | None = None,
    ) -> Any:
        task = present_task()
        before = cancellations(task)
        if before and wait_for is None:  # it ended an earlier hook, and cannot end this one, too
            wait_for = await_in_time
        try:
            return await (answer if wait_for is None else wait_for(answer))
        except BaseException as error:
            if is_closing(error, task):
                raise
            if isinstance(error, BaseExceptionGroup) and task is not None:
                uncancel_group(task, before)
            self._on_error(listener, error, event)
            return None

    def _on_error(self, listener: Listener, error: BaseException, event: Any) -> None:
        # Without a cancellation of the task, a CancelledError is an error of the observer.
        if isinstance(error, CancelledError) and cancellations():
            return  # the caller finds it in `cancelling()` of its task
        if isinstance(error, KeyboardInterrupt | SystemExit):
            self._abort(error)
        elif isinstance(error, PluginError) and listener.hook == START:
            # It refuses the run. What it left out is filled in: it need not know its own name.
            error.plugin, error.hook = error.plugin or listener.name, error.hook or START
            self._abort(error)
        else:
            self.note_fault(listener.name, listener.hook, error, event)

    def note_fault(self, name: str, hook: str, error: BaseException, event: Any = None) -> None:
        """Count an error of a plugin, and log the first of each hook; if strict, end the run."""
        self.faults[name] += 1
        for count in self.fault_listeners:
            count(name)
        limit_traceback(error)
        # Logged once: a plugin that raises for each item would fill the log.
        if (name, hook) not in self._logged:
            self._logged.add((name, hook))
            log_error(
                _logger,
                error,
                "Pipeline %r: %s of plugin %r raised%s; the run goes on regardless, and this is "
                "not logged again in it.",
                self.pipeline,
                hook,
                name,
                _event_text(event),
            )
        if self.strict:
            strict_error = PluginError(
                f"{hook} of plugin {name!r} raised {type(error).__name__}: {text_of(error)}"
                f"{_event_text(event)}; fix it, disable the plugin, or unset "
                "ANTFLOW_STRICT_PLUGINS to have it logged and ignored",
                plugin=name,
                hook=hook,
                item_id=getattr(event, "item_id", None),
            )
            strict_error.__cause__ = error
            # The run is aborted, not the call: all end hooks are still called.
            self._abort(strict_error)

    async def call_hook(
        self, hook: str, arguments: Callable[[], dict[str, object]], wait_for: WaitFor | None = None
    ) -> dict[str, object]:
        """Call a hook of all plugins, and return the results by the plugins' names.

        Args:
            arguments: returns the arguments, anew for each plugin, which may change them.
            wait_for: awaits what a function returned; None to wait until it returns.
        """
        return {
            listener.name: await self._call(listener, arguments(), wait_for)
            for listener in self._plugins.listeners(hook)
        }


def _event_text(event: Any) -> str:
    """Return which item and stage an event is about, as a part of a log message."""
    if not isinstance(event, StatusEvent | TaskEvent):
        return ""
    return f" at item {shown(event.item_id)} in stage {event.stage!r}"


def listeners_of(listeners: Listeners, names: Container[str]) -> Listeners:
    """Return the listeners whose plugin has one of these names."""
    return tuple(listener for listener in listeners if listener.name in names)
