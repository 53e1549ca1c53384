"""Wrapping a task, of any kind of function, into a call that a worker awaits."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import Any

from antflow.context import CURRENT_WORKER
from antflow.stage import Stage, TaskFunc, always_awaitable, is_coroutine_function, task_name

from .threads import Threads
from .timeouts import with_timeout

Call = Callable[[Any], Awaitable[Any]]
"""A task as a worker calls it: with the item's value; the result is awaited."""


def prepare(task: TaskFunc, stage: Stage, threads: Threads) -> Call:
    """Return a task, of any kind of function, as a worker calls it.

    Args:
        task: the user's function.
        stage: the definition that it belongs to.
        threads: run the task unless it is a coroutine function.
    """
    function = _unpacked(task) if stage.unpack_args else task
    name, is_in_thread = task_name(task), False
    call: Call
    if always_awaitable(task):  # no wrapper of ours, so that an item costs no further call
        call = function
    elif is_coroutine_function(task):
        call = _awaited(function)
    else:
        call, is_in_thread = _in_thread(function, name, threads), True
    if stage.task_timeout is not None:
        call = with_timeout(call, stage.task_timeout, stage.name, name)
    has_timeout = stage.task_timeout is not None or stage.item_timeout is not None
    return _when_ready(call, threads) if is_in_thread and has_timeout else call


def _in_thread(function: TaskFunc, name: str, threads: Threads) -> Call:
    """Return a call of a plain function in a thread."""

    async def call(value: Any) -> Any:
        result = await threads.run(function, value, name)
        # A plain function may return a coroutine. It belongs to the loop, so it is awaited here.
        return await result if isawaitable(result) else result

    return call


def _when_ready(timed: Call, threads: Threads) -> Call:
    """Return a call that begins, with its timeout, when a thread may be started."""

    async def call(value: Any) -> Any:
        if threads.are_too_many:
            worker = CURRENT_WORKER.get()
            assert worker is not None
            with worker.waits.mark():  # closing the run cancels the wait
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
