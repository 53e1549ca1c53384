"""What is said of a run, and the exit code."""

from __future__ import annotations

import errno
import signal
from pathlib import Path

import pytest

from antflow import PipelineResult, PipelineStats, StageStats
from antflow._cli.pending_inputs import Ledger
from antflow._cli.records import Fate
from antflow._cli.report import blocked, exit_code, lines_about, summary
from antflow._cli.source import Source
from antflow._cli.trace import failure_trace
from antflow._stats.failure_tally import FailureTally
from tests.core.command_parts import failed, make_ledger

NAMES = {"output": "out.jsonl", "failures": "failures.jsonl"}


def source_of(ledger: Ledger, position: int = 0, *, at_end: bool = False) -> Source:
    source = Source(ledger, lambda _: 0, "line")
    source.position, source.is_at_end = position, at_end
    return source


def said(
    ledger: Ledger,
    source: Source | None = None,
    names: dict[str, str] = NAMES,
    error: BaseException | None = None,
    sent: signal.Signals | None = None,
) -> list[str]:
    return list(lines_about(ledger, source or source_of(ledger), names, error, sent))


def test_of_a_run_that_went_well_nothing_is_said() -> None:
    ledger, _, _ = make_ledger()
    assert said(ledger) == []
    assert exit_code(ledger, None, None) == 0


def test_failures_are_counted_by_their_kinds() -> None:
    ledger, _, _ = make_ledger()
    ledger.read = 1_234
    for number in range(3):
        ledger.end(failed(number, ValueError("no")))
    ledger.end(failed(4, KeyError("k")))
    assert said(ledger) == [
        "4 of 1,234 items failed",
        "ValueError x3 in Work: no (item 0)",
        "KeyError x1 in Work: 'k' (item 4)",
        "failures.jsonl has each of them",
    ]
    assert exit_code(ledger, None, None) == 1


def test_of_many_kinds_the_first_have_an_example_and_the_most_frequent_others_a_count() -> None:
    ledger, _, _ = make_ledger(failures=False)
    for number in [*range(30), 6, 7, 7]:
        ledger.end(failed(number, type(f"Error{number}", (Exception,), {})()))
    assert said(ledger)[1:-1] == [
        *(f"Error{number} x1 in Work (item {number})" for number in range(5)),
        "Error7 x3 in Work",
        "Error6 x2 in Work",
        "Error5 x1 in Work",
        *(f"Error{number} x1 in Work" for number in range(8, 25)),
        "5 items failed in other ways",
    ]


def test_of_types_that_are_made_as_it_goes_a_thousand_are_remembered() -> None:
    tally = FailureTally(failure_trace)
    for number in range(2_000):
        tally.add_input(type(f"Error{number}", (Exception,), {})(), "line 1")
    assert (len(tally._counts), len(tally._examples)) == (1_000, 100)
    assert list(tally.lines())[-1] == "1,880 items failed in other ways"


def test_attempts_that_could_not_help_are_told_with_the_remedy() -> None:
    ledger, _, _ = make_ledger()
    for number, error in enumerate([NameError("page"), NameError("page"), ValueError("no")]):
        ledger.end(PipelineResult(number, None, number, error=error, stage="Work", attempts=3))
    assert said(ledger)[1:] == [
        "NameError x2 in Work: page (item 0)",
        "ValueError x1 in Work: no (item 2)",
        (
            "4 attempts were spent on errors that no retry cures; "
            "give stage 'Work' never_retry=(NameError, TypeError)"
        ),
        "failures.jsonl has each of them",
    ]


def test_the_first_of_a_kind_is_told_with_its_place() -> None:
    ledger, _, _ = make_ledger(failures=False)
    ledger.enter(0, 1, b"1")
    with pytest.raises(ValueError, match="no") as caught:
        raise ValueError("no")
    here = f"{Path(__file__).name}:{caught.tb.tb_lineno}, in {caught.tb.tb_frame.f_code.co_name}"
    ledger.end(failed(0, caught.value))
    assert said(ledger, names={"output": "-"}) == [
        "1 of 1 item failed",
        f"ValueError x1 in Work: no (line 1; {here})",
        "--failures FILE keeps it",
    ]


def test_texts_of_users_are_shown_on_one_line_escaped_and_cut() -> None:
    ledger, _, _ = make_ledger(failures=False)
    odd = type("Odd\x1b", (Exception,), {})("a\n\x1b[31mb" + "x" * 9999)
    ledger.end(PipelineResult("i\x1b\n" + "d" * 9999, None, 0, error=odd, stage="W\x1b"))
    (line,) = said(ledger)[1:-1]
    assert line.startswith("Odd\\x1b x1 in W\\x1b: a \\x1b[31mbxxx")
    assert "xxx... (item 'i\\x1b\\nddd" in line
    assert line.endswith("ddd...)")
    assert len(line) < 400
    error = ValueError("\x1b[31mred")
    assert "the run ended: ValueError: \\x1b[31mred" in said(ledger, error=error)


