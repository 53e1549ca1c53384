"""The lines of JSON that the command writes: one for each result or failure."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum
from math import isfinite
from pathlib import PurePath
from traceback import walk_tb
from typing import Any, Literal
from uuid import UUID

from antflow import PipelineResult
from antflow.logs import escape_controls, text_of

from ._texts import shown

InputOutcome = Literal["failed", "malformed", "unprocessed", "unwritten"]
"""Why an input has no written result: its item failed, its line could not be parsed, its item was
not finished when the run ended, or its result could not be written."""


def _to_json_type(value: Any) -> Any:
    """Return a value of a type that JSON has."""
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


_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, default=_to_json_type).encode


def escape_json(text: str) -> str:
    """Return JSON in which control characters of terminals are escaped, so that it may be shown.

    JSON itself escapes only those of ASCII. Values stay what they are, and also lone surrogates can
    be encoded.
    """
    if escape_controls(text) == text:  # most lines
        return text
    return "".join(
        char if escape_controls(char) == char else f"\\u{ord(char):04x}" for char in text
    )


class UnwritableError(Exception):
    """A value cannot be written as JSON; the text says how to fix it."""


def encode_line(record: object) -> bytes:
    """Return a line of JSON, with its line end.

    Raises:
        UnwritableError: a value in the record has no form in JSON.
    """
    try:
        return escape_json(_encode(record)).encode() + b"\n"
    except BaseException as error:  # properties of the value may raise anything, SystemExit too
        reason = text_of(error) or type(error).__name__
        raise UnwritableError(
            f"The result cannot be written as JSON: {reason}; have the last task return "
            "what JSON has: objects, arrays, text, finite numbers, true, false and null"
        ) from (error if _is_raised_by_value(error) else None)


def _is_raised_by_value(error: BaseException) -> bool:
    """Return whether code of a value raised an error, and not the encoder alone."""
    modules = (frame.f_globals.get("__name__", "") for frame, _ in walk_tb(error.__traceback__))
    return any(module.partition(".")[0] not in {__package__, "json"} for module in modules)


def result_record(result: PipelineResult) -> object:
    """Return the record of a result, in the form that another pipeline reads as the same item."""
    record = {"id": result.id, "value": result.value}
    if result.details is not None and result.metadata:
        record |= {name: text for name, text in result.metadata.items() if name not in record}
    return record


def value_record(result: PipelineResult) -> object:
    """Return the value of a result without its id."""
    return result.value


def failure_line(outcome: InputOutcome, origin: Mapping[str, Any], **about: Any) -> bytes:
    """Return the line of an input without a result.

    Args:
        outcome: the reason.
        origin: the position of the input, and the input itself.
        about: more fields.
    """
    record = {"status": outcome, **origin, **about}
    try:
        return encode_line(record)
    except UnwritableError:
        return encode_line({name: _writable(value) for name, value in record.items()})


def _writable(value: Any) -> Any:
    """Return a value, or its text if JSON has no form for it."""
    try:
        encode_line(value)
    except UnwritableError:
        return shown(value)
    return value


def error_fields(error: BaseException, location: str | None = None) -> dict[str, str]:
    """Return the fields of a failure's record that describe its error.

    Args:
        error: the reason of the failure.
        location: the line of the user's program that raised it, if known.
    """
    about = {"error_type": type(error).__name__, "error": text_of(error)}
    return about if location is None else {**about, "location": location}


Origin = tuple[int, Any]
"""The position of an input, from 1, and its line or item."""

Describe = Callable[[Origin], dict[str, Any]]
"""Returns the fields of a record that describe an origin."""


def _finite(text: str) -> float:
    # Python reads 1e999 as infinity, which JSON cannot express.
    if isfinite(number := float(text)):
        return number
    raise ValueError(f"{text} is too large")


_decode_finite = json.JSONDecoder(parse_float=_finite).decode


def describe_json_line(origin: Origin) -> dict[str, Any]:
    """Describe a line of JSON; by its text if its value could not be written again."""
    position, raw = origin
    try:
        return {"line": position, "input": _decode_finite(raw.decode())}
    except (ValueError, RecursionError):
        return describe_text_line(origin)


def describe_text_line(origin: Origin) -> dict[str, Any]:
    """Describe a line of text."""
    position, raw = origin
    return {"line": position, "input": raw.decode(errors="backslashreplace")}


def describe_item(origin: Origin) -> dict[str, Any]:
    """Describe an item of the program or of the arguments."""
    position, value = origin
    return {"item": position, "input": value}
