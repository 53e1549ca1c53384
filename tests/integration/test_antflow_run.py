"""`antflow run` in a process of its own: pipes, files, signals, and every line accounted for."""

from __future__ import annotations

import json
import os
import pty
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from time import sleep
from typing import IO, Any, TypeVar
from urllib.request import urlopen

import pytest

from tests.helpers.hostile import controls
from tests.integration.plugins.installing import plain_environ

T = TypeVar("T")

PROGRAM = """
import asyncio, atexit, os, subprocess, sys, threading, time
from pathlib import Path
from antflow import Pipeline, Stage

GO = Path(__file__).with_name("go")

async def double(number):
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

def one(task, workers=3):
    return Pipeline([Stage("Work", workers, [task], task_attempts=1)])

doubling, patient, endless = one(double), one(until_go), one(for_ever)
ignoring, blocking, threaded = one(first_then(stubborn)), one(holding), one(in_a_thread)
awaiting, threading_on, tasking = one(awaiting_a_thread), one(with_a_thread), one(with_a_task)
larger, hungry = one(large), one(eating)

def measured():
    def note():
        status = dict(l.split(":", 1) for l in Path("/proc/self/status").read_text().splitlines())
        Path(__file__).with_name("peak").write_text(status["VmHWM"].split()[0])
    atexit.register(note)
    return one(length)

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
    program: Path, name: str, *options: object, given: str | int = ""
) -> subprocess.CompletedProcess[str]:
    """Run the command on some input, or on a file descriptor."""
    stdin: dict[str, Any] = {"input" if isinstance(given, str) else "stdin": given}
    return subprocess.run(
        command(program, name, *options),
        cwd=program.parent,
        env=plain_environ(),
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
        **stdin,
    )


def add(program: Path, text: str) -> None:
    """Append to the program."""
    with program.open("a", encoding="utf-8") as file:
        file.write(text)


def lines(text: str) -> list[Any]:
    return [json.loads(line) for line in text.splitlines()]


def numbered(numbers: Iterable[int]) -> str:
    return "".join(f"{number}\n" for number in numbers)


def values(records: Iterable[Any]) -> list[Any]:
    return [record["value"] for record in records]


# What Python itself prints

MESSAGES = """
import gc, warnings
TEXT = "a\\x1b[2J\\u202e"

class Failing:
    def __del__(self):
        raise ValueError(TEXT)

class Unspeakable(Exception):
    @property
    def __notes__(self):
        raise SystemExit

def fail(error):
    raise error

async def odd(number):
    warnings.warn(TEXT)
    unawaited = double(number)
    unawaited.__qualname__ = TEXT
    del unawaited
    Failing()
    for error in ValueError(TEXT), Unspeakable("b"), SystemExit("c"):
        thread = threading.Thread(target=fail, args=[error], name=TEXT)
        thread.start()
        thread.join()
    gc.collect()
    return number

