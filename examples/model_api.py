"""Calls a model API that allows so many requests and so many tokens a minute, and gets no 429.

`asking` has the limits, and `Model` the rules: what a call costs, and which answers are worth
another attempt. The rest of this file is a server to try them on. It counts requests and tokens in
exact windows, and refuses what is above either. Its window is a second, not a minute.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from math import ceil
from time import monotonic, perf_counter, sleep

from antflow import Backoff, GiveUp, Limit, Pipeline, RetryAfter, Stage, current_limits

# The client

REQUESTS, TOKENS = 50, 2_500
"""What the API allows within each window."""

WINDOW = 1.0
"""Seconds; 60 for an API that counts by the minute."""

MARGIN = 0.1
"""Seconds by which calls may differ in their time on the way to the server."""

LONGEST_ANSWER = 100
"""Tokens that the API is asked to answer with at most."""


class StatusError(Exception):
    """The API answered with an error.

    Args:
        status: the number of the answer, such as 503.
    """

    def __init__(self, status: int) -> None:
        super().__init__(f"the API answered {status}")
        self.status = status


def estimate(prompt: str) -> int:
    """Return the most tokens that a call can use; here a word is a token."""
    return len(prompt.split()) + LONGEST_ANSWER


class Model:
    """Asks the model of an API.

    Args:
        host: where the API is, such as "127.0.0.1:8000".
    """

    def __init__(self, host: str) -> None:
        self._host = host

    def ask(self, prompt: str) -> str:
        """Return the model's answer; a plain function, so it runs in a thread."""
        connection = HTTPConnection(self._host, timeout=10)
        try:
            question = json.dumps({"prompt": prompt, "max_tokens": LONGEST_ANSWER})
            connection.request("POST", "/answers", question)
            response = connection.getresponse()
            body = response.read()
        finally:
            connection.close()
        if response.status == 200:
            answer = json.loads(body)
            current_limits()["tokens"].correct(answer["tokens"])  # free what it did not use
            return str(answer["text"])
        error = StatusError(response.status)
        seconds = response.headers["Retry-After"]
        if response.status == 429 and seconds:  # it concerns all calls, so that none may start
            raise RetryAfter(float(seconds), error, pause=True)
        if response.status < 500 and response.status != 429:  # the same call will fail again
            raise GiveUp(error)
        raise error


def asking(host: str, window: float = WINDOW + MARGIN) -> Pipeline:
    """Return the pipeline that asks the model.

    Args:
        host: of the API.
        window: in seconds, a little longer than the API's own.
    """
    requests = Limit(rate=REQUESTS, per=window, name="requests")
    tokens = Limit(
        rate=TOKENS,
        per=window,
        burst=TOKENS / 4,  # several calls, so that tokens which are given back can be used at once
        cost=estimate,
        name="tokens",
    )
    stage = Stage(
        "Ask",
        workers=20,
        tasks=[Model(host).ask],
        limits=[requests, tokens],
        task_attempts=5,
        retry_wait=Backoff(initial=0.1, maximum=30.0),
        retry_on=(StatusError, HTTPException, OSError),
    )
    return Pipeline([stage], name="asking")


# The server


class Window:
    """Counts what came within the last `WINDOW` seconds, exactly.

    Args:
        most: how many units it allows.

    Attributes:
        fullest: the most units that it ever held.
        total: all units that came.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.fullest = self.total = 0
        self._entries: deque[tuple[float, int]] = deque()
        self._used = 0

    def wait_for(self, units: int, now: float) -> float:
        """Return in how many seconds it has room for units; 0 if it has some now."""
        while self._entries and self._entries[0][0] <= now - WINDOW:
            self._used -= self._entries.popleft()[1]
        wait, excess = 0.0, self._used + units - self.most
        for at, used in self._entries:
            if excess > 0:
                wait, excess = at + WINDOW - now, excess - used
        return wait

    def enter(self, units: int, now: float) -> None:
        """Count units."""
        self._entries.append((now, units))
        self.total += units
        self._used += units
        self.fullest = max(self.fullest, self._used)


class ModelServer(ThreadingHTTPServer):
    """Answers prompts, and refuses those that are above its limits.

    It answers 400 to an empty prompt, and 500 to the first call for a prompt that ends with 3.

    Attributes:
        answers: how many answers of each status it gave.
        requests: counts them.
        tokens: counts them.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers: Counter[int] = Counter()
        self.requests, self.tokens = Window(REQUESTS), Window(TOKENS)
        self._seen: set[str] = set()
        self._lock = threading.Lock()

    @property
    def host(self) -> str:
        """Where it listens."""
        return f"127.0.0.1:{self.server_port}"

    def answer(self, prompt: str, max_tokens: int) -> tuple[int, float, int]:
        """Return the status, the seconds to wait and the tokens of an answer."""
        words = prompt.split()
        tokens = len(words) + max_tokens * (len(words) % 10) // 10
        with self._lock:
            now, units = monotonic(), (1, tokens)
            windows = self.requests, self.tokens
            wait = max(map(Window.wait_for, windows, units, (now, now)))
            if wait > 0:
                status = 429
            else:
                for window, used in zip(windows, units, strict=True):
                    window.enter(used, now)
                status = self._status_for(prompt)
            self.answers[status] += 1
        return status, wait, tokens

    def _status_for(self, prompt: str) -> int:
        if not prompt:
            return 400
        is_new = prompt not in self._seen
        self._seen.add(prompt)
        return 500 if is_new and prompt.endswith("3") else 200


class _Handler(BaseHTTPRequestHandler):
    server: ModelServer

    def do_POST(self) -> None:
        question = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        status, wait, tokens = self.server.answer(question["prompt"], question["max_tokens"])
        if status == 200:
            sleep(0.05)  # the model thinks
        body = json.dumps({"text": f"about {question['prompt']!r}", "tokens": tokens}).encode()
        self.send_response(status)
        if status == 429:
            self.send_header("Retry-After", str(ceil(wait)))
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Write no line for each call."""


@contextmanager
def serving() -> Iterator[ModelServer]:
    """Run the server in threads."""
    with ModelServer() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


PROMPTS = [
    "" if number % 50 == 49 else f"{'so ' * (number % 37)}why {number}" for number in range(100)
]
"""Prompts of different lengths; two are empty."""


async def main() -> None:
    with serving() as server:
        pipeline = asking(server.host)
        began = perf_counter()
        results = await pipeline.run(PROMPTS, return_exceptions=True)
        seconds = perf_counter() - began
    answered = sum(result.is_success for result in results)
    once = sum(failure.attempts == 1 for failure in pipeline.failures)
    estimated = sum(map(estimate, PROMPTS))
    counts = ", ".join(f"{server.answers[status]} x {status}" for status in (200, 400, 429, 500))
    print(f"{answered} of {len(PROMPTS)} prompts were answered, {once} failed at the first attempt")
    print(f"the server answered {counts}")
    print(
        f"its fullest windows had {server.requests.fullest} of {REQUESTS} requests "
        f"and {server.tokens.fullest} of {TOKENS} tokens"
    )
    print(
        f"{server.tokens.total} tokens took {seconds:.1f} s; without correct(), {estimated} would "
        f"have taken {estimated / TOKENS * (WINDOW + MARGIN):.1f} s"
    )


if __name__ == "__main__":
    asyncio.run(main())
