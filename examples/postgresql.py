"""Reads rows of a PostgreSQL table, calls something slow for each, and writes the results back.

`rating` is the pipeline, and `unrated` its input. The rest of this file makes tables with some
reviews to try them on. It needs asyncpg, and DATABASE_URL: the address of an empty database.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from antflow import Backoff, Item, Pipeline, Stage

# The pipeline

URL = os.environ.get("DATABASE_URL", "postgresql://postgres@127.0.0.1:5432/postgres")
WRITERS = 4
STATEMENT_TIMEOUT = "5s"

UNRATED = """
SELECT id, product, text FROM reviews
WHERE NOT EXISTS (SELECT FROM ratings WHERE review_id = id)
  AND NOT EXISTS (SELECT FROM rating_failures WHERE review_id = id)
ORDER BY id
"""
STORE = """
INSERT INTO ratings (review_id, stars) VALUES ($1, $2)
ON CONFLICT (review_id) DO UPDATE SET stars = excluded.stars
"""
AVERAGE = """
UPDATE products SET stars = (
    SELECT avg(ratings.stars) FROM ratings JOIN reviews ON id = review_id WHERE product = $1
) WHERE name = $1
"""
STORE_FAILURE = """
INSERT INTO rating_failures (review_id, error) VALUES ($1, $2)
ON CONFLICT (review_id) DO UPDATE SET error = excluded.error, failed_at = now()
"""

TRANSIENT = (
    asyncpg.TransactionRollbackError,  # serialization failures and deadlocks
    asyncpg.PostgresConnectionError,  # the connection was lost
    asyncpg.InterfaceError,  # it was lost in a transaction
    asyncpg.InternalClientError,  # it was lost when a statement began
    asyncpg.OperatorInterventionError,  # the server stops, or starts
    asyncpg.TooManyConnectionsError,
    OSError,  # the server is not there, or does not answer
)
"""After these errors, the same transaction may succeed."""

PERMANENT = (
    asyncpg.QueryCanceledError,  # by statement_timeout
    ValueError,  # the InterfaceError for a value of the wrong type
)


async def count_stars(text: str) -> int:
    """Return how good a review is; it stands in for the API of a model."""
    await asyncio.sleep(0.02)
    if not text:
        raise ValueError("the review has no text")
    return 1 + len(text) % 5


async def unrated() -> AsyncIterator[Item]:
    """Yield the reviews without a rating, on a connection of its own."""
    settings = {"idle_in_transaction_session_timeout": "0"}
    connection = await asyncpg.connect(URL, server_settings=settings)
    try:
        async with connection.transaction(readonly=True):
            async for row in connection.cursor(UNRATED, prefetch=100):
                yield Item(dict(row), id=row["id"])
    finally:
        await connection.close()


items = unrated  # for `antflow run`


class Ratings:
    """Rates reviews, and stores the ratings.

    Args:
        pool: of connections to the database.
    """

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def rate(self, review: dict[str, Any]) -> dict[str, Any]:
        return {**review, "stars": await count_stars(review["text"])}

    async def store(self, review: dict[str, Any]) -> dict[str, Any]:
        """Store a rating and the product's new average: both or neither."""
        async with (
            self._pool.acquire() as connection,
            connection.transaction(isolation="repeatable_read"),
        ):
            await connection.execute(STORE, review["id"], review["stars"])
            await connection.execute(AVERAGE, review["product"])
        return {"product": review["product"], "stars": review["stars"]}

    async def store_failure(self, review: int, error: BaseException, _: dict[str, Any]) -> None:
        await self._pool.execute(STORE_FAILURE, review, repr(error))


@asynccontextmanager
async def rating() -> AsyncIterator[Pipeline]:
    """Open a pool of connections, yield the pipeline that uses it, and close it."""
    async with asyncpg.create_pool(
        URL, min_size=1, max_size=WRITERS, server_settings={"statement_timeout": STATEMENT_TIMEOUT}
    ) as pool:
        ratings = Ratings(pool)
        rate = Stage(
            "Rate",
            workers=20,
            tasks=[ratings.rate],
            task_attempts=4,
            task_timeout=30,
            retry_wait=Backoff(),
            retry_on=OSError,
            on_failure=ratings.store_failure,
        )
        store = Stage(
            "Store",
            workers=WRITERS,
            tasks=[ratings.store],
            task_attempts=12,
            task_timeout=30,
            retry_wait=Backoff(initial=0.05, maximum=10),
            retry_on=TRANSIENT,
            never_retry=PERMANENT,
            on_failure=ratings.store_failure,
        )
        yield Pipeline([rate, store], name="rating", collect_results=False, max_failures=1_000)


# Tables to try it on

SCHEMA = """
CREATE TABLE IF NOT EXISTS products (name text PRIMARY KEY, stars numeric);
CREATE TABLE IF NOT EXISTS reviews (
    id bigint PRIMARY KEY, product text REFERENCES products, text text NOT NULL
);
CREATE TABLE IF NOT EXISTS ratings (
    review_id bigint PRIMARY KEY REFERENCES reviews, stars integer NOT NULL
);
CREATE TABLE IF NOT EXISTS rating_failures (
    review_id bigint PRIMARY KEY REFERENCES reviews,
    error text NOT NULL,
    failed_at timestamptz NOT NULL DEFAULT now()
);
"""


async def make_tables(reviews: int) -> None:
    """Make the tables, with some reviews of five products; every 50th review has no text."""
    connection = await asyncpg.connect(URL)
    try:
        await connection.execute(SCHEMA)
        products = ["kettle", "lamp", "ladder", "radio", "tent"]
        await connection.executemany(
            "INSERT INTO products (name) VALUES ($1) ON CONFLICT DO NOTHING",
            [(product,) for product in products],
        )
        await connection.executemany(
            "INSERT INTO reviews (id, product, text) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
            [
                (number, products[number % 5], "" if number % 50 == 0 else f"{'so ' * number}good")
                for number in range(1, reviews + 1)
            ],
        )
    finally:
        await connection.close()


async def count(table: str) -> int:
    """Return how many rows a table has."""
    connection = await asyncpg.connect(URL)
    try:
        return int(await connection.fetchval(f"SELECT count(*) FROM {table}"))
    finally:
        await connection.close()


async def main(most: int) -> None:
    """Rate some reviews, or all that are left.

    Args:
        most: how many results are taken.
    """
    await make_tables(300)
    taken = 0
    async with rating() as pipeline, pipeline.stream(unrated()) as results:
        async for _ in results:
            taken += 1
            if taken == most:
                break
    reviews, rated, failed = [
        await count(table) for table in ("reviews", "ratings", "rating_failures")
    ]
    left = reviews - rated - failed
    print(f"of {reviews} reviews {rated} are rated, {failed} failed and {left} are left")
    retried = pipeline.get_stats().stage_stats["Store"].retried_attempts
    print(f"{taken} results in this run; {retried} transactions were repeated")


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if sys.argv[1:] else 0))
