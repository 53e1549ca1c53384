"""One virtual environment for each requirements file and Python, made again when either changes."""

import subprocess
import sys
import venv
from pathlib import Path

from benchmarks.contenders.registry import HERE
from benchmarks.harness.paths import BENCHMARKS, ENVIRONMENTS


class EnvironmentFailedError(Exception):
    """An environment could not be made; its contenders are not measured."""

    reason = "its environment could not be made"


def interpreter(name: str) -> Path:
    """Return the Python of an environment, making the environment first where need be."""
    if name == HERE:
        return Path(sys.executable)
    place = ENVIRONMENTS / f"{name}-python{sys.version_info[0]}.{sys.version_info[1]}"
    python = place / "bin" / "python"
    wanted = _description(name)
    made = place / "made-from.txt"
    if not (made.exists() and made.read_text() == wanted and python.exists()):
        print(f"making the environment {name} ...", file=sys.stderr)
        venv.create(place, clear=True, with_pip=True)
        _install(python, _requirements(name), name)
        made.write_text(wanted)
    return python


def _requirements(name: str) -> Path:
    return BENCHMARKS / f"requirements-{name}.txt"


def _description(name: str) -> str:
    return f"# Python {sys.version}\n{_requirements(name).read_text()}"


def _install(python: Path, requirements: Path, name: str) -> None:
    pip = (python, "-m", "pip", "--disable-pip-version-check", "install", "--quiet")
    if subprocess.run((*pip, "-r", requirements), check=False).returncode != 0:
        raise EnvironmentFailedError(f"pip could not install {requirements.name} into {name}")
