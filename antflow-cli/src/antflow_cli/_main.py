"""The command `antflow`: runs pipelines, and lists plugins and hooks."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Callable, Sequence
from typing import Any

from antflow import __version__

from ._options import Parser, run_parser
from ._plugin_options import add_options, find_plugins
from ._printing import hooks_as_text, plugins_as_json, plugins_as_text, print_out

RUN = "run"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command, and return its exit code.

    Args:
        arguments: of the command line, after `antflow`; None for those of this process.
    """
    is_process = arguments is None
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments and arguments[0] == RUN:
        from ._command import run

        return run(arguments[1:], is_process=is_process)
    parser = _parser()
    options, unknown = parser.parse_known_args(arguments)
    if unknown:
        options.parser.reject_unknown(unknown)
    if options.command is None:
        parser.error("COMMAND is missing; give run, plugins or hooks")
    found = find_plugins()
    if options.command == "hooks":
        return print_out(hooks_as_text())
    return print_out(plugins_as_json(found) if options.json else plugins_as_text(found))


def run_options(arguments: Sequence[str], add: Callable[[Any], object] | None = None) -> Namespace:
    """Return the options of `antflow run` as a plugin's `antflow_configure` gets them, for tests.

    Args:
        arguments: of the command line, after `antflow run`.
        add: the plugin's `antflow_add_options`; None for the command's own options alone.

    Raises:
        SystemExit: the arguments are wrong.
        ArgumentError: an option of the plugin is not possible: its name or its `dest` is taken, it
            has no name, or it is required.
        RuntimeError: the plugin has removed or changed options that are not its own.
        ValueError: the help of an option cannot be formatted.
        BaseException: raised by `add`.
    """
    parser = run_parser()
    if add is not None:
        add_options(parser, "the plugin", add)
    return parser.parse_args(arguments)


def _parser() -> Parser:
    parser = Parser(
        prog="antflow",
        description="Runs items through multi-stage asynchronous pipelines.",
    )
    parser.set_defaults(parser=parser)
    parser.add_argument("--version", action="version", version=f"antflow {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    commands.add_parser(RUN, help="run a pipeline over the lines of a file", add_help=False)
    plugins = commands.add_parser(
        "plugins",
        help="list the plugins that are installed",
        description="Lists the installed plugins: whether each is active, and if not, why; and the "
        "hooks that it implements.",
        epilog="ANTFLOW_DISABLE_PLUGINS=a,b disables these plugins, ANTFLOW_PLUGINS=a,b all "
        "others, and ANTFLOW_PLUGIN_AUTOLOAD=0 all.",
    )
    plugins.add_argument("--json", action="store_true", help="print JSON")
    plugins.set_defaults(parser=plugins)
    hooks = commands.add_parser(
        "hooks",
        help="list the hooks and the plugins that implement them",
        description="Lists every hook with its arguments, and the plugins that implement it in the "
        "order in which they are called.",
    )
    hooks.set_defaults(parser=hooks)
    return parser
