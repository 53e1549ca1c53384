"""`antflow run` in a process of its own: pipes, files, signals, and every line accounted for."""

from __future__ import annotations

import json
import os
import pty
import re
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any
from urllib.request import urlopen

import pytest

from tests.integration.plugins.installing import plain_environ

PROGRAM = """
import asyncio, atexit, os, subprocess, sys, threading, time
from pathlib import Path
from antflow import Pipeline, Stage

GO = Path(__file__).with_name("go")

async def double(number):
    if number == 7:
        raise ValueError("seven is not to be doubled")
    return 2 * number

async def length(text):
    return len(text)

def started(number):
    print("started", number, flush=True)

async def until_go(number):
    started(number)
    while not GO.exists():
        await asyncio.sleep(0.005)
    return number

async def for_ever(number):
    started(number)
    await asyncio.sleep(3600)

async def stubborn(number):
    started(number)
    while True:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            print("ignored", flush=True)

async def holding(number):
    started(number)
    time.sleep(3600)

def in_a_thread(number):
    started(number)
    time.sleep(3600)

async def awaiting_a_thread(number):
    started(number)
    await asyncio.to_thread(time.sleep, 3600)

async def with_a_thread(number):
    threading.Thread(target=time.sleep, args=(3600,)).start()
    await for_ever(number)

BEGUN = []

async def with_a_task(number):
    BEGUN.append(asyncio.create_task(stubborn(number)))
    await asyncio.sleep(3600)

def first_then(task):
    async def work(number):
        return number if number < 3 else await task(number)
    return work

async def large(number):
    return "x" * 100_000

async def eating(number):
    if number < 3:
        subprocess.run(["cat"], stdout=subprocess.DEVNULL, check=True)
    return number

async def asking(number):
    try:
        return input()
    except EOFError:
        return "nothing"

async def printing(number):
    print("printed")
    subprocess.run([sys.executable, "-c", "print('by a child')"], check=True)
    return number

def one(task, workers=3):
    return Pipeline([Stage("Work", workers, [task], task_attempts=1)])

doubling, lengths, patient, endless = one(double), one(length), one(until_go), one(for_ever)
ignoring, blocking, threaded = one(first_then(stubborn)), one(holding), one(in_a_thread)
awaiting, threading_on, tasking = one(awaiting_a_thread), one(with_a_thread), one(with_a_task)
larger, talking, hungry, curious = one(large), one(printing), one(eating), one(asking)

def measured():
    def note():
        status = dict(l.split(":", 1) for l in Path("/proc/self/status").read_text().splitlines())
        Path(__file__).with_name("peak").write_text(status["VmHWM"].split()[0])
    atexit.register(note)
    return lengths

async def crawl(number):
    if number < 10:
        await crawling.feed([10 * number + 1, 10 * number + 2])
    return number

crawling = one(crawl)
"""


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "program.py"
    path.write_text(PROGRAM, encoding="utf-8")
    return path


def command(program: Path, name: str, *options: object, plugins: bool = False) -> list[str]:
    plain = [sys.executable, "-m", "antflow", "run", *([] if plugins else ["--no-plugins"])]
    return [*plain, f"{program}:{name}", *(str(option) for option in options)]


def run(
    program: Path, name: str, *options: object, given: str | bytes = b"", plugins: bool = False
) -> subprocess.CompletedProcess[str]:
    ran = subprocess.run(
        command(program, name, *options, plugins=plugins),
        cwd=program.parent,
        env=plain_environ(),
        input=given.encode() if isinstance(given, str) else given,
        capture_output=True,
        timeout=60,
        check=False,
    )
    return subprocess.CompletedProcess(
        ran.args, ran.returncode, ran.stdout.decode(), ran.stderr.decode()
    )


def lines(text: str | Path) -> list[Any]:
    text = text.read_text(encoding="utf-8") if isinstance(text, Path) else text
    return [json.loads(line) for line in text.splitlines()]


def numbered(numbers: Iterable[int]) -> str:
    return "".join(f"{number}\n" for number in numbers)


def values(records: Iterable[Any]) -> list[Any]:
    return [record["value"] for record in records]


# Pipes and files


