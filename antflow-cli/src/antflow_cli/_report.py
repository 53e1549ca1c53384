"""The report of a run on standard error, and the exit code; a successful run has no report."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from signal import Signals

from antflow import PipelineStats, PluginError, StageStats, TooManyFailuresError
from antflow.logs import text_of
from antflow.types import ActivityState

from ._command_input import CommandInput
from ._pending_inputs import PendingInputs
from ._printing import FAILED, OUTPUT_CLOSED, SUCCEEDED, table
from ._texts import many, message_text, safe_text

COMMAND = "antflow run"
STATES: tuple[ActivityState, ...] = ("busy", "waiting", "blocked", "idle")
LEAST_SHARE = 0.01
"""A stage that waited for limits for less of its workers' time is not worth a line."""

LONGEST_NAME = 100


RANGES_PER_LINE = 300  # a longer message would be cut, and each input has to be named


def exit_code(pending: PendingInputs, error: BaseException | None, signal: Signals | None) -> int:
    """Return the exit code of the process.

    Args:
        pending: the inputs of the run.
        error: the one that ended the run or its input.
        signal: the first one that arrived.
    """
    if signal is not None:
        return 128 + signal
    if isinstance(pending.output.error, BrokenPipeError):
        return OUTPUT_CLOSED
    is_written = pending.output.error is None and (
        pending.failures is None or pending.failures.error is None
    )
    return SUCCEEDED if error is None and is_written and not pending.outcomes.total() else FAILED


def report_lines(
    pending: PendingInputs,
    command_input: CommandInput,
    names: dict[str, str],
    error: BaseException | None,
    signal: Signals | None,
) -> Iterator[str]:
    """Yield the lines of the report.

    Args:
        pending: the inputs of the run.
        command_input: where they were read.
        names: of the written files, by option.
        error: the one that ended the run or its input.
        signal: the first one that arrived.
    """
    writers = {"output": pending.output, "failures": pending.failures}
    failed = {option: each.error for option, each in writers.items() if each and each.error}
    is_closed = all(isinstance(each, BrokenPipeError) for each in failed.values())
    if "output" in failed and is_closed and signal is None:
        return  # as in `antflow run ... | head`
    yield from _outcome_lines(pending)
    if pending.outcomes.total():
        yield from _failures_file_lines(pending, names.get("failures"))
    yield from _missing_lines(pending, command_input)
    for option, failure in failed.items():
        reason = failure.strerror or str(failure)
        yield f"--{option} {names[option]} cannot be written: {reason}; {_unread(command_input)}"
    if error is not None:
        yield _error_line(error, command_input)
    if signal is not None:
        yield f"interrupted by {signal.name}; {_unread(command_input)}"


def blocked_lines(pending: PendingInputs, names: dict[str, str]) -> Iterator[str]:
    """Yield a line for each written file that has not accepted all lines in time.

    Args:
        pending: the inputs of the run.
        names: of the written files, by option.
    """
    for option, writer in ("output", pending.output), ("failures", pending.failures):
        if writer is not None and writer.is_writing:
            yield f"--{option} {names[option]} did not take what was to be written in time"


def _failures_file_lines(pending: PendingInputs, name: str | None) -> Iterator[str]:
    failures = pending.failures
    them = "it" if pending.outcomes.total() == 1 else "each of them"
    if failures is None:
        yield f"--failures FILE keeps {them}"
    elif failures.error is None and not failures.is_writing:
        yield f"{name} has {them}"


def _outcome_lines(pending: PendingInputs) -> Iterator[str]:
    outcomes = pending.outcomes
    if failed := outcomes["failed"] + outcomes["malformed"]:
        yield f"{failed:,} of {many(pending.read_count, 'item')} failed"
        yield from pending.tally.lines()
    if remedy := pending.tally.remedy():
        yield remedy
    if outcomes["malformed"] and pending.tally.has("JSONDecodeError"):
        yield "a line of input is JSON; --lines reads text"
    if outcomes["malformed"] and pending.tally.has("UnicodeDecodeError"):
        yield "input is UTF-8; decompress or convert it first, as in zcat FILE |"
    if left := outcomes["unprocessed"]:
        yield f"{many(left, 'item')} {'was' if left == 1 else 'were'} read and left unprocessed"
    if unwritten := outcomes["unwritten"]:
        yield f"{many(unwritten, 'result')} could not be written"


