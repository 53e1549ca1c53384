"""The files that are read and written, opened."""

from __future__ import annotations

import os
import stat
import sys
from argparse import Namespace
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress

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
    if name == STANDARD:
        if sys.__stdin__ is None:
            raise FileError("standard input is closed; give --input FILE")
        return os.dup(STDIN)
    with _refused(name, "--input", "read"):
        descriptor = _opened(name, os.O_RDONLY)
    if stat.S_ISDIR(os.fstat(descriptor).st_mode):
        raise FileError(f"--input {name} is a directory; give a file")
    return descriptor


def open_output(name: str, option: str, standard_output: int = STDOUT) -> int:
    """Return the descriptor of a file that is written; what it has stays until it is emptied.

    Args:
        name: of the file; one that is open already is written on where it is.
        option: that names it.
        standard_output: its descriptor, or that of its copy.

    Raises:
        FileError: it cannot be.
    """
    there = open_already(name)
    with _refused(name, option, "written"):
        if there is None:
            return _opened(name, os.O_WRONLY | os.O_CREAT)
        return os.dup(standard_output if there == STDOUT else there)


def open_already(name: str) -> int | None:
    """Return the descriptor that a name such as /dev/stderr stands for; None if it is a file's.

    To open such a name would be to begin at the start of what is behind it, over what it has.
    """
    folder, _, number = name.rpartition("/")
    if folder in DESCRIPTORS and number.isdecimal():
        return int(number)
    return STANDARD_NAMES.get(name)


def empty(name: str, descriptor: int) -> None:
    """Have a file written anew, if it is one that keeps what is written, and not open already."""
    if open_already(name) is None and stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.ftruncate(descriptor, 0)


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
