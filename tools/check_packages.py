"""Check what is built in dist/ as whoever installs it will meet it.

Its metadata are complete and agree (`tools.metadata`), `twine check` finds nothing, each package
can be installed alone and imported, and the programs of tests/typing are type-checked by mypy and
pyright against the installed wheels.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from tools.address import repository
from tools.alone import try_alone
from tools.environments import Environment, execute
from tools.metadata import complaints
from tools.wheels import DIST, Wheel, built_wheels
from tools.workspace import ROOT, packages

SAMPLES = ROOT / "tests" / "typing"
# The last setting has pyright reject what mypy rejects: each comment `type: ignore` is needed.
PYRIGHT = """{
    "typeCheckingMode": "strict",
    "pythonPlatform": "All",
    "reportUnnecessaryTypeIgnoreComment": true
}
"""


def main() -> int:
    wheels, sdists = built_wheels(), sorted(DIST.glob("*.tar.gz"))
    names = [package.name for package in packages()]
    if [wheel.name for wheel in wheels] != names or len(sdists) != len(names):
        print("dist/ has not each package once: run `make build` first", file=sys.stderr)
        return 2
    found = complaints(wheels, sdists, repository())
    if found:
        print(*found, sep="\n", file=sys.stderr)
        return 1
    print("metadata: complete, and of one version")
    try:
        execute(sys.executable, "-m", "twine", "check", "--strict", *map(str, DIST.iterdir()))
        with tempfile.TemporaryDirectory(prefix="antflow-packages-") as name:
            for wheel in wheels:
                try_alone(wheel, wheels, sys.executable, Path(name))
            check_types(Path(name), wheels)
    except subprocess.CalledProcessError as error:
        print(f"failed: {Path(error.cmd[0]).name} {' '.join(error.cmd[1:4])} ...", file=sys.stderr)
        return 1
    return 0


def check_types(folder: Path, wheels: list[Wheel]) -> None:
    """Type-check the sample programs where the packages are installed and their sources are not."""
    environment = Environment(folder / "typing").make(sys.executable)
    environment.install(*(wheel.path for wheel in wheels))
    checked = folder / "samples"
    checked.mkdir()
    for sample in set(SAMPLES.glob("*.py")) - set(SAMPLES.glob("test_*.py")):
        (checked / sample.name).write_text(sample.read_text(encoding="utf-8"), encoding="utf-8")
    (checked / "pyrightconfig.json").write_text(PYRIGHT, encoding="utf-8")
    python = str(environment.python)
    mypy = ["mypy", "--strict", "--python-executable", python, "--cache-dir", str(folder / "mypy")]
    execute(sys.executable, "-m", *mypy, ".", folder=checked)
    execute(sys.executable, "-m", "pyright", "--pythonpath", python, "--warnings", folder=checked)


if __name__ == "__main__":
    sys.exit(main())
