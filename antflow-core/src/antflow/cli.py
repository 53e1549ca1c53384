"""The command `antflow`: what is installed, and who listens to what."""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from collections.abc import Iterable, Sequence
from contextlib import redirect_stdout
from dataclasses import fields

from ._discovery import INSTALLED, FoundPlugin
from ._version import __version__
from .plugins import ARGUMENTS

LISTED = [field.name for field in fields(FoundPlugin) if field.name != "plugin"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command, and return its exit code.

    Args:
        arguments: what follows the command's name; None for those of this process.
    """
    options = _parser().parse_args(arguments)
    with warnings.catch_warnings(record=True) as noted, redirect_stdout(sys.stderr):
        warnings.simplefilter("always")
        found = INSTALLED.found()
    for note in noted:
        print(f"warning: {note.message}", file=sys.stderr)
    if options.command == "hooks":
        print(_hooks_text())
    elif options.json:
        print(_as_json(found))
    else:
        print(_plugins_text(found))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="antflow",
        description="Runs items through multi-stage asynchronous pipelines.",
    )
    parser.add_argument("--version", action="version", version=f"antflow {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    plugins = commands.add_parser(
        "plugins",
        help="list the plugins that are installed",
        description="Lists the plugins that are installed: whether each is active, why not, and "
        "the hooks that it implements.",
        epilog="ANTFLOW_DISABLE_PLUGINS=a,b disables some, ANTFLOW_PLUGINS=a,b all others, and "
        "ANTFLOW_PLUGIN_AUTOLOAD=0 all.",
    )
    plugins.add_argument("--json", action="store_true", help="print JSON")
    commands.add_parser(
        "hooks",
        help="list the hooks and who implements them",
        description="Lists every hook with its arguments, and the plugins that implement it in the "
        "order in which they are called.",
    )
    return parser


def _as_json(found: Iterable[FoundPlugin]) -> str:
    listed = [{name: getattr(plugin, name) for name in LISTED} for plugin in found]
    return json.dumps(listed, indent=2)


def _plugins_text(found: Sequence[FoundPlugin]) -> str:
    if not found:
        return "No plugin is installed."
    rows = [("NAME", "STATUS", "DISTRIBUTION", "VERSION", "HOOKS OR REASON")]
    for plugin in found:
        about = plugin.reason or ", ".join(hook.removeprefix("antflow_") for hook in plugin.hooks)
        rows.append(
            (plugin.name, plugin.status, plugin.distribution, plugin.version, about or "none")
        )
    return _table(rows)


def _hooks_text() -> str:
    rows = [("HOOK", "PLUGINS, IN THE ORDER OF THE CALLS")]
    active = INSTALLED.active()
    for hook, arguments in ARGUMENTS.items():
        names = ", ".join(listener.name for listener in active.listeners(hook))
        rows.append((f"{hook}({', '.join(arguments)})", names or "-"))
    return _table(rows)


def _table(rows: Sequence[tuple[str, ...]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )
    return "\n".join(lines)
