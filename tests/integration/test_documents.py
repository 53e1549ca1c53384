"""Every Python block of the documents runs as a program of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEMPLATE = ROOT / "examples" / "antflow-plugin-template" / "src"  # the tutorial is about it
DOCUMENTS = [
    *sorted(ROOT.glob("*.md")),
    *sorted(ROOT.glob("antflow-*/README.md")),
    *sorted((ROOT / "docs").glob("**/*.md")),
    *sorted((ROOT / "examples").glob("*/README.md")),
]
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BLOCKS = [
    pytest.param(match[1], id=f"{document.relative_to(ROOT)}-{number}")
    for document in DOCUMENTS
    for number, match in enumerate(BLOCK.finditer(document.read_text(encoding="utf-8")), 1)
]
ENVIRON = {name: text for name, text in os.environ.items() if name != "ANTFLOW_PLUGIN_AUTOLOAD"}
"""A reader's: what is installed is active."""

LINK = re.compile(r"\]\((?!https?:)([^)#]+)")


@pytest.mark.parametrize("program", BLOCKS)
def test_a_block_runs_without_an_error_or_warning(program: str) -> None:
    command = [sys.executable, "-W", "error", "-c", program]
    environ = {**ENVIRON, "PYTHONPATH": str(TEMPLATE)}
    run = subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False, env=environ
    )
    assert run.returncode == 0, run.stderr


def test_there_are_blocks_to_run() -> None:
    assert len(BLOCKS) >= 6


@pytest.mark.parametrize(
    "document", DOCUMENTS, ids=lambda document: str(document.relative_to(ROOT))
)
def test_no_block_is_hidden_in_a_list(document: Path) -> None:
    """Else it would not be run, and the site would not show it as code."""
    assert re.findall(r"^[ ]+```.*", document.read_text(encoding="utf-8"), re.MULTILINE) == []


@pytest.mark.parametrize(
    "document", DOCUMENTS, ids=lambda document: str(document.relative_to(ROOT))
)
def test_a_link_leads_to_a_file(document: Path) -> None:
    links = LINK.findall(document.read_text(encoding="utf-8"))
    assert [link for link in links if not (document.parent / link).exists()] == []
