"""The program that counts words, on directories of text and of what is not text."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from pathlib import Path

from examples import word_count as program
from tests.examples.conftest import Run


def totals(output: str) -> dict[str, int]:
    """Read the totals out of what the program printed."""
    pairs = (line.rsplit(maxsplit=1) for line in output.splitlines() if line)
    numbers = {label.strip(): n.replace(",", "") for label, n in pairs if not label.endswith(":")}
    return {label: int(n) for label, n in numbers.items() if n.isdigit()}


def test_words_are_counted_over_all_text_files(run: Run, tmp_path: Path) -> None:
    (tmp_path / "deep" / "deeper").mkdir(parents=True)
    (tmp_path / "one.txt").write_text("The ant, the ant's ANT.\n", encoding="utf-8")
    (tmp_path / "deep" / "two.md").write_text("\ufeffÉtude\n\nthe étude", encoding="utf-8")
    (tmp_path / "deep" / "deeper" / "three.rst").write_text("the_ant 12 x2\n", encoding="utf-8")
    (tmp_path / "empty.txt").touch()
    (tmp_path / "program.py").write_text("the the the the", encoding="utf-8")
    finished = run("word_count.py", tmp_path)
    assert finished.stderr == ""
    assert finished.returncode == 0, finished.stdout
    table, summary = finished.stdout.split("\n\n")
    assert table.splitlines() == [
        "word   count  share",
        "the        4  36.4%",
        "ant        3  27.3%",
        "étude      2  18.2%",
        "ant's      1   9.1%",
        "x          1   9.1%",
    ]
    assert totals(summary) == {"files": 4, "words": 11, "different words": 5, "failures": 0}


def test_what_is_not_text_fails_by_name_and_the_rest_is_counted(run: Run, tmp_path: Path) -> None:
    (tmp_path / "right.txt").write_text("one two three", encoding="utf-8")
    # Words before the damage: more than a block of them, so that some were read when it shows.
    (tmp_path / "late.txt").write_bytes(b"never counted " * 10_000 + b"\xff")
    (tmp_path / "latin.txt").write_bytes("caf\xe9".encode("latin-1"))
    (tmp_path / "cut.txt").write_bytes("é".encode()[:1])
    (tmp_path / "link.txt").symlink_to("nowhere.txt")
    (tmp_path / "folder.txt").mkdir()
    os.mkfifo(tmp_path / "pipe.txt")
    finished = run("word_count.py", tmp_path)
    assert finished.stderr == ""
    assert finished.returncode == 1
    _, summary, failures = finished.stdout.split("\n\n")
    assert totals(summary) == {
        "files": 1,
        "words": 3,
        "different words": 3,
        "failures": 5,
        "NotTextError": 3,
        "UnreadableError": 2,
    }
    reasons = {
        line.split(maxsplit=2)[1]: line.split(maxsplit=2)[2] for line in failures.splitlines()
    }
    assert reasons == {
        str(tmp_path / "late.txt"): "not UTF-8: invalid start byte",
        str(tmp_path / "latin.txt"): "not UTF-8: unexpected end of data",
        str(tmp_path / "cut.txt"): "not UTF-8: unexpected end of data",
        str(tmp_path / "link.txt"): "No such file or directory",
        str(tmp_path / "pipe.txt"): "not a regular file",
    }


def test_many_files_with_few_shown(run: Run, tmp_path: Path) -> None:
    for number in range(500):
        (tmp_path / f"{number}.log").write_text("ant " * number, encoding="utf-8")
        (tmp_path / f"{number}.dat").write_bytes(b"\xff")
    options = ("--suffix", ".log", "--suffix", ".dat", "--top", 1, "--show", 2, "--workers", 3)
    finished = run("word_count.py", *options, tmp_path)
    assert finished.returncode == 1
    table, summary, failures = finished.stdout.split("\n\n")
    assert table.split() == ["word", "count", "share", "ant", "124,750", "100.0%"]
    assert totals(summary)["files"] == 500
    assert totals(summary)["NotTextError"] == 500
    *named, more = failures.splitlines()
    assert len(named) == 2
    assert more == "and 498 more: --show 500 shows all"


def test_names_that_would_upset_a_terminal(run: Run, tmp_path: Path) -> None:
    (tmp_path / "\x1b[2J.txt").write_bytes(b"\xff")
    with open(os.fsencode(tmp_path) + b"/\xff.txt", "wb") as file:  # noqa: PTH123 -- a name in bytes
        file.write(b"\xff")
    finished = run("word_count.py", tmp_path)
    assert finished.returncode == 1
    assert "\x1b" not in finished.stdout
    assert r"\x1b[2J.txt" in finished.stdout
    assert r"\udcff.txt" in finished.stdout


def test_words_that_the_terminal_cannot_show(run: Run, tmp_path: Path) -> None:
    (tmp_path / "one.txt").write_text("été", encoding="utf-8")
    finished = run("word_count.py", tmp_path, terminal="ascii")
    assert finished.stderr == ""
    assert finished.returncode == 0
    assert r"\xe9t\xe9" in finished.stdout


def test_an_empty_directory_has_no_words(run: Run, tmp_path: Path) -> None:
    finished = run("word_count.py", tmp_path)
    assert finished.stderr == ""
    assert finished.returncode == 0
    zeros = {"files": 0, "words": 0, "different words": 0, "failures": 0}
    assert totals(finished.stdout) == zeros


# The parts


def test_a_word_is_whole_wherever_the_blocks_part_it() -> None:
    text = "Ants don't carry, they 'march' rock\u2019n\u2019roll a-b"
    whole = ["ants", "don't", "carry", "they", "march", "rock\u2019n\u2019roll", "a", "b"]
    for block in range(max(map(len, whole)), len(text) + 2):
        assert list(program.words(io.StringIO(text), block)) == whole, block


def test_a_word_without_end_is_held_in_pieces() -> None:
    assert [len(word) for word in program.words(io.StringIO("x" * 100), 8)] == [16] * 6 + [4]


async def test_files_are_taken_from_the_walk_as_there_is_room(tmp_path: Path) -> None:
    path = tmp_path / "one.txt"
    path.write_text("one", encoding="utf-8")
    tally = program.Tally(show=0)
    taken = 0
    ahead = []

    def paths() -> Iterator[Path]:
        nonlocal taken
        for _ in range(1000):
            taken += 1
            ahead.append(taken - tally.files)
            yield path

    await program.count_all(paths(), tally, workers=2)
    assert tally.total == {"one": 1000}
    assert max(ahead) < 60
