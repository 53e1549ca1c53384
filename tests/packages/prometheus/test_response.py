"""The response to a request for metrics."""

from __future__ import annotations

import gzip

import pytest
from prometheus_client import CollectorRegistry

from antflow_prometheus._response import Response, respond, text_response
from tests.helpers.virtual_time import simulate
from tests.packages.prometheus.scraping import OPEN, Scraper, samples, stage


@pytest.fixture
def registry() -> CollectorRegistry:
    scraper = Scraper()
    simulate(lambda: scraper.pipeline(stage()).run(range(4)))
    return scraper.registry


def ask(
    registry: CollectorRegistry, method: str = "GET", query: str = "", **wanted: str
) -> Response:
    return respond(registry, method, query, wanted.get("accept", ""), wanted.get("encodings", ""))


def test_metrics_are_shown(registry: CollectorRegistry) -> None:
    found = ask(registry)
    assert found.status == 200
    assert dict(found.headers)["Content-Type"].startswith("text/plain; version=0.0.4")
    assert dict(found.headers)["Content-Length"] == str(len(found.body))
    assert len(samples(found.body.decode())) > 50


def test_open_metrics_are_shown_when_they_are_asked_for(registry: CollectorRegistry) -> None:
    found = ask(registry, accept=OPEN)
    assert dict(found.headers)["Content-Type"].startswith("application/openmetrics-text")
    assert samples(found.body.decode(), is_open=True)


def test_an_answer_is_compressed_for_who_understands_it(registry: CollectorRegistry) -> None:
    found = ask(registry, encodings="deflate, gzip;q=0.8")
    assert dict(found.headers)["Content-Encoding"] == "gzip"
    assert dict(found.headers)["Content-Length"] == str(len(found.body))
    assert gzip.decompress(found.body) == ask(registry).body


@pytest.mark.parametrize("encodings", ["GZIP", "gzip;q=1", "br, gzip ; q=0.01", "gzip;q=0.001"])
def test_gzip_is_read_among_what_is_understood(registry: CollectorRegistry, encodings: str) -> None:
    assert "Content-Encoding" in dict(ask(registry, encodings=encodings).headers)


@pytest.mark.parametrize("encodings", ["br", "", "gzip;q=0", "gzip; Q = 0.000, br", "gzipped"])
def test_an_answer_is_not_compressed_for_who_refuses_it(
    registry: CollectorRegistry, encodings: str
) -> None:
    found = ask(registry, encodings=encodings)
    assert "Content-Encoding" not in dict(found.headers)
    assert found.body == ask(registry).body


def test_some_metrics_can_be_chosen(registry: CollectorRegistry) -> None:
    query = "name[]=antflow_pipeline_items_fed_total&name[]=antflow_stage_workers"
    found = samples(ask(registry, query=query).body.decode())
    assert {name for name, _ in found} == {
        "antflow_pipeline_items_fed_total",
        "antflow_stage_workers",
    }


def test_head_gives_the_headers_alone(registry: CollectorRegistry) -> None:
    found = ask(registry, "HEAD")
    assert found.body == b""
    assert found.headers == ask(registry).headers


@pytest.mark.parametrize(
    ("method", "status", "body"),
    [
        ("OPTIONS", 200, b""),
        ("POST", 405, b"Ask for metrics with GET.\n"),
        ("PUT", 405, b"Ask for metrics with GET.\n"),
    ],
)
def test_other_methods_get_the_allowed_ones(
    registry: CollectorRegistry, method: str, status: int, body: bytes
) -> None:
    found = ask(registry, method)
    assert (found.status, found.body) == (status, body)
    assert dict(found.headers) == {
        "Allow": "GET, HEAD, OPTIONS",
        "Content-Type": "text/plain; charset=utf-8",
        "Content-Length": str(len(body)),
    }


def test_a_text_response_has_no_body_for_head() -> None:
    found = text_response("HEAD", 500, "Sorry.")
    assert found.body == b""
    assert found.headers == text_response("GET", 500, "Sorry.").headers
    assert dict(found.headers)["Content-Length"] == "6"
