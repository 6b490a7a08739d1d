"""Make the expected permutation sets: `python tests/golden/jigsaw/make.py` writes them anew.

A change here means that a set which somebody trained with no longer comes out of its seed.
"""

import tempfile
from pathlib import Path

from sslprep.jigsaw.generate import generate_permutations
from sslprep.jigsaw.stats import permutation_stats

HERE = Path(__file__).parent
SETS = (
    {"n": 40, "method": "code"},
    {"n": 20, "m": 4, "method": "code", "seed": 7},
    {"n": 18, "m": 16, "method": "code"},
    {"n": 20, "method": "max_min", "seed": 2019},
    {"n": 20, "method": "max_min_avg"},
    {"n": 20, "method": "max_avg"},
    {"n": 21, "method": "max_avg", "ties": "reference"},
    {"n": 22, "method": "max_avg", "ties": "lexicographic", "first": (8, 7, 6, 5, 4, 3, 2, 1, 0)},
    {"n": 20, "m": 16, "method": "max_avg"},
    {"n": 21, "m": 16, "method": "max_avg", "ties": "lexicographic"},
)


def make() -> dict[str, bytes]:
    """Return every expected file by name."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        made = [generate_permutations(folder, **options) for options in SETS]
        files = [path for one in made for path in one.written]
        plot = permutation_stats(made[0].written[0], plot=folder / "plot.svg")
        files.append(plot.written[0])
        return {path.name: path.read_bytes() for path in files}


if __name__ == "__main__":
    for name, data in make().items():
        (HERE / name).write_bytes(data)
