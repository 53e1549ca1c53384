"""The template of a plugin and the plugin packages, installed from wheels and held to the kit."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.integration.plugins.installing import (
    PACKAGES,
    ROOT,
    TEMPLATE,
    Environment,
    link,
    make_environment,
    make_wheels,
)
from tests.integration.prometheus_server import free_port

SOURCE = TEMPLATE / "src" / "antflow_slowest" / "__init__.py"
TESTS = TEMPLATE / "tests" / "test_slowest.py"
TUTORIAL = ROOT / "docs" / "writing-a-plugin.md"
KIT = ROOT / "docs" / "testing-plugins.md"
BLOCK = re.compile(r"^```(python|toml)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)

CHECK_ALL = """
import json
from importlib.metadata import entry_points

from antflow.testing import PluginProblemsError, check_plugin

found = {}
for entry in entry_points(group="antflow"):
    try:
        found[entry.name] = str(check_plugin(entry.name)), True
    except PluginProblemsError as error:
        found[entry.name] = str(error), False
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """An environment with the template, our plugin packages, the journal and pytest."""
    wheels = make_wheels(tmp_path_factory.mktemp("wheels"))
    names = [*PACKAGES, "antflow-journal", "antflow-slowest"]
    environment = make_environment(tmp_path_factory.mktemp("installed"), wheels, *names)
    link(["pytest"], environment.site)
    return environment


def run_pytest(
    installed: Environment, folder: Path, *options: object, path: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the tests that are in a folder, with what is in another one instead of its wheel."""
    command = ["python", "-m", "pytest", "-p", "no:cacheprovider", "-W", "error", *options]
    environ = {"PYTHONPATH": path} if path else {}
    return installed.run(*command, folder=folder, environ=environ)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The template without its sources, as there where the wheel is tested."""
    folder = tmp_path / "template"
    shutil.copytree(TEMPLATE, folder, ignore=shutil.ignore_patterns("src", "__pycache__"))
    return folder


# The template


def test_its_tests_pass_where_it_is_installed(installed: Environment, copy: Path) -> None:
    ran = run_pytest(installed, copy)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert re.search(r"^=+ \d+ passed in", ran.stdout, re.MULTILINE), ran.stdout
    found = installed.run("python", "-c", "import antflow_slowest as p; print(p.__file__)")
    assert Path(found.stdout.strip()).parent == installed.site / "antflow_slowest"


PLANTED = {
    "leak": (
        "self.seconds: dict[str, float] = {}",
        "import asyncio; self.seconds = {}; self.t = asyncio.create_task(asyncio.sleep(9e9))",
        ["tasks (in success, two at once, plain function and ", "was left running; wait for it or"],
    ),
    "raise": (
        "event.duration or 0",
        "event.seconds",
        [
            "raised (in success, ",
            "antflow_task_success of plugin 'slowest.run' raised",
            "AttributeError: 'TaskEvent' object has no attribute 'seconds'",
        ],
    ),
    "wrong name": (
        'antflow_name = "slowest"',
        'antflow_name = "slow"',
        ["rules:", "The entry point is called 'slowest' and the plugin 'slow'"],
    ),
}


@pytest.mark.parametrize(("right", "wrong", "found"), PLANTED.values(), ids=PLANTED)
def test_the_kit_finds_what_is_planted(
    installed: Environment, copy: Path, tmp_path: Path, right: str, wrong: str, found: list[str]
) -> None:
    source = SOURCE.read_text(encoding="utf-8")
    assert source.count(right) == 1
    package = tmp_path / "planted" / "antflow_slowest"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(source.replace(right, wrong), encoding="utf-8")
    ran = run_pytest(installed, copy, "-k", "finds_no_problem", path=package.parent)
    assert ran.returncode == 1, ran.stdout + ran.stderr
    for text in ["PluginProblemsError: Plugin 'slowest' has ", *found]:
        assert text in ran.stdout


def test_its_option_stands_in_the_help_of_the_command(installed: Environment) -> None:
    ran = installed.run("antflow", "run", "--help")
    assert re.search(r"slowest.*\n +--slowest +print at the end", ran.stdout), (
        ran.stdout + ran.stderr
    )


# The plugin packages


@pytest.mark.parametrize("is_active", [False, True], ids=["inactive", "active"])
def test_our_plugins_are_as_plugins_should_be(
    installed: Environment, tmp_path: Path, *, is_active: bool
) -> None:
    environ = activating(tmp_path) if is_active else {}
    ran = installed.run("python", "-c", CHECK_ALL, environ=environ)
    assert ran.returncode == 0, ran.stderr
    found: Mapping[str, tuple[str, bool]] = json.loads(ran.stdout)
    ours = {name.removeprefix("antflow-") for name in PACKAGES} - {"core", "cli"}
    assert found.keys() == {*ours, "journal", "slowest"}
    for text, is_right in found.values():
        assert is_right, text


def activating(folder: Path) -> dict[str, object]:
    """Return the variables that make plugins active."""
    return {
        "ANTFLOW_JOURNAL": folder / "journal.jsonl",
        "ANTFLOW_PROMETHEUS_PORT": free_port(),
        "ANTFLOW_SLOWEST": 1,
    }


# The pytest plugin


def test_a_session_that_needs_no_fixture_of_ours_does_not_import_antflow(
    installed: Environment, tmp_path: Path
) -> None:
    test = "import sys\n\n\ndef test_it():\n    assert 'antflow' not in sys.modules\n"
    (tmp_path / "test_it.py").write_text(test, encoding="utf-8")
    ran = run_pytest(installed, tmp_path)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_fixtures_are_listed_and_can_be_left_out(installed: Environment, tmp_path: Path) -> None:
    listed = run_pytest(installed, tmp_path, "--fixtures").stdout
    for name in "antflow_run", "antflow_clock", "antflow_recorder":
        assert re.search(rf"^{name} -- .*_antflow_pytest\.py:\d+\n    \S", listed, re.MULTILINE)
    blocked = run_pytest(installed, tmp_path, "-p", "no:antflow", "--fixtures").stdout
    assert "antflow_run" not in blocked


# The documents


def blocks(document: Path) -> list[str]:
    found = [match[2] for match in BLOCK.finditer(document.read_text(encoding="utf-8"))]
    assert found
    return found


def test_the_tutorial_shows_the_template_as_it_is() -> None:
    shown = blocks(TUTORIAL)
    about, source, tests = (
        path.read_text(encoding="utf-8") for path in (TEMPLATE / "pyproject.toml", SOURCE, TESTS)
    )
    _, entry_point, plugin, test = shown
    assert entry_point in about
    assert plugin == source
    assert test in tests


def test_the_tests_in_the_documents_pass(installed: Environment, tmp_path: Path) -> None:
    for number, block in enumerate(blocks(KIT)):
        (tmp_path / f"test_block_{number}.py").write_text(block, encoding="utf-8")
    ran = run_pytest(installed, tmp_path)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert re.search(r"^=+ [1-9]\d* passed in", ran.stdout, re.MULTILINE), ran.stdout
