"""Real servers for tests: the example service, and Prometheus, each a process on 127.0.0.1."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlencode

from prometheus_client.parser import text_string_to_metric_families

from tests.integration.plugins.installing import plain_environ
from tests.requirements import required

HOST = "127.0.0.1"
LIMIT = 20.0
"""Seconds that anything may take before a test fails."""

ATTEMPTS = 5

PROGRAM = Path(__file__).resolve().parents[2] / "examples" / "service" / "service.py"
LISTENING = re.compile(r"running on http://127\.0\.0\.1:(\d+)")

T = TypeVar("T")
AnyServer = TypeVar("AnyServer", bound="Server")
Labels = frozenset[tuple[str, str]]


def until(condition: Callable[[], T | None], limit: float = LIMIT, wanted: str = "") -> T:
    """Return what a condition gives as soon as that is true; what it gave last is shown if not."""
    end = time.monotonic() + limit
    while not (found := condition()):
        assert time.monotonic() < end, f"not within {limit} seconds: {wanted} {found!r}"
        time.sleep(0.02)
    return found


@dataclass(frozen=True)
class Reply:
    """What a server answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def text(self) -> str:
        return self.body.decode()


@dataclass
class Server:
    """A process that serves HTTP on 127.0.0.1."""

    process: subprocess.Popen[bytes]
    log: Path
    port: int = 0

    def ask(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] = {}
    ) -> Reply:
        connection = HTTPConnection(HOST, self.port, timeout=LIMIT)
        try:
            connection.request(method, path, body, dict(headers))
            answer = connection.getresponse()
            received = {name.lower(): text for name, text in answer.getheaders()}
            return Reply(answer.status, received, answer.read())
        finally:
            connection.close()

    def get(self, path: str, **headers: str) -> Reply:
        return self.ask(
            "GET", path, headers={name.replace("_", "-"): h for name, h in headers.items()}
        )

    def post(self, path: str, content: object = None) -> Reply:
        headers = {"Content-Type": "application/json"}
        return self.ask("POST", path, json.dumps(content).encode(), headers)

    def said(self) -> str:
        return self.log.read_text(encoding="utf-8")

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def wait(self) -> int:
        return self.process.wait(LIMIT)

    def end(self) -> None:
        """End the process, at last by force."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(LIMIT)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def addresses(self) -> set[str]:
        """Return the addresses that the process listens at over TCP, as the kernel writes them."""
        own = Path("/proc", str(self.process.pid))
        sockets = set()
        for descriptor in (own / "fd").iterdir():
            try:
                sockets.add(str(descriptor.readlink()))
            except FileNotFoundError:
                continue
        found = set()
        for table in ("tcp", "tcp6"):
            lines = (own / "net" / table).read_text(encoding="ascii").splitlines()[1:]
            for _, local, _, state, *rest in map(str.split, lines):
                if state == "0A" and f"socket:[{rest[5]}]" in sockets:
                    found.add(local)
        return found


# The example service


class Service(Server):
    """The example service."""

    def metrics(self) -> dict[str, dict[Labels, float]]:
        """Scrape, and return the values of each sample's name by their labels."""
        reply = self.get("/metrics")
        assert reply.status == 200
        return samples(reply.text)

    def ended(self) -> dict[str, float]:
        """Return how many items have ended, by how, once none is outstanding."""
        until(lambda: not total(self.metrics(), "antflow_pipeline_items_outstanding"))
        rows = self.metrics()["antflow_pipeline_items_total"]
        return {dict(labels)["outcome"]: value for labels, value in rows.items()}


def samples(text: str) -> dict[str, dict[Labels, float]]:
    """Return the values of a scrape, by the samples' names and labels."""
    found: dict[str, dict[Labels, float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, {})[frozenset(sample.labels.items())] = sample.value
    return found


def total(rows: Mapping[str, Mapping[Labels, float]], name: str, **labels: str) -> float:
    """Return the sum of a metric's series that have these labels."""
    wanted = labels.items()
    return sum(value for series, value in rows[name].items() if wanted <= series)


@contextmanager
def service(folder: Path, **options: float) -> Iterator[Service]:
    """Run the example service, every warning being an error, at any free port."""
    given = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
    process, log = start_python(folder, str(PROGRAM), "--port=0", *given)
    with listening(Service(process, log)) as server:
        yield server


def start_python(
    folder: Path, *arguments: str, environ: Mapping[str, str] = {}
) -> tuple[subprocess.Popen[bytes], Path]:
    """Start Python, every warning being an error; return the process and the file of its output."""
    log = folder / f"service-{time.monotonic_ns()}.log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-W", "error", *arguments],
            env={**plain_environ(), **environ},
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    return process, log


