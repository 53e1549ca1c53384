"""Misspelt keywords and names: the error says where, which word, and what may be meant."""

from __future__ import annotations

import asyncio
import copy
import dataclasses
import inspect
import pickle
import traceback
from collections.abc import Callable
from dataclasses import replace
from typing import Any, get_type_hints

import pytest

from antflow import Pipeline, PipelineBuilder, Stage, StageValidationError
from antflow.stage import StageOptions
from tests.helpers.runs import same, values
from tests.helpers.virtual_time import simulate

TOO = {"name", "workers", "tasks", "retry"}
"""The fields of Stage that the builder has parameters of its own for."""
PAGES = "Pipeline 'pages'"


def pages() -> Pipeline:
    return Pipeline([Stage("Fetch", 1, [same])], name="pages")


def built() -> PipelineBuilder:
    return Pipeline.create(name="pages").add("Fetch", same)


def refusal(call: Callable[[], Any]) -> TypeError:
    """Return the TypeError that a call raises, or its coroutine."""

    async def main() -> None:
        answer = call()
        if inspect.isawaitable(answer):
            await answer

    with pytest.raises(TypeError) as caught:
        simulate(main)
    return caught.value


def call(function: Callable[..., Any], *arguments: Any, **keywords: Any) -> Callable[[], Any]:
    return lambda: function(*arguments, **keywords)


STAGE, ADD = "Stage 'Fetch'", "Stage 'Fetch': add()"
UNKNOWN = [
    (call(Stage, "Fetch", wokers=3, tasks=[same]), STAGE, "'wokers'; did you mean 'workers'?"),
    (call(Stage, name="Fetch", workers=3, task=[]), STAGE, "'task'; did you mean 'tasks'?"),
    (call(Stage, "Fetch", 3, [same], Pull=True), STAGE, "'Pull'; did you mean 'pull'?"),
    (call(Stage, "Fetch", 3, [], concurrency=1), STAGE, "'concurrency'; did you mean 'call_conc"),
    (call(Stage, "Fetch", 3, [], retries=2), STAGE, "'retries'; give task_attempts, or stage_at"),
    (call(Stage, "Fetch", 3, [], retires=2), STAGE, "'retires'; give task_attempts, or stage_at"),
    (call(Stage, "Fetch", 3, [], retry_policy=""), STAGE, "'retry_policy'; did you mean 'retry'?"),
    (call(Stage, "Fetch", 3, [], colour=1), STAGE, "'colour'; it takes name, workers, tasks, re"),
    (call(replace, Stage("Fetch", 3, []), wokers=1), STAGE, "'wokers'; did you mean 'workers'?"),
    (call(Stage, workers=1, tasks=[same], nme="Fetch"), "Stage", "'nme'; did you mean 'name'?"),
    (call(Stage, "A", 1, [], *range(20), nme="A"), "Stage", "'nme'; did you mean 'name'?"),
    (call(built().add, "Fetch", wokers=3), ADD, "'wokers'; did you mean 'workers'?"),
    (call(built().add, "Fetch", retires=3), ADD, "'retires'; did you mean 'retries'?"),
    (call(built().add, "Fetch", call_rat=3), ADD, "'call_rat'; did you mean 'call_rate'?"),
    (call(built().add, "Fetch", task=same), ADD, "'task'; give the tasks after the name"),
    (call(built().add, "Fetch", retry="per_stage"), ADD, "'retry'; give retry_policy"),
    (call(built().add, "Fetch", colour=1), ADD, "'colour'; it takes name, workers, retries, re"),
    (call(Pipeline, [], name="pages", autolaod=1), PAGES, "'autolaod'; did you mean 'autoload'?"),
    (call(Pipeline, [], nme="pages"), "Pipeline 'pipeline'", "'nme'; did you mean 'name'?"),
    (call(Pipeline.create, nme="pages"), "Pipeline.create()", "'nme'; did you mean 'name'?"),
    (call(Pipeline.quick, [], same, worker=3), "Pipeline.quick()", "'worker'; did you mean 'wor"),
    (call(pages().run, [], progres=True), f"{PAGES}: run()", "'progres'; did you mean 'progress'"),
    (call(pages().feed, [], target=1), f"{PAGES}: feed()", "'target'; did you mean 'target_stage"),
    (call(pages().process, 1, prority=1), f"{PAGES}: process()", "'prority'; did you mean 'prio"),
    (call(pages().shutdown, time_out=1), f"{PAGES}: shutdown()", "'time_out'; did you mean 'tim"),
    (call(pages().start, dashboard=""), f"{PAGES}: start()", "'dashboard'; it takes none"),
    (call(PipelineBuilder, nam="pages"), "Pipeline 'pipeline'", "'nam'; did you mean 'name'?"),
    (call(built().stream, [], dashbord=""), f"{PAGES}: stream()", "'dashbord'; did you mean 'das"),
    (call(built().with_plugins, autolod=1), f"{PAGES}: with_plugins()", "'autolod'; did you mean"),
]


