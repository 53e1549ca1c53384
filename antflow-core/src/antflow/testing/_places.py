"""Where in the code something is."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable
from functools import partial
from types import FrameType
from typing import Any

MADE_UP = re.compile(r"Task-\d+")
"""What asyncio calls tasks that are given no name."""


def described_tasks(tasks: Iterable[asyncio.Task[Any]]) -> str:
    """Return one line a task."""
    return "\n".join(sorted(f"  task {described_task(task)}" for task in tasks))


def described_task(task: asyncio.Task[Any]) -> str:
    """Return a task's name, if it was given one, and the coroutines that it is in."""
    places = []
    awaited: Any = task.get_coro()
    while awaited is not None:
        frame = getattr(awaited, "cr_frame", None) or getattr(awaited, "gi_frame", None)
        if frame is not None:
            places.append(f"{awaited.__qualname__} ({place(frame)})")
        awaited = getattr(awaited, "cr_await", None) or getattr(awaited, "gi_yieldfrom", None)
    where = " > ".join(places) or repr(task.get_coro())
    name = task.get_name()
    return where if MADE_UP.fullmatch(name) else f"{name!r} in {where}"


def place(frame: FrameType) -> str:
    """Return the file and line that a frame is at."""
    return f"{frame.f_code.co_filename.rsplit('/', 1)[-1]}:{frame.f_lineno}"


def described_function(function: Callable[..., Any]) -> str:
    """Return a function's name, and file and line where it is defined."""
    while isinstance(function, partial):
        function = function.func
    name = getattr(function, "__qualname__", None) or type(function).__qualname__
    code = getattr(function, "__code__", None)
    if code is None:
        return name
    return f"{name} ({code.co_filename.rsplit('/', 1)[-1]}:{code.co_firstlineno})"
