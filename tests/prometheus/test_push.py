"""Metrics are pushed at a run's end to a real Pushgateway."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from socket import create_connection, create_server
from urllib.request import urlopen

import pytest
from prometheus_client import Counter

from antflow import Pipeline
from antflow_prometheus import Prometheus
from antflow_prometheus._environment import JOB, PUSHGATEWAY
from tests.prometheus.scraping import Scraper, key, samples, stage
from tests.requirements import required


@pytest.fixture(scope="module")
def pushgateway() -> Iterator[str]:
    """The address of a Pushgateway that runs."""
    program = required("prometheus-pushgateway")
    address = f"127.0.0.1:{free_port()}"
    with subprocess.Popen(
        [program, f"--web.listen-address={address}", "--log.level=error"],
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
    return {name: value for (name, told), value in shown.items() if key("", **labels)[1] <= told}


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


def test_without_an_address_nothing_is_pushed() -> None:
    assert Prometheus(Scraper().registry)._push is None
    assert Path(__file__).exists()
