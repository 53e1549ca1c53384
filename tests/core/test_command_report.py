"""The report of a run, and the exit code."""

from __future__ import annotations

import errno
import signal
from pathlib import Path

import pytest

from antflow import PipelineResult, PipelineStats, StageStats
from antflow._cli.command_input import CommandInput
from antflow._cli.pending_inputs import PendingInputs
from antflow._cli.printing import format_task_error
from antflow._cli.records import InputOutcome
from antflow._cli.report import blocked_lines, exit_code, report_lines, summary
from antflow._stats.failure_tally import FailureTally
from tests.core.command_parts import failed, make_pending

NAMES = {"output": "out.jsonl", "failures": "failures.jsonl"}


def input_of(pending: PendingInputs, position: int = 0, *, at_end: bool = False) -> CommandInput:
    command_input = CommandInput(pending, lambda _: 0, "line")
    command_input.position, command_input.is_at_end = position, at_end
    return command_input


def report_of(
    pending: PendingInputs,
    command_input: CommandInput | None = None,
    names: dict[str, str] = NAMES,
    error: BaseException | None = None,
    sent: signal.Signals | None = None,
) -> list[str]:
    return list(report_lines(pending, command_input or input_of(pending), names, error, sent))


def test_a_successful_run_has_no_report() -> None:
    pending, _, _ = make_pending()
    assert report_of(pending) == []
    assert exit_code(pending, None, None) == 0


def test_failures_are_counted_by_their_kinds() -> None:
    pending, _, _ = make_pending()
    pending.read_count = 1_234
    for number in range(3):
        pending.finish(failed(number, ValueError("no")))
    pending.finish(failed(4, KeyError("k")))
    assert report_of(pending) == [
        "4 of 1,234 items failed",
        "ValueError x3 in Work: no (item 0)",
        "KeyError x1 in Work: 'k' (item 4)",
        "failures.jsonl has each of them",
    ]
    assert exit_code(pending, None, None) == 1


def test_of_many_kinds_the_first_have_an_example_and_the_most_frequent_others_a_count() -> None:
    pending, _, _ = make_pending(failures=False)
    for number in [*range(30), 6, 7, 7]:
        pending.finish(failed(number, type(f"Error{number}", (Exception,), {})()))
    assert report_of(pending)[1:-1] == [
        *(f"Error{number} x1 in Work (item {number})" for number in range(5)),
        "Error7 x3 in Work",
        "Error6 x2 in Work",
        "Error5 x1 in Work",
        *(f"Error{number} x1 in Work" for number in range(8, 25)),
        "5 items failed in other ways",
    ]


def test_of_types_that_are_made_as_it_goes_a_thousand_are_remembered() -> None:
    tally = FailureTally(format_task_error)
    for number in range(2_000):
        tally.add_input(type(f"Error{number}", (Exception,), {})(), "line 1")
    assert (len(tally._counts), len(tally._examples)) == (1_000, 100)
    assert list(tally.lines())[-1] == "1,880 items failed in other ways"


def test_useless_retries_are_reported_with_the_remedy() -> None:
    pending, _, _ = make_pending()
    for number, error in enumerate([NameError("page"), NameError("page"), ValueError("no")]):
        pending.finish(PipelineResult(number, None, number, error=error, stage="Work", attempts=3))
    assert report_of(pending)[1:] == [
        "NameError x2 in Work: page (item 0)",
        "ValueError x1 in Work: no (item 2)",
        (
            "4 attempts were spent on errors that no retry cures; "
            "give stage 'Work' never_retry=(NameError, TypeError)"
        ),
        "failures.jsonl has each of them",
    ]


def test_the_first_of_a_kind_is_reported_with_its_line() -> None:
    pending, _, _ = make_pending(failures=False)
    pending.add(0, 1, b"1")
    with pytest.raises(ValueError, match="no") as caught:
        raise ValueError("no")
    here = f"{Path(__file__).name}:{caught.tb.tb_lineno}, in {caught.tb.tb_frame.f_code.co_name}"
    pending.finish(failed(0, caught.value))
    assert report_of(pending, names={"output": "-"}) == [
        "1 of 1 item failed",
        f"ValueError x1 in Work: no (line 1; {here})",
        "--failures FILE keeps it",
    ]


def test_texts_of_users_are_shown_on_one_line_escaped_and_cut() -> None:
    pending, _, _ = make_pending(failures=False)
    odd = type("Odd\x1b", (Exception,), {})("a\n\x1b[31mb" + "x" * 9999)
    pending.finish(PipelineResult("i\x1b\n" + "d" * 9999, None, 0, error=odd, stage="W\x1b"))
    (line,) = report_of(pending)[1:-1]
    assert line.startswith("Odd\\x1b x1 in W\\x1b: a \\x1b[31mbxxx")
    assert "xxx... (item 'i\\x1b\\nddd" in line
    assert line.endswith("ddd...)")
    assert len(line) < 400
    error = ValueError("\x1b[31mred")
    assert "the run ended: ValueError: \\x1b[31mred" in report_of(pending, error=error)


def test_tracebacks_follow_each_kind_that_has_one() -> None:
    tally = FailureTally(format_task_error)
    for text in "first", "second":
        with pytest.raises(ValueError, match=text) as caught:
            raise ValueError(text)
        tally.add_input(caught.value, "line 1", stage="Work")
    tally.add_input(KeyError("never raised"), "line 2")
    first, second = tally.lines()
    assert first.startswith("ValueError x2 in Work: first (line 1)\nTraceback (most recent call la")
    assert first.endswith("ValueError: first")
    assert second == "KeyError x1: 'never raised' (line 2)"