def test_lines_of_a_pipe_become_lines_of_a_pipe(program: Path) -> None:
    ran = run(program, "doubling", given=numbered(range(7)))
    assert (ran.returncode, ran.stderr) == (0, "")
    records = sorted(lines(ran.stdout), key=lambda record: record["id"])
    assert records == [{"id": number, "value": 2 * number} for number in range(7)]


def test_what_is_written_can_be_read_by_another(program: Path) -> None:
    first = run(program, "doubling", given='{"id": "a", "value": 1, "kind": "b"}\n')
    assert lines(first.stdout) == [{"id": "a", "value": 2, "kind": "b"}]
    assert lines(run(program, "doubling", given=first.stdout).stdout) == [
        {"id": "a", "value": 4, "kind": "b"}
    ]


def test_files_in_order_and_failures_with_their_lines(program: Path, tmp_path: Path) -> None:
    source, output, failures = tmp_path / "in", tmp_path / "out", tmp_path / "failures"
    source.write_bytes(b'\xef\xbb\xbf1\n\n7\nnone\n"\xff"\r\n' + b"2\r\n3")
    options = "--ordered", "--values", "--input", source, "--output", output
    ran = run(program, "doubling", *options, "--failures", failures)
    assert (ran.returncode, ran.stdout) == (1, "")
    assert output.read_text(encoding="utf-8") == "2\n4\n6\n"
    by_line = {record["line"]: record for record in lines(failures)}
    assert by_line[3] == {
        "status": "failed",
        "line": 3,
        "input": 7,
        "id": 1,
        "stage": "Work",
        "attempts": 1,
        "error_type": "ValueError",
        "error": "seven is not to be doubled",
        "location": "program.py:10, in double",
    }
    assert {line: record["status"] for line, record in by_line.items()} == {
        3: "failed",
        4: "malformed",
        5: "malformed",
    }
    assert by_line[4]["input"] == "none"
    assert "antflow run: 3 of 6 items failed\n" in ran.stderr
    assert "antflow run: UnicodeDecodeError x1: 'utf-8' codec" in ran.stderr
    assert f"{failures} has each of them" in ran.stderr


def test_failures_are_named_where_no_file_takes_them(program: Path) -> None:
    ran = run(program, "doubling", given="7\nx\n")
    assert ran.returncode == 1
    work = "ValueError x1 in Work: seven is not to be doubled (line 1; program.py:10, in double)"
    said = [line.removeprefix("antflow run: ") for line in ran.stderr.splitlines()]
    assert [said[0], *sorted(said[1:3]), *said[3:]] == [
        "2 of 2 items failed",
        "JSONDecodeError x1: Expecting value: line 1 column 1 (char 0) (line 2)",
        work,
        "a line of input is JSON; --lines reads text",
        "--failures FILE keeps each of them",
    ]


def test_tracebacks_show_the_programs_frames_alone(program: Path) -> None:
    ran = run(program, "doubling", "--traceback", given="7\n7\n")
    assert ran.returncode == 1
    assert ran.stderr.count("Traceback") == 1
    kind = "ValueError x2 in Work: seven is not to be doubled (line 1; program.py:10, in double)"
    assert f"{kind}\nTraceback (most recent call last):\n" in ran.stderr
    assert re.findall(r'File "(.*)", line (\d+)', ran.stderr) == [(str(program), "10")]


def test_too_many_failures_end_the_run_with_where_to_go_on(program: Path) -> None:
    with program.open("a", encoding="utf-8") as file:
        file.write("strict = Pipeline(one(double, 1).stages, max_failures=0)\n")
    ran = run(program, "strict", "--values", given="1\n7\n" + numbered(range(100, 400)))
    assert (ran.returncode, ran.stdout) == (1, "2\n")
    said = ran.stderr.splitlines()
    assert re.fullmatch(r"antflow run: 1 of \d+ items failed", said[0])
    assert sum("seven is not to be doubled" in line for line in said) == 1
    assert re.fullmatch(
        r"antflow run: max_failures=0 was exceeded, and the run was stopped; the first unread line "
        r"is \d+",
        said[-1],
    )


