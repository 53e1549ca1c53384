"""Telling observers what happens in a run: the one door, whoever listens behind it."""

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

from ._faults import log_error
from ._item import ItemRecord
from .events import StatusEvent, StatusType, TaskEvent
from .exceptions import PluginError, text_of

Cut = CancelledError | None
"""The cancellation that interrupted an observer, for the teller to raise when it is done."""

_logger = logging.getLogger(__name__)
_run_numbers = count(1)


class Listener(NamedTuple):
    """One function of one observer.

    Args:
        observer: whose it is.
        name: what the log calls the observer.
        hook: what it listens to.
        call: the function; what it returns is awaited where it is awaitable.
    """

    observer: object
    name: str
    hook: str
    call: Callable[[Any], Any]


Listeners = tuple[Listener, ...]


class Observer:
    """An observer that may begin or cease to listen to a hook while runs go on, and says so.

    Any other listens, all the time, to all the hooks that it has functions for.
    """

    def __init__(self) -> None:
        self._told_by: WeakSet[Notifier] = WeakSet()

    def listens_to(self, hook: str) -> bool:
        """Return whether it has a function for this hook, and so is to be called."""
        raise NotImplementedError

    def told_by(self, notifier: Notifier) -> None:
        """Remember a notifier, without keeping it, as one to be told of changes."""
        self._told_by.add(notifier)

    def changed(self) -> None:
        """Have all who tell this observer look again at what it listens to."""
        for notifier in tuple(self._told_by):
            notifier.look_again()


class Audience(Protocol):
    """Those who may listen."""

    def listeners(self, hook: str) -> Listeners:
        """Return who listens to a hook, in the order of the calls."""

    def observers(self) -> list[Observer]:
        """Return those that tell when they begin or cease to listen."""


class Notifier:
    """Calls those who observe one run, in their order, each apart from the others.

    What is told returns None when all is said, and else something to await, which returns the
    cancellation that interrupted one of them, if any: the others are called all the same. An
    observer that raises is logged, once for each hook, and counted; otherwise nothing changes,
    unless the run is to be `strict`: then the first such error ends it.

    Who listens to a hook is an attribute here, looked up before an event is made: `status` to an
    item's status, `fed` to the first such event of an item and `finished` to its last, and one for
    each of the hooks of attempts.

    Args:
        pipeline: the pipeline's name.
        abort: ends the run; called with a KeyboardInterrupt or SystemExit that an observer raised.
    """

    __slots__ = (
        "__weakref__",
        "_abort",
        "_audience",
        "_logged",
        "faults",
        "fed",
        "finished",
        "pipeline",
        "run_id",
        "status",
        "strict",
        "task_cancelled",
        "task_failure",
        "task_retry",
        "task_start",
        "task_success",
        "watches_tasks",
    )

    def __init__(self, pipeline: str, abort: Callable[[BaseException], None]) -> None:
        self.pipeline = pipeline
        self.run_id = f"{pipeline}-{next(_run_numbers)}"
        self.faults: Counter[str] = Counter()
        self.strict = False
        self._abort = abort
        self._logged: set[tuple[str, str]] = set()

    def listen(self, audience: Audience) -> None:
        """Have these listen, and no others, from now on."""
        self._audience = audience
        for observer in audience.observers():
            observer.told_by(self)
        self.look_again()

    def look_again(self) -> None:
        """See who listens to what; a hook that nobody listens to costs nothing when it is told."""
        listeners = self._audience.listeners
        self.status = listeners("antflow_item_status")
        self.fed = listeners("antflow_item_start") + self.status
        self.finished = self.status + listeners("antflow_item_finish")
        self.task_start = listeners("antflow_task_start")
        self.task_success = listeners("antflow_task_success")
        self.task_retry = listeners("antflow_task_retry")
        self.task_failure = listeners("antflow_task_failure")
        self.task_cancelled = listeners("antflow_task_cancelled")
        ends = self.task_success + self.task_retry + self.task_failure + self.task_cancelled
        self.watches_tasks = bool(self.task_start + ends)

    @property
    def is_silent(self) -> bool:
        """Whether nobody listens."""
        return not (self.fed or self.finished or self.watches_tasks)

    def tell_status(
        self,
        item: ItemRecord,
        stage: str,
        status: StatusType,
        worker: str | None = None,
        metadata: dict[str, Any] | None = None,
        *,
        final: bool = False,
        listeners: Listeners | None = None,
    ) -> Awaitable[Cut] | None:
        """Tell that an item changed its status in a stage.

        Args:
            item: the item.
            stage: name of the stage.
            status: what it is at.
            worker: name of the worker that has it.
            metadata: what else the event says.
            final: whether it is the item's last event.
            listeners: who is told; None for all who listen to that.
        """
        if listeners is None:
            listeners = self.finished if final else self.status
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
        return self.tell(listeners, event.about(item))

    def tell(self, listeners: Listeners, event: Any) -> Awaitable[Cut] | None:
        """Call every one of some listeners with an event."""
        rest = iter(listeners)
        for listener in rest:
            try:
                answer = listener.call(event)
            except BaseException as error:
                if (cut := self._sift(listener, event, error)) is not None:
                    return self._go_on(tuple(rest), event, cut)
            else:
                if answer is not None and isawaitable(answer):
                    return self._go_on((listener, *rest), event, answer=answer)
        return None

    async def _go_on(
        self,
        listeners: Listeners,
        event: Any,
        cut: Cut = None,
        answer: Awaitable[Any] | None = None,
    ) -> Cut:
        """Call the rest, the first of which may have begun its answer."""
        for listener in listeners:
            cut = await self._call(listener, event, answer) or cut
            answer = None
        return cut

    def tell_start(self, event: TaskEvent) -> Awaitable[tuple[Listeners, Cut]] | None:
        """Tell that an attempt begins, unless and until it is interrupted.

        Returns:
            None when all is said; else what returns, awaited, who was called, and what
            interrupted the last of them.
        """
        listeners = self.task_start
        rest = iter(listeners)
        for listener in rest:
            try:
                answer = listener.call(event)
            except BaseException as error:
                if (cut := self._sift(listener, event, error)) is not None:
                    return _stopped(listeners[: _called(listeners, rest)], cut)
            else:
                if answer is not None and isawaitable(answer):
                    before = _called(listeners, rest) - 1
                    return self._start_on(listeners, before, event, answer)
        return None

    async def _start_on(
        self, listeners: Listeners, index: int, event: TaskEvent, answer: Awaitable[Any] | None
    ) -> tuple[Listeners, Cut]:
        for called, listener in enumerate(listeners[index:], index + 1):
            if (cut := await self._call(listener, event, answer)) is not None:
                return listeners[:called], cut
            answer = None
        return listeners, None

    async def _call(self, listener: Listener, event: Any, answer: Awaitable[Any] | None) -> Cut:
        """Call one, and wait for it; a cancellation that it swallows is one all the same."""
        before = _delivered()
        try:
            if answer is None:
                answer = listener.call(event)
            if answer is not None and isawaitable(answer):
                await answer
        except GeneratorExit:
            raise
        except BaseException as error:
            return self._sift(listener, event, error)
        return CancelledError() if _delivered() > before else None

    def _sift(self, listener: Listener, event: Any, error: BaseException) -> Cut:
        """Return the cancellation of the teller, if an error is that; else log it, and go on.

        It is made anew: the error's frames hold those of the teller, which hold what is returned.
        """
        if isinstance(error, CancelledError) and cancellations():
            return CancelledError(*error.args)
        if isinstance(error, KeyboardInterrupt | SystemExit):
            self._abort(error)
            return None
        self.note_fault(listener.name, listener.hook, error, event)
        return None

    def note_fault(self, name: str, hook: str, error: BaseException, event: Any = None) -> None:
        """Count what a plugin did wrong, and log it, once per hook; if strict, end the run."""
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

    async def ask(self, hook: str, arguments: dict[str, Any]) -> tuple[dict[str, Any], Cut]:
        """Call all who listen to a hook, one after the other.

        Returns:
            What each returned, by its name, and what interrupted one of them, if anything did.
        """
        answers: dict[str, Any] = {}
        cut: Cut = None
        for listener in self._audience.listeners(hook):
            asked = _Asked(listener.call)
            cut = await self._call(listener._replace(call=asked), arguments, None) or cut
            answers[listener.name] = asked.answer
        return answers, cut


