"""Traces and metrics of antflow's pipelines with OpenTelemetry. Begin with `OTel`."""

from ._version import __version__
from .plugin import OTel

__all__ = ["OTel", "__version__"]
