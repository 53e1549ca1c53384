"""A display through a whole run: its renderer, and what it leaves on the screen."""

from __future__ import annotations

import asyncio
import gc
import io
import logging
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from rich.text import Text

from antflow import Pipeline, Stage
from antflow_rich import Rich, _run_display
from antflow_rich._areas import ENTER_ALTERNATE, LEAVE_ALTERNATE
from antflow_rich._frames import FRAMES
from antflow_rich._render_thread import RenderThread
from antflow_rich._renderers import TERMINAL_IN_USE, LiveRenderer, PlainRenderer
from antflow_rich._run_display import make_renderer
from antflow_rich._views import RunView
from antflow_rich.plugin import DASHBOARDS
from tests.helpers.virtual_time import Gate
from tests.packages.rich.terminals import PseudoTerminal

SHOW_CURSOR = "\x1b[?25h"


@pytest.fixture(autouse=True)
def _terminal_is_free_again() -> Iterator[None]:
    yield
    assert not TERMINAL_IN_USE.locked()


async def half(item: int) -> float:
    if item == 7:
        raise ValueError("seven")
    print(f"said {item}", file=sys.stderr)
    return item / 2


def pipeline(task: Any = half) -> Pipeline:
    stage = Stage(name="Half", workers=2, tasks=[task], task_attempts=1)
    return Pipeline([stage], name="halves", plugins=[Rich()], autoload=False)


def test_every_name_has_a_frame() -> None:
    assert tuple(FRAMES) == DASHBOARDS


