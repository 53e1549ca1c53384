"""Wrapping a task, of any kind of function, into a call that a worker awaits."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import Any

from antflow.stage import TaskFunc, always_awaitable, is_coroutine_function, task_name

from .threads import Threads

Call = Callable[[Any], Awaitable[Any]]
"""A task as a worker calls it: with the item's value; the result is awaited."""


def prepare(task: TaskFunc, *, unpack_args: bool, threads: Threads) -> Call:
    """Return a task, of any kind of function, as a worker calls it.

    Args:
        task: the user's function.
        unpack_args: pass a dict as keywords, and a list or tuple as positional arguments.
        threads: run the task unless it is a coroutine function.
    """
    function = _unpacked(task) if unpack_args else task
    if always_awaitable(task):
        return function  # no wrapper of ours, so that an item costs no further call
    if is_coroutine_function(task):
        return _awaited(function)
    name = task_name(task)

    async def call(value: Any) -> Any:
        result = await threads.run(function, value, name)
        # A plain function may return a coroutine. It belongs to the loop, so it is awaited here.
        return await result if isawaitable(result) else result

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
