"""`antflow run` in a pseudo-terminal: no text from outside acts on it."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.hostile import ALL, controls
from tests.integration.plugins.installing import plain_environ

PROGRAM = f"""
import logging
from antflow import Pipeline, Stage, set_task_status

TEXT = {ALL!a}
Odd = type(TEXT.encode(errors="ignore").decode(), (Exception,), {{}})

async def task(number):
    set_task_status(TEXT)
    logging.error("at %s", TEXT, exc_info=ValueError(TEXT))
    if number == 2:
        return TEXT
    raise Odd(TEXT + "x" * 1_000_000) from KeyError(TEXT)

pipeline = Pipeline([Stage(TEXT, 1, [task], task_attempts=1)], name=TEXT)
items = [{{"id": f"{{number}}{{TEXT}}", "value": number}} for number in range(3)]

def make():
    raise LookupError(TEXT)
"""
OWN = re.compile(r"\x1b\[\??[\d;]*[A-Za-z]|\r")
"""What a display of antflow-rich writes; the sequences of `ALL` that look like it are checked."""


def written_to_a_terminal(folder: Path, *arguments: str) -> str:
    """Run the command with all its standard streams on a terminal; return what that received."""
    leader, follower = pty.openpty()
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", "antflow", *arguments],
            cwd=folder,
            env={**plain_environ(), "TERM": "xterm-256color", "COLUMNS": "120"},
            stdin=follower,
            stdout=follower,
            stderr=follower,
        )
    finally:
        os.close(follower)
    written = b""
    try:
        while part := os.read(leader, 65536):
            written += part
    except OSError:  # Linux reports the end of a terminal so
        pass
    finally:
        os.close(leader)
        process.wait(60)
    return written.decode(errors="surrogateescape")


@pytest.mark.parametrize(
    "arguments",
    [
        ["program.py:pipeline", "--traceback", "--summary", "--failures", "failures"],
        ["program.py:pipeline", "--failures", "/dev/stderr", "--values"],
        ["program.py:pipeline", "--output", "output", "--traceback"],
        ["program.py:pipeline", "--output", "output", "--dashboard", "full"],
        ["program.py:pipeline", "--output", "output", "--dashboard", "detailed", "--summary"],
        ["program.py:make"],
        [f"program.py:{ALL}"],
        ["program.py:pipeline", f"--{ALL}"],
    ],
    ids=range(8),
)
def test_no_text_acts_on_a_terminal(tmp_path: Path, arguments: list[str]) -> None:
    (tmp_path / "program.py").write_text(PROGRAM, encoding="utf-8")
    written = written_to_a_terminal(tmp_path, "run", *arguments)
    assert "title" in written
    assert not [each for each in ("\x1b]", "\x1bc", "\x1b[2J", "\x1b\\") if each in written]
    assert controls(OWN.sub("", written)) == set()
    if "/dev/stderr" not in arguments:  # a record has the whole text
        assert len(written) < 200_000