@pytest.mark.parametrize(("wrong", "caller", "rest"), UNKNOWN, ids=[row[2] for row in UNKNOWN])
def test_an_unknown_keyword_is_named_with_the_caller_and_a_remedy(
    wrong: Callable[[], Any], caller: str, rest: str
) -> None:
    error = refusal(wrong)
    assert str(error).startswith(f"{caller} takes no keyword {rest}")
    assert isinstance(error, StageValidationError) is caller.startswith("Stage")


@pytest.mark.parametrize(
    "method",
    sorted(
        (owner, name)
        for owner, thing in (("pages", Pipeline), ("built", PipelineBuilder))
        for name, member in inspect.getmembers(thing, inspect.isroutine)
        if not name.startswith("_")
    ),
    ids=".".join,
)
def test_no_public_method_leaves_an_unknown_keyword_to_python(method: tuple[str, str]) -> None:
    owner, name = method
    thing = {"pages": pages, "built": built}[owner]()
    arguments = {"add": ["Fetch"]}.get(name, [])
    text = str(refusal(call(getattr(thing, name), *arguments, zyx=1)))
    assert f"{name}() takes no keyword 'zyx'; it takes " in text
    assert "'pages'" in text or name in {"create", "quick", "add"}


def test_other_type_errors_are_as_python_or_the_method_raises_them() -> None:
    missing = str(refusal(call(Stage, "Fetch")))
    assert "missing 2 required positional arguments: 'workers' and 'tasks'" in missing
    assert "missing 1 required positional argument: 'items'" in str(refusal(call(pages().run)))
    assert "PipelineBuilder.add() missing 1 " in str(refusal(call(built().add)))
    assert "PipelineBuilder.with_tracker() miss" in str(refusal(call(built().with_tracker)))
    assert "multiple values" in str(refusal(call(pages().run, [], items=[])))
    assert "put a single item in a list" in str(refusal(call(pages().run, items=3)))
    assert "put a single item in a list" in str(refusal(call(pages().stream, 3, progress=False)))


def test_the_cause_of_a_type_error_from_inside_is_kept() -> None:
    def items() -> Any:
        raise TypeError("outer") from LookupError("inner")
        yield

    error = refusal(call(pages().run, items()))
    assert isinstance(error.__cause__, LookupError)


def test_pythons_own_error_is_not_shown_beside_the_explained_one() -> None:
    shown = "".join(traceback.format_exception(refusal(call(pages().run, [], progres=True))))
    assert "unexpected keyword" not in shown
    assert shown.count("Error: ") == 1


def test_the_error_of_a_stage_can_be_pickled() -> None:
    error = refusal(UNKNOWN[0][0])
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again)) == (type(error), str(error))


def test_a_coroutine_method_refuses_a_keyword_when_it_is_called() -> None:
    wrong: Any = {"target": "Fetch"}
    with pytest.raises(TypeError, match="did you mean 'target_stage'"):
        _ = pages().feed([], **wrong)


def test_a_call_adds_no_coroutine_around_the_method() -> None:
    async def main() -> list[str]:
        try:
            await pages().run(3)  # type: ignore[arg-type]
        except TypeError as error:
            return [frame.name for frame in traceback.extract_tb(error.__traceback__)]
        return []

    assert asyncio.run(main())[:2] == ["main", "run"]


def test_subclasses_call_what_they_extend() -> None:
    class Named(Pipeline):
        async def run(self, items: Any, *arguments: Any, **keywords: Any) -> Any:
            return await super().run(items, *arguments, **keywords)

    pipeline = Named([Stage("Fetch", 1, [same])], name="mine")
    assert values(asyncio.run(pipeline.run([1, 2]))) == [1, 2]
    assert "Pipeline 'mine': run()" in str(refusal(call(pipeline.run, [], progres=True)))


# The builder's types


