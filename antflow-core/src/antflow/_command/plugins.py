"""Plugins on the command line: choosing them, and the options that they add."""

from __future__ import annotations

import os
import sys
import warnings
from argparse import Namespace
from collections.abc import Sequence
from contextlib import redirect_stdout

from antflow._discovery import INSTALLED, FoundPlugin
from antflow.exceptions import text_of
from antflow.plugins import STRICT, is_on

from .additions import add_options
from .options import chosen_by, plugin_choice
from .parser import Parser

ADD_OPTIONS, CONFIGURE = "antflow_add_options", "antflow_configure"


def found_plugins() -> tuple[FoundPlugin, ...]:
    """Return what is installed; what is wrong with it goes to standard error."""
    with warnings.catch_warnings(record=True) as noted, redirect_stdout(sys.stderr):
        warnings.simplefilter("always")
        found = INSTALLED.found()
    for note in noted:
        print(f"warning: {note.message}", file=sys.stderr)
    return found


class Options:
    """The options of a command and of the plugins that are chosen by it.

    Args:
        parser: of the command.
        arguments: what it was given.
    """

    def __init__(self, parser: Parser, arguments: Sequence[str]) -> None:
        self._parser = parser
        self._arguments = arguments
        self._refused: set[str] = set()
        chosen, _ = plugin_choice().parse_known_args(arguments)
        os.environ.update(chosen_by(chosen))
        origins = {each.name: f"{each.distribution} {each.version}" for each in found_plugins()}
        for listener in INSTALLED.active().listeners(ADD_OPTIONS):
            name = listener.name
            try:
                add_options(parser, f"plugin {name} ({origins[name]})", listener.call)
            except (KeyboardInterrupt, SystemExit):
                raise
            except BaseException as error:
                self._refused.add(name)
                self._note_fault(name, "cannot add its options", error)

    def parse(self) -> Namespace:
        """Return the options; on wrong usage the program ends with exit code 2."""
        options, unknown = self._parser.parse_known_intermixed_args(self._arguments)
        if unknown:
            self._parser.refuse(
                unknown,
                "a plugin's options need the plugin, installed and active: see antflow run --help, "
                "and antflow plugins",
            )
        return options

    def configure(self, options: Namespace) -> None:
        """Tell plugins their options; if one refuses them, the program ends with exit code 2."""
        for listener in INSTALLED.active().listeners(CONFIGURE):
            if listener.name in self._refused:
                continue
            try:
                listener.call(options)
            except ValueError as error:
                self._parser.error(f"plugin {listener.name!r}: {text_of(error)}")
            except (KeyboardInterrupt, SystemExit):
                raise
            except BaseException as error:
                self._note_fault(listener.name, "cannot be configured", error)

    def _note_fault(self, name: str, what: str, error: BaseException) -> None:
        text = (
            f"plugin {name!r} {what}: {type(error).__name__}: {text_of(error)}; mend it, or leave "
            f"it out by --disable-plugins {name}"
        )
        if is_on(os.environ, STRICT):
            self._parser.error(f"{text}, or unset {STRICT}")
        print(f"warning: {text}", file=sys.stderr)
