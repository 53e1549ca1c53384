"""What packages may import: the public names of antflow, what they declare, never each other."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import distribution, packages_distributions
from importlib.util import find_spec
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

import antflow
from tests.integration.plugins.installing import PACKAGES, requirements

MODULES = {package: package.replace("-", "_").removesuffix("_core") for package in PACKAGES}
PLUGINS = [package for package in PACKAGES if package != "antflow-core"]


@dataclass(frozen=True)
class Import:
    """One name that a file imports.

    Args:
        place: file and line.
        module: where it comes from.
        name: what is imported of it; None for the module itself.
    """

    place: str
    module: str
    name: str | None = None


def imports_of(package: str) -> Iterator[Import]:
    spec = find_spec(MODULES[package])
    assert spec is not None
    assert spec.origin is not None
    home = Path(spec.origin).parent
    files = sorted(home.rglob("*.py"))
    assert files
    for path in files:
        yield from imports_in(path.read_text(encoding="utf-8"), str(path.relative_to(home)))


def imports_in(text: str, name: str) -> Iterator[Import]:
    for node in ast.walk(ast.parse(text)):
        place = f"{name}:{getattr(node, 'lineno', 0)}"
        if isinstance(node, ast.Import):
            yield from (Import(place, each.name) for each in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            assert node.module is not None
            yield from (Import(place, node.module, each.name) for each in node.names)


def is_public(one: Import) -> bool:
    """Return whether all of an import from antflow may be relied on."""
    if any(part.startswith("_") for part in one.module.split(".")):
        return False
    if one.name is None:
        return True
    module = import_module(one.module)
    return one.name in getattr(module, "__all__", ()) or (
        not one.name.startswith("_") and one.module != "antflow"
    )


def top(module: str) -> str:
    return module.partition(".")[0]


def test_private_names_are_told_from_public_ones() -> None:
    text = (
        "import antflow._run\nfrom antflow import Pipeline, _run\nfrom antflow._item import Item\n"
    )
    found = list(imports_in(text + "from antflow.types import PipelineStats\n", "text"))
    assert [is_public(one) for one in found] == [False, True, False, False, True]


@pytest.mark.parametrize("package", PLUGINS)
def test_plugin_packages_import_public_names_of_antflow_only(package: str) -> None:
    ours = [one for one in imports_of(package) if top(one.module) == "antflow"]
    assert ours, f"{package} imports nothing of antflow"
    assert [one for one in ours if not is_public(one)] == []
    assert taken_by_name(package) <= {*antflow.__all__, "__version__"}


def taken_by_name(package: str) -> set[str]:
    """Return what a package takes of antflow by its name, as in `antflow.Pipeline`."""
    spec = find_spec(MODULES[package])
    assert spec is not None
    assert spec.origin is not None
    return {
        node.attr
        for path in Path(spec.origin).parent.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "antflow"
    }


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_import_what_they_declare_only_and_never_each_other(package: str) -> None:
    declared = set(map(canonicalize_name, requirements(distribution(package))))
    assert declared.isdisjoint(PLUGINS)
    allowed = {MODULES[package], *sys.stdlib_module_names}
    allowed |= {module for name, module in MODULES.items() if name in declared}
    allowed |= {
        module
        for module, names in packages_distributions().items()
        if not declared.isdisjoint(map(canonicalize_name, names))
    }
    assert [one for one in imports_of(package) if top(one.module) not in allowed] == []
