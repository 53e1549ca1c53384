"""Finds the command `antflow`, which is a package of its own."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any

PACKAGE = "antflow_cli"
MISSING = (
    "The command antflow comes with the package antflow-cli: pip install 'antflow-core[cli]'; in a "
    "checkout of antflow: pip install ./antflow-cli"
)


def is_installed() -> bool:
    """Return whether antflow-cli is installed."""
    return find_spec(PACKAGE) is not None


def load() -> Any:
    """Return the package of the command.

    Raises:
        ModuleNotFoundError: it is not installed; the text says how to install it.
    """
    # By name, since antflow-cli depends on this package, and not the other way round.
    if not is_installed():
        raise ModuleNotFoundError(MISSING, name=PACKAGE)
    return import_module(PACKAGE)
