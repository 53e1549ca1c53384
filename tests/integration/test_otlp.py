"""Traces and metrics as real receivers of OTLP get them, from real programs."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from importlib.metadata import distribution
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.integration.otlp import (
    Received,
    Rotel,
    VictoriaMetrics,
    oteltap,
    rotel,
    victoria_metrics,
)
from tests.integration.plugins.installing import ROOT, plain_environ
from tests.integration.prometheus_server import HOST, LIMIT, until
from tests.requirements import required

MAIN_JOB = ROOT / "examples" / "verify_packages.py"
SCOPE = "antflow_otel"
NO_TELEMETRY = {
    "OTEL_TRACES_EXPORTER": "none",
    "OTEL_METRICS_EXPORTER": "none",
    "OTEL_LOGS_EXPORTER": "none",
    # Its handler of log records starts a thread as Python ends, which 3.12 complains of.
    "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "logging",
}


@pytest.fixture(scope="module")
def collector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rotel]:
    with rotel(tmp_path_factory.mktemp("rotel")) as server:
        yield server


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VictoriaMetrics]:
    with victoria_metrics(tmp_path_factory.mktemp("victoria")) as server:
        yield server


def instrumented(
    *command: object, environ: Mapping[str, str], code: int = 0
) -> subprocess.CompletedProcess[str]:
    """Run a Python program with `opentelemetry-instrument`, that configures all."""
    ran = subprocess.run(
        [required("opentelemetry-instrument"), sys.executable, *map(str, command)],
        env=plain_environ() | NO_TELEMETRY | {"OTEL_SERVICE_NAME": "test"} | dict(environ),
        capture_output=True,
        text=True,
        timeout=3 * LIMIT,
        check=False,
    )
    assert ran.returncode == code, ran.stderr
    return ran


# The main job


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of installed packages, three files of which are not as they should be."""
    site = tmp_path_factory.mktemp("site")
    for name in ("iniconfig", "packaging", "pluggy"):
        found = distribution(name)
        for path in found.files or ():
            if path.parts[0] != "..":
                target = site / path
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(str(path.locate()), target)
    (site / "pluggy" / "_hooks.py").unlink()
    with (site / "pluggy" / "_result.py").open("a", encoding="utf-8") as file:
        file.write("#")
    text = (site / "iniconfig" / "__init__.py").read_bytes()
    (site / "iniconfig" / "__init__.py").write_bytes(text[::-1])
    return site


class Job:
    """What the main job said, and the spans that arrived of it."""

    def __init__(self, report: dict[str, Any], spans: list[Received]) -> None:
        self.report = report
        self.spans = spans
        self.by_id = {span.id: span for span in spans}

    def named(self, name: str) -> list[Received]:
        return [span for span in self.spans if span.name == name]

    def of_items(self, name: str) -> list[Received]:
        return [span for span in self.named(name) if not span.parent]


@pytest.fixture(scope="module", params=["http/protobuf", "grpc"])
def job(request: pytest.FixtureRequest, packages: Path, tmp_path_factory: Any) -> Iterator[Job]:
    """The main job, each of its exports by one of the protocols."""
    with rotel(tmp_path_factory.mktemp("rotel")) as collector:
        port = collector.grpc_port if request.param == "grpc" else collector.port
        environ = {
            "OTEL_TRACES_EXPORTER": "otlp",
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{HOST}:{port}",
            "OTEL_EXPORTER_OTLP_PROTOCOL": request.param,
        }
        ran = instrumented(MAIN_JOB, "--path", packages, "--json", environ=environ, code=1)
        assert ran.stderr == ""
        report = json.loads(ran.stdout)
        yield Job(report, collector.spans_from(SCOPE, expected_spans(report)))


def expected_spans(report: Mapping[str, Any]) -> int:
    return sum(expected(report).values())


def expected(report: Mapping[str, Any]) -> Counter[str]:
    """Return how many spans of which name the main job makes of so many files."""
    items = report["files"] + report["without_hash"]
    read = report["files"] - report["failures"].get("MissingFile", 0)
    return Counter(
        {
            "run listing": 1,
            "run checking": 1,
            "listing": report["distributions"],
            "List": report["distributions"],
            "List read_record": report["distributions"],
            "checking": items,
            "Hash": report["files"],  # without a hash, it is skipped: no visit
            "Hash understand": report["files"],
            "Hash read_and_hash": report["files"],
            "Compare": read,
            "Compare compare": read,
        }
    )


