"""The command line."""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.contenders import CONTENDERS
from benchmarks.harness import machine, report
from benchmarks.harness.model import Entry, Measurement
from benchmarks.harness.paths import RESULTS, sources
from benchmarks.harness.rounds import Outcome, Runner
from benchmarks.measurements import MEASUREMENTS

ROUNDS = 15
QUICK_ROUNDS = 2
QUICK_SHARE = 10
QUIET = 0.1
"""Cores that other programs may use without a warning."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the arguments ask for. The exit status is 0 whatever the figures are."""
    options = _parser().parse_args(arguments)
    disturbance, runner = machine.Disturbance(), Runner()
    outcomes = [
        runner.run(measurement, entries, options.rounds or _rounds(options.quick))
        for measurement, entries in _chosen(options.only, options.quick, options.against)
    ]
    others = disturbance.cores()
    print(_on_screen(outcomes))
    if others is not None and others > QUIET:
        print(f"\nOther programs used {others:.2f} cores meanwhile: do not trust these figures.")
    if options.only or options.quick or options.against or not options.write:
        print(f"\n{RESULTS.name} is left as it was.", file=sys.stderr)
    else:
        RESULTS.write_text(report.document(outcomes, runner.versions, others))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python benchmarks/run.py",
        description="Measure antflow beside its peers and write benchmarks/RESULTS.md. Each "
        "contender runs in a process of its own; the environments of those from the package "
        "registry are made under benchmarks/.envs/ when first needed.",
        epilog=f"measurements: {', '.join(MEASUREMENTS)}. contenders: {', '.join(CONTENDERS)}.",
    )
    parser.add_argument(
        "--rounds",
        type=_positive,
        metavar="N",
        help=f"how many rounds (default {ROUNDS}, with --quick {QUICK_ROUNDS}); slow contenders "
        "take part in every third, and measurements that vary little take fewer",
    )
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        choices=[*MEASUREMENTS, *CONTENDERS],
        metavar="NAME",
        help="run only this measurement or this contender; may be repeated; does not write",
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help=f"a {QUICK_SHARE}th of the items, to see that all of it works; does not write",
    )
    parser.add_argument(
        "--against",
        type=_sources,
        metavar="PATH",
        help="measure the antflow of another checkout too, beside that of this one; does not write",
    )
    parser.add_argument(
        "--no-write",
        dest="write",
        action="store_false",
        help="print the tables and leave RESULTS.md as it is",
    )
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is not a number of rounds; 1 is the least")
    return number


def _sources(checkout: str) -> Path:
    found = sources(Path(checkout).resolve())
    if not (found / "antflow").is_dir():
        raise argparse.ArgumentTypeError(f"{checkout} is no checkout of antflow")
    return found


def _rounds(quick: bool) -> int:
    return QUICK_ROUNDS if quick else ROUNDS


def _chosen(
    only: Sequence[str], quick: bool, other: Path | None
) -> list[tuple[Measurement, list[Entry]]]:
    names = set(only) & set(MEASUREMENTS) or set(MEASUREMENTS)
    contenders = set(only) & set(CONTENDERS) or set(CONTENDERS)
    chosen = [
        (
            measurement,
            [
                _sized(twin, quick)
                for entry in measurement.entries
                if entry.contender in contenders
                for twin in _twins(entry, other)
            ],
        )
        for measurement in MEASUREMENTS.values()
        if measurement.name in names
    ]
    return [(measurement, entries) for measurement, entries in chosen if entries]


def _sized(entry: Entry, quick: bool) -> Entry:
    return replace(entry, size=max(1, entry.size // QUICK_SHARE)) if quick else entry


def _twins(entry: Entry, other: Path | None) -> list[Entry]:
    """The entry, and behind it the same of another checkout if there is one."""
    if other is None or not CONTENDERS[entry.contender].is_of_checkout:
        return [entry]
    return [entry, entry.of_other(other)]


def _on_screen(outcomes: Sequence[Outcome]) -> str:
    sections = [report.section(outcome) for outcome in outcomes]
    return "\n\n".join([*sections, "## What must be reached", report.verdicts(outcomes)])
