"""The scenarios that `check_plugin` runs a plugin through."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout, suppress
from functools import partial
from io import StringIO
from typing import Any

from antflow import _command
from antflow.context import current_item
from antflow.stage import Stage

from ._command_run import run_command
from ._fault_capture import error_text
from ._harness import Harness, ItemValue

UNKNOWN_DISPLAY = "an unknown display"

WAIT_SECONDS = 0.01
"""How long a task waits: briefly, since it is real time while a connection is open."""


async def success(harness: Harness) -> None:
    """Run items through two stages, one after the other in each."""
    pipeline = harness.pipeline(harness.stage(wait_briefly), harness.stage(return_at_once, "Next"))
    harness.expect("succeeded", await pipeline.run(harness.items(1, 2, 3)), [1, 2, 3])


async def two_at_once(harness: Harness) -> None:
    """Run two pipelines at once."""
    one, other = (harness.pipeline(harness.stage(wait_briefly)) for _ in range(2))
    results = await asyncio.gather(one.run(harness.items(1, 2)), other.run(harness.items(3, 4)))
    harness.expect("succeeded", results[0] + results[1], [1, 2, 3, 4])


async def plain_function(harness: Harness) -> None:
    """Run items through a plain function, in a thread."""
    pipeline = harness.pipeline(harness.stage(return_plainly))
    harness.expect("succeeded", await pipeline.run(harness.items(1, 2)), [1, 2])


async def retry(harness: Harness) -> None:
    """Fail the first attempt at each item, of a task and of a stage; one id is a string."""
    pipeline = harness.pipeline(
        harness.stage(fail_at_first, task_attempts=2, task_wait_seconds=WAIT_SECONDS),
        harness.stage(fail_at_first, "Next", retry="per_stage", stage_attempts=2),
    )
    harness.expect("succeeded", await pipeline.run(harness.items(1, "two")), [1, "two"])


async def failure(harness: Harness) -> None:
    """Fail all attempts: the only one, the last of a task, the last of a stage, and in a thread."""
    for stage in (
        harness.stage(fail, task_attempts=1),
        harness.stage(fail, task_attempts=2, task_wait_seconds=WAIT_SECONDS),
        harness.stage(fail, retry="per_stage", stage_attempts=2),
        harness.stage(fail_plainly, task_attempts=1),
    ):
        pipeline = harness.pipeline(harness.stage(return_at_once, "Before"), stage)
        await pipeline.run(harness.items(1, 2))
        harness.expect("failed", pipeline.failures, [1, 2])


async def failure_as_the_run_stops(harness: Harness) -> None:
    """Fail an attempt that could be repeated if the run did not stop."""
    started, leave = asyncio.Event(), asyncio.Event()

    async def fail_later(value: ItemValue) -> None:
        started.set()
        await leave.wait()
        await fail(value)

    pipeline = harness.pipeline(harness.stage(fail_later, task_attempts=2))
    await pipeline.start()
    await pipeline.feed(harness.items(1))
    await started.wait()
    stopping = asyncio.create_task(pipeline.shutdown())
    await asyncio.sleep(WAIT_SECONDS)
    leave.set()
    harness.expect("were left unprocessed", await stopping, [1])


async def skip(harness: Harness) -> None:
    """Skip every second item."""
    pipeline = harness.pipeline(harness.skipping_stage(wait_briefly))
    harness.expect("succeeded", await pipeline.run(harness.items(1, 2, 3)), [1, 2, 3])


async def no_items(harness: Harness) -> None:
    """Run a pipeline without items."""
    harness.expect("succeeded", await harness.pipeline(harness.stage(wait_briefly)).run([]), [])


async def cancellation(harness: Harness) -> None:
    """Cancel a run in the middle of an attempt."""
    started = asyncio.Event()
    pipeline = harness.pipeline(harness.stage(waiting_for(asyncio.Event(), started)))
    run = asyncio.create_task(pipeline.run(harness.items(1, 2)))
    await first_of(run, started)  # a plugin may break the run before its first attempt
    run.cancel()
    with suppress(asyncio.CancelledError):
        await run
    harness.expect("were left unprocessed", pipeline.unprocessed, [1, 2])


async def shutdown(harness: Harness) -> None:
    """Shut down in the middle of an attempt, and then run what was left."""
    started, leave = asyncio.Event(), asyncio.Event()
    pipeline = harness.pipeline(harness.stage(waiting_for(leave, started)))
    await pipeline.feed(harness.items(1, 2, 3))
    await pipeline.start()
    await started.wait()
    stopping = asyncio.create_task(pipeline.shutdown())
    await asyncio.sleep(WAIT_SECONDS)
    leave.set()
    left = await stopping
    harness.expect("succeeded", pipeline.results, [1])
    harness.expect("were left unprocessed", left, [2, 3])
    await pipeline.start()
    await pipeline.feed(left)
    await pipeline.join()
    harness.expect("succeeded when they were fed again", pipeline.results, [2, 3])


async def shutdown_at_once(harness: Harness) -> None:
    """Shut down with a time limit that an attempt exceeds."""
    started = asyncio.Event()
    pipeline = harness.pipeline(harness.stage(waiting_for(asyncio.Event(), started)))
    await pipeline.start()
    await pipeline.feed(harness.items(1, 2))
    await started.wait()
    left = await pipeline.shutdown(timeout=WAIT_SECONDS)
    harness.expect("were left unprocessed", left, [1, 2])


async def stream_left(harness: Harness) -> None:
    """Leave a stream after its first result."""
    pipeline = harness.pipeline(harness.stage(wait_briefly))
    taken = []
    async with pipeline.stream(harness.items(1, 2, 3, 4), buffer_size=1) as results:
        async for result in results:
            taken.append(result)
            break
    rest = [result.id for result in pipeline.undelivered]
    rest += [item.id for item in pipeline.unprocessed]
    harness.expect("were taken from the stream", taken, [1])
    # how far the feeder has come depends on the plugin's waits
    if sorted(rest) != [*range(2, pipeline.get_stats().items_fed + 1)]:
        harness.add_problem("outcome", f"Items {rest} were left of the stream.")


async def broken_input(harness: Harness) -> None:
    """Run an input that raises after two items."""
    pipeline = harness.pipeline(harness.stage(wait_briefly))

    def items() -> Iterator[Any]:
        yield from harness.items(1, 2)
        raise LookupError("a broken input")

    with suppress(LookupError):
        await pipeline.run(items())
    harness.expect("succeeded", pipeline.results, [1, 2])


async def second_run(harness: Harness) -> None:
    """Run the same pipeline twice."""
    pipeline = harness.pipeline(harness.stage(wait_briefly))
    for numbers in (1, 2), (3, 4):
        harness.expect("succeeded", await pipeline.run(harness.items(*numbers)), [*numbers])


async def displays(harness: Harness) -> None:
    """Ask for a display that does not exist, and show a run in each display of the plugin."""
    with suppress(ValueError):
        await harness.pipeline(harness.stage(wait_briefly)).run([], dashboard=UNKNOWN_DISPLAY)
        harness.add_problem(
            "rules",
            "antflow_dashboard returns a display for a name that it does not know, which hides "
            "those of other plugins; return None.",
        )
    for name in harness.dashboards:
        # what a display writes is no part of the test's output
        with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
            await show(harness, name)


async def show(harness: Harness, name: str) -> None:
    """Show a run in a display."""
    pipeline = harness.pipeline(harness.skipping_stage(fail))
    await pipeline.run(harness.items(1, 2, 3), dashboard=name)
    harness.expect("succeeded", pipeline.results, [2])


async def command_line(harness: Harness) -> None:
    """Add the plugin's options to those of `antflow run`, and configure it with none given."""
    add = partial(harness.call_hook, "antflow_add_options")
    try:
        options = _command.load().run_options(["program.py:pipeline"], add)
    except Exception as error:
        harness.add_problem("raised", f"Its options cannot be added:\n{error_text(error)}")
    else:
        harness.call_hook("antflow_configure", options)


