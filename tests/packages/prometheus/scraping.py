"""What a scraper gets, parsed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_open
from prometheus_client.parser import text_string_to_metric_families as parse_text

from antflow import Pipeline, Stage, StageStats
from antflow_prometheus import Prometheus, make_wsgi_app

OPEN = "application/openmetrics-text; version=1.0.0"
Key = tuple[str, frozenset[tuple[str, str]]]


def key(name: str, **labels: str) -> Key:
    return name, frozenset(labels.items())


class Answer(NamedTuple):
    """The response to a request for metrics."""

    status: str
    headers: dict[str, str]
    body: bytes


def ask(
    registry: CollectorRegistry,
    method: str = "GET",
    *,
    query: str = "",
    accept: str = "",
    encodings: str = "",
) -> Answer:
    """Ask the WSGI application of a registry; the standard's validator checks the answer."""
    started: list[tuple[str, dict[str, str]]] = []
    environ: dict[str, Any] = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": "/metrics",
        "QUERY_STRING": query,
        "HTTP_ACCEPT": accept,
        "HTTP_ACCEPT_ENCODING": encodings,
    }
    setup_testing_defaults(environ)

    def start_response(status: str, headers: list[tuple[str, str]], *_: Any) -> Any:
        started.append((status, dict(headers)))
        return lambda _: None

    answer = validator(make_wsgi_app(registry))(environ, start_response)
    body = b"".join(answer)
    answer.close()  # type: ignore[attr-defined]
    return Answer(*started[0], body)


def families(text: str, *, is_open: bool = False) -> list[Metric]:
    """Parse what was served, with the library's own parsers."""
    parse: Callable[[str], Iterable[Metric]] = parse_open if is_open else parse_text
    return list(parse(text))


def samples(text: str, *, is_open: bool = False) -> dict[Key, float]:
    """Return every sample's value, by its name and labels; a second one of a key is refused."""
    found: dict[Key, float] = {}
    for family in families(text, is_open=is_open):
        for sample in family.samples:
            name = key(sample.name, **sample.labels)
            assert name not in found, f"{name} is exposed twice"
            found[name] = sample.value
    return found


class Scraper:
    """A registry with a plugin that fills it, and what it shows.

    Args:
        options: of the plugin.
    """

    def __init__(self, **options: Any) -> None:
        self.registry = CollectorRegistry()
        self.plugin = Prometheus(self.registry, **options)

    def text(self, accept: str = "") -> str:
        return ask(self.registry, accept=accept).body.decode()

    def samples(self) -> dict[Key, float]:
        return samples(self.text())

    def value(self, name: str, **labels: str) -> float:
        return self.samples()[key(name, **labels)]

    def values(self, name: str, label: str) -> dict[str, float]:
        """Return the values of one metric by one of its labels, summed over the others."""
        found: dict[str, float] = {}
        for (sample, labels), value in self.samples().items():
            if sample == name:
                content = dict(labels)[label]
                found[content] = found.get(content, 0.0) + value
        return found

    def pipeline(self, *stages: Stage, name: str = "letters", **options: Any) -> Pipeline:
        plugins = [self.plugin, *options.pop("plugins", ())]
        return Pipeline(stages, name=name, plugins=plugins, autoload=False, **options)


async def same(value: Any) -> Any:
    return value


def stage(name: str = "Work", task: Callable[..., Any] = same, **options: Any) -> Stage:
    return Stage(name=name, **{"workers": 2, "tasks": [task], "task_attempts": 1, **options})


def sum_of_ends(one: StageStats) -> int:
    return one.completed_items + one.failed_items + one.dropped_items + one.unprocessed_items
