"""Single-label samples (Places-205, ImageNet): a short list of images, k of every class."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sslprep import manifest
from sslprep.errors import ParameterError
from sslprep.files import OutputSet
from sslprep.lowshot.classes import class_names
from sslprep.lowshot.draw import Draws
from sslprep.lowshot.index import Index
from sslprep.lowshot.sampleset import SampleSet
from sslprep.lowshot.shots import (
    DEFAULT_K_VALUES,
    Population,
    Shot,
    check_num_samples,
    possible_shots,
    shots_of_fractions,
    shots_of_k,
)
from sslprep.lowshot.targets import read_class_ids, read_images
from sslprep.lowshot.writing import SamplesWritten, write

LABEL_MEANING = {"n": "class id of the full targets"}


@dataclass(frozen=True, kw_only=True)
class Groups:
    """Rows of the full targets by class.

    Attributes:
        ids: Class ids that occur, ascending.
        rows: All rows, class after class, ascending within each.
        starts: Where each class begins in `rows`; one more entry than `ids`.
    """

    ids: NDArray[np.int64]
    rows: NDArray[np.int64]
    starts: NDArray[np.int64]


def group_rows(labels: NDArray[np.int64]) -> Groups:
    """Group rows by class in one pass over the labels.

    Args:
        labels: (rows,) class ids, 0 or above.

    Example:
        >>> groups = group_rows(np.array([5, 0, 5]))
        >>> groups.ids.tolist(), groups.rows.tolist(), groups.starts.tolist()
        ([0, 5], [1, 0, 2], [0, 1, 3])
    """
    if bool((labels[1:] >= labels[:-1]).all()):
        rows = np.arange(len(labels))
    elif int(labels.max()) < 1 << 16:
        # NumPy's stable sort of 16-bit integers is a radix sort: five times faster.
        rows = np.argsort(labels.astype(np.uint16), kind="stable")
    else:
        rows = np.argsort(labels, kind="stable")
    ordered = labels[rows]
    changes = np.flatnonzero(ordered[1:] != ordered[:-1]) + 1
    starts = np.concatenate([[0], changes, [len(labels)]]).astype(np.int64)
    return Groups(ids=ordered[starts[:-1]], rows=rows, starts=starts)


def draw_rows(
    groups: Groups, draws: Draws, shot: Shot, sample: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Draw k rows (or a fraction) of every class.

    Returns:
        The drawn rows, by class id ascending and ascending within a class; and how many of each
        class.
    """
    sizes = np.diff(groups.starts).tolist()
    counts = np.array([shot.count(size) for size in sizes])
    parts = [
        start + draws.positions(count, of=size, sample=sample, k=shot.key, label=label)
        for label, start, size, count in zip(
            groups.ids.tolist(), groups.starts.tolist(), sizes, counts.tolist(), strict=False
        )
    ]
    # Places in `rows` ascend with the class: one sort orders every class within itself.
    return groups.rows[np.sort(np.concatenate(parts))], counts


def sizes_asked(
    k_values: tuple[int, ...] | None, fraction: tuple[float, ...] | None
) -> tuple[Shot, ...]:
    """Return the sizes that `--k-values` or `--fraction` ask for; by default the published k.

    Raises:
        ParameterError: Both are given, or one holds what cannot be.
    """
    if k_values is not None and fraction is not None:
        raise ParameterError(
            "--k-values and --fraction exclude each other", expected="one of the two"
        )
    if fraction is not None:
        return shots_of_fractions(fraction)
    return shots_of_k(DEFAULT_K_VALUES if k_values is None else k_values)


