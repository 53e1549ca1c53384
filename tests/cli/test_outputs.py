"""Where results and failures are written, in which order, and in which form."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from pathlib import Path

import pytest

from antflow import PluginError, hookimpl
from tests.helpers.command import Command
from tests.helpers.installation import Entry, install

FULL = Path("/dev/full")
NUMBERS = "async def task(item):\n    return 2 * item\nitems = [1, 2, 3]\n"


def test_what_the_program_prints_is_kept_out_of_the_results(command: Command) -> None:
    program = NUMBERS + "print('early')\nos.write(1, b'early, too\\n')\n"
    program = program.replace("return", "print(9); return")
    ran = command.run("--ordered", "--values", program=program)
    assert (ran.code, ran.out) == (0, "2\n4\n6\n")
    assert sorted(ran.err.splitlines()) == ["9", "9", "9", "early", "early, too"]
    ran = command.run("--output", "out", program=program)
    assert sorted(ran.out.splitlines()) == ["9", "9", "9", "early", "early, too"]


@pytest.mark.parametrize("size", ["ab", "a" * 300_000 + "b"])
def test_results_come_one_on_a_line(command: Command, size: str) -> None:
    ran = command.run("--lines", "--values", "--ordered", given=f"{size}\n\n{size}c")
    assert ran.values == [size, "", f"{size}c"]


# The order


def test_results_in_order_wait_for_those_before_them_and_not_for_failures(command: Command) -> None:
    program = """
from pathlib import Path
done = []
async def task(number):
    async with asyncio.timeout(30):
        while len(done) < {0: 2, 1: 1, 2: 0}.get(number, 0):
            await asyncio.sleep(0)
        while number == 3 and "2" not in Path("out").read_text():
            await asyncio.sleep(0)
    done.append(number)
    if number == 1:
        raise ValueError(number)
    return number
items = range(4)
"""
    ran = command.run("--ordered", "--values", "--output", "out", program=program)
    assert ran.records("out") == [0, 2, 3]
    ran = command.run("--values", "--output", "out", "--overwrite", program=program)
    assert (ran.records("out")[0], sorted(ran.records("out"))) == (2, [0, 2, 3])


def test_results_that_are_held_back_are_written_at_the_end(command: Command) -> None:
    program = """
async def task(number):
    if number == 3:
        raise SystemExit
    if number in {0, 2}:
        await asyncio.Event().wait()
    return number
items = range(4)
"""
    ran = command.run("--ordered", "--values", "--failures", "failures", program=program)
    assert ran.values == [1]
    assert {each["item"] for each in ran.records("failures")} == {1, 3, 4}


def test_items_that_the_pipeline_feeds_itself_are_results_too(command: Command) -> None:
    program = """
async def task(number):
    if number < 10:
        await pipeline.feed([10 * number, 10 * number + 1])
    if number == 11:
        raise ValueError(number)
    return number
