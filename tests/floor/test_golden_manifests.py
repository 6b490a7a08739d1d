"""What manifests say of a run must not change unnoticed."""

import runpy
from pathlib import Path

import pytest

pytest.importorskip("cv2")
GOLDEN = Path(__file__).parents[1] / "golden" / "manifests"
MADE: dict[str, str] = runpy.run_path(str(GOLDEN / "make.py"))["make"]()


@pytest.mark.parametrize("name", sorted(MADE))
def test_a_manifest_says_what_it_always_said(name: str) -> None:
    assert MADE[name] == (GOLDEN / f"{name}.json").read_text(encoding="utf-8"), (
        f"{name} changed; if that is meant, run `make golden`, read the diff, say so in CHANGELOG"
    )


def test_no_expected_manifest_is_stale() -> None:
    kept = {str(path.relative_to(GOLDEN).with_suffix("")) for path in GOLDEN.glob("*/*.json")}
    assert kept == set(MADE)