def _missing_lines(pending: PendingInputs, command_input: CommandInput) -> Iterator[str]:
    positions, others = pending.missing()
    noun = command_input.noun
    where = "in the output nor among the failures"
    ranges = list(_ranges(positions))
    for start in range(0, len(ranges), RANGES_PER_LINE):
        part = ranges[start : start + RANGES_PER_LINE]
        nouns, are = (noun, "is") if part[0] == str(positions[-1]) else (f"{noun}s", "are")
        yield f"{nouns} {', '.join(part)} {are} neither {where}"
    if others:
        are = "is" if others == 1 else "are"
        yield f"{many(others, 'item')} that the pipeline fed to itself {are} neither {where}"


def _ranges(numbers: list[int]) -> Iterator[str]:
    """Yield ascending numbers, and runs of them, as in 3, 5-9."""
    # A number minus its index is the same throughout a run.
    for _, run in groupby(enumerate(numbers), lambda pair: pair[1] - pair[0]):
        found = [number for _, number in run]
        yield f"{found[0]}-{found[-1]}" if len(found) > 1 else f"{found[0]}"


def _error_line(error: BaseException, command_input: CommandInput) -> str:
    if isinstance(error, TooManyFailuresError):  # the report has the rest of its text already
        limit = text_of(error).partition(",")[0]
        return f"{limit}, and the run was stopped; {_unread(command_input)}"
    if isinstance(error, PluginError) and error.hook == "antflow_pipeline_start":
        text = f"plugin {error.plugin!r} refuses the run: {text_of(error)}"
        return message_text(text, one_line=True)
    what = f"the run ended; {_unread(command_input)}"
    if error is command_input.error:
        what = f"the input cannot be read past {command_input.noun} {command_input.position:,}"
    return message_text(f"{what}: {type(error).__name__}: {text_of(error)}", one_line=True)


def _unread(command_input: CommandInput) -> str:
    if command_input.is_at_end:
        return "all input was read"
    return f"the first unread {command_input.noun} is {command_input.position + 1}"


def summary(stats: PipelineStats, seconds: float) -> Iterator[str]:
    """Yield the lines of a table of the stages, the waits for limits, and the rate of items.

    Args:
        stats: of the run.
        seconds: its duration.
    """
    rows = [("STAGE", "ITEMS", "FAILED", "RETRIES", *(state.upper() for state in STATES))]
    for stage in stats.stage_stats.values():
        counts = stage.completed_items, stage.failed_items, stage.retried_attempts
        shares = (f"{_share(stage, state):.0%}" for state in STATES)
        rows.append((stage.stage_name, *(f"{count:,}" for count in counts), *shares))
    done = stats.items_processed + stats.items_failed
    rate = _rate(done / seconds) if seconds else ""
    yield from table(rows).split("\n")
    yield from _limit_lines(stats)
    yield f"{many(done, 'item')} in {seconds:.2f} s, {rate}"


def _rate(per_second: float) -> str:
    digits = 0 if per_second >= 10 else 1
    return f"{per_second:,.{digits}f} a second"


def _limit_lines(stats: PipelineStats) -> Iterator[str]:
    for stage in stats.stage_stats.values():
        share = _share(stage, "waiting") * stage.limit_wait_share
        if stage.limits and share >= LEAST_SHARE:
            limits = "limit" if len(stage.limits) == 1 else "one of the limits"
            names = ", ".join(f"'{safe_text(name, LONGEST_NAME)}'" for name in stage.limits)
            what = f"{safe_text(stage.stage_name, LONGEST_NAME)} waited for {limits} {names}"
            yield f"{what} for {share:.0%} of its workers' time"


def _share(stage: StageStats, state: ActivityState) -> float:
    total = sum(stage.seconds.values())
    return stage.seconds[state] / total if total else 0.0
