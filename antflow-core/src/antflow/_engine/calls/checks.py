"""Checks of calls before they wait for a run; each raises an error for a call that would fail."""

from __future__ import annotations

from asyncio import sleep, wait

from antflow._cancellation import present_task
from antflow._engine.base.reentrancy import awaited_by, tasks_waiting_for
from antflow._engine.base.run_state import RunState
from antflow._engine.limiting.limit_waiter import is_running
from antflow._engine.running.run import Run
from antflow._engine.workers.worker import Worker
from antflow.context import CURRENT_WORKER
from antflow.exceptions import PipelineError


def check_outside_tasks(run: Run, call: str, remedy: str, *, is_own_task: bool = False) -> None:
    """Raise PipelineError if code of the run itself waits for the run: a deadlock.

    Args:
        is_own_task: whether another rule of the caller counts the present task as the run's own.
    """
    if not run.is_over and (is_own_task or run.reentrancy.is_inside_task()):
        raise PipelineError(
            f"A task of pipeline {run.name!r} cannot wait for {call} of the same pipeline, "
            f"which may wait for the task; {remedy}"
        )


def check_not_worker(run: Run) -> None:
    """Raise PipelineError if a task that `shutdown` waits for waits for it: a deadlock."""
    # Tasks that a worker has started and does not await may call it, so the context alone does not
    # decide.
    task = present_task()
    is_inside = run.reentrancy.is_inside_task()
    if any(map(run.is_own_task, tasks_waiting_for(task) if is_inside else (task,))):
        raise PipelineError(
            f"A worker of pipeline {run.name!r} cannot wait for shutdown(), which waits for "
            "the worker; call it from outside, or in a task that is not awaited here"
        )


async def check_not_worker_until_end(run: Run) -> None:
    """Do so again whenever the worker that this comes from has gone on, until it ends."""
    worker = CURRENT_WORKER.get()
    task = worker.task if isinstance(worker, Worker) else None
    while task is not None and not task.done() and not run.is_over:
        check_not_worker(run)
        awaited = awaited_by(task)
        await (sleep(0) if awaited is None else wait([awaited]))


def check_not_consumer(run: Run, call: str) -> None:
    """Raise PipelineError if the consumer of the run's stream waits for the run: a deadlock."""
    # The run cannot end before its results are taken, and only this task takes them.
    if not run.is_over and run.is_consumer():
        raise PipelineError(
            f"The consumer of a stream of pipeline {run.name!r} cannot wait for {call}, which "
            "waits for results to be taken; take them, leave the loop, or call shutdown()"
        )


def check_loop(run: Run | None, call: str) -> None:
    """Raise PipelineError if a run or its feeders are on another event loop than the caller."""
    if run is not None and run.is_on_other_loop:
        raise PipelineError(
            f"Pipeline {run.name!r} runs on another event loop than this {call}; on other "
            "loops and in other threads, use feed_threadsafe(items, ...) or "
            "process_threadsafe(item, ...), and call join() and shutdown() on the run's loop"
        )
    check_feeding_loop(run, call)


def check_called_on_loop(run: Run, call: str) -> None:
    """Raise PipelineError unless a call that does not wait is made by the run's event loop."""
    if run.loop is not None and not is_running(run.loop):
        raise PipelineError(
            f"{call}() of pipeline {run.name!r} must be called on the event loop of its run; in "
            f"other threads, use loop.call_soon_threadsafe(pipeline.{call}, ...)"
        )


def check_executor_loop(run: RunState, call: str, remedy: str) -> None:
    """Raise PipelineError unless a call is made by the event loop of an executor."""
    if run.is_loop_closed:
        raise PipelineError(
            f"The event loop of executor {run.name!r} was closed before its shutdown(), so the "
            "calls that had not ended are lost; make another executor"
        )
    if run.loop is not None and not (run.is_over or is_running(run.loop)):
        raise PipelineError(
            f"Executor {run.name!r} belongs to another event loop than this {call}; on other loops "
            f"and in other threads, use {remedy}"
        )


def check_feeding_loop(run: Run | None, call: str) -> None:
    """Raise PipelineError if a run that is not started is fed on another event loop."""
    # Waiting feeders are woken through futures of their own loop, so the run has to start there.
    if run is not None and run.is_fed_on_other_loop:
        raise PipelineError(
            f"Pipeline {run.name!r} is not started, and feed() waits on another event loop "
            f"than this {call}; make both calls on one loop, or start() first and then use "
            "feed_threadsafe(items, ...) on other loops and in other threads"
        )


def check_accepts_items(run: Run, call: str) -> None:
    """Raise PipelineError if the run is about to end and accepts no more items."""
    if not run.admits():
        raise PipelineError(
            f"Pipeline {run.name!r} is about to end and takes no more; {call} before join() "
            "or shutdown(), or start() it again afterwards"
        )


def has_unreported_failures(run: Run | None) -> bool:
    """Return whether `max_failures` stopped a run and no caller has received that error yet."""
    if run is None or not run.failures.is_exceeded:
        return False
    return not (run.is_over and run.is_joined)


async def raise_unreported_failures(run: Run | None, addition: str = "") -> None:
    """Raise TooManyFailuresError at the end of a run that `max_failures` stopped.

    Once the error has been reported, nothing is raised: new items are for the next run.

    Args:
        addition: ends the error's text.
    """
    if run is None or not has_unreported_failures(run):
        return
    # The run's own code would wait for itself. What it feeds from now on is unprocessed.
    if not (run.is_inside() or run.is_own_task()):
        await run.finished.wait()
        run.failures.raise_exceeded(addition)
