"""`run_sync` and `stream_sync`: in scripts, in threads, and where an event loop is running."""

from __future__ import annotations

import asyncio
import gc
import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from contextvars import ContextVar
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from antflow import ItemsFailedError, Limit, Pipeline, PipelineError, TooManyFailuresError
from tests.helpers.runs import (
    Counted,
    double,
    fail,
    left,
    only_error,
    same,
    same_later,
    stage,
    values,
)

SECONDS = 20  # after which something hangs


def in_a_script(call: Callable[[], Any]) -> Any:
    return call()


def in_a_coroutine(call: Callable[[], Any]) -> Any:
    async def main() -> Any:
        return call()

    return asyncio.run(main())


def in_a_thread(call: Callable[[], Any]) -> Any:
    answers: list[Any] = []
    thread = threading.Thread(target=lambda: answers.append(call()))
    thread.start()
    thread.join(SECONDS)
    return answers.pop()


def by_run_sync(pipeline: Any, items: Any, **options: Any) -> list[Any]:
    return values(pipeline.run_sync(items, **options))


def by_stream_sync(pipeline: Any, items: Any, **options: Any) -> list[Any]:
    return values(pipeline.stream_sync(items, **options))


each_place = pytest.mark.parametrize("place", [in_a_script, in_a_coroutine, in_a_thread])
each_call = pytest.mark.parametrize("call", [by_run_sync, by_stream_sync])


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    yield
    gc.collect()
    for thread in threading.enumerate():
        if thread.name.endswith("-loop"):
            thread.join(SECONDS)
            assert not thread.is_alive()


@each_place
@each_call
def test_a_pipeline_runs_without_a_coroutine(place: Any, call: Any) -> None:
    pipeline = Pipeline([stage(double, workers=1)])
    for _ in range(2):
        assert place(partial(call, pipeline, range(3))) == [0, 2, 4]


@each_place
def test_the_arguments_are_those_of_run(place: Any, capfd: pytest.CaptureFixture[str]) -> None:
    pipeline = Pipeline([stage(fail)], name="books")
    (failed,) = place(partial(pipeline.run_sync, [1], return_exceptions=True))
    assert failed.error
    with pytest.raises(ItemsFailedError):
        pipeline.run_sync([1], raise_failures=True)
    with pytest.raises(TypeError, match="is one"):
        pipeline.run_sync("text")
    with pytest.raises(ValueError, match="buffer_size"):
        pipeline.stream_sync([1], buffer_size=-1)  # before a result is asked for
    capfd.readouterr()
    place(lambda: Pipeline([stage(same)], name="shown").run_sync([1], True, read_in_thread=True))
    place(lambda: list(Pipeline([stage(same)], name="again").stream_sync([1], True)))
    shown = capfd.readouterr().err
    assert "shown" in shown
    assert "again" in shown


VARIABLE: ContextVar[str] = ContextVar("VARIABLE", default="")


@each_place
@each_call
def test_tasks_and_input_see_the_callers_context_variables(place: Any, call: Any) -> None:
    async def read(value: str) -> tuple[str, str]:
        return value, VARIABLE.get()

    def read_in_a_thread(value: tuple[str, str]) -> tuple[str, ...]:
        return (*value, VARIABLE.get())

    def main() -> list[Any]:
        VARIABLE.set("mine")
        found: list[Any] = call(pipeline, (VARIABLE.get() for _ in range(1)))
        return found

    pipeline = Pipeline([stage(read, name="Loop"), stage(read_in_a_thread, name="Thread")])
    token = VARIABLE.set("")
    assert place(main) == [("mine", "mine", "mine")]
    VARIABLE.reset(token)


@each_place
@each_call
def test_an_error_of_the_input_is_raised_after_the_results(place: Any, call: Any) -> None:
    def broken() -> Iterator[int]:
        yield 1
        raise OSError("the disk is gone")

    pipeline = Pipeline([stage(same)])
    taken: list[Any] = []

    def run() -> None:
        if call is by_run_sync:
            pipeline.run_sync(broken())
        else:
            taken.extend(result.value for result in pipeline.stream_sync(broken()))

    def main() -> None:
        with pytest.raises(OSError, match="gone") as caught:
            run()
        errors.append(caught.value)

    errors: list[OSError] = []
    place(main)
    assert str(errors[0]) == "the disk is gone"
    assert taken or values(pipeline.results) == [1]