messages = one(odd)
"""


def test_warnings_and_errors_that_nothing_can_catch_are_escaped(program: Path) -> None:
    add(program, MESSAGES)
    ran = run(program, "messages", "--values", given="1\n")
    assert (ran.returncode, ran.stdout) == (0, "1\n")
    assert controls(ran.stderr) == set()
    for said in (
        "UserWarning: a\\x1b[2J\\u202e\n",
        "RuntimeWarning: coroutine 'a\\x1b[2J\\u202e' was never awaited\n",
        "ValueError: a\\x1b[2J\\u202e\nException in thread a\\x1b[2J\\u202e:\nTraceback",
        "Exception in thread a\\x1b[2J\\u202e:\nUnspeakable: b\n",
    ):
        assert said in ran.stderr
    assert "__del__" in ran.stderr
    assert "SystemExit" not in ran.stderr


# Pipes and files


READERS = {
    "lines": ("", []),
    "a named file": ("", ["--input", "/dev/stdin"]),
    "a lazy iterator": ("items = map(int, sys.stdin)\n", []),
    "input()": (
        (
            "def items():\n    with contextlib.suppress(EOFError):\n"
            "        while True:\n            yield int(input())\n"
        ),
        [],
    ),
    "a pipe of the event loop": (
        (
            "async def items():\n    reader = asyncio.StreamReader()\n"
            "    protocol = asyncio.StreamReaderProtocol(reader)\n"
            "    await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, sys.stdin)\n"
            "    async for line in reader:\n        yield int(line)\n"
        ),
        [],
    ),
}


@pytest.mark.parametrize(("items", "options"), READERS.values(), ids=list(READERS))
def test_child_processes_do_not_read_the_commands_input(
    program: Path, items: str, options: list[str]
) -> None:
    child = "subprocess.run(['cat'], stdout=subprocess.DEVNULL, check=True)\n"
    add(program, f"import contextlib\n{child}{items}")
    given = numbered(range(30_000))  # more than the command, Python and a pipe hold at once
    ran = run(program, "hungry", *options, "--ordered", "--values", given=given)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout == given


@pytest.mark.parametrize(
    ("options", "code", "output", "said"),
    [
        (["--input", "-", "--values", "--ordered"], 0, "1\n2\n", ""),
        ([], 2, "", "there is no input; give items after TARGET or --input FILE"),
    ],
    ids=["named", "not named"],
)
def test_a_terminal_is_read_by_the_command_alone_and_only_if_it_is_named(
    program: Path, options: list[str], code: int, output: str, said: str
) -> None:
    leader, follower = pty.openpty()
    try:
        os.write(leader, b"1\n2\n\x04")
        ran = run(program, "hungry", *options, given=follower)
    finally:
        os.close(leader)
        os.close(follower)
    assert (ran.returncode, ran.stdout) == (code, output)
    assert said in ran.stderr
    assert bool(said) == bool(ran.stderr)


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


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux has /proc")
@pytest.mark.parametrize("option", ["--ordered", "--values"])
def test_memory_does_not_grow_with_the_input(program: Path, option: str) -> None:
    few, many = (peak_of(program, option, count) for count in (1_000, 61_000))
    assert many < few + 8_000  # KiB; the lines are 24 MB, and what is read ahead up to 5


def peak_of(program: Path, option: str, count: int) -> int:
    """Return the most KiB that a run over so many lines takes."""
    source, output = program.with_name("in.jsonl"), program.with_name("out.jsonl")
    source.write_text("".join(f'"{number:0400}"\n' for number in range(count)), encoding="utf-8")
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
    with subprocess.Popen(
        arguments,
        cwd=program.parent,
        env=plain_environ(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=stderr,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.fixture(autouse=True)
def listening_to_interrupts() -> Iterator[None]:
    """Undo what a shell does to what it runs in the background, and to all that this starts."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def at_once(check: Callable[[T], None], *cases: T) -> None:
    """Check several cases at the same time, since the command gives each a second or more."""
    with ThreadPoolExecutor(len(cases)) as threads:
        for checked in [threads.submit(check, case) for case in cases]:
            checked.result()


def lines_accounted_for(output: str, failures: Path) -> list[int]:
    """Return the lines that are in the output or among the failures."""
    done = [record["id"] + 1 for record in lines(output)]
    failed = lines(failures.read_text(encoding="utf-8"))
    assert all("line" in record for record in failed), failed
    return sorted(done + [record["line"] for record in failed])


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_the_second_signal_stops_at_once(program: Path, tmp_path: Path, loop: str) -> None:
    if loop == "uvloop":
        pytest.importorskip("uvloop")
    options = "--failures", tmp_path / "failures", "--loop", loop
    with started(program, "endless", *options) as ran:
        ran.feed(numbered(range(4)))
        ran.hear("started", times=3)
        ran.process.terminate()
        ran.hear("a second signal")
        ran.process.terminate()
        code, output, said = ran.end()
    assert (code, output) == (143, "")
    assert lines_accounted_for(output, tmp_path / "failures") == [1, 2, 3, 4]
    assert "the first unread line is 5" in said
    assert "discarded" not in said


ON_A_TERMINAL = """
import os, signal, sys
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # which nohup has ignored, if it runs the tests
os.login_tty(int(sys.argv[1]))
os.execvp(sys.argv[2], sys.argv[2:])
"""


