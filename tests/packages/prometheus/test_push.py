"""A run's end pushes metrics to a Pushgateway, a real one or a socket."""

from __future__ import annotations

import asyncio
import re
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from select import select
from socket import create_server, socket
from threading import Thread
from typing import Any
from urllib.request import urlopen

import pytest
from prometheus_client import CollectorRegistry, Counter

from antflow_prometheus import Prometheus
from tests.helpers.forks import in_a_child, needs_fork
from tests.integration.prometheus_server import free_port, until
from tests.packages.prometheus.scraping import Scraper, key, samples, stage
from tests.requirements import required

SHORT = 0.3
FED = "antflow_pipeline_items_fed_total"
OK = b"HTTP/1.0 200 OK\r\n\r\n"


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PUSHGATEWAY", "JOB"):
        monkeypatch.delenv(f"ANTFLOW_PROMETHEUS_{name}", raising=False)


@pytest.fixture
def short_time_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("antflow_prometheus._push.SECONDS", SHORT)


def run(scraper: Scraper, items: int = 5) -> dict[str, int]:
    """Run a pipeline, and return the faults of plugins."""
    one = scraper.pipeline(stage())
    assert len(asyncio.run(one.run(range(items)))) == items
    return one.plugin_faults


# A real Pushgateway


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
        until(lambda: can_connect(address))
        yield address
        server.terminate()


def can_connect(address: str) -> bool:
    try:
        urlopen(f"http://{address}/-/ready", timeout=10).close()
    except OSError:
        return False
    return True


def pushed(address: str, **labels: str) -> dict[str, float]:
    with urlopen(f"http://{address}/metrics", timeout=10) as answer:
        shown = samples(answer.read().decode())
    return {name: value for (name, row), value in shown.items() if key("", **labels)[1] <= row}


def test_each_run_pushes_antflows_metrics_at_its_end(pushgateway: str) -> None:
    labels = {"instance": "a/b c", "zone": ""}
    scraper = Scraper(pushgateway=pushgateway, job="nightly a/b", grouping_key=labels)
    Counter("orders", "Orders.", registry=scraper.registry).inc()
    for _ in range(2):
        assert run(scraper) == {}
    found = pushed(pushgateway, job="nightly a/b", instance="a/b c")
    assert found[FED] == 10
    assert "orders_total" not in found


@pytest.mark.parametrize("job", ["from-environment", None])
def test_the_environment_asks_for_a_push(
    pushgateway: str, job: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTFLOW_PROMETHEUS_PUSHGATEWAY", f" {pushgateway} ")
    if job is not None:
        monkeypatch.setenv("ANTFLOW_PROMETHEUS_JOB", job)
    run(Scraper())
    assert pushed(pushgateway, job=job or "antflow")[FED] == 5


# Addresses and labels


@pytest.mark.parametrize(
    ("options", "message"),
    [
        *(
            (
                {"pushgateway": address},
                f"address is {address!r}; give host and port, such as '127.0.0.1:9091', or a URL",
            )
            for address in (
                *("http://", "ftp://127.0.0.1", ":9091", "127.0.0.1:port", "127.0.0.1:99999"),
                *("127.0.0.1:0", "::1:9091", "[::1:9091", "push host:9091", " 127.0.0.1:9091"),
                *("127.0.0.1:9091\n", "127.0.0.1:9091?x=1", "127.0.0.1:9091#x"),
                *("\N{SNOWMAN}:9091", 9091),
            )
        ),
        *(({"job": job}, f"job is {job!r}; give a name") for job in (".", "..", "caf\udce9", 5)),
        *(
            ({"grouping_key": {"instance": "one", name: "x"}}, f"the label {name!r}; give a name")
            for name in ("in-stance", "", "5", "__address__", "\N{SNOWMAN}", "a/b", 5)
        ),
        *(
            ({"grouping_key": {name: "x"}}, f"label '{name}', which antflow's metrics use already")
            for name in ("job", "pipeline", "stage", "task", "outcome", "version", "le")
        ),
        *(
            ({"grouping_key": {"instance": value}}, f"{value!r} as 'instance'; give a text")
            for value in (5, None, ".", "..")
        ),
        *(
            ({"grouping_key": value}, f"grouping_key is {value!r}; give labels")
            for value in ("instance", ["instance"], 5)
        ),
    ],
)
def test_an_invalid_address_job_or_label_is_refused_at_once(options: Any, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        Prometheus(CollectorRegistry(), **{"pushgateway": "127.0.0.1:9091", **options})


@pytest.mark.parametrize("address", ["me:secret@127.0.0.1:9091", "http://me:secret@push?x"])
def test_a_password_is_refused_and_not_shown(address: str) -> None:
    with pytest.raises(ValueError, match=r"has an '@'.* give host and port alone") as caught:
        Prometheus(CollectorRegistry(), pushgateway=address)
    assert "secret" not in str(caught.value)


class Listening:
    """A socket in place of a Pushgateway."""

    def __init__(self, listening: socket) -> None:
        self.socket = listening
        self.address = f"127.0.0.1:{listening.getsockname()[1]}"

    def accept(self, answer: bytes = OK) -> tuple[str, float]:
        """Answer one push, and return its path and the number of items in it."""
        connection, _ = self.socket.accept()
        with connection, connection.makefile("rb") as request:
            path, headers = request.readline().decode().split()[1], {}
            while line := request.readline().decode().strip():
                name, _, value = line.partition(": ")
                headers[name.lower()] = value
            body = request.read(int(headers["content-length"])).decode()
            connection.sendall(answer)
        return path, sum(value for (name, _), value in samples(body).items() if name == FED)

    def is_called(self, seconds: float) -> bool:
        return bool(select([self.socket], [], [], seconds)[0])


@contextmanager
def listening() -> Iterator[Listening]:
    with create_server(("127.0.0.1", 0)) as server:
        server.settimeout(10)
        yield Listening(server)


@contextmanager
def running(scraper: Scraper) -> Iterator[Thread]:
    """Run a pipeline in a thread."""
    thread = Thread(target=run, args=(scraper,))
    thread.start()
    yield thread
    thread.join()


@pytest.mark.parametrize(
    ("form", "prefix"),
    [("{}", ""), ("http://{}/", ""), ("HTTP://{}/Prefix/", "/Prefix")],
)
def test_an_address_may_be_a_url(form: str, prefix: str) -> None:
    with (
        listening() as server,
        running(Scraper(pushgateway=form.format(server.address), job="nightly")),
    ):
        assert server.accept() == (f"{prefix}/metrics/job/nightly", 5)


# Pushes that fail


def test_a_push_that_fails_is_a_logged_fault_and_the_run_is_unharmed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    address = f"127.0.0.1:{free_port()}"
    scraper = Scraper(pushgateway=address)
    for _ in range(2):
        assert run(scraper) == {"prometheus": 1}
        (record,) = caplog.records
        assert record.exc_info is not None
        message = str(record.exc_info[1])
        assert f"could not be pushed to '{address}' as job 'antflow': <urlopen error" in message
        assert message.endswith("refused>; see whether a Pushgateway listens there")
        caplog.clear()
    faults = {"pipeline": "letters", "plugin": "prometheus"}
    assert scraper.value("antflow_plugin_faults_total", **faults) == 2


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (b"What?\r\n", "What?; see whether a Pushgateway listens there"),
        (b"", "closed connection without response; see whether a Pushgateway listens there"),
        (b"HTTP/1.0 400 Bad\r\n\r\n", "HTTP Error 400: Bad; its log says why"),
    ],
)
def test_an_answer_other_than_success_is_a_fault(
    answer: bytes, message: str, caplog: pytest.LogCaptureFixture
) -> None:
    with listening() as server, running(Scraper(pushgateway=server.address)):
        server.accept(answer)
    (record,) = caplog.records
    assert record.exc_info is not None
    assert message in str(record.exc_info[1])


