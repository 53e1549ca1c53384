"""Knows which code may not wait for a run, because the run may be waiting for that code."""

from __future__ import annotations

from asyncio import Future, Task, isfuture
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import Context, ContextVar, copy_context
from typing import Any
from weakref import ref

from antflow._cancellation import present_task

ACTIVE_RUNS: ContextVar[tuple[object, ...]] = ContextVar("antflow_active_runs", default=())
"""The runs that the present code belongs to: of its worker or observer, and those around it."""


def runs_with(run: object) -> tuple[object, ...]:
    """Return what `ACTIVE_RUNS` is for code that belongs to one more run."""
    runs = ACTIVE_RUNS.get()
    return runs if run in runs else (*runs, run)


def enter(run: object, context: Context) -> None:
    """Have the code that runs in a context belong to a run, too."""
    context.run(lambda: ACTIVE_RUNS.set(runs_with(run)))


def new_context(run: object) -> Context:
    """Return a copy of the present context whose code belongs to a run, too."""
    context = copy_context()
    enter(run, context)
    return context


class Reentrancy:
    """Knows the code that one run may be waiting for."""

    def __init__(self, run: object) -> None:
        self._run = run
        self._consumer: Callable[[], Task[Any] | None] = _no_task
        self._observing: Counter[Task[Any] | None] = Counter()
        self.reader: Task[None] | None = None  # which reads the run's input

    def is_inside_task(self) -> bool:
        """Return whether a worker or a hook of the run, maybe through another run, called this."""
        return self._run in ACTIVE_RUNS.get()

    def is_reader(self) -> bool:
        """Return whether the present task is the one that reads the run's input."""
        return self.reader is not None and present_task() is self.reader

    def note_consumer(self) -> None:
        """Remember the present task as the one that takes the stream's results.

        Weakly: a task that was cancelled keeps its frames, and so the stream, which has to go when
        it is left.
        """
        task = present_task()
        if task is not None and self._consumer() is not task:
            self._consumer = ref(task)

    def is_consumer(self) -> bool:
        """Return whether the present task is the one that took the stream's last result."""
        consumer = self._consumer()
        return consumer is not None and consumer is present_task()

    @contextmanager
    def observing(self) -> Iterator[None]:
        """Have the present task known as one that calls observers, and that the run waits for."""
        task = present_task()
        self._observing[task] += 1
        token = ACTIVE_RUNS.set(runs_with(self._run))
        try:
            yield
        finally:
            with suppress(ValueError):  # destroyed by the garbage collector, in another context
                ACTIVE_RUNS.reset(token)
            self._observing[task] -= 1
            if not self._observing[task]:
                del self._observing[task]

    @property
    def has_observing(self) -> bool:
        """Whether a task outside the run calls observers."""
        return bool(self._observing)

    def is_observing(self, task: Task[Any] | None) -> bool:
        """Return whether a task is such a task."""
        return task in self._observing


def _no_task() -> None:
    """Stand for a reference to no task."""


def tasks_waiting_for(task: Task[Any] | None) -> Iterator[Task[Any]]:
    """Yield a task, and those that wait for it: directly, or by `gather`, `wait` or a TaskGroup.

    A task that waits for an event which the other task is to set is not found.
    """
    # The callbacks of a future belong to the waiting task, or refer to the future that it awaits.
    found: list[Any] = [task]
    for future in found:  # which grows meanwhile
        if isinstance(future, Task):
            yield future
        for callback, _ in getattr(future, "_callbacks", None) or ():
            found += [each for each in _futures_of(callback) if each not in found]


def awaited_by(task: Task[Any]) -> Future[Any] | None:
    """Return the future that a task waits for, maybe through other tasks; None while it can run."""
    future = getattr(task, "_fut_waiter", None)
    while isinstance(future, Task):
        future = getattr(future, "_fut_waiter", None)
    return future


def hide_when_destroyed(task: Task[Any]) -> None:
    """Have asyncio not report a task that is destroyed before its end."""
    # For tasks of a run that is dropped: the run itself gives one warning for all of them.
    setattr(task, "_log_destroy_pending", False)  # noqa: B010 - typing knows no such attribute


def _futures_of(callback: Any) -> Iterator[Any]:
    """Yield the futures and tasks that a callback of a future belongs to or refers to."""
    owner = getattr(callback, "__self__", None)  # a task, or a group of tasks
    referred = [owner, getattr(owner, "_parent_task", None), *getattr(callback, "args", ())]
    for cell in getattr(callback, "__closure__", None) or ():
        try:
            referred.append(cell.cell_contents)
        except ValueError:  # an empty cell
            continue
    yield from (each for each in referred if isfuture(each))
