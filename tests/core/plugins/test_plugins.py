"""Plugins of a pipeline: which are refused, their names, what implements a hook, and the order."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from types import FunctionType, ModuleType
from typing import Any

import pytest

from antflow import (
    Pipeline,
    PipelineError,
    PluginError,
    Stage,
    StatusEvent,
    StatusTracker,
    TaskEvent,
    hookimpl,
)
from tests.helpers.hooks import ARGUMENTS, OBSERVED
from tests.helpers.installation import Entry, Good, install
from tests.helpers.runs import same, values
from tests.helpers.virtual_time import simulate

pytestmark = pytest.mark.usefixtures("nothing_installed")

BEGIN, STATUS = "antflow_task_start", "antflow_item_status"


def plugin(functions: dict[str, Any], name: str = "Made") -> Any:
    """Return an object whose class has these functions."""
    return type(name, (), functions)()


def marked(function: Any, name: str, **options: Any) -> Any:
    """Return a copy of a function with the marker, which is an attribute of the function."""
    copy = FunctionType(function.__code__, globals(), name, None, function.__closure__)
    return hookimpl(**options)(copy)


def hook(name: str, function: Callable[..., Any], **options: Any) -> Any:
    """Return a plugin that implements one hook."""
    return plugin({name: marked(function, name, **options)})


def module(name: str, **variables: object) -> ModuleType:
    made = ModuleType(name)
    vars(made).update(variables)
    return made


def pipeline(*plugins: object, **options: Any) -> Pipeline:
    return Pipeline([Stage("Work", 1, [same])], plugins=plugins, **options)


# What is refused


async def generate_later(self: object) -> Any:
    yield


def generate(self: object) -> Any:
    yield


async def do_nothing(self: object) -> None:
    """Do nothing."""


async def find(self: object, name: str) -> None:
    """Find no dashboard."""


def take_by_keyword(self: object, *, event: TaskEvent) -> None:
    """Never get an event."""


def raise_when_read(self: object) -> None:
    raise RuntimeError("read")


def nothing(self: object) -> None:
    """Do nothing."""


@pytest.mark.parametrize(
    ("refused", "text"),
    [
        (
            hook("antflow_task_sucess", nothing),
            "antflow_task_sucess implements no hook; 'antflow_task_success' may be meant",
        ),
        (hook("antflow_zzz", nothing), f"the hooks are {', '.join(ARGUMENTS)}"),
        (hook("begin", nothing, specname="antflow_task_stat"), f"'{BEGIN}' may be meant"),
        (hook(BEGIN, lambda self, event, other: None), f"{BEGIN} takes 'other', which it is not"),
        (plugin({BEGIN: nothing}), f"{BEGIN} lacks the marker; write @antflow.hookimpl"),
        (plugin({"antflow_made_up": nothing}), "antflow_made_up lacks the marker"),
        (plugin({"antflow_name": "bad", BEGIN: nothing}), "Plugin 'bad' of pipeline 'mine'"),
        (plugin({BEGIN: staticmethod(lambda: None)}), f"{BEGIN} lacks the marker"),
        (plugin({BEGIN: classmethod(lambda cls: None)}), f"{BEGIN} lacks the marker"),
        (module("some_plugin", antflow_task_start=nothing), f"{BEGIN} lacks the marker"),
        (hook(BEGIN, generate, wrapper=True), "is a wrapper, and hooks cannot be wrapped"),
        (hook(BEGIN, generate, hookwrapper=True), "is a wrapper, and hooks cannot be wrapped"),
        (hook("antflow_dashboard", find), "is a coroutine function; make it a plain one"),
        (hook("find", find, specname="antflow_dashboard"), "coroutine function; make it a plain"),
        (hook(BEGIN, generate), "is a generator function"),
        (hook(BEGIN, generate_later), "is a generator function"),
        (hook(BEGIN, take_by_keyword), "'event' by keyword only"),
        (hookimpl(lambda event: None), "'function' has no hooks; give an object"),
        ("journal", "'str' has no hooks; give an object"),
    ],
)
def test_a_plugin_that_breaks_the_rules_is_refused(refused: object, text: str) -> None:
    with pytest.raises(PluginError) as caught:
        pipeline(refused, name="mine")
    assert text in str(caught.value)
    assert str(caught.value).startswith(f"Plugin {caught.value.plugin!r} of pipeline 'mine': ")
    assert (caught.value.hook, caught.value.item_id) == (None, None)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "functions",
    [
        *({name: marked(do_nothing, name)} for name in OBSERVED),
        {"antflow_later": hookimpl(optionalhook=True)(lambda self, what: None)},
        {"antflow_name": "fine", "antflow_dashboards": ("a",), "antflow_options": {}},
        {BEGIN: hookimpl(lambda self: "an answer that is ignored")},
        {"connection": property(raise_when_read)},
        {},
    ],
)
def test_what_keeps_the_rules_is_accepted_and_called(functions: dict[str, Any]) -> None:
    one = pipeline(plugin(functions))
    assert values(simulate(one.run([1]))) == [1]
    assert not any(one.plugin_faults.values())


def test_a_class_that_cannot_be_made_is_refused_with_the_cause() -> None:
    class Demanding:
        def __init__(self, port: int) -> None:
            self.port = port

    with pytest.raises(PluginError, match="Demanding") as caught:
        pipeline(Demanding)
    assert isinstance(caught.value.__cause__, TypeError)


def test_a_tracker_whose_hook_lacks_the_marker_is_refused() -> None:
    tracker = type("Mine", (StatusTracker,), {STATUS: nothing})()
    with pytest.raises(PluginError, match=f"{STATUS} lacks the marker") as caught:
        pipeline(status_tracker=tracker)
    assert caught.value.plugin == "Mine"


ONE = Good()


@pytest.mark.parametrize(
    ("plugins", "text"),
    [
        ("journal", "takes a list of plugins, not 'journal'"),
        (7, "takes a list of plugins, not 7"),
        (None, "takes a list of plugins, not None"),
        ([ONE, ONE], "'Good' twice"),
        ([plugin({"antflow_name": "same"}) for _ in "ab"], "two plugins called 'same'"),
    ],
)
def test_plugins_of_one_name_and_what_is_no_list_are_refused(plugins: Any, text: str) -> None:
    with pytest.raises(PipelineError) as caught:
        Pipeline([Stage("Work", 1, [same])], plugins=plugins)
    assert text in str(caught.value)


# Which take part, and their names


@dataclass
class Equal:
    """A plugin that is equal to another."""

    path: str = "x"


@pytest.mark.parametrize(
    ("plugins", "names"),
    [
        ([plugin({"antflow_name": "mine"})], ["mine"]),
        ([plugin({"antflow_name": ""})], ["Made"]),
        ([plugin({"antflow_name": 7})], ["Made"]),
        ([plugin({"antflow_name": None})], ["Made"]),
        ([module("some.package.plugin")], ["plugin"]),
        ([module("some_plugin", antflow_name="some")], ["some"]),
        ([Good(), Good, Good()], ["Good", "Good-2", "Good-3"]),
        ([Equal(), Equal()], ["Equal", "Equal-2"]),
    ],
)
def test_a_plugin_has_its_own_name_or_that_of_its_class_or_module(
    plugins: list[object], names: list[str]
) -> None:
    assert [*pipeline(*plugins).plugin_names] == names


def test_a_tracker_takes_part_once_and_beside_another() -> None:
    tracker = StatusTracker()
    assert pipeline(tracker, status_tracker=tracker).plugin_names == ("StatusTracker",)
    both = pipeline(StatusTracker(), status_tracker=tracker)
    assert both.plugin_names == ("StatusTracker", "StatusTracker-2")


def test_a_plugin_that_is_given_replaces_the_installed_one_of_its_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: list[str] = []
    install(monkeypatch, Entry("journal", lambda: Good), Entry("other", lambda: Good))
    replaced, untouched = pipeline(recording("journal", calls)), pipeline()
    assert replaced.plugin_names == ("other", "journal")
    assert untouched.plugin_names == ("journal", "other")
    simulate(untouched.run([1]))
    assert calls == []
    simulate(replaced.run([1]))
    assert calls == ["journal"]
    assert pipeline(Good(), autoload=False).plugin_names == ("Good",)


def test_an_installed_plugin_that_is_given_under_another_name_takes_part_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    journal = module("antflow_journal")
    install(monkeypatch, Entry("journal", lambda: journal))
    assert pipeline(journal).plugin_names == ("antflow_journal",)


def test_the_builder_gives_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, Entry("installed", lambda: Good))
    builder = Pipeline.create().add("Work", same).with_plugins(Good).with_plugins(Good)
    assert builder.build().plugin_names == ("installed", "Good", "Good-2")
    builder.with_plugins(autoload=False)
    assert builder.build().plugin_names == ("Good", "Good-2")
    builder.with_plugins(autoload=True)
    assert builder.build().plugin_names == ("installed", "Good", "Good-2")


# What implements a hook


class Forms:
    """Implements hooks by functions of all kinds."""

    calls: list[Any]

    @hookimpl
    def antflow_pipeline_start(self, total_items: int | None, pipeline: Pipeline) -> None:
        self.calls.append(f"{total_items} items of {pipeline.name}")

    @staticmethod
    @hookimpl
    def antflow_item_status(event: StatusEvent) -> None:
        Forms.calls.append(event.status)

    @classmethod
    @hookimpl
    def antflow_task_start(cls, event: TaskEvent, extra: str = "default") -> None:
        cls.calls.append(f"{event.event_type} {extra}")

    @hookimpl(specname="antflow_task_success")
    def end(self) -> None:
        self.calls.append("end")

    @hookimpl
    def antflow_pipeline_finish(self, error_summary: Any) -> None:
        self.calls.append(error_summary.total_failed)


def test_methods_of_all_kinds_implement_hooks_with_the_arguments_that_they_name() -> None:
    Forms.calls = []
    simulate(pipeline(Forms, name="mine").run([7]))
    assert Forms.calls == [
        *("1 items of mine", "queued", "in_progress", "start default", "end", "completed", 0)
    ]


def test_functions_of_an_instance_and_of_a_module_implement_hooks() -> None:
    calls: list[Any] = []

    @hookimpl
    def antflow_task_start(event: TaskEvent) -> None:
        calls.append("instance")

    @hookimpl
    async def begin_later(event: TaskEvent) -> None:
        calls.append("module")

    one = plugin({})
    one.antflow_task_start = antflow_task_start
    another = module("some_plugin", antflow_task_start=begin_later, hookimpl=hookimpl)
    simulate(pipeline(another, one).run([1]))
    assert calls == ["instance", "module"]


def test_a_tracker_may_implement_other_hooks() -> None:
    calls: list[Any] = []
    begin = hookimpl(lambda self, event: calls.append(event.item_id))
    tracker = type("Mine", (StatusTracker,), {BEGIN: begin})()
    simulate(pipeline(status_tracker=tracker).run([7]))
    assert calls == [0]
    assert tracker.get_stats()["completed"] == 1


# The order of the calls


def recording(name: str, calls: list[str], *, slow: bool = False, **options: Any) -> Any:
    """Return a plugin that notes its name when an attempt starts; a slow one, a second later."""

    def at_once(self: object) -> None:
        calls.append(name)

    async def later(self: object) -> None:
        await asyncio.sleep(1)
        calls.append(name)

    function = later if slow else at_once
    return plugin({"antflow_name": name, BEGIN: hookimpl(**options)(function)})


@pytest.mark.parametrize("slow", [(), ("b", "e"), ("a", "c", "d"), tuple("abcdefg")])
def test_the_last_plugin_is_called_first_except_for_tryfirst_and_trylast(
    slow: tuple[str, ...],
) -> None:
    calls: list[str] = []
    options = {"b": {"tryfirst": True}, "c": {"trylast": True}}
    options |= {"e": {"tryfirst": True}, "f": {"trylast": True}}
    given = [
        recording(name, calls, slow=name in slow, **options.get(name, {})) for name in "abcdefg"
    ]
    simulate(pipeline(*given).run([1]))
    assert calls == ["e", "b", "g", "d", "a", "c", "f"]


def test_run_scoped_plugins_come_before_the_tracker_given_and_installed_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: list[str] = []

    class Scoping:
        @hookimpl
        def antflow_pipeline_start(self) -> object:
            return recording("of the run", calls)

        @hookimpl
        def antflow_task_start(self) -> None:
            calls.append("given")

    tracker = StatusTracker(on_task_start=lambda event: calls.append("tracker"))
    install(
        monkeypatch,
        *(Entry(name, partial(recording, name, calls)) for name in ("installed b", "installed a")),
    )
    simulate(pipeline(Scoping, status_tracker=tracker).run([1]))
    assert calls == ["of the run", "tracker", "given", "installed b", "installed a"]


# A hook without implementation costs nothing


@pytest.fixture
def events(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list of each event that is made."""
    made: list[str] = []

    def watch(kind: type, field: str) -> None:
        make = vars(kind)["__init__"]

        def note(event: object, *arguments: Any, **named: Any) -> None:
            make(event, *arguments, **named)
            made.append(getattr(event, field))

        monkeypatch.setattr(kind, "__init__", note)

    watch(StatusEvent, "status")
    watch(TaskEvent, "event_type")
    return made


