"""Texts from outside in the messages of the command: escaped, cut, and unchanged in files."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from antflow import hookimpl
from tests.helpers.command import Command
from tests.helpers.hostile import ALL, controls, texts
from tests.helpers.installation import Entry, Good, install, raising

LIMIT = 10_000
"""Characters of a message before escaping, as docs/command-line.md says."""

several = settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

TASK = """
import logging
Odd = type("Odd" + TEXT.encode(errors="ignore").decode(), (Exception,), {})

async def task(item):
    logging.getLogger(TEXT).error("about %s", TEXT, exc_info=ValueError(TEXT))
    raise Odd(TEXT) from KeyError(TEXT)
pipeline = Pipeline([Stage(TEXT, 1, [task], task_attempts=1)], name=TEXT)
items = [{"id": TEXT, "value": TEXT}]
"""
PROGRAMS = {
    "a failing task": TASK,
    "an import": "raise ImportError(TEXT, name=TEXT)",
    "a syntax": "exec(compile('f(' + TEXT, TEXT.replace(chr(10), ''), 'exec'))",
    "items": "def items():\n    yield TEXT\n    raise OSError(TEXT)",
    "items of a wrong type": "items = TEXT",
    "a function": "def make():\n    raise SystemExit(TEXT)\npipeline = make",
    "an end": "async def task(item):\n    raise KeyboardInterrupt(TEXT)\nitems = [TEXT]",
    "a strict limit": TASK.replace("name=TEXT", "name=TEXT, max_failures=0"),
}
OPTIONS = "--traceback", "--summary", "--failures", "/dev/stderr"


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)
@several
@given(text=texts)
def test_no_text_of_a_program_controls_the_terminal(
    command: Command, program: str, text: str
) -> None:
    ran = command.run(*OPTIONS, program=f"TEXT = {text!a}\n{program}")
    assert ran.code
    assert controls(ran.out + ran.err) == set()


def arguments_with(text: str) -> list[list[str]]:
    run = ["run", "program.py:pipeline"]
    return [
        ["run", f"{text}.py:{text}"],
        ["run", f"{text}:{text}"],
        ["run", f"program.py:{text}"],
        [*run, f"--{text}"],
        [*run, "--log-level", text],
        [*run, "--input", f"{text}/missing"],
        [*run, "1", "--output", f"{text}/missing"],
        [*run, "1", "--failures", f"{text}/missing"],
        [*run, "--drain-seconds", text],
        [text],
        ["plugins", text],
    ]


@several
@given(text=texts)
def test_no_argument_controls_the_terminal(command: Command, text: str) -> None:
    command.write("program.py", "from antflow import Pipeline\npipeline = Pipeline.create()\n")
    for arguments in arguments_with(text):
        ran = command(*arguments)
        assert ran.code == 2, arguments
        assert controls(ran.out + ran.err) == set(), arguments
        # All of it stands in the line of the error.
        assert re.fullmatch(r"usage: .*(\n {2,}.*)*\nantflow.*: error: .*\n", ran.err), ran.err


def evil_options(text: str, act: Callable[[Any], object]) -> type:
    class Evil:
        @hookimpl
        def antflow_add_options(self, parser: Any) -> None:
            said = text.replace("%", "%%")
            parser.add_argument("--evil", help=said, metavar=text, default=text)
            parser.add_argument("--choice", choices=[text, "b"], help="%(default)s", default=text)

        @hookimpl
        def antflow_configure(self, options: Any) -> None:
            act(text)

    return Evil


def reject(text: str) -> None:
    raise ValueError(text)


def fail(text: str) -> None:
    raise RuntimeError(text)


@pytest.mark.parametrize("act", [reject, fail], ids=["reject", "fail"])
@several
@given(text=texts, name=texts)
def test_no_text_of_a_plugin_controls_the_terminal(
    command: Command, act: Callable[[Any], object], text: str, name: str
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        install(
            patch,
            Entry(f"a{name}", lambda: evil_options(text, act), distribution=f"d{name.split()}"),
            Entry(f"b{name}", raising(ImportError(text)), version=f"1{name.split()}"),
            Entry(f"c{name}", lambda: Good),
        )
        for arguments in ["plugins"], ["plugins", "--json"], ["hooks"], ["run", "--help"]:
            ran = command(*arguments)
            assert ran.code == 0
            assert controls(ran.out + ran.err) == set(), arguments
        listed = json.loads(command("plugins", "--json").out)
        assert [each["name"] for each in listed] == [f"{letter}{name}" for letter in "abc"]
        ran = command.run("1", "--choice", "c")
        assert (ran.code, controls(ran.err)) == (2, set())
        ran = command.run("1")
        assert (ran.code in (0, 2), controls(ran.err)) == (True, set())


def test_a_table_has_a_line_for_each_plugin_whatever_its_name(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, *(Entry(f"{letter}{ALL}", lambda: Good) for letter in "ab"))
    heading, *lines = command("plugins").out.splitlines()
    assert [line[heading.index("STATUS") :].split()[0] for line in lines] == ["active"] * 2


@pytest.mark.parametrize("arguments", [["plugins"], ["run", "--help"]])
def test_a_name_is_escaped_that_the_encoding_lacks(
    command: Command, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    install(monkeypatch, Entry("日", lambda: evil_options("本", str)))
    ran = command(*arguments, encoding="ascii")
    assert (ran.code, r"\u65e5" in ran.out) == (0, True)


@several
@given(text=texts | st.text())
def test_files_keep_the_text_and_their_lines_are_safe_to_show(command: Command, text: str) -> None:
    program = f"""