@contextmanager
def listening(server: AnyServer) -> Iterator[AnyServer]:
    """Wait until uvicorn has logged the port that it listens at, and end the process at last."""
    try:
        server.port = int(until(lambda: _port(server)))
        yield server
    finally:
        server.end()


def _port(server: Server) -> str | None:
    found = LISTENING.search(server.said())
    assert found or server.process.poll() is None, server.said()
    return found[1] if found else None


# Prometheus


@dataclass
class Prometheus(Server):
    """A Prometheus."""

    def api(self, path: str, **query: str) -> Any:
        reply = self.get(f"/api/v1/{path}?{urlencode(query)}")
        assert reply.status == 200, f"{query}: {reply.text}"
        return reply.json["data"]

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Return the series that an expression gives now."""
        found = self.api("query", query=expression)
        return [{"value": found["result"]}] if found["resultType"] == "scalar" else found["result"]

    def value(self, expression: str) -> float | None:
        """Return the value of an expression that gives one series; None if it gives none."""
        found = self.query(expression)
        assert len(found) <= 1, found
        return float(found[0]["value"][1]) if found else None

    def rules(self) -> list[dict[str, Any]]:
        return [rule for group in self.api("rules")["groups"] for rule in group["rules"]]

    def state(self, alert: str, **labels: str) -> str:
        """Return whether an alert is firing, pending or inactive."""
        alerts = [
            each
            for each in self.api("alerts")["alerts"]
            if each["labels"]["alertname"] == alert and labels.items() <= each["labels"].items()
        ]
        states = {each["state"] for each in alerts}
        return next((state for state in ("firing", "pending") if state in states), "inactive")


@contextmanager
def prometheus(folder: Path, target: Server, rules: Sequence[Path]) -> Iterator[Prometheus]:
    """Run a Prometheus that scrapes a server four times a second."""
    config = folder / "prometheus.yml"
    content = {
        "global": {"scrape_interval": "250ms", "evaluation_interval": "250ms"},
        "rule_files": [str(path) for path in rules],
        "scrape_configs": [
            {
                "job_name": "service",
                "scrape_timeout": "250ms",
                "static_configs": [{"targets": [f"{HOST}:{target.port}"]}],
            }
        ],
    }
    config.write_text(json.dumps(content), encoding="utf-8")  # JSON is YAML
    program = required("prometheus")

    def command(port: int, attempt: int) -> list[str]:
        return [
            program,
            f"--config.file={config}",
            f"--storage.tsdb.path={folder / f'data-{attempt}'}",
            f"--web.listen-address={HOST}:{port}",
        ]

    server = started(Prometheus, folder, command, _is_ready, "address already in use")
    try:
        yield server
    finally:
        server.end()


def _is_ready(server: Server) -> bool:
    try:
        return server.get("/-/ready").status == 200
    except OSError:
        return False


# Starting servers at free ports


def started(
    kind: type[AnyServer],
    folder: Path,
    command: Callable[[int, int], Sequence[str]],
    is_ready: Callable[[AnyServer], bool],
    taken: str = "",
    **options: Any,
) -> AnyServer:
    """Start a server; another process may take the free port first, so this tries again.

    Args:
        kind: of the server.
        folder: where it runs, and of the file of its output.
        command: returns what runs it at a port, given the number of the attempt.
        is_ready: returns whether it serves.
        taken: what it logs if another process has its port.
        options: of the process.
    """
    for attempt in range(ATTEMPTS):
        port = free_port()
        log = folder / f"{kind.__name__}-{attempt}.log"
        with log.open("wb") as file:
            process = subprocess.Popen(
                command(port, attempt),
                stdout=file,
                stderr=subprocess.STDOUT,
                **{"cwd": folder, **options},
            )
        server = kind(process, log, port)
        try:
            until(partial(_is_ready_or_over, server, is_ready))
        except BaseException:
            server.end()
            raise
        if process.poll() is None:
            return server
        assert taken in server.said(), server.said()
        assert attempt < ATTEMPTS - 1, server.said()
    raise AssertionError


def _is_ready_or_over(server: AnyServer, is_ready: Callable[[AnyServer], bool]) -> bool:
    return server.process.poll() is not None or is_ready(server)


def free_port() -> int:
    with socket.create_server((HOST, 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
