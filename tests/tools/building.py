"""Builds small wheels, as the tools read them."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from email.message import Message
from pathlib import Path

from tools.address import urls_of
from tools.metadata import CLASSIFIERS, FIELDS
from tools.wheels import Wheel

ADDRESS = "https://example.org/antflow"


def metadata(
    name: str, version: str = "0.1.0", requires: Sequence[str] = (), readme: str = "# It\n"
) -> Message:
    """Return metadata that lack nothing."""
    message = Message()
    message["Name"] = name
    message["Version"] = version
    for field in FIELDS:
        message[field] = "something"
    for classifier in CLASSIFIERS:
        message["Classifier"] = classifier + "x" * classifier.endswith(":: ")
    for label, url in urls_of(ADDRESS).items():
        message["Project-URL"] = f"{label}, {url}"
    for requirement in requires:
        message["Requires-Dist"] = requirement
    message.set_payload(readme)
    return message


def wheel(
    name: str,
    version: str = "0.1.0",
    requires: Sequence[str] = (),
    readme: str = "# It\n",
    more: Sequence[str] = (),
) -> Wheel:
    """Return a wheel that lacks nothing, without a file."""
    module = name.replace("-", "_").removesuffix("_core")
    stem = f"{name.replace('-', '_')}-{version}"
    files = (f"{module}/__init__.py", f"{module}/py.typed", f"{stem}.dist-info/METADATA", *more)
    path = Path(f"{stem}-py3-none-any.whl")
    return Wheel(path, files, metadata(name, version, requires, readme))


def core(version: str = "0.1.0") -> Wheel:
    return wheel("antflow-core", version, ["pluggy>=1.7"])


def plugin(version: str = "0.1.0", requires: str = "antflow-core>=0.1,<0.2") -> Wheel:
    return wheel("antflow-some", version, [requires, "some>=2"])


def write_wheel(folder: Path, files: Mapping[str, str]) -> Path:
    path = folder / "antflow_some-0.1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return path