TEXT = {text!a}
async def task(item):
    if item:
        raise ValueError("x" + TEXT)
    return {{TEXT: [TEXT]}}
items = [{{"id": TEXT, "value": value}} for value in (0, 1)]
"""
    files = "--output", "output", "--failures", "failures", "--overwrite"
    ran = command.run(*files, program=program)
    assert [controls(each) for each in ran.files.values()] == [set(), set()]
    assert ran.records("output") == [{"id": text, "value": {text: [text]}}]
    (failure,) = ran.records("failures")
    assert failure["id"] == text
    assert failure["error"] == " ".join(f"x{text}".split())


# What users print themselves


def test_what_the_program_prints_stays_its_own(command: Command) -> None:
    program = """
async def task(item):
    print("\\x1b[31mred\\x1b[0m")
    print("\\x1b]0;title\\x07", file=sys.stderr)
items = [1]
"""
    ran = command.run("--output", "output", program=program)
    assert (ran.out, ran.err) == ("\x1b[31mred\x1b[0m\n", "\x1b]0;title\x07\n")


def test_logging_that_the_program_configures_stays_its_own(command: Command) -> None:
    program = """
import logging
logging.basicConfig(format="\\x1b[31m%(message)s")
async def task(item):
    logging.warning("\\x1b[32mgreen")
items = [1]
"""
    assert command.run("--output", "output", program=program).err == "\x1b[31m\x1b[32mgreen\n"


# Length

LONG = {
    "a text of an error": "raise ValueError('x' * SIZE)",
    "lines of an error": "raise ValueError('x\\n' * SIZE)",
    "a cause": "raise ValueError('y') from KeyError('x' * SIZE)",
    "a note": "error = ValueError('y'); error.add_note('x' * SIZE); raise error",
    "the name of a class": "raise type('X' * SIZE, (Exception,), {})()",
    "a log line": "logging.error('x' * SIZE)",
    "a traceback in the log": "logging.error('y', exc_info=ValueError('x' * SIZE))",
    "a group": "raise ExceptionGroup('y', [ValueError('x' * SIZE)] * 9)",
}


@pytest.mark.parametrize("statement", LONG.values(), ids=LONG)
def test_long_texts_are_cut_in_their_middle(command: Command, statement: str) -> None:
    program = f"""
import logging
SIZE = 300_000
async def task(item):
    {statement}
items = range(7)
"""
    ran = command.run("--traceback", "--output", "output", program=program)
    logged = 7 if "logging" in statement else 0
    assert len(ran.err) < LIMIT * (1 + logged) + 2_000
    assert re.search(r" \.\.\. \([\d,]+ characters are left out\) \.\.\. |xxx\.\.\.", ran.err)
    if not logged:
        assert f"    {statement[:30]}" in ran.err  # the user's line


def test_long_names_are_cut_too(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, Entry("a", raising(ImportError("x" * 300_000))))
    for arguments in ["plugins"], ["hooks"], ["run", "p" * 300_000], ["r" * 300_000]:
        ran = command(*arguments)
        assert len(ran.out) < LIMIT + 1_000
        assert len(ran.err) < 2 * LIMIT + 1_000
    program = "def items():\n    yield 1\n    raise OSError('x' * 300_000)"
    assert len(command.run(program=program).err) < 2 * LIMIT + 1_000


def test_of_a_wide_table_no_line_is_left_out(command: Command) -> None:
    program = """
pipeline = Pipeline([Stage(f"stage {number:03}", 1, [task]) for number in range(300)])
items = [1]
"""
    err = command.run("--summary", "--output", "output", program=program).err
    assert re.findall(r"^stage (\d+)", err, re.MULTILINE) == [f"{n:03}" for n in range(300)]


# Tracebacks of what the command itself raised


@pytest.mark.parametrize(
    ("given", "program"),
    [
        ("not json\n", ""),
        ('{"a": \n', ""),
        ("NaN\n", ""),
        (b"\xff\n", ""),
        (b"[" * 100_000 + b"\n", ""),
        ("1\n", "async def task(item): return object()"),
        ("1\n", "async def task(item): return float('nan')"),
        ("1\n", "async def task(item): return {(1,): 2}"),
        ("1\n", "async def task(item):\n    item = []\n    item.append(item)\n    return item"),
    ],
    ids=range(9),
)
def test_a_failure_outside_of_the_program_has_no_traceback(
    command: Command, given: Any, program: str
) -> None:
    ran = command.run("--traceback", given=given, program=program)
    assert ran.report[0] == "1 of 1 item failed"
    assert len(ran.err.splitlines()) == len(ran.report)
    assert "Traceback" not in ran.err


def test_code_of_the_program_that_fails_while_a_result_is_written_is_shown(
    command: Command,
) -> None:
    program = """
from dataclasses import dataclass
@dataclass
class Page:
    text: str
    def __getattribute__(self, name):
        if name == "text":
            raise LookupError("not loaded")
        return super().__getattribute__(name)
async def task(item):
    return object.__new__(Page)
items = [1]
"""
    err = command.run("--traceback", program=program).err
    frames = re.findall(r'File ".*[/\\](.*)", line', err)
    assert "program.py" in frames
    assert "records.py" not in frames
    assert "pending_inputs.py" not in frames
    assert "LookupError: not loaded" in err


def test_a_task_of_a_library_keeps_its_traceback(command: Command) -> None:
    program = "import json\npipeline = one(json.loads)\nitems = ['{']"
    err = command.run("--traceback", program=program).err
    assert re.search(r'File ".*json', err)
