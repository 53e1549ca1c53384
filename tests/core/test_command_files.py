"""Opening what is read and written."""

from __future__ import annotations

import io
import os
import sys
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TextIO

import pytest

from antflow._cli import files
from antflow._cli.files import (
    FileError,
    check_distinct,
    check_empty,
    check_names,
    inherited_descriptor,
    is_standard_input,
    keep_standard_input,
    open_input,
    open_output,
    prepare_output,
    redirect_printing,
    reserve_standard_descriptors,
)


def test_a_file_is_read_and_another_written(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.write_bytes(b"in")
    reading, writing = open_input(str(one)), open_output(str(other), "--output")
    os.write(writing, os.read(reading, 10))
    os.close(reading)
    os.close(writing)
    assert other.read_bytes() == b"in"


def test_a_file_that_cannot_be_opened_is_rejected_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"none cannot be read: No such file or directory; give"):
        open_input(str(tmp_path / "none"))
    with pytest.raises(FileError, match="is a directory; give a file"):
        open_input(str(tmp_path))
    with pytest.raises(FileError, match=r"--failures .* cannot be written: Is a directory; give"):
        open_output(str(tmp_path), "--failures")
    for number in 9999, 10**20:
        with pytest.raises(FileError, match=rf"--output /dev/fd/{number} cannot be written: "):
            open_output(f"/dev/fd/{number}", "--output")
    with pytest.raises(FileError, match=r"cannot be read: .*embedded null"):
        open_input("a\0b")


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Callable[[str], int]]:
    """Opens files of the folder of a test, and closes them when it ends."""
    with ExitStack() as stack:

        def open_one(name: str) -> int:
            descriptor = open_output(str(tmp_path / name), "--output")
            stack.callback(os.close, descriptor)
            return descriptor

        yield open_one


def test_a_file_keeps_its_content_until_it_is_prepared(
    tmp_path: Path, opened: Callable[[str], int]
) -> None:
    (tmp_path / "one").write_text("precious")
    descriptor = opened("one")
    assert (tmp_path / "one").read_text() == "precious"
    prepare_output(str(tmp_path / "one"), descriptor, append=False)
    assert (tmp_path / "one").read_text() == ""


@pytest.mark.parametrize("append", [False, True])
def test_pipes_and_devices_are_not_prepared(append: bool) -> None:
    reader, writer = os.pipe()
    check_empty("fifo", "--output", writer)
    prepare_output("fifo", writer, append=append)
    os.close(reader)
    os.close(writer)
    nowhere = open_output(os.devnull, "--output", append=append)
    check_empty(os.devnull, "--output", nowhere)
    prepare_output(os.devnull, nowhere, append=append)
    os.close(nowhere)


def test_a_file_that_is_not_empty_is_refused(tmp_path: Path, opened: Callable[[str], int]) -> None:
    (tmp_path / "one").write_text("precious")
    with pytest.raises(FileError, match=r"^--failures one is not empty; --append .* --overwrite"):
        check_empty("one", "--failures", opened("one"))
    check_empty("other", "--output", opened("other"))
    assert (tmp_path / "one").read_text() == "precious"


@pytest.mark.parametrize(
    ("before", "after"), [("", "new\n"), ("old\n", "old\nnew\n"), ("cut sho", "cut sho\nnew\n")]
)
def test_appended_records_begin_on_a_line_of_their_own(
    tmp_path: Path, before: str, after: str
) -> None:
    path = tmp_path / "one"
    path.write_text(before)
    descriptor = open_output(str(path), "--output", append=True)
    prepare_output(str(path), descriptor, append=True)
    os.write(descriptor, b"new\n")
    os.close(descriptor)
    assert path.read_text() == after


def test_each_append_goes_to_the_current_end_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "one"
    descriptors = [open_output(str(path), "--output", append=True) for _ in range(2)]
    for text, descriptor in zip((b"a\n", b"b\n"), descriptors, strict=True):
        os.write(descriptor, text)
        os.close(descriptor)
    assert path.read_text() == "a\nb\n"


@pytest.mark.parametrize("form", ["/dev/fd/{}", "/proc/self/fd/{}"])
def test_an_inherited_descriptor_is_written_from_its_position(tmp_path: Path, form: str) -> None:
    with (tmp_path / "log").open("w+") as file:
        file.write("precious\n")
        file.flush()
        name = form.format(file.fileno())
        descriptor = open_output(name, "--failures")
        check_empty(name, "--failures", descriptor)
        prepare_output(name, descriptor, append=False)
        os.write(descriptor, b"new\n")
        os.close(descriptor)
        file.write("last\n")
    assert (tmp_path / "log").read_text() == "precious\nnew\nlast\n"


def test_names_of_inherited_descriptors() -> None:
    assert [inherited_descriptor(name) for name in ("-", "/dev/stdout", "/dev/stderr")] == [1, 1, 2]
    assert [
        inherited_descriptor(name) for name in ("out", "/dev/null", "/dev/fd/x", "1", "fd/1")
    ] == [None] * 5


