"""Step B: a model for Detectron (batch norms folded) or Detectron2 (batch norms as they are)."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from sslprep import manifest
from sslprep.checkpoints import detectron2, norms, proof
from sslprep.checkpoints.account import (
    ConversionResult,
    Fate,
    counts,
    log_whole,
    short_table,
)
from sslprep.checkpoints.affine import Arrays, Converted, refuse_broken_norms, to_affine
from sslprep.checkpoints.architecture import Trunk
from sslprep.checkpoints.pickling import save_pickle
from sslprep.checkpoints.picture import check_choice
from sslprep.checkpoints.source import (
    MARK,
    Source,
    as_float32,
    check_model,
    check_whole,
    drop_training,
    joined,
    missing_warnings,
    precision_warnings,
    read_source,
)
from sslprep.errors import CheckpointError, ParameterError
from sslprep.files import MANIFEST_SUFFIX, OutputSet

logger = logging.getLogger(__name__)

Target = Literal["detectron", "detectron2"]


def refuse_second_time(source: Source, *, absorb_std: bool) -> None:
    """Check that nothing is folded or absorbed twice.

    Raises:
        CheckpointError: It would be.
    """
    if absorb_std and source.mark.get("absorbed_std"):
        raise CheckpointError(
            "has the std absorbed in conv1_w already (noted in the file by sslprep)",
            where=source.path,
            expected="a model whose conv1 takes (img / 255 - mean) / std",
            remedy="Use it as it is, or start from the original checkpoint.",
        )
    if source.folded:
        raise CheckpointError(
            "has folded batch norms already (no rm and riv beside s and b)",
            where=source.path,
            expected="a model with running means and variances",
            remedy="Use it as it is, or start from the original checkpoint.",
        )


def settings(target: Target, trunk: Trunk, *, absorbed: bool) -> dict[str, Any]:
    """Return what must be set in the detector's configuration, by key."""
    if target == "detectron2":
        return detectron2.settings(trunk, absorbed=absorbed)
    chosen: dict[str, Any] = {"RESNETS.STRIDE_1X1": False} if trunk.family == "resnet" else {}
    if trunk.channels == 3:
        chosen["PIXEL_MEANS"] = [[[round(255 * value, 3) for value in norms.MEAN_BGR]]]
    return chosen


def _check_choices(target: Target, *, decompose_bn: bool, keep_momentum: bool) -> None:
    if target == "detectron2" and (decompose_bn or keep_momentum):
        flag = "--decompose-bn" if decompose_bn else "--keep-momentum"
        raise ParameterError(
            f"{flag} is given with --target detectron2, whose layout has no place for it",
            remedy=f"Leave {flag} out.",
        )


def _to_detectron2(blobs: Arrays, trunk: Trunk) -> Converted:
    if trunk.family != "resnet":
        raise CheckpointError("is an AlexNet", expected="a ResNet: Detectron2 has no AlexNet")
    arrays, fates = detectron2.rename(blobs)
    return Converted(arrays=arrays, fates=fates)


def _with_unknown(
    source: Source, converted: Converted, target: Target
) -> tuple[dict[str, Any], list[Fate]]:
    """Add the blobs that nobody knows, where the layout has a place for them."""
    arrays: dict[str, Any] = dict(converted.arrays)
    fates = []
    for fate in source.fates:
        if fate.action == "unknown" and fate.became is not None:
            if target == "detectron":
                arrays[fate.became] = source.value(fate.became)
                fates.append(replace(fate, blob=fate.became))
            else:
                fates.append(replace(fate, blob=fate.became, became=None))
    return arrays, fates


def _mark(source: Source, *, absorb_std: bool) -> dict[str, Any]:
    """Return what the file itself must say: what cannot be done a second time."""
    mark: dict[str, Any] = dict(source.mark)
    if absorb_std:
        mark["absorbed_std"] = True
    if source.choice is not None:
        mark["tower"] = source.choice.tower
    return mark


def _notes(
    target: Target, trunk: Trunk, chosen: dict[str, Any], *, absorbed: bool, decomposed: bool
) -> tuple[str, ...]:
    name = "Detectron2" if target == "detectron2" else "Detectron"
    notes = [f"Set in {name}: " + ", ".join(f"{key} {value}" for key, value in chosen.items())]
    if target == "detectron" and not absorbed and trunk.channels == 3:
        notes.append(
            "Detectron does not divide pixels by 255 and the std; without --absorb_std the input "
            "must be (img / 255 - mean) / std."
        )
    if decomposed:
        notes.append("Each norm is two affine layers: …_bn_norm_{s,b}, then …_bn_{s,b}.")
    if trunk.colorization:
        notes.append("The model takes one channel (L) and has stride 1 in res5.")
    return tuple(notes)


