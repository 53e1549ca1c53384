"""The thread that draws: what it shows when, and how it ends."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from queue import Empty, SimpleQueue
from threading import Event, Thread
from typing import Any, cast

import pytest

from antflow import DashboardSnapshot, ErrorSummary, PipelineStats
from antflow_rich import _painter
from antflow_rich._capture import Written
from antflow_rich._painter import Painter
from antflow_rich._scene import Scene
from antflow_rich._watch import Watch

NO_ERRORS = ErrorSummary(0, {}, {}, [])
BROKEN = ErrorSummary(2, {"OSError": 2}, {"Fetch": 2}, [])


def snapshot(done: int = 0) -> DashboardSnapshot:
    stats = PipelineStats(done, 0, 0, {}, items_fed=10, items_outstanding=10 - done)
    return DashboardSnapshot({}, {}, stats, NO_ERRORS, 1000.0)


class Surface:
    """Notes what is asked of it.

    Args:
        fails: raised where a scene is drawn, or at the end.
    """

    def __init__(
        self, fails: BaseException | None = None, fails_at_end: Exception | None = None
    ) -> None:
        self.fails = fails
        self.fails_at_end = fails_at_end
        self.heard: list[str] = []
        self.drawn: list[int | None] = []
        self.ends: list[Scene | None] = []
        self.has_drawn = Event()

    def open(self, inbox: SimpleQueue[Any], painter: Thread) -> None:
        self.inbox, self.painter = inbox, painter

    def hear(self, written: Written) -> None:
        self.heard.append(written.text)

    def draw(self, scene: Scene | None, now: float) -> None:
        self.drawn.append(None if scene is None else scene.counts.done)
        if self.fails is not None:
            raise self.fails
        self.has_drawn.set()

    def close(self, scene: Scene | None) -> None:
        self.ends.append(scene)
        if self.fails_at_end is not None:
            raise self.fails_at_end


class Stopped(Surface):
    """One that draws nothing more until it may go on."""

    def __init__(self) -> None:
        super().__init__()
        self.goes_on = Event()

    def draw(self, scene: Scene | None, now: float) -> None:
        super().draw(scene, now)
        assert self.goes_on.wait(5)


class Clock:
    """Seconds that pass as the painter waits."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def made(surface: Surface, total: int | None = 10) -> Painter:
    return Painter(Watch("pages", total), surface)


async def finished(painter: Painter, summary: ErrorSummary = NO_ERRORS) -> None:
    await painter.finish(summary, {})


def test_states_are_drawn_and_the_end_is_told() -> None:
    surface = Surface()
    painter = made(surface)

    async def main() -> None:
        painter.start()
        painter.show(snapshot(3), {})
        assert await asyncio.to_thread(surface.has_drawn.wait, 5)
        painter.show(snapshot(10), {"other": 2})
        await finished(painter, BROKEN)

    asyncio.run(main())
    assert surface.drawn == [3]
    [end] = surface.ends
    assert end is not None
    assert (end.counts.succeeded, end.counts.failed) == (10, 2)
    assert not end.was_interrupted


def test_a_run_that_ends_early_was_interrupted() -> None:
    for total, done, expected in ((10, 4, True), (10, 10, False), (None, 4, True)):
        surface = Surface()
        painter = made(surface, total)

        async def main(painter: Painter = painter, done: int = done) -> None:
            painter.start()
            painter.show(snapshot(done), {})
            await finished(painter)

        asyncio.run(main())
        assert [end is not None and end.was_interrupted for end in surface.ends] == [expected]


class Inbox:
    """Gives messages at their times, moving the clock on; it is also what the end is awaited by.

    Args:
        clock: the painter's.
        painter: gets the updates among them, as `show` gives them.
        messages: with the seconds at which they come; the last one is the end.
    """

    def __init__(self, clock: Clock, painter: Painter, *messages: tuple[float, object]) -> None:
        self.clock = clock
        self.updates = painter._updates
        self.messages = list(messages)

    def get(self) -> object:
        at, message = self.messages.pop(0)
        self.clock.now = max(at, self.clock.now)
        if not isinstance(message, _painter.Update):
            return message
        self.updates.append(message)
        return _painter.Wake()

    def get_nowait(self) -> object:
        if self.messages and self.messages[0][0] <= self.clock.now:
            return self.get()
        raise Empty

    def wait(self, timeout: float) -> None:
        self.clock.now = min(self.clock.now + timeout, self.messages[-1][0])