def test_a_name_of_standard_output_is_the_real_one_while_printing_is_redirected(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with redirect_printing() as standard_output:
        descriptor = open_output("/dev/fd/1", "--failures", standard_output)
    os.write(descriptor, b"here")
    os.close(descriptor)
    assert capfd.readouterr() == ("here", "")


def test_one_file_for_two_is_refused(tmp_path: Path, opened: Callable[[str], int]) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "new")
    one, link = opened("new"), opened("link")
    for one_name, other in ("--input", "--output"), ("standard output", "--failures"):
        with pytest.raises(FileError, match=f"^{one_name} and {other} are the same file; give two"):
            check_distinct({one_name: one, other: link})


def test_files_that_differ_are_accepted(opened: Callable[[str], int]) -> None:
    check_distinct({"--input": opened("one"), "--output": opened("other"), "--failures": None})
    nowhere = os.open(os.devnull, os.O_WRONLY)
    check_distinct({"--output": nowhere, "--failures": nowhere})
    os.close(nowhere)


def test_failures_go_to_no_standard_file() -> None:
    with pytest.raises(FileError, match="takes the name of a file; for standard error, /dev/std"):
        check_names(Namespace(failures="-"))


def test_prints_are_redirected_to_standard_error(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with open(1, "w", encoding="utf-8", closefd=False) as stdout:
        monkeypatch.setattr(sys, "stdout", stdout)
        sys.stdout.write("before\n")
        with redirect_printing() as output:
            sys.stdout.write("printed\n")
            os.write(1, b"by a child\n")
            os.write(output, b"result\n")
        sys.stdout.write("after\n")
    out, err = capfd.readouterr()
    assert out == "before\nresult\nafter\n"
    assert "printed" in err
    assert "by a child" in err


def test_standard_files_that_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in "__stdin__", "__stdout__":
        monkeypatch.setattr(sys, name, None)
    with (
        pytest.raises(FileError, match="standard input is closed; give --input FILE"),
        keep_standard_input() as standard_input,
    ):
        standard_input.open()
    with (
        pytest.raises(FileError, match="standard output is closed; give --output FILE"),
        redirect_printing(),
    ):
        pass


def test_closed_standard_descriptors_are_reserved(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr(files, "STDIN", 9999)
    monkeypatch.setattr(os, "open", lambda name, _: opened.append(name))
    reserve_standard_descriptors()
    assert opened == [os.devnull]


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[TextIO]:
    """Return a `sys.stdin` of its own, which has b"lines"."""
    reader, writer = os.pipe()
    os.write(writer, b"lines")
    os.close(writer)
    before = os.dup(0)
    os.dup2(reader, 0)
    os.close(reader)
    with open(0, encoding="utf-8", closefd=False) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        monkeypatch.setattr(sys, "__stdin__", stdin)
        yield stdin
    os.dup2(before, 0)
    os.close(before)


def test_standard_input_is_the_commands_alone_until_it_is_restored(lines: TextIO) -> None:
    with keep_standard_input() as standard_input:
        assert os.read(0, 10) == b""
        assert sys.stdin.read() == ""
        assert sys.stdin.fileno() == 0
        assert not sys.stdin.isatty()
        descriptor = standard_input.open()
        assert not os.get_inheritable(descriptor)
        assert os.read(descriptor, 2) == b"li"
        os.close(descriptor)
    assert sys.stdin is lines
    assert os.get_inheritable(0)
    assert os.read(0, 10) == b"nes"


def test_a_program_reads_it_by_sys_stdin_only(lines: TextIO) -> None:
    with keep_standard_input() as standard_input:
        programs = sys.stdin
        standard_input.give_to_program()
        assert os.read(0, 10) == b""
        assert not os.get_inheritable(programs.fileno())
        assert programs.read() == "lines"
        assert programs.encoding == lines.encoding
    assert programs.read() == ""
    assert sys.stdin is lines


def test_a_replaced_standard_input_stays(lines: TextIO, monkeypatch: pytest.MonkeyPatch) -> None:
    replaced = io.StringIO("other")
    monkeypatch.setattr(sys, "stdin", replaced)
    with keep_standard_input() as standard_input:
        standard_input.give_to_program()
        assert sys.stdin is replaced
    assert sys.stdin is replaced


def test_a_stream_of_the_program_is_removed_with_the_redirection(lines: TextIO) -> None:
    with keep_standard_input():
        sys.stdin = io.TextIOWrapper(sys.stdin.buffer, encoding="utf-8")
    assert sys.stdin is lines


def test_an_empty_standard_input_may_be_read_early(lines: TextIO) -> None:
    nowhere = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nowhere, 0)
    os.close(nowhere)
    with keep_standard_input() as standard_input:
        assert sys.stdin.read() == ""
        standard_input.give_to_program()
        assert sys.stdin.read() == ""


def test_names_of_standard_input() -> None:
    assert all(is_standard_input(name) for name in ("-", "/dev/stdin", "/dev/fd/0"))
    assert not any(is_standard_input(name) for name in ("in", "/dev/fd/3", "/dev/stdout", "0"))
