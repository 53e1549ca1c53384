"""The dashboard and the rules: promtool accepts them, and they use only existing metrics."""

from __future__ import annotations

import json
import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import antflow_prometheus
from tests.packages.prometheus.test_exposition import example
from tests.requirements import required

ROOT = Path(__file__).parents[3]
HERE = Path(__file__).parent / "monitoring"
GUIDE = (ROOT / "docs" / "monitoring.md").read_text(encoding="utf-8")
SOURCES = "../../../../antflow-prometheus/src/antflow_prometheus/monitoring"
INSTALLED = Path(antflow_prometheus.__file__).parent / "monitoring"
RULES = [INSTALLED / "recording-rules.yml", INSTALLED / "alert-rules.yml"]
UNIT_TESTS = sorted(HERE.glob("*.yml"))
CASES = ("fires", "just below", "recovers", "counter reset", "no pipeline runs")

DASHBOARD = json.loads((INSTALLED / "grafana-dashboard.json").read_text(encoding="utf-8"))
VARIABLES = {variable["name"]: variable for variable in DASHBOARD["templating"]["list"]}
ALL_PANELS = DASHBOARD["panels"]
PANELS = [pytest.param(panel, id=panel["title"]) for panel in ALL_PANELS if panel["type"] != "row"]
# These say themselves when they are empty.
MAY_BE_EMPTY = {
    "Failures, by class of the exception",
    "Event loop lag",
    "Items that wait for a limit",
    "Attempts that hold a limit",
    "Paused limits",
    "Keys of a limit",
}

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
TARGET_LABELS = {"job", "instance"}
QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')
METRIC = re.compile(r"(?<![\w:])(?:\w+:)?antflow_\w+(?::\w+)?")
SELECTOR = re.compile(r"((?:\w+:)?antflow_\w+(?::\w+)?)\{([^}]*)\}")
GROUPING = re.compile(r"\b(?:by|without|ignoring|on|group_left) ?\(([^)]*)\)")


def read(path: Path) -> Any:
    return yaml.load(path.read_text(encoding="utf-8"), LOADER)


def rules(kind: str) -> dict[str, dict[str, Any]]:
    """Return the rules of a kind, "alert" or "record", by their names."""
    found = [
        rule
        for path in RULES
        for group in read(path)["groups"]
        for rule in group["rules"]
        if kind in rule
    ]
    named = {rule[kind]: rule for rule in found}
    assert len(named) == len(found)
    return named


GROUPS = [group for path in UNIT_TESTS for group in read(path)["tests"]]
ALERTS = rules("alert")
RECORDS = rules("record")


def known_labels() -> dict[str, set[str]]:
    """Return the labels that each metric of antflow has, under every name that it is asked by."""
    known: dict[str, set[str]] = {}
    for metric in example().registry.collect():
        for sample in metric.samples:
            known[sample.name] = {*sample.labels, *TARGET_LABELS}
    for name in RECORDS:
        level = name.partition(":")[0].split("_")
        labels = {*level, "job"}
        assert labels <= {"instance", "pipeline", "stage", "state", "task", "job"}
        known[name] = labels
    return known


KNOWN = known_labels()


def unknown(expression: str) -> Iterator[str]:
    """What an expression names that does not exist."""
    bare = QUOTED.sub('""', expression)
    named = METRIC.findall(bare)
    yield from sorted(set(named) - set(KNOWN))
    for metric, matchers in SELECTOR.findall(bare):
        for label in re.findall(r"(\w+)\s*[=!]", matchers):
            if label not in KNOWN.get(metric, ()):
                yield f"{metric} has no label {label}"
    of_all = set().union(*(KNOWN.get(name, set()) for name in named))
    for labels in GROUPING.findall(bare):
        yield from sorted(set(re.findall(r"\w+", labels)) - of_all)