pipeline = one(task)
items = [1, 2]
"""
    ran = command.run("--ordered", "--values", "--failures", "failures", program=program)
    assert sorted(ran.values) == [1, 2, 10, 20, 21]
    (failure,) = ran.records("failures")
    assert (failure["input"], "item" in failure) == (11, False)


# Files


@pytest.mark.parametrize("option", ["--output", "--failures"])
@pytest.mark.parametrize(
    ("before", "kept"), [("", ""), ("old\n", "old\n"), ("cut sho", "cut sho\n")]
)
def test_a_file_that_is_not_empty_is_added_to_or_replaced_only_if_that_is_asked_for(
    command: Command, option: str, before: str, kept: str
) -> None:
    program = NUMBERS + "async def task(item):\n    1 / (item - 2)\n"
    command.write("file", before)
    both = {"--output": "file", "--failures": "other"}
    both = both if option == "--output" else {"--output": "other", "--failures": "file"}
    arguments = [each for pair in both.items() for each in pair]
    if before:
        ran = command.run(*arguments, program=program)
        assert ran.code == 2
        assert f"{option} file is not empty; --append keeps what it has and adds to it, " in ran.err
        assert "--overwrite replaces it" in ran.err
        assert ran.files["file"] == before
    appended = command.run(*arguments, "--append", program=program).files["file"]
    replaced = command.run(*arguments, "--overwrite", program=program).files["file"]
    assert appended == kept + replaced
    assert replaced.count("\n") == (2 if option == "--output" else 1)


def test_wrong_usage_keeps_a_file_that_would_be_replaced(command: Command) -> None:
    command.write("out", "precious")
    program = (
        "async def pipeline():\n    made = one(task)\n    await made.start()\n    return made\n"
    )
    program += "pipeline = pipeline\n"
    ran = command.run("--output", "out", "--overwrite", program=program)
    assert (ran.code, ran.files["out"]) == (2, "precious")
    assert "program.py:pipeline is running already; leave its start to antflow run" in ran.err


class Refusing:
    """A plugin that refuses a run, interrupts it, or is wrong, before its first item."""

    def __init__(self, act: str) -> None:
        self._act = act

    @hookimpl
    async def antflow_pipeline_start(self) -> None:
        if self._act == "refuses":
            raise PluginError("no")
        if self._act == "is interrupted":
            signal.raise_signal(signal.SIGTERM)
            await asyncio.Event().wait()
        if self._act == "raises":
            raise ValueError


OLD = '{"id": 7, "value": 7}\n'
FILES = "--output", "out", "--failures", "failures", "--overwrite"


@pytest.mark.parametrize(
    ("act", "code"),
    [("refuses", 1), ("raises", 1), ("is interrupted", 143), ("the input raises", 1)],
)
def test_a_run_that_does_not_begin_keeps_files_that_would_be_replaced(
    command: Command, act: str, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, Entry("refusing", lambda: Refusing(act)))
    monkeypatch.setenv("ANTFLOW_STRICT_PLUGINS", "1")
    program = "async def task(item): return item\ndef items():\n    yield 1 / 0\n"
    given = "" if act == "the input raises" else "1\n2\n"
    if given:
        program = "async def task(item): return item\n"
    for name in "out", "failures":
        command.write(name, OLD)
    ran = command.run(*FILES, "--drain-seconds", "0", program=program, given=given)
    assert (ran.code, ran.files["out"], ran.files["failures"]) == (code, OLD, OLD)


@pytest.mark.parametrize(("given", "failures"), [("", 0), ("{\n", 1), ("{\n" * 3, 3)])
def test_a_run_without_results_replaces_files(command: Command, given: str, failures: int) -> None:
    for name in "out", "failures":
        command.write(name, OLD * 10)
    ran = command.run(*FILES, given=given)
    assert (ran.files["out"], len(ran.records("failures"))) == ("", failures)


def test_items_that_were_fed_before_a_refused_run_replace_the_failures(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, Entry("refusing", lambda: Refusing("refuses")))
    program = """
async def make():
    made = one(task)
    await made.feed(["fed"])
    return made
