"""Run the tests against the built wheels, in environments that hold nothing else.

For each Python version that is found, each package of `dist/` is installed into an environment of
its own, with antflow-core and what it declares and nothing else, and every module is imported, so
that an undeclared import cannot hide. Then all are installed into one, and the tests run there from
a copy that has no sources beside it. A version that is absent is skipped with a line that says so,
unless `--require` names it.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VERSIONS = ("3.11", "3.12", "3.13")
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

ASK_VERSION = "import sys, venv; print('%d.%d' % sys.version_info[:2])"

IMPORT_ALL = """
import importlib, importlib.metadata, pathlib, pkgutil, sys, sysconfig

site = pathlib.Path(sysconfig.get_path("purelib")).resolve()
for name in sys.argv[1:]:
    package = importlib.import_module(name)
    home = pathlib.Path(package.__file__).resolve().parent
    assert home.parent == site, f"{name} is {home}, not the wheel in {site}"
    assert (home / "py.typed").is_file(), f"{name} has no py.typed"
    for module in pkgutil.walk_packages(package.__path__, name + "."):
        if not module.name.endswith(("__main__", "antflow_otel._instrumentor")):  # it is an extra's
            importlib.import_module(module.name)
    (distribution,) = importlib.metadata.packages_distributions()[name]
    installed = importlib.metadata.version(distribution)
    assert package.__version__ == installed, f"{package.__version__} is not {installed}"
    print(f"{distribution} {installed}: every module imports, without the test dependencies")
"""

RUN_TESTS = """
import pathlib, sys, sysconfig

import pytest

status = pytest.main(sys.argv[1:])
site = pathlib.Path(sysconfig.get_path("purelib")).resolve()
home = pathlib.Path(sys.modules["antflow"].__file__).resolve()
assert home.is_relative_to(site), f"the tests ran {home}, not the wheel in {site}"
sys.exit(status)
"""


def main() -> int:
    parser = argparse.ArgumentParser(description="Run the tests against the wheels in dist/.")
    parser.add_argument("versions", nargs="*", default=VERSIONS, help="default: %(default)s")
    parser.add_argument("--require", action="append", default=[], help="fail if this one is absent")
    options = parser.parse_args()
    wheels = sorted(ROOT.glob("dist/*.whl"))
    if not wheels:
        parser.error("no wheel in dist/: run `make build` first")

    outcomes = {}
    for version in options.versions:
        python = find_python(version)
        if python is None:
            outcomes[version] = "absent, skipped"
        else:
            print(f"\n== the wheel on Python {version}", flush=True)
            outcomes[version] = "passed" if passes(python, wheels) else "FAILED"

    print()
    for version, outcome in outcomes.items():
        print(f"the wheel on Python {version}: {outcome}")
    lacking = [version for version in options.require if outcomes.get(version) != "passed"]
    if lacking:
        print(f"required, and did not pass: {', '.join(lacking)}")
    return int(bool(lacking) or "FAILED" in outcomes.values() or "passed" not in outcomes.values())


def find_python(version: str) -> str | None:
    """Return a Python of this version that runs and has venv, from here, PATH or pyenv."""
    for candidate in candidates(version):
        try:
            answer = subprocess.run(
                [candidate, "-I", "-c", ASK_VERSION], capture_output=True, text=True, check=False
            )
        except OSError:
            continue
        if answer.returncode == 0 and answer.stdout.strip() == version:
            return candidate
    return None


def candidates(version: str) -> Iterator[str]:
    yield str(Path(sys.base_prefix, "bin", f"python{version}"))
    if on_path := shutil.which(f"python{version}"):
        yield on_path
    if pyenv := shutil.which("pyenv"):
        listed = ask(pyenv, "versions", "--bare").split()
        releases = [name for name in listed if re.fullmatch(re.escape(version) + r"\.\d+", name)]
        for release in sorted(releases, key=lambda name: int(name.split(".")[2]), reverse=True):
            yield str(Path(ask(pyenv, "prefix", release).strip(), "bin", "python"))


def ask(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def passes(python: str, wheels: list[Path]) -> bool:
    """Test the wheels in new environments of this Python."""
    with tempfile.TemporaryDirectory(prefix="antflow-wheel-") as name:
        folder = Path(name)
        alone = [stands_alone(python, folder / wheel.name, wheel, wheels) for wheel in wheels]
        return all(alone) and tests_pass(python, folder, wheels)


def stands_alone(python: str, folder: Path, wheel: Path, wheels: list[Path]) -> bool:
    """Import every module of a wheel where only antflow-core and what it declares is installed."""
    inside = str(folder / "bin" / "python")
    core = [other for other in wheels if module_of(other) == "antflow"]
    steps = [
        [python, "-m", "venv", "--without-pip", str(folder)],
        [*install_into(inside), *map(str, {wheel, *core})],
        [inside, "-I", "-W", "error", "-c", IMPORT_ALL, module_of(wheel)],
    ]
    return all(succeeds(step, folder.parent) for step in steps)


def tests_pass(python: str, folder: Path, wheels: list[Path]) -> bool:
    environment, checkout = folder / "environment", folder / "checkout"
    copy_tests(checkout)
    inside = str(environment / "bin" / "python")
    steps = [
        [python, "-m", "venv", "--without-pip", str(environment)],
        [*install_into(inside), *map(str, wheels)],
        [*install_into(inside), "--group", f"{ROOT / 'pyproject.toml'}:test"],
        [inside, "-I", "-c", RUN_TESTS, "-p", "no:cacheprovider"],
    ]
    return all(succeeds(step, checkout) for step in steps)


def install_into(python: str) -> list[str]:
    """Return the command to install something for a Python.

    The pip of this environment does it, so that one without ensurepip will do, and the environment
    holds nothing but what is named.
    """
    pip = [sys.executable, "-m", "pip", "--python", python, "--quiet", "--no-input"]
    return [*pip, "install", "--constraint", str(ROOT / "constraints.txt")]


def module_of(wheel: Path) -> str:
    return wheel.name.partition("-")[0].removesuffix("_core")


def copy_tests(checkout: Path) -> None:
    """Copy what the tests need, and no sources, to a new folder."""
    checkout.mkdir()
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            ignored = shutil.ignore_patterns("__pycache__", ".*")
            shutil.copytree(source, checkout / name, ignore=ignored)
        elif source.exists():
            shutil.copy(source, checkout)


def succeeds(command: list[str], folder: Path) -> bool:
    unwanted = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
    environ = {name: value for name, value in os.environ.items() if name not in unwanted}
    return subprocess.run(command, cwd=folder, env=environ, check=False).returncode == 0


if __name__ == "__main__":
    sys.exit(main())
