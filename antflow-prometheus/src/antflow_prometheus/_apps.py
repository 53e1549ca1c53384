"""Applications that show metrics, for a web server to mount."""

from __future__ import annotations

from asyncio import get_running_loop
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from prometheus_client import REGISTRY, CollectorRegistry

from ._answer import answer
from ._forks import renewed_in_children

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApplication = Callable[[Message, Receive, Send], Awaitable[None]]


def make_wsgi_app(registry: CollectorRegistry = REGISTRY) -> WSGIApplication:
    """Return a WSGI application that serves metrics, whatever path it is mounted at.

    Args:
        registry: the registry of the metrics.
    """

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        found = answer(
            registry,
            environ["REQUEST_METHOD"],
            environ.get("QUERY_STRING", ""),
            environ.get("HTTP_ACCEPT", ""),
            environ.get("HTTP_ACCEPT_ENCODING", ""),
        )
        start_response(f"{found.status} {HTTPStatus(found.status).phrase}", found.headers)
        return [found.body]

    return app


def make_asgi_app(registry: CollectorRegistry = REGISTRY) -> ASGIApplication:
    """Return an ASGI application that serves metrics, whatever path it is mounted at.

    The metrics are collected in a separate thread, so the event loop is not held up.

    Args:
        registry: the registry of the metrics.
    """
    collecting = _Collecting()

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _live(receive, send)
            return
        if scope["type"] != "http":
            raise ValueError(f"Metrics are served over HTTP, not over {scope['type']!r}")
        headers = _joined(scope["headers"])
        found = await get_running_loop().run_in_executor(
            collecting.thread,
            answer,
            registry,
            scope["method"],
            scope["query_string"].decode("latin-1"),
            headers.get("accept", ""),
            headers.get("accept-encoding", ""),
        )
        told = [(name.lower().encode(), text.encode()) for name, text in found.headers]
        await send({"type": "http.response.start", "status": found.status, "headers": told})
        await send({"type": "http.response.body", "body": found.body})

    return app


class _Collecting:
    """A thread that collects, and another one in a forked child process."""

    def __init__(self) -> None:
        self.renew()
        renewed_in_children(self)

    def renew(self) -> None:
        self.thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="antflow-metrics")


async def _live(receive: Receive, send: Send) -> None:
    """Tell a server that is starting, and then stopping, to go on."""
    event = ""
    while event != "lifespan.shutdown":
        event = (await receive())["type"]
        await send({"type": f"{event}.complete"})


def _joined(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Return headers by their names in lower case, those of one name joined."""
    joined: dict[str, str] = {}
    for name, text in headers:
        key, content = name.decode("latin-1").lower(), text.decode("latin-1")
        joined[key] = f"{joined[key]}, {content}" if key in joined else content
    return joined