def painted(*messages: tuple[float, object]) -> tuple[Surface, float]:
    """Have a painter get messages, and return what it drew on, and the time when it ended."""
    clock, surface = Clock(), Surface()
    painter = Painter(Watch("pages", 10), surface, clock)
    painter._inbox = painter._is_ending = cast("Any", Inbox(clock, painter, *messages))
    painter.run()
    return surface, clock.now


def test_there_are_four_frames_a_second_at_most_and_the_latest_state_is_shown() -> None:
    updates = [
        (number / 20, _painter.Update(snapshot(number), {}, number / 20)) for number in range(21)
    ]
    surface, end = painted(*updates, (1.1, _painter.Finish(NO_ERRORS, {})))
    assert surface.drawn == [0, 5, 10, 15, 20]
    assert end == 1.1


def test_the_end_does_not_wait_for_the_next_frame() -> None:
    surface, end = painted(
        (0.0, _painter.Update(snapshot(1), {}, 0.0)),
        (0.05, _painter.Update(snapshot(2), {}, 0.05)),
        (0.1, _painter.Finish(NO_ERRORS, {})),
    )
    assert surface.drawn == [1]
    assert end == 0.1
    assert [scene is not None and scene.counts.done for scene in surface.ends] == [2]


def test_what_the_program_writes_is_drawn_with_the_last_state() -> None:
    surface, _ = painted(
        (0.0, Written(0, "first")),
        (0.1, _painter.Update(snapshot(1), {}, 0.1)),
        (0.7, Written(0, "second")),
        (0.7, Written(0, "third")),
        (0.8, Written(0, "last")),
        (0.9, _painter.Finish(None, {})),
    )
    assert surface.drawn == [None, 1, 1]
    assert surface.heard == ["first", "second", "third", "last"]
    assert surface.ends == [None]


def test_who_leaves_gets_no_summary() -> None:
    surface = Surface()
    painter = made(surface)
    painter.start()
    painter.show(snapshot(), {})
    painter.leave()
    assert surface.ends == [None]
    assert not surface.painter.is_alive()


def test_while_the_terminal_is_stopped_only_the_latest_state_is_kept() -> None:
    surface = Stopped()
    painter = made(surface)
    painter.start()
    painter.show(snapshot(0), {})
    assert surface.has_drawn.wait(5)
    for done in range(1, 9):
        painter.show(snapshot(done), {})
    assert len(painter._updates) == painter._inbox.qsize() == 1
    surface.goes_on.set()
    asyncio.run(finished(painter))
    assert surface.drawn == [0]
    [end] = surface.ends
    assert end is not None
    assert end.counts.succeeded == 8


def test_the_end_of_the_program_waits_for_a_stopped_terminal_a_while_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_painter, "PATIENCE", 0.01)
    surface = Stopped()
    painter = made(surface)
    painter.start()
    painter.show(snapshot(), {})
    assert surface.has_drawn.wait(5)

    async def main() -> None:
        waiting = asyncio.create_task(finished(painter))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    asyncio.run(main())
    painter.leave()
    assert surface.painter.is_alive()
    surface.goes_on.set()


def test_nothing_is_left_of_the_thread_when_the_end_was_told() -> None:
    surface = Surface()
    painter = made(surface)
    told: list[str] = []

    def run() -> None:
        painter.run()
        told.append("over")

    painter._thread = Thread(target=run)

    async def main() -> list[str]:
        painter.start()
        await finished(painter)
        return list(told)

    assert asyncio.run(main()) == ["over"]


async def test_the_rate_of_a_run_that_ends_before_a_frame_counts_from_its_first_state() -> None:
    now = 0.0
    surface = Surface()
    painter = Painter(Watch("numbers", 10), surface, lambda: now)
    painter._surface.open(painter._inbox, painter._thread)
    painter.show(snapshot(0), {})
    now = 2.0
    painter.show(snapshot(8), {})
    now = 4.0
    painter.show(snapshot(10), {})
    painter._thread.start()
    await finished(painter)
    (scene,) = surface.ends
    assert scene is not None
    assert scene.counts.done == 10
    assert scene.elapsed == 4.0


