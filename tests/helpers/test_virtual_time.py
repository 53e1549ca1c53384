"""The event loop with virtual time, on which most other tests run."""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from antflow._engine.clock import CLOCK
from tests.helpers import virtual_time
from tests.helpers.virtual_time import (
    Deadlock,
    Gate,
    LeftOver,
    Livelock,
    SimulatedLoop,
    others,
    settle,
    simulate,
)


def order_of_turns(seed: int | None) -> list[int]:
    turns: list[int] = []

    async def turn(number: int) -> None:
        for _ in range(3):
            turns.append(number)
            await asyncio.sleep(0)

    async def main() -> None:
        await asyncio.gather(*map(turn, range(5)))

    simulate(main, seed)
    return turns


def test_without_a_seed_callbacks_run_first_in_first_out() -> None:
    assert order_of_turns(None) == [0, 1, 2, 3, 4] * 3


def test_a_seed_gives_the_same_order_each_time() -> None:
    assert order_of_turns(7) == order_of_turns(7)


def test_seeds_give_different_orders() -> None:
    assert len({tuple(order_of_turns(seed)) for seed in range(50)}) > 40


def test_every_order_of_three_callbacks_is_drawn() -> None:
    def order(seed: int) -> tuple[int, ...]:
        ran: list[int] = []

        async def main() -> None:
            for number in range(3):
                asyncio.get_running_loop().call_soon(ran.append, number)
            await settle()

        simulate(main, seed)
        return tuple(ran)

    assert len({order(seed) for seed in range(100)}) == 6


def test_time_is_virtual() -> None:
    async def main() -> float:
        await asyncio.sleep(1e6)
        return asyncio.get_running_loop().time()

    assert simulate(main, tick=0.0) == 1e6


def test_timers_go_off_in_the_order_of_their_times() -> None:
    rang: list[float] = []

    async def ring(delay: float) -> None:
        await asyncio.sleep(delay)
        rang.append(delay)

    async def main() -> None:
        await asyncio.gather(*map(ring, (3.0, 1.0, 2.0)))

    simulate(main, seed=3)
    assert rang == [1.0, 2.0, 3.0]


def test_a_cancelled_timer_does_not_move_time() -> None:
    async def main() -> float:
        loop = asyncio.get_running_loop()
        loop.call_later(5, print).cancel()
        await asyncio.sleep(7)
        return loop.time()

    assert simulate(main, tick=0.0) == 7.0


def test_time_passes_with_callbacks_and_with_readings_of_the_clock() -> None:
    async def main() -> tuple[float, float]:
        await asyncio.sleep(0)
        read = CLOCK.get()
        return read(), read()

    first, second = simulate(main, tick=0.5)
    assert first > 0.5
    assert second == first + 0.5


def test_the_clock_is_set_for_the_simulation_only() -> None:
    before = CLOCK.get()

    async def main() -> Callable[[], float]:
        return CLOCK.get()

    assert simulate(main) is not before
    assert CLOCK.get() is before


def test_a_deadlock_tells_who_waits_and_where() -> None:
    async def wait_for_ever() -> None:
        await asyncio.get_running_loop().create_future()

    async def main() -> None:
        await asyncio.create_task(wait_for_ever(), name="sleeper")

    with pytest.raises(Deadlock) as caught:
        simulate(main)
    assert "task main: " in str(caught.value)
    assert "task sleeper: " in str(caught.value)
    assert "wait_for_ever (test_virtual_time.py:" in str(caught.value)


def test_endless_callbacks_are_a_livelock() -> None:
    async def main() -> None:
        while True:
            await asyncio.sleep(0)

    with pytest.raises(Livelock, match="1000 callbacks"):
        simulate(main, max_steps=1000)


def test_a_callback_that_spins_is_a_livelock() -> None:
    async def main() -> None:
        while True:
            pass

    with pytest.raises(Livelock, match="main"):
        simulate(main, max_spin_seconds=0.02)


def test_a_task_left_over_is_found() -> None:
    async def main() -> None:
        asyncio.create_task(asyncio.sleep(10), name="forgotten")  # noqa: RUF006
        await settle()

    with pytest.raises(LeftOver, match="task forgotten: sleep"):
        simulate(main)


def test_a_timer_left_over_is_found() -> None:
    async def main() -> None:
        asyncio.get_running_loop().call_later(10, print)

    with pytest.raises(LeftOver, match="timer"):
        simulate(main)


def test_an_exception_that_nobody_retrieved_is_found() -> None:
    async def fail() -> None:
        raise ValueError("unseen")

    async def main() -> None:
        asyncio.create_task(fail())  # noqa: RUF006
        await settle()

    with pytest.raises(LeftOver, match=r"never retrieved.*unseen"):
        simulate(main)


def test_a_callback_that_raises_is_found() -> None:
    def fail() -> None:
        raise ValueError("in a callback")

    async def main() -> None:
        asyncio.get_running_loop().call_soon(fail)
        await settle()

    with pytest.raises(LeftOver, match="in a callback"):
        simulate(main)


