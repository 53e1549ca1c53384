"""The program that checks installed packages, on this environment and on damaged ones."""

from __future__ import annotations

import asyncio
import base64
import csv
import hashlib
import json
import os
import subprocess
import sys
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any

import pytest

from antflow import PipelineResult
from examples import verify_packages as program
from tests.examples.conftest import Run


def recorded(content: bytes, algorithm: str = "sha256") -> str:
    digest = hashlib.new(algorithm, content).digest()
    return f"{algorithm}={base64.urlsafe_b64encode(digest).rstrip(b'=').decode()},{len(content)}"


class Site:
    """A site-packages folder, to be filled with distributions sound and damaged."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True)

    def file(self, name: str, content: bytes) -> str:
        """Write a file and give what a RECORD says of it."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return recorded(content)

    def distribution(self, name: str, *rows: str, record: bytes | None = None) -> None:
        """Install a distribution whose RECORD has these rows, or these bytes."""
        home = self.folder / f"{name}-1.0.dist-info"
        home.mkdir()
        (home / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        content = record if record is not None else "".join(f"{r}\n" for r in rows).encode()
        (home / "RECORD").write_bytes(content)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path / "lib" / "site-packages")


def check(run: Run, site: Site, *, code: int) -> dict[str, Any]:
    """Run the program on a site and give its JSON report."""
    finished = run("verify_packages.py", "--path", site.folder, "--json")
    assert finished.stderr == ""
    assert finished.returncode == code, finished.stdout
    report: dict[str, Any] = json.loads(finished.stdout)
    assert report["ok"] is (code == 0)
    return report


def shown(report: dict[str, Any]) -> list[tuple[str, str, str]]:
    return sorted((f["distribution"], f["file"], f["type"]) for f in report["shown"])


# On what is really installed


INSTALLED = ["h11", "packaging", "pluggy", "prometheus_client", "rich"]


def altered_in(folder: Path) -> tuple[Counter[str], list[tuple[str, str]]]:
    """Find the same by a plain loop: totals, and the files that are not as listed."""
    totals: Counter[str] = Counter()
    altered = []
    for distribution in program.installed(folder):
        totals["distributions"] += 1
        record = distribution.read_text("RECORD")
        totals["without_record"] += record is None
        for name, expected, size in csv.reader((record or "").splitlines()):
            if not expected:
                totals["without_hash"] += 1
                continue
            totals["files"] += 1
            path = Path(str(distribution.locate_file(name)))
            content = path.read_bytes() if path.is_file() else None
            totals["bytes"] += len(content or b"")
            algorithm = expected.partition("=")[0]
            if content is None or recorded(content, algorithm) != f"{expected},{size}":
                altered.append((distribution.metadata["Name"], name))
    return totals, sorted(altered)


@pytest.fixture
def some(site: Site) -> Site:
    """A site with some of the distributions that are installed."""
    for name in INSTALLED:
        installed = Distribution.from_name(name)
        for file in installed.files or ():
            path = Path(str(installed.locate_file(file)))
            if path.is_file() and ".." not in file.parts:
                site.file(str(file), path.read_bytes())
    return site


def test_what_is_installed_as_a_plain_loop_finds_it(run: Run, some: Site) -> None:
    totals, altered = altered_in(some.folder)
    assert totals["distributions"] == len(INSTALLED)
    assert totals["files"] > 100
    finished = run("verify_packages.py", "--path", some.folder, "--json", "--show", 100_000)
    assert finished.stderr == ""
    report: dict[str, Any] = json.loads(finished.stdout)
    assert finished.returncode == (1 if altered else 0)
    assert {key: report[key] for key in totals} == totals
    assert [(name, file) for name, file, _ in shown(report)] == altered
    assert list(report["stages"]) == ["List", "Hash", "Compare"]
    assert report["stages"]["List"]["items"] == report["distributions"]
    assert report["stages"]["Hash"]["items"] == report["files"]
    assert report["busiest_stage"] in report["stages"]


