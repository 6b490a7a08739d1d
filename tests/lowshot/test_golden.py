"""The bytes of samples and index files: published samples must be drawn the same for ever."""

from pathlib import Path

import pytest

GOLDEN = Path(__file__).parents[1] / "golden" / "lowshot"
KEPT = sorted({path.name for path in GOLDEN.iterdir()} - {"make.py", "__pycache__"})


@pytest.mark.parametrize("name", KEPT)
def test_bytes_are_as_ever(made: dict[str, bytes], name: str) -> None:
    assert made[name] == (GOLDEN / name).read_bytes(), (
        f"{name} changed. If that is meant, rename GENERATOR in sslprep/lowshot/draw.py and run "
        "tests/golden/lowshot/make.py"
    )


def test_the_expected_files_are_those_that_are_made(made: dict[str, bytes]) -> None:
    assert sorted(made) == KEPT