@pytest.mark.parametrize("name", DASHBOARDS)
def test_a_run_leaves_its_lines_and_a_summary(
    tty: PseudoTerminal, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(sys, "stderr", tty.stream)
    shown = {"progress": True} if name == "progress" else {"dashboard": name}
    results = asyncio.run(pipeline().run(range(10), **shown))
    assert len(results) == 9
    written = tty.written()
    assert [
        written.count(f"said {item}\n") + written.count(f"said {item}\x1b[0m\r\n")
        for item in (0, 9)
    ] == [1, 1]
    assert " is done" in written
    assert "write" not in vars(tty.stream)
    assert (ENTER_ALTERNATE in written) <= (LEAVE_ALTERNATE in written)


def test_a_stream_is_shown_too(tty: PseudoTerminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", tty.stream)

    async def main() -> int:
        return len([each async for each in pipeline().stream(range(10), progress=True)])

    assert asyncio.run(main()) == 10
    assert " is done" in tty.written()


def test_a_stream_that_main_leaves_by_break_is_summed_up(
    tty: PseudoTerminal, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sys, "stderr", tty.stream)

    async def main() -> None:
        async for _ in pipeline().stream(range(1000), progress=True):
            break

    asyncio.run(main())
    gc.collect()
    assert " was stopped" in tty.written()
    assert [record.name for record in caplog.records if record.name == "asyncio"] == []
    assert "antflow-display" not in {thread.name for thread in threading.enumerate()}


def test_a_display_that_has_finished_is_not_closed_again(
    tty: PseudoTerminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", tty.stream)
    closed: list[None] = []
    monkeypatch.setattr(RenderThread, "close", lambda thread: closed.append(None))
    asyncio.run(pipeline().run([1], progress=True))
    gc.collect()
    assert closed == []


def test_a_stopped_terminal_blocks_neither_the_run_nor_log_handlers(
    tty: PseudoTerminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Frames and log lines are more than the terminal takes, and it is not read at first."""
    monkeypatch.setattr(sys, "stderr", tty.stream)
    logger = logging.getLogger("of a test")
    monkeypatch.setattr(logger, "handlers", [logging.StreamHandler(tty.stream)])
    monkeypatch.setattr(logger, "propagate", False)

    async def log(item: int) -> None:
        logger.warning("item %s %s", item, "x" * 50_000)

    async def main() -> None:
        run = asyncio.create_task(pipeline(log).run(range(4), progress=True))
        await asyncio.to_thread(tty.wait_until_stopped)
        logger.warning("meanwhile")
        while not run.done():
            tty.written()
            await asyncio.sleep(0)
        await run

    asyncio.run(main())
    written = tty.written()
    assert [written.count(f"item {item} x") for item in range(4)] == [1] * 4
    assert "meanwhile" in written
    assert " is done" in written


def test_the_renderer_depends_on_the_stream(
    tty: PseudoTerminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", tty.stream)
    live = make_renderer("progress", 1.0)
    assert isinstance(live, LiveRenderer)
    live.close(None)
    monkeypatch.setenv("TERM", "dumb")
    assert isinstance(make_renderer("progress", 1.0), PlainRenderer)
    monkeypatch.setattr(sys, "stderr", None)
    assert isinstance(make_renderer("progress", 1.0), PlainRenderer)


def test_the_second_display_of_a_terminal_writes_plain_lines_above_the_first(
    tty: PseudoTerminal,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "stderr", tty.stream)

    async def main() -> None:
        gate = Gate()
        first = asyncio.create_task(pipeline(gate).run([1], progress=True))
        while not TERMINAL_IN_USE.locked():
            await asyncio.sleep(0)
        await pipeline().run([2], dashboard="full")
        assert TERMINAL_IN_USE.locked()
        assert "write" in vars(tty.stream)
        gate.open()
        await first

    asyncio.run(main())
    written = tty.written()
    assert ENTER_ALTERNATE not in written
    assert written.count(" is done") == 2


def test_a_frame_that_fails_is_logged_and_the_run_goes_on(
    tty: PseudoTerminal, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sys, "stderr", tty.stream)

    def fail(view: RunView, width: int, height: int) -> list[Text]:
        raise RuntimeError("torn")

    monkeypatch.setitem(FRAMES, "compact", fail)

    async def main() -> int:
        gate = Gate()
        run = asyncio.create_task(
            pipeline(gate).run([1, 2], dashboard="compact", dashboard_update_interval=0.001)
        )
        while not caplog.records:
            await asyncio.sleep(0.001)
        assert not run.done()
        gate.open()
        return len(await run)

    with caplog.at_level(logging.ERROR):
        assert asyncio.run(main()) == 2
    [record] = caplog.records
    assert "it is not called again, and the run goes on" in record.getMessage()
    assert record.exc_info is not None
    assert str(record.exc_info[1]) == "torn"
    assert "write" not in vars(tty.stream)


def test_a_display_that_is_garbage_collected_restores_the_terminal(
    tty: PseudoTerminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", tty.stream)
    display = _run_display.make_display("full", 1.0)
    display.on_start(pipeline(), 10)
    assert "write" in vars(tty.stream)
    del display
    gc.collect()
    assert "write" not in vars(tty.stream)
    assert tty.written() == ""


def test_the_terminal_is_restored_while_a_task_blocks_the_loop(
    tty: PseudoTerminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is printed from then on appears on the normal screen."""
    monkeypatch.setattr(sys, "stderr", tty.stream)
    written = ""

    async def hold(item: int) -> int:
        nonlocal written
        print("held", file=sys.stderr)
        running._run.lifecycle.display.leave(60.0)  # type: ignore[union-attr]
        print("afterwards", file=sys.stderr)
        written = tty.written()
        return item

    running = pipeline(hold)
    asyncio.run(running.run([1], dashboard="full"))
    assert written.index("held") < written.index("afterwards")
    assert ENTER_ALTERNATE not in written.partition(LEAVE_ALTERNATE)[2]
    assert "write" not in vars(tty.stream)
    assert tty.written() == written


def test_what_is_no_terminal_gets_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    asyncio.run(pipeline().run(range(10), dashboard="detailed"))
    assert " is done" in stream.getvalue()
    assert "said 0\n" in stream.getvalue()
    assert "\x1b" not in stream.getvalue()
