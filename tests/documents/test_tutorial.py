"""The service at the end of the tutorial stops in time, whatever its tasks do."""

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

from tests.documents.reader import blocks

TUTORIAL = "docs/tutorial.md"
OPTIONS = re.compile(r"^uvicorn service:app --port 8000(.*)$", re.MULTILINE)
OUTSTANDING = re.compile(r'^antflow_pipeline_items_outstanding\{pipeline="pages"\} 1', re.MULTILINE)


@contextmanager
def serving(folder: Path, text: str) -> Iterator[tuple[int, subprocess.Popen[str]]]:
    """Serve a service as the tutorial says, and give the port and the process of uvicorn."""
    (folder / "service.py").write_text(text, encoding="utf-8")
    (options,) = OPTIONS.findall("".join(blocks(TUTORIAL, "sh")))
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


def ask(port: int, path: str) -> tuple[int, str]:
    with closing(HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()


def hanging(signature: str, wait: str) -> str:
    """Return the service with a task that hangs, and short time limits."""
    (text,) = (text for text in blocks(TUTORIAL, "python") if "app = Starlette(" in text)
    for old, new in (
        (f"{signature}\n", f"{signature}\n    {wait}\n"),
        ("asyncio.timeout(10)", "asyncio.timeout(0.2)"),
        ("shutdown(drain=True, timeout=10)", "shutdown(drain=True, timeout=0.2)"),
    ):
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


@pytest.mark.parametrize(
    ("number", "signature", "wait", "left"),
    [
        (
            signal.SIGTERM,
            "async def fetch(page: str) -> str:",
            "await asyncio.Event().wait()",
            "'ants' was left at stage Fetch",
        ),
        (
            signal.SIGINT,
            "def count(text: str) -> int:",
            "__import__('time').sleep(3600)",
            "'All that is known of ants' was left at stage Count",
        ),
    ],
    ids=["SIGTERM", "Ctrl+C"],
)
def test_a_task_that_hangs_does_not_keep_the_service_from_stopping(
    number: signal.Signals, signature: str, wait: str, left: str, tmp_path: Path
) -> None:
    with (
        serving(tmp_path, hanging(signature, wait)) as (port, process),
        ThreadPoolExecutor(1) as threads,
    ):
        asked = threads.submit(ask, port, "/words/ants")
        while not OUTSTANDING.search(ask(port, "/metrics/")[1]):
            assert process.poll() is None
        process.send_signal(number)
        _, log = process.communicate(timeout=20)
        assert asked.result() == (504, '{"error":"no result within 10 seconds"}')
    assert left in log
    assert "Application shutdown complete" in log
    assert "Traceback" not in log
