"""Logging errors, also those that Python cannot show."""

from __future__ import annotations

import io
import logging
import queue
from collections.abc import Callable, Iterator
from logging.handlers import QueueHandler
from typing import Any

import pytest

from antflow import Pipeline, Stage, TaskEvent, hookimpl
from antflow._cli.printing import format_program_error
from antflow._errors.safe_logging import can_be_shown, log_error
from antflow.testing._fault_capture import error_text
from tests.helpers.runs import same
from tests.helpers.virtual_time import simulate


class Unshowable(Exception):
    """Its notes cannot be had."""

    @property
    def __notes__(self) -> list[str]:  # type: ignore[override]
        raise RuntimeError("no notes")


class Mute(Unshowable):
    """Nor can its text."""

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


UNSHOWABLE: list[Callable[[], Exception]] = [Unshowable, Mute, odd_syntax, caused]


unshown = pytest.mark.skipif(
    all(can_be_shown(make()) for make in UNSHOWABLE), reason="this Python can show every error"
)


def raised(make: Callable[[], Exception]) -> Exception:
    try:
        raise make()
    except Exception as error:
        return error


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    """A logger that writes to the handlers that a test adds."""
    found = logging.getLogger("tests.faults")
    found.setLevel(logging.NOTSET)
    yield found
    found.handlers.clear()


def written(logger: logging.Logger, error: Exception) -> str:
    stream = io.StringIO()
    logger.addHandler(logging.StreamHandler(stream))
    log_error(logger, error, "%r has failed, by %d %%.", "It", 100)
    return stream.getvalue()


def test_an_error_is_logged_with_its_traceback(
    logger: logging.Logger, caplog: pytest.LogCaptureFixture
) -> None:
    error = raised(lambda: ValueError("of it"))
    assert written(logger, error).startswith("'It' has failed, by 100 %.\nTraceback (most recent")
    (record,) = caplog.records
    assert record.exc_info is not None
    assert record.exc_info[1] is error
    assert record.funcName == "written"


@unshown
@pytest.mark.parametrize("make", UNSHOWABLE)
def test_of_one_that_cannot_be_shown_is_logged_what_can_be_had(
    make: Callable[[], Exception], logger: logging.Logger
) -> None:
    error = raised(make)
    assert not can_be_shown(error)
    text = written(logger, error)
    assert text.startswith("'It' has failed, by 100 %.\nTraceback (most recent call last):\n")
    assert "in raised" in text
    assert f"\n{type(error).__name__}: " in text
    assert text.count("cannot be shown") == 1


def test_what_formats_later_does_not_stumble_either(logger: logging.Logger) -> None:
    records: queue.SimpleQueue[Any] = queue.SimpleQueue()
    logger.addHandler(QueueHandler(records))
    log_error(logger, raised(Unshowable), "It has failed.")
    assert "Unshowable" in records.get_nowait().getMessage()


def test_what_nobody_reads_is_not_formatted(logger: logging.Logger) -> None:
    class Asked(Unshowable):
        times = 0

        @property
        def __notes__(self) -> list[str]:  # type: ignore[override]
            Asked.times += 1
            return []

    logger.setLevel(logging.CRITICAL)
    assert written(logger, raised(Asked)) == ""
    assert Asked.times == 0


class Faulty:
    """A plugin whose hook raises what cannot be shown."""

    antflow_name = "faulty"

    @hookimpl
    def antflow_task_success(self, event: TaskEvent) -> None:
        raise Unshowable


@unshown
def test_a_run_goes_on_whatever_is_raised_in_it(capsys: pytest.CaptureFixture[str]) -> None:
    def raises(*_: Any) -> Any:
        raise Unshowable

    handler = logging.StreamHandler()
    logging.getLogger("antflow").addHandler(handler)
    try:
        stage = Stage("Work", 1, [same], on_success=raises, skip_if=raises)
        pipeline = Pipeline([stage], plugins=[Faulty()], autoload=False)
        results = simulate(lambda: pipeline.run([1, 2]))
    finally:
        logging.getLogger("antflow").removeHandler(handler)
    assert [result.value for result in results] == [1, 2]
    assert pipeline.plugin_faults == {"faulty": 2}
    said = capsys.readouterr().err
    assert said.count("cannot be shown in full") == 5
    assert "Logging error" not in said


@unshown
@pytest.mark.parametrize("make", UNSHOWABLE)
def test_what_a_plugin_or_program_is_told_of_it_is_its_name(make: Callable[[], Exception]) -> None:
    error = raised(make)
    assert error_text(error).startswith(f"{type(error).__name__}: ")
    assert format_program_error(error) == ""
