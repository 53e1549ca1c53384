"""Plugins as their users have them: installed from wheels, in an environment of their own."""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from antflow._plugins.validation import ARGUMENTS, SYNC_HOOKS
from tests.integration.plugins.installing import (
    JOURNAL,
    PROJECTS,
    Environment,
    link,
    make_environment,
    make_wheels,
    write_wheel,
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
RAISES_EVERYWHERE = ("raises", "raises-async", "cancels", "cancels-async")
PROGRAM = """
from antflow import Pipeline, Stage

async def upper(text):
    return text.upper()

pipeline = Pipeline([Stage("Upper", 1, [upper])], name="letters")
"""
OF_THE_COMMAND_LINE = {"antflow_add_options", "antflow_configure"}
ENDS = ("task_success", "task_retry", "task_failure", "task_cancelled")


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_wheels(tmp_path_factory.mktemp("wheels"))


@pytest.fixture(scope="module")
def bare(wheels: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """An environment with antflow-core alone."""
    return make_environment(tmp_path_factory.mktemp("bare"), wheels, "antflow-core")


@pytest.fixture(scope="module")
def full(wheels: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """One with all the plugins, which bring antflow-core along."""
    names = [f"antflow-{project.name}" for project in PROJECTS]
    folder = tmp_path_factory.mktemp("full")
    return make_environment(folder, wheels, "antflow-journal", *names)


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
    """Return what probe.py tells of its run, and what it wrote as an error output."""
    ran = environment.run("python", "-P", PROBE, *options, environ=environ)
    assert ran.returncode == 0, ran.stderr
    told: dict[str, Any] = json.loads(ran.stdout.splitlines()[-1])
    return told | {"stderr": ran.stderr}


def counts(told: dict[str, Any]) -> Counter[str]:
    """Return how often each hook of the good plugin was called."""
    return Counter(hook for hook, _ in told["calls"])


def assert_right(told: dict[str, Any]) -> None:
    """Check that a run came out as it does without plugins, and the good plugin's attempts end."""
    assert (told["error"], told["results"], told["failed"]) == (None, [2, 6], [1])
    called = counts(told)
    assert called["task_start"] == sum(called[end] for end in ENDS)


# The command


def test_without_a_plugin_there_is_none(bare: Environment) -> None:
    assert listing(bare) == []
    ran = bare.run("antflow", "plugins")
    assert (ran.stdout, ran.stderr) == ("No plugin is installed.\n", "")
    ran = bare.run("python", "-m", "antflow", "hooks")
    assert [line.split("(")[0] for line in ran.stdout.splitlines()[1:]] == list(ARGUMENTS)
    assert all(line.endswith(" -") for line in ran.stdout.splitlines()[1:])


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
    every = list(ARGUMENTS)
    assert hooks["good"] == hooks["raises"] == hooks["cancels"] == every
    assert hooks["raises-async"] == [hook for hook in every if hook not in SYNC_HOOKS]
    assert hooks["journal"] == every  # most of them are of what it returns for a run
    assert hooks["a-class"] == hooks["an-object"] == ["antflow_item_status"]
    assert hooks["a-module"] == ["antflow_pipeline_finish"]


@pytest.mark.parametrize("command", [("antflow",), ("python", "-m", "antflow")])
def test_the_list_for_people_says_the_same(full: Environment, command: tuple[str, ...]) -> None:
    ran = full.run(*command, "plugins")
    assert ran.returncode == 0
    heading, *lines = ran.stdout.splitlines()
    assert heading.split()[:4] == ["NAME", "STATUS", "DISTRIBUTION", "VERSION"]
    rows = [line.split(maxsplit=4) for line in lines]
    assert {row[0]: " ".join(row[2:4]) for row in rows if row[1] == "active"} == ACTIVE
    for name, status, distribution, version, about in rows:
        if status == "failed":
            assert f"{distribution} {version}" == BROKEN[name][0]
            assert BROKEN[name][2] in about
    assert ran.stderr.count("warning: Plugin ") == len(BROKEN)


def test_what_a_plugin_prints_when_it_is_imported_is_kept_out_of_the_list(
    full: Environment,
) -> None:
    for command in (["plugins", "--json"], ["plugins"], ["hooks"]):
        ran = full.run("antflow", *command)
        assert "noisy is imported" not in ran.stdout
        assert "noisy is imported" in ran.stderr


def test_hooks_are_listed_with_those_who_implement_them(full: Environment) -> None:
    ran = full.run(
        "antflow", "hooks", environ={"ANTFLOW_PLUGINS": "a-class,good,journal,raises-late"}
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    implemented = dict(line.rsplit("  ", 1) for line in ran.stdout.splitlines()[1:])
    implemented = {hook.split("(")[0]: names for hook, names in implemented.items()}
    assert list(implemented) == list(ARGUMENTS)
    assert implemented == {
        **dict.fromkeys(ARGUMENTS, "journal.run, good"),
        **dict.fromkeys(SYNC_HOOKS, "journal, good"),
        "antflow_pipeline_start": "journal, good",
        "antflow_item_status": "journal.run, good, a-class",
        "antflow_task_success": "journal.run, raises-late, good",
    }


# Runs


def test_an_installed_plugin_gets_every_hook_of_a_run(full: Environment) -> None:
    whole = probe(full, "--dashboard=good", ANTFLOW_PLUGINS="good")
    stopped = probe(full, "--cancelled", ANTFLOW_PLUGINS="good")
    for told in whole, stopped:
        assert_right(told)
        assert (told["faults"], told["warnings"]) == ({}, [])
    called = {f"antflow_{hook}" for hook in counts(whole) | counts(stopped)}
    assert called == set(ARGUMENTS) - OF_THE_COMMAND_LINE
    assert whole["calls"][:2] == [["dashboard", "good"], ["pipeline_start", ["installed", 3]]]
    assert stopped["calls"][0] == ["pipeline_start", ["installed", None]]
    for told in whole, stopped:
        assert told["calls"][-1] == ["pipeline_finish", 1]
        attempts = [call for call in told["calls"] if call[1] == [1, 1] or call[1] == [1, 2]]
        assert [hook for hook, _ in attempts] == [
            *("task_start", "task_retry"),
            *("task_start", "task_failure"),
        ]
    assert ["task_cancelled", [3, 1]] in stopped["calls"]
    assert ["item_status", [3, "unprocessed"]] in stopped["calls"]


def test_a_run_is_right_in_spite_of_all_that_is_installed(full: Environment) -> None:
    told = probe(full)
    assert_right(told)
    assert not told["early"]
    expected = counts(told).total()
    assert expected > 20
    late = counts(told)["task_success"]
    assert told["faults"] == dict.fromkeys(RAISES_EVERYWHERE, expected) | {"raises-late": late}


def test_a_broken_plugin_is_warned_of_once_with_the_remedy(full: Environment) -> None:
    told = probe(full)
    assert {category for category, _ in told["warnings"]} == {"PluginWarning"}
    assert told["warned_of"] == [PROBE.name]
    texts = sorted(text for _, text in told["warnings"])
    assert len(texts) == len(BROKEN)
    for text, (name, (distribution, target, reason)) in zip(texts, BROKEN.items(), strict=True):
        module = distribution.split()[0].replace("-", "_")
        assert text.startswith(f"Plugin {name!r} ({module}:{target}, from {distribution})")
        assert reason in text
        assert "uninstall" in text


@pytest.mark.parametrize("name", RAISES_EVERYWHERE)
def test_a_plugin_that_raises_in_every_hook_does_no_harm(full: Environment, name: str) -> None:
    told = probe(full, "--dashboard=good", ANTFLOW_PLUGINS=f"good,{name}")
    assert_right(told)
    called = counts(told)
    assert told["faults"] == {name: called.total() - called["dashboard"]}
    for hook in called.keys() - {"dashboard"}:
        assert told["stderr"].count(f"antflow_{hook} of plugin {name!r} raised") == 1


@pytest.mark.parametrize("name", RAISES_EVERYWHERE)
def test_a_plugin_that_raises_does_no_harm_to_a_run_that_is_stopped(
    full: Environment, name: str
) -> None:
    told = probe(full, "--cancelled", ANTFLOW_PLUGINS=f"good,{name}")
    assert_right(told)
    assert told["calls"][-1] == ["pipeline_finish", 1]
    called = counts(told)
    # Where it is being cancelled itself, to raise CancelledError is no fault.
    cut_short = [
        call
        for call in told["calls"]
        if call[0] == "task_cancelled" or call[1] == [3, "unprocessed"]
    ]
    assert called.total() - len(cut_short) <= told["faults"][name] <= called.total()


@pytest.mark.parametrize("name", ["raises", "cancels"])
def test_a_plugin_that_raises_for_a_display_is_not_one_that_has_it(
    full: Environment, name: str
) -> None:
    told = probe(full, "--dashboard=absent", ANTFLOW_PLUGINS=f"good,{name}")
    kind, text = told["error"]
    assert kind == "ValueError"
    assert text.startswith("There is no dashboard 'absent'; installed are: good, progress.")


def test_a_strict_run_ends_with_what_a_plugin_raised(full: Environment) -> None:
    told = probe(full, ANTFLOW_STRICT_PLUGINS=1, ANTFLOW_PLUGINS="good,raises-late")
    assert told["error"] == ["PluginError", "raises-late", "antflow_task_success", 0]
    assert told["calls"][-1] == ["pipeline_finish", 0]
    called = counts(told)
    assert called["task_start"] == sum(called[end] for end in ENDS) == 1


@pytest.mark.parametrize("name", RAISES_EVERYWHERE)
def test_a_strict_run_ends_before_its_first_item_where_the_start_raises(
    full: Environment, name: str
) -> None:
    told = probe(full, ANTFLOW_STRICT_PLUGINS=1, ANTFLOW_PLUGINS=f"good,{name}")
    assert told["error"] == ["PluginError", name, "antflow_pipeline_start", None]
    assert counts(told) == {"pipeline_start": 1, "pipeline_finish": 1}


def test_a_strict_run_minds_no_plugin_that_is_left_out(full: Environment) -> None:
    names = ",".join(["good", *BROKEN])
    told = probe(full, ANTFLOW_STRICT_PLUGINS=1, ANTFLOW_PLUGINS=names)
    assert_right(told)


def test_calls_are_traced_if_that_is_wanted(full: Environment) -> None:
    told = probe(full, ANTFLOW_TRACE_PLUGINS=1, ANTFLOW_PLUGINS="good,a-module")
    assert_right(told)
    assert told["stderr"].count("good: antflow_task_start(") == counts(told)["task_start"]
    assert told["stderr"].count("a-module: antflow_pipeline_finish(") == 1


# The command line


def test_help_shows_the_options_of_each_plugin(full: Environment) -> None:
    ran = full.run("antflow", "run", "--help", "--plugins", "good,journal")
    assert (ran.returncode, ran.stderr) == (0, "")
    (good,) = (part for part in ran.stdout.split("\n\n") if "--good-label" in part)
    assert good.splitlines()[0] == "plugin good (antflow-good 1.1):"
    assert "plugin journal (antflow-journal 0.1.0):" in ran.stdout


@pytest.mark.parametrize("name", ["raises", "cancels"])
def test_a_plugin_that_raises_at_its_options_does_no_harm_to_a_command(
    full: Environment, name: str, tmp_path: Path
) -> None:
    journal = tmp_path / "journal.jsonl"
    program = tmp_path / "program.py"
    program.write_text(PROGRAM, encoding="utf-8")
    command = ["antflow", "run", f"--plugins=journal,{name}", f"--journal={journal}", "--ordered"]
    ran = full.run(*command, f"{program}:pipeline", "a", "b")
    assert (ran.returncode, ran.stdout) == (
        0,
        '{"id": 0, "value": "A"}\n{"id": 1, "value": "B"}\n',
    )
    assert ran.stderr.count(f"warning: plugin {name!r} cannot add its options") == 1
    assert json.loads(journal.read_text().splitlines()[-1]) == {
        "pipeline": "letters",
        "what": "end",
        "failed": 0,
    }


def test_a_strict_command_ends_with_what_a_plugin_raised(full: Environment) -> None:
    ran = full.run(
        *("antflow", "run", "--plugins=raises", "nothing.py:pipeline"),
        environ={"ANTFLOW_STRICT_PLUGINS": 1},
    )
    assert ran.returncode == 2
    assert "plugin 'raises' cannot add its options: RuntimeError: add_options" in ran.stderr


# Which ones take part


@pytest.mark.parametrize(
    ("environ", "imported"),
    [
        ({"ANTFLOW_PLUGINS": "good"}, ["antflow_good"]),
        ({"ANTFLOW_PLUGINS": " good , a-class"}, ["antflow_good", "antflow_shapes"]),
        ({"ANTFLOW_PLUGIN_AUTOLOAD": "0"}, []),
        ({"ANTFLOW_PLUGIN_AUTOLOAD": "0", "ANTFLOW_PLUGINS": "good"}, []),
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
    told = probe(full, **environ)
    assert_right(told)
    assert told["imported"] == imported
    assert told["warnings"] == []
    assert bool(told["calls"]) == ("antflow_good" in imported)
    for plugin in listing(full, **environ):
        module = plugin["target"].split(":")[0]
        if plugin["status"] == "disabled":
            assert any(variable in plugin["reason"] for variable in environ)
        else:
            assert module in imported


def test_the_command_does_not_import_what_is_disabled(full: Environment) -> None:
    for variable, value in [
        ("ANTFLOW_DISABLE_PLUGINS", "noisy"),
        ("ANTFLOW_PLUGINS", "good"),
        ("ANTFLOW_PLUGIN_AUTOLOAD", "0"),
    ]:
        ran = full.run("antflow", "plugins", "--json", environ={variable: value})
        assert "noisy is imported" not in ran.stdout + ran.stderr
        (noisy,) = (each for each in json.loads(ran.stdout) if each["name"] == "noisy")
        assert (noisy["status"], noisy["hooks"]) == ("disabled", [])


def test_a_name_of_no_plugin_is_warned_of(full: Environment) -> None:
    told = probe(full, ANTFLOW_PLUGINS="good,absent")
    assert_right(told)
    ((category, text),) = told["warnings"]
    assert category == "PluginWarning"
    assert text.startswith("ANTFLOW_PLUGINS names 'absent'")


def test_a_plugin_that_is_given_takes_the_place_of_the_installed_one(full: Environment) -> None:
    told = probe(full, "--given", ANTFLOW_PLUGINS="good,raises")
    assert_right(told)
    starts = [about for hook, about in told["calls"] if hook == "pipeline_start"]
    assert starts == [["given", 3]]
    assert list(told["faults"]) == ["raises"]


def test_a_pipeline_may_do_without_what_is_installed(full: Environment) -> None:
    told = probe(full, "--no-autoload")
    assert_right(told)
    assert (told["imported"], told["calls"], told["faults"]) == ([], [], {})
    told = probe(full, "--no-autoload", "--given")
    assert_right(told)
    assert (told["imported"], told["faults"]) == (["antflow_good"], {})
    assert told["calls"][0] == ["pipeline_start", ["given", 3]]


def test_the_predecessor_is_warned_of(bare: Environment, tmp_path: Path) -> None:
    about = b"Metadata-Version: 2.1\nName: antflow\nVersion: 0.10.0\n"
    write_wheel(tmp_path, "antflow", "0.10.0", {"antflow-0.10.0.dist-info/METADATA": about})
    (wheel,) = tmp_path.iterdir()
    told = probe(bare, PYTHONPATH=wheel)
    assert_right(told)
    ((category, text),) = told["warnings"]
    assert category == "PluginWarning"
    assert "pip uninstall antflow" in text


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
    told = probe(full, ANTFLOW_JOURNAL=path, ANTFLOW_PLUGINS="journal")
    assert_right(told)
    assert told["faults"] == {}
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
    told = probe(full, "--dashboard=lines", ANTFLOW_PLUGINS="journal")
    assert_right(told)
    assert "3 of 3, 1 failed" in told["stderr"]
