"""The service at the end of the tutorial, served and asked as the tutorial says."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path

import pytest

TUTORIAL = Path(__file__).parents[2] / "docs" / "tutorial.md"
OPTIONS = re.compile(r"^uvicorn service:app --port 8000(.*)$", re.MULTILINE)
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@contextmanager
def serving(folder: Path, text: str) -> Iterator[tuple[int, subprocess.Popen[str]]]:
    """Serve a service as the tutorial says, and give the port and the process of uvicorn."""
    (folder / "service.py").write_text(text, encoding="utf-8")
    (options,) = OPTIONS.findall(TUTORIAL.read_text(encoding="utf-8"))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        command = [sys.executable, "-m", "uvicorn", "service:app", *options.split()]
        process = subprocess.Popen(
            [*command, "--fd", str(listener.fileno())],
            cwd=folder,
            env=os.environ | {"ANTFLOW_PLUGIN_AUTOLOAD": "1", "ANTFLOW_PLUGINS": "prometheus"},
            pass_fds=[listener.fileno()],
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            # A client that asks before uvicorn listens waits in the backlog.
            yield listener.getsockname()[1], process
        finally:
            process.kill()
            process.communicate()


def log_after(process: subprocess.Popen[str], number: signal.Signals, limit: float) -> str:
    """Send a signal, and return the log of a service that ends well within so many seconds."""
    process.send_signal(number)
    _, log = process.communicate(timeout=limit)
    assert "Application shutdown complete" in log, log
    assert "Traceback" not in log, log
    return log


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port at which the tutorial's service is served; it ends well at SIGTERM."""
    with serving(tmp_path_factory.mktemp("tutorial"), service()) as (port, process):
        yield port
        log_after(process, signal.SIGTERM, 60)


def service() -> str:
    (text,) = (
        text
        for text in BLOCK.findall(TUTORIAL.read_text(encoding="utf-8"))
        if "app = Starlette(" in text
    )
    return str(text)


def ask(port: int, path: str) -> tuple[int, str]:
    with closing(HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()


def test_a_page_is_answered(port: int) -> None:
    status, text = ask(port, "/words/ants")
    assert (status, text) == (200, '{"words":6}')
    assert text in TUTORIAL.read_text(encoding="utf-8")


def test_a_page_that_fails_is_answered_with_its_error(port: int) -> None:
    status, text = ask(port, "/words/unicorns")
    assert (status, text) == (502, '{"error":"there is no such page","stage":"Fetch"}')


def test_the_metrics_show_what_has_been_asked(port: int) -> None:
    ask(port, "/words/bees")
    status, text = ask(port, "/metrics/")
    assert status == 200
    found = re.search(
        r'^antflow_stage_items_total\{pipeline="pages",stage="Count",outcome="completed"\} (\S+)$',
        text,
        re.MULTILINE,
    )
    assert found is not None
    assert float(found[1]) >= 1


# The end


def hanging(task: str, seconds: float) -> str:
    """Return the service with a task that hangs, and other time limits."""
    text, signature = service(), {"fetch": "async def fetch(page: str) -> str:\n"}
    signature["count"] = "def count(text: str) -> int:\n"
    wait = {"fetch": "await asyncio.Event().wait()", "count": "__import__('time').sleep(3600)"}
    for old, new in (
        (signature[task], f"{signature[task]}    {wait[task]}\n"),
        ("asyncio.timeout(10)", f"asyncio.timeout({seconds})"),
        ("shutdown(drain=True, timeout=10)", f"shutdown(drain=True, timeout={seconds})"),
    ):
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


@pytest.mark.parametrize(
    ("task", "value", "stage"),
    [("fetch", "'ants'", "Fetch"), ("count", "'All that is known of ants'", "Count")],
)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "Ctrl+C"])
def test_a_task_that_hangs_does_not_keep_the_service_from_stopping(
    number: signal.Signals, task: str, value: str, stage: str, tmp_path: Path
) -> None:
    with (
        serving(tmp_path, hanging(task, seconds=1.5)) as (port, process),
        ThreadPoolExecutor(1) as threads,
    ):
        asked = threads.submit(ask, port, "/words/ants")
        fed = re.compile(r'^antflow_pipeline_items_outstanding\{pipeline="pages"\} 1', re.MULTILINE)
        while not fed.search(ask(port, "/metrics/")[1]):
            assert process.poll() is None
        log = log_after(process, number, limit=10)
        assert asked.result() == (504, '{"error":"no result within 10 seconds"}')
    assert f"{value} was left at stage {stage}" in log
