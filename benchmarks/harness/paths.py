"""Where things are."""

from pathlib import Path

BENCHMARKS = Path(__file__).resolve().parent.parent
ROOT = BENCHMARKS.parent
ENVIRONMENTS = BENCHMARKS / ".envs"
RESULTS = BENCHMARKS / "RESULTS.md"


def sources(checkout: Path) -> Path:
    """The folder of a checkout that antflow is imported from."""
    return checkout / "antflow-core" / "src"


SOURCES = sources(ROOT)
