"""The files that are read and written, opened."""

from __future__ import annotations

import os
import stat
import sys
from argparse import Namespace
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from io import BufferedReader, RawIOBase, TextIOWrapper
from os.path import samestat
from pathlib import Path
from typing import Any

from .descriptor_io import read
from .options import STANDARD

STDIN, STDOUT, STDERR = 0, 1, 2
STANDARD_NAMES = {STANDARD: STDOUT, "/dev/stdout": STDOUT, "/dev/stderr": STDERR}
DESCRIPTORS = ("/dev/fd", "/proc/self/fd")
"""Folders whose files are the open files of this process, by number."""


class FileError(Exception):
    """A file cannot be opened; the text says why, and what to do."""


def occupy_standard() -> None:
    """Keep the places of standard files that are closed, which the next to be opened would take."""
    for descriptor in STDIN, STDOUT, STDERR:
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


def check_names(options: Namespace) -> None:
    """See that each option that wants the name of a file has one.

    Raises:
        FileError: one has not.
    """
    if options.failures == STANDARD:
        raise FileError("--failures takes the name of a file; for standard error, /dev/stderr")


def check_distinct(opened: Mapping[str, int | None]) -> None:
    """See that no file is to be read and written, or written twice.

    Args:
        opened: descriptors, by what they are called.

    Raises:
        FileError: one is.
    """
    seen: dict[tuple[int, int], str] = {}
    for name, descriptor in opened.items():
        if descriptor is None:
            continue
        status = os.fstat(descriptor)
        if stat.S_ISREG(status.st_mode):
            other = seen.setdefault((status.st_dev, status.st_ino), name)
            if other != name:
                raise FileError(f"{other} and {name} are the same file; give two")


def open_input(name: str) -> int:
    """Return the descriptor of a file that is read.

    Raises:
        FileError: it cannot be.
    """
    with _refused(name, "--input", "read"):
        descriptor = _opened(name, os.O_RDONLY)
    if stat.S_ISDIR(os.fstat(descriptor).st_mode):
        raise FileError(f"--input {name} is a directory; give a file")
    return descriptor


class StandardInput:
    """Standard input, kept for one reader: the command, or the `items` of the program.

    Meanwhile descriptor 0, which child processes inherit, is the null device. `sys.stdin` is empty,
    too, until it is given to the program; what a test or a program has put there stays.
    """

    def __init__(self) -> None:
        self._kept = os.dup(STDIN)  # which child processes do not inherit
        nowhere = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nowhere, STDIN)
        os.close(nowhere)
        self._raw = _ProgramInput(self._kept)
        self._before = sys.stdin
        self._stream: TextIOWrapper | None = None
        if isinstance(sys.stdin, TextIOWrapper) and sys.stdin is sys.__stdin__:
            encoding, errors = sys.stdin.encoding, sys.stdin.errors
            self._stream = TextIOWrapper(BufferedReader(self._raw), encoding, errors)
            sys.stdin = self._stream

    def open(self) -> int:
        """Return a descriptor of it, for the command.

        Raises:
            FileError: it is closed.
        """
        if sys.__stdin__ is None:
            raise FileError("standard input is closed; give --input FILE")
        return os.dup(self._kept)

    def give_to_program(self) -> None:
        """Have the program read it, by `sys.stdin`.

        Raises:
            FileError: the program has read already, and found it empty.
        """
        is_null_device = samestat(os.fstat(self._kept), os.fstat(STDIN))
        if self._raw.was_empty and not is_null_device:
            raise FileError(
                "the program read standard input while it was imported, which is too early; make "
                f"`items` a generator or a function, or give --input {STANDARD}"
            )
        self._raw.is_given = True

    def restore(self) -> None:
        """Put `sys.stdin` and descriptor 0 back."""
        self._raw.is_given = False  # the number of the descriptor may become another file's
        if self._stream is not None:
            sys.stdin = self._before
        os.dup2(self._kept, STDIN)
        os.close(self._kept)


class _ProgramInput(RawIOBase):
    """What is below the program's `sys.stdin`: empty, unless standard input is given to it.

    Args:
        descriptor: of standard input.
    """

    name = "<stdin>"

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self.is_given = False
        self.was_empty = False
        self._descriptor = descriptor

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: Any, /) -> int:
        """Read into a buffer, and return how many bytes; 0 at the end."""
        if not self.is_given:
            self.was_empty = True
            return 0
        block = read(self._descriptor, len(buffer))
        buffer[: len(block)] = block
        return len(block)

    def fileno(self) -> int:
        """Return the descriptor that has what is read here."""
        return self._descriptor if self.is_given else STDIN

    def isatty(self) -> bool:
        """Return whether it is a terminal."""
        return os.isatty(self.fileno())


