"""Calls the hooks of one run."""

from __future__ import annotations

import logging
from asyncio import CancelledError, Task, current_task
from collections import Counter
from collections.abc import Awaitable, Callable, Container, Iterator
from inspect import isawaitable
from itertools import count
from time import time
from typing import Any, NamedTuple, Protocol
from weakref import WeakSet

from antflow._errors.safe_logging import log_error
from antflow.events import StatusEvent, StatusType, TaskEvent
from antflow.exceptions import PluginError, text_of
from antflow.results import PipelineResult

_logger = logging.getLogger(__name__)
_run_numbers = count(1)


class Listener(NamedTuple):
    """One hook function of one observer.

    Args:
        observer: the plugin.
        name: the plugin's name.
        hook: the hook that the function implements.
        call: the function; an awaitable that it returns is awaited.
    """

    observer: object
    name: str
    hook: str
    call: Callable[[Any], Any]


Listeners = tuple[Listener, ...]


class Observer:
    """A plugin that may begin or cease to listen to a hook while runs go on.

    Any other plugin listens, all the time, to all the hooks that it has functions for.
    """

    def __init__(self) -> None:
        self._dispatchers: WeakSet[Dispatcher] = WeakSet()

    def listens_to(self, hook: str) -> bool:
        """Return whether a function for this hook is set."""
        raise NotImplementedError

    def attach(self, dispatcher: Dispatcher) -> None:
        """Remember a dispatcher, without keeping it, as one to be notified of changes."""
        self._dispatchers.add(dispatcher)

    def changed(self) -> None:
        """Have the dispatchers look again at what this observer listens to."""
        for dispatcher in tuple(self._dispatchers):
            dispatcher.compile()


class Listening(Protocol):
    """The plugins of a run."""

    def listeners(self, hook: str) -> Listeners:
        """Return the functions that implement a hook, in the order of the calls."""

    def observers(self) -> list[Observer]:
        """Return the plugins that notify dispatchers of changes."""


class Dispatcher:
    """Calls the observers of one run, in their order, each apart from the others.

    `emit` returns None when all calls are made, and otherwise an awaitable that makes the rest. An
    exception is logged once per hook and plugin, and counted; nothing else changes, unless the run
    is `strict`: then the first one ends it. A cancellation ends the hook that it meets. The others
    are called nonetheless, and the caller finds it in its task's `cancelling()`.

    The listeners of each hook are an attribute, looked up before an event is made: `status` for an
    item's status, `item_start` for its first such event, `item_finish` for its last, and one for
    each hook of an attempt.

    Args:
        pipeline: the pipeline's name.
        abort: ends the run; called with a KeyboardInterrupt or SystemExit of an observer.
    """

    __slots__ = (
        "__weakref__",
        "_abort",
        "_logged",
        "_plugins",
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
        self.run_id = f"{pipeline}-{next(_run_numbers)}"
        self.faults: Counter[str] = Counter()
        self.strict = False
        self._abort = abort
        self._logged: set[tuple[str, str]] = set()

    def listen(self, plugins: Listening) -> None:
        """Call these plugins, and no others, from now on."""
        self._plugins = plugins
        for observer in plugins.observers():
            observer.attach(self)
        self.compile()

    def compile(self) -> None:
        """Look up the listeners of each hook; one without listeners costs nothing."""
        listeners = self._plugins.listeners
        self.status = listeners("antflow_item_status")
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
        """Emit that an item changed its status in a stage.

        Args:
            item: the item.
            stage: name of the stage.
            status: the new status.
            worker: name of the worker that holds the item.
            metadata: what else the event says.
            final: whether it is the item's last event.
            listeners: the functions to call; None for all that listen to such an event.
        """
        if listeners is None:
            listeners = self.item_finish if final else self.status
        event = StatusEvent(
            item.id,
            stage,
            status,
            worker,
            time(),
            {} if metadata is None else metadata,
            self.pipeline,
            self.run_id,
            final,
        )
        return self.emit(listeners, event.about(item))

    def emit(self, listeners: Listeners, event: Any) -> Awaitable[None] | None:
        """Call each of some listeners with an event."""
        remaining = iter(listeners)
        for listener in remaining:
            try:
                answer = listener.call(event)
            except BaseException as error:
                self._on_error(listener, error, event)
            else:
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

    async def _call(self, listener: Listener, event: Any) -> Any:
        try:
            answer = listener.call(event)
        except BaseException as error:
            self._on_error(listener, error, event)
            return None
        return await self._await(listener, answer, event) if isawaitable(answer) else answer

    async def _await(self, listener: Listener, answer: Awaitable[Any], event: Any) -> Any:
        try:
            return await answer
        except GeneratorExit:
            raise
        except BaseException as error:
            self._on_error(listener, error, event)
            return None

    def _on_error(self, listener: Listener, error: BaseException, event: Any) -> None:
        if isinstance(error, CancelledError) and cancellations():
            return  # the caller's own; its task remembers it
        if isinstance(error, KeyboardInterrupt | SystemExit):
            self._abort(error)
        else:
            self.note_fault(listener.name, listener.hook, error, event)

    def note_fault(self, name: str, hook: str, error: BaseException, event: Any = None) -> None:
        """Count an error of a plugin, and log it, once per hook; in strict mode, end the run."""
        self.faults[name] += 1
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
                _where(event),
            )
        if self.strict:
            unforgiven = PluginError(
                f"{hook} of plugin {name!r} raised {type(error).__name__}: {text_of(error)}"
                f"{_where(event)}; mend it, disable the plugin, or unset ANTFLOW_STRICT_PLUGINS "
                "to have it logged and ignored",
                plugin=name,
                hook=hook,
                item_id=getattr(event, "item_id", None),
            )
            unforgiven.__cause__ = error
            self._abort(unforgiven)

    async def call_hook(self, hook: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """Call all plugins that implement a hook, and return what each returned, by its name."""
        return {
            listener.name: await self._call(listener, arguments)
            for listener in self._plugins.listeners(hook)
        }


def _where(event: Any) -> str:
    if not isinstance(event, StatusEvent | TaskEvent):
        return ""
    try:
        item = repr(event.item_id)
    except Exception:
        item = f"(an id of type {type(event.item_id).__name__})"
    return f" at item {item} in stage {event.stage!r}"


def listeners_of(listeners: Listeners, names: Container[str]) -> Listeners:
    """Return those of some listeners whose plugin has one of these names."""
    return tuple(listener for listener in listeners if listener.name in names)


def cancellations(task: Task[Any] | None = None) -> int:
    """Return how often a task, or the present one, has been asked to end."""
    task = task or current_task()
    return 0 if task is None else task.cancelling()


def delivered_cancellations() -> int:
    """Return how many cancellations the present task has got, without one that is pending."""
    task = current_task()
    return 0 if task is None else task.cancelling() - is_cancellation_pending(task)


def is_cancellation_pending(task: Task[Any]) -> bool:
    """Return whether a cancellation of a task is still to be delivered."""
    return bool(getattr(task, "_must_cancel", False))