def antflow_run(harness: Harness) -> None:
    """Run items by `antflow run`, with none of the plugin's options given."""
    if threading.current_thread() is not threading.main_thread():
        return  # the command handles signals
    run = run_command(Stage("Work", 1, [double]), [1, 2, 3], [harness.plugin], ["--ordered"])
    values = [result["value"] for result in run.results]
    if run.exit_code or values != [2, 4, 6]:
        harness.add_problem(
            "outcome",
            f"antflow run ended with exit code {run.exit_code} and the values {values} instead of "
            f"[2, 4, 6]:\n{run.messages}".rstrip(),
        )
    for line in run.messages.splitlines():
        if line.startswith("warning: "):
            harness.add_problem("raised", line)


async def double(number: int) -> int:
    """Return twice the number."""
    return 2 * number


def return_plainly(value: ItemValue) -> ItemValue:
    """Return the value, from a thread."""
    return value


async def return_at_once(value: ItemValue) -> ItemValue:
    """Return the value without a wait."""
    return value


async def wait_briefly(value: ItemValue) -> ItemValue:
    """Return the value after a moment."""
    await asyncio.sleep(WAIT_SECONDS)
    return value


async def fail(value: ItemValue) -> None:
    """Raise, after a moment."""
    await asyncio.sleep(WAIT_SECONDS)
    raise ValueError(f"item {value.id} is made to fail")


def fail_plainly(value: ItemValue) -> None:
    """Raise, in a thread."""
    raise ValueError(f"item {value.id} is made to fail")


async def fail_at_first(value: ItemValue) -> ItemValue:
    """Raise in the first attempt."""
    item = current_item()
    assert item is not None
    if item.attempt == 1:
        await fail(value)
    return value


def waiting_for(
    event: asyncio.Event, started: asyncio.Event
) -> Callable[[ItemValue], Awaitable[ItemValue]]:
    """Return a task that sets `started` and then waits for an event."""

    async def wait_for_event(value: ItemValue) -> ItemValue:
        started.set()
        await event.wait()
        return value

    return wait_for_event


async def first_of(run: asyncio.Task[Any], event: asyncio.Event) -> None:
    """Wait until an event is set or a run has ended."""
    waiting = asyncio.create_task(event.wait())
    await asyncio.wait([run, waiting], return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    with suppress(asyncio.CancelledError):
        await waiting


AsyncScenario = Callable[[Harness], Awaitable[None]]
Scenario = AsyncScenario | Callable[[Harness], None]
"""A coroutine function, or a plain one, which runs an event loop of its own."""

_SCENARIOS: dict[str, Scenario] = {
    scenario.__name__.replace("_", " "): scenario
    for scenario in (
        success,
        two_at_once,
        plain_function,
        retry,
        failure,
        failure_as_the_run_stops,
        skip,
        no_items,
        cancellation,
        shutdown,
        shutdown_at_once,
        stream_left,
        broken_input,
        second_run,
        displays,
        command_line,
        antflow_run,
    )
}


def playable() -> dict[str, Scenario]:
    """Return the scenarios by name, in order; those of the command only if it is installed."""
    left_out = () if _command.is_installed() else (command_line, antflow_run)
    return {title: each for title, each in _SCENARIOS.items() if each not in left_out}


FIRST_RUNS = ("success", "two at once")
"""Scenarios where a plugin may start what it keeps, such as a server or a thread pool."""