def test_a_stream_ends_with_too_many_failures_after_its_last_result() -> None:
    pipeline = Pipeline([stage(fail)], max_failures=0)
    stream = pipeline.stream_sync([1])
    assert next(stream).error
    with pytest.raises(TooManyFailuresError):
        next(stream)
    assert list(stream) == []


# Taking results


@pytest.mark.parametrize("buffer_size", [0, 1, 5, None])
def test_no_more_is_read_than_results_may_wait(buffer_size: int | None) -> None:
    source = Counted(300)
    pipeline = Pipeline([stage(same, workers=2, queue_capacity=1)])
    most = (20 if buffer_size is None else buffer_size) + 2 + 2 + 2
    for taken, _ in enumerate(pipeline.stream_sync(source, buffer_size=buffer_size), 1):
        assert source.read <= taken + most
    assert source.read == 300


def test_the_run_goes_on_while_the_consumer_does_other_work() -> None:
    reached = threading.Event()

    async def note(value: int) -> int:
        if value == 5:
            reached.set()
        return value

    pipeline = Pipeline([stage(note, workers=1)])
    stream = pipeline.stream_sync(range(10))
    assert next(stream).value == 0
    assert reached.wait(SECONDS)
    assert values(stream) == list(range(1, 10))


def test_a_result_that_is_taken_while_a_worker_begins_to_wait_for_room() -> None:
    async def slow(value: int) -> int:
        loop, worker = asyncio.get_running_loop(), asyncio.current_task()
        create_future = loop.create_future

        def create_late() -> asyncio.Future[Any]:
            if asyncio.current_task() is worker:  # it has found no room
                time.sleep(0.02)  # the consumer takes all results meanwhile
            return create_future()

        if value == 0:
            loop.create_future = create_late  # type: ignore[method-assign]
        return value

    def take() -> None:
        for result in pipeline.stream_sync(range(10), buffer_size=1):
            taken.append(result.value)
            time.sleep(0.002)

    pipeline, taken = Pipeline([stage(slow, workers=1)]), list[int]()
    consumer = threading.Thread(target=take, daemon=True)
    consumer.start()
    consumer.join(SECONDS)
    assert taken == list(range(10))


def test_nothing_runs_before_the_first_result_is_asked_for() -> None:
    source = Counted(3)
    stream = Pipeline([stage(same)]).stream_sync(source)
    stream.close()
    assert list(stream) == []
    assert source.read == 0


# Leaving a stream early


def by_break(pipeline: Pipeline, items: Any) -> int:
    for _ in pipeline.stream_sync(items):
        break
    return 1


def by_closing(pipeline: Pipeline, items: Any) -> int:
    with closing(pipeline.stream_sync(items)) as stream:
        next(stream)
        next(stream)
        return 2


def by_an_error(pipeline: Pipeline, items: Any) -> int:
    with suppress(ZeroDivisionError):
        for _ in pipeline.stream_sync(items):
            raise ZeroDivisionError
    return 1


def by_throw(pipeline: Pipeline, items: Any) -> int:
    stream = pipeline.stream_sync(items)
    next(stream)
    with pytest.raises(ZeroDivisionError):
        stream.throw(ZeroDivisionError)
    return 1


def by_garbage_collection(pipeline: Pipeline, items: Any) -> int:
    cycle: list[Any] = [pipeline.stream_sync(items)]
    next(cycle[0])
    cycle.append(cycle)
    del cycle
    gc.collect()
    return 1


LEAVES = [by_break, by_closing, by_an_error, by_throw, by_garbage_collection]


@each_place
@pytest.mark.parametrize("leave", LEAVES)
@pytest.mark.parametrize("task", [same, same_later])
def test_a_stream_that_is_left_has_ended_and_lost_nothing(
    place: Any, leave: Any, task: Any
) -> None:
    def main() -> None:
        taken = leave(pipeline, source)
        assert pipeline.get_stats().items_outstanding == 0  # no need to wait for it
        assert source.read == taken + len(pipeline.undelivered) + len(left(pipeline))
        assert values(pipeline.run_sync([7])) == [7]
        checked.append(True)

    source = Counted()
    pipeline = Pipeline([stage(task, workers=3, queue_capacity=2)])
    checked: list[bool] = []
    place(main)
    assert checked


