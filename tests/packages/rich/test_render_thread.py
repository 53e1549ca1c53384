"""The render thread: which states it draws, and how it ends."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from queue import Empty, SimpleQueue
from threading import Event, Thread
from typing import Any, cast

import pytest

from antflow import DashboardSnapshot, ErrorSummary, PipelineStats
from antflow_rich import _render_thread
from antflow_rich._capture import CapturedText
from antflow_rich._render_thread import RenderThread
from antflow_rich._view_builder import ViewBuilder
from antflow_rich._views import RunView

NO_ERRORS = ErrorSummary(0, {}, {}, [])
BROKEN = ErrorSummary(2, {"OSError": 2}, {"Fetch": 2}, [])


def snapshot(done: int = 0) -> DashboardSnapshot:
    stats = PipelineStats(done, 0, 0, {}, items_fed=10, items_outstanding=10 - done)
    return DashboardSnapshot({}, {}, stats, NO_ERRORS, 1000.0)


class FakeRenderer:
    """Records the calls.

    Args:
        fails: raised by `draw`.
        fails_at_end: raised by `close`.
    """

    def __init__(
        self, fails: BaseException | None = None, fails_at_end: Exception | None = None
    ) -> None:
        self.fails = fails
        self.fails_at_end = fails_at_end
        self.output: list[str] = []
        self.drawn: list[int | None] = []
        self.ends: list[RunView | None] = []
        self.has_drawn = Event()

    def open(self, queue: SimpleQueue[Any], render_thread: Thread) -> None:
        self.queue, self.thread = queue, render_thread

    def add_output(self, output: CapturedText) -> None:
        self.output.append(output.text)

    def draw(self, view: RunView | None, now: float) -> None:
        self.drawn.append(None if view is None else view.counts.done)
        if self.fails is not None:
            raise self.fails
        self.has_drawn.set()

    def close(self, view: RunView | None) -> None:
        self.ends.append(view)
        if self.fails_at_end is not None:
            raise self.fails_at_end


class StoppedRenderer(FakeRenderer):
    """Blocks in `draw` until `goes_on` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.goes_on = Event()

    def draw(self, view: RunView | None, now: float) -> None:
        super().draw(view, now)
        assert self.goes_on.wait(5)


