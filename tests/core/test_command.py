"""`antflow run` within this process: its options, and what they lead to."""

from __future__ import annotations

import json
import logging
import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from antflow import DashboardSnapshot, ErrorSummary, Pipeline, hookimpl
from antflow._cli import command
from antflow._cli.command import run
from antflow._cli.options import run_parser
from tests.helpers.installation import Entry, install

PROGRAM = """
from antflow import Pipeline, Stage

async def double(value):
    return 2 * value

pipeline = Pipeline([Stage("Double", 2, [double], task_attempts=1)])
items = [1, 2, 3]
"""

Command = Callable[..., int]


@pytest.fixture(autouse=True)
def as_found(nothing_installed: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Leave this process as it was found."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(logging, "basicConfig", lambda **_: None)
    engine = logging.getLogger("antflow._engine.run")
    level, modules = engine.level, set(sys.modules)
    yield
    engine.setLevel(level)
    for name in set(sys.modules) - modules:
        del sys.modules[name]


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "doubling_in_a_test.py"
    path.write_text(PROGRAM, encoding="utf-8")
    return path


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "out.jsonl"


def values(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def refused(*arguments: object) -> None:
    with pytest.raises(SystemExit) as ended:
        run([str(argument) for argument in arguments])
    assert ended.value.code == 2


def test_items_of_the_program_are_run(program: Path, output: Path) -> None:
    arguments = [f"{program}:pipeline", "--output", str(output), "--values", "--ordered"]
    assert run(arguments) == 0
    assert values(output) == [2, 4, 6]


def test_arguments_come_before_the_items_of_the_program(program: Path, output: Path) -> None:
    assert run([f"{program}:pipeline", "a", "--output", str(output), "--values"]) == 0
    assert values(output) == ["aa"]


def test_a_file_comes_before_the_items_of_the_program(
    program: Path, output: Path, tmp_path: Path
) -> None:
    source = tmp_path / "in.jsonl"
    source.write_text("7\n[1]\n")
    options = ["--input", str(source), "--output", str(output), "--ordered", "--values"]
    assert run([f"{program}:pipeline", *options]) == 0
    assert values(output) == [14, [1, 1]]


@pytest.mark.parametrize(
    ("option", "written"),
    [("--append", ["an earlier result", 2, 4, 6]), ("--overwrite", [2, 4, 6])],
)
def test_a_file_that_is_not_empty_is_added_to_or_replaced_only_if_that_is_asked_for(
    program: Path,
    output: Path,
    option: str,
    written: list[Any],
    capsys: pytest.CaptureFixture[str],
) -> None:
    output.write_text('"an earlier result"', encoding="utf-8")  # its end of line was not written
    arguments = [f"{program}:pipeline", "--output", str(output), "--values", "--ordered"]
    refused(*arguments)
    err = capsys.readouterr().err
    assert f"--output {output} is not empty; --append keeps" in err
    assert "--overwrite replaces it" in err
    assert output.read_text(encoding="utf-8") == '"an earlier result"'
    assert run([*arguments, option]) == 0
    assert values(output) == written


def test_failures_that_are_not_empty_are_kept_as_well(
    program: Path, output: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    failures = tmp_path / "failures.jsonl"
    failures.write_text("{}\n")
    arguments = [f"{program}:pipeline", "--output", str(output), "--failures", str(failures)]
    refused(*arguments)
    assert f"--failures {failures} is not empty" in capsys.readouterr().err
    assert failures.read_text() == "{}\n"
    assert run([*arguments, "--append"]) == 0
    assert failures.read_text() == "{}\n"
    assert run([*arguments, "--overwrite"]) == 0
    assert failures.read_text() == ""


def test_snapshots_say_which_share_of_a_file_has_been_read(
    program: Path, output: Path, tmp_path: Path
) -> None:
    source = tmp_path / "in.jsonl"
    source.write_text("".join(f"{number}\n" for number in range(10**8, 10**8 + 100)))
    program.write_text(
        "from antflow import Pipeline, Stage\n"
        "async def share(value):\n"
        "    return pipeline.get_dashboard_snapshot().input_fraction\n"
        "pipeline = Pipeline([Stage('Share', 1, [share], queue_capacity=5)])\n"
    )
    arguments = [f"{program}:pipeline", "--output", str(output), "--values"]
    assert run([*arguments, "--input", str(source)]) == 0
    shares = values(output)
    assert shares == sorted(shares)
    assert all(number <= 100 * share <= number + 10 for number, share in enumerate(shares, 1))
    assert shares[-1] == 1


def test_items_that_are_no_file_have_no_share_that_has_been_read(
    program: Path, output: Path
) -> None:
    program.write_text(
        PROGRAM.replace("return 2 * value", "return pipeline.get_dashboard_snapshot()")
    )
    arguments = [f"{program}:pipeline", "--output", str(output), "--values"]
    assert run(arguments) == 0
    assert {shot["input_fraction"] for shot in values(output)} == {None}


def test_a_summary_is_printed_if_it_is_asked_for(
    program: Path, output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([f"{program}:pipeline", "--output", str(output), "--summary"]) == 0
    err = capsys.readouterr().err
    assert err.startswith("STAGE ")
    assert "3 items in " in err


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ([], "TARGET is missing; write module:pipeline or file.py:pipeline"),
        (["{target}", "a", "--input", "b"], "there are both items and --input; give one of them"),
        (["{target}", "a", "--lines"], "--lines is about --input; items after TARGET are text"),
        (["{target}", "--lines"], "give --input - to read standard input"),
        (["{target}s"], "has no 'pipelines'; its pipelines are: pipeline"),
        (["{target}", "--input", "none"], "--input none cannot be read: No such file"),
        (["{target}", "--failures", "-"], "--failures takes the name of a file"),
    ],
)
def test_wrong_usage_is_refused_with_the_reason(
    program: Path,
    output: Path,
    arguments: list[str],
    reason: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    target = f"{program}:pipeline"
    refused(*(each.format(target=target) for each in arguments), "--output", output)
    err = capsys.readouterr().err
    assert err.startswith("usage: antflow run [OPTIONS] TARGET [ITEM ...]\n")
    assert reason in err
    assert not output.exists()


def test_a_pipeline_that_runs_already_leaves_the_files_as_they_are(
    program: Path, output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with program.open("a") as file:
        file.write("async def started():\n    await pipeline.start()\n    return pipeline\n")
    output.write_text("precious")
    refused(f"{program}:started", "--output", output)
    assert ":started is running already; leave its start to antflow run" in capsys.readouterr().err
    assert output.read_text() == "precious"


def test_a_program_that_raises_is_shown_where_it_does(
    program: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    program.write_text("1 / 0")
    refused(f"{program}:pipeline")
    err = capsys.readouterr().err
    assert err.startswith("Traceback (most recent call last):")
    assert f'File "{program}", line 1' in err
    assert "_command" not in err


def test_a_display_that_is_not_installed_is_refused(
    program: Path, output: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    parser = run_parser()
    parser.set_defaults(dashboard="absent")
    monkeypatch.setattr(command, "run_parser", lambda: parser)
    output.write_text("precious")
    refused(f"{program}:pipeline", "--output", output, "--overwrite")
    assert "There is no dashboard 'absent'; installed are: progress" in capsys.readouterr().err
    assert output.read_text() == "precious"


def test_a_plugin_chooses_the_display(
    program: Path, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[Any] = []

    class Board:
        def on_start(self, pipeline: Pipeline, total_items: int | None) -> None:
            shown.append(total_items)

        def on_update(self, snapshot: DashboardSnapshot) -> None:
            pass

        def on_finish(self, results: Any, summary: ErrorSummary) -> None:
            shown.append(summary.total_failed)

    class Boards:
        @hookimpl
        def antflow_add_options(self, parser: ArgumentParser) -> None:
            parser.add_argument("--board", dest="dashboard")

        @hookimpl
        def antflow_configure(self, options: Namespace) -> None:
            options.dashboard = options.dashboard or "usual"

        @hookimpl
        def antflow_dashboard(self, name: str) -> Board:
            shown.append(name)
            return Board()

    install(monkeypatch, Entry("boards", lambda: Boards))
    arguments = [f"{program}:pipeline", "--output", str(output), "--overwrite"]
    assert run(arguments) == 0
    assert run([*arguments, "--board", "other"]) == 0
    assert shown == ["usual", 3, 0, "other", 3, 0]


def test_a_loop_that_is_not_installed_is_refused(
    program: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "uvloop", None)
    refused(f"{program}:pipeline", "--loop", "uvloop")
    assert "--loop uvloop needs the package uvloop: pip install uvloop" in capsys.readouterr().err


def test_an_interrupt_before_the_run_is_one_of_it(
    program: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_: object, *, is_process: bool) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "_run", interrupted)
    assert run([f"{program}:pipeline"]) == 130


def test_results_go_to_standard_output(program: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with program.open("a") as file:
        file.write("import os\nos.write(1, b'printed')\n")
    assert run([f"{program}:pipeline", "--ordered", "--values"]) == 0
    assert capfd.readouterr() == ("2\n4\n6\n", "printed")
    assert os.fstat(1)
