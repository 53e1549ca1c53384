"""Programs that some tests need, and that are not everywhere."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest


def required(program: str) -> str:
    """Return where a program is; without it, skip the test, or fail if ANTFLOW_TEST_REQUIRE is set.

    Args:
        program: its name; it may be on PATH or beside this Python, in the environment's folder.
    """
    beside = str(Path(sys.executable).parent)
    found = shutil.which(program) or shutil.which(program, path=beside)
    if found:
        return found
    if os.environ.get("ANTFLOW_TEST_REQUIRE"):
        pytest.fail(f"{program} is not installed, and ANTFLOW_TEST_REQUIRE demands it")
    pytest.skip(f"{program} is not installed; put it on PATH, or into {beside}")