def unit_tests(kind: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Return promtool's tests of a kind, "alert" or "promql_expr", each with its group's name."""
    for group in GROUPS:
        for test in group.get(f"{kind}_rule_test", group.get(f"{kind}_test", ())):
            yield group["name"], test


def promtool(*arguments: str | Path) -> None:
    command = [required("promtool"), *map(str, arguments)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


def expressions(panel: dict[str, Any]) -> list[str]:
    return [target["expr"] for target in panel.get("targets", ())]


# Rules


def test_promtool_accepts_the_rules() -> None:
    promtool("check", "rules", "--lint=all", "--lint-fatal", *RULES)


@pytest.mark.parametrize("path", UNIT_TESTS, ids=lambda path: path.stem)
def test_promtool_finds_that_the_rules_do_what_they_should(path: Path, tmp_path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert SOURCES in text
    of_the_installed = tmp_path / path.name
    of_the_installed.write_text(text.replace(SOURCES, f"{INSTALLED}"), encoding="utf-8")
    promtool("test", "rules", of_the_installed)


@pytest.mark.parametrize("alert", ALERTS)
@pytest.mark.parametrize("case", CASES)
def test_an_alert_has_a_unit_test_for_each_case(alert: str, case: str) -> None:
    expected = [
        test["exp_alerts"]
        for name, test in unit_tests("alert")
        if test["alertname"] == alert and name.startswith(case)
    ]
    assert expected
    if case in {"fires", "recovers"}:
        assert any(expected)
    if case in {"just below", "no pipeline runs"}:
        assert not any(expected)
    if case == "recovers":
        assert not all(expected)


@pytest.mark.parametrize("record", RECORDS)
def test_a_recording_rule_has_a_unit_test_with_and_without_a_run(record: str) -> None:
    tests = [
        (name.startswith("at rest"), test["exp_samples"])
        for name, test in unit_tests("promql_expr")
        if re.search(rf"(?<![\w:]){re.escape(record)}(?![\w:])", test["expr"])
    ]
    assert any(samples for is_at_rest, samples in tests if not is_at_rest)
    assert any(is_at_rest for is_at_rest, _ in tests)


def test_every_unit_test_is_of_a_rule_that_exists() -> None:
    assert {test["alertname"] for _, test in unit_tests("alert")} == set(ALERTS)
    for _, test in unit_tests("promql_expr"):
        assert set(METRIC.findall(test["expr"])) <= set(RECORDS)


@pytest.mark.parametrize("name", [*ALERTS, *RECORDS])
def test_a_rule_names_only_what_exists(name: str) -> None:
    expression = (ALERTS | RECORDS)[name]["expr"]
    assert METRIC.search(expression)
    assert list(unknown(expression)) == []


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_says_how_grave_it_is_and_what_to_do(name: str) -> None:
    alert = ALERTS[name]
    assert alert["labels"]["severity"] in {"critical", "warning", "info"}
    assert set(alert["annotations"]) == {"summary", "description", "runbook"}
    assert "$value" in alert["annotations"]["description"]
    assert alert["annotations"]["runbook"] == f"docs/monitoring.md#{name.lower()}"
    assert f"\n### {name}\n" in GUIDE


@pytest.mark.parametrize("record", RECORDS)
def test_a_recording_rule_is_named_by_its_level_metric_and_operations(record: str) -> None:
    assert re.fullmatch(r"(instance_)?pipeline(_stage(_state|_task)?)?:antflow_\w+:\w+", record)


def test_what_does_not_exist_would_be_noticed() -> None:
    assert list(unknown("rate(antflow_nothing_total[5m])")) == ["antflow_nothing_total"]
    assert list(unknown('antflow_pipeline_runs_active{stage="x"}')) == [
        "antflow_pipeline_runs_active has no label stage"
    ]
    assert list(unknown("sum by (stage) (antflow_pipeline_runs_active)")) == ["stage"]
    assert list(unknown("antflow_stage_queue_wait_seconds")) == ["antflow_stage_queue_wait_seconds"]


# The dashboard


def test_the_dashboard_can_be_imported_anywhere() -> None:
    assert DASHBOARD["id"] is None
    assert re.fullmatch(r"[\w-]{1,40}", DASHBOARD["uid"])
    assert DASHBOARD["title"]
    assert DASHBOARD["schemaVersion"] >= 38
    assert DASHBOARD["time"] == {"from": "now-1h", "to": "now"}
    assert "://" not in json.dumps(DASHBOARD)
    assert list(VARIABLES) == ["datasource", "job", "instance", "pipeline", "stage"]
    assert (VARIABLES["datasource"]["type"], VARIABLES["datasource"]["query"]) == (
        "datasource",
        "prometheus",
    )
    asked = set(re.findall(r"\$\{?(\w+)", json.dumps(DASHBOARD)))
    assert asked == {*VARIABLES, "__all", "__rate_interval"}


@pytest.mark.parametrize("name", ["job", "instance", "pipeline", "stage"])
def test_a_variable_may_be_several_or_all(name: str) -> None:
    variable = VARIABLES[name]
    assert variable["multi"]
    assert variable["includeAll"]
    assert variable["current"]["value"] == ["$__all"]
    query = re.fullmatch(rf"label_values\((.*), {name}\)", variable["query"]["query"])
    assert query
    assert list(unknown(query[1])) == []
    assert name in KNOWN[METRIC.findall(query[1])[0]]


def test_every_data_source_is_the_variable() -> None:
    sources = [
        part["datasource"] for part in walk(DASHBOARD) if isinstance(part.get("datasource"), dict)
    ]
    assert len(sources) > len(PANELS)
    assert all(source == {"type": "prometheus", "uid": "${datasource}"} for source in sources)


def walk(part: object) -> Iterator[dict[str, Any]]:
    """Return every object within a piece of JSON."""
    if isinstance(part, dict):
        yield part
        part = list(part.values())
    if isinstance(part, list):
        for inner in part:
            yield from walk(inner)


def test_panels_have_ids_and_titles_of_their_own() -> None:
    for key in ("id", "title"):
        assert set(Counter(panel[key] for panel in ALL_PANELS).values()) == {1}


def test_each_row_is_filled_and_its_panels_follow_it() -> None:
    positions = [(panel["gridPos"]["y"], panel["gridPos"]["x"]) for panel in ALL_PANELS]
    assert positions == sorted(positions)
    widths = Counter[int]()
    for panel in ALL_PANELS:
        widths[panel["gridPos"]["y"]] += panel["gridPos"]["w"]
    assert set(widths.values()) == {24}


def test_the_guide_says_what_each_row_shows() -> None:
    rows = [panel["title"] for panel in ALL_PANELS if panel["type"] == "row"]
    assert re.findall(r"^\| \*\*(.+)\*\* \|", GUIDE, re.MULTILINE) == rows


@pytest.mark.parametrize("panel", PANELS)
def test_a_panel_says_what_it_shows(panel: dict[str, Any]) -> None:
    assert panel["type"] in {"stat", "table", "timeseries", "state-timeline"}
    assert panel["title"]
    assert panel["description"].endswith(".")
    unit = panel["fieldConfig"]["defaults"]["unit"]
    assert unit in {"s", "percentunit", "short"} or unit.startswith("suffix: ")
    assert panel["targets"]
    references = [target["refId"] for target in panel["targets"]]
    assert len(set(references)) == len(references)


@pytest.mark.parametrize("panel", PANELS)
def test_a_panels_series_have_different_labels(panel: dict[str, Any]) -> None:
    for target in panel["targets"]:
        grouped = re.match(r".*?\bby \(([^)]*)\)", target["expr"])
        kept = set(grouped[1].split(", ")) - {"le"} if grouped else set()
        if panel["type"] == "table":
            assert (target["format"], target["instant"]) == ("table", True)
        elif kept:
            named = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
            assert named == kept
    columns = re.findall(r'"Value #?\w*": "([^"]+)"', json.dumps(panel.get("transformations", [])))
    named = {each["matcher"]["options"] for each in panel["fieldConfig"]["overrides"]}
    assert named <= set(columns)


@pytest.mark.parametrize("panel", PANELS)
def test_a_panels_thresholds_rise(panel: dict[str, Any]) -> None:
    defaults = panel["fieldConfig"]["defaults"]
    first, *steps = defaults.get("thresholds", {"steps": [{"value": None}]})["steps"]
    values = [step["value"] for step in steps]
    assert first["value"] is None
    assert values == sorted(values)
    if panel["type"] == "timeseries" and steps:
        assert defaults["custom"]["thresholdsStyle"] == {"mode": "dashed"}


@pytest.mark.parametrize(
    ("title", "alert"),
    [
        ("Failure ratio", "AntflowFailureRatioHigh"),
        ("Failure ratio, by stage", "AntflowFailureRatioHigh"),
        ("Bottleneck", "AntflowStageSaturated"),
        ("Engaged workers, over time", "AntflowStageSaturated"),
        ("Workers with an item", "AntflowStageSaturated"),
        ("Event loop lag", "AntflowEventLoopLag"),
    ],
)
def test_a_panel_is_red_where_the_alert_is_due(title: str, alert: str) -> None:
    (panel,) = (panel for panel in ALL_PANELS if panel["title"] == title)
    red = panel["fieldConfig"]["defaults"]["thresholds"]["steps"][-1]
    limit = re.search(r" > (0\.\d+)", ALERTS[alert]["expr"])
    assert limit
    assert (red["color"], red["value"]) == ("red", float(limit[1]))


@pytest.mark.parametrize("panel", PANELS)
def test_a_panel_names_only_metrics_that_exist_without_the_rules(panel: dict[str, Any]) -> None:
    for expression in expressions(panel):
        assert list(unknown(expression)) == []
        assert METRIC.search(expression)
        assert not set(METRIC.findall(expression)) & set(RECORDS)


@pytest.mark.parametrize("panel", PANELS)
def test_a_panel_shows_what_is_selected(panel: dict[str, Any]) -> None:
    for expression in expressions(panel):
        for metric in re.finditer(METRIC, QUOTED.sub('""', expression)):
            after = QUOTED.sub('""', expression)[metric.end() :]
            assert after.startswith('{job=~"",instance=~""')
        for wanted in re.findall(r'(\w+)=~"\$(\w+)"', expression):
            assert wanted[0] == wanted[1]
        assert set(re.findall(r"\[(.*?)\]", expression)) <= {"$__rate_interval"}


def test_promtool_accepts_the_expressions_of_all_panels(tmp_path: Path) -> None:
    asked = [expression for panel in ALL_PANELS for expression in expressions(panel)]
    rules = [
        {"record": f"x{number}", "expr": expression.replace("$__rate_interval", "5m")}
        for number, expression in enumerate(asked)
    ]
    assert len(rules) > len(PANELS)
    path = tmp_path / "rules.yml"
    path.write_text(json.dumps({"groups": [{"name": "x", "rules": rules}]}), encoding="utf-8")
    promtool("check", "rules", path)


def test_a_panel_that_may_be_empty_says_so() -> None:
    says = {panel["title"] for panel in ALL_PANELS if "Empty " in panel.get("description", "")}
    assert says == MAY_BE_EMPTY


@pytest.mark.parametrize("path", [*RULES, INSTALLED / "grafana-dashboard.json"], ids=str)
def test_no_file_names_a_host(path: Path) -> None:
    assert "://" not in path.read_text(encoding="utf-8")