def test_a_run_that_outlives_main_is_drawn_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """As it does after a `break` from a stream: its end comes as `asyncio.run` tidies up."""
    surface = Stopped()
    shut_down = asyncio.BaseEventLoop.shutdown_default_executor

    async def shut_down_later(loop: Any, *limit: float) -> None:
        if loop._default_executor is not None:  # else nothing waits for what goes on
            surface.goes_on.set()
        await shut_down(loop, *limit)

    monkeypatch.setattr(asyncio.BaseEventLoop, "shutdown_default_executor", shut_down_later)
    painter = made(surface)

    async def outlive() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            loop = asyncio.get_running_loop()
            left_behind.append(loop.create_task(finished(painter)))

    async def main() -> None:
        left_behind.append(asyncio.create_task(outlive()))
        await asyncio.sleep(0)

    left_behind: list[asyncio.Task[None]] = []
    painter.start()
    painter.show(snapshot(3), {})
    assert surface.has_drawn.wait(5)
    asyncio.run(main())
    was_waited_for = surface.goes_on.is_set()
    surface.goes_on.set()
    assert was_waited_for
    assert [scene is not None for scene in surface.ends] == [True]
    assert left_behind[1].done()


def test_the_end_is_told_where_the_loop_has_no_threads_any_more() -> None:
    surface = Surface()
    painter = made(surface)

    async def main() -> None:
        painter.start()
        await asyncio.get_running_loop().shutdown_default_executor()
        await finished(painter)

    asyncio.run(main())
    assert len(surface.ends) == 1


@pytest.mark.parametrize("error", [RuntimeError("torn"), SystemExit("torn")])
def test_an_error_ends_the_drawing_and_is_raised_to_the_next_who_asks(
    error: BaseException,
) -> None:
    surface = Surface(fails=error)
    painter = made(surface)
    painter.start()
    painter.show(snapshot(), {})
    surface.painter.join(5)
    assert surface.ends == [None]
    with pytest.raises(RuntimeError) as caught:
        painter.show(snapshot(), {})
    assert error in (caught.value, caught.value.__cause__)
    with pytest.raises(RuntimeError):
        asyncio.run(finished(painter))


def test_an_error_at_the_end_is_raised_there() -> None:
    painter = made(Surface(fails_at_end=ValueError("torn")))
    painter.start()
    with pytest.raises(ValueError, match="torn"):
        asyncio.run(finished(painter))


def test_of_two_errors_the_first_is_raised() -> None:
    painter = made(Surface(KeyError("first"), ValueError("second")))
    painter.start()
    painter.show(snapshot(), {})
    painter._thread.join(5)
    with pytest.raises(KeyError):
        asyncio.run(finished(painter))


def test_a_thread_that_cannot_be_started_leaves_no_trace(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(thread: Thread) -> None:
        raise RuntimeError("can't start new thread")

    surface = Surface()
    painter = made(surface)
    monkeypatch.setattr(threading.Thread, "start", fail)
    with pytest.raises(RuntimeError, match="new thread"):
        painter.start()
    assert surface.ends == [None]


def test_who_is_cancelled_as_it_waits_for_the_end_does_not_end_it() -> None:
    surface = Surface()
    painter = made(surface)
    inbox: SimpleQueue[Any] = SimpleQueue()
    held = painter._inbox
    painter._inbox = inbox  # so that the end is not heard of yet

    def run() -> None:
        painter._inbox = held
        painter.run()

    painter._thread = Thread(target=run)

    async def main() -> None:
        painter.start()
        waiting = asyncio.create_task(finished(painter))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    asyncio.run(main())
    held.put(_painter.Finish(NO_ERRORS, {}))
    painter._thread.join(5)
    assert len(surface.ends) == 1


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    yield
    for thread in threading.enumerate():
        if thread.name == "antflow-display":
            thread.join(5)
            assert not thread.is_alive()
