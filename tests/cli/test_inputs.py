"""What is read: lines of JSON or of text, arguments, and the items of the program."""

from __future__ import annotations

import io
import os
from typing import Any

import pytest

from tests.helpers.command import Command

DOUBLE = "async def task(item):\n    return 2 * item\n"
TWO = DOUBLE + "items = [1, 2]\n"
IN_ORDER = "--ordered", "--values"


@pytest.mark.parametrize(
    ("arguments", "program", "given", "values"),
    [
        ([], DOUBLE, "1\n\n 2\r\n[3]", [2, 4, [3, 3]]),
        ([], DOUBLE, b"\xef\xbb\xbf1\n", [2]),
        (["--input", "-"], TWO, "3\n", [6]),
        (["--input", "/dev/stdin"], TWO, "3\n", [6]),
        (["--input", "/dev/fd/0"], TWO, "3\n", [6]),
        (["--input", "/proc/thread-self/fd/0"], TWO, "3\n", [6]),
        (["--input", "//dev/stdin"], TWO, "3\n", [6]),
        (["--input", "in"], TWO, "3\n", [14]),
        (["--input", "in", "--lines"], TWO, "", ["77"]),
        (["--lines"], DOUBLE, "a\r\n\n b", ["aa", "", " b b"]),
        (["a", "--", "--c"], TWO, "3\n", ["aa", "--c--c"]),
        ([], TWO, "3\n", [2, 4]),
        ([], DOUBLE + "items = {1: 'one', 2: 'two'}.keys()", "", [2, 4]),
        ([], DOUBLE + "def items(): return range(1, 3)", "", [2, 4]),
        ([], DOUBLE + "async def items(): return [1, 2]", "", [2, 4]),
        ([], DOUBLE + "def items():\n    yield 1\n    yield 2", "", [2, 4]),
        ([], DOUBLE + "async def items():\n    yield 1\n    yield 2", "", [2, 4]),
        ([], DOUBLE + "items = map(int, sys.stdin)", "1\n2\n", [2, 4]),
    ],
)
def test_items_are_arguments_lines_or_the_programs(
    command: Command, arguments: list[str], program: str, given: str, values: list[Any]
) -> None:
    command.write("in", "7\n")
    ran = command.run(*IN_ORDER, *arguments, program=program, given=given)
    assert (ran.code, ran.values, ran.err) == (0, values, "")


def test_an_item_of_a_record_keeps_its_id_and_metadata(command: Command) -> None:
    given = '{"id": "a", "value": 1, "kind": "b"}\n2\n'
    ran = command.run("--ordered", program=DOUBLE, given=given)
    assert ran.values == [{"id": "a", "value": 2, "kind": "b"}, {"id": 1, "value": 4}]


def test_lines_that_are_no_json_are_failures_with_their_numbers(command: Command) -> None:
    deep = "[" * 100_000
    given = b'\n1\nx\n"\xff"\nNaN\n{"a": -Infinity}\n' + deep.encode()
    ran = command.run("--values", "--failures", "failures", given=given)
    assert (ran.code, ran.out) == (1, "1\n")
    assert [(each["line"], each["input"]) for each in ran.records("failures")] == [
        (3, "x"),
        (4, '"\\xff"'),
        (5, "NaN"),
        (6, '{"a": -Infinity}'),
        (7, deep),
    ]
    assert {each["status"] for each in ran.records("failures")} == {"malformed"}
    assert ran.records("failures")[2]["error"] == "NaN is not JSON; write null, or a text"
    assert "a line of input is JSON; --lines reads text" in ran.report


def test_bytes_that_are_no_text_are_a_failure(command: Command) -> None:
    ran = command.run("--lines", "--values", "--failures", "failures", given=b"a\nb\xff\n")
    assert ran.values == ["a"]
    assert [(each["line"], each["input"]) for each in ran.records("failures")] == [(2, "b\\xff")]
    assert "a line of input is JSON; --lines reads text" not in ran.report
    assert "input is UTF-8; decompress or convert it first, as in zcat FILE |" in ran.report