CHECKING = """
import sys
from pathlib import Path

sys.path.insert(0, {folder!r})
import verify_packages

found = verify_packages.installed
verify_packages.installed = lambda _: found(Path({site!r}))
items, pipeline = verify_packages.items, verify_packages.pipeline
"""


def test_antflow_run_checks_the_same_files(some: Site, tmp_path: Path) -> None:
    totals, altered = altered_in(some.folder)
    folder, site = str(Path(program.__file__).parent), str(some.folder)
    (tmp_path / "checking.py").write_text(CHECKING.format(folder=folder, site=site), "utf-8")
    target, output = f"{tmp_path / 'checking.py'}:pipeline", tmp_path / "files.jsonl"
    command = [sys.executable, "-m", "antflow", "run", target, "--output", str(output)]
    failures = tmp_path / "wrong.jsonl"
    ran = subprocess.run([*command, "--failures", str(failures)], timeout=60, check=False)
    assert ran.returncode == (1 if altered else 0)
    checked = output.read_text(encoding="utf-8").splitlines()
    wrong = failures.read_text(encoding="utf-8").splitlines()
    assert len(checked) + len(wrong) >= totals["files"] + totals["without_hash"] > 0
    assert len(wrong) == len(altered)


def test_the_summary_is_an_aligned_table(run: Run, site: Site) -> None:
    site.distribution("sound", f"sound/__init__.py,{site.file('sound/__init__.py', b'')}")
    finished = run("verify_packages.py", "--path", site.folder, "--workers", 3, "--show", 0)
    summary, stages = (block.splitlines() for block in finished.stdout.split("\n\n")[:2])
    labels = [line.partition("  ")[0] for line in summary if not line.startswith(" ")]
    names = "distributions, files, bytes, time, files per second, busiest stage, failures"
    assert labels == names.split(", ")
    assert [line.split()[0] for line in stages] == ["stage", "List", "Hash", "Compare"]
    assert len({len(line) for line in stages}) == 1
    assert stages[2].split()[1] == "3"


# On damage


def test_a_sound_distribution_passes(run: Run, site: Site) -> None:
    md5 = recorded(b"old", "md5")
    site.file("sound/old.py", b"old")
    script = site.file("../../bin/tool", b"#!python\n")
    quoted = site.file('sound/a, "b".py', b"quoted = True\n")
    whole = site.file("sound/open.py", b"size left out\n").partition(",")[0]
    site.file("sound/__pycache__/x.pyc", b"changes at will")
    site.distribution(
        "sound",
        f"sound/__init__.py,{site.file('sound/__init__.py', b'')}",
        f'"sound/a, ""b"".py",{quoted}',
        f"../../bin/tool,{script}",
        f"sound/old.py,{md5}",
        f"sound/open.py,{whole},",
        f"{site.folder}/sound/absolute.py,{site.file('sound/absolute.py', b'1')}",
        "",
        "sound/__pycache__/x.pyc,,",
        "sound/no_hash.py,,12",
        "sound-1.0.dist-info/RECORD,,",
    )
    report = check(run, site, code=0)
    assert report["distributions"] == 1
    assert report["files"] == 6
    assert report["without_hash"] == 3
    assert report["bytes"] == len(b"quoted = True\n#!python\noldsize left out\n1")
    assert report["failures"] == {}


