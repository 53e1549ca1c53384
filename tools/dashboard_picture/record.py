"""What Prometheus answers to the queries of the dashboard, after some minutes of a real run.

A Prometheus scrapes the pipeline of examples/survey.py, which fetches files from a server that
limits calls. It runs twice. In the second run, some of the files do not exist.
"""

from __future__ import annotations

import json
import re
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from itertools import cycle, islice
from pathlib import Path
from time import sleep, time
from typing import Any
from urllib.error import URLError
from urllib.parse import urlencode
from urllib.request import urlopen

import antflow_prometheus
from antflow_prometheus import start_http_server
from examples.survey import paths, serving, survey

DASHBOARD = Path(antflow_prometheus.__file__).parent / "monitoring" / "grafana-dashboard.json"
SCRAPE = 3  # seconds between two scrapes
STEP = 3  # seconds between two points of a graph
RATE = 4 * SCRAPE  # what Grafana takes for $__rate_interval
RATE_OF_SURVEY = 50  # files per second, about

CONFIG = """
global: {{scrape_interval: {scrape}s}}
scrape_configs:
  - job_name: survey
    static_configs: [{{targets: ["127.0.0.1:{port}"]}}]
"""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@contextmanager
def prometheus(scraped_port: int) -> Iterator[str]:
    """Start a Prometheus that scrapes a port, and give its address."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder, "prometheus.yml")
        config.write_text(CONFIG.format(scrape=SCRAPE, port=scraped_port), encoding="utf-8")
        program = subprocess.Popen(
            [
                "prometheus",
                f"--config.file={config}",
                f"--storage.tsdb.path={folder}/data",
                f"--web.listen-address=127.0.0.1:{port}",
                "--log.level=error",
            ]
        )
        try:
            address = f"http://127.0.0.1:{port}"
            wait_until_ready(address, program)
            yield address
        finally:
            program.terminate()
            program.wait()


def wait_until_ready(address: str, program: subprocess.Popen[bytes]) -> None:
    """Wait until a Prometheus answers, and raise an exception if it has ended instead."""
    while program.poll() is None:
        try:
            with urlopen(f"{address}/-/ready", timeout=5):
                return
        except URLError:
            sleep(0.1)
    raise RuntimeError(f"prometheus ended with exit code {program.returncode}")


def run(seconds: float, one_missing_in: int | None = None) -> None:
    """Run the survey for about some seconds, with files that do not exist if a number is given."""
    with tempfile.TemporaryDirectory() as folder, serving() as address:
        files = islice(cycle(paths()[:-1]), int(seconds * RATE_OF_SURVEY))
        addresses = [
            f"{address}/missing/{path}"
            if one_missing_in and number % one_missing_in == 0
            else f"{address}/{path}"
            for number, path in enumerate(files, 1)
        ]
        survey(Path(folder, "survey.sqlite")).run_sync(addresses)


class Answers:
    """Asks a Prometheus the queries of panels, as Grafana does.

    Args:
        address: of the Prometheus.
        start: of the graphs, in seconds of the Unix time.
        end: their end.
    """

    def __init__(self, address: str, start: float, end: float) -> None:
        self.address, self.start, self.end = address, start, end

    def panel(self, panel: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return the answers to a panel's queries."""
        return [
            {"refId": target["refId"], "series": self._series(target)}
            for target in panel.get("targets", ())
        ]

    def _series(self, target: Mapping[str, Any]) -> list[dict[str, Any]]:
        query = target["expr"].replace("$__rate_interval", f"{RATE}s")
        query = re.sub(r"\$(job|instance|pipeline|stage)\b", ".*", query)
        if target.get("instant"):
            result = self._ask("query", query=query, time=self.end)
        else:
            result = self._ask(
                "query_range", query=query, start=self.start, end=self.end, step=STEP
            )
        return [
            {
                "labels": {name: value for name, value in one["metric"].items() if name[0] != "_"},
                "legend": legend(target["legendFormat"], one["metric"]),
                "values": one.get("values") or [one["value"]],
            }
            for one in result
        ]

    def _ask(self, kind: str, **options: object) -> list[dict[str, Any]]:
        with urlopen(f"{self.address}/api/v1/{kind}?{urlencode(options)}", timeout=10) as answer:
            return list(json.load(answer)["data"]["result"])


def legend(form: str, labels: Mapping[str, str]) -> str | None:
    """Return what a series is called in the legend; None where Grafana finds a name."""
    if form == "__auto":
        return None
    return re.sub(r"{{ *(\w+) *}}", lambda found: labels.get(found[1], ""), form)


def record(seconds: float, rows: int) -> dict[str, Any]:
    """Run the survey twice; return the dashboard's title and panels with what was answered.

    The second run is not over when Prometheus is asked.

    Args:
        seconds: how long it is recorded.
        rows: how much of the dashboard, in rows of its grid.
    """
    dashboard = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    panels = [panel for panel in dashboard["panels"] if panel["gridPos"]["y"] < rows]
    metrics = start_http_server(0, addr="127.0.0.1")
    with closing(metrics), prometheus(metrics.port) as address:
        start = time()
        sleep(2 * SCRAPE)
        run(seconds * 0.5)
        sleep(seconds * 0.05)
        with ThreadPoolExecutor() as executor:
            second = executor.submit(run, seconds * 0.45, one_missing_in=40)
            sleep(max(start + seconds - time(), 0))
            answers = Answers(address, start, time())
            for panel in panels:
                panel["answers"] = answers.panel(panel)
            second.result()
    return {
        "title": dashboard["title"],
        "start": answers.start,
        "end": answers.end,
        "panels": panels,
    }
