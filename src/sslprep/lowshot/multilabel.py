"""Multi-label samples (VOC2007, COCO): a target matrix that ignores all but a few labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from sslprep import manifest
from sslprep.errors import ArrayError
from sslprep.files import OutputSet
from sslprep.lowshot.classes import class_names
from sslprep.lowshot.draw import NEGATIVES, POSITIVES, Draws
from sslprep.lowshot.index import Index
from sslprep.lowshot.sampleset import SampleSet, stem_of
from sslprep.lowshot.shots import (
    DEFAULT_K_VALUES,
    Population,
    Shot,
    check_num_samples,
    possible_shots,
    shots_of_k,
)
from sslprep.lowshot.targets import (
    LABEL_MEANING,
    LabelMatrix,
    images_beside,
    read_images,
    read_label_matrix,
)
from sslprep.lowshot.writing import SamplesWritten, write

Rows = NDArray[np.int64]

IGNORE = -1


@dataclass(frozen=True, kw_only=True)
class Candidates:
    """Rows of the full targets that may be drawn, for each class, ascending."""

    positives: tuple[Rows, ...]
    negatives: tuple[Rows, ...]

    @property
    def population(self) -> Population:
        """How many there are."""
        return Population(
            ids=np.arange(len(self.positives)),
            positives=np.array([len(rows) for rows in self.positives]),
            negatives=np.array([len(rows) for rows in self.negatives]),
        )


def candidates(labels: NDArray[np.int8]) -> Candidates:
    """List for every class the rows that are of it and those that are not.

    Args:
        labels: (rows, classes); 1 present, 0 absent, -1 ignore.
    """
    columns = np.ascontiguousarray(labels.T)
    return Candidates(
        positives=tuple(np.flatnonzero(column == 1) for column in columns),
        negatives=tuple(np.flatnonzero(column == 0) for column in columns),
    )


def draw_rows(
    rows: Candidates, draws: Draws, shot: Shot, sample: int
) -> tuple[list[Rows], list[Rows]]:
    """Draw for every class, independently, k positives and (classes - 1)·k negatives.

    Goyal et al. 2019 (arXiv 1905.01235), low-shot image classification.

    Returns:
        Drawn rows for each class: positives and negatives, ascending.
    """
    others = len(rows.positives) - 1
    drawn: tuple[list[Rows], list[Rows]] = ([], [])
    for role, pool, each in ((POSITIVES, rows.positives, 1), (NEGATIVES, rows.negatives, others)):
        for label, of_class in enumerate(pool):
            chosen = draws.positions(
                shot.count(len(of_class)) * each,
                of=len(of_class),
                sample=sample,
                k=shot.key,
                label=label,
                role=role,
            )
            drawn[role].append(of_class[np.sort(chosen)])
    return drawn


def sample_matrix(
    shape: tuple[int, int], positives: Sequence[Rows], negatives: Sequence[Rows]
) -> NDArray[np.int32]:
    """Make the targets of a sample: int32 (rows, classes), -1 wherever nothing was drawn.

    Example:
        >>> sample_matrix((3, 2), [np.array([0]), np.array([2])], [np.array([2]), np.array([1])])
        array([[ 1, -1],
               [-1,  0],
               [ 0,  1]], dtype=int32)
    """
    matrix = np.full(shape, IGNORE, np.int32)
    for label, (ones, zeros) in enumerate(zip(positives, negatives, strict=True)):
        matrix[ones, label] = 1
        matrix[zeros, label] = 0
    return matrix


def encode_targets(
    matrix: NDArray[np.int32], images: Sequence[str], classes: Sequence[str]
) -> bytes:
    """Encode targets as JSON `{image id: {class name: label}}`, a line for each image."""
    encode = msgspec.json.encode
    lines = [
        encode(image) + b": " + encode(dict(zip(classes, row, strict=True)))
        for image, row in zip(images, matrix.tolist(), strict=True)
    ]
    return b"{\n" + b",\n".join(lines) + b"\n}\n"


def image_names(
    given: Path | None, targets_path: Path, targets: LabelMatrix, inputs: manifest.Inputs
) -> tuple[Sequence[str] | NDArray[np.str_] | None, tuple[str, ...]]:
    """Find the names of the images: a given list, JSON keys, or the list beside `…_labels.npy`.

    Returns:
        One name for each row, or `None` where they are not known; and warnings.

    Raises:
        ArrayError: The given list does not fit the targets.
    """
    rows = len(targets.labels)
    if given is not None:
        inputs.add_file(given)
        return read_images(given, rows, targets_path), ()
    if targets.images is not None:
        return targets.images, ()
    path = images_beside(targets_path)
    if path is None:
        return None, ()
    try:
        images = read_images(path, rows, targets_path)
    except ArrayError as error:
        return None, (f"{error} Index files hold row numbers alone.",)
    inputs.add_file(path)
    return images, ()


def draw_multilabel_samples(
    *,
    targets_data_file: Path,
    output_path: Path,
    k_values: tuple[int, ...] = DEFAULT_K_VALUES,
    num_samples: int = 5,
    images_data_file: Path | None = None,
    nested: bool = False,
    skip_impossible: bool = False,
    seed: int = 0,
    overwrite: bool = False,
    hash_inputs: bool = False,
) -> SamplesWritten:
    """Draw low-shot samples of a multi-label set such as VOC2007.

    For each k and each sample: a target file of the input's shape (int32) in which every class,
    independently, has k positives (1) and (classes - 1)·k negatives (0), and all else is -1.

    Args:
        targets_data_file: Labels as .npy (images, classes) of 1 present, 0 absent, -1 ignore, or
            as JSON {image id: {class name: label}}.
        output_path: Folder for the samples; created if missing.
        k_values: Positives for each class.
        num_samples: Independent samples of each k.
        images_data_file: List of images (.npy), one for each row, to be named in the index files.
            By default the …_images.npy beside a …_labels.npy, or a JSON file's own image ids.
        nested: Within a sample, each k holds the images of the smaller ones.
        skip_impossible: Leave out each k for which some class has too few images, with a warning.
        seed: Seed of the draw. Equal seed and labels give equal samples.
        overwrite: Replace existing samples. Other k of the same draw stay part of the set.
        hash_inputs: Record the SHA-256 of inputs above 1 GB too.

    Returns:
        What was written.

    Raises:
        ArrayError: The targets are no matrix of 1, 0 and -1, or the images do not fit.
        NotEnoughError: Some class has too few images for a k; nothing was written.
        ParameterError: A k or a number of samples that cannot be.
        OutputError: The samples exist already, or cannot be written.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> labels = np.random.default_rng(0).integers(0, 2, (60, 3))
        >>> np.save(folder / "train_labels.npy", labels)
        >>> result = draw_multilabel_samples(
        ...     targets_data_file=folder / "train_labels.npy",
        ...     output_path=folder / "low_shot",
        ...     k_values=(1, 4),
        ...     num_samples=2,
        ... )
        >>> sample = np.load(folder / "low_shot" / "train_labels_sample2_k4.npy")
        >>> (sample == 1).sum(axis=0).tolist(), (sample == 0).sum(axis=0).tolist()
        ([4, 4, 4], [8, 8, 8])
    """
    shots = shots_of_k(k_values)
    check_num_samples(num_samples)
    draws = Draws(seed, nested=nested)
    inputs = manifest.Inputs(hash_inputs=hash_inputs)
    inputs.add_file(targets_data_file)
    targets = read_label_matrix(targets_data_file)
    count, width = targets.labels.shape
    images, warnings = image_names(images_data_file, targets_data_file, targets, inputs)
    classes = targets.classes
    if not classes:
        classes, more = class_names(targets_data_file, range(width), inputs, columns=True)
        warnings += more
    rows = candidates(targets.labels)
    population = rows.population.named(classes)
    possible, skipping = possible_shots(
        shots, population, targets_data_file, skip_impossible=skip_impossible
    )
    stem = stem_of(targets_data_file)
    samples = SampleSet(
        command="lowshot voc",
        output_path=output_path,
        stem=stem,
        files=((stem, ".npy"), (stem, ".json")) if targets.from_json else ((stem, ".npy"),),
        inputs=inputs,
        parameters={
            "targets_data_file": targets_data_file,
            "images_data_file": images_data_file,
            "num_samples": num_samples,
            "seed": seed,
            "nested": nested,
            "skip_impossible": skip_impossible,
        },
        population=population,
        rows=count,
        labels=LABEL_MEANING,
        shots=possible,
        skipped=tuple(shot for shot in shots if shot not in possible),
        num_samples=num_samples,
        seed=seed,
        nested=nested,
        warnings=(*warnings, *skipping),
    )

    def save(out: OutputSet, shot: Shot, sample: int) -> Index:
        positives, negatives = draw_rows(rows, draws, shot, sample)
        matrix = sample_matrix((count, width), positives, negatives)
        names = samples.data_files(shot, sample)
        out.save_array(names[0], matrix)
        if targets.from_json and targets.images is not None:
            out.save_bytes(names[1], encode_targets(matrix, targets.images, classes))
        used = np.unique(np.concatenate([*positives, *negatives]))
        return samples.new_index(
            shot,
            sample,
            [chosen.tolist() for chosen in positives],
            [chosen.tolist() for chosen in negatives],
            None if images is None else {row: str(images[row]) for row in used.tolist()},
        )

    return write(samples, save, overwrite=overwrite)
