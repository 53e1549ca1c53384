"""Options that a plugin adds to `antflow run`: all of them, or none where one cannot work."""

from __future__ import annotations

from argparse import SUPPRESS, Action, ArgumentError, ArgumentParser
from collections.abc import Callable, Iterable
from copy import copy
from typing import Any

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
