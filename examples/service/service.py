"""A web service around one pipeline, which runs as long as the service and is shown to Prometheus.

    POST /items      {"page": "/ants"} runs one page through the pipeline, and answers its result
    POST /batches    [{"page": "/ants"}, ...] feeds many: answered when all have been accepted
    GET  /healthz    200, or 503 with the names of the stages that are stalled
    GET  /metrics    for Prometheus

The pipeline fetches pages from a remote API, parses them in a thread, and stores what they say.
`Upstream` and `store` stand in for the remote API and the database: replace them with your own. To
see what happens when the API hangs, POST /upstream/hang, and then /upstream/resume.

At SIGTERM the service takes no new requests. A request that is open waits for its items for
`--request-seconds` at most, as always. Then the pipeline has `--drain-seconds` to finish what it
has accepted, and the log names what is left. README.md has the commands to try it out.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import math
import re
import signal
import sys
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from operator import length_hint
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from antflow import Limit, Pipeline, PipelineError, PipelineStats, Stage, WorkerState
from antflow_prometheus import make_asgi_app

MOST_BYTES, MOST_ITEMS, MOST_REQUESTS = 1 << 20, 1000, 100
PATH = re.compile("/.{0,199}")
FIRST, LATER = 10, 100  # priorities: somebody waits for an item's answer, and nobody for a batch's
STATUSES = {"Fetch": 502, "Parse": 422}  # of HTTP, by the stage that failed; else 500
RETRY = {"Retry-After": "5"}
SECONDS = (
    ("stall", 30, "how long is no stall yet"),
    ("request", 10, "how long a request waits for its items"),
    ("drain", 10, "how long to finish work after the last request"),
)
LATE = "This takes too long; ask again later"
KNOWN = "POST /items, POST /batches, GET /healthz and GET /metrics"

logger = logging.getLogger("service")


class Upstream:
    """Plays a remote API: /missing/... fails, /slow/... takes a while, /broken/... is no page."""

    def __init__(self) -> None:
        self.answers = asyncio.Event()
        self.answers.set()

    async def fetch(self, page: str) -> str:
        await self.answers.wait()
        kind = section(page)
        await asyncio.sleep(0.5 if kind == "slow" else 0.01)
        if kind == "missing":
            raise ConnectionError(f"The remote API does not give {page!r}")
        title = "" if kind == "broken" else page.strip("/").title()
        return f"{title}\n\nAll that is known of this, in nine words.\n"


def section(page: str) -> str:
    """Return the section of the remote API that a page is in."""
    return page.split("/")[1]


def parse(text: str) -> dict[str, Any]:
    title, _, body = text.partition("\n")
    if not title:
        raise ValueError("The text is no page: it has no title")
    return {"title": title, "words": len(body.split())}


async def store(page: dict[str, Any]) -> dict[str, Any]:
    await asyncio.sleep(0.001)  # a database
    return page


def log_failure(page: str, error: Exception, _: dict[str, Any]) -> None:
    """Log an item that failed: of a batch, no caller gets the error."""
    logger.warning("Page %r failed: %s: %s", page, type(error).__name__, error)


def make_pipeline(upstream: Upstream) -> Pipeline:
    return Pipeline(
        [
            Stage(
                "Fetch",
                workers=50,
                tasks=[upstream.fetch],
                task_attempts=3,
                task_wait_seconds=0.2,
                limits=[
                    Limit(concurrency=50, name="api"),
                    Limit(concurrency=50, key=section, name="section"),
                ],
                on_failure=log_failure,
            ),
            Stage("Parse", workers=2, tasks=[parse], task_attempts=1, on_failure=log_failure),
            Stage("Store", workers=4, tasks=[store], on_failure=log_failure),
        ],
        collect_results=False,
        name="pages",
    )


def stalled(
    stats: PipelineStats, workers: Iterable[WorkerState], now: float, seconds: float
) -> list[str]:
    """Return the stages with items at work, where none was begun or passed on for so long."""
    latest: dict[str, float] = {}
    for worker in workers:
        if worker.processing_since is not None:
            moved = latest.get(worker.stage) or stats.stage_stats[worker.stage].last_completion
            latest[worker.stage] = max(worker.processing_since, moved or 0)
    return [stage for stage, moment in latest.items() if now - moment >= seconds]


async def body_of(request: Request) -> Any:
    body = bytearray()
    try:
        async for part in request.stream():
            body += part
            if len(body) > MOST_BYTES:
                raise HTTPException(413, f"The body is too large; send at most {MOST_BYTES} bytes")
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise HTTPException(400, "The body is no JSON; send JSON, in UTF-8") from error
    except ClientDisconnect as error:
        raise HTTPException(400, "The body is not complete; send all of it") from error


def item_of(said: object, where: str) -> dict[str, str]:
    """Return the item that a request names; its id names it in the log."""
    page = said["page"] if isinstance(said, dict) and said.keys() == {"page"} else None
    if isinstance(page, str) and PATH.fullmatch(page) and page.isprintable():
        return {"id": page, "value": page}
    remedy = 'send {"page": "/path"} and nothing else, in at most 200 printable characters'
    raise HTTPException(422, f"{where} is no item; {remedy}")


def batch_of(said: object) -> list[dict[str, str]]:
    """Return the items that a request names: all of them are accepted, or none."""
    if not isinstance(said, list) or not said:
        raise HTTPException(422, 'The body is no batch; send [{"page": "/path"}, ...], one or more')
    if len(said) > MOST_ITEMS:
        text = f"The batch has {len(said)} items; send at most {MOST_ITEMS} at once"
        raise HTTPException(413, text)
    return [item_of(each, f"Item {number} of the batch") for number, each in enumerate(said)]


class Service:
    """The endpoints, and the pipeline behind them.

    Args:
        stall_seconds: how long a stage with items at work may stand still, and be healthy.
        request_seconds: how long a request waits for its items.
        drain_seconds: how long accepted items may take to end after the last request.
    """

    def __init__(self, stall_seconds: float, request_seconds: float, drain_seconds: float) -> None:
        self.upstream = Upstream()
        self.pipeline = make_pipeline(self.upstream)
        self._metrics = make_asgi_app()
        self._stall_seconds = stall_seconds
        self._request_seconds = request_seconds
        self._drain_seconds = drain_seconds
        self._requests = asyncio.Semaphore(MOST_REQUESTS)

    async def post_item(self, request: Request) -> Response:
        async with self._at_work():
            item = item_of(await body_of(request), "The body")
            async with asyncio.timeout(self._request_seconds):
                result = await self.pipeline.process(item, priority=FIRST)
        if result.error is None:
            return JSONResponse({"page": result.id, **result.value})
        error = f"{type(result.error).__name__}: {result.error}"
        content = {"error": error, "stage": result.stage, "attempts": result.attempts}
        return JSONResponse(content, STATUSES.get(result.stage or "", 500))

    async def post_batch(self, request: Request) -> Response:
        async with self._at_work():
            batch = batch_of(await body_of(request))
            source = iter(batch)
            try:
                async with asyncio.timeout(self._request_seconds):
                    await self.pipeline.feed(source, priority=LATER)
            except TimeoutError:  # the item that was read last was not fed
                accepted = max(0, len(batch) - length_hint(source) - 1)
                error = f"There is no room; send what follows the first {accepted} later"
                return JSONResponse({"error": error, "accepted": accepted}, 503, RETRY)
        return JSONResponse({"accepted": len(batch)}, 202)

    async def get_health(self, _: Request) -> Response:
        workers = self.pipeline.get_worker_states().values()
        stats = self.pipeline.get_stats()
        names = stalled(stats, workers, time.time(), self._stall_seconds)
        content = {"status": "stalled" if names else "ok", "stalled": names}
        return JSONResponse(content, 503 if names else 200)

    async def get_metrics(self, _: Request) -> ASGIApp:
        return self._metrics  # it answers in the place of a response

    async def post_upstream(self, request: Request) -> Response:
        """Let the remote API hang, or answer again."""
        hangs = request.url.path.endswith("/hang")
        (self.upstream.answers.clear if hangs else self.upstream.answers.set)()
        return JSONResponse({"upstream": "hangs" if hangs else "answers"})

    @asynccontextmanager
    async def live(self, _: Starlette) -> AsyncIterator[None]:
        """Have the pipeline run as long as the application does.

        A server ends this after its last request, so each request needs a time limit of its own.
        """
        await self.pipeline.start()
        yield
        logger.info("Draining: %d items to go", self.pipeline.get_stats().items_outstanding)
        for item in await self.pipeline.shutdown(drain=True, timeout=self._drain_seconds):
            logger.warning("Page %r was left at stage %s", item.id, item.stage)
        stats = self.pipeline.get_stats()
        ended = stats.items_processed, stats.items_failed, stats.items_unprocessed
        logger.info("Drained: %d items succeeded, %d failed, %d were left", *ended)

    @asynccontextmanager
    async def _at_work(self) -> AsyncIterator[None]:
        """Be one of the requests at work, whose number bounds the memory that they take."""
        if self._requests.locked():
            raise HTTPException(503, f"{MOST_REQUESTS} requests are at work; ask later", RETRY)
        async with self._requests:
            yield


async def refused(request: Request, error: Exception) -> Response:
    """Answer a request that is not done, with the reason and what to do instead."""
    if isinstance(error, TimeoutError):
        return JSONResponse({"error": LATE}, 504)
    if isinstance(error, PipelineError):  # the pipeline does not run any more
        return JSONResponse({"error": "The service stops; ask again"}, 503, RETRY)
    assert isinstance(error, HTTPException)
    text = error.detail
    if error.status_code in {404, 405}:
        text = f"There is no {request.method} {request.url.path}; there are {KNOWN}"
    return JSONResponse({"error": text}, error.status_code, error.headers)


def make_app(service: Service) -> Starlette:
    return Starlette(
        routes=[
            Route("/items", service.post_item, methods=["POST"]),
            Route("/batches", service.post_batch, methods=["POST"]),
            Route("/healthz", service.get_health),
            Route("/metrics", service.get_metrics),
            Route("/upstream/hang", service.post_upstream, methods=["POST"]),
            Route("/upstream/resume", service.post_upstream, methods=["POST"]),
        ],
        exception_handlers=dict.fromkeys((HTTPException, PipelineError, TimeoutError), refused),
        lifespan=service.live,
    )


def main() -> None:
    """Serve until SIGTERM or Ctrl+C."""
    parser = argparse.ArgumentParser(formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen at")
    parser.add_argument("--port", type=int, default=8000, help="0 for any free one")
    for name, default, what in SECONDS:
        parser.add_argument(f"--{name}-seconds", type=float, default=default, help=what)
    given = parser.parse_args()
    times = given.stall_seconds, given.request_seconds, given.drain_seconds
    if not all(0 <= seconds < math.inf for seconds in times):
        options = ", ".join(f"--{name}-seconds" for name, _, _ in SECONDS)
        parser.error(f"{options} are seconds; give 0 or more")
    logging.basicConfig(level=logging.INFO, format="%(levelname)s:     %(message)s")
    service = Service(*times)
    # Once it has stopped, uvicorn raises the signal again: this makes that a success.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    uvicorn.run(
        make_app(service),
        host=given.host,
        port=given.port,
        access_log=False,
        # For clients that never send all of their request, or never read the answer.
        timeout_graceful_shutdown=math.ceil(given.request_seconds) + 1,
    )


if __name__ == "__main__":
    main()
