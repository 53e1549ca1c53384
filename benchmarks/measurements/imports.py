"""What the import costs, above a Python that imports nothing."""

import subprocess
import sys
from os import environ
from statistics import median
from time import perf_counter

from benchmarks.contenders import Contender
from benchmarks.harness.model import Entry, Figures, Measurement, Metric
from benchmarks.harness.targets import AtMost

MILLISECONDS = Metric("ms", "ms above bare Python", decimals=1)


async def measure(contender: Contender, size: int) -> Figures:
    """Start Python with and without the import in turn, that many times."""
    statement = f"import {contender.imports}"
    _run(statement)  # compiles what was never imported before
    differences = [_run(statement) - _run("pass") for _ in range(size)]
    return {MILLISECONDS.name: median(differences) * 1e3}


def _run(statement: str) -> float:
    begin = perf_counter()
    subprocess.run([sys.executable, "-P", "-s", "-c", statement], check=True, env=_environment())
    return perf_counter() - begin


def _environment() -> dict[str, str]:
    """Let the first import leave its bytecode, as an installed package has it."""
    return {name: value for name, value in environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


MEASUREMENT = Measurement(
    name="imports",
    title="`import antflow`",
    about="The time of a new Python that imports the package, less that of one that imports "
    "nothing; the median of several such pairs.",
    size_heading="pairs",
    entries=(Entry("antflow", 10), Entry("antflow-0.10.0", 10)),
    metrics=(MILLISECONDS,),
    measure=measure,
    at_most_rounds=5,
    targets=(AtMost("at most 60 ms above bare Python", MILLISECONDS, "antflow", 60),),
)
