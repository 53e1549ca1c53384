"""tools.release: what is to be done to publish."""

from __future__ import annotations

import pytest

from tests.tools.building import core, plugin
from tools.release import before_publishing, steps


def test_the_core_is_uploaded_first_and_both_files_of_each_package() -> None:
    lines = steps([core(), plugin()])
    uploads = [line for line in lines if "upload" in line]
    assert "dist/antflow_core-0.1.0-py3-none-any.whl dist/antflow_core-0.1.0.tar.gz" in uploads[0]
    assert "dist/antflow_some-0.1.0-py3-none-any.whl dist/antflow_some-0.1.0.tar.gz" in uploads[1]
    between = lines[lines.index(uploads[0]) + 1 : lines.index(uploads[1])]
    assert any("antflow-core==0.1.0" in line for line in between)


def test_the_tag_names_the_version() -> None:
    assert any("git tag --annotate v0.1.0" in line for line in steps([core()]))


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
