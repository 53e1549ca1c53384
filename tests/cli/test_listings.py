"""`antflow plugins` and `antflow hooks`: what is installed, and who is called."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest

from antflow import hookimpl
from tests.helpers.command import Command
from tests.helpers.hooks import ARGUMENTS
from tests.helpers.installation import Entry, Good, install, raising

FULL = Path("/dev/full")
COMMANDS = ["plugins"], ["plugins", "--json"], ["hooks"]


class Finishing:
    """A plugin whose hooks stand in another order than a run calls them in."""

    @hookimpl
    def antflow_pipeline_finish(self) -> None: ...

    @hookimpl
    def antflow_task_start(self) -> None: ...

    @hookimpl
    def antflow_dashboard(self) -> None: ...


class Silent:
    """A plugin without hooks."""


def talkative() -> object:
    sys.stdout.write("loading ...\n")
    return Good


@pytest.fixture
def four(command: Command, monkeypatch: pytest.MonkeyPatch) -> Command:
    """The command with an active plugin, a silent, a failing and a disabled one."""
    install(
        monkeypatch,
        Entry("good", lambda: Finishing),
        Entry("bad", raising(ImportError("no nowhere"))),
        Entry("off", lambda: Good),
        Entry("silent", lambda: Silent),
    )
    monkeypatch.setenv("ANTFLOW_DISABLE_PLUGINS", "off")
    return command


def test_no_plugin_is_installed(command: Command) -> None:
    ran = command("plugins")
    assert (ran.code, ran.out, ran.err) == (0, "No plugin is installed.\n", "")
    assert command("plugins", "--json").out == "[]\n"


def test_plugins_as_a_table(four: Command) -> None:
    text = four("plugins").out
    lines = text.splitlines()
    assert lines == [line.rstrip() for line in lines]
    assert lines[0].split() == [
        "NAME",
        "STATUS",
        "DISTRIBUTION",
        "VERSION",
        "HOOKS",
        "OR",
        "REASON",
    ]
    column = lines[0].index("STATUS")
    assert [line[column:].split()[0] for line in lines[1:]] == [
        *("failed", "active", "disabled", "active")
    ]
    bad, good, off, silent = lines[1:]
    assert bad.split()[:4] == ["bad", "failed", "some-plugin", "1.2"]
    assert "ImportError: no nowhere" in bad
    assert good.endswith("  dashboard, task_start, pipeline_finish")
    assert off.endswith("  ANTFLOW_DISABLE_PLUGINS=off")
    assert silent.endswith("  none")


def test_plugins_as_json(four: Command) -> None:
    bad, good, off, silent = json.loads(four("plugins", "--json").out)
    assert good == {
        "name": "good",
        "distribution": "some-plugin",
        "version": "1.2",
        "target": "some_plugin:good",
        "status": "active",
        "reason": "",
        "hooks": ["antflow_dashboard", "antflow_task_start", "antflow_pipeline_finish"],
    }
    assert (bad["status"], off["status"]) == ("failed", "disabled")
    assert "ImportError" in bad["reason"]
    assert bad["hooks"] == off["hooks"] == silent["hooks"] == []


@pytest.mark.parametrize("arguments", COMMANDS)
def test_warnings_go_to_standard_error(four: Command, arguments: list[str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ran = four(*arguments)
    assert (ran.code, "warning" in ran.out) == (0, False)
    (line,) = ran.err.splitlines()
    assert line.startswith("warning: Plugin 'bad'")


def test_prints_of_a_plugin_at_its_import_do_not_get_into_the_json(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, Entry("talkative", talkative))
    ran = command("plugins", "--json")
    assert [plugin["name"] for plugin in json.loads(ran.out)] == ["talkative"]
    assert ran.err == "loading ...\n"


def test_hooks_with_their_implementations_in_the_order_of_the_calls(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, *(Entry(name, lambda: Good) for name in "ab"))
    ran = command("hooks")
    hooks = [f"{hook}({', '.join(arguments)})" for hook, arguments in ARGUMENTS.items()]
    rows: Any = [line.split("  ", 1) for line in ran.out.splitlines()[1:]]
    assert [hook for hook, _ in rows] == hooks
    assert {hook: names.strip() for hook, names in rows} == {
        **dict.fromkeys(hooks, "-"),
        "antflow_task_start(event)": "b, a",
    }


# In a process, whose end flushes standard output again


def listing(command: str, output: int) -> tuple[int, str]:
    arguments = [sys.executable, "-m", "antflow", command]
    pipe = subprocess.PIPE
    ran = subprocess.run(arguments, stdout=output, stderr=pipe, text=True, timeout=60, check=False)
    return ran.returncode, ran.stderr


def test_a_list_ends_quietly_if_the_reader_has_closed_the_output() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    assert listing("plugins", writer) == (141, "")
    os.close(writer)


@pytest.mark.skipif(not FULL.exists(), reason="needs /dev/full")
def test_a_list_that_cannot_be_written_ends_with_the_reason() -> None:
    with FULL.open("w") as full:
        ended = listing("hooks", full.fileno())
    assert ended == (1, "standard output cannot be written: No space left on device\n")
