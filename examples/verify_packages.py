"""Check every file of the installed distributions against the RECORD that lists it.

An installed distribution has a file named RECORD: one row for each of its files, with a hash
and a size. Two pipelines do the work, and the results of the first are the input of the second:

    listing     List       reads one RECORD, gives its rows
    checking    Hash       understands a row, reads and hashes the file
                Compare    compares size and hash with what the row says

So one item (a distribution) becomes thousands (its files). A stream is read only as fast as there
is room for what it gives, hence no more than a few RECORDs are held at any time, however many
distributions there are. Reading and hashing are plain functions, and antflow runs those in threads;
the two coroutine functions run on the event loop.

What is missing, unreadable or different raises an exception whose class says which. antflow makes
that the item's failure, hands it over like any other result, and goes on with the rest.

    python examples/verify_packages.py
    python examples/verify_packages.py --path DIR --workers 8 --show 50
    python examples/verify_packages.py --json
    python examples/verify_packages.py --dashboard detailed

The command of antflow runs the second pipeline as well, with what plugins have to show, and writes
a line of JSON for each file; `pipeline` and `items` are there for it:

    antflow run examples/verify_packages.py:pipeline --output files.jsonl --failures wrong.jsonl

To run it again, add `--overwrite`, which replaces both files.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import csv
import hashlib
import io
import json
import os
import re
import stat
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib.metadata import Distribution, distributions
from pathlib import Path

from antflow import Pipeline, PipelineResult, Stage, StageStats
from antflow.stats import ActivityState

BLOCK = 1 << 16
WORKERS = 8
STATES: tuple[ActivityState, ...] = ("busy", "waiting", "blocked", "idle")


# What can be wrong


class Fault(Exception):  # noqa: N818 -- its kinds are named for what is found, not for raising
    """Something that is not as its RECORD says; the class says what, the fields say where."""

    def __init__(self, distribution: str, file: str, detail: str) -> None:
        super().__init__(f"{distribution}: {file}: {detail}")
        self.distribution = distribution
        self.file = file
        self.detail = detail


class UnreadableRecord(Fault):
    """The RECORD itself cannot be read, so nothing is known of the distribution's files."""


class MalformedRow(Fault):
    """A row of a RECORD does not say which file, which hash and which size it means."""


class UnknownHash(Fault):
    """The row's hash was made by an algorithm that this Python does not have."""


class MissingFile(Fault):
    """The file is listed, and is not there."""


class UnreadableFile(Fault):
    """There is something by that name, and it cannot be read as a file."""


class SizeMismatch(Fault):
    """The file is longer or shorter than listed."""


class HashMismatch(Fault):
    """The file has the listed size, but not the listed content."""


# What travels through the stages


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a RECORD, as it was read."""

    distribution: str
    folder: Path
    number: int
    cells: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Entry:
    """What a row says about a file; `size` is in bytes, None where the row leaves it open."""

    distribution: str
    folder: Path
    file: str
    algorithm: str
    digest: str
    size: int | None


@dataclass(frozen=True, slots=True)
class Reading:
    """An entry, and beside it what the file really holds."""

    entry: Entry
    digest: str
    size: int


# The tasks: ordinary functions that know nothing of pipelines


def name_of(distribution: Distribution) -> str:
    """Give a distribution's name, also where its metadata is damaged or gone."""
    with contextlib.suppress(OSError, UnicodeError):
        metadata = distribution.metadata
        if "Name" in metadata:
            return metadata["Name"]
    return "(no name)"


def read_record(distribution: Distribution) -> list[Row] | None:
    """Give the rows of a distribution's RECORD, or None if it has no RECORD."""
    name = name_of(distribution)
    folder = Path(str(distribution.locate_file("")))
    try:
        text = distribution.read_text("RECORD")
        if text is None:
            return None
        rows = csv.reader(io.StringIO(text, newline=""))
        return [Row(name, folder, number, tuple(row)) for number, row in enumerate(rows, 1) if row]
    except (OSError, UnicodeError, csv.Error) as error:
        raise UnreadableRecord(name, "RECORD", str(error)) from error


def lists_no_hash(row: Row | Fault) -> bool:
    """Return whether a sound row has no hash, as those of RECORD itself and of .pyc files."""
    return (
        isinstance(row, Row) and len(row.cells) == 3 and row.cells[0] != "" and row.cells[1] == ""
    )


