"""The long fault campaign: every writing command times every fault, as a table.

    python -m tests.faults.campaign [COMMAND …] [--faults kill,full] [--scale 0.5] [--parallel 2]

Prints the table of docs/reliability.md and exits with 1 if any attempt came out wrong.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.faults import process
from tests.faults.case import Case, Job, Outcome
from tests.faults.commands import available, stand_in
from tests.faults.faults import FAULTS

Row = dict[str, Outcome | None]


def campaign(
    job: Job, faults: Sequence[str], folder: Path, *, scale: float = 1.0, mounts: bool = True
) -> Row:
    """Try every fault on one command; `None` where it makes no sense."""
    row: Row = {}
    try:
        case = Case(job, folder)
    except RuntimeError as error:
        print(error, file=sys.stderr, flush=True)
        return dict.fromkeys(faults, Outcome(problems=[str(error)]))
    for name in faults:
        fault = FAULTS[name]
        if not fault.suits(case) or (fault.mounts and not mounts):
            row[name] = None
            continue
        row[name] = fault.try_it(case, max(1, round(fault.tries * scale * job.share)))
        report = f"{job.name}: {fault.title}: {cell(row[name])}"
        print(report, *row[name].problems, sep="\n  ", file=sys.stderr, flush=True)
    return row


def cell(outcome: Outcome | None) -> str:
    """Say in a table's cell how often a fault was tried and how often it went wrong."""
    if outcome is None:
        return "–"
    if outcome.problems:
        return f"**{len(outcome.problems)} wrong** of {outcome.tries}"
    return str(outcome.tries)


def table(rows: dict[str, Row], faults: Sequence[str]) -> str:
    """Lay the outcomes out as Markdown."""
    titles = ["command", *(FAULTS[name].title for name in faults)]
    lines = [titles, ["---"] * len(titles)]
    lines += [[f"`{name}`", *(cell(row[fault]) for fault in faults)] for name, row in rows.items()]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def states(rows: dict[str, Row], faults: Sequence[str]) -> str:
    """Add up in which states each fault left the folders."""
    lines = []
    for fault in faults:
        total: dict[str, int] = {}
        for row in rows.values():
            for state, count in (row[fault].states if row[fault] else {}).items():
                total[state] = total.get(state, 0) + count
        if total:
            text = ", ".join(f"{state} {count}" for state, count in sorted(total.items()))
            lines.append(f"- {FAULTS[fault].title}: {text}")
    return "\n".join(lines)


def main() -> int:
    """Run the campaign over the commands named, or all."""
    jobs = {job.name: job for job in (*available(), stand_in("careless"))}
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("commands", nargs="*", metavar="COMMAND", help="such as 'data voc'")
    parser.add_argument("--faults", default=",".join(FAULTS), help="some of %(default)s")
    parser.add_argument("--scale", type=float, default=1.0, help="multiplies the tries")
    parser.add_argument("--parallel", type=int, default=2, help="commands at a time")
    given = parser.parse_args()
    faults = given.faults.split(",")
    chosen = given.commands or [job.name for job in available()]
    mounts = process.may_mount()
    if not mounts:
        print("no right to mount a tmpfs: faults that need one are left out", file=sys.stderr)
    begin = time.monotonic()
    with (
        tempfile.TemporaryDirectory(prefix="sslprep-campaign-") as folder,
        ThreadPoolExecutor(given.parallel) as pool,
    ):
        runs = [
            pool.submit(
                *(campaign, jobs[name], faults, Path(folder) / re.sub(r"\W+", "-", name)),
                scale=given.scale,
                mounts=mounts,
            )
            for name in chosen
        ]
        rows = {name: run.result() for name, run in zip(chosen, runs, strict=True)}
    outcomes = [outcome for row in rows.values() for outcome in row.values() if outcome]
    tries = sum(outcome.tries for outcome in outcomes)
    wrong = [problem for outcome in outcomes for problem in outcome.problems]
    print(table(rows, faults), states(rows, faults), sep="\n\n", end="\n\n")
    minutes = (time.monotonic() - begin) / 60
    print(f"{tries} faults, {len(wrong)} wrong, {minutes:.1f} minutes")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
