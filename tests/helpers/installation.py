"""Entry points that stand in for the installed plugins."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from antflow import hookimpl
from antflow._plugins.discovery import INSTALLED


class Good:
    """A plugin that implements one hook."""

    @hookimpl
    def antflow_task_start(self) -> None:
        """Do nothing."""


class Distribution(importlib.metadata.Distribution):
    """A distribution that has a name and a version, or no metadata at all."""

    def __init__(self, name: str | None, version: str | None) -> None:
        self._text = f"Name: {name}\nVersion: {version}\n" if name else None

    def read_text(self, filename: str) -> str | None:
        return self._text if filename == "METADATA" else None

    def locate_file(self, path: Any) -> Any:
        raise NotImplementedError(path)


class Entry:
    """An entry point that leads to what a function returns, or raises when it is loaded."""

    def __init__(
        self,
        name: str,
        load: Callable[[], object],
        distribution: str | None = "some-plugin",
        version: str | None = "1.2",
    ) -> None:
        self.name = name
        self.value = f"some_plugin:{name}"
        self.dist = Distribution(distribution, version)
        self.loads = 0
        self._load = load

    def load(self) -> object:
        self.loads += 1
        return self._load()


class Installation:
    """What importlib.metadata finds instead of what really is installed."""

    def __init__(self, entries: tuple[Entry, ...], distributions: tuple[str, ...]) -> None:
        self.looks = 0
        self._entries = entries
        self._distributions = distributions

    def entry_points(self, *, group: str) -> list[Entry]:
        assert group == "antflow"
        self.looks += 1
        return list(self._entries)

    def distributions(self, *, name: str) -> Iterator[str]:
        return (each for each in self._distributions if each == name)


def install(
    monkeypatch: pytest.MonkeyPatch, *entries: Entry, distributions: tuple[str, ...] = ()
) -> Installation:
    """Have these plugins installed and no others, in a process that has not looked yet."""
    installation = Installation(entries, distributions)
    monkeypatch.setattr(importlib.metadata, "entry_points", installation.entry_points)
    monkeypatch.setattr(importlib.metadata, "distributions", installation.distributions)
    for variable in (
        *("ANTFLOW_PLUGINS", "ANTFLOW_DISABLE_PLUGINS", "ANTFLOW_PLUGIN_AUTOLOAD"),
        *("ANTFLOW_STRICT_PLUGINS", "ANTFLOW_TRACE_PLUGINS"),
    ):
        monkeypatch.setenv(variable, "")  # so that it is put back, whatever a test does to it
        monkeypatch.delenv(variable)
    forget_installed()
    return installation


def forget_installed() -> None:
    """Have the next pipeline look for plugins, as the first one of a process does."""
    INSTALLED.forget()


def raising(error: BaseException) -> Callable[[], object]:
    def load() -> object:
        raise error

    return load