pipeline = make
"""
    for name in "out", "failures":
        command.write(name, OLD * 10)
    ran = command.run(*FILES, program=program, given="1\n")
    assert (ran.code, ran.files["out"]) == (1, OLD * 10)
    assert [each["input"] for each in ran.records("failures")] == ["fed"]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--input", "none"], "--input none cannot be read: No such file or directory; give an"),
        (["--input", "."], "--input . is a directory; give a file"),
        (["--input", "a\0b"], "cannot be read: "),
        (
            ["--output", ""],
            "--output '' cannot be written: No such file or directory; give another",
        ),
        (["--failures", "."], "--failures . cannot be written: Is a directory; give another file"),
        (["--failures", "-"], "--failures takes the name of a file; for standard error, /dev/std"),
        (["--output", "/dev/fd/9999"], "--output /dev/fd/9999 cannot be written: Bad file"),
        (["--output", f"/dev/fd/{10**20}"], f"--output /dev/fd/{10**20} cannot be written: "),
        (["--output", f"/dev/fd/{'9' * 5_000}"], "cannot be written: File name too long"),
        (["--input", "in", "--output", "in"], "--input and --output are the same file; give two"),
        (["--output", "new", "--failures", "link"], "--output and --failures are the same file"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_with_the_reason(
    command: Command, arguments: list[str], reason: str
) -> None:
    command.write("in", "1\n")
    (command.folder / "link").symlink_to("new")
    ran = command.run(*arguments, "--overwrite")
    assert ran.code == 2
    assert reason in ran.err
    assert ran.files["in"] == "1\n"


@pytest.mark.parametrize("failures", ["old", ".", "none/new", "new"])
def test_a_run_that_is_refused_leaves_no_new_file(command: Command, failures: str) -> None:
    command.write("old", "precious")
    ran = command.run("--output", "new", "--failures", failures)
    assert (ran.code, dict(ran.files)) == (2, {"old": "precious"})


def test_standard_output_and_failures_are_two_files(command: Command) -> None:
    descriptor = os.open(command.folder / "new", os.O_WRONLY | os.O_CREAT)
    ran = command.run("--failures", "new", descriptors={1: descriptor})
    os.close(descriptor)
    assert "standard output and --failures are the same file; give two" in ran.err


@pytest.mark.parametrize(("descriptor", "name"), [(1, "standard output"), (2, "standard error")])
def test_files_of_the_command_take_no_messages_and_prints(
    command: Command, descriptor: int, name: str
) -> None:
    with (command.folder / "file").open("w") as file:
        options = "--output", "other", "--failures", "file", "--overwrite"
        descriptors = {descriptor: file.fileno()}
        ran = command.run(*options, program=NUMBERS, descriptors=descriptors)
    assert ran.code == 2
    message = f"--failures and {name} are the same file; give two"
    assert message in (ran.err or ran.files["file"])


@pytest.mark.parametrize("options", [[], ["--append"], ["--overwrite"]])
def test_devices_and_pipes_are_neither_checked_nor_emptied(
    command: Command, options: list[str]
) -> None:
    both = "--output", os.devnull, "--failures", os.devnull
    assert command.run(*both, *options, program=NUMBERS).code == 0
    os.mkfifo(command.folder / "pipe")
    reader = os.open(command.folder / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    command.run("--output", "pipe", "--values", "--ordered", *options, program=NUMBERS)
    assert os.read(reader, 100) == b"2\n4\n6\n"
    os.close(reader)


@pytest.mark.parametrize("form", ["/dev/fd/{}", "/proc/self/fd/{}"])
def test_a_file_that_is_open_already_is_written_from_its_position(
    command: Command, form: str
) -> None:
    with command.write("log", "").open("w") as file:
        file.write("precious\n")
        file.flush()
        ran = command.run("--values", "--output", form.format(file.fileno()), program=NUMBERS)
        file.write("last\n")
    lines = (command.folder / "log").read_text().splitlines()
    assert ran.code == 0
    assert (lines[0], sorted(lines[1:4]), lines[4:]) == ("precious", ["2", "4", "6"], ["last"])


@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1"])
def test_failures_may_go_to_standard_output_too(command: Command, name: str) -> None:
    reader, writer = os.pipe()
    ran = command.run("--failures", name, "--values", given="x\n1\n", descriptors={1: writer})
    failure, result = sorted(os.read(reader, 10_000).splitlines(), reverse=True)
    os.close(reader)
    os.close(writer)
    assert (ran.code, result) == (1, b"1")
    assert failure.startswith(b'{"status": "malformed", "line": 1, "input": "x"')


# Files that take nothing


def closed_pipe() -> int:
    reader, writer = os.pipe()
    os.close(reader)
    return writer


def test_a_reader_that_closes_the_output_ends_the_run_quietly(command: Command) -> None:
    writer = closed_pipe()
    program = """
