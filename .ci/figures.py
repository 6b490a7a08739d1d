"""Print what the suite's own records say, and fail where too few branches are covered.

python .ci/figures.py tests.xml coverage.json [--branches 92]
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from xml.etree import ElementTree


def main() -> int:
    """Print tests, skips, and the coverage of lines and branches."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tests", type=Path)
    parser.add_argument("coverage", type=Path)
    parser.add_argument("--branches", type=float, default=0.0, help="percent that must be met")
    given = parser.parse_args()
    suite = ElementTree.parse(given.tests).getroot().find("testsuite")  # noqa: S314 - pytest's own
    if suite is None:
        return 1
    totals = json.loads(given.coverage.read_text("utf-8"))["totals"]
    lines = 100 * totals["covered_lines"] / totals["num_statements"]
    branches = 100 * totals["covered_branches"] / totals["num_branches"]
    minutes = float(suite.attrib["time"]) / 60
    print(
        f"{suite.attrib['tests']} tests, {suite.attrib['skipped']} skipped, {minutes:.1f} minutes; "
        f"src/: {lines:.1f} % of lines, {branches:.1f} % of branches, without what only the "
        "processes run that tests start"
    )
    if branches < given.branches:
        print(f"expected {given.branches} % of branches")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
