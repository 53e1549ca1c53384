"""Displays in a real terminal: what is seen of them, and what they leave behind."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

import pytest

from tests.integration.windows import LIMIT, Window, environ, until, window
from tests.requirements import required

PROGRAM = Path(__file__).parent / "displays" / "program.py"
SIZES = [(40, 12), (200, 60), (120, 40), (80, 24)]
DISPLAYS = ["progress", "compact", "detailed", "full"]
EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "verify_packages.py"
SAID = [f"{word} {page}" for page in (5, 15, 25, 35) for word in ("printed", "INFO logged")]


class Opener(Protocol):
    def __call__(self, columns: int = 80, lines: int = 24) -> Window:
        """Open a window."""


@pytest.fixture
def opened() -> Iterator[Opener]:
    required("tmux")
    with ExitStack() as stack:

        def open_one(columns: int = 80, lines: int = 24) -> Window:
            folder = stack.enter_context(TemporaryDirectory(prefix="antflow-"))
            return stack.enter_context(window(Path(folder), columns, lines))

        yield open_one


def halfway(shown: Window, display: str, *options: str) -> str:
    """Run the program until it has stopped halfway, and return what is seen then."""
    shown.run(PROGRAM, display, "--gate", gate(shown), *options)
    return shown.until_shown("20/40")


def gate(shown: Window) -> Path:
    return shown.folder / "go"


def to_the_end(shown: Window) -> str:
    """Let the program go on, and return all that is left when it has ended."""
    gate(shown).touch()
    return shown.until_shown("exit code", with_history=True)


def is_restored(shown: Window) -> bool:
    return shown.state("cursor_flag", "alternate_on", "wrap_flag") == "1 0 1"


@pytest.mark.parametrize("display", DISPLAYS)
def test_a_run_is_seen_from_its_start_to_its_end_in_a_window_of_any_size(
    opened: Opener, display: str
) -> None:
    shown = opened()
    seen = halfway(shown, display)
    assert "2 failed" in seen or "2 items failed" in seen
    assert shown.state("cursor_flag", "alternate_on") == f"0 {int(display == 'full')}"
    for columns, lines in SIZES:
        shown.resize(columns, lines)
        seen = shown.until(partial(is_whole, display=display, columns=columns, lines=lines))
        assert max(map(len, seen.split("\n"))) <= columns
    left = to_the_end(shown)
    assert is_restored(shown)
    assert left.count("pages is done") == 1
    assert "36 succeeded" in left
    assert "EmptyPageError" in left
    assert_in_order(left, *SAID, "pages is done", "total 708", "exit code 0")
    for text in SAID:
        assert left.count(text + "\n") == 1, left
    if display != "detailed":  # which is scrolled away in part as it is higher than the window
        assert "20/40" not in left


COMMAND = """
import asyncio
from pathlib import Path
from threading import Event

from antflow import Pipeline, Stage

items = range(40)


async def stop(number):
    while number >= 20 and not Path(__file__).with_name("go").exists():
        await asyncio.sleep(0.01)
    return number


async def hold(number):
    await asyncio.sleep(0)
    if number == 20:
        Event().wait()
    return number


pipeline = Pipeline([Stage("Stop", workers=4, tasks=[stop])], name="numbers")
holding = Pipeline([Stage("Hold", workers=1, tasks=[hold])], name="numbers")
"""


def antflow_run(shown: Window, pipeline: str, *options: object) -> None:
    """Run a pipeline of the program above."""
    (shown.folder / "program.py").write_text(COMMAND, encoding="utf-8")
    shown.run("-m", "antflow", "run", shown.folder / f"program.py:{pipeline}", *options)


def test_antflow_run_shows_its_run(opened: Opener) -> None:
    shown = opened()
    output = shown.folder / "output.jsonl"
    antflow_run(shown, "pipeline", "--output", output)
    shown.until_shown("20/40", "50%")
    left = to_the_end(shown)
    assert is_restored(shown)
    assert_in_order(left, "numbers is done", "exit code 0")
    assert len(output.read_text(encoding="utf-8").splitlines()) == 40


def test_antflow_run_draws_nothing_over_results_in_the_same_terminal(opened: Opener) -> None:
    shown = opened()
    antflow_run(shown, "pipeline")
    shown.until_shown('{"id": 19, "value": 19}')
    assert is_restored(shown)
    left = to_the_end(shown)
    assert sorted(map(int, RESULT.findall(left))) == list(range(40))
    assert "━" not in left
    antflow_run(shown, "pipeline", "--dashboard", "full")
    shown.until_shown("exit code 2", "give --output FILE")
    assert is_restored(shown)


PIPED = """
import subprocess, sys