def test_lines_of_text(program: Path) -> None:
    ran = run(program, "lengths", "--lines", "--ordered", "--values", given="a\n\nabc\r\n")
    assert (ran.returncode, ran.stdout) == (0, "1\n0\n3\n")


def test_items_as_arguments(program: Path) -> None:
    ran = run(program, "lengths", "--ordered", "a", "--values", "abc", "--", "--")
    assert (ran.returncode, ran.stdout) == (0, "1\n3\n2\n")


def test_items_of_the_program(program: Path) -> None:
    with program.open("a", encoding="utf-8") as file:
        file.write(
            "async def items():\n    yield 1\n    yield 2\n    raise OSError('it is gone')\n"
        )
    ran = run(program, "doubling", "--ordered", "--values")
    assert (ran.returncode, ran.stdout) == (1, "2\n4\n")
    assert "the input cannot be read past item 2: OSError: it is gone" in ran.stderr
    assert "program.py" in ran.stderr
    assert "antflow/_" not in ran.stderr.replace("\\", "/")


def test_items_that_a_pipeline_feeds_to_itself_are_results_too(program: Path) -> None:
    ran = run(program, "crawling", "--ordered", given="1\n2\n")
    assert sorted(values(lines(ran.stdout))) == [1, 2, 11, 12, 21, 22]
    assert ran.returncode == 0


def test_where_the_program_says_where_its_records_go_they_do(program: Path) -> None:
    with program.open("a") as file:
        file.write("import logging\nlogging.basicConfig(format='ours: %(message)s')\n")
        file.write("async def warn(number):\n    logging.warning('look')\n")
        file.write("warning = one(warn)\n")
    assert run(program, "warning", "1").stderr == "ours: look\n"


def test_an_option_without_its_value_is_refused_with_the_usage(program: Path) -> None:
    assert run(program, "doubling", "--plugins").stderr.splitlines() == [
        "usage: antflow run [OPTIONS] TARGET [ITEM ...]",
        "antflow run: error: argument --plugins: expected one argument",
    ]


def test_what_the_program_prints_is_kept_out_of_the_results(program: Path) -> None:
    ran = run(program, "talking", "--values", given="1\n")
    assert (ran.returncode, ran.stdout) == (0, "1\n")
    assert "printed" in ran.stderr
    assert "by a child" in ran.stderr


@pytest.mark.parametrize("options", [[], ["--input", "-"], ["--input", "/dev/stdin"]])
def test_child_processes_do_not_read_the_commands_input(program: Path, options: list[str]) -> None:
    with program.open("a", encoding="utf-8") as file:
        file.write("subprocess.run(['cat'], stdout=subprocess.DEVNULL, check=True)\n")
    given = numbered(range(60_000))  # more than the command and a pipe hold at once
    ran = run(program, "hungry", *options, "--ordered", "--values", given=given)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout == given


def test_the_program_itself_does_not_read_the_commands_input(program: Path) -> None:
    with program.open("a", encoding="utf-8") as file:
        file.write("assert sys.stdin.readline() == ''\n")
    ran = run(program, "curious", "--values", given="1\n2\n")
    assert (ran.returncode, ran.stdout) == (0, '"nothing"\n"nothing"\n')


ITEMS_THAT_READ = {
    "a lazy iterator": "items = map(int, sys.stdin)\n",
    "a generator of bytes": "items = (int(line) for line in sys.stdin.buffer)\n",
    "another text file over it": (
        "sys.stdin = io.TextIOWrapper(sys.stdin.buffer, encoding='utf-8')\n"
        "items = map(int, sys.stdin)\n"
    ),
    "a function": "def items():\n    return [int(line) for line in sys.stdin]\n",
    "input()": (
        "def items():\n    with contextlib.suppress(EOFError):\n"
        "        while True:\n            yield int(input())\n"
    ),
    "a pipe of the event loop": (
        "async def items():\n    reader = asyncio.StreamReader()\n"
        "    protocol = asyncio.StreamReaderProtocol(reader)\n"
        "    await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, sys.stdin)\n"
        "    async for line in reader:\n        yield int(line)\n"
    ),
}


