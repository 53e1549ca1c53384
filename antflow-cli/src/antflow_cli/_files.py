"""Opens the files of a run: the input, the output, the failures, and the standard files."""

from __future__ import annotations

import os
import stat
import sys
from argparse import Namespace
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from io import BufferedReader, RawIOBase, TextIOWrapper
from os.path import samestat
from pathlib import Path
from typing import Any

from ._file_io import read_some
from ._options import STANDARD

STDIN, STDOUT, STDERR = 0, 1, 2
STANDARD_NAMES = {STANDARD: STDOUT, "/dev/stdout": STDOUT, "/dev/stderr": STDERR}
DESCRIPTORS = ("/dev/fd", "/proc/self/fd")
"""Folders of the open files of this process, by descriptor."""

MAX_DIGITS = 20  # more than a descriptor has; Python refuses to read thousands of them


class FileError(Exception):
    """A file cannot be opened; the text says why, and how to fix it."""


def reserve_standard_descriptors() -> None:
    """Open the null device for closed standard files, whose descriptors other files would get."""
    for descriptor in STDIN, STDOUT, STDERR:
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


def check_names(options: Namespace) -> None:
    """Check that --failures names a file.

    Raises:
        FileError: it does not.
    """
    if options.failures == STANDARD:
        raise FileError("--failures takes the name of a file; for standard error, /dev/stderr")


def check_distinct(opened: Mapping[str, int | None]) -> None:
    """Check that no file is both read and written, or written twice.

    Args:
        opened: descriptors, by their names in the message.

    Raises:
        FileError: a file is.
    """
    seen: dict[tuple[int, int], str] = {}
    for name, descriptor in opened.items():
        if descriptor is None:
            continue
        status = os.fstat(descriptor)
        # Terminals, pipes and /dev/null may be given twice.
        if stat.S_ISREG(status.st_mode):
            other = seen.setdefault((status.st_dev, status.st_ino), name)
            if other != name:
                raise FileError(f"{other} and {name} are the same file; give two")


def check_messages(opened: Mapping[str, int]) -> None:
    """Check that no file is standard output or standard error, too, whose lines would replace its.

    Args:
        opened: descriptors that the command has opened, by their names in the message.

    Raises:
        FileError: a file is.
    """
    for name, descriptor in ("standard output", STDOUT), ("standard error", STDERR):
        check_distinct({**opened, name: descriptor})


def open_input(name: str) -> int:
    """Open a file for reading, and return its descriptor.

    Args:
        name: of the file; one that is open already is read from its current position.

    Raises:
        FileError: it cannot be opened.
    """
    number = descriptor_number(name)
    with _explain(name, "--input", "read"):
        # Linux would open a file anew, and refuse a socket.
        descriptor = _open(name, os.O_RDONLY) if number is None else os.dup(number)
    if stat.S_ISDIR(os.fstat(descriptor).st_mode):
        raise FileError(f"--input {name} is a directory; give a file")
    return descriptor


class StandardInput:
    """Standard input, reserved for one reader: the command, or the `items` of the program.

    Meanwhile descriptor 0 is the null device: child processes inherit it, and would take lines that
    are lost then. `sys.stdin` is empty until it is given to the program; a stream that a test or
    the program has put there stays.
    """

    def __init__(self) -> None:
        self._kept = os.dup(STDIN)  # not inherited by child processes
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, STDIN)
        os.close(null)
        self._raw = _ProgramInput(self._kept)
        self._previous = sys.stdin
        self._stream: TextIOWrapper | None = None
        if isinstance(sys.stdin, TextIOWrapper) and sys.stdin is sys.__stdin__:
            encoding, errors = sys.stdin.encoding, sys.stdin.errors
            self._stream = TextIOWrapper(BufferedReader(self._raw), encoding, errors)
            sys.stdin = self._stream

    def open(self) -> int:
        """Return a descriptor for the command.

        Raises:
            FileError: it is closed.
        """
        if sys.__stdin__ is None:
            raise FileError("standard input is closed; give --input FILE")
        return os.dup(self._kept)

    def give_to_program(self) -> None:
        """Let the program read standard input by `sys.stdin`.

        Raises:
            FileError: the program has read it too early, and found it empty.
        """
        is_null_device = samestat(os.fstat(self._kept), os.fstat(STDIN))
        if self._raw.was_empty and not is_null_device:
            raise FileError(
                "the program read standard input while it was imported, which is too early; make "
                f"`items` a generator or a function, or give --input {STANDARD}"
            )
        self._raw.is_given = True

    def restore(self) -> None:
        """Restore `sys.stdin` and descriptor 0."""
        self._raw.is_given = False  # another file may get the descriptor
        if self._stream is not None:
            sys.stdin = self._previous
        os.dup2(self._kept, STDIN)
        os.close(self._kept)


