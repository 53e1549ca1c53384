"""Where things are."""

from pathlib import Path

BENCHMARKS = Path(__file__).resolve().parent.parent
ROOT = BENCHMARKS.parent
SOURCES = ROOT / "antflow-core" / "src"
ENVIRONMENTS = BENCHMARKS / ".envs"
RESULTS = BENCHMARKS / "RESULTS.md"
