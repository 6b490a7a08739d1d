"""The bytes of bins and priors: training code that has them must get the same for ever."""

from pathlib import Path

GOLDEN = Path(__file__).parents[1] / "golden" / "color"


def test_bytes_are_as_ever(made: dict[str, bytes]) -> None:
    kept = {path.name for path in GOLDEN.iterdir()} - {"make.py", "__pycache__"}
    assert kept == set(made)
    for name, data in made.items():
        assert data == (GOLDEN / name).read_bytes(), (
            f"{name} changed. If that is meant, run tests/golden/color/make.py and say so in "
            "the changelog"
        )
