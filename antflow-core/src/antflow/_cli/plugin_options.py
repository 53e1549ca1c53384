"""Chooses plugins by the command line, and adds their options to it."""

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

from .options import Parser, plugin_choice_parser, plugin_environment
from .printing import print_warning

ADD_OPTIONS, CONFIGURE = "antflow_add_options", "antflow_configure"


def find_plugins() -> tuple[FoundPlugin, ...]:
    """Return the installed plugins; print warnings about them on standard error."""
    # Plugins may print at their import; standard output is for the command's JSON.
    with warnings.catch_warnings(record=True) as caught, redirect_stdout(sys.stderr):
        warnings.simplefilter("always")
        found = INSTALLED.found()
    for warning in caught:
        print_warning(str(warning.message))
    return found


class PluginOptions:
    """The options of the command, and of the plugins that its arguments choose.

    Args:
        parser: of the command; plugins add their options to it.
        arguments: of the command line.
    """

    def __init__(self, parser: Parser, arguments: Sequence[str]) -> None:
        self._parser = parser
        self._arguments = arguments
        self._rejected: set[str] = set()
        # Discovery reads the environment, so the choice comes before any plugin is imported.
        chosen, _ = plugin_choice_parser().parse_known_args(arguments)
        os.environ.update(plugin_environment(chosen))
        origins = {each.name: f"{each.distribution} {each.version}" for each in find_plugins()}
        for listener in INSTALLED.active().listeners(ADD_OPTIONS):
            name = listener.name
            try:
                add_options(parser, f"plugin {name} ({origins[name]})", listener.call)
            except (KeyboardInterrupt, SystemExit):
                raise
            except BaseException as error:
                self._rejected.add(name)
                self._warn(name, "cannot add its options", error)

    def parse(self) -> Namespace:
        """Return the options; end the program with exit code 2 if they are wrong."""
        options, unknown = self._parser.parse_known_intermixed_args(self._arguments)
        if unknown:
            self._parser.reject_unknown(
                unknown,
                "a plugin's options need the plugin, installed and active: see antflow run --help, "
                "and antflow plugins",
            )
        return options

    def configure(self, options: Namespace) -> None:
        """Pass the options to plugins; end the program with exit code 2 if one rejects them."""
        for listener in INSTALLED.active().listeners(CONFIGURE):
            if listener.name in self._rejected:
                continue
            try:
                listener.call(options)
            except ValueError as error:
                self._parser.error(f"plugin {listener.name!r}: {text_of(error)}")
            except (KeyboardInterrupt, SystemExit):
                raise
            except BaseException as error:
                self._warn(listener.name, "cannot be configured", error)

    def _warn(self, name: str, what: str, error: BaseException) -> None:
        text = (
            f"plugin {name!r} {what}: {type(error).__name__}: {text_of(error)}; mend it, or leave "
            f"it out by --disable-plugins {name}"
        )
        if is_on(os.environ, STRICT):
            self._parser.error(f"{text}, or unset {STRICT}")
        print_warning(text)


SHARED = ("dashboard",)
"""Destinations that options of several plugins may set."""


def add_options(parser: ArgumentParser, title: str, add: Callable[[Any], object]) -> None:
    """Let a plugin add its options to a group of their own.

    Args:
        parser: unchanged if an error is raised.
        title: of the group.
        add: the plugin's hook, called with the group.

    Raises:
        ArgumentError: an option is not possible: its name or its `dest` is taken, it has no name,
            or it is required.
        ValueError: the help of an option cannot be formatted.
        BaseException: raised by the hook.
    """
    before = _contents(parser)
    # argparse has no public list of a parser's options.
    taken = {action.dest: action for action in parser._actions}  # noqa: SLF001
    try:
        add(parser.add_argument_group(title))
        _check_options(parser._actions[len(before["_actions"]) :], taken)  # noqa: SLF001
        _check_help(parser)
    except BaseException:  # argparse cannot remove an option
        for name, content in before.items():
            setattr(parser, name, content)
        raise


def _contents(parser: ArgumentParser) -> dict[str, Any]:
    """Return copies of the lists and dictionaries of a parser, which all its options are in."""
    return {
        name: copy(value) for name, value in vars(parser).items() if isinstance(value, list | dict)
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
        # A wrong % in a help text raises only here, and would break --help for all.
        parser.format_help()
    except Exception as error:
        raise ValueError(
            f"the help of its options cannot be shown ({type(error).__name__}: {error}); write %% "
            "where it has a percent sign"
        ) from None
