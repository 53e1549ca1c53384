"""Environments of their own, to try what is built in: one per Python, with nothing else in them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tools.workspace import ROOT

VERSIONS = ("3.11", "3.12", "3.13", "3.14")
CONSTRAINTS = ROOT / "constraints.txt"

ASK_VERSION = "import sys, venv; print('%d.%d' % sys.version_info[:2])"
UNWANTED = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")


@dataclass(frozen=True)
class Environment:
    """A virtual environment without pip.

    Args:
        folder: where it is.
        constraints: a file of the versions that may be installed into it.
    """

    folder: Path
    constraints: Path = CONSTRAINTS

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    def make(self, python: str) -> Environment:
        """Make it with this Python, which need not have ensurepip."""
        execute(python, "-m", "venv", "--without-pip", str(self.folder))
        return self

    def install(self, *what: str | Path) -> None:
        """Install something; the pip of the environment that runs this does it."""
        pip = [sys.executable, "-m", "pip", "--python", str(self.python), "--quiet", "--no-input"]
        pip += ["--disable-pip-version-check", "install", "--constraint", str(self.constraints)]
        execute(*pip, *map(str, what))

    def run(self, *arguments: str | Path, folder: Path | None = None) -> None:
        """Run its Python in a folder, which is its own unless one is named."""
        execute(str(self.python), *map(str, arguments), folder=folder or self.folder)


def execute(*command: str, folder: Path | None = None) -> None:
    """Run a command, without what would lead its Python to other packages.

    Raises:
        CalledProcessError: it failed.
    """
    environ = {name: value for name, value in os.environ.items() if name not in UNWANTED}
    subprocess.run(command, cwd=folder, env=environ, check=True)


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
        for release in newest_first(version, ask(pyenv, "versions", "--bare").split()):
            yield str(Path(ask(pyenv, "prefix", release).strip(), "bin", "python"))


def newest_first(version: str, releases: list[str]) -> list[str]:
    """Return those of the releases that are of this version, as 3.11.7 is of 3.11."""
    fitting = [name for name in releases if re.fullmatch(re.escape(version) + r"\.\d+", name)]
    return sorted(fitting, key=lambda name: int(name.split(".")[2]), reverse=True)


def ask(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout
