"""The FastAPI service: a real process of uvicorn, asked over HTTP, and ended by SIGTERM."""

from __future__ import annotations

import json
import re
import signal
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import pytest

from tests.integration.prometheus_server import (
    HOST,
    LIMIT,
    Labels,
    Reply,
    Server,
    listening,
    samples,
    start_python,
    total,
    until,
)

ROOT = Path(__file__).parents[2]
PROGRAM = ROOT / "examples" / "fastapi_service" / "service.py"
PAGE = ROOT / "docs" / "how-to" / "fastapi.md"
STORED = re.compile(r"Stored '([^']+)'")
LEFT = re.compile(r"Job \w+ was left at stage \w+: .*?((?:slow|quick)-[\w-]+)")
SUMMARY = re.compile(
    r"Of (\d+) items (\d+) succeeded, (\d+) failed, (\d+) were dropped and (\d+) were left"
)
JSON = {"Content-Type": "application/json"}
FETCHING, WAITING = 20, 100
"""Items that the stage Fetch works on, and that may wait in front of it."""


class Words(Server):
    """The service."""

    def metrics(self) -> dict[str, dict[Labels, float]]:
        return samples(self.get("/metrics/").text)

    def outstanding(self) -> float:
        return total(self.metrics(), "antflow_pipeline_items_outstanding")

    def dropped(self) -> float:
        return total(self.metrics(), "antflow_pipeline_items_total", outcome="dropped")

    def job(self, page: str) -> str:
        """Return the path of a new job."""
        reply = self.post("/jobs", {"page": page})
        assert reply.status == 202
        return f"/jobs/{reply.json['id']}"

    def ended_job(self, path: str) -> Reply:
        """Return the answer for a job once it has ended."""

        def ask() -> Reply | None:
            reply = self.get(path)
            return None if reply.json["status"] in {"waiting", "running"} else reply

        return until(ask)

    def stored(self) -> list[str]:
        return STORED.findall(self.said())

    def left(self) -> list[str]:
        return LEFT.findall(self.said())

    def summary(self) -> tuple[int, ...]:
        (found,) = SUMMARY.findall(self.said())
        return tuple(map(int, found))


@contextmanager
def serving(folder: Path, **settings: float) -> Iterator[Words]:
    """Run the service by uvicorn, as its page says, at any free port."""
    environ = {name.upper(): str(value) for name, value in settings.items()}
    command = f"-m uvicorn --app-dir {PROGRAM.parent} service:app --port 0 --no-access-log"
    arguments = [*command.split(), "--timeout-graceful-shutdown", "8"]
    process, log = start_python(folder, *arguments, environ=environ)
    with listening(Words(process, log)) as server:
        yield server


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Words]:
    folder = tmp_path_factory.mktemp("words")
    with serving(folder, request_seconds=0.4, attempt_seconds=6, stall_seconds=0.3) as server:
        yield server


# Requests that wait


@pytest.mark.parametrize(
    ("page", "status", "answer"),
    [
        ("ants", 200, {"page": "ants", "words": 6}),
        ("missing", 502, {"error": "there is no page 'missing'", "stage": "Fetch"}),
    ],
)
def test_a_request_is_answered_with_the_result_of_its_item(
    served: Words, page: str, status: int, answer: object
) -> None:
    reply = served.post("/words", {"page": page})
    assert (reply.status, reply.json) == (status, answer)


@pytest.mark.parametrize("body", [{}, {"page": ""}, {"page": "a" * 201}, {"page": 7}, ["a"]])
@pytest.mark.parametrize("path", ["/words", "/jobs"])
def test_a_wrong_body_is_refused(served: Words, path: str, body: object) -> None:
    assert served.post(path, body).status == 422


def test_the_item_of_a_client_that_disconnects_is_cancelled(tmp_path: Path) -> None:
    body = b'{"page": "slow-disconnected"}'
    headers = f"Host: {HOST}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    with serving(tmp_path) as server:
        with socket.create_connection((HOST, server.port), LIMIT) as connection:
            connection.sendall(f"POST /words HTTP/1.1\r\n{headers}\r\n\r\n".encode() + body)
            until(lambda: server.outstanding() == 1)
        until(lambda: server.outstanding() == 0)
        assert server.dropped() == 1
        assert server.stored() == []


def test_a_request_that_waits_too_long_for_a_worker_is_answered_so(served: Words) -> None:
    busy = [served.job(f"slow-busy-{number}") for number in range(2 * FETCHING)]
    reply = served.post("/words", {"page": "late"})
    assert (reply.status, reply.json) == (504, {"error": "No worker was free in 0.4 seconds"})
    for path in busy:
        served.ask("DELETE", path)
    until(lambda: served.outstanding() == 0)
    assert "late" not in served.stored()