def test_the_options_of_the_builder_are_the_fields_of_a_stage() -> None:
    stage_hints = get_type_hints(Stage)
    names = [field.name for field in dataclasses.fields(Stage) if field.name not in TOO]
    assert get_type_hints(StageOptions) == {name: stage_hints[name] for name in names}
    assert StageOptions.__required_keys__ == frozenset()


# repr


async def fetch(page: str) -> str:
    return page


class Parser:
    async def __call__(self, page: str) -> str:
        return page


class Torn:
    def __repr__(self) -> str:
        raise LookupError("torn")

    def __eq__(self, other: object) -> bool:
        raise LookupError("torn")

    __hash__ = None  # type: ignore[assignment]


@pytest.mark.parametrize(
    ("stage", "text"),
    [
        (
            Stage("Fetch", 4, [fetch], skip_if=callable, call_rate=2.5),
            "Stage('Fetch', workers=4, tasks=[fetch], skip_if=callable, call_rate=2.5)",
        ),
        (
            Stage("Fetch", 4, (fetch, Parser()), retry="per_stage", pull=True),
            "Stage('Fetch', workers=4, tasks=(fetch, Parser), retry='per_stage', pull=True)",
        ),
        (
            Stage("A", 1, [fetch], task_concurrency_limits={"fetch": 1}),
            "Stage('A', workers=1, tasks=[fetch], task_concurrency_limits={'fetch': 1})",
        ),
        (
            Stage("A", 1, [], never_retry=(NameError,)),
            "Stage('A', workers=1, tasks=[], never_retry=(NameError,))",
        ),
        (Stage("A", 1, [fetch] * 12), f"Stage('A', workers=1, tasks=[{'fetch, ' * 10}2 more])"),
    ],
    ids=repr,
)
def test_a_stage_shows_what_it_was_given(stage: Stage, text: str) -> None:
    assert repr(stage) == text


def test_a_pipeline_shows_its_stages_and_whether_it_runs() -> None:
    shown: list[str] = []

    async def note(value: int) -> int:
        shown.append(repr(pipeline))
        return value

    pipeline = Pipeline([Stage("Note", 1, [note]), Stage("Fetch", 4, [fetch, Parser()])], name="p")
    simulate(lambda: pipeline.run([1]))
    stages = "'Note' (1 worker: note) -> 'Fetch' (4 workers: fetch, Parser)"
    assert shown == [f"<Pipeline 'p', running: {stages}>"]
    assert repr(pipeline) == f"<Pipeline 'p', not running: {stages}>"


def test_a_builder_shows_what_was_added() -> None:
    assert repr(Pipeline.create()) == "<PipelineBuilder 'pipeline': no stages>"
    assert repr(built()) == "<PipelineBuilder 'pages': 'Fetch' (5 workers: same)>"


def test_a_pipeline_of_many_stages_is_shown_in_short() -> None:
    pipeline = Pipeline([Stage(f"S{number}", 1, [same]) for number in range(100)])
    assert repr(pipeline).endswith("'S9' (1 worker: same) -> 90 more>")


def odd(**fields: Any) -> Stage:
    return Stage(**{"name": "A", "workers": 1, "tasks": [fetch], **fields})


def named(name: Any) -> Any:
    task = Parser()
    task.__name__ = name  # type: ignore[attr-defined]
    return task


@pytest.mark.parametrize(
    "thing",
    [
        Stage.__new__(Stage),
        Pipeline.__new__(Pipeline),
        PipelineBuilder.__new__(PipelineBuilder),
        odd(name=None, workers=None, tasks=None),
        odd(name="x" * 10_000, tasks="y" * 10_000),
        odd(tasks=Torn()),
        odd(tasks=[Torn()]),
        odd(queue_capacity=Torn()),
        odd(tasks=[named("\x1b[2J\nred")]),
        odd(name="\x1b[2J\n"),
        built().add("A", named("\x1b[2J\n")),
        built().add("A", same, workers=Torn()),  # type: ignore[call-overload]
        built().add("A", named("\x1b[2J\n")).build(),
    ],
)
def test_a_repr_never_fails_and_is_one_printable_line(thing: object) -> None:
    text = repr(thing)
    assert text.isprintable()
    assert len(text) < 1000


def test_stages_are_compared_and_copied_as_before() -> None:
    one = Stage("Fetch", 4, [fetch])
    assert copy.copy(one) == one == Stage("Fetch", workers=4, tasks=[fetch])
