"""Step A: one tower of a Jigsaw model under the names of a model without towers."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from sslprep import manifest
from sslprep.checkpoints.account import ConversionResult, counts, log_whole, short_table
from sslprep.checkpoints.architecture import NORM_PARAMS
from sslprep.checkpoints.pickling import save_pickle
from sslprep.checkpoints.source import (
    MARK,
    Source,
    check_model,
    check_whole,
    missing_warnings,
    read_source,
)
from sslprep.files import MANIFEST_SUFFIX, OutputSet

logger = logging.getLogger(__name__)


def _notes(source: Source) -> tuple[str, ...]:
    """Say how far the towers are apart: taking one is a choice that the user should know of."""
    apart = source.distances.get("riv")
    if source.choice is None or apart is None:
        return ()
    return (
        f"The other towers' running variances differ by up to {apart['largest_difference']:.3g} "
        f"({apart['blob']}); all distances are in the manifest.",
    )


def convert_jigsaw(
    *,
    model_file: Path,
    output_file: Path,
    tower: int = 0,
    allow_unknown: bool = False,
    allow_missing: bool = False,
    overwrite: bool = False,
    hash_inputs: bool = False,
) -> ConversionResult:
    """Take one tower of a Jigsaw model and give its blobs the names of an ordinary model.

    The towers share their convolutions and differ in their batch norms; the manifest says by
    how much. Momentum and bookkeeping stay, as in the script of 2019.

    Args:
        model_file: The Jigsaw checkpoint, a Caffe2 pickle.
        output_file: The pickle to write: `{'blobs': {name: array}}`, protocol 2.
        tower: The tower to take.
        allow_unknown: Keep blobs whose names are none of the benchmark's.
        allow_missing: Go on when the network is not whole.
        overwrite: Replace existing outputs.
        hash_inputs: Hash inputs above 1 GB too.

    Returns:
        What was written, and what became of the blobs.

    Raises:
        CheckpointError: The model has no towers (or they were renamed already), lacks the tower,
            or is not a whole and sound network.
        UnsafeFileError: The file cannot be read safely.
    """
    inputs = manifest.Inputs(hash_inputs=hash_inputs)
    inputs.add_file(model_file)
    source = read_source(model_file, tower=tower, need_towers=True, allow_unknown=allow_unknown)
    blobs = source.model()
    trunk = check_model(source, blobs)
    parts = ("s", "b") if source.folded else NORM_PARAMS
    missing = check_whole(source, blobs, trunk, norm_params=parts, allow_missing=allow_missing)
    warnings = missing_warnings(source, missing)
    if source.choice is None:
        warnings.append(f"{model_file}: convert detectron took the tower; copied as it is")
    for warning in warnings:
        logger.warning("%s", warning)
    log_whole(source.fates)
    values: dict[str, Any] = source.all_values()
    content: dict[str, Any] = {"blobs": values}
    if source.mark:
        content[MARK] = source.mark
    record = output_file.name + MANIFEST_SUFFIX
    with OutputSet(
        output_file.parent, [output_file.name], manifests=[record], overwrite=overwrite
    ) as out:
        save_pickle(out, output_file.name, content)
        manifest.write(
            out,
            record,
            kind="checkpoint",
            command="convert jigsaw",
            parameters={
                "tower": tower,
                "allow_unknown": allow_unknown,
                "allow_missing": allow_missing,
            },
            inputs=inputs.records(),
            counts={"tensors": len(values), **counts(source.fates)},
            warnings=warnings,
            details=source.details(trunk, source.fates),
        )
        out.commit()
    return ConversionResult(
        written=(output_file, output_file.with_name(record)),
        model=source.describe(trunk),
        blobs=counts(source.fates),
        tensors=len(values),
        notes=_notes(source),
        warnings=tuple(warnings),
        summary=short_table(source.fates),
    )
