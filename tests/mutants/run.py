"""Small errors planted one at a time, to see whether a test notices: `make mutants`.

Of each module a seeded sample is tried. A mutant meets the tests of its module's folder: first
those that run its line, then those that run anything of its module, the fastest first. Survivors
are printed with file and line, and compared with `known.txt`: those there are equivalent (no test
can tell them), and say why; they count neither as killed nor as alive.

    python -m tests.mutants.run [MODULE …] [--sample 40] [--seed 0] [--jobs 2] [--minutes 20]
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path

from .judge import ROOT, copy_tree, judge, watch
from .planted import Mutant, mutants, unchanged

KNOWN = Path(__file__).parent / "known.txt"
MODULES = [
    *("atomic.py", "npy.py", "manifest.py", "parameters.py", "results.py", "console.py"),
    *("cli.py", "legacy.py", "executors.py", "errors.py", "input_files.py"),
    *("lowshot/draw.py", "data/voc.py", "data/voc_xml.py", "data/coco_labels.py"),
    *("jigsaw/codes.py", "color/priors.py"),
    *("checkpoints/names.py", "checkpoints/batchnorm.py", "checkpoints/globals.py"),
    *("evaluate/svm.py", "evaluate/average_precision.py"),
]
SLOW = ("test_dask.py", "test_resume.py", "test_full_size.py", "test_networks.py")
"""Files with a large share of the suite's time, left out: `make test` kills no fewer mutants."""


def folder(module: str) -> str:
    """Return the folder below tests/ whose tests judge a module."""
    room = module.partition("/")[0] if "/" in module else "floor"
    return {"partition": "data"}.get(room, room)


def tests_of(name: str, modules: list[str]) -> list[str]:
    """Return a folder's files of tests, the laws of its part, and its modules' own examples."""
    files = [path for path in sorted(ROOT.glob(f"tests/{name}/test_*.py")) if path.name not in SLOW]
    files += sorted(ROOT.glob(f"tests/property/test_{name}_laws.py"))
    if not files:
        sys.exit(f"tests/{name} holds no tests to judge by")
    return [
        *(str(path.relative_to(ROOT)) for path in files),
        *(f"src/sslprep/{m}" for m in modules),
    ]


def main() -> int:
    """Print every survivor, and for each module how many mutants were killed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("modules", nargs="*", default=MODULES, metavar="MODULE")
    parser.add_argument("--sample", type=int, default=40, help="mutants of each module")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--minutes", type=float, default=20, help="begin no mutant after that")
    parser.add_argument("--seconds", type=float, default=15, help="of tests for one mutant")
    parser.add_argument("--tests", nargs="+", help="judge by these files alone, not by the folder")
    options = parser.parse_args()
    end = time.monotonic() + 60 * options.minutes
    known = [line.rpartition(" # ")[0] for line in KNOWN.read_text("utf-8").splitlines()]
    good = True
    for name, group in groupby(sorted(options.modules, key=folder), folder):
        modules = list(group)
        with tempfile.TemporaryDirectory() as place:
            copies = [Path(place, str(number)) for number in range(options.jobs)]
            for copy in copies:
                copy_tree(copy)
            seen = watch(copies[0], modules, options.tests or tests_of(name, modules))
            if seen.failed:
                print("left out, they fail without a mutant:", *sorted(seen.failed), flush=True)
            for module in modules:
                if next(judge([unchanged(module)], copies, seen, options.seconds))[1]:
                    sys.exit(f"The tests chosen for {module} fail without a mutant")
                every = list(mutants(module))
                sample = random.Random(options.seed).sample(every, min(options.sample, len(every)))
                unknown = [mutant for mutant in sample if str(mutant) not in known]
                in_time = (mutant for mutant in unknown if time.monotonic() < end)
                results = judge(in_time, copies, seen, options.seconds)
                good &= report(module, len(every), len(sample) - len(unknown), results)
    return 0 if good else 1


def report(
    module: str, every: int, equivalent: int, results: Iterable[tuple[Mutant, bool]]
) -> bool:
    """Print who lives, as it is found, and the module's figures; return whether they are good."""
    tried, killed = 0, 0
    for mutant, dead in results:
        tried, killed = tried + 1, killed + dead
        if not dead:
            place = f"src/sslprep/{module}:{mutant.line}"
            print(f"{place}: {mutant.before}  =>  {mutant.after}", flush=True)
    share = f"{killed} of {tried} killed ({killed / max(1, tried):.0%})"
    print(f"{module}: {share}, {equivalent} more equivalent; {every} in all", flush=True)
    return killed >= 0.85 * tried


if __name__ == "__main__":
    sys.exit(main())
