"""Single-label samples (ImageNet, Places-205): a short list of images, k of every class."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from sslprep import manifest
from sslprep.lowshot.draw import ONE_MORE, Draws
from sslprep.lowshot.labels import class_names, read_class_ids, read_images
from sslprep.lowshot.sample_files import (
    ClassRows,
    SamplesWritten,
    SetNames,
    open_set,
    write_samples,
)
from sslprep.lowshot.sizes import ClassCounts, Size, possible_sizes, sizes_asked
from sslprep.parameters import NotNegative, Positive, command

STEM = "train"
"""What samples are called, whatever the input is called: as in 2019."""
LABEL_MEANING = {"n": "class id of the full targets"}

Share = Annotated[float, Meta(gt=0, le=1)]


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


def class_sizes(groups: Groups, draws: Draws, size: Size, sample: int) -> NDArray[np.int64]:
    """Return how many images of each class a sample has.

    Which classes of a balanced fraction have one image more is drawn as well.
    """
    rows = np.diff(groups.starts)
    if not size.balanced:
        return np.array([size.count(n) for n in rows.tolist()])
    each, more = size.each(int(rows.sum()), len(rows))
    counts = np.full(len(rows), each)
    chosen = draws.positions(more, of=len(rows), sample=sample, k=size.key, label=0, role=ONE_MORE)
    counts[chosen] += 1
    return counts


def draw_rows(
    groups: Groups, draws: Draws, size: Size, sample: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Draw k rows (or a fraction) of every class.

    Returns:
        The drawn rows, by class id ascending and ascending within a class; and how many of each
        class.
    """
    counts = class_sizes(groups, draws, size, sample)
    parts = [
        start + draws.positions(count, of=has, sample=sample, k=size.key, label=label)
        for label, start, has, count in zip(
            groups.ids.tolist(),
            groups.starts.tolist(),
            np.diff(groups.starts).tolist(),
            counts.tolist(),
            strict=False,  # there is one more start
        )
    ]
    # Places in `rows` ascend with the class: one sort orders every class within itself.
    return groups.rows[np.sort(np.concatenate(parts))], counts


@command(
    renamed={
        "images_data_file": "images",
        "targets_data_file": "targets",
        "output_path": "output",
    }
)
def draw_singlelabel_samples(
    images: Path,
    targets: Path,
    output: Path,
    *,
    k_values: tuple[Positive, ...] | None = None,
    num_samples: Positive = 5,
    fraction: tuple[Share, ...] | None = None,
    balanced: bool = False,
    nested: bool = False,
    skip_impossible: bool = False,
    seed: NotNegative = 0,
    overwrite: bool = False,
    hash_inputs: bool = False,
) -> SamplesWritten:
    """Draw low-shot samples of a single-label set such as ImageNet or Places-205.

    For each k and each sample: a list of images and their labels with k images of every class, by
    class id; the (classes - 1)·k images of the others are the negatives of each.

    Args:
        images: Image list (.npy) of a partition.
        targets: Their class ids (.npy), one for each image.
        output: Folder for the samples; created if missing.
        k_values: Images of each class; by default 1, 2, 4, 8, 16, 32, 64 and 96.
        num_samples: Independent samples of each k.
        fraction: In place of k: fractions of each class's images, such as 0.01,0.10 (rounded to
            whole images, at least one).
        balanced: The fraction is of the whole set and every class gets the same number (some of
            them one more), as in SimCLR's 1 % and 10 % lists of ImageNet.
        nested: Within a sample, each k holds the images of the smaller ones.
        skip_impossible: Leave out each k for which some class has too few images, with a warning.
        seed: Seed of the draw. Equal seed and labels give equal samples.
        overwrite: Replace the existing samples of these sizes. Other sizes are not touched.
        hash_inputs: Record the SHA-256 of inputs above 1 GB too.

    Returns:
        What was written.

    Raises:
        ArrayError: Not a list of images and a list of class ids of one length.
        NotEnoughError: Some class has too few images for a k; nothing was written.
        ParameterError: Sizes that exclude each other, or one twice.
        OutputError: The samples exist already, or cannot be written.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> np.save(folder / "train_images.npy", [f"{i}.jpg" for i in range(30)])
        >>> np.save(folder / "train_labels.npy", np.arange(30) % 3)
        >>> result = draw_singlelabel_samples(
        ...     folder / "train_images.npy",
        ...     folder / "train_labels.npy",
        ...     folder / "low_shot",
        ...     k_values=(2,),
        ...     num_samples=1,
        ... )
        >>> np.load(folder / "low_shot" / "train_labels_sample1_k2.npy").tolist()
        [0, 0, 1, 1, 2, 2]
    """
    sizes = sizes_asked(k_values, fraction, balanced=balanced)
    draws = Draws(seed, nested=nested)
    names = SetNames(
        stem=STEM,
        data=[(f"{STEM}_images", ".npy"), (f"{STEM}_labels", ".npy")],
        sizes=sizes,
        samples=num_samples,
    )
    with open_set(output, names, overwrite=overwrite) as out:
        inputs = manifest.Inputs(hash_inputs=hash_inputs)
        inputs.add_file(images)
        inputs.add_file(targets)
        labels = read_class_ids(targets)
        paths = read_images(images, len(labels), targets)
        groups = group_rows(labels)
        classes, warnings = class_names(targets, groups.ids.tolist(), inputs, columns=False)
        counts = ClassCounts(ids=groups.ids, positives=np.diff(groups.starts), names=classes)
        possible, skipping = possible_sizes(sizes, counts, targets, skip_impossible=skip_impossible)

        def save(size: Size, sample: int) -> tuple[list[ClassRows], dict[int, str]]:
            rows, of_each = draw_rows(groups, draws, size, sample)
            drawn = paths[rows]
            image_file, label_file = names.of_sample(size, sample)
            out.save_array(image_file, drawn)
            out.save_array(label_file, np.repeat(groups.ids, of_each))
            numbers = rows.tolist()
            ends = np.cumsum(of_each).tolist()
            of_classes = [
                ClassRows(
                    id=int(id_), name=classes[n] if classes else None, positives=numbers[start:end]
                )
                for n, (id_, start, end) in enumerate(
                    zip(groups.ids, [0, *ends[:-1]], ends, strict=True)
                )
            ]
            return of_classes, dict(zip(numbers, drawn.tolist(), strict=True))

        return write_samples(
            out,
            names,
            possible,
            save,
            draws=draws,
            counts=counts,
            rows=len(labels),
            command="lowshot places",
            parameters={
                "images": images,
                "targets": targets,
                "num_samples": num_samples,
                "seed": seed,
                "nested": nested,
            },
            inputs=inputs,
            labels=LABEL_MEANING,
            warnings=warnings,
            skipping=skipping,
        )
