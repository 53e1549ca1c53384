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
from types import ModuleType

import pytest
from packaging.utils import canonicalize_name

from tests.integration.plugins.installing import PACKAGES, requirements

MODULES = {package: package.replace("-", "_").removesuffix("_core") for package in PACKAGES}
PLUGINS = [package for package in PACKAGES if package != "antflow-core"]


@dataclass(frozen=True)
class Import:
    """One name that a file imports."""

    place: str
    module: str
    name: str | None = None


def texts_of(package: str) -> Iterator[tuple[str, str]]:
    """Yield the name and the text of each of a package's files."""
    spec = find_spec(MODULES[package])
    assert spec is not None
    assert spec.origin is not None
    home = Path(spec.origin).parent
    files = sorted(home.rglob("*.py"))
    assert files
    for path in files:
        yield str(path.relative_to(home)), path.read_text(encoding="utf-8")


def imports_of(package: str) -> Iterator[Import]:
    for name, text in texts_of(package):
        yield from imports_in(text, name)


def imports_in(text: str, name: str) -> Iterator[Import]:
    for node in ast.walk(ast.parse(text)):
        place = f"{name}:{getattr(node, 'lineno', 0)}"
        if isinstance(node, ast.Import):
            yield from (Import(place, each.name) for each in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            assert node.module is not None
            yield from (Import(place, node.module, each.name) for each in node.names)


def taken_in(text: str, name: str) -> Iterator[Import]:
    """Yield what a file takes of the modules that it imports, as in `antflow.Pipeline`."""
    tree = ast.parse(text)
    modules = {
        each.asname or top(each.name): each.name if each.asname else top(each.name)
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for each in node.names
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            module = modules.get(node.value.id)
            if module is not None:
                yield Import(f"{name}:{node.lineno}", module, node.attr)


def is_public(one: Import) -> bool:
    """Return whether all of an import from antflow may be relied on."""
    if is_private(one.module):
        return False
    if one.name is None:
        return True
    module = import_module(one.module)
    if one.module == "antflow" or one.name in getattr(module, "__all__", ()):
        return one.name in module.__all__
    found = getattr(module, one.name, None)
    return not (
        one.name.startswith("_")
        or is_private(getattr(found, "__module__", None) or "")
        or one.name not in shown_by(module)
    )


def is_private(module: str) -> bool:
    return any(part.startswith("_") for part in module.split("."))


def shown_by(module: ModuleType) -> set[str]:
    """Return what a module has of its own, or shows on purpose, by `from ... import Name as Name`.

    It says of an object of which module it is; an alias of types, or a number, does not.
    """
    tree = ast.parse(Path(module.__file__ or "").read_text(encoding="utf-8"))
    names = {
        name
        for name, found in vars(module).items()
        if getattr(found, "__module__", "") == module.__name__
    }
    for node in tree.body:
        if isinstance(node, ast.Assign):
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names.add(node.target.id)
        elif isinstance(node, ast.ImportFrom):
            names |= {each.name for each in node.names if each.asname == each.name}
    return names


def top(module: str) -> str:
    return module.partition(".")[0]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("import antflow", True),
        ("import antflow._engine.running.run", False),
        ("from antflow import Pipeline, __version__", True),
        ("from antflow import _engine", False),
        ("from antflow._engine.base.item import new_item", False),
        ("from antflow.types import PipelineStats, ActivityState, StatusEvent", True),
        ("from antflow.types import dataclass", False),
        ("from antflow.types import _Record", False),
        ("from antflow.types import nan", False),
    ],
)
def test_private_names_are_distinguished(line: str, expected: bool) -> None:
    found = list(imports_in(line, "text"))
    assert found
    assert {is_public(one) for one in found} == {expected}


@pytest.mark.parametrize(
    ("text", "module", "name"),
    [
        ("import antflow\nantflow.Pipeline()", "antflow", "Pipeline"),
        ("import antflow as a\na._run", "antflow", "_run"),
        ("import antflow.types\nantflow.types.Any", "antflow", "types"),
        ("def f():\n    import antflow as a\n    return a.Stage", "antflow", "Stage"),
    ],
)
def test_what_is_taken_of_a_module_is_followed(text: str, module: str, name: str) -> None:
    (found,) = taken_in(text, "text")
    assert (found.module, found.name) == (module, name)
    assert is_public(found) == (name in {"Pipeline", "Stage"})


@pytest.mark.parametrize("package", PLUGINS)
def test_plugin_packages_import_public_names_of_antflow_only(package: str) -> None:
    ours = [one for one in imports_of(package) if top(one.module) == "antflow"]
    assert ours, f"{package} imports nothing of antflow"
    ours += [
        one
        for name, text in texts_of(package)
        for one in taken_in(text, name)
        if top(one.module) == "antflow"
    ]
    assert [one for one in ours if not is_public(one)] == []


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
