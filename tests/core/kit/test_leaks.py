"""`check_plugin` finds what a plugin leaves behind, keeps alive or changes."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from antflow import Pipeline, TaskEvent, hookimpl
from antflow.testing import check_plugin
from tests.helpers.kit import only, plugin_of, problems

VARIABLE: ContextVar[Any] = ContextVar("of_a_plugin", default=None)
KEPT: list[Any] = []
CLOSING: list[Callable[[], object]] = []


@pytest.fixture(autouse=True)
def tidied() -> Iterator[None]:
    """Restore what these plugins change, and close what they keep."""
    stdout, handlers = sys.stdout, logging.getLogger().handlers[:]
    handler = signal.getsignal(signal.SIGTERM)
    yield
    sys.stdout = stdout
    signal.signal(signal.SIGTERM, handler)
    logging.getLogger().handlers[:] = handlers
    KEPT.clear()
    while CLOSING:
        CLOSING.pop()()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads that a plugin leaves are not waited for in real time."""
    join = threading.Thread.join

    def join_others(thread: threading.Thread, timeout: float | None = None) -> None:
        if timeout is None or not thread.name.startswith(("flusher", "ThreadPoolExecutor")):
            join(thread, timeout)

    monkeypatch.setattr(threading.Thread, "join", join_others)


async def flush(error: Exception | None = None) -> None:
    if error is not None:
        raise error
    await asyncio.sleep(3600)


def leave_task(_: object) -> None:
    asyncio.create_task(flush())  # noqa: RUF006


def leave_error(_: object) -> None:
    asyncio.create_task(flush(LookupError("no account")))  # noqa: RUF006


def leave_timer(_: object) -> None:
    asyncio.get_running_loop().call_later(3600, leave_timer, None)


def leave_coroutine(_: object) -> None:
    flush()  # type: ignore[unused-coroutine]


def leave_thread(_: object) -> None:
    end = threading.Event()
    CLOSING.append(end.set)
    threading.Thread(target=work, args=(end,), name="flusher", daemon=True).start()


def work(end: threading.Event) -> None:
    end.wait(30)


def leave_open(_: object) -> None:
    Path(os.devnull).open()  # noqa: SIM115


def open_file(_: object) -> None:
    descriptor = os.open(os.devnull, os.O_RDONLY)
    CLOSING.append(lambda: os.close(descriptor))


def connect(_: object) -> None:
    CLOSING.append(socket.socket().close)


def set_if_queued(_: object, event: Any) -> None:
    if event.status == "queued":
        VARIABLE.set(event.item_id)


def change_event(_: object, event: Any) -> None:
    event.stage = "another"


async def change_metadata(_: object, event: Any) -> None:
    await asyncio.sleep(0)
    event.metadata["seen"] = True


def change_value(_: object, event: TaskEvent) -> None:
    event.item.value.id = 100


def change_output(_: object) -> None:
    sys.stdout = SimpleNamespace(write=sys.stdout.write, flush=sys.stdout.flush)


FINISH, START = "antflow_pipeline_finish", "antflow_pipeline_start"
ITEM, TASK, SUCCESS = "antflow_item_status", "antflow_task_start", "antflow_task_success"


