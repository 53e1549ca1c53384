"""The options of `antflow run`, and the parser of all commands."""

from __future__ import annotations

import argparse
import math
import textwrap
from argparse import Action, ArgumentError, ArgumentParser, HelpFormatter
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from antflow import Limit
from antflow.logs import escape_controls, text_of

from ._texts import encodable, message_text, nearest

DRAIN_SECONDS = 10.0
LEVELS = ("debug", "info", "warning", "error")
LOOPS = ("asyncio", "uvloop")
STANDARD = "-"
DASHBOARD = "dashboard"
"""The `dest` of options that choose the display."""

USAGE = "antflow run [OPTIONS] TARGET [ITEM ...]"

DESCRIPTION = """\
Runs the items of an input through a pipeline, and writes the results as they come.

TARGET is module:pipeline or file.py:pipeline: a Pipeline, a builder, a function (plain or async)
that returns one, an async context manager that yields one, or a task, which is a function of one
argument. The items are: the arguments after TARGET, as text; else the lines of --input; else
`items` of the program, which are an iterable, an async iterable, or a function that returns one;
else the lines of standard input. A line is JSON, and an object with an "id" names its item; with
--lines it is text.

Results are written as lines of JSON, {"id": ..., "value": ...}, which another pipeline can read."""

EPILOG = """\
The first SIGINT, SIGTERM or SIGHUP stops reading; items already read get --drain-seconds to finish.
The second stops at once. Items that were read and have no result go to --failures in both cases.

Exit code: 0 all items succeeded, 1 some did not, 2 wrong usage, 129, 130 or 143 interrupted by
SIGHUP, SIGINT or SIGTERM, 141 the reader of the output closed it."""


def plugin_choice_parser() -> Parser:
    """Return the parser of the options that are read before any plugin is loaded."""
    parser = Parser(prog="antflow run", usage=USAGE, add_help=False)
    chosen = parser.add_argument_group("plugins")
    chosen.add_argument(
        "--plugins",
        metavar="NAMES",
        help="load these plugins only, as in a,b; as ANTFLOW_PLUGINS does",
    )
    chosen.add_argument(
        "--disable-plugins",
        metavar="NAMES",
        help="do not load these plugins, as in a,b; as ANTFLOW_DISABLE_PLUGINS does",
    )
    chosen.add_argument("--no-plugins", action="store_true", help="load no plugin")
    return parser


def plugin_environment(options: argparse.Namespace) -> Mapping[str, str]:
    """Return the environment variables that have the effect of these options."""
    variables = {
        "ANTFLOW_PLUGINS": options.plugins,
        "ANTFLOW_DISABLE_PLUGINS": options.disable_plugins,
        "ANTFLOW_PLUGIN_AUTOLOAD": "0" if options.no_plugins else None,
    }
    return {name: text for name, text in variables.items() if text is not None}


def run_parser() -> Parser:
    """Return the parser of `antflow run`; plugins add their options to it."""
    parser = Parser(
        prog="antflow run",
        usage=USAGE,
        description=DESCRIPTION,
        epilog=EPILOG,
        parents=[plugin_choice_parser()],
        conflict_handler="error",
    )
    parser.set_defaults(**{DASHBOARD: None})
    parser.add_argument(
        "target", metavar="TARGET", nargs="?", help="what to run, as file.py:pipeline"
    )
    parser.add_argument(
        "items",
        metavar="ITEM",
        nargs="*",
        help="an item, as text; put items that begin with - after --",
    )
    _add_input_and_output(parser)
    _add_running(parser)
    _add_task(parser)
    return parser


def _add_input_and_output(parser: Parser) -> None:
    group = parser.add_argument_group("input and output")
    group.add_argument(
        "--input", metavar="FILE", help="read items from this file; - is standard input"
    )
    group.add_argument("--lines", action="store_true", help="each line of input is text, not JSON")
    group.add_argument(
        "--output",
        metavar="FILE",
        default=STANDARD,
        help="write results to this file; - is standard output (default: %(default)s)",
    )
    existing = group.add_mutually_exclusive_group()
    existing.add_argument(
        "--append",
        action="store_true",
        help="add to --output and --failures if these files are not empty",
    )
    existing.add_argument(
        "--overwrite",
        action="store_true",
        help="replace --output and --failures if these files are not empty",
    )
    group.add_argument(
        "--ordered",
        action="store_true",
        help="write results in the order of the input, not as they come",
    )
    group.add_argument(
        "--values", action="store_true", help="write the values of results alone, without ids"
    )
    group.add_argument(
        "--failures",
        metavar="FILE",
        help="write each input without a result to this file, with the reason",
    )


def _add_running(parser: Parser) -> None:
    group = parser.add_argument_group("running")
    group.add_argument(
        "--drain-seconds",
        metavar="N",
        type=_seconds,
        default=DRAIN_SECONDS,
        help="seconds that items already read get to finish after a signal (default: %(default)g)",
    )
    group.add_argument(
        "--loop",
        choices=LOOPS,
        default=LOOPS[0],
        help="the event loop; uvloop where it is installed (default: %(default)s)",
    )
    group.add_argument(
        "--traceback",
        action="store_true",
        help="print the first traceback of each kind of failure to standard error",
    )
    group.add_argument(
        "--summary", action="store_true", help="print what each stage did to standard error"
    )
    group.add_argument(
        "--log-level",
        choices=LEVELS,
        default="warning",
        help="log this and worse to standard error (default: %(default)s)",
    )


