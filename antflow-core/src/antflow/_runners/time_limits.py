"""Time limits of calls."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from antflow.exceptions import AttemptTimeoutError

GRACE_SECONDS = 5.0
"""How long a function may take to end once it was cancelled, until a warning says so."""

Call = Callable[[Any], Awaitable[Any]]

_logger = logging.getLogger(__name__)


async def call_in_time(
    call: Call, value: Any, seconds: float, error: Callable[[], TimeoutError], name: str
) -> Any:
    """Call a function, and cancel the call after some seconds.

    Args:
        call: called with `value`.
        value: its argument.
        seconds: the time limit.
        error: returns the exception to raise if the call has not returned by then.
        name: the name of the call in the log.

    Raises:
        TimeoutError: the one of `error`.
    """
    limit = asyncio.timeout(seconds)
    warning = asyncio.get_running_loop().call_later(seconds + GRACE_SECONDS, _warn, name, seconds)
    try:
        async with limit:
            return await call(value)
    except TimeoutError as raised:
        if not limit.expired():  # it is the function's own
            raise
        # The traceback is that of the cancellation, which shows what the function waited for.
        cancellation = raised.__cause__
        raise error().with_traceback(
            None if cancellation is None else cancellation.__traceback__
        ) from None
    finally:
        warning.cancel()


def limited(call: Call, seconds: float, stage: str, task: str) -> Call:
    """Return a call of a task that is cancelled after some seconds."""
    name = f"task {task!r} of stage {stage!r}"

    def error() -> AttemptTimeoutError:
        return AttemptTimeoutError(f"The attempt at {name} took more than {seconds:g} seconds")

    async def timed(value: Any) -> Any:
        return await call_in_time(call, value, seconds, error, name)

    return timed


def _warn(name: str, seconds: float) -> None:
    _logger.warning(
        "The attempt at %s has a time limit of %g seconds and still runs %g seconds after it was "
        "cancelled. It has caught the CancelledError; let that pass, so that the item can fail.",
        name,
        seconds,
        GRACE_SECONDS,
    )
