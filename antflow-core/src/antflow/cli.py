"""The command `antflow`: runs pipelines, and lists plugins and hooks."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from ._cli.options import Parser
from ._cli.plugin_options import find_plugins
from ._cli.printing import hooks_as_text, plugins_as_json, plugins_as_text, print_out
from ._version import __version__

RUN = "run"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command, and return its exit code.

    Args:
        arguments: of the command line, after `antflow`; None for those of this process.
    """
    is_process = arguments is None
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments and arguments[0] == RUN:
        from ._cli.command import run

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
