"""`antflow run` beside child processes that read, write, close and flood what they inherit.

With ANTFLOW_TEST_EVERY_CASE=1, there are 100,000 lines, and more combinations.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.integration.plugins.installing import plain_environ

EVERY_CASE = bool(os.environ.get("ANTFLOW_TEST_EVERY_CASE"))
COUNT = 100_000 if EVERY_CASE else 20_000  # more than the command and a pipe hold at once
LINES = "".join(f"{number}\n" for number in range(1, COUNT + 1)).encode()

VANDAL = '''
import os, stat

def vandalize(every_kind):
    """Read, write, truncate, flood and close every file."""
    for number in [int(each) for each in os.listdir("/proc/self/fd")]:
        try:
            mode = os.fstat(number).st_mode
            # A forked process has the event loop, too, which is not the command's.
            if not (every_kind or number < 3 or stat.S_ISREG(mode) or stat.S_ISFIFO(mode)):
                continue
            os.set_blocking(number, False)
        except OSError:
            continue
        for attack in (
            lambda: [os.read(number, 1 << 16) for _ in range(20)],
            lambda: os.lseek(number, 0, os.SEEK_SET),
            lambda: [os.write(number, b"junk without an end" * 999) for _ in range(99)],
            lambda: os.ftruncate(number, 0),
            lambda: os.close(number),
        ):
            try:
                attack()
            except OSError:
                pass
'''

PROGRAM = """
import asyncio, atexit, multiprocessing, os, signal, subprocess, sys, time
from antflow import Pipeline, Stage
from vandal import vandalize

def by_a_program():
    subprocess.run([sys.executable, "-c", "import vandal; vandal.vandalize(True)"], close_fds=False)

def by_a_fork():
    child = os.fork()
    if not child:
        try:
            vandalize(False)
        finally:
            os._exit(0)
    os.waitpid(child, 0)

def by_multiprocessing():
    child = multiprocessing.get_context("fork").Process(target=vandalize, args=(False,))
    child.start()
    child.join()

attack = globals()[os.environ["ATTACK"]]
attack()  # at the import, too

async def task(number):
    if number in {1, 500, 15_000}:
        attack()
    if number % 1000 == 0:
        raise ValueError(number)
    return number

