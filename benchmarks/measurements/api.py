"""Calls of an API with limits: how many are refused, and how long all of them take."""

import asyncio
import json
import sys
from asyncio import StreamReader, StreamWriter
from asyncio.subprocess import PIPE
from random import Random
from time import perf_counter

from benchmarks.contenders import Contender
from benchmarks.contenders.interface import ApiRates, FatalAnswerError
from benchmarks.harness.model import Entry, Figures, Measurement, Metric
from benchmarks.harness.targets import AtMost
from benchmarks.measurements.work import check

ALLOWED = ApiRates(requests=2_500, tokens=200_000, per=5.0)
TOKENS = (50, 150)
"""Of a question: from the first number to the second, each as often."""

MARGIN = 0.015
"""The share of both rates that the client leaves for the way to the server."""

WORKERS = 60

REFUSED = Metric("429", "429s", decimals=0)
ERRORS = Metric("500", "500s", decimals=0)
INVALID = Metric("400", "400s", decimals=0)
ATTEMPTS = Metric("attempts at a 400", "attempts at a 400, at most", decimals=0)
TAKEN = Metric("s", "s")
IDEAL = Metric("ideal", "s ideal")
ABOVE = Metric("above", "% above the ideal")
WORST = Metric("worst", "% of what is allowed in the worst window", decimals=1)


class ErrorAnswerError(Exception):
    """An answer after which one may ask again."""


class Client:
    """Asks over connections that are kept for later questions."""

    def __init__(self, port: int, costs: list[int]) -> None:
        self._port = port
        self._costs = costs
        self._free: list[tuple[StreamReader, StreamWriter]] = []

    async def ask(self, question: int) -> int:
        """Ask; raise an error unless the answer is 200."""
        if not self._free:
            self._free.append(await asyncio.open_connection("127.0.0.1", self._port))
        reader, writer = connection = self._free.pop()
        writer.write(b"POST /%d/%d HTTP/1.1\r\n\r\n" % (question, self._costs[question]))
        status = int((await reader.readuntil(b"\r\n\r\n")).split(b" ", 2)[1])
        self._free.append(connection)
        if status == 200:
            return question
        raise (FatalAnswerError if status == 400 else ErrorAnswerError)(status)

    def close(self) -> None:
        """Close the connections."""
        for _, writer in self._free:
            writer.close()


async def measure(contender: Contender, size: int) -> Figures:
    """Ask a server in a process of its own that many questions."""
    server = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.measurements.api_server"),
        *map(str, ALLOWED),
        stdin=PIPE,
        stdout=PIPE,
    )
    assert server.stdout is not None
    draw = Random(1).randint
    costs = [draw(*TOKENS) for _ in range(size)]
    client = Client(int(await server.stdout.readline()), costs)
    share = 1 - MARGIN
    rates = ApiRates(ALLOWED.requests * share, ALLOWED.tokens * share, ALLOWED.per)
    begin = perf_counter()
    answered = await contender.program().ask_all(costs, client.ask, rates, WORKERS)
    taken = perf_counter() - begin
    client.close()
    output, _ = await server.communicate(b"")
    counted = json.loads(output)
    check(answered, size - counted[INVALID.name])
    return _figures(counted, taken)


def _figures(counted: dict[str, float], taken: float) -> Figures:
    requests = counted["200"] + counted[INVALID.name] + counted[ERRORS.name]
    units = max(requests / ALLOWED.requests, counted["tokens"] / ALLOWED.tokens)
    ideal = units * ALLOWED.per
    kept = (REFUSED, ERRORS, INVALID, ATTEMPTS)
    return {
        **{metric.name: counted[metric.name] for metric in kept},
        TAKEN.name: taken,
        IDEAL.name: ideal,
        ABOVE.name: (taken / ideal - 1) * 100,
        WORST.name: counted["worst window"] * 100,
    }


MEASUREMENT = Measurement(
    name="api",
    title="An API with a limit of requests and one of tokens",
    about=f"A server in a process of its own allows {ALLOWED.requests:,.0f} requests and "
    f"{ALLOWED.tokens:,.0f} tokens in any {ALLOWED.per:.0f} seconds, and answers 429 beyond that. "
    "It answers after 20 ms: one question in 100 by 500 at the first attempt, and one in 333 by "
    f"400 at any. A question costs {TOKENS[0]} to {TOKENS[1]} tokens. The client has limits that "
    f"are {MARGIN:.1%} below the server's, because the way to the server is not equally long for "
    "each request. The ideal is the time in which the server allows what it has answered, at its "
    f"full rate and evenly spaced; so {MARGIN:.1%} of the time above it are this margin.",
    size_heading="questions",
    entries=(Entry("antflow-limits", 5_000),),
    metrics=(REFUSED, ERRORS, INVALID, ATTEMPTS, TAKEN, IDEAL, ABOVE, WORST),
    measure=measure,
    at_most_rounds=1,
    targets=(
        AtMost("no 429", REFUSED, "antflow-limits", 0),
        AtMost("within 3% of the ideal", ABOVE, "antflow-limits", 3),
        AtMost("a 400 fails after one attempt", ATTEMPTS, "antflow-limits", 1),
    ),
)