async def items():
    number = 0
    while True:
        yield (number := number + 1)
"""
    ran = command.run("--failures", "failures", program=program, descriptors={1: writer})
    os.close(writer)
    assert (ran.code, ran.err) == (141, "")
    records = ran.records("failures")
    assert sorted(each["item"] for each in records) == list(range(1, len(records) + 1))
    assert "unwritten" in {each["status"] for each in records}


UNREAD = "the first unread line is 2"


@pytest.mark.skipif(not FULL.exists(), reason="needs /dev/full")
def test_files_that_cannot_be_written_are_reported(command: Command) -> None:
    no_space = "cannot be written: No space left on device; "
    # The end of the input may be read just before or after the file fails.
    ends = {f"--output {FULL} {no_space}{end}" for end in ("all input was read", UNREAD)}
    given = "1\n"
    ran = command.run("--output", FULL, "--failures", "failures", given=given)
    assert ran.code == 1
    assert ran.report[:-1] == ["1 result could not be written", "failures has it"]
    assert ran.report[-1] in ends
    assert ran.records("failures") == [{"status": "unwritten", "line": 1, "input": 1, "id": 0}]
    ran = command.run("--failures", FULL, given="x\n")
    assert ran.code == 1
    assert ran.report[-2] == "line 1 is neither in the output nor among the failures"
    assert ran.report[-1].replace("--failures", "--output") in ends
    assert not any(" has " in line for line in ran.report)


@pytest.mark.parametrize("option", ["--output", "--failures"])
def test_reading_waits_while_a_file_takes_nothing(command: Command, option: str) -> None:
    results, waiting = os.pipe(), os.pipe()
    program = f"""
async def task(item):
    if {option == "--failures"}:
        raise ValueError
    return item

async def watch():
    before, rounds = 0, 0
    while rounds < 2_000:
        await asyncio.sleep(0)
        count = made.get_stats().items_fed
        # Not before some are fed: on a slow machine, the thread that reads may begin late.
        before, rounds = count, rounds + 1 if 30 < count == before else 0
    os.write({waiting[1]}, b"%d" % count)

made = one(task)
async def make():
    task.watching = asyncio.create_task(watch())
    return made
pipeline = make
"""
    received: list[bytes] = []

    def read_late() -> None:
        received.append(os.read(waiting[0], 100))
        while part := os.read(results[0], 1 << 16):
            received.append(part)

    thread = threading.Thread(target=read_late)
    thread.start()
    given = f'"{"x" * 30_000}"\n' * 600
    command.run(option, f"/dev/fd/{results[1]}", program=program, given=given)
    os.close(results[1])
    thread.join()
    for descriptor in results[0], *waiting:
        os.close(descriptor)
    count, *parts = received
    assert 30 < int(count) < 300
    assert b"".join(parts).count(b"\n") == 600


# The form


VALUES = """
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from decimal import Decimal
from enum import Enum
from pathlib import PurePosixPath
from uuid import UUID

class Colour(Enum):
    RED = "red"

@dataclass
class Point:
    x: int
    path: PurePosixPath

@dataclass
class Unfinished:
    done: str = field(init=False)

class Exiting(list):
    def __iter__(self):
        raise SystemExit

class Unspeakable:
    def __repr__(self):
        raise RuntimeError("no text")

def deep():
    value = []
    for _ in range(100_000):
        value = [value]
    return value

ring = []
ring.append(ring)

async def task(number):
    return VALUES[number]
