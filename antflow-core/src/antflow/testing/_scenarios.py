"""What a plugin is run through: all that can become of an item, an attempt and a run."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout, suppress
from functools import partial
from io import StringIO
from typing import Any

from antflow._cli.options import run_parser
from antflow._cli.plugin_options import add_options
from antflow.context import current_item

from ._fault_capture import error_text
from ._harness import Stand, Thing

NOBODY_HAS = "a display that nobody has"

MOMENT = 0.01
"""Seconds of a wait: short, since they are real ones while the plugin has a connection open."""


async def success(stand: Stand) -> None:
    """Run items through two stages, one after the other in each."""
    pipeline = stand.pipeline(stand.stage(wait_briefly), stand.stage(return_at_once, "Next"))
    stand.expect("succeeded", await pipeline.run(stand.items(1, 2, 3)), [1, 2, 3])


async def two_at_once(stand: Stand) -> None:
    """Run two pipelines at once."""
    one, other = (stand.pipeline(stand.stage(wait_briefly)) for _ in range(2))
    results = await asyncio.gather(one.run(stand.items(1, 2)), other.run(stand.items(3, 4)))
    stand.expect("succeeded", results[0] + results[1], [1, 2, 3, 4])


async def plain_function(stand: Stand) -> None:
    """Run items through a plain function, in a thread."""
    pipeline = stand.pipeline(stand.stage(return_plainly))
    stand.expect("succeeded", await pipeline.run(stand.items(1, 2)), [1, 2])


async def retry(stand: Stand) -> None:
    """Have the first attempt at each item fail, of a task and of a stage; one id is a text."""
    pipeline = stand.pipeline(
        stand.stage(fail_at_first, task_attempts=2, task_wait_seconds=MOMENT),
        stand.stage(fail_at_first, "Next", retry="per_stage", stage_attempts=2),
    )
    stand.expect("succeeded", await pipeline.run(stand.items(1, "two")), [1, "two"])


async def failure(stand: Stand) -> None:
    """Have all attempts fail."""
    pipeline = stand.pipeline(stand.stage(fail, task_attempts=2, task_wait_seconds=MOMENT))
    await pipeline.run(stand.items(1, 2))
    stand.expect("failed", pipeline.failures, [1, 2])


async def skip(stand: Stand) -> None:
    """Skip every second item."""
    pipeline = stand.pipeline(stand.skipping(wait_briefly))
    stand.expect("succeeded", await pipeline.run(stand.items(1, 2, 3)), [1, 2, 3])


async def no_items(stand: Stand) -> None:
    """Run nothing."""
    stand.expect("succeeded", await stand.pipeline(stand.stage(wait_briefly)).run([]), [])


async def cancellation(stand: Stand) -> None:
    """Cancel a run in the middle of an attempt."""
    at_work = asyncio.Event()
    pipeline = stand.pipeline(stand.stage(waiting_for(asyncio.Event(), at_work)))
    run = asyncio.create_task(pipeline.run(stand.items(1, 2)))
    await first_of(run, at_work)
    run.cancel()
    with suppress(asyncio.CancelledError):
        await run
    stand.expect("were left unprocessed", pipeline.unprocessed, [1, 2])


async def shutdown(stand: Stand) -> None:
    """Shut down in the middle of an attempt, and then run what was left."""
    at_work, leave = asyncio.Event(), asyncio.Event()
    pipeline = stand.pipeline(stand.stage(waiting_for(leave, at_work)))
    await pipeline.feed(stand.items(1, 2, 3))
    await pipeline.start()
    await at_work.wait()
    stopping = asyncio.create_task(pipeline.shutdown())
    await asyncio.sleep(MOMENT)
    leave.set()
    left = await stopping
    stand.expect("succeeded", pipeline.results, [1])
    stand.expect("were left unprocessed", left, [2, 3])
    await pipeline.start()
    await pipeline.feed(left)
    await pipeline.join()
    stand.expect("succeeded when they were fed again", pipeline.results, [2, 3])


async def shutdown_at_once(stand: Stand) -> None:
    """Shut down with a time limit that an attempt does not meet."""
    at_work = asyncio.Event()
    pipeline = stand.pipeline(stand.stage(waiting_for(asyncio.Event(), at_work)))
    await pipeline.start()
    await pipeline.feed(stand.items(1, 2))
    await at_work.wait()
    left = await pipeline.shutdown(timeout=MOMENT)
    stand.expect("were left unprocessed", left, [1, 2])


async def stream_left(stand: Stand) -> None:
    """Leave a stream after its first result."""
    pipeline = stand.pipeline(stand.stage(wait_briefly))
    taken = []
    async with pipeline.stream(stand.items(1, 2, 3, 4), buffer_size=1) as results:
        async for result in results:
            taken.append(result)
            break
    rest = [result.id for result in pipeline.undelivered]
    rest += [item.id for item in pipeline.unprocessed]
    stand.expect("were taken from the stream", taken, [1])
    if sorted(rest) != [*range(2, pipeline.get_stats().items_fed + 1)]:
        stand.note("outcome", f"Items {rest} were left of the stream.")


async def broken_input(stand: Stand) -> None:
    """Have the input raise after two items."""
    pipeline = stand.pipeline(stand.stage(wait_briefly))

    def items() -> Iterator[Any]:
        yield from stand.items(1, 2)
        raise LookupError(NOBODY_HAS)

    with suppress(LookupError):
        await pipeline.run(items())
    stand.expect("succeeded", pipeline.results, [1, 2])


async def second_run(stand: Stand) -> None:
    """Run the same pipeline twice."""
    pipeline = stand.pipeline(stand.stage(wait_briefly))
    for numbers in (1, 2), (3, 4):
        stand.expect("succeeded", await pipeline.run(stand.items(*numbers)), [*numbers])


async def displays(stand: Stand) -> None:
    """Ask for each display of the plugin, show a run in it, and ask for one that nobody has."""
    with suppress(ValueError):
        await stand.pipeline(stand.stage(wait_briefly)).run([], dashboard=NOBODY_HAS)
        stand.note(
            "rules",
            "antflow_dashboard returns a display for a name that it does not know, which hides "
            "those of other plugins; return None.",
        )
    for name in stand.dashboards:
        with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
            await show(stand, name)


async def show(stand: Stand, name: str) -> None:
    """Show a run in a display."""
    pipeline = stand.pipeline(stand.skipping(fail))
    await pipeline.run(stand.items(1, 2, 3), dashboard=name)
    stand.expect("succeeded", pipeline.results, [2])


async def command_line(stand: Stand) -> None:
    """Have the options of `antflow run` made, and tell that none of the plugin's was given."""
    parser = run_parser()
    try:
        add_options(parser, "the plugin", partial(stand.tell, "antflow_add_options"))
    except Exception as error:
        stand.note("raised", f"Its options cannot be added:\n{error_text(error)}")
    else:
        stand.tell("antflow_configure", parser.parse_args(["program.py:pipeline"]))


