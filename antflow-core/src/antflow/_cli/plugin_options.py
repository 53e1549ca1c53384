"""Plugins on the command line: choosing them, and the options that they add."""

from __future__ import annotations

import os
import sys
import warnings
from argparse import SUPPRESS, Action, ArgumentError, ArgumentParser, Namespace
from collections.abc import Callable, Iterable, Sequence
from contextlib import redirect_stdout
from copy import copy
from typing import Any

from antflow._plugins.discovery import INSTALLED, FoundPlugin
from antflow._plugins.switches import STRICT, is_on
from antflow.exceptions import text_of

from .options import Parser, chosen_by, plugin_choice

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


SHARED = ("dashboard",)
"""What options of several plugins may set."""


def add_options(parser: ArgumentParser, title: str, add: Callable[[Any], object]) -> None:
    """Have a plugin add its options to a group of their own.

    Args:
        parser: left as it was if an error is raised.
        title: of the group.
        add: the plugin's hook, which is given the group.

    Raises:
        ArgumentError: an option cannot work: its name or its `dest` is taken, it has no name, or it
            must always be given.
        ValueError: the help of an option cannot be shown.
        BaseException: what the hook raises.
    """
    before = _contents(parser)
    taken = {action.dest: action for action in parser._actions}  # noqa: SLF001 - told nowhere else
    try:
        add(parser.add_argument_group(title))
        _check_options(parser._actions[len(before["_actions"]) :], taken)  # noqa: SLF001
        _check_help(parser)
    except BaseException:
        for name, held in before.items():
            setattr(parser, name, held)
        raise


def _contents(parser: ArgumentParser) -> dict[str, Any]:
    """Return a copy of all that is added to when an option is."""
    return {
        name: copy(held) for name, held in vars(parser).items() if isinstance(held, list | dict)
    }


def _check_options(added: Iterable[Action], taken: dict[str, Action]) -> None:
    for action in added:
        if not action.option_strings:
            raise ArgumentError(
                action, "arguments without a name are TARGET and items; begin its name with --"
            )
        if action.required:
            raise ArgumentError(action, "nothing would run without it; leave out required=True")
        if action.dest in taken and action.dest not in (SUPPRESS, *SHARED):
            raise ArgumentError(
                action,
                f"its value would take the place of that of {_name_of(taken[action.dest])}; give "
                "it a name, or a dest, that begins with the plugin's name",
            )


def _name_of(action: Action) -> str:
    return "/".join(action.option_strings) or str(action.metavar)


def _check_help(parser: ArgumentParser) -> None:
    try:
        parser.format_help()
    except Exception as error:
        raise ValueError(
            f"the help of its options cannot be shown ({type(error).__name__}: {error}); write %% "
            "where it has a percent sign"
        ) from None
