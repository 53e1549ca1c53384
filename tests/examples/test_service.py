"""The example service: a real process, asked over HTTP, and ended by signals."""

from __future__ import annotations

import json
import re
import signal
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from antflow import PipelineStats, StageStats, WorkerState
from examples.service import service as program
from tests.integration.prometheus_server import HOST, Service, service, total, until

LEFT = re.compile(r"Page '(.+)' was left at stage (\w+)")
SUMMARY = re.compile(r"Drained: (\d+) items succeeded, (\d+) failed, (\d+) were left")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("service")
    with service(folder, stall_seconds=0.5, drain_seconds=1) as server:
        yield server
        server.post("/upstream/resume")


def summary(server: Service) -> tuple[int, int, int]:
    """Return how many items succeeded, failed and were left, as the service said at its end."""
    (found,) = SUMMARY.findall(server.said())
    succeeded, failed, left = map(int, found)
    return succeeded, failed, left


def pages(number: int, path: str = "/ants") -> list[dict[str, str]]:
    return [{"page": f"{path}/{each}"} for each in range(number)]


# Items


@pytest.mark.parametrize("page", ["/ants/red", "/délai", "/" + "a" * 199])
def test_an_item_is_answered_with_its_result(served: Service, page: str) -> None:
    reply = served.post("/items", {"page": page})
    assert (reply.status, reply.headers["content-type"]) == (200, "application/json")
    assert reply.json.keys() == {"page", "title", "words"}
    assert (reply.json["page"], reply.json["words"]) == (page, 9)


@pytest.mark.parametrize(
    ("page", "status", "stage", "attempts", "error"),
    [
        ("/missing/ants", 502, "Fetch", 3, "ConnectionError: The remote API does not give {!r}"),
        ("/broken/ants", 422, "Parse", 1, "ValueError: The text is no page: it has no title"),
    ],
)
def test_an_item_that_fails_is_answered_with_its_stage_and_error(
    served: Service, page: str, status: int, stage: str, attempts: int, error: str
) -> None:
    reply = served.post("/items", {"page": page})
    answer = {"error": error.format(page), "stage": stage, "attempts": attempts}
    assert (reply.status, reply.json) == (status, answer)
    assert f"Page {page!r} failed" in served.said()


PATH = {"page": "/a"}
REMEDY = 'send {"page": "/path"} and nothing else, in at most 200 printable characters'


@pytest.mark.parametrize(
    ("path", "body", "status", "error"),
    [
        ("/items", b"", 400, "The body is no JSON; send JSON, in UTF-8"),
        ("/items", b'{"page": "/a"', 400, "no JSON"),
        ("/items", b"[" * 100_000, 400, "no JSON"),
        ("/items", b'{"page": "/\xff"}', 400, "no JSON"),
        ("/items", b"9" * 5000, 400, "no JSON"),
        ("/items", b"x" * (program.MOST_BYTES + 1), 413, "too large; send at most 1048576 bytes"),
        ("/items", [PATH], 422, f"The body is no item; {REMEDY}"),
        ("/items", {}, 422, "The body is no item"),
        ("/items", {"page": 1}, 422, "The body is no item"),
        ("/items", {"page": ""}, 422, "The body is no item"),
        ("/items", {"page": "a/"}, 422, "The body is no item"),
        ("/items", {"page": "/a\n"}, 422, "The body is no item"),
        ("/items", {"page": "/\ud800"}, 422, "The body is no item"),
        ("/items", {"page": "/" + "a" * 200}, 422, "The body is no item"),
        ("/batches", b"{", 400, "no JSON"),
        ("/batches", PATH, 422, 'no batch; send [{"page": "/path"}, ...], one or more'),
        ("/batches", [], 422, "no batch"),
        ("/batches", [PATH, PATH, "/a"], 422, f"Item 2 of the batch is no item; {REMEDY}"),
        ("/batches", [PATH] * 1001, 413, "1001 items; send at most 1000 at once"),
    ],
)
def test_a_wrong_body_is_refused_with_the_remedy(
    served: Service, path: str, body: object, status: int, error: str
) -> None:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    before = served.ended()
    reply = served.ask("POST", path, content)
    assert reply.status == status
    assert error in reply.json["error"]
    assert served.ended() == before


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("POST", "/item", 404), ("GET", "/items", 405), ("POST", "/metrics", 405)],
)
def test_what_is_not_there_is_answered_with_what_there_is(
    served: Service, method: str, path: str, status: int
) -> None:
    reply = served.ask(method, path)
    assert reply.status == status
    there = "POST /items, POST /batches, GET /healthz and GET /metrics"
    assert reply.json == {"error": f"There is no {method} {path}; there are {there}"}


