"""What is said of a run on standard error, and its exit code."""

from __future__ import annotations

import re
import sys

import pytest

from tests.helpers.command import Command

FAILURES = "--failures", "failures"
KINDS = """
KINDS = {}
def kind(name):
    return KINDS.setdefault(name, type(f"Error{name}", (Exception,), {}))

async def task(name):
    raise kind(name)()
pipeline = one(task, 1)
"""
STOPPING = """
async def task(item):
    if {when}:
        for _ in range({signals}):
            signal.raise_signal(signal.{name})
    await asyncio.Event().wait()
"""


def test_failures_are_counted_by_their_kinds(command: Command) -> None:
    program = """
async def task(number):
    if number < 3:
        raise ValueError("no")
    if number == 3:
        raise KeyError("k")
pipeline = one(task, 1)
items = range(1_234)
"""
    ran = command.run(*FAILURES, "--values", program=program)
    assert (ran.code, ran.report) == (
        1,
        [
            "4 of 1,234 items failed",
            "ValueError x3 in Work: no (item 0; program.py:13, in task)",
            "KeyError x1 in Work: 'k' (item 3; program.py:15, in task)",
            "failures has each of them",
        ],
    )


def test_lines_are_named_by_their_numbers(command: Command) -> None:
    program = "async def task(number):\n    return 1 / (number - 7)"
    ran = command.run(given="\n7\n", program=program)
    assert ran.report == [
        "1 of 1 item failed",
        "ZeroDivisionError x1 in Work: division by zero (line 2; program.py:11, in task)",
        "--failures FILE keeps it",
    ]


def test_of_many_kinds_the_first_have_an_example_and_others_a_count(command: Command) -> None:
    ran = command.run(program=f"{KINDS}items = [*range(30), 6, 7, 7]")
    assert ran.report[1:-1] == [
        *(f"Error{n} x1 in Work (item {n}; program.py:16, in task)" for n in range(5)),
        "Error7 x3 in Work",
        "Error6 x2 in Work",
        "Error5 x1 in Work",
        *(f"Error{n} x1 in Work" for n in range(8, 25)),
        "5 items failed with other errors",
    ]


def test_tracebacks_follow_a_hundred_kinds_and_a_thousand_are_counted(command: Command) -> None:
    program = f"{KINDS}items = [1, 2, 1, *range(3, 2_000), 1_999, 1_999]"
    ran = command.run("--traceback", program=program)
    first = "Error1 x2 in Work (item 0; program.py:16, in task)\nTraceback (most recent call last)"
    assert first in ran.err
    assert (
        re.findall(r'File "(.*)", line (\d+)', ran.err)
        == [(str(command.folder / "program.py"), "16")] * 100
    )
    assert "Error1999" not in ran.err
    assert ran.report[-2] == "1,881 items failed with other errors"


def test_an_error_without_a_line_of_the_program_has_no_traceback(command: Command) -> None:
    ran = command.run("--traceback", "x", program="task = int")
    assert ran.report[1].startswith("ValueError x1 in Work: invalid literal for int()")
    assert "Traceback" not in ran.err


def test_useless_retries_are_reported_with_the_remedy(command: Command) -> None:
    program = """
async def task(number):
    raise NameError("page") if number < 2 else ValueError("no")
pipeline = one(task, 1, task_attempts=3, task_wait_seconds=0)
items = range(3)
"""
    assert command.run(program=program).report[-2] == (
        "4 attempts were spent on errors that no retry cures; "
        "give stage 'Work' never_retry=(NameError, TypeError)"
    )


def test_useless_retries_of_a_task_are_reported_with_its_options(command: Command) -> None:
    command.write("tasks.py", "def task(item):\n    raise NameError\n")
    ran = command("run", "tasks.py:task", "ant", "--retry-wait", "0")
    assert ran.report[-2] == (
        "2 attempts were spent on errors that no retry cures; give --retries 1, or raise GiveUp"
    )


def test_texts_of_users_are_shown_on_one_line_escaped_and_cut(command: Command) -> None:
    program = r"""
Odd = type("Odd\x1b", (Exception,), {})
async def task(item):
    raise Odd("a\n\x1b[31mb" + "x" * 9999)
pipeline = Pipeline([Stage("W\x1b", 1, [task], task_attempts=1)])
items = [{"id": "i\x1b\n" + "d" * 9999, "value": 1}]
"""
    (line,) = command.run(program=program).report[1:-1]
    assert line.startswith("Odd\\x1b x1 in W\\x1b: a \\x1b[31mbxxx")
    assert "xxx... (item 'i\\x1b\\nddd" in line
    assert line.endswith("ddd...; program.py:13, in task)")
    assert len(line) < 400
    program = "def items():\n    yield 1\n    raise ValueError('\\x1b[31mred')"
    assert command.run(program=program).report == [
        "the input cannot be read past item 1: ValueError: \\x1b[31mred"
    ]


def test_an_error_of_the_items_is_named_though_its_class_is_frozen(command: Command) -> None:
    program = """
from dataclasses import dataclass

@dataclass(frozen=True)
class Odd(Exception):
    code: int

def items():
    yield 1
    raise Odd(7)
"""
    assert command.run(program=program).report == ["the input cannot be read past item 1: Odd: 7"]


