"""Count the words in all text files below a directory.

One pipeline, started before its input is known and fed while it works:

    Count    decodes a file and counts its words, in a thread
    Merge    adds a file's counts to the total; one worker, so that it needs no lock

`feed` takes a file from the walk through the directory only when there is room for it, and a file
is read block by block: memory holds the vocabulary, not the text. Each file is fed with its size as
its priority, so a small file overtakes the large ones that wait, and the total moves early.

A file is merged whole or not at all. One that is not UTF-8 or cannot be read fails: its counts are
never added, and `on_failure` gets its name.

    python examples/word_count.py docs
    python examples/word_count.py --suffix .py --top 20 .
"""

from __future__ import annotations

import argparse
import asyncio
import heapq
import io
import logging
import os
import re
import stat
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from antflow import Pipeline, Stage

SUFFIXES = (".txt", ".md", ".rst")
BLOCK = 1 << 16
WORD = re.compile(r"[^\W\d_]+(?:['\N{RIGHT SINGLE QUOTATION MARK}][^\W\d_]+)*")


class NotTextError(Exception):
    """The file's bytes are not UTF-8."""


class UnreadableError(Exception):
    """There is something by that name, and it cannot be read as a file."""


# The tasks


def words(file: TextIO, block: int = BLOCK) -> Iterator[str]:
    """Give the words of an open file in lower case, `block` characters at a time."""
    rest = ""
    while text := file.read(block):
        text, rest = rest + text, ""
        for match in WORD.finditer(text):
            if match.end() >= len(text) - 1 and len(match[0]) <= block:
                rest = text[match.start() :]  # the word may go on in the next block
            else:
                yield match[0].casefold()
    for match in WORD.finditer(rest):
        yield match[0].casefold()


def count(path: Path) -> Counter[str]:
    """Count the words of a file; raises NotTextError or UnreadableError."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise UnreadableError("not a regular file")
        with path.open(encoding="utf-8-sig") as file:
            return Counter(words(file))
    except UnicodeDecodeError as error:
        raise NotTextError(f"not UTF-8: {error.reason}") from error
    except OSError as error:
        raise UnreadableError(error.strerror or str(error)) from error


@dataclass
class Tally:
    """What is known so far; only tasks and callbacks on the event loop write to it."""

    show: int
    files: int = 0
    total: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    shown: list[tuple[str, str, str]] = field(default_factory=list)

    async def merge(self, counts: Counter[str]) -> None:
        """Add one file's counts; the task of `Merge`."""
        self.total.update(counts)
        self.files += 1

    def not_counted(self, name: str, error: Exception, _: dict[str, Any]) -> None:
        """Note a file that could not be counted; the `on_failure` of `Count`."""
        kind = type(error).__name__
        self.kinds[kind] += 1
        if len(self.shown) < self.show:
            self.shown.append((kind, name, str(error)))

    def not_listed(self, error: OSError) -> None:
        """Note a directory that could not be listed."""
        self.not_counted(str(error.filename), UnreadableError(error.strerror), {})

    @property
    def failures(self) -> int:
        """How many files and directories failed."""
        return self.kinds.total()


# The pipeline


def counting_pipeline(tally: Tally, workers: int) -> Pipeline:
    """Define the pipeline that counts `workers` files at a time into a tally."""
    return Pipeline(
        [
            Stage(
                "Count",
                workers=workers,
                tasks=[count],
                task_attempts=1,  # a file does not get better by reading it again
                on_failure=tally.not_counted,
            ),
            Stage("Merge", workers=1, tasks=[tally.merge], task_attempts=1),
        ],
        collect_results=False,
        name="counting",
    )


async def count_all(paths: Iterable[Path], tally: Tally, workers: int) -> None:
    """Count the words of all files into a tally."""
    async with counting_pipeline(tally, workers) as pipeline:
        await pipeline.start()
        for path in paths:
            # An item with an "id" keeps it: the callback gets the file's name.
            await pipeline.feed([{"id": str(path), "value": path}], priority=size(path))
        await pipeline.join()


