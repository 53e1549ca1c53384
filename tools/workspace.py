"""The packages of this workspace, as their folders and pyproject.toml files say."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
CORE = "antflow-core"


@dataclass(frozen=True)
class Package:
    """A package of the workspace.

    Args:
        folder: where its pyproject.toml is.
        project: the table of that name in it.
    """

    folder: Path
    project: Mapping[str, Any]

    @property
    def name(self) -> str:
        return str(self.project["name"])

    @property
    def sources(self) -> Path:
        return self.folder / "src" / module_of(self.name)


def packages(root: Path = ROOT) -> list[Package]:
    """Return the packages, the core first, the others by name."""
    folders = (path.parent for path in root.glob("antflow-*/pyproject.toml"))
    found = [Package(folder, project_of(folder)) for folder in folders]
    return sorted(found, key=lambda package: (package.name != CORE, package.name))


def project_of(folder: Path) -> dict[str, Any]:
    text = (folder / "pyproject.toml").read_text(encoding="utf-8")
    project: dict[str, Any] = tomllib.loads(text)["project"]
    return project


def group(name: str, root: Path = ROOT) -> list[str]:
    """Return the names of what a dependency group of the workspace names itself."""
    text = (root / "pyproject.toml").read_text(encoding="utf-8")
    named = tomllib.loads(text)["dependency-groups"][name]
    return [canonicalize_name(Requirement(one).name) for one in named if isinstance(one, str)]


def module_of(distribution: str) -> str:
    """Return what a distribution of ours is imported as."""
    return distribution.replace("-", "_").removesuffix("_core")
