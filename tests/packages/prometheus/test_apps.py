"""The ASGI application; `test_responses` is of the WSGI application."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from threading import Event, current_thread, main_thread
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Metric

from antflow_prometheus import make_asgi_app
from tests.helpers.virtual_time import simulate
from tests.packages.prometheus.scraping import OPEN, Scraper, key, samples, stage

HTTP = {"type": "http", "method": "GET", "query_string": b"", "headers": []}


@pytest.fixture
def registry() -> CollectorRegistry:
    scraper = Scraper()
    simulate(lambda: scraper.pipeline(stage()).run(range(4)))
    return scraper.registry


async def call(app: Any, scope: dict[str, Any], *received: dict[str, Any]) -> list[dict[str, Any]]:
    sent: list[dict[str, Any]] = []
    waiting = list(received)

    async def receive() -> dict[str, Any]:
        return waiting.pop(0)

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await app(scope, receive, send)
    return sent


async def test_asgi_shows_metrics(registry: CollectorRegistry) -> None:
    start, body = await call(make_asgi_app(registry), HTTP)
    assert start["status"] == 200
    assert dict(start["headers"])[b"content-length"] == str(len(body["body"])).encode()
    assert (
        samples(body["body"].decode())[key("antflow_pipeline_items_fed_total", pipeline="letters")]
        == 4
    )


async def test_asgi_heeds_headers_that_come_in_parts(registry: CollectorRegistry) -> None:
    headers = [(b"Accept", OPEN.encode()), (b"accept", b"text/html"), (b"accept-encoding", b"gzip")]
    start, _ = await call(make_asgi_app(registry), HTTP | {"headers": headers})
    response_headers = dict(start["headers"])
    assert response_headers[b"content-type"].startswith(b"application/openmetrics-text")
    assert response_headers[b"content-encoding"] == b"gzip"


async def test_asgi_heeds_the_query(registry: CollectorRegistry) -> None:
    scope = HTTP | {"query_string": b"name%5B%5D=antflow_build_info"}
    _, body = await call(make_asgi_app(registry), scope)
    assert {name for name, _ in samples(body["body"].decode())} == {"antflow_build_info"}


async def test_asgi_collects_in_a_thread_and_the_loop_goes_on() -> None:
    looped, seen = Event(), []

    class Slow:
        def describe(self) -> list[Metric]:
            return []

        def collect(self) -> Iterator[Metric]:
            seen.append(current_thread())
            assert looped.wait(10)
            return iter(())

    registry = CollectorRegistry()
    registry.register(Slow())
    asyncio.get_running_loop().call_later(0.001, looped.set)
    await call(make_asgi_app(registry), HTTP)
    assert seen
    assert main_thread() not in seen


async def test_asgi_lets_a_server_start_and_stop(registry: CollectorRegistry) -> None:
    events = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
    sent = await call(make_asgi_app(registry), {"type": "lifespan"}, *events)
    assert [message["type"] for message in sent] == [
        "lifespan.startup.complete",
        "lifespan.shutdown.complete",
    ]


async def test_asgi_serves_nothing_but_http(registry: CollectorRegistry) -> None:
    with pytest.raises(ValueError, match="not over 'websocket'"):
        await call(make_asgi_app(registry), {"type": "websocket"})


async def test_asgi_answers_a_method_that_is_none_of_its_own(registry: CollectorRegistry) -> None:
    start, body = await call(make_asgi_app(registry), HTTP | {"method": "DELETE"})
    response_headers = dict(start["headers"])
    assert start["status"] == 405
    assert response_headers[b"content-type"].startswith(b"text/plain")
    assert int(response_headers[b"content-length"]) == len(body["body"]) > 0
