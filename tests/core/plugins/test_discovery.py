"""Installed plugins: found once a process, those that cannot take part left out, and settings."""

from __future__ import annotations

import asyncio
import sys
import threading
import warnings
from collections.abc import Callable
from dataclasses import fields
from functools import partial
from typing import Any

import pytest

from antflow import Pipeline, PluginWarning, Stage
from antflow.plugins import InstalledPlugin, installed_plugins
from antflow.testing import Recorder
from tests.helpers.hostile import ALL, controls
from tests.helpers.installation import Entry, Good, Installation, install, raising
from tests.helpers.runs import same

Install = Callable[..., Installation]

AUTOLOAD, ONLY = "ANTFLOW_PLUGIN_AUTOLOAD", "ANTFLOW_PLUGINS"
WITHOUT = "ANTFLOW_DISABLE_PLUGINS"


class Unmarked:
    def antflow_task_start(self) -> None:
        """Do nothing, and lack the marker."""


class Demanding:
    """A plugin that cannot be made without more."""

    def __init__(self, port: int) -> None:
        self.port = port


def pipeline(**options: Any) -> Pipeline:
    return Pipeline([Stage("Work", 1, [same])], **options)


def names(**options: Any) -> list[str]:
    """Return the names of the plugins that take part in a new pipeline."""
    return [*pipeline(**options).plugin_names]


def listed() -> list[dict[str, Any]]:
    """Return what is known of the installed plugins, without the plugins themselves."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = installed_plugins()
    names = [field.name for field in fields(InstalledPlugin) if field.name != "plugin"]
    return [{name: getattr(plugin, name) for name in names} for plugin in found]


def statuses() -> dict[str, str]:
    return {plugin["name"]: plugin["status"] for plugin in listed()}


def warned() -> list[str]:
    """Return the texts of the warnings that a new pipeline gives about plugins."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        pipeline()
    assert all(issubclass(warning.category, PluginWarning) for warning in caught)
    return [str(warning.message) for warning in caught]


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch, nothing_installed: None) -> Install:
    """Return a function that has plugins installed."""
    return partial(install, monkeypatch)


# Once


def test_a_class_is_called_and_an_object_or_a_module_is_the_plugin(installed: Install) -> None:
    recorder = Recorder()
    installed(
        Entry("recorder", lambda: recorder),
        Entry("module", lambda: sys.modules[__name__]),
        Entry("class", lambda: Good),
    )
    one = pipeline()
    assert one.plugin_names == ("class", "module", "recorder")
    asyncio.run(one.run([1]))
    assert "antflow_task_start" in [call.hook for call in recorder.calls]


def test_plugins_are_looked_for_at_the_first_pipeline_and_never_again(installed: Install) -> None:
    made: list[object] = []

    class Counted(Good):
        def __init__(self) -> None:
            made.append(self)

    entry = Entry("good", lambda: Counted)
    installation = installed(entry)
    assert names(autoload=False) == []
    assert installation.looks == 0
    assert names() == names() == ["good"]
    assert (installation.looks, entry.loads, len(made)) == (1, 1, 1)


def test_what_is_listed_of_a_plugin(installed: Install) -> None:
    installed(Entry("good", lambda: Good))
    assert listed() == [
        {
            "name": "good",
            "distribution": "some-plugin",
            "version": "1.2",
            "target": "some_plugin:good",
            "status": "active",
            "reason": "",
            "hooks": ("antflow_task_start",),
        }
    ]


def test_threads_that_make_pipelines_at_once_get_the_same_plugins(installed: Install) -> None:
    may_load = threading.Event()

    def load() -> object:
        assert may_load.wait(60)
        return Good

    entry = Entry("slow", load)
    installation = installed(entry)
    found: list[list[str]] = []
    threads = [threading.Thread(target=lambda: found.append(names())) for _ in range(8)]
    for thread in threads:
        thread.start()
    may_load.set()
    for thread in threads:
        thread.join(60)
    assert found == [["slow"]] * 8
    assert (installation.looks, entry.loads) == (1, 1)


def test_a_plugin_that_makes_a_pipeline_at_its_import_gets_one_without_plugins(
    installed: Install,
) -> None:
    inner: list[list[str]] = []

    def load() -> object:
        inner.append(names())
        return Good

    installation = installed(Entry("maker", load), Entry("other", lambda: Good))
    assert names() == ["maker", "other"]
    assert inner == [[]]
    assert installation.looks == 1


# What is left out

LEFT_OUT = {
    "import error": (raising(ImportError("no module named nowhere")), "nowhere"),
    "exit at import": (raising(SystemExit("bye")), "SystemExit: bye"),
    "constructor": (lambda: Demanding, "port"),
    "no marker": (lambda: Unmarked, "lacks the marker"),
}


@pytest.mark.parametrize("case", LEFT_OUT)
def test_a_plugin_that_cannot_take_part_is_left_out_with_one_warning(
    case: str, installed: Install
) -> None:
    load, reason = LEFT_OUT[case]
    installed(Entry("bad", load), Entry("a", lambda: Good), Entry("z", lambda: Good))
    (text,) = warned()
    assert all(part in text for part in ("'bad'", "some_plugin:bad", "some-plugin 1.2", reason))
    assert f"{WITHOUT}=bad" in text
    assert warned() == []
    assert statuses() == {"a": "active", "bad": "failed", "z": "active"}
    assert reason in listed()[1]["reason"]
    assert names() == ["a", "z"]


async def by_quick() -> None:
    await Pipeline.quick([1], same)


async def by_run() -> None:
    await Pipeline.create().add("Work", same).run([1])


