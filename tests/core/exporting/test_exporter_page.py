"""The exporter of the page "Writing an exporter", and the page's table."""

from __future__ import annotations

import asyncio
import re
import socket
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event, Thread
from types import ModuleType
from typing import Any

import pytest

from antflow import Pipeline, Stage
from antflow.exporting import METRICS
from antflow.testing import check_plugin

PAGE = Path(__file__).parents[3] / "docs" / "writing-an-exporter.md"
ROW = re.compile(r"^\| `(\w+)` \| (\w+) \| (\w+) \| (.*?) \| (.*?) \|$", re.MULTILINE)


@pytest.fixture(scope="module")
def page() -> Iterator[ModuleType]:
    """The program of the page, without its last line, which runs it."""
    found = re.search(
        r"^```python[^\n]*\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    assert found is not None
    program = found[1].removesuffix("\n\nasyncio.run(main())\n")
    assert program != found[1]
    module = ModuleType("statsd_page")
    sys.modules[module.__name__] = module
    exec(compile(program, str(PAGE), "exec"), vars(module))
    yield module
    del sys.modules[module.__name__]


class Server:
    """A StatsD server that adds up counters, and keeps the last value of each gauge."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.settimeout(20)
        self.port = self._socket.getsockname()[1]
        self.counters: Counter[str] = Counter()
        self.gauges: dict[str, float] = {}
        self._thread = Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        with self._socket:
            while datagram := self._socket.recv(65536):
                assert len(datagram) <= 1432
                for line in datagram.decode().splitlines():
                    found = re.fullmatch(r"([\w.-]+):([\d.e+-]+)\|([cg])", line)
                    assert found, line
                    if found[3] == "c":
                        self.counters[found[1]] += float(found[2])  # type: ignore[assignment]
                    else:
                        self.gauges[found[1]] = float(found[2])

    def close(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
            last.sendto(b"", ("127.0.0.1", self.port))
        self._thread.join()


async def same(value: Any) -> Any:
    return value


def test_a_server_gets_what_hundreds_of_short_runs_count(page: ModuleType) -> None:
    server = Server()
    exporter = page.StatsD(port=server.port, interval=0.001)
    stage = Stage(name="Send it, now!", workers=1, tasks=[same])

    async def main() -> None:
        for _ in range(100):
            pipelines = [
                Pipeline([stage], name=f"p{n}", plugins=[exporter], autoload=False)
                for n in range(3)
            ]
            await asyncio.gather(*(pipeline.run([1, 2]) for pipeline in pipelines))

    asyncio.run(main())
    server.close()
    for name in (f"p{n}" for n in range(3)):
        assert server.counters[f"antflow.pipeline_runs.{name}"] == 100
        assert server.counters[f"antflow.pipeline_items.{name}.succeeded"] == 200
        task = f"antflow.task_duration_seconds.{name}.Send_it__now_.same"
        assert server.counters[task] == 200
        assert server.counters[f"{task}.sum"] > 0
        assert server.gauges[f"antflow.pipeline_runs_active.{name}"] == 0


def test_what_could_not_be_sent_is_sent_the_next_time(
    page: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Server()
    exporter = page.StatsD(port=server.port)
    pipeline = Pipeline([Stage("Work", 1, [same])], name="p", plugins=[exporter], autoload=False)

    class Unreachable(socket.socket):
        def sendto(self, *_: Any) -> int:
            raise OSError("Network is unreachable")

    with monkeypatch.context() as patch:
        patch.setattr(socket, "socket", Unreachable)
        asyncio.run(pipeline.run(range(5)))
        assert pipeline.plugin_faults == {"statsd": 1}
    asyncio.run(pipeline.run(range(3)))
    server.close()
    assert server.counters["antflow.pipeline_items.p.succeeded"] == 8


def test_a_run_starts_while_a_datagram_is_being_sent(
    page: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    sends, goes_on = Event(), Event()

    class Slow(socket.socket):
        def sendto(self, *_: Any) -> int:
            sends.set()
            assert goes_on.wait(10)
            return 0

    async def work(_: Any) -> None:
        goes_on.set()

    exporter = page.StatsD()
    pipeline = Pipeline([Stage("Work", 1, [work])], plugins=[exporter], autoload=False)
    monkeypatch.setattr(page.socket, "socket", Slow)
    with ThreadPoolExecutor(1) as thread:
        sending = thread.submit(exporter.send)
        sends.wait()
        asyncio.run(pipeline.run([1]))
        sending.result()


def test_it_is_a_valid_plugin(page: ModuleType) -> None:
    report = check_plugin(page.StatsD)
    assert report.problems == (), str(report)


def test_the_page_lists_every_metric() -> None:
    assert ROW.findall(PAGE.read_text(encoding="utf-8")) == [
        (
            metric.name,
            metric.kind,
            metric.unit,
            ", ".join(f"`{label}`" for label in metric.labels),
            metric.description,
        )
        for metric in METRICS
    ]
