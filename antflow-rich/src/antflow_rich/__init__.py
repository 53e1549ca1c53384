"""Displays of antflow's pipelines in the terminal: a progress bar and three dashboards."""

from ._version import __version__
from .plugin import Rich

__all__ = ["Rich", "__version__"]
