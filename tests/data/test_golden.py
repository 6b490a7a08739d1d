"""The bytes of partitions: what training reads must not change unnoticed."""

import runpy
from pathlib import Path

import pytest

GOLDEN = Path(__file__).parents[1] / "golden" / "data"
MADE: dict[str, bytes] = runpy.run_path(str(GOLDEN / "make.py"))["make"]()


@pytest.mark.parametrize("name", sorted(MADE))
def test_bytes_are_as_ever(name: str) -> None:
    assert MADE[name] == (GOLDEN / name).read_bytes(), (
        f"{name} changed. If that is meant, run tests/golden/data/make.py and say so in CHANGELOG"
    )


def test_no_expected_file_is_stale() -> None:
    kept = {
        str(p.relative_to(GOLDEN)) for p in GOLDEN.glob("*/*") if p.parent.name != "__pycache__"
    }
    assert kept == set(MADE)
