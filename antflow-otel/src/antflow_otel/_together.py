"""Several observers of one run as one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

from antflow import hookimpl

HOOKS = (
    "antflow_item_status",
    "antflow_task_start",
    "antflow_task_success",
    "antflow_task_retry",
    "antflow_task_failure",
    "antflow_task_cancelled",
)


def together(observers: Sequence[object]) -> object | None:
    """Return an object with the hooks of all observers, that of the first called first.

    Only the hooks of items and attempts are looked at. They are plain functions that take `event`;
    each is called last, but a start first, so that what other plugins do is inside of it.
    """
    functions = {
        hook: [getattr(observer, hook) for observer in observers if hasattr(observer, hook)]
        for hook in HOOKS
    }
    made = {hook: _one(hook, each) for hook, each in functions.items() if each}
    return SimpleNamespace(**made) if made else None


def _one(hook: str, functions: Sequence[Callable[[Any], None]]) -> Callable[[Any], None]:
    is_start = hook == "antflow_task_start"
    mark = hookimpl(tryfirst=is_start, trylast=not is_start)
    if len(functions) == 1:
        (only,) = functions

        @mark
        def call(event: Any) -> None:
            only(event)

        return call

    @mark
    def call_all(event: Any) -> None:
        for function in functions:
            function(event)

    return call_all
