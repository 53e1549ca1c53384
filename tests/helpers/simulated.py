"""A decorator for tests that run on the simulated event loop."""

from __future__ import annotations

import functools
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec

from tests.helpers.virtual_time import simulate

P = ParamSpec("P")
AsyncTest = Callable[P, Coroutine[Any, Any, None]]
SyncTest = Callable[P, None]


def simulated(
    *, tick: float = 1e-6, threads: bool = False
) -> Callable[[AsyncTest[P]], SyncTest[P]]:
    """Run an async test on the loop; its parameter `seed`, if any, draws the order of callbacks."""

    def decorate(test: AsyncTest[P]) -> SyncTest[P]:
        @functools.wraps(test)
        def run(*args: P.args, **kwargs: P.kwargs) -> None:
            seed: Any = kwargs.get("seed")
            simulate(lambda: test(*args, **kwargs), seed, tick=tick, threads=threads)

        return run

    return decorate
