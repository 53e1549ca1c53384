"""The command `antflow`: runs pipelines over the lines of a file, and lists plugins and hooks."""

from ._main import main, run_options
from ._version import __version__

__all__ = ["__version__", "main", "run_options"]
