"""The bytes of sets, manifests and the plot: a seed must give the same set for ever."""

import json
from pathlib import Path

import pytest

GOLDEN = Path(__file__).parents[1] / "golden" / "jigsaw"
KEPT = sorted({path.name for path in GOLDEN.iterdir()} - {"make.py", "__pycache__"})


@pytest.mark.parametrize("name", KEPT)
def test_bytes_are_as_ever(made: dict[str, bytes], name: str) -> None:
    now, kept = made[name], (GOLDEN / name).read_bytes()
    if name.endswith(".json"):  # all but the version of the program and SOURCE_DATE_EPOCH
        now, kept = ({**json.loads(text), "sslprep": "", "created": None} for text in (now, kept))
    assert now == kept, f"{name} changed. If that is meant, run tests/golden/jigsaw/make.py"


def test_the_expected_files_are_those_that_are_made(made: dict[str, bytes]) -> None:
    assert sorted(made) == KEPT
