"""The lowest versions that our packages declare to work with, as constraints for pip.

`python -m tools.test_wheel --lowest` installs and tests with them. Of constraints.txt that holds
which the tests need and which has nothing to do with a version that is lowered: what requires such
a package, and all that is required by these, is pip's to choose.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping
from importlib.metadata import distributions

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tools.environments import CONSTRAINTS
from tools.wheels import Wheel, built_wheels
from tools.workspace import group

Pins = dict[str, str]
LOWER = (">=", "~=", "==")


def lowest_version(requirement: Requirement) -> str | None:
    """Return the lowest version that a requirement allows; None where it names none."""
    bounds = [each.version for each in requirement.specifier if each.operator in LOWER]
    return max(bounds, key=Version) if bounds else None


def lowest_pins(wheels: Iterable[Wheel]) -> Pins:
    """Return the lowest version of each package that wheels need, or that their extras bound.

    Raises:
        ValueError: a wheel needs something and does not say from which version on.
    """
    wheels = list(wheels)
    ours = {wheel.name for wheel in wheels}
    pins: Pins = {}
    for wheel in wheels:
        needed = {one.name for one in wheel.needs()}
        for one in wheel.requirements:
            version, name = lowest_version(one), canonicalize_name(one.name)
            if version is None and one.name in needed:
                raise ValueError(
                    f"{wheel.name} requires {one} without a lowest version; "
                    f"write {one.name}>=VERSION, the oldest that its tests pass with"
                )
            if version is not None and name not in ours:
                pins[name] = max(version, pins.get(name, version), key=Version)
    return pins


def read_pins(text: str) -> Pins:
    """Return the versions that a file of constraints has, by name."""
    return {
        canonicalize_name(match[1]): match[2]
        for match in re.finditer(r"^([\w.-]+)==(\S+)", text, re.MULTILINE)
    }


def lowered(pins: Pins, lowest: Pins, requires: Mapping[str, set[str]]) -> Pins:
    """Return pins with the lowest versions in place of theirs, without what is tied to those.

    Args:
        pins: what is installed otherwise.
        lowest: what is wanted.
        requires: the names that each package requires.
    """
    changed = {name for name, version in lowest.items() if not same(version, pins.get(name))}
    required_by: dict[str, set[str]] = {}
    for name, needed in requires.items():
        for each in needed:
            required_by.setdefault(each, set()).add(name)
    tied = reachable(reachable(changed, required_by), requires)
    kept = {name: version for name, version in pins.items() if name not in tied}
    return kept | lowest


def needed_by(names: Iterable[str], pins: Pins, requires: Mapping[str, set[str]]) -> Pins:
    """Return those of the pins that packages of these names need, or that are of them."""
    needed = reachable(names, requires)
    return {name: version for name, version in pins.items() if name in needed}


def same(version: str, other: str | None) -> bool:
    return other is not None and Version(version) == Version(other)


def reachable(names: Iterable[str], edges: Mapping[str, set[str]]) -> set[str]:
    """Return names, and all that edges lead to from them."""
    waiting, seen = list(names), set[str]()
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            waiting += edges.get(name, ())
    return seen


def installed_requirements() -> dict[str, set[str]]:
    """Return what each package that is installed beside this program requires."""
    return {
        canonicalize_name(found.name): {
            canonicalize_name(one.name) for one in map(parsed, found.requires or ()) if one
        }
        for found in distributions()
    }


def parsed(text: str) -> Requirement | None:
    try:
        one = Requirement(text)
    except InvalidRequirement:
        return None
    return one if not one.marker or one.marker.evaluate({"extra": ""}) else None


def lowest_constraints(wheels: Iterable[Wheel]) -> str:
    """Return the text of a file of constraints with the lowest versions that wheels declare."""
    wheels, requires = list(wheels), installed_requirements()
    pins = read_pins(CONSTRAINTS.read_text(encoding="utf-8"))
    tested = [*group("test"), *(wheel.name for wheel in wheels)]
    chosen = lowered(needed_by(tested, pins, requires), lowest_pins(wheels), requires)
    return "".join(f"{name}=={version}\n" for name, version in sorted(chosen.items()))


if __name__ == "__main__":
    sys.stdout.write(lowest_constraints(built_wheels()))
