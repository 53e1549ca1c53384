"""Each shell line of the documents runs as its page says, or is listed here with the reason."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.documents.reader import (
    OUTPUT,
    PROGRAM,
    SHELLS,
    Files,
    Line,
    Page,
    Reader,
    blocks,
    lay_out,
    shell_lines,
)
from tests.documents.test_documents import DOCUMENTS
from tests.integration.database_servers import postgresql, redis
from tests.integration.otlp import rotel
from tests.integration.plugins.installing import (
    JOURNAL,
    ROOT,
    TEMPLATE,
    plain_environ,
    write_by_hand,
)
from tests.integration.prometheus_server import HOST, LIMIT, free_port, until
from tests.requirements import required

NOT_RUN = {
    r"pip (un)?install ": "it needs a package index; `make check-packages` installs each package",
    r"python3 -m venv ": "it makes an environment in the home folder",
    r"make (demo|test)\b": "it makes an environment",
    r"python examples/(crawler|http_retries|model_api)\.py$": "tests/examples runs it as users do",
    r"sleep 31$": "half a minute; the line after it is repeated until it says what it should",
}
"""Patterns of lines that no test runs as they are, and why."""

PORT = re.compile(r"\b(8000|9090|9464)\b")
PROGRAMS = re.compile(r"\b(curl|jq|opentelemetry-instrument|prometheus(?= --)|promtool|uvicorn)\b")

SERVERS = {"DATABASE_URL": postgresql, "REDIS_URL": redis}
"""Servers that a page has its reader name by a variable."""

PAGES_PY: Files = {"pages.py": ("docs/command-line.md", "python")}
CRAWLER = ("docs/how-to/crawler.md", "python")
FAILED = r'"status": ?"failed".*"input": ?"http://example\.net"'
LENGTHS = r'"length": ?27'
RULES = {
    "monitoring/alert-rules.yml": "AntflowStageStalled",
    "monitoring/grafana-dashboard.json": "antflow_stage_worker_seconds_total",
    "monitoring/recording-rules.yml": "record:",
}


def shown_on(document: str, beginning: str) -> str:
    """Return the pattern of what a page shows to be printed."""
    (text,) = (text for text in blocks(document, "text") if text.startswith(beginning))
    return re.escape(text)


def shortened_on(document: str) -> str:
    """Return the pattern of the JSON that a page shows without some lines, whatever its ids are."""
    lines = (line.strip(" ,") for line in blocks(document, "json")[0].splitlines())
    parts = [
        re.escape(re.sub(r"0x\w+|\d+-.*Z", "ID", line)).replace("ID", r"\S+") for line in lines
    ]
    return r"(?s:(?!^\}).)*?".join(parts)  # up to the end of the object


PAGES = {
    "README.md": Page(
        lines=(
            Line("python -m http.server", serves=8000),
            Line("python sizes.py", says=shown_on("README.md", "{'name'")),
            Line(
                "antflow run",
                1,
                makes={
                    "sizes.jsonl": re.escape(blocks("README.md", "json")[0]),
                    "failures.jsonl": re.escape(blocks("README.md", "json")[1].replace("\n", "")),
                },
            ),
        ),
    ),
    "antflow-cli/README.md": Page(
        lines=(Line("antflow run", says=r'^\{"id": 0, .*\.org"\}\n\{"id": 1, .*\.com"\}$'),)
    ),
    "antflow-otel/README.md": Page(files={"your_program.py": CRAWLER}),
    "antflow-prometheus/README.md": Page(files={"your_program.py": CRAWLER}),
    "docs/command-line.md": Page(
        lines=(
            Line(
                "antflow run",
                1,
                says=shown_on("docs/command-line.md", "antflow run: 1 of 3"),
                makes={"lengths.jsonl": LENGTHS, "failures.jsonl": FAILED},
            ),
            Line("cat", 1, says=r"^27\n27$"),
            Line("antflow run", says=shown_on("docs/command-line.md", '{"id": 0')),
            Line("antflow run names.py", says=shown_on("docs/command-line.md", '"ADA!"')),
            Line("antflow run visits.py", says=shown_on("docs/command-line.md", '"Ada is')),
            Line(
                "jq", 1, says=r"http://example\.net is not safe", makes={"lengths.jsonl": LENGTHS}
            ),
            Line("antflow run", 1, added="2>&1", says=r"pages\.py:9, in fetch\)\nTraceback "),
            Line(
                "antflow run squares.py",
                makes={"squares.jsonl": shown_on("docs/command-line.md", '{"id": "a"')},
            ),
            Line("antflow run", 1, makes={"lengths.jsonl": LENGTHS}),
        )
    ),
    "docs/how-to/failures.md": Page(
        lines=(
            Line("python fetch.py", says=shown_on("docs/how-to/failures.md", "3 of 3 items")),
            Line(
                "python parse.py",
                added="2>&1",
                says=r'^parse\.py:9, in parse\nTraceback .*\n  File ".*parse\.py", line 9',
            ),
        )
    ),
    "docs/how-to/fastapi.md": Page(
        lines=(
            Line("uvicorn", serves=8000),
            Line("curl localhost:8000/words", says=r'^\{"page":"ants","words":6\}'),
            Line("curl localhost:8000/words", says=r'"error":"there is no page .*"stage":"Fetch"'),
            Line("curl localhost:8000/jobs", says=r'^\{"id":"\w{32}","status":"waiting"\}'),
            Line("curl localhost:8000/healthz", says=r'^\{"status":"ok","stalled":\[\]\}'),
            Line("curl -s localhost:8000/metrics", says=r',outcome="failed"\} 1\.0$'),
        )
    ),
    "docs/how-to/postgresql.md": Page(
        lines=(
            Line("python examples", says=r"^of 300 reviews .*\n100 results in this run"),
            Line("antflow run", 1, says=r"^antflow run: ValueError x[34] in Rate: the review"),
            Line("python examples", says=r"^of 300 reviews 294 are rated, 6 failed and 0 are left"),
        )
    ),
    "docs/how-to/redis-streams.md": Page(
        lines=(Line("python examples", says=r" 6 are dead letters and 0 are pending$"),)
    ),
    "docs/how-to/testing-pipelines.md": Page(
        lines=(
            Line("pytest test_prices.py", says="10 passed", added="test_s*.py -p no:cacheprovider"),
        )
    ),
    "docs/monitoring.md": Page(
        files={"prometheus.yml": ("docs/monitoring.md", "yaml")},
        lines=(
            Line("python -m", says=r"monitoring/alert-rules\.yml", makes=RULES),
            Line("promtool check config", says=r"prometheus\.yml is valid"),
            Line("promtool check rules", says=r"SUCCESS"),
        ),
    ),
    "docs/otel-metrics.md": Page(
        lines=(Line("OTEL_TRACES_EXPORTER=none", says=shortened_on("docs/otel-metrics.md")),)
    ),
    "docs/prometheus.md": Page(
        lines=(
            Line("ANTFLOW_PROMETHEUS_PORT", says=r"^the first result: page 0$"),
            Line("uvicorn service:app", serves=8000),
            Line("curl localhost:8000/double", says=r"^42$"),
            Line(
                "curl --silent --location",
                says=shown_on(
                    "docs/prometheus.md", 'antflow_pipeline_items_total{pipeline="service'
                ),
            ),
            Line("uvicorn route:app", serves=9464),
            Line("curl --silent --output", says=r"^200$"),
        )
    ),
    "docs/testing-plugins.md": Page(
        lines=(
            Line("pytest -q test_counter.py", says=r"^1 passed in "),
            Line("pytest -q test_counter.py", says=r"^5 passed in "),
        )
    ),
    "docs/tracing.md": Page(
        lines=(
            Line("OTEL_TRACES_EXPORTER=console", says=shortened_on("docs/tracing.md")),
            Line("OTEL_TRACES_SAMPLER", says=r"^text of /ants$"),
        )
    ),
    "docs/quickstart.md": Page(
        lines=(
            Line(
                "antflow run",
                1,
                makes={
                    "texts.jsonl": re.escape(blocks("docs/quickstart.md", "json")[0]),
                    "failures.jsonl": '"input": "unicorns".*"attempts": 2',
                },
            ),
        ),
    ),
    "docs/tutorial.md": Page(
        lines=(
            Line("uvicorn", serves=8000),
            Line("curl", says=r'^\{"words":6\}'),
            Line("curl", says=r'\{"error":"there is no such page","stage":"Fetch"\}'),
            Line("curl", says=r'^antflow_stage_items_total\{.*outcome="completed"\} 1\.0$'),
            Line("python -m", makes=RULES),
            Line("promtool check", says=r"prometheus\.yml is valid"),
            Line("prometheus", serves=9090),
            Line("promtool query", says=r'"failed", stage="Fetch"\} => 1 @', is_awaited=True),
        )
    ),
    "docs/writing-a-plugin.md": Page(
        examples=(TEMPLATE,),
        files=PAGES_PY,
        lines=(
            Line("antflow plugins", says=r"slowest\b.*active"),
            Line("antflow run --help", says=r"--slowest\b"),
            Line("antflow run pages.py", says=rf"{LENGTHS}.*\nFetch: \d\.\d+ s\nMeasure: \d"),
            Line("pytest", says=r"\d passed", added="-k is_printed"),
        ),
    ),
    "examples/antflow-journal/README.md": Page(
        examples=(JOURNAL,),
        lines=(
            Line("ANTFLOW_JOURNAL", says=r"^2\n4$"),
            Line("grep", says=shown_on("examples/antflow-journal/README.md", '{"pipeline"')),
        ),
    ),
    "examples/antflow-plugin-template/README.md": Page(
        examples=(TEMPLATE,),
        lines=(
            Line("ANTFLOW_SLOWEST=1", says=r"^Double: \d\.\d+ s$"),
            Line("antflow run", says=r"^Double: \d\.\d+ s$"),
        ),
    ),
    "examples/fastapi_service/README.md": Page(
        lines=(
            Line("uvicorn", serves=8000),
            Line("curl localhost:8000/words", says='"words":6'),
            Line("curl localhost:8000/jobs", says='"status":"waiting"'),
            Line("curl localhost:8000/healthz", says='"ok"'),
        )
    ),
    "examples/service/README.md": Page(
        files={"prometheus.yml": ("examples/service/README.md", "yaml")},
        lines=(
            Line("python examples", serves=8000, added="--port 8000 --stall-seconds 0.5"),
            Line("curl localhost:8000/items", says='"words":9'),
            Line("curl localhost:8000/items", says=r'ConnectionError.*"stage":"Fetch"'),
            Line("curl localhost:8000/batches", says='"accepted":3'),
            Line("curl localhost:8000/healthz", says='"ok"'),
            Line("curl localhost:8000/metrics", says=r"^antflow_stage_items_total\{"),
            Line("python -m", makes=RULES),
            Line("promtool", says=r"prometheus\.yml is valid"),
            Line("prometheus", serves=9090),
            Line("curl -X POST localhost:8000/upstream/hang"),
            Line("curl localhost:8000/batches", says='"accepted":1'),
            Line("curl localhost:8000/healthz", says=r'"stalled".*"Fetch"', is_awaited=True),
        ),
    ),
}

NAMES = [str(document.relative_to(ROOT)) for document in DOCUMENTS]


@pytest.fixture
def reader(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Reader]:
    """The reader of the page that the test is about."""
    document: str = request.getfixturevalue("document")
    page = PAGES.get(document, Page())
    for program in set(PROGRAMS.findall("\n".join(shell_lines(document)))):
        required(program)
    ports = {port: free_port() for port in PORT.findall("".join(blocks(document, *SHELLS)))}
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    for project in page.examples:
        write_by_hand(project, wheels)
    environ = plain_environ() | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "logging",  # docs/tracing.md says why
        "PYTHONPATH": os.pathsep.join(map(str, wheels.iterdir())),
    }
    folder = tmp_path / "folder"
    folder.mkdir()
    with ExitStack() as servers:
        reader = Reader(folder, environ, ports, servers)
        if any("opentelemetry-instrument" in line for line in shell_lines(document)):
            reader.collector = collector = servers.enter_context(rotel(tmp_path))
            reader.ports = {**ports, "4318": collector.port}
            usual = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{HOST}:{collector.grpc_port}"}
            reader.environ = environ | usual
        for variable, start in SERVERS.items():
            if any(f"{variable}=" in line for line in shell_lines(document)):
                server = servers.enter_context(start(tmp_path))
                reader.environ = {**reader.environ, variable: server.url}
        lay_out(reader, document, page)
        yield reader


def run_lines(document: str) -> list[str]:
    """Return the shell lines that are run.

    A program whose output test_documents compares is run here only if more is wanted of it.
    """
    text = (ROOT / document).read_text(encoding="utf-8")
    programs = PROGRAM.finditer(text)
    compared = {f"python {each['name']}" for each in programs if OUTPUT.match(text, each.end())}
    compared -= {each.begin for each in PAGES.get(document, Page()).lines}
    return [
        line
        for line in shell_lines(document)
        if line not in compared and not any(re.match(pattern, line) for pattern in NOT_RUN)
    ]


WITH_LINES = [name for name in NAMES if run_lines(name)]


@pytest.mark.parametrize("document", WITH_LINES)
def test_the_lines_of_a_page_do_what_it_says(document: str, reader: Reader) -> None:
    waiting = list(PAGES.get(document, Page()).lines)
    for line in run_lines(document):
        wanted = next((each for each in waiting if line.startswith(each.begin)), None)
        if wanted:
            waiting.remove(wanted)
        reader.type(line, wanted or Line(line))
        if "OTEL_TRACES_EXPORTER=otlp" in line:
            assert reader.collector
            assert reader.collector.spans_from("antflow_otel", 1)
        if "OTEL_METRICS_EXPORTER=otlp" in line:
            assert reader.collector
            assert until(reader.collector.metrics)
    assert waiting == []


def test_each_page_of_which_something_is_wanted_has_lines_that_are_run() -> None:
    assert [name for name in PAGES if name in NAMES and name not in WITH_LINES] == []


@pytest.mark.parametrize("pattern", NOT_RUN)
def test_a_line_that_is_not_run_stands_on_a_page(pattern: str) -> None:
    lines = [line for name in NAMES for line in shell_lines(name)]
    assert any(re.match(pattern, line) for line in lines)


@pytest.mark.parametrize("document", NAMES)
def test_a_block_says_what_it_is_written_in(document: str) -> None:
    """A block without a language may hold commands that no test runs."""
    languages = {"json", "promql", "python", "text", "toml", "yaml", *SHELLS}
    text = (ROOT / document).read_text(encoding="utf-8")
    openings = re.findall(r"^```(\w*)", text, re.MULTILINE)[::2]
    assert set(openings) <= languages


def test_the_failures_that_the_page_tries_again_keep_their_ids() -> None:
    (line,) = (each for each in shell_lines("docs/command-line.md") if each.startswith("jq -c"))
    arguments = shlex.split(line.partition(" failures.jsonl ")[0])[1:]
    records: list[dict[str, object]] = [
        {"status": "malformed", "input": "{"},
        {"status": "failed", "input": "text", "id": 1},
        {"status": "unwritten", "input": None, "id": 2},
        {"status": "failed", "input": {"value": 1}, "id": 3},
        {"status": "unprocessed", "input": {"id": "a", "value": 1, "kind": "b"}, "id": "a"},
        {"status": "failed", "input": {"id": None}, "id": None},
    ]
    ran = subprocess.run(
        [required("jq"), *arguments],
        input="".join(json.dumps(record) for record in records),
        capture_output=True,
        text=True,
        check=True,
    )
    assert [json.loads(each) for each in ran.stdout.splitlines()] == [
        {"id": 1, "value": "text"},
        {"id": 2, "value": None},
        {"id": 3, "value": {"value": 1}},
        {"id": "a", "value": 1, "kind": "b"},
        {"id": None},
    ]


ENDLESS = """
import asyncio

from antflow import Pipeline, Stage


async def wait(number: int) -> None:
    print("begun")
    await asyncio.sleep(3600)


pipeline = Pipeline([Stage("Wait", 12, [wait])])
"""


def test_the_page_shows_what_an_interruption_says(tmp_path: Path) -> None:
    (tmp_path / "endless.py").write_text(ENDLESS, encoding="utf-8")
    shown = shown_on("docs/command-line.md", "antflow run: SIG")
    options = ["endless.py:pipeline", "--failures", "failures.jsonl", "--no-plugins"]
    with subprocess.Popen(
        [sys.executable, "-u", "-m", "antflow", "run", *options],
        cwd=tmp_path,
        env=plain_environ() | {"PYTHONUNBUFFERED": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin
        assert process.stderr
        process.stdin.write("1\n" * 12)
        process.stdin.flush()
        begun = [process.stderr.readline() for _ in range(12)]
        process.send_signal(signal.SIGTERM)
        first = process.stderr.readline()
        process.send_signal(signal.SIGTERM)
        said = first + process.stderr.read()
        assert process.wait(LIMIT) == 128 + signal.SIGTERM
    assert begun == ["begun\n"] * 12
    assert re.fullmatch(re.sub(r"4713", "13", shown), said)
