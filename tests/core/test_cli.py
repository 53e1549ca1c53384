"""The command `antflow`: what it prints, where, and with which exit code."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import warnings
from typing import Any

import pytest

from antflow import __version__, hookimpl
from antflow._plugins.validation import ARGUMENTS
from antflow.cli import main
from tests.helpers.installation import Entry, Good, install, raising

pytestmark = pytest.mark.usefixtures("nothing_installed")


class Finishing:
    """A plugin whose hooks stand in another order than a run calls them in."""

    @hookimpl
    def antflow_pipeline_finish(self) -> None:
        """Do nothing."""

    @hookimpl
    def antflow_task_start(self) -> None:
        """Do nothing."""

    @hookimpl
    def antflow_dashboard(self) -> None:
        """Have none."""


class Silent:
    """A plugin without hooks."""


def talkative() -> object:
    sys.stdout.write("loading ...\n")
    return Good


def install_three(monkeypatch: pytest.MonkeyPatch) -> None:
    install(
        monkeypatch,
        Entry("good", lambda: Finishing),
        Entry("bad", raising(ImportError("no nowhere"))),
        Entry("off", lambda: Good),
    )
    monkeypatch.setenv("ANTFLOW_DISABLE_PLUGINS", "off")


def words(line: str) -> list[str]:
    return line.split()


def listed(capsys: pytest.CaptureFixture[str]) -> Any:
    assert main(["plugins", "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_missing_command_is_refused_with_the_commands_there_are(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as ended:
        main([])
    assert ended.value.code == 2
    assert "error: COMMAND is missing; give run, plugins or hooks" in capsys.readouterr().err


# antflow plugins


def test_no_plugin_is_installed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plugins"]) == 0
    assert capsys.readouterr() == ("No plugin is installed.\n", "")


def test_no_plugin_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert listed(capsys) == []


def test_plugins_as_a_table(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    install_three(monkeypatch)
    assert main(["plugins"]) == 0
    heading, bad, good, off = capsys.readouterr().out.splitlines()
    assert words(heading)[:4] == ["NAME", "STATUS", "DISTRIBUTION", "VERSION"]
    assert words(bad)[:4] == ["bad", "failed", "some-plugin", "1.2"]
    assert "ImportError: no nowhere" in bad
    assert words(good)[:4] == ["good", "active", "some-plugin", "1.2"]
    assert good.endswith("dashboard, task_start, pipeline_finish")
    assert words(off)[:2] == ["off", "disabled"]
    assert off.endswith("ANTFLOW_DISABLE_PLUGINS=off")


def test_the_columns_of_a_table_are_aligned(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, Entry("a", lambda: Good), Entry("a-long-name", lambda: Good))
    main(["plugins"])
    lines = capsys.readouterr().out.splitlines()
    columns = [re.search("STATUS|active", line) for line in lines]
    assert [column.start() for column in columns if column] == [13, 13, 13]
    assert [line for line in lines if line != line.rstrip()] == []


def test_a_plugin_without_hooks(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, Entry("silent", lambda: Silent))
    main(["plugins"])
    assert words(capsys.readouterr().out.splitlines()[1])[-1] == "none"


def test_plugins_as_json(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    install_three(monkeypatch)
    bad, good, off = listed(capsys)
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
    assert bad["hooks"] == off["hooks"] == []


@pytest.mark.parametrize("arguments", [["plugins"], ["plugins", "--json"], ["hooks"]])
def test_warnings_go_to_standard_error(
    arguments: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    install_three(monkeypatch)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert main(arguments) == 0
    out, err = capsys.readouterr()
    assert "warning" not in out
    (line,) = err.splitlines()
    assert line.startswith("warning: Plugin 'bad'")


def test_prints_of_a_plugin_at_its_import_do_not_get_into_the_json(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, Entry("talkative", talkative))
    assert [plugin["name"] for plugin in listed(capsys)] == ["talkative"]


# antflow hooks


def test_hooks_without_implementations(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["hooks"]) == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()[1:]
    assert [line.partition("(")[0] for line in lines] == list(ARGUMENTS)
    assert {words(line)[-1] for line in lines} == {"-"}
    assert "antflow_pipeline_start(pipeline, total_items)" in out
    assert err == ""


def test_hooks_with_their_implementations_in_the_order_of_the_calls(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, *(Entry(name, lambda: Good) for name in "ab"))
    main(["hooks"])
    (line,) = (line for line in capsys.readouterr().out.splitlines() if "task_start" in line)
    assert line.endswith("  b, a")


# The command itself


@pytest.mark.parametrize("arguments", [["--help"], ["plugins", "--help"], ["hooks", "--help"]])
def test_help(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 0
    out, err = capsys.readouterr()
    assert out.startswith("usage: antflow")
    assert err == ""


def test_help_names_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    out = capsys.readouterr().out
    assert "plugins" in out
    assert "hooks" in out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"antflow {__version__}\n"


@pytest.mark.parametrize("arguments", [[], ["plug"], ["plugins", "--yaml"], ["hooks", "extra"]])
def test_unknown_arguments(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "usage: antflow" in err


@pytest.mark.parametrize(
    ("arguments", "usage", "meant"),
    [
        (["rnu", "p.py:pipeline"], "antflow", "run"),
        (["plugin"], "antflow", "plugins"),
        (["--verison"], "antflow", "--version"),
        (["plugins", "--jsn"], "antflow plugins", "--json"),
        (["run", "p.py:pipeline", "--ouput", "x"], "antflow run", "--output"),
    ],
)
def test_a_misspelt_word_is_refused_with_the_nearest_one(
    arguments: list[str], usage: str, meant: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    err = capsys.readouterr().err
    assert err.startswith(f"usage: {usage} [")
    assert err.endswith(f"; did you mean {meant}?\n")


@pytest.mark.parametrize("command", ["plugins", "hooks"])
@pytest.mark.parametrize("columns", [40, 80, 120])
def test_help_fits_the_terminal(
    command: str,
    columns: int,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    with pytest.raises(SystemExit):
        main([command, "--help"])
    assert columns - 20 < max(map(len, capsys.readouterr().out.splitlines())) <= columns


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_asking_for_help_loads_no_plugin(option: str, monkeypatch: pytest.MonkeyPatch) -> None:
    installation = install(monkeypatch, Entry("good", lambda: Good))
    with pytest.raises(SystemExit):
        main([option])
    assert installation.looks == 0


def test_the_package_is_the_command_too() -> None:
    command = [sys.executable, "-m", "antflow", "--version"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (run.returncode, run.stdout, run.stderr) == (0, f"antflow {__version__}\n", "")
