"""Single-label samples (ImageNet, Places-205): a short list of images, k of every class."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import numpy as np
from msgspec import Meta

from sslprep import manifest
from sslprep.lowshot.draw import Drawn, Draws
from sslprep.lowshot.labels import class_names, classes_of, read_class_ids, read_images
from sslprep.lowshot.sample_files import SampleSet, SamplesWritten
from sslprep.lowshot.sizes import sizes_asked
from sslprep.parameters import NotNegative, Positive, command

STEM = "train"  # whatever the input is called: as in 2019

Share = Annotated[float, Meta(gt=0, le=1)]


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

    Raises:
        ArrayError: Not a list of images and a list of class ids of one length.
        NotEnoughError: Some class has too few images for a k; nothing was written.
        ParameterError: Sizes that exclude each other, or one twice.
        OutputError: The samples exist already, or cannot be written.
    """
    sizes = sizes_asked(k_values, fraction, balanced=balanced)
    draws = Draws(seed, nested)
    data = [(f"{STEM}_images", ".npy"), (f"{STEM}_labels", ".npy")]
    with SampleSet(output, STEM, data, sizes, num_samples, draws, overwrite) as out:
        inputs = manifest.Inputs(hash_inputs=hash_inputs)
        inputs.add_file(images)
        inputs.add_file(targets)
        labels = read_class_ids(targets)
        paths = read_images(images, len(labels), targets)
        classes = classes_of(labels)
        names, warnings = class_names(targets, classes.ids, inputs, columns=False)

        def save(files: list[str], drawn: Drawn) -> dict[int, str]:
            rows = np.concatenate(drawn.positives)
            names = paths[rows]
            out.save_array(files[0], names)
            out.save_array(files[1], labels[rows])
            return dict(zip(rows.tolist(), names.tolist(), strict=True))

        return out.write(
            save,
            replace(classes, names=names),
            inputs,
            warnings,
            skip_impossible=skip_impossible,
            parameters={"images": images, "targets": targets},
            command="lowshot places",
            labels={"n": "class id of the full targets"},
        )