def test_close_raises_what_ended_the_run_meanwhile() -> None:
    async def stop_at_2(value: int) -> int:
        if value == 2:
            ended.set()
            raise SystemExit("enough")
        return value

    ended = threading.Event()
    stream = Pipeline([stage(stop_at_2, workers=1)]).stream_sync(range(5))
    next(stream)
    assert ended.wait(SECONDS)
    with pytest.raises(SystemExit, match="enough"):
        stream.close()


# Shared state


@pytest.mark.parametrize("is_plain", [False, True])
@each_call
def test_a_task_cannot_call_it_for_its_own_pipeline(call: Any, is_plain: bool) -> None:
    async def wait(value: int) -> Any:
        return call(pipeline, [value])

    def wait_in_a_thread(value: int) -> Any:
        return call(pipeline, [value])

    pipeline = Pipeline([stage(wait_in_a_thread if is_plain else wait)], name="books")
    call(pipeline, [1])
    if call is by_run_sync:
        assert isinstance(only_error(pipeline), PipelineError)
    else:
        (result,) = pipeline.stream_sync([1])
        assert isinstance(result.error, PipelineError)


def test_a_limit_is_shared_by_loops_in_several_threads() -> None:
    at_once: list[int] = []
    inside = 0

    async def use(value: int) -> int:
        nonlocal inside
        inside += 1
        at_once.append(inside)
        await asyncio.sleep(0)
        inside -= 1
        return value

    def run(call: Any) -> None:
        answers.append(call(Pipeline([stage(use, workers=5, limits=[limit])]), range(50)))

    async def main() -> None:
        run(by_run_sync)
        run(by_stream_sync)

    limit = Limit(concurrency=1)
    answers: list[Any] = []
    others = [threading.Thread(target=run, args=(call,)) for call in (by_run_sync, by_stream_sync)]
    for thread in others:
        thread.start()
    asyncio.run(main())
    for thread in others:
        thread.join(SECONDS)
    assert [sorted(answer) for answer in answers] == [list(range(50))] * 4
    assert set(at_once) == {1}


def test_the_callers_event_loop_stays_as_it_is_set() -> None:
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        by_run_sync(Pipeline([stage(same)]), [1])
        assert asyncio.get_event_loop_policy().get_event_loop() is loop
    finally:
        asyncio.set_event_loop(None)
        loop.close()


def interrupted_after(steps: int) -> type[BaseException] | None:
    """Run a pipeline, and raise KeyboardInterrupt after so many steps of the wait for its end.

    Returns:
        What was raised; None if the wait took fewer steps.
    """
    taken = 0

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal taken
        is_wait = Path(frame.f_code.co_filename).name in ("sync.py", "threading.py")
        if not is_wait or (not taken and frame.f_code.co_name != "result"):
            return None  # a callback of the garbage collector, for example
        frame.f_trace_opcodes = True
        taken += 1
        if taken == steps:
            sys.settrace(None)
            raise KeyboardInterrupt
        return trace

    async def main() -> None:
        sys.settrace(trace)
        try:
            Pipeline([stage(same_later)]).run_sync([1])
        finally:
            sys.settrace(None)

    raised: list[type[BaseException] | None] = []

    def run() -> None:
        try:
            asyncio.run(main())
        except BaseException as error:
            raised.append(type(error))
        else:
            raised.append(None)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(SECONDS)
    return raised.pop()  # which fails if it hangs


def test_an_interrupt_at_any_step_of_the_wait_ends_the_run() -> None:
    raised = [interrupted_after(steps) for steps in range(1, 150)]
    assert raised[:10] == [KeyboardInterrupt] * 10
    assert raised[-1] is None
    assert set(raised) == {KeyboardInterrupt, None}


# Ctrl-C and the interpreter's exit, in real processes