def test_every_span_of_the_main_job_arrives(job: Job) -> None:
    assert job.report["files"] > 30
    assert job.report["without_hash"] > 0
    assert Counter(span.name for span in job.spans) == expected(job.report)
    assert len(job.by_id) == len(job.spans)


def test_each_item_is_a_trace_that_is_linked_to_its_run(job: Job) -> None:
    for name in ("listing", "checking"):
        (run,) = job.named(f"run {name}")
        items = job.named(name)
        assert {item.parent for item in items} == {""}
        assert len({item.trace for item in items}) == len(items)
        for item in items:
            assert (run.trace, run.id) in item.links
            assert item.trace != run.trace
    ids = [span.attributes["antflow.item.id"] for span in job.named("checking")]
    assert len(set(ids)) == len(ids)


def test_attempts_are_below_visits_and_visits_below_items(job: Job) -> None:
    stages = {"List": "listing", "Hash": "checking", "Compare": "checking"}
    seen = 0
    for span in job.spans:
        stage, _, task = span.name.partition(" ")
        if stage in stages:
            parent = job.by_id[span.parent]
            assert parent.trace == span.trace
            assert parent.name == (stage if task else stages[stage])
            seen += 1
    assert seen == sum(number for name, number in expected(job.report).items() if name[0].isupper())


def test_what_failed_is_said_by_its_attempt_and_its_item_and_by_no_other(job: Job) -> None:
    failed = [span for span in job.spans if span.status == "STATUS_CODE_ERROR"]
    assert sum(job.report["failures"].values()) == 3
    assert Counter(span.name for span in failed) == {
        "checking": 3,
        "Hash read_and_hash": 1,
        "Compare compare": 2,
    }
    for span in failed:
        kind = span.attributes["error.type"].rpartition(".")[2]
        assert kind in job.report["failures"]
        assert span.events == ([] if span.name == "checking" else ["exception"])


def test_spans_are_internal_and_say_which_function_it_was(job: Job) -> None:
    assert {span.kind for span in job.spans} == {"SPAN_KIND_INTERNAL"}
    for span in job.named("Hash understand"):
        assert span.attributes["code.function.name"].endswith(".understand")


def test_a_span_is_waited_for_by_its_name(tmp_path: Path) -> None:
    with oteltap(tmp_path, "^Halve halve$") as tap:
        instrumented("-c", METERED, environ={"OTEL_TRACES_EXPORTER": "otlp"} | tap.environ)
        assert tap.wait() == 0, tap.said()


# Metrics


METERED = """
import asyncio

from antflow import Limit, Pipeline, Stage


async def halve(number):
    if number % 10 == 3:
        raise ValueError(number)
    await asyncio.sleep(0.001)
    return number / 2


async def main():
    limits = [Limit(concurrency=4, name="api"), Limit(concurrency=4, key=str, name="number")]
    halving = Stage("Halve", 4, [halve], task_attempts=2, task_wait_seconds=0, limits=limits)
    pipeline = Pipeline([halving, Stage("Keep", 1, [keep])], name="numbers")
    await pipeline.run(range(50))
    await pipeline.run(range(50))
    assert pipeline.plugin_faults == {}, pipeline.plugin_faults


def keep(number):
    return number


asyncio.run(main())
"""
WARNED = (
    "Pipeline 'numbers': 5 of 50 items failed: ValueError x5 in Halve: 3 (item 3, <string>:9); "
    "see pipeline.failures\n"
)
"""What antflow logs of each of its two runs."""
METRICS = {"OTEL_METRICS_EXPORTER": "otlp", "ANTFLOW_DISABLE_PLUGINS": "prometheus"}


def labelled(**labels: str) -> str:
    """Return a selector of series by attributes of antflow."""
    pairs = (f'antflow_{name}="{value}"' for name, value in labels.items())
    return "{" + ",".join(pairs) + "}"


