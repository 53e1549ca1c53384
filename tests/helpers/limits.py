"""The two kinds of limit, and tasks that call within one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from antflow import concurrency_limit, rate_limit
from tests.helpers.runs import now

Limit = Callable[[], AbstractAsyncContextManager[None]]
both_limits = pytest.mark.parametrize(
    ("limit", "field"),
    [(concurrency_limit, "call_concurrency"), (rate_limit, "call_rate")],
    ids=["concurrency", "rate"],
)


async def by_gather(call: Callable[[], Coroutine[Any, Any, None]], times: int) -> None:
    await asyncio.gather(*(call() for _ in range(times)))


async def in_a_task_group(call: Callable[[], Coroutine[Any, Any, None]], times: int) -> None:
    async with asyncio.TaskGroup() as group:
        for _ in range(times):
            group.create_task(call())


def calls_at(calls: list[float], limit: Limit = rate_limit) -> Callable[[Any], Awaitable[Any]]:
    """Return a task that makes one call and notes when."""

    async def task(value: Any) -> Any:
        async with limit():
            calls.append(now())
        return value

    return task
