"""Plugins of a pipeline: what is refused, what each is called, who is called, and with what."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from types import ModuleType
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
from tests.helpers.installation import Entry, install
from tests.helpers.runs import same, values
from tests.helpers.virtual_time import simulate

pytestmark = pytest.mark.usefixtures("nothing_installed")


def plugin(functions: dict[str, Any], name: str = "Made") -> Any:
    """Return an object whose class has these functions."""
    return type(name, (), functions)()


def pipeline(*plugins: object, **options: Any) -> Pipeline:
    return Pipeline([Stage("Work", 1, [same])], plugins=plugins, **options)


def participants(of: Pipeline) -> dict[str, object]:
    return of._plugins.plugins


class Good:
    @hookimpl
    def antflow_task_start(self, event: TaskEvent) -> None:
        """Do nothing."""


# What is refused


async def yielding_later(self: object) -> Any:
    yield


async def do_nothing(self: object) -> None:
    """Do nothing."""


def finder() -> Any:
    async def find(self: object, name: str) -> None:
        """Find no dashboard."""

    return find


def take_by_keyword(self: object, *, event: TaskEvent) -> None:
    """Never get an event."""


def raise_when_read(self: object) -> None:
    raise RuntimeError("read")


@pytest.mark.parametrize(
    ("functions", "words"),
    [
        (
            {"antflow_task_sucess": hookimpl(lambda self: None)},
            ["antflow_task_sucess implements no hook", "'antflow_task_success' may be meant"],
        ),
        ({"antflow_zzz": hookimpl(lambda self: None)}, ARGUMENTS),
        (
            {"on_start": hookimpl(specname="antflow_task_stat")(lambda self: None)},
            ["'antflow_task_start' may be meant"],
        ),
        (
            {"antflow_task_start": hookimpl(lambda self, event, other: None)},
            ["antflow_task_start", "other"],
        ),
        (
            {"antflow_task_start": lambda self: None},
            ["antflow_task_start lacks the marker; write @antflow.hookimpl"],
        ),
        (
            {"antflow_made_up": lambda self: None},
            ["antflow_made_up lacks the marker; write @antflow.hookimpl"],
        ),
        ({"antflow_task_start": staticmethod(lambda: None)}, ["lacks the marker"]),
        ({"antflow_task_start": classmethod(lambda cls: None)}, ["lacks the marker"]),
        (
            {"antflow_task_start": hookimpl(wrapper=True)(lambda self: (yield))},
            ["antflow_task_start is a wrapper, and hooks cannot be wrapped"],
        ),
        (
            {"antflow_task_start": hookimpl(hookwrapper=True)(lambda self: (yield))},
            ["antflow_task_start is a wrapper, and hooks cannot be wrapped"],
        ),
        ({"antflow_dashboard": hookimpl(finder())}, ["make it a plain one"]),
        ({"find": hookimpl(specname="antflow_dashboard")(finder())}, ["make it a plain one"]),
        ({"antflow_task_start": hookimpl(lambda self: (yield))}, ["generator function"]),
        ({"antflow_task_start": hookimpl(yielding_later)}, ["generator function"]),
        ({"antflow_task_start": hookimpl(take_by_keyword)}, ["'event' by keyword only"]),
    ],
)
def test_a_plugin_that_breaks_the_rules_is_refused(
    functions: dict[str, Any], words: Iterable[str]
) -> None:
    with pytest.raises(PluginError) as caught:
        pipeline(plugin(functions))
    assert [word for word in words if word not in str(caught.value)] == []
    assert "\n" not in str(caught.value)


def test_a_function_of_a_module_without_the_marker_is_refused() -> None:
    with pytest.raises(PluginError, match="lacks the marker"):
        pipeline(module("some_plugin", antflow_task_start=lambda: None))


@pytest.mark.parametrize(
    "functions",
    [
        *({hook: hookimpl(do_nothing)} for hook in OBSERVED),
        {"antflow_later": hookimpl(optionalhook=True)(lambda self, what: None)},
        {"antflow_name": "fine", "antflow_dashboards": ("a",), "antflow_options": {}},
        {"antflow_task_start": hookimpl(lambda self: "an answer that is ignored")},
        {"connection": property(raise_when_read)},
        {},
    ],
)
def test_what_keeps_the_rules_is_accepted_and_called(functions: dict[str, Any]) -> None:
    one = pipeline(plugin(functions))
    assert values(simulate(one.run([1]))) == [1]
    assert not any(one.plugin_faults.values())


# What a pipeline is given


def test_an_invalid_plugin_is_a_plugin_error_that_names_it() -> None:
    bad = plugin({"antflow_name": "bad", "antflow_task_start": lambda self: None})
    with pytest.raises(PluginError, match="Plugin 'bad' of pipeline 'mine'") as caught:
        pipeline(bad, name="mine")
    assert (caught.value.plugin, caught.value.hook, caught.value.item_id) == ("bad", None, None)


def test_a_class_that_cannot_be_made_is_a_plugin_error() -> None:
    class Demanding:
        def __init__(self, port: int) -> None:
            self.port = port

    with pytest.raises(PluginError, match="Demanding") as caught:
        pipeline(Demanding)
    assert isinstance(caught.value.__cause__, TypeError)


def test_a_tracker_whose_hook_lacks_the_marker_is_refused() -> None:
    class Mine(StatusTracker):
        def antflow_item_status(self, event: StatusEvent) -> None:
            """Hide what the tracker does."""

    with pytest.raises(PluginError, match="antflow_item_status lacks the marker") as caught:
        Pipeline([Stage("Work", 1, [same])], status_tracker=Mine())
    assert caught.value.plugin == "Mine"


def test_a_tracker_that_implements_another_hook_is_told() -> None:
    told: list[Any] = []

    class Mine(StatusTracker):
        @hookimpl
        def antflow_task_start(self, event: TaskEvent) -> None:
            told.append(event.item_id)

        @hookimpl
        def antflow_pipeline_finish(self) -> None:
            told.append("finish")

    tracker = Mine()
    simulate(Pipeline([Stage("Work", 1, [same])], status_tracker=tracker).run([7]))
    assert told == [0, "finish"]
    assert tracker.get_stats()["completed"] == 1


@pytest.mark.parametrize("plugins", ["journal", 7, None])
def test_what_is_no_list_of_plugins_is_refused(plugins: Any) -> None:
    with pytest.raises(PipelineError, match="takes a list of plugins"):
        Pipeline([Stage("Work", 1, [same])], plugins=plugins)


def test_the_same_object_twice_is_refused() -> None:
    one = Good()
    with pytest.raises(PipelineError, match="'Good' twice"):
        pipeline(one, one)


def test_two_that_call_themselves_the_same_are_refused() -> None:
    class One(Good):
        antflow_name = "same"

    class Two(Good):
        antflow_name = "same"

    with pytest.raises(PipelineError, match="two plugins called 'same'"):
        pipeline(One(), Two())


def test_a_class_stands_for_an_object_of_it() -> None:
    (made,) = participants(pipeline(Good)).values()
    assert isinstance(made, Good)


def test_the_builder_gives_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, Entry("installed", lambda: Good))
    builder = Pipeline.create().add("Work", same).with_plugins(Good).with_plugins(Good)
    assert list(participants(builder.build())) == ["installed", "Good", "Good-2"]
    builder.with_plugins(autoload=False)
    assert list(participants(builder.build())) == ["Good", "Good-2"]
    builder.with_plugins(autoload=True)
    assert list(participants(builder.build())) == ["installed", "Good", "Good-2"]


# Names


def module(name: str, **variables: object) -> ModuleType:
    made = ModuleType(name)
    vars(made).update(variables)
    return made


@pytest.mark.parametrize(
    ("plugins", "names"),
    [
        ([plugin({"antflow_name": "mine"})], ["mine"]),
        ([plugin({"antflow_name": ""})], ["Made"]),
        ([plugin({"antflow_name": 7})], ["Made"]),
        ([plugin({"antflow_name": None})], ["Made"]),
        ([module("some.package.plugin")], ["plugin"]),
        ([module("some_plugin", antflow_name="some")], ["some"]),
        ([Good(), Good(), Good()], ["Good", "Good-2", "Good-3"]),
    ],
)
def test_a_plugin_is_called_what_it_says_or_after_its_class_or_module(
    plugins: list[object], names: list[str]
) -> None:
    assert list(participants(pipeline(*plugins))) == names


def test_one_that_is_given_takes_the_place_of_the_installed_one_of_its_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Mine(Good):
        antflow_name = "journal"

    install(monkeypatch, Entry("journal", lambda: Good), Entry("other", lambda: Good))
    mine = Mine()
    replaced, untouched = pipeline(mine), pipeline()
    assert participants(replaced)["journal"] is mine
    assert list(participants(replaced)) == ["other", "journal"]
    assert participants(untouched)["journal"] is not mine


def test_an_installed_one_is_given_once_more_under_another_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module = ModuleType("antflow_journal")
    install(monkeypatch, Entry("journal", lambda: module))
    assert list(participants(pipeline(module)).values()) == [module]


def test_installed_ones_are_left_out_without_autoload(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, Entry("journal", lambda: Good))
    assert list(participants(pipeline(Good(), autoload=False))) == ["Good"]


def test_a_tracker_takes_part_once() -> None:
    tracker = StatusTracker()
    both = Pipeline([Stage("Work", 1, [same])], status_tracker=tracker, plugins=[tracker])
    assert list(participants(both)) == ["StatusTracker"]


def test_a_tracker_and_another_one_take_part() -> None:
    both = Pipeline(
        [Stage("Work", 1, [same])], status_tracker=StatusTracker(), plugins=[StatusTracker()]
    )
    assert list(participants(both)) == ["StatusTracker", "StatusTracker-2"]


@dataclass
class Equal:
    """A plugin that is equal to another."""

    path: str = "x"

    @hookimpl
    def antflow_task_start(self) -> None:
        """Do nothing."""


def test_two_that_are_equal_take_part_both() -> None:
    assert list(participants(pipeline(Equal(), Equal()))) == ["Equal", "Equal-2"]


# What implements a hook


class Forms:
    """Functions of all kinds."""

    told: list[str]

    @hookimpl
    def antflow_pipeline_start(self) -> None:
        self.told.append("method")

    @staticmethod
    @hookimpl
    def antflow_item_status(event: StatusEvent) -> None:
        Forms.told.append(f"static {event.status}")

    @classmethod
    @hookimpl
    def antflow_task_start(cls, event: TaskEvent) -> None:
        cls.told.append(f"class {event.event_type}")


def test_methods_static_methods_and_class_methods() -> None:
    Forms.told = []
    simulate(pipeline(Forms).run([1]))
    assert Forms.told == [
        *("method", "static queued", "static in_progress", "class start", "static completed")
    ]


def test_functions_in_an_instance_s_dict() -> None:
    told: list[Any] = []

    @hookimpl
    def antflow_task_start(event: TaskEvent) -> None:
        told.append(event.item_id)

    one = plugin({})
    one.antflow_task_start = antflow_task_start
    simulate(pipeline(one).run([1]))
    assert told == [0]


def test_functions_of_a_module() -> None:
    told: list[Any] = []
    module = ModuleType("some_plugin")

    @hookimpl
    async def antflow_task_start(event: TaskEvent) -> None:
        told.append(event.item_id)

    vars(module).update(antflow_task_start=antflow_task_start, hookimpl=hookimpl)
    simulate(pipeline(module).run([1]))
    assert told == [0]


def test_a_function_of_another_name() -> None:
    told: list[Any] = []
    named_otherwise = hookimpl(specname="antflow_task_start")(
        lambda self, event: told.append(event.event_type)
    )
    simulate(pipeline(plugin({"begin": named_otherwise})).run([1]))
    assert told == ["start"]


def test_a_hook_takes_those_arguments_that_it_names_in_any_order() -> None:
    told: list[Any] = []

    class Choosy:
        @hookimpl
        def antflow_pipeline_start(self, total_items: int | None, pipeline: Pipeline) -> None:
            told.extend((total_items, pipeline.name))

        @hookimpl
        def antflow_pipeline_finish(self, error_summary: Any) -> None:
            told.append(error_summary.total_failed)

    simulate(pipeline(Choosy(), name="mine").run([1, 2]))
    assert told == [2, "mine", 0]


def test_an_argument_with_a_default_keeps_it() -> None:
    told: list[object] = []

    class Defaults:
        @hookimpl
        def antflow_task_start(self, event: TaskEvent, extra: str = "own") -> None:
            told.extend((event.item_id, extra))

    simulate(pipeline(Defaults()).run([1]))
    assert told == [0, "own"]


# The order of the calls


def speaking(name: str, told: list[str], *, slow: bool = False, **options: Any) -> Any:
    """Return a plugin that says its name when an attempt starts, some after a second."""

    def at_once(self: object) -> None:
        told.append(name)

    async def later(self: object) -> None:
        await asyncio.sleep(1)
        told.append(name)

    function = later if slow else at_once
    return plugin({"antflow_name": name, "antflow_task_start": hookimpl(**options)(function)})


def test_who_comes_last_is_called_first() -> None:
    told: list[str] = []
    simulate(pipeline(*(speaking(name, told) for name in "abc")).run([1]))
    assert told == ["c", "b", "a"]


@pytest.mark.parametrize("slow", [(), ("b", "e"), ("a", "c", "d"), tuple("abcdefg")])
def test_the_first_ones_and_the_last_ones_plain_or_not(slow: tuple[str, ...]) -> None:
    told: list[str] = []

    def make(name: str, **options: Any) -> Any:
        return speaking(name, told, slow=name in slow, **options)

    given = [
        make("a"),
        make("b", tryfirst=True),
        make("c", trylast=True),
        make("d"),
        make("e", tryfirst=True),
        make("f", trylast=True),
        make("g"),
    ]
    simulate(pipeline(*given).run([1]))
    assert told == ["e", "b", "g", "d", "a", "c", "f"]


def test_installed_given_tracker_run_scoped(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []

    class Scoping:
        antflow_name = "scoping"

        @hookimpl
        def antflow_pipeline_start(self) -> object:
            return speaking("of the run", told)

        @hookimpl
        def antflow_task_start(self) -> None:
            told.append("given")

    tracker = StatusTracker(on_task_start=lambda event: told.append("tracker"))
    install(
        monkeypatch,
        *(Entry(name, partial(speaking, name, told)) for name in ("installed b", "installed a")),
    )
    simulate(
        Pipeline([Stage("Work", 1, [same])], status_tracker=tracker, plugins=[Scoping]).run([1])
    )
    assert told == ["of the run", "tracker", "given", "installed b", "installed a"]


# Nobody listening costs nothing


class Events:
    """Notes each event that is made."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.made: list[str] = []
        for kind, field in ((StatusEvent, "status"), (TaskEvent, "event_type")):
            self._watch(monkeypatch, kind, field)

    def _watch(self, monkeypatch: pytest.MonkeyPatch, kind: type, field: str) -> None:
        make = vars(kind)["__init__"]

        def note(event: object, *arguments: Any, **named: Any) -> None:
            make(event, *arguments, **named)
            self.made.append(getattr(event, field))

        monkeypatch.setattr(kind, "__init__", note)


