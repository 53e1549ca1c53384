"""mypy rejects the marked lines of the programs here and of the documents, and no others."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.documents.reader import PROGRAM
from tests.documents.test_documents import DOCUMENTS

HERE = Path(__file__).parent
MARK = re.compile(r"  # (type: ignore\[[\w-]+\]|rejected: .+|noqa: F821)$")
IMPORT = re.compile(r"^(?:import|from) (\w+)", re.MULTILINE)
KNOWN = {*sys.stdlib_module_names, "antflow", "tenacity"}
"""Modules of the programs that are checked: larger ones would take mypy ten seconds more."""
ERROR = re.compile(r"^(\w+\.py):(\d+): error: ", re.MULTILINE)


def test_mypy_rejects_the_marked_lines_and_no_others(tmp_path: Path) -> None:
    pytest.importorskip("mypy", reason="mypy is not installed; it is in the group lint")
    programs = {
        name: (HERE / name).read_text(encoding="utf-8").splitlines()
        for name in ("known_types.py", "rejected.py", "untyped.py")
    }
    texts = [text for page in DOCUMENTS for _, text in PROGRAM.findall(page.read_text("utf-8"))]
    shown = [text for text in texts if KNOWN.issuperset(IMPORT.findall(text))]
    programs |= {f"program_{n}.py": text.splitlines() for n, text in enumerate(shown)}
    for name, lines in programs.items():
        text = "\n".join(MARK.sub("", line) for line in lines)
        (tmp_path / name).write_text(text, encoding="utf-8")
    options = ["--strict", "--config-file=", "--cache-dir", str(tmp_path / "cache"), "--no-pretty"]
    # Programs without annotations are no mistake, nor are values that a list of stages makes Any.
    options += ["--allow-untyped-defs", "--allow-incomplete-defs", "--allow-untyped-calls"]
    options += ["--no-check-untyped-defs", "--no-warn-return-any"]
    command = [sys.executable, "-m", "mypy", *options, *programs]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    found = {(name, int(number)) for name, number in ERROR.findall(done.stdout)}
    marked = {
        (name, number)
        for name, lines in programs.items()
        for number, line in enumerate(lines, 1)
        if MARK.search(line)
    }
    assert found == marked, done.stdout + done.stderr
    assert len(marked) > 25
    assert len(shown) > 100
