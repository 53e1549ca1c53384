# mypy: allow-untyped-defs, allow-untyped-calls
# pyright: standard
"""Programs without annotations: type checkers accept them, and take what they do not know for Any.

It runs under no test: mypy and pyright check it, here and against the installed wheels.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, assert_type

from antflow import Item, Pipeline, PipelineBuilder, PipelineResult, Stage, UnprocessedItem


def fetch(page):
    return page


async def parse(page, depth=1):
    return page


async def measure(content: bytes) -> int:
    return len(content)


def show(*values: Any) -> None:
    """Use the values."""


TASKS: list[Callable[..., Any]] = [fetch, parse, measure]


def make(stages=None):
    return Pipeline(stages or [Stage("Fetch", workers=4, tasks=[fetch, measure])])


async def stages() -> None:
    pipeline = Pipeline([Stage("Fetch", workers=4, tasks=[fetch, parse])])
    assert_type(pipeline, Pipeline[Any, Any])
    results = await pipeline.run(["/", 2, {"id": 3}, Item(4)])
    assert_type(results, list[PipelineResult[Any]])
    show(results[0].value.anything)
    async for result in pipeline.stream(range(3)):
        show(result.value + 1)
    async with pipeline.running():
        show((await pipeline.process({"any": "thing"})).value + 1)
        handle = await pipeline.submit(5)
        show((await handle).value + 1)
    await pipeline.feed(["/", 2], target_stage="Fetch")
    left: list[UnprocessedItem] = await pipeline.shutdown()
    await pipeline.run(left)
    await make().run([1])


async def quick() -> None:
    show((await Pipeline.quick([1], lambda number: number + 1))[0].value + 1)
    show((await Pipeline.quick([1], (lambda number: number + 1, str)))[0].value)
    show((await Pipeline.quick([1], fetch))[0].value + 1)
    show((await Pipeline.quick([1], (fetch, parse)))[0].value)
    show((await Pipeline.quick([1], (parse, measure, fetch)))[0].value + 1)
    show((await Pipeline.quick([1], (measure, fetch)))[0].value + 1)
    show((await Pipeline.quick([b""], (measure, TASKS[0])))[0].value + 1)
    show((await Pipeline.quick([1], TASKS))[0].value + 1)
    show((await Pipeline.quick([1], [fetch, measure], workers=2))[0].value + 1)
    show((await Pipeline.quick([{"id": 1, "value": b""}], measure))[0].value + 1)


def steps() -> None:
    builder = Pipeline.create()
    builder.add("Fetch", fetch)
    builder.add("Measure", measure)
    show(builder.build().run_sync([1])[0].value + 1)
    show(Pipeline.create().add("Add", lambda number: number + 1).build().run_sync([1])[0].value + 1)
    mixed = Pipeline.create().add("Fetch", fetch).add("Measure", measure).add("Parse", parse)
    show(mixed.build().run_sync([1, "/"])[0].value)
    show(
        Pipeline.create().add("All", *TASKS).add("Measure", measure).build().run_sync([1])[0].value
        + 1
    )
    show(
        Pipeline.create().add("Both", fetch, measure, skip_if=bool).build().run_sync([1])[0].value
        + 1
    )
    options = {"workers": 2, "retries": 1}
    show(Pipeline.create().add("Fetch", fetch, unpack_args=True).build(), options)


def added_in_a_loop(builder: PipelineBuilder) -> Pipeline:
    for number, task in enumerate(TASKS):
        builder = builder.add(f"Task{number}", task)
    return builder.add("Measure", measure).build()


def made_in_parts() -> PipelineBuilder:
    added_in_a_loop(Pipeline.create())
    added_in_a_loop(Pipeline.create().add("Measure", measure))
    builder: PipelineBuilder = Pipeline.create()
    builder = builder.add("Measure", measure)
    builder = builder.add("Parse", parse)
    builder.build()
    return builder
