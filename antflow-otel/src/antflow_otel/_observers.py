"""Combines observers, since a plugin may return only one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from types import SimpleNamespace
from typing import Any

from antflow import hookimpl

Hook = Callable[..., None]

HOOKS = (
    "antflow_task_success",
    "antflow_task_retry",
    "antflow_task_failure",
    "antflow_task_cancelled",
    "antflow_item_start",
    "antflow_item_finish",
    "antflow_task_start",
    "antflow_pipeline_finish",
)
"""The hooks of our observers; of these, more than one may have those of an attempt's end."""


def combine_observers(observers: Sequence[object]) -> object | None:
    """Return one observer that calls the hooks of all observers in order; None for no observers.

    If one raises, the later ones are called all the same.
    """
    if len(observers) < 2:
        return observers[0] if observers else None
    hooks: dict[str, Hook] = {}
    for hook in HOOKS:
        functions = [getattr(each, hook) for each in observers if hasattr(each, hook)]
        if functions:
            hooks[hook] = reduce(_call_both, functions)
    return SimpleNamespace(**hooks)


def _call_both(first: Hook, second: Hook) -> Hook:
    # Last, as the hooks of traces are: what other plugins log belongs to the attempt.
    @hookimpl(trylast=True)
    def call(event: Any) -> None:
        try:
            first(event)
        finally:
            second(event)

    return call