def was_not_read(value: Row | Reading) -> bool:
    """Return whether the stage before skipped this one."""
    return isinstance(value, Row)


async def understand(row: Row | Fault) -> Entry:
    """Turn a row into an entry; raises MalformedRow or UnknownHash, or what stands in its place."""
    if isinstance(row, Fault):
        raise row

    def malformed(why: str) -> MalformedRow:
        return MalformedRow(row.distribution, row.cells[0] or "RECORD", f"row {row.number} {why}")

    if len(row.cells) != 3:
        raise malformed(f"has {len(row.cells)} columns instead of 3")
    file, expected, size = row.cells
    algorithm, equals, digest = expected.partition("=")
    if not file or "\0" in file:
        raise malformed("names no file")
    if not (algorithm and equals and digest):
        raise malformed(f"has {expected!r} where algorithm=digest belongs")
    if not re.fullmatch("[0-9]{0,18}", size):
        raise malformed(f"has {size!r} where a number of bytes belongs")
    if algorithm not in hashlib.algorithms_available or algorithm.startswith("shake_"):
        raise UnknownHash(row.distribution, file, f"cannot compute {algorithm!r}")
    return Entry(
        distribution=row.distribution,
        folder=row.folder,
        file=file,
        algorithm=algorithm,
        digest=digest.rstrip("="),
        size=int(size) if size else None,
    )


def read_and_hash(entry: Entry) -> Reading:
    """Hash a file, block by block; raises MissingFile or UnreadableFile."""
    path = entry.folder / entry.file
    digest = hashlib.new(entry.algorithm)
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise UnreadableFile(entry.distribution, entry.file, "is not a regular file")
        with path.open("rb", buffering=0) as file:
            while block := file.read(BLOCK):
                digest.update(block)
            size = file.tell()
    except (FileNotFoundError, NotADirectoryError) as error:
        if path.is_symlink():
            raise UnreadableFile(entry.distribution, entry.file, "links to nothing") from error
        raise MissingFile(entry.distribution, entry.file, "is not there") from error
    except (OSError, ValueError) as error:
        detail = getattr(error, "strerror", None) or str(error)
        raise UnreadableFile(entry.distribution, entry.file, detail) from error
    return Reading(entry, base64.urlsafe_b64encode(digest.digest()).rstrip(b"=").decode(), size)


async def compare(reading: Reading) -> Reading:
    """Pass a reading on if it agrees with its entry; raises SizeMismatch or HashMismatch."""
    entry = reading.entry
    if entry.size is not None and entry.size != reading.size:
        detail = f"has {reading.size:,} bytes instead of {entry.size:,}"
        raise SizeMismatch(entry.distribution, entry.file, detail)
    if entry.digest != reading.digest:
        detail = f"has another {entry.algorithm} than listed"
        raise HashMismatch(entry.distribution, entry.file, detail)
    return reading


# The pipelines


def listing_pipeline() -> Pipeline:
    """Define the pipeline from distributions to the rows of their RECORDs."""
    stage = Stage("List", workers=2, tasks=[read_record], task_attempts=1)
    return Pipeline([stage], name="listing")


def checking_pipeline(workers: int = WORKERS) -> Pipeline:
    """Define the pipeline from rows to compared files; it reads `workers` files at a time."""
    return Pipeline(
        [
            Stage(
                "Hash",
                workers=workers,
                tasks=[understand, read_and_hash],
                task_attempts=1,  # what is wrong now is wrong a second later
                skip_if=lists_no_hash,
            ),
            Stage(
                "Compare",
                workers=1,
                tasks=[compare],
                task_attempts=1,
                skip_if=was_not_read,
            ),
        ],
        name="checking",
    )


async def verify(
    found: Iterable[Distribution], workers: int, show: int, dashboard: str | None = None
) -> Report:
    """Check all files of the distributions; the report keeps the first `show` failures."""
    report = Report(show=show)
    listing, checking = listing_pipeline(), checking_pipeline(workers)

    async def rows() -> AsyncIterator[Row]:
        async with listing.stream(found, buffer_size=1) as listed:
            async for result in listed:
                for row in report.count_distribution(result):
                    yield row

    started = time.perf_counter()
    async with checking.stream(rows(), dashboard=dashboard) as checked:
        async for result in checked:
            report.count_file(result)
    report.seconds = time.perf_counter() - started
    for pipeline in (listing, checking):
        report.stages.update(pipeline.get_stats().stage_stats)
        report.workers.update({s: len(w) for s, w in pipeline.get_worker_names().items()})
    return report


