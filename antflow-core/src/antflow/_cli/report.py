"""What the command says of a run, on standard error: nothing, where all is well."""

from __future__ import annotations

from collections.abc import Iterator
from signal import Signals

from antflow._errors.texts import escaped, many
from antflow.exceptions import TooManyFailuresError, text_of
from antflow.stats import ActivityState, PipelineStats, StageStats

from .pending_inputs import Ledger
from .printing import FAILED, OUTPUT_CLOSED, SUCCEEDED, table
from .source import Source

COMMAND = "antflow run"
STATES: tuple[ActivityState, ...] = ("busy", "waiting", "blocked", "idle")


def exit_code(ledger: Ledger, error: BaseException | None, signal: Signals | None) -> int:
    """Return what the process is to end with.

    Args:
        ledger: of the run.
        error: what ended it, or its input.
        signal: that interrupted it, if one did.
    """
    if signal is not None:
        return 128 + signal
    if isinstance(ledger.output.error, BrokenPipeError):
        return OUTPUT_CLOSED
    is_written = ledger.output.error is None and (
        ledger.failures is None or ledger.failures.error is None
    )
    return SUCCEEDED if error is None and is_written and not ledger.fates.total() else FAILED


def lines_about(
    ledger: Ledger,
    source: Source,
    names: dict[str, str],
    error: BaseException | None,
    signal: Signals | None,
) -> Iterator[str]:
    """Return what there is to say of a run that did not go well.

    Args:
        ledger: of the run.
        source: what was read.
        names: of the files that are written, by option.
        error: what ended the run, or its input.
        signal: that interrupted it, if one did.
    """
    if isinstance(ledger.output.error, BrokenPipeError) and signal is None:
        return
    yield from _of_fates(ledger)
    if ledger.fates.total():
        yield from _of_keeping(ledger, names.get("failures"))
    for option, sink in ("output", ledger.output), ("failures", ledger.failures):
        if sink is not None and sink.error is not None:
            reason = sink.error.strerror or str(sink.error)
            yield f"--{option} {names[option]} cannot be written: {reason}"
    if error is not None:
        yield _of_error(error, source)
    if signal is not None:
        yield f"interrupted by {signal.name}; {_unread(source)}"


def blocked(ledger: Ledger, names: dict[str, str]) -> Iterator[str]:
    """Return what there is to say of files that do not take what they are given.

    Args:
        ledger: of the run.
        names: of the files that are written, by option.
    """
    for option, sink in ("output", ledger.output), ("failures", ledger.failures):
        if sink is not None and sink.is_writing:
            yield f"--{option} {names[option]} did not take what was to be written in time"


def _of_keeping(ledger: Ledger, name: str | None) -> Iterator[str]:
    failures = ledger.failures
    them = "it" if ledger.fates.total() == 1 else "each of them"
    if failures is None:
        yield f"--failures FILE keeps {them}"
    elif failures.error is None and not failures.is_writing:
        yield f"{name} has {them}"


def _of_fates(ledger: Ledger) -> Iterator[str]:
    fates = ledger.fates
    if failed := fates["failed"] + fates["malformed"]:
        yield f"{failed:,} of {many(ledger.read, 'item')} failed"
        yield from ledger.tally.lines()
    if remedy := ledger.tally.remedy():
        yield remedy
    if fates["malformed"] and ledger.tally.has("JSONDecodeError"):
        yield "a line of input is JSON; --lines reads text"
    if left := fates["unprocessed"]:
        yield f"{many(left, 'item')} {'was' if left == 1 else 'were'} read and left unprocessed"
    if unwritten := fates["unwritten"]:
        yield f"{many(unwritten, 'result')} could not be written"


def _of_error(error: BaseException, source: Source) -> str:
    if isinstance(error, TooManyFailuresError):  # what its text adds has been said by now
        limit = text_of(error).partition(",")[0]
        return f"{limit}, and the run was stopped; {_unread(source)}"
    what = "the run ended"
    if error is source.error:
        what = f"the input cannot be read past {source.noun} {source.position:,}"
    return escaped(f"{what}: {type(error).__name__}: {text_of(error)}")


def _unread(source: Source) -> str:
    if source.is_at_end:
        return "all input was read"
    return f"the first unread {source.noun} is {source.position + 1}"


def summary(stats: PipelineStats, seconds: float) -> str:
    """Return a table of the stages, and how fast items went through them.

    Args:
        stats: of the run.
        seconds: that it took.
    """
    rows = [("STAGE", "ITEMS", "FAILED", "RETRIES", *(state.upper() for state in STATES))]
    for stage in stats.stage_stats.values():
        counts = stage.completed_items, stage.failed_items, stage.retried_attempts
        shares = (f"{_share(stage, state):.0%}" for state in STATES)
        rows.append((stage.stage_name, *(f"{count:,}" for count in counts), *shares))
    done = stats.items_processed + stats.items_failed
    rate = f"{done / seconds:,.0f} a second" if seconds else ""
    return f"{table(rows)}\n{many(done, 'item')} in {seconds:.2f} s, {rate}"


def _share(stage: StageStats, state: ActivityState) -> float:
    total = sum(stage.seconds.values())
    return stage.seconds[state] / total if total else 0.0
