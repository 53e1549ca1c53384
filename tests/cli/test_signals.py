"""SIGINT, SIGTERM and SIGHUP: the first drains the run, the second stops it, the third ends it."""

from __future__ import annotations

import signal
import sys

import pytest

from antflow import hookimpl
from antflow_cli import _signals as signals
from tests.helpers.command import Command
from tests.helpers.installation import Entry, install

SENDING = """
def send(*names):
    for name in names:
        signal.raise_signal(getattr(signal, name))
"""
MANAGED = """
from contextlib import asynccontextmanager

@asynccontextmanager
async def service():
    yield one(task)
    %s
    print("closed")
pipeline = service()
"""
ENDLESS = """
async def items():
    number = 0
    while True:
        yield number
        number += 1
        await asyncio.sleep(0)
"""
FILES = "--values", "--output", "out", "--failures", "failures"
READING_STOPPED = (
    "reading stopped; items already read get 10 s to finish; a second signal stops at once"
)
STUBBORN = f"""{SENDING}
async def task(number):
    if number == 0:
        return number
    if number == 2:
        send("SIGTERM", "SIGTERM", "SIGTERM")
    while not os.path.getsize("failures"):
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            pass
    return number

items = [0, 1, 2]
"""


@pytest.mark.parametrize("names", [["SIGTERM"], ["SIGTERM", "SIGTERM"]], ids=str)
def test_a_signal_leaves_the_context_manager(command: Command, names: list[str]) -> None:
    program = f"""{SENDING}{ENDLESS}
async def task(number):
    if number == 2:
        send(*{names})
        await asyncio.sleep({len(names) - 1} * 1000)
    return number
{MANAGED % ""}"""
    ran = command.run(*FILES, program=program)
    assert (ran.code, ran.out) == (143, "closed\n")


def test_a_second_signal_cancels_the_leaving(command: Command) -> None:
    leaving = """try:
        send("SIGTERM", "SIGTERM")
        await asyncio.sleep(1000)
    finally:
        print("closed")"""
    program = f"{SENDING}{MANAGED % leaving}"
    ran = command.run("1", *FILES, program=program)
    assert (ran.code, ran.records("out"), ran.out) == (143, ["1"], "closed\n")
    assert ran.report[-1] == "interrupted by SIGTERM; all input was read"


@pytest.mark.parametrize("is_late", [False, True])
def test_a_context_manager_that_blocks_has_one_report(
    command: Command, is_late: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signals, "GRACE_SECONDS", 0.01 if is_late else 30)
    leaving = f"""import time
    send("SIGTERM", "SIGTERM", "SIGTERM")
    time.sleep(0.2)
    end = time.monotonic() + 30
    while {is_late} and b"interrupted" not in os.pread(2, 10_000, 0) and time.monotonic() < end:
        pass"""
    ran = command.run("1", *FILES, program=f"{SENDING}{MANAGED % leaving}")
    assert (ran.code, ran.records("out"), ran.out) == (143, ["1"], "closed\n")
    late = ["the context manager program.py:pipeline was not left in time"]
    assert ran.report[1:] == [
        *(late if is_late else []),
        "interrupted by SIGTERM; all input was read",
    ]


@pytest.mark.parametrize(
    ("names", "code"),
    [
        (["SIGTERM"], 143),
        (["SIGINT"], 130),
        (["SIGHUP"], 129),
        (["SIGHUP", "SIGHUP", "SIGHUP"], 129),  # of the shell, and of the kernel
        (["SIGTERM", "SIGHUP"], 143),
    ],
    ids=str,
)
def test_the_first_signal_has_what_was_read_finished(
    command: Command, names: list[str], code: int
) -> None:
    name = names[0]
    program = f"""{SENDING}{ENDLESS}
async def task(number):
    if number == 2:
        send(*{names})
        while not pipeline.get_stats().items_in_flight == 1:
            await asyncio.sleep(0)
    return number
pipeline = one(task)
"""
    ran = command.run(*FILES, program=program)
    done = ran.records("out")
    assert (ran.code, sorted(done), ran.files["failures"]) == (code, list(range(len(done))), "")
    assert ran.report == [
        f"{name}: {READING_STOPPED}",
        f"interrupted by {name}; the first unread item is {len(done) + 1}",
    ]