# What `antflow run` looks for

pipeline = checking_pipeline


async def items() -> AsyncIterator[Row | Fault]:
    """Give the rows of all RECORDs here, and of one that cannot be read, in their place, why."""
    async with listing_pipeline().stream(installed(None), buffer_size=1) as listed:
        async for result in listed:
            if isinstance(result.error, Fault):
                yield result.error
                continue
            if result.error is not None:
                raise result.error
            for row in result.value or ():
                yield row


# The report


@dataclass
class Report:
    """Totals, and the first `show` failures: its size does not depend on the number of files."""

    show: int
    distributions: int = 0
    without_record: int = 0
    files: int = 0
    without_hash: int = 0
    bytes: int = 0
    seconds: float = 0.0
    kinds: Counter[str] = field(default_factory=Counter)
    shown: list[Fault] = field(default_factory=list)
    stages: dict[str, StageStats] = field(default_factory=dict)
    workers: dict[str, int] = field(default_factory=dict)

    def count_distribution(self, result: PipelineResult) -> list[Row]:
        """Count one result of `List` and give the rows to check."""
        self.distributions += 1
        if result.error is not None:
            self.count_failure(result.error)
            return []
        rows: list[Row] | None = result.value
        self.without_record += rows is None
        return rows or []

    def count_file(self, result: PipelineResult) -> None:
        """Count one result of the checking pipeline."""
        if isinstance(result.value, Row) and result.is_success:
            self.without_hash += 1
            return
        self.files += 1
        if isinstance(result.value, Reading):
            self.bytes += result.value.size
        if result.error is not None:
            self.count_failure(result.error)

    def count_failure(self, error: BaseException) -> None:
        """Count a failure by its type; one that no task foresaw is a bug, and ends the program."""
        if not isinstance(error, Fault):
            raise error
        self.kinds[type(error).__name__] += 1
        if len(self.shown) < self.show:
            self.shown.append(error)

    @property
    def failures(self) -> int:
        """How many failures there are of all types."""
        return self.kinds.total()

    @property
    def files_per_second(self) -> float:
        """How many files were checked in a second, all stages running at once."""
        return self.files / self.seconds if self.seconds else 0.0

    @property
    def busiest(self) -> str:
        """The stage whose workers spent the largest share of their time in its tasks."""
        return max(self.stages, key=lambda name: share(self.stages[name], "busy"))


def share(stage: StageStats, state: ActivityState) -> float:
    """Give the share of a stage's worker time, from 0 to 1, that was spent in a state."""
    total = sum(stage.seconds.values())
    return stage.seconds[state] / total if total else 0.0


def item_count(stage: StageStats) -> int:
    """Give the number of items that a stage worked on, to whatever end."""
    return stage.completed_items + stage.failed_items - stage.skipped_items


def as_json(report: Report) -> str:
    """Give the report as one JSON object."""
    document = {
        "ok": report.failures == 0,
        "distributions": report.distributions,
        "without_record": report.without_record,
        "files": report.files,
        "without_hash": report.without_hash,
        "bytes": report.bytes,
        "seconds": round(report.seconds, 6),
        "files_per_second": round(report.files_per_second, 1),
        "busiest_stage": report.busiest,
        "stages": {
            name: {
                "workers": report.workers[name],
                "items": item_count(stage),
                **{state: round(share(stage, state), 4) for state in STATES},
            }
            for name, stage in report.stages.items()
        },
        "failures": dict(sorted(report.kinds.items())),
        "shown": [
            {
                "type": type(error).__name__,
                "distribution": error.distribution,
                "file": error.file,
                "detail": error.detail,
            }
            for error in report.shown
        ],
    }
    return json.dumps(document, indent=2)


def as_text(report: Report) -> str:
    """Give the report as lines for a terminal."""
    parts = (summary_lines, stage_lines, failure_lines)
    blocks = ("\n".join(part(report)) for part in parts)
    return "\n\n".join(filter(None, blocks))


