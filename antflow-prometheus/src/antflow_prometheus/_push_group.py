"""Checks the address, job and labels of a group of metrics in a Pushgateway."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from ._family import SHOWN

LABEL = re.compile(r"(?!__)[a-zA-Z_][a-zA-Z0-9_]*")
RESERVED_LABELS = frozenset({"job", "le", *(label for metric in SHOWN for label in metric.labels)})
"""Labels that a group cannot have: the Pushgateway would overwrite those of antflow's metrics."""


@dataclass(frozen=True, slots=True)
class PushGroup:
    """A group of metrics.

    Args:
        url: the URL of the Pushgateway.
        job: the job label.
        labels: further labels, sorted by name.
    """

    url: str
    job: str
    labels: tuple[tuple[str, str], ...] = ()


def parse_group(
    address: object, job: object, grouping_key: Mapping[str, str] | None = None
) -> PushGroup:
    """Return the group for valid arguments.

    Args:
        address: the address of the Pushgateway, as "127.0.0.1:9091" or a URL.
        job: the job label.
        grouping_key: further labels of the group.

    Raises:
        ValueError: one of them is invalid for a Pushgateway.
    """
    url = _url(address)
    if not _is_path_segment(job) or not job:
        raise ValueError(f"job is {job!r}; give a name, such as 'nightly-crawl'")
    if not isinstance(grouping_key, Mapping | None):
        raise ValueError(
            f"grouping_key is {grouping_key!r}; give labels with their values, such as "
            "{'instance': 'worker-1'}"
        )
    # Equal groups are equal whatever the order of labels. A name may be no text, until checked.
    labels = sorted((grouping_key or {}).items(), key=repr)
    for label in labels:
        _check_label(*label)
    return PushGroup(url, str(job), tuple(labels))


def _check_label(name: object, value: object) -> None:
    if not isinstance(name, str) or not LABEL.fullmatch(name):
        raise ValueError(
            f"grouping_key has the label {name!r}; give a name of letters, digits and "
            "underscores, such as 'instance'"
        )
    if name in RESERVED_LABELS:
        raise ValueError(
            f"grouping_key has the label {name!r}, which antflow's metrics use already; "
            "give another name, such as 'instance'"
        )
    if not _is_path_segment(value):
        raise ValueError(
            f"grouping_key has {value!r} as {name!r}; give a text, other than '.' and '..'"
        )


def _is_path_segment(value: object) -> bool:
    """Return whether a value can be a segment of the URL's path."""
    return isinstance(value, str) and value not in {".", ".."} and _is_utf8(value)


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _url(address: object) -> str:
    if isinstance(address, str) and "@" in address:
        raise ValueError(  # without the address, which may contain a password
            "The Pushgateway's address has an '@', and a name or password cannot be sent; give "
            "host and port alone, such as '127.0.0.1:9091'"
        )
    try:
        found = _split_address(address)
    except ValueError:
        found = None
    if found is None:
        raise ValueError(
            f"The Pushgateway's address is {address!r}; give host and port, such as "
            "'127.0.0.1:9091', or a URL, such as 'https://push.example.com/prefix'"
        )
    # One Pushgateway has one spelling, so that pushes to one group find each other.
    return f"{found.scheme}://{found.netloc.lower()}{found.path.rstrip('/')}"


def _split_address(address: object) -> SplitResult | None:
    """Return the parts of an address; None if it has too few or too many.

    Raises:
        ValueError: the host or the port is invalid.
    """
    if not isinstance(address, str) or not address.isascii() or not address.isprintable():
        return None
    found = urlsplit(address if "://" in address else f"http://{address}")
    is_complete = bool(found.hostname) and found.port != 0 and " " not in address
    is_plain_url = found.scheme in {"http", "https"} and not found.query and not found.fragment
    return found if is_complete and is_plain_url else None
