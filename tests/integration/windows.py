"""Real terminals for tests: windows of tmux, on a server of its own that is ended in the end."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.integration.plugins.installing import plain_environ
from tests.requirements import required

LIMIT = 20.0
"""Seconds that anything may take before a test fails."""

OF_TERMINALS = ("CI", "COLORTERM", "FORCE_COLOR", "NO_COLOR", "TMUX", "TTY_COMPATIBLE")


def until(look: Callable[[], str], condition: Callable[[str], object]) -> str:
    """Look again and again, and return what is seen as soon as that is as wanted."""
    end = time.monotonic() + LIMIT
    while not condition(seen := look()):
        assert time.monotonic() < end, f"not within {LIMIT} seconds:\n{seen}"
        time.sleep(0.02)
    return seen


@dataclass
class Window:
    """A terminal in which a shell runs."""

    socket: Path
    folder: Path

    def ask(self, *command: object) -> str:
        ran = subprocess.run(
            [required("tmux"), "-S", str(self.socket), "-f", os.devnull, *map(str, command)],
            env=environ(),
            capture_output=True,
            text=True,
            timeout=LIMIT,
            check=False,
        )
        assert ran.returncode == 0, f"{command}: {ran.stderr}"
        return ran.stdout

    def screen(self, *, with_history: bool = False, with_escapes: bool = False) -> str:
        """Return what is seen, or also what has been scrolled away or the colours."""
        options = ["-S", "-"] if with_history else []
        options += ["-e"] if with_escapes else []
        return self.ask("capture-pane", "-p", *options).rstrip("\n")

    def state(self, *variables: str) -> str:
        """Return what tmux knows of the terminal, such as `cursor_flag` or `alternate_on`."""
        wanted = " ".join(f"#{{{variable}}}" for variable in variables)
        return self.ask("display-message", "-p", wanted).strip()

    def run(self, *command: object, **variables: str) -> None:
        """Type a command of the shell that runs a Python program, and then shows its exit code."""
        words = [f"{name}={shlex.quote(value)}" for name, value in variables.items()]
        words += map(shlex.quote, [sys.executable, *map(str, command)])
        script = self.folder / "command.sh"
        script.write_text(f'trap : INT\n{" ".join(words)}\necho "exit code $?"\n', encoding="utf-8")
        self.ask("send-keys", f". {shlex.quote(str(script))}", "Enter")

    def press(self, key: str) -> None:
        self.ask("send-keys", key)

    def resize(self, columns: int, lines: int) -> None:
        self.ask("resize-window", "-x", columns, "-y", lines)

    def until(self, condition: Callable[[str], object], *, with_history: bool = False) -> str:
        """Return what is seen as soon as that is as wanted."""
        return until(lambda: self.screen(with_history=with_history), condition)

    def until_shown(self, *texts: str, with_history: bool = False) -> str:
        return self.until(
            lambda seen: all(text in seen for text in texts), with_history=with_history
        )


def environ() -> Mapping[str, str]:
    kept = {name: text for name, text in plain_environ().items() if name not in OF_TERMINALS}
    return {**kept, "LC_ALL": "C.UTF-8", "TERM": "xterm-256color", "ANTFLOW_PLUGINS": "rich"}


@contextmanager
def window(folder: Path, columns: int, lines: int) -> Iterator[Window]:
    """Open a window of that size."""
    opened = Window(folder / "tmux", folder)
    shell = "exec env PS1='$ ' HISTFILE= sh"
    opened.ask("new-session", "-d", "-x", columns, "-y", lines, shell)
    try:
        opened.ask("set-option", "-g", "window-size", "manual")
        opened.resize(columns, lines)
        opened.until_shown("$")
        yield opened
    finally:
        with suppress(AssertionError):
            opened.ask("kill-server")
