"""What is answered to a request for metrics, however it came."""

from __future__ import annotations

import gzip
from dataclasses import dataclass, field
from urllib.parse import parse_qs

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import gzip_accepted

from ._exposition import expose

ALLOWED = ("Allow", "GET, HEAD, OPTIONS")
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
        return Answer(200, [ALLOWED])
    if method not in {"GET", "HEAD"}:
        return Answer(405, [ALLOWED], b"Ask for metrics with GET.\n")
    names = parse_qs(query).get("name[]")
    chosen = registry.restricted_registry(names) if names else registry
    content_type, body = expose(chosen, accept)
    headers = [("Content-Type", content_type)]
    if gzip_accepted(encodings):
        headers.append(("Content-Encoding", "gzip"))
        body = gzip.compress(body, COMPRESSION_LEVEL)
    headers.append(("Content-Length", str(len(body))))
    return Answer(200, headers, b"" if method == "HEAD" else body)