def start_if_many(self: object, total_items: int) -> object:
    """Observe the items of the run if there is more than one."""
    return Good() if total_items > 1 else None


MADE = {
    STATUS: ["queued", "in_progress", "completed"],
    BEGIN: ["start"],
    "antflow_task_success": ["complete"],
}


@pytest.mark.parametrize(
    ("one", "items", "made"),
    [
        *(
            (hook(name, nothing), 1, MADE.get(name, []))
            for name in ARGUMENTS
            if "item_" not in name
        ),
        (hook(STATUS, nothing), 1, MADE[STATUS]),
        (hook("antflow_item_start", nothing), 1, ["queued"]),
        (hook("antflow_item_finish", nothing), 1, ["completed"]),
        (hook("antflow_pipeline_start", start_if_many), 1, []),
        (hook("antflow_pipeline_start", start_if_many), 2, ["start", "start"]),
    ],
)
def test_no_event_is_made_for_a_hook_without_implementation(
    one: object, items: int, made: list[str], events: list[str]
) -> None:
    simulate(pipeline(one).run([7] * items))
    assert events == made


# Tracing


@pytest.mark.parametrize(
    ("value", "is_on"),
    [("1", True), ("yes", True), *((off, False) for off in ("", "0", "false", "No", "off"))],
)
def test_every_call_is_logged_if_tracing_is_on(
    value: str, is_on: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("ANTFLOW_TRACE_PLUGINS", value)
    functions = {name: marked(nothing, name) for name in OBSERVED}
    functions |= {STATUS: marked(do_nothing, STATUS), "antflow_name": "all"}
    simulate(pipeline(plugin(functions)).run(["x"]))
    logged = [record.getMessage().removeprefix("all: antflow_") for record in caplog.records]
    if not is_on:
        assert logged == []
        return
    assert [text.partition("(")[0] for text in logged] == [
        *("pipeline_start", "item_start", "item_status", "item_status", "task_start"),
        *("task_success", "item_status", "item_finish", "pipeline_finish"),
    ]
    assert {record.levelno for record in caplog.records} == {logging.WARNING}
    assert "status='queued'" in logged[1]