def return_plainly(thing: Thing) -> Thing:
    """Return the value, from a thread."""
    return thing


async def return_at_once(thing: Thing) -> Thing:
    """Return the value without a wait."""
    return thing


async def wait_briefly(thing: Thing) -> Thing:
    """Return the value after a moment."""
    await asyncio.sleep(MOMENT)
    return thing


async def fail(thing: Thing) -> None:
    """Raise, after a moment."""
    await asyncio.sleep(MOMENT)
    raise ValueError(f"item {thing.id} is made to fail")


async def fail_at_first(thing: Thing) -> Thing:
    """Raise in the first attempt."""
    item = current_item()
    assert item is not None
    if item.attempt == 1:
        await fail(thing)
    return thing


def waiting_for(
    event: asyncio.Event, at_work: asyncio.Event
) -> Callable[[Thing], Awaitable[Thing]]:
    """Return a task that says when it is at work, and waits for an event then."""

    async def wait_for_event(thing: Thing) -> Thing:
        at_work.set()
        await event.wait()
        return thing

    return wait_for_event


async def first_of(run: asyncio.Task[Any], event: asyncio.Event) -> None:
    """Wait until an event comes, or a run has ended before it."""
    waiting = asyncio.create_task(event.wait())
    await asyncio.wait([run, waiting], return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    with suppress(asyncio.CancelledError):
        await waiting


Scenario = Callable[[Stand], Awaitable[None]]

SCENARIOS: dict[str, Scenario] = {
    scenario.__name__.replace("_", " "): scenario
    for scenario in (
        success,
        two_at_once,
        plain_function,
        retry,
        failure,
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
    )
}
"""What a plugin is run through, by name, in order."""

FIRST_RUNS = ("success", "two at once")
"""Where it may open and start what it keeps, such as a server or the threads of a pool."""
