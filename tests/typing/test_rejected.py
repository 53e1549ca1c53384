"""mypy rejects the marked lines of the programs here and on the page about types, and no others."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "how-to" / "types.md"
MARK = re.compile(r"  # (type: ignore\[[\w-]+\]|rejected: .+)$")
BLOCK = re.compile(r"^```python[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ERROR = re.compile(r"^(\w+\.py):(\d+): error: ", re.MULTILINE)


def test_mypy_rejects_the_marked_lines_and_no_others(tmp_path: Path) -> None:
    pytest.importorskip("mypy", reason="mypy is not installed; it is in the group lint")
    programs = {
        name: (HERE / name).read_text(encoding="utf-8").splitlines()
        for name in ("known_types.py", "rejected.py", "untyped.py")
    }
    blocks = BLOCK.findall(PAGE.read_text(encoding="utf-8"))
    programs |= {f"block_{n}.py": block.splitlines() for n, block in enumerate(blocks)}
    for name, lines in programs.items():
        text = "\n".join(MARK.sub("", line) for line in lines)
        (tmp_path / name).write_text(text, encoding="utf-8")
    options = ["--strict", "--config-file=", "--cache-dir", str(tmp_path / "cache"), "--no-pretty"]
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
    assert len(blocks) == 3
