"""A group of metrics at a Pushgateway: what is pushed to it takes the place of what it had."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from ._table import METRICS

LABEL = re.compile(r"(?!__)[a-zA-Z_][a-zA-Z0-9_]*")
OURS = frozenset({"job", "le", *(label for metric in METRICS for label in metric.labels)})
"""Labels that a group cannot have, since the Pushgateway would put its own in place of them."""


@dataclass(frozen=True, slots=True)
class Group:
    """A group of metrics.

    Args:
        url: of the Pushgateway.
        job: the group's name.
        labels: further ones, by their names in order.
    """

    url: str
    job: str
    labels: tuple[tuple[str, str], ...] = ()


def group_of(address: object, job: object, grouping_key: Mapping[str, str] | None = None) -> Group:
    """Return the group that is asked for.

    Args:
        address: of the Pushgateway, as "127.0.0.1:9091" or a URL.
        job: the group's name.
        grouping_key: further labels of the group.

    Raises:
        ValueError: one of them is invalid for a Pushgateway.
    """
    url = _url(address)
    if not _is_part(job) or not job:
        raise ValueError(f"job is {job!r}; give a name, such as 'nightly-crawl'")
    if not isinstance(grouping_key, Mapping | None):
        raise ValueError(
            f"grouping_key is {grouping_key!r}; give labels with their values, such as "
            "{'instance': 'worker-1'}"
        )
    labels = sorted((grouping_key or {}).items(), key=repr)
    for label in labels:
        _check(*label)
    return Group(url, str(job), tuple(labels))


def _check(name: object, value: object) -> None:
    if not isinstance(name, str) or not LABEL.fullmatch(name):
        raise ValueError(
            f"grouping_key has the label {name!r}; give a name of letters, digits and "
            "underscores, such as 'instance'"
        )
    if name in OURS:
        raise ValueError(
            f"grouping_key has the label {name!r}, which antflow's metrics use already; "
            "give another name, such as 'instance'"
        )
    if not _is_part(value):
        raise ValueError(
            f"grouping_key has {value!r} as {name!r}; give a text, other than '.' and '..'"
        )


def _is_part(value: object) -> bool:
    """Return whether a value can be part of a path."""
    return isinstance(value, str) and value not in {".", ".."} and _is_utf8(value)


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _url(address: object) -> str:
    if isinstance(address, str) and "@" in address:
        raise ValueError(  # which does not show the address, since it may have a password
            "The Pushgateway's address has an '@', and a name or password cannot be sent; give "
            "host and port alone, such as '127.0.0.1:9091'"
        )
    try:
        found = _parts(address)
    except ValueError:
        found = None
    if found is None:
        raise ValueError(
            f"The Pushgateway's address is {address!r}; give host and port, such as "
            "'127.0.0.1:9091', or a URL, such as 'https://push.example.com/prefix'"
        )
    return f"{found.scheme}://{found.netloc.lower()}{found.path.rstrip('/')}"


def _parts(address: object) -> SplitResult | None:
    """Return the parts of an address, or None if it has too few or too many.

    Raises:
        ValueError: its host or its port is invalid.
    """
    if not isinstance(address, str) or not address.isascii() or not address.isprintable():
        return None
    found = urlsplit(address if "://" in address else f"http://{address}")
    is_whole = bool(found.hostname) and found.port != 0 and " " not in address
    is_right = found.scheme in {"http", "https"} and not found.query and not found.fragment
    return found if is_whole and is_right else None
