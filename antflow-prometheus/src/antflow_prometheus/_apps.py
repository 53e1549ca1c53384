"""WSGI and ASGI applications that serve metrics."""

from __future__ import annotations

from asyncio import get_running_loop
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from prometheus_client import REGISTRY, CollectorRegistry

from antflow.exporting import reset_after_fork

from ._response import parse_request, respond

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApplication = Callable[[Message, Receive, Send], Awaitable[None]]


def make_wsgi_app(registry: CollectorRegistry = REGISTRY) -> WSGIApplication:
    """Return a WSGI application that serves metrics at every path.

    Args:
        registry: the registry of the metrics.
    """

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        request = parse_request(
            environ["REQUEST_METHOD"],
            environ.get("QUERY_STRING", ""),
            environ.get("HTTP_ACCEPT", ""),
            environ.get("HTTP_ACCEPT_ENCODING", ""),
        )
        response = respond(registry, request)
        start_response(f"{response.status} {HTTPStatus(response.status).phrase}", response.headers)
        return [response.body]

    return app


def make_asgi_app(registry: CollectorRegistry = REGISTRY) -> ASGIApplication:
    """Return an ASGI application that serves metrics at every path.

    A separate thread collects the metrics, so that the event loop is not blocked. Limits of
    connections, times and sizes are those of the server that runs the application.

    Args:
        registry: the registry of the metrics.
    """
    collector = _CollectorThread()

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _serve_lifespan(receive, send)
            return
        if scope["type"] != "http":
            raise ValueError(f"Metrics are served over HTTP, not over {scope['type']!r}")
        headers = _headers_by_name(scope["headers"])
        request = parse_request(
            scope["method"],
            scope["query_string"].decode("latin-1"),
            headers.get("accept", ""),
            headers.get("accept-encoding", ""),
        )
        response = await get_running_loop().run_in_executor(
            collector.executor, respond, registry, request
        )
        response_headers = [
            (name.lower().encode(), text.encode()) for name, text in response.headers
        ]
        await send(
            {"type": "http.response.start", "status": response.status, "headers": response_headers}
        )
        await send({"type": "http.response.body", "body": response.body})

    return app


class _CollectorThread:
    """The thread that collects; a forked child process gets its own."""

    def __init__(self) -> None:
        self.reset()
        reset_after_fork(self)

    def reset(self) -> None:
        # One thread of its own: the loop's default executor may be full of tasks.
        self.executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="antflow-metrics")


# Servers that mount the application ask it to start and to stop, and warn if it does not answer.
async def _serve_lifespan(receive: Receive, send: Send) -> None:
    """Confirm the startup and the shutdown of the server."""
    event = ""
    while event != "lifespan.shutdown":
        event = (await receive())["type"]
        await send({"type": f"{event}.complete"})


def _headers_by_name(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Return headers by lower-case name; several of one name are joined."""
    joined: dict[str, str] = {}
    for name, text in headers:
        key, content = name.decode("latin-1").lower(), text.decode("latin-1")
        joined[key] = f"{joined[key]}, {content}" if key in joined else content
    return joined
