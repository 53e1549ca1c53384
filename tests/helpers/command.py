r"""The console command `antflow`, called in this process with standard files of its own.

    ran = command.run("--values", program="async def task(item): return 2 * item", given="1\n")
    assert (ran.code, ran.out) == (0, "2\n")

Each call checks that the command leaves the process as it found it.
"""

from __future__ import annotations

import gc
import json
import logging
import os
import signal
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

# At the import of this module, since tests replace `entry_points` to have plugins installed.
(ENTRY_POINT,) = entry_points(group="console_scripts", name="antflow")

PRELUDE = """\
import asyncio, os, signal, sys
from antflow import Pipeline, Stage, UnprocessedItem

async def task(item):
    return item

def one(task, workers=3, **fields):
    return Pipeline([Stage("Work", workers, [task], **{"task_attempts": 1, **fields})])

"""


@dataclass(frozen=True)
class Ran:
    """What a call came to: exit code, standard output and error, and the files of the folder."""

    code: int
    out: str
    err: str
    files: Mapping[str, str]

    @property
    def values(self) -> list[Any]:
        """The lines of standard output, as JSON."""
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def report(self) -> list[str]:
        """The lines of `antflow run` on standard error."""
        start = "antflow run: "
        return [each[len(start) :] for each in self.err.splitlines() if each.startswith(start)]

    def records(self, name: str) -> list[Any]:
        """Return the lines of a file, as JSON."""
        return [json.loads(line) for line in self.files[name].splitlines()]


class Command:
    """Calls the command in a folder, which is the working directory of the call.

    Args:
        folder: has the programs and files of a test.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, name: str, content: str | bytes) -> Path:
        """Write a file, and create the folders above it."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def run(self, *arguments: object, program: str = "", **standard: Any) -> Ran:
        """Call `antflow run` with a program's `pipeline`, or with a pipeline of its `task`."""
        if "\npipeline =" not in f"\n{program}":
            program += "\npipeline = one(task)\n"
        self.write("program.py", PRELUDE + program)
        return self("run", "program.py:pipeline", *arguments, **standard)

    def __call__(
        self,
        *arguments: object,
        given: str | bytes = "",
        descriptors: Mapping[int, int | None] | None = None,
        stdin: IO[str] | None = None,
        sigint: Any = signal.default_int_handler,
        encoding: str = "utf-8",
    ) -> Ran:
        """Call the command.

        Args:
            arguments: of the command line.
            given: the content of standard input.
            descriptors: the files that take the place of standard files; None for a closed one.
            stdin: what the caller has made of `sys.stdin`.
            sigint: the handler of SIGINT; a shell has what runs in the background ignore it.
            encoding: of the standard streams.
        """
        with ExitStack() as stack:
            files = [stack.enter_context(TemporaryFile()) for _ in range(3)]
            files[0].write(given.encode() if isinstance(given, str) else given)
            files[0].seek(0)
            opened: dict[int, int | None] = {n: file.fileno() for n, file in enumerate(files)}
            opened |= descriptors or {}
            with _standard_files(opened, stdin, encoding), _process(self.folder, sigint):
                code = _exit_code([str(argument) for argument in arguments])
            if code:
                _drop_running_pipelines()
            for file in files:
                file.seek(0)
            out, err = (file.read().decode() for file in files[1:])
        paths = (each for each in self.folder.iterdir() if each.is_file() and each.suffix != ".py")
        texts = {each.name: each.read_text(encoding="utf-8") for each in paths}
        return Ran(code, out, err, texts)


def _drop_running_pipelines() -> None:
    """Collect pipelines that a failed command leaves running, as its process would by ending."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


def _exit_code(arguments: list[str]) -> int:
    try:
        code = ENTRY_POINT.load()(arguments)
    except SystemExit as ended:
        code = ended.code
    assert isinstance(code, int)
    return code


@contextmanager
def _standard_files(
    opened: Mapping[int, int | None], stdin: IO[str] | None, encoding: str
) -> Iterator[None]:
    """Have other standard files, for this process and for Python."""
    names = [f"{mark}{name}{mark}" for name in ("stdin", "stdout", "stderr") for mark in ("", "__")]
    before = {name: getattr(sys, name) for name in names}
    kept = [os.dup(number) for number in opened]
    with ExitStack() as stack:
        for name, value in before.items():
            stack.callback(setattr, sys, name, value)
        for number, before_it in enumerate(kept):
            stack.callback(os.close, before_it)
            stack.callback(os.dup2, before_it, number)
        for number, descriptor in opened.items():
            stream = None
            if descriptor is None:
                os.close(number)
            else:
                os.dup2(descriptor, number)
                mode = "w" if number else "r"
                stream = stack.enter_context(open(number, mode, encoding=encoding, closefd=False))
            for name in names[2 * number : 2 * number + 2]:
                setattr(sys, name, stream)
        sys.stdin = stdin or sys.stdin
        streams = [sys.stdin, sys.stdout, sys.stderr]
        files = {number: os.fstat(number) for number, each in opened.items() if each is not None}
        yield
        assert [sys.stdin, sys.stdout, sys.stderr] == streams
        for number, status in files.items():
            assert os.path.samestat(os.fstat(number), status)
            assert os.get_inheritable(number)


@contextmanager
def _process(folder: Path, sigint: Any) -> Iterator[None]:
    """Keep from this process what a program changes in its own, and check the signals."""
    path, root = list(sys.path), logging.getLogger()
    loggers = [
        each for each in root.manager.loggerDict.values() if isinstance(each, logging.Logger)
    ]
    levels = {each: each.level for each in [root, *loggers]}
    handlers, working = root.handlers[:], Path.cwd()
    interrupt = signal.signal(signal.SIGINT, sigint)
    found = {
        each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    }
    root.handlers.clear()  # so that the command configures logging, as in a process of its own
    bytecode = sys.dont_write_bytecode
    sys.dont_write_bytecode = True  # a program rewritten in the same second would not be read
    os.chdir(folder)
    try:
        yield
        assert {each: signal.getsignal(each) for each in found} == found
        assert signal.set_wakeup_fd(-1) == -1
    finally:
        sys.dont_write_bytecode = bytecode
        signal.signal(signal.SIGINT, interrupt)
        os.chdir(working)
        root.handlers[:] = handlers
        for logger, level in levels.items():
            logger.setLevel(level)
        sys.path[:] = path
        for name, module in sys.modules.copy().items():  # a thread may import meanwhile
            if str(getattr(module, "__file__", None)).startswith(str(folder)):
                del sys.modules[name]
