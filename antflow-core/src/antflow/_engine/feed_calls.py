"""Calls of `Pipeline` that feed a run, or submit to it."""

from __future__ import annotations

from asyncio import CancelledError
from collections.abc import Callable, Coroutine, Iterable
from concurrent.futures import Future
from contextvars import Context
from typing import Any, TypeVar, cast

from antflow.exceptions import PipelineError
from antflow.results import PipelineResult

from .call_checks import check_accepts_items, raise_unreported_failures
from .handle import ItemHandle
from .run import Run
from .sources import Source
from .stage_runtime import StageRuntime, stage_named
from .thread_reader import ThreadReader

T = TypeVar("T")


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
    """Submit an item to a run, as `Pipeline.submit` does.

    Args:
        call: the method of the pipeline, as an error names it.
    """
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
        run: the run.
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
        source: a plain iterable.
        run: reads the input.
        stage: the stage that is fed; None for the first.
        context: copied for the thread; None for the present one.
    """
    threads = (stage or run.stages[0]).threads
    return ThreadReader(cast("Iterable[Any]", source), run.name, threads, context)
