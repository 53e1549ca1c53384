"""Opening what is read and written."""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from pathlib import Path

import pytest

from antflow._command import files
from antflow._command.files import (
    FileError,
    check_files,
    open_input,
    open_output,
    printing_elsewhere,
)


def options(**names: str | Path) -> Namespace:
    given = {"input": None, "output": "-", "failures": None} | names
    return Namespace(**{name: None if path is None else str(path) for name, path in given.items()})


def test_a_file_is_read_and_another_written_anew(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.write_bytes(b"in")
    other.write_bytes(b"what was there before")
    reading, writing = open_input(str(one)), open_output(str(other), "--output")
    os.write(writing, os.read(reading, 10))
    os.close(reading)
    os.close(writing)
    assert other.read_bytes() == b"in"


def test_what_cannot_be_opened_is_refused_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"none cannot be read: No such file or directory; give"):
        open_input(str(tmp_path / "none"))
    with pytest.raises(FileError, match="is a directory; give a file"):
        open_input(str(tmp_path))
    with pytest.raises(FileError, match=r"--failures .* cannot be written: Is a directory; give"):
        open_output(str(tmp_path), "--failures")
    with pytest.raises(FileError, match=r"cannot be read: .*embedded null"):
        open_input("a\0b")


def test_one_file_for_two_is_refused_before_it_is_emptied(tmp_path: Path) -> None:
    one, link = tmp_path / "one", tmp_path / "link"
    one.write_text("precious")
    link.symlink_to(one)
    for two in {"input": one, "output": link}, {"input": one, "failures": one}:
        with pytest.raises(FileError, match=r"--input and --\w+ are the same file; give two"):
            check_files(options(**two))
    assert one.read_text() == "precious"


def test_files_that_differ_are_accepted(tmp_path: Path) -> None:
    one = tmp_path / "one"
    one.write_text("")
    check_files(options(input=one, output=tmp_path / "new", failures=tmp_path / "newer"))
    check_files(options(output=os.devnull, failures=os.devnull))
    check_files(options(input="-"))


def test_failures_go_to_no_standard_file() -> None:
    with pytest.raises(FileError, match="takes the name of a file; for standard error, /dev/std"):
        check_files(options(failures="-"))


def test_what_is_printed_goes_elsewhere(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with open(1, "w", encoding="utf-8", closefd=False) as stdout:
        monkeypatch.setattr(sys, "stdout", stdout)
        sys.stdout.write("before\n")
        with printing_elsewhere() as output:
            sys.stdout.write("printed\n")
            os.write(1, b"by a child\n")
            os.write(output, b"result\n")
        sys.stdout.write("after\n")
    out, err = capfd.readouterr()
    assert out == "before\nresult\nafter\n"
    assert "printed" in err
    assert "by a child" in err


def test_standard_files_that_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in "STDIN", "STDOUT":
        monkeypatch.setattr(files, name, 9999)
    with pytest.raises(FileError, match="standard input is closed; give --input FILE"):
        open_input("-")
    with (
        pytest.raises(FileError, match="standard output is closed; give --output FILE"),
        printing_elsewhere(),
    ):
        pass


def test_without_standard_error_what_is_printed_goes_nowhere(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(files, "STDERR", 9999)
    with printing_elsewhere():
        os.write(1, b"printed\n")
    assert capfd.readouterr() == ("", "")