def trickle(connection: socket, until: Thread) -> None:
    """Send an answer that does not end, byte by byte, until a thread has ended."""
    connection.sendall(b"HTTP/1.0 200 OK\r\nSlow: ")
    for _ in range(200):
        connection.sendall(b".")
        until.join(SHORT / 6)
        if not until.is_alive():
            return
    raise AssertionError("the push did not end")


@pytest.mark.usefixtures("short_time_limit")
def test_a_push_ends_in_time_even_if_its_answer_trickles(caplog: pytest.LogCaptureFixture) -> None:
    with listening() as server, running(Scraper(pushgateway=server.address)) as pushing:
        connection, _ = server.socket.accept()
        with connection:
            trickle(connection, until=pushing)
    assert "it took more than 0.3 seconds, with the wait for earlier pushes" in caplog.text


def test_a_run_that_waits_for_its_push_leaves_the_loops_threads_to_the_program() -> None:
    async def main() -> None:
        with listening() as server:
            asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
            one = Scraper(pushgateway=server.address).pipeline(stage())
            waiting = asyncio.create_task(one.run([1]))
            while not server.is_called(0):
                await asyncio.sleep(0)
            assert await asyncio.to_thread(int) == 0
            assert not waiting.done()
            await asyncio.to_thread(server.accept)
            await waiting
            assert one.plugin_faults == {}

    asyncio.run(main())


# The order of pushes


@pytest.mark.parametrize(
    ("form", "job", "is_same"),
    [("http://LOCALHOST:{}/", "one", True), ("localhost:{}", "other", False)],
)
def test_pushes_of_one_group_are_sent_one_after_the_other_and_the_last_has_the_latest(
    form: str, job: str, is_same: bool
) -> None:
    with listening() as server, ExitStack() as stack:
        port = server.socket.getsockname()[1]
        scraper = Scraper(pushgateway=f"localhost:{port}", job="one")
        stack.enter_context(running(scraper))
        assert server.is_called(10)
        second = Scraper(pushgateway=form.format(port), job=job)
        first_connection, _ = server.socket.accept()
        stack.enter_context(running(second))
        assert server.is_called(0.1 if is_same else 10) is not is_same
        first_connection.sendall(OK)
        first_connection.close()
        path, _ = server.accept()
        assert path == f"/metrics/job/{job}"


@pytest.mark.usefixtures("short_time_limit")
def test_a_push_gives_up_that_waits_too_long_for_an_earlier_one() -> None:
    with listening() as server:
        scraper = Scraper(pushgateway=server.address)
        with running(scraper):
            connection, _ = server.socket.accept()
            with connection, running(scraper) as second:
                trickle(connection, until=second)
        assert not server.is_called(0)


@needs_fork[0]
@needs_fork[1]
@pytest.mark.usefixtures("short_time_limit")
def test_a_child_does_not_wait_for_the_pushes_of_its_parent() -> None:
    with listening() as server:
        scraper = Scraper(pushgateway=server.address)
        with running(scraper):
            connection, _ = server.socket.accept()
            in_a_child(lambda: str(run(scraper)))
            assert server.is_called(0)
            connection.close()