class Clock:
    """A clock that advances as the thread waits."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def render_thread(renderer: FakeRenderer, total: int | None = 10) -> RenderThread:
    return RenderThread(ViewBuilder("pages", total), renderer)


async def finish(thread: RenderThread, summary: ErrorSummary = NO_ERRORS) -> None:
    await thread.finish(summary, {})


def test_states_and_the_summary_are_drawn() -> None:
    renderer = FakeRenderer()
    thread = render_thread(renderer)

    async def main() -> None:
        thread.start()
        thread.update(snapshot(3), {})
        assert await asyncio.to_thread(renderer.has_drawn.wait, 5)
        thread.update(snapshot(10), {"other": 2})
        await finish(thread, BROKEN)

    asyncio.run(main())
    assert renderer.drawn == [3]
    [end] = renderer.ends
    assert end is not None
    assert (end.counts.succeeded, end.counts.failed) == (10, 2)
    assert not end.was_interrupted


def test_a_run_that_ends_early_was_interrupted() -> None:
    for total, done, expected in ((10, 4, True), (10, 10, False), (None, 4, True)):
        renderer = FakeRenderer()
        thread = render_thread(renderer, total)

        async def main(thread: RenderThread = thread, done: int = done) -> None:
            thread.start()
            thread.update(snapshot(done), {})
            await finish(thread)

        asyncio.run(main())
        assert [end is not None and end.was_interrupted for end in renderer.ends] == [expected]


class FakeQueue:
    """Returns messages at their times and advances the clock; also replaces `_is_finishing`.

    Args:
        clock: the thread's clock.
        thread: receives the updates among the messages, as `update` stores them.
        messages: each with the second at which it comes; the last one is `Finish`.
    """

    def __init__(self, clock: Clock, thread: RenderThread, *messages: tuple[float, object]) -> None:
        self.clock = clock
        self.updates = thread._latest
        self.messages = list(messages)

    def get(self) -> object:
        at, message = self.messages.pop(0)
        self.clock.now = max(at, self.clock.now)
        if not isinstance(message, _render_thread.Update):
            return message
        self.updates.append(message)
        return _render_thread.Wake()

    def get_nowait(self) -> object:
        if self.messages and self.messages[0][0] <= self.clock.now:
            return self.get()
        raise Empty

    def wait(self, timeout: float) -> None:
        self.clock.now = min(self.clock.now + timeout, self.messages[-1][0])


def render_messages(*messages: tuple[float, object]) -> tuple[FakeRenderer, float]:
    """Run a thread on some messages; return its renderer and the time when it ended."""
    clock, renderer = Clock(), FakeRenderer()
    thread = RenderThread(ViewBuilder("pages", 10), renderer, clock)
    thread._queue = thread._is_finishing = cast("Any", FakeQueue(clock, thread, *messages))
    thread.run()
    return renderer, clock.now


def test_there_are_four_frames_a_second_at_most_and_the_latest_state_is_shown() -> None:
    updates = [
        (number / 20, _render_thread.Update(snapshot(number), {}, number / 20))
        for number in range(21)
    ]
    renderer, end = render_messages(*updates, (1.1, _render_thread.Finish(NO_ERRORS, {})))
    assert renderer.drawn == [0, 5, 10, 15, 20]
    assert end == 1.1


def test_the_end_does_not_wait_for_the_next_frame() -> None:
    renderer, end = render_messages(
        (0.0, _render_thread.Update(snapshot(1), {}, 0.0)),
        (0.05, _render_thread.Update(snapshot(2), {}, 0.05)),
        (0.1, _render_thread.Finish(NO_ERRORS, {})),
    )
    assert renderer.drawn == [1]
    assert end == 0.1
    assert [view is not None and view.counts.done for view in renderer.ends] == [2]


def test_what_the_program_writes_is_drawn_with_the_last_state() -> None:
    renderer, _ = render_messages(
        (0.0, CapturedText(0, "first")),
        (0.1, _render_thread.Update(snapshot(1), {}, 0.1)),
        (0.7, CapturedText(0, "second")),
        (0.7, CapturedText(0, "third")),
        (0.8, CapturedText(0, "last")),
        (0.9, _render_thread.Finish(None, {})),
    )
    assert renderer.drawn == [None, 1, 1]
    assert renderer.output == ["first", "second", "third", "last"]
    assert renderer.ends == [None]


def test_close_draws_no_summary() -> None:
    renderer = FakeRenderer()
    thread = render_thread(renderer)
    thread.start()
    thread.update(snapshot(), {})
    thread.close()
    assert renderer.ends == [None]
    assert not renderer.thread.is_alive()


def test_while_the_terminal_is_stopped_only_the_latest_state_is_kept() -> None:
    renderer = StoppedRenderer()
    thread = render_thread(renderer)
    thread.start()
    thread.update(snapshot(0), {})
    assert renderer.has_drawn.wait(5)
    for done in range(1, 9):
        thread.update(snapshot(done), {})
    assert len(thread._latest) == thread._queue.qsize() == 1
    renderer.goes_on.set()
    asyncio.run(finish(thread))
    assert renderer.drawn == [0]
    [end] = renderer.ends
    assert end is not None
    assert end.counts.succeeded == 8


def test_the_end_of_the_program_waits_for_a_stopped_terminal_a_while_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_render_thread, "EXIT_SECONDS", 0.01)
    renderer = StoppedRenderer()
    thread = render_thread(renderer)
    thread.start()
    thread.update(snapshot(), {})
    assert renderer.has_drawn.wait(5)

    async def main() -> None:
        waiting = asyncio.create_task(finish(thread))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    asyncio.run(main())
    thread.close()
    assert renderer.thread.is_alive()
    renderer.goes_on.set()


def test_the_thread_has_ended_when_finish_returns() -> None:
    renderer = FakeRenderer()
    thread = render_thread(renderer)
    ended: list[str] = []

    def run() -> None:
        thread.run()
        ended.append("over")

    thread._thread = Thread(target=run)

    async def main() -> list[str]:
        thread.start()
        await finish(thread)
        return list(ended)

    assert asyncio.run(main()) == ["over"]


async def test_the_rate_of_a_run_that_ends_before_a_frame_counts_from_its_first_state() -> None:
    now = 0.0
    renderer = FakeRenderer()
    thread = RenderThread(ViewBuilder("numbers", 10), renderer, lambda: now)
    thread._renderer.open(thread._queue, thread._thread)
    thread.update(snapshot(0), {})
    now = 2.0
    thread.update(snapshot(8), {})
    now = 4.0
    thread.update(snapshot(10), {})
    thread._thread.start()
    await finish(thread)
    (view,) = renderer.ends
    assert view is not None
    assert view.counts.done == 10
    assert view.elapsed == 4.0


def test_a_run_that_outlives_main_is_drawn_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """As it does after a `break` from a stream: its end comes as `asyncio.run` tidies up."""
    renderer = StoppedRenderer()
    shut_down = asyncio.BaseEventLoop.shutdown_default_executor

    async def shut_down_later(loop: Any, *limit: float) -> None:
        if loop._default_executor is not None:  # else nothing waits for what goes on
            renderer.goes_on.set()
        await shut_down(loop, *limit)

    monkeypatch.setattr(asyncio.BaseEventLoop, "shutdown_default_executor", shut_down_later)
    thread = render_thread(renderer)

    async def outlive() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            loop = asyncio.get_running_loop()
            left_behind.append(loop.create_task(finish(thread)))

    async def main() -> None:
        left_behind.append(asyncio.create_task(outlive()))
        await asyncio.sleep(0)

    left_behind: list[asyncio.Task[None]] = []
    thread.start()
    thread.update(snapshot(3), {})
    assert renderer.has_drawn.wait(5)
    asyncio.run(main())
    was_waited_for = renderer.goes_on.is_set()
    renderer.goes_on.set()
    assert was_waited_for
    assert [view is not None for view in renderer.ends] == [True]
    assert left_behind[1].done()


def test_finish_works_after_the_shutdown_of_the_executor() -> None:
    renderer = FakeRenderer()
    thread = render_thread(renderer)

    async def main() -> None:
        thread.start()
        await asyncio.get_running_loop().shutdown_default_executor()
        await finish(thread)

    asyncio.run(main())
    assert len(renderer.ends) == 1


@pytest.mark.parametrize("error", [RuntimeError("torn"), SystemExit("torn")])
def test_an_error_ends_the_drawing_and_is_raised_by_the_next_call(
    error: BaseException,
) -> None:
    renderer = FakeRenderer(fails=error)
    thread = render_thread(renderer)
    thread.start()
    thread.update(snapshot(), {})
    renderer.thread.join(5)
    assert renderer.ends == [None]
    with pytest.raises(RuntimeError) as caught:
        thread.update(snapshot(), {})
    assert error in (caught.value, caught.value.__cause__)
    with pytest.raises(RuntimeError):
        asyncio.run(finish(thread))


def test_an_error_of_the_summary_is_raised_by_finish() -> None:
    thread = render_thread(FakeRenderer(fails_at_end=ValueError("torn")))
    thread.start()
    with pytest.raises(ValueError, match="torn"):
        asyncio.run(finish(thread))


def test_of_two_errors_the_first_is_raised() -> None:
    thread = render_thread(FakeRenderer(KeyError("first"), ValueError("second")))
    thread.start()
    thread.update(snapshot(), {})
    thread._thread.join(5)
    with pytest.raises(KeyError):
        asyncio.run(finish(thread))


def test_the_renderer_is_closed_if_the_thread_cannot_be_started(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(thread: Thread) -> None:
        raise RuntimeError("can't start new thread")

    renderer = FakeRenderer()
    thread = render_thread(renderer)
    monkeypatch.setattr(threading.Thread, "start", fail)
    with pytest.raises(RuntimeError, match="new thread"):
        thread.start()
    assert renderer.ends == [None]


def test_cancelling_finish_does_not_cancel_the_drawing() -> None:
    renderer = FakeRenderer()
    thread = render_thread(renderer)
    queue: SimpleQueue[Any] = SimpleQueue()
    held = thread._queue
    thread._queue = queue  # so that `Finish` does not arrive yet

    def run() -> None:
        thread._queue = held
        thread.run()

    thread._thread = Thread(target=run)

    async def main() -> None:
        thread.start()
        waiting = asyncio.create_task(finish(thread))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    asyncio.run(main())
    held.put(_render_thread.Finish(NO_ERRORS, {}))
    thread._thread.join(5)
    assert len(renderer.ends) == 1


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    yield
    for thread in threading.enumerate():
        if thread.name == "antflow-display":
            thread.join(5)
            assert not thread.is_alive()
