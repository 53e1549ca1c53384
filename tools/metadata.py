"""What is amiss with packages that are about to be published, as lines to read."""

from __future__ import annotations

import re
import tarfile
from collections.abc import Iterable, Iterator
from fnmatch import fnmatch
from pathlib import Path

from packaging.specifiers import SpecifierSet
from packaging.version import Version

from tools.address import urls_of
from tools.wheels import Wheel
from tools.workspace import CORE

FIELDS = (
    "Summary",
    "Author",
    "License-Expression",
    "License-File",
    "Requires-Python",
    "Keywords",
    "Description-Content-Type",
)
CLASSIFIERS = (
    "Development Status :: ",
    "Framework :: AsyncIO",
    "Intended Audience :: ",
    "Operating System :: OS Independent",
    "Programming Language :: Python :: 3 :: Only",
    "Topic :: ",
    "Typing :: Typed",
)
LINK = re.compile(r"\]\((?!https?:|#)([^)\s]+)")
IN_SDIST = re.compile(r"src/.*|README\.md|LICENSE|PKG-INFO|pyproject\.toml|\.gitignore")


def complaints(wheels: list[Wheel], sdists: Iterable[Path], address: str = "") -> list[str]:
    """Return all that is amiss with packages: what they say, what is in them, what they require.

    Args:
        wheels: the wheels.
        sdists: the files of their sources.
        address: the public address of the repository, or "" if it has none.
    """
    found = [
        f"{wheel.path.name}: {text}" for wheel in wheels for text in about_wheel(wheel, address)
    ]
    found += [f"{path.name}: {text}" for path in sdists for text in about_sdist(path)]
    return [*found, *about_versions(wheels)]


def about_wheel(wheel: Wheel, address: str) -> Iterator[str]:
    yield from (f"no {field}" for field in FIELDS if not wheel.metadata[field])
    classifiers = wheel.metadata.get_all("Classifier", [])
    for wanted in CLASSIFIERS:
        if not any(each.startswith(wanted) for each in classifiers):
            yield f"no classifier {wanted!r}"
    urls = dict(text.split(", ", 1) for text in wheel.metadata.get_all("Project-URL", []))
    if urls != urls_of(address):
        yield f"its links are {urls}, and not {urls_of(address)}; run `make build` again"
    yield from (
        f"its README links to {link}, which leads nowhere outside of the repository"
        for link in LINK.findall(str(wheel.metadata.get_payload()))
    )
    yield from about_files(wheel)


def about_files(wheel: Wheel) -> Iterator[str]:
    tops = {name.partition("/")[0] for name in wheel.files}
    information = f"{wheel.name.replace('-', '_')}-{wheel.version}.dist-info"
    # A plugin of pytest stands beside its package, for sessions that need none of it.
    beside = {top for top in tops if fnmatch(top, f"_{wheel.module}_*.py")}
    if extra := tops - {wheel.module, information} - beside:
        yield f"has more than the package {wheel.module}: {', '.join(sorted(extra))}"
    if f"{wheel.module}/py.typed" not in wheel.files:
        yield "no py.typed, so its types are not seen"


def about_sdist(path: Path) -> Iterator[str]:
    with tarfile.open(path) as archive:
        names = {member.name.partition("/")[2] for member in archive if member.isfile()}
    for name in ("README.md", "LICENSE", "pyproject.toml"):
        if name not in names:
            yield f"no {name}"
    if extra := [name for name in names if not IN_SDIST.fullmatch(name)]:
        yield f"has more than sources: {', '.join(sorted(extra))}"


def about_versions(wheels: list[Wheel]) -> Iterator[str]:
    versions = {wheel.name: wheel.version for wheel in wheels}
    if len(set(versions.values())) > 1:
        listed = ", ".join(f"{name} {version}" for name, version in versions.items())
        yield f"The packages have different versions: {listed}; publish all under one"
    if CORE not in versions:
        yield f"There is no wheel of {CORE}"
        return
    wanted = core_range(versions[CORE])
    for wheel in wheels:
        ours = {one.name: one.specifier for one in wheel.requirements if one.name in versions}
        for name in sorted({*ours} | ({CORE} - {wheel.name})):
            if ours.get(name) != wanted:
                yield f"{wheel.name} has to require {name}{wanted}, as it is tried with that"


def core_range(version: str) -> SpecifierSet:
    """Return the versions of the core that plugins of this version work with.

    Before 1.0, a minor version may change what plugins use; from then on, a major one.
    """
    found = Version(version)
    low, high = (
        (f"{found.major}.0", f"{found.major + 1}")
        if found.major
        else (f"0.{found.minor}", f"0.{found.minor + 1}")
    )
    return SpecifierSet(f">={low},<{high}")
