"""Displays through whole runs, from their start to what they leave in the terminal."""

from __future__ import annotations

import asyncio
import gc
import io
import logging
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from typing import Any

import pytest

from antflow import DashboardSnapshot, Pipeline, Stage
from antflow_rich import Rich
from tests.helpers.virtual_time import Gate, simulate
from tests.packages.rich.screens import Screen, ShownInStream, piped, shown
from tests.packages.rich.states import MIDWAY, only
from tests.packages.rich.terminals import PseudoTerminal

DISPLAYS = ("progress", "compact", "detailed", "full")


async def half(item: int) -> float:
    if item == 7:
        raise ValueError("seven")
    print(f"said {item}", file=sys.stderr)
    return item / 2


def pipeline(task: Any = half) -> Pipeline:
    stage = Stage(name="Half", workers=2, tasks=[task], task_attempts=1)
    return Pipeline([stage], name="halves", plugins=[Rich()], autoload=False)


@contextmanager
def as_stderr(tty: PseudoTerminal) -> Iterator[None]:
    """Have a terminal be standard error, and see that it is left as it was."""
    with redirect_stderr(tty.stream):
        yield
    assert "write" not in vars(tty.stream)
    assert "antflow-display" not in {thread.name for thread in threading.enumerate()}


def left_in(tty: PseudoTerminal) -> list[str]:
    screen = Screen(80, 24)
    screen.feed(tty.written())
    assert screen.modes["25"]
    assert "1049" not in screen.modes
    return screen.all_lines


@pytest.mark.parametrize("name", DISPLAYS)
def test_a_run_leaves_its_lines_and_a_summary(tty: PseudoTerminal, name: str) -> None:
    options = {"progress": True} if name == "progress" else {"dashboard": name}
    with as_stderr(tty):
        results = asyncio.run(pipeline().run(range(10), **options))
    assert len(results) == 9
    left = left_in(tty)
    assert left[:9] == [f"said {item}" for item in range(10) if item != 7]
    assert left[9].startswith("halves is done: 10 items in 0:00")
    assert left[10] == "  9 succeeded  1 item failed"


def test_a_stream_is_shown_too(tty: PseudoTerminal) -> None:
    async def main() -> int:
        return len([each async for each in pipeline().stream(range(10), progress=True)])

    with as_stderr(tty):
        assert asyncio.run(main()) == 10
    assert any("halves is done" in line for line in left_in(tty))


@pytest.mark.filterwarnings(
    "ignore:Pipeline .* was dropped:ResourceWarning"
)  # if the loop ends first
def test_a_stream_that_main_leaves_by_break_is_summed_up(
    tty: PseudoTerminal, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async for _ in pipeline().stream(range(1000), progress=True):
            break

    with as_stderr(tty):
        asyncio.run(main())
        gc.collect()
    assert any("halves was stopped" in line for line in left_in(tty))
    assert [record.name for record in caplog.records if record.name == "asyncio"] == []


def test_what_is_no_terminal_gets_plain_lines() -> None:
    with redirect_stderr(io.StringIO()) as stream:
        asyncio.run(pipeline().run(range(10), dashboard="detailed"))
    assert "halves is done" in stream.getvalue()
    assert "said 0\n" in stream.getvalue()
    assert "\x1b" not in stream.getvalue()


def test_the_second_display_of_a_terminal_writes_plain_lines_above_the_first(
    tty: PseudoTerminal,
) -> None:
    async def main() -> None:
        gate = Gate()
        first = asyncio.create_task(pipeline(gate).run([1], progress=True))
        while "write" not in vars(tty.stream):
            await asyncio.sleep(0)
        await pipeline().run([2], dashboard="full")
        assert "write" in vars(tty.stream)
        gate.open()
        await first

    with as_stderr(tty):
        asyncio.run(main())
    assert "\x1b[?1049h" not in tty.written()
    assert sum("halves is done" in line for line in left_in(tty)) == 2


def test_a_terminal_that_is_gone_is_logged_and_the_run_goes_on(
    tty: PseudoTerminal, caplog: pytest.LogCaptureFixture
) -> None:

    async def main() -> int:
        gate = Gate()
        run = asyncio.create_task(
            pipeline(gate).run([1, 2], dashboard="compact", dashboard_update_interval=0.001)
        )
        while not gate.entered:
            await asyncio.sleep(0)
        tty.stream.close()
        while not caplog.records:
            await asyncio.sleep(0.001)
        assert not run.done()
        gate.open()
        return len(await run)

    with caplog.at_level(logging.ERROR), redirect_stderr(tty.stream):
        assert asyncio.run(main()) == 2
    [record] = caplog.records
    assert "it is not called again, and the run goes on" in record.getMessage()
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], ValueError)
    assert "write" not in vars(tty.stream)
    with shown("progress") as run:  # its terminal is free
        run.update(only())


def test_a_display_that_is_dropped_restores_the_terminal(tty: PseudoTerminal) -> None:
    with as_stderr(tty):
        display: Any = Rich().antflow_dashboard("full")
        display.on_start(pipeline(), 10)
        assert "write" in vars(tty.stream)
        del display
        gc.collect()
        assert "write" not in vars(tty.stream)
    assert tty.written() == ""


