"""The threads of a stage, in which its plain functions run."""

from __future__ import annotations

import logging
from asyncio import AbstractEventLoop, Event, Future, get_running_loop
from collections.abc import Callable, Iterable
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from inspect import isawaitable
from queue import SimpleQueue
from threading import Thread
from typing import Any

from antflow._errors.tracebacks import reraise

MAX_ABANDONED = 10
"""For each worker; then calls with a timeout wait, or the threads of functions that hang would
pile up."""

_Outcome = tuple[Any, BaseException | None]
_logger = logging.getLogger(__name__)


class Threads:
    """The threads of one stage; each is started when no other is free.

    A running thread cannot be cancelled. If its caller is cancelled, it is abandoned: it ends when
    its function returns, and the next call gets another thread.

    Args:
        stage: name of the stage; the threads are called `{stage}-T{number}`.
        workers: how many workers the stage has.
    """

    def __init__(self, stage: str, workers: int) -> None:
        self.abandoned = 0
        self._workers = workers
        self._warned: set[str] = set()
        self._may_start = Event()
        self._may_start.set()
        self._stage = stage
        self._started = 0
        self._free: list[_StageThread] = []  # those without a job
        self._ending: list[_StageThread] = []  # those that were told to end, and may still do so

    async def run(self, function: Callable[[Any], Any], name: str, value: Any) -> Any:
        """Call a function in a thread, with the caller's context variables.

        Args:
            function: called with `value`.
            name: what the log calls it.

        Raises:
            BaseException: the function's exception.
        """
        thread = self._free.pop() if self._free else self._start()
        job = _Job(self, function, value)
        thread.jobs.put(job)
        try:
            result, error = await job.answer
        except BaseException:
            # The function may have returned just before the cancellation arrived.
            if job.is_over:
                self._keep(thread)
            else:
                self._abandon(thread, job, name)
            raise
        self._keep(thread)
        if error is None:
            # A plain function may return a coroutine, which belongs to the loop.
            return await result if isawaitable(result) else result
        try:
            reraise(error)
        finally:
            del error, job  # breaks a cycle; see _errors/tracebacks.py

    @property
    def are_too_many(self) -> bool:
        """Whether so many threads are abandoned that calls with a timeout wait."""
        return self.abandoned >= MAX_ABANDONED * self._workers

    async def wait_ready(self) -> None:
        """Wait until so few threads are abandoned that another may be started."""
        await self._may_start.wait()

    def resize(self, workers: int) -> None:
        """Serve so many workers from now on; free threads beyond that number end."""
        self._workers = workers
        self._end_free(workers)
        self.count_abandoned(0)

    def close(self, *, cancel: bool) -> Future[None] | None:
        """End the free threads, the last call being over.

        Args:
            cancel: do not wait for them.

        Returns:
            A future that is done when they have ended; None if there is nothing to wait for.
        """
        if cancel or not self._free:
            self._end_free(0)
            return None
        last = self._free.pop()
        self._end_free(0)
        ended: Future[None] = get_running_loop().create_future()
        # Not the event loop, but the last thread waits for the others.
        job = _Job(self, _join, self._ending)
        job.answer.add_done_callback(partial(_join_last, last, ended))
        last.jobs.put(job)
        last.jobs.put(None)
        return ended

    def _keep(self, thread: _StageThread) -> None:
        """Keep a thread for the next call."""
        self._free.append(thread)
        if len(self._free) > self._workers:
            self._end_free(self._workers)

    def _end_free(self, kept: int) -> None:
        """End free threads, except for so many."""
        ending = self._free[kept:]
        del self._free[kept:]
        for thread in ending:
            thread.jobs.put(None)
        self._ending = [each for each in (*self._ending, *ending) if each.is_alive()]

    def _start(self) -> _StageThread:
        thread = _StageThread(f"{self._stage}-T{self._started}")
        thread.start()
        self._started += 1
        return thread

    def _abandon(self, thread: _StageThread, job: _Job, name: str) -> None:
        self.count_abandoned(1)
        job.is_abandoned = True
        thread.jobs.put(None)  # read after the function has returned
        if name in self._warned:  # once: a function with a time limit may be abandoned often
            return
        self._warned.add(name)
        _logger.warning(
            "Stage %r: a thread that runs %s was abandoned, since a running thread cannot be "
            "cancelled; it ends when the function returns. Give the function a time limit of "
            "its own, or make it a coroutine function.",
            self._stage,
            name,
        )

    def count_abandoned(self, change: int) -> None:
        """Count that a thread was abandoned, or that an abandoned one has ended."""
        self.abandoned += change
        if self.are_too_many:
            self._may_start.clear()
        else:
            self._may_start.set()


class _StageThread(Thread):
    """A thread that runs jobs until it gets None."""

    def __init__(self, name: str) -> None:
        # A daemon, not a thread of an executor: Python's exit would wait for a function that hangs.
        super().__init__(name=name, daemon=True)
        self.jobs: SimpleQueue[_Job | None] = SimpleQueue()

    def run(self) -> None:
        while (job := self.jobs.get()) is not None:
            job.run()
            del job  # or its value would live until the next job


class _Job:
    """One call in a thread, and the future of its outcome on the event loop."""

    __slots__ = (
        "_context",
        "_function",
        "_loop",
        "_threads",
        "_value",
        "answer",
        "is_abandoned",
        "is_over",
    )

    def __init__(self, threads: Threads, function: Callable[[Any], Any], value: Any) -> None:
        self._threads = threads
        self._function = function
        self._value = value
        self._context = copy_context()
        self._loop: AbstractEventLoop = get_running_loop()
        self.answer: Future[_Outcome] = self._loop.create_future()
        self.is_abandoned = False
        self.is_over = False

    def run(self) -> None:
        outcome: _Outcome
        try:
            outcome = self._context.run(self._function, self._value), None
        except BaseException as error:
            outcome = None, error
        with suppress(RuntimeError):  # the loop is closed, and with it the caller
            self._loop.call_soon_threadsafe(self._answer, outcome)
        del self, outcome  # an error keeps this frame, which must not keep the error

    def _answer(self, outcome: _Outcome) -> None:
        self.is_over = True
        if self.is_abandoned:
            self._threads.count_abandoned(-1)
        if not self.answer.done():
            self.answer.set_result(outcome)


def _join(threads: Iterable[Thread]) -> None:
    for thread in threads:
        thread.join()


def _join_last(last: Thread, ended: Future[None], _: object) -> None:
    last.join()  # at its last instructions
    if not ended.done():
        ended.set_result(None)
