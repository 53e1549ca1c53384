"""The parent and the links of an item's span, and the trace context that an item carries."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import pytest
from opentelemetry import baggage
from opentelemetry.context import attach, detach
from opentelemetry.sdk.trace.sampling import (
    ALWAYS_OFF,
    ALWAYS_ON,
    Decision,
    ParentBased,
    Sampler,
    SamplingResult,
)
from opentelemetry.trace import TraceState, get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from antflow import Stage, StatusEvent, current_item, hookimpl
from tests.helpers.virtual_time import Gate, settle, simulate
from tests.packages.otel.tracing import Traced, attributes_of, ids, links_of, parent_of, same, stage

pytestmark = pytest.mark.usefixtures("no_complaints")

RUN = "run letters"
each_way = pytest.mark.parametrize("feed_context", ["link", "child"])
each_unit = pytest.mark.parametrize("trace", ["item", "run"])


def relations(traced: Traced, name: str = "letters") -> list[tuple[str | None, set[str]]]:
    """Return the names of each item's parent and links."""
    names = {ids(span)[1]: span.name for span in traced.spans}
    return [
        (names.get(parent_of(item) or 0), {names[link] for link in links_of(item)})
        for item in traced.named(name)
    ]


@pytest.mark.parametrize(
    ("trace", "feed_context", "feeder", "parent", "links"),
    [
        ("item", "link", None, None, {RUN}),
        ("item", "link", "feeder", None, {RUN, "feeder"}),
        ("item", "link", "caller", None, {RUN, "caller"}),
        ("item", "child", None, None, {RUN}),
        ("item", "child", "feeder", "feeder", {RUN}),
        ("item", "child", "caller", "caller", {RUN}),
        ("run", "link", None, RUN, set()),
        ("run", "link", "feeder", RUN, {"feeder"}),
        ("run", "link", "caller", RUN, set()),
        ("run", "child", None, RUN, set()),
        ("run", "child", "feeder", "feeder", {RUN}),
        ("run", "child", "caller", RUN, set()),
        # An item that is fed before the start belongs to the span in which the run starts.
        ("item", "link", "before", None, {RUN, "caller"}),
        ("item", "child", "before", "caller", {RUN}),
        ("run", "link", "before", RUN, set()),
        ("run", "child", "before", RUN, set()),
    ],
)
def test_the_options_decide_how_an_item_relates_to_run_and_feeder(
    trace: str, feed_context: str, feeder: str | None, parent: str | None, links: set[str]
) -> None:
    traced = Traced(trace=trace, feed_context=feed_context)
    one = traced.pipeline(stage())

    async def main() -> None:
        if feeder == "before":
            await one.feed([1])
        with traced.tracer.start_as_current_span("caller"):
            await one.start()
            if feeder == "caller":
                await one.feed([1])
        with traced.tracer.start_as_current_span("feeder"):
            if feeder == "feeder":
                await one.feed([1])
        if feeder is None:
            await one.feed([1])
        await one.join()

    simulate(main)
    assert relations(traced) == [(parent, links)]


def test_each_item_relates_to_its_own_feeder() -> None:
    traced = Traced()
    one = traced.pipeline(stage())
    feeders = [None, "a", "a", "b", None, "a"]

    async def main() -> None:
        await one.start()
        for feeder in feeders:
            with traced.tracer.start_as_current_span(feeder) if feeder else nullcontext():
                await one.feed([1])
        await one.join()

    simulate(main)
    assert relations(traced) == [(None, {RUN, each} if each else {RUN}) for each in feeders]


# Items that carry trace context


class WithState(Sampler):
    """A sampler that gives each span a trace state, as a vendor's does."""

    def should_sample(self, *arguments: Any, **named: Any) -> SamplingResult:
        state = TraceState([("vendor", "a"), ("other", "b")])
        return SamplingResult(Decision.RECORD_AND_SAMPLE, trace_state=state)

    def get_description(self) -> str:
        return "with a state"


SAMPLERS = [ALWAYS_ON, ParentBased(ALWAYS_OFF), WithState()]


async def left_over(traced: Traced) -> Any:
    """Return an item that a run has left, with the context that it carries."""
    one = traced.pipeline(stage(task=Gate()), name="before")
    await one.start()
    await one.feed([1])
    await settle()
    (item,) = await one.shutdown(timeout=0)
    return item


@pytest.mark.parametrize("sampler", SAMPLERS, ids=["sampled", "not sampled", "with state"])
def test_an_item_that_is_fed_again_continues_its_trace(sampler: Sampler) -> None:
    traced = Traced(sampler)
    seen: list[tuple[str, dict[str, str]]] = []

    async def look(value: Any) -> Any:
        item = current_item()
        assert item is not None
        trace_id = get_current_span().get_span_context().trace_id
        seen.append((f"{trace_id:032x}", dict(item.carrier)))
        return value

    async def main() -> dict[str, str]:
        item = await left_over(traced)
        carrier = dict(item.carrier)
        again = traced.pipeline(stage(task=look))
        await again.start()
        await again.feed([item] * 2)
        await again.join()
        assert not again.plugin_faults
        return carrier

    carrier = simulate(main)
    read = TraceContextTextMapPropagator().extract(carrier)
    context = get_current_span(read).get_span_context()
    assert [trace_id for trace_id, _ in seen] == [f"{context.trace_id:032x}"] * 2
    assert context.trace_flags.sampled == (sampler is not SAMPLERS[1])
    assert len(context.trace_state) == (2 if sampler is SAMPLERS[2] else 0)
    if context.trace_flags.sampled:
        assert ids(traced.only("before")) == (context.trace_id, context.span_id)
        assert relations(traced) == [("before", {RUN})] * 2
        # What later stages and processes get is the new span.
        new = [ids(item)[1] for item in traced.named("letters")]
        assert [int(each["traceparent"][36:52], 16) for _, each in seen] == new


