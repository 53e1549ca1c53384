"""Plugins as their users have them: installed from wheels, in an environment of their own."""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from antflow import hookspecs
from tests.integration.plugins.installing import (
    JOURNAL,
    PROJECTS,
    Environment,
    link,
    make_environment,
    make_wheels,
)

PROBE = Path(__file__).parent / "plugins" / "probe.py"

ACTIVE = {
    "a-class": "antflow-shapes 1.2",
    "a-module": "antflow-shapes 1.2",
    "an-object": "antflow-shapes 1.2",
    "cancels": "antflow-raises 1.4",
    "cancels-async": "antflow-raises 1.4",
    "good": "antflow-good 1.1",
    "journal": "antflow-journal 0.1.0",
    "noisy": "antflow-noisy 1.3",
    "raises": "antflow-raises 1.4",
    "raises-async": "antflow-raises 1.4",
    "raises-late": "antflow-raises 1.4",
    "twin": "antflow-twin-a 1.13",
}
# What is wrong with the others: where each comes from, what it leads to, what its reason speaks of.
BROKEN = {
    "exits-at-import": ("antflow-exits-at-import 1.6", "Plugin", "SystemExit: no licence"),
    "import-error": ("antflow-import-error 1.5", "Plugin", "'no_package_of_this_name'"),
    "missing-marker": ("antflow-missing-marker 1.11", "Plugin", "marker"),
    "no-such-name": ("antflow-no-such-name 1.8", "Plugin", "no attribute 'Plugin'"),
    "raises-when-made": ("antflow-raises-when-made 1.7", "Plugin", "LookupError: no account"),
    "twin": ("antflow-twin-b 1.14", "Twin", "antflow-twin-a 1.13"),
    "unknown-hook": ("antflow-unknown-hook 1.9", "Plugin", "antflow_task_begin"),
    "wrapper": ("antflow-wrapper 1.12", "Plugin", "wrapper"),
    "wrong-argument": ("antflow-wrong-argument 1.10", "Plugin", "task_event"),
}
CHECK = """
from antflow import Stage, hookimpl
from antflow.testing import check_plugin, run_command


class Plugin:
    @hookimpl
    def antflow_configure(self, options): ...


async def same(value):
    return value


played = check_plugin(Plugin).scenarios
assert not {"command line", "antflow run"} & {*played}
print(played[0], played[-1], sep="\\n")
try:
    run_command(Stage("Work", 1, [same]), [1])
except ModuleNotFoundError as error:
    print("antflow-cli" if "pip install ./antflow-cli" in str(error) else error)
"""
RAISES_EVERYWHERE = ("raises", "raises-async", "cancels", "cancels-async")
HOOKS = [name for name in vars(hookspecs) if name.startswith("antflow_")]
OF_THE_COMMAND_LINE = ["antflow_add_options", "antflow_configure"]
PLAIN_ONLY = [*OF_THE_COMMAND_LINE, "antflow_dashboard"]  # as coroutine functions, not accepted
ENDS = ("task_success", "task_retry", "task_failure", "task_cancelled")


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_wheels(tmp_path_factory.mktemp("wheels"))


