"""What the simulated loop adds to the clock of `antflow.testing`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from antflow import Pipeline
from antflow.testing import StuckError
from tests.helpers.runs import stage
from tests.helpers.virtual_time import Gate, LeftOver, Livelock, SimulatedLoop, settle, simulate


def order_of_three(seed: int | None) -> tuple[int, ...]:
    """Return the order in which three callbacks run that are scheduled at once."""
    ran: list[int] = []

    async def main() -> None:
        for number in range(3):
            asyncio.get_running_loop().call_soon(ran.append, number)
        await settle()

    simulate(main, seed)
    return tuple(ran)


def test_a_seed_draws_the_order_of_callbacks_and_every_order_is_drawn() -> None:
    assert order_of_three(None) == (0, 1, 2)
    assert order_of_three(7) == order_of_three(7)
    assert len({order_of_three(seed) for seed in range(100)}) == 6


def test_only_ticks_and_timers_move_the_time() -> None:
    async def main() -> float:
        loop = asyncio.get_running_loop()
        loop.call_later(5, print).cancel()
        await asyncio.sleep(1e6)
        return loop.time()

    assert simulate(main, tick=0.0) == 1e6
    assert 1e6 < simulate(main, tick=0.5) < 1e6 + 5
    assert simulate(asyncio.sleep(5, "done"), seed=1) == "done"


def test_each_reading_by_the_engine_takes_a_tick() -> None:
    async def work(value: Any) -> None: ...

    def seconds(tick: float) -> float:
        pipeline = Pipeline([stage(work)])
        simulate(pipeline.run([1]), tick=tick)
        return pipeline.get_stats().stage_stats["Work"].seconds["busy"]

    assert seconds(0.0) == 0.0
    assert seconds(0.5) >= 0.5


def test_a_deadlock_shows_what_each_task_waits_for() -> None:
    async def wait_forever() -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(StuckError, match=r"wait_forever \(test_virtual_time.py:"):
        simulate(wait_forever)


@pytest.mark.parametrize("is_stubborn", [False, True])
def test_endless_callbacks_are_a_livelock(is_stubborn: bool) -> None:
    async def go_on() -> None:
        while True:
            try:
                await asyncio.sleep(0)
            except asyncio.CancelledError:
                if not is_stubborn:
                    raise

    async def main() -> None:
        await asyncio.create_task(go_on(), name="endless")

    with pytest.raises(Livelock, match=r"(?s)callbacks.*endless"):
        simulate(main, max_steps=1000)


def test_a_callback_that_spins_is_a_livelock() -> None:
    async def main() -> None:
        while True:
            pass

    with pytest.raises(Livelock, match="main"):
        simulate(main, max_spin_seconds=0.02)


async def leave_a_task() -> None:
    asyncio.create_task(asyncio.sleep(10), name="forgotten")  # noqa: RUF006


async def leave_a_timer() -> None:
    asyncio.get_running_loop().call_later(10, print)


async def leave_an_exception() -> None:
    async def fail() -> None:
        raise ValueError("unseen")

    asyncio.create_task(fail())  # noqa: RUF006
    await settle()


async def raise_in_a_callback() -> None:
    asyncio.get_running_loop().call_soon(int, "no number")
    await settle()


async def leave_a_coroutine() -> None:
    asyncio.sleep(0)  # type: ignore[unused-coroutine]


@pytest.mark.parametrize(
    ("main", "report"),
    [
        (leave_a_task, "name='forgotten'"),
        (leave_a_timer, r"TimerHandle.*print"),
        (leave_an_exception, "never retrieved.*unseen"),
        (raise_in_a_callback, "no number"),
        (leave_a_coroutine, "was never awaited"),
    ],
)
def test_what_main_leaves_is_found(main: Callable[[], Any], report: str) -> None:
    with pytest.raises(LeftOver, match=report):
        simulate(main)


def test_the_error_of_main_is_raised_and_names_what_main_left() -> None:
    async def main() -> None:
        await leave_a_task()
        raise ValueError("of main")

    with pytest.raises(ValueError, match="of main") as caught:
        simulate(main)
    assert "forgotten" in caught.value.__notes__[0]


def test_settle_waits_for_all_that_is_ready_and_for_no_timer() -> None:
    quiet_at: list[float] = []
    steps: list[int] = []

    async def busy() -> None:
        for step in range(100):
            steps.append(step)
            await asyncio.sleep(0)
        await asyncio.sleep(60)

    async def main() -> float:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, SimulatedLoop)
        loop.when_quiet = lambda: quiet_at.append(loop.time())
        task = asyncio.create_task(busy())
        await settle()
        assert steps == list(range(100))
        settled_at = loop.time()
        await task
        return settled_at

    assert simulate(main, seed=1, tick=0.0) == 0.0
    assert quiet_at == [0.0, 0.0]
    with pytest.raises(AssertionError, match="inside simulate"):
        asyncio.run(settle())


def test_a_gate_holds_values_until_it_lets_them_through() -> None:
    async def main() -> list[Any]:
        gate = Gate("door")
        calls: list[Awaitable[Any]] = [asyncio.create_task(gate(value)) for value in "abc"]
        await settle()
        assert gate.waiting == ["a", "b", "c"]
        gate.let("b")
        gate.fail("c", KeyError("c"))
        await settle()
        assert gate.waiting == ["a"]
        with pytest.raises(AssertionError, match="'b' does not wait at door"):
            gate.let("b")
        gate.open()
        await gate("d")
        assert gate.entered == ["a", "b", "c", "d"]
        return await asyncio.gather(*calls, return_exceptions=True)

    first, second, third = simulate(main)
    assert (first, second) == ("a", "b")
    assert isinstance(third, KeyError)
