"""The program that calls a model API within its limits, against the server of its own."""

from __future__ import annotations

import asyncio
import re
from http.client import HTTPMessage
from pathlib import Path

import pytest

from antflow import Pipeline
from examples import model_api as program
from tests.examples.conftest import Run

ANSWERED = len(program.PROMPTS) - 2


def test_the_program_gets_no_429(run: Run) -> None:
    finished = run("model_api.py")
    assert (finished.returncode, finished.stderr) == (0, "")
    answered, counts, fullest, took = finished.stdout.splitlines()
    assert answered == f"{ANSWERED} of 100 prompts were answered, 2 failed at the first attempt"
    assert counts == f"the server answered {ANSWERED} x 200, 2 x 400, 0 x 429, 10 x 500"
    used = re.fullmatch(
        r"its fullest windows had (\d+) of 50 requests and (\d+) of 2500 tokens", fullest
    )
    assert used is not None
    # More is free where no estimate is above what a call uses.
    assert program.TOKENS * 0.8 < int(used[2]) <= program.TOKENS
    seconds = re.search(r"took ([\d.]+) s; .* taken ([\d.]+) s$", took)
    assert seconds is not None
    assert float(seconds[1]) < float(seconds[2])


def test_the_page_shows_the_client() -> None:
    text = Path(program.__file__).read_text(encoding="utf-8")
    client = text[text.index("REQUESTS, TOKENS =") : text.index("\n\n# The server")]
    page = Path(__file__).parents[2] / "docs" / "how-to" / "model-api.md"
    assert client in page.read_text(encoding="utf-8")


def is_paused(pipeline: Pipeline) -> bool:
    """Return whether both limits are paused."""
    stage = pipeline.get_stats().stage_stats.get("Ask")
    return stage is not None and all(limit.paused_until for limit in stage.limits.values())


async def test_after_a_429_nothing_starts_until_the_server_allows_it() -> None:
    prompts = [f"why {number}" for number in range(60)]
    with program.serving() as server:
        pipeline = program.asking(server.host, window=program.WINDOW / 10)
        running = asyncio.ensure_future(pipeline.run(prompts))
        while not (is_paused(pipeline) or running.done()):
            await asyncio.sleep(0.001)
        assert not running.done(), "an answer 429 paused no limit"
        results = await running
    assert len(results) == len(prompts)
    # Those that were on their way: without a pause, each of the others would get a 429, too.
    assert 0 < server.answers[429] <= 2 * pipeline.stages[0].workers
    assert server.requests.fullest <= program.REQUESTS
    assert server.tokens.fullest <= program.TOKENS


async def test_a_429_that_does_not_say_how_long_is_tried_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    statuses = iter([429, 200])
    monkeypatch.setattr(program.ModelServer, "answer", lambda *_: (next(statuses), 0.0, 5))

    def found(message: HTTPMessage, name: str) -> str | None:
        return None if name == "Retry-After" else message.get(name)

    monkeypatch.setattr(HTTPMessage, "__getitem__", found)
    with program.serving() as server:
        (result,) = await program.asking(server.host).run(["why"])
    assert (result.value, result.attempts) == ("about 'why'", 2)


async def test_a_prompt_that_is_refused_is_not_sent_again() -> None:
    with program.serving() as server:
        pipeline = program.asking(server.host)
        (result,) = await pipeline.run([""], return_exceptions=True)
    assert isinstance(result.error, program.StatusError)
    assert (result.error.status, result.attempts, server.answers) == (400, 1, {400: 1})
