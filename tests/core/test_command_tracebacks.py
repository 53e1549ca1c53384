"""Tracebacks of the user's program, without antflow's frames."""

from __future__ import annotations

import pytest

from antflow import Pipeline, PipelineError
from antflow._cli.printing import format_program_error


def broken() -> None:
    raise ValueError("broken")


def raised() -> ValueError:
    with pytest.raises(ValueError, match="broken") as caught:
        broken()
    return caught.value


def test_the_traceback_has_the_form_of_pythons() -> None:
    text = format_program_error(raised())
    assert text.startswith("Traceback (most recent call last):\n")
    assert "in broken\n" in text
    assert text.endswith("ValueError: broken\n")


def test_frames_of_antflow_are_left_out() -> None:
    with pytest.raises(PipelineError) as caught:
        Pipeline([])
    error = caught.value
    assert error.__traceback__ is not None
    inner = error.__traceback__.tb_next
    assert format_program_error(error).count("  File ") == 1  # this one
    assert format_program_error(error.with_traceback(inner)) == ""


def test_an_error_that_was_not_raised_has_none() -> None:
    assert format_program_error(ValueError("new")) == ""


def test_wrong_syntax_is_shown() -> None:
    with pytest.raises(SyntaxError) as caught:
        compile("x = (", "program.py", "exec")
    caught.value.__traceback__ = None
    assert format_program_error(caught.value).startswith('  File "program.py", line 1\n    x = (\n')
