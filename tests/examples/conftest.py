"""What the tests of the example programs share."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def run() -> Run:
    """Run an example as a user does, every warning being an error, and give what it printed.

    `terminal` is the encoding of the terminal it believes to print on.
    """

    def run_example(
        name: str, *arguments: object, terminal: str = "utf-8"
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-W", "error", str(EXAMPLES / name), *map(str, arguments)],
            capture_output=True,
            encoding=terminal,
            env={**os.environ, "PYTHONIOENCODING": terminal},
            timeout=120,
            check=False,
        )

    return run_example
