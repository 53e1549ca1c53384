"""Our plugins as their users have them: installed from wheels, active, and silent until needed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.integration.plugins.installing import Environment, make_environment, make_wheels
from tests.integration.prometheus_server import free_port

PROGRAM = """
import asyncio, socket, sys, threading
from urllib.request import urlopen

from prometheus_client import generate_latest

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
assert pipeline.plugin_faults == {}, pipeline.plugin_faults
assert not [name for name in sys.modules if name.startswith("opentelemetry.sdk")]
shown = generate_latest()
if is_open(port):
    with urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        shown = answer.read()
print(is_open(port), *pipeline.plugin_names)
for line in shown.decode().splitlines():
    if line.startswith("antflow_pipeline_items_total") and "succeeded" in line:
        print(line.split()[-1])
"""
NAMES = ("otel", "prometheus")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    wheels = make_wheels(tmp_path_factory.mktemp("wheels"))
    folder = tmp_path_factory.mktemp("installed")
    return make_environment(folder, wheels, *(f"antflow-{name}" for name in ("cli", *NAMES)))


def listed(installed: Environment, **environ: object) -> dict[str, dict[str, Any]]:
    ran = installed.run("antflow", "plugins", "--json", environ=environ)
    return {plugin["name"]: plugin for plugin in json.loads(ran.stdout)}


def test_they_are_active_by_being_installed(installed: Environment) -> None:
    plugins = listed(installed)
    assert {name: plugin["status"] for name, plugin in plugins.items()} == dict.fromkeys(
        NAMES, "active"
    )
    for plugin in plugins.values():
        hooks = "add_options configure pipeline_start pipeline_finish"
        assert {f"antflow_{hook}" for hook in hooks.split()} <= {*plugin["hooks"]}


def test_they_can_be_turned_off(installed: Environment) -> None:
    plugins = listed(installed, ANTFLOW_DISABLE_PLUGINS=",".join(NAMES))
    assert {plugin["status"] for plugin in plugins.values()} == {"disabled"}


@pytest.mark.parametrize("is_asked", [False, True])
def test_a_port_is_opened_only_if_the_environment_asks_for_it(
    installed: Environment, *, is_asked: bool
) -> None:
    port = free_port()
    environ = {"ANTFLOW_PROMETHEUS_PORT": port} if is_asked else {}
    ran = installed.run("python", "-W", "error", "-c", PROGRAM, port, environ=environ)
    # Without a provider, the plugin for OpenTelemetry takes no part in the run.
    assert ran.stdout.splitlines() == [f"{is_asked} otel prometheus", "111.0"], ran.stderr
    assert ran.stderr == ""


@pytest.mark.parametrize("port", ["many", "70000"])
def test_a_port_that_is_none_leaves_the_plugin_out_and_the_command_goes_on(
    installed: Environment, port: str
) -> None:
    plugin = listed(installed, ANTFLOW_PROMETHEUS_PORT=port)["prometheus"]
    assert plugin["status"] == "failed"
    assert "ANTFLOW_PROMETHEUS_PORT" in plugin["reason"]
    assert port in plugin["reason"]


def test_the_files_for_operators_are_in_the_wheel(installed: Environment, tmp_path: Path) -> None:
    ran = installed.run("python", "-m", "antflow_prometheus", tmp_path)
    assert ran.returncode == 0, ran.stderr
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"alert-rules.yml", "grafana-dashboard.json", "recording-rules.yml"}
