"""`antflow run` over lines of JSON, against the same program written by hand."""

import asyncio
import os
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.contenders import Contender
from benchmarks.harness.model import Entry, Figures, Measurement, Metric
from benchmarks.harness.targets import GrowthAtMost, SpeedRatio
from benchmarks.measurements.memory import MEGABYTES
from benchmarks.measurements.work import check, timed

MICROSECONDS = Metric("us", "us a line")
SPEED = Metric("speed", "lines a second", decimals=0)
LINE = '{{"number": {}, "text": "a line of some forty letters"}}\n'


async def measure(contender: Contender, size: int) -> Figures:
    """Have a process read that many lines and write as many, its start and end included."""
    with TemporaryDirectory() as folder:
        source, output, peak = (Path(folder) / name for name in ("in", "out", "peak"))
        source.write_text("".join(map(LINE.format, range(size))), encoding="utf-8")
        command = contender.program().lines_command(source, output)
        _, seconds = await timed(_run(command, {**os.environ, "BENCH_PEAK": str(peak)}))
        check(output.read_bytes().count(b"\n"), size)
        return {
            MICROSECONDS.name: seconds / size * 1e6,
            SPEED.name: size / seconds,
            MEGABYTES.name: int(peak.read_text()) / 1024,
        }


async def _run(command: list[str], environ: dict[str, str]) -> None:
    process = await asyncio.create_subprocess_exec(*command, env=environ)
    if await process.wait() != 0:
        raise ChildProcessError(f"{command} ended with status {process.returncode}")


MEASUREMENT = Measurement(
    name="command",
    title="`antflow run` over lines of JSON",
    about="A process reads lines of JSON from a file, has one stage of ten workers do nothing with "
    "each, and writes a line for each result: `antflow run`, which accounts for every line, "
    "whatever happens, and a program of a dozen lines around `Pipeline.stream`. Start and end of "
    "the process are included.",
    size_heading="lines",
    entries=(
        Entry("antflow-by-hand", 200_000),
        Entry("antflow-run", 200_000),
        Entry("antflow-run", 1_000_000, "antflow-run, a million"),
    ),
    metrics=(MICROSECONDS, SPEED, MEGABYTES),
    measure=measure,
    at_most_rounds=5,
    targets=(
        SpeedRatio("0.7 of the speed of the program", "us", "antflow-run", "antflow-by-hand", 0.7),
        GrowthAtMost(
            "a million lines within 4 MB", MEGABYTES, "antflow-run, a million", "antflow-run", 4.0
        ),
    ),
)
