"""The service at the end of the tutorial, served and asked as the tutorial says."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path

import pytest

TUTORIAL = Path(__file__).parents[2] / "docs" / "tutorial.md"
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port at which the tutorial's service is served; it ends well at SIGTERM."""
    folder = tmp_path_factory.mktemp("tutorial")
    (folder / "service.py").write_text(service(), encoding="utf-8")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        command = [sys.executable, "-m", "uvicorn", "service:app", "--fd", str(listener.fileno())]
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=os.environ | {"ANTFLOW_PLUGIN_AUTOLOAD": "1", "ANTFLOW_PLUGINS": "prometheus"},
            pass_fds=[listener.fileno()],
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            yield listener.getsockname()[1]  # who asks before uvicorn listens waits in the backlog
        finally:
            process.send_signal(signal.SIGTERM)
            _, log = process.communicate(timeout=60)
    assert "Application shutdown complete" in log, log
    assert "Traceback" not in log, log


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
