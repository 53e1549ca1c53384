"""Names become labels, up to a limit."""

from __future__ import annotations

from antflow_otel._labels import MAX_LABELS, LabelLimiter


def test_past_a_hundred_names_all_are_one() -> None:
    limiter = LabelLimiter()
    called = {limiter.label(f"p{number}", "pipeline") for number in range(MAX_LABELS + 5)}
    assert len(called) == MAX_LABELS + 1
    assert limiter.label(f"p{MAX_LABELS}", "pipeline") == "other"
    assert limiter.label("p0", "pipeline") == "p0"


def test_each_place_has_its_own_names() -> None:
    limiter = LabelLimiter()
    for number in range(MAX_LABELS):
        limiter.label(f"s{number}", "stage", "p")
    assert limiter.label("one more", "stage", "p") == "other"
    assert limiter.label("one more", "stage", "q") == "one more"


def test_what_otlp_cannot_carry_is_written_out() -> None:
    assert LabelLimiter().label("ants\udc80 \u00fc", "pipeline") == "ants\\udc80 \u00fc"
