"""Finding installed plugins: once a process, each apart from the others, and none if unwanted."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable
from typing import Any

import pytest

from antflow import Pipeline, PluginWarning, Stage, hookimpl
from antflow._plugins.discovery import INSTALLED, FoundPlugin
from tests.helpers.installation import Entry, Good, install, raising
from tests.helpers.runs import same

pytestmark = pytest.mark.usefixtures("nothing_installed")


class Other(Good):
    """Another one."""


class Unmarked:
    def antflow_task_start(self) -> None:
        """Do nothing, and lack the marker."""


class Unknown:
    @hookimpl
    def antflow_task_starts(self) -> None:
        """Implement a hook that does not exist."""


class Demanding:
    """A plugin that cannot be made without more."""

    def __init__(self, port: int) -> None:
        self.port = port


def pipeline(**options: Any) -> Pipeline:
    return Pipeline([Stage("Work", 1, [same])], **options)


def names(of: Pipeline) -> list[str]:
    """The names of the plugins that take part."""
    return list(of._plugins.plugins)


def statuses() -> dict[str, str]:
    return {each.name: each.status for each in INSTALLED.found()}


def found(name: str) -> FoundPlugin:
    (one,) = (each for each in INSTALLED.found() if each.name == name)
    return one


def warned(make: Callable[[], object] = INSTALLED.found) -> list[str]:
    """What a PluginWarning is given for."""
    with warnings.catch_warnings(record=True) as noted:
        warnings.simplefilter("always")
        make()
    assert all(issubclass(note.category, PluginWarning) for note in noted)
    return [str(note.message) for note in noted]


# Once


def test_a_class_is_made_and_an_object_taken_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    one = Good()
    install(monkeypatch, Entry("object", lambda: one), Entry("class", lambda: Good))
    assert found("object").plugin is one
    assert isinstance(found("class").plugin, Good)
    assert names(pipeline()) == ["class", "object"]


def test_a_module_is_a_plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, Entry("module", lambda: sys.modules[__name__]))
    assert statuses() == {"module": "active"}


def test_plugins_are_looked_for_at_the_first_pipeline_and_never_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    entry = Entry("good", lambda: Good)
    installation = install(monkeypatch, entry)
    assert installation.looks == 0
    first, second = pipeline(), pipeline()
    assert (installation.looks, entry.loads) == (1, 1)
    assert first._plugins.plugins["good"] is second._plugins.plugins["good"]


def test_nothing_is_looked_for_without_autoload(monkeypatch: pytest.MonkeyPatch) -> None:
    installation = install(monkeypatch, Entry("good", lambda: Good))
    assert names(pipeline(autoload=False)) == []
    assert installation.looks == 0


def test_importing_antflow_does_not_import_importlib_metadata() -> None:
    code = "import sys, antflow; sys.exit('importlib.metadata' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0


def test_what_is_known_of_a_plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, Entry("good", lambda: Good))
    known = found("good")
    assert (known.name, known.distribution, known.version) == ("good", "some-plugin", "1.2")
    assert (known.target, known.status, known.reason) == ("some_plugin:good", "active", "")
    assert known.hooks == ("antflow_task_start",)


def test_plugins_are_found_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, *(Entry(name, lambda: Good) for name in ("b", "c", "a")))
    assert list(statuses()) == ["a", "b", "c"]


def test_threads_that_ask_at_once_get_the_same_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    may_load = threading.Event()

    def load() -> object:
        assert may_load.wait(10)
        return Good

    entry = Entry("slow", load)
    installation = install(monkeypatch, entry)
    answers: list[list[str]] = []
    threads = [threading.Thread(target=lambda: answers.append(names(pipeline()))) for _ in range(8)]
    for thread in threads:
        thread.start()
    may_load.set()
    for thread in threads:
        thread.join(10)
    assert answers == [["slow"]] * 8
    assert (installation.looks, entry.loads) == (1, 1)


def test_a_plugin_that_makes_a_pipeline_at_its_import_gets_one_without_plugins(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[Pipeline] = []

    def load() -> object:
        made.append(pipeline())
        return Good

    installation = install(monkeypatch, Entry("maker", load), Entry("other", lambda: Other))
    assert names(pipeline()) == ["maker", "other"]
    assert names(made[0]) == []
    assert installation.looks == 1


# What is left out


LEFT_OUT = {
    "import error": (raising(ImportError("no module named nowhere")), "nowhere"),
    "exit at import": (raising(SystemExit("bye")), "SystemExit: bye"),
    "syntax error": (raising(SyntaxError("what?")), "SyntaxError"),
    "constructor": (lambda: Demanding, "port"),
    "no marker": (lambda: Unmarked, "lacks the marker"),
    "unknown hook": (lambda: Unknown, "'antflow_task_start' may be meant"),
}


@pytest.mark.parametrize("case", LEFT_OUT)
def test_a_plugin_that_cannot_take_part_is_left_out_with_a_warning(
    case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    load, reason = LEFT_OUT[case]
    install(monkeypatch, Entry("bad", load), Entry("a", lambda: Good), Entry("z", lambda: Other))
    (text,) = warned()
    assert all(part in text for part in ("'bad'", "some_plugin:bad", "some-plugin 1.2", reason))
    assert "ANTFLOW_DISABLE_PLUGINS=bad" in text
    assert statuses() == {"a": "active", "bad": "failed", "z": "active"}
    assert reason in found("bad").reason
    assert names(pipeline()) == ["a", "z"]


def test_a_warning_is_given_once_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, Entry("bad", raising(ImportError("x"))))
    assert len(warned(pipeline)) == 1
    assert warned(pipeline) == []


async def in_quick() -> None:
    await Pipeline.quick([1], same)


async def in_run() -> None:
    await Pipeline.create().add("Work", same).run([1])


@pytest.mark.parametrize(
    "make",
    [
        pipeline,
        lambda: Pipeline.create().add("Work", same).build(),
        lambda: asyncio.run(in_quick()),
        lambda: asyncio.run(in_run()),
    ],
    ids=["constructor", "build", "quick", "run"],
)
def test_a_warning_points_at_the_call_that_made_the_pipeline(
    make: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, Entry("bad", raising(ImportError("x"))))
    with pytest.warns(PluginWarning) as noted:
        make()
    assert noted[0].filename == __file__


def test_of_two_of_one_name_the_first_distribution_s_takes_part(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loser = Entry("same", lambda: Other, distribution="b-plugin")
    install(monkeypatch, loser, Entry("same", lambda: Good, distribution="a-plugin"))
    (text,) = warned()
    assert "b-plugin 1.2" in text
    assert "another plugin of this name, from a-plugin" in text
    assert loser.loads == 0
    assert [each.status for each in INSTALLED.found()] == ["active", "failed"]
    assert isinstance(pipeline()._plugins.plugins["same"], Good)


def test_a_keyboard_interrupt_at_import_passes_and_the_next_pipeline_looks_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    interrupts: list[BaseException] = [KeyboardInterrupt()]

    def load() -> object:
        if interrupts:
            raise interrupts.pop()
        return Good

    install(monkeypatch, Entry("good", load))
    with pytest.raises(KeyboardInterrupt):
        pipeline()
    assert names(pipeline()) == ["good"]


def test_a_warning_that_is_made_an_error_leaves_the_others_active(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    install(monkeypatch, Entry("bad", raising(ImportError("x"))), Entry("good", lambda: Good))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(PluginWarning, match="'bad'"):
            pipeline()
        assert names(pipeline()) == ["good"]
    assert statuses() == {"bad": "failed", "good": "active"}


def test_one_object_by_two_names_takes_part_once(monkeypatch: pytest.MonkeyPatch) -> None:
    one = Good()
    install(monkeypatch, Entry("a", lambda: one), Entry("b", lambda: one))
    warned()
    assert list(pipeline()._plugins.plugins.values()) == [one]


def test_a_distribution_that_does_not_say_its_name_is_no_obstacle(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    nameless = Entry("good", lambda: Good, distribution=None, version=None)
    install(monkeypatch, nameless, Entry("good", lambda: Other))
    warned()
    assert names(pipeline()) == ["good"]


# Control before any plugin code runs


@pytest.mark.parametrize("value", ["0", "false", "no", "OFF", " 0 "])
def test_autoload_is_switched_off(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = Entry("good", lambda: Good)
    install(monkeypatch, entry)
    monkeypatch.setenv("ANTFLOW_PLUGIN_AUTOLOAD", value)
    assert names(pipeline()) == []
    assert entry.loads == 0
    assert found("good").status == "disabled"
    assert found("good").reason == f"ANTFLOW_PLUGIN_AUTOLOAD={value}"


@pytest.mark.parametrize("value", ["1", "true", "yes"])
def test_autoload_is_left_on(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, Entry("good", lambda: Good))
    monkeypatch.setenv("ANTFLOW_PLUGIN_AUTOLOAD", value)
    assert names(pipeline()) == ["good"]


@pytest.mark.parametrize("value", ["a,c", " a , c ", "c,a,", ",,a,c"])
def test_some_are_disabled(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    entries = [Entry(name, lambda: Good) for name in "abc"]
    install(monkeypatch, *entries)
    monkeypatch.setenv("ANTFLOW_DISABLE_PLUGINS", value)
    assert names(pipeline()) == ["b"]
    assert [entry.loads for entry in entries] == [0, 1, 0]
    assert found("a").status == "disabled"
    assert found("a").reason == f"ANTFLOW_DISABLE_PLUGINS={value}"


@pytest.mark.parametrize("value", ["b", " b ", "b,"])
def test_only_some_are_wanted(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    entries = [Entry(name, lambda: Good) for name in "abc"]
    install(monkeypatch, *entries)
    monkeypatch.setenv("ANTFLOW_PLUGINS", value)
    assert names(pipeline()) == ["b"]
    assert [entry.loads for entry in entries] == [0, 1, 0]
    assert found("c").reason == f"not among ANTFLOW_PLUGINS={value}"


def test_what_is_wanted_may_be_disabled(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, *(Entry(name, lambda: Good) for name in "abc"))
    monkeypatch.setenv("ANTFLOW_PLUGINS", "a,b")
    monkeypatch.setenv("ANTFLOW_DISABLE_PLUGINS", "a")
    assert statuses() == {"a": "disabled", "b": "active", "c": "disabled"}


@pytest.mark.parametrize(
    "variable", ["ANTFLOW_PLUGINS", "ANTFLOW_DISABLE_PLUGINS", "ANTFLOW_PLUGIN_AUTOLOAD"]
)
def test_variables_that_are_empty_change_nothing(
    variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, Entry("good", lambda: Good))
    monkeypatch.setenv(variable, "")
    assert names(pipeline()) == ["good"]


@pytest.mark.parametrize("variable", ["ANTFLOW_PLUGINS", "ANTFLOW_DISABLE_PLUGINS"])
def test_an_unknown_name_is_warned_of(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, Entry("good", lambda: Good), Entry("fine", lambda: Other))
    monkeypatch.setenv(variable, "good, goof")
    (text,) = warned()
    assert f"{variable} names 'goof'" in text
    assert "fine, good" in text


def test_a_broken_plugin_that_is_disabled_is_not_warned_of(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    install(monkeypatch, Entry("bad", raising(ImportError("x"))))
    monkeypatch.setenv("ANTFLOW_DISABLE_PLUGINS", "bad")
    assert warned() == []


def test_the_second_of_a_name_is_disabled_with_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    entries = [Entry("same", lambda: Good, distribution=f"{each}-plugin") for each in "ab"]
    install(monkeypatch, *entries)
    monkeypatch.setenv("ANTFLOW_DISABLE_PLUGINS", "same")
    assert warned() == []
    assert [each.status for each in INSTALLED.found()] == ["disabled", "disabled"]


# The predecessor


def test_the_predecessor_is_warned_of_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, Entry("good", lambda: Good), distributions=("antflow", "antflow-core"))
    (text,) = warned()
    assert "pip uninstall antflow" in text
    assert "antflow-core" in text
    assert statuses() == {"good": "active"}


def test_nothing_is_said_without_the_predecessor(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, distributions=("antflow-core", "antflow-rich"))
    assert warned() == []