class _ProgramInput(RawIOBase):
    """The raw file of the program's `sys.stdin`; empty until standard input is given to it.

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
        """Read into a buffer, and return the number of bytes; 0 at the end."""
        if not self.is_given:
            self.was_empty = True
            return 0
        block = read_some(self._descriptor, len(buffer))
        buffer[: len(block)] = block
        return len(block)

    def fileno(self) -> int:
        """Return the descriptor of standard input; that of the null device until it is given."""
        return self._descriptor if self.is_given else STDIN

    def isatty(self) -> bool:
        """Return whether standard input is a terminal."""
        return os.isatty(self.fileno())


@contextmanager
def keep_standard_input() -> Iterator[StandardInput]:
    """Reserve standard input for one reader until the block is left."""
    standard_input = StandardInput()
    try:
        yield standard_input
    finally:
        standard_input.restore()


def open_output(
    name: str,
    option: str,
    standard_output: int = STDOUT,
    *,
    append: bool = False,
    refusal: ExitStack,
) -> int:
    """Open a file for writing, and return its descriptor; `empty` empties it later.

    Args:
        name: of the file; one that is open already is written from its current position.
        option: the one that names it.
        standard_output: descriptor of standard output, or of its copy.
        append: whether each write goes to the end of the file.
        refusal: removes a file that this makes.

    Raises:
        FileError: it cannot be opened.
    """
    descriptor = inherited_descriptor(name)
    with _explain(name, option, "written"):
        if descriptor is not None:
            return os.dup(standard_output if descriptor == STDOUT else descriptor)
        flags = os.O_WRONLY | os.O_CREAT | (os.O_APPEND if append else 0)
        try:
            made = _open(name, flags | os.O_EXCL)
        except FileExistsError:
            return _open(name, flags)
        refusal.callback(Path(name).unlink, missing_ok=True)
        return made


def check_empty(name: str, option: str, descriptor: int) -> None:
    """Reject a regular file that is not empty, such as the results of an earlier run.

    Args:
        name: of the file; one that was open already is accepted.
        option: the one that names it.
        descriptor: of the file.

    Raises:
        FileError: it is not empty.
    """
    if _is_named_file(name, descriptor) and os.fstat(descriptor).st_size:
        raise FileError(
            f"{option} {name} is not empty; --append keeps what it has and adds to it, --overwrite "
            "replaces it"
        )


def end_last_line(name: str, option: str, descriptor: int) -> None:
    """End the last line of a regular file, unless it was open already.

    Args:
        name: of the file.
        option: the one that names it.
        descriptor: of the file, which is written at its end.

    Raises:
        FileError: it cannot be written.
    """
    if not _is_named_file(name, descriptor):
        return
    with _explain(name, option, "written"):
        if os.fstat(descriptor).st_size and not _ends_with_newline(name):
            os.write(descriptor, b"\n")


def empty(name: str, descriptor: int) -> None:
    """Empty a regular file, unless it was open already.

    Args:
        name: of the file.
        descriptor: of the file.

    Raises:
        OSError: it cannot be written.
    """
    if _is_named_file(name, descriptor):
        os.ftruncate(descriptor, 0)


def _is_named_file(name: str, descriptor: int) -> bool:
    return inherited_descriptor(name) is None and stat.S_ISREG(os.fstat(descriptor).st_mode)


def _ends_with_newline(name: str) -> bool:
    try:
        with Path(name).open("rb") as file:
            file.seek(-1, os.SEEK_END)
            return file.read() == b"\n"
    except OSError:  # unreadable: a blank line is better than two records on one line
        return False


def inherited_descriptor(name: str) -> int | None:
    """Return the descriptor that a name such as /dev/stderr stands for; None for other names."""
    # Opening such a name would write from the start of a redirected file, over its content.
    number = descriptor_number(name)
    return STANDARD_NAMES.get(name) if number is None else number


def is_standard_input(name: str) -> bool:
    """Return whether a name stands for standard input, or for the same open file.

    A regular file that has a name of its own is opened anew, with a position of its own.
    """
    number = descriptor_number(name)
    if name in {STANDARD, "/dev/stdin"} or number == STDIN:
        return True
    try:
        status = Path(name).stat()
        is_open = number is not None or not stat.S_ISREG(status.st_mode)
        return is_open and samestat(status, os.fstat(STDIN))
    except (OSError, ValueError):
        return False


def descriptor_number(name: str) -> int | None:
    """Return the number in a name such as /dev/fd/3; None for other names."""
    folder, _, number = name.rpartition("/")
    is_descriptor = folder in DESCRIPTORS and number.isdecimal() and len(number) <= MAX_DIGITS
    return int(number) if is_descriptor else None


def _open(name: str, flags: int) -> int:
    return os.open(name, flags | getattr(os, "O_BINARY", 0), 0o666)


@contextmanager
def _explain(name: str, option: str, done: str) -> Iterator[None]:
    """Raise errors of opening a file as FileError, with the reason.

    Raises:
        FileError: it cannot be opened.
    """
    try:
        yield
    except (OSError, ValueError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        shown = name or repr(name)
        text = f"{option} {shown} cannot be {done}: {reason}; give another file"
        raise FileError(text) from error


@contextmanager
def redirect_printing(*, restores: bool = True) -> Iterator[int]:
    """Redirect the program's prints to standard error, so that only results go to the output.

    Args:
        restores: whether prints go to standard output again after the block; exit handlers print.

    Yields:
        A descriptor of the real standard output.

    Raises:
        FileError: standard output is closed.
    """
    if sys.__stdout__ is None:
        raise FileError("standard output is closed; give --output FILE")
    _flush()  # what was printed before must not follow the redirection
    kept = os.dup(STDOUT)
    os.dup2(STDERR, STDOUT)
    try:
        yield kept
    finally:
        _flush()
        if restores:
            os.dup2(kept, STDOUT)
        os.close(kept)


def _flush() -> None:
    with suppress(OSError, ValueError, AttributeError):
        sys.stdout.flush()
