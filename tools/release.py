"""Publish what `make release` has built and checked in dist/, or list the commands that do."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import tempfile
import time
from argparse import ArgumentParser
from collections.abc import Callable, Sequence
from pathlib import Path

from tools.address import repository
from tools.wheels import Wheel, built_wheels
from tools.workspace import CORE, ROOT

Command = tuple[str, ...]

DOWNLOAD_TRIES = 40
DOWNLOAD_SECONDS = 15.0
"""How often, and how far apart, a package that was uploaded is asked for."""


def main() -> int:
    parser = ArgumentParser(prog="python -m tools.release", description=__doc__)
    parser.add_argument(
        "--publish", action="store_true", help="run the commands, instead of listing them"
    )
    is_asked_to_publish = parser.parse_args().publish
    wheels = built_wheels()
    if not wheels:
        print("no wheel in dist/: run `make build` first", file=sys.stderr)
        return 2
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    version = wheels[0].version
    changes = git("status", "--porcelain")
    missing = before_publishing(version, changelog, repository(), changes)
    wanted = commands(wheels, tags=git("tag", "--points-at", "HEAD"))
    for line in missing:
        print(f"Not yet: {line}")
    if not is_asked_to_publish:
        print("`make publish` checks all of it once more, and runs:")
        for command in wanted:
            print(" ", shlex.join(command))
        return 0
    if missing:
        return 1
    publish(wanted, run)
    return 0


def git(*arguments: str) -> list[str]:
    """Return the lines that git prints about the repository."""
    command = ("git", *arguments)
    ran = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    return ran.stdout.splitlines()


def before_publishing(
    version: str, changelog: str, address: str, changes: Sequence[str] = ()
) -> list[str]:
    """Return what is still to be done in the repository, where some files may have changes."""
    missing = []
    if changes:
        missing.append(f"{len(changes)} files are not as they were committed; see `git status`.")
    if not re.search(
        rf"^## \[{re.escape(version)}\] - \d{{4}}-\d\d-\d\d$", changelog, re.MULTILINE
    ):
        missing.append(f"CHANGELOG.md has no section '## [{version}] - YEAR-MONTH-DAY'.")
    if not address:
        missing.append(
            "[tool.antflow] repository in pyproject.toml is empty. Give the public address of the "
            "repository there, and run `make release` again: the links of the packages and of the "
            "site come from it."
        )
    return missing


def commands(wheels: list[Wheel], tags: Sequence[str] = ()) -> list[Command]:
    """Return the commands that publish wheels.

    What an earlier attempt has done is left out, or skipped by the command.

    Args:
        wheels: in the order of their publishing.
        tags: those that the commit has.
    """
    version = wheels[0].version
    found: list[Command] = []
    if f"v{version}" not in tags:
        found.append(("git", "tag", "--annotate", f"v{version}", "--message", f"antflow {version}"))
    for wheel in wheels:
        found.append(("twine", "upload", "--skip-existing", *files_of(wheel)))
        if wheel.name == CORE and len(wheels) > 1:
            # The other packages require it, so it has to be there first.
            found.append(("pip", "download", "--no-deps", f"{wheel.name}=={version}"))
    return [*found, ("git", "push", "origin", f"v{version}")]


def files_of(wheel: Wheel) -> tuple[str, str]:
    stem = f"{wheel.name.replace('-', '_')}-{wheel.version}"
    return f"dist/{Path(wheel.path).name}", f"dist/{stem}.tar.gz"


def publish(wanted: list[Command], run: Callable[[Command], int]) -> None:
    """Run commands one after another; try a download until the upload before it has arrived.

    Args:
        wanted: the commands.
        run: runs one, and returns its exit code.

    Raises:
        SystemExit: a command failed; the message names it.
    """
    for command in wanted:
        tries_left = DOWNLOAD_TRIES if command[:2] == ("pip", "download") else 1
        while (code := run(command)) and (tries_left := tries_left - 1):
            time.sleep(DOWNLOAD_SECONDS)
        if code:
            raise SystemExit(f"exit code {code} of: {shlex.join(command)}")


def run(command: Command) -> int:
    """Run a command in the root of the repository, and return its exit code."""
    print(f"$ {shlex.join(command)}", flush=True)
    if command[0] != "git":
        command = (sys.executable, "-m", *command)
    if "download" not in command:
        return subprocess.run(command, cwd=ROOT, check=False).returncode
    with tempfile.TemporaryDirectory() as folder:
        return subprocess.run((*command, "--dest", folder), cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
