"""The messages on the page about troubleshooting are those of the source."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache

import pytest

from tests.documents.reader import blocks
from tests.packages.test_imports import MODULES, texts_of

PAGE = "docs/troubleshooting.md"
MESSAGES = [" ".join(block.split()) for block in blocks(PAGE, "text")]

SHORTEST = 10
"""Letters of a text that says something by itself."""

FILLED_IN = re.compile(r"%(?:r|s|d|g)")
WORDS = re.compile(r"(?:\b[a-z]+\b[,;.]? ){4,}[a-z]+")
"""Five words in a row, more than what examples fill in."""


def strings_of(node: ast.AST) -> Iterator[str]:
    """Yield the texts of a program, each part by itself where something is filled in."""
    for child in ast.walk(node):
        if isinstance(child, ast.Constant) and isinstance(child.value, str):
            yield from FILLED_IN.split(child.value)


@cache
def texts() -> list[str]:
    """Return the texts of the packages, the longest first."""
    found = {
        text
        for package in MODULES
        for _, source in texts_of(package)
        for text in strings_of(ast.parse(source))
        if len(text) >= SHORTEST
    }
    return sorted(found, key=len, reverse=True)


def not_of_the_source(message: str) -> list[str]:
    """Return the words of a message that no text of the packages has, and no example fills in."""
    rest = message
    for text in texts():
        rest = rest.replace(text, "|")
    return WORDS.findall(rest) if "|" in rest else [message]


def test_the_page_has_messages() -> None:
    assert len(MESSAGES) > 20


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: message[:50])
def test_a_message_is_one_of_the_source(message: str) -> None:
    assert not_of_the_source(message) == []


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: message[:50])
def test_a_message_with_other_words_is_found(message: str) -> None:
    longest = max(re.findall(r"[a-z]+(?: [a-z]+)+", message), key=len)
    assert not_of_the_source(message.replace(longest, longest.replace(" ", " quite ")))


def test_a_text_is_split_where_something_is_filled_in() -> None:
    source = "log('Stage %r: %d left', s, n)\nfail(f'Item {i!r} is ' f'{what} twice')\n"
    found = list(strings_of(ast.parse(source)))
    assert found == ["Stage ", ": ", " left", "Item ", " is ", " twice"]
