"""tools.environments: finding Pythons, and running things without what would lead them astray."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tools.environments import execute, find_python, newest_first

THIS = "{}.{}".format(*sys.version_info[:2])


def test_the_newest_release_of_a_version_comes_first() -> None:
    releases = ["3.1.4", "3.11.2", "3.11.10", "3.11-dev", "3.12.1", "pypy3.11-7.3"]
    assert newest_first("3.11", releases) == ["3.11.10", "3.11.2"]


def test_a_python_of_this_version_is_found() -> None:
    found = find_python(THIS)
    assert found is not None
    answer = subprocess.run([found, "--version"], capture_output=True, text=True, check=True)
    assert answer.stdout.startswith(f"Python {THIS}.")
    assert find_python("2.0") is None


def test_a_command_runs_without_paths_of_the_caller(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    monkeypatch.setenv("KEPT", "1")
    program = (
        "import os, pathlib; assert 'PYTHONPATH' not in os.environ; assert os.environ['KEPT']; "
        "pathlib.Path('here').touch()"
    )
    execute(sys.executable, "-c", program, folder=tmp_path)
    assert (tmp_path / "here").exists()


def test_a_command_that_fails_is_an_error() -> None:
    with pytest.raises(subprocess.CalledProcessError):
        execute(sys.executable, "-c", "raise SystemExit(3)")