# Batches and metrics


def test_metrics_count_what_was_processed(served: Service) -> None:
    before = served.ended()
    stages = served.metrics()
    reply = served.post("/batches", pages(200) + pages(7, "/missing") + pages(5, "/broken"))
    assert (reply.status, reply.json) == (202, {"accepted": 212})
    assert served.post("/items", {"page": "/red/ants"}).status == 200
    assert served.post("/items", {"page": "/broken/ants"}).status == 422
    after = served.ended()
    risen = {outcome: after[outcome] - before[outcome] for outcome in after}
    assert risen == {"succeeded": 201, "failed": 13, "dropped": 0, "unprocessed": 0}

    now = served.metrics()

    def rise(name: str, **labels: str) -> float:
        known = total(stages, name, **labels) if name in stages else 0
        return total(now, name, pipeline="pages", **labels) - known

    assert rise("antflow_pipeline_items_fed_total") == 214
    left = {"Fetch": (207, 7), "Parse": (201, 6), "Store": (201, 0)}
    for stage, (completed, failed) in left.items():
        assert rise("antflow_stage_items_total", stage=stage, outcome="completed") == completed
        assert rise("antflow_stage_items_total", stage=stage, outcome="failed") == failed
        assert rise("antflow_stage_items_fed_total", stage=stage) == completed + failed
    assert rise("antflow_task_retries_total", task="fetch") == 2 * 7
    assert rise("antflow_task_duration_seconds_count", task="fetch") == 214 + 2 * 7
    assert rise("antflow_stage_failures_total", error_type="ConnectionError") == 7
    assert rise("antflow_stage_failures_total", error_type="ValueError") == 6
    assert total(now, "antflow_pipeline_runs_active") == 1
    assert not total(now, "antflow_plugin_faults_total")


def test_scrapes_and_items_do_not_wait_for_each_other(served: Service) -> None:
    posted = 300
    with ThreadPoolExecutor(12) as threads:
        replies = threads.map(lambda page: served.post("/items", page).status, pages(posted))
        fed: list[float] = []
        scrapes = 0
        while not fed or total(served.metrics(), "antflow_pipeline_items_outstanding"):
            now = served.metrics()
            fed.append(total(now, "antflow_pipeline_items_fed_total"))
            ended = total(now, "antflow_pipeline_items_total")
            outstanding = total(now, "antflow_pipeline_items_outstanding")
            assert fed[-1] == ended + outstanding
            scrapes += 1
        assert set(replies) == {200}
    assert fed == sorted(fed)
    assert scrapes


def test_more_requests_than_the_service_takes_are_refused(served: Service) -> None:
    served.post("/upstream/hang")
    most = program.MOST_REQUESTS
    with ThreadPoolExecutor(most) as threads:
        waiting = [threads.submit(served.post, "/items", page) for page in pages(most)]
        try:
            until(lambda: total(served.metrics(), "antflow_pipeline_items_outstanding") == most)
            for path, body in ("/items", PATH), ("/batches", [PATH]):
                refused = served.post(path, body)
                assert (refused.status, refused.headers["retry-after"]) == (503, "5")
                assert refused.json == {"error": "100 requests are at work; ask later"}
        finally:
            served.post("/upstream/resume")
        assert {reply.result().status for reply in waiting} == {200}


# Health


def test_health_names_the_stage_that_is_stalled_until_it_goes_on(served: Service) -> None:
    until(lambda: served.get("/healthz").status == 200)
    assert served.get("/healthz").json == {"status": "ok", "stalled": []}
    served.post("/upstream/hang")
    try:
        assert served.post("/batches", pages(3)).status == 202
        until(lambda: served.get("/healthz").status == 503)
        assert served.get("/healthz").json == {"status": "stalled", "stalled": ["Fetch"]}
        assert served.get("/metrics").status == 200
    finally:
        served.post("/upstream/resume")
    until(lambda: served.get("/healthz").status == 200)


def work(stage: str, *since: float | None) -> list[WorkerState]:
    """Return a stage's workers, by when each took its item; None holds none."""
    return [WorkerState(f"{stage}-W{n}", stage, "busy", None, None, t) for n, t in enumerate(since)]


