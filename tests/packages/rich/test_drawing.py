"""The thread that draws: which states it draws, and how it ends."""

from __future__ import annotations

import asyncio
import sys
import threading
from typing import Any

import pytest

from tests.packages.rich.screens import ShownInTerminal, shown
from tests.packages.rich.states import only


def stop_terminal(run: ShownInTerminal) -> None:
    """Have the display write more than the terminal takes before it is read again."""
    sys.stderr.write(f"{'x' * 50_000}\n")
    run.tty.wait_until_stopped()


class Broken:
    """A snapshot or a summary that cannot be read.

    Args:
        error: what is raised.
    """

    def __init__(self, error: BaseException) -> None:
        self._error = error

    @property
    def pipeline_stats(self) -> None:
        raise self._error

    total_failed = pipeline_stats


def test_there_are_four_frames_a_second_at_most() -> None:
    with shown("progress") as run:
        run.update(only(1))
        assert run.waits == []
        run.update(only(2), 0.3)
        assert run.waits == []
        run.update(only(3), 0.05)
        assert run.waits == [pytest.approx(0.2, abs=0.06)]


def test_the_end_does_not_wait_for_the_next_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("antflow_rich._render_thread.FRAME_SECONDS", 1000.0)
    with shown("progress", total=2) as run:
        del run.display._thread._is_finishing.wait
        run.update(only(1))
        run.display.on_update(only(2))
        assert any("is done: 2 items" in line for line in run.finish())


def test_while_the_terminal_is_stopped_only_the_latest_state_is_kept() -> None:
    with shown("progress", total=8) as run:
        run.update(only())
        stop_terminal(run)
        for done in range(1, 9):
            run.clock.now += 0.5
            run.display.on_update(only(done))
        assert any("is done: 8 items in 0:04, 2/s" in line for line in run.finish())
        assert run.screen.frames == 2


def test_a_run_that_ends_before_its_first_frame_counts_from_its_first_state() -> None:
    with shown("progress", total=10) as run:
        stop_terminal(run)
        for done in (0, 8, 10):
            run.display.on_update(only(done))
            run.clock.now += 2.0
        assert any("is done: 10 items in 0:04" in line for line in run.finish())


def test_the_end_of_the_program_waits_for_a_stopped_terminal_a_while_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("antflow_rich._render_thread.EXIT_SECONDS", 0.01)
    with shown("progress") as run:
        run.is_open = False
        stop_terminal(run)

        async def main() -> None:
            waiting = asyncio.create_task(run.display.on_finish([], only().error_summary))
            await asyncio.sleep(0)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting

        asyncio.run(main())
        assert is_drawing()
        end(run)
        assert any("was stopped" in line for line in run.left)  # the drawing was not cancelled
    with shown("progress") as run:
        stop_terminal(run)
        run.close()
        assert is_drawing()
        end(run)


def end(run: ShownInTerminal) -> None:
    """Read what is written until the drawing has ended."""
    while is_drawing():
        assert run.screen.height == 24


def is_drawing() -> bool:
    return "antflow-display" in {thread.name for thread in threading.enumerate()}


def test_a_run_that_outlives_main_is_drawn_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """As it does after a `break` from a stream: its end comes as `asyncio.run` tidies up."""
    was_waited_for = False
    shut_down = asyncio.BaseEventLoop.shutdown_default_executor

    async def shut_down_later(loop: Any, *limit: float) -> None:
        nonlocal was_waited_for
        was_waited_for = loop._default_executor is not None  # else nothing waits for what goes on
        end(run)
        await shut_down(loop, *limit)

    monkeypatch.setattr(asyncio.BaseEventLoop, "shutdown_default_executor", shut_down_later)
    left_behind: list[asyncio.Task[None]] = []

    async def outlive() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            finish = run.display.on_finish([], only().error_summary)
            left_behind.append(asyncio.get_running_loop().create_task(finish))

    async def main() -> None:
        left_behind.append(asyncio.create_task(outlive()))
        await asyncio.sleep(0)

    with shown("progress") as run:
        run.is_open = False
        stop_terminal(run)
        asyncio.run(main())
        assert was_waited_for
        assert any("was stopped" in line for line in run.left)


def test_on_finish_works_after_the_shutdown_of_the_executor() -> None:
    with shown("progress") as run:
        run.is_open = False

        async def main() -> None:
            await asyncio.get_running_loop().shutdown_default_executor()
            await run.display.on_finish([], only().error_summary)

        asyncio.run(main())
        assert any("was stopped" in line for line in run.left)


@pytest.mark.parametrize("error", [RuntimeError("torn"), SystemExit("torn")])
def test_an_error_ends_the_drawing_and_is_raised_by_the_next_call(error: BaseException) -> None:
    with shown("full") as run:
        run.update(only())
        sys.stderr.write("said\n")
        run.display.on_update(Broken(error))
        end(run)
        assert run.screen.modes["25"]
        assert run.lines == ["said"]
        assert "write" not in vars(sys.stderr)
        for call in (lambda: run.display.on_update(only()), run.finish):
            with pytest.raises(RuntimeError) as caught:
                call()
            assert error in (caught.value, caught.value.__cause__)


def test_an_error_of_the_summary_is_raised_by_on_finish() -> None:
    broken: Any = Broken(ValueError("torn"))
    with shown("full") as run:
        run.update(only())
        with pytest.raises(ValueError, match="torn"):
            run.finish(broken)
        assert "1049" not in run.screen.modes
        assert "write" not in vars(sys.stderr)


def test_of_two_errors_the_first_is_raised() -> None:
    with shown("progress") as run:
        run.update(only())
        run.tty.stream.close()
        run.display.on_update(Broken(KeyError("first")))
        with pytest.raises(KeyError):
            run.finish()
