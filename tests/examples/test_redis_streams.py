"""The consumer of a Redis stream, with a real server, as processes that are killed and ended."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
import redis.asyncio

from antflow import Pipeline, Stage
from examples import redis_streams as program
from tests.integration import database_servers

NO_ADDRESS = {"50", "100"}
SHIPPED = {str(number) for number in range(1, 101)} - NO_ADDRESS


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[database_servers.Redis]:
    with database_servers.redis(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
async def client(
    server: database_servers.Redis, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Any]:
    """A client of the server, which is empty."""
    monkeypatch.setattr(program, "URL", server.url)
    async with redis.asyncio.Redis.from_url(server.url, decode_responses=True) as client:
        await client.flushall()
        yield client


@asynccontextmanager
async def consuming(client: Any, pipeline: Pipeline) -> AsyncIterator[None]:
    """Run a consumer in this process."""
    consumer = program.Consumer(client, pipeline, "here")
    async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
        tasks.create_task(consumer.run())
        try:
            yield
        finally:
            consumer.stop()


async def shipped(client: Any) -> dict[str, int]:
    """Return how often each order was shipped."""
    found = await client.hgetall(program.SHIPPED)
    return {number: int(times) for number, times in found.items()}


async def dead(client: Any) -> list[dict[str, str]]:
    return [fields for _, fields in await client.xrange(program.DEAD)]


async def pending(client: Any) -> set[str]:
    """Return the orders that were delivered and not acknowledged."""
    found = await client.xpending_range(program.STREAM, program.GROUP, "-", "+", 1_000)
    ids = [each["message_id"] for each in found]
    return {(await client.xrange(program.STREAM, id_, id_))[0][1]["number"] for id_ in ids}


async def until_shipped(client: Any, number: int) -> None:
    async def are_shipped() -> bool:
        return len(await shipped(client)) >= number

    await program.until(are_shipped)


async def until_all_have_ended(client: Any) -> None:
    async def have_ended() -> bool:
        groups = await client.xinfo_groups(program.STREAM)
        return [(group["lag"], group["pending"]) for group in groups] == [(0, 0)]

    await program.until(have_ended)


async def test_no_entry_is_lost_by_sigterm_and_sigkill(
    client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await program.add_orders(client, 100, seconds=0.2)
    ended = await program.start("ended", idle_seconds=20)
    await until_shipped(client, 1)
    ended.terminate()
    assert await ended.wait() == 0
    first = await shipped(client)
    assert len(first) < len(SHIPPED)
    left = await pending(client)  # they were read, but not accepted
    assert len(left) <= program.BATCH
    assert left.isdisjoint({*first, *(fields["number"] for fields in await dead(client))})

    killed = await program.start("killed", idle_seconds=20)
    await until_shipped(client, len(first) + 1)
    killed.kill()
    await killed.wait()
    interrupted = await pending(client)
    assert interrupted

    pipeline = program.shipping(client)
    monkeypatch.setattr(program, "IDLE_SECONDS", 0.3)  # not for the time limit of the stage
    async with consuming(client, pipeline):
        await until_all_have_ended(client)
    times = await shipped(client)
    assert set(times) == SHIPPED
    assert {number for number in times if times[number] > 1} <= interrupted
    assert {fields["number"] for fields in await dead(client)} == NO_ADDRESS


async def test_a_failure_is_a_dead_letter_with_its_fields_and_error(client: Any) -> None:
    id_ = await client.xadd(program.STREAM, {"number": 100, "seconds": 0})
    async with consuming(client, program.shipping(client)):
        await until_all_have_ended(client)
    error = "ValueError('there is no such address')"
    assert await dead(client) == [{"number": "100", "seconds": "0", "error": error, "entry": id_}]


async def test_an_entry_that_was_delivered_too_often_is_not_worked_on_again(client: Any) -> None:
    id_ = await client.xadd(program.STREAM, {"number": 1, "seconds": 0})
    await client.xgroup_create(program.STREAM, program.GROUP, id="0")
    await client.xreadgroup(program.GROUP, "dead", {program.STREAM: ">"})
    await client.xclaim(program.STREAM, program.GROUP, "dead", 0, [id_], idle=100_000, retrycount=5)
    async with consuming(client, program.shipping(client)):
        await until_all_have_ended(client)
    (letter,) = await dead(client)
    assert letter["error"] == "delivered 5 times in vain"
    assert await shipped(client) == {}


async def test_a_consumer_that_waits_for_entries_stops_soon(client: Any) -> None:
    async with consuming(client, program.shipping(client)):
        await asyncio.sleep(0.05)
        began = monotonic()
    assert monotonic() - began < program.DRAIN_SECONDS / 2


async def test_entries_are_read_as_there_is_room(client: Any) -> None:
    go_on = asyncio.Event()

    async def wait(fields: dict[str, str]) -> None:
        await go_on.wait()

    await program.add_orders(client, 100, seconds=0)
    stage = Stage("Wait", workers=2, tasks=[wait], queue_capacity=3)
    async with consuming(client, Pipeline([stage])):
        await asyncio.sleep(0.2)  # long enough to read them all
        assert 0 < len(await pending(client)) <= 2 + 3 + 1 + program.BATCH
        go_on.set()
        await until_all_have_ended(client)


def test_the_page_shows_the_consumer() -> None:
    text = Path(program.__file__).read_text(encoding="utf-8")
    consumer = text[text.index("URL = ") : text.index("\n\n# Consumers to try it on")]
    page = Path(__file__).parents[2] / "docs" / "how-to" / "redis-streams.md"
    assert consumer in page.read_text(encoding="utf-8")
