"""What things are called, and how many names there are."""

from __future__ import annotations

from antflow_otel._metrics_names import MOST, Names


def test_past_a_hundred_names_all_are_one() -> None:
    names = Names()
    called = {names.of(f"p{number}", "pipeline") for number in range(MOST + 5)}
    assert len(called) == MOST + 1
    assert names.of(f"p{MOST}", "pipeline") == "other"
    assert names.of("p0", "pipeline") == "p0"


def test_each_place_has_its_own_names() -> None:
    names = Names()
    for number in range(MOST):
        names.of(f"s{number}", "stage", "p")
    assert names.of("one more", "stage", "p") == "other"
    assert names.of("one more", "stage", "q") == "one more"


def test_what_otlp_cannot_carry_is_written_out() -> None:
    assert Names().of("ants\udc80 \u00fc", "pipeline") == "ants\\udc80 \u00fc"