@pytest.mark.parametrize(
    ("workers", "completions", "names"),
    [
        (work("Fetch", None, None), {"Fetch": 1.0}, []),
        (work("Fetch", 95.0, None), {"Fetch": None}, ["Fetch"]),
        (work("Fetch", 95.1, None), {"Fetch": None}, []),
        (work("Fetch", 95.1, 10.0), {"Fetch": None}, []),
        (work("Fetch", 10.0, 95.1), {"Fetch": 3.0}, []),
        (work("Fetch", 95.0, 10.0), {"Fetch": 3.0}, ["Fetch"]),
        (work("Fetch", 10.0, 20.0), {"Fetch": 95.1}, []),
        (work("Fetch", 10.0) + work("Store", 99.0), {"Fetch": 9.0, "Store": 9.0}, ["Fetch"]),
        (work("Fetch", None) + work("Store", 10.0), {"Fetch": 9.0, "Store": 9.0}, ["Store"]),
    ],
)
def test_a_stage_is_stalled_if_all_that_it_works_on_stands_still(
    workers: list[WorkerState], completions: dict[str, float | None], names: list[str]
) -> None:
    stages = {n: StageStats(n, 9, 9, 9, 9, last_completion=t) for n, t in completions.items()}
    stats = PipelineStats(0, 0, 0, {}, stages)
    assert program.stalled(stats, workers, now=100.0, seconds=5.0) == names


# The end


def begun_request(server: Service, path: str, body: bytes) -> socket.socket:
    """Send a request but for its body."""
    connection = socket.create_connection((HOST, server.port), 20)
    connection.sendall(
        f"POST {path} HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    )
    return connection


def read_all(connection: socket.socket) -> str:
    with connection, connection.makefile("rb") as file:
        return file.read().decode()


def test_sigterm_lets_what_was_accepted_end(tmp_path: Path) -> None:
    with service(tmp_path) as server, ThreadPoolExecutor(2) as threads:
        late = begun_request(server, "/items", b'{"page": "/late"}')
        item = threads.submit(server.post, "/items", {"page": "/slow/ants"})
        until(lambda: total(server.metrics(), "antflow_pipeline_items_outstanding") == 1)
        batch = pages(40, "/slow") + pages(5, "/missing")
        assert server.post("/batches", batch).json == {"accepted": 45}
        server.signal(signal.SIGTERM)
        server.signal(signal.SIGTERM)
        until(lambda: "Shutting down" in server.said())
        late.sendall(b'{"page": "/late"}')
        answer = read_all(late)
        assert item.result().status == 200
        assert server.wait() == 0
    assert answer.startswith("HTTP/1.1 200 ")
    assert summary(server) == (42, 5, 0)
    assert server.said().count("' failed: ConnectionError: ") == 5  # of each page
    assert "5 of 47 items failed: ConnectionError x5 in " in server.said()  # of all


def test_what_hangs_ends_within_the_time_limits_and_is_logged(tmp_path: Path) -> None:
    limits = {"request_seconds": 0.5, "drain_seconds": 0.3}
    with service(tmp_path, **limits) as server, ThreadPoolExecutor(2) as threads:
        assert server.post("/items", {"page": "/ants/done"}).status == 200
        server.post("/upstream/hang")
        item = threads.submit(server.post, "/items", {"page": "/ants/asked"})
        assert server.post("/batches", pages(600)[:540]).status == 202
        more = threads.submit(server.post, "/batches", pages(100, "/more"))
        until(lambda: total(server.metrics(), "antflow_stage_items_pending", stage="Fetch") == 500)
        server.signal(signal.SIGTERM)
        assert server.wait() == 0
        answer = item.result()
        assert (answer.status, answer.json) == (504, {"error": program.LATE})
        cut = more.result()
        assert (cut.status, cut.headers["retry-after"]) == (503, "5")
        accepted = cut.json["accepted"]
    assert accepted == 550 - 540 - 1
    left = LEFT.findall(server.said())
    assert len(left) == 550
    assert {page for page, _ in left} == {
        "/ants/asked",
        *(page["page"] for page in pages(540)),
        *(page["page"] for page in pages(accepted, "/more")),
    }
    assert summary(server) == (1, 0, 550)


def test_ctrl_c_ends_it_like_sigterm(tmp_path: Path) -> None:
    with service(tmp_path) as server:
        assert server.post("/batches", pages(3)).status == 202
        server.signal(signal.SIGINT)
        assert server.wait() == 0
    assert summary(server) == (3, 0, 0)
