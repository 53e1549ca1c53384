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

from antflow import (
    Adaptive,
    AsyncExecutor,
    Backoff,
    Limit,
    Pipeline,
    PipelineBuilder,
    Stage,
    StageValidationError,
)
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


STAGE, ADD, QUICK = "Stage 'Fetch'", "Stage 'Fetch': add()", "Pipeline.quick()"
LIMITS = "Limit(rate=10, per=1.0) or Limit(concurrency=10)"
UNKNOWN = [
    (call(Stage, "Fetch", wokers=3, tasks=[same]), STAGE, "'wokers'; did you mean 'workers'?"),
    (call(Stage, name="Fetch", workers=3, task=[]), STAGE, "'task'; did you mean 'tasks'?"),
    (call(Stage, "Fetch", 3, [same], Pull=True), STAGE, "'Pull'; did you mean 'pull'?"),
    (call(Stage, "Fetch", 3, [], concurrency=1), STAGE, "'concurrency'; give workers, or limits=["),
    (call(Stage, "Fetch", 3, [], retries=2), STAGE, "'retries'; give task_attempts, or stage_at"),
    (call(Stage, "Fetch", 3, [], retires=2), STAGE, "'retires'; give task_attempts, or stage_at"),
    (call(Stage, "Fetch", 3, [], retrys=2), STAGE, "'retrys'; give task_attempts, or stage_at"),
    (call(Stage, "Fetch", 3, [], max_retries=2), STAGE, "'max_retries'; give task_attempts, or "),
    (call(Stage, "Fetch", 3, [], attempts=2), STAGE, "'attempts'; give task_attempts, or stage_a"),
    (call(Stage, "Fetch", 3, [], timeout=2), STAGE, "'timeout'; give task_timeout for one attem"),
    (call(Stage, "Fetch", 3, [], rps=2), STAGE, "'rps'; give limits=[Limit(rate=..., per=...)]"),
    (call(Stage, "Fetch", 3, [], backoff=2), STAGE, "'backoff'; give retry_wait"),
    (call(Stage, "Fetch", 3, [], retry_policy=""), STAGE, "'retry_policy'; did you mean 'retry'?"),
    (call(Stage, "Fetch", 3, [], colour=1), STAGE, "'colour'; it takes name, workers, tasks, re"),
    (call(replace, Stage("Fetch", 3, []), wokers=1), STAGE, "'wokers'; did you mean 'workers'?"),
    (call(Stage, workers=1, tasks=[same], nme="Fetch"), "Stage", "'nme'; did you mean 'name'?"),
    (call(Stage, "A", 1, [], *range(20), nme="A"), "Stage 'A'", "'nme'; did you mean 'name'?"),
    (call(built().add, "Fetch", wokers=3), ADD, "'wokers'; did you mean 'workers'?"),
    (call(built().add, "Fetch", retires=3), ADD, "'retires'; did you mean 'retries'?"),
    (call(built().add, "Fetch", max_retries=3), ADD, "'max_retries'; give retries"),
    (call(built().add, "Fetch", call_rat=3), ADD, "'call_rat'; did you mean 'call_rate'?"),
    (call(built().add, "Fetch", tasks=[same]), ADD, "'tasks'; give the tasks after the name"),
    (call(built().add, "Fetch", task=same), ADD, "'task'; give the tasks after the name"),
    (call(built().add, "Fetch", retry="per_stage"), ADD, "'retry'; give retry_policy"),
    (call(built().add, "Fetch", colour=1), ADD, "'colour'; it takes name, workers, retries, re"),
    (call(Pipeline, [], name="pages", autolaod=1), PAGES, "'autolaod'; did you mean 'autoload'?"),
    (call(Pipeline, [], nme="pages"), "Pipeline 'pipeline'", "'nme'; did you mean 'name'?"),
    (call(Pipeline, [], workers=3), "Pipeline 'pipeline'", "'workers'; give it to each Stage"),
    (call(Pipeline.quick, [], same, worker=3), QUICK, "'worker'; did you mean 'workers'? (for exa"),
    (call(Pipeline.quick, [], same, timeout=3), QUICK, "'timeout'; give task_timeout (for example"),
    (
        call(Pipeline.quick, [], same, attempts=3),
        QUICK,
        "'attempts'; give retries (for example Pip",
    ),
    (call(pages().run, [], progres=True), f"{PAGES}: run()", "'progres'; did you mean 'progress'"),
    (call(pages().run, [], workers=2), f"{PAGES}: run()", "'workers'; give it to the stages"),
    (call(built().build().run, [], dashbord=""), f"{PAGES}: run()", "'dashbord'; did you mean 'da"),
    (call(Limit, rate=10, period=1), "Limit", f"'period'; give per (for example {LIMITS})"),
    (call(Limit, cocurrency=1), "Limit", "'cocurrency'; did you mean 'concurrency'? (for exam"),
    (
        call(Limit, max_rate=1, name="api"),
        "Limit 'api'",
        "'max_rate'; give rate (for example Limit(",
    ),
    (call(Backoff, base=1), "Backoff", "'base'; give initial (for example Backoff(initial=0.5, "),
    (call(Backoff, max=1), "Backoff", "'max'; give maximum (for example Backoff(initial=0.5, "),
    (
        call(Adaptive, maximun=1),
        "Adaptive",
        "'maximun'; did you mean 'maximum'? (for example Limit(",
    ),
    (
        call(AsyncExecutor, workers=1),
        "AsyncExecutor 'executor'",
        "'workers'; give max_workers (for ",
    ),
    (
        call(AsyncExecutor, retries=1),
        "AsyncExecutor 'executor'",
        "'retries'; give it to submit() or",
    ),
]


