"""Telling observers what happens in a run: the one door, whoever listens behind it."""

from __future__ import annotations

import logging
from asyncio import CancelledError, Task, current_task
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from inspect import isawaitable
from itertools import count
from time import time
from typing import Any, NamedTuple
from weakref import WeakSet

from ._item import Item
from .events import StatusEvent, StatusType, TaskEvent

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
    """An observer that tells when it begins or ceases to listen to a hook, while runs go on.

    Any other listens to all the hooks that it has functions for.
    """

    def __init__(self) -> None:
        self._told_by: WeakSet[Notifier] = WeakSet()

    def listens_to(self, hook: str) -> bool:
        """Tell whether it wants to be told, having a function for that."""
        raise NotImplementedError

    def told_by(self, notifier: Notifier) -> None:
        """Learn who is to be told of a change, as long as it is there."""
        self._told_by.add(notifier)

    def changed(self) -> None:
        """Have all who tell this observer look again at what it listens to."""
        for notifier in tuple(self._told_by):
            notifier.look_again()


class Notifier:
    """Calls those who observe one run, in their order, each apart from the others.

    An observer is an object with functions called as the hooks are. What is told returns None when
    all is said, and else something to await, which returns the cancellation that interrupted one of
    them, if any: the others are called all the same. An observer that raises is logged, once for
    each hook, and counted; otherwise nothing changes.

    Args:
        pipeline: the pipeline's name.
        abort: ends the run; called with a KeyboardInterrupt or SystemExit that an observer raised.
    """

    __slots__ = (
        "__weakref__",
        "_abort",
        "_observers",
        "faults",
        "pipeline",
        "run_id",
        "status",
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
        self.faults: Counter[tuple[str, str]] = Counter()
        self._abort = abort
        self.listen(())

    def listen(self, observers: Iterable[object]) -> None:
        """Have these listen, and no others, from now on.

        Args:
            observers: any that has no function for a hook costs nothing when that is told.
        """
        self._observers = tuple(observers)
        for observer in self._observers:
            if isinstance(observer, Observer):
                observer.told_by(self)
        self.look_again()

    def look_again(self) -> None:
        """See who listens to what."""
        observers = self._observers
        self.status = _listeners(observers, "antflow_item_status")
        self.task_start = _listeners(observers, "antflow_task_start")
        self.task_success = _listeners(observers, "antflow_task_success")
        self.task_retry = _listeners(observers, "antflow_task_retry")
        self.task_failure = _listeners(observers, "antflow_task_failure")
        self.task_cancelled = _listeners(observers, "antflow_task_cancelled")
        ends = self.task_success + self.task_retry + self.task_failure + self.task_cancelled
        self.watches_tasks = bool(self.task_start + ends)

    @property
    def is_silent(self) -> bool:
        """Whether nobody listens."""
        return not (self.status or self.watches_tasks)

    def tell_status(
        self,
        item: Item,
        stage: str,
        status: StatusType,
        worker: str | None = None,
        metadata: dict[str, Any] | None = None,
        *,
        final: bool = False,
    ) -> Awaitable[Cut] | None:
        """Tell that an item changed its status in a stage."""
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
        return self.tell(self.status, event.about(item))

    def tell(
        self, listeners: Sequence[Listener], event: StatusEvent | TaskEvent
    ) -> Awaitable[Cut] | None:
        """Call every one of some listeners with an event."""
        for index, listener in enumerate(listeners):
            try:
                answer = listener.call(event)
            except BaseException as error:
                if (cut := self._sift(listener, event, error)) is not None:
                    return self._go_on(listeners, index + 1, event, cut)
            else:
                if answer is not None and isawaitable(answer):
                    return self._go_on(listeners, index, event, answer=answer)
        return None

    async def _go_on(
        self,
        listeners: Sequence[Listener],
        index: int,
        event: StatusEvent | TaskEvent,
        cut: Cut = None,
        answer: Awaitable[Any] | None = None,
    ) -> Cut:
        """Call the rest, from one of them on, whose answer may have been begun."""
        for listener in listeners[index:]:
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
        for index, listener in enumerate(listeners):
            try:
                answer = listener.call(event)
            except BaseException as error:
                if (cut := self._sift(listener, event, error)) is not None:
                    return _stopped(listeners[: index + 1], cut)
            else:
                if answer is not None and isawaitable(answer):
                    return self._start_on(listeners, index, event, answer)
        return None

    async def _start_on(
        self, listeners: Listeners, index: int, event: TaskEvent, answer: Awaitable[Any] | None
    ) -> tuple[Listeners, Cut]:
        for called, listener in enumerate(listeners[index:], index + 1):
            if (cut := await self._call(listener, event, answer)) is not None:
                return listeners[:called], cut
            answer = None
        return listeners, None

    async def _call(
        self, listener: Listener, event: StatusEvent | TaskEvent, answer: Awaitable[Any] | None
    ) -> Cut:
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

    def _sift(
        self, listener: Listener, event: StatusEvent | TaskEvent, error: BaseException
    ) -> Cut:
        """Return an error if it is the cancellation of the teller; else log it, and go on."""
        if isinstance(error, CancelledError) and cancellations():
            return error
        if isinstance(error, KeyboardInterrupt | SystemExit):
            self._abort(error)
            return None
        self.faults[listener.name, listener.hook] += 1
        if self.faults[listener.name, listener.hook] == 1:
            _logger.error(
                "Pipeline %r: %s of %r raised at item %r in stage %r; the item goes on regardless, "
                "and this is not logged again in this run.",
                self.pipeline,
                listener.hook,
                listener.name,
                event.item_id,
                event.stage,
                exc_info=error,
            )
        return None


async def _stopped(called: Listeners, cut: Cut) -> tuple[Listeners, Cut]:
    return called, cut


def those_of(listeners: Listeners, others: Listeners) -> Listeners:
    """Return the listeners whose observer has one among the others."""
    observers = {id(other.observer) for other in others}
    return tuple(listener for listener in listeners if id(listener.observer) in observers)


def is_cancellation_coming(task: Task[Any] | None = None) -> bool:
    """Tell whether a cancellation of a task, or of the present one, is still to be delivered."""
    return bool(getattr(task or current_task(), "_must_cancel", False))


def _delivered() -> int:
    return cancellations() - is_cancellation_coming()


def cancellations() -> int:
    """Return how often the present task has been asked to end, so that it may be cancelled."""
    task = current_task()
    return 0 if task is None else task.cancelling()


def _listeners(observers: Iterable[object], hook: str) -> Listeners:
    seen: Counter[str] = Counter()
    listeners = []
    for observer in observers:
        name = type(observer).__name__
        seen[name] += 1
        call = getattr(observer, hook, None)
        if call is None or (isinstance(observer, Observer) and not observer.listens_to(hook)):
            continue
        numbered = name if seen[name] == 1 else f"{name}-{seen[name]}"
        listeners.append(Listener(observer, numbered, hook, call))
    return tuple(listeners)