def test_a_coroutine_that_nobody_awaited_is_found() -> None:
    async def main() -> None:
        asyncio.sleep(0)  # type: ignore[unused-coroutine]

    with pytest.raises(LeftOver, match="was never awaited"):
        simulate(main)


def test_the_error_of_main_is_raised_and_names_what_main_left() -> None:
    async def main() -> None:
        asyncio.create_task(asyncio.sleep(10), name="forgotten")  # noqa: RUF006
        raise ValueError("of main")

    with pytest.raises(ValueError, match="of main") as caught:
        simulate(main)
    assert "forgotten" in caught.value.__notes__[0]


def test_a_task_that_cannot_be_ended_does_not_hang_the_test() -> None:
    async def stubborn() -> None:
        while True:
            try:
                await asyncio.sleep(0)
            except asyncio.CancelledError:
                continue

    async def main() -> None:
        asyncio.create_task(stubborn())  # noqa: RUF006

    with pytest.raises(LeftOver, match="stubborn"):
        simulate(main)


def test_an_async_generator_that_main_dropped_is_closed() -> None:
    closed: list[bool] = []

    async def numbers() -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            await asyncio.sleep(0)
            closed.append(True)

    async def main() -> None:
        async for _ in numbers():
            break
        await settle()

    simulate(main)
    assert closed == [True]


def test_settle_waits_for_all_that_is_ready_and_for_no_timer() -> None:
    turns: list[int] = []

    async def busy() -> None:
        for turn in range(100):
            turns.append(turn)
            await asyncio.sleep(0)
        await asyncio.sleep(60)

    async def main() -> float:
        task = asyncio.create_task(busy())
        await settle()
        settled_at = asyncio.get_running_loop().time()
        assert turns == list(range(100))
        await task
        return settled_at

    assert simulate(main, seed=1) < 0.01


def test_who_asks_is_told_of_each_quiet_instant() -> None:
    quiet_at: list[float] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, SimulatedLoop)
        loop.when_quiet = lambda: quiet_at.append(loop.time())
        await asyncio.gather(asyncio.sleep(1), asyncio.sleep(2), asyncio.sleep(2))

    simulate(main, tick=0.0)
    assert quiet_at == [0.0, 1.0]


def test_nothing_of_a_simulation_stays_in_memory() -> None:
    loops: list[weakref.ref[asyncio.AbstractEventLoop]] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, SimulatedLoop)
        loops.append(weakref.ref(loop))
        loop.when_quiet = lambda: loops.append(weakref.ref(loop))  # the loop holds itself
        await asyncio.sleep(1)

    simulate(main)
    assert loops[0]() is None


def test_others_leaves_out_the_current_task() -> None:
    async def main() -> None:
        assert others() == set()
        task = asyncio.create_task(asyncio.sleep(0))
        assert others() == {task}
        await task

    simulate(main)


def test_a_gate_holds_values_until_it_lets_them_through() -> None:
    async def main() -> list[Any]:
        gate = Gate()
        calls = [asyncio.create_task(gate(value)) for value in "abc"]
        await settle()
        assert gate.waiting == ["a", "b", "c"]
        gate.let("b")
        gate.fail("c", KeyError("c"))
        await settle()
        assert gate.waiting == ["a"]
        gate.open()
        await gate("d")
        assert gate.entered == ["a", "b", "c", "d"]
        return await asyncio.gather(*calls, return_exceptions=True)

    first, second, third = simulate(main)
    assert (first, second) == ("a", "b")
    assert isinstance(third, KeyError)


def test_a_gate_names_what_does_not_wait() -> None:
    async def main() -> None:
        Gate("door").let(1)

    with pytest.raises(AssertionError, match="1 does not wait at door"):
        simulate(main)


def test_a_coroutine_may_be_given_in_place_of_a_function() -> None:
    assert simulate(asyncio.sleep(5, "done")) == "done"


def test_threads_may_call_back() -> None:
    async def main() -> str:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[str] = loop.create_future()
        go_on = threading.Event()

        def work() -> None:
            go_on.wait()
            loop.call_soon_threadsafe(answer.set_result, "from a thread")

        thread = threading.Thread(target=work)
        thread.start()
        go_on.set()
        result = await answer
        thread.join()
        return result

    assert simulate(main, threads=True) == "from a thread"


def test_time_jumps_when_no_thread_calls_back() -> None:
    async def main() -> float:
        await asyncio.sleep(3)
        return asyncio.get_running_loop().time()

    assert simulate(main, threads=True, tick=0.0) == 3.0


def test_a_thread_that_never_calls_back_is_a_deadlock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(virtual_time, "THREAD_LIMIT_SECONDS", 0.01)

    async def main() -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(Deadlock):
        simulate(main, threads=True)


def test_settle_needs_a_simulation() -> None:
    async def main() -> None:
        with pytest.raises(AssertionError, match="inside simulate"):
            await settle()

    asyncio.run(main())
