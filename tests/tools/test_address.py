"""tools.address, tools.build_packages: one place has the repository's address, or none has."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tools.building import ADDRESS
from tools.address import repository
from tools.build_packages import copy_with_links
from tools.workspace import ROOT, Package, packages

HOSTED = re.compile(
    r"(?:github\.com|github\.io|gitlab\.com|codeberg\.org|bitbucket\.org|readthedocs\.(?:io|org))"
    r"[/:]*([\w.-]*(?:/[\w.-]+)?)|\b([\w-]+)\.(?:github\.io|readthedocs\.(?:io|org))"
)
OTHERS = {
    "MagicStack/uvloop",
    "cgarciae/pypeln",
    "ebonnal/streamable",
    "florimondmanca/aiometer",
    "magicstack",
    "pyper-dev/pyper",
    "redis",
    "statsd/statsd",
    "tenacity",
}
"""Repositories and sites of other projects that documents link to."""

UNREAD = {"dist", "site", "__pycache__"}
HIDDEN = {".ci", ".github"}
BINARY = {".pyc", ".png", ".gz", ".whl"}


def configuration(folder: Path, text: str) -> Path:
    (folder / "pyproject.toml").write_text(f"[tool.antflow]\nrepository = {text}\n", "utf-8")
    return folder


@pytest.mark.parametrize("address", ["", ADDRESS, "https://example.org/some/where"])
def test_the_address_is_read(address: str, tmp_path: Path) -> None:
    assert repository(configuration(tmp_path, repr(address))) == address


@pytest.mark.parametrize("text", ['"example.org/a"', '"https://example.org/a/"', '" "', "1"])
def test_what_is_no_address_is_refused_with_the_remedy(text: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="without a slash at its end, or ''"):
        repository(configuration(tmp_path, text))


def copied(address: str, folder: Path) -> dict[str, object]:
    """Return the project table of a package that is about to be built."""
    source = folder / "sources" / "antflow-some"
    (source / "src" / "__pycache__").mkdir(parents=True)
    text = '[project]\nname = "antflow-some"\n\n[tool.hatch]\n'
    (source / "pyproject.toml").write_text(text, encoding="utf-8")
    copy = copy_with_links(Package(source, {"name": "antflow-some"}), folder, address)
    assert (source / "pyproject.toml").read_text(encoding="utf-8") == text
    assert not (copy / "src" / "__pycache__").exists()
    project: dict[str, object] = tomllib.loads((copy / "pyproject.toml").read_text("utf-8"))
    found = project["project"]
    assert isinstance(found, dict)
    return found


def test_packages_get_their_links_when_they_are_built(tmp_path: Path) -> None:
    assert copied(ADDRESS, tmp_path)["urls"] == {
        "Homepage": ADDRESS,
        "Documentation": f"{ADDRESS}/tree/main/docs",
        "Changelog": f"{ADDRESS}/blob/main/CHANGELOG.md",
        "Issues": f"{ADDRESS}/issues",
        "Source": ADDRESS,
    }
    assert copied("", tmp_path / "without address") == {"name": "antflow-some"}


# This repository


def files() -> Iterator[Path]:
    """Yield the files of the repository, but for what is made."""
    for folder, folders, names in os.walk(ROOT):
        folders[:] = [
            name
            for name in folders
            if name not in UNREAD and (not name.startswith(".") or name in HIDDEN)
        ]
        yield from (Path(folder, name) for name in names if Path(name).suffix not in BINARY)


def strays(text: str, address: str) -> set[str]:
    """Return the addresses in a text that are neither the repository's own nor another project's.

    The own one is a stray as well: it belongs into the root pyproject.toml alone.
    """
    found = {match[1] or match[2] or match[0] for match in HOSTED.finditer(text)} - OTHERS
    return found | ({address} if address and address in text else set())


def test_no_other_file_has_the_address_of_the_repository() -> None:
    read = {*files()} - {Path(__file__).resolve()}
    read.remove(ROOT / "pyproject.toml")
    address = repository()
    found = {str(path): strays(path.read_text("utf-8"), address) for path in read}
    assert {path: names for path, names in found.items() if names} == {}


def test_the_packages_name_no_links_themselves() -> None:
    assert [package.name for package in packages() if "urls" in package.project] == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("git clone https://github.com/antflow/antflow", {"antflow/antflow"}),
        ("git@github.com:some/where.git", {"some/where.git"}),
        ("https://antflow.readthedocs.io/en", {"antflow"}),
        ("see https://some.github.io", {"some"}),
        ("https://github.com/ebonnal/streamable)", set()),
        (f"at {ADDRESS}/issues", {ADDRESS}),
    ],
)
def test_strays_are_found(text: str, found: set[str]) -> None:
    assert strays(text, ADDRESS) == found
