"""The bytes of partitions: what training reads must not change unnoticed."""

from pathlib import Path

import pytest

GOLDEN = Path(__file__).parents[1] / "golden" / "data"
KEPT = sorted(
    str(p.relative_to(GOLDEN)) for p in GOLDEN.glob("*/*") if p.parent.name != "__pycache__"
)


@pytest.mark.parametrize("name", KEPT)
def test_bytes_are_as_ever(made: dict[str, bytes], name: str) -> None:
    assert made[name] == (GOLDEN / name).read_bytes(), (
        f"{name} changed. If that is meant, run tests/golden/data/make.py and say so in CHANGELOG"
    )


def test_the_expected_files_are_those_that_are_made(made: dict[str, bytes]) -> None:
    assert sorted(made) == KEPT