def ignore_sigterm(_: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def add_handler(_: object) -> None:
    logging.getLogger().addHandler(logging.NullHandler())


@pytest.mark.parametrize(
    ("hooks", "kind", "text"),
    [
        ({START: leave_task}, "tasks", "Task flush (test_leaks.py:"),
        ({START: leave_timer}, "timers", "is to call leave_timer (test_leaks.py:"),
        ({START: leave_thread}, "threads", "Thread 'flusher' in work (test_leaks.py"),
        ({FINISH: leave_coroutine}, "warnings", "'flush' was never awaited"),
        ({START: leave_error}, "raised", "Task exception was never retrieved"),
        ({START: open_file}, "files", f"{os.devnull} was left open"),
        ({START: connect}, "files", "socket:[*] was left open"),
        ({START: leave_open}, "warnings", "ResourceWarning: unclosed file"),
        (
            {TASK: lambda _, event: VARIABLE.set(event.item_id)},
            *("context", "'of_a_plugin' is not what it was before the item"),
        ),
        ({ITEM: set_if_queued}, "context", "'of_a_plugin' of the caller was left changed"),
        ({TASK: change_event}, "events", "antflow_task_start of plugin 'Plugin' changed event.st"),
        ({ITEM: change_metadata}, "events", "changed event.metadata"),
        ({SUCCESS: change_value}, "outcome", "The value of item 1 is"),
        ({START: change_output}, "process", "sys.stdout was"),
        ({START: ignore_sigterm}, "process", "The handler of SIGTERM was"),
        ({START: add_handler}, "process", "The handlers of the root logger was"),
    ],
)
@pytest.mark.usefixtures("impatient")
def test_a_leak_is_found(hooks: dict[str, Any], kind: str, text: str) -> None:
    found = problems(plugin_of(**hooks))
    assert {problem.kind for problem in found} == {kind}
    assert any(text in problem.text for problem in found), [problem.text for problem in found]


# What is kept alive


class Slotted:
    __slots__ = ("thing",)

    def __init__(self, thing: object) -> None:
        self.thing = thing


def failing(pipeline: object) -> BaseException:
    pipelines = [pipeline]
    del pipeline
    try:
        raise LookupError(f"{len(pipelines)} is too few")
    except LookupError as error:
        return error


def keep_elsewhere(pipeline: object) -> object:
    KEPT.append(pipeline)
    return lambda: KEPT  # a global of this module, and none of the plugin's objects


@pytest.mark.parametrize(
    ("keep", "path"),
    [
        (lambda it: it, "Keeper.kept; keep it in an object that antflow_pipeline_start returns"),
        (lambda it: [1, {"one": it}], "Keeper.kept[1]['one'];"),
        (lambda it: {7: (it,)}, "Keeper.kept[7][0];"),
        (lambda it: deque([it]), "Keeper.kept[0];"),
        (lambda it: {(1, 2): it}, "Keeper.kept -> "),
        (lambda it: {it}, "Keeper.kept -> "),
        (lambda it: SimpleNamespace(thing=it), "Keeper.kept.thing;"),
        (Slotted, "Keeper.kept -> "),
        (lambda it: lambda: it, "Keeper.kept -> tuple[0] -> "),
        (lambda it: [[[[[[[it]]]]]]], "Keeper.kept[0][0][0][0][0] ... "),
        (failing, "Keeper.kept.__traceback__[failing].pipelines[0]; keep the text of the error"),
        (keep_elsewhere, "something outside of the plugin: list"),
    ],
)
def test_a_run_that_is_kept_alive_is_found_with_the_path_to_it(
    keep: Callable[[object], object], path: str
) -> None:
    def start(self: Any, pipeline: Pipeline) -> None:
        self.kept = keep(pipeline)

    found = problems(plugin_of("Keeper", antflow_pipeline_start=start)())
    assert {problem.kind for problem in found} == {"references"}
    for problem in found:
        assert f"After the run the pipeline is kept alive by {path}" in problem.text


def test_a_value_or_an_error_that_is_kept_alive_is_found() -> None:
    def keep_values(self: Any, event: TaskEvent) -> None:
        self.values = [event.item.value]

    def keep_errors(self: Any, event: TaskEvent) -> None:
        self.last = event.error

    text = only(plugin_of("Keeper", antflow_task_success=keep_values)()).text
    assert "a value of an item is kept alive by Keeper.values[0];" in text
    text = only(plugin_of("Keeper", antflow_task_failure=keep_errors)()).text
    assert "is kept alive by Keeper.last.__traceback__[" in text
    assert "; keep the text of the error" in text


# What may be kept


def test_a_thread_pool_kept_from_the_first_run_passes() -> None:
    pool = ThreadPoolExecutor(2)

    async def flush(_: object) -> None:
        await asyncio.get_running_loop().run_in_executor(pool, len, "abc")

    check_plugin(plugin_of(antflow_pipeline_finish=flush))
    pool.shutdown()


@pytest.mark.usefixtures("impatient")
def test_a_thread_pool_for_each_run_is_found() -> None:
    async def flush(_: object) -> None:
        pool = ThreadPoolExecutor(1)
        CLOSING.append(pool.shutdown)
        await asyncio.get_running_loop().run_in_executor(pool, len, "abc")

    problem = only(plugin_of(antflow_pipeline_finish=flush))
    assert problem.kind == "threads"
    assert problem.text.startswith("Thread 'ThreadPoolExecutor-*_*' in _worker (thread.py:")
    assert len(problem.scenarios) > 5


def test_a_thread_kept_from_the_first_run_passes() -> None:
    end, threads = threading.Event(), list[threading.Thread]()

    def start(_: object) -> None:
        if not threads:
            threads.append(threading.Thread(target=end.wait))
            threads[0].start()

    check_plugin(plugin_of(antflow_pipeline_start=start))
    end.set()
    threads[0].join()


def test_a_thread_that_ends_soon_after_the_run_passes() -> None:
    def start(_: object) -> None:
        threading.Thread(target=threading.Event().wait, args=(0.005,), name="flusher").start()

    check_plugin(plugin_of(antflow_pipeline_finish=start))


def test_a_server_for_each_run_passes_without_a_wait() -> None:
    class Serving:
        server: asyncio.Server | None = None

        @hookimpl
        async def antflow_task_start(self) -> None:
            if self.server is None:
                self.server = await asyncio.start_server(print, "127.0.0.1", 0)

        @hookimpl
        async def antflow_pipeline_finish(self) -> None:
            if self.server is not None:
                self.server.close()
                await self.server.wait_closed()

    began = time.monotonic()
    report = check_plugin(plugin_of(antflow_pipeline_start=lambda self: Serving()))
    assert report.calls["antflow_task_start"] > 10
    assert time.monotonic() - began < 10  # a minute where waits are of seconds
