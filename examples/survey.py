"""Fetches the files of Python's standard library from a server, and stores what they have.

The server is started here, and is like those that you do not control: it allows 60 requests in any
second, answers some with 503, and is sometimes slow. `make demo` runs this program.

    python examples/survey.py
    python examples/survey.py --database survey.sqlite --dashboard compact

Three stages do the work, and a limit keeps to what the server allows:

    Fetch    gets a file; retries what another attempt may cure, when the server says so
    Parse    counts lines, functions and classes, in a thread
    Store    writes a row into an SQLite database

Meanwhile the metrics of antflow-prometheus are served, and a dashboard of antflow-rich is shown.
"""

from __future__ import annotations

import argparse
import ast
import sqlite3
import sys
import sysconfig
import tempfile
import threading
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from time import monotonic, perf_counter, sleep
from typing import ClassVar, NamedTuple
from urllib.error import HTTPError
from urllib.request import urlopen

from antflow import Backoff, GiveUp, Limit, Pipeline, RetryAfter, Stage, current_item
from antflow_prometheus import Prometheus, start_http_server

RATE = 60  # requests that the server allows in any second
LIBRARY = Path(sysconfig.get_path("stdlib"))
SKIPPED = {"site-packages", "test", "tests", "idlelib"}

# The pipeline


class Source(NamedTuple):
    """A fetched file."""

    path: str
    text: bytes


class Row(NamedTuple):
    """What a file has."""

    path: str
    lines: int
    functions: int
    classes: int


def fetch(address: str) -> Source:
    """Return the file at an address; raise what tells the stage whether to try again."""
    try:
        with urlopen(address, timeout=10) as answer:
            return Source(address.split("/", 3)[3], answer.read())
    except HTTPError as error:
        with error:
            wait = error.headers["Retry-After"]
        if wait is not None:
            raise RetryAfter(float(wait), cause=error, pause=True) from error
        if error.code < 500:  # another attempt does not change it
            raise GiveUp(error) from error
        raise


def parse(source: Source) -> Row:
    """Count what is in a file; one that is no Python fails, at once."""
    tree = ast.parse(source.text)
    nodes = [type(node) for node in ast.walk(tree)]
    functions = nodes.count(ast.FunctionDef) + nodes.count(ast.AsyncFunctionDef)
    lines = source.text.count(b"\n")
    return Row(source.path, lines, functions, nodes.count(ast.ClassDef))


def store(row: Row) -> Row:
    """Write a row into the database, which the lifespan of the pipeline has opened."""
    item = current_item()
    assert item is not None
    item.state.execute("INSERT INTO files VALUES (?, ?, ?, ?)", row)
    return row


def survey(path: Path) -> Pipeline:
    """Return the pipeline, which writes into the database at a path."""

    @asynccontextmanager
    async def database(_: Pipeline) -> AsyncIterator[sqlite3.Connection]:
        with closing(sqlite3.connect(path, check_same_thread=False)) as connection:
            connection.execute("CREATE TABLE files (path, lines, functions, classes)")
            yield connection
            connection.commit()  # once: the run is the transaction

    fetching = Stage(
        "Fetch",
        workers=24,
        tasks=[fetch],
        task_attempts=5,
        retry_wait=Backoff(0.1, maximum=5),
        # A little less than is allowed: requests do not travel equally fast.
        limits=[Limit(rate=RATE, per=1.05, burst=5, name="requests")],
    )
    parsing = Stage("Parse", workers=2, tasks=[parse], never_retry=(SyntaxError, ValueError))
    storing = Stage("Store", workers=1, tasks=[store])
    return Pipeline(
        [fetching, parsing, storing],
        name="survey",
        collect_results=False,
        lifespan=database,
        plugins=[Prometheus()],
    )


# The server


class Files(BaseHTTPRequestHandler):
    """Serves the files of the standard library, within limits."""

    protocol_version = "HTTP/1.0"
    lock = threading.Lock()
    times: ClassVar[deque[float]] = deque()  # of the requests in the last second
    requests = 0

    def do_GET(self) -> None:
        """Answer, but refuse what is too much, and every 25th request."""
        with self.lock:
            Files.requests += 1
            number, now = Files.requests, monotonic()
            while self.times and self.times[0] <= now - 1:
                self.times.popleft()
            is_too_much = len(self.times) >= RATE
            if not is_too_much:
                self.times.append(now)
        if is_too_much:
            self._answer(429, {"Retry-After": "1"})
        elif number % 25 == 0:
            self._answer(503, {})
        else:
            sleep(1.0 if number % 40 == 0 else 0.05)
            path = LIBRARY / self.path.lstrip("/")
            self._answer(200, {}, path.read_bytes()) if path.is_file() else self._answer(404, {})

    def _answer(self, status: int, headers: dict[str, str], body: bytes = b"") -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Log nothing, or the dashboard would be interrupted."""


class Server(ThreadingHTTPServer):
    """A server whose backlog is long enough for a burst."""

    request_queue_size = 100


@contextmanager
def serving() -> Iterator[str]:
    """Serve the files, and give the address of the server."""
    with Server(("127.0.0.1", 0), Files) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def paths() -> list[str]:
    """Return the paths of all files, relative to the library, and one that does not exist."""
    found = sorted(
        path.relative_to(LIBRARY).as_posix()
        for path in LIBRARY.rglob("*.py")
        if not SKIPPED.intersection(path.parts)
    )
    return [*found, "not/there.py"]


# The program

NEXT = """
Try next: --dashboard compact, --database survey.sqlite to keep the rows, --metrics-port 8000 to
scrape the metrics at an address of your own. The pipeline is at the top of examples/survey.py."""


def main() -> int:
    """Run the survey, and show what it found."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--database", type=Path, help="where to write; a temporary file by default")
    parser.add_argument("--dashboard", default="full", help="compact, detailed or full")
    parser.add_argument("--limit", type=int, help="how many files to survey; all by default")
    parser.add_argument(
        "--metrics-port", type=int, default=0, help="0, the default, for a free one"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, serving() as address:
        database = options.database or Path(folder, "survey.sqlite")
        pipeline = survey(database)
        metrics = start_http_server(options.metrics_port, addr="127.0.0.1")
        print(f"Metrics: http://127.0.0.1:{metrics.port}/metrics", file=sys.stderr)
        addresses = [f"{address}/{path}" for path in paths()[: options.limit]]
        begun = perf_counter()
        pipeline.run_sync(addresses, dashboard=options.dashboard)
        report(pipeline, database, perf_counter() - begun)
        metrics.close()
    return 0


def report(pipeline: Pipeline, database: Path, seconds: float) -> None:
    """Print what became of the files, and the first rows of a query."""
    stats = pipeline.get_stats()
    fetching = stats.stage_stats["Fetch"]
    print(
        f"\n{stats.items_processed:,} files in {seconds:.1f} s: {Files.requests:,} requests, "
        f"{fetching.tasks['fetch'].retried} of them repeated; failed: {stats.items_failed}"
    )
    for failure in pipeline.failures[:3]:
        print(f"  failed in {failure.stage}: {failure.error}"[:100])
    query = "SELECT path, functions, lines FROM files ORDER BY functions DESC LIMIT 5"
    print(f"\n{query}")
    with closing(sqlite3.connect(database)) as connection:
        for path, functions, lines in connection.execute(query):
            print(f"  {path:40} {functions:6,} functions {lines:8,} lines")
    print(NEXT)


if __name__ == "__main__":
    sys.exit(main())
