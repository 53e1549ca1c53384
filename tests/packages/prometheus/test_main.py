"""`python -m antflow_prometheus`: its files, its messages and its errors."""

from __future__ import annotations

import re
import runpy
import subprocess
import sys
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

ALL = sorted(file.name for file in (files("antflow_prometheus") / "monitoring").iterdir())


class Result(NamedTuple):
    code: object
    out: str
    err: str


Run = Callable[..., Result]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs the program in this process."""

    def run(*arguments: str | Path) -> Result:
        monkeypatch.setattr(sys, "argv", ["antflow_prometheus", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            runpy.run_module("antflow_prometheus", run_name="__main__", alter_sys=True)
        return Result(ended.value.code, *capsys.readouterr())

    return run


def written(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_it_is_a_program_that_writes_files_and_names_them(tmp_path: Path) -> None:
    directory = tmp_path / "deep" / "down"
    command = [sys.executable, "-W", "error", "-m", "antflow_prometheus", str(directory)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (run.returncode, run.stderr) == (0, "")
    assert written(directory) == ALL
    for name in ALL:
        assert f"written    {directory / name}: " in run.stdout


@pytest.mark.parametrize("name", ["plain", 'with "quotes" # and: more', "größer"])
def test_the_lines_for_prometheus_yml_are_yaml_with_full_paths(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run(name)
    assert result.code == 0
    directory = tmp_path / name
    lines = yaml.safe_load("\n".join(re.findall(r"^    (.*)$", result.out, re.MULTILINE)))
    assert lines["rule_files"] == [
        str(directory / "recording-rules.yml"),
        str(directory / "alert-rules.yml"),
    ]
    assert lines["scrape_configs"][0]["job_name"] == "antflow"
    assert f"upload {directory / 'grafana-dashboard.json'}\n" in result.out


def test_a_second_time_changes_nothing(tmp_path: Path, run: Run) -> None:
    run(tmp_path)
    result = run(tmp_path)
    assert result.code == 0
    assert result.out.count("unchanged  ") == len(ALL)


@pytest.mark.parametrize("names", [ALL[:1], ALL[1:]])
def test_files_that_differ_are_overwritten_only_with_force(
    tmp_path: Path, run: Run, names: list[str]
) -> None:
    for name in names:
        (tmp_path / name).write_text("mine", encoding="utf-8")
    refused = run(tmp_path)
    assert (refused.code, refused.out) == (1, "")
    verb = "differs" if len(names) == 1 else "differ"
    for name in names:
        assert str(tmp_path / name) in refused.err
        assert (tmp_path / name).read_text(encoding="utf-8") == "mine"
    assert f"{verb} from what would be written; nothing was written: name" in refused.err
    assert written(tmp_path) == names
    forced = run("--force", tmp_path)
    assert (forced.code, forced.out.count("replaced  ")) == (0, len(names))
    assert written(tmp_path) == ALL
    assert all((tmp_path / name).read_text(encoding="utf-8") != "mine" for name in names)


def test_paths_that_cannot_be_written_are_named(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "file"
    file.touch()
    result = run(file)
    assert (result.code, result.out) == (1, "")
    assert result.err == f"error: {file} is not a directory; name one, or a new one\n"
    result = run(file / "below")
    assert result.code == 1
    assert "name a directory that you may write to" in result.err
    (tmp_path / "alert-rules.yml").mkdir()
    result = run("--force", tmp_path)
    assert result.code == 1
    assert "alert-rules.yml cannot be written: Is a directory" in result.err

    def refuse(path: Path, _: bytes) -> int:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "write_bytes", refuse)
    new = tmp_path / "new"
    assert run(new).err == (
        f"error: {new / 'grafana-dashboard.json'} cannot be written: Permission denied; name "
        "a directory that you may write to\n"
    )


def test_the_help_names_files_option_and_exit_codes(run: Run) -> None:
    result = run("--help")
    assert result.code == 0
    said = " ".join(result.out.split())
    for part in ("python -m antflow_prometheus", "--force", *ALL, "Exit code: 0", "1 if", "2 if"):
        assert part in said
    result = run()
    assert result.code == 2
    assert "DIRECTORY" in result.err
