"""A real Prometheus scrapes the example service: its queries, the rules and the alerts work."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.resources import files
from threading import Event
from typing import Any

import pytest
import yaml

from tests.integration.prometheus_server import (
    HOST,
    Prometheus,
    Service,
    prometheus,
    service,
    total,
    until,
)
from tests.requirements import required

MONITORING = files("antflow_prometheus") / "monitoring"
DASHBOARD = json.loads((MONITORING / "grafana-dashboard.json").read_text(encoding="utf-8"))
RULES = ("recording-rules.yml", "alert-rules.yml")

MINUTE = 350
"""Milliseconds that a minute of the rules takes in these tests."""

MINUTES = re.compile(r"(?<=[\[ ])(\d+)m(?=\]|$)", re.MULTILINE)
COMPARISON = re.compile(r"(?<=\s)([<>=]=?|!=)\s")
"""With "bool" after it, a comparison gives 0 or 1, where it would leave out what is below."""

STALLED = "AntflowStageStalled"
STUCK = "instance_pipeline_stage:antflow_stage_items_stuck:sum"


def in_haste(text: str) -> str:
    """Return rules with windows and delays that fit into a test."""
    return MINUTES.sub(lambda found: f"{int(found[1]) * MINUTE}ms", text)


def expressions(part: Any) -> Iterator[str]:
    """Return all expressions in a part of a dashboard."""
    if isinstance(part, dict):
        if isinstance(part.get("expr"), str):
            yield part["expr"]
        part = list(part.values())
    if isinstance(part, list):
        for each in part:
            yield from expressions(each)


def variables(expression: str) -> str:
    """Return an expression with what Grafana puts in place of variables."""
    chosen = re.sub(r"\$\{?__(rate_interval|interval|range)\}?", "2s", expression)
    return re.sub(r"\$\{?\w+(:\w+)?\}?", ".*", chosen)


QUERIES = sorted(set(expressions(DASHBOARD)))
VARIABLES = [
    each["query"]["query"] for each in DASHBOARD["templating"]["list"] if each["type"] == "query"
]
RULE_LIST = [
    rule
    for name in RULES
    for group in yaml.safe_load((MONITORING / name).read_text(encoding="utf-8"))["groups"]
    for rule in group["rules"]
]
RECORDED = [rule["record"] for rule in RULE_LIST if "record" in rule]
ALERTS = {rule["alert"]: rule["expr"] for rule in RULE_LIST if "alert" in rule}


@dataclass(frozen=True)
class Watched:
    """A service, the Prometheus that scrapes it, and whether it is to be kept at work."""

    service: Service
    prometheus: Prometheus
    wanted: Event

    def until_numbers(self, query: str) -> None:
        """Wait until a query returns a number."""

        def has_numbers() -> bool:
            return any(series["value"][1] != "NaN" for series in self.prometheus.query(query))

        until(has_numbers, wanted=query)


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    folder = tmp_path_factory.mktemp("prometheus")
    required("prometheus")
    rules = [folder / name for name in RULES]
    for path in rules:
        text = (MONITORING / path.name).read_text(encoding="utf-8")
        path.write_text(in_haste(text), encoding="utf-8")
    stop, wanted = Event(), Event()
    wanted.set()
    with (
        service(folder, stall_seconds=0.7, drain_seconds=1) as served,
        ThreadPoolExecutor(1) as threads,
        prometheus(folder, served, rules) as server,
    ):
        load = threads.submit(keep_at_work, served, wanted, stop)
        try:
            yield Watched(served, server, wanted)
        finally:
            stop.set()
            wanted.set()
            served.post("/upstream/resume")
            load.result()


def keep_at_work(server: Service, wanted: Event, stop: Event) -> None:
    """Feed a service, with items that succeed, that fail in two stages, and that are retried."""
    batch = [{"page": f"/ants/{number}"} for number in range(40)]
    batch += [{"page": f"/{kind}/ants"} for kind in ("missing", "broken")]
    while not stop.is_set():
        if wanted.wait():
            assert server.post("/batches", batch).status == 202
        stop.wait(0.1)


@pytest.fixture
def busy(watched: Watched) -> Watched:
    """The service, at work."""
    watched.wanted.set()
    watched.service.post("/upstream/resume")
    return watched


# What is scraped


def test_the_service_is_scraped(busy: Watched) -> None:
    until(lambda: busy.prometheus.value('up{job="service"}') == 1)
    (target,) = busy.prometheus.api("targets")["activeTargets"]
    assert target["lastError"] == ""
    assert target["scrapeUrl"].endswith(f"{HOST}:{busy.service.port}/metrics")


@pytest.mark.parametrize("expression", QUERIES)
def test_each_expression_of_the_dashboard_returns_numbers(busy: Watched, expression: str) -> None:
    query = without_fallback(variables(expression))
    assert "$" not in query
    busy.until_numbers(query)


def without_fallback(query: str) -> str:
    """Return a query without what follows an "or", so that this cannot stand in for it."""
    kept, depth, left_out_at = "", 0, math.inf
    for part in re.split(r"([()]| or )", query):
        depth += {"(": 1, ")": -1}.get(part, 0)
        if part == " or ":
            left_out_at = min(left_out_at, depth)
        elif depth < left_out_at:
            left_out_at = math.inf
        if left_out_at == math.inf:
            kept += part
    return kept


def test_a_fallback_is_left_out() -> None:
    assert without_fallback("sum(a) / (b > 0) or vector(0)") == "sum(a) / (b > 0)"
    assert without_fallback("max by (x) (a / (b > 0) or a * (0)) + c") == (
        "max by (x) (a / (b > 0)) + c"
    )


@pytest.mark.parametrize("query", VARIABLES)
def test_each_variable_of_the_dashboard_has_values(busy: Watched, query: str) -> None:
    found = re.fullmatch(r"label_values\((.+), (\w+)\)", query)
    assert found
    series, label = variables(found[1]), found[2]
    values = until(lambda: busy.prometheus.api(f"label/{label}/values", **{"match[]": series}))
    known = {"pipeline": ["pages"], "job": ["service"], "stage": ["Fetch", "Parse", "Store"]}
    assert values == known.get(label, values)


def test_each_rule_is_evaluated_without_an_error(busy: Watched) -> None:
    def unwell() -> list[str]:
        rules = busy.prometheus.rules()
        assert len(rules) == len(RULE_LIST)
        return [f"{rule['name']}: {rule['lastError']}" for rule in rules if rule["health"] != "ok"]

    until(lambda: not unwell())


@pytest.mark.parametrize("name", [name for name in RECORDED if name != STUCK])
def test_each_recording_rule_returns_numbers(busy: Watched, name: str) -> None:
    busy.until_numbers(name)


@pytest.mark.parametrize("name", [name for name in ALERTS if name != STALLED])
def test_each_alert_returns_numbers_without_its_thresholds(busy: Watched, name: str) -> None:
    query, compared = COMPARISON.subn(r"\1 bool ", in_haste(ALERTS[name]))
    assert compared
    busy.until_numbers(query)


def test_counts_equal_what_was_processed(busy: Watched) -> None:
    def at_rest() -> bool:
        return busy.prometheus.value("sum(antflow_pipeline_items_outstanding)") == 0

    busy.wanted.clear()
    ended = until(lambda: settled(busy.service))
    until(at_rest)

    def counted() -> dict[str, float]:
        rows = busy.prometheus.query("antflow_pipeline_items_total")
        return {row["metric"]["outcome"]: float(row["value"][1]) for row in rows}

    until(lambda: counted() == ended, wanted=f"{ended}")
    assert min(ended["succeeded"], ended["failed"]) > 0
    # Of each batch of 42, one fails when it is fetched, after three attempts, and one when parsed.
    batches = ended["failed"] / 2
    expected = {
        "antflow_pipeline_items_fed_total": 42 * batches,
        'antflow_pipeline_items_total{outcome="succeeded"}': 40 * batches,
        'antflow_stage_items_total{stage="Fetch",outcome="failed"}': batches,
        'antflow_stage_items_total{stage="Parse",outcome="failed"}': batches,
        'antflow_stage_items_total{stage="Parse",outcome="completed"}': 40 * batches,
        'antflow_stage_items_total{stage="Store",outcome="completed"}': 40 * batches,
        'antflow_task_retries_total{task="fetch"}': 2 * batches,
        'antflow_task_duration_seconds_count{task="fetch"}': 44 * batches,
        'antflow_stage_failures_total{error_type="ConnectionError"}': batches,
        'antflow_stage_failures_total{error_type="ValueError"}': batches,
        'antflow_stage_queue_wait_seconds_bucket{stage="Store",le="+Inf"}': 40 * batches,
    }
    assert {query: busy.prometheus.value(query) for query in expected} == expected


def settled(server: Service) -> dict[str, float] | None:
    """Return how items ended, if no more came while that was asked."""
    ended = server.ended()
    fed = total(server.metrics(), "antflow_pipeline_items_fed_total")
    return ended if fed == sum(ended.values()) else None


# Alerts


def test_a_stalled_stage_raises_an_alert_until_it_goes_on(busy: Watched) -> None:
    server = busy.prometheus
    until(lambda: server.value("sum(rate(antflow_stage_items_total[1050ms])) > 0"))
    until(lambda: server.state(STALLED) == "inactive")
    busy.service.post("/upstream/hang")
    until(lambda: server.state(STALLED, stage="Fetch", pipeline="pages") == "firing")
    assert (
        server.state(STALLED, stage="Parse") == server.state(STALLED, stage="Store") == "inactive"
    )
    busy.until_numbers(STUCK)
    health = busy.service.get("/healthz")
    assert (health.status, health.json["stalled"]) == (503, ["Fetch"])
    busy.service.post("/upstream/resume")
    until(lambda: server.state(STALLED) == "inactive")
    until(lambda: busy.service.get("/healthz").status == 200)


def test_many_failures_raise_an_alert(busy: Watched) -> None:
    server = busy.prometheus
    missing = [{"page": "/missing/ants"}] * 20

    def is_firing() -> bool:
        assert busy.service.post("/batches", missing).status == 202
        return server.state("AntflowFailureRatioHigh", pipeline="pages") == "firing"

    until(is_firing)


# Around it


def test_promtool_finds_nothing_wrong_with_the_metrics(busy: Watched) -> None:
    program = required("promtool")
    checked = subprocess.run(
        [program, "check", "metrics"],
        input=busy.service.get("/metrics").text,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


def test_only_loopback_is_listened_at(watched: Watched) -> None:
    if sys.platform != "linux":
        pytest.skip("only Linux has /proc")
    for server in watched.service, watched.prometheus:
        assert server.addresses() == {f"0100007F:{server.port:04X}"}


def test_rules_are_hastened_wherever_they_say_minutes() -> None:
    for name in RULES:
        text = (MONITORING / name).read_text(encoding="utf-8")
        hastened = in_haste(text)
        rules = [r for group in yaml.safe_load(hastened)["groups"] for r in group["rules"]]
        assert len(rules) == len(re.findall(r"- (?:record|alert):", text))
        for rule in rules:
            assert not re.search(r"\d[smhd]\]", rule["expr"].replace("ms]", "]")), rule
            assert rule.get("for", "0ms").endswith("ms")
