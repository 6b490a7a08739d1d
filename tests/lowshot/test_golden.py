"""The bytes of samples and index files: published samples must be drawn the same for ever."""

import runpy
from pathlib import Path

import pytest

GOLDEN = Path(__file__).parents[1] / "golden" / "lowshot"
MADE: dict[str, bytes] = runpy.run_path(str(GOLDEN / "make.py"))["make"]()


@pytest.mark.parametrize("name", sorted(MADE))
def test_bytes_are_as_ever(name: str) -> None:
    assert MADE[name] == (GOLDEN / name).read_bytes(), (
        f"{name} changed. If that is meant, rename GENERATOR in sslprep/lowshot/draw.py and run "
        "tests/golden/lowshot/make.py"
    )


def test_no_expected_file_is_stale() -> None:
    kept = {path.name for path in GOLDEN.iterdir()} - {"make.py", "__pycache__"}
    assert kept == set(MADE)
