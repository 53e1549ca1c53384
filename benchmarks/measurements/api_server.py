"""The program of a server that allows so many requests and tokens, in exact sliding windows.

Arguments: requests, tokens, and the seconds of both windows. It prints its port, answers
`POST /ID/TOKENS` over HTTP, and prints what it has counted, in JSON, when its input ends.
"""

import asyncio
import json
import sys
from asyncio import StreamReader, StreamWriter
from collections import Counter
from time import perf_counter

from benchmarks.measurements.windows import Window

LATENCY = 0.02
"""Seconds that it takes to answer."""

ONE_IN_500 = 100
"""Of so many questions one is answered by 500, at the first attempt."""

ONE_IN_400 = 333
"""Of so many questions one is answered by 400, at each attempt."""


class Server:
    """Counts what it answers; what it refuses by 429 takes nothing of the windows."""

    def __init__(self, requests: float, tokens: float, per: float) -> None:
        self._limits = (requests, tokens)
        self._windows = (Window(per), Window(per))
        self.statuses = Counter[int]()
        self.attempts = Counter[int]()
        self.tokens = 0

    def status(self, question: int, tokens: int) -> int:
        """Decide on a request, which has come just now."""
        self.attempts[question] += 1
        status = self._status(question, tokens)
        self.statuses[status] += 1
        return status

    def _status(self, question: int, tokens: int) -> int:
        now, units = perf_counter(), (1, tokens)
        for window, limit, more in zip(self._windows, self._limits, units, strict=True):
            if window.advance(now) + more > limit:
                return 429
        for window, more in zip(self._windows, units, strict=True):
            window.add(more, now)
        self.tokens += tokens
        if question % ONE_IN_400 == ONE_IN_400 // 2:
            return 400
        is_first = self.attempts[question] == 1
        return 500 if is_first and question % ONE_IN_500 == ONE_IN_500 // 2 else 200

    def report(self) -> dict[str, float]:
        """What it has counted; the windows as shares of what it allows."""
        refused = [n for n in self.attempts if n % ONE_IN_400 == ONE_IN_400 // 2]
        requests, tokens = (
            window.worst / limit for window, limit in zip(self._windows, self._limits, strict=True)
        )
        return {
            **{str(status): self.statuses[status] for status in (200, 400, 429, 500)},
            "tokens": self.tokens,
            "attempts at a 400": max((self.attempts[n] for n in refused), default=0),
            "worst window": max(requests, tokens),
        }

    async def serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        """Answer the requests of a connection."""
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                _, question, tokens = head.split(b" ", 2)[1].split(b"/")
                status = self.status(int(question), int(tokens))
                await asyncio.sleep(LATENCY)
                writer.write(b"HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n" % status)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()


async def main(requests: float, tokens: float, per: float) -> None:
    server = Server(requests, tokens, per)
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    print(listening.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)
    listening.close()
    print(json.dumps(server.report()))


if __name__ == "__main__":
    asyncio.run(main(*map(float, sys.argv[1:])))
