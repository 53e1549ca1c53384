"""`python -m antflow_prometheus DIRECTORY` writes a dashboard, recording rules and alert rules."""

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
NEXT_STEPS = """
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


class _WriteError(Exception):
    """The files cannot be written; the message has the reason and the remedy."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the files, print how to use them, and return the exit code.

    Args:
        arguments: the command line's arguments; None for those of this process.
    """
    options = _parser().parse_args(arguments)
    directory: Path = options.directory.absolute()
    try:
        text = _write_files(directory, replaces=options.force)
    except _WriteError as error:
        return _print_error(str(error))
    except OSError as error:
        return _print_error(
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


def _print_error(reason: str) -> int:
    sys.stderr.write(f"error: {reason}\n")
    return 1


def _write_files(directory: Path, *, replaces: bool) -> str:
    """Write the files, and return the report to print.

    Raises:
        _WriteError: `directory` is not a directory, or a file differs and may not be replaced.
        OSError: `directory` cannot be written to.
    """
    if directory.exists() and not directory.is_dir():
        raise _WriteError(f"{directory} is not a directory; name one, or a new one")
    contents = {
        directory / name: (files(__package__) / "monitoring" / name).read_bytes()
        for name in CONTENTS
    }
    states = {path: _state(path, content) for path, content in contents.items()}
    differing = [str(path) for path, state in states.items() if state == "replaced"]
    if differing and not replaces:
        raise _WriteError(
            f"{', '.join(differing)} differ{'' if len(differing) > 1 else 's'} from what would be "
            "written; nothing was written: name another directory, or give --force to overwrite"
        )
    directory.mkdir(parents=True, exist_ok=True)
    for path, state in states.items():
        if state != "unchanged":
            path.write_bytes(contents[path])
    return _report(states)


def _state(path: Path, content: bytes) -> str:
    if not path.exists():
        return "written"
    return "unchanged" if path.is_file() and path.read_bytes() == content else "replaced"


def _report(states: Mapping[Path, str]) -> str:
    lines = [f"{state:9}  {path}: {CONTENTS[path.name]}" for path, state in states.items()]
    paths = {path.name: path for path in states}
    # A JSON string is a YAML string too, whatever characters the path contains.
    return (
        "\n".join(lines)
        + "\n"
        + NEXT_STEPS.format(
            recording=json.dumps(str(paths[RECORDING]), ensure_ascii=False),
            alerts=json.dumps(str(paths[ALERTS]), ensure_ascii=False),
            dashboard=paths[DASHBOARD],
        )
    )


if __name__ == "__main__":
    sys.exit(main())
