"""Metrics of antflow's pipelines for Prometheus. Begin with `Prometheus`."""

from ._apps import make_asgi_app, make_wsgi_app
from ._server import MetricsServer, start_http_server
from ._version import __version__
from .plugin import DEFAULT_BUCKETS, Prometheus

__all__ = [
    "DEFAULT_BUCKETS",
    "MetricsServer",
    "Prometheus",
    "__version__",
    "make_asgi_app",
    "make_wsgi_app",
    "start_http_server",
]
