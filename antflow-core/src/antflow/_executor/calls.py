"""The calls of an executor: checking, making and repeating them."""

from __future__ import annotations

from asyncio import Semaphore
from collections.abc import Iterable, Iterator, Sequence
from inspect import CO_COROUTINE, isawaitable
from types import FunctionType
from typing import Any

from antflow._engine.limiting.executor_stage import Call
from antflow._engine.workers.worker import Worker
from antflow._errors.texts import short
from antflow.context import CURRENT_WORKER, acquire
from antflow.limits import Limit
from antflow.retry import Backoff, is_count, is_duration
from antflow.stage import is_coroutine_function

MOST = 10**9
"""So many retries at most, and so many calls may wait for theirs."""

LONGEST_DELAY = 60.0
"""Seconds between two attempts, at most, unless the first wait is longer already."""


async def run_call(call: Call) -> Any:
    """Make one attempt at a call; this is the task of an executor's stage."""
    semaphore = call.semaphore
    if semaphore is not None:
        await acquire(_present_worker(), semaphore)
    try:
        if not call.is_async:
            runner = _present_worker().stage.runner
            return await runner.call_plain(Call.begin, call.name, call)
        result = call.begin()
        return await result if isawaitable(result) else result
    finally:
        if semaphore is not None:
            semaphore.release()


def checked_call(
    fn: Any,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    retries: int,
    retry_delay: float,
    semaphore: object = None,
) -> Call:
    """Return the call that `submit` or `map` asks for.

    Raises:
        TypeError: the function cannot be called, or the semaphore is none.
        ValueError: the retries or their delay are not numbers, 0 or more.
    """
    if not callable(fn):
        raise TypeError(f"An executor calls functions, and cannot call {short(fn)}")
    if not is_count(retries, 0) or retries >= MOST:
        raise ValueError(f"retries is {short(retries)}; give a whole number, 0 or more")
    if not is_duration(retry_delay):
        raise ValueError(f"retry_delay is {short(retry_delay)}; give seconds, 0 or more")
    call = Call(fn, args, kwargs, is_async=_is_async(fn))
    if retries:
        call.retries = retries
        longest = max(retry_delay, LONGEST_DELAY)
        call.backoff = Backoff(retry_delay, maximum=longest, jitter=False)
    if isinstance(semaphore, Limit):
        call.limit = semaphore
    elif isinstance(semaphore, Semaphore):
        call.semaphore = semaphore
    elif semaphore is not None:
        raise TypeError(f"semaphore is {short(semaphore)}; give an asyncio.Semaphore or a Limit")
    return call


def _is_async(fn: Any) -> bool:
    # The first question answers for most functions at a tenth of the price.
    return (
        isinstance(fn, FunctionType) and bool(fn.__code__.co_flags & CO_COROUTINE)
    ) or is_coroutine_function(fn)


def calls_of(
    fn: Any, iterables: Sequence[Iterable[Any]], retries: int, retry_delay: float
) -> Iterator[Call]:
    """Return the calls of a function with items of iterables, made as they are asked for."""
    if not iterables:
        raise TypeError("map() needs an iterable of arguments, or several")
    call = checked_call(fn, (), {}, retries, retry_delay)
    return map(call.with_arguments, zip(*iterables, strict=False))


def _present_call() -> tuple[Call, int]:
    """Return the call whose attempt failed, and the number of the attempt."""
    attempt = _present_worker().attempt
    assert attempt.item is not None
    call: Call = attempt.item.value
    return call, attempt.number


def _present_worker() -> Worker:
    """Return the worker that makes the present call."""
    worker = CURRENT_WORKER.get()
    assert isinstance(worker, Worker)
    return worker


def has_retries(error: BaseException) -> bool:
    """Return whether the present call is to be repeated after an error."""
    call, attempt = _present_call()
    return isinstance(error, Exception) and attempt <= call.retries


def seconds_to_wait(attempt: int, error: BaseException) -> float:
    """Return how long the present call waits after an attempt."""
    backoff = _present_call()[0].backoff
    return 0.0 if backoff is None else backoff.seconds(attempt)
