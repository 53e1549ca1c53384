"""Every Python block of the documents runs as a program of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from _pytest.mark import ParameterSet

from tests.documents.reader import LONG, OUTPUT, PROGRAM, shortened

ROOT = Path(__file__).parents[2]
TEMPLATE = ROOT / "examples" / "antflow-plugin-template" / "src"  # the tutorial is about it
DOCUMENTS = [
    *sorted(ROOT.glob("*.md")),
    *sorted(ROOT.glob("antflow-*/README.md")),
    *sorted((ROOT / "docs").glob("**/*.md")),
    *sorted((ROOT / "examples").glob("*/README.md")),
]


def programs_of(document: Path) -> Iterator[ParameterSet]:
    """Find the programs of a document, each with the output that the page shows, if any."""
    text = document.read_text(encoding="utf-8")
    for number, found in enumerate(PROGRAM.finditer(text), 1):
        output = OUTPUT.match(text, found.end())
        name = found["name"] or f"program_{number}.py"
        test_id = f"{document.relative_to(ROOT)}-{name}"
        yield pytest.param(name, found["text"], output and output["text"], id=test_id)


PROGRAMS = [program for document in DOCUMENTS for program in programs_of(document)]
ENVIRON = {name: text for name, text in os.environ.items() if name != "ANTFLOW_PLUGIN_AUTOLOAD"}
"""A reader's: what is installed is active."""

RUN_FORKS = """
import os, signal, sys, types
from importlib.metadata import entry_points

for entry in entry_points(group="antflow"):
    entry.load()
while path := sys.stdin.readline().strip():
    child = os.fork()
    if child == 0:
        break
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
else:
    sys.exit()
signal.alarm(60)
with open(os.devnull) as nothing, open(f"{path}.out", "w") as out, open(f"{path}.err", "w") as err:
    for number, file in enumerate((nothing, out, err)):
        os.dup2(file.fileno(), number)
folder, name = os.path.split(path)
os.chdir(folder)
sys.argv = [name]
with open(name, encoding="utf-8") as file:
    program = compile(file.read(), name, "exec")
main = sys.modules["__main__"] = types.ModuleType("__main__")
main.__file__ = path  # so that processes of its own find what is pickled
exec(program, vars(main))
"""
"""Runs each file that it is given, in its folder, by a process that has imported all plugins."""

Run = Callable[[Path], int]


@pytest.fixture(scope="module")
def run() -> Iterator[Run]:
    """Run a file as a process, every warning being an error, and return the exit code."""
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-c", RUN_FORKS],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**ENVIRON, "PYTHONPATH": str(TEMPLATE)},
        text=True,
    ) as process:
        stdin, stdout = process.stdin, process.stdout
        assert stdin
        assert stdout

        def run_file(path: Path) -> int:
            print(path, file=stdin, flush=True)
            return int(stdout.readline())

        yield run_file
        stdin.close()
        assert process.wait(60) == 0


@pytest.mark.parametrize(("name", "program", "output"), PROGRAMS)
def test_a_program_runs_without_a_warning_and_prints_what_its_page_shows(
    name: str, program: str, output: str | None, run: Run, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_text(shortened(program), encoding="utf-8")
    assert run(path) == 0, Path(f"{path}.err").read_text(encoding="utf-8")
    if output is not None:
        printed = Path(f"{path}.out").read_text(encoding="utf-8")
        assert FIGURE.sub("#", printed) == FIGURE.sub("#", output)


def test_there_are_programs_to_run() -> None:
    outputs = [program.values[2] for program in PROGRAMS if program.values[2] is not None]
    assert (len(PROGRAMS) > 70, len(outputs) > 40) == (True, True)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_each_program_of_a_document_has_a_name_of_its_own(document: Path) -> None:
    found = [match["name"] for match in PROGRAM.finditer(document.read_text(encoding="utf-8"))]
    names = [name for name in found if name]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("program", ["antflow.stats", "import warnings; warnings.warn('old')"])
def test_a_block_that_lacks_an_import_or_warns_is_found(
    program: str, run: Run, tmp_path: Path
) -> None:
    path = tmp_path / "program.py"
    path.write_text(program, encoding="utf-8")
    assert run(path) == 1


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_blocks_and_links_of_a_document(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    # In a list, a block would not be run, and the site would not show it as code.
    assert re.findall(r"^[ ]+```.*", text, re.MULTILINE) == []
    links = re.findall(r"\]\((?!https?:)([^)#]+)", text)
    assert [link for link in links if not (document.parent / link).exists()] == []


DISPLAYING = ["docs/quickstart.md", "docs/displays.md", "antflow-rich/README.md"]
"""Documents that begin with a display; those of packages are not there where wheels are tested."""

FIGURE = re.compile(r"\b\d+\.\d+\b")
"""What differs from run to run, such as seconds."""

SLEEP = re.compile(r"sleep\(([\d.]+)\)")
WORKERS = re.compile(r'Stage\("\w+", (?:workers=)?(\d+)')


@pytest.mark.parametrize("document", [name for name in DISPLAYING if (ROOT / name).exists()])
def test_a_display_in_a_document_is_there_for_some_seconds(document: str) -> None:
    """By what its first program sleeps, for each item, in each of the workers of one stage."""
    text = (ROOT / document).read_text(encoding="utf-8")
    found = next(match["text"] for match in PROGRAM.finditer(text) if LONG in match["text"])
    sleep, workers = SLEEP.search(found), WORKERS.search(found)
    assert sleep is not None
    assert workers is not None
    assert 3 <= 1_000 * float(sleep[1]) / int(workers[1]) <= 5