def _add_task(parser: Parser) -> None:
    group = parser.add_argument_group("TARGET is a task")
    group.add_argument(
        "--retries",
        metavar="N",
        type=_attempts,
        help="the most attempts at an item, the first included, whatever its error (default: 3)",
    )
    group.add_argument(
        "--retry-wait",
        metavar="SECONDS",
        type=_seconds,
        help="how long an item waits between two attempts (default: 1)",
    )
    group.add_argument(
        "--timeout",
        metavar="SECONDS",
        type=_time_limit,
        help="end an attempt after this time; it is retried (default: no limit)",
    )
    group.add_argument(
        "--limit",
        metavar="RATE/SECONDS",
        type=_rate,
        help="start at most RATE attempts within any SECONDS, evenly spaced; leave a margin for "
        "calls that arrive late, as in 5/1.1 (default: no limit)",
    )


def _attempts(text: str) -> int:
    try:
        attempts = int(text) if text.isascii() and text.isdigit() else 0
    except ValueError:  # of thousands of digits
        attempts = 0
    if not attempts:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a number of attempts; it counts the first one too, so give 1 or more"
        )
    return attempts


def _rate(text: str) -> tuple[float, float]:
    rate, _, seconds = text.partition("/")
    start, per = _finite(rate), _finite(seconds)
    if 0 < start < 1 and per > 0:
        raise argparse.ArgumentTypeError(
            f"{text!r} starts less than one attempt in its window; give 1/{per / start:g}"
        )
    try:
        Limit(rate=start, per=per)
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a rate; give RATE/SECONDS, such as 100/60"
        ) from error
    return start, per


def _time_limit(text: str) -> float:
    seconds = _finite(text)
    if not seconds > 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time limit; give seconds above 0")
    return seconds


def _seconds(text: str) -> float:
    seconds = _finite(text)
    if not seconds >= 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds; give 0 or more")
    return seconds


def _finite(text: str) -> float:
    """Return a finite number, or NaN."""
    try:
        number = float(text)
    except ValueError:
        return math.nan
    return number if math.isfinite(number) else math.nan


def name_of(action: Action) -> str:
    """Return the name of an option or argument, as its usage shows it."""
    return "/".join(action.option_strings) or str(action.metavar)


class FittedFormatter(HelpFormatter):
    """Wraps each paragraph at the width of the terminal."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        paragraphs = (" ".join(each.split()) for each in text.split("\n\n"))
        return "\n\n".join(
            textwrap.fill(each, width, initial_indent=indent, subsequent_indent=indent)
            for each in paragraphs
        )


class Parser(ArgumentParser):
    """Parses arguments, and suggests the nearest name for a misspelt one.

    An error ends the program with exit code 2.
    """

    def __init__(self, **fields: Any) -> None:
        # An abbreviation would change its meaning with the options of another plugin.
        super().__init__(**{"formatter_class": FittedFormatter, "allow_abbrev": False, **fields})
        # From Python 3.14 on, argparse would put escape sequences among the texts of plugins.
        self.color = False
        self.given: dict[str, dict[str, None]] = {}
        """The names of the options that were given, in order, by the `dest` that they set."""

    def error(self, message: str) -> NoReturn:
        """Print the usage and one line with a message, and end the program with exit code 2."""
        super().error(message_text(message, one_line=True))

    def _print_message(self, message: str, file: Any = None) -> None:
        # Usage, help, errors and versions are all printed here, those of plugins' options, too.
        super()._print_message(encodable(escape_controls(message), file), file)

    def reject_unknown(self, unknown: Sequence[str], remedy: str = "") -> NoReturn:
        """End the program because of unknown arguments.

        Args:
            unknown: the arguments.
            remedy: printed if no option has a similar name.
        """
        nearest_options = [close for each in unknown if (close := self._nearest_option(each))]
        if nearest_options:
            remedy = f"did you mean {', '.join(dict.fromkeys(nearest_options))}?"
        self.error(
            "; ".join(filter(None, (f"unrecognized arguments: {' '.join(unknown)}", remedy)))
        )

    def _nearest_option(self, argument: str) -> str | None:
        if not argument.startswith("--"):
            return None
        name = argument.partition("=")[0].removeprefix("--")
        known = [each[2:] for each in self._option_string_actions if each.startswith("--")]
        longer = [each for each in known if name and each.startswith(name)]
        close = longer[0] if len(longer) == 1 else nearest(name, known)
        return None if close is None else f"--{close}"

    def _get_values(self, action: Action, strings: list[str]) -> Any:
        self.given.setdefault(action.dest, {})[name_of(action)] = None
        return super()._get_values(action, strings)

    def _get_value(self, action: Action, text: str) -> Any:
        try:
            return super()._get_value(action, text)
        except (ArgumentError, KeyboardInterrupt):
            raise
        except BaseException as error:  # a plugin's `type` may raise anything, and exit
            message = f"{text!r} cannot be read: {type(error).__name__}: {text_of(error)}"
            raise ArgumentError(action, message) from None

    def _check_value(self, action: Action, value: Any) -> None:
        try:
            super()._check_value(action, value)
        except ArgumentError as error:
            close = nearest(str(value), map(str, action.choices or ()))
            # argparse itself suggests a value in newer versions of Python.
            if close is not None and "maybe you meant" not in error.message:
                error.message += f"; did you mean {close}?"
            raise
