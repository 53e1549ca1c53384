"""tools.check_packages: it needs all that it is to check, and says what is amiss."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tools.building import core, plugin
from tools import check_packages
from tools.wheels import Wheel
from tools.workspace import Package


def set_up(patch: pytest.MonkeyPatch, folder: Path, wheels: list[Wheel], names: list[str]) -> None:
    patch.setattr(check_packages, "DIST", folder)
    patch.setattr(check_packages, "built_wheels", lambda: wheels)
    found = [Package(Path(name), {"name": name}) for name in names]
    patch.setattr(check_packages, "packages", lambda: found)


def test_a_package_that_is_not_built_is_an_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    set_up(monkeypatch, tmp_path, [core()], ["antflow-core", "antflow-some"])
    assert check_packages.main() == 2
    assert "make build" in capsys.readouterr().err


def test_what_is_amiss_is_said_and_nothing_is_installed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wheels = [core("0.1.0"), plugin("0.1.1")]
    set_up(monkeypatch, tmp_path, wheels, ["antflow-core", "antflow-some"])
    monkeypatch.setattr(check_packages, "complaints", lambda *_: ["versions differ"])
    for name in ("a.tar.gz", "b.tar.gz"):
        (tmp_path / name).touch()
    assert check_packages.main() == 1
    assert "versions differ" in capsys.readouterr().err


def test_there_are_samples_to_check() -> None:
    assert (check_packages.SAMPLES / "sample.py").is_file()