def test_blank_lines_do_not_hold_the_event_loop(command: Command) -> None:
    program = """
steps = 0
async def step():
    global steps
    while True:
        await asyncio.sleep(0)
        steps += 1

async def task(item):
    return steps

async def make():
    task.stepping = asyncio.create_task(step())
    return one(task)
pipeline = make
"""
    given = "1\n" + "\n" * 10_000 + "2\n"
    first, second = command.run(*IN_ORDER, program=program, given=given).values
    assert second - first >= 50


def test_displays_get_the_share_of_a_file_that_was_read(command: Command) -> None:
    command.write("in", "".join(f"{number}\n" for number in range(10**8, 10**8 + 100)))
    program = """
async def share(item):
    return pipeline.get_dashboard_snapshot().input_fraction
pipeline = one(share, 1, queue_capacity=5)
"""
    shares = command.run("--input", "in", "--values", program=program).values
    assert shares == sorted(shares)
    assert all(number <= 100 * share <= number + 10 for number, share in enumerate(shares, 1))
    assert shares[-1] == 1
    program += "items = [1]\n"
    assert command.run("--values", program=program).values == [None]


@pytest.mark.parametrize("kind", ["lines", "items"])
def test_reading_waits_for_the_first_result_of_an_order(command: Command, kind: str) -> None:
    program = """
async def read_until_it_waits():
    before, now = -1, 0
    while before < now:
        for _ in range(100):
            await asyncio.sleep(0)
        before, now = now, pipeline.get_stats().items_fed
    return now

async def task(number):
    return number or await read_until_it_waits()

pipeline = one(task)
"""
    given = ""
    if kind == "items":
        program += "items = range(10_100)"
    else:
        given = "".join(f"{number}\n" for number in range(10_100))
    first, *others = command.run(*IN_ORDER, program=program, given=given).values
    assert 9_900 < first <= 10_001
    assert others == list(range(1, 10_100))


def test_items_of_an_earlier_run_are_distinguished_from_new_ones(command: Command) -> None:
    program = """
old = [UnprocessedItem(f"old {n}", f"old {n}", {}, 100, "Work", n) for n in range(3)]
items = ["new 1", "new 2", *old, "new 3"]
async def task(item):
    if item == "new 1":
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
    await asyncio.Event().wait()
"""
    ran = command.run("--failures", "failures", program=program)
    left = {record["item"]: record["input"] for record in ran.records("failures")}
    assert left[1] == "new 1"
    assert left[3]["value"] == "old 0"
    assert sorted(left) == list(range(1, len(left) + 1))


# Standard input


def test_the_program_does_not_read_the_commands_input(command: Command) -> None:
    program = """
assert (sys.stdin.read(), os.read(0, 9), sys.stdin.fileno(), sys.stdin.isatty()) == ("", b"", 0, 0)
async def task(item):
    return [item, os.read(0, 9).decode(), sys.stdin.read()]
"""
    assert command.run("--values", program=program, given="1\n").values == [[1, "", ""]]


def test_a_stream_of_the_program_over_standard_input_is_removed(command: Command) -> None:
    program = (
        "import io\nsys.stdin = io.TextIOWrapper(sys.stdin.buffer)\nitems = map(int, sys.stdin)"
    )
    assert command.run(*IN_ORDER, program=program, given="1\n2\n").values == [1, 2]


def test_a_stream_of_the_caller_stays(command: Command) -> None:
    ran = command.run("--values", program="items = map(int, sys.stdin)", stdin=io.StringIO("7\n"))
    assert ran.values == [7]


def test_an_empty_standard_input_may_be_read_early(command: Command) -> None:
    program = "items = [int(each) for each in sys.stdin] or [1]"
    nowhere = os.open(os.devnull, os.O_RDONLY)
    ran = command.run("--values", program=program, descriptors={0: nowhere})
    os.close(nowhere)
    assert ran.values == [1]
    ran = command.run("--values", program=program, given="1\n")
    assert (ran.code, ran.out) == (2, "")
    assert "the program read standard input while it was imported" in ran.err