def test_one_that_is_fed_again_before_the_start_is_linked_to_the_caller_of_start() -> None:
    traced = Traced()

    async def main() -> None:
        item = await left_over(traced)
        again = traced.pipeline(stage())
        await again.feed([item])
        with traced.tracer.start_as_current_span("request"):
            await again.start()
        await again.join()

    simulate(main)
    assert relations(traced) == [("before", {RUN, "request"})]


@pytest.mark.parametrize(
    "carrier",
    [
        {},
        {"traceparent": ""},
        {"traceparent": "of another kind"},
        {"traceparent": f"00-{'0' * 32}-{'0' * 16}-01", "tracestate": "vendor=a"},
    ],
)
def test_an_invalid_carrier_is_ignored_and_replaced(carrier: dict[str, str]) -> None:
    traced = Traced()
    seen: dict[str, str] = {}

    async def look(value: Any) -> None:
        item = current_item()
        assert item is not None
        seen.update(item.carrier)

    async def main() -> None:
        item = await left_over(traced)
        item.carrier.clear()
        item.carrier.update(carrier, kept="here")
        again = traced.pipeline(stage(task=look))
        await again.start()
        with traced.tracer.start_as_current_span("feeder"):
            await again.feed([item])
        await again.join()

    simulate(main)
    assert relations(traced) == [(None, {RUN, "feeder"})]
    assert seen.pop("traceparent")[3:35] == f"{ids(traced.only('letters'))[0]:032x}"
    assert seen == {"kept": "here"}


@each_unit
def test_tasks_have_the_baggage_of_their_items_feeder(trace: str) -> None:
    traced, seen = Traced(trace=trace), []

    async def look(value: Any) -> Any:
        seen.append(baggage.get_baggage("customer"))
        return value

    async def main() -> None:
        async with traced.pipeline(stage(task=look)) as one:
            await one.start()
            for customer in "ab":
                token = attach(baggage.set_baggage("customer", customer))
                await one.process(1)
                detach(token)

    simulate(main)
    assert seen == ["a", "b"]


# Items that are not sampled


def test_of_an_item_that_is_not_sampled_nothing_is_recorded_and_its_tasks_neither() -> None:
    traced = Traced(ParentBased(ALWAYS_OFF))
    flags: list[bool] = []
    carriers: list[dict[str, str]] = []

    class Noting:
        @hookimpl
        def antflow_item_start(self, event: StatusEvent) -> None:
            carriers.append(event.item.carrier)

    async def ask(value: Any) -> Any:
        with traced.tracer.start_as_current_span("asked") as span:
            context = span.get_span_context()
            flags.append(context.is_valid and not context.trace_flags.sampled)
            assert context.trace_id == get_current_span().get_span_context().trace_id
        if value == 2:
            raise ValueError(value)
        return value

    first = stage("A", ask, task_attempts=2, task_wait_seconds=1)
    one = traced.pipeline(first, stage("B", tasks=[ask, same]), plugins=[Noting()])
    simulate(lambda: one.run(range(3)))
    assert traced.spans == []
    assert flags == [True] * 6
    assert not one.plugin_faults
    assert carriers == [{}] * 3


# Nested pipelines, and items that tasks and callbacks feed


@each_way
def test_a_pipeline_in_a_task_leads_back_to_it(feed_context: str) -> None:
    traced = Traced(feed_context=feed_context)

    async def nests(value: Any) -> Any:
        inner = traced.pipeline(stage("Inner"), name="inner")
        results = await inner.run([value])
        assert not inner.plugin_faults
        return results[0].value

    outer = traced.pipeline(Stage("Outer", 1, [nests]), name="outer")
    simulate(lambda: outer.run([1]))
    attempt = "Outer nests"
    assert parent_of(traced.only("run inner")) == ids(traced.only(attempt))[1]
    expected = {
        "link": (None, {"run inner", attempt}),
        "child": (attempt, {"run inner"}),
    }
    assert relations(traced, "inner") == [expected[feed_context]]
    assert not outer.plugin_faults


def test_an_item_that_a_task_feeds_is_linked_to_the_attempt() -> None:
    traced = Traced()

    async def crawls(value: int) -> int:
        if value == 0:
            await one.feed([1])
        return value

    one = traced.pipeline(stage(task=crawls, workers=1))
    simulate(lambda: one.run([0]))
    assert relations(traced) == [(None, {RUN}), (None, {RUN, "Work crawls"})]
    first, _ = traced.named("Work crawls")
    assert ids(first)[1] in links_of(traced.named("letters")[1])


@each_way
@each_unit
def test_an_item_that_a_callback_feeds_is_of_the_run(trace: str, feed_context: str) -> None:
    traced = Traced(trace=trace, feed_context=feed_context)

    async def follow(item_id: Any, value: int, _: Any) -> None:
        if value < 2:
            await one.feed([value + 1])

    one = traced.pipeline(stage(on_success=follow, workers=1))

    async def main() -> None:
        with traced.tracer.start_as_current_span("request"):
            await one.feed([0])
            await one.start()
        await one.join()

    simulate(main)
    assert not one.plugin_faults
    _, *fed = relations(traced)
    assert fed == [(RUN, set()) if trace == "run" else (None, {RUN})] * 2
    assert attributes_of(traced.only(RUN))["antflow.pipeline.name"] == "letters"
