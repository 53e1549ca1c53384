"""Run the tests against the built wheels, in environments that hold nothing else.

For each Python version that is found, each package of `dist/` is installed into an environment of
its own, with antflow-core and what it declares and nothing else, and every module is imported, so
that an undeclared import cannot hide. Then all are installed into one, and the tests run there from
a copy that has no sources beside it. A version that is absent is skipped with a line that says so,
unless `--require` names it. With `--lowest`, what the packages need is installed in the lowest
versions that they declare.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tools.alone import try_alone
from tools.environments import CONSTRAINTS, VERSIONS, Environment, find_python
from tools.lowest import lowest_constraints
from tools.wheels import Wheel, built_wheels
from tools.workspace import ROOT

COPIED = (
    "pyproject.toml",
    "tests",
    "examples",
    "benchmarks",
    "docs",
    "README.md",
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
)
OF_THE_WORKSPACE = "tests/tools"  # tests of what is no part of any wheel

RUN_TESTS = """
import pathlib, sys, sysconfig

import pytest

status = pytest.main(sys.argv[1:])
import antflow

site = pathlib.Path(sysconfig.get_path("purelib")).resolve()
home = pathlib.Path(antflow.__file__).resolve()
assert home.is_relative_to(site), f"the tests ran {home}, not the wheel in {site}"
sys.exit(status)
"""


def main() -> int:
    parser = argparse.ArgumentParser(description="Run the tests against the wheels in dist/.")
    parser.add_argument("versions", nargs="*", default=VERSIONS, help="default: %(default)s")
    parser.add_argument("--require", action="append", default=[], help="fail if this one is absent")
    parser.add_argument(
        "--lowest", action="store_true", help="with the lowest versions that are declared"
    )
    options = parser.parse_args()
    wheels = built_wheels()
    if not wheels:
        parser.error("no wheel in dist/: run `make build` first")

    outcomes = {}
    for version in options.versions:
        python = find_python(version)
        if python is None:
            outcomes[version] = "absent, skipped"
        else:
            print(f"\n== the wheels on Python {version}", flush=True)
            passed = passes(python, wheels, lowest=options.lowest)
            outcomes[version] = "passed" if passed else "FAILED"
    return report(outcomes, options.require)


def report(outcomes: dict[str, str], required: list[str]) -> int:
    """Print what became of each version, and return the exit code."""
    print()
    for version, outcome in outcomes.items():
        print(f"the wheels on Python {version}: {outcome}")
    lacking = [version for version in required if outcomes.get(version) != "passed"]
    if lacking:
        print(f"required, and did not pass: {', '.join(lacking)}")
    return int(bool(lacking) or "FAILED" in outcomes.values() or "passed" not in outcomes.values())


def passes(python: str, wheels: list[Wheel], *, lowest: bool) -> bool:
    """Test the wheels in new environments of this Python."""
    with tempfile.TemporaryDirectory(prefix="antflow-wheel-") as name:
        folder = Path(name)
        constraints = CONSTRAINTS
        if lowest:
            constraints = folder / "lowest.txt"
            constraints.write_text(lowest_constraints(wheels), encoding="utf-8")
        try:
            for wheel in wheels:
                try_alone(wheel, wheels, python, folder, constraints)
            run_tests(Environment(folder / "environment", constraints).make(python), wheels)
        except subprocess.CalledProcessError:
            return False  # what failed has said why
        return True


def run_tests(environment: Environment, wheels: list[Wheel]) -> None:
    checkout = environment.folder.parent / "checkout"
    copy_tests(checkout)
    group = f"{ROOT / 'pyproject.toml'}:test"
    environment.install(*(wheel.path for wheel in wheels), "--group", group)
    options = ("-p", "no:cacheprovider", "--numprocesses", "auto", "--dist", "loadfile")
    environment.run("-I", "-c", RUN_TESTS, *options, folder=checkout)


def copy_tests(checkout: Path, root: Path = ROOT) -> None:
    """Copy what the tests need, and no sources, to a new folder."""
    checkout.mkdir()
    for name in COPIED:
        source = root / name
        if source.is_dir():
            ignored = shutil.ignore_patterns("__pycache__", ".*")
            shutil.copytree(source, checkout / name, ignore=ignored)
        elif source.exists():
            shutil.copy(source, checkout)
    shutil.rmtree(checkout / OF_THE_WORKSPACE, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
