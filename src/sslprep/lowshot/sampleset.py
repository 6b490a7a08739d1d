"""What a run draws, known before anything is written, and how its files are called."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sslprep import manifest
from sslprep.errors import ParameterError
from sslprep.files import MANIFEST_SUFFIX
from sslprep.lowshot.draw import GENERATOR
from sslprep.lowshot.index import ClassRows, Index
from sslprep.lowshot.shots import Population, Shot

KIND = "lowshot"
SAMPLE_NAME = re.compile(
    r"(?P<stem>.+)_sample(?P<sample>[1-9]\d{0,8})_"
    r"(?:k(?P<k>[1-9]\d{0,8})|fraction(?P<fraction>\d(?:\.\d+)?(?:e-\d+)?))"
    r"(?P<suffix>\.npy|\.json|_index\.json)"
)
"""Names of all files of all samples, ours and those of 2019."""


def stem_of(path: Path) -> str:
    """Return a file's name before its first dot.

    Example:
        >>> stem_of(Path("features/train.res5.npy"))
        'train'
    """
    stem = path.name.split(".")[0]
    if not stem:
        raise ParameterError(
            f"{path.name} has nothing before its first dot to name the samples after", where=path
        )
    return stem


@dataclass(frozen=True, kw_only=True)
class SampleSet:
    """What a run draws, known before anything is written.

    Attributes:
        command: The command, such as `lowshot voc`.
        output_path: The folder.
        stem: What the manifest and index files are named after.
        files: Names before and after `_sample1_k4` of the data files of each sample.
        inputs: The inputs.
        parameters: Those that bear on the content, but the sizes.
        population: The classes.
        rows: Rows of the full targets.
        labels: Meaning of label values.
        shots: What to write.
        skipped: What was asked for and is impossible.
        num_samples: Samples of each size.
        seed: The seed.
        nested: Whether samples of one number nest.
        warnings: So far.
    """

    command: str
    output_path: Path
    stem: str
    files: tuple[tuple[str, str], ...]
    inputs: manifest.Inputs
    parameters: dict[str, Any]
    population: Population
    rows: int
    labels: dict[str, str]
    shots: tuple[Shot, ...]
    skipped: tuple[Shot, ...] = ()
    num_samples: int
    seed: int
    nested: bool
    warnings: tuple[str, ...] = field(default=())

    @property
    def manifest_name(self) -> str:
        """The run's manifest; fractions are a set of their own beside the k."""
        kind = "lowshot" if self.shots[0].k else "lowshot_fractions"
        return f"{self.stem}_{kind}{MANIFEST_SUFFIX}"

    def pairs(self) -> Iterator[tuple[Shot, int]]:
        """Yield every (size, number of the sample)."""
        for shot in self.shots:
            for sample in range(1, self.num_samples + 1):
                yield shot, sample

    def names(self) -> list[str]:
        """Return the names of all files but the manifest."""
        return [
            name
            for pair in self.pairs()
            for name in (*self.data_files(*pair), self.index_file(*pair))
        ]

    def data_files(self, shot: Shot, sample: int) -> list[str]:
        """Return the data files of one sample."""
        return [f"{head}_sample{sample}_{shot.name}{tail}" for head, tail in self.files]

    def index_file(self, shot: Shot, sample: int) -> str:
        """Return the index file of one sample."""
        return f"{self.stem}_sample{sample}_{shot.name}_index.json"

    def new_index(
        self,
        shot: Shot,
        sample: int,
        rows: Sequence[list[int]],
        negatives: Sequence[list[int]] | None = None,
        images: dict[int, str] | None = None,
    ) -> Index:
        """Make the index of one sample from the rows of each class."""
        names = self.population.names
        classes = [
            ClassRows(
                id=int(id_),
                name=names[i] if names else None,
                positives=rows[i],
                negatives=None if negatives is None else negatives[i],
            )
            for i, id_ in enumerate(self.population.ids)
        ]
        return Index(
            **shot.fields,  # type: ignore[arg-type]
            sample=sample,
            seed=self.seed,
            nested=self.nested,
            generator=GENERATOR,
            rows=self.rows,
            files=self.data_files(shot, sample),
            classes=classes,
            images=images,
        )
