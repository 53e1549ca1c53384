"""Writing a registry's metrics as a scraper wants them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from prometheus_client import Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from ._family import Family
from ._pacing import give_way

END = b"# EOF\n"
LINES_AT_ONCE = 500


class _Collected(Collector):
    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        return self._metrics


def expose(registry: Collector, accept: str) -> tuple[str, bytes]:
    """Return all metrics of a registry, and the content type that they are in.

    Metrics of antflow are written here, for speed, and all others by the library.

    Args:
        registry: whose metrics.
        accept: the formats that are wanted, as in the HTTP header Accept; when it makes no sense,
            the text format is taken.
    """
    encode, content_type = _encoder(accept)
    ours: list[Family] = []
    others: list[Metric] = []
    for metric in registry.collect():
        if isinstance(metric, Family):
            ours.append(metric)
        else:
            others.append(metric)
    text = encode(_Collected(others))
    is_open = text.endswith(END)
    lines = "".join(_paced(line for family in ours for line in _lines(family, is_open=is_open)))
    return content_type, text.removesuffix(END) + lines.encode() + (END if is_open else b"")


def _encoder(accept: str) -> tuple[Callable[[Collector], bytes], str]:
    try:
        return choose_encoder(accept)
    except (TypeError, ValueError):  # of a version that is no number
        return choose_encoder("")


def _paced(lines: Iterable[str]) -> Iterator[str]:
    """Let other threads go on now and then."""
    for number, line in enumerate(lines):
        if number % LINES_AT_ONCE == 0:
            give_way()
        yield line


def _lines(family: Family, *, is_open: bool) -> Iterator[str]:
    """Return a metric's lines; OpenMetrics calls a counter's family by its name without _total."""
    name = family.name + ("_total" if family.type == "counter" and not is_open else "")
    yield f"# HELP {name} {family.documentation}\n# TYPE {name} {family.type}\n"
    yield from family.lines()
