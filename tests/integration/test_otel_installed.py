"""antflow-otel as its users have it: installed from its wheel, active, and idle."""

from __future__ import annotations

import json

import pytest

from tests.integration.plugins.installing import Environment, make_environment, make_wheels

PROGRAM = """
import asyncio, sys

from antflow import Pipeline, Stage


async def double(number):
    return 2 * number


pipeline = Pipeline([Stage("Double", workers=2, tasks=[double])], name="numbers")
results = asyncio.run(pipeline.run(range(100)))
assert pipeline.plugin_faults == {}, pipeline.plugin_faults
assert not [name for name in sys.modules if name.startswith("opentelemetry.sdk")]
print(len(results), *pipeline.plugin_names)
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    wheels = make_wheels(tmp_path_factory.mktemp("wheels"))
    return make_environment(tmp_path_factory.mktemp("installed"), wheels, "antflow-otel")


def test_it_is_active_by_being_installed(installed: Environment) -> None:
    (plugin,) = json.loads(installed.run("antflow", "plugins", "--json").stdout)
    assert (plugin["name"], plugin["status"]) == ("otel", "active")
    assert plugin["hooks"] == [
        "antflow_add_options",
        "antflow_configure",
        "antflow_pipeline_start",
        "antflow_pipeline_finish",
    ]


def test_without_a_provider_it_is_idle_and_silent(installed: Environment) -> None:
    ran = installed.run("python", "-W", "error", "-c", PROGRAM)
    assert ran.stdout.split() == ["100", "otel"], ran.stderr  # nobody joined for that run
    assert ran.stderr == ""


def test_it_can_be_turned_off(installed: Environment) -> None:
    environ = {"ANTFLOW_DISABLE_PLUGINS": "otel"}
    (plugin,) = json.loads(installed.run("antflow", "plugins", "--json", environ=environ).stdout)
    assert plugin["status"] == "disabled"