def test_with_tracebacks_all_kinds_have_an_example() -> None:
    tally = FailureTally(format_task_error)
    for number in range(9):
        tally.add_input(type(f"Error{number}", (Exception,), {})(), f"line {number}")
    assert list(tally.lines())[8] == "Error8 x1 (line 8)"


@pytest.mark.parametrize(
    ("outcome", "number", "line"),
    [
        ("failed", 1, "1 of 1 item failed"),
        ("failed", 2, "2 of 2 items failed"),
        ("unprocessed", 1, "1 item was read and left unprocessed"),
        ("unprocessed", 2, "2 items were read and left unprocessed"),
        ("unwritten", 1, "1 result could not be written"),
        ("unwritten", 2, "2 results could not be written"),
    ],
)
def test_one_is_reported_in_the_singular(outcome: InputOutcome, number: int, line: str) -> None:
    pending, _, _ = make_pending()
    pending.read_count = pending.outcomes[outcome] = number
    keeping = "failures.jsonl has it" if number == 1 else "failures.jsonl has each of them"
    assert report_of(pending) == [line, keeping]


def test_lines_that_are_not_json_are_reported_with_the_option() -> None:
    pending, _, _ = make_pending()
    type_of = type("JSONDecodeError", (ValueError,), {})
    pending.reject(1, b"x", type_of())
    assert "a line of input is JSON; --lines reads text" in report_of(pending)


def test_the_report_of_an_interrupted_run_has_the_first_unread_line() -> None:
    pending, _, _ = make_pending()
    for number in range(2):
        pending.add(number, number + 1, b"1")
    pending.close([])
    command_input = input_of(pending, 2)
    assert report_of(pending, command_input, sent=signal.SIGINT) == [
        "2 items were read and left unprocessed",
        "failures.jsonl has each of them",
        "interrupted by SIGINT; the first unread line is 3",
    ]
    command_input.is_at_end = True
    assert report_of(pending, command_input, sent=signal.SIGTERM)[-1].endswith(
        "SIGTERM; all input was read"
    )
    assert exit_code(pending, None, signal.SIGINT) == 130
    assert exit_code(pending, None, signal.SIGTERM) == 143


def test_an_output_that_is_closed_ends_quietly() -> None:
    pending, output, _ = make_pending()
    output.error = BrokenPipeError(errno.EPIPE, "Broken pipe")
    pending.outcomes["unwritten"] = 3
    assert report_of(pending) == []
    assert exit_code(pending, None, None) == 141


def test_a_full_output_is_reported() -> None:
    pending, output, _ = make_pending()
    output.error = OSError(errno.ENOSPC, "No space left on device")
    pending.outcomes["unwritten"] = 1
    assert report_of(pending) == [
        "1 result could not be written",
        "failures.jsonl has it",
        "--output out.jsonl cannot be written: No space left on device",
    ]
    assert exit_code(pending, None, None) == 1


def test_failures_that_were_not_written_are_not_promised() -> None:
    pending, _, failures = make_pending()
    pending.outcomes["failed"] = 1
    failures.error = OSError(errno.ENOSPC, "No space left on device")
    assert not any(" has " in line for line in report_of(pending))
    failures.error, failures.is_writing = None, True
    assert not any(" has " in line for line in report_of(pending))


def test_a_blocked_file_is_named() -> None:
    pending, output, _ = make_pending()
    assert list(blocked_lines(pending, NAMES)) == []
    output.is_writing = True
    assert list(blocked_lines(pending, NAMES)) == [
        "--output out.jsonl did not take what was to be written in time"
    ]


def test_failures_that_cannot_be_written_are_a_failure() -> None:
    pending, _, failures = make_pending()
    failures.error = OSError(errno.ENOSPC, "No space left on device")
    assert report_of(pending)[0].startswith("--failures failures.jsonl cannot be written: No space")
    assert exit_code(pending, None, None) == 1


def test_an_input_that_raises_is_distinguished_from_a_run_that_does() -> None:
    pending, _, _ = make_pending()
    command_input, error = input_of(pending, 1_000), OSError("gone")
    assert report_of(pending, command_input, error=error) == ["the run ended: OSError: gone"]
    command_input.error = error
    assert report_of(pending, command_input, error=error) == [
        "the input cannot be read past line 1,000: OSError: gone"
    ]
    assert exit_code(pending, error, None) == 1


def test_a_summary_of_the_stages() -> None:
    seconds = {"busy": 3.0, "waiting": 0.0, "blocked": 1.0, "idle": 0.0}
    stages = {
        "Fetch": StageStats("Fetch", 0, 0, 1_000, 2, seconds=seconds, retried_attempts=5),  # type: ignore[arg-type]
        "Store": StageStats("Store", 0, 0, 1_000, 0, seconds=dict.fromkeys(seconds, 0.0)),  # type: ignore[arg-type]
    }
    text = summary(PipelineStats(1_000, 2, 0, {}, stages), 2.0).splitlines()
    assert text[0].split() == [
        *("STAGE", "ITEMS", "FAILED", "RETRIES", "BUSY", "WAITING", "BLOCKED", "IDLE")
    ]
    assert text[1].split() == ["Fetch", "1,000", "2", "5", "75%", "0%", "25%", "0%"]
    assert text[2].split() == ["Store", "1,000", "0", "0", "0%", "0%", "0%", "0%"]
    assert text[3] == "1,002 items in 2.00 s, 501 a second"
