"""Real receivers of OTLP for tests, each a process on 127.0.0.1: Rotel and VictoriaMetrics."""

from __future__ import annotations

import os
import re
import socket
import sysconfig
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlencode

from tests.integration.prometheus_server import HOST, Server, free_port, started, until
from tests.requirements import required

S = TypeVar("S", bound=Server)

LIBRARIES = {"LD_LIBRARY_PATH": str(sysconfig.get_config_var("LIBDIR"))}
"""Where rotel finds this Python's, which it is linked to."""


class Receiver(Server):
    """What takes OTLP by HTTP at the usual paths."""

    @property
    def environ(self) -> dict[str, str]:
        """What has OpenTelemetry's SDK export to it."""
        return {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{HOST}:{self.port}",
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        }


# Rotel, a collector


@dataclass
class Received:
    """A span as a collector received it."""

    name: str = ""
    trace: str = ""
    id: str = ""
    parent: str = ""
    kind: str = ""
    status: str = ""
    scope: str = ""
    attributes: dict[str, str] = field(default_factory=dict)
    links: list[tuple[str, str]] = field(default_factory=list)
    events: list[str] = field(default_factory=list)


class Rotel(Receiver):
    """A collector that writes down what it receives, by HTTP or, at `grpc_port`, by gRPC."""

    grpc_port = 0

    def spans(self) -> list[Received]:
        """Return the spans that it has received."""
        return list(_spans(self.said().splitlines()))

    def spans_from(self, scope: str, number: int) -> list[Received]:
        """Return the spans that a library made, once there are so many or time is up."""
        found: list[Received] = []

        def have_arrived() -> bool:
            found[:] = [span for span in self.spans() if span.scope == scope]
            return len(found) >= number

        with suppress(AssertionError):  # what is compared with them shows which are missing
            until(have_arrived)
        return found

    def logs(self) -> list[tuple[str, str, str]]:
        """Return trace id, span id and text of the log records that it has received."""
        return [(trace, span, text) for text, trace, span in LOG_RECORD.findall(self.said())]

    def metrics(self) -> set[str]:
        """Return the names of the metrics that it has received."""
        return set(re.findall(r"^     -> Name: (antflow\S+)$", self.said(), re.MULTILINE))


LOG_RECORD = re.compile(
    r"^Body: Str\((.*)\)$[^#]*?^    Trace ID       : (\w*)$\n^    Span ID        : (\w*)$",
    re.MULTILINE,
)
LINE = re.compile(r"^(?P<indent> *)(?:-> )?(?P<key>[^:#]+?) *:+ ?(?P<value>.*)$")
VALUE = re.compile(r"^\w+\((.*)\)$")
SPAN_FIELDS = {
    "Name": "name",
    "Trace ID": "trace",
    "ID": "id",
    "Parent ID": "parent",
    "Kind": "kind",
    "Status code": "status",
}


def _spans(lines: Sequence[str]) -> Iterator[Received]:
    span, scope, part = Received(), "", ""
    for line in lines:
        if line.startswith("InstrumentationScope "):
            scope = line.split()[1]
        elif re.match(r"(Span|ResourceMetrics|ResourceSpans|ResourceLogs|ScopeSpans) #", line):
            if span.id:
                yield span
            span, part = Received(scope=scope), "span"
        elif line.startswith(("SpanEvent #", "SpanLink #")):
            part = line.split()[0]
        elif line == "Attributes:":
            part = "attributes"
        elif found := LINE.match(line):
            _note(span, part, found["key"], found["value"])
    if span.id:
        yield span


def _note(span: Received, part: str, key: str, value: str) -> None:
    """Add what one line says about a span."""
    if part == "span" and key in SPAN_FIELDS:
        setattr(span, SPAN_FIELDS[key], value)
    elif part == "attributes":
        found = VALUE.match(value)
        span.attributes[key] = found[1] if found else value
    elif part == "SpanEvent" and key == "Name":
        span.events.append(value)
    elif part == "SpanLink" and key == "Trace ID":
        span.links.append((value, ""))
    elif part == "SpanLink" and key == "ID":
        span.links[-1] = span.links[-1][0], value


@contextmanager
def rotel(folder: Path) -> Iterator[Rotel]:
    """Run a collector."""
    found = find_spec("rotel")
    program = str(Path(str(found.origin)).with_name("rotel-agent")) if found else "rotel-agent"
    program = required(program)

    def command(port: int, attempt: int) -> list[str]:
        ports[:] = [free_port()]
        return [
            *(program, "start", "--exporter", "blackhole", "--debug-log-verbosity", "detailed"),
            *("--debug-log", "traces", "--debug-log", "metrics", "--debug-log", "logs"),
            *("--otlp-http-endpoint", f"{HOST}:{port}"),
            *("--otlp-grpc-endpoint", f"{HOST}:{ports[0]}"),
        ]

    ports: list[int] = []
    server = _started(Rotel, folder, command)
    server.grpc_port = ports[0]
    try:
        yield server
    finally:
        server.end()


# oteltap, a receiver that waits


class Tap(Receiver):
    """A receiver that ends once it has received what it waits for."""


@contextmanager
def oteltap(folder: Path, span: str) -> Iterator[Tap]:
    """Run a receiver that waits for a span."""
    program = required("oteltap")
    server = _started(
        Tap, folder, lambda port, _: [program, f"--port={port}", f"--await-span={span}"]
    )
    try:
        yield server
    finally:
        server.end()


# VictoriaMetrics, a data base


class VictoriaMetrics(Server):
    """A data base of metrics that takes OTLP and is asked as Prometheus is."""

    @property
    def environ(self) -> dict[str, str]:
        """What has OpenTelemetry's SDK export metrics to it."""
        url = f"http://{HOST}:{self.port}/opentelemetry/v1/metrics"
        return {
            "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": url,
            "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL": "http/protobuf",
        }

    def query(self, expression: str) -> dict[frozenset[tuple[str, str]], float]:
        """Return the values of an expression by their labels."""
        self.get("/internal/force_flush")
        reply = self.get(f"/api/v1/query?{urlencode({'query': expression})}")
        assert reply.status == 200, reply.text
        return {
            frozenset(row["metric"].items()): float(row["value"][1])
            for row in reply.json["data"]["result"]
        }

    def value(self, expression: str) -> float | None:
        """Return the value of an expression that gives one series; None if it gives none."""
        found = self.query(expression)
        assert len(found) <= 1, found
        return next(iter(found.values()), None)


@contextmanager
def victoria_metrics(folder: Path) -> Iterator[VictoriaMetrics]:
    """Run a data base that shows what it gets at once."""
    program = required("victoria-metrics")

    def command(port: int, attempt: int) -> list[str]:
        return [
            program,
            f"-httpListenAddr={HOST}:{port}",
            f"-storageDataPath={folder / f'data-{attempt}'}",
            "-opentelemetry.usePrometheusNaming",
            "-search.latencyOffset=0s",
            "-search.disableCache",
        ]

    server = _started(VictoriaMetrics, folder, command)
    try:
        yield server
    finally:
        server.end()


# Starting them


def _started(kind: type[S], folder: Path, command: Callable[[int, int], list[str]]) -> S:
    return started(kind, folder, command, _listens, env=os.environ | LIBRARIES)


def _listens(server: Server) -> bool:
    with socket.socket() as asking:
        return asking.connect_ex((HOST, server.port)) == 0
