"""The examples explain their options, and refuse wrong ones with the remedy."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest

from examples import verify_packages, word_count
from examples.service import service

PROGRAMS: dict[str, Callable[[], object]] = {
    "service": service.main,
    "verify_packages": verify_packages.main,
    "word_count": word_count.main,
}


def exit_code(patch: pytest.MonkeyPatch, program: str, *arguments: str) -> object:
    patch.setattr(sys, "argv", [program, *arguments])
    with pytest.raises(SystemExit) as ended:
        PROGRAMS[program]()
    return ended.value.code


@pytest.mark.parametrize(
    ("program", "options"),
    [
        ("service", "--port --stall-seconds --request-seconds --drain-seconds"),
        ("verify_packages", "--path --workers --show --json"),
        ("word_count", "DIRECTORY --suffix --top --show --workers"),
    ],
)
def test_help_names_the_options(
    program: str, options: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code(monkeypatch, program, "--help") == 0
    assert set(options.split()) <= set(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("line", "remedy"),
    [
        ("service --port many", "invalid int value: 'many'"),
        ("service --drain-seconds soon", "invalid float value: 'soon'"),
        ("service --drain-seconds -1", "give 0 or more"),
        ("service --stall-seconds nan", "give 0 or more"),
        ("service --request-seconds inf", "give 0 or more"),
        ("verify_packages --path no/such/folder", "'no/such/folder' is not a folder; give one"),
        ("verify_packages --workers 0", "'0' is not a whole number of at least 1"),
        ("verify_packages --show some", "'some' is not a whole number of at least 0"),
        ("verify_packages what", "unrecognized arguments: what"),
        ("word_count no/such/directory", "'no/such/directory' is not a directory; give one"),
        (f"word_count {__file__}", "is not a directory; give one"),
        ("word_count", "the following arguments are required: DIRECTORY"),
        ("word_count --top -1 .", "'-1' is not a whole number of at least 0"),
        ("word_count --workers two .", "'two' is not a whole number of at least 1"),
    ],
)
def test_wrong_usage_is_refused_with_the_remedy(
    line: str, remedy: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code(monkeypatch, *line.split()) == 2
    assert remedy in capsys.readouterr().err