with open(sys.argv[1], "wb") as output, subprocess.Popen(
    [sys.executable, *sys.argv[2:]], stdout=subprocess.PIPE
) as process:
    output.write(process.stdout.read())
sys.exit(process.returncode)
"""


@pytest.mark.parametrize("options", [(), ("--output", "/dev/stdout"), ("--dashboard", "full")])
def test_antflow_run_shows_its_run_while_the_results_are_piped(
    opened: Opener, options: tuple[str, ...]
) -> None:
    shown = opened()
    output = shown.folder / "output.jsonl"
    (shown.folder / "program.py").write_text(COMMAND, encoding="utf-8")
    command = ["antflow", "run", f"{shown.folder / 'program.py'}:pipeline", *options]
    shown.run("-c", PIPED, output, "-m", *command)
    shown.until_shown("20/40", "50%")
    left = to_the_end(shown)
    assert is_restored(shown)
    assert_in_order(left, "numbers is done", "exit code 0")
    assert len(output.read_text(encoding="utf-8").splitlines()) == 40


RESULT = re.compile(r'^{"id": (\d+), "value": \1}$', re.MULTILINE)


@pytest.mark.parametrize(("columns", "lines"), [(40, 12), (120, 40)])
def test_the_answer_to_an_interrupt_is_seen_in_the_full_display(
    opened: Opener, columns: int, lines: int
) -> None:
    shown = opened(columns, lines)
    antflow_run(shown, "pipeline", "--output", os.devnull, "--dashboard", "full")
    shown.until_shown("20/40")
    shown.press("C-c")
    seen = shown.until(lambda seen: is_answered(seen) and "20/40" in seen)
    assert shown.state("alternate_on") == "1"
    assert len(seen.split("\n")) == lines
    left = to_the_end(shown)
    assert is_restored(shown)
    assert is_answered(left)
    assert "exit code 130" in left


def test_a_task_that_holds_the_loop_leaves_the_terminal_as_it_was(opened: Opener) -> None:
    shown = opened()
    antflow_run(shown, "holding", "--output", os.devnull, "--dashboard", "full")
    shown.until(lambda _: shown.state("cursor_flag") == "0")
    shown.press("C-c")
    shown.until(is_answered)  # two signals that come at once may be one
    shown.press("C-c")
    left = shown.until_shown("exit code", with_history=True)
    assert is_restored(shown)
    assert is_answered(left)
    assert "exit code 130" in left
    assert_in_order(left, "left unprocessed", "interrupted by SIGINT")


def is_answered(seen: str) -> bool:
    """Return whether a whole sentence is seen, however it is broken into lines."""
    answer = "items already read get 10 s to finish; a second signal stops at once"
    return "".join(answer.split()) in "".join(seen.split())


@pytest.mark.parametrize("display", ["progress", "full"])
def test_an_interrupted_run_leaves_the_terminal_as_it_was(opened: Opener, display: str) -> None:
    shown = opened()
    halfway(shown, display)
    shown.press("C-c")
    left = shown.until_shown("exit code", with_history=True)
    assert is_restored(shown)
    assert "exit code 130" in left
    assert_in_order(left, *SAID[:4], "pages was stopped", "KeyboardInterrupt", "exit code")
    assert "20/40" not in left.partition("pages was stopped")[0]


def test_a_task_that_ends_the_program_leaves_the_terminal_as_it_was(opened: Opener) -> None:
    shown = opened()
    shown.run(PROGRAM, "full", "--event", "exit")
    left = shown.until_shown("exit code", with_history=True)
    assert is_restored(shown)
    assert_in_order(left, *SAID[:4], "pages was stopped", "exit code 3")


@pytest.mark.parametrize("display", ["progress", "full"])
def test_a_display_that_fails_is_logged_and_the_run_goes_on(opened: Opener, display: str) -> None:
    shown = opened()
    shown.run(PROGRAM, display, "--gate", gate(shown), "--event", "spoiled display")
    shown.until_shown("the picture is spoiled")
    assert is_restored(shown)
    left = to_the_end(shown)
    assert left.count("Traceback") == 1
    assert_in_order(left, *SAID[:4], "it is not called again", "Traceback", "spoiled", *SAID[4:])
    assert_in_order(left, "total 708", "exit code 0")


def test_what_another_program_writes_stays_above_the_display(opened: Opener) -> None:
    shown = opened(lines=40)
    seen = halfway(shown, "detailed", "--event", "another program")
    assert_in_order(seen, "said by another program", "20/40")
    left = to_the_end(shown)
    assert_in_order(left, "said by another program", "printed 25", "total 708")
    assert_in_order(left, *SAID)


def test_the_example_can_be_watched(opened: Opener) -> None:
    shown = opened(100, 30)
    shown.run(EXAMPLE, "--workers", 1, "--dashboard", "full")
    shown.until_shown("checking")
    left = shown.until_shown("exit code", with_history=True)
    assert is_restored(shown)
    assert_in_order(left, "checking has ended", "Compare", "exit code ")
    assert re.search("exit code [01]\n", left)  # 1 where something is altered here


def test_a_program_that_leaves_its_loop_behind_leaves_the_terminal_as_it_was(
    opened: Opener,
) -> None:
    shown = opened()
    abandoned = shown.folder / "abandon"
    halfway(shown, "full", "--abandon", str(abandoned))
    abandoned.touch()
    left = shown.until_shown("exit code", with_history=True)
    assert is_restored(shown)
    assert_in_order(left, *SAID[:4], "left 2 alone", "exit code 0")
    assert "20/40" not in left


# Where nothing can be drawn


@pytest.mark.parametrize(
    ("display", "variables"),
    [("progress", {}), ("full", {"FORCE_COLOR": "1", "TTY_COMPATIBLE": "1"})],
)
def test_what_is_piped_has_no_escapes_and_stdout_is_clean(
    display: str, variables: dict[str, str], tmp_path: Path
) -> None:
    gate, out, err = tmp_path / "go", tmp_path / "out", tmp_path / "err"
    with (
        out.open("w", encoding="utf-8") as stdout_file,
        err.open("w", encoding="utf-8") as stderr_file,
        subprocess.Popen(
            [sys.executable, str(PROGRAM), display, "--gate", str(gate)],
            env={**environ(), **variables},
            stdout=stdout_file,
            stderr=stderr_file,
        ) as process,
    ):
        until(partial(err.read_text, encoding="utf-8"), lambda said: "pages: 0 of 40" in said)
        gate.touch()
        assert process.wait(LIMIT) == 0
    stdout, stderr = out.read_text(encoding="utf-8"), err.read_text(encoding="utf-8")
    assert stdout.split("\n") == [*SAID[::2], "total 708", ""]
    assert "\x1b" not in stderr + stdout
    assert "\r" not in stderr
    assert_in_order(stderr, *SAID[1::2], "pages is done", "36 succeeded")


def is_whole(seen: str, *, display: str, columns: int, lines: int) -> bool:
    """Return whether a display has been drawn since the window has that size."""
    rows = seen.split("\n")
    if display == "progress":
        return "20/40" in rows[-1] and seen.count("20/40") == 1
    bars = [row for row in rows if "20/40" in row]
    is_one = len(bars) == 1 or (bool(bars) and display == "detailed")
    return is_one and len(bars[-1]) == columns and len(rows) <= lines


def assert_in_order(text: str, *words: str) -> None:
    found = [text.find(word) for word in words]
    assert -1 not in found, (words, found, text)
    assert found == sorted(found), text