def convert_detectron(
    *,
    c2_model: Path,
    output_file: Path,
    target: Target = "detectron",
    absorb_std: bool = False,
    decompose_bn: bool = False,
    keep_momentum: bool = False,
    bn_eps: float = norms.EPS,
    tower: int = 0,
    check: bool = False,
    picture: Path | None = None,
    allow_unknown: bool = False,
    allow_missing: bool = False,
    overwrite: bool = False,
    hash_inputs: bool = False,
) -> ConversionResult:
    """Convert a Caffe2 model to a pickle that Detectron or Detectron2 takes.

    For Detectron every batch norm becomes an affine layer; for Detectron2 it stays as it is.
    A Jigsaw model's towers are reduced to one on the way. What must be set in the detector's
    configuration is printed and stands in the manifest.

    Args:
        c2_model: The checkpoint in Caffe2 names.
        output_file: The pickle to write.
        target: Whose layout and names.
        absorb_std: Divide conv1's weights by 255 times the std, for pixels `img - 255 * mean`.
        decompose_bn: Write a batch norm as two affine layers: statistics, then scale and shift.
        keep_momentum: Keep the momentum blobs.
        bn_eps: What the batch norms add to the variance.
        tower: The Jigsaw tower to take, where the model has towers.
        check: Prove on a picture that the written model computes the same (needs torch).
        picture: The picture for `--check`; by default one that scikit-image brings.
        allow_unknown: Keep blobs whose names are none of the benchmark's (Detectron), or leave
            them out (Detectron2).
        allow_missing: Go on when layers are missing; a norm must be whole all the same.
        overwrite: Replace existing outputs.
        hash_inputs: Hash inputs above 1 GB too.

    Returns:
        What was written, and what became of the blobs.

    Raises:
        CheckpointError: The model is not whole and sound, or is folded or absorbed already.
        UnsafeFileError: The file cannot be read safely.
    """
    norms.check_eps(bn_eps)
    _check_choices(target, decompose_bn=decompose_bn, keep_momentum=keep_momentum)
    check_choice(check=check, picture=picture)
    inputs = manifest.Inputs(hash_inputs=hash_inputs)
    inputs.add_file(c2_model)
    if picture is not None:
        inputs.add_file(picture)
    source = read_source(c2_model, tower=tower, allow_unknown=allow_unknown)
    refuse_second_time(source, absorb_std=absorb_std)
    model = source.model()
    trunk = check_model(source, model)
    missing = check_whole(source, model, trunk, allow_missing=allow_missing)
    blobs, other = as_float32(source.model(momentum=keep_momentum))
    warnings = missing_warnings(source, missing) + precision_warnings(source, other)
    try:
        refuse_broken_norms(blobs, missing)
        if absorb_std:
            if "conv1_w" not in blobs:
                raise CheckpointError("has no conv1_w to absorb the std into")
            blobs["conv1_w"] = norms.absorb_std(blobs["conv1_w"])
        if target == "detectron2":
            converted = _to_detectron2(blobs, trunk)
        else:
            converted = to_affine(blobs, source.names, decompose=decompose_bn, eps=bn_eps)
    except CheckpointError as error:
        raise error.at(c2_model) from error
    arrays, unknown = _with_unknown(source, converted, target)
    fates = joined(
        source, [*drop_training(source, momentum=not keep_momentum), *converted.fates, *unknown]
    )
    mark = _mark(source, absorb_std=absorb_std)
    chosen = settings(target, trunk, absorbed=absorb_std)
    stages = None
    if check:
        made = proof.Target(arrays=arrays, form=target, absorbed=absorb_std)
        stages = proof.prove(model, trunk, made, eps=bn_eps, picture=picture, missing=missing)
    for warning in warnings:
        logger.warning("%s", warning)
    log_whole(fates)
    content = detectron2.layout(arrays) if target == "detectron2" else {"blobs": arrays}
    if mark:
        content[MARK] = mark
    record = output_file.name + MANIFEST_SUFFIX
    measured = proof.measured_name(output_file)
    with OutputSet(
        output_file.parent,
        [output_file.name, *([measured] if check else [])],
        manifests=[record],
        overwrite=overwrite,
        also_replaces=[measured],
    ) as out:
        save_pickle(out, output_file.name, content)
        manifest.write(
            out,
            record,
            kind="checkpoint",
            command="convert detectron",
            parameters={
                "target": target,
                "absorb_std": absorb_std,
                "decompose_bn": decompose_bn,
                "keep_momentum": keep_momentum,
                "bn_eps": bn_eps,
                "tower": tower,
                "allow_unknown": allow_unknown,
                "allow_missing": allow_missing,
            },
            inputs=inputs.records(),
            counts={"tensors": len(arrays), **counts(fates)},
            warnings=warnings,
            details={
                "target": target,
                "absorbed_std": absorb_std,
                "settings": chosen,
                **proof.record(stages, picture),
                **source.details(trunk, fates),
            },
        )
        proof.save_measured(out, output_file, stages)
        out.commit()
    return ConversionResult(
        written=tuple(output_file.with_name(file.name) for file in out.written),
        model=source.describe(trunk),
        blobs=counts(fates),
        tensors=len(arrays),
        notes=_notes(target, trunk, chosen, absorbed=absorb_std, decomposed=decompose_bn),
        proof=stages,
        warnings=tuple(warnings),
        summary=short_table(fates),
    )
