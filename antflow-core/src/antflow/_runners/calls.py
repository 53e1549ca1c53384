"""How a worker calls a task, whatever kind of function it is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import Any

from antflow.stage import TaskFunc, always_awaitable, is_coroutine_function, task_name

from .threads import Threads

Call = Callable[[Any], Awaitable[Any]]
"""A task as a worker calls it: with the item's value, to be awaited."""


def prepare(task: TaskFunc, *, unpack_args: bool, threads: Threads) -> Call:
    """Make a task callable by a worker, whatever kind of function it is.

    Args:
        task: the user's function.
        unpack_args: spread a dict, list or tuple over its parameters.
        threads: where it runs unless it is a coroutine function.
    """
    function = _unpacked(task) if unpack_args else task
    if always_awaitable(task):
        return function
    if is_coroutine_function(task):
        return _awaited(function)
    name = task_name(task)

    async def call(value: Any) -> Any:
        result = await threads.run(function, value, name)
        return await result if isawaitable(result) else result

    return call


def _awaited(function: TaskFunc) -> Call:
    async def call(value: Any) -> Any:
        result = function(value)
        return await result if isawaitable(result) else result

    return call


def _unpacked(task: TaskFunc) -> TaskFunc:
    def call(value: Any) -> Any:
        if isinstance(value, dict):
            return task(**value)
        if isinstance(value, list | tuple):
            return task(*value)
        return task(value)

    return call
