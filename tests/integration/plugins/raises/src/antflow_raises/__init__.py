"""Plugins that raise in every hook: an error or CancelledError, at once or after a wait.

And one that raises in a single hook.
"""

from __future__ import annotations

import asyncio
from typing import Any

from antflow import hookimpl, hookspecs

HOOKS = [name for name in vars(hookspecs) if name.startswith("antflow_")]
PLAIN_ONLY = ["antflow_add_options", "antflow_configure", "antflow_dashboard"]


def plain(hook: str, error: type[BaseException]) -> Any:
    def raise_error(self: object) -> None:
        raise error(hook.removeprefix("antflow_"))

    return hookimpl(raise_error)


def coroutine(hook: str, error: type[BaseException]) -> Any:
    async def raise_error(self: object) -> None:
        await asyncio.sleep(0)
        raise error(hook.removeprefix("antflow_"))

    return hookimpl(raise_error)


def with_plain_hooks(error: type[BaseException]) -> type:
    return type("Raises", (), {hook: plain(hook, error) for hook in HOOKS})


def with_coroutine_hooks(error: type[BaseException]) -> type:
    hooks = [hook for hook in HOOKS if hook not in PLAIN_ONLY]
    return type("RaisesAsync", (), {hook: coroutine(hook, error) for hook in hooks})


Raises = with_plain_hooks(RuntimeError)
RaisesAsync = with_coroutine_hooks(RuntimeError)
Cancels = with_plain_hooks(asyncio.CancelledError)
CancelsAsync = with_coroutine_hooks(asyncio.CancelledError)


class RaisesLate:
    @hookimpl
    def antflow_task_success(self) -> None:
        raise RuntimeError("task_success")
