"""What is answered to a request for metrics, however it came."""

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
"""Metrics repeat themselves so much that the higher levels cost time and save little."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer.

    Args:
        status: of HTTP.
        headers: their names and contents.
        body: what follows them.
    """

    status: int
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""


def answer(
    registry: CollectorRegistry, method: str, query: str, accept: str, encodings: str
) -> Answer:
    """Return what is answered to a request.

    Args:
        registry: whose metrics are shown.
        method: of the request.
        query: what followed the question mark; `name[]=...` chooses metrics by their names.
        accept: the formats that are wanted, as in the header Accept.
        encodings: the compressions that are understood, as in the header Accept-Encoding.
    """
    if method == "OPTIONS":
        return told(method, 200, "", ALLOWED)
    if method not in {"GET", "HEAD"}:
        return told(method, 405, "Ask for metrics with GET.\n", ALLOWED)
    names = parse_qs(query).get("name[]")
    chosen = registry.restricted_registry(names) if names else registry
    content_type, body = expose(chosen, accept)
    if not _takes_gzip(encodings):
        return _whole(method, 200, content_type, body)
    compressed = gzip.compress(body, COMPRESSION_LEVEL)
    return _whole(method, 200, content_type, compressed, ("Content-Encoding", "gzip"))


def told(method: str, status: int, text: str, *headers: tuple[str, str]) -> Answer:
    """Return an answer that says something to people.

    Args:
        method: of the request.
        status: of HTTP.
        text: what is said.
        headers: further ones.
    """
    return _whole(method, status, "text/plain; charset=utf-8", text.encode(), *headers)


def _whole(
    method: str, status: int, content_type: str, body: bytes, *headers: tuple[str, str]
) -> Answer:
    """Return an answer with the headers that each has, and without its body if that is HEAD's."""
    length = ("Content-Length", str(len(body)))
    every = [("Content-Type", content_type), *headers, length]
    return Answer(status, every, b"" if method == "HEAD" else body)


def _takes_gzip(encodings: str) -> bool:
    for each in encodings.split(","):
        name, *parameters = (part.strip().lower() for part in each.split(";"))
        if name == "gzip":
            return not any(REFUSED.fullmatch(parameter) for parameter in parameters)
    return False
