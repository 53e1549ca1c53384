"""The picture of a trace shows the spans that were exported, and loads nothing."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from antflow import Pipeline, Stage, current_item
from antflow_otel import OTel
from tests.packages.otel.trace_picture import FOLDER, Picture, tried_again


def texts(picture: str) -> list[str]:
    return [
        element.text or "" for element in ET.fromstring(picture).iter() if "text" in element.tag
    ]


async def test_it_has_a_row_for_each_span_of_the_item_that_was_tried_again() -> None:
    async def fetch(number: int) -> int:
        item = current_item()
        assert item is not None
        if number == 2 and item.attempt == 1:
            raise ConnectionError("busy & gone")
        return number

    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    stages = [
        Stage("Fetch", 1, [fetch], task_attempts=2, retry_wait=0.01),
        Stage("Store", 1, [lambda number: number]),
    ]
    pipeline = Pipeline(stages, name="survey", plugins=[OTel(tracer_provider=provider)])
    await pipeline.run([1, 2, 3])
    written = texts(Picture(tried_again(exporter.get_finished_spans())).svg())
    rows = [text for text in written if text.split()[0] in {"Fetch", "Store", "survey"}]
    assert rows[:4] == ["survey", "survey", "Fetch", "Fetch fetch"]  # the title, then the spans
    assert written.count("Fetch fetch") == 2
    assert "busy & gone" in written


def test_the_picture_in_the_documents_is_of_a_retry_and_loads_nothing() -> None:
    picture = (FOLDER / "trace.svg").read_text(encoding="utf-8")
    written = texts(picture)
    assert {"survey", "Fetch", "Parse parse", "Store store", "retried"} <= {*written}
    assert written.count("Fetch fetch") >= 2
    assert set(re.findall(r"//([\w.-]+)", picture)) == {"www.w3.org"}
    assert not re.search(r"<script|<image|url\(|@import|@font-face", picture)
