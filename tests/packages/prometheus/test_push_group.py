"""The address and the labels of a push are checked first."""

from __future__ import annotations

import re
from typing import Any

import pytest

from antflow_prometheus._push_group import PushGroup, parse_group

ADDRESS = "127.0.0.1:9091"


@pytest.mark.parametrize(
    ("address", "url"),
    [
        ("127.0.0.1:9091", "http://127.0.0.1:9091"),
        ("push.example.com", "http://push.example.com"),
        ("http://Push.example.com:80/", "http://push.example.com:80"),
        ("https://push.example.com/Prefix/", "https://push.example.com/Prefix"),
        ("HTTP://[::1]:9091", "http://[::1]:9091"),
    ],
)
def test_an_address_becomes_a_url(address: str, url: str) -> None:
    assert parse_group(address, "job") == PushGroup(url, "job")


@pytest.mark.parametrize(
    "address",
    [
        "",
        "http://",
        "ftp://127.0.0.1",
        ":9091",
        "127.0.0.1:port",
        "127.0.0.1:99999",
        "127.0.0.1:0",
        "::1:9091",
        "[::1:9091",
        "push host:9091",
        " 127.0.0.1:9091",
        "127.0.0.1:9091\n",
        "127.0.0.1:9091?x=1",
        "127.0.0.1:9091#x",
        "\N{SNOWMAN}:9091",
        9091,
        None,
    ],
)
def test_what_is_no_address_is_refused(address: Any) -> None:
    text = f"address is {address!r}; give host and port, such as '127.0.0.1:9091', or a URL"
    with pytest.raises(ValueError, match=re.escape(text)):
        parse_group(address, "job")


@pytest.mark.parametrize("address", ["me:secret@127.0.0.1:9091", "http://me:secret@push?x"])
def test_a_password_is_refused_and_not_shown(address: str) -> None:
    with pytest.raises(ValueError, match=r"has an '@'.* give host and port alone") as caught:
        parse_group(address, "job")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("job", ["", ".", "..", "caf\udce9", None, 5])
def test_what_is_no_job_is_refused(job: Any) -> None:
    with pytest.raises(ValueError, match=re.escape(f"job is {job!r}; give a name")):
        parse_group(ADDRESS, job)


def test_labels_are_taken_in_any_order_and_may_be_empty() -> None:
    one = parse_group(ADDRESS, "a b/c", {"zone": "", "instance": "a/b c"})
    assert one == parse_group(ADDRESS, "a b/c", {"instance": "a/b c", "zone": ""})
    assert one.labels == (("instance", "a/b c"), ("zone", ""))


@pytest.mark.parametrize("name", ["in-stance", "", "5", "__address__", "\N{SNOWMAN}", "a/b", 5])
def test_what_is_no_label_is_refused(name: Any) -> None:
    with pytest.raises(ValueError, match=re.escape(f"the label {name!r}; give a name of letters")):
        parse_group(ADDRESS, "job", {"instance": "one", name: "x"})


@pytest.mark.parametrize("name", ["job", "pipeline", "stage", "task", "outcome", "version", "le"])
def test_labels_that_the_metrics_have_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"label '{name}', which antflow's metrics use already"):
        parse_group(ADDRESS, "job", {name: "x"})


@pytest.mark.parametrize("value", [5, None, ".", ".."])
def test_what_is_no_value_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match=re.escape(f"{value!r} as 'instance'; give a text")):
        parse_group(ADDRESS, "job", {"instance": value})


@pytest.mark.parametrize("grouping_key", ["instance", ["instance"], 5])
def test_labels_without_values_are_refused(grouping_key: Any) -> None:
    with pytest.raises(ValueError, match=re.escape(f"grouping_key is {grouping_key!r}; give")):
        parse_group(ADDRESS, "job", grouping_key)