def test_tracebacks_follow_each_kind_that_has_one() -> None:
    tally = FailureTally(failure_trace)
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
    tally = FailureTally(failure_trace)
    for number in range(9):
        tally.add_input(type(f"Error{number}", (Exception,), {})(), f"line {number}")
    assert list(tally.lines())[8] == "Error8 x1 (line 8)"


@pytest.mark.parametrize(
    ("fate", "number", "line"),
    [
        ("failed", 1, "1 of 1 item failed"),
        ("failed", 2, "2 of 2 items failed"),
        ("unprocessed", 1, "1 item was read and left unprocessed"),
        ("unprocessed", 2, "2 items were read and left unprocessed"),
        ("unwritten", 1, "1 result could not be written"),
        ("unwritten", 2, "2 results could not be written"),
    ],
)
def test_one_is_told_as_one(fate: Fate, number: int, line: str) -> None:
    ledger, _, _ = make_ledger()
    ledger.read = ledger.fates[fate] = number
    keeping = "failures.jsonl has it" if number == 1 else "failures.jsonl has each of them"
    assert said(ledger) == [line, keeping]


def test_lines_that_are_no_json_are_told_of_the_option() -> None:
    ledger, _, _ = make_ledger()
    type_of = type("JSONDecodeError", (ValueError,), {})
    ledger.refuse(1, b"x", type_of())
    assert "a line of input is JSON; --lines reads text" in said(ledger)


def test_what_was_interrupted_says_where_to_go_on() -> None:
    ledger, _, _ = make_ledger()
    for number in range(2):
        ledger.enter(number, number + 1, b"1")
    ledger.close([])
    source = source_of(ledger, 2)
    assert said(ledger, source, sent=signal.SIGINT) == [
        "2 items were read and left unprocessed",
        "failures.jsonl has each of them",
        "interrupted by SIGINT; the first unread line is 3",
    ]
    source.is_at_end = True
    assert said(ledger, source, sent=signal.SIGTERM)[-1].endswith("SIGTERM; all input was read")
    assert exit_code(ledger, None, signal.SIGINT) == 130
    assert exit_code(ledger, None, signal.SIGTERM) == 143


def test_an_output_that_is_closed_ends_quietly() -> None:
    ledger, output, _ = make_ledger()
    output.error = BrokenPipeError(errno.EPIPE, "Broken pipe")
    ledger.fates["unwritten"] = 3
    assert said(ledger) == []
    assert exit_code(ledger, None, None) == 141


def test_an_output_that_is_full_is_told() -> None:
    ledger, output, _ = make_ledger()
    output.error = OSError(errno.ENOSPC, "No space left on device")
    ledger.fates["unwritten"] = 1
    assert said(ledger) == [
        "1 result could not be written",
        "failures.jsonl has it",
        "--output out.jsonl cannot be written: No space left on device",
    ]
    assert exit_code(ledger, None, None) == 1


def test_failures_that_were_not_written_are_not_promised() -> None:
    ledger, _, failures = make_ledger()
    ledger.fates["failed"] = 1
    failures.error = OSError(errno.ENOSPC, "No space left on device")
    assert not any(" has " in line for line in said(ledger))
    failures.error, failures.is_writing = None, True
    assert not any(" has " in line for line in said(ledger))


def test_a_file_that_takes_nothing_is_named() -> None:
    ledger, output, _ = make_ledger()
    assert list(blocked(ledger, NAMES)) == []
    output.is_writing = True
    assert list(blocked(ledger, NAMES)) == [
        "--output out.jsonl did not take what was to be written in time"
    ]


def test_failures_that_cannot_be_written_are_a_failure() -> None:
    ledger, _, failures = make_ledger()
    failures.error = OSError(errno.ENOSPC, "No space left on device")
    assert said(ledger)[0].startswith("--failures failures.jsonl cannot be written: No space")
    assert exit_code(ledger, None, None) == 1


def test_an_input_that_broke_is_told_apart_from_a_run_that_did() -> None:
    ledger, _, _ = make_ledger()
    source, error = source_of(ledger, 1_000), OSError("gone")
    assert said(ledger, source, error=error) == ["the run ended: OSError: gone"]
    source.error = error
    assert said(ledger, source, error=error) == [
        "the input cannot be read past line 1,000: OSError: gone"
    ]
    assert exit_code(ledger, error, None) == 1


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
