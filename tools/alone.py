"""Tries one package where nothing is installed but it, antflow-core and what both declare."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tools.environments import CONSTRAINTS, Environment
from tools.wheels import Wheel
from tools.workspace import CORE, ROOT

IMPORT_ALL = ROOT / "tools" / "import_all.py"


def try_alone(
    wheel: Wheel,
    wheels: Iterable[Wheel],
    python: str,
    folder: Path,
    constraints: Path = CONSTRAINTS,
) -> None:
    """Import every module of a wheel in an environment of its own, so that no import can hide.

    Raises:
        CalledProcessError: it could not be installed, or a module could not be imported.
    """
    core = {other.path for other in wheels if other.name == CORE}
    environment = Environment(folder / wheel.path.stem, constraints).make(python)
    environment.install(*sorted({wheel.path, *core}))
    environment.run("-I", "-W", "error", IMPORT_ALL, wheel.module, *of_extras(wheel))


def of_extras(wheel: Wheel) -> list[str]:
    """Return the names of what a wheel's extras bring, and it does not need otherwise."""
    needed = {one.name for one in wheel.needs()}
    return sorted({one.name for one in wheel.requirements} - needed)
