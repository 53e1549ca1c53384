"""Calls an HTTP server that is often too busy, and retries each call when the server allows it.

`fetch` has the rules: which answers are worth another attempt, and when. The rest of this file is a
server to try them on. Of its answers, a third are 503, and a third ask by Retry-After for a pause:
in seconds or as a date, with 429.
"""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from email.message import Message
from email.utils import format_datetime, parsedate_to_datetime
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from time import monotonic, perf_counter, time

from antflow import Backoff, GiveUp, Pipeline, RetryAfter, Stage

# The client

TRANSIENT = {408, 425, 429, 500, 502, 503, 504}
"""Answers that another attempt may change."""

LONGEST = 86_400.0
"""Seconds; no answer may make an item wait longer."""


class StatusError(Exception):
    """The server answered with an error.

    Args:
        status: the number of the answer, such as 503.
    """

    def __init__(self, status: int) -> None:
        super().__init__(f"the server answered {status}")
        self.status = status


def retry_after(headers: Message) -> float | None:
    """Return the seconds to wait that an answer asks for; None if it asks for none."""
    text = str(headers["Retry-After"]).strip()
    if text.isascii() and text.isdigit():
        return min(float(text), LONGEST)
    until = timestamp(text)
    if until is None:
        return None
    now = timestamp(str(headers["Date"]))  # the server's clock may differ from this one
    return min(max(until - (time() if now is None else now), 0.0), LONGEST)


def timestamp(text: str) -> float | None:
    """Return the Unix time of an HTTP date; None if it is none."""
    try:
        date = parsedate_to_datetime(text)
    except ValueError:
        return None
    return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()


def fetch(address: str) -> str:
    """Return the text at an address; a plain function, so it runs in a thread."""
    host, _, path = address.removeprefix("http://").partition("/")
    connection = HTTPConnection(host, timeout=10)
    try:
        connection.request("GET", f"/{path}")
        answer = connection.getresponse()
        body = answer.read()
    finally:
        connection.close()
    if answer.status < 400:
        return body.decode()
    error = StatusError(answer.status)
    if answer.status not in TRANSIENT:
        raise GiveUp(error)
    seconds = retry_after(answer.headers)
    if seconds is None:
        raise error  # the stage's `retry_wait` says when to try again
    raise RetryAfter(seconds, error)


def fetching(workers: int = 4) -> Pipeline:
    """Return the pipeline that fetches addresses."""
    stage = Stage(
        "Fetch",
        workers=workers,
        tasks=[fetch],
        task_attempts=6,
        retry_wait=Backoff(initial=0.1, maximum=30.0),
        retry_on=(StatusError, HTTPException, OSError),
        retry_timeout=300.0,
    )
    return Pipeline([stage], name="fetching")


# The server


class BusyServer(ThreadingHTTPServer):
    """Answers the third call for each item, and asks to come back later before that.

    Attributes:
        answers: how many answers of each status it gave.
        early: calls that came before the time that Retry-After named.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers: Counter[int] = Counter()
        self.early: list[str] = []
        self._calls: Counter[str] = Counter()
        self._open_at: dict[str, float] = {}
        self._lock = threading.Lock()

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_port}"

    def status_for(self, path: str) -> tuple[int, str | None]:
        """Return the status of an answer, and its Retry-After."""
        number = path.removeprefix("/items/")
        with self._lock:
            if monotonic() < self._open_at.get(path, 0.0):
                self.early.append(path)
            self._calls[path] += 1
            if not number.isdigit():
                answer: tuple[int, str | None] = 404, None
            elif self._calls[path] > 2:
                answer = 200, None
            elif (int(number) + self._calls[path]) % 2:
                answer = 503, None
            else:
                answer = 429, self._pause(path, as_date=int(number) % 4 < 2)
            self.answers[answer[0]] += 1
        return answer

    def _pause(self, path: str, *, as_date: bool) -> str:
        """Allow no call for an item for a second, or until the next whole second."""
        now = time()
        seconds = int(now) + 1 - now if as_date else 1.0
        self._open_at[path] = monotonic() + seconds
        if not as_date:
            return "1"
        return format_datetime(datetime.fromtimestamp(int(now) + 1, UTC), usegmt=True)


class _Handler(BaseHTTPRequestHandler):
    server: BusyServer

    def do_GET(self) -> None:
        status, retry_after = self.server.status_for(self.path)
        body = f"text of {self.path}".encode()
        self.send_response(status)  # adds the Date
        if retry_after is not None:
            self.send_header("Retry-After", retry_after)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Write no line for each call."""


@contextmanager
def serving() -> Iterator[BusyServer]:
    """Run the server in threads."""
    with BusyServer() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


async def main() -> None:
    pipeline = fetching()
    with serving() as server:
        began = perf_counter()
        addresses = [f"{server.address}/items/{number}" for number in range(60)]
        results = await pipeline.run(addresses)
        seconds = perf_counter() - began
    stats = pipeline.get_stats().stage_stats["Fetch"]
    counts = ", ".join(f"{number} x {status}" for status, number in sorted(server.answers.items()))
    print(f"{len(results)} of {len(addresses)} items succeeded; the server answered {counts}")
    print(f"{len(server.early)} calls came before their time")
    print(f"{stats.retried_attempts} retries took {seconds:.1f} s with 4 workers")


if __name__ == "__main__":
    asyncio.run(main())
