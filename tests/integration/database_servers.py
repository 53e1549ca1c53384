"""Real PostgreSQL and Redis for tests, each a process on 127.0.0.1 with data of its own."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from tests.integration.prometheus_server import HOST, Server, started
from tests.requirements import required

AnyDatabase = TypeVar("AnyDatabase", bound="Database")


class Database(Server):
    """A server of data."""

    scheme = ""
    ready = ""
    """What it logs when it accepts connections."""

    @property
    def url(self) -> str:
        return f"{self.scheme}{HOST}:{self.port}"

    def is_ready(self) -> bool:
        return self.ready in self.said()


class PostgreSQL(Database):
    """A PostgreSQL without passwords, with the empty database `postgres`."""

    scheme = "postgresql://postgres@"
    ready = "ready to accept connections"

    @property
    def url(self) -> str:
        return f"{super().url}/postgres"

    def end(self) -> None:
        """End it at once; SIGTERM would wait for its clients."""
        if self.process.poll() is None:
            self.signal(signal.SIGINT)
        super().end()


class Redis(Database):
    """A Redis that writes nothing to the disk."""

    scheme = "redis://"
    ready = "Ready to accept connections"


@contextmanager
def postgresql(folder: Path) -> Iterator[PostgreSQL]:
    """Run a PostgreSQL; as it refuses to run as root, another user runs it then."""
    initdb, postgres = _program_of_postgresql("initdb"), _program_of_postgresql("postgres")
    user = _unprivileged()
    home = Path(tempfile.mkdtemp(prefix="antflow-postgresql-"))  # `folder` is root's alone
    try:
        if user:
            os.chown(home, user["user"], user["group"])
        data = home / "data"
        options = ["--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C"]
        subprocess.run(
            [initdb, f"--pgdata={data}", "--no-sync", *options],
            cwd=home,
            check=True,
            capture_output=True,
            **user,
        )
        settings = ["fsync=off", "full_page_writes=off", "unix_socket_directories="]
        command = [postgres, "-D", str(data), "-h", HOST]
        for setting in settings:
            command += ["-c", setting]
        with _serving(PostgreSQL, folder, [*command, "-p"], cwd=home, **user) as server:
            yield server
    finally:
        shutil.rmtree(home)


@contextmanager
def redis(folder: Path) -> Iterator[Redis]:
    """Run a Redis."""
    command = [required("redis-server"), "--bind", HOST, "--save", "", "--port"]
    with _serving(Redis, folder, command, cwd=folder) as server:
        yield server


def _program_of_postgresql(name: str) -> str:
    """Return where a program of PostgreSQL is; Debian's are not on PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return required(str(found[-1]) if found else name)


def _unprivileged() -> dict[str, Any]:
    """Return what makes a process that root starts another user's."""
    if os.geteuid() != 0:
        return {}
    names = {each.pw_name for each in pwd.getpwall()}
    entry = pwd.getpwnam("postgres" if "postgres" in names else "nobody")
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


@contextmanager
def _serving(
    kind: type[AnyDatabase], folder: Path, command: Sequence[str], **options: Any
) -> Iterator[AnyDatabase]:
    """Run a server at a free port, which is added to the command, and end it."""
    server = started(kind, folder, lambda port, _: [*command, str(port)], kind.is_ready, **options)
    try:
        yield server
    finally:
        server.end()
