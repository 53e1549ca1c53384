"""Say how, and in which order, to publish what `make release` has built and checked in dist/."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from tools.address import repository
from tools.wheels import Wheel, built_wheels
from tools.workspace import CORE, ROOT


def main() -> int:
    wheels = built_wheels()
    if not wheels:
        print("no wheel in dist/: run `make build` first", file=sys.stderr)
        return 2
    version = wheels[0].version
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    for line in before_publishing(version, changelog, repository()):
        print(f"Not yet: {line}")
    print(*steps(wheels), sep="\n")
    return 0


def before_publishing(version: str, changelog: str, address: str) -> list[str]:
    """Return what is still to be done in the repository."""
    missing = []
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


def steps(wheels: list[Wheel]) -> list[str]:
    """Return what to do to publish wheels that come in the order of their publishing."""
    version = wheels[0].version
    lines = [
        f"To publish {version}:",
        f"  git tag --annotate v{version} --message 'antflow {version}'",
    ]
    for wheel in wheels:
        lines.append(f"  python -m twine upload {files_of(wheel)}")
        if wheel.name == CORE and len(wheels) > 1:
            lines.append(f"  python -m pip download --no-deps {wheel.name}=={version}")
            lines.append("  # go on once that works: the packages below require it")
    return [*lines, f"  git push origin v{version}"]


def files_of(wheel: Wheel) -> str:
    stem = f"{wheel.name.replace('-', '_')}-{wheel.version}"
    return f"dist/{Path(wheel.path).name} dist/{stem}.tar.gz"


if __name__ == "__main__":
    sys.exit(main())
