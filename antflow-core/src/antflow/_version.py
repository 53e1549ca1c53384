"""The version of antflow-core: read by the build, re-exported as `antflow.__version__`."""

__version__ = "0.1.0"
