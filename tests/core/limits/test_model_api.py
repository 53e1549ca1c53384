"""Calls of a server that counts requests and tokens in exact windows: none is refused."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from random import Random

import pytest

from antflow import GiveUp, Limit, Pipeline, RetryAfter, current_limits
from tests.helpers.runs import now, stage
from tests.helpers.simulated import simulated

CALLS = 5000
REQUESTS, TOKENS, MINUTE = 3000, 450_000, 60.0


class Server:
    """Refuses what exceeds its limits within any minute; some calls fail, by their number."""

    def __init__(self, seed: int) -> None:
        draw = Random(seed)
        self.tokens = [draw.randint(20, 260) for _ in range(CALLS)]
        self.bad = set(draw.sample(range(CALLS), CALLS * 3 // 1000))
        self.answers: Counter[int] = Counter()
        self.calls: Counter[int] = Counter()
        self._log: deque[tuple[float, int]] = deque()
        self._used = 0
        self._random = draw.random

    async def call(self, number: int) -> int:
        """Return the status of an answer."""
        status = self._status(number)
        self.answers[status] += 1
        self.calls[number] += 1
        await asyncio.sleep(0.05 + self._random())
        return status

    def _status(self, number: int) -> int:
        log, tokens = self._log, self.tokens[number]
        while log and log[0][0] + MINUTE <= now():
            self._used -= log.popleft()[1]
        if len(log) >= REQUESTS or self._used + tokens > TOKENS:
            return 429
        log.append((now(), tokens))
        self._used += tokens
        if number in self.bad:
            return 400
        return 500 if self._random() < 0.01 else 200


class ServerError(Exception):
    """The server failed."""


@pytest.mark.parametrize(
    ("share", "burst"),
    [(0.3, 1), (0.3, 200), (1.0, 200), (1.6, 1), (1.6, 200)],
    ids=["requests", "requests at once", "both", "tokens", "tokens at once"],
)
@simulated(tick=0.0)
async def test_no_call_is_refused_and_no_time_is_lost(share: float, burst: int) -> None:
    server = Server(seed=burst)
    server.tokens = [round(each * share) for each in server.tokens]

    async def call(number: int) -> int:
        assert set(current_limits()) == {"requests", "tokens"}
        status = await server.call(number)
        if status == 429:
            raise RetryAfter(5, pause=True)
        if status == 400:
            raise GiveUp(ValueError("bad request"))
        if status == 500:
            raise ServerError
        return number

    requests = Limit(rate=REQUESTS, per=MINUTE, burst=burst, name="requests")
    tokens = Limit(
        rate=TOKENS,
        per=MINUTE,
        burst=burst * TOKENS / REQUESTS,
        cost=lambda number: server.tokens[number],
        name="tokens",
    )
    limits, fields = [requests, tokens], {"task_attempts": 5, "task_wait_seconds": 1}
    pipeline = Pipeline([stage(call, workers=100, limits=limits, **fields)])
    results = await pipeline.run(range(CALLS))
    attempts = sum(server.calls.values())
    used = sum(server.tokens[number] * times for number, times in server.calls.items())
    ideal = MINUTE * max(attempts / REQUESTS, used / TOKENS)
    assert server.answers[429] == 0
    assert server.answers[500] > 20
    assert len(results) == CALLS - len(server.bad)
    assert {failure.value for failure in pipeline.failures} == server.bad
    assert all(server.calls[number] == 1 for number in server.bad)
    assert now() <= 1.03 * ideal
