"""A decorator that runs an asynchronous test with virtual time."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, ParamSpec

from tests.helpers.virtual_time import simulate

P = ParamSpec("P")
AsyncTest = Callable[P, Coroutine[Any, Any, None]]


def simulated(test: AsyncTest[P]) -> Callable[P, None]:
    """Run a test on the simulated loop: `simulate` says what else it checks."""
    return _simulated(test)


def exactly(test: AsyncTest[P]) -> Callable[P, None]:
    """Run a test on the simulated loop with a clock that stands still but for what is slept."""
    return _simulated(test, tick=0.0)


def _simulated(test: AsyncTest[P], **arguments: Any) -> Callable[P, None]:
    @wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        simulate(lambda: test(*args, **kwargs), **arguments)

    return run
