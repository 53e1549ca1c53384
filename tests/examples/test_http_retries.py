"""The program that retries HTTP calls, against the server of its own."""

from __future__ import annotations

import asyncio
from email.message import Message
from pathlib import Path
from time import time

import pytest

from antflow import Pipeline, StageStats
from examples import http_retries as program
from tests.examples.conftest import Run


def test_the_program_says_what_came_of_it(run: Run) -> None:
    finished = run("http_retries.py")
    assert (finished.returncode, finished.stderr) == (0, "")
    said, early, took = finished.stdout.splitlines()
    assert said == ("60 of 60 items succeeded; the server answered 60 x 200, 60 x 429, 60 x 503")
    assert early == "0 calls came before their time"
    assert took.startswith("120 retries took ")


def fetch_stats(pipeline: Pipeline) -> StageStats | None:
    return pipeline.get_stats().stage_stats.get("Fetch")


def is_waiting(stage: StageStats | None, items: int) -> bool:
    """Return whether at least so many items wait for a retry, and no worker holds any."""
    return stage is not None and stage.parked_items >= items and stage.in_progress_items == 0


def test_the_page_shows_the_client() -> None:
    text = Path(program.__file__).read_text(encoding="utf-8")
    client = text[text.index("TRANSIENT =") : text.index("\n\n# The server")]
    page = Path(__file__).parents[2] / "docs" / "how-to" / "retries.md"
    assert client in page.read_text(encoding="utf-8")


async def test_all_succeed_none_comes_early_and_no_worker_is_held_meanwhile() -> None:
    workers, number = 3, 30
    with program.serving() as server:
        pipeline = program.fetching(workers)
        addresses = [f"{server.address}/items/{index}" for index in range(number)]
        running = asyncio.ensure_future(pipeline.run(addresses))
        while not (is_waiting(stage := fetch_stats(pipeline), 2 * workers) or running.done()):
            await asyncio.sleep(0.005)
        assert not running.done(), "at no time, all items waited"
        assert stage is not None
        assert stage.workers == {"idle": 0, "busy": 0, "waiting": workers, "blocked": 0}
        assert stage.next_retry is not None
        assert -0.5 < stage.next_retry - time() < 2
        results = await running
    assert [result.value for result in results] == [
        f"text of /items/{index}" for index in range(number)
    ]
    assert server.answers == {200: number, 429: number, 503: number}
    assert server.early == []
    stage = fetch_stats(pipeline)
    assert stage is not None
    assert stage.retried_attempts == 2 * number
    # Each item waited for about a second: with a worker held, that takes 10 seconds.
    assert stage.seconds["busy"] < number / 2


async def test_what_no_attempt_can_change_fails_at_once() -> None:
    with program.serving() as server:
        pipeline = program.fetching()
        (result,) = await pipeline.run([f"{server.address}/none"], return_exceptions=True)
    assert isinstance(result.error, program.StatusError)
    assert (result.error.status, result.attempts) == (404, 1)
    assert pipeline.get_stats().stage_stats["Fetch"].give_ups == 1


DATE = "Sun, 06 Nov 1994 08:49:37 GMT"
"""The example of RFC 9110; the same moment follows in the other two forms that it names."""


@pytest.mark.parametrize(
    ("text", "date", "seconds"),
    [
        (None, DATE, None),
        ("", DATE, None),
        ("soon", DATE, None),
        ("-3", DATE, None),
        ("1.5", DATE, None),
        ("0", DATE, 0),
        (" 120 ", DATE, 120),
        ("9" * 400, DATE, program.LONGEST),
        ("Sun, 06 Nov 1994 08:50:07 GMT", DATE, 30),
        ("Sunday, 06-Nov-94 08:50:07 GMT", DATE, 30),
        ("Sun Nov  6 08:50:07 1994", DATE, 30),
        ("Sun, 06 Nov 1994 08:49:00 GMT", DATE, 0),
        ("Sun, 06 Nov 2094 08:49:00 GMT", DATE, program.LONGEST),
        ("Sun, 06 Nov 1994 08:49:00 GMT", None, 0),  # past by the clock of this machine
        ("Sat, 06 Nov 2094 08:49:00 GMT", "no date", program.LONGEST),
    ],
)
def test_retry_after_is_read(text: str | None, date: str | None, seconds: float | None) -> None:
    headers = Message()
    if text is not None:
        headers["Retry-After"] = text
    if date is not None:
        headers["Date"] = date
    assert program.retry_after(headers) == seconds