@pytest.mark.parametrize("progress", ["--no-plugins", "--progress"])
def test_a_terminal_that_is_closed_ends_the_run_with_a_report(
    program: Path, tmp_path: Path, progress: str
) -> None:
    files = "--input", "-", "--output", "out", "--failures", "failures", progress
    line = shlex.join([sys.executable, "-m", "antflow", "run", f"{program}:patient", *files])
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", ON_A_TERMINAL, f"{follower}", "sh", "-c", f"exec {line} 2> said"],
        cwd=tmp_path,
        env=plain_environ(),
        pass_fds=[follower],
    )
    os.close(follower)
    try:
        os.write(leader, b"1\n2\n3\n")
        shown = b""
        while shown.count(b"started") < 3:
            shown += os.read(leader, 65536)
    finally:
        os.close(leader)
    try:
        while "SIGHUP" not in (tmp_path / "said").read_text(encoding="utf-8"):
            assert process.poll() is None
            sleep(0.01)
        (tmp_path / "go").touch()
        assert process.wait(timeout=60) == 129
    finally:
        process.kill()
    said = (tmp_path / "said").read_text(encoding="utf-8")
    assert "interrupted by SIGHUP; " in said
    output = (tmp_path / "out").read_text(encoding="utf-8")
    assert lines_accounted_for(output, tmp_path / "failures") == [1, 2, 3]


def test_tasks_that_cannot_be_cancelled_keep_no_process(program: Path, tmp_path: Path) -> None:
    def check(name: str) -> None:
        with started(program, name, "--failures", tmp_path / name) as ran:
            ran.feed(numbered(range(6)))
            ran.hear("started", times=1 if name == "blocking" else 3)
            for _ in range(3):
                ran.process.terminate()
                ran.hear("a second signal")
            code, output, _ = ran.end()
        assert code == 143
        assert sorted(values(lines(output))) == ([0, 1, 2] if name == "ignoring" else [])
        read = lines_accounted_for(output, tmp_path / name)
        assert read == list(range(1, len(read) + 1))
        assert len(read) == 6

    at_once(check, "ignoring", "blocking", "threaded")


def test_what_tasks_have_left_running_keeps_no_process(program: Path, tmp_path: Path) -> None:
    def check(name: str) -> None:
        options = "--failures", tmp_path / name, "--drain-seconds", "0.01"
        with started(program, name, *options) as ran:
            ran.feed(numbered(range(3)))
            ran.hear("started", times=3)
            ran.process.terminate()
            code, output, said = ran.end()
        assert code == 143
        assert lines_accounted_for(output, tmp_path / name) == [1, 2, 3]
        assert "interrupted by SIGTERM; the first unread line is 4" in said

    at_once(check, "awaiting", "threading_on", "tasking")


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


@pytest.mark.parametrize("option", ["--input", "--output", "--failures"])
def test_an_interrupt_ends_the_wait_for_the_other_end_of_a_named_pipe(
    program: Path, tmp_path: Path, option: str
) -> None:
    os.mkfifo(tmp_path / "pipe")
    add(program, "def announced():\n    print('made', file=sys.stderr)\n    return doubling\n")
    items = [] if option == "--input" else [1]
    with started(program, "announced", *items, option, tmp_path / "pipe") as ran:
        ran.hear("made")
        ran.process.send_signal(signal.SIGINT)
        code, output, said = ran.end()
    assert (code, output, said) == (130, "", "made\n")


def test_results_that_are_not_read_are_accounted_for(program: Path, tmp_path: Path) -> None:
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
    failed = {
        record["line"]: record["status"]
        for record in lines((tmp_path / "failures").read_text(encoding="utf-8"))
    }
    unread = re.findall(r"the first unread line is (\d+)", said)  # on a slow machine
    assert sorted([*done, *failed]) == list(range(1, int(unread[0]) if unread else 41))
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
    done = [record["id"] + 1 for record in lines(output.read_text(encoding="utf-8"))]
    failed = [record["line"] for record in lines(failures.read_text(encoding="utf-8"))]
    named = re.findall(r"lines? (.*) (?:is|are) neither in the output nor", ran.stderr)
    runs = [each.split("-") for part in named for each in part.split(", ")]
    missing = [n for each in runs for n in range(int(each[0]), int(each[-1]) + 1)]
    found = re.findall(r"cannot be written: .*; the first unread line is (\d+)", ran.stderr)
    unread = int(found[0]) if found else 501
    assert sorted([*done, *failed, *missing]) == list(range(1, unread))


def test_a_standard_error_that_is_not_read_keeps_no_process(program: Path, tmp_path: Path) -> None:
    def check(failures: Path, *, holds_loop: bool) -> None:
        options = "--failures", failures, "--drain-seconds", "0.05"
        reader, writer = os.pipe()
        try:
            with begun(program, command(program, "endless", *options), writer) as process:
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
        assert lines_accounted_for("", failures) in ([1, 2], [1, 2, 3])

    at_once(
        lambda holds_loop: check(tmp_path / f"{holds_loop}", holds_loop=holds_loop), False, True
    )


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
