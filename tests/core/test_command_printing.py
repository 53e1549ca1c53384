"""What the command prints, also where nobody takes it."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from antflow._cli.printing import say, say_in_time, show
from tests.core.command_parts import Full

FULL = Path("/dev/full")


@pytest.mark.parametrize("closed", [True, False])
def test_a_standard_error_that_is_not_there_is_no_matter(
    monkeypatch: pytest.MonkeyPatch, closed: bool
) -> None:
    file = io.StringIO()
    file.close()
    monkeypatch.setattr(sys, "stderr", file if closed else None)
    say("nobody hears this")


def test_a_standard_error_that_takes_nothing_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = Full()
    monkeypatch.setattr(sys, "stderr", file)
    assert not say_in_time(["one", "other"], 0)
    (saying,) = (each for each in threading.enumerate() if each.name == "antflow-saying")
    assert saying.daemon
    file.is_read.set()
    saying.join()
    assert file.getvalue() == "one\nother\n"
    assert say_in_time(["last"], 60)
    assert file.getvalue() == "one\nother\nlast\n"


def test_what_is_shown_goes_to_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    assert show("a table") == 0
    assert capsys.readouterr() == ("a table\n", "")


@pytest.mark.parametrize("arguments", [["hooks"], ["plugins"], ["plugins", "--json"]])
def test_a_list_whose_reader_has_gone_ends_quietly(arguments: list[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        ended = listing(arguments, writer)
    finally:
        os.close(writer)
    assert (ended.returncode, ended.stderr) == (141, "")


@pytest.mark.skipif(not FULL.exists(), reason="needs /dev/full")
def test_a_list_that_cannot_be_written_says_why() -> None:
    with FULL.open("w") as full:
        ended = listing(["hooks"], full.fileno())
    said = "standard output cannot be written: No space left on device\n"
    assert (ended.returncode, ended.stderr) == (1, said)


def listing(arguments: list[str], output: int) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "antflow", *arguments],
        stdout=output,
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
        check=False,
    )