@pytest.mark.parametrize(
    ("hook", "made"),
    [
        ("antflow_item_status", ["queued", "in_progress", "completed"]),
        ("antflow_task_start", ["start"]),
        ("antflow_task_success", ["complete"]),
        ("antflow_task_retry", []),
        ("antflow_task_failure", []),
        ("antflow_task_cancelled", []),
        ("antflow_pipeline_start", []),
        ("antflow_pipeline_finish", []),
        ("antflow_dashboard", []),
        ("antflow_add_options", []),
        ("antflow_configure", []),
    ],
)
def test_no_event_is_made_for_a_hook_without_implementation(
    hook: str, made: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    events = Events(monkeypatch)
    simulate(pipeline(plugin({hook: hookimpl(lambda self: None)})).run([1]))
    assert events.made == made


class Undecided:
    """A plugin that observes the items of a run if there is more than one."""

    @hookimpl
    def antflow_pipeline_start(self, total_items: int) -> object:
        return Good() if total_items > 1 else None

    @hookimpl
    def antflow_pipeline_finish(self) -> None:
        """Do nothing."""


@pytest.mark.parametrize(
    ("make", "items", "is_silent"),
    [
        (object, [1], True),
        (Good, [1], False),
        (Undecided, [1], True),
        (Undecided, [1, 2], False),
    ],
)
def test_only_a_plugin_that_observes_items_costs_a_run_the_fast_path(
    make: type, items: list[int], is_silent: bool
) -> None:
    one = pipeline(make())
    simulate(one.run(items))
    run = one._run
    assert run is not None
    assert run.dispatcher.is_silent == is_silent


# Dashboards


class Board:
    """A dashboard that notes what it is asked for."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def on_start(self, pipeline: object, total_items: int | None) -> None:
        self.calls.append(f"start {total_items}")

    def on_update(self, snapshot: object) -> None:
        self.calls.append("update")

    def on_finish(self, results: list[Any], summary: object) -> None:
        self.calls.append(f"finish {len(results)}")


class Boards:
    """A plugin that has dashboards by name."""

    def __init__(self, *names: str, antflow_name: str = "boards") -> None:
        self.antflow_name = antflow_name
        self.antflow_dashboards = names
        self.made: list[Board] = []

    @hookimpl
    def antflow_dashboard(self, name: str) -> Board | None:
        if name not in self.antflow_dashboards:
            return None
        self.made.append(Board())
        return self.made[-1]


class BrokenBoards:
    @hookimpl
    def antflow_dashboard(self, name: str) -> None:
        raise RuntimeError("no screen")


def test_the_first_dashboard_of_a_name_is_used() -> None:
    first, last = Boards("tiny", antflow_name="first"), Boards("tiny", antflow_name="last")
    simulate(pipeline(first, last).run([1], dashboard="tiny"))
    assert (len(first.made), len(last.made)) == (0, 1)


def test_each_run_has_a_dashboard_of_its_own() -> None:
    boards = Boards("tiny")

    async def main() -> None:
        each = pipeline(boards)
        for _ in range(2):
            await each.run([1], dashboard="tiny")

    simulate(main)
    assert len(boards.made) == 2


def test_an_unknown_dashboard_is_an_error_that_lists_those_installed() -> None:
    one, two = Boards("tiny", antflow_name="one"), Boards("wide", "full", antflow_name="two")
    with pytest.raises(ValueError, match="installed are: full, progress, tiny, wide") as caught:
        simulate(pipeline(one, two).run([1], dashboard="huge"))
    assert "in a checkout of antflow: pip install ./antflow-rich" in str(caught.value)


def test_where_the_dashboards_of_antflow_rich_are_installed_it_is_not_recommended() -> None:
    boards = Boards("progress", "compact", "detailed", "full")
    with pytest.raises(ValueError, match=r"'huge'; installed are: compact, .*, progress$"):
        simulate(pipeline(boards).run([1], dashboard="huge"))


def test_a_stream_refuses_an_unknown_dashboard_at_once() -> None:
    with pytest.raises(ValueError, match="no dashboard 'huge'"):
        pipeline().stream([1], dashboard="huge")


def test_a_plugin_that_raises_when_asked_for_a_dashboard_is_passed_over(
    caplog: pytest.LogCaptureFixture,
) -> None:
    boards = Boards("tiny")
    simulate(pipeline(boards, BrokenBoards()).run([1], dashboard="tiny"))
    assert len(boards.made) == 1
    (record,) = caplog.records
    assert "'BrokenBoards'" in record.getMessage()
    assert record.exc_info is not None


def test_a_plugin_that_raises_when_asked_for_a_dashboard_has_none(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with pytest.raises(ValueError, match="no dashboard 'tiny'"):
        simulate(pipeline(BrokenBoards()).run([1], dashboard="tiny"))
    assert len(caplog.records) == 1


class Watching(Board):
    """A dashboard with hooks."""

    @hookimpl
    def antflow_item_status(self, event: StatusEvent) -> None:
        self.calls.append(event.status)

    @hookimpl
    def antflow_pipeline_start(self) -> None:
        self.calls.append("pipeline_start")

    @hookimpl
    def antflow_pipeline_finish(self) -> None:
        self.calls.append("pipeline_finish")


def test_a_dashboard_with_hooks_gets_the_run_s_events() -> None:
    board = Watching()
    simulate(pipeline().run([1], custom_dashboard=board))
    assert board.calls == [
        *("pipeline_start", "start 1", "update"),
        *("queued", "in_progress", "completed"),
        *("pipeline_finish", "update", "finish 1"),
    ]


def test_a_dashboard_with_a_class_method_or_a_function_of_another_name_has_hooks() -> None:
    told: list[str] = []

    class Marked(Board):
        @classmethod
        @hookimpl
        def antflow_pipeline_start(cls) -> None:
            told.append("start")

    class Named(Board):
        @hookimpl(specname="antflow_pipeline_start")
        def begin(self) -> None:
            told.append("begin")

    for board in Marked(), Named():
        simulate(pipeline().run([1], custom_dashboard=board))
    assert told == ["start", "begin"]


def test_a_dashboard_that_is_a_plugin_of_the_pipeline_too_is_told_once() -> None:
    board = Watching()
    simulate(pipeline(board).run([1], custom_dashboard=board))
    assert board.calls.count("queued") == 1


def test_a_dashboard_whose_hook_lacks_the_marker_is_refused_and_the_pipeline_is_free() -> None:
    class Bad(Board):
        def antflow_item_status(self) -> None:
            """Lack the marker."""

    async def main() -> None:
        one = pipeline()
        with pytest.raises(PluginError, match="lacks the marker"):
            await one.run([1], custom_dashboard=Bad())
        assert len(await one.run([1])) == 1

    simulate(main)


# Tracing


@pytest.mark.parametrize("value", ["1", "yes"])
def test_every_call_is_logged_when_that_is_wanted(
    value: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class All(Boards):
        @hookimpl
        def antflow_pipeline_start(self, total_items: int) -> None:
            """Do nothing."""

        @hookimpl
        async def antflow_item_status(self) -> None:
            """Do nothing."""

        @hookimpl
        def antflow_task_start(self) -> None:
            """Do nothing."""

        @hookimpl
        def antflow_task_success(self) -> None:
            """Do nothing."""

        @hookimpl
        def antflow_pipeline_finish(self) -> None:
            """Do nothing."""

    monkeypatch.setenv("ANTFLOW_TRACE_PLUGINS", value)
    simulate(pipeline(All("tiny", antflow_name="all")).run(["x"], dashboard="tiny"))
    logged = [record.getMessage() for record in caplog.records]
    assert [text.partition("(")[0] for text in logged] == [
        "all: antflow_dashboard",
        "all: antflow_pipeline_start",
        "all: antflow_item_status",
        "all: antflow_item_status",
        "all: antflow_task_start",
        "all: antflow_task_success",
        "all: antflow_item_status",
        "all: antflow_pipeline_finish",
    ]
    assert {record.levelno for record in caplog.records} == {logging.WARNING}
    assert "'tiny'" in logged[0]
    assert "status='queued'" in logged[2]


@pytest.mark.parametrize("value", ["", "0", "false", "No", "off"])
def test_no_call_is_logged_otherwise(
    value: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("ANTFLOW_TRACE_PLUGINS", value)
    simulate(pipeline(Good()).run([1]))
    assert caplog.records == []
