"""`python -m antflow_prometheus DIRECTORY` brings what watches antflow: a dashboard and rules."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path

RECORDING = "recording-rules.yml"
ALERTS = "alert-rules.yml"
DASHBOARD = "grafana-dashboard.json"
CONTENTS = {
    DASHBOARD: "a Grafana dashboard",
    RECORDING: "recording rules for Prometheus",
    ALERTS: "alert rules for Prometheus, which use the recording rules",
}
NEXT = """
Prometheus: let prometheus.yml name the rules, and the programs that serve metrics.

    rule_files:
      - {recording}
      - {alerts}
    scrape_configs:
      - job_name: antflow
        static_configs:
          - targets: ["127.0.0.1:9464"]  # where ANTFLOW_PROMETHEUS_PORT=9464 serves

Then `promtool check config prometheus.yml`, and let Prometheus read it again (SIGHUP).

Grafana: in Dashboards, New, Import, upload {dashboard}
and choose your Prometheus at the top of the dashboard.
"""


class _RefusalError(Exception):
    """The files are not to be written; it says why, and what to do instead."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the files, say what to do with them, and return the exit code.

    Args:
        arguments: what follows the command's name; None for those of this process.
    """
    options = _parser().parse_args(arguments)
    directory: Path = options.directory.absolute()
    try:
        text = _bring(directory, replaces=options.force)
    except _RefusalError as error:
        return _refused(str(error))
    except OSError as error:
        return _refused(
            f"{error.filename or directory} cannot be written: {error.strerror}; name a directory "
            "that you may write to"
        )
    sys.stdout.write(text)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m antflow_prometheus",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Writes the files for monitoring antflow's pipelines into a directory, and "
        "says how to use them:\n\n"
        + "\n".join(f"  {name:24}{text}" for name, text in CONTENTS.items()),
        epilog="Exit code: 0 if all files are there, 1 if they could not be written, 2 if the\n"
        "command was not understood.",
    )
    parser.add_argument(
        "directory",
        metavar="DIRECTORY",
        type=Path,
        help="where to write the files; created if it does not exist",
    )
    parser.add_argument(
        "--force",
        action="store_true",
        help="overwrite existing files that differ; without it, no file is written if one differs",
    )
    return parser


def _refused(reason: str) -> int:
    sys.stderr.write(f"error: {reason}\n")
    return 1


def _bring(directory: Path, *, replaces: bool) -> str:
    """Write the files, and return what is to be said of it.

    Raises:
        _RefusalError: `directory` is not a directory, or a file differs and is not to be replaced.
        OSError: it cannot be written to.
    """
    if directory.exists() and not directory.is_dir():
        raise _RefusalError(f"{directory} is not a directory; name one, or a new one")
    brought = {
        directory / name: (files(__package__) / "monitoring" / name).read_bytes()
        for name in CONTENTS
    }
    states = {path: _state(path, content) for path, content in brought.items()}
    differing = [str(path) for path, state in states.items() if state == "replaced"]
    if differing and not replaces:
        raise _RefusalError(
            f"{', '.join(differing)} differ{'' if len(differing) > 1 else 's'} from what would be "
            "written; nothing was written: name another directory, or give --force to overwrite"
        )
    directory.mkdir(parents=True, exist_ok=True)
    for path, state in states.items():
        if state != "unchanged":
            path.write_bytes(brought[path])
    return _report(states)


def _state(path: Path, content: bytes) -> str:
    if not path.exists():
        return "written"
    return "unchanged" if path.is_file() and path.read_bytes() == content else "replaced"


def _report(states: Mapping[Path, str]) -> str:
    lines = [f"{state:9}  {path}: {CONTENTS[path.name]}" for path, state in states.items()]
    places = {path.name: path for path in states}
    # A JSON string is a YAML string too, whatever the path has in it.
    return (
        "\n".join(lines)
        + "\n"
        + NEXT.format(
            recording=json.dumps(str(places[RECORDING]), ensure_ascii=False),
            alerts=json.dumps(str(places[ALERTS]), ensure_ascii=False),
            dashboard=places[DASHBOARD],
        )
    )


if __name__ == "__main__":
    sys.exit(main())