def test_no_other_file_becomes_a_standard_file_that_is_closed(command: Command) -> None:
    command.write("in", "1\n")
    program = "async def task(_):\n    return os.path.samestat(os.fstat(0), os.stat(os.devnull))"
    ran = command.run("--input", "in", "--values", program=program, descriptors={0: None})
    assert ran.values == [True]


@pytest.mark.parametrize(
    ("descriptors", "remedy"),
    [
        ({0: None}, "standard input is closed; give --input FILE"),
        ({1: None}, "standard output is closed; give --output FILE"),
    ],
)
def test_a_standard_file_that_is_closed_is_refused(
    command: Command, descriptors: dict[int, int | None], remedy: str
) -> None:
    ran = command.run(descriptors=descriptors)
    assert ran.code == 2
    assert remedy in ran.err


# Inputs that end early


def test_an_input_that_cannot_be_read_is_reported(command: Command) -> None:
    unreadable = os.open(os.devnull, os.O_WRONLY)
    ran = command.run(descriptors={0: unreadable})
    os.close(unreadable)
    assert ran.code == 1
    assert ran.report == [
        "the input cannot be read past line 0: OSError: [Errno 9] Bad file descriptor"
    ]


def test_items_that_are_left_are_closed(command: Command) -> None:
    program = """
async def items():
    try:
        for number in range(1000):
            yield number
    finally:
        print("closed", file=sys.stderr)

async def task(item):
    raise SystemExit
"""
    ran = command.run(program=program)
    assert ran.code == 1
    assert ran.err.partition("antflow run: ")[0].count("closed") == 1


LOOP_ENDS = {
    "asyncio.create_task(ends())": "SystemExit: 0",
    "loop.call_soon(sys.exit, 'bye \\x1b[m')": "SystemExit: bye \\x1b[m",
    "loop.call_soon(interrupt)": "KeyboardInterrupt: ",
    "loop.stop()": "RuntimeError: Event loop stopped before Future completed.",
}


@pytest.mark.parametrize("end", LOOP_ENDS)
def test_every_input_has_a_record_if_the_program_ends_the_event_loop(
    command: Command, end: str
) -> None:
    program = f"""
async def ends():
    sys.exit(0)

def interrupt():
    raise KeyboardInterrupt

async def task(number):
    if number == 4:
        loop = asyncio.get_running_loop()
        kept = {end}
        await asyncio.Event().wait()
    return number
items = range(100)
"""
    ran = command.run("--values", "--failures", "failures", program=program)
    failures = ran.records("failures")
    assert ran.code == 1
    assert {each["status"] for each in failures} == {"unprocessed"}
    written = sorted(ran.values + [each["input"] for each in failures])
    assert written == list(range(len(written)))
    assert len(written) > 4
    assert ran.report[-1].endswith(f": {LOOP_ENDS[end]}")


@pytest.mark.parametrize(
    ("kind", "by_a_task"),
    [
        ("SystemExit", True),
        ("Panic", True),
        ("GeneratorExit", True),
        ("SystemExit", False),
        ("Panic", False),
    ],
)
def test_every_input_has_a_record_whatever_ends_the_run(
    command: Command, kind: str, by_a_task: bool
) -> None:
    program = f"""
class Panic(BaseException): ...
read = 0
def items():
    global read
    for read in range(1, 101):
        if read == 4 and not {by_a_task}:
            raise {kind}(9)
        yield read

async def task(number):
    if number == 4:
        raise {kind}(9)
    return number
"""
    ran = command.run("--output", "out", "--failures", "failures", program=program)
    assert ran.code == 1
    records = [each["value"] for each in ran.records("out")]
    records += [each["item"] for each in ran.records("failures")]
    what = "the input cannot be read past item 3"
    if by_a_task:
        what = f"the run ended; the first unread item is {len(records) + 1}"
    assert ran.report[-1] == f"{what}: {kind}: 9"
    assert sorted(records) == list(range(1, max(len(records), 3) + 1))
