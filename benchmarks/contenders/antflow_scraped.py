"""antflow, scraped: by the server that the environment variable `BENCH_SERVER` names."""

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import prometheus_client
from prometheus_client import CollectorRegistry

from antflow import Pipeline
from antflow_prometheus import Prometheus, start_http_server
from benchmarks.contenders.antflow_pipeline import stages

ITEMS = 200


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
    try:
        await pipeline.feed(range(ITEMS))
        yield f"http://127.0.0.1:{port}/metrics"
    finally:
        close()
        await pipeline.shutdown(drain=True)


def _serve(registry: CollectorRegistry) -> tuple[int, Callable[[], None]]:
    if os.environ["BENCH_SERVER"] == "antflow_prometheus":
        server = start_http_server(0, registry=registry)
        return server.port, server.close
    other, _ = prometheus_client.start_http_server(0, "127.0.0.1", registry)
    return other.server_port, other.shutdown
