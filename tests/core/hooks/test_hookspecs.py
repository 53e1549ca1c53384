"""The hooks themselves: which there are, what they are given, and that each is explained."""

from __future__ import annotations

import inspect
import pydoc
from typing import get_args, get_type_hints

import pytest

from antflow import TaskEventType, hookimpl, hookspecs
from tests.helpers.hooks import ARGUMENTS

SPECS = [spec for name, spec in vars(hookspecs).items() if name.startswith("antflow_")]


def name(spec: object) -> str:
    return str(getattr(spec, "__name__", spec))


def test_every_kind_of_task_event_has_a_hook() -> None:
    assert len(get_args(TaskEventType)) == len([hook for hook in ARGUMENTS if "_task_" in hook])


@pytest.mark.parametrize("spec", SPECS, ids=name)
def test_a_spec_is_a_signature_and_a_text(spec: object) -> None:
    assert callable(spec)
    source = inspect.getsource(spec)
    assert source.rstrip().endswith('"""')
    text = inspect.getdoc(spec) or ""
    for argument in ARGUMENTS[name(spec)]:
        assert f"\n    {argument}: " in text
    assert get_type_hints(spec).keys() == {*ARGUMENTS[name(spec)], "return"}


@pytest.mark.parametrize("spec", SPECS, ids=name)
def test_of_a_dashboard_alone_the_first_result_counts(spec: object) -> None:
    options = getattr(spec, f"{hookspecs.PROJECT}_spec")
    assert options["firstresult"] is (name(spec) == "antflow_dashboard")
    assert options["historic"] is False


def test_the_help_on_the_marker_is_about_antflow() -> None:
    assert "the antflow hook of its name" in pydoc.render_doc(hookimpl)
