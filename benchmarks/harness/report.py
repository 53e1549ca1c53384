"""The results as Markdown."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from statistics import median

from benchmarks.contenders import CONTENDERS
from benchmarks.harness import machine
from benchmarks.harness.model import Entry, Metric, Verdict, median_difference, median_ratio, values
from benchmarks.harness.rounds import Outcome

OURS = "antflow"

_METHOD = """\
Every figure comes from a process that ran one contender once: imports and a warm-up first, then the
work, timed inside the running loop. A round runs every contender of a table in turn, and the rounds
repeat, so that what slows the machine for a while meets all of them. Figures are medians of the
rounds with the lowest and highest in parentheses. Ratios are taken inside each round, and then the
median of those. All run on asyncio's own event loop with the garbage collector as Python sets it.
The asyncio.Queue pipeline counts nothing, retries nothing and gives results as they come; antflow
keeps its accounts as always and gives them in the order of the input. No plugin is loaded.
"""


def document(outcomes: Sequence[Outcome], versions: dict[str, str], others: float | None) -> str:
    """The whole results file."""
    parts = [
        "# Benchmark results",
        "Written by `make bench`, which runs `python benchmarks/run.py`.",
        _facts(others),
        "## What must be reached",
        verdicts(outcomes),
        "## How it is measured",
        _METHOD.rstrip(),
        *(section(outcome) for outcome in outcomes),
        "## Versions",
        _versions(versions),
    ]
    return "\n\n".join(parts) + "\n"


def verdicts(outcomes: Sequence[Outcome]) -> str:
    """The table of targets, each with the measured figure and whether it was reached.

    What failed is listed below the table, whether or not a target depends on it.
    """
    rows = [
        (outcome.measurement.title, verdict.wanted, verdict.measured, _word(verdict))
        for outcome in outcomes
        for verdict in (target.judge(outcome.rounds) for target in outcome.measurement.targets)
    ]
    failures = [
        f"- Failed and left out from then on: {outcome.measurement.title}, {entry.label}, "
        f"{entry.size:,} {outcome.measurement.size_heading}: {outcome.failures[entry.key]}."
        for outcome in outcomes
        for entry in outcome.entries
        if entry.key in outcome.failures
    ]
    table = _table(("work", "must reach", "measured", ""), rows)
    return "\n\n".join([table, "\n".join(failures)]) if failures else table


def section(outcome: Outcome) -> str:
    """One measurement's heading, description and table."""
    measurement = outcome.measurement
    return f"## {measurement.title}\n\n{measurement.about}\n\n{_figures(outcome)}"


def _facts(others: float | None) -> str:
    facts = {"Date": f"{datetime.now(UTC):%Y-%m-%d}", **machine.description()}
    if others is not None:
        facts["Other programs meanwhile"] = f"used {others:.2f} cores on average"
    return _table(("", ""), facts.items())


def _figures(outcome: Outcome) -> str:
    measurement = outcome.measurement
    headings = ["contender", measurement.size_heading, "rounds"]
    headings += [metric.heading for metric in measurement.metrics]
    if measurement.compared is not None:
        headings.append(f"{OURS} is")
    if measurement.added is not None:
        headings.append(f"added {measurement.added.heading}")
    rows = [
        [entry.label, f"{entry.size:,}", *_cells(outcome, entry)]
        for entry in outcome.entries
        if any(entry.key in figures for figures in outcome.rounds)
    ]
    return _table(headings, rows)


def _cells(outcome: Outcome, entry: Entry) -> Iterable[str]:
    measurement = outcome.measurement
    yield str(sum(entry.key in figures for figures in outcome.rounds))
    for metric in measurement.metrics:
        yield _spread(metric, values(outcome.rounds, entry.key, metric.name))
    if measurement.compared is not None:
        yield _speed(outcome, measurement.compared, entry)
    if measurement.added is not None:
        yield _more(outcome, measurement.added, entry)


def _spread(metric: Metric, found: Sequence[float]) -> str:
    lowest, highest = metric.text(min(found)), metric.text(max(found))
    return f"{metric.text(median(found))} ({lowest} - {highest})"


def _speed(outcome: Outcome, metric: str, entry: Entry) -> str:
    if entry.key == OURS:
        return ""
    ratio = median_ratio(outcome.rounds, metric, entry.key, OURS)
    return "" if ratio is None else f"{ratio:,.2f} x as fast"


def _more(outcome: Outcome, metric: Metric, entry: Entry) -> str:
    if entry.key == OURS:
        return ""
    more = median_difference(outcome.rounds, metric.name, entry.key, OURS)
    return "" if more is None else metric.difference(more)


def _word(verdict: Verdict) -> str:
    if verdict.reached is None:
        return ""
    return "reached" if verdict.reached else "**not reached**"


def _versions(versions: dict[str, str]) -> str:
    rows = [
        (contender.label, versions[name])
        for name, contender in CONTENDERS.items()
        if name in versions
    ]
    return _table(("contender", "version"), rows)


def _table(headings: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    lines = [list(headings)]
    lines.append(["---"] * len(lines[0]))
    lines.extend(list(row) for row in rows)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
