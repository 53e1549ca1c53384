"""What built wheels say of themselves."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from email.message import Message
from email.parser import HeaderParser
from pathlib import Path

from packaging.requirements import Requirement

from tools.workspace import CORE, ROOT, module_of

DIST = ROOT / "dist"


@dataclass(frozen=True)
class Wheel:
    """A built wheel.

    Args:
        path: the file.
        files: the names of what is in it.
        metadata: its METADATA; the body is the long description.
    """

    path: Path
    files: tuple[str, ...]
    metadata: Message

    @property
    def name(self) -> str:
        return str(self.metadata["Name"])

    @property
    def version(self) -> str:
        return str(self.metadata["Version"])

    @property
    def module(self) -> str:
        return module_of(self.name)

    @property
    def requirements(self) -> list[Requirement]:
        """All that it requires, its extras' requirements included."""
        return [Requirement(text) for text in self.metadata.get_all("Requires-Dist", [])]

    def needs(self) -> list[Requirement]:
        """Return what is installed with it where no extra is asked for."""
        plain = {"extra": ""}
        return [one for one in self.requirements if not one.marker or one.marker.evaluate(plain)]


def read_wheel(path: Path) -> Wheel:
    with zipfile.ZipFile(path) as archive:
        files = tuple(archive.namelist())
        (metadata,) = (name for name in files if name.endswith(".dist-info/METADATA"))
        text = archive.read(metadata).decode("utf-8")
    return Wheel(path, files, HeaderParser().parsestr(text))


def built_wheels(folder: Path = DIST) -> list[Wheel]:
    """Return the wheels of a folder, in the order in which they may be published."""
    return publishing_order(map(read_wheel, sorted(folder.glob("*.whl"))))


def publishing_order(wheels: Iterable[Wheel]) -> list[Wheel]:
    """Return wheels so that each comes after those that it needs: the core, then the plugins."""
    return sorted(wheels, key=lambda wheel: (wheel.name != CORE, wheel.name))
