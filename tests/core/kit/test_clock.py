"""`Clock`: virtual time in tests."""

from __future__ import annotations

import asyncio
import gc
import math
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest

from antflow import Pipeline, Stage, StatusTracker, TaskEvent
from antflow.testing import Clock, StuckError
from tests.helpers.kit import shorten_real_waits


def time_of(main: Any) -> float:
    """Return the time after a coroutine on a new clock."""
    clock = Clock()
    clock.run(main)
    return clock.time()


def test_a_long_wait_takes_no_time_and_is_exact() -> None:
    clock = Clock()
    began = time.perf_counter()
    for number in range(1, 4):
        clock.run(asyncio.sleep(100_000.1))
        assert clock.time() == pytest.approx(number * 100_000.1, rel=1e-12)
    assert time.perf_counter() - began < 5


def test_the_engine_follows_the_clock_and_has_its_own_again_afterwards() -> None:
    clock, events = Clock(), list[TaskEvent]()

    async def fail(value: int) -> None:
        await asyncio.sleep(value)
        clock.advance(0.25)
        raise ValueError

    tracker = StatusTracker(on_task_retry=events.append, on_task_fail=events.append)
    stage = Stage("Fail", 1, [fail], task_attempts=2, task_wait_seconds=3600)
    pipeline = Pipeline([stage], status_tracker=tracker, autoload=False)
    clock.run(pipeline.run([2]))
    assert [event.duration for event in events] == [2.25, 2.25]
    assert clock.time() == 3604.5
    assert pipeline.get_stats().stage_stats["Fail"].seconds["waiting"] == 3600
    one_try = Stage("Fail", 1, [fail], task_attempts=1)
    asyncio.run(Pipeline([one_try], status_tracker=tracker, autoload=False).run([0]))
    assert events[-1].duration not in {0, 0.25}


def test_a_time_out_follows_the_clock() -> None:
    clock = Clock()

    async def main() -> None:
        async with asyncio.timeout(60):
            await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        clock.run(main())
    assert clock.time() == 60


def test_a_stuck_coroutine_may_clean_up_and_is_dropped_if_it_waits_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    cleaned: list[bool] = []

    async def clean_up() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(5)
            cleaned.append(True)

    async def go_on() -> None:
        while True:
            with suppress(asyncio.CancelledError):
                await asyncio.Event().wait()

    with pytest.raises(StuckError, match=r"clean_up \(test_clock\.py:\d+\)"):
        Clock().run(clean_up())
    assert cleaned == [True]
    with pytest.raises(StuckError, match="go_on"):
        Clock().run(go_on())
    gc.collect()
    assert "Task was destroyed but it is pending" in caplog.text  # as asyncio does


def test_the_clock_stands_still_while_a_plain_function_works() -> None:
    entered, leave = threading.Event(), threading.Event()

    def work(_: Any) -> bool:
        entered.set()
        return leave.wait(20)

    async def main() -> None:
        release = asyncio.get_running_loop().run_in_executor(None, entered.wait)
        timer = asyncio.create_task(asyncio.sleep(50))
        pipeline = Pipeline([Stage("Work", 1, [work])], autoload=False)
        run = asyncio.create_task(pipeline.run(["x"]))
        await release
        leave.set()
        (result,) = await run
        assert (result.value, timer.done()) == (True, False)
        timer.cancel()

    assert time_of(main()) == 0


def test_an_idle_or_an_earlier_thread_does_not_stop_the_clock() -> None:
    leave = threading.Event()

    async def main() -> None:
        await asyncio.to_thread(math.sqrt, 4)
        await asyncio.sleep(7)

    with ThreadPoolExecutor(1) as pool:
        pool.submit(leave.wait)
        try:
            assert time_of(main()) == 7
        finally:
            leave.set()


def test_the_clock_waits_for_a_connection() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readline())
        writer.close()
        await writer.wait_closed()

    async def main() -> None:
        async with await asyncio.start_server(answer, "127.0.0.1") as server:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            async with asyncio.timeout(60):
                writer.write(b"hello\n")
                assert await reader.readline() == b"hello\n"
            writer.close()
            await writer.wait_closed()

    assert time_of(main()) < 60


def receive(sends: Callable[[socket.socket], object], limit: float) -> tuple[bytes, float]:
    """Return what arrives in a connection, b"" if nothing does in time, and when."""
    clock = Clock()

    async def main() -> bytes:
        near, far = socket.socketpair()
        near.setblocking(False)
        with near, far, suppress(TimeoutError):
            sends(far)
            async with asyncio.timeout(limit):
                return await asyncio.get_running_loop().sock_recv(near, 1)
        return b""

    return clock.run(main()), clock.time()


def later(function: Callable[[], object]) -> None:
    """Call a function in a thread, when the event loop waits already."""
    threading.Timer(0.02, function).start()


def test_time_goes_on_while_a_connection_is_open() -> None:
    received, now = receive(lambda _: None, limit=0.01)
    assert received == b""
    assert now >= 0.01
    received, now = receive(lambda far: later(lambda: far.send(b"x")), limit=60)
    assert received == b"x"
    assert 0 < now < 60


def test_the_clock_waits_for_a_thread_that_calls_back() -> None:
    async def main() -> None:
        event, loop = asyncio.Event(), asyncio.get_running_loop()
        later(lambda: loop.call_soon_threadsafe(event.set))
        await event.wait()

    assert time_of(main()) == 0


def test_the_clock_sees_the_call_of_a_thread_that_ends_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The thread goes on when the clock asks which threads there are, and is none of them then."""
    go, enumerate_threads = threading.Event(), threading.enumerate

    async def main() -> None:
        loop, event = asyncio.get_running_loop(), asyncio.Event()

        def call_back() -> None:
            go.wait()
            loop.call_soon_threadsafe(event.set)

        thread = threading.Thread(target=call_back)
        thread.start()

        def enumerate_later() -> list[threading.Thread]:
            go.set()
            thread.join()
            return enumerate_threads()

        monkeypatch.setattr(threading, "enumerate", enumerate_later)
        await event.wait()

    Clock().run(main())


def test_a_thread_that_waits_for_the_clock_does_not_block_it_forever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shorten_real_waits(monkeypatch, 0.02)
    leave = threading.Event()

    async def let_go() -> None:
        await asyncio.sleep(10)
        leave.set()

    async def main() -> None:
        await asyncio.gather(asyncio.to_thread(leave.wait), let_go())

    assert time_of(main()) == 10


def test_a_thread_that_never_ends_raises_stuck_error(monkeypatch: pytest.MonkeyPatch) -> None:
    shorten_real_waits(monkeypatch, 0.02, longest=100)
    leave = threading.Event()

    async def wait() -> None:
        try:
            await asyncio.to_thread(leave.wait)
        finally:
            leave.set()

    with pytest.raises(StuckError, match="wait"):
        Clock().run(wait())


async def test_it_is_rejected_inside_an_event_loop() -> None:
    with pytest.raises(RuntimeError, match="make the test a plain function"):
        Clock().run(asyncio.sleep(1))


def test_closing_the_loop_takes_no_time() -> None:
    async def clean_up_slowly() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(30)

    async def main() -> None:
        task = asyncio.create_task(clean_up_slowly())
        await asyncio.sleep(1)
        assert not task.done()

    assert time_of(main()) == 1


@pytest.mark.parametrize("seconds", [-1, math.nan])
def test_time_does_not_go_backwards(seconds: float) -> None:
    with pytest.raises(ValueError, match="give 0 or more"):
        Clock().advance(seconds)
