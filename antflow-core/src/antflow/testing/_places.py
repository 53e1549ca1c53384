"""Where in the code something is."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

from antflow import pipeline

MADE_UP = re.compile(r"Task-\d+")
"""What asyncio calls tasks that are given no name."""

ANTFLOW, ASYNCIO = (Path(module.__file__ or "").parent for module in (pipeline, asyncio))


def is_of_others(filename: str) -> bool:
    """Tell whether a file belongs neither to antflow nor to asyncio."""
    return {ANTFLOW, ASYNCIO}.isdisjoint(Path(filename).parents)


def described_tasks(tasks: Iterable[asyncio.Task[Any]]) -> str:
    """Return one line a task: of those that are in the code of others, if any is."""
    all_tasks = list(tasks)
    telling = [task for task in all_tasks if _is_in_code_of_others(task)]
    return "\n".join(sorted({f"  task {described_task(task)}" for task in telling or all_tasks}))


def described_task(task: asyncio.Task[Any]) -> str:
    """Return a task's name, if it was given one, and the coroutines that it is in.

    Those of antflow are left out, unless there are no others.
    """
    hides_antflow = _is_in_code_of_others(task)
    where = " > ".join(
        f"{name} ({place(frame)})"
        for name, frame in _coroutines(task)
        if not (hides_antflow and ANTFLOW in Path(frame.f_code.co_filename).parents)
    )
    where = where or repr(task.get_coro())
    name = task.get_name()
    return where if MADE_UP.fullmatch(name) else f"{name!r} in {where}"


def _is_in_code_of_others(task: asyncio.Task[Any]) -> bool:
    return any(is_of_others(frame.f_code.co_filename) for _, frame in _coroutines(task))


def _coroutines(task: asyncio.Task[Any]) -> Iterator[tuple[str, FrameType]]:
    """Return the coroutines that a task is in, outermost first."""
    awaited: Any = task.get_coro()
    while awaited is not None:
        frame = getattr(awaited, "cr_frame", None) or getattr(awaited, "gi_frame", None)
        if frame is not None:
            yield awaited.__qualname__, frame
        awaited = getattr(awaited, "cr_await", None) or getattr(awaited, "gi_yieldfrom", None)


def place(frame: FrameType) -> str:
    """Return the file and line that a frame is at."""
    return f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}"


def described_function(function: Callable[..., Any]) -> str:
    """Return a function's name, and file and line where it is defined."""
    while isinstance(function, partial):
        function = function.func
    name = getattr(function, "__qualname__", None) or type(function).__qualname__
    code = getattr(function, "__code__", None)
    return name if code is None else f"{name} ({Path(code.co_filename).name}:{code.co_firstlineno})"
