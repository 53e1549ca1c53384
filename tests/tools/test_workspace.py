"""tools.workspace: the packages, and that all of the workspace's configuration knows them."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.integration.plugins import installing
from tools.workspace import ROOT, Package, group, module_of, packages

PACKAGES = packages()
CONFIGURATION: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
TOOL = CONFIGURATION["tool"]
TARGET = re.compile("[a-z]+(-[a-z]+)*")


def make_package(root: Path, name: str) -> None:
    (root / name).mkdir()
    (root / name / "pyproject.toml").write_text(f'[project]\nname = "{name}"\n', encoding="utf-8")


def test_the_core_comes_first_and_the_others_by_name(tmp_path: Path) -> None:
    for name in ("antflow-zoo", "antflow-core", "antflow-air"):
        make_package(tmp_path, name)
    (tmp_path / "antflow-notes").mkdir()
    found = [package.name for package in packages(tmp_path)]
    assert found == ["antflow-core", "antflow-air", "antflow-zoo"]


def test_a_group_is_read_by_normal_names_without_the_groups_that_it_includes(
    tmp_path: Path,
) -> None:
    text = '[dependency-groups]\na = ["B_c[d]>=1", { include-group = "e" }]\ne = []\n'
    (tmp_path / "pyproject.toml").write_text(text, encoding="utf-8")
    assert group("a", tmp_path) == ["b-c"]


# This workspace


def test_the_tests_know_every_package() -> None:
    assert set(installing.PACKAGES) == {package.name for package in PACKAGES}


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.name)
def test_every_tool_knows_the_package(package: Package) -> None:
    module, source = module_of(package.name), f"{package.name}/src"
    assert source in TOOL["mypy"]["files"]
    assert source in TOOL["mypy"]["mypy_path"]
    assert source in TOOL["ruff"]["src"]
    assert module in TOOL["coverage"]["run"]["source"]
    assert module in TOOL["importlinter"]["root_packages"]
    kinds = {
        contract["type"]: [*contract.get("containers", ()), *contract.get("ancestors", ())]
        for contract in TOOL["importlinter"]["contracts"]
        if module in (*contract.get("containers", ()), *contract.get("ancestors", ()))
    }
    assert kinds.keys() == {"acyclic_siblings", "layers"}


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.name)
def test_a_package_carries_what_belongs_to_it(package: Package) -> None:
    licence = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert (package.folder / "LICENSE").read_text(encoding="utf-8") == licence
    assert (package.folder / "README.md").exists()
    assert (package.sources / "py.typed").exists()
    assert package.name in (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    sample = (ROOT / "tests" / "typing" / "sample.py").read_text(encoding="utf-8")
    assert f"from {module_of(package.name)} import " in sample


def test_packages_agree_in_what_they_say_of_themselves() -> None:
    common = ("requires-python", "license", "license-files", "authors")
    said = [{field: package.project[field] for field in common} for package in PACKAGES]
    assert all(each == said[0] for each in said)


def test_pre_commit_checks_what_make_lint_checks() -> None:
    text = (ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8")
    hooks = [hook for repo in yaml.safe_load(text)["repos"] for hook in repo["hooks"]]
    assert [hook["entry"] for hook in hooks] == recipe("lint")
    assert all(hook["language"] == "system" and not hook["pass_filenames"] for hook in hooks)


def recipe(target: str) -> list[str]:
    """Return the commands of a target of the Makefile."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    found = re.search(rf"^{target}:.*\n((?:\t.*\n)+)", makefile, re.MULTILINE)
    assert found
    lines = found[1].replace("$(PY)", ".venv/bin/python").replace("$(VENV)", ".venv")
    return [line.strip() for line in lines.splitlines()]


def test_workflows_call_targets_that_are_there() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    called = set[str]()
    for path in (ROOT / ".github" / "workflows").glob("*.yml"):
        jobs = yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"].values()
        steps = [step["run"] for job in jobs for step in job["steps"] if "run" in step]
        lines = [line for step in steps for line in step.splitlines() if line.startswith("make ")]
        called |= {word for line in lines for word in line.split() if TARGET.fullmatch(word)}
    assert called >= {"test", "lint", "docs", "check-packages"}
    assert called - {"make"} <= targets


def test_make_help_names_every_target() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    phony = " ".join(re.findall(r"^\.PHONY: (.*)$", makefile, re.MULTILINE))
    shown = set(re.findall(r"^([a-z-]+):.* ## ", makefile, re.MULTILINE))
    assert shown == set(phony.split())


def test_every_dependency_of_a_group_is_pinned() -> None:
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    pinned = set(re.findall(r"^([\w.-]+)==", pins, re.MULTILINE))
    named = {name for each in CONFIGURATION["dependency-groups"] for name in group(each)}
    assert named <= pinned


def test_nothing_that_is_made_is_kept_by_git() -> None:
    made = (".venv/x", "dist/x", "site/x", ".coverage")
    command = ["git", "check-ignore", *made]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if ran.returncode == 128:
        pytest.skip("this is no checkout of git, so that nothing is ignored")
    assert ran.stdout.split() == list(made)
