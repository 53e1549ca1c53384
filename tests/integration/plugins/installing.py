"""Makes environments of their own, with packages of antflow and plugins installed from wheels.

Nothing is downloaded: what our packages and pytest need is linked from the environment of the
tests. Where the tests have no sources beside them, the wheels of our packages are rebuilt
from what was installed of them; where they have no hatchling, those of the plugins are
written by hand.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
import venv
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import Distribution, distribution
from importlib.util import find_spec
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[3]
PACKAGES = ("antflow-core", "antflow-cli", "antflow-otel", "antflow-prometheus", "antflow-rich")
JOURNAL = ROOT / "examples" / "antflow-journal"
TEMPLATE = ROOT / "examples" / "antflow-plugin-template"
PROJECTS = sorted(path.parent for path in Path(__file__).parent.glob("*/pyproject.toml"))

OF_INSTALLERS = ("INSTALLER", "RECORD", "REQUESTED", "direct_url.json")
Environ = Mapping[str, object]

UNWANTED = ("ANTFLOW_", "COVERAGE_", "PIP_", "PYTHON", "VIRTUAL_ENV")

BUILD = """
import os, sys
from hatchling.build import build_wheel

for project in sys.argv[2:]:
    os.chdir(project)
    build_wheel(sys.argv[1])
"""


@dataclass(frozen=True)
class Environment:
    """An environment of its own."""

    folder: Path

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    @property
    def site(self) -> Path:
        major, minor = sys.version_info[:2]
        return self.folder / "lib" / f"python{major}.{minor}" / "site-packages"

    def run(
        self, *command: object, environ: Environ | None = None, folder: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command of the environment, in its folder or another one."""
        wanted = {name: str(value) for name, value in (environ or {}).items()}
        program, *arguments = map(str, command)
        return subprocess.run(
            [str(self.folder / "bin" / program), *arguments],
            cwd=folder or self.folder,
            env=plain_environ() | wanted,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


def plain_environ() -> dict[str, str]:
    return {name: text for name, text in os.environ.items() if not name.startswith(UNWANTED)}


def make_environment(folder: Path, wheels: Path, *names: str) -> Environment:
    """Return a new environment with these distributions, of a folder of wheels, in it."""
    venv.create(folder, symlinks=True)
    environment = Environment(folder)
    link(needed_by(["antflow-core", *names]), environment.site)
    command = [*pip(), "--isolated", "--python", str(environment.python), "--quiet", "install"]
    sources = ["--no-index", "--find-links", str(wheels)]
    execute([*command, "--disable-pip-version-check", *sources, *names])
    return environment


def pip() -> list[str]:
    """Return the command that is pip: that of the tests' environment, or the one of venv."""
    if find_spec("pip"):
        return [sys.executable, "-m", "pip"]
    if find_spec("ensurepip"):
        import ensurepip

        bundled = Path(ensurepip.__file__).parent.glob("_bundled/pip-*.whl")
        for wheel in bundled:
            return [sys.executable, str(wheel / "pip")]
    pytest.skip("there is no pip to install the wheels with, and none in ensurepip")


def execute(command: Sequence[str]) -> None:
    ran = subprocess.run(
        command, env=plain_environ(), capture_output=True, text=True, timeout=120, check=False
    )
    assert ran.returncode == 0, f"{command}\n{ran.stdout}\n{ran.stderr}"


# What is there already


def link(names: Iterable[str], site: Path) -> None:
    """Have distributions of the tests' environment, and what they need, in another one, too."""
    for found in closure(names):
        for top in {path.parts[0] for path in found.files or ()} - {"..", "__pycache__"}:
            if not (site / top).exists():
                (site / top).symlink_to(Path(str(found.locate_file(top))).resolve())


def needed_by(names: Iterable[str]) -> set[str]:
    """Return what those of our packages that are among these need and that is not ours."""
    return {
        needed
        for name in names
        if name in PACKAGES
        for needed in requirements(distribution(name))
        if needed not in PACKAGES
    }


def requirements(installed: Distribution) -> list[str]:
    """Return the names of what a distribution needs here, without its extras."""
    needed = map(Requirement, installed.requires or ())
    return [
        each.name for each in needed if each.marker is None or each.marker.evaluate({"extra": ""})
    ]


def closure(names: Iterable[str]) -> Iterator[Distribution]:
    """Return distributions and all that they need here."""
    waiting, seen = list(names), set()
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        found = distribution(name)
        yield found
        waiting += requirements(found)


# Wheels


def make_wheels(folder: Path) -> Path:
    """Return a folder with a wheel of each of our packages, each plugin here, and the examples."""
    projects = [JOURNAL, TEMPLATE, *PROJECTS]
    for package in PACKAGES:
        if (ROOT / package / "pyproject.toml").exists():
            if not find_spec("hatchling"):
                pytest.skip(f"{package}'s wheel is built with hatchling, which is not installed")
            projects.append(ROOT / package)
        else:
            repack(distribution(package), folder)
    if find_spec("hatchling"):
        execute([sys.executable, "-c", BUILD, str(folder), *map(str, projects)])
    else:
        for project in projects:
            write_by_hand(project, folder)
    return folder


def repack(installed: Distribution, folder: Path) -> None:
    """Write the wheel that a distribution was installed from."""
    files = {
        str(path): path.read_binary()
        for path in installed.files or ()
        if path.parts[0] != ".." and path.suffix != ".pyc" and path.name not in OF_INSTALLERS
    }
    if not any(path.endswith("/__init__.py") for path in files):
        pytest.skip(f"{installed.name} is installed without its files, so it makes no wheel")
    write_wheel(folder, installed.name, installed.version, files)


def write_by_hand(project: Path, folder: Path) -> None:
    """Write the wheel of a pure project whose sources are all in `src`."""
    about = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    source = project / "src"
    files = {
        str(path.relative_to(source)): path.read_bytes()
        for path in source.rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    name, version = about["name"], about["version"]
    entries = about["entry-points"]["antflow"].items()
    texts = {
        "METADATA": [
            "Metadata-Version: 2.1",
            f"Name: {name}",
            f"Version: {version}",
            *(f"Requires-Dist: {needed}" for needed in about["dependencies"]),
        ],
        "WHEEL": [
            "Wheel-Version: 1.0",
            "Generator: antflow tests",
            "Root-Is-Purelib: true",
            "Tag: py3-none-any",
        ],
        "entry_points.txt": ["[antflow]", *(f"{key} = {value}" for key, value in entries)],
    }
    info = f"{stem(name, version)}.dist-info"
    about_it = {f"{info}/{file}": "\n".join([*texts[file], ""]).encode() for file in texts}
    write_wheel(folder, name, version, files | about_it)


def write_wheel(folder: Path, name: str, version: str, files: Mapping[str, bytes]) -> None:
    record = f"{stem(name, version)}.dist-info/RECORD"
    with zipfile.ZipFile(folder / f"{stem(name, version)}-py3-none-any.whl", "w") as wheel:
        for path, content in files.items():
            wheel.writestr(path, content)
        wheel.writestr(record, "".join(f"{path},,\n" for path in [*files, record]))


def stem(name: str, version: str) -> str:
    return f"{name.replace('-', '_')}-{version}"
