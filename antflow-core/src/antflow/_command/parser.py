"""A parser of arguments whose errors name the nearest known word, and whose help fits."""

from __future__ import annotations

import textwrap
from argparse import Action, ArgumentError, ArgumentParser, HelpFormatter
from collections.abc import Sequence
from typing import Any, NoReturn

from antflow._keywords import nearest


class FittedFormatter(HelpFormatter):
    """Wraps each paragraph of a text at the width of the terminal."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        paragraphs = (" ".join(each.split()) for each in text.split("\n\n"))
        return "\n\n".join(
            textwrap.fill(each, width, initial_indent=indent, subsequent_indent=indent)
            for each in paragraphs
        )


class Parser(ArgumentParser):
    """Parses arguments; an error ends the program with exit code 2.

    Args:
        fields: as for ArgumentParser.
    """

    def __init__(self, **fields: Any) -> None:
        super().__init__(**{"formatter_class": FittedFormatter, "allow_abbrev": False, **fields})

    def refuse(self, unknown: Sequence[str], otherwise: str = "") -> NoReturn:
        """End the program because of arguments that no option takes.

        Args:
            unknown: these arguments.
            otherwise: the remedy if no option has a similar name.
        """
        meant = [close for each in unknown if (close := self._nearest_option(each))]
        remedy = f"did you mean {', '.join(dict.fromkeys(meant))}?" if meant else otherwise
        self.error(
            "; ".join(filter(None, (f"unrecognized arguments: {' '.join(unknown)}", remedy)))
        )

    def _nearest_option(self, argument: str) -> str | None:
        if not argument.startswith("--"):
            return None
        name = argument.partition("=")[0].removeprefix("--")
        known = [each[2:] for each in self._option_string_actions if each.startswith("--")]
        begun = [each for each in known if name and each.startswith(name)]
        close = begun[0] if len(begun) == 1 else nearest(name, known)
        return None if close is None else f"--{close}"

    def _check_value(self, action: Action, value: Any) -> None:
        try:
            super()._check_value(action, value)
        except ArgumentError as error:
            close = nearest(str(value), map(str, action.choices or ()))
            if close is not None and "maybe you meant" not in error.message:
                error.message += f"; did you mean {close}?"
            raise
