"""Runs the shell lines of a document as its reader would."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import sleep

from tests.integration.otlp import Rotel
from tests.integration.plugins.installing import ROOT, TEMPLATE
from tests.integration.prometheus_server import HOST, LIMIT, until

BLOCK = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PROGRAM = re.compile(
    r'^```python(?: title="(?P<name>[\w/-]+\.py)")?\n(?P<text>.*?)^```$', re.MULTILINE | re.DOTALL
)
FILE = re.compile(r'^```\w+ title="([\w./-]+)"\n(.*?)^```$', re.MULTILINE | re.DOTALL)
OUTPUT = re.compile(
    r"(\n+```sh\n[^`]*```)?\n\n[^\n`#]*\bprints\b[^\n`]*:\n\n```text\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
"""What follows a program, and its output: "It prints:", after the line that runs it, if any."""

SHELLS = {"bash", "console", "sh", "shell"}
LONG, SHORT = "range(1_000)", "range(30)"
"""What programs run over that a reader wants to look at for some seconds, and what tests do."""
SELDOM, OFTEN = "scrape_interval: 5s", "scrape_interval: 250ms"
"""How often the Prometheus of a reader reads a page, and that of a test."""

Files = Mapping[str, str | tuple[str, str]]


def blocks(document: str, *languages: str) -> list[str]:
    """Return what the blocks of a document that are in one of these languages say."""
    text = (ROOT / document).read_text(encoding="utf-8")
    return [match[2] for match in BLOCK.finditer(text) if match[1] in languages]


def shell_lines(document: str) -> list[str]:
    """Return the shell lines of a document, each with those that continue it."""
    text = "".join(blocks(document, *SHELLS))
    return [line.strip() for line in re.sub(r"\\\n\s*", "", text).splitlines() if line.strip()]


def shortened(text: str) -> str:
    """Return a file of the documents in a form that a test has time for."""
    return text.replace(LONG, SHORT).replace(SELDOM, OFTEN)


# What a page promises


@dataclass(frozen=True)
class Line:
    """What is to become of a line.

    Args:
        begin: how it begins.
        code: its exit code.
        says: a pattern of what it writes to standard output or error.
        makes: patterns of what is in the files that it makes.
        serves: it is a server; the port where the page says that it listens.
        added: options with which it does here what the page says, in less time.
        is_awaited: it is repeated until it says what it is to say.
    """

    begin: str
    code: int = 0
    says: str = ""
    makes: Mapping[str, str] = field(default_factory=dict)
    serves: int | None = None
    added: str = ""
    is_awaited: bool = False


@dataclass(frozen=True)
class Page:
    """What stands around the lines of a page.

    Args:
        lines: those of which something is promised, in the order of the page.
        files: the files that the page speaks of; of a document and a language, its first block.
        examples: plugins of examples/ that are installed.
    """

    lines: tuple[Line, ...] = ()
    files: Files = field(default_factory=dict)
    examples: tuple[Path, ...] = ()


# Its reader


@dataclass
class Reader:
    """Runs the lines of a page as if they were typed into a terminal.

    Args:
        folder: where they are.
        environ: of what they run.
        ports: those that the page names, and the free ones used instead.
        servers: ends those that are started.
        collector: what takes the place of the one at OpenTelemetry's usual ports.
    """

    folder: Path
    environ: Mapping[str, str]
    ports: Mapping[str, int]
    servers: ExitStack
    collector: Rotel | None = None

    def own(self, text: str) -> str:
        """Return a text of the page with the ports that stand for those in it."""
        for port, taken in self.ports.items():
            text = re.sub(rf"\b{port}\b", str(taken), text)
        return text

    def type(self, line: str, wanted: Line) -> None:
        """Run a line, and hold what becomes of it against what is wanted."""
        if line.startswith("cd "):
            self.folder /= line.removeprefix("cd ")
            return
        command = self.own(f"{line} {wanted.added}".strip())
        if wanted.serves:
            port = self.ports[str(wanted.serves)]
            self.servers.enter_context(serving(command, port, self.folder, self.environ))
            return
        if wanted.is_awaited:
            until(lambda: self.says(command, wanted.says))
            return
        ran = self.run(command)
        assert ran.returncode == wanted.code, f"{line}\n{ran.stdout}{ran.stderr}"
        assert "Traceback" not in ran.stderr, f"{line}\n{ran.stderr}"
        said = f"{ran.stdout}{ran.stderr}"
        assert re.search(wanted.says, said, re.MULTILINE), f"{line}\n{said}"
        for name, pattern in wanted.makes.items():
            made = (self.folder / name).read_text(encoding="utf-8")
            assert re.search(pattern, made, re.MULTILINE), f"{line}\n{name}: {made}"

    def says(self, command: str, pattern: str) -> bool:
        """Return whether a command says something; if not, wait a moment before the next look."""
        found = re.search(pattern, self.run(command).stdout)
        if not found:
            sleep(0.2)  # each look starts a process
        return found is not None

    def run(self, command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-o", "pipefail", "-c", command],
            cwd=self.folder,
            env=dict(self.environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=3 * LIMIT,
            check=False,
        )


@contextmanager
def serving(command: str, port: int, folder: Path, environ: Mapping[str, str]) -> Iterator[None]:
    """Run a server, and end it by SIGTERM, which it is to take well."""
    log = folder / f"server-{port}.log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            ["bash", "-c", f"exec {command}"],
            cwd=folder,
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
        )

    def listens() -> bool:
        assert process.poll() is None, log.read_text(encoding="utf-8")
        with socket.socket() as asking:
            return asking.connect_ex((HOST, port)) == 0

    try:
        until(listens)
        yield
        process.terminate()
        process.wait(LIMIT)
    finally:
        process.kill()
        process.wait()
    said = log.read_text(encoding="utf-8")
    assert "Traceback" not in said, said


def lay_out(reader: Reader, document: str, page: Page) -> None:
    """Put the files that a page speaks of where it has its reader work."""
    (reader.folder / "examples").symlink_to(ROOT / "examples")
    unwanted = shutil.ignore_patterns("__pycache__", "src")
    shutil.copytree(TEMPLATE, reader.folder / TEMPLATE.name, ignore=unwanted)
    for name, source in page.files.items():
        text = source if isinstance(source, str) else blocks(*source)[0]
        (reader.folder / name).write_text(reader.own(text), encoding="utf-8")
    for name, text in FILE.findall((ROOT / document).read_text(encoding="utf-8")):
        (reader.folder / name).write_text(reader.own(shortened(text)), encoding="utf-8")
