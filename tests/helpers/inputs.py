"""Inputs that take their time, and inputs that break."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Any

from tests.helpers.runs import InputBrokeError


async def later(items: Iterable[Any]) -> AsyncIterator[Any]:
    """Yield items, each after a second."""
    for item in items:
        await asyncio.sleep(1)
        yield item


def broken_after(count: int) -> Iterator[int]:
    yield from range(count)
    raise InputBrokeError


async def broken_later(count: int) -> AsyncIterator[int]:
    async for number in later(range(count)):
        yield number
    raise InputBrokeError