def test_the_programs_frames_are_shown_of_what_ends_the_run(command: Command) -> None:
    program = "def items():\n    yield 1\n    raise OSError('gone')\n"
    err = command.run(program=program).err
    assert err.startswith("Traceback (most recent call last):\n")
    assert re.findall(r'File "(.*)", line (\d+)', err) == [
        (str(command.folder / "program.py"), "12")
    ]


def test_too_many_failures_end_the_run_with_where_to_go_on(command: Command) -> None:
    program = "async def task(number):\n    1 / number\n"
    program += "pipeline = Pipeline(one(task, 1).stages, max_failures=0)\n"
    ran = command.run(program=program, given="1\n0\n" + "2\n" * 500)
    assert ran.code == 1
    assert re.fullmatch(
        r"max_failures=0 was exceeded, and the run was stopped; the first unread line is \d+",
        ran.report[-1],
    )


@pytest.mark.parametrize("lines", [1, 2])
def test_the_report_of_an_interrupted_run_has_the_first_unread_line(
    command: Command, lines: int
) -> None:
    program = STOPPING.format(when=f"item == {lines - 1}", signals=2, name="SIGTERM")
    reader = "async def items():\n" + "".join(f"    yield {n}\n" for n in range(lines))
    program += f"{reader}    await asyncio.Event().wait()\n"
    ran = command.run(*FAILURES, program=program)
    assert ran.code == 143
    assert ran.report[1:] == [
        f"{'1 item was' if lines == 1 else '2 items were'} read and left unprocessed",
        "failures has it" if lines == 1 else "failures has each of them",
        f"interrupted by SIGTERM; the first unread item is {lines + 1}",
    ]
    assert ran.records("failures") == [
        {"status": "unprocessed", "item": n + 1, "input": n, "id": n, "stage": "Work"}
        for n in range(lines)
    ]


def test_an_interrupted_run_may_have_read_all(command: Command) -> None:
    program = STOPPING.format(when=True, signals=2, name="SIGINT") + "items = [1]\n"
    ran = command.run("--values", program=program)
    assert ran.code == 130
    assert ran.report[-1] == "interrupted by SIGINT; all input was read"


def test_a_summary_has_the_work_of_each_stage(command: Command) -> None:
    program = """
async def fail_first(item):
    fail_first.calls += 1
    if fail_first.calls < 3 or item == 5:
        raise ValueError(item)
    return item
fail_first.calls = 0
fetch = Stage("Fetch", 1, [fail_first], task_attempts=3, task_wait_seconds=0)
pipeline = Pipeline([fetch, Stage("Store", 1, [task])])
items = range(6)
"""
    lines = command.run("--summary", "--output", "out", program=program).err.splitlines()
    assert lines[0].split() == [
        *("STAGE", "ITEMS", "FAILED", "RETRIES", "BUSY", "WAITING", "BLOCKED", "IDLE")
    ]
    assert lines[1].split()[:4] == ["Fetch", "5", "1", "4"]
    assert lines[2].split()[:4] == ["Store", "5", "0", "0"]
    shares = [[int(share.removesuffix("%")) for share in line.split()[4:]] for line in lines[1:3]]
    assert all(98 <= sum(each) <= 102 for each in shares)
    assert re.fullmatch(r"6 items in \d+\.\d\d s, [\d.,]+ a second", lines[3])


def test_a_summary_names_the_limits_that_stages_waited_for(command: Command) -> None:
    program = """
from antflow import Limit
tokens, hosts = Limit(rate=100, name="tokens"), Limit(rate=20, key=lambda item: "a", name="hosts")
stages = [
    Stage("Fetch", 4, [task], limits=[tokens]),
    Stage("Enrich", 4, [task], limits=[hosts, Limit(concurrency=2)]),
    Stage("Store", 4, [task], limits=[Limit(concurrency=4)]),
]
pipeline = Pipeline(stages)
items = range(11)
"""
    lines = command.run("--summary", "--output", "out", program=program).err.splitlines()
    assert re.fullmatch(r"Fetch waited for limit 'tokens' for \d+% of its workers' time", lines[4])
    enrich = "Enrich waited for one of the limits 'hosts', 'limit' for "
    assert re.fullmatch(rf"{enrich}(8|9)\d% of its workers' time", lines[5])
    assert lines[6].startswith("11 items in ")


def test_a_closed_standard_error_is_ignored(command: Command) -> None:
    assert command.run(given="x\n", descriptors={2: None}).code == 1


# Logging


def test_warnings_are_logged_to_standard_error(command: Command) -> None:
    program = """
import logging
async def task(item):
    logging.getLogger("ours").info("look")
"""
    assert command.run("1", program=program).err == ""
    assert command.run("1", "--log-level", "info", program=program).err == "INFO: ours: look\n"
    program += "logging.basicConfig(format='ours: %(message)s', level='INFO')\n"
    assert command.run("1", program=program).err == "ours: look\n"


# The event loop


def test_the_event_loop_is_asyncios_or_that_of_uvloop(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = "async def task(_):\n    return type(asyncio.get_running_loop()).__module__"
    assert command.run("1", "--values", program=program).out.startswith('"asyncio')
    with monkeypatch.context() as patched:
        patched.setitem(sys.modules, "uvloop", None)
        ran = command.run("--loop", "uvloop")
    assert ran.code == 2
    assert "--loop uvloop needs the package uvloop: pip install uvloop" in ran.err