def size(path: Path) -> int:
    """Give a file's size in bytes, 0 if it has none: that it is unreadable is found by counting."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def text_files(directory: Path, suffixes: Sequence[str], tally: Tally) -> Iterator[Path]:
    """Walk through a directory and give the files that end in one of the suffixes."""
    for folder, folders, names in os.walk(directory, onerror=tally.not_listed):
        folders.sort()
        for name in sorted(names):
            if name.endswith(tuple(suffixes)):
                yield Path(folder, name)


# The report


def report(tally: Tally, top: int) -> Iterator[str]:
    """Give the report as lines for a terminal."""
    words = tally.total.total()
    common = heapq.nsmallest(top, tally.total.items(), key=lambda pair: (-pair[1], pair[0]))
    if common:
        head = ("word", "count", "share")
        body = ((word, f"{n:,}", f"{n / words:.1%}") for word, n in common)
        yield from aligned([head, *body], "<>>")
        yield ""
    yield from aligned(
        [
            ("files", f"{tally.files:,}"),
            ("words", f"{words:,}"),
            ("different words", f"{len(tally.total):,}"),
            ("failures", f"{tally.failures:,}"),
            *((f"  {kind}", f"{n:,}") for kind, n in tally.kinds.most_common()),
        ],
        "<>",
    )
    if tally.shown:
        yield ""
        yield from aligned([(k, printable(n), why) for k, n, why in tally.shown], "<<<")
    if hidden := tally.failures - len(tally.shown):
        yield f"and {hidden:,} more: --show {tally.failures} shows all"


def aligned(rows: Iterable[Sequence[str]], alignment: str) -> Iterator[str]:
    """Give rows as lines whose columns are as wide as they need; `<` is left, `>` is right."""
    rows = list(rows)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (f"{c:{a}{w}}" for c, a, w in zip(row, alignment, widths, strict=True))
        yield "  ".join(cells).rstrip()


def printable(text: str) -> str:
    """Give a name so that nothing in it can move the cursor or break the line."""
    return text if text.isprintable() else ascii(text)


# The command line


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line; on bad usage the program ends with exit code 2."""
    parser = argparse.ArgumentParser(
        prog="word_count.py",
        description="Count the words in all text files below a directory.",
        epilog="Exit code: 0 all files were counted, 1 some were not, 2 wrong usage.",
    )
    parser.add_argument("directory", type=a_directory, metavar="DIRECTORY")
    parser.add_argument(
        "--suffix",
        action="append",
        metavar=".EXT",
        help=f"how the names of text files end; may be repeated (default: {' '.join(SUFFIXES)})",
    )
    parser.add_argument(
        "--top",
        type=at_least(0),
        default=10,
        metavar="N",
        help="how many words to show (default: %(default)s)",
    )
    parser.add_argument(
        "--show",
        type=at_least(0),
        default=20,
        metavar="N",
        help="how many failures to show by name (default: %(default)s)",
    )
    parser.add_argument(
        "--workers",
        type=at_least(1),
        default=os.cpu_count() or 1,
        metavar="N",
        help="how many files to count at a time (default: %(default)s)",
    )
    return parser.parse_args(argv)


def a_directory(text: str) -> Path:
    """Read a directory from the command line."""
    directory = Path(text)
    if not directory.is_dir():
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a directory; give one that has text files in it or below it"
        )
    return directory


def at_least(least: int) -> Callable[[str], int]:
    """Make a reader of whole numbers that are not below `least`."""

    def whole_number(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = least - 1
        if number < least:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least {least}")
        return number

    return whole_number


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program and give its exit code."""
    options = arguments(argv)
    logging.getLogger("antflow").setLevel(logging.ERROR)  # the report says what failed
    tally = Tally(show=options.show)
    paths = text_files(options.directory, options.suffix or SUFFIXES, tally)
    asyncio.run(count_all(paths, tally, options.workers))
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # not every terminal has every letter
    for line in report(tally, options.top):
        print(line)
    return 1 if tally.failures else 0


if __name__ == "__main__":
    sys.exit(main())