@pytest.mark.parametrize(("wrong", "caller", "rest"), UNKNOWN, ids=[row[2] for row in UNKNOWN])
def test_an_unknown_keyword_is_named_with_the_caller_and_a_remedy(
    wrong: Callable[[], Any], caller: str, rest: str
) -> None:
    error = refusal(wrong)
    assert str(error).startswith(f"{caller} takes no keyword {rest}")
    assert isinstance(error, StageValidationError) is caller.startswith("Stage")


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        (call(Limit, 10), f"Limit takes keywords only; write {LIMITS}"),
        (call(Limit, 10, name="api"), f"Limit 'api' takes keywords only; write {LIMITS}"),
        (
            call(Backoff, 1, 2, 3, False, 5),
            "Backoff takes at most 4 arguments by position; write B",
        ),
        (call(Adaptive, 1, 2, 3), "Adaptive takes at most 2 arguments by position; write Limit("),
        (call(AsyncExecutor, 5, "calls"), "at most 1 argument by position; write AsyncExecutor("),
        (
            call(Pipeline.quick, [], same, 1, 2, True, "", 7),
            "6 arguments by position; write Pipeline",
        ),
    ],
)
def test_an_argument_too_many_is_answered_with_the_right_call(
    wrong: Callable[[], Any], text: str
) -> None:
    assert text in str(refusal(wrong))


@pytest.mark.parametrize(
    "explained", [Stage, Pipeline, Limit, Backoff, Adaptive, AsyncExecutor, Pipeline.run]
)
def test_what_is_explained_keeps_its_signature_and_kind(explained: Any) -> None:
    assert "arguments" not in inspect.signature(explained).parameters
    assert explained.__doc__
    assert inspect.iscoroutinefunction(Pipeline.run)
    assert inspect.iscoroutinefunction(Pipeline.quick)


def test_other_type_errors_are_as_python_or_the_method_raises_them() -> None:
    missing = str(refusal(call(Stage, "Fetch")))
    assert "missing 2 required positional arguments: 'workers' and 'tasks'" in missing
    assert "missing 1 required positional argument: 'items'" in str(refusal(call(pages().run)))
    assert "PipelineBuilder.add() missing 1 " in str(refusal(call(built().add)))
    assert "Pipeline.__init__() missing 1 req" in str(refusal(call(Pipeline)))
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
