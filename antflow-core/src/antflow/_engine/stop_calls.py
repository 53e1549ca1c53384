"""Calls of `Pipeline` that stop a run and wait for its end."""

from __future__ import annotations

from asyncio import CancelledError, get_running_loop, sleep

from antflow.results import UnprocessedItem

from .call_checks import (
    check_loop,
    check_not_consumer,
    check_not_worker,
    check_not_worker_until_end,
    check_outside_tasks,
)
from .run import Run
from .stage_runtime import unprocessed_items


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
        run: the run.
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
        run: the run.
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
