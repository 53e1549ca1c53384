"""Texts that show tasks and functions with the files and lines that they are at."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

from antflow import pipeline

DEFAULT_TASK_NAME = re.compile(r"Task-\d+")
"""The name that asyncio gives to a task that has none."""

ANTFLOW, ASYNCIO = (Path(module.__file__ or "").parent for module in (pipeline, asyncio))


def is_user_code(filename: str) -> bool:
    """Return whether a file belongs neither to antflow nor to asyncio."""
    return {ANTFLOW, ASYNCIO}.isdisjoint(Path(filename).parents)


def describe_tasks(tasks: Iterable[asyncio.Task[Any]]) -> str:
    """Return a line for each task in user code; if there is none, for each task."""
    all_tasks = list(tasks)
    shown = [task for task in all_tasks if _is_in_user_code(task)]
    return "\n".join(sorted({f"  task {describe_task(task)}" for task in shown or all_tasks}))


def describe_task(task: asyncio.Task[Any]) -> str:
    """Return a task's name, if it was given one, and the coroutines that it awaits.

    For a task in user code, the coroutines of antflow are left out.
    """
    hides_antflow = _is_in_user_code(task)
    where = " > ".join(
        f"{name} ({_file_and_line(frame)})"
        for name, frame in _coroutines(task)
        if not (hides_antflow and ANTFLOW in Path(frame.f_code.co_filename).parents)
    )
    where = where or repr(task.get_coro())
    name = task.get_name()
    return where if DEFAULT_TASK_NAME.fullmatch(name) else f"{name!r} in {where}"


def _is_in_user_code(task: asyncio.Task[Any]) -> bool:
    return any(is_user_code(frame.f_code.co_filename) for _, frame in _coroutines(task))


def _coroutines(task: asyncio.Task[Any]) -> Iterator[tuple[str, FrameType]]:
    """Return the name and frame of each coroutine of a task, outermost first."""
    awaited: Any = task.get_coro()
    while awaited is not None:
        # coroutines and generators name these attributes differently
        frame = getattr(awaited, "cr_frame", None) or getattr(awaited, "gi_frame", None)
        if frame is not None:
            yield awaited.__qualname__, frame
        awaited = getattr(awaited, "cr_await", None) or getattr(awaited, "gi_yieldfrom", None)


def _file_and_line(frame: FrameType) -> str:
    """Return the file and line that a frame is at."""
    return f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}"


def describe_function(function: Callable[..., Any]) -> str:
    """Return a function's name, and the file and line of its definition."""
    while isinstance(function, partial):  # a partial has no name of its own
        function = function.func
    name = getattr(function, "__qualname__", None) or type(function).__qualname__
    code = getattr(function, "__code__", None)
    return name if code is None else f"{name} ({Path(code.co_filename).name}:{code.co_firstlineno})"
