"""Multi-label samples (VOC2007, COCO): a target matrix that ignores all but a few labels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sslprep import manifest
from sslprep.lowshot.draw import NEGATIVES, POSITIVES, Draws
from sslprep.lowshot.labels import (
    Rows,
    class_names,
    is_json,
    read_label_matrix,
    refuse_voc_marks,
    row_names,
    rows_by_class,
)
from sslprep.lowshot.sample_files import (
    ClassRows,
    SamplesWritten,
    SetNames,
    open_set,
    stem_of,
    write_samples,
)
from sslprep.lowshot.sizes import DEFAULT_K_VALUES, ClassCounts, Size, possible_sizes, sizes_asked
from sslprep.parameters import NotNegative, Positive, command
from sslprep.partition import ABSENT, IGNORE, MULTI_LABEL, PRESENT, write_targets


def count_rows(
    positives: Sequence[Rows], negatives: Sequence[Rows], names: tuple[str, ...] = ()
) -> ClassCounts:
    """Count the rows that may be drawn of every class; see `labels.rows_by_class`."""
    return ClassCounts(
        ids=np.arange(len(positives)),
        positives=np.array([len(rows) for rows in positives]),
        negatives=np.array([len(rows) for rows in negatives]),
        names=names,
    )


def draw_rows(
    positives: Sequence[Rows], negatives: Sequence[Rows], draws: Draws, size: Size, sample: int
) -> tuple[list[Rows], list[Rows]]:
    """Draw for every class, independently, k positives and (classes - 1)·k negatives.

    Goyal et al. 2019 (arXiv 1905.01235), low-shot image classification.

    Args:
        positives: Rows of each class.
        negatives: Rows known not to be of each class.
        draws: What to draw with.
        size: The k.
        sample: Number of the sample.

    Returns:
        Drawn rows for each class: positives and negatives, ascending.
    """
    others = len(positives) - 1
    drawn: tuple[list[Rows], list[Rows]] = ([], [])
    for role, pool, each in ((POSITIVES, positives, 1), (NEGATIVES, negatives, others)):
        for label, of_class in enumerate(pool):
            chosen = draws.positions(
                size.k * each, of=len(of_class), sample=sample, k=size.key, label=label, role=role
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
        matrix[ones, label] = PRESENT
        matrix[zeros, label] = ABSENT
    return matrix


def wrong_labels(matrix: NDArray[np.int8], full: NDArray[np.int8]) -> list[str]:
    """Say which labels of a sample are neither those of the full targets nor -1.

    Example:
        >>> wrong_labels(np.array([[1, -1]], np.int8), np.array([[0, 1]], np.int8))
        ['row 0, class 0 is 1, and 0 in the full targets']
    """
    if matrix.shape != full.shape:
        return [f"has shape {matrix.shape}, and the full targets {full.shape}"]
    return [
        f"row {row}, class {label} is {matrix[row, label]}, and {full[row, label]} in the "
        "full targets"
        for row, label in np.argwhere((matrix != IGNORE) & (matrix != full))
    ]


@command(
    renamed={
        "targets_data_file": "targets",
        "output_path": "output",
        "images_data_file": "images",
    }
)
def draw_multilabel_samples(
    targets: Path,
    output: Path,
    *,
    k_values: tuple[Positive, ...] = DEFAULT_K_VALUES,
    num_samples: Positive = 5,
    images: Path | None = None,
    nested: bool = False,
    skip_impossible: bool = False,
    seed: NotNegative = 0,
    overwrite: bool = False,
    hash_inputs: bool = False,
) -> SamplesWritten:
    """Draw low-shot samples of a multi-label set such as VOC2007.

    For each k and each sample: a target file of the input's shape (int32) in which every class,
    independently, has k positives (1) and (classes - 1)·k negatives (0), and all else is -1.

    Args:
        targets: Labels as .npy (images, classes) of 1 present, 0 absent, -1 ignore, or
            as JSON {image id: {class name: label}}, whose rows and columns are the sorted names.
        output: Folder for the samples; created if missing.
        k_values: Positives for each class.
        num_samples: Independent samples of each k.
        images: List of images (.npy), one for each row, to be named in the index files.
            By default the …_images.npy beside a …_labels.npy, or a JSON file's own image ids.
        nested: Within a sample, each k holds the images of the smaller ones.
        skip_impossible: Leave out each k for which some class has too few images, with a warning.
        seed: Seed of the draw. Equal seed and labels give equal samples.
        overwrite: Replace the existing samples of these k. Other k are not touched.
        hash_inputs: Record the SHA-256 of inputs above 1 GB too.

    Returns:
        What was written.

    Raises:
        ArrayError: The targets are no matrix of 1, 0 and -1, or the images do not fit.
        AnnotationError: The targets are another JSON.
        NotEnoughError: Some class has too few images for a k; nothing was written.
        ParameterError: A k twice.
        OutputError: The samples exist already, or cannot be written.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> labels = np.random.default_rng(0).integers(0, 2, (60, 3))
        >>> np.save(folder / "train_labels.npy", labels)
        >>> result = draw_multilabel_samples(
        ...     folder / "train_labels.npy", folder / "low_shot", k_values=(1, 4), num_samples=2
        ... )
        >>> sample = np.load(folder / "low_shot" / "train_labels_sample2_k4.npy")
        >>> (sample == 1).sum(axis=0).tolist(), (sample == 0).sum(axis=0).tolist()
        ([4, 4, 4], [8, 8, 8])
    """
    sizes = sizes_asked(k_values, None, balanced=False)
    draws = Draws(seed, nested=nested)
    stem = stem_of(targets)
    names = SetNames(
        stem=stem,
        data=[(stem, ".npy"), (stem, ".json")] if is_json(targets) else [(stem, ".npy")],
        sizes=sizes,
        samples=num_samples,
    )
    with open_set(output, names, overwrite=overwrite) as out:
        inputs = manifest.Inputs(hash_inputs=hash_inputs)
        inputs.add_file(targets)
        full = read_label_matrix(targets)
        refuse_voc_marks(full.labels, targets)
        shape = full.labels.shape
        ids, warnings = row_names(images, targets, full, inputs)
        classes = full.classes
        if not classes:
            classes, more = class_names(targets, range(shape[1]), inputs, columns=True)
            warnings += more
        rows = rows_by_class(full.labels)
        counts = count_rows(*rows, classes)
        possible, skipping = possible_sizes(sizes, counts, targets, skip_impossible=skip_impossible)

        def save(size: Size, sample: int) -> tuple[list[ClassRows], dict[int, str] | None]:
            positives, negatives = draw_rows(*rows, draws, size, sample)
            matrix = sample_matrix(shape, positives, negatives)
            array, *twin = names.of_sample(size, sample)
            out.save_array(array, matrix)
            if twin and full.images is not None:
                with out.create(twin[0]) as file:
                    write_targets(file, full.images, matrix, classes)
            used = np.unique(np.concatenate([*positives, *negatives]))
            of_classes = [
                ClassRows(
                    id=n,
                    name=classes[n] if classes else None,
                    positives=positives[n].tolist(),
                    negatives=negatives[n].tolist(),
                )
                for n in range(shape[1])
            ]
            named = None if ids is None else {n: str(ids[n]) for n in used.tolist()}
            return of_classes, named

        return write_samples(
            out,
            names,
            possible,
            save,
            draws=draws,
            counts=counts,
            rows=shape[0],
            command="lowshot voc",
            parameters={
                "targets": targets,
                "images": images,
                "num_samples": num_samples,
                "seed": seed,
                "nested": nested,
            },
            inputs=inputs,
            labels=MULTI_LABEL,
            warnings=warnings,
            skipping=skipping,
        )
