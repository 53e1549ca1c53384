"""A web service on FastAPI: its endpoints send items through a pipeline, wait, and cancel.

    POST   /words      {"page": "ants"} runs one page through the pipeline, and answers its result
    POST   /jobs       the same page in the background: answers 202 with the id of the job
    GET    /jobs/{id}  the status of a job, and its result
    DELETE /jobs/{id}  cancels a job
    GET    /healthz    200, or 503 with the names of the stages that are stalled
    GET    /metrics    for Prometheus

README.md has the commands to try it out, and docs/how-to/fastapi.md explains the program.
"""

import asyncio
import logging
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from antflow import Item, ItemHandle, Pipeline, PipelineError, PipelineFullError, Stage
from antflow_prometheus import make_asgi_app

REQUEST_SECONDS = float(os.environ.get("REQUEST_SECONDS", "5"))  # an item may wait for a worker
ATTEMPT_SECONDS = float(os.environ.get("ATTEMPT_SECONDS", "2"))  # one call of the remote API
DRAIN_SECONDS = float(os.environ.get("DRAIN_SECONDS", "10"))  # for the jobs left at the end
STALL_SECONDS = float(os.environ.get("STALL_SECONDS", "30"))  # without progress is a stall
KEPT_JOBS = 1000

logging.basicConfig(level=logging.INFO, format="%(levelname)s:     %(message)s")
logger = logging.getLogger(__name__)


# The pipeline. `fetch` and `store` stand in for a remote API and a database: replace them with
# your own.


async def fetch(page: str) -> dict[str, str]:
    if page.startswith("missing"):
        raise LookupError(f"there is no page {page!r}")
    await asyncio.sleep(ATTEMPT_SECONDS / 2 if page.startswith("slow") else 0.01)
    return {"page": page, "text": f"All that is known of {page}"}


def count(fetched: dict[str, str]) -> dict[str, Any]:  # a plain function: it runs in a thread
    return {"page": fetched["page"], "words": len(fetched["text"].split())}


async def store(counted: dict[str, Any]) -> dict[str, Any]:
    await asyncio.sleep(0.001)
    logger.info("Stored %r", counted["page"])
    return counted


pipeline = Pipeline(
    [
        Stage(
            "Fetch",
            workers=20,
            tasks=[fetch],
            queue_capacity=100,  # with more items than that waiting, the service is full
            retry_wait=0.1,
            never_retry=LookupError,
            task_timeout=ATTEMPT_SECONDS,
        ),
        Stage("Count", workers=2, tasks=[count]),
        Stage("Store", workers=4, tasks=[store]),
    ],
    collect_results=False,  # of each item, its handle has the result
    name="pages",
)


# The application


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    async with pipeline.running():
        yield  # the server goes on here at SIGTERM, after its last answer
        for item in await pipeline.shutdown(drain=True, timeout=DRAIN_SECONDS):
            logger.warning("Job %s was left at stage %s: %r", item.id, item.stage, item.value)
    stats = pipeline.get_stats()
    logger.info(
        "Of %d items %d succeeded, %d failed, %d were dropped and %d were left",
        stats.items_fed,
        stats.items_processed,
        stats.items_failed,
        stats.items_dropped,
        stats.items_unprocessed,
    )


app = FastAPI(title="Words", lifespan=lifespan)
app.mount("/metrics", make_asgi_app())


@app.exception_handler(PipelineError)
async def refuse(_: Request, error: Exception) -> JSONResponse:
    is_full = isinstance(error, PipelineFullError)
    text = "Too many pages are waiting; ask later" if is_full else "The service stops; ask again"
    return JSONResponse({"error": text}, 503, {"Retry-After": "1"})


class Page(BaseModel):
    page: str = Field(min_length=1, max_length=200)


@app.post("/words")
async def post_words(body: Page, request: Request) -> JSONResponse:
    """Run a page through the pipeline, ahead of all jobs, and answer its result."""
    handle = pipeline.submit_nowait(body.page, priority=10, expires_in=REQUEST_SECONDS)
    watcher = asyncio.create_task(cancel_at_disconnect(request, handle))
    try:
        result = await handle
    finally:
        watcher.cancel()
        handle.cancel()  # does nothing if the item has ended
    if result.is_success:
        return JSONResponse(result.value)
    if result.error is None:  # it was dropped: it expired
        return JSONResponse({"error": f"No worker was free in {REQUEST_SECONDS:g} seconds"}, 504)
    return JSONResponse({"error": str(result.error), "stage": result.stage}, 502)


async def cancel_at_disconnect(request: Request, handle: ItemHandle) -> None:
    """Cancel the item of a client that does not wait for its answer any more."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
    handle.cancel()


jobs: dict[str, ItemHandle] = {}


@app.post("/jobs", status_code=202)
async def post_job(body: Page) -> dict[str, Any]:
    """Accept a page, and answer the id of its job."""
    handle = pipeline.submit_nowait(Item(body.page, id=uuid4().hex))
    jobs[handle.id] = handle
    forget_old_jobs()
    return {"id": handle.id, "status": handle.status}


def forget_old_jobs() -> None:
    """Forget the oldest job that has ended, if more than KEPT_JOBS are known."""
    ended = (job_id for job_id, handle in jobs.items() if handle.done())
    if len(jobs) > KEPT_JOBS and (oldest := next(ended, None)):
        del jobs[oldest]


@app.get("/jobs/{job_id}")
async def get_job(job_id: str) -> dict[str, Any]:
    """Answer the status of a job; with its result, error or reason once it has ended."""
    handle = known_job(job_id)
    answer: dict[str, Any] = {"id": job_id, "status": handle.status}
    if handle.done():
        result = await handle
        if result.is_success:
            answer["result"] = result.value
        else:
            answer["error"] = str(result.error or result.reason)
    return answer


@app.delete("/jobs/{job_id}", status_code=202)
async def delete_job(job_id: str) -> dict[str, Any]:
    """Cancel a job; an attempt that runs is cancelled a moment later."""
    handle = known_job(job_id)
    if not handle.cancel():
        raise HTTPException(409, f"The job has ended: {handle.status}")
    return {"id": job_id, "status": handle.status}


def known_job(job_id: str) -> ItemHandle:
    if job_id not in jobs:
        raise HTTPException(404, "There is no such job; the ids of old ones are forgotten")
    return jobs[job_id]


@app.get("/healthz")
async def get_health() -> JSONResponse:
    names = stalled_stages()
    content = {"status": "stalled" if names else "ok", "stalled": names}
    return JSONResponse(content, 503 if names else 200)


def stalled_stages() -> list[str]:
    """Return the stages that hold items, and have begun and completed none for STALL_SECONDS."""
    stats = pipeline.get_stats().stage_stats
    latest: dict[str, float] = {}
    for worker in pipeline.get_worker_states().values():
        if worker.processing_since is not None:
            completed = stats[worker.stage].last_completion or 0.0
            moment = max(worker.processing_since, completed, latest.get(worker.stage, 0.0))
            latest[worker.stage] = moment
    return [name for name, moment in latest.items() if time.time() - moment >= STALL_SECONDS]
