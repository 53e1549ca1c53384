"""Which display is chosen by `progress`, `dashboard` and `custom_dashboard`; what is rejected."""

from __future__ import annotations

from math import inf, nan
from typing import Any

import pytest

from antflow import hookimpl
from tests.helpers.displays import (
    CALLS,
    CUSTOM,
    METHODS,
    Recorder,
    Use,
    by_quick,
    piped,
    run_or_stream,
)
from tests.helpers.installation import Entry, install
from tests.helpers.runs import raised_by
from tests.helpers.simulated import simulated
from tests.helpers.virtual_time import simulate
from tests.naming import id_of

each_use = pytest.mark.parametrize("use", [*CUSTOM, by_quick])


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch, nothing_installed: None) -> dict[str, Recorder]:
    """Dashboards of an installed plugin."""
    dashboards = {name: Recorder() for name in ("progress", "compact", "detailed", "full")}

    class Dashboards:
        @hookimpl
        def antflow_dashboard(self, name: str) -> Recorder | None:
            return dashboards.get(name)

    install(monkeypatch, Entry("dashboards", Dashboards))
    return dashboards


@each_use
@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"progress": True}, "progress"),
        ({"dashboard": "compact"}, "compact"),
        ({"dashboard": "full", "progress": False}, "full"),
    ],
    ids=id_of,
)
@simulated()
async def test_a_dashboard_of_a_plugin_is_found_by_its_name(
    installed: dict[str, Recorder], options: dict[str, Any], name: str, use: Use
) -> None:
    assert await use(piped(), range(3), **options) == [0, 1, 2]
    assert [key for key, dashboard in installed.items() if dashboard.calls] == [name]
    assert installed[name].calls == CALLS
    assert installed[name].total_items == 3


@simulated()
async def test_progress_and_dashboard_are_the_second_and_third_argument(
    installed: dict[str, Recorder],
) -> None:
    await piped().run([1], True)
    await piped().run([1], False, "full")
    async for _ in piped().stream([1], True):
        pass
    assert installed["progress"].calls == CALLS * 2
    assert installed["full"].calls == CALLS


@each_use
@pytest.mark.parametrize("options", [{"progress": True}, {"dashboard": "progress"}])
@simulated()
async def test_progress_without_a_plugin_writes_plain_lines(
    options: dict[str, Any], use: Use, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await use(piped(), [1], **options) == [1]
    (line,) = capsys.readouterr().err.splitlines()
    assert ": 1 of 1 item in 0:00:00, 0 items failed" in line


@each_use
@pytest.mark.parametrize("nothing", [None, False, 0, ""], ids=id_of)
@simulated()
async def test_false_values_ask_for_no_display(nothing: Any, use: Use) -> None:
    assert await use(piped(), [1], progress=nothing, dashboard=nothing) == [1]


def lacking(method: str, value: Any = None) -> Recorder:
    """Return a dashboard without one of the methods."""
    lacking: type[Recorder] = type("Lacking", (Recorder,), {method: value})
    return lacking()


REJECTED = [
    ({"progress": True, "dashboard": "full"}, "Cannot use both progress and dashboard; choose one"),
    (
        {"progress": True, "custom_dashboard": Recorder()},
        "Cannot use both progress and custom_dashboard; choose one",
    ),
    (
        {"dashboard": "compact", "custom_dashboard": Recorder()},
        "Cannot use both dashboard and custom_dashboard; choose one",
    ),
    *(
        ({"custom_dashboard": lacking(method, value)}, f"has no method {method}; a dashboard has")
        for method in METHODS
        for value in (None, 5)
    ),
    *(({"custom_dashboard": it}, "no method on_start") for it in (5, "compact", object(), print)),
    *(
        (
            {"dashboard_update_interval": interval},
            f"dashboard_update_interval of pipeline 'pipeline' is {interval!r}; give seconds",
        )
        for interval in (0, 0.0, -1, nan, inf, "1", None, True, [1])
    ),
    *(
        ({"progress": progress}, f"progress={progress!r}; give True or False")
        for progress in (5, 1, 2.5, "yes", [1])
    ),
    *(
        ({"dashboard": name}, f"no dashboard {name!r}; installed are: progress. The dashboards")
        for name in ("compact", "nyan", 5)
    ),
    ({"dashboard": "nyan"}, "in a checkout of antflow: pip install ./antflow-rich"),
    ({"dashboard": "ful"}, "did you mean 'full'? Installed are: progress"),
    ({"dashboard": "Progres"}, "did you mean 'progress'? Installed are: progress"),
]


@run_or_stream
@pytest.mark.parametrize(("options", "text"), REJECTED, ids=id_of)
@simulated()
async def test_invalid_options_are_rejected_before_anything_is_read(
    options: dict[str, Any], text: str, use: Use
) -> None:
    pipeline, items = piped(), iter([1, 2])
    error = await raised_by(use(pipeline, items, **options))
    assert isinstance(error, ValueError)
    assert text in str(error)
    assert await use(pipeline, items) == [1, 2]


@each_use
@pytest.mark.parametrize(
    "options",
    [{"progress": True, "dashboard": "full"}, {"progress": 5}, {"dashboard": "nyan"}],
    ids=id_of,
)
def test_pipeline_builder_and_quick_reject_the_same(options: dict[str, Any], use: Use) -> None:
    assert isinstance(simulate(raised_by(use(piped(), [1], **options))), ValueError)