def summary_lines(report: Report) -> Iterator[str]:
    """Give the totals, one a line."""
    busiest = report.stages[report.busiest]
    yield from aligned(
        [
            ("distributions", f"{report.distributions:,}", ""),
            ("  without a RECORD", f"{report.without_record:,}", "skipped"),
            ("files", f"{report.files:,}", "checked"),
            ("  without a hash", f"{report.without_hash:,}", "skipped"),
            ("bytes", *human_bytes(report.bytes)),
            ("time", f"{report.seconds:.2f}", "s"),
            ("files per second", f"{report.files_per_second:,.0f}", ""),
            ("busiest stage", report.busiest, f"{share(busiest, 'busy'):.0%} busy"),
            ("failures", f"{report.failures:,}", ""),
            *((f"  {kind}", f"{n:,}", "") for kind, n in report.kinds.most_common()),
        ],
        "<><",
    )


def stage_lines(report: Report) -> Iterator[str]:
    """Give a table of the stages: what each did, and how its workers spent their time."""
    head = ("stage", "workers", "items", *STATES)
    body = [
        (
            name,
            f"{report.workers[name]:,}",
            f"{item_count(stage):,}",
            *(f"{share(stage, state):.1%}" for state in STATES),
        )
        for name, stage in report.stages.items()
    ]
    yield from aligned([head, *body], "<" + ">" * (len(head) - 1))


def failure_lines(report: Report) -> Iterator[str]:
    """Give the failures that the report kept, and how to see the others."""
    yield from aligned(
        [
            (type(f).__name__, printable(f"{f.distribution}: {f.file}"), f.detail)
            for f in report.shown
        ],
        "<<<",
    )
    if hidden := report.failures - len(report.shown):
        yield f"and {hidden:,} more: --show {report.failures} shows all"


def aligned(rows: Iterable[Sequence[str]], alignment: str) -> Iterator[str]:
    """Give rows as lines whose columns are as wide as they need; `<` is left, `>` is right."""
    rows = list(rows)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (f"{c:{a}{w}}" for c, a, w in zip(row, alignment, widths, strict=True))
        yield "  ".join(cells).rstrip()


def human_bytes(count: int) -> tuple[str, str]:
    """Give a number of bytes in the unit that suits its size: 1536 is ("1.5", "KiB")."""
    if count < 1024:
        return f"{count:,}", "bytes"
    size = float(count)
    for unit in ("KiB", "MiB", "GiB"):
        size /= 1024
        if size < 1024:
            return f"{size:.1f}", unit
    return f"{size / 1024:,.1f}", "TiB"


def printable(text: str) -> str:
    """Give a name so that nothing in it can move the cursor or break the line."""
    return text if text.isprintable() else ascii(text)


# The command line


def installed(folder: Path | None) -> Iterator[Distribution]:
    """Find the distributions in a folder, or those of the environment that runs this."""
    folders = sys.path if folder is None else [str(folder)]
    real = dict.fromkeys(map(os.path.realpath, folders))  # lib64 may link to lib
    return iter(distributions(path=[path for path in real if Path(path).is_dir()]))


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line; on bad usage the program ends with exit code 2."""
    parser = argparse.ArgumentParser(
        prog="verify_packages.py",
        description="Check the files of installed distributions against their RECORD.",
        epilog="Exit code: 0 all is right, 1 something is not, 2 wrong usage.",
    )
    parser.add_argument(
        "--path",
        type=a_folder,
        metavar="DIR",
        help="the site-packages folder to check (default: the environment that runs this)",
    )
    parser.add_argument(
        "--workers",
        type=at_least(1),
        default=WORKERS,
        metavar="N",
        help="how many files to read at a time (default: %(default)s)",
    )
    parser.add_argument(
        "--show",
        type=at_least(0),
        default=20,
        metavar="N",
        help="how many failures to show by name (default: %(default)s)",
    )
    parser.add_argument(
        "--dashboard",
        metavar="NAME",
        help="watch the check; antflow-rich has progress, compact, detailed and full",
    )
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    return parser.parse_args(argv)


def a_folder(text: str) -> Path:
    """Read a folder from the command line."""
    folder = Path(text)
    if not folder.is_dir():
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a folder; give one that packages are installed in, "
            "as `python -m site` lists them"
        )
    return folder


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
    found = installed(options.path)
    report = asyncio.run(verify(found, options.workers, options.show, options.dashboard))
    if report.distributions == 0:
        place = options.path or "this environment"
        print(
            f"verify_packages.py: no installed distribution in {place}; "
            "give --path a folder that holds *.dist-info folders",
            file=sys.stderr,
        )
        return 2
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # not every terminal has every letter
    print(as_json(report) if options.json else as_text(report))
    return 1 if report.failures else 0


if __name__ == "__main__":
    sys.exit(main())
