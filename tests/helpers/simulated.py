"""Decorators that run an async test on the event loop with virtual time.

A test that has an argument `seed` gets that order of ready callbacks, see `simulate`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Coroutine
from typing import Any

from tests.helpers.virtual_time import simulate

AsyncTest = Callable[..., Coroutine[Any, Any, None]]


def _on_simulated_loop(**options: Any) -> Callable[[AsyncTest], Callable[..., None]]:
    def decorate(test: AsyncTest) -> Callable[..., None]:
        @functools.wraps(test)
        def run(**arguments: Any) -> None:
            simulate(lambda: test(**arguments), arguments.get("seed"), **options)

        return run

    return decorate


simulated = _on_simulated_loop()
simulated_with_threads = _on_simulated_loop(threads=True)
exact_time = _on_simulated_loop(tick=0.0)  # time passes only while everything sleeps