def test_each_damage_is_a_failure_of_its_own_type(run: Run, site: Site) -> None:
    changed = site.file("hurt/changed.py", b"value = 1\n")
    site.file("hurt/changed.py", b"value = 2\n")
    grown = site.file("hurt/grown.py", b"short\n")
    site.file("hurt/grown.py", b"no longer short\n")
    gone = recorded(b"gone")
    (site.folder / "hurt/folder.py").mkdir()
    (site.folder / "hurt/link.py").symlink_to("nowhere.py")
    os.mkfifo(site.folder / "hurt/pipe.py")
    site.distribution(
        "hurt",
        f"hurt/right.py,{site.file('hurt/right.py', b'right')}",
        f"hurt/changed.py,{changed}",
        f"hurt/grown.py,{grown}",
        f"hurt/gone.py,{gone}",
        f'"hurt/gone, too.py",{gone}',
        f"hurt/right.py/below.py,{gone}",
        f"hurt/folder.py,{gone}",
        f"hurt/link.py,{gone}",
        f"hurt/pipe.py,{gone}",
        f"hurt/{'x' * 300}.py,{gone}",
        "hurt/strange.py,nohash99=abc,3",
        "hurt/endless.py,shake_128=abc,3",
        "hurt-1.0.dist-info/RECORD,,",
    )
    report = check(run, site, code=1)
    assert report["files"] == 12
    assert report["without_hash"] == 1
    assert report["bytes"] == len(b"rightvalue = 2\nno longer short\n")
    assert report["failures"] == {
        "HashMismatch": 1,
        "MissingFile": 3,
        "SizeMismatch": 1,
        "UnknownHash": 2,
        "UnreadableFile": 4,
    }
    assert shown(report) == [
        ("hurt", "hurt/changed.py", "HashMismatch"),
        ("hurt", "hurt/endless.py", "UnknownHash"),
        ("hurt", "hurt/folder.py", "UnreadableFile"),
        ("hurt", "hurt/gone, too.py", "MissingFile"),
        ("hurt", "hurt/gone.py", "MissingFile"),
        ("hurt", "hurt/grown.py", "SizeMismatch"),
        ("hurt", "hurt/link.py", "UnreadableFile"),
        ("hurt", "hurt/pipe.py", "UnreadableFile"),
        ("hurt", "hurt/right.py/below.py", "MissingFile"),
        ("hurt", "hurt/strange.py", "UnknownHash"),
        ("hurt", f"hurt/{'x' * 300}.py", "UnreadableFile"),
    ]


def test_a_malformed_row_names_its_distribution_and_the_rest_is_checked(
    run: Run, site: Site
) -> None:
    rows = {
        "bent/two.py,sha256=abc": "row 1 has 2 columns instead of 3",
        "bent/four.py,sha256=abc,1,2": "row 2 has 4 columns instead of 3",
        ",sha256=abc,1": "row 3 names no file",
        "bent/bare.py,abc,1": "row 4 has 'abc' where algorithm=digest belongs",
        "bent/empty.py,sha256=,1": "row 5 has 'sha256=' where algorithm=digest belongs",
        "bent/size.py,sha256=abc,many": "row 6 has 'many' where a number of bytes belongs",
        "bent/long.py,sha256=abc,1234567890123456789": (
            "row 7 has '1234567890123456789' where a number of bytes belongs"
        ),
        "bent/minus.py,sha256=abc,-1": "row 8 has '-1' where a number of bytes belongs",
    }
    site.distribution("bent", *rows, f"bent/right.py,{site.file('bent/right.py', b'right')}")
    report = check(run, site, code=1)
    assert report["failures"] == {"MalformedRow": len(rows)}
    assert report["files"] == len(rows) + 1
    assert report["bytes"] == len(b"right")
    assert {f["distribution"] for f in report["shown"]} == {"bent"}
    assert sorted(f["detail"] for f in report["shown"]) == sorted(rows.values())


def test_distributions_without_a_readable_record(run: Run, site: Site) -> None:
    site.distribution("torn", record=b"torn/\xff.py,,\n")
    site.distribution("lost")
    (site.folder / "lost-1.0.dist-info/RECORD").unlink()
    site.distribution("nameless", f"nameless.py,{recorded(b'')}")
    (site.folder / "nameless-1.0.dist-info/METADATA").unlink()
    (site.folder / "ancient.egg-info").write_text("Name: ancient\nVersion: 1\n")
    report = check(run, site, code=1)
    assert report["distributions"] == 4
    assert report["without_record"] == 2
    assert shown(report) == [
        ("(no name)", "nameless.py", "MissingFile"),
        ("torn", "RECORD", "UnreadableRecord"),
    ]


