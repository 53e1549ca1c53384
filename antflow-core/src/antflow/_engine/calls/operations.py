"""What a caller does with a run: read an input, feed, submit, change workers, join and stop."""

from __future__ import annotations

from asyncio import CancelledError, get_running_loop, sleep
from collections.abc import Callable, Coroutine, Iterable
from concurrent.futures import Future
from contextvars import Context
from typing import Any, TypeVar, cast

from antflow._engine.channels.handle import ItemHandle
from antflow._engine.feeding.sources import Source
from antflow._engine.feeding.thread_reader import ThreadReader
from antflow._engine.running.run import Run
from antflow._engine.workers.stage_runtime import StageRuntime, stage_named, unprocessed_items
from antflow._stats.failure_tally import items_failed_error
from antflow.exceptions import PipelineError
from antflow.results import PipelineResult, UnprocessedItem

from .checks import (
    check_accepts_items,
    check_called_on_loop,
    check_loop,
    check_not_consumer,
    check_not_worker,
    check_not_worker_until_end,
    check_outside_tasks,
    raise_unreported_failures,
)

T = TypeVar("T")

DEFAULT_PRIORITY = 100


async def read_all(
    run: Run,
    source: Source,
    *,
    returns_failures: bool,
    raises_failures: bool,
    collects: bool,
    read_in_thread: bool,
) -> list[PipelineResult]:
    """Read all of an input, wait for the end, and return what `Pipeline.run` returns.

    Args:
        collects: whether the run keeps results; without that, no failures are returned.
    """
    returns_failures &= collects
    if collects:
        run.results.keep_all_failures()
    # The caller gets the failures: no warning is needed.
    run.failures.warns = not (raises_failures or returns_failures)
    run.read(reader_in_thread(source, run) if read_in_thread else source, DEFAULT_PRIORITY)
    await run.wait()
    run.failures.raise_exceeded()
    results = run.results.kept()
    if raises_failures:
        _raise_failures(run, results)
    if not returns_failures:
        return results
    return sorted(results + run.results.kept_failures(), key=lambda result: result.sequence_id)


def _raise_failures(run: Run, results: list[PipelineResult]) -> None:
    if failures := run.results.kept_failures():
        tally = run.failures.kept
        raise items_failed_error(
            run.failures.summary(tally), tally.advice(), results=results, failures=failures
        )


async def feed(
    run: Run,
    source: Source,
    target_stage: str | None,
    priority: int,
    *,
    read_in_thread: bool = False,
) -> None:
    """Feed an input to a run, as `Pipeline.feed` does."""
    stage = run.stages[0]
    if target_stage is not None:
        stage = stage_named(run.stages, target_stage, run.name)
    if not run.admits():
        await raise_unreported_failures(run)
    check_accepts_items(run, "feed")
    if read_in_thread:
        async with reader_in_thread(source, run, stage) as reader:
            is_fed = await run.feeder.feed(reader, stage, priority)
    else:
        is_fed = await run.feeder.feed(source, stage, priority)
    if not is_fed:
        await raise_unreported_failures(run, "; the value read last was not fed")
        raise PipelineError(
            f"Pipeline {run.name!r} was stopped while it was being fed; the value read last "
            "was not fed"
        )


async def submit(
    run: Run, item: Any, priority: int, expires_in: float | None, *, call: str = "submit"
) -> ItemHandle:
    """Submit an item to a run, as `Pipeline.submit` does."""
    try:
        check_accepts_items(run, call)
        submitter, handle = run.submitter, None
        if not submitter.is_observed:  # so that nothing can have to be awaited
            handle = submitter.submit_at_once(item, priority, expires_in)
        return handle or await submitter.submit(item, priority, expires_in)
    except PipelineError:
        # The limit of failures is the cause of the stop, so it is the better error.
        await raise_unreported_failures(run)
        raise


async def process(run: Run, item: Any, priority: int, expires_in: float | None) -> PipelineResult:
    """Submit an item to a run and return its result, as `Pipeline.process` does."""
    handle = await submit(run, item, priority, expires_in, call="process")
    try:
        return await handle
    except CancelledError:
        if handle.result is None:
            handle.is_forgotten = True
        else:
            run.failures.keep(handle.result)
        raise
    except PipelineError:
        await raise_unreported_failures(run)
        raise


