"""Starting a contender in a process of its own."""

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from benchmarks.contenders import CONTENDERS, Contender
from benchmarks.contenders.registry import HERE
from benchmarks.harness.model import Entry, Figures, Measurement
from benchmarks.harness.paths import ROOT, SOURCES

SECONDS_ALLOWED = 600
_LEFT_OUT = ("PYTHON", "ANTFLOW_")


class ChildFailedError(Exception):
    """A contender's process failed. `reason` says so without any path, so that it can be published.

    The text is all that the process said.
    """

    def __init__(self, reason: str, said: str = "") -> None:
        super().__init__(said or reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Report:
    """What a child reported."""

    figures: Figures
    version: str | None


def measure(python: Path, measurement: Measurement, entry: Entry) -> Report:
    """Run one entry of a measurement once, in a new process, and return what it reports."""
    child = (python, "-m", "benchmarks.harness.child")
    work = (measurement.name, entry.contender, str(entry.size))
    try:
        done = subprocess.run(
            [*child, *work],
            cwd=ROOT,
            env=_variables(CONTENDERS[entry.contender], entry.other or SOURCES),
            capture_output=True,
            text=True,
            timeout=SECONDS_ALLOWED,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise ChildFailedError(f"not done after {SECONDS_ALLOWED} s") from None
    if done.returncode != 0:
        reason = f"its process ended with status {done.returncode}"
        raise ChildFailedError(reason, done.stderr.strip())
    report = json.loads(done.stdout.splitlines()[-1])
    return Report(report["figures"], report["version"])


def _variables(contender: Contender, sources: Path) -> dict[str, str]:
    """The environment variables: none that changes Python's or antflow's behaviour by accident."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith(_LEFT_OUT)}
    kept.update(contender.settings)
    if contender.environment == HERE:
        command = sources.parents[1] / "antflow-cli" / "src"  # of the same checkout
        kept["PYTHONPATH"] = os.pathsep.join(map(str, (sources, command)))
    return kept
