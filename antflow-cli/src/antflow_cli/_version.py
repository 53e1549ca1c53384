"""The version of antflow-cli: read by the build, re-exported as `antflow_cli.__version__`."""

__version__ = "0.1.0"