def call_threadsafe(run: Run, make: Callable[[], Coroutine[Any, Any, T]]) -> Future[T]:
    """Run a coroutine on the event loop of a run, from any thread.

    Args:
        make: returns the coroutine; called on the loop, so that none is made in vain.

    Raises:
        PipelineError: the loop is not running.
    """
    loop = run.loop
    if loop is None or not loop.is_running():
        raise PipelineError(
            f"The event loop of pipeline {run.name!r} is not running; call this while it is"
        )
    return run.threadsafe_calls.submit(loop, make)


def reader_in_thread(
    source: Source, run: Run, stage: StageRuntime | None = None, context: Context | None = None
) -> ThreadReader:
    """Return a reader that iterates over an input in a thread.

    Args:
        stage: the stage that is fed, which counts the thread if it is abandoned; None for the
            first.
        context: copied for the thread; None for the present one.
    """
    counters = (stage or run.stages[0]).counters
    return ThreadReader(cast("Iterable[Any]", source), run.name, counters, context)


def set_workers(run: Run, stage: str, n: int) -> None:
    """Set how many workers a stage has, as `Pipeline.set_workers` does."""
    check_called_on_loop(run, "set_workers")
    runtime = stage_named(run.stages, stage, run.name)
    if run.is_closed:
        raise PipelineError(
            f"Pipeline {run.name!r} is about to end and begins no attempt, so the workers of "
            f"stage {stage!r} stay as they are; call set_workers() before that"
        )
    run.workers.set_workers(runtime, n)


async def join(run: Run) -> None:
    """Wait until all fed items have ended, as `Pipeline.join` does."""
    check_loop(run, "join()")
    check_outside_tasks(run, "join()", "call it from outside", is_own_task=run.is_own_task())
    check_not_consumer(run, "join()")
    run.close_input()
    run.is_joined = True
    await run.wait()
    run.failures.raise_exceeded()


async def drain(run: Run | None) -> None:
    """Finish all items, stop the run if there is one, and raise what ended it."""
    await stop(run, drain=True, timeout=None, returns_unprocessed=False)
    if run is not None:
        run.failures.raise_exceeded()


async def stop(
    run: Run | None, *, drain: bool, timeout: float | None, returns_unprocessed: bool
) -> list[UnprocessedItem]:
    """Stop a run, if there is one, and return the items left.

    Args:
        drain: finish all items that were fed first.
        timeout: seconds after which attempts are cancelled; None for no limit.
        returns_unprocessed: whether the caller gets the items left, as the log says of them.

    Raises:
        BaseException: what ended the run, unless it was raised already.
    """
    if run is None or run.is_loop_closed:
        return []
    check_loop(run, "shutdown()")
    check_not_worker(run)
    is_inside = run.reentrancy.is_inside_task()
    if is_inside and get_running_loop().get_task_factory() is not None:
        await sleep(0)  # a task that was started eagerly is not awaited before that
        check_not_worker(run)
    if drain:  # without it, the results need no room, so that nothing waits for the consumer
        check_not_consumer(run, "shutdown(drain=True)")
    run.returns_unprocessed |= returns_unprocessed
    run.is_joined = True
    if drain and not run.is_new:
        run.drain()
    else:
        run.close()
    await _wait_or_abort(run, timeout, is_inside=is_inside)
    return unprocessed_items(run.stages)


async def _wait_or_abort(run: Run, timeout: float | None, *, is_inside: bool) -> None:
    """Wait until no task of a run is left; abort it after a time, or when this is cancelled.

    Args:
        timeout: seconds after which to abort; None for no limit.
        is_inside: whether the caller is code of the run, whose worker may come to wait for this.
    """
    if timeout is not None and timeout <= 0:
        run.abort()
    timer = get_running_loop().call_later(timeout, run.abort) if timeout else None
    try:
        if is_inside:
            await check_not_worker_until_end(run)
        if not (run.is_over and run.is_raised):
            await run.wait()
    except CancelledError:
        run.abort()
        raise
    finally:
        if timer is not None:
            timer.cancel()