PROGRAM = """
import asyncio, os, signal, sys, threading, warnings
from antflow import Pipeline, Stage

async def hang(value):
    print("begun", flush=True)
    try:
        await asyncio.sleep(1000)
    finally:
        await asyncio.sleep(0.01)
        if value == 2:
            print("cleaning", flush=True)
            await asyncio.sleep(1000)
        while value == 3:
            print("cleaning", flush=True)
            try:
                await asyncio.sleep(1000)
            except asyncio.CancelledError:
                pass
        print("cleaned", flush=True)

pipeline = Pipeline([Stage("Hang", workers=1, tasks=[hang])])

def run(value):
    pipeline.run_sync([value])

def stream(value):
    for result in pipeline.stream_sync([value]):
        print(result)

def first_of_two():
    async def pass_on(value):
        if value == 1:
            asyncio.get_running_loop().call_soon(has_begun.set)
            await hang(value)
        return value
    has_begun = threading.Event()
    results = Pipeline([Stage("Hang", workers=1, tasks=[pass_on])]).stream_sync([0, 1])
    next(results)
    has_begun.wait()
    return results

async def inside(call, value):
    try:
        call(value)
    except KeyboardInterrupt:
        print("interrupted", flush=True)
    await asyncio.sleep(0)
    print("goes on")

def cancelling(*_):
    "As the handler of a notebook's kernel, which waits for its event loop."
cancelling.__module__ = "ipykernel.ipkernel"

async def in_a_cell(call, value):
    signal.signal(signal.SIGINT, cancelling)
    call(value)
"""

INTERRUPTED = -signal.SIGINT
INTERRUPTS = [
    ("run(1)", ["begun", "cleaned"], INTERRUPTED),
    ("stream(1)", ["begun", "cleaned"], INTERRUPTED),
    ("asyncio.run(inside(run, 1))", ["begun", "cleaned", "interrupted", "goes on"], 0),
    ("asyncio.run(inside(stream, 1))", ["begun", "cleaned", "interrupted", "goes on"], 0),
    ("asyncio.run(in_a_cell(run, 1))", ["begun", "cleaned"], INTERRUPTED),
    ("run(2)", ["begun", "cleaning"], INTERRUPTED),
    ("stream(2)", ["begun", "cleaning"], INTERRUPTED),
    ("asyncio.run(inside(run, 2))", ["begun", "cleaning", "interrupted", "goes on"], 0),
    ("stream(3)", ["begun", "cleaning"], INTERRUPTED),
    ("asyncio.run(inside(run, 3))", ["begun", "cleaning", "interrupted", "goes on"], 0),
]


HEEDING = "import signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)"
"""A program that was started in the background would ignore SIGINT."""


def played(line: str) -> tuple[list[str], int, str]:
    """Run the program with one more line; send SIGINT when a task begins or hangs in clean-up."""
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-c", f"{HEEDING}\n{PROGRAM}\n{line}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        timer = threading.Timer(SECONDS, process.kill)
        timer.start()
        printed: list[str] = []
        assert process.stdout is not None
        assert process.stderr is not None
        for text in process.stdout:
            printed.append(text.strip())
            if printed[-1] in ("begun", "cleaning") and "first_of_two" not in line:
                process.send_signal(signal.SIGINT)
        errors = process.stderr.read()
        timer.cancel()
    return printed, process.returncode, errors


@pytest.mark.skipif(sys.platform == "win32", reason="SIGINT cannot be sent to one process there")
@pytest.mark.parametrize(("line", "expected", "code"), INTERRUPTS, ids=itertools.count())
def test_an_interrupt_is_raised_after_the_clean_up_and_a_second_one_at_once(
    line: str, expected: list[str], code: int
) -> None:
    printed, returned, errors = played(line)
    assert printed == expected, errors
    assert returned == code
    assert ("KeyboardInterrupt" in errors) == (code != 0)


EXITS = [
    ("results = first_of_two()", ["begun", "cleaned"]),
    (
        "results = first_of_two(); del results; print('left', flush=True)",
        ["begun", "cleaned", "left"],
    ),
    (
        """
results = first_of_two()
warnings.simplefilter("ignore")  # of threads beside a fork
if os.fork() == 0:
    signal.alarm(20)
    sys.exit()
os.wait()
print("forked", flush=True)
""",
        ["begun", "forked", "cleaned"],
    ),
]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.parametrize(("line", "expected"), EXITS, ids=itertools.count())
def test_a_stream_cleans_up_at_the_exit_of_the_interpreter(line: str, expected: list[str]) -> None:
    printed, returned, errors = played(line)
    assert printed == expected, errors
    assert returned == 0
