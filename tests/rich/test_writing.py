"""Writing past a stream, to the descriptor it has."""

from __future__ import annotations

import io
import os
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from antflow_rich._writing import encoding_of, is_descriptors, write
from tests.rich.terminals import PseudoTerminal


def test_a_stream_without_an_encoding_gets_utf_8() -> None:
    stream: Any = object()
    assert encoding_of(stream) == encoding_of(io.StringIO()) == "utf-8"


def test_only_what_does_nothing_but_write_to_a_file_is_gone_past(
    tty: PseudoTerminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream: Any = tty.stream
    assert is_descriptors(stream)
    monkeypatch.setattr("os.name", "nt")
    assert not is_descriptors(stream)
    monkeypatch.undo()
    stream.write = print
    assert not is_descriptors(stream)
    del stream.write
    stream.close()
    for other in (stream, io.StringIO(), io.TextIOWrapper(io.BytesIO()), object()):
        assert not is_descriptors(other)


def test_a_stream_that_is_closed_is_not_gone_past(tmp_path: Path) -> None:
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


def test_a_descriptor_that_does_not_wait_gets_all(tty: PseudoTerminal) -> None:
    os.set_blocking(tty.stream.fileno(), False)
    text = "x" * 100_000
    writing = Thread(target=lambda: write(tty.stream, text, to_descriptor=True), daemon=True)
    writing.start()
    tty.wait_until_stopped()
    while writing.is_alive():
        tty.written()
    assert tty.written() == text
