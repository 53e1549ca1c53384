"""The example service, with traced requests."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from opentelemetry.propagate import extract
from opentelemetry.trace import SpanKind
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from antflow import Pipeline
from examples.service.service import Service, make_app
from tests.packages.otel.tracing import Traced, context_of, is_error, links_of

REMOTE = f"00-{'a' * 32}-{'b' * 16}-01"


def with_spans(app: ASGIApp, traced: Traced) -> ASGIApp:
    """Do what OpenTelemetry's instrumentation of ASGI does: a span of kind SERVER a request."""

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        with traced.tracer.start_as_current_span(
            f"{scope['method']} {scope['path']}", extract(headers), SpanKind.SERVER
        ):
            await app(scope, receive, send)

    return serve


async def post(app: ASGIApp, path: str, said: object) -> tuple[int, Any]:
    """Send a request that comes from a remote trace; return status and answer."""
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": json.dumps(said).encode(), "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    scope: Scope = {
        "type": "http",
        "method": "POST",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": [(b"traceparent", REMOTE.encode())],
    }
    await app(scope, receive, send)
    body = b"".join(message.get("body", b"") for message in sent)
    return sent[0]["status"], json.loads(body)


@asynccontextmanager
async def served(traced: Traced) -> AsyncIterator[ASGIApp]:
    """Serve in this process, with a pipeline that is traced."""
    service = Service(stall_seconds=30, request_seconds=5, drain_seconds=5)
    service.pipeline = Pipeline(
        service.pipeline.stages,
        collect_results=False,
        name="pages",
        plugins=[traced.plugin],
        autoload=False,
    )
    app = make_app(service)
    async with service.live(app):
        yield with_spans(app, traced)
    assert not service.pipeline.plugin_faults


async def test_the_trace_of_a_request_leads_to_its_item() -> None:
    traced = Traced()
    async with served(traced) as app:
        status, answer = await post(app, "/items", {"page": "/ants/red"})
    assert (status, answer["page"]) == (200, "/ants/red")
    request, item = traced.only("POST /items"), traced.only("pages")
    assert context_of(request).trace_id == int("a" * 32, 16)
    assert item.parent is None
    assert context_of(request).span_id in links_of(item)
    assert (item.attributes or {})["antflow.item.id"] == "/ants/red"
    visits = [span.name for span in traced.spans if span.parent is not None]
    assert visits == [
        *("Fetch fetch", "Fetch", "Parse parse", "Parse", "Store store", "Store"),
        "POST /items",
    ]


async def test_or_the_item_is_a_part_of_the_requests_trace() -> None:
    traced = Traced(feed_context="child")
    async with served(traced) as app:
        await post(app, "/items", {"page": "/ants/red"})
    assert traced.tree()[:2] == ["run pages", "POST /items"]
    assert "  pages" in traced.tree()
    traces = {context_of(span).trace_id for span in traced.spans if span.name != "run pages"}
    assert traces == {int("a" * 32, 16)}


async def test_every_item_of_a_batch_is_linked_to_its_request() -> None:
    traced = Traced()
    batch = [{"page": f"/ants/{number}"} for number in range(20)]
    async with served(traced) as app:
        assert (await post(app, "/batches", batch))[0] == 202
    request, items = traced.only("POST /batches"), traced.named("pages")
    assert len(items) == 20
    assert all(context_of(request).span_id in links_of(item) for item in items)


@pytest.mark.parametrize(("page", "stage", "status"), [("/broken/ants", "Parse", 422)])
async def test_an_item_that_fails_is_an_error_of_its_own_trace(
    page: str, stage: str, status: int
) -> None:
    traced = Traced()
    async with served(traced) as app:
        assert (await post(app, "/items", {"page": page}))[0] == status
    assert is_error(traced.only("pages"))
    assert is_error(traced.only(f"{stage} {stage.lower()}"))
    assert not is_error(traced.only("POST /items"))
