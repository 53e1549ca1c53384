"""What a run may leave behind: tasks and timers, threads and files, a process that is changed."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import signal
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

from ._clock import ClockLoop
from ._harness import Note
from ._places import described_function, described_task

TURNS = 20
JOIN_SECONDS = 2.0
OPEN_FILES = Path("/dev/fd")
OF_NO_FILE = re.compile(r"[a-z]+:\[\d+\]")
"""What the system calls connections and pipes."""


async def note_left_on_loop(note: Note) -> None:
    """Note the tasks and timers that are still there, and end them."""
    for _ in range(TURNS):
        await asyncio.sleep(0)
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        note(
            "tasks",
            f"Task {described_task(task)} was left running; wait for it or cancel it in "
            "antflow_pipeline_finish.",
        )
        task.cancel()
    if left:
        await asyncio.wait(left, timeout=JOIN_SECONDS)
    loop = asyncio.get_running_loop()
    assert isinstance(loop, ClockLoop)
    for timer in loop.timers():
        callback = getattr(timer, "_callback")  # noqa: B009
        note(
            "timers",
            f"A timer that is to call {described_function(callback)} was left; cancel it when the "
            "run ends.",
        )
        timer.cancel()


class Patience:
    """How long threads that are about to end are waited for, in real time and in all."""

    def __init__(self) -> None:
        self._left = JOIN_SECONDS

    def join(self, thread: threading.Thread) -> bool:
        """Wait for a thread, and tell whether it has ended."""
        began = time.monotonic()
        thread.join(max(0.0, self._left))
        self._left -= time.monotonic() - began
        return not thread.is_alive()


class Process:
    """What a process has and is set to at one moment."""

    def __init__(self) -> None:
        self._threads = set(threading.enumerate())
        self._files = _open_files()
        self._settings = _settings()

    def note_threads(self, patience: Patience, note: Note) -> None:
        """Note the threads that have begun since, unless they are about to end."""
        for thread in set(threading.enumerate()) - self._threads:
            if not patience.join(thread):
                note("threads", f"Thread {_described(thread)} was left running; end it.")

    def note_files(self, note: Note) -> None:
        """Note the files and connections that have been opened since."""
        for number, target in _open_files().items():
            if number not in self._files:
                note("files", f"{target} was left open; close it, however the run ends.")

    def note_settings(self, note: Note) -> None:
        """Note what the process was set to otherwise before."""
        for name, value in _settings().items():
            if value != self._settings[name]:
                note(
                    "process",
                    f"{name} was {self._settings[name]} and is {value}; a plugin leaves the "
                    "process as it found it.",
                )


def _described(thread: threading.Thread) -> str:
    name, target = repr(_without_numbers(thread.name)), vars(thread).get("_target")
    return f"{name} in {described_function(target)}" if target else name


def _without_numbers(name: str) -> str:
    """Return a name as it is each time, so that what happens again and again is told once."""
    return re.sub(r"\d+", "*", name)


def _open_files() -> dict[int, str]:
    """Return what is open, by its number, where the system tells."""
    found = {}
    for number in map(int, os.listdir(OPEN_FILES) if OPEN_FILES.is_dir() else ()):  # noqa: PTH208
        with suppress(OSError):  # it was closed meanwhile, as that of the listing itself
            os.fstat(number)
            found[number] = _target(number)
    return found


def _target(number: int) -> str:
    """Return what a number of an open file stands for."""
    try:
        target = str((OPEN_FILES / str(number)).readlink())
    except OSError:
        return "A file or connection"
    return _without_numbers(target) if OF_NO_FILE.fullmatch(target) else target


def _settings() -> dict[str, str]:
    root = logging.getLogger()
    settings: dict[str, object] = {
        "sys.stdout": sys.stdout,
        "sys.stderr": sys.stderr,
        "sys.excepthook": sys.excepthook,
        "threading.excepthook": threading.excepthook,
        "The level of the root logger": root.level,
        "The handlers of the root logger": root.handlers,
        "The working directory": Path.cwd(),
    }
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            settings[f"The handler of {number.name}"] = signal.getsignal(number)
    return {name: repr(value) for name, value in settings.items()}
