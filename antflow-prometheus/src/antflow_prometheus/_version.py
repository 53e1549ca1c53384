"""The version of antflow-prometheus: read by the build, re-exported at the front door."""

__version__ = "0.1.0"
