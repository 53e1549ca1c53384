"""What measurements share: trivial tasks, a stopwatch, and a check that the work was done."""

import gc
from collections.abc import Awaitable
from time import perf_counter
from typing import TypeVar

Result = TypeVar("Result")

WARM_UP = 1_000
"""Items of the warm-up, which no figure contains."""

STAGES = 3
WORKERS = 10


class WorkMissingError(Exception):
    """A contender returned another number of results than it was given items."""


async def no_op(item: int) -> int:
    """Return the item: what remains is the cost of getting it here and away."""
    return item


async def timed(work: Awaitable[Result]) -> tuple[Result, float]:
    """Await the work and return its result and its seconds, with no garbage left from before."""
    gc.collect()
    begin = perf_counter()
    result = await work
    return result, perf_counter() - begin


def check(found: int, wanted: int) -> None:
    """Raise WorkMissingError unless as many results came back as items went in."""
    if found != wanted:
        raise WorkMissingError(f"{found:,} results of {wanted:,} items")


def per_item_and_stage(seconds: float, items: int) -> float:
    """Microseconds per item and stage."""
    return seconds / items / STAGES * 1e6
