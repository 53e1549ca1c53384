"""Writing to the descriptor of a stream."""

from __future__ import annotations

import io
import os
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from antflow_rich._terminal import encoding_of, write, writes_to_descriptor
from tests.packages.rich.terminals import PseudoTerminal


def test_a_stream_without_an_encoding_gets_utf_8() -> None:
    stream: Any = object()
    assert encoding_of(stream) == encoding_of(io.StringIO()) == "utf-8"


def test_only_a_stream_that_just_writes_to_a_descriptor_is_bypassed(
    tty: PseudoTerminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream: Any = tty.stream
    assert writes_to_descriptor(stream)
    monkeypatch.setattr("os.name", "nt")
    assert not writes_to_descriptor(stream)
    monkeypatch.undo()
    stream.write = print
    assert not writes_to_descriptor(stream)
    del stream.write
    stream.close()
    for other in (stream, io.StringIO(), io.TextIOWrapper(io.BytesIO()), object()):
        assert not writes_to_descriptor(other)


def test_a_closed_stream_is_not_bypassed(tmp_path: Path) -> None:
    stream = (tmp_path / "lines").open("w")
    stream.close()
    with pytest.raises(ValueError, match="closed"):
        write(stream, "late", to_descriptor=True)


@pytest.mark.parametrize("to_descriptor", [True, False])
def test_what_the_encoding_lacks_is_replaced(tmp_path: Path, to_descriptor: bool) -> None:
    path = tmp_path / "lines"
    with path.open("w", encoding="latin-1") as stream:
        write(stream, "n\u00e4her 日\n", to_descriptor=to_descriptor)
        assert path.read_bytes() == b"n\xe4her ?\n"


def test_a_non_blocking_descriptor_gets_everything(tty: PseudoTerminal) -> None:
    os.set_blocking(tty.stream.fileno(), False)
    text = "x" * 100_000
    writing = Thread(target=lambda: write(tty.stream, text, to_descriptor=True), daemon=True)
    writing.start()
    tty.wait_until_stopped()
    while writing.is_alive():
        tty.written()
    assert tty.written() == text
