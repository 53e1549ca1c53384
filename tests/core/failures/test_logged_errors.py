"""Errors in users' code are logged with their traceback, also those that Python cannot show."""

from __future__ import annotations

import io
import logging
import queue
import subprocess
import sys
from collections.abc import Callable, Iterator
from logging.handlers import QueueHandler
from pathlib import Path
from typing import Any

import pytest

from antflow import Pipeline, Stage, TaskEvent, hookimpl
from antflow.testing import run_pipeline
from tests.helpers.runs import same, values
from tests.helpers.shown_errors import can_be_shown
from tests.helpers.virtual_time import simulate


class Unshowable(Exception):
    """An error whose notes raise when they are read."""

    @property
    def __notes__(self) -> list[str]:  # type: ignore[override]
        raise RuntimeError("no notes")


class Mute(Unshowable):
    """One whose text raises, too."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


def odd_syntax() -> SyntaxError:
    error = SyntaxError("odd")
    error.lineno, error.text = 1, 5  # type: ignore[assignment]
    return error


def caused() -> Exception:
    error = ValueError("above")
    error.__cause__ = Unshowable("below")
    return error


MAKES = Unshowable, Mute, odd_syntax, caused
UNSHOWABLE = [make for make in MAKES if not can_be_shown(make())]
unshown = pytest.mark.skipif(
    Unshowable not in UNSHOWABLE, reason="this Python shows errors whose notes raise"
)


class Faulty:
    """A plugin with a hook that raises."""

    antflow_name = "faulty"

    def __init__(self, make: Callable[[], Exception]) -> None:
        self._make = make

    @hookimpl
    def antflow_task_success(self, event: TaskEvent) -> None:
        raise self._make()


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    """The logger of antflow, without what a test has changed."""
    found = logging.getLogger("antflow")
    yield found
    found.handlers.clear()
    found.setLevel(logging.NOTSET)


def run_with(make: Callable[[], Exception], **fields: Any) -> None:
    """Run two items with a plugin that raises at each; check that the run is not disturbed."""
    stage = Stage("Work", 1, [same], **fields)
    pipeline = Pipeline([stage], plugins=[Faulty(make)], autoload=False)
    assert values(simulate(lambda: pipeline.run([1, 2]))) == [1, 2]
    assert pipeline.plugin_faults == {"faulty": 2}


def test_an_error_is_logged_once_with_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    error = ValueError("of it")
    run_with(lambda: error)
    (record,) = caplog.records
    assert record.exc_info is not None
    assert record.exc_info[1] is error
    assert "'faulty'" in record.getMessage()
    assert record.name.endswith(f".{record.module}")  # it names the caller's line


@pytest.mark.parametrize("make", UNSHOWABLE)
def test_the_parts_of_an_error_that_can_be_shown_are_logged(
    make: Callable[[], Exception], logger: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    def raise_it(*_: Any) -> Any:
        raise make()

    stream = io.StringIO()
    logger.addHandler(logging.StreamHandler(stream))
    run_with(make, on_success=raise_it, skip_if=raise_it)
    text = stream.getvalue()
    assert text.count("\nTraceback (most recent call last):\n") == 5
    assert text.count("in raise_it") == 4
    assert text.count("in antflow_task_success") == 1
    assert text.count(f"\n{type(make()).__name__}: ") == 5
    assert text.count("cannot be shown in full") == 5
    assert "Logging error" not in capsys.readouterr().err


@unshown
def test_a_handler_that_formats_later_gets_a_record_that_it_can_format(
    logger: logging.Logger,
) -> None:
    records: queue.SimpleQueue[logging.LogRecord] = queue.SimpleQueue()
    logger.addHandler(QueueHandler(records))
    run_with(Unshowable)
    assert "Unshowable: " in records.get_nowait().getMessage()


def test_an_error_is_not_formatted_if_nothing_is_logged(logger: logging.Logger) -> None:
    reads: list[object] = []

    class Counting(Exception):
        @property
        def __notes__(self) -> list[str]:  # type: ignore[override]
            reads.append(self)
            return []

    logger.setLevel(logging.CRITICAL)
    run_with(Counting)
    assert reads == []


@unshown
def test_the_testing_kit_reports_an_error_that_cannot_be_shown() -> None:
    run = run_pipeline(Stage("Work", 1, [same]), [1], [Faulty(Unshowable)], may_raise=True)
    assert ["Unshowable: " in fault for fault in run.faults] == [True]


@unshown
def test_the_command_shows_the_text_of_an_error_that_cannot_be_shown(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "class Unshowable(Exception):\n"
        "    @property\n"
        "    def __notes__(self): raise RuntimeError('no notes')\n"
        "raise Unshowable('at import')\n"
    )
    command = [sys.executable, "-m", "antflow", "run", f"{program}:pipeline", "x"]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 2
    assert "Unshowable: at import" in ran.stderr
    assert "Traceback" not in ran.stderr
