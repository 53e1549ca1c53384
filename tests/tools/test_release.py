"""tools.release: what is to be done to publish."""

from __future__ import annotations

import pytest

from tests.tools.building import core, plugin
from tools import release
from tools.release import Command, before_publishing, commands, publish


def test_the_core_is_uploaded_first_and_both_files_of_each_package() -> None:
    found = commands([core(), plugin()])
    first, second = (command[-2:] for command in found if "upload" in command)
    assert first == ("dist/antflow_core-0.1.0-py3-none-any.whl", "dist/antflow_core-0.1.0.tar.gz")
    assert second == ("dist/antflow_some-0.1.0-py3-none-any.whl", "dist/antflow_some-0.1.0.tar.gz")
    names = [command[1] for command in found]
    assert names == ["tag", "upload", "download", "upload", "push"]
    assert found[2][-1] == "antflow-core==0.1.0"


def test_the_tag_names_the_version() -> None:
    tag, *_, push = commands([core()])
    assert tag[:4] == ("git", "tag", "--annotate", "v0.1.0")
    assert push == ("git", "push", "origin", "v0.1.0")


def test_a_commit_that_an_earlier_attempt_has_tagged_is_not_tagged_again() -> None:
    first, *others = commands([core()])
    assert commands([core()], tags=["old", "v0.1.0"]) == others
    assert commands([core()], tags=["v0.1.0.1"]) == [first, *others]


def test_a_download_is_tried_until_the_upload_has_arrived(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(release, "DOWNLOAD_SECONDS", 0.0)
    codes = iter([0, 0, 1, 1, 0, 0, 0])
    ran: list[str] = []

    def run(command: Command) -> int:
        ran.append(command[1])
        return next(codes)

    publish(commands([core(), plugin()]), run)
    assert ran == ["tag", "upload", "download", "download", "download", "upload", "push"]


@pytest.mark.parametrize("failing", ["tag", "upload", "download", "push"])
def test_nothing_follows_a_command_that_fails(
    failing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(release, "DOWNLOAD_SECONDS", 0.0)
    ran: list[str] = []

    def run(command: Command) -> int:
        ran.append(command[1])
        return int(command[1] == failing)

    with pytest.raises(SystemExit, match=f"exit code 1 of: .* {failing}"):
        publish(commands([core(), plugin()]), run)
    assert ran[-1] == failing


@pytest.mark.parametrize(
    ("changelog", "missing"),
    [
        ("## [Unreleased]\n\n## [0.1.0] - 2026-12-01\n", 0),
        ("## [Unreleased]\n", 1),
        ("## [0.1.0] - 2026-12-01 and more\n", 1),
        ("## [0x1.0] - 2026-12-01\n", 1),
    ],
)
def test_the_changelog_has_to_have_a_section_of_the_version(changelog: str, missing: int) -> None:
    assert len(before_publishing("0.1.0", changelog, "https://example.org/a")) == missing


def test_the_address_of_the_repository_has_to_be_given() -> None:
    (line,) = before_publishing("0.1.0", "## [0.1.0] - 2026-12-01\n", "")
    assert line.startswith("[tool.antflow] repository in pyproject.toml is empty")


def test_all_changes_have_to_be_committed() -> None:
    (line,) = before_publishing(
        "0.1.0", "## [0.1.0] - 2026-12-01\n", "https://example.org/a", [" M README.md", "?? x"]
    )
    assert line.startswith("2 files are not as they were committed")