def test_a_full_pipeline_is_answered_with_503(served: Words) -> None:
    with ThreadPoolExecutor(8) as threads:
        pages = [{"page": f"slow-{number}"} for number in range(FETCHING + WAITING + 10)]
        replies = list(threads.map(lambda page: served.post("/jobs", page), pages))
    statuses = [reply.status for reply in replies]
    assert set(statuses) == {202, 503}
    assert statuses.count(202) >= WAITING
    refused = served.post("/words", {"page": "ants"})
    assert (refused.status, refused.headers["retry-after"]) == (503, "1")
    assert refused.json == {"error": "Too many pages are waiting; ask later"}
    for reply in replies:
        if reply.status == 202:
            served.ask("DELETE", f"/jobs/{reply.json['id']}")
    until(lambda: served.outstanding() == 0)


# Jobs


@pytest.mark.parametrize(
    ("page", "status", "more"),
    [
        ("bees", "succeeded", {"result": {"page": "bees", "words": 6}}),
        ("missing-bees", "failed", {"error": "there is no page 'missing-bees'"}),
    ],
)
def test_a_job_has_a_status_and_a_result(
    served: Words, page: str, status: str, more: dict[str, object]
) -> None:
    path = served.job(page)
    reply = served.ended_job(path)
    assert reply.status == 200
    assert reply.json == {"id": path.removeprefix("/jobs/"), "status": status, **more}


def test_a_job_can_be_cancelled_until_it_has_ended(served: Words) -> None:
    path = served.job("slow-cancelled")
    until(lambda: served.get(path).json["status"] == "running")
    assert served.ask("DELETE", path).status == 202
    reply = served.ended_job(path)
    assert (reply.json["status"], reply.json["error"]) == ("dropped", "cancelled")
    again = served.ask("DELETE", path)
    assert (again.status, again.json) == (409, {"detail": "The job has ended: dropped"})


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_an_unknown_job_is_answered_with_404(served: Words, method: str) -> None:
    assert served.ask(method, "/jobs/unknown").status == 404


# Health


def test_health_names_the_stage_that_is_stalled(served: Words) -> None:
    until(lambda: served.get("/healthz").status == 200)
    path = served.job("slow-stalled")
    until(lambda: served.get("/healthz").status == 503)
    assert served.get("/healthz").json == {"status": "stalled", "stalled": ["Fetch"]}
    served.ask("DELETE", path)
    served.ended_job(path)
    assert served.get("/healthz").json == {"status": "ok", "stalled": []}


# The end


@dataclass
class Load:
    """What clients asked, and what each was answered."""

    server: Words
    answers: dict[str, int] = field(default_factory=dict)
    unanswered: list[str] = field(default_factory=list)

    def ask(self, client: int) -> None:
        """Send requests and jobs over one connection, until the server takes none."""
        connection = HTTPConnection(HOST, self.server.port, timeout=LIMIT)
        for number in range(100_000):
            page = f"quick-{client}-{number}"
            path = "/jobs" if number % 4 == 0 else "/words"
            try:
                connection.request("POST", path, json.dumps({"page": page}), JSON)
                answer = connection.getresponse()
                content = json.loads(answer.read())
            except (HTTPException, OSError):
                self.unanswered.append(page)
                break
            assert path == "/jobs" or content.get("page", page) == page
            self.answers[page] = answer.status
        connection.close()

    def accepted(self) -> set[str]:
        return {page for page, status in self.answers.items() if status in {200, 202}}


@pytest.mark.parametrize(
    ("settings", "is_all_done"),
    [({"drain_seconds": 10}, True), ({"drain_seconds": 0.2, "attempt_seconds": 6}, False)],
)
def test_sigterm_under_load_loses_nothing(
    tmp_path: Path, settings: dict[str, float], is_all_done: bool
) -> None:
    clients = 12
    with serving(tmp_path, **settings) as server:
        load = Load(server)
        with ThreadPoolExecutor(clients) as threads:
            asking = [threads.submit(load.ask, client) for client in range(clients)]
            until(lambda: len(load.answers) > 200)
            slow = [f"slow-{number}" for number in range(30)]
            load.answers |= {page: server.post("/jobs", {"page": page}).status for page in slow}
            server.signal(signal.SIGTERM)
            for each in asking:
                each.result()
        assert server.wait() == -signal.SIGTERM  # uvicorn has stopped, and then raises it again
    assert set(load.answers.values()) <= {200, 202, 503}
    stored, left = server.stored(), server.left()
    ended = stored + left
    assert len(ended) == len(set(ended))  # none twice
    assert set(ended) == load.accepted()  # none lost, and none done whose request was refused
    assert len(load.unanswered) == clients  # the load went on until no request was accepted
    assert not {page for page, status in load.answers.items() if status == 200} - set(stored)
    assert bool(left) is not is_all_done
    assert server.summary() == (len(ended), len(stored), 0, 0, len(left))


def test_the_page_shows_the_program() -> None:
    text = PROGRAM.read_text(encoding="utf-8")
    assert text[text.index("import asyncio") :] in PAGE.read_text(encoding="utf-8")
