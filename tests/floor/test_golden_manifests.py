"""What manifests say of a run must not change unnoticed."""

from pathlib import Path

import pytest

pytest.importorskip("cv2")
GOLDEN = Path(__file__).parents[1] / "golden" / "manifests"
KEPT = sorted(str(p.relative_to(GOLDEN).with_suffix("")) for p in GOLDEN.glob("*/*.json"))


@pytest.mark.parametrize("name", KEPT)
def test_a_manifest_says_what_it_always_said(made: dict[str, str], name: str) -> None:
    assert made[name] == (GOLDEN / f"{name}.json").read_text(encoding="utf-8"), (
        f"{name} changed; if that is meant, run `make golden`, read the diff, say so in CHANGELOG"
    )


def test_the_expected_manifests_are_those_that_are_made(made: dict[str, str]) -> None:
    assert sorted(made) == KEPT