items = range(len(VALUES)) if (VALUES := {values}) else ()
"""


def test_values_that_json_does_not_have_are_written_in_its_terms(command: Command) -> None:
    written = {
        '{"a": [1, None, True, 1.5, "ü"]}': {"a": [1, None, True, 1.5, "ü"]},
        'Point(1, PurePosixPath("a/b"))': {"x": 1, "path": "a/b"},
        "Colour.RED": "red",
        "frozenset({1})": [1],
        "(1, 2)": [1, 2],
        "date(2020, 1, 2)": "2020-01-02",
        "datetime(2020, 1, 2, tzinfo=UTC)": "2020-01-02T00:00:00+00:00",
        "time(1, 2)": "01:02:00",
        'Decimal("1.10")': "1.10",
        "UUID(int=1)": "00000000-0000-0000-0000-000000000001",
        '"half of a pair: \\ud800"': "half of a pair: \ud800",
    }
    program = VALUES.replace("{values}", f"[{', '.join(written)}]")
    ran = command.run("--ordered", "--values", program=program)
    assert (ran.code, ran.values) == (0, list(written.values()))
    assert '"ü"' in ran.out


def test_a_result_that_json_does_not_have_is_a_failure_with_the_remedy(command: Command) -> None:
    values = [
        *("object()", "float('nan')", "float('inf')", "{(1, 2): 3}", "b'bytes'", "Point"),
        *("Unfinished()", "deep()", "ring", "Exiting([1])"),
    ]
    program = VALUES.replace("{values}", f"[{', '.join(values)}]")
    ran = command.run("--ordered", "--failures", "failures", program=program)
    records = ran.records("failures")
    assert (ran.out, [each["input"] for each in records]) == ("", list(range(len(values))))
    assert {each["error_type"] for each in records} == {"UnwritableError"}
    assert all("have the last task return what JSON has" in each["error"] for each in records)
    assert "JSON has nothing for a object" in records[0]["error"]
    assert "cannot be written as JSON: SystemExit; have" in records[-1]["error"]


def test_a_failure_shows_the_input_and_the_error(command: Command) -> None:
    program = "async def task(item):\n    raise ValueError('not\\nthis')"
    given = '\n{"id": "a", "value": 1e999}\n[1.5]\n'
    ran = command.run("--failures", "failures", program=program, given=given)
    failed = {"status": "failed", "stage": "Work", "attempts": 1, "error_type": "ValueError"}
    failed |= {"error": "not this", "location": "program.py:11, in task"}
    assert (ran.code, ran.out) == (1, "")
    first, second = sorted(ran.records("failures"), key=lambda record: record["line"])
    assert first == {**failed, "line": 2, "input": '{"id": "a", "value": 1e999}', "id": "a"}
    assert second == {**failed, "line": 3, "input": [1.5], "id": 1}


@pytest.mark.parametrize("kind", ["lines", "items"])
def test_inputs_that_are_left_have_the_ids_of_their_items(command: Command, kind: str) -> None:
    program = """
async def task(number):
    while number or pipeline.get_stats().items_fed < 4:
        await asyncio.sleep(0)
"""
    given = '0\n{"id": "a", "value": 0}\n1\n{"id": "b", "value": 2}\n'
    if kind == "items":
        program += "items = [0, {'id': 'a', 'value': 0}, 1, {'id': 'b', 'value': 2}]\n"
    options = "--output", "/dev/full", "--failures", "failures"
    records = command.run(*options, program=program, given=given).records("failures")
    left = {(each["status"], each["id"]) for each in records}
    assert left == {
        *(("unwritten", name) for name in (0, "a")),
        *(("unprocessed", name) for name in (2, "b")),
    }


def test_an_input_that_json_does_not_have_is_shown_by_its_text(command: Command) -> None:
    program = (
        VALUES.replace("{values}", "[0]")
        + "items = [{1, 2}.__len__, Unspeakable()]\nasync def task(_):\n    1 / 0\n"
    )
    records = command.run("--failures", "failures", program=program).records("failures")
    shown = {each["item"]: each["input"] for each in records}
    assert shown[1].startswith("<method-wrapper '__len__'")
    assert shown[2] == "(of type Unspeakable)"
