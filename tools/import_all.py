"""Import every module of a package where it is installed, to see that no import hides.

Run by the Python of an environment that holds the package and what it needs, with the name of the
package and those of the distributions that its extras bring: a module that needs one of these,
which is not there, is named and left out.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import pkgutil
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType


def main(name: str, *extras: str) -> None:
    package = importlib.import_module(name)
    check_home(package)
    for found in pkgutil.walk_packages(package.__path__, f"{name}."):
        if not found.name.endswith("__main__"):
            import_module(found.name, extras)
    (distribution,) = set(importlib.metadata.packages_distributions()[name])
    installed = importlib.metadata.version(distribution)
    assert package.__version__ == installed, f"{package.__version__} is not {installed}"
    print(f"{distribution} {installed}: every module imports, without the test dependencies")


def check_home(package: ModuleType) -> None:
    site = Path(sysconfig.get_path("purelib")).resolve()
    home = Path(package.__file__ or "").resolve().parent
    assert home.parent == site, f"{package.__name__} is {home}, not the wheel in {site}"
    assert (home / "py.typed").is_file(), f"{package.__name__} has no py.typed"


def import_module(name: str, extras: Iterable[str]) -> None:
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        if not is_of_an_extra(error.name or "", extras):
            raise
        print(f"{name} needs {error.name}, which an extra brings: left out")


def is_of_an_extra(module: str, extras: Iterable[str]) -> bool:
    """Return whether a module is of one of these distributions, going by their names."""
    name = module.replace(".", "-").replace("_", "-")
    return any(name == extra or name.startswith(f"{extra}-") for extra in extras)


if __name__ == "__main__":
    main(*sys.argv[1:])
