"""Wrapping a task, of any kind of function, into a call that a worker awaits."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import Any

from antflow.stage import TaskFunc, always_awaitable, is_coroutine_function, task_name

from .threads import Threads
from .time_limits import limited

Call = Callable[[Any], Awaitable[Any]]
"""A task as a worker calls it: with the item's value; the result is awaited."""


def prepare(
    task: TaskFunc, *, unpack_args: bool, threads: Threads, seconds: float | None, stage: str
) -> Call:
    """Return a task, of any kind of function, as a worker calls it.

    Args:
        task: the user's function.
        unpack_args: pass a dict as keywords, and a list or tuple as positional arguments.
        threads: run the task unless it is a coroutine function.
        seconds: the time limit of a call; None for no limit.
        stage: name of the stage, for errors.
    """
    function = _unpacked(task) if unpack_args else task
    name = task_name(task)
    if always_awaitable(task):  # no wrapper of ours, so that an item costs no further call
        return function if seconds is None else limited(function, seconds, stage, name)
    if is_coroutine_function(task):
        call = _awaited(function)
        return call if seconds is None else limited(call, seconds, stage, name)
    call = _in_thread(function, name, threads)
    if seconds is None:
        return call
    return _when_ready(limited(call, seconds, stage, name), threads)


def _in_thread(function: TaskFunc, name: str, threads: Threads) -> Call:
    """Return a call of a plain function in a thread."""

    async def call(value: Any) -> Any:
        result = await threads.run(function, value, name)
        # A plain function may return a coroutine. It belongs to the loop, so it is awaited here.
        return await result if isawaitable(result) else result

    return call


def _when_ready(timed: Call, threads: Threads) -> Call:
    """Return a call that begins, with its time limit, when a thread may be started."""

    async def call(value: Any) -> Any:
        await threads.wait_ready()
        return await timed(value)

    return call


def _awaited(function: TaskFunc) -> Call:
    """Return a call of a wrapper around a coroutine function; the wrapper may return a value."""

    async def call(value: Any) -> Any:
        result = function(value)
        return await result if isawaitable(result) else result

    return call


def _unpacked(task: TaskFunc) -> TaskFunc:
    """Return a function that spreads its argument over the parameters of a task."""

    def call(value: Any) -> Any:
        if isinstance(value, dict):
            return task(**value)
        if isinstance(value, list | tuple):
            return task(*value)
        return task(value)

    return call
