"""`antflow.tally`: failures summed up by stage and type of error."""

from __future__ import annotations

import pytest

from antflow.tally import FailureTally
from tests.helpers.hostile import ALL, controls


def test_failures_are_counted_by_stage_and_type_with_the_first_of_each() -> None:
    tally = FailureTally()
    for number in range(1_200):
        error = ValueError(f"no {number}")
        tally.add_error(error, f"line {number}", stage="Parse", location="a.py:3, in parse")
    tally.add_error(KeyError("x"), "line 7")
    assert tally.total == 1_201
    assert list(tally.lines()) == [
        "ValueError x1,200 in Parse: no 0 (line 0; a.py:3, in parse)",
        "KeyError x1: 'x' (line 7)",
    ]
    assert (tally.has("KeyError"), tally.has("TypeError")) == (True, False)


def test_tracebacks_follow_the_lines_where_they_are_shown() -> None:
    tally = FailureTally(lambda error: f"trace of {error}")
    tally.add_error(ValueError("no"), "line 1")
    tally.add_error(ValueError("neither"), "line 2")
    assert list(tally.lines()) == ["ValueError x2: no (line 1)\ntrace of no"]


def test_memory_is_bounded_though_each_error_has_a_type_of_its_own() -> None:
    tally = FailureTally()
    for number in range(1_500):
        tally.add_error(type(f"Error{number}", (Exception,), {})(), "an item")
    lines = list(tally.lines())
    assert len(lines) < 30
    assert lines[0] == "Error0 x1 (an item)"
    assert lines[-1] == "1,475 items failed with other errors"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, "give stage 'Fetch' never_retry=(NameError, TypeError)"),
        ("give --retries 1", "give --retries 1"),
    ],
)
def test_attempts_at_what_no_retry_cures_have_a_remedy(given: str | None, expected: str) -> None:
    tally = FailureTally(remedy=given)
    tally.add_error(NameError("x"), "item 0", stage="Fetch")
    assert tally.remedy() == ""
    tally.add_error(NameError("x"), "item 1", stage="Fetch", attempts=3)
    text = "2 attempts were spent on errors that no retry cures; "
    assert tally.remedy() == text + expected


def test_texts_of_others_control_no_terminal() -> None:
    tally = FailureTally()
    tally.add_error(ValueError(ALL), ALL, stage=ALL, location=ALL)
    assert controls("".join(tally.lines())) == set()
