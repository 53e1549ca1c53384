"""Writes a registry's metrics in the text formats of Prometheus and OpenMetrics."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from prometheus_client import Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from antflow.exporting import yield_gil

from ._family import Family

END = b"# EOF\n"
LINES_AT_ONCE = 500
"""Lines that are written before other threads get a chance to run; about half a millisecond."""

Encode = Callable[[Collector], bytes]
"""A function of the library that writes metrics in a text format."""


class _Collected(Collector):
    """Metrics that have been collected already."""

    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        return self._metrics


def choose_format(accept: str) -> tuple[Encode, str]:
    """Return the library's function for the format that is accepted, and its content type.

    Args:
        accept: the content of the HTTP header Accept; an invalid one stands for the text format.
    """
    try:
        return choose_encoder(accept)
    except (TypeError, ValueError):  # a version that is not a number
        return choose_encoder("")


def expose(registry: Collector, encode: Encode) -> bytes:
    """Return the text of all metrics of a registry.

    antflow's metrics are written here, for speed; all others by the library.

    Args:
        encode: the library's function for the format.
    """
    ours: list[Family] = []
    others: list[Metric] = []
    for metric in registry.collect():
        if isinstance(metric, Family):
            ours.append(metric)
        else:
            others.append(metric)
    text = encode(_Collected(others))
    is_openmetrics = text.endswith(END)
    lines = "".join(
        _paced(line for family in ours for line in _lines(family, is_openmetrics=is_openmetrics))
    )
    return text.removesuffix(END) + lines.encode() + (END if is_openmetrics else b"")


def _paced(lines: Iterable[str]) -> Iterator[str]:
    """Let other threads run every few hundred lines; this one would hold them up for 5 ms."""
    for number, line in enumerate(lines):
        if number % LINES_AT_ONCE == 0:
            yield_gil()
        yield line


def _lines(family: Family, *, is_openmetrics: bool) -> Iterator[str]:
    """Return a metric's lines; in OpenMetrics a counter's family has no ending _total."""
    name = family.name + ("_total" if family.type == "counter" and not is_openmetrics else "")
    yield f"# HELP {name} {family.documentation}\n# TYPE {name} {family.type}\n"
    yield from family.lines()