def draw_singlelabel_samples(
    *,
    images_data_file: Path,
    targets_data_file: Path,
    output_path: Path,
    k_values: tuple[int, ...] | None = None,
    num_samples: int = 5,
    fraction: tuple[float, ...] | None = None,
    nested: bool = False,
    skip_impossible: bool = False,
    seed: int = 0,
    overwrite: bool = False,
    hash_inputs: bool = False,
) -> SamplesWritten:
    """Draw low-shot samples of a single-label set such as Places-205.

    For each k and each sample: a list of images and their labels with k images of every class, by
    class id; the (classes - 1)·k images of the others are the negatives of each.

    Args:
        images_data_file: Image list (.npy) of a partition.
        targets_data_file: Their class ids (.npy), one for each image.
        output_path: Folder for the samples; created if missing.
        k_values: Images of each class; by default 1, 2, 4, 8, 16, 32, 64 and 96.
        num_samples: Independent samples of each k.
        fraction: In place of k: fractions of each class's images, such as 0.01,0.10 (rounded to
            whole images, at least one).
        nested: Within a sample, each k holds the images of the smaller ones.
        skip_impossible: Leave out each k for which some class has too few images, with a warning.
        seed: Seed of the draw. Equal seed and labels give equal samples.
        overwrite: Replace existing samples. Other k of the same draw stay part of the set.
        hash_inputs: Record the SHA-256 of inputs above 1 GB too.

    Returns:
        What was written.

    Raises:
        ArrayError: Not a list of images and a list of class ids of one length.
        NotEnoughError: Some class has too few images for a k; nothing was written.
        ParameterError: A k, fraction or number of samples that cannot be.
        OutputError: The samples exist already, or cannot be written.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> np.save(folder / "train_images.npy", [f"{i}.jpg" for i in range(30)])
        >>> np.save(folder / "train_labels.npy", np.arange(30) % 3)
        >>> result = draw_singlelabel_samples(
        ...     images_data_file=folder / "train_images.npy",
        ...     targets_data_file=folder / "train_labels.npy",
        ...     output_path=folder / "low_shot",
        ...     k_values=(2,),
        ...     num_samples=1,
        ... )
        >>> np.load(folder / "low_shot" / "train_labels_sample1_k2.npy").tolist()
        [0, 0, 1, 1, 2, 2]
    """
    shots = sizes_asked(k_values, fraction)
    check_num_samples(num_samples)
    draws = Draws(seed, nested=nested)
    inputs = manifest.Inputs(hash_inputs=hash_inputs)
    inputs.add_file(images_data_file)
    inputs.add_file(targets_data_file)
    labels = read_class_ids(targets_data_file)
    images = read_images(images_data_file, len(labels), targets_data_file)
    groups = group_rows(labels)
    names, warnings = class_names(targets_data_file, groups.ids.tolist(), inputs, columns=False)
    population = Population(ids=groups.ids, positives=np.diff(groups.starts), names=names)
    possible, skipping = possible_shots(
        shots, population, targets_data_file, skip_impossible=skip_impossible
    )
    samples = SampleSet(
        command="lowshot places",
        output_path=output_path,
        stem="train",
        files=(("train_images", ".npy"), ("train_labels", ".npy")),
        inputs=inputs,
        parameters={
            "images_data_file": images_data_file,
            "targets_data_file": targets_data_file,
            "num_samples": num_samples,
            "seed": seed,
            "nested": nested,
            "skip_impossible": skip_impossible,
        },
        population=population,
        rows=len(labels),
        labels=LABEL_MEANING,
        shots=possible,
        skipped=tuple(shot for shot in shots if shot not in possible),
        num_samples=num_samples,
        seed=seed,
        nested=nested,
        warnings=(*warnings, *skipping),
    )

    def save(out: OutputSet, shot: Shot, sample: int) -> Index:
        rows, counts = draw_rows(groups, draws, shot, sample)
        drawn = images[rows]
        image_file, label_file = samples.data_files(shot, sample)
        out.save_array(image_file, drawn)
        out.save_array(label_file, np.repeat(groups.ids, counts))
        numbers = rows.tolist()
        ends = np.cumsum(counts).tolist()
        of_class = [numbers[a:b] for a, b in zip([0, *ends], ends, strict=False)]
        named = dict(zip(numbers, drawn.tolist(), strict=True))
        return samples.new_index(shot, sample, of_class, images=named)

    return write(samples, save, overwrite=overwrite)
