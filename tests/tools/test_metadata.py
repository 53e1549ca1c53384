"""tools.metadata: packages that lack nothing, and each flaw that is found."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from tests.tools.building import ADDRESS, core, plugin, wheel
from tools.metadata import about_sdist, complaints, core_range


def sdist(folder: Path, *names: str) -> Path:
    path = folder / "antflow_some-0.1.0.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for name in names:
            archive.addfile(tarfile.TarInfo(f"antflow_some-0.1.0/{name}"), io.BytesIO())
    return path


def test_packages_that_lack_nothing_are_not_complained_of(tmp_path: Path) -> None:
    names = ("README.md", "LICENSE", "pyproject.toml", "PKG-INFO", "src/antflow_some/__init__.py")
    assert complaints([core(), plugin()], [sdist(tmp_path, *names)], ADDRESS) == []


@pytest.mark.parametrize(
    ("header", "complaint"),
    [
        ("Summary", "no Summary"),
        ("License-Expression", "no License-Expression"),
        ("Project-URL", "its links are {}, and not {'Homepage': 'https://example.org/antflow'"),
        ("Classifier", "no classifier 'Framework :: AsyncIO'"),
    ],
)
def test_what_metadata_lack_is_named(header: str, complaint: str) -> None:
    flawed = core()
    del flawed.metadata[header]
    found = complaints([flawed], [], ADDRESS)
    assert any(text.startswith(f"{flawed.path.name}: {complaint}") for text in found)


def test_links_are_a_flaw_where_the_repository_has_no_address() -> None:
    (found,) = complaints([core()], [], "")
    assert "and not {}" in found


def test_a_link_into_the_repository_is_named() -> None:
    flawed = wheel("antflow-core", readme="[here](#it) [there](https://a) [nowhere](docs/a.md)")
    (found,) = complaints([flawed], [], ADDRESS)
    assert "links to docs/a.md" in found


def test_a_module_for_pytest_may_stand_beside_the_package() -> None:
    assert complaints([wheel("antflow-core", more=["_antflow_pytest.py"])], [], ADDRESS) == []
    (found,) = complaints([wheel("antflow-core", more=["_other_pytest.py"])], [], ADDRESS)
    assert "has more than the package antflow: _other_pytest.py" in found


def test_a_stray_package_and_a_missing_marker_of_types_are_named() -> None:
    flawed = wheel("antflow-core", more=["tests/test_a.py"])
    (found,) = complaints([flawed], [], ADDRESS)
    assert "more than the package antflow: tests" in found
    untyped = core()
    object.__setattr__(untyped, "files", untyped.files[::2])
    (found,) = complaints([untyped], [], ADDRESS)
    assert "no py.typed" in found


def test_what_an_sdist_lacks_and_what_strays_into_it_are_named(tmp_path: Path) -> None:
    found = list(about_sdist(sdist(tmp_path, "README.md", "pyproject.toml", "tests/test_a.py")))
    assert found == ["no LICENSE", "has more than sources: tests/test_a.py"]


def test_versions_that_differ_are_named() -> None:
    (found,) = complaints([core("0.1.1"), plugin("0.1.0")], [], ADDRESS)
    assert "antflow-core 0.1.1, antflow-some 0.1.0" in found


@pytest.mark.parametrize("requires", ["antflow-core", "antflow-core>=0.1", "antflow-core==0.1.0"])
def test_a_plugin_that_requires_another_range_of_the_core_is_named(requires: str) -> None:
    (found,) = complaints([core(), plugin(requires=requires)], [], ADDRESS)
    assert found.startswith("antflow-some has to require antflow-core")


def test_a_lacking_core_is_named() -> None:
    assert complaints([plugin()], [], ADDRESS) == ["There is no wheel of antflow-core"]


@pytest.mark.parametrize(
    ("version", "fits", "does_not"),
    [
        ("0.1.0", ("0.1.0", "0.1.9"), ("0.2.0", "1.0")),
        ("0.12.3", ("0.12.0", "0.12.3"), ("0.11.9", "0.13")),
        ("2.3.0", ("2.0.0", "2.9"), ("3.0", "1.9")),
    ],
)
def test_plugins_work_with_a_range_of_the_core(
    version: str, fits: tuple[str, ...], does_not: tuple[str, ...]
) -> None:
    found = core_range(version)
    assert [each in found for each in fits] == [True, True]
    assert [each in found for each in does_not] == [False, False]
