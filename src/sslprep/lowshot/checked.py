"""The record of one checked sample."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sslprep.lowshot import index
from sslprep.lowshot.found import FoundSample


@dataclass(frozen=True, kw_only=True)
class SampleProof:
    """What is known of one sample.

    Attributes:
        file: The sample.
        size: `k4` or `fraction0.01`.
        sample: Its number.
        classes: Number of classes.
        positives: Positives (single-label: images) in all classes together.
        negatives: Negatives in all classes together; `None` for single-label samples.
        subset: Whether every label is that of the full targets; `None`: they are not at hand.
        redrawn: Whether drawing again by the manifest's seed gives this very sample; `None`:
            it could not be tried.
        problems: What is wrong.
    """

    file: Path
    size: str
    sample: int
    classes: int = 0
    positives: int = 0
    negatives: int | None = None
    subset: bool | None = None
    redrawn: bool | None = None
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Checked:
    """One sample's proof, with what comparing it with others needs.

    Attributes:
        found: The sample.
        proof: What is known of it.
        content: Fingerprint of what it holds; `None`: it cannot be read.
        only_one: Whether every class is drawn whole, so that all samples must be equal.
    """

    found: FoundSample
    proof: SampleProof
    content: str | None = None
    only_one: bool = False


def unreadable(sample: FoundSample, problem: str) -> Checked:
    """Record a sample that cannot be read."""
    return Checked(
        found=sample,
        proof=SampleProof(
            file=sample.main, size=sample.shot.name, sample=sample.sample, problems=(problem,)
        ),
    )


def read_index(sample: FoundSample) -> index.Index | None:
    """Read the index file of a sample, where it has one."""
    name = sample.files.get("index")
    return None if name is None else index.read(sample.folder / name)


def index_problems(
    sample: FoundSample,
    listed: index.Index | None,
    positives: Sequence[list[int]],
    negatives: Sequence[list[int]] | None,
) -> list[str]:
    """Compare the index of a sample with the rows that the sample itself holds."""
    if listed is None:
        return []
    same = [c.positives for c in listed.classes] == list(positives)
    if negatives is not None:
        same &= [c.negatives for c in listed.classes] == list(negatives)
    named = (listed.k or 0, listed.fraction or 0.0, listed.sample)
    if named != (sample.shot.k, sample.shot.fraction, sample.sample):
        return [f"{sample.files['index']} is of another sample"]
    return [] if same else [f"{sample.files['index']} lists other rows"]
