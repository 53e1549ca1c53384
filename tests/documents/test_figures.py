"""Figures in the documents are those of benchmarks/RESULTS.md, and each is known to this test."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "RESULTS.md"
PAGES = ["README.md", "docs/**/*.md", "antflow-*/README.md", "examples/**/README.md"]

NO_OP = "No-op, 3 x 10 workers"
WITH_PROMETHEUS = f"{NO_OP}, with antflow-prometheus"
TRACES = f"{NO_OP}, with traces by antflow-otel"
METRICS = f"{NO_OP}, with metrics by antflow-otel"
SCRAPE = "A scrape of 100 stages"
WAITS = "10 ms waits, 3 x 1,000 workers"
MICROSECONDS, TIMES = "us per item and stage", "antflow is"
PROCESSOR_TIME = "us of processor time per item and stage"
SCRAPED, OUR_SERVER = "ms a scrape", "antflow-prometheus's server"
QUEUES = "asyncio.Queue pipeline"


@dataclass(frozen=True)
class Figure:
    """A figure of a page, and where RESULTS.md has it.

    Args:
        page: the page.
        text: what stands around it there, {} being the figure.
        table: the heading of the table in RESULTS.md.
        row: its contender, without "(this checkout)".
        column: its column.
        percent: whether the page says by how many percent a ratio is above 1.
    """

    page: str
    text: str
    table: str
    row: str
    column: str
    percent: bool = False


FIGURES = [
    Figure(
        "ARCHITECTURE.md",
        "| {} ms above bare Python",
        "`import antflow`",
        "antflow",
        "ms above bare Python",
    ),
    Figure(
        "ARCHITECTURE.md",
        "cheaper unsampled traces | {} us per item and stage",
        TRACES,
        "antflow with antflow-otel, not sampled",
        MICROSECONDS,
    ),
    Figure("README.md", "costs {} microseconds per stage", NO_OP, "antflow", MICROSECONDS),
    Figure("README.md", "It is {} x as fast as a pipeline of", NO_OP, QUEUES, TIMES),
    Figure("README.md", "antflow is {} x as fast as that", WAITS, QUEUES, TIMES),
    *(
        Figure("docs/comparison.md", f"| {label} | {{}} |", NO_OP, row, MICROSECONDS)
        for label, row in {
            "a pipeline of `asyncio.Queue`, by hand": QUEUES,
            "antflow": "antflow",
            "streamable 2.0.0": "streamable",
            "python-pyper 0.4.4": "python-pyper",
            "aiometer 1.0.0": "aiometer",
            "pypeln 0.4.9": "pypeln",
        }.items()
    ),
    Figure("docs/comparison.md", "antflow is {} x as fast as that", WAITS, QUEUES, TIMES),
    Figure("docs/operations.md", "needs about {} microsecond per", NO_OP, "antflow", MICROSECONDS),
    Figure("docs/reading-statistics.md", "about {} microsecond of", NO_OP, "antflow", MICROSECONDS),
    Figure(
        "docs/watching-a-run.md",
        "a `StatusTracker` takes about {} microseconds",
        f"{NO_OP}, with a StatusTracker",
        "antflow with a tracker",
        "added us per item and stage",
    ),
    Figure(
        "docs/how-to/dashboard.md",
        "One snapshot of a thousand workers takes about {} ms",
        "A snapshot of 10 x 100 busy workers",
        "antflow",
        "ms",
    ),
    *(
        Figure("docs/prometheus.md", text, WITH_PROMETHEUS, row, TIMES, percent=True)
        for text, row in {
            "a pipeline with it was {}% slower": "antflow with antflow-prometheus",
            "alone makes it {}% slower": "antflow beside antflow-prometheus, left out",
        }.items()
    ),
    Figure("docs/prometheus.md", "100 stages takes about {} ms", SCRAPE, OUR_SERVER, SCRAPED),
    Figure("docs/prometheus.md", "longer: {} ms", SCRAPE, "prometheus_client's server", SCRAPED),
    *(
        Figure("docs/tracing.md", f"| {label} | {{}} |", TRACES, row, MICROSECONDS)
        for label, row in {
            "without antflow-otel": "antflow",
            "with it, but without a provider": "antflow with antflow-otel and no provider",
            "with a provider, no item sampled": "antflow with antflow-otel, not sampled",
            "every item recorded, through a batch processor": "antflow with antflow-otel's traces",
            "the same number of spans made by hand, with `start_as_current_span`": "spans by hand",
            "the same by hand, but only the attempts' spans made current": (
                "spans by hand, the attempt's alone made current"
            ),
        }.items()
    ),
    Figure(
        "docs/tracing.md",
        "a process that has it loaded was {}% slower",
        TRACES,
        "antflow beside antflow-otel, left out",
        TIMES,
        percent=True,
    ),
    Figure(
        "docs/tracing.md",
        "tracing every item took {} microseconds",
        f"{NO_OP}, with traces sent by OTLP",
        "antflow, every item traced and sent",
        PROCESSOR_TIME,
    ),
    Figure(
        "docs/tracing.md",
        "in a hundred sampled, it took {} microseconds",
        f"{NO_OP}, with traces sent by OTLP",
        "antflow, one item in a hundred traced and sent",
        PROCESSOR_TIME,
    ),
    *(
        Figure("docs/otel-metrics.md", f"| {label} | {{}} |", METRICS, row, MICROSECONDS)
        for label, row in {
            "without metrics": "antflow",
            "with quantiles": "antflow with antflow-otel's quantiles",
            "with histograms": "antflow with antflow-otel's histograms",
        }.items()
    ),
]

BOUNDS = "a bound of histograms, which no measurement gives"
PICTURE = "what a display shows in an example"
THRESHOLD = "a threshold that the code sets"

OTHERS = {
    ("README.md", "10 ms in each of three stages"): "what the measurement asks for",
    ("docs/comparison.md", "workers wait for 10 ms each"): "what the measurement asks for",
    ("docs/displays.md", "![A line with a bar, 62%,"): PICTURE,
    ("docs/displays.md", "![A line with a bar, 49%"): PICTURE,
    ("docs/displays.md", "10,000 (62%) done"): PICTURE,
    ("docs/displays.md", "at least 70% of the time"): THRESHOLD,
    ("docs/displays.md", "50% and 95% of the attempts"): "which quantiles are shown",
    ("docs/monitoring.md", "| warning | more than 5% of"): THRESHOLD,
    ("docs/monitoring.md", "**Meaning:** more than 5% of the items"): THRESHOLD,
    ("docs/monitoring.md", "### AntflowTimeoutRatioHigh  **Meaning:** more than 5% of"): THRESHOLD,
    ("docs/monitoring.md", "### AntflowGiveUpRatioHigh  **Meaning:** more than 5% of"): THRESHOLD,
    ("docs/monitoring.md", "more than 5% of the attempts at a stage time out"): THRESHOLD,
    ("docs/monitoring.md", "more than 5% of the attempts at a stage end"): THRESHOLD,
    ("docs/monitoring.md", "waiting more than 95% of"): THRESHOLD,
    ("docs/otel-metrics.md", "in each decade from a millisecond"): BOUNDS,
    ("docs/prometheus.md", "from 10 microseconds to"): BOUNDS,
    ("docs/prometheus.md", "they reach from a millisecond"): BOUNDS,
    ("docs/prometheus.md", "one connection every 20 ms"): THRESHOLD,
    ("docs/prometheus.md", "takes at most 3.5% of a core"): THRESHOLD,
    ("docs/prometheus.md", "takes at most 1.5% of the time"): THRESHOLD,
    ("docs/prometheus.md", "in at most 2% of the time, and for 0.3 seconds"): THRESHOLD,
    ("docs/reading-statistics.md", "from 10 microseconds to"): BOUNDS,
}
"""Figures of which RESULTS.md says nothing, by page and the text around them, and why."""

BLOCK = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
NUMBER = r"\d[\d,]*(?:\.\d+)?"
UNIT = r"(?:us|µs|ms|microseconds?|milliseconds?)\b"
FIGURE = re.compile(
    rf"(?<![\w.,]){NUMBER}(?: (?:to|or|and) {NUMBER})?(?:\s?%|\s{UNIT}|(?:us|µs|ms)\b|\sx\b)"
    rf"|\ba\s{UNIT}"
)
CELL = re.compile(rf"(?<=\| ){NUMBER}(?= \|)")

Span = tuple[int, int]


# What is measured


def measured(text: str) -> dict[tuple[str, str, str], Decimal]:
    """Return the figures of RESULTS.md by table, contender and column."""
    found = {}
    for section in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        title, _, rest = section.partition("\n")
        rows = [line.strip("| ").split(" | ") for line in rest.splitlines() if line[:1] == "|"]
        for row in rows[2:]:
            name = row[0].replace(" (this checkout)", "")
            for column, cell in zip(rows[0], row, strict=False):
                if number := re.match(rf"[+-]?{NUMBER}", cell):
                    found[title, name, column.strip()] = Decimal(number[0].replace(",", ""))
    return found


def agrees(shown: str, value: Decimal) -> bool:
    """Return whether a figure is a value, rounded to as many digits as it has."""
    number = Decimal(1 if shown == "a" else shown.replace(",", ""))
    digits = number.normalize() if number == number.to_integral_value() else number
    return (
        value.quantize(Decimal((0, (1,), int(digits.as_tuple().exponent))), ROUND_HALF_UP) == number
    )


# What the documents say


def documents() -> list[str]:
    return sorted(str(path.relative_to(ROOT)) for name in PAGES for path in ROOT.glob(name))


def read(page: str) -> str:
    """Return a page without its blocks of code, and with no line breaks but those of tables."""
    text = BLOCK.sub("", (ROOT / page).read_text(encoding="utf-8"))
    return re.sub(r"(?<!\|)\n(?!\|)", " ", text)


def pattern(text: str) -> re.Pattern[str]:
    """Return what finds a figure in the text around it."""
    parts = re.escape(text).replace(r"\{\}", f"({NUMBER}|a)").replace(r"\*", NUMBER)
    return re.compile(rf"(?<!\w){parts}")


def shown(figure: Figure) -> re.Match[str]:
    found = list(pattern(figure.text).finditer(read(figure.page)))
    assert len(found) == 1, f"{figure.page} has {figure.text!r} {len(found)} times, not once"
    return found[0]


def figures_in(text: str) -> Iterator[Span]:
    """Yield where numbers with a unit are, and those of tables whose heading has the unit."""
    for found in FIGURE.finditer(text):
        yield found.span()
    for table in re.finditer(
        rf"^\|[^\n]*\b{UNIT}[^\n]*\|\n\|[ |:-]+\|\n((?:\|.*\n)+)", text, re.MULTILINE
    ):
        for cell in CELL.finditer(table[1]):
            yield cell.start() + table.start(1), cell.end() + table.start(1)


def known_in(page: str) -> list[Span]:
    """Return where a page has figures that this test knows."""
    spans = [shown(figure).span(1) for figure in FIGURES if figure.page == page]
    for other, text in OTHERS:
        if other == page:
            start = read(page).find(text)
            assert start >= 0, f"{page} has {text!r} no more; leave it out of OTHERS"
            spans.append((start, start + len(text)))
    return spans


@pytest.mark.parametrize("figure", FIGURES, ids=lambda figure: f"{figure.page}: {figure.text}")
def test_a_figure_is_the_measured_one(figure: Figure) -> None:
    value = measured(RESULTS.read_text(encoding="utf-8"))[figure.table, figure.row, figure.column]
    value = (value - 1) * 100 if figure.percent else value
    text = shown(figure)[1]
    assert agrees(text, value), (
        f"{figure.page} says {text} in {figure.text!r}, and RESULTS.md {value} for {figure.row!r} "
        f"in {figure.table!r}; correct the page"
    )


@pytest.mark.parametrize("page", documents())
def test_every_figure_of_a_page_is_known(page: str) -> None:
    text, known = read(page), known_in(page)
    unknown = [
        text[max(0, start - 60) : end + 20]
        for start, end in figures_in(text)
        if not any(first < end and start < last for first, last in known)
    ]
    assert unknown == [], "enter it in FIGURES, or with a reason in OTHERS"


# This test itself


@pytest.mark.parametrize(
    ("text", "value", "expected"),
    [
        ("8.3", "8.25", True),
        ("8.2", "8.25", False),
        ("90", "89.72", True),
        ("500", "516.80", True),
        ("a", "0.88", True),
        ("a", "1.62", False),
        ("0.9", "0.90", True),
    ],
)
def test_a_figure_has_the_digits_that_it_has(text: str, value: str, expected: bool) -> None:
    assert agrees(text, Decimal(value)) is expected


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("It takes 14 ms.", ["14 ms"]),
        ("It takes 14ms, or 1.5 us.", ["14ms", "1.5 us"]),
        ("It costs 1 to 3% more, and 1,000 microseconds.", ["1 to 3%", "1,000 microseconds"]),
        ("It is 5 x as fast, and takes a millisecond.", ["5 x", "a millisecond"]),
        ("| | ms |\n|---|---|\n| one | 3.5 |\n| two | 4 |\n", ["3.5", "4"]),
        ("| | items |\n|---|---|\n| one | 3.5 |\n", []),
        ("10 x workers of 5 items in 20 seconds, p50", ["10 x"]),
    ],
)
def test_new_figures_are_found(text: str, found: list[str]) -> None:
    assert [text[start:end] for start, end in figures_in(text)] == found
