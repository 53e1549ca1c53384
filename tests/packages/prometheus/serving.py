"""Requests to a server of metrics."""

from __future__ import annotations

from http.client import HTTPConnection

from antflow_prometheus import MetricsServer


def get(
    server: MetricsServer,
    method: str = "GET",
    path: str = "/metrics",
    *,
    addr: str = "127.0.0.1",
    **headers: str,
) -> tuple[int, bytes]:
    """Return the status and the body of an answer."""
    connection = HTTPConnection(addr, server.port, timeout=10)
    try:
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()
