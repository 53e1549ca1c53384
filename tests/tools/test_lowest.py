"""tools.lowest: the lowest versions that are declared, and the pins that fit beside them."""

from __future__ import annotations

import pytest
from packaging.requirements import Requirement

from tests.tools.building import core, plugin, wheel
from tools.lowest import lowered, lowest_pins, lowest_version, needed_by, read_pins


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("a>=1.2", "1.2"),
        ("a<3,>=1.9,!=2.0", "1.9"),
        ("a~=1.4", "1.4"),
        ("a==2", "2"),
        ("a>=1.9,>=1.10", "1.10"),
        ("a<3", None),
        ("a", None),
    ],
)
def test_the_lowest_version_of_a_requirement(text: str, version: str | None) -> None:
    assert lowest_version(Requirement(text)) == version


def test_the_lowest_versions_of_all_packages_are_the_highest_of_each() -> None:
    other = wheel("antflow-other", requires=["antflow-core>=0.1,<0.2", "some>=2.5"])
    assert lowest_pins([core(), plugin(), other]) == {"pluggy": "1.7", "some": "2.5"}


def test_an_extra_counts_where_it_names_a_lowest_version() -> None:
    requires = ["api>=1.30", "sdk>=1.30; extra == 'sdk'", "exporter; extra == 'sdk'"]
    assert lowest_pins([wheel("antflow-o", requires=requires)]) == {"api": "1.30", "sdk": "1.30"}


def test_a_requirement_without_a_lowest_version_is_an_error_with_the_remedy() -> None:
    with pytest.raises(ValueError, match=r"antflow-x requires some.*write some>=VERSION"):
        lowest_pins([wheel("antflow-x", requires=["some"])])


def test_pins_are_read_by_their_normal_names() -> None:
    assert read_pins("# these\na==1\nB_c==2.0\n\n") == {"a": "1", "b-c": "2.0"}


def test_what_has_to_do_with_a_lowered_version_is_not_pinned() -> None:
    pins = {"api": "9", "sdk": "9", "proto": "9", "wire": "9", "pytest": "8", "pluggy": "1.7.0"}
    requires = {"sdk": {"api", "proto"}, "api": {"wire"}, "pytest": {"pluggy"}}
    assert lowered(pins, {"api": "1", "pluggy": "1.7"}, requires) == {
        "api": "1",
        "pluggy": "1.7",
        "pytest": "8",
    }


def test_pins_of_what_the_tests_do_not_need_are_left_out() -> None:
    pins = {"pytest": "9", "pluggy": "1.7.0", "twine": "7", "keyring": "25"}
    requires = {"pytest": {"pluggy"}, "twine": {"keyring"}}
    assert needed_by(["pytest"], pins, requires) == {"pytest": "9", "pluggy": "1.7.0"}


def test_a_circle_of_requirements_does_no_harm() -> None:
    requires = {"a": {"b"}, "b": {"a"}}
    assert lowered({"a": "2", "b": "2", "c": "2"}, {"a": "1"}, requires) == {"a": "1", "c": "2"}
