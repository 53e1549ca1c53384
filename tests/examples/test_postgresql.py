"""The program that reads from and writes to PostgreSQL, with a real server."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest

from examples import postgresql as program
from tests.integration.database_servers import PostgreSQL, postgresql

EXPECTED_FAILURES = {50, 100}
REVIEWS = 120


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgreSQL]:
    with postgresql(tmp_path_factory.mktemp("postgresql")) as server:
        yield server


@pytest.fixture
async def database(
    server: PostgreSQL, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[asyncpg.Connection]:
    """A connection to the database, which has nothing but the tables of the program."""
    monkeypatch.setattr(program, "URL", server.url)
    connection = await asyncpg.connect(server.url)
    await connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    await program.make_tables(REVIEWS)
    yield connection
    await connection.close()


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often the model was called with each text."""
    counts: Counter[str] = Counter()
    count_stars = program.count_stars

    async def counted(text: str) -> int:
        counts[text] += 1
        return await count_stars(text)

    monkeypatch.setattr(program, "count_stars", counted)
    return counts


async def rated(database: asyncpg.Connection) -> set[int]:
    return {row["review_id"] for row in await database.fetch("SELECT review_id FROM ratings")}


async def failed(database: asyncpg.Connection) -> dict[int, str]:
    rows = await database.fetch("SELECT review_id, error FROM rating_failures")
    return {row["review_id"]: row["error"] for row in rows}


async def run() -> int:
    """Run to the end, and return how many transactions were repeated."""
    async with program.rating() as pipeline:
        [result async for result in pipeline.stream(program.unrated())]
        return pipeline.get_stats().stage_stats["Store"].retried_attempts


async def check_all_is_stored(database: asyncpg.Connection) -> None:
    failures = await failed(database)
    assert failures == dict.fromkeys(EXPECTED_FAILURES, "ValueError('the review has no text')")
    assert await rated(database) == {*range(1, REVIEWS + 1)} - EXPECTED_FAILURES
    wrong = await database.fetch(
        "SELECT name FROM products WHERE stars IS DISTINCT FROM (SELECT avg(ratings.stars)"
        " FROM ratings JOIN reviews ON id = review_id WHERE product = name)"
    )
    assert wrong == []


async def test_transactions_that_conflict_are_repeated(database: asyncpg.Connection) -> None:
    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks, database.transaction():
        await database.execute("UPDATE products SET stars = 0 WHERE name = 'radio'")
        running = tasks.create_task(run())
        while not await database.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):
            await asyncio.sleep(0.005)
    assert running.result() > 0
    await check_all_is_stored(database)


async def test_a_run_goes_on_where_an_earlier_one_was_stopped(
    database: asyncpg.Connection, calls: Counter[str]
) -> None:
    async with program.rating() as pipeline, pipeline.stream(program.unrated()) as results:
        async for result in results:
            if result.id > 30:
                break
    before = {*await rated(database), *await failed(database)}
    assert 0 < len(before) < REVIEWS
    calls.clear()
    await run()
    assert calls.total() == REVIEWS - len(before)
    await check_all_is_stored(database)


ADD = """
INSERT INTO reviews SELECT 1000 + n, (ARRAY['kettle', 'lamp', 'tent'])[1 + n % 3], n::text
FROM generate_series(1, {}) AS n
"""
TERMINATE = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
"""


async def test_what_lost_connections_interrupt_is_repeated(database: asyncpg.Connection) -> None:
    async with program.rating() as pipeline, pipeline.stream(program.unrated()) as results:
        number = lost = 0
        async for result in results:
            assert result.is_success or result.id in EXPECTED_FAILURES, result.error
            number += 1
            if number % 20 == 0:
                writers = f"{TERMINATE} AND query NOT LIKE '%rating_failures%'"
                lost += len(await database.fetch(writers))
    assert number == REVIEWS
    assert lost > 0
    await run()  # a failure that could not be stored is one again
    await check_all_is_stored(database)


async def test_if_the_reader_loses_its_connection_what_was_read_is_finished(
    database: asyncpg.Connection,
) -> None:
    await database.execute(ADD.format(300))
    async with program.rating() as pipeline:
        results = pipeline.stream(program.unrated())
        await anext(results)
        await database.fetch(f"{TERMINATE} AND query LIKE '%rating_failures%'")
        with pytest.raises((asyncpg.PostgresConnectionError, asyncpg.InterfaceError)):
            [result async for result in results]
    stats = pipeline.get_stats()
    assert 0 < stats.items_fed == stats.items_processed + stats.items_failed < 300
    assert len(await rated(database)) == stats.items_processed


async def test_a_statement_that_takes_too_long_fails_and_is_kept(
    database: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(program, "STATEMENT_TIMEOUT", "300ms")
    await database.execute("DELETE FROM reviews WHERE id > 3")
    async with database.transaction():
        await database.execute("SELECT FROM products WHERE name = 'radio' FOR UPDATE")
        assert await run() == 0
    (error,) = (await failed(database)).values()
    assert error.startswith("QueryCanceledError")
    assert await rated(database) == {1, 2}


async def test_rows_are_read_as_there_is_room(database: asyncpg.Connection) -> None:
    await database.execute(ADD.format(5_000))
    await database.execute("UPDATE reviews SET text = repeat('good ', 400) WHERE id > 1000")
    tracemalloc.start()
    async with program.rating() as pipeline, pipeline.stream(program.unrated()) as results:
        await anext(results)
        assert pipeline.get_stats().items_fed < 500
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4_000_000  # all rows take more than 10 MB


def test_the_page_shows_the_pipeline() -> None:
    text = Path(program.__file__).read_text(encoding="utf-8")
    pipeline = text[text.index("URL = ") : text.index("\n\n# Tables to try it on")]
    page = Path(__file__).parents[2] / "docs" / "how-to" / "postgresql.md"
    shown = page.read_text(encoding="utf-8")
    assert pipeline in shown
    assert program.SCHEMA.replace("IF NOT EXISTS ", "") in shown