@pytest.fixture(scope="module")
def bare(wheels: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """An environment with antflow-core alone."""
    return make_environment(tmp_path_factory.mktemp("bare"), wheels, "antflow-core")


@pytest.fixture(scope="module")
def without_plugins(wheels: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """One with the command, as the extra of antflow-core brings it, and no plugin."""
    return make_environment(tmp_path_factory.mktemp("command"), wheels, "antflow-core[cli]")


@pytest.fixture(scope="module")
def full(wheels: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """One with the command and all the plugins, which bring antflow-core along."""
    names = [f"antflow-{project.name}" for project in PROJECTS]
    folder = tmp_path_factory.mktemp("full")
    return make_environment(folder, wheels, "antflow-cli", "antflow-journal", *names)


@pytest.fixture(scope="module")
def listed(full: Environment) -> list[dict[str, Any]]:
    """What `antflow plugins --json` says of them."""
    return listing(full)


def listing(environment: Environment, **environ: object) -> list[dict[str, Any]]:
    ran = environment.run("antflow", "plugins", "--json", environ=environ)
    assert ran.returncode == 0, ran.stderr
    plugins: list[dict[str, Any]] = json.loads(ran.stdout)
    return plugins


def probe(environment: Environment, *options: str, **environ: object) -> dict[str, Any]:
    """Return what probe.py reports about its run, and its standard error."""
    ran = environment.run("python", "-P", PROBE, *options, environ=environ)
    assert ran.returncode == 0, ran.stderr
    outcome: dict[str, Any] = json.loads(ran.stdout.splitlines()[-1])
    return outcome | {"stderr": ran.stderr}


def counts(outcome: dict[str, Any]) -> Counter[str]:
    """Return how often each hook of the good plugin was called."""
    return Counter(hook for hook, _ in outcome["calls"])


def assert_right(outcome: dict[str, Any]) -> None:
    """Check that a run came out as it does without plugins, and the good plugin's attempts end."""
    assert (outcome["error"], outcome["results"], outcome["failed"]) == (None, [2, 6], [1])
    called = counts(outcome)
    assert called["task_start"] == sum(called[end] for end in ENDS)


# The command


def test_without_a_plugin_there_is_none(without_plugins: Environment) -> None:
    assert listing(without_plugins) == []
    ran = without_plugins.run("antflow", "plugins")
    assert (ran.stdout, ran.stderr) == ("No plugin is installed.\n", "")
    ran = without_plugins.run("python", "-m", "antflow", "hooks")
    assert [line.split("(")[0] for line in ran.stdout.splitlines()[1:]] == HOOKS
    assert all(line.endswith(" -") for line in ran.stdout.splitlines()[1:])


def test_the_core_alone_says_how_to_install_the_command(bare: Environment) -> None:
    assert not (bare.folder / "bin" / "antflow").exists()
    ran = bare.run("python", "-m", "antflow", "run", "program.py:pipeline")
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr == (
        "The command antflow comes with the package antflow-cli: pip install 'antflow-core[cli]'; "
        "in a checkout of antflow: pip install ./antflow-cli\n"
    )


def test_the_kit_does_without_the_command(bare: Environment) -> None:
    ran = bare.run("python", "-W", "error", "-c", CHECK)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines() == ["success", "displays", "antflow-cli"]


def test_the_environment_holds_the_wheel_of_antflow_core(bare: Environment) -> None:
    ran = bare.run("python", "-c", "import antflow; print(antflow.__file__)")
    assert Path(ran.stdout.strip()) == bare.site / "antflow" / "__init__.py", ran.stderr


def test_each_plugin_is_listed_with_what_became_of_it(listed: list[dict[str, Any]]) -> None:
    active = {plugin["name"]: plugin for plugin in listed if plugin["status"] == "active"}
    failed = {plugin["name"]: plugin for plugin in listed if plugin["status"] == "failed"}
    assert len(listed) == len(active) + len(failed)
    assert {name: origin(plugin) for name, plugin in active.items()} == ACTIVE
    assert not any(plugin["reason"] for plugin in active.values())
    assert {name: origin(plugin) for name, plugin in failed.items()} == {
        name: expected for name, (expected, _, _) in BROKEN.items()
    }
    assert not any(plugin["hooks"] for plugin in failed.values())


def origin(plugin: dict[str, Any]) -> str:
    return f"{plugin['distribution']} {plugin['version']}"


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_plugin_is_listed_with_the_reason(listed: list[dict[str, Any]], name: str) -> None:
    (plugin,) = (each for each in listed if (each["name"], each["status"]) == (name, "failed"))
    distribution, target, reason = BROKEN[name]
    module = distribution.split()[0].replace("-", "_")
    assert plugin["target"] == f"{module}:{target}"
    assert reason in plugin["reason"]


def test_the_hooks_of_each_plugin_are_listed_in_their_order(listed: list[dict[str, Any]]) -> None:
    hooks = {plugin["name"]: plugin["hooks"] for plugin in listed if plugin["hooks"]}
    assert hooks["good"] == hooks["raises"] == hooks["cancels"] == HOOKS
    assert hooks["raises-async"] == [hook for hook in HOOKS if hook not in PLAIN_ONLY]
    own = (
        "add_options configure dashboard pipeline_start"  # what it returns for a run has the others
    )
    assert hooks["journal"] == [f"antflow_{hook}" for hook in own.split()]
    assert hooks["a-class"] == hooks["an-object"] == ["antflow_item_status"]
    assert hooks["a-module"] == ["antflow_pipeline_finish"]


# Runs


def test_an_installed_plugin_gets_every_hook_of_a_run(full: Environment) -> None:
    whole = probe(full, "--dashboard=good", ANTFLOW_PLUGINS="good")
    stopped = probe(full, "--cancelled", ANTFLOW_PLUGINS="good")
    for outcome in whole, stopped:
        assert_right(outcome)
        assert (outcome["faults"], outcome["warnings"]) == ({}, [])
    called = {f"antflow_{hook}" for hook in counts(whole) | counts(stopped)}
    assert called == {*HOOKS} - {*OF_THE_COMMAND_LINE}
    assert whole["calls"][:2] == [["dashboard", "good"], ["pipeline_start", ["installed", 3]]]
    assert stopped["calls"][0] == ["pipeline_start", ["installed", None]]
    for outcome in whole, stopped:
        assert outcome["calls"][-1] == ["pipeline_finish", 1]
        attempts = [call for call in outcome["calls"] if call[1] == [1, 1] or call[1] == [1, 2]]
        assert [hook for hook, _ in attempts] == [
            *("task_start", "task_retry"),
            *("task_start", "task_failure"),
        ]
    assert ["task_cancelled", [3, 1]] in stopped["calls"]
    assert ["item_status", [3, "unprocessed"]] in stopped["calls"]


def test_a_run_is_right_in_spite_of_all_that_is_installed(full: Environment) -> None:
    outcome = probe(full, "--dashboard=good")
    assert_right(outcome)
    assert not outcome["early"]
    called = counts(outcome)
    expected = called.total() - called["dashboard"]
    assert expected > 20
    late = {"raises-late": called["task_success"]}
    assert outcome["faults"] == dict.fromkeys(RAISES_EVERYWHERE, expected) | late
    for name in RAISES_EVERYWHERE:
        for hook in called.keys() - {"dashboard"}:
            assert outcome["stderr"].count(f"antflow_{hook} of plugin {name!r} raised") == 1


def test_a_broken_plugin_is_warned_of_once_with_the_remedy(full: Environment) -> None:
    outcome = probe(full)
    assert {category for category, _ in outcome["warnings"]} == {"PluginWarning"}
    assert outcome["warned_of"] == [PROBE.name]
    texts = sorted(text for _, text in outcome["warnings"])
    assert len(texts) == len(BROKEN)
    for text, (name, (distribution, target, reason)) in zip(texts, BROKEN.items(), strict=True):
        module = distribution.split()[0].replace("-", "_")
        assert text.startswith(f"Plugin {name!r} ({module}:{target}, from {distribution})")
        assert reason in text
        assert "uninstall" in text


def test_a_plugin_that_raises_does_no_harm_to_a_run_that_is_stopped(full: Environment) -> None:
    outcome = probe(full, "--cancelled", ANTFLOW_PLUGINS=",".join(["good", *RAISES_EVERYWHERE]))
    assert_right(outcome)
    assert outcome["calls"][-1] == ["pipeline_finish", 1]
    called = counts(outcome).total()
    # Where it is being cancelled itself, to raise CancelledError is no fault.
    cancelled = [
        call
        for call in outcome["calls"]
        if call[0] == "task_cancelled" or call[1] == [3, "unprocessed"]
    ]
    for name in RAISES_EVERYWHERE:
        assert called - len(cancelled) <= outcome["faults"][name] <= called


def test_a_strict_run_minds_no_plugin_that_is_left_out(full: Environment) -> None:
    names = ",".join(["good", *BROKEN])
    outcome = probe(full, ANTFLOW_STRICT_PLUGINS=1, ANTFLOW_PLUGINS=names)
    assert_right(outcome)


# Which ones take part


@pytest.mark.parametrize(
    ("environ", "imported"),
    [
        ({"ANTFLOW_PLUGINS": "good"}, ["antflow_good"]),
        ({"ANTFLOW_PLUGIN_AUTOLOAD": "0"}, []),
        ({"ANTFLOW_PLUGINS": "good,noisy", "ANTFLOW_DISABLE_PLUGINS": "good"}, ["antflow_noisy"]),
        (
            {"ANTFLOW_DISABLE_PLUGINS": ",".join({*ACTIVE, *BROKEN} - {"good", "journal"})},
            ["antflow_good", "antflow_journal"],
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, dict) else None,
)
def test_what_is_disabled_is_not_imported(
    full: Environment, environ: dict[str, str], imported: list[str]
) -> None:
    outcome = probe(full, **environ)
    assert_right(outcome)
    assert outcome["imported"] == imported
    assert outcome["warnings"] == []
    assert bool(outcome["calls"]) == ("antflow_good" in imported)
    for plugin in listing(full, **environ):
        module = plugin["target"].split(":")[0]
        if plugin["status"] == "disabled":
            assert any(variable in plugin["reason"] for variable in environ)
        else:
            assert module in imported


def test_a_pipeline_may_do_without_what_is_installed(full: Environment) -> None:
    outcome = probe(full, "--no-autoload")
    assert_right(outcome)
    assert (outcome["imported"], outcome["calls"], outcome["faults"]) == ([], [], {})
    outcome = probe(full, "--no-autoload", "--given")
    assert_right(outcome)
    assert (outcome["imported"], outcome["faults"]) == (["antflow_good"], {})
    assert outcome["calls"][0] == ["pipeline_start", ["given", 3]]


# The journal, the example of a plugin


def test_the_tests_of_the_journal_pass_where_it_is_installed(
    full: Environment, tmp_path: Path
) -> None:
    link(["pytest"], full.site)
    shutil.copytree(JOURNAL / "tests", tmp_path / "tests")
    options = ["-c", os.devnull, "--rootdir", tmp_path, "-W", "error", "-p", "no:cacheprovider"]
    command = ["python", "-m", "pytest", *options, tmp_path / "tests"]
    ran = full.run(*command, folder=tmp_path, environ={"ANTFLOW_PLUGINS": "journal"})
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert " passed" in ran.stdout


def test_the_journal_is_written_where_the_environment_says(
    full: Environment, tmp_path: Path
) -> None:
    path = tmp_path / "journal.jsonl"
    outcome = probe(full, ANTFLOW_JOURNAL=path, ANTFLOW_PLUGINS="journal")
    assert_right(outcome)
    assert outcome["faults"] == {}
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    first, *_, last = lines
    assert first == {"pipeline": "pipeline", "what": "run", "items": 3}
    assert last == {"pipeline": "pipeline", "what": "end", "failed": 1}
    attempts = Counter(line["what"] for line in lines if "attempt" in line)
    assert attempts == {"start": 6, "complete": 4, "retry": 1, "fail": 1}
    probe(full, ANTFLOW_JOURNAL=path, ANTFLOW_PLUGINS="journal")
    assert len(path.read_text(encoding="utf-8").splitlines()) == 2 * len(lines)


def test_no_journal_is_written_unasked(full: Environment, tmp_path: Path) -> None:
    command = ["python", "-P", PROBE]
    ran = full.run(*command, folder=tmp_path, environ={"ANTFLOW_PLUGINS": "journal"})
    assert ran.returncode == 0
    assert ran.stderr.startswith("1 of 3 items failed: ValueError x1 in Parse: ")
    assert ran.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_the_journal_brings_a_display(full: Environment) -> None:
    outcome = probe(full, "--dashboard=lines", ANTFLOW_PLUGINS="journal")
    assert_right(outcome)
    assert "3 of 3, 1 failed" in outcome["stderr"]
