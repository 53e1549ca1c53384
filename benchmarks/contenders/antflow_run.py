"""antflow, run over the lines of a file by its command."""

import sys
from pathlib import Path


def lines_command(source: Path, output: Path) -> list[str]:
    """The command that reads lines of JSON and writes as many."""
    target = "benchmarks.contenders.no_op_lines:pipeline"
    files = ["--input", str(source), "--output", str(output)]
    return [sys.executable, "-m", "antflow", "run", target, *files]
