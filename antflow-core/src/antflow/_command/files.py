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
    descriptor = _opened(name, os.O_RDONLY, "--input", "read")
    if stat.S_ISDIR(os.fstat(descriptor).st_mode):
        raise FileError(f"--input {name} is a directory; give a file")
    return descriptor


def open_output(name: str, option: str) -> int:
    """Return the descriptor of a file that is written; what it has stays until it is emptied.

    Raises:
        FileError: it cannot be.
    """
    return _opened(name, os.O_WRONLY | os.O_CREAT, option, "written")


def empty(descriptor: int) -> None:
    """Have a file written anew, if it is one that keeps what is written."""
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.ftruncate(descriptor, 0)


def _opened(name: str, flags: int, option: str, done: str) -> int:
    try:
        return os.open(name, flags | getattr(os, "O_BINARY", 0), 0o666)
    except (OSError, ValueError) as error:
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
