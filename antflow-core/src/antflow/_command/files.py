"""The files that are read and written, opened."""

from __future__ import annotations

import os
import stat
import sys
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from .options import STANDARD

STDIN, STDOUT, STDERR = 0, 1, 2


class FileError(Exception):
    """A file cannot be opened; the text says why, and what to do."""


def check_files(options: Namespace) -> None:
    """See that no file is to be read and written, or written twice.

    Raises:
        FileError: one is.
    """
    if options.failures == STANDARD:
        raise FileError("--failures takes the name of a file; for standard error, /dev/stderr")
    seen: dict[tuple[int, int], str] = {}
    for option in "input", "output", "failures":
        name = getattr(options, option)
        if name in (None, STANDARD):
            continue
        try:
            status = os.stat(name)  # noqa: PTH116 - the name may be of no path
        except (OSError, ValueError):
            continue
        if stat.S_ISREG(status.st_mode):
            other = seen.setdefault((status.st_dev, status.st_ino), option)
            if other != option:
                raise FileError(f"--{other} and --{option} are the same file; give two")


def open_input(name: str) -> int:
    """Return the descriptor of a file that is read.

    Raises:
        FileError: it cannot be.
    """
    if name == STANDARD:
        try:
            return os.dup(STDIN)
        except OSError as error:
            raise FileError("standard input is closed; give --input FILE") from error
    descriptor = _opened(name, os.O_RDONLY, "--input", "read")
    if stat.S_ISDIR(os.fstat(descriptor).st_mode):
        raise FileError(f"--input {name} is a directory; give a file")
    return descriptor


def open_output(name: str, option: str) -> int:
    """Return the descriptor of a file that is written anew.

    Raises:
        FileError: it cannot be.
    """
    return _opened(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, option, "written")


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
    _flush()
    try:
        kept = os.dup(STDOUT)
    except OSError as error:
        raise FileError("standard output is closed; give --output FILE") from error
    try:
        elsewhere = os.dup(STDERR)
    except OSError:
        elsewhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(elsewhere, STDOUT)
    os.close(elsewhere)
    try:
        yield kept
    finally:
        _flush()
        os.dup2(kept, STDOUT)
        os.close(kept)


def _flush() -> None:
    with suppress(OSError, ValueError, AttributeError):
        sys.stdout.flush()
