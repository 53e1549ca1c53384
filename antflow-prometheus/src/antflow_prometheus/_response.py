"""The response to an HTTP request for metrics."""

from __future__ import annotations

import gzip
import re
from dataclasses import dataclass, field
from urllib.parse import parse_qs

from prometheus_client import CollectorRegistry

from ._exposition import expose

ALLOWED = ("Allow", "GET, HEAD, OPTIONS")
REFUSED = re.compile(r"q\s*=\s*0(\.0*)?")
COMPRESSION_LEVEL = 1
"""Metrics repeat themselves so much that higher levels cost time and save little."""


@dataclass(frozen=True, slots=True)
class Response:
    """An HTTP response.

    Args:
        status: the status code.
        headers: names and contents of the headers.
        body: the body; empty for HEAD.
    """

    status: int
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""


def respond(
    registry: CollectorRegistry, method: str, query: str, accept: str, encodings: str
) -> Response:
    """Return the response to a request.

    Args:
        registry: the registry of the metrics.
        method: the method of the request.
        query: the query string; `name[]=...` chooses metrics by their names.
        accept: the content of the header Accept.
        encodings: the content of the header Accept-Encoding.
    """
    if method == "OPTIONS":
        return text_response(method, 200, "", ALLOWED)
    if method not in {"GET", "HEAD"}:
        return text_response(method, 405, "Ask for metrics with GET.\n", ALLOWED)
    names = parse_qs(query).get("name[]")
    chosen = registry.restricted_registry(names) if names else registry
    content_type, body = expose(chosen, accept)
    if not _accepts_gzip(encodings):
        return _make_response(method, 200, content_type, body)
    compressed = gzip.compress(body, COMPRESSION_LEVEL)
    return _make_response(method, 200, content_type, compressed, ("Content-Encoding", "gzip"))


def text_response(method: str, status: int, text: str, *headers: tuple[str, str]) -> Response:
    """Return a response with a text for people."""
    return _make_response(method, status, "text/plain; charset=utf-8", text.encode(), *headers)


def _make_response(
    method: str, status: int, content_type: str, body: bytes, *headers: tuple[str, str]
) -> Response:
    """Return a response with the common headers; to HEAD without its body."""
    length = ("Content-Length", str(len(body)))
    all_headers = [("Content-Type", content_type), *headers, length]
    return Response(status, all_headers, b"" if method == "HEAD" else body)


def _accepts_gzip(encodings: str) -> bool:
    for each in encodings.split(","):
        name, *parameters = (part.strip().lower() for part in each.split(";"))
        if name == "gzip":
            return not any(REFUSED.fullmatch(parameter) for parameter in parameters)
    return False
