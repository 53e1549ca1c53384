"""Build sdist and wheel of each package into dist/.

Each is built from a copy, whose pyproject.toml gets links to the repository if that has a public
address (`tools.address`).
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tools.address import repository, urls_of
from tools.environments import execute
from tools.wheels import DIST
from tools.workspace import Package, packages


def main() -> int:
    address = repository()
    shutil.rmtree(DIST, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix="antflow-build-") as name:
        for package in packages():
            folder = copy_with_links(package, Path(name), address)
            command = ["build", "--no-isolation", "--outdir", str(DIST), str(folder)]
            try:
                execute(sys.executable, "-m", *command)
            except subprocess.CalledProcessError:
                print(f"failed: building {package.name}", file=sys.stderr)
                return 1
    return 0


def copy_with_links(package: Package, folder: Path, address: str) -> Path:
    """Copy a package into a folder, with links to the repository, and return the copy."""
    copy = folder / package.folder.name
    shutil.copytree(package.folder, copy, ignore=shutil.ignore_patterns("__pycache__", "dist"))
    with (copy / "pyproject.toml").open("a", encoding="utf-8") as file:
        file.write(links(address))
    return copy


def links(address: str) -> str:
    """Return the table of links in a package's pyproject.toml; nothing if there is no address."""
    lines = [f"{name} = {json.dumps(url)}\n" for name, url in urls_of(address).items()]
    return "".join(["\n[project.urls]\n", *lines]) if lines else ""


if __name__ == "__main__":
    sys.exit(main())
