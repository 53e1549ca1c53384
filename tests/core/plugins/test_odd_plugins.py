"""Plugins with odd attributes, names and displays, and the hooks of observers in the listings."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antflow import Pipeline, PluginError, PluginWarning, Stage, TaskEvent, hookimpl
from antflow.cli import main
from antflow.testing import Clock, PluginProblemsError, check_plugin
from tests.helpers.installation import Entry, Good, install

pytestmark = pytest.mark.usefixtures("nothing_installed")


async def same(value: Any) -> Any:
    return value


def run(*plugins: object, dashboard: str | None = None) -> list[Any]:
    pipeline = Pipeline([Stage("Work", 1, [same])], plugins=plugins, autoload=False)
    return Clock().run(pipeline.run([1, 2], dashboard=dashboard))


class Odd(Good):
    """A plugin whose `antflow_dashboards` may be anything."""

    def __init__(self, dashboards: object) -> None:
        self.antflow_dashboards = dashboards


class Raising:
    """A collection that raises when it is read."""

    def __len__(self) -> int:
        return 1

    def __contains__(self, _: object) -> bool:
        return True

    def __iter__(self) -> Any:
        raise LookupError


NAMES = ["tiny", "wide"]

ODD: dict[str, tuple[object, list[str]]] = {
    "a number": (5, []),
    "None": (None, []),
    "an iterator": (iter(NAMES), []),
    "one that raises": (Raising(), []),
    "bytes": (b"tiny", []),
    "a text": ("tiny", ["tiny"]),
    "a mix": (["tiny", 5, None, b"x", ("y",)], ["tiny"]),
    "a set": ({"tiny"}, ["tiny"]),
    "keys": ({"tiny": 1}.keys(), ["tiny"]),
}


@pytest.mark.parametrize("kind", ODD)
def test_an_error_text_lists_the_displays_that_are_names(kind: str) -> None:
    dashboards, names = ODD[kind]
    with pytest.raises(ValueError, match="There is no dashboard 'huge'") as caught:
        run(Odd(dashboards), dashboard="huge")
    assert f"installed are: {', '.join(sorted(['progress', *names]))}" in str(caught.value)


@given(st.recursive(st.none() | st.integers() | st.text() | st.floats(), st.lists))
def test_no_value_of_the_attribute_breaks_an_error_text(dashboards: object) -> None:
    with pytest.raises(ValueError, match="There is no dashboard 'huge'"):
        run(Odd(dashboards), dashboard="huge")


@pytest.mark.parametrize("kind", sorted(set(ODD) - {"None", "a set", "keys"}))
def test_the_kit_names_what_is_no_tuple_of_names(kind: str) -> None:
    with pytest.raises(PluginProblemsError, match=r"antflow_dashboards is .*; give a tuple of"):
        check_plugin(Odd(ODD[kind][0]))


class Boards:
    antflow_dashboards = ("tiny",)

    def __init__(self, made: object) -> None:
        self.made = made

    @hookimpl
    def antflow_dashboard(self, name: str) -> Any:
        return self.made


@pytest.mark.parametrize("made", [5, "tiny", object(), Good(), type("Half", (), {"on_start": 1})()])
def test_what_is_no_display_is_a_fault_of_its_plugin(
    made: object, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(ValueError, match="There is no dashboard 'tiny'"):
        run(Boards(made), dashboard="tiny")
    assert "has no method on_" in caplog.text
    assert "'Boards' raised at dashboard 'tiny'" in caplog.text


@pytest.mark.parametrize("error", [ValueError("no"), SystemExit(3), GeneratorExit()])
def test_a_plugin_that_cannot_be_made_is_named(error: BaseException) -> None:
    class Unmade(Good):
        def __init__(self) -> None:
            raise error

    with pytest.raises(PluginError, match=r"'Unmade' of pipeline 'pipeline' cannot be made"):
        run(Unmade)


# Names


def test_a_plugin_whose_name_differs_from_its_entry_point_is_left_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Named(Good):
        antflow_name = "good"

    install(monkeypatch, Entry("better", lambda: Named), Entry("good", lambda: Named))
    with pytest.warns(PluginWarning, match=r"'better' .* is left out: its antflow_name is 'good'"):
        pipeline = Pipeline([Stage("Work", 1, [same])])
    assert pipeline.plugin_names == ("good",)
    assert main(["plugins", "--json"]) == 0
    better, good = json.loads(capsys.readouterr().out)
    assert (better["status"], good["status"]) == ("failed", "active")
    assert "give both the same name" in better["reason"]


# Hooks of observers


class OfRun:
    @hookimpl
    def antflow_task_success(self, event: TaskEvent) -> None: ...

    @hookimpl(specname="antflow_item_finish")
    def note(self) -> None: ...

    def unmarked(self) -> None: ...


class OtherOfRun:
    @hookimpl
    async def antflow_task_start(self) -> None: ...


def start_returning(annotation: Any, body: Callable[[], object]) -> Any:
    class Plugin:
        @hookimpl
        def antflow_pipeline_start(self) -> object:
            return self.made()

        def made(self) -> object:
            return body()

    Plugin.antflow_pipeline_start.__annotations__["return"] = annotation
    return Plugin()


class InCode:
    @hookimpl
    def antflow_pipeline_start(self):  # type: ignore[no-untyped-def]
        return [OfRun(), OtherOfRun()]


class Later:
    @hookimpl(specname="antflow_pipeline_start")
    async def begin(self, pipeline: Any) -> OfRun | None:
        return None


ONE = ["antflow_item_finish", "antflow_task_success"]
BOTH = [*ONE, "antflow_task_start"]

OBSERVERS: dict[str, tuple[Any, list[str]]] = {
    "code": (InCode(), BOTH),
    "a coroutine function": (Later(), ONE),
    "an annotation": (start_returning(OfRun, lambda: None), ONE),
    "text": (start_returning("OfRun | None", lambda: None), ONE),
    "a list": (start_returning(list[OfRun | OtherOfRun], lambda: None), BOTH),
    "another annotation": (start_returning("NotThere", lambda: None), []),
    "no annotation": (start_returning(None, lambda: None), []),
    "object": (start_returning(object, lambda: None), []),
    "itself": (start_returning(Good, lambda: None), ["antflow_task_start"]),
}


@pytest.mark.parametrize("kind", OBSERVERS)
def test_the_hooks_of_the_observers_of_a_run_are_listed(
    kind: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plugin, hooks = OBSERVERS[kind]
    install(monkeypatch, Entry("scoping", lambda: plugin), Entry("good", lambda: Good))
    assert main(["plugins", "--json"]) == 0
    listed = {each["name"]: each["hooks"] for each in json.loads(capsys.readouterr().out)}
    assert sorted(listed["scoping"]) == sorted(["antflow_pipeline_start", *hooks])
    assert main(["plugins"]) == 0
    text = capsys.readouterr().out
    assert all(hook.removeprefix("antflow_") in text for hook in hooks)
    assert main(["hooks"]) == 0
    lines = capsys.readouterr().out.splitlines()
    found = [line.partition("(")[0] for line in lines if "scoping.run" in line]
    assert sorted(found) == sorted(hooks)
    if "antflow_task_start" in hooks:
        (line,) = (line for line in lines if line.startswith("antflow_task_start("))
        assert line.endswith("scoping.run, good")
