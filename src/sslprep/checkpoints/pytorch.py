"""Step C: a state dict with torchvision's names, for PyTorch or as safetensors."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Literal

from sslprep import manifest
from sslprep.checkpoints import norms, proof
from sslprep.checkpoints.account import (
    ConversionResult,
    counts,
    log_whole,
    refuse_unknown,
    short_table,
)
from sslprep.checkpoints.architecture import BLOCKS, Arch, Trunk
from sslprep.checkpoints.picture import check_choice
from sslprep.checkpoints.safetensorsfile import save_safetensors
from sslprep.checkpoints.source import (
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
from sslprep.checkpoints.statedict import StateDict, to_state_dict
from sslprep.checkpoints.torchfile import save_torch
from sslprep.errors import CheckpointError
from sslprep.files import MANIFEST_SUFFIX, OutputSet

logger = logging.getLogger(__name__)

Order = Literal["rgb", "bgr"]


def channel_order(channels: Order | None, bgr2rgb: bool | None) -> Order:
    """Return the order of the written conv1: `channels` where given, else what `bgr2rgb` says.

    Example:
        >>> channel_order(None, None), channel_order(None, False), channel_order("rgb", False)
        ('rgb', 'bgr', 'rgb')
    """
    if channels is not None:
        return channels
    return "bgr" if bgr2rgb is False else "rgb"


def check_arch(arch: Arch | None, trunk: Trunk) -> None:
    """Check the architecture that the user names against the blocks that are there.

    Raises:
        CheckpointError: They differ.
    """
    if arch is None:
        if trunk.arch is None:
            choices = ", ".join(f"{name} ({_dashes(blocks)})" for name, blocks in BLOCKS.items())
            raise CheckpointError(
                f"has {_dashes(trunk.blocks)} blocks in res2 to res5", expected=f"one of {choices}"
            )
        return
    if trunk.arch != arch:
        found = trunk.arch or f"{_dashes(trunk.blocks)} blocks"
        raise CheckpointError(
            f"is {found}, not {arch}",
            expected=f"{_dashes(BLOCKS[arch])} blocks in res2 to res5 for --arch {arch}",
            remedy="Leave --arch out: it is found from the blobs.",
        )


def _dashes(blocks: tuple[int, ...]) -> str:
    return "-".join(map(str, blocks))


def check_jigsaw(jigsaw: bool | None, source: Source) -> None:
    """Check what the user says about towers against what is there.

    Raises:
        CheckpointError: They differ.
    """
    if jigsaw is True and source.choice is None and "tower" not in source.mark:
        raise CheckpointError(
            "has no towers",
            where=source.path,
            expected="a Jigsaw model for --jigsaw True",
            remedy="Leave --jigsaw out: towers are found from the blobs.",
        )
    if jigsaw is False and source.choice is not None:
        raise CheckpointError(
            f"has {len(source.choice.towers)} towers",
            where=source.path,
            expected="a model without towers for --jigsaw False",
            remedy="Leave --jigsaw out: towers are found from the blobs.",
        )


def _metadata(trunk: Trunk, made: StateDict, order: Order | None) -> dict[str, str]:
    """Return what a safetensors file says about itself; all values are texts."""
    found = {
        "format": "pt",
        "source": "caffe2",
        "arch": trunk.arch,
        "channels": order,
        "classifier": made.classifier,
    }
    return {key: value for key, value in found.items() if value is not None}


def _notes(trunk: Trunk, made: StateDict, order: Order) -> tuple[str, ...]:
    notes = []
    if trunk.colorization:
        notes.append(
            "A colorization model takes one channel (L), so it has no channel order. "
            "torchvision's resnet50 needs conv1 = Conv2d(1, 64, 7, 2, 3, bias=False) and stride 1 "
            "in layer4 (layer4[0].conv2 and layer4[0].downsample[0])."
        )
    elif order == "rgb":
        notes.append(
            "conv1 takes RGB, (x / 255 - mean) / std with mean 0.485 0.456 0.406 and std "
            "0.229 0.224 0.225, as torchvision's models do."
        )
    else:
        notes.append(
            "conv1 takes BGR as in Caffe2; --channels rgb would make it torchvision's RGB."
        )
    if trunk.family == "alexnet":
        notes.append(
            "torchvision's AlexNet is another network; the names are in the documentation."
        )
    elif made.other_heads:
        heads = made.other_heads
        notes.append(
            f"{', '.join(heads)} {'has' if len(heads) == 1 else 'have'} no place in "
            "torchvision's ResNet: load with strict=False, or build these heads."
        )
    return tuple(notes)


def convert_pytorch(
    *,
    c2_model: Path,
    output_model: Path,
    format: Literal["torch", "safetensors"] = "torch",
    jigsaw: bool | None = None,
    tower: int = 0,
    arch: Arch | None = None,
    channels: Order | None = None,
    bgr2rgb: bool | None = None,
    keep_head: bool = False,
    keep_pretext: bool = False,
    bn_eps: float = norms.EPS,
    check: bool = False,
    picture: Path | None = None,
    allow_unknown: bool = False,
    allow_missing: bool = False,
    overwrite: bool = False,
    hash_inputs: bool = False,
) -> ConversionResult:
    """Convert a Caffe2 model to a PyTorch state dict or a safetensors file.

    Names are torchvision's. Neither format needs PyTorch to be written.

    Args:
        c2_model: The checkpoint in Caffe2 names.
        output_model: The file to write (`.dat`, `.pth`, `.safetensors`).
        format: `torch` writes `{'state_dict': …}` for torch.load, `safetensors` a safetensors file.
        jigsaw: Whether the model has Jigsaw towers; found from the blobs when left out.
        tower: The Jigsaw tower to take, where the model has towers.
        arch: The architecture; found from the blobs when left out, else checked against them.
        channels: Order of conv1's input channels: `rgb` (the default, as torchvision's users
            feed it) or `bgr` (as Caffe2 has it).
        bgr2rgb: The word of 2019 for the same: true is `rgb`, false is `bgr`. `--channels` wins.
        keep_head: Keep the heads; a classifier on the last features becomes `fc`.
        keep_pretext: Keep the heads other than `pred` under their own names.
        bn_eps: What the model's batch norms add to the variance; only `--check` uses it.
        check: Prove on a picture that the written model computes the same (needs torch).
        picture: The picture for `--check`; by default one that scikit-image brings.
        allow_unknown: Leave out blobs whose names are none of the benchmark's.
        allow_missing: Go on when the network is not whole.
        overwrite: Replace existing outputs.
        hash_inputs: Hash inputs above 1 GB too.

    Returns:
        What was written, and what became of the blobs.

    Raises:
        CheckpointError: The model is not the architecture, or not whole and sound.
        UnsafeFileError: The file cannot be read safely.
    """
    norms.check_eps(bn_eps)
    check_choice(check=check, picture=picture)
    inputs = manifest.Inputs(hash_inputs=hash_inputs)
    inputs.add_file(c2_model)
    if picture is not None:
        inputs.add_file(picture)
    source = read_source(c2_model, tower=tower, allow_unknown=allow_unknown)
    check_jigsaw(jigsaw, source)
    if source.folded:
        raise CheckpointError(
            "has batch norms that were folded for Detectron (no rm and riv)",
            where=c2_model,
            expected="running means and variances, which PyTorch's batch norm needs",
            remedy="Convert the original checkpoint.",
        )
    model = source.model()
    trunk = check_model(source, model)
    missing = check_whole(source, model, trunk, allow_missing=allow_missing)
    blobs, other = as_float32(model)
    warnings = missing_warnings(source, missing) + precision_warnings(source, other)
    order = channel_order(channels, bgr2rgb)
    try:
        check_arch(arch, trunk)
        made = to_state_dict(
            blobs, source.names, trunk, keep_head=keep_head, keep_pretext=keep_pretext
        )
        refuse_unknown(made.fates, allow_unknown=allow_unknown)
    except CheckpointError as error:
        raise error.at(c2_model) from error
    if trunk.channels == 3 and order == "rgb":
        made.tensors["conv1.weight"] = norms.bgr_to_rgb(made.tensors["conv1.weight"])
    unknown = [
        replace(fate, blob=fate.became, became=None)
        for fate in source.fates
        if fate.action == "unknown" and fate.became is not None
    ]
    fates = joined(source, [*drop_training(source), *made.fates, *unknown])
    notes = _notes(trunk, made, order)
    stages = None
    if check:
        target = proof.Target(
            arrays=made.tensors, form="torch", order=order, classifier=made.classifier, eps=bn_eps
        )
        stages = proof.prove(model, trunk, target, eps=bn_eps, picture=picture, missing=missing)
    for warning in warnings:
        logger.warning("%s", warning)
    log_whole(fates)
    record = output_model.name + MANIFEST_SUFFIX
    conv1_order = order if trunk.channels == 3 else None
    measured = proof.measured_name(output_model)
    with OutputSet(
        output_model.parent,
        [output_model.name, *([measured] if check else [])],
        manifests=[record],
        overwrite=overwrite,
        also_replaces=[measured],
    ) as out:
        if format == "safetensors":
            save_safetensors(
                out, output_model.name, made.tensors, _metadata(trunk, made, conv1_order)
            )
        else:
            save_torch(out, output_model.name, made.tensors)
        manifest.write(
            out,
            record,
            kind="checkpoint",
            command="convert pytorch",
            parameters={
                "format": format,
                "jigsaw": jigsaw,
                "tower": tower,
                "arch": arch,
                "channels": order,
                "keep_head": keep_head,
                "keep_pretext": keep_pretext,
                "bn_eps": bn_eps,
                "allow_unknown": allow_unknown,
                "allow_missing": allow_missing,
            },
            inputs=inputs.records(),
            counts={"tensors": len(made.tensors), **counts(fates)},
            warnings=warnings,
            details={
                "format": format,
                "channels": conv1_order,
                "classifier": made.classifier,
                "notes": list(notes),
                **proof.record(stages, picture),
                **source.details(trunk, fates),
            },
        )
        proof.save_measured(out, output_model, stages)
        out.commit()
    return ConversionResult(
        written=tuple(output_model.with_name(file.name) for file in out.written),
        model=source.describe(trunk),
        blobs=counts(fates),
        tensors=len(made.tensors),
        notes=notes,
        proof=stages,
        warnings=tuple(warnings),
        summary=short_table(fates),
    )
