"""Consumes a stream of Redis in a consumer group; acknowledges an entry when its item has ended.

`Consumer` runs any pipeline over the entries of a stream. The rest of this file kills a consumer,
and lets another one finish its work. It needs redis, and REDIS_URL: the address of a server.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from time import monotonic
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from antflow import Backoff, Item, Pipeline, Stage

# The consumer

URL = os.environ.get("REDIS_URL", "redis://127.0.0.1:6379")
STREAM, GROUP = "antflow:orders", "shipping"
DEAD, SHIPPED = "antflow:orders:dead", "antflow:orders:shipped"
IDLE_SECONDS = float(os.environ.get("IDLE_SECONDS", "60"))  # then another consumer may claim it
DRAIN_SECONDS = 8.0  # for what is being worked on at SIGTERM
MOST_DELIVERIES = 5
BATCH = 10


class Consumer:
    """Runs a pipeline over the entries of a stream.

    Args:
        redis: a client that decodes responses.
        pipeline: works on the fields of an entry.
        name: differs from that of every other consumer of the group.
    """

    def __init__(self, redis: Redis, pipeline: Pipeline, name: str) -> None:
        self._redis = redis
        self._pipeline = pipeline
        self._name = name
        self._held: set[str] = set()
        self._stopping: asyncio.Future[Any] | None = None

    async def run(self) -> None:
        """Consume entries until `stop` is called."""
        try:
            await self._redis.xgroup_create(STREAM, GROUP, id="0", mkstream=True)
        except ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):  # the group is there already
                raise
        if self._stopping:
            return
        async with self._pipeline.stream(self._entries()) as results:
            async for result in results:
                if result.is_success:
                    await self._redis.xack(STREAM, GROUP, result.id)
                else:
                    reason = repr(result.error or result.reason)
                    await self._add_dead_letter(result.id, result.metadata["entry"], reason)
                self._held.discard(result.id)
        if self._stopping:
            await self._stopping

    def stop(self) -> None:
        """Read no more entries, and finish those that are being worked on."""
        if not self._stopping:
            shutdown = self._pipeline.shutdown(drain=True, timeout=DRAIN_SECONDS)
            self._stopping = asyncio.ensure_future(shutdown)

    async def _entries(self) -> AsyncIterator[Item]:
        """Yield entries of consumers that died, and new ones, as there is room for them."""
        cursor, due = "0-0", 0.0
        while not self._stopping:  # before Python 3.12, redis-py may swallow a cancellation
            if monotonic() >= due:
                cursor, entries = await self._claim(cursor)
                if cursor == "0-0":
                    due = monotonic() + IDLE_SECONDS / 2
            else:
                answer: Any = await self._redis.xreadgroup(
                    GROUP, self._name, {STREAM: ">"}, count=BATCH, block=500
                )
                entries = [entry for _, found in answer for entry in found]
            for id_, fields in entries:
                self._held.add(id_)
                yield Item(fields, id=id_, metadata={"entry": fields})

    async def _claim(self, cursor: str) -> tuple[str, list[tuple[str, dict[str, str]]]]:
        """Claim entries that were delivered and not acknowledged for a long time."""
        idle = int(IDLE_SECONDS * 1000)
        cursor, entries, _ = await self._redis.xautoclaim(
            STREAM, GROUP, self._name, idle, cursor, count=BATCH
        )
        claimed = []
        for id_, fields in entries:
            if id_ in self._held:  # it is being worked on here
                continue
            for pending in await self._redis.xpending_range(STREAM, GROUP, id_, id_, 1):
                if int(pending["times_delivered"]) > MOST_DELIVERIES:
                    await self._add_dead_letter(
                        id_, fields, f"delivered {MOST_DELIVERIES} times in vain"
                    )
                else:
                    claimed.append((id_, fields))
        return cursor, claimed

    async def _add_dead_letter(self, id_: str, fields: dict[Any, Any], reason: str) -> None:
        """Copy an entry to the dead letters and acknowledge it: both or neither."""
        async with self._redis.pipeline(transaction=True) as both:
            both.xadd(DEAD, fields | {"error": reason, "entry": id_})
            both.xack(STREAM, GROUP, id_)
            await both.execute()


async def ship(order: dict[str, str]) -> dict[str, str]:
    """Ship an order; it stands in for a call of another service, which takes some seconds."""
    await asyncio.sleep(float(order["seconds"]))
    if int(order["number"]) % 50 == 0:
        raise ValueError("there is no such address")
    return order


def shipping(redis: Redis) -> Pipeline:
    """Return the pipeline that ships orders."""

    async def count(order: dict[str, str]) -> None:  # an order may be shipped twice
        await redis.hincrby(SHIPPED, order["number"], 1)

    return Pipeline(
        [
            Stage(
                "Ship",
                workers=10,
                tasks=[ship],
                queue_capacity=BATCH,
                retry_wait=Backoff(maximum=5),
                retry_on=OSError,
                item_timeout=IDLE_SECONDS / 2,
            ),
            Stage("Count", workers=2, tasks=[count]),
        ],
        name="shipping",
        collect_results=False,
    )


async def consume(name: str) -> None:
    """Consume the stream until SIGTERM or Ctrl-C."""
    async with Redis.from_url(URL, decode_responses=True) as redis:
        consumer = Consumer(redis, shipping(redis), name)
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, consumer.stop)
        await consumer.run()


# Consumers to try it on

ORDERS = 300


async def add_orders(redis: Redis, orders: int, seconds: float) -> None:
    """Add orders to the stream, each of which takes some seconds to ship."""
    for number in range(1, orders + 1):
        await redis.xadd(STREAM, {"number": number, "seconds": seconds})


async def pending(redis: Redis) -> int:
    """Return how many entries were delivered and not acknowledged."""
    return int((await redis.xpending(STREAM, GROUP))["pending"])


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(30):
        while not await condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def start(name: str, idle_seconds: float = 1.0) -> asyncio.subprocess.Process:
    """Start a consumer as a process of its own."""
    environ = {**os.environ, "REDIS_URL": URL, "IDLE_SECONDS": str(idle_seconds)}
    return await asyncio.create_subprocess_exec(sys.executable, __file__, name, env=environ)


async def main() -> None:
    async with Redis.from_url(URL, decode_responses=True) as redis:

        async def has_begun() -> bool:
            return bool(await redis.hlen(SHIPPED) > 50)

        async def has_ended() -> bool:
            ended = await redis.hlen(SHIPPED) + await redis.xlen(DEAD)
            return bool(ended == ORDERS and await pending(redis) == 0)

        await redis.delete(STREAM, DEAD, SHIPPED)
        await add_orders(redis, ORDERS, seconds=0.02)
        first = await start("first")
        await until(has_begun)
        first.kill()
        await first.wait()
        print(f"the first consumer was killed; {await pending(redis)} entries are pending")
        second = await start("second")
        await until(has_ended)
        second.terminate()
        print(f"the second consumer ended with exit code {await second.wait()}")
        times: Any = await redis.hvals(SHIPPED)
        twice = sum(each != "1" for each in times)
        print(
            f"of {ORDERS} orders {len(times)} were shipped, {twice} of them twice, "
            f"{await redis.xlen(DEAD)} are dead letters and {await pending(redis)} are pending"
        )
        await redis.delete(STREAM, DEAD, SHIPPED)


if __name__ == "__main__":
    asyncio.run(consume(f"{sys.argv[1]}-{socket.gethostname()}") if sys.argv[1:] else main())
