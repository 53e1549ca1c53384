"""Output on standard output and standard error, also on closed and blocked ones."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from antflow._cli.printing import print_err, print_err_in_time, print_out
from tests.core.command_parts import BlockedStream

FULL = Path("/dev/full")


@pytest.mark.parametrize("closed", [True, False])
def test_a_closed_standard_error_is_ignored(monkeypatch: pytest.MonkeyPatch, closed: bool) -> None:
    file = io.StringIO()
    file.close()
    monkeypatch.setattr(sys, "stderr", file if closed else None)
    print_err("lost")


def test_a_blocked_standard_error_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = BlockedStream()
    monkeypatch.setattr(sys, "stderr", file)
    assert not print_err_in_time(["one", "other"], 0)
    (thread,) = (each for each in threading.enumerate() if each.name == "antflow-stderr")
    assert thread.daemon
    file.is_read.set()
    thread.join()
    assert file.getvalue() == "one\nother\n"
    assert print_err_in_time(["last"], 60)
    assert file.getvalue() == "one\nother\nlast\n"


def test_text_is_printed_on_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    assert print_out("a table") == 0
    assert capsys.readouterr() == ("a table\n", "")


@pytest.mark.parametrize("arguments", [["hooks"], ["plugins"], ["plugins", "--json"]])
def test_a_list_ends_quietly_if_the_reader_has_closed_the_output(arguments: list[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        ended = listing(arguments, writer)
    finally:
        os.close(writer)
    assert (ended.returncode, ended.stderr) == (141, "")


@pytest.mark.skipif(not FULL.exists(), reason="needs /dev/full")
def test_a_list_that_cannot_be_written_ends_with_the_reason() -> None:
    with FULL.open("w") as full:
        ended = listing(["hooks"], full.fileno())
    message = "standard output cannot be written: No space left on device\n"
    assert (ended.returncode, ended.stderr) == (1, message)


def listing(arguments: list[str], output: int) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "antflow", *arguments],
        stdout=output,
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
        check=False,
    )