def test_the_text_names_as_many_failures_as_asked(run: Run, site: Site) -> None:
    gone = recorded(b"")
    site.distribution("hole", *(f"hole/{i:02}.py,{gone}" for i in range(30)), f"a\x1b[2J,{gone}")
    finished = run("verify_packages.py", "--path", site.folder, "--show", 4)
    assert finished.returncode == 1
    *_, failures = finished.stdout.split("\n\n")
    *lines, more = failures.splitlines()
    assert len(lines) == 4
    assert all(line.startswith("MissingFile  hole: hole/") for line in lines)
    assert all(line.endswith("is not there") for line in lines)
    assert more == "and 27 more: --show 31 shows all"
    assert "  MissingFile " in finished.stdout
    everything = run("verify_packages.py", "--path", site.folder, "--show", 31).stdout
    assert "\x1b" not in everything
    assert r"'hole: a\x1b[2J'" in everything
    assert "more" not in everything


def test_a_folder_without_packages_is_not_called_right(run: Run, tmp_path: Path) -> None:
    finished = run("verify_packages.py", "--path", tmp_path)
    assert (finished.returncode, finished.stdout) == (2, "")
    assert f"no installed distribution in {tmp_path}" in finished.stderr


# The parts


async def test_few_distributions_are_read_ahead_of_what_is_checked(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [f"one.py,{site.file('one.py', b'one')}"] * 100
    for number in range(60):
        site.distribution(f"d{number:02}", *rows)
    taken = 0
    ahead = []
    count_file = program.Report.count_file

    def found() -> Iterator[Distribution]:
        nonlocal taken
        for distribution in program.installed(site.folder):
            taken += 1
            yield distribution

    def watch(report: program.Report, result: PipelineResult) -> None:
        count_file(report, result)
        ahead.append(taken - report.files / 100)

    monkeypatch.setattr(program.Report, "count_file", watch)
    report = await program.verify(found(), workers=2, show=0)
    assert (report.distributions, report.files, report.failures) == (60, 6000, 0)
    assert max(ahead) < 32


def test_a_large_file_is_hashed_in_little_memory(tmp_path: Path) -> None:
    large = tmp_path / "large"
    with large.open("wb") as file:
        file.truncate(32 << 20)
    entry = program.Entry("some", tmp_path, "large", "sha256", "", None)
    tracemalloc.start()
    try:
        reading = program.read_and_hash(entry)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert reading.size == 32 << 20
    assert peak < 1 << 20


def test_what_no_task_foresaw_ends_the_program(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.distribution("some", f"some.py,{site.file('some.py', b'')}")

    async def broken(reading: program.Reading) -> program.Reading:
        raise ZeroDivisionError

    monkeypatch.setattr(program, "compare", broken)
    with pytest.raises(ZeroDivisionError):
        asyncio.run(program.verify(program.installed(site.folder), workers=1, show=0))


@pytest.mark.parametrize(
    ("count", "shown"),
    [
        (0, ("0", "bytes")),
        (1023, ("1,023", "bytes")),
        (1536, ("1.5", "KiB")),
        (9000 << 40, ("9,000.0", "TiB")),
    ],
)
def test_bytes_for_people(count: int, shown: tuple[str, str]) -> None:
    assert program.human_bytes(count) == shown


def test_columns() -> None:
    rows = [("name", "count"), ("a", "1"), ("longer", "")]
    assert list(program.aligned(rows, "<>")) == ["name    count", "a           1", "longer"]


async def test_a_record_that_cannot_be_read_is_a_failure_in_its_place(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.distribution("torn", record=b"\xff")
    found = list(distributions(path=[str(site.folder)]))
    monkeypatch.setattr(program, "installed", lambda _: iter(found))
    (item,) = [item async for item in program.items()]
    pipeline = program.pipeline()
    await pipeline.run([item])
    (failure,) = pipeline.failures
    assert failure.error is item
    assert isinstance(item, program.UnreadableRecord)
