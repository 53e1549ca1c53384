"""tools.wheels: what built wheels say of themselves."""

from __future__ import annotations

from pathlib import Path

from tests.tools.building import core, metadata, plugin, wheel, write_wheel
from tools.wheels import built_wheels, publishing_order, read_wheel


def test_a_wheel_is_read(tmp_path: Path) -> None:
    about = metadata("antflow-some", "0.1.0", ["antflow-core>=0.1", "sdk>=2; extra == 'sdk'"])
    files = {"antflow_some/py.typed": "", "antflow_some-0.1.0.dist-info/METADATA": str(about)}
    found = read_wheel(write_wheel(tmp_path, files))
    assert (found.name, found.version, found.module) == ("antflow-some", "0.1.0", "antflow_some")
    assert found.files == tuple(files)
    assert [one.name for one in found.requirements] == ["antflow-core", "sdk"]
    assert [each.path for each in built_wheels(tmp_path)] == [found.path]


def test_a_wheel_does_not_need_what_an_extra_or_another_python_brings() -> None:
    requires = [
        "a>=1",
        "b>=1; extra == 'x'",
        "c>=1; python_version < '3'",
        "d; python_version > '3'",
    ]
    found = wheel("antflow-some", requires=requires)
    assert [one.name for one in found.needs()] == ["a", "d"]


def test_the_core_is_published_first() -> None:
    air = wheel("antflow-air")
    assert publishing_order([plugin(), air, core()])[0].name == "antflow-core"
    assert [each.name for each in publishing_order([plugin(), air])] == [
        "antflow-air",
        "antflow-some",
    ]