@contextmanager
def standard_input_kept() -> Iterator[StandardInput]:
    """Keep standard input for one reader until the block is left."""
    standard_input = StandardInput()
    try:
        yield standard_input
    finally:
        standard_input.restore()


def open_output(
    name: str, option: str, standard_output: int = STDOUT, *, append: bool = False
) -> int:
    """Return the descriptor of a file that is written; it keeps its content until `prepare`.

    Args:
        name: of the file; one that is open already is written on where it is.
        option: that names it.
        standard_output: its descriptor, or that of its copy.
        append: write at the end of the file, wherever that is by then.

    Raises:
        FileError: it cannot be.
    """
    there = open_already(name)
    with _refused(name, option, "written"):
        if there is None:
            return _opened(name, os.O_WRONLY | os.O_CREAT | (os.O_APPEND if append else 0))
        return os.dup(standard_output if there == STDOUT else there)


def check_empty(name: str, option: str, descriptor: int) -> None:
    """Refuse a regular file that is not empty, such as the results of an earlier run.

    Args:
        name: of the file; one that is open already is accepted.
        option: that names it.
        descriptor: of the file.

    Raises:
        FileError: it is not empty.
    """
    if _is_kept(name, descriptor) and os.fstat(descriptor).st_size:
        raise FileError(
            f"{option} {name} is not empty; --append keeps what it has and adds to it, --overwrite "
            "replaces it"
        )


def prepare(name: str, descriptor: int, *, append: bool) -> None:
    """Empty a regular file, or end its last line, unless it was open already.

    Args:
        name: of the file.
        descriptor: of the file.
        append: whether it keeps its content; without an end, its last line would go on with the
            first record.
    """
    if not _is_kept(name, descriptor):
        return
    if not append:
        os.ftruncate(descriptor, 0)
    elif os.fstat(descriptor).st_size and not _ends_with_newline(name):
        os.write(descriptor, b"\n")


def _is_kept(name: str, descriptor: int) -> bool:
    return open_already(name) is None and stat.S_ISREG(os.fstat(descriptor).st_mode)


def _ends_with_newline(name: str) -> bool:
    try:
        with Path(name).open("rb") as file:
            file.seek(-1, os.SEEK_END)
            return file.read() == b"\n"
    except OSError:  # it cannot be read: a blank line is better than two records on one
        return False


def open_already(name: str) -> int | None:
    """Return the descriptor that a name such as /dev/stderr stands for; None if it is a file's.

    To open such a name would be to begin at the start of what is behind it, over what it has.
    """
    number = _number_of(name)
    return STANDARD_NAMES.get(name) if number is None else number


def is_standard_input(name: str) -> bool:
    """Return whether a name stands for standard input."""
    return name in {STANDARD, "/dev/stdin"} or _number_of(name) == STDIN


def _number_of(name: str) -> int | None:
    folder, _, number = name.rpartition("/")
    return int(number) if folder in DESCRIPTORS and number.isdecimal() else None


def _opened(name: str, flags: int) -> int:
    return os.open(name, flags | getattr(os, "O_BINARY", 0), 0o666)


@contextmanager
def _refused(name: str, option: str, done: str) -> Iterator[None]:
    """Say why a file cannot be opened.

    Raises:
        FileError: it cannot.
    """
    try:
        yield
    except (OSError, ValueError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise FileError(f"{option} {name} cannot be {done}: {reason}; give another file") from error


@contextmanager
def printing_elsewhere() -> Iterator[int]:
    """Have what the program prints go to standard error, so that results have the output alone.

    Yields:
        A descriptor of standard output.

    Raises:
        FileError: there is none.
    """
    if sys.__stdout__ is None:
        raise FileError("standard output is closed; give --output FILE")
    _flush()
    kept = os.dup(STDOUT)
    os.dup2(STDERR, STDOUT)
    try:
        yield kept
    finally:
        _flush()
        os.dup2(kept, STDOUT)
        os.close(kept)


def _flush() -> None:
    with suppress(OSError, ValueError, AttributeError):
        sys.stdout.flush()
