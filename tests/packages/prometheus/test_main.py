"""`python -m antflow_prometheus`: its files, its messages and its errors."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from antflow_prometheus.__main__ import CONTENTS, main

Capture = pytest.CaptureFixture[str]
ALL = sorted(CONTENTS)


def written(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_the_files_are_written_and_named(tmp_path: Path, capsys: Capture) -> None:
    assert main([str(tmp_path)]) == 0
    assert written(tmp_path) == ALL
    said = capsys.readouterr()
    assert said.err == ""
    for name, content in CONTENTS.items():
        assert f"written    {tmp_path / name}: {content}\n" in said.out


def test_the_directory_is_made(tmp_path: Path) -> None:
    assert main([str(tmp_path / "deep" / "down")]) == 0
    assert written(tmp_path / "deep" / "down") == ALL


@pytest.mark.parametrize("name", ["plain", 'with "quotes" # and: more', "größer"])
def test_what_is_to_be_put_into_prometheus_yml_is_yaml(
    tmp_path: Path, capsys: Capture, name: str
) -> None:
    directory = tmp_path / name
    assert main([str(directory)]) == 0
    said = capsys.readouterr().out
    lines = yaml.safe_load("\n".join(re.findall(r"^    (.*)$", said, re.MULTILINE)))
    assert lines["rule_files"] == [
        str(directory / "recording-rules.yml"),
        str(directory / "alert-rules.yml"),
    ]
    assert lines["scrape_configs"][0]["job_name"] == "antflow"
    assert f"upload {directory / 'grafana-dashboard.json'}\n" in said


def test_a_relative_directory_is_named_in_full(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["here"]) == 0
    assert str(tmp_path / "here" / "alert-rules.yml") in capsys.readouterr().out


def test_what_is_there_already_is_left_alone(tmp_path: Path, capsys: Capture) -> None:
    main([str(tmp_path)])
    capsys.readouterr()
    assert main([str(tmp_path)]) == 0
    assert capsys.readouterr().out.count("unchanged  ") == len(CONTENTS)


def test_a_file_that_differs_is_not_overwritten(tmp_path: Path, capsys: Capture) -> None:
    mine = tmp_path / "alert-rules.yml"
    mine.write_text("mine", encoding="utf-8")
    assert main([str(tmp_path)]) == 1
    assert capsys.readouterr() == (
        "",
        (
            f"error: {mine} differs from what would be written; nothing was written: name another "
            "directory, or give --force to overwrite\n"
        ),
    )
    assert written(tmp_path) == ["alert-rules.yml"]
    assert mine.read_text(encoding="utf-8") == "mine"


def test_all_files_that_differ_are_named(tmp_path: Path, capsys: Capture) -> None:
    for name in ("alert-rules.yml", "recording-rules.yml"):
        (tmp_path / name).write_text("mine", encoding="utf-8")
    assert main([str(tmp_path)]) == 1
    assert (
        f"{tmp_path / 'recording-rules.yml'}, {tmp_path / 'alert-rules.yml'} differ from"
        in capsys.readouterr().err
    )


def test_force_overwrites_what_differs(tmp_path: Path, capsys: Capture) -> None:
    mine = tmp_path / "alert-rules.yml"
    mine.write_text("mine", encoding="utf-8")
    assert main(["--force", str(tmp_path)]) == 0
    assert f"replaced   {mine}: " in capsys.readouterr().out
    assert mine.read_text(encoding="utf-8").startswith("# Alert rules for antflow.")


def test_a_file_is_no_directory(tmp_path: Path, capsys: Capture) -> None:
    file = tmp_path / "file"
    file.touch()
    assert main([str(file)]) == 1
    assert capsys.readouterr().err == (
        f"error: {file} is not a directory; name one, or a new one\n"
    )


def test_a_directory_below_a_file_cannot_be_made(tmp_path: Path, capsys: Capture) -> None:
    file = tmp_path / "file"
    file.touch()
    assert main([str(file / "below")]) == 1
    assert "name a directory that you may write to" in capsys.readouterr().err


def test_a_directory_in_the_place_of_a_file(tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "alert-rules.yml").mkdir()
    assert main(["--force", str(tmp_path)]) == 1
    assert "alert-rules.yml cannot be written: Is a directory" in capsys.readouterr().err


def test_a_directory_that_cannot_be_written_to(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, _: bytes) -> int:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "write_bytes", refuse)
    assert main([str(tmp_path)]) == 1
    assert capsys.readouterr().err == (
        f"error: {tmp_path / 'grafana-dashboard.json'} cannot be written: Permission denied; name "
        "a directory that you may write to\n"
    )


def test_a_directory_must_be_named(capsys: Capture) -> None:
    with pytest.raises(SystemExit) as ended:
        main([])
    assert ended.value.code == 2
    assert "DIRECTORY" in capsys.readouterr().err


def test_the_help_names_files_option_and_exit_codes(capsys: Capture) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    said = " ".join(capsys.readouterr().out.split())
    for part in ("python -m antflow_prometheus", "--force", *ALL, "Exit code: 0", "1 if", "2 if"):
        assert part in said


def test_it_is_a_program(tmp_path: Path) -> None:
    command = [sys.executable, "-W", "error", "-m", "antflow_prometheus", str(tmp_path)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (run.returncode, run.stderr) == (0, "")
    assert written(tmp_path) == ALL
