"""Finds what a run leaves behind: tasks, timers, threads, open files and process settings."""

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

from ._problems import AddProblem
from ._task_descriptions import describe_function, describe_task
from ._virtual_clock import ClockLoop

SETTLE_ITERATIONS = 20
JOIN_SECONDS = 2.0
OPEN_FILES = Path("/dev/fd")
SOCKET_OR_PIPE = re.compile(r"[a-z]+:\[\d+\]")
"""How Linux names what is not a file, such as "socket:[4711]"."""


async def check_event_loop(add_problem: AddProblem) -> None:
    """Report the tasks and timers that are left on the running loop, and cancel them."""
    # tasks that are about to end, such as cancelled ones, need some iterations of the loop
    for _ in range(SETTLE_ITERATIONS):
        await asyncio.sleep(0)
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        add_problem(
            "tasks",
            f"Task {describe_task(task)} was left running; wait for it or cancel it in "
            "antflow_pipeline_finish.",
        )
        task.cancel()
    if left:
        await asyncio.wait(left, timeout=JOIN_SECONDS)
    loop = asyncio.get_running_loop()
    assert isinstance(loop, ClockLoop)  # asyncio's own loops do not list their timers
    for timer in loop.timers():
        callback = getattr(timer, "_callback")  # noqa: B009
        add_problem(
            "timers",
            f"A timer that is to call {describe_function(callback)} was left; cancel it when the "
            "run ends.",
        )
        timer.cancel()


class JoinBudget:
    """The real time that a check spends on waiting for threads to end, over all scenarios."""

    def __init__(self) -> None:
        self._left = JOIN_SECONDS

    def join(self, thread: threading.Thread) -> bool:
        """Wait for a thread while time is left, and return whether it has ended."""
        began = time.monotonic()
        thread.join(max(0.0, self._left))
        self._left -= time.monotonic() - began
        return not thread.is_alive()


class ProcessSnapshot:
    """The threads, open files and settings of the process at one moment."""

    def __init__(self) -> None:
        self._threads = set(threading.enumerate())
        self._files = _open_files()
        self._settings = _settings()

    def check_threads(self, join_budget: JoinBudget, add_problem: AddProblem) -> None:
        """Report the threads that were started since, unless they end soon."""
        for thread in set(threading.enumerate()) - self._threads:
            if not join_budget.join(thread):
                add_problem(
                    "threads", f"Thread {_describe_thread(thread)} was left running; end it."
                )

    def check_files(self, add_problem: AddProblem) -> None:
        """Report the files and connections that were opened since."""
        for number, target in _open_files().items():
            if number not in self._files:
                add_problem("files", f"{target} was left open; close it, however the run ends.")

    def check_settings(self, add_problem: AddProblem) -> None:
        """Report the settings that were changed since."""
        for name, value in _settings().items():
            if value != self._settings[name]:
                add_problem(
                    "process",
                    f"{name} was {self._settings[name]} and is {value}; a plugin leaves the "
                    "process as it found it.",
                )


def _describe_thread(thread: threading.Thread) -> str:
    name, target = repr(_mask_numbers(thread.name)), vars(thread).get("_target")
    return f"{name} in {describe_function(target)}" if target else name


def _mask_numbers(name: str) -> str:
    """Replace the numbers of a name, so that problems of several scenarios have one text."""
    return re.sub(r"\d+", "*", name)


def _open_files() -> dict[int, str]:
    """Return the name of each open file by its descriptor; nothing where there is no /dev/fd."""
    found = {}
    for number in map(int, os.listdir(OPEN_FILES) if OPEN_FILES.is_dir() else ()):  # noqa: PTH208
        with suppress(OSError):  # closed meanwhile, as the descriptor of the listing itself is
            os.fstat(number)  # raises if the descriptor is closed
            found[number] = _target(number)
    return found


def _target(number: int) -> str:
    """Return the file or connection behind a descriptor."""
    try:
        target = str((OPEN_FILES / str(number)).readlink())
    except OSError:
        return "A file or connection"
    return _mask_numbers(target) if SOCKET_OR_PIPE.fullmatch(target) else target


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
    # only the main thread can set handlers of signals
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            settings[f"The handler of {number.name}"] = signal.getsignal(number)
    return {name: repr(value) for name, value in settings.items()}
