"""antflow-prometheus as its users have it: installed from its wheel, active, and silent."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from tests.integration.plugins.installing import Environment, make_environment, make_wheels

PROGRAM = """
import asyncio, os, socket, sys, threading
from urllib.request import urlopen

from antflow import Pipeline, Stage


async def double(number):
    return 2 * number


def is_open(port):
    with socket.socket() as asking:
        return asking.connect_ex(("127.0.0.1", port)) == 0


port = int(sys.argv[1])
before = threading.active_count()
pipeline = Pipeline([Stage("Double", workers=2, tasks=[double])], name="numbers")
assert not is_open(port), "the port is open before any run"
assert threading.active_count() == before
asyncio.run(pipeline.run(range(100)))
asyncio.run(pipeline.run(range(11)))
if is_open(port):
    with urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        text = answer.read().decode()
else:
    from prometheus_client import generate_latest

    text = generate_latest().decode()
print(is_open(port))
for line in text.splitlines():
    if line.startswith("antflow_pipeline_items_total") and "succeeded" in line:
        print(line.split()[-1])
"""
TOTAL = "111.0"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    wheels = make_wheels(tmp_path_factory.mktemp("wheels"))
    return make_environment(tmp_path_factory.mktemp("installed"), wheels, "antflow-prometheus")


def free_port() -> int:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port: int = bound.getsockname()[1]
        return port


def test_it_is_active_by_being_installed(installed: Environment) -> None:
    listed = json.loads(installed.run("antflow", "plugins", "--json").stdout)
    (plugin,) = listed
    assert (plugin["name"], plugin["status"]) == ("prometheus", "active")
    assert plugin["hooks"] == [
        "antflow_add_options",
        "antflow_configure",
        "antflow_pipeline_start",
        "antflow_pipeline_finish",
    ]


def test_it_opens_no_port_and_shows_runs_in_the_default_registry(installed: Environment) -> None:
    ran = installed.run("python", "-W", "error", "-c", PROGRAM, free_port())
    assert ran.stdout.splitlines() == ["False", TOTAL], ran.stderr
    assert ran.stderr == ""


def test_the_environment_opens_a_port(installed: Environment) -> None:
    port = free_port()
    ran = installed.run(
        "python", "-W", "error", "-c", PROGRAM, port, environ={"ANTFLOW_PROMETHEUS_PORT": port}
    )
    assert ran.stdout.splitlines() == ["True", TOTAL], ran.stderr
    assert ran.stderr == ""


@pytest.mark.parametrize("port", ["many", "-1", "70000"])
def test_a_port_that_is_none_leaves_the_plugin_out_and_the_run_goes_on(
    installed: Environment, port: str
) -> None:
    ran = installed.run("antflow", "plugins", "--json", environ={"ANTFLOW_PROMETHEUS_PORT": port})
    (plugin,) = json.loads(ran.stdout)
    assert plugin["status"] == "failed"
    assert "ANTFLOW_PROMETHEUS_PORT" in plugin["reason"]
    assert port in plugin["reason"]


def test_it_can_be_turned_off(installed: Environment) -> None:
    ran = installed.run(
        "antflow", "plugins", "--json", environ={"ANTFLOW_DISABLE_PLUGINS": "prometheus"}
    )
    (plugin,) = json.loads(ran.stdout)
    assert plugin["status"] == "disabled"


def test_the_files_for_operators_are_in_the_wheel(installed: Environment, tmp_path: Path) -> None:
    ran = installed.run("python", "-m", "antflow_prometheus", tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert {path.name for path in tmp_path.iterdir()} == {
        "alert-rules.yml",
        "grafana-dashboard.json",
        "recording-rules.yml",
    }
