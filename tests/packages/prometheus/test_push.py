"""A run's end pushes metrics to a real Pushgateway."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from socket import create_connection, create_server, socket
from threading import Event, Thread
from typing import Any
from urllib.request import urlopen

import pytest
from prometheus_client import CollectorRegistry, Counter, Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from antflow import Pipeline
from antflow_prometheus import Prometheus, _push
from antflow_prometheus._environment import JOB, PUSHGATEWAY
from antflow_prometheus._push import GROUP_LOCKS, GroupLocks, Pusher
from antflow_prometheus._push_group import parse_group
from tests.packages.prometheus.scraping import Scraper, key, samples, stage
from tests.requirements import required


@pytest.fixture(scope="module")
def pushgateway() -> Iterator[str]:
    """The address of a Pushgateway that runs."""
    program = required("prometheus-pushgateway")
    address = f"127.0.0.1:{free_port()}"
    with subprocess.Popen(
        [program, f"--web.listen-address={address}", "--persistence.file=", "--log.level=error"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as server:
        wait_for(address)
        yield address
        server.terminate()


def free_port() -> int:
    with create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
        return port


def wait_for(address: str) -> None:
    host, port = address.split(":")
    deadline = time.monotonic() + 10
    while True:
        try:
            create_connection((host, int(port)), 1).close()
        except OSError:
            assert time.monotonic() < deadline, f"nothing listens at {address}"
            time.sleep(0.02)
        else:
            return


def pushed(address: str, **labels: str) -> dict[str, float]:
    with urlopen(f"http://{address}/metrics", timeout=10) as answer:
        shown = samples(answer.read().decode())
    return {name: value for (name, row), value in shown.items() if key("", **labels)[1] <= row}


def test_a_run_pushes_its_metrics_at_its_end(pushgateway: str) -> None:
    scraper = Scraper(pushgateway=pushgateway, job="nightly", grouping_key={"instance": "one"})
    Counter("orders", "Orders.", registry=scraper.registry).inc()

    async def main() -> None:
        one = scraper.pipeline(stage())
        for _ in range(2):
            await one.run(range(5))

    asyncio.run(main())
    found = pushed(pushgateway, job="nightly", instance="one")
    assert found["antflow_pipeline_items_fed_total"] == 10
    assert "orders_total" not in found


def test_the_environment_asks_for_a_push(pushgateway: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PUSHGATEWAY, f" {pushgateway} ")
    monkeypatch.setenv(JOB, "from-environment")
    asyncio.run(Scraper().pipeline(stage()).run(range(5)))
    assert pushed(pushgateway, job="from-environment")["antflow_pipeline_items_fed_total"] == 5


def test_a_push_that_fails_is_logged_and_the_run_is_unharmed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    address = f"127.0.0.1:{free_port()}"
    scraper = Scraper(pushgateway=address)
    one: Pipeline = scraper.pipeline(stage())
    assert len(asyncio.run(one.run(range(5)))) == 5
    assert one.plugin_faults == {"prometheus": 1}
    (record,) = caplog.records
    assert record.exc_info is not None
    assert f"could not be pushed to '{address}' as job 'antflow'" in str(record.exc_info[1])
    assert "see whether a Pushgateway listens there" in str(record.exc_info[1])


def test_without_an_address_nothing_is_pushed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(PUSHGATEWAY, raising=False)
    assert Prometheus(CollectorRegistry())._pusher is None


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"pushgateway": "127.0.0.1:port"}, "127.0.0.1:port"),
        ({"pushgateway": "127.0.0.1:9091", "grouping_key": {"in-stance": "one"}}, "in-stance"),
    ],
)
def test_what_cannot_be_pushed_to_is_refused_at_once(options: Any, named: str) -> None:
    with pytest.raises(ValueError, match=f"{named}.*; give "):
        Prometheus(CollectorRegistry(), **options)


# Answers that a Pushgateway gives not


class Figure(Collector):
    """A collector of one figure, which says when it is collected."""

    def __init__(self, collected: Callable[[], None] = lambda: None) -> None:
        self._collected = collected

    def collect(self) -> Iterator[Metric]:
        self._collected()
        yield GaugeMetricFamily("heat", "Heat.", 1)


@contextmanager
def answering(answer: Callable[[socket], None]) -> Iterator[str]:
    """A server that has one connection answered when a request has come; yields its address."""

    def serve() -> None:
        connection, _ = listening.accept()
        with connection, connection.makefile("rb") as request:
            while b"# TYPE heat" not in request.readline():
                pass
            request.readline()
            answer(connection)

    with create_server(("127.0.0.1", 0)) as listening:
        thread = Thread(target=serve)
        thread.start()
        yield f"127.0.0.1:{listening.getsockname()[1]}"
        thread.join()


def pushing(address: str, collected: Callable[[], None] = lambda: None) -> Pusher:
    return Pusher(Figure(collected), address, "nightly", {"instance": "one"})


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (b"What?\r\n", "What?.*; see whether a Pushgateway listens there"),
        (b"", "closed connection.*; see whether a Pushgateway listens there"),
        (b"HTTP/1.0 400 Bad\r\n\r\n", "HTTP Error 400: Bad; its log says why"),
    ],
)
def test_an_answer_that_takes_nothing_is_an_error(answer: bytes, message: str) -> None:
    with (
        answering(lambda connection: connection.sendall(answer)) as address,
        pytest.raises(
            OSError, match=f"could not be pushed to '{address}' as job 'night.*{message}"
        ),
    ):
        asyncio.run(pushing(address).push())


def test_a_push_ends_in_time_though_its_answer_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_push, "SECONDS", 0.1)
    raised = Event()

    def trickle(connection: socket) -> None:
        connection.sendall(b"HTTP/1.0 200 OK\r\nSlow: ")
        for _ in range(100):
            connection.sendall(b".")
            if raised.wait(0.05):
                break

    with answering(trickle) as address:
        try:
            with pytest.raises(OSError, match=r"it took more than 0\.1 seconds"):
                asyncio.run(pushing(address).push())
        finally:
            raised.set()


def test_runs_that_wait_for_a_push_leave_the_loops_threads_to_the_program(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_push, "SECONDS", 0.3)

    async def main() -> None:
        with create_server(("127.0.0.1", 0)) as silent:
            loop = asyncio.get_running_loop()
            loop.set_default_executor(ThreadPoolExecutor(1))
            pusher = pushing(f"127.0.0.1:{silent.getsockname()[1]}")
            waiting = asyncio.create_task(pusher.push())
            await asyncio.sleep(0)
            assert await asyncio.to_thread(int) == 0
            assert not waiting.done()
            with pytest.raises(OSError, match="could not be pushed"):
                await waiting

    asyncio.run(main())


# The order of pushes


def test_a_push_collects_and_sends_under_the_lock_of_its_group() -> None:
    held: list[bool] = []

    def look() -> None:
        held.append(GROUP_LOCKS.get(group).locked())

    def answer(connection: socket) -> None:
        look()
        connection.sendall(b"HTTP/1.0 200 OK\r\n\r\n")

    with answering(answer) as address:
        group = parse_group(address, "nightly", {"instance": "one"})
        asyncio.run(pushing(address, look).push())
    assert held == [True, True]
    assert not GROUP_LOCKS.get(group).locked()


def test_a_push_that_fails_frees_its_lock() -> None:
    address = f"127.0.0.1:{free_port()}"
    lock = GROUP_LOCKS.get(parse_group(address, "nightly", {"instance": "one"}))
    with pytest.raises(OSError, match="refused"):
        asyncio.run(pushing(address).push())
    assert not lock.locked()


def test_a_push_waits_for_an_earlier_one_of_its_group_in_vain(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_push, "SECONDS", 0.1)
    collected = Event()
    address = f"127.0.0.1:{free_port()}"
    with (
        GROUP_LOCKS.get(parse_group(f"http://{address}/", "nightly", {"instance": "one"})),
        pytest.raises(OSError, match="with the wait for earlier pushes"),
    ):
        asyncio.run(pushing(address, collected.set).push())
    assert not collected.is_set()


def test_each_group_has_a_lock_for_as_long_as_it_is_held() -> None:
    locks = GroupLocks()
    one, other = (parse_group("127.0.0.1:9091", job) for job in ("one", "other"))
    lock = locks.get(one)
    assert locks.get(parse_group("http://127.0.0.1:9091/", "one", {})) is lock
    assert locks.get(other) is not lock
    with lock:
        locks.reset()
        assert not locks.get(one).locked()
