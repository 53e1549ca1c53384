"""The response to a request for metrics: formats, methods, compression, other metrics."""

from __future__ import annotations

import gzip
from importlib.metadata import version

import pytest
from packaging.version import Version
from prometheus_client import CollectorRegistry, Counter, Gauge

from tests.helpers.virtual_time import simulate
from tests.packages.prometheus.scraping import OPEN, Scraper, ask, key, samples, stage

IS_OLD = Version(version("prometheus-client")) < Version("0.23")
BROWSER = "text/html,application/xhtml+xml,*/*;q=0.8"


@pytest.fixture
def scraper() -> Scraper:
    scraper = Scraper()
    Counter("orders", "Orders.", registry=scraper.registry).inc(3)
    simulate(lambda: scraper.pipeline(stage()).run(range(4)))
    return scraper


@pytest.fixture
def registry(scraper: Scraper) -> CollectorRegistry:
    return scraper.registry


@pytest.mark.parametrize("accept", ["", "text/plain", BROWSER, OPEN])
def test_metrics_of_others_stand_beside_ours(registry: CollectorRegistry, accept: str) -> None:
    answer = ask(registry, accept=accept)
    is_open = accept == OPEN
    found = samples(answer.body.decode(), is_open=is_open)
    assert found[key("orders_total")] == 3
    assert found[key("antflow_pipeline_items_fed_total", pipeline="letters")] == 4
    content_type = "application/openmetrics-text" if is_open else "text/plain; version=0.0.4"
    assert answer.status == "200 OK"
    assert answer.headers["Content-Type"].startswith(content_type)
    assert answer.headers["Content-Length"] == str(len(answer.body))
    assert answer.body.endswith(b"# EOF\n") == is_open
    assert answer.body.count(b"# EOF") == is_open


@pytest.mark.parametrize(
    "accept",
    [
        "application/openmetrics-text; version=new",
        "application/openmetrics-text; version=1.x, text/plain",
        "text/plain; version=1..0",
        ";;,=;version=",
    ],
)
def test_an_accept_header_that_makes_no_sense_stands_for_any_format(
    scraper: Scraper, accept: str
) -> None:
    answer = ask(scraper.registry, accept=accept)
    # An old library does not look at the version that is asked for.
    is_open = IS_OLD and "openmetrics" in accept
    content_type = "application/openmetrics" if is_open else "text/plain"
    assert answer.headers["Content-Type"].startswith(content_type)
    found = samples(answer.body.decode(), is_open=is_open)
    assert found[key("orders_total")] == 3
    assert is_open or found == samples(scraper.text())


def test_registries_without_antflow_are_served_as_well() -> None:
    registry = CollectorRegistry()
    assert ask(registry).body == b""
    assert ask(registry, accept=OPEN).body == b"# EOF\n"
    Gauge("heat", "Heat.", registry=registry).set(1.5)
    assert samples(ask(registry).body.decode()) == {key("heat"): 1.5}


@pytest.mark.parametrize(
    ("encodings", "is_compressed"),
    [
        ("deflate, gzip;q=0.8", True),
        ("GZIP", True),
        ("gzip;q=1", True),
        ("br, gzip ; q=0.01", True),
        ("gzip;q=0.001", True),
        ("", False),
        ("br", False),
        ("gzip;q=0", False),
        ("gzip; Q = 0.000, br", False),
        ("gzipped", False),
    ],
)
def test_an_answer_is_compressed_if_the_client_accepts_gzip(
    registry: CollectorRegistry, encodings: str, is_compressed: bool
) -> None:
    answer = ask(registry, encodings=encodings)
    assert (answer.headers.get("Content-Encoding") == "gzip") is is_compressed
    assert answer.headers["Content-Length"] == str(len(answer.body))
    body = gzip.decompress(answer.body) if is_compressed else answer.body
    assert body == ask(registry).body


def test_some_metrics_can_be_chosen(registry: CollectorRegistry) -> None:
    names = {"antflow_pipeline_items_fed_total", "antflow_stage_workers"}
    query = "&".join(f"name[]={name}" for name in names)
    found = samples(ask(registry, query=query).body.decode())
    assert {name for name, _ in found} == names


def test_head_gives_the_headers_alone(registry: CollectorRegistry) -> None:
    answer = ask(registry, "HEAD")
    assert answer.body == b""
    assert answer.headers == ask(registry).headers


@pytest.mark.parametrize(
    ("method", "status", "body"),
    [
        ("OPTIONS", "200 OK", b""),
        ("POST", "405 Method Not Allowed", b"Ask for metrics with GET.\n"),
        ("DELETE", "405 Method Not Allowed", b"Ask for metrics with GET.\n"),
    ],
)
def test_other_methods_get_the_allowed_ones(
    registry: CollectorRegistry, method: str, status: str, body: bytes
) -> None:
    answer = ask(registry, method)
    assert (answer.status, answer.body) == (status, body)
    assert answer.headers == {
        "Allow": "GET, HEAD, OPTIONS",
        "Content-Type": "text/plain; charset=utf-8",
        "Content-Length": str(len(body)),
    }
