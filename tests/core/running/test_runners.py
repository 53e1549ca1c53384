"""Where a task runs, and how it is called."""

from __future__ import annotations

import asyncio
import functools
import gc
import logging
import threading
import weakref
from collections.abc import Callable, Coroutine, Iterator
from contextvars import ContextVar
from typing import Any, NoReturn

import pytest

from antflow._runners.calls import prepare
from antflow._runners.threads import Threads
from tests.helpers.virtual_time import settle, simulate
from tests.naming import id_of

COLOUR: ContextVar[str] = ContextVar("colour", default="none")
PATIENCE_SECONDS = 10
"""How long a test that is broken waits for a thread; one that is not never waits."""


@pytest.fixture
def threads() -> Iterator[Threads]:
    made = Threads("Parse")
    yield made
    made.close()
    for thread in threading.enumerate():
        if thread.name.startswith("Parse-T"):
            thread.join(PATIENCE_SECONDS)


def here(_: Any = None) -> threading.Thread:
    return threading.current_thread()


async def here_later(_: Any = None) -> threading.Thread:
    return threading.current_thread()


class PlainCallable:
    def __call__(self, _: Any) -> threading.Thread:
        return threading.current_thread()


class CoroutineCallable:
    async def __call__(self, _: Any) -> threading.Thread:
        return threading.current_thread()


@functools.wraps(here_later)
def wrapper(value: Any) -> Coroutine[Any, Any, threading.Thread]:
    return here_later(value)


