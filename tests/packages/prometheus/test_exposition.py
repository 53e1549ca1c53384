"""antflow's metrics and those of the library, in one text."""

from __future__ import annotations

from importlib.metadata import version

import pytest
from packaging.version import Version
from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest

from antflow_prometheus._exposition import expose
from tests.helpers.virtual_time import simulate
from tests.packages.prometheus.scraping import OPEN, Scraper, families, key, samples, stage

IS_OLD = Version(version("prometheus-client")) < Version("0.23")
BROWSER = "text/html,application/xhtml+xml,*/*;q=0.8"


@pytest.fixture
def scraper() -> Scraper:
    scraper = Scraper()
    Counter("orders", "Orders.", registry=scraper.registry).inc(3)
    simulate(lambda: scraper.pipeline(stage()).run(range(4)))
    return scraper


@pytest.mark.parametrize("accept", ["", "text/plain", BROWSER, OPEN])
def test_metrics_of_others_stand_beside_ours(scraper: Scraper, accept: str) -> None:
    content_type, text = expose(scraper.registry, accept)
    is_open = accept == OPEN
    found = samples(text.decode(), is_open=is_open)
    assert found[key("orders_total")] == 3
    assert found[key("antflow_pipeline_items_fed_total", pipeline="letters")] == 4
    assert content_type.startswith("application/openmetrics" if is_open else "text/plain")
    assert text.endswith(b"# EOF\n") == is_open
    assert text.count(b"# EOF") == is_open


@pytest.mark.parametrize(
    "accept",
    [
        "application/openmetrics-text; version=new",
        "application/openmetrics-text; version=1.x, text/plain",
        "text/plain; version=1..0",
        ";;,=;version=",
    ],
)
def test_an_accept_that_makes_no_sense_is_answered_all_the_same(
    scraper: Scraper, accept: str
) -> None:
    content_type, text = expose(scraper.registry, accept)
    # An old library does not look at the version that is asked for.
    is_open = IS_OLD and "openmetrics" in accept
    assert content_type.startswith("application/openmetrics" if is_open else "text/plain")
    found = samples(text.decode(), is_open=is_open)
    assert found[key("orders_total")] == 3
    assert is_open or found == samples(scraper.text())


def test_it_is_what_the_library_writes_of_the_same_registry(scraper: Scraper) -> None:
    assert samples(scraper.text()) == samples(generate_latest(scraper.registry).decode())


def test_nothing_is_said_of_when_a_series_was_made(scraper: Scraper) -> None:
    ours = [line for line in scraper.text(OPEN).splitlines() if "antflow" in line]
    assert ours
    assert not [line for line in ours if "_created" in line]


def test_types_and_helps_come_along(scraper: Scraper) -> None:
    shown = {family.name: family for family in families(scraper.text())}
    assert shown["antflow_stage_items"].type == "counter"
    assert shown["antflow_stage_workers"].type == "gauge"
    assert shown["antflow_stage_queue_wait_seconds"].type == "histogram"
    assert shown["antflow_stage_items"].documentation.startswith("Items that left the stage")


def test_an_empty_registry_is_empty() -> None:
    registry = CollectorRegistry()
    assert expose(registry, "")[1] == b""
    assert expose(registry, OPEN)[1] == b"# EOF\n"


def test_a_registry_without_antflow_is_served_as_well() -> None:
    registry = CollectorRegistry()
    Gauge("heat", "Heat.", registry=registry).set(1.5)
    assert samples(expose(registry, "")[1].decode()) == {key("heat"): 1.5}
