"""Mistakes in typed programs; each line with a comment `type: ignore` is rejected.

It runs under no test: mypy and pyright check it, here and against the installed wheels, and report
a comment that they do not need. `test_rejected` compares the lines.
"""

from __future__ import annotations

from typing import assert_type

from antflow import ItemHandle, Pipeline, PipelineResult, Stage


async def fetch(page: str) -> bytes:
    return page.encode()


def measure(content: bytes) -> int:
    return len(content)


async def find(number: int) -> str | None:
    return str(number) if number else None


def nothing() -> None:
    """It takes no value."""


def waits() -> None:
    Stage("Fetch", 1, [fetch], retry_wait=lambda attempt, error: 2.0 * attempt)
    Stage("Fetch", 1, [fetch], retry_wait=lambda attempt: 2.0 * attempt)  # type: ignore[misc]
    Stage("Fetch", 1, [fetch], retry_wait="2 s")  # type: ignore[arg-type]


async def chains() -> None:
    await Pipeline.quick(["/"], (measure, fetch))  # type: ignore[misc]
    await Pipeline.quick(["/"], (fetch, fetch))  # type: ignore[arg-type]
    await Pipeline.quick([1], (find, fetch))  # type: ignore[arg-type]
    await Pipeline.quick(["/"], (fetch, measure, measure))  # type: ignore[arg-type]
    await Pipeline.quick(["/"], (fetch, measure, find, fetch))  # type: ignore[arg-type]
    await Pipeline.quick(["/"], (fetch, fetch, measure, find))  # type: ignore[arg-type]
    await Pipeline.quick(["/"], (fetch, measure, find, str, find))  # type: ignore[misc]
    await Pipeline.quick(["/"], nothing)  # type: ignore[arg-type]
    await Pipeline.quick(["/"], "fetch")  # type: ignore[call-overload]
    await Pipeline.quick(["/"], fetch, wokers=2)  # type: ignore[call-overload]


def steps() -> None:
    builder = Pipeline.create().add("Fetch", fetch)
    builder.add("Fetch", fetch)  # type: ignore[arg-type]
    builder.add("Find", find)  # type: ignore[arg-type]
    builder.add("Measure", measure).add("Measure", measure)  # type: ignore[arg-type]
    builder.add("Measure", measure).add("Find", find).add("Fetch", fetch)  # type: ignore[arg-type]
    builder.add("Nothing", nothing)  # type: ignore[arg-type]
    builder.stream([1])  # type: ignore[list-item]


async def items(pages_to_lengths: Pipeline[str, int]) -> None:
    await pages_to_lengths.run([1])  # type: ignore[list-item]
    pages_to_lengths.stream([b"/"])  # type: ignore[list-item]
    pages_to_lengths.stream_sync(range(3))  # type: ignore[arg-type]
    await pages_to_lengths.process(1)  # type: ignore[arg-type]
    await pages_to_lengths.submit(1)  # type: ignore[arg-type]
    pages_to_lengths.submit_nowait(1)  # type: ignore[arg-type]


async def results(pages_to_lengths: Pipeline[str, int], handle: ItemHandle[int]) -> None:
    (await pages_to_lengths.run(["/"]))[0].value.upper()  # type: ignore[attr-defined]
    (await handle).value.upper()  # type: ignore[attr-defined]
    (await Pipeline.quick(["/"], fetch))[0].value.upper_case()  # type: ignore[attr-defined]
    wrong: PipelineResult[str] = await handle  # type: ignore[assignment]
    assert_type(wrong.value, str)
    other: Pipeline[int, int] = pages_to_lengths  # type: ignore[assignment]
    assert_type(other, Pipeline[int, int])
