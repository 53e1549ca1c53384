"""What is written: a line of JSON for each result, and one for each input that has none."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum
from math import isfinite
from pathlib import PurePath
from typing import Any, Literal
from uuid import UUID

from antflow._errors.texts import shown
from antflow.exceptions import text_of
from antflow.results import PipelineResult

Fate = Literal["failed", "malformed", "unprocessed", "unwritten"]
"""What became of an input that has no result: its item failed, it could not be read, it had not
ended when the run did, or it had, and its result could not be written."""


def _as_plain(value: Any) -> Any:
    """Return something that JSON has in the place of what it has not."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, set | frozenset):
        return list(value)
    if isinstance(value, date | datetime | time):
        return value.isoformat()
    if isinstance(value, PurePath | UUID | Decimal):
        return str(value)
    raise TypeError(f"JSON has nothing for a {type(value).__name__}")


_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, default=_as_plain).encode
_encode_ascii = json.JSONEncoder(allow_nan=False, default=_as_plain).encode


class UnwritableError(Exception):
    """A value cannot be written as JSON; the text says what to do."""


def as_line(record: object) -> bytes:
    """Return a line of JSON.

    Raises:
        UnwritableError: JSON has nothing for a value in it.
    """
    try:
        try:
            return _encode(record).encode() + b"\n"
        except UnicodeEncodeError:  # half of a surrogate pair
            return _encode_ascii(record).encode() + b"\n"
    except Exception as error:  # of a value's own properties, too
        raise UnwritableError(
            f"The result cannot be written as JSON: {text_of(error)}; have the last stage return "
            "what JSON has: objects, arrays, text, finite numbers, true, false and null"
        ) from error


def result_record(result: PipelineResult) -> object:
    """Return what is written of a success: what another pipeline would read as the same item."""
    record = {"id": result.id, "value": result.value}
    if result.details is not None and result.metadata:
        record |= {name: text for name, text in result.metadata.items() if name not in record}
    return record


def value_record(result: PipelineResult) -> object:
    """Return the value alone."""
    return result.value


def failure_line(fate: Fate, origin: Mapping[str, Any], **about: Any) -> bytes:
    """Return what is written of an input without a result.

    Args:
        fate: what became of it.
        origin: where it was read, and what was.
        about: what more is known.
    """
    record = {"status": fate, **origin, **about}
    try:
        return as_line(record)
    except UnwritableError:
        return as_line({name: _or_its_text(value) for name, value in record.items()})


def _or_its_text(value: Any) -> Any:
    try:
        as_line(value)
    except UnwritableError:
        return shown(value)
    return value


def about_error(error: BaseException, location: str | None = None) -> dict[str, str]:
    """Return what is written of an error.

    Args:
        error: the reason of a failure.
        location: the line of the program, if it is known.
    """
    about = {"error_type": type(error).__name__, "error": text_of(error)}
    return about if location is None else {**about, "location": location}


Origin = tuple[int, Any]
"""The number of an input, from 1, and what was read."""

Describe = Callable[[Origin], dict[str, Any]]
"""Returns what is written of an origin."""


def _finite(text: str) -> float:
    if isfinite(number := float(text)):
        return number
    raise ValueError(f"{text} is too large")


_decode_finite = json.JSONDecoder(parse_float=_finite).decode


def of_json_line(origin: Origin) -> dict[str, Any]:
    """Describe a line of JSON, by its text where it could not be written again."""
    number, raw = origin
    try:
        return {"line": number, "input": _decode_finite(raw.decode())}
    except (ValueError, RecursionError):
        return of_text_line(origin)


def of_text_line(origin: Origin) -> dict[str, Any]:
    """Describe a line of text."""
    number, raw = origin
    return {"line": number, "input": raw.decode(errors="backslashreplace")}


def of_item(origin: Origin) -> dict[str, Any]:
    """Describe an item that was no line."""
    number, value = origin
    return {"item": number, "input": value}
