"""The public address of the repository: given once, in the root pyproject.toml, or not at all.

`[tool.antflow] repository` is empty until the repository has an address that its readers can open.
Once it is given, `tools.build_packages` puts links to it into the packages' metadata, and
`tools.site_hooks` into the site.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ADDRESS = re.compile(r"https://[\w.-]+(/[\w.-]+)*[\w-]")


def repository(root: Path = ROOT) -> str:
    """Return the public address of the repository, or "" if none is given.

    Raises:
        ValueError: what is given is no address.
    """
    text = (root / "pyproject.toml").read_text(encoding="utf-8")
    address: object = tomllib.loads(text)["tool"]["antflow"]["repository"]
    if isinstance(address, str) and (not address or ADDRESS.fullmatch(address)):
        return address
    raise ValueError(
        f"[tool.antflow] repository in pyproject.toml is {address!r}; give an address such as "
        "'https://example.org/antflow', without a slash at its end, or ''"
    )


def file_at(address: str, path: str) -> str:
    """Return the address of a file of the repository."""
    return f"{address}/blob/main/{path}"


def urls_of(address: str) -> dict[str, str]:
    """Return the links of a package's metadata by name; none if there is no address."""
    if not address:
        return {}
    return {
        "Homepage": address,
        "Documentation": f"{address}/tree/main/docs",
        "Changelog": file_at(address, "CHANGELOG.md"),
        "Issues": f"{address}/issues",
        "Source": address,
    }
