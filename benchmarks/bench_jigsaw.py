"""`sslprep jigsaw generate` against a plain transcription of the published greedy algorithm.

    python benchmarks/bench_jigsaw.py            # about 8 minutes
    python benchmarks/bench_jigsaw.py --quick    # under a minute

The transcription computes all distances anew at each pick, as the 2019 program does: its time
grows with N², its memory with N. It is measured at a small N; larger ones are extrapolated from
two measured sizes and marked with ≈.
"""

from __future__ import annotations

import argparse
import itertools
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from measure import HEADER, SSLPREP, Measurement, command, compare, row, run

IN_PROCESS = """
import statistics, tempfile, time
from pathlib import Path
from sslprep import generate_permutations as generate
with tempfile.TemporaryDirectory() as place:
    generate(Path(place), n=9)
    for n, m in ((2000, 9), (10000, 9), (2000, 12), (2000, 25)):
        times = []
        for _ in range(11):
            start = time.process_time()
            generate(Path(place), n=n, m=m, overwrite=True)
            times.append(time.process_time() - start)
        spent = f"{1000 * statistics.median(times):.0f} ms CPU, best {1000 * min(times):.0f} ms"
        print(f"code, N = {n}, M = {m}, in a running interpreter, files and all: {spent}")
"""


def plain_greedy(n: int, m: int, method: str) -> None:
    """Choose n permutations as Algorithm 1 of arXiv 1603.09246 is written."""
    import numpy as np
    from scipy.spatial.distance import cdist

    rest = np.array(list(itertools.permutations(range(m))))
    place = 0
    chosen = []
    while len(chosen) < n:
        chosen.append(rest[place].copy())  # a view would keep all of `rest`
        rest = np.delete(rest, place, axis=0)
        distances = cdist(np.array(chosen), rest, metric="hamming")
        score = distances.min(axis=0) if method == "max_min" else distances.mean(axis=0)
        place = int(score.argmax())


def interpreter() -> None:
    """Start Python and import NumPy, which every row below includes."""
    import numpy  # noqa: F401


def extrapolated(n: int, small: tuple[int, Measurement], large: tuple[int, Measurement]) -> str:
    """Continue two measured sizes: seconds are a + b·N², memory a + b·N."""
    (n1, one), (n2, two) = small, large
    slope = (two.cpu - one.cpu) / (n2**2 - n1**2)
    seconds = one.cpu + slope * (n**2 - n1**2)
    peak = one.peak + (two.peak - one.peak) / (n2 - n1) * (n - n1)
    return f"≈ {seconds:,.0f} s, ≈ {peak / 1024:,.1f} GiB"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes, one run each")
    quick = parser.parse_args().quick
    repeat = 1 if quick else 3
    sizes = (10, 20) if quick else (50, 100)
    many = 1000 if quick else 10_000
    grid = 300 if quick else 2000

    print(HEADER)
    floor = run(command(interpreter))
    print(row("start Python, import NumPy", "", floor))
    baseline = {}
    for method in ("max_min", "max_avg"):
        for n in sizes:
            task = f"{method}, N = {n}, M = 9"
            with tempfile.TemporaryDirectory() as place:
                ties = ["--ties", "reference"] if method == "max_avg" else []
                ours = [*SSLPREP, "jigsaw", "generate", "--n", str(n)]
                ours += ["--method", method, *ties, "--output", place, "--overwrite"]
                found = compare(
                    {"plain": command(plain_greedy, n, 9, method), "sslprep": ours},
                    1 if n == sizes[1] else repeat,
                )
            baseline[method, n] = found["plain"]
            print(row(task, "plain transcription", found["plain"]))
            print(row(task, "sslprep", found["sslprep"], found["plain"]), flush=True)

    cases = {
        "code": (2000, 9, []),
        "code, most of the paper": (many, 9, []),
        "code, 3 × 4 grid": (many, 12, []),
        "code, 5 × 5 grid": (many, 25, []),
        "max_min": (many, 9, []),
        "max_avg, ties as in 2019": (many, 9, ["--ties", "reference"]),
        "max_avg, lexicographic ties": (many, 9, ["--ties", "lexicographic"]),
        "max_avg, random ties": (many, 9, ["--ties", "random"]),
        "max_min_avg": (many, 9, []),
        "max_avg, 4 × 4 grid": (grid, 16, ["--ties", "random"]),
        "max_avg, 4 × 4 grid, lexicographic ties": (grid, 16, ["--ties", "lexicographic"]),
        "max_avg, 5 × 5 grid": (grid, 25, ["--ties", "random"]),
    }
    with tempfile.TemporaryDirectory() as place:
        commands = {
            name: [
                *(*SSLPREP, "jigsaw", "generate"),
                *("--n", str(n), "--m", str(m), "--method", name.split(",")[0], *options),
                *("--output", str(Path(place) / f"{i}"), "--overwrite"),
            ]
            for i, (name, (n, m, options)) in enumerate(cases.items())
        }
        for name, measured in compare(commands, repeat).items():
            n, m, _ = cases[name]
            print(row(f"{name}, N = {n}, M = {m}", "sslprep", measured), flush=True)

    print()
    for method in ("max_min", "max_avg"):
        pair = [(n, baseline[method, n]) for n in sizes]
        for n in (701, 2000, 10_000):
            print(f"plain transcription, {method}, N = {n}: {extrapolated(n, *pair)}")
    done = subprocess.run(
        [sys.executable, "-c", IN_PROCESS], capture_output=True, text=True, check=True
    )
    print(done.stdout.strip())


if __name__ == "__main__":
    main()