def test_metrics_are_queried_back(store: VictoriaMetrics) -> None:
    ran = instrumented("-c", METERED, environ=METRICS | store.environ)
    assert ran.stderr == 2 * WARNED
    until(lambda: store.value(f"antflow_run_started_total{labelled(pipeline_name='numbers')}"))
    halve = {"pipeline_name": "numbers", "stage_name": "Halve"}
    expected = {
        "antflow_run_started_total": 2,
        "antflow_run_count": 0,
        "antflow_item_fed_total": 100,
        f"antflow_item_ended_total{labelled(outcome='succeeded')}": 90,
        f"antflow_item_ended_total{labelled(outcome='failed')}": 10,
        f"antflow_stage_item_entered_total{labelled(stage_name='Keep')}": 90,
        'antflow_stage_item_left_total{error_type="ValueError"}': 10,
        f"antflow_task_attempt_ended_total{labelled(**halve)}": 110,
        f"antflow_task_attempt_retried_total{labelled(**halve)}": 10,
        f"sum(antflow_task_attempt_duration_seconds_count{labelled(**halve)})": 110,
        f"antflow_stage_item_wait_seconds_count{labelled(**halve)}": 100,
    }
    assert {query: store.value(query) for query in expected} == expected
    wanted = f"antflow_task_attempt_duration_seconds_sum{labelled(**halve)}"
    spent = until(lambda: store.value(f'{wanted.removesuffix("}")},error_type=""' + "}"))
    assert 90 * 0.001 < spent < 10
    busy = store.value(
        f"antflow_stage_worker_time_seconds_total{labelled(**halve, worker_state='busy')}"
    )
    assert busy is not None
    assert spent * 0.9 < busy


def test_a_collector_gets_every_metric_of_the_page(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "otel-metrics.md").read_text(encoding="utf-8")
    expected = set(re.findall(r"^\| `(antflow\.\S+)` \| (?!gauge)", page, re.MULTILINE))
    assert len(expected) > 10
    with rotel(tmp_path) as collector:
        ran = instrumented("-c", METERED, environ=METRICS | collector.environ)
        assert ran.stderr == 2 * WARNED
        until(lambda: collector.metrics() == expected, wanted=f"{expected}")


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {
            **METRICS,
            "OTEL_TRACES_EXPORTER": "otlp",
            "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "antflow,logging",
        },
    ],
    ids=["without telemetry", "disabled"],
)
def test_where_it_is_not_wanted_nothing_arrives(
    collector: Rotel, environ: Mapping[str, str]
) -> None:
    ran = instrumented("-c", METERED, environ=collector.environ | dict(environ))
    assert (ran.stdout, ran.stderr) == ("", 2 * WARNED)
    assert SCOPE not in collector.said()


# Logs


LOGGED = """
import asyncio
import logging

from antflow import Pipeline, Stage

log = logging.getLogger("job")


async def on_the_loop(number):
    log.warning("loop %d", number)
    return number


def in_a_thread(number):
    log.warning("thread %d", number)
    return number


stages = [Stage("Loop", 2, [on_the_loop]), Stage("Thread", 2, [in_a_thread])]
asyncio.run(Pipeline(stages, name="logged").run(range(3)))
log.warning("after all")
"""
LOG_LINE = re.compile(r"trace_id=(\w+) span_id=(\w+) .* - (.+)$", re.MULTILINE)


SENDS_LOGS = find_spec("opentelemetry.instrumentation.logging.handler") is not None
SENDING_LOGS = {} if SENDS_LOGS else {"OTEL_PYTHON_LOGGING_AUTO_INSTRUMENTATION_ENABLED": "true"}
"""What has log records sent: since OpenTelemetry's logging does it by itself, nothing."""


def test_what_a_task_logs_has_the_ids_of_its_attempt(tmp_path: Path) -> None:
    environ = {
        "OTEL_TRACES_EXPORTER": "otlp",
        "OTEL_LOGS_EXPORTER": "otlp",
        "OTEL_PYTHON_LOG_CORRELATION": "true",
        "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "",
        **SENDING_LOGS,
    }
    with rotel(tmp_path) as collector:
        ran = instrumented("-c", LOGGED, environ=collector.environ | environ)
        spans = collector.spans_from(SCOPE, 1 + 3 * 5)
        records = until(lambda: found if len(found := collector.logs()) >= 7 else None)
    attempts = {(span.trace, span.id): span.name for span in spans}
    logged = sorted((text, attempts.get((trace, span))) for trace, span, text in records)
    assert logged == [
        ("after all", None),
        *((f"loop {number}", "Loop on_the_loop") for number in range(3)),
        *((f"thread {number}", "Thread in_a_thread") for number in range(3)),
    ]
    if SENDS_LOGS:  # else the SDK's handler keeps basicConfig from writing anything
        written = LOG_LINE.findall(ran.stderr)
        assert {each for each in written if each[0] != "0"} == {each for each in records if each[0]}
        assert ("0", "0", "after all") in written