@pytest.mark.parametrize("items", ITEMS_THAT_READ.values(), ids=list(ITEMS_THAT_READ))
def test_child_processes_do_not_read_what_items_of_the_program_read(
    program: Path, items: str
) -> None:
    with program.open("a", encoding="utf-8") as file:
        file.write(f"import contextlib, io\n{items}")
    given = numbered(range(20_000))  # more than Python and a pipe hold at once
    ran = run(program, "hungry", "--ordered", "--values", given=given)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout == given


def test_items_that_read_standard_input_too_early_are_refused(program: Path) -> None:
    with program.open("a", encoding="utf-8") as file:
        file.write("items = list(map(int, sys.stdin))\n")
    ran = run(program, "doubling", given="1\n2\n")
    assert (ran.returncode, ran.stdout) == (2, "")
    assert "the program read standard input while it was imported" in ran.stderr
    ran = run(program, "doubling", "--input", "-", "--values", "--ordered", given="1\n2\n")
    assert (ran.returncode, ran.stdout) == (0, "2\n4\n")


def test_a_terminal_that_is_named_is_read_by_the_command_alone(program: Path) -> None:
    leader, follower = pty.openpty()
    try:
        os.write(leader, b"1\n2\n\x04")
        ran = subprocess.run(
            command(program, "hungry", "--input", "-", "--values", "--ordered"),
            stdin=follower,
            capture_output=True,
            timeout=60,
            check=False,
        )
    finally:
        os.close(leader)
        os.close(follower)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, b"1\n2\n", b"")


