"""The response to an HTTP request for metrics."""

from __future__ import annotations

import gzip
import re
from dataclasses import dataclass, field
from urllib.parse import parse_qs

from prometheus_client import CollectorRegistry

from ._exposition import Encode, choose_format, expose

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


@dataclass(frozen=True, slots=True)
class MetricsRequest:
    """What a request asks for; equal requests get equal responses.

    Args:
        method: the method of the request.
        names: the chosen samples; empty for all.
        content_type: the content type of the response.
        encode: the library's function for that type.
        compresses: whether the client accepts gzip.
    """

    method: str
    names: frozenset[str]
    content_type: str
    encode: Encode = field(compare=False)
    compresses: bool


def parse_request(method: str, query: str, accept: str, encodings: str) -> MetricsRequest:
    """Return what a request asks for.

    Args:
        method: the method of the request.
        query: the query string; `name[]=...` chooses metrics by their names.
        accept: the content of the header Accept; an invalid one stands for the text format.
        encodings: the content of the header Accept-Encoding.
    """
    encode, content_type = choose_format(accept)
    names = frozenset(parse_qs(query).get("name[]", ()))
    return MetricsRequest(method, names, content_type, encode, _accepts_gzip(encodings))


def respond(registry: CollectorRegistry, request: MetricsRequest) -> Response:
    """Return the response to a request for the metrics of a registry."""
    method = request.method
    if method == "OPTIONS":
        return text_response(method, 200, "", ALLOWED)
    if method not in {"GET", "HEAD"}:
        return text_response(method, 405, "Ask for metrics with GET.\n", ALLOWED)
    chosen = registry.restricted_registry(request.names) if request.names else registry
    body = expose(chosen, request.encode)
    if not request.compresses:
        return _make_response(method, 200, request.content_type, body)
    body = gzip.compress(body, COMPRESSION_LEVEL)
    return _make_response(method, 200, request.content_type, body, ("Content-Encoding", "gzip"))


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
