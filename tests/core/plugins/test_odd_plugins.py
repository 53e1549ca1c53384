"""Plugins with odd attributes, names and displays."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antflow import Pipeline, PluginError, PluginWarning, Stage, hookimpl
from antflow.plugins import installed_plugins
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
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Named(Good):
        antflow_name = "good"

    install(monkeypatch, Entry("better", lambda: Named), Entry("good", lambda: Named))
    with pytest.warns(PluginWarning, match=r"'better' .* is left out: its antflow_name is 'good'"):
        pipeline = Pipeline([Stage("Work", 1, [same])])
    assert pipeline.plugin_names == ("good",)
    better, good = installed_plugins()
    assert (better.status, good.status) == ("failed", "active")
    assert "give both the same name" in better.reason
