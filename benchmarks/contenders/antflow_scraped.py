"""antflow, scraped: by the server that the environment variable `BENCH_SERVER` names.

With `BENCH_RUNS` set another pipeline runs meanwhile, of one stage and one item, again and again.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import NoReturn

import prometheus_client
from prometheus_client import CollectorRegistry

from antflow import Pipeline
from antflow_prometheus import Prometheus, start_http_server
from benchmarks.contenders.antflow_pipeline import stages

ITEMS = 200
BETWEEN_RUNS = 0.005


async def _pass_on(item: int) -> int:
    return item


@asynccontextmanager
async def scraped(count: int, workers: int) -> AsyncIterator[str]:
    """A started pipeline of that many stages, after some items, and the address of its metrics."""
    registry = CollectorRegistry()
    plugins = [Prometheus(registry)]
    pipeline = Pipeline(stages([_pass_on] * count, workers), collect_results=False, plugins=plugins)
    await pipeline.start()
    port, close = _serve(registry)
    has_runs = "BENCH_RUNS" in os.environ
    running = asyncio.create_task(_run_again_and_again(plugins)) if has_runs else None
    try:
        await pipeline.feed(range(ITEMS))
        yield f"http://127.0.0.1:{port}/metrics"
    finally:
        close()
        if running is not None:
            running.cancel()
        await pipeline.shutdown(drain=True)


async def _run_again_and_again(plugins: list[Prometheus]) -> NoReturn:
    pipeline = Pipeline(stages([_pass_on], 1), name="short", plugins=plugins)
    while True:
        await pipeline.run([1])
        await asyncio.sleep(BETWEEN_RUNS)


def _serve(registry: CollectorRegistry) -> tuple[int, Callable[[], None]]:
    if os.environ["BENCH_SERVER"] == "antflow_prometheus":
        server = start_http_server(0, registry=registry)
        return server.port, server.close
    other, _ = prometheus_client.start_http_server(0, "127.0.0.1", registry)
    return other.server_port, other.shutdown
