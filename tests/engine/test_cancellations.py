"""The cancellations of the running task, if there is one."""

from __future__ import annotations

import asyncio

from antflow._cancellation import cancellations
from tests.helpers.virtual_time import settle, simulate


def test_outside_of_a_task_there_is_no_cancellation() -> None:
    async def main() -> None:
        seen: list[int] = []
        asyncio.get_running_loop().call_soon(lambda: seen.append(cancellations()))
        await settle()
        assert seen == [0]

    simulate(main)
