"""Run every benchmark and print one table: `python benchmarks/run.py [--quick] [NAME …]`.

Every row was measured in this run: ours, a plain straightforward implementation, and the floor
(reading the file, listing the folder, decoding the images). The table is the first that is
printed; what a benchmark has to say beside its rows comes after it.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
from pathlib import Path

from measure import HEADER

FOLDER = Path(__file__).parent


def machine() -> str:
    """Say what the figures were measured on."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
        model = next(x.partition(":")[2].strip() for x in text.splitlines() if "model name" in x)
    except (OSError, StopIteration):
        model = platform.processor()
    return f"{model}, {os.cpu_count()} cores, {platform.system()}, Python {sys.version.split()[0]}"


def main() -> None:
    names = sorted(path.stem.removeprefix("bench_") for path in FOLDER.glob("bench_*.py"))
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(names)}")
    parser.add_argument("--quick", action="store_true", help="small inputs, to see that it works")
    options = parser.parse_args()
    print(f"{machine()}\n\n{HEADER}", flush=True)
    remarks: list[str] = []
    for name in options.names or names:
        argv = [sys.executable, str(FOLDER / f"bench_{name}.py"), *["--quick"] * options.quick]
        with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for line in process.stdout:
                if line.startswith("|") and line.rstrip() not in HEADER.splitlines():
                    print(line, end="", flush=True)
                elif line.strip() and not line.startswith("|"):
                    remarks.append(f"- {name}: {line.strip()}")
        if process.returncode:
            sys.exit(f"bench_{name}.py ended with exit code {process.returncode}")
    print("\n" + "\n".join(remarks))


if __name__ == "__main__":
    main()
