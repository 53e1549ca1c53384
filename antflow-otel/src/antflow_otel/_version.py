"""The version of antflow-otel: read by the build, re-exported at the front door."""

__version__ = "0.1.0"
