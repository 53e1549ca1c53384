"""Every Python block of the documents runs as a program of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.documents.reader import LONG, shortened

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

DISPLAYING = {"README.md", "docs/displays.md", "antflow-rich/README.md"}
"""Documents that begin with a display; those of packages are not there where wheels are tested."""

LINK = re.compile(r"\]\((?!https?:)([^)#]+)")


@pytest.mark.parametrize("program", BLOCKS)
def test_a_block_runs_without_an_error_or_warning(program: str) -> None:
    command = [sys.executable, "-W", "error", "-c", shortened(program)]
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


@pytest.mark.parametrize(
    "document",
    [document for document in DOCUMENTS if str(document.relative_to(ROOT)) in DISPLAYING],
    ids=lambda document: str(document.relative_to(ROOT)),
)
def test_a_display_in_a_document_is_there_for_some_seconds(document: Path) -> None:
    """By what its first program sleeps, for each item, in each of the workers of one stage."""
    found = BLOCK.search(document.read_text(encoding="utf-8"))
    assert found is not None
    assert LONG in found[1]
    sleep, workers = SLEEP.search(found[1]), WORKERS.search(found[1])
    assert sleep is not None
    assert workers is not None
    assert 3 <= 1_000 * float(sleep[1]) / int(workers[1]) <= 5


SLEEP = re.compile(r"sleep\(([\d.]+)\)")
WORKERS = re.compile(r'Stage\("\w+", (?:workers=)?(\d+)')