class _Asked:
    """A call whose answer is remembered."""

    def __init__(self, call: Callable[[Any], Any]) -> None:
        self.answer: Any = None
        self._call = call

    async def __call__(self, arguments: dict[str, Any]) -> None:
        answer = self._call(arguments)
        self.answer = await answer if isawaitable(answer) else answer


def _where(event: Any) -> str:
    if not isinstance(event, StatusEvent | TaskEvent):
        return ""
    try:
        item = repr(event.item_id)
    except Exception:
        item = f"(an id of type {type(event.item_id).__name__})"
    return f" at item {item} in stage {event.stage!r}"


def _called(listeners: Listeners, rest: Iterator[Listener]) -> int:
    """Return how many have been called: it is counted only where somebody has to be awaited."""
    return len(listeners) - len(tuple(rest))


async def _stopped(called: Listeners, cut: Cut) -> tuple[Listeners, Cut]:
    return called, cut


def those_of(listeners: Listeners, others: Listeners) -> Listeners:
    """Return the listeners whose observer has one among the others."""
    observers = {id(other.observer) for other in others}
    return tuple(listener for listener in listeners if id(listener.observer) in observers)


def those_called(listeners: Listeners, names: Container[str]) -> Listeners:
    """Return the listeners whose observer has one of these names."""
    return tuple(listener for listener in listeners if listener.name in names)


def is_cancellation_coming(task: Task[Any] | None = None) -> bool:
    """Tell whether a cancellation of a task, or of the present one, is still to be delivered."""
    return bool(getattr(task or current_task(), "_must_cancel", False))


def _delivered() -> int:
    return cancellations() - is_cancellation_coming()


def cancellations() -> int:
    """Return how often the present task has been asked to end, so that it may be cancelled."""
    task = current_task()
    return 0 if task is None else task.cancelling()
