"""A picture of a trace for the documents: `make trace-picture` draws one of a real run.

The pipeline of examples/survey.py fetches a few files from a server that refuses some requests.
Of the spans that OpenTelemetry's SDK exports, those of an item that was tried again are drawn.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from examples.survey import paths, serving, survey

FOLDER = Path(__file__).parents[3] / "docs" / "images"
FILES = 80

WIDTH, ROW, MARGIN = 920, 30, 20
LEFT, RIGHT = 220, 90
"""Where the bars begin, and the room for durations behind them."""
COLORS = {"survey": "#4c5f7a", "Fetch": "#2f6fb3", "Parse": "#7a5aa6", "Store": "#2b8a6b"}
FAILED = "#c7392f"


@dataclass(frozen=True)
class Line:
    """A span and how deep it is below the root."""

    span: ReadableSpan
    depth: int


def spans_of_a_run(files: int = FILES) -> list[ReadableSpan]:
    """Run the survey of some files; return all spans that were exported."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)  # antflow-otel needs no more than that
    with tempfile.TemporaryDirectory() as folder, serving() as address:
        addresses = [f"{address}/{path}" for path in paths()[:files]]
        survey(Path(folder, "survey.sqlite")).run_sync(addresses)
    return list(exporter.get_finished_spans())


def tried_again(spans: Iterable[ReadableSpan]) -> list[Line]:
    """Return the trace of an item with an attempt that was retried, parents first."""
    spans = list(spans)
    all_retried = [span for span in spans if _of(span, "antflow.outcome") == "retried"]
    retried = max(all_retried, key=lambda span: len(span.events))  # with a wait for a limit, if any
    of_trace = [span for span in spans if _trace(span) == _trace(retried)]
    return list(_lines(of_trace, parent=None, depth=0))


def _lines(spans: Sequence[ReadableSpan], parent: int | None, depth: int) -> Iterator[Line]:
    children = [span for span in spans if (span.parent.span_id if span.parent else None) == parent]
    for span in sorted(children, key=lambda span: span.start_time or 0):
        yield Line(span, depth)
        yield from _lines(spans, _id(span), depth + 1)


def _of(span: ReadableSpan, name: str) -> object:
    return (span.attributes or {}).get(name)


def _trace(span: ReadableSpan) -> int:
    assert span.context is not None
    return int(span.context.trace_id)


def _id(span: ReadableSpan) -> int:
    assert span.context is not None
    return int(span.context.span_id)


def _times(span: ReadableSpan) -> tuple[int, int]:
    assert span.start_time is not None
    assert span.end_time is not None
    return span.start_time, span.end_time


def _milliseconds(nanoseconds: float) -> str:
    return f"{nanoseconds / 1e6:,.1f} ms"


class Picture:
    """The lines of a trace as an SVG."""

    def __init__(self, lines: Sequence[Line]) -> None:
        self.lines = lines
        self.parts: list[str] = []
        self.start, end = _times(lines[0].span)
        self.scale = (WIDTH - LEFT - RIGHT - MARGIN) / (end - self.start)

    def svg(self) -> str:
        """Return the picture: the head, a row for each span, and what one of them says."""
        top = 86
        self._head()
        for number, line in enumerate(self.lines):
            self._row(line, top + number * ROW)
        top += len(self.lines) * ROW + 16
        retried = next(
            line.span for line in self.lines if _of(line.span, "antflow.outcome") == "retried"
        )
        height = self._details(retried, top)
        body = "\n".join(self.parts)
        return f"""\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" \
height="{height}" role="img" aria-label="The spans of one item as bars over time">
<style>
text{{font:13px "Helvetica Neue",Arial,"DejaVu Sans",sans-serif;fill:#1f2933}}
.code{{font-family:"DejaVu Sans Mono",Menlo,Consolas,"Liberation Mono",monospace;font-size:12px}}
.weak{{fill:#66727f}}
.head{{font-size:16px;font-weight:bold}}
.failed{{fill:{FAILED}}}
.small{{font-size:11px;text-anchor:middle}}
.before{{text-anchor:end}}
</style>
<rect x=".5" y=".5" width="{WIDTH - 1}" height="{height - 1}" rx="8" fill="#fff" stroke="#cbd2d9"/>
{body}
</svg>
"""

    def _head(self) -> None:
        root = self.lines[0].span
        start, end = _times(root)
        self._write(MARGIN, 28, root.name, "head")
        self._write(
            MARGIN,
            48,
            f"trace {_trace(root):032x}   {len(self.lines)} spans   {_milliseconds(end - start)}",
            "code weak",
        )
        for quarter in range(5):
            x = LEFT + (end - start) * self.scale * quarter / 4
            self._write(x, 80, f"{(end - start) * quarter / 4e6:.0f} ms", "weak small")
            self.parts.append(
                f'<path d="M{x:.1f} 86V{86 + len(self.lines) * ROW}" stroke="#e4e7eb"/>'
            )

    def _row(self, line: Line, top: int) -> None:
        start, end = _times(line.span)
        left = LEFT + (start - self.start) * self.scale
        width = max((end - start) * self.scale, 2)
        is_failed = not line.span.status.is_ok
        color = FAILED if is_failed else COLORS[line.span.name.split()[0]]
        middle = top + ROW // 2 + 4
        self.parts.append(f'<path d="M1 {top}.5H{WIDTH - 1}" stroke="#e4e7eb"/>')
        self._write(MARGIN + 16 * line.depth, middle, line.span.name, "failed" if is_failed else "")
        for event in line.span.events:
            if event.name == "antflow.limit.wait":
                began = LEFT + (event.timestamp - self.start) * self.scale
                self.parts.append(
                    f'<path d="M{began:.1f} {top + 15}H{left:.1f}" stroke="{color}" '
                    'stroke-width="2" stroke-dasharray="3 3"/>'
                )
                limit = str((event.attributes or {})["antflow.limit.name"])
                self._write(began - 6, middle, f"waits for limit '{limit}'", "weak before")
        self.parts.append(
            f'<rect x="{left:.1f}" y="{top + 7}" width="{width:.1f}" height="16" rx="2" '
            f'fill="{color}"/>'
        )
        self._write(left + width + 6, middle, _milliseconds(end - start), "weak")

    def _details(self, span: ReadableSpan, top: int) -> int:
        """Write the attributes and events of a span; return how high the picture is."""
        self.parts.append(f'<path d="M0 {top}H{WIDTH}" stroke="#cbd2d9"/>')
        top += 26
        self._write(MARGIN, top, f"{span.name}, the attempt that was retried", "failed")
        said: list[tuple[str, object]] = [*(span.attributes or {}).items()]
        said += [
            (f"{event.name}: {name}", value)
            for event in span.events
            for name, value in (event.attributes or {}).items()
            if name != "exception.stacktrace"
        ]
        for number, (name, value) in enumerate(said):
            y = top + 22 + 20 * number
            self._write(MARGIN, y, name, "code weak")
            self._write(MARGIN + 350, y, str(value), "code")
        return top + 22 + 20 * len(said) + 4

    def _write(self, x: float, y: float, text: str, look: str) -> None:
        self.parts.append(f'<text x="{x:.0f}" y="{y:.0f}" class="{look}">{escape(text)}</text>')


def main() -> None:
    picture = Picture(tried_again(spans_of_a_run())).svg()
    (FOLDER / "trace.svg").write_text(picture, encoding="utf-8")


if __name__ == "__main__":
    main()