@pytest.mark.parametrize(
    ("options", "signals"), [(["--drain-seconds", "0"], 1), (["--drain-seconds", "3600"], 2)]
)
def test_a_deadline_or_a_second_signal_cancels_what_runs(
    command: Command, options: list[str], signals: int
) -> None:
    program = f"""{SENDING}{ENDLESS}
async def task(number):
    if number == 2:
        send(*["SIGTERM"] * {signals})
    await asyncio.Event().wait()
"""
    ran = command.run(*FILES, *options, program=program)
    left = ran.records("failures")
    assert (ran.code, ran.files["out"]) == (143, "")
    assert sorted(each["item"] for each in left) == list(range(1, len(left) + 1))
    assert {each["status"] for each in left} == {"unprocessed"}
    assert f"items already read get {options[1]} s to finish" in ran.report[0]


class Board:
    """A plugin with a display, which prints when it exits."""

    antflow_dashboards = ("board",)

    @hookimpl
    def antflow_add_options(self, parser: object) -> None:
        parser.add_argument("--board", dest="dashboard")  # type: ignore[attr-defined]

    @hookimpl
    def antflow_dashboard(self, name: str) -> Board:
        return self

    def on_start(self, pipeline: object, total_items: int | None) -> None: ...
    def on_update(self, snapshot: object) -> None: ...
    def on_finish(self, results: object, summary: object) -> None: ...

    def on_exit(self) -> None:
        sys.stderr.write("the screen is left\n")


@pytest.mark.parametrize("display", [False, True])
def test_the_third_signal_writes_all_records_although_tasks_go_on(
    command: Command, display: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, Entry("board", lambda: Board))
    options = ["--board", "board"] if display else []
    ran = command.run(*FILES, "--ordered", *options, program=STUBBORN)
    assert (ran.code, ran.records("out")) == (143, [0])
    left = [(each["item"], each["status"]) for each in ran.records("failures")]
    assert left == [(2, "unprocessed"), (3, "unprocessed")]
    before, _, after = ran.err.partition("tasks that ignored their cancellation were left behind")
    assert ("the screen is left" in before) is display
    assert after.count("2 items were read and left unprocessed") == 1


def test_a_signal_that_is_ignored_stays_ignored(command: Command) -> None:
    program = """
async def task(_):
    found = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    return [each in {signal.SIG_IGN, signal.SIG_DFL} for each in found]
"""
    ran = command.run("1", "--values", program=program, sigint=signal.SIG_IGN)
    assert ran.values == [[True, False]]


def test_a_hangup_that_is_ignored_stays_ignored(command: Command) -> None:
    """As `nohup` has it ignored."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        ran = command.run(
            "1",
            "2",
            "--values",
            program=f"""{SENDING}
async def task(item):
    send("SIGHUP")
    return item
""",
        )
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
    assert (ran.code, ran.report, sorted(ran.values)) == (0, [], ["1", "2"])


@pytest.mark.parametrize("waiting", ["loop.add_signal_handler(signal.SIGUSR1, got.set)", ""])
def test_a_program_may_handle_signals_of_its_own(command: Command, waiting: str) -> None:
    program = f"""{SENDING}{ENDLESS}
async def task(number):
    if number != 2:
        await asyncio.Event().wait()
    loop, got = asyncio.get_running_loop(), asyncio.Event()
    before = signal.signal(signal.SIGUSR1, lambda *_: got.set())
    {waiting}
    send("SIGUSR1")
    await got.wait()
    loop.remove_signal_handler(signal.SIGUSR1)
    signal.signal(signal.SIGUSR1, before)
    send("SIGINT", "SIGTERM")
    await asyncio.Event().wait()
"""
    ran = command.run(program=program)
    assert ran.code == 130
    assert ran.report[0].startswith("SIGINT: reading stopped")
    assert ran.report[-1].startswith("interrupted by SIGINT; the first unread item is ")


@pytest.mark.parametrize(
    "program",
    [
        "raise KeyboardInterrupt",
        "def make():\n    raise KeyboardInterrupt\npipeline = make",
        "async def make():\n    send('SIGINT')\n    await asyncio.sleep(0)\npipeline = make",
    ],
)
def test_an_interrupt_before_the_run_ends_the_command(command: Command, program: str) -> None:
    ran = command.run(program=SENDING + program)
    assert (ran.code, ran.out, ran.err) == (130, "", "")