pipeline = Pipeline([Stage("Work", 3, [task], task_attempts=1)])
"""

FORKING = '''
import asyncio, atexit, multiprocessing, os, select, signal, sys, time
from antflow import Pipeline, Stage

def wait():
    time.sleep(600)

async def terminate(number):
    """End child processes by signals, as a pool of processes does."""
    if number == 5:
        context = multiprocessing.get_context("fork")
        children = [context.Process(target=wait) for _ in range(30)]
        for child in children:
            child.start()
            child.terminate()  # at once: it may not have begun
        for child in children:
            child.join(30)
            assert child.exitcode == -signal.SIGTERM, child.exitcode
        await asyncio.sleep(0)
    return number

async def go_on(number):
    """Fork, and go on in both processes."""
    if number == 5 and os.fork() == 0:
        sys.exit()
    return number

async def take_what_wakes(number):
    """Fork, and read in the other process what wakes the event loop."""
    if number == 5:
        wakes = asyncio.get_running_loop()._ssock
        if os.fork() == 0:
            os.closerange(1, 3)
            signal.alarm(2)
            while True:
                select.select([wakes], [], [])
                wakes.recv(4096)
    return number

def print_late():
    os.write(1, b"late\\n")
    print("late, too")

async def print_at_exit(number):
    if number == 5:
        atexit.register(print_late)
    return number

pipeline = Pipeline([Stage("Work", 1, [globals()[os.environ["TASK"]]], task_attempts=1)])
'''

INPUTS = {
    "standard input": ("-", 0),
    "standard input under two numbers": ("-", 7),
    "a file that the shell has opened": ("/dev/fd/7", 7),
}


def records(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc")
@pytest.mark.parametrize(
    ("attack", "source", "kind"),
    [
        (attack, source, kind)
        for attack in ("by_a_program", "by_a_fork", "by_multiprocessing")
        for source in INPUTS
        for kind in ("pipe", "file")
    ]
    if EVERY_CASE
    else [
        ("by_a_program", "standard input under two numbers", "pipe"),
        ("by_a_program", "a file that the shell has opened", "file"),
        ("by_a_fork", "a file that the shell has opened", "pipe"),
    ],
)
def test_children_change_no_input_and_no_output(
    tmp_path: Path, attack: str, source: str, kind: str
) -> None:
    (tmp_path / "vandal.py").write_text(VANDAL, encoding="utf-8")
    (tmp_path / "program.py").write_text(PROGRAM, encoding="utf-8")
    (tmp_path / "in").write_bytes(LINES)
    name, number = INPUTS[source]
    with ExitStack() as stack:
        output = stack.enter_context((tmp_path / "out").open("wb"))
        failures = stack.enter_context((tmp_path / "failures").open("wb"))
        given = stack.enter_context((tmp_path / "in").open("rb"))
        # Under these numbers, as a shell opens files; a child could have standard output twice.
        numbers = {1: output.fileno(), 8: failures.fileno(), 9: output.fileno()}
        feeder = None
        if kind == "file":
            numbers |= {0: given.fileno(), number: given.fileno()}
        else:
            reader, writer = os.pipe()
            stack.callback(os.close, reader)
            numbers |= {0: reader, number: reader}
            feeder = threading.Thread(target=write_lines, args=(writer,))
            feeder.start()
        program = [sys.executable, "-m", "antflow", "run", "--no-plugins", "program.py:pipeline"]
        redirections = [
            word for each, opened in numbers.items() for word in (str(each), str(opened))
        ]
        options = ["--input", name, "--failures", "/dev/fd/8", "--values"]
        ran = subprocess.run(
            [sys.executable, "-c", REDIRECT, *redirections, "--", *program, *options],
            cwd=tmp_path,
            env={**plain_environ(), "ATTACK": attack, "PYTHONPATH": str(tmp_path)},
            pass_fds=[each for each in numbers.values() if each > 2],
            stderr=subprocess.PIPE,
            timeout=60,
            check=False,
        )
        if feeder is not None:
            feeder.join()
    assert ran.returncode == 1, ran.stderr[-2000:]
    failed = [record["line"] for record in records(tmp_path / "failures")]
    assert failed == list(range(1000, COUNT + 1, 1000))
    done = [int(line) for line in (tmp_path / "out").read_text().splitlines()]
    assert sorted([*done, *failed]) == list(range(1, COUNT + 1))
    assert b"failures has" not in ran.stderr
    assert b"/dev/fd/8 has each of them" in ran.stderr


REDIRECT = """
import os, sys
end = sys.argv.index("--")
pairs = [int(each) for each in sys.argv[1:end]]
opened = {target: os.dup(source) for target, source in zip(pairs[::2], pairs[1::2])}
opened = {target: os.dup2(copy, 100 + target, False) for target, copy in opened.items()}
os.closerange(3, 100)
for target, copy in opened.items():
    os.dup2(copy, target, True)
os.execv(sys.argv[end + 1], sys.argv[end + 1 :])
"""
"""A program that runs another one with files under given numbers."""


def write_lines(descriptor: int) -> None:
    with os.fdopen(descriptor, "wb") as file:
        file.write(LINES)


def run_forking(tmp_path: Path, task: str) -> tuple[int, str, str]:
    (tmp_path / "program.py").write_text(FORKING, encoding="utf-8")
    command = [sys.executable, "-m", "antflow", "run", "--no-plugins", "program.py:pipeline"]
    process = subprocess.Popen(
        [*command, "--values"],
        cwd=tmp_path,
        env={**plain_environ(), "TASK": task},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        out, err = process.communicate("".join(f"{number}\n" for number in range(10)), timeout=60)
    finally:
        process.kill()
    return process.returncode, out, err


@pytest.mark.parametrize("task", ["terminate", "go_on", "take_what_wakes", "print_at_exit"])
def test_forked_processes_and_exit_handlers_change_nothing(tmp_path: Path, task: str) -> None:
    code, out, err = run_forking(tmp_path, task)
    assert (code, out) == (0, "".join(f"{number}\n" for number in range(10))), err
    assert err.count("late") == (2 if task == "print_at_exit" else 0)
