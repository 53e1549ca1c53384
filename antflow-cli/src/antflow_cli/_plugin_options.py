"""Chooses plugins by the command line, and adds their options to it."""

from __future__ import annotations

import os
import sys
import warnings
from argparse import SUPPRESS, Action, ArgumentError, ArgumentParser, Namespace
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from copy import copy
from typing import Any

from antflow import PluginError
from antflow.logs import text_of
from antflow.plugins import (
    InstalledPlugin,
    hook_functions,
    installed_plugins,
    is_strict,
    leave_out,
)

from ._options import DASHBOARD, Parser, name_of, plugin_choice_parser, plugin_environment
from ._printing import print_warning
from ._texts import shown

ADD_OPTIONS, CONFIGURE = "antflow_add_options", "antflow_configure"
OPTIONS = {"ANTFLOW_PLUGINS": "--plugins", "ANTFLOW_DISABLE_PLUGINS": "--disable-plugins"}
"""Options that name plugins, by the variable that does so."""


def find_plugins(options: Collection[str] = ()) -> tuple[InstalledPlugin, ...]:
    """Return the installed plugins; print warnings about them on standard error.

    Args:
        options: variables whose values are those of options, which warnings name instead.
    """
    # Plugins may print at their import; standard output is for the command's JSON.
    with warnings.catch_warnings(record=True) as caught, redirect_stdout(sys.stderr):
        warnings.simplefilter("always")
        found = installed_plugins()
    for warning in caught:
        subject, space, rest = str(warning.message).partition(" ")
        subject = OPTIONS[subject] if subject in options else subject
        print_warning(f"{subject}{space}{rest}")
    return found


class PluginOptions:
    """The options of the command, and of the plugins that its arguments choose.

    A plugin whose hook raises anything but what rejects the options is left out of the run.

    Args:
        parser: of the command; plugins add their options to it.
        arguments: of the command line.
    """

    def __init__(self, parser: Parser, arguments: Sequence[str]) -> None:
        self._parser = parser
        self._arguments = arguments
        # Discovery reads the environment, so the choice comes before any plugin is imported.
        chosen, _ = plugin_choice_parser().parse_known_args(arguments)
        variables = plugin_environment(chosen)
        os.environ.update(variables)
        found = find_plugins(variables)
        origins = {each.name: f"{each.distribution} {each.version}" for each in found}
        for function in hook_functions(ADD_OPTIONS):
            name = function.plugin
            with self._leaving_out(name, "cannot add its options"):
                add_options(parser, f"plugin {name} ({origins[name]})", function.call)
        self._configured = hook_functions(CONFIGURE)

    def parse(self) -> Namespace:
        """Return the options; end the program with exit code 2 if they are wrong."""
        try:
            options, unknown = self._parser.parse_known_intermixed_args(self._arguments)
        except Exception as error:  # an `action` of a plugin's option may raise anything
            self._parser.error(
                f"an option cannot be read: {type(error).__name__}: {text_of(error)}"
            )
        if unknown:
            self._parser.reject_unknown(
                unknown,
                "put items that begin with - after --; a plugin's options need the plugin, "
                "installed and active: see antflow run --help, and antflow plugins",
            )
        if len(displays := self._parser.given.get(DASHBOARD, {})) > 1:
            self._parser.error(f"{' and '.join(displays)} ask for a display each; give one of them")
        return options

    def configure(self, options: Namespace, standard_output: int) -> None:
        """Pass the options to plugins; end the program with exit code 2 if one rejects them.

        Args:
            options: of the command.
            standard_output: a descriptor of the real one; what plugins print goes elsewhere.
        """
        for function in self._configured:
            name, rejection = function.plugin, None
            with self._leaving_out(name, "cannot be configured"):
                own = _own_copy(options)
                own.standard_output = standard_output
                try:
                    function.call(own)
                except (ValueError, PluginError) as error:
                    rejection = f"plugin {name!r}: {text_of(error)}"
                else:
                    rejection = self._take_display(name, own, options)
            if rejection is not None:
                self._parser.error(rejection)

    def _take_display(self, name: str, own: Namespace, options: Namespace) -> str | None:
        """Have the display that a plugin has chosen; return an error text if there are two."""
        chosen, before = getattr(own, DASHBOARD, options.dashboard), options.dashboard
        if not isinstance(chosen, str | None):
            raise TypeError(f"options.dashboard is {shown(chosen)}; give the name of a display")
        if chosen and before and chosen != before:
            return f"plugin {name!r} asks for display {chosen!r} beside {before!r}; choose one"
        options.dashboard = chosen
        return None

    @contextmanager
    def _leaving_out(self, name: str, what: str) -> Iterator[None]:
        """Leave a plugin out of the run, with a warning, if it raises or exits.

        Args:
            name: the plugin's name.
            what: what it cannot do then.
        """
        try:
            # A hook may print, and standard output is for results.
            with redirect_stdout(sys.stderr):
                yield
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # SystemExit too, as when a plugin is imported
            reason = f"{what}: {type(error).__name__}: {text_of(error)}"
            text = f"plugin {name!r} {reason}; fix it, or leave it out by --disable-plugins {name}"
            if is_strict():
                self._parser.error(f"{text}, or unset ANTFLOW_STRICT_PLUGINS")
            leave_out(name, f"it {reason}")
            print_warning(text)


def _own_copy(options: Namespace) -> Namespace:
    """Return options that a plugin may change: lists and dictionaries are copied, too."""
    return Namespace(
        **{
            name: copy(value) if isinstance(value, list | dict) else value
            for name, value in vars(options).items()
        }
    )


SHARED = (DASHBOARD,)
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
        RuntimeError: the hook has removed or changed options that are not its own.
        ValueError: the help of an option cannot be formatted.
        BaseException: raised by the hook.
    """
    before = _contents(parser)
    # argparse has no public list of a parser's options.
    taken = {action.dest: action for action in parser._actions}  # noqa: SLF001
    try:
        add(parser.add_argument_group(title))
        _check_unchanged(parser, before)
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


def _check_unchanged(parser: ArgumentParser, before: dict[str, Any]) -> None:
    """Raise RuntimeError unless a parser has all of its earlier options and defaults."""
    now = vars(parser)
    is_same = now["_actions"][: len(before["_actions"])] == before["_actions"] and all(
        now[kind].get(name, now) is each
        for kind in ("_option_string_actions", "_defaults")
        for name, each in before[kind].items()
    )
    if not is_same:
        raise RuntimeError(
            "it has removed or changed options that are not its own; call add_argument of its "
            "group, and nothing else"
        )


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
                f"its value would take the place of that of {name_of(taken[action.dest])}; give "
                "it a name, or a dest, that begins with the plugin's name",
            )


def _check_help(parser: ArgumentParser) -> None:
    try:
        # A wrong % in a help text raises only here, and would break --help for all.
        parser.format_help()
    except Exception as error:
        raise ValueError(
            f"the help of its options cannot be shown ({type(error).__name__}: {error}); write %% "
            "where it has a percent sign"
        ) from None