def test_on_exit_restores_the_terminal_at_once_and_without_a_summary() -> None:
    with shown("full", before="before\n") as run:
        run.replay(MIDWAY)
        run.write("held\n")
        exiting = threading.Thread(target=run.display.on_exit)
        exiting.start()
        exiting.join(30)
        sys.stderr.write("afterwards\n")
        sys.stderr.flush()
        assert run.lines == ["before", "held", "afterwards"]
        assert run.screen.modes["25"]
        assert "write" not in vars(sys.stderr)


# Real runs in virtual time


class Replayed:
    """A dashboard that has each snapshot shown at the virtual time at which it was taken.

    Args:
        run: the display that shows them.
    """

    def __init__(self, run: ShownInStream) -> None:
        self.run = run
        self.snapshots: list[DashboardSnapshot] = []

    def on_start(self, pipeline: Pipeline, total_items: int | None) -> None:
        self.last = asyncio.get_running_loop().time()

    def on_update(self, snapshot: DashboardSnapshot) -> None:
        now = asyncio.get_running_loop().time()
        self.snapshots.append(snapshot)
        self.run.update(snapshot, now - self.last)
        self.last = now

    def on_finish(self, results: object, summary: object) -> None: ...


def replay(pipeline: Pipeline, items: Any, total: int | None, interval: float) -> list[str]:
    """Run a pipeline in virtual time; return the lines that are shown of it."""
    with piped(total=total, name=pipeline.name) as run:
        dashboard = Replayed(run)
        simulate(
            pipeline.run(items, custom_dashboard=dashboard, dashboard_update_interval=interval)
        )
        run.finish(dashboard.snapshots[-1].error_summary)
        return run.lines


def taking(seconds: float) -> Any:
    async def take(item: int) -> int:
        await asyncio.sleep(seconds)
        if item == 7:
            raise ValueError("seven")
        return item

    return take


def test_a_real_run_is_shown_with_its_rate_and_bottleneck() -> None:
    stages = [
        Stage("Quick", 2, [taking(0.0)], queue_capacity=4),
        Stage("Slow", 3, [taking(1.0)], queue_capacity=4, task_attempts=1),
    ]
    lines = replay(Pipeline(stages, name="numbers", autoload=False), range(30), 30, 1.0)
    midway = re.fullmatch(
        r"numbers: (\d+) of 30 \(\d+%\) done, (\d\.?\d?)/s, . items? failed, 0:05 elapsed, "
        r"0:0\d left, bottleneck Slow",
        lines[5],
    )
    assert midway is not None
    assert float(midway[2]) == pytest.approx(3.0, rel=0.4)
    end = next(at for at, line in enumerate(lines) if line.startswith("numbers is done: 30 items"))
    assert lines[end + 1] == "  29 succeeded  1 item failed"
    assert lines[end + 3] == "      1  ValueError  7 in Quick: seven"


class HalfKnown:
    """An input whose share that was read is known."""

    def __init__(self, count: int) -> None:
        self.count, self.read = count, 0

    def __iter__(self) -> Iterator[int]:
        for item in range(self.count):
            self.read = item
            yield item

    def fraction_read(self) -> float:
        return (self.read + 1) / self.count


def figures(line: str) -> dict[str, Any]:
    """Return what a line of progress says, however it is worded."""
    patterns = {
        "done": r"name: ([\d,]+)",
        "total": r" of ([\d,]+)[ ,]",
        "share": r"\((\d+%(?: of the input)?)\)",
        "failed": r"(\d+ items? failed)",
        "rate": r" ([\d.]+/(?:s|min|h))",
        "left": r"([\d:]+) left",
    }
    found = {name: re.search(pattern, line) for name, pattern in patterns.items()}
    said: dict[str, Any] = {name: match and match[1] for name, match in found.items()}
    parts = reversed(said["left"].split(":")) if said["left"] else ()
    return said | {"left": sum(int(part) * 60**at for at, part in enumerate(parts))}


@pytest.mark.parametrize("kind", ["total", "unknown", "fraction"])
@pytest.mark.parametrize(
    ("seconds", "interval"),
    [(0.011, 1.0), (0.05, 1.0), (0.33, 9.9), (2.0, 63.0), (70.0, 99.0), (3000.0, 3e4)],
)
def test_progress_says_the_same_as_without_this_package(
    kind: str, seconds: float, interval: float, capsys: pytest.CaptureFixture[str]
) -> None:
    """antflow-core writes lines of its own where no plugin has the display "progress"."""
    count = int(2.5 * interval / seconds)

    def items() -> Any:
        known: dict[str, Any] = {
            "total": range,
            "unknown": lambda end: iter(range(end)),
            "fraction": HalfKnown,
        }
        return known[kind](count)

    def made() -> Pipeline:
        stage = Stage("Take", 1, [taking(seconds)], queue_capacity=4, task_attempts=1)
        return Pipeline([stage], name="name", autoload=False)

    simulate(made().run(items(), progress=True, dashboard_update_interval=interval))
    without = capsys.readouterr().err.splitlines()[0]
    line = replay(made(), items(), count if kind == "total" else None, interval)[1]
    assert figures(line) == figures(without), (line, without)
    assert figures(line)["rate"]
    assert (figures(line)["share"] is None) is (kind == "unknown")
