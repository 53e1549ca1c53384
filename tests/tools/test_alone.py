"""tools.alone, tools.import_all: what an environment lacks is found, but for what extras bring."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.tools.building import wheel
from tools.alone import IMPORT_ALL, of_extras
from tools.import_all import import_module, is_of_an_extra


def test_what_only_extras_bring_is_known() -> None:
    requires = ["api>=1", "sdk>=1; extra == 'sdk'", "api>=2; extra == 'sdk'"]
    assert of_extras(wheel("antflow-some", requires=requires)) == ["sdk"]


@pytest.mark.parametrize(
    ("module", "expected"),
    [
        ("opentelemetry.sdk", True),
        ("opentelemetry.sdk.trace", True),
        ("opentelemetry.sdkless", False),
        ("opentelemetry", False),
        ("", False),
    ],
)
def test_a_module_is_told_to_be_of_an_extra_by_its_name(module: str, expected: bool) -> None:
    assert is_of_an_extra(module, ["opentelemetry-sdk"]) is expected


def test_a_module_that_needs_what_is_not_declared_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "needing_much.py").write_text("import not_there.at_all\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="not_there"):
        import_module("needing_much", ["other"])
    import_module("needing_much", ["not-there"])
    assert "needing_much needs not_there" in capsys.readouterr().out


def test_sources_are_not_taken_for_the_wheel() -> None:
    command = [sys.executable, "-I", str(IMPORT_ALL), "antflow"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert "not the wheel" in run.stderr