def with_threads(main: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    return simulate(main, threads=True)


def end_of(thread: threading.Thread) -> bool:
    thread.join(PATIENCE_SECONDS)
    return not thread.is_alive()


# On the loop, or in a thread


@pytest.mark.parametrize(
    ("task", "on_loop"),
    [
        (here_later, True),
        (functools.partial(here_later), True),
        (functools.partial(functools.partial(here_later)), True),
        (wrapper, True),
        (CoroutineCallable(), True),
        (CoroutineCallable().__call__, True),
        (here, False),
        (functools.partial(here), False),
        (PlainCallable(), False),
        (lambda value: [here(value)][0], False),
    ],
)
@pytest.mark.parametrize("unpack_args", [False, True])
def test_coroutine_functions_run_on_the_loop_and_plain_ones_in_a_thread(
    threads: Threads, task: Callable[..., Any], on_loop: bool, unpack_args: bool
) -> None:
    call = prepare(task, unpack_args=unpack_args, threads=threads)

    async def main() -> None:
        thread: threading.Thread = await call(1)
        assert (thread is threading.current_thread()) is on_loop
        started = [one for one in threading.enumerate() if one.name.startswith("Parse-T")]
        assert bool(started) is not on_loop

    with_threads(main)


def test_an_awaitable_that_a_plain_function_returns_is_awaited_on_the_loop(
    threads: Threads,
) -> None:
    made_in: list[threading.Thread] = []

    def task(value: Any) -> Coroutine[Any, Any, threading.Thread]:
        made_in.append(here())
        return here_later(value)

    async def main() -> None:
        thread = await prepare(task, unpack_args=False, threads=threads)(1)
        assert thread is threading.current_thread()
        assert made_in[0] is not thread

    with_threads(main)


def test_a_future_that_a_plain_function_returns_is_awaited(threads: Threads) -> None:
    async def main() -> None:
        future = asyncio.get_running_loop().create_future()
        future.set_result("done")
        assert await prepare(lambda _: future, unpack_args=False, threads=threads)(1) == "done"

    with_threads(main)


# unpack_args


def spread(*args: Any, **kwargs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    return args, kwargs


async def spread_later(*args: Any, **kwargs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    return args, kwargs


class Text(str):
    __slots__ = ()


@pytest.mark.parametrize("task", [spread, spread_later])
@pytest.mark.parametrize(
    ("value", "args", "kwargs"),
    [
        ({"a": 1, "b": 2}, (), {"a": 1, "b": 2}),
        ({}, (), {}),
        ([1, 2], (1, 2), {}),
        ((1, 2), (1, 2), {}),
        ([], (), {}),
        ([[1, 2]], ([1, 2],), {}),
        ("ab", ("ab",), {}),
        (b"ab", (b"ab",), {}),
        (7, (7,), {}),
        (None, (None,), {}),
        ({1, 2}, ({1, 2},), {}),
        (range(2), (range(2),), {}),
        (Text("ab"), (Text("ab"),), {}),
    ],
    ids=id_of,
)
def test_unpacking_spreads_a_dict_a_list_or_a_tuple(
    threads: Threads,
    task: Callable[..., Any],
    value: Any,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> None:
    async def main() -> None:
        assert await prepare(task, unpack_args=True, threads=threads)(value) == (args, kwargs)

    with_threads(main)


@pytest.mark.parametrize("task", [spread, spread_later])
@pytest.mark.parametrize("value", [{"a": 1}, [1, 2], (1, 2), 7])
def test_without_unpacking_everything_is_one_argument(
    threads: Threads, task: Callable[..., Any], value: Any
) -> None:
    async def main() -> None:
        assert await prepare(task, unpack_args=False, threads=threads)(value) == ((value,), {})

    with_threads(main)


@pytest.mark.parametrize("task", [lambda a: a, lambda a, *, b: a])
def test_arguments_that_do_not_fit_are_the_tasks_error(
    threads: Threads, task: Callable[..., Any]
) -> None:
    async def main() -> None:
        with pytest.raises(TypeError):
            await prepare(task, unpack_args=True, threads=threads)([1, 2])

    with_threads(main)


# Context variables


def test_a_thread_sees_the_context_variables_of_its_caller(threads: Threads) -> None:
    async def run(colour: str) -> Any:
        COLOUR.set(colour)
        return await threads.run(lambda _: COLOUR.get(), None, "see")

    async def main() -> None:
        colours = ["red", "green", "blue"]
        assert await asyncio.gather(*map(run, colours)) == colours

    with_threads(main)


def test_a_thread_used_again_sees_the_context_of_the_present_call(threads: Threads) -> None:
    async def main() -> None:
        COLOUR.set("red")
        await threads.run(lambda _: COLOUR.get(), None, "see")
        COLOUR.set("green")
        assert await threads.run(lambda _: COLOUR.get(), None, "see") == "green"

    with_threads(main)


def test_what_a_thread_sets_stays_in_the_thread(threads: Threads) -> None:
    async def main() -> None:
        COLOUR.set("red")
        await threads.run(lambda _: COLOUR.set("green"), None, "paint")
        assert COLOUR.get() == "red"
        assert await threads.run(lambda _: COLOUR.get(), None, "see") == "red"

    with_threads(main)


# Exceptions


def raiser(error: BaseException) -> Callable[[Any], NoReturn]:
    def fail(_: Any) -> NoReturn:
        raise error

    return fail


@pytest.mark.parametrize(
    "error",
    [
        ValueError("bad"),
        StopAsyncIteration("end"),
        asyncio.CancelledError("from the thread"),
        SystemExit(3),
        KeyboardInterrupt(),
        GeneratorExit(),
        BaseException("other"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_a_function_raises_is_raised_to_its_caller(
    threads: Threads, error: BaseException
) -> None:
    async def main() -> None:
        with pytest.raises(type(error)) as caught:
            await threads.run(raiser(error), None, "fail")
        assert caught.value is error

    with_threads(main)


def test_stop_iteration_arrives_as_it_would_from_a_coroutine(threads: Threads) -> None:
    async def main() -> None:
        with pytest.raises(RuntimeError) as caught:
            await threads.run(lambda _: next(iter(())), None, "next")
        assert isinstance(caught.value.__cause__, StopIteration)

    with_threads(main)


@pytest.mark.parametrize("error", [ValueError(), StopIteration(), SystemExit()])
def test_a_thread_outlives_what_its_function_raises(threads: Threads, error: BaseException) -> None:
    async def main() -> None:
        first: list[threading.Thread] = []

        def fail(_: Any) -> NoReturn:
            first.append(here())
            raise error

        with pytest.raises(BaseException):  # noqa: B017, PT011
            await threads.run(fail, None, "fail")
        assert await threads.run(here, None, "here") is first[0]

    with_threads(main)


# Threads: how many, and for how long


def test_threads_are_named_after_their_stage_and_do_not_hold_up_the_end_of_the_program(
    threads: Threads,
) -> None:
    async def main() -> None:
        first, second = await asyncio.gather(*(threads.run(here, None, "here") for _ in range(2)))
        assert {first.name, second.name} == {"Parse-T0", "Parse-T1"}
        assert first.daemon

    with_threads(main)


def test_one_call_after_another_needs_one_thread(threads: Threads) -> None:
    async def main() -> None:
        used = {await threads.run(here, None, "here") for _ in range(10)}
        assert len(used) == 1

    with_threads(main)


def test_calls_at_once_have_a_thread_each_however_many(threads: Threads) -> None:
    number = 40  # more than the default executor of most machines has
    together = threading.Barrier(number)

    def meet(_: Any) -> threading.Thread:
        together.wait(PATIENCE_SECONDS)
        return here()

    async def main() -> None:
        used = await asyncio.gather(*(threads.run(meet, None, "meet") for _ in range(number)))
        assert len(set(used)) == number
        again = await asyncio.gather(*(threads.run(meet, None, "meet") for _ in range(number)))
        assert set(again) == set(used)

    with_threads(main)


def test_closing_ends_the_threads(threads: Threads) -> None:
    async def main() -> None:
        used = await asyncio.gather(*(threads.run(here, None, "here") for _ in range(3)))
        threads.close()
        assert all(map(end_of, used))

    with_threads(main)


def test_after_closing_a_call_gets_a_new_thread(threads: Threads) -> None:
    async def main() -> None:
        first = await threads.run(here, None, "here")
        threads.close()
        assert await threads.run(here, None, "here") is not first

    with_threads(main)


def test_an_idle_thread_keeps_nothing_of_what_it_did(threads: Threads) -> None:
    class Value:
        pass

    async def main() -> None:
        value, gone = Value(), threading.Event()
        weakref.finalize(value, gone.set)
        await threads.run(id, value, "id")
        del value
        assert gone.wait(PATIENCE_SECONDS)

    with_threads(main)


def test_a_failed_call_keeps_no_cycle_of_what_it_was_given(threads: Threads) -> None:
    class Value:
        pass

    def fail(_: Any) -> NoReturn:
        raise ValueError

    async def main() -> None:
        value = Value()
        kept = weakref.ref(value)
        try:
            await threads.run(fail, value, "fail")
        except ValueError:
            del value
        await threads.run(here, None, "here")
        assert kept() is None

    gc.disable()
    try:
        with_threads(main)
    finally:
        gc.enable()


# Threads that are abandoned


class Slow:
    """A plain function that runs until the test lets it go on."""

    def __init__(self) -> None:
        self.has_begun = threading.Event()
        self.may_end = threading.Event()
        self.thread: threading.Thread | None = None

    def __call__(self, value: Any) -> Any:
        self.thread = here()
        self.has_begun.set()
        assert self.may_end.wait(PATIENCE_SECONDS)
        return value

    async def abandon(self, threads: Threads) -> None:
        """Call it, and cancel the call while it runs."""
        calling = asyncio.ensure_future(threads.run(self, None, "slow"))
        await asyncio.sleep(0)
        assert self.has_begun.wait(PATIENCE_SECONDS)
        calling.cancel()
        await asyncio.wait([calling])
        assert calling.cancelled()

    async def end(self) -> None:
        self.may_end.set()
        assert self.thread is not None
        assert end_of(self.thread)
        await settle()


@pytest.fixture
def slow() -> Iterator[Slow]:
    made = Slow()
    yield made
    made.may_end.set()


def test_a_cancelled_call_ends_at_once_and_its_thread_is_counted(
    threads: Threads, slow: Slow
) -> None:
    async def main() -> None:
        await slow.abandon(threads)
        assert threads.abandoned == 1
        assert slow.thread is not None
        assert slow.thread.is_alive()
        await slow.end()

    with_threads(main)


def test_an_abandoned_thread_ends_with_its_function_and_is_counted_no_more(
    threads: Threads, slow: Slow
) -> None:
    async def main() -> None:
        await slow.abandon(threads)
        await slow.end()
        assert threads.abandoned == 0

    with_threads(main)


def test_an_abandoned_thread_is_replaced(threads: Threads, slow: Slow) -> None:
    async def main() -> None:
        await slow.abandon(threads)
        assert await threads.run(here, None, "here") is not slow.thread
        await slow.end()

    with_threads(main)


def test_abandoning_is_said_with_stage_function_and_what_to_do(
    threads: Threads, slow: Slow, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        await slow.abandon(threads)
        await slow.end()

    with caplog.at_level(logging.WARNING, "antflow"):
        with_threads(main)
    assert len(caplog.messages) == 1
    for part in ("'Parse'", "slow", "abandoned", "coroutine function"):
        assert part in caplog.messages[0]


def test_a_call_cancelled_as_its_answer_arrives_abandons_nobody(
    threads: Threads, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        used: list[threading.Thread] = []
        loop = asyncio.get_running_loop()
        post = loop.call_soon_threadsafe

        def post_with_a_cancellation(callback: Callable[..., Any], *args: Any) -> None:
            post(lambda: (callback(*args), calling.cancel()))

        with monkeypatch.context() as patch:
            patch.setattr(loop, "call_soon_threadsafe", post_with_a_cancellation)
            calling = asyncio.ensure_future(
                threads.run(lambda _: used.append(here()), None, "quick")
            )
            await asyncio.wait([calling])
        assert calling.cancelled()
        assert threads.abandoned == 0
        assert await threads.run(here, None, "here") is used[0]

    with_threads(main)


def test_a_thread_that_outlives_its_loop_ends_quietly(slow: Slow) -> None:
    threads = Threads("Parse")

    async def main() -> None:
        await slow.abandon(threads)

    with_threads(main)
    slow.may_end.set()
    assert slow.thread is not None
    assert end_of(slow.thread)
