"""Multi-label samples (VOC2007, COCO): a target matrix that ignores all but a few labels."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sslprep import manifest
from sslprep.errors import ParameterError
from sslprep.lowshot.draw import Drawn, Draws
from sslprep.lowshot.labels import (
    class_names,
    classes_of,
    read_label_matrix,
    refuse_voc_marks,
    row_names,
)
from sslprep.lowshot.sample_files import SampleSet, SamplesWritten
from sslprep.lowshot.sizes import DEFAULT_K_VALUES, sizes_asked
from sslprep.parameters import NotNegative, Positive, command
from sslprep.partition import ABSENT, IGNORE, MULTI_LABEL, PRESENT, write_targets


def sample_matrix(shape: tuple[int, int], drawn: Drawn) -> NDArray[np.int32]:
    """Make the targets of a sample: int32 (rows, classes), -1 wherever nothing was drawn.

    Example:
        >>> sample_matrix((3, 2), Drawn([[0], [2]], [[2], [1]])).tolist()
        [[1, -1], [-1, 0], [0, 1]]
    """
    matrix = np.full(shape, IGNORE, np.int32)
    for label, (ones, zeros) in enumerate(zip(drawn.positives, drawn.negatives or [], strict=True)):
        matrix[ones, label] = PRESENT
        matrix[zeros, label] = ABSENT
    return matrix


def wrong_labels(matrix: NDArray[np.int8], full: NDArray[np.int8]) -> list[str]:
    """Say which labels of a sample are neither those of the full targets nor -1."""
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

    Raises:
        ArrayError: The targets are no matrix of 1, 0 and -1, or the images do not fit.
        AnnotationError: The targets are another JSON.
        NotEnoughError: Some class has too few images for a k; nothing was written.
        ParameterError: A k twice.
        OutputError: The samples exist already, or cannot be written.
    """
    sizes = sizes_asked(k_values, None, balanced=False)
    draws = Draws(seed, nested)
    stem = targets.name.split(".")[0]
    if not stem:
        what = "has nothing before its first dot to name the samples after"
        raise ParameterError(what, where=targets)
    data = [(stem, ".npy"), (stem, ".json")][: 1 + (targets.suffix.lower() == ".json")]
    with SampleSet(output, stem, data, sizes, num_samples, draws, overwrite) as out:
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
        full_classes = replace(classes_of(full.labels), names=classes)

        def save(files: list[str], drawn: Drawn) -> dict[int, str] | None:
            matrix = sample_matrix(shape, drawn)
            out.save_array(files[0], matrix)
            if full.images is not None:
                with out.create(files[1]) as file:
                    write_targets(file, full.images, matrix, classes)
            if ids is None:
                return None
            used = np.flatnonzero((matrix != IGNORE).any(axis=1)).tolist()
            return {row: str(ids[row]) for row in used}

        return out.write(
            save,
            full_classes,
            inputs,
            warnings,
            skip_impossible=skip_impossible,
            parameters={"targets": targets, "images": images},
            command="lowshot voc",
            labels=MULTI_LABEL,
        )
