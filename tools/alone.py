"""Tries one package where nothing is installed but it, antflow-core and what both declare."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tools.environments import CONSTRAINTS, Environment
from tools.wheels import Wheel
from tools.workspace import CORE

IMPORT_ALL = """
import importlib, importlib.metadata, pathlib, pkgutil, sys, sysconfig

site = pathlib.Path(sysconfig.get_path("purelib")).resolve()
for name in sys.argv[1:]:
    package = importlib.import_module(name)
    home = pathlib.Path(package.__file__).resolve().parent
    assert home.parent == site, f"{name} is {home}, not the wheel in {site}"
    assert (home / "py.typed").is_file(), f"{name} has no py.typed"
    for module in pkgutil.walk_packages(package.__path__, name + "."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    (distribution,) = set(importlib.metadata.packages_distributions()[name])
    installed = importlib.metadata.version(distribution)
    assert package.__version__ == installed, f"{package.__version__} is not {installed}"
    print(f"{distribution} {installed}: every module imports, without the test dependencies")
"""


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
    environment.run("-I", "-W", "error", "-c", IMPORT_ALL, wheel.module)
