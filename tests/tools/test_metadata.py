"""tools.metadata: packages that lack nothing, and each flaw that is found."""

from __future__ import annotations

import dataclasses
import io
import tarfile
from pathlib import Path

import pytest

from tests.tools.building import ADDRESS, core, plugin, wheel
from tools.metadata import about_sdist, complaints, core_range
from tools.wheels import Wheel


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


def untyped(name: str) -> Wheel:
    found = wheel(name)
    return dataclasses.replace(found, files=found.files[::2])


CORE = "antflow-core"


@pytest.mark.parametrize(
    ("wheels", "complaint"),
    [
        (
            [wheel(CORE, readme="[here](#it) [there](https://a) [no](docs/a.md)")],
            "links to docs/a.md",
        ),
        ([wheel(CORE, more=["_antflow_pytest.py"])], None),
        (
            [wheel(CORE, more=["_other_pytest.py"])],
            "has more than the package antflow: _other_pytest.py",
        ),
        ([wheel(CORE, more=["tests/test_a.py"])], "more than the package antflow: tests"),
        ([untyped(CORE)], "no py.typed"),
        ([core("0.1.1"), plugin("0.1.0")], "antflow-core 0.1.1, antflow-some 0.1.0"),
        ([core(), plugin(requires="antflow-core")], "antflow-some has to require antflow-core"),
        ([core(), plugin(requires="antflow-core>=0.1")], "antflow-some has to require antflow"),
        ([core(), plugin(requires="antflow-core==0.1.0")], "antflow-some has to require antflow"),
        (
            [wheel(CORE, requires=["antflow-some>=0.2; extra == 'some'"]), plugin()],
            "antflow-core has to require antflow-some",
        ),
        ([plugin()], "There is no wheel of antflow-core"),
    ],
)
def test_each_flaw_is_named(wheels: list[Wheel], complaint: str | None) -> None:
    found = complaints(wheels, [], ADDRESS)
    assert len(found) == bool(complaint)
    assert (complaint or "") in "".join(found)


def test_links_are_a_flaw_where_the_repository_has_no_address() -> None:
    (found,) = complaints([core()], [], "")
    assert "and not {}" in found


def test_what_an_sdist_lacks_and_what_strays_into_it_are_named(tmp_path: Path) -> None:
    found = list(about_sdist(sdist(tmp_path, "README.md", "pyproject.toml", "tests/test_a.py")))
    assert found == ["no LICENSE", "has more than sources: tests/test_a.py"]


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
