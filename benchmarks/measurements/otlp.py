"""What it costs to send traces, the export included."""

import gc
import sys
from asyncio.subprocess import DEVNULL, PIPE, create_subprocess_exec
from time import process_time

from benchmarks.contenders import Contender
from benchmarks.harness.model import Entry, Figures, Measurement, Metric
from benchmarks.measurements.work import STAGES, WARM_UP, WORKERS, check, no_op, per_item_and_stage

PROCESSOR_TIME = Metric("cpu", "us of processor time per item and stage", decimals=0)

RECEIVER = """
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Receiver(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
print(server.server_port, flush=True)
server.serve_forever()
"""
"""Another process, which takes spans and drops them."""


async def measure(contender: Contender, size: int) -> Figures:
    """Run all items, send their spans, and read the processor time of all threads."""
    receiver = await create_subprocess_exec(
        sys.executable, "-c", RECEIVER, stdout=PIPE, stderr=DEVNULL
    )
    try:
        assert receiver.stdout is not None
        port = int(await receiver.stdout.readline())
        url = f"http://127.0.0.1:{port}/v1/traces"
        program, tasks = contender.program(), [no_op] * STAGES
        await program.exported(range(WARM_UP), tasks, WORKERS, url)
        gc.collect()
        begin = process_time()
        results = await program.exported(range(size), tasks, WORKERS, url)
        used = process_time() - begin
    finally:
        receiver.kill()
        await receiver.wait()
    check(len(results), size)
    return {PROCESSOR_TIME.name: per_item_and_stage(used, size)}


MEASUREMENT = Measurement(
    name="otlp",
    title="No-op, 3 x 10 workers, with traces sent by OTLP",
    about="The no-op pipeline with antflow-otel, OpenTelemetry's batch processor and its exporter "
    "of OTLP over HTTP (protobuf), which sends seven spans an item to another process: the "
    "processor time of all threads, until the last span has been sent. Of every item, and of one "
    "item in a hundred.",
    size_heading="items",
    entries=(Entry("antflow-otlp", 5_000), Entry("antflow-otlp-sampled", 30_000)),
    metrics=(PROCESSOR_TIME,),
    measure=measure,
    at_most_rounds=5,
)
