"""The version of antflow-rich: read by the build, re-exported at the front door."""

__version__ = "0.1.0"
