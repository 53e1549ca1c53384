"""Public names are listed, explained and on a page of the reference; variables in a document."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.packages.test_imports import MODULES, texts_of

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
REFERENCE = "\n".join(path.read_text(encoding="utf-8") for path in DOCS.glob("reference/*.md"))
SHOWN = set(re.findall(r"^::: ([\w.]+)$", REFERENCE, re.MULTILINE))
DOCUMENTS = "\n".join(path.read_text(encoding="utf-8") for path in DOCS.rglob("*.md"))
VARIABLE = re.compile(r"\bANTFLOW_[A-Z_]*[A-Z]\b")


def public_modules() -> Iterator[ModuleType]:
    """Yield the modules of all packages that say by `__all__` what they offer."""
    for name in MODULES.values():
        package = importlib.import_module(name)
        yield package
        for found in pkgutil.walk_packages(package.__path__, f"{name}."):
            if not any(part.startswith("_") for part in found.name.split(".")):
                module = importlib.import_module(found.name)
                if hasattr(module, "__all__"):
                    yield module


def is_offered_above(module: ModuleType, name: str) -> bool:
    """Return whether a package's front door has the same thing under the same name."""
    root = importlib.import_module(module.__name__.partition(".")[0])
    return (
        root is not module and name in root.__all__ and getattr(root, name) is getattr(module, name)
    )


OFFERING = list(public_modules())
OFFERED = sorted(
    f"{module.__name__}.{name}"
    for module in OFFERING
    for name in module.__all__
    if name != "__version__" and not is_offered_above(module, name)
)
READ = {
    package: {name for _, text in texts_of(package) for name in VARIABLE.findall(text)}
    for package in MODULES
}


def test_every_package_offers_something() -> None:
    roots = {path.partition(".")[0] for path in OFFERED}
    assert roots == set(MODULES.values())


@pytest.mark.parametrize("module", OFFERING, ids=lambda module: module.__name__)
def test_a_module_offers_what_it_lists_and_nothing_else(module: ModuleType) -> None:
    assert len(set(module.__all__)) == len(module.__all__)
    if not hasattr(module, "__path__"):
        return
    own = {
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and not inspect.ismodule(value) and name != "annotations"
    }
    assert own - set(module.__all__) == set()
    assert [name for name in module.__all__ if not hasattr(module, name)] == []


@pytest.mark.parametrize("path", OFFERED)
def test_a_public_name_says_what_it_is_for(path: str) -> None:
    module, _, name = path.rpartition(".")
    found: Any = getattr(importlib.import_module(module), name)
    if not (inspect.isclass(found) or inspect.isroutine(found)):
        return  # a value: its text in the source is not seen at run time
    assert (found.__doc__ or "").strip()
    members = [
        name
        for name, value in vars(found).items()
        if not name.startswith("_") and (inspect.isfunction(value) or isinstance(value, property))
    ]
    assert [name for name in members if not (getattr(found, name).__doc__ or "").strip()] == []


@pytest.mark.parametrize("path", OFFERED)
def test_a_public_name_is_on_a_page_of_the_reference(path: str) -> None:
    assert path in SHOWN, f"add `::: {path}` to a page of docs/reference"


def test_the_reference_shows_nothing_that_is_not_offered() -> None:
    assert sorted(SHOWN - set(OFFERED)) == []


@pytest.mark.parametrize("package", MODULES)
def test_every_variable_of_the_environment_is_documented(package: str) -> None:
    assert package != "antflow-core" or "ANTFLOW_STRICT_PLUGINS" in READ[package]
    assert sorted(READ[package] - set(VARIABLE.findall(DOCUMENTS))) == []
