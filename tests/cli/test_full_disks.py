"""Disks that fill up: each input has one whole line in one file, or the report names it.

With ANTFLOW_TEST_EVERY_CASE=1, a disk of every size is filled, in steps of one block.
"""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.command import Command, Ran

BLOCK = os.sysconf("SC_PAGE_SIZE")
COUNT = 6_000
LINES = "".join("none\n" if number % 7 == 0 else f"{number}\n" for number in range(1, COUNT + 1))
PROGRAM = """
async def task(number):
    if number % 5 == 0:
        raise ValueError("." * (number % 31))
    return [number, "." * (number % 53)]
pipeline = one(task)
"""
BLOCKS = {"output": 60, "failures": 77, "both": 137}
"""Blocks that the files take."""

FILES = {
    "output": ("disk/out", "failures"),
    "failures": ("out", "disk/failures"),
    "both": ("disk/out", "disk/failures"),
}


def sizes() -> Iterator[tuple[str, int]]:
    """Yield sizes of the disk, up to one that is large enough."""
    for place, blocks in BLOCKS.items():
        every = range(1, blocks + 1)
        few = 1, 2, blocks // 3, blocks - 1, blocks
        for size in every if os.environ.get("ANTFLOW_TEST_EVERY_CASE") else few:
            yield place, size


@contextmanager
def small_disk(folder: Path, blocks: int) -> Iterator[Path]:
    """Mount a file system of a few blocks; skip the test where that is not possible."""
    mount, unmount = shutil.which("mount"), shutil.which("umount")
    if mount is None or unmount is None or os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    folder.mkdir()
    options = "-t", "tmpfs", "-o", f"size={blocks * BLOCK}", "tmpfs"
    ran = subprocess.run([mount, *options, folder], check=False, capture_output=True, text=True)
    if ran.returncode:
        pytest.skip(f"a small disk cannot be mounted: {ran.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run([unmount, folder], check=True)


def run_with_small_files(
    command: Command, size: int, *options: str, program: str, given: str = "", output: int = -1
) -> Ran:
    """Run a program whose process writes files up to a size; its messages are in a pipe."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    limit = f"import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, ({size}, {before[1]}))\n"
    reader, writer = os.pipe()
    descriptors = {2: writer} if output == -1 else {1: output, 2: writer}
    try:
        ran = command.run(*options, program=limit + program, given=given, descriptors=descriptors)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        os.close(writer)
    with os.fdopen(reader, encoding="utf-8") as messages:
        return replace(ran, err=messages.read())


def records(path: Path) -> list[dict[str, Any]]:
    """Return the records of a file without a partial line."""
    content = path.read_bytes()
    assert not content or content.endswith(b"\n")
    return [json.loads(line) for line in content.splitlines()]


def unread(ran: Ran) -> int:
    """Return the first line that was not read, by the report."""
    numbers = set(re.findall(r"the first unread line is (\d+)", ran.err))
    assert bool(numbers) is ("cannot be written" in ran.err and "input was read" not in ran.err)
    (number,) = numbers or {COUNT + 1}
    return int(number)


def missing(ran: Ran) -> list[int]:
    """Return the lines that are in no file, by the report."""
    found = re.findall(r"^antflow run: lines? ([\d, -]+) (?:is|are) neither", ran.err, re.MULTILINE)
    runs = [each.split("-") for part in found for each in part.split(", ")]
    return [number for each in runs for number in range(int(each[0]), int(each[-1]) + 1)]


def check(ran: Ran, output: Path, failures: Path | None) -> None:
    """Check that each line that was read is in one file, or named."""
    done = [record["value"][0] for record in records(output)]
    failed = [record["line"] for record in records(failures)] if failures else []
    assert sorted([*done, *failed, *missing(ran)]) == list(range(1, unread(ran)))


FIRST_IS_LAST = """
import asyncio

is_read = asyncio.Event()

async def task(number):
    if number == 1:
        await is_read.wait()
    if number == 6_000:
        is_read.set()
    if number % 2 == 0:
        raise ValueError(number)
    return number

pipeline = Pipeline([Stage("Test", 50, [task], task_attempts=1)])
"""


def test_each_of_thousands_of_results_that_cannot_be_written_is_named(command: Command) -> None:
    options = "--output", "/dev/full", "--ordered"
    given = "".join(f"{number}\n" for number in range(1, 6_001))
    ran = command.run(*options, program=FIRST_IS_LAST, given=given)
    assert missing(ran) == list(range(1, 6_000, 2))


@pytest.mark.parametrize("ordered", [False, True])
@pytest.mark.parametrize(("place", "blocks"), list(sizes()))
def test_a_full_disk_loses_and_repeats_no_input(
    command: Command, place: str, blocks: int, ordered: bool
) -> None:
    output, failures = FILES[place]
    with small_disk(command.folder / "disk", blocks):
        options = "--output", output, "--failures", failures, *(["--ordered"] if ordered else [])
        ran = command.run(*options, program=PROGRAM, given=LINES)
        assert ran.code == 1
        is_full = "cannot be written: No space left on device" in ran.err
        assert is_full is (blocks < BLOCKS[place])
        check(ran, command.folder / output, command.folder / failures)


@pytest.mark.parametrize("size", [0, 1, 100, 4_095, 4_096, 65_537, 100_000])
def test_files_that_may_not_grow_lose_and_repeat_no_input(command: Command, size: int) -> None:
    options = "--output", "out", "--failures", "failures"
    ran = run_with_small_files(command, size, *options, program=PROGRAM, given=LINES)
    assert "cannot be written: File too large; the first unread line is " in ran.err
    check(ran, command.folder / "out", command.folder / "failures")


@pytest.mark.parametrize("mode", ["ab", "wb"])
def test_a_partial_line_is_cut_off_a_file_that_the_shell_has_opened(
    command: Command, mode: str
) -> None:
    path = command.folder / "shell"
    with path.open(mode) as file:
        ran = run_with_small_files(
            command, 10_000, program=PROGRAM, given=LINES, output=file.fileno()
        )
        os.write(file.fileno(), b'{"value": [0]}\n')
    assert "--output - cannot be written: File too large" in ran.err
    *done, last = [record["value"][0] for record in records(path)]
    assert last == 0
    failed = [number for number in range(1, unread(ran)) if number % 7 == 0 or number % 5 == 0]
    assert set(failed).isdisjoint(done)
    assert len(done) == len(set(done))
    read = set(range(1, unread(ran)))
    # Without --failures, the report counts the failures, and names what is neither.
    assert read - set(done) - set(missing(ran)) <= set(failed)
    assert set(missing(ran)).isdisjoint(done)


def test_a_partial_line_of_an_earlier_run_on_a_full_disk_is_refused(command: Command) -> None:
    command.write("out", "x" * 100)
    ran = run_with_small_files(command, 100, "--output", "out", "--append", program="", given="1")
    assert ran.code == 2
    assert "--output out cannot be written: File too large; give another file" in ran.err
    assert ran.files["out"] == "x" * 100


def test_items_of_the_program_are_named_by_their_numbers(command: Command) -> None:
    program = """
async def task(number):
    if number < 10:
        await pipeline.feed([100 + number])
    while pipeline.get_stats().items_fed < 6:
        await asyncio.sleep(0)
    return number
pipeline = one(task)
items = [1, 2, 50, 60]
"""
    ran = run_with_small_files(command, 0, "--output", "out", program=program)
    assert "items 1-4 are neither in the output nor among the failures" in ran.report
    fed = "2 items that the pipeline fed to itself are neither in the output nor among the failures"
    assert fed in ran.report