@pytest.mark.parametrize(
    ("shell", "said"),
    [
        ("--output old < old", "standard input and --output are the same file"),
        ("--output new --failures new", "--output and --failures are the same file"),
        ("--failures new > new", "standard output and --failures are the same file"),
        ("< old >> old", "standard input and standard output are the same file"),
        ("<&-", "standard input is closed; give --input FILE"),
        (">&-", "standard output is closed; give --output FILE"),
        ("--output old --input none", "--input none cannot be read"),
    ],
)
def test_files_that_cannot_be_used_are_refused_and_stay(
    program: Path, tmp_path: Path, shell: str, said: str
) -> None:
    (tmp_path / "old").write_text("1\n")
    line = f"{shlex.join(command(program, 'doubling'))} {shell}"
    ran = subprocess.run(
        ["sh", "-c", line],
        cwd=tmp_path,
        env=plain_environ(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ran.returncode, ran.stdout) == (2, "")
    assert said in ran.stderr
    assert (tmp_path / "old").read_text() == "1\n"


@pytest.mark.parametrize(
    ("options", "shell", "written"),
    [
        ("--failures /dev/stderr", "2>> log", '"status": "failed"'),
        ("--failures /dev/fd/3", "3>> log", '"status": "failed"'),
        ("--output /dev/stdout", ">> log", '"value": 2'),
    ],
)
def test_what_the_shell_has_opened_is_written_on(
    program: Path, tmp_path: Path, options: str, shell: str, written: str
) -> None:
    (tmp_path / "log").write_text("precious\n")
    line = f"{shlex.join(command(program, 'doubling'))} {options}"
    subprocess.run(
        ["sh", "-c", f"{{ printf '1\n7\n' | {line}; {line} < /dev/null; }} {shell}"],
        cwd=tmp_path,
        env=plain_environ(),
        capture_output=True,
        timeout=60,
        check=True,
    )
    kept = (tmp_path / "log").read_text().splitlines()
    assert kept[0] == "precious"
    assert [line for line in kept if line.endswith("}") and written in line] == kept[1:2]


def test_a_terminal_is_no_input_unless_it_is_named(program: Path) -> None:
    leader, follower = pty.openpty()
    try:
        ran = subprocess.run(
            command(program, "doubling"),
            stdin=follower,
            capture_output=True,
            timeout=60,
            check=False,
        )
    finally:
        os.close(leader)
        os.close(follower)
    assert ran.returncode == 2
    assert b"there is no input; give items after TARGET or --input FILE" in ran.stderr


def test_a_stream_that_is_closed_by_its_reader_ends_the_run_quietly(program: Path) -> None:
    with started(program, "doubling") as ran:
        feeder = subprocess.Popen(
            [sys.executable, "-c", "for n in range(10**9): print(8)"],
            stdout=ran.stdin,
            stderr=subprocess.DEVNULL,
        )
        ran.stdin.close()
        assert ran.stdout.readline()
        ran.stdout.close()
        assert ran.process.wait(timeout=60) == 141
        assert ran.stderr.read() == b""
        feeder.wait(timeout=60)


# As it goes


def test_results_come_while_the_input_is_open(program: Path) -> None:
    with started(program, "doubling", "--values", "--ordered") as ran:
        for number in range(3):
            ran.feed(numbered([number]))
            assert ran.stdout.readline() == f"{2 * number}\n".encode()
        ran.feed("5")
        ran.stdin.close()
        assert ran.stdout.read() == b"10\n"
        assert ran.process.wait(timeout=60) == 0


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the system tells no peak")
@pytest.mark.parametrize("option", ["--ordered", "--values"])
def test_memory_does_not_grow_with_the_input(program: Path, option: str) -> None:
    few, many = (peak_of(program, option, count) for count in (2_000, 40_000))
    assert many < few + 4_000  # KiB; the lines are 8 MB


def peak_of(program: Path, option: str, count: int) -> int:
    """Return the most KiB that a run over so many lines takes."""
    source, output = program.with_name("in.jsonl"), program.with_name("out.jsonl")
    source.write_text("".join(f'"{number:0200}"\n' for number in range(count)), encoding="utf-8")
    ran = run(program, "measured", option, "--input", source, "--output", output, "--overwrite")
    assert ran.returncode == 0
    with output.open(encoding="utf-8") as lines_written:
        assert sum(1 for _ in lines_written) == count
    return int(program.with_name("peak").read_text(encoding="utf-8"))


# Signals


class Started:
    """A command that runs."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        self.process = process
        self.stdin: IO[bytes] = process.stdin
        self.stdout: IO[bytes] = process.stdout
        self.stderr: IO[bytes] = process.stderr
        self.said = ""

    def feed(self, text: str) -> None:
        feed(self.process, text)

    def hear(self, text: str, times: int = 1) -> None:
        """Read standard error until it has said something so often."""
        while self.said.count(text) < times:
            line = self.stderr.readline()
            assert line, f"{text!r} was not said:\n{self.said}"
            self.said += line.decode()

    def end(self) -> tuple[int, str, str]:
        """Return exit code, output and errors, the input staying open."""
        output, rest = self.stdout.read(), self.stderr.read()
        code = self.process.wait(timeout=60)
        return code, output.decode(), self.said + rest.decode()


def feed(process: subprocess.Popen[bytes], text: str) -> None:
    assert process.stdin is not None
    process.stdin.write(text.encode())
    process.stdin.flush()


@contextmanager
def started(program: Path, name: str, *options: object, plugins: bool = False) -> Iterator[Started]:
    with begun(program, command(program, name, *options, plugins=plugins)) as process:
        yield Started(process)


@contextmanager
def begun(
    program: Path, arguments: list[str], stderr: int = subprocess.PIPE
) -> Iterator[subprocess.Popen[bytes]]:
    with listening_to_interrupts():
        process = subprocess.Popen(
            arguments,
            cwd=program.parent,
            env=plain_environ(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
        )
    with process:
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def listening_to_interrupts() -> Iterator[None]:
    """Undo what a shell does to what it runs in the background, and to all that this starts."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def lines_accounted_for(output: str, failures: Path) -> list[int]:
    """Return the lines that are in the output or among the failures."""
    done = [record["id"] + 1 for record in lines(output)]
    failed = lines(failures)
    assert all("line" in record for record in failed), failed
    return sorted(done + [record["line"] for record in failed])


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_the_first_signal_has_what_was_read_finished(
    program: Path, tmp_path: Path, sent: signal.Signals, code: int
) -> None:
    with started(program, "patient", "--failures", tmp_path / "failures") as ran:
        ran.feed(numbered(range(5)))
        ran.hear("started", times=3)
        ran.process.send_signal(sent)
        ran.hear("items already read get 10 s to finish; a second signal stops at once")
        (tmp_path / "go").touch()
        ended, output, said = ran.end()
    assert ended == code
    assert sorted(values(lines(output))) == [0, 1, 2, 3, 4]
    assert lines(tmp_path / "failures") == []
    assert f"interrupted by {sent.name}; the first unread line is 6" in said


def test_at_the_deadline_what_runs_is_cancelled(program: Path, tmp_path: Path) -> None:
    options = "--failures", tmp_path / "failures", "--drain-seconds", "0.05"
    with started(program, "endless", *options) as ran:
        ran.feed(numbered(range(5)))
        ran.hear("started", times=3)
        ran.process.terminate()
        code, output, said = ran.end()
    assert (code, output) == (143, "")
    assert lines_accounted_for(output, tmp_path / "failures") == [1, 2, 3, 4, 5]
    assert {record["status"] for record in lines(tmp_path / "failures")} == {"unprocessed"}
    assert "5 items were read and left unprocessed" in said


def test_the_second_signal_stops_at_once(program: Path, tmp_path: Path) -> None:
    with started(program, "endless", "--failures", tmp_path / "failures") as ran:
        ran.feed(numbered(range(4)))
        ran.hear("started", times=3)
        ran.process.terminate()
        ran.hear("a second signal")
        ran.process.terminate()
        code, output, said = ran.end()
    assert (code, output) == (143, "")
    assert lines(tmp_path / "failures")[0] == {
        "status": "unprocessed",
        "line": 1,
        "input": 0,
        "id": 0,
        "stage": "Work",
    }
    assert lines_accounted_for(output, tmp_path / "failures") == [1, 2, 3, 4]
    assert "the first unread line is 5" in said
    assert "discarded" not in said


@pytest.mark.parametrize("name", ["ignoring", "blocking", "threaded"])
def test_tasks_that_cannot_be_cancelled_keep_no_process(
    program: Path, tmp_path: Path, name: str
) -> None:
    with started(program, name, "--failures", tmp_path / "failures") as ran:
        ran.feed(numbered(range(6)))
        ran.hear("started", times=1 if name == "blocking" else 3)
        for _ in range(3):
            ran.process.terminate()
            ran.hear("a second signal")
        code, output, _ = ran.end()
    assert code == 143
    assert sorted(values(lines(output))) == ([0, 1, 2] if name == "ignoring" else [])
    read = lines_accounted_for(output, tmp_path / "failures")
    assert read == list(range(1, len(read) + 1))
    assert len(read) == 6


@pytest.mark.parametrize("name", ["awaiting", "threading_on", "tasking"])
def test_what_tasks_have_left_running_keeps_no_process(
    program: Path, tmp_path: Path, name: str
) -> None:
    options = "--failures", tmp_path / "failures", "--drain-seconds", "0.01"
    with started(program, name, *options) as ran:
        ran.feed(numbered(range(3)))
        ran.hear("started", times=3)
        ran.process.terminate()
        code, output, said = ran.end()
    assert code == 143
    assert lines_accounted_for(output, tmp_path / "failures") == [1, 2, 3]
    assert "interrupted by SIGTERM; the first unread line is 4" in said


def test_another_interrupt_does_not_wait_for_what_is_left_running(program: Path) -> None:
    with started(program, "tasking", "--drain-seconds", "0.01") as ran:
        ran.feed(numbered(range(3)))
        ran.hear("started", times=3)
        ran.process.send_signal(signal.SIGINT)
        ran.hear("ignored")
        ran.process.send_signal(signal.SIGINT)
        code, _, said = ran.end()
    assert code == 130
    assert "Task was destroyed" not in said


def test_results_that_nobody_takes_are_accounted_for(program: Path, tmp_path: Path) -> None:
    with started(program, "larger", "--failures", tmp_path / "failures") as ran:
        ran.feed(numbered(range(40)))
        start = b""
        while b'{"id"' not in start:
            start += os.read(ran.stdout.fileno(), 10)
        ran.process.terminate()
        ran.hear("a second signal")
        ran.process.terminate()
        assert ran.process.wait(timeout=60) == 143
        output, said = ran.stdout.read(), ran.stderr.read().decode()
    assert "--output - did not take what was to be written in time" in said
    assert "tasks" not in said
    *whole, _ = (start + output).split(b"\n")
    done = [json.loads(line)["id"] + 1 for line in whole]
    failed = {record["line"]: record["status"] for record in lines(tmp_path / "failures")}
    assert sorted([*done, *failed]) == list(range(1, 41))
    assert "unwritten" in failed.values()


def test_a_disk_that_fills_up_while_tasks_cannot_be_cancelled_is_accounted_for(
    program: Path, tmp_path: Path
) -> None:
    with program.open("a", encoding="utf-8") as file:
        file.write(
            "import resource\n"
            "resource.setrlimit(resource.RLIMIT_FSIZE, (3_000, 3_000))\n"
            "async def late(number):\n"
            "    return number if number < 300 else await stubborn(number)\n"
            "filling = one(late)\n"
        )
    output, failures = tmp_path / "out", tmp_path / "failures"
    options = "--output", output, "--failures", failures
    ran = run(program, "filling", *options, given=numbered(range(500)))
    assert ran.returncode == 1
    done = [record["id"] + 1 for record in lines(output)]
    failed = [record["line"] for record in lines(failures)]
    named = re.findall(r"lines? (.*) (?:is|are) neither in the output nor", ran.stderr)
    runs = [each.split("-") for part in named for each in part.split(", ")]
    missing = [n for each in runs for n in range(int(each[0]), int(each[-1]) + 1)]
    found = re.findall(r"cannot be written: .*; the first unread line is (\d+)", ran.stderr)
    unread = int(found[0]) if found else 501
    assert sorted([*done, *failed, *missing]) == list(range(1, unread))


@pytest.mark.parametrize("holds_loop", [False, True])
def test_a_standard_error_that_nobody_reads_keeps_no_process(
    program: Path, tmp_path: Path, *, holds_loop: bool
) -> None:
    options = "--failures", tmp_path / "failures", "--drain-seconds", "0.05"
    reader, writer = os.pipe()
    try:
        arguments = command(program, "endless", *options)
        with begun(program, arguments, writer) as process:
            feed(process, "0\n1\n")
            said = b""
            while said.count(b"started") < 2:
                said += os.read(reader, 1 << 16)
            fill(writer)
            if holds_loop:  # by a print of the third task
                feed(process, "2\n")
            process.terminate()
            assert process.wait(timeout=60) == 143
    finally:
        os.close(reader)
        os.close(writer)
    read = lines_accounted_for("", tmp_path / "failures")
    assert read in ([1, 2], [1, 2, 3])


def fill(pipe: int) -> None:
    """Write to a pipe until it takes no more."""
    os.set_blocking(pipe, False)
    with suppress(BlockingIOError):
        while True:
            os.write(pipe, b"." * 1024)
    os.set_blocking(pipe, True)


def test_metrics_are_served_while_it_runs(program: Path, tmp_path: Path) -> None:
    options = "--plugins=prometheus", "--prometheus-port=0", "--log-level=info"
    with started(program, "patient", *options, plugins=True) as ran:
        ran.feed(numbered(range(3)))
        ran.hear("started", times=3)
        (url,) = re.findall(r"Metrics are served at (\S+)", ran.said)
        with urlopen(url, timeout=60) as answer:
            text = answer.read().decode()
        assert 'antflow_pipeline_items_fed_total{pipeline="pipeline"} 3.0' in text
        (tmp_path / "go").touch()
        ran.stdin.close()
        assert ran.end()[0] == 0


def test_a_port_that_is_taken_ends_the_command_before_the_run(program: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        options = "--plugins=prometheus", f"--prometheus-port={port}"
        ran = run(program, "doubling", *options, given="1\n", plugins=True)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert f"plugin 'prometheus': Metrics cannot be served at 127.0.0.1 port {port}" in ran.stderr


def test_a_run_may_use_uvloop(program: Path, tmp_path: Path) -> None:
    pytest.importorskip("uvloop")
    options = "--loop", "uvloop", "--failures", tmp_path / "failures"
    with started(program, "endless", *options) as ran:
        ran.feed(numbered(range(4)))
        ran.hear("started", times=3)
        ran.process.terminate()
        ran.hear("a second signal")
        ran.process.terminate()
        code, output, _ = ran.end()
    assert code == 143
    assert lines_accounted_for(output, tmp_path / "failures") == [1, 2, 3, 4]