@pytest.mark.parametrize(
    "make",
    [
        pipeline,
        lambda: Pipeline.create().add("Work", same).build(),
        lambda: asyncio.run(by_quick()),
        lambda: asyncio.run(by_run()),
    ],
    ids=["constructor", "build", "quick", "run"],
)
def test_a_warning_points_at_the_call_that_made_the_pipeline(
    make: Callable[[], Any], installed: Install
) -> None:
    installed(Entry("bad", raising(ImportError("x"))))
    with pytest.warns(PluginWarning) as noted:
        make()
    assert noted[0].filename == __file__


def test_of_two_of_one_name_that_of_the_first_distribution_takes_part(installed: Install) -> None:
    loser = Entry("same", lambda: Good, distribution="b-plugin")
    installed(loser, Entry("same", lambda: Good, distribution="a-plugin"))
    (text,) = warned()
    assert "b-plugin 1.2" in text
    assert "another plugin of this name, from a-plugin" in text
    assert text.endswith(" Fix or uninstall it.")  # disabling the name would disable both
    assert loser.loads == 0
    assert [(each["distribution"], each["status"]) for each in listed()] == [
        *(("a-plugin", "active"), ("b-plugin", "failed"))
    ]
    assert names() == ["same"]


def test_a_keyboard_interrupt_at_import_is_raised_and_the_next_pipeline_looks_again(
    installed: Install,
) -> None:
    interrupts: list[BaseException] = [KeyboardInterrupt()]

    def load() -> object:
        if interrupts:
            raise interrupts.pop()
        return Good

    installed(Entry("good", load))
    with pytest.raises(KeyboardInterrupt):
        pipeline()
    assert names() == ["good"]


def test_a_warning_is_one_line_that_controls_no_terminal(installed: Install) -> None:
    installed(Entry(ALL, raising(ImportError(ALL + "x" * 100_000))))
    with pytest.warns(PluginWarning) as caught:
        pipeline()
    text = str(caught[0].message)
    assert (controls(text), "\n" in text, len(text) < 11_000) == (set(), False, True)


def test_a_warning_that_is_made_an_error_leaves_the_others_active(installed: Install) -> None:
    installed(Entry("bad", raising(ImportError("x"))), Entry("good", lambda: Good))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(PluginWarning, match="'bad'"):
            pipeline()
        assert names() == ["good"]
    assert statuses() == {"bad": "failed", "good": "active"}


def test_one_object_by_two_names_takes_part_once(installed: Install) -> None:
    one = Good()
    installed(Entry("a", lambda: one), Entry("b", lambda: one))
    (text,) = warned()
    assert "it is the same object as plugin 'a'" in text
    assert names() == ["a"]


def test_a_distribution_that_does_not_say_its_name_is_no_obstacle(installed: Install) -> None:
    nameless = Entry("good", lambda: Good, distribution=None, version=None)
    installed(nameless, Entry("good", lambda: Good))
    (text,) = warned()
    assert "from ? ?" in text
    assert names() == ["good"]


# Settings, which apply before any plugin code runs


@pytest.mark.parametrize(
    ("environ", "active", "reason"),
    [
        *(({AUTOLOAD: off}, "", f"{AUTOLOAD}={off}") for off in ("0", "false", "no", "OFF", " 0 ")),
        *(({AUTOLOAD: on}, "abc", "") for on in ("1", "true", "yes", "")),
        *(({WITHOUT: text}, "b", f"{WITHOUT}={text}") for text in ("a,c", " a , c ", ",,c,a,")),
        *(({ONLY: text}, "b", f"not among {ONLY}={text}") for text in ("b", " b ", "b,")),
        ({ONLY: "", WITHOUT: ""}, "abc", ""),
        ({ONLY: "a,b", WITHOUT: "a"}, "b", f"{WITHOUT}=a"),
    ],
)
def test_variables_choose_the_plugins_that_are_imported(
    environ: dict[str, str],
    active: str,
    reason: str,
    installed: Install,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    entries = [Entry(name, lambda: Good) for name in "abc"]
    installed(*entries)
    for variable, value in environ.items():
        monkeypatch.setenv(variable, value)
    assert names() == [*active]
    assert [entry.name for entry in entries if entry.loads] == [*active]
    expected = {name: "active" if name in active else "disabled" for name in "abc"}
    assert statuses() == expected
    assert listed()[0]["reason"] == reason


@pytest.mark.parametrize("variable", [ONLY, WITHOUT])
def test_a_warning_names_an_unknown_name_in_a_variable(
    variable: str, installed: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed(Entry("good", lambda: Good), Entry("fine", lambda: Good))
    monkeypatch.setenv(variable, "good, goof")
    (text,) = warned()
    assert f"{variable} names 'goof'" in text
    assert "fine, good" in text


def test_nothing_is_wrong_with_plugins_that_are_disabled(
    installed: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = [Entry("same", lambda: Good, distribution=f"{each}-plugin") for each in "ab"]
    installed(Entry("bad", raising(ImportError("x"))), *entries)
    monkeypatch.setenv(WITHOUT, "bad,same")
    assert warned() == []
    assert [each["status"] for each in listed()] == ["disabled"] * 3


def test_a_warning_names_the_remedy_if_the_predecessor_is_installed_too(installed: Install) -> None:
    installed(Entry("good", lambda: Good), distributions=("antflow-core", "antflow"))
    (text,) = warned()
    assert "pip uninstall antflow" in text
    assert "pip install --force-reinstall antflow-core" in text
    assert names() == ["good"]
    installed(distributions=("antflow-core", "antflow-rich"))
    assert warned() == []
