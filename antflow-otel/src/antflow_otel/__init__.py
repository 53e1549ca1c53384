"""antflow-otel makes traces and metrics of antflow's pipelines by OpenTelemetry."""

from ._version import __version__
from .plugin import OTel

__all__ = ["OTel", "__version__"]
