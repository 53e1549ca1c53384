"""Several observers of one run as one, since a plugin may return but one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from types import SimpleNamespace
from typing import Any

from antflow import hookimpl

Hook = Callable[..., None]

ENDS = (
    "antflow_task_success",
    "antflow_task_retry",
    "antflow_task_failure",
    "antflow_task_cancelled",
)
"""The hooks that more than one may have."""

OTHERS = (
    "antflow_item_start",
    "antflow_item_finish",
    "antflow_task_start",
    "antflow_pipeline_finish",
)


def together(observers: Sequence[object]) -> object | None:
    """Return an observer with the hooks of all of these, or None if there are none.

    At the end of an attempt the first of them is called first. If one raises, the others are called
    all the same.
    """
    if len(observers) < 2:
        return observers[0] if observers else None
    hooks: dict[str, Hook] = {}
    for hook in (*ENDS, *OTHERS):
        functions = [getattr(each, hook) for each in observers if hasattr(each, hook)]
        if functions:
            hooks[hook] = reduce(_both, functions)
    return SimpleNamespace(**hooks)


def _both(first: Hook, second: Hook) -> Hook:
    @hookimpl(trylast=True)
    def call(event: Any) -> None:
        try:
            first(event)
        finally:
            second(event)

    return call
