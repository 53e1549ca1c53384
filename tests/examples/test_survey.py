"""The survey of the standard library, which `make demo` runs."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.request import urlopen

import pytest

from antflow_prometheus import start_http_server
from examples import survey as program
from tests.examples.conftest import Run


def test_files_are_fetched_parsed_and_stored(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTFLOW_PLUGIN_AUTOLOAD", "1")  # for the dashboard
    database = tmp_path / "survey.sqlite"
    finished = run("survey.py", "--limit", 40, "--dashboard", "compact", "--database", database)
    assert finished.returncode == 0
    found = re.search(
        r"^(\d+) files in [\d.]+ s: (\d+) requests, (\d+) of them repeated; failed: 0$",
        finished.stdout,
        re.MULTILINE,
    )
    assert found is not None
    files, requests, repeated = map(int, found.groups())
    assert files == 40
    assert requests == files + repeated
    assert repeated >= 1  # the 25th request is refused
    with closing(sqlite3.connect(database)) as connection:
        rows = connection.execute("SELECT * FROM files ORDER BY path").fetchall()
    paths = program.paths()[:40]
    assert [row[0] for row in rows] == sorted(paths)
    text = (program.LIBRARY / paths[0]).read_bytes()
    assert program.parse(program.Source(paths[0], text)) == rows[sorted(paths).index(paths[0])]
    assert "functions" in finished.stdout


def test_metrics_are_served_meanwhile_and_what_fails_is_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with program.serving() as address, start_http_server(0, addr="127.0.0.1") as metrics:
        pipeline = program.survey(tmp_path / "survey.sqlite")
        pipeline.run_sync([f"{address}/{path}" for path in ("this.py", "not/there.py")])
        with urlopen(f"http://127.0.0.1:{metrics.port}/metrics") as answer:
            text = answer.read().decode()
    assert re.search(r'antflow_stage_items_total\{.*pipeline="survey"', text)
    (failure,) = pipeline.failures
    assert "404" in str(failure.error)
    program.report(pipeline, tmp_path / "survey.sqlite", 1.0)
    shown = capsys.readouterr().out
    assert "failed in Fetch: HTTP Error 404: Not Found" in shown
    assert "this.py" in shown
