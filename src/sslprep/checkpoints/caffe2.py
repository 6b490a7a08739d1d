"""The way back: any checkpoint as a Caffe2 pickle."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from sslprep.checkpoints import batchnorm
from sslprep.checkpoints.account import ConversionResult, Converted, kept
from sslprep.checkpoints.conversion import Conversion, in_order, with_statistics
from sslprep.checkpoints.pickling import save_pickle
from sslprep.checkpoints.source import Model
from sslprep.errors import CheckpointError
from sslprep.parameters import command


def warn_of_order(model: Model, channels: str | None, *, reverse: bool) -> None:
    """Note that conv1 ends up with another order than Caffe2's, or perhaps so."""
    known = model.facts.get("channels")
    if known is not None and reverse != (known == "rgb"):
        end = "RGB" if known == "rgb" else "reversed once too often"
        model.warn(f"conv1 takes {known.upper()} as noted when it was written; now it is {end}")
    elif (
        known is None
        and channels is None
        and not (model.trainer or model.encoder.naming in ("caffe2", "detectron2"))
    ):
        what = "taken for RGB and reversed" if reverse else "left in the order it has"
        model.warn(f"nothing says which order conv1's channels have; they are {what}")


@command(renamed={"pth_model": "model", "output_model": "output"})
def convert_caffe2(
    model: Path,
    output: Path,
    *,
    channels: Literal["rgb", "bgr"] | None = None,
    bgr2rgb: bool | None = None,
    branch: str | None = None,
    prefix: str | None = None,
    under: str | None = None,
    check: bool = False,
    picture: Path | None = None,
    allow_unknown: bool = False,
    allow_missing: bool = False,
    overwrite: bool = False,
    hash_inputs: bool = False,
) -> ConversionResult:
    """Convert any checkpoint to a Caffe2 pickle.

    It undoes `convert pytorch`: the same blobs come back. Files of torchvision and of the
    self-supervised trainers work too.

    Args:
        model: The checkpoint (`.pth`, `.dat`, `.safetensors`, `.pkl`), of any known layout.
        output: The pickle to write: `{'blobs': {name: array}}`, protocol 2.
        channels: Order of conv1's input channels in the file. By default what the file or its
            manifest says, else `rgb`; Caffe2's own is BGR.
        bgr2rgb: Whether to reverse conv1's input channels, as the script of 2019 was told.
            `--channels` wins.
        branch: Which of two encoders to take, by a part of its keys, such as `student`.
        prefix: What stands before the encoder's names, where no layout is known.
        under: The keys under which the encoder stands, joined by dots.
        check: Prove on a picture that the written model computes the same (needs torch).
        picture: The picture for `--check`; by default one that scikit-image brings.
        allow_unknown: Leave out arrays whose names are none of the network's.
        allow_missing: Go on when the network is not whole.
        overwrite: Replace existing outputs.
        hash_inputs: Hash inputs above 1 GB too.

    Returns:
        What was written, and what became of the arrays.

    Raises:
        CheckpointError: The arrays are not a whole and sound network.
        UnsafeFileError: The file cannot be read safely.
    """
    run = Conversion("convert caffe2", locals())
    with run.open() as out:
        source = run.source()
        same = all(fate.became in (text, None) for text, fate in source.fates.items())
        if source.caffe2 and same and not source.folded:
            raise CheckpointError(
                "has Caffe2 names already (such as res2_0_branch2a_w)",
                expected="another layout (such as layer1.0.conv1.weight)",
                remedy="Use it as it is.",
            )
        weights = source.weights()
        blobs = with_statistics(source, weights, batchnorm.EPS)
        if channels is not None:
            source.preprocessing = in_order({}, source.preprocessing, channels)
        takes, reverse, notes = source.preprocessing, False, []
        if takes.order in ("RGB", "BGR"):
            reverse = takes.order == "RGB" if channels or bgr2rgb is None else bgr2rgb
            warn_of_order(source, channels, reverse=reverse)
            notes = ["conv1 keeps its channels' order."]
        if reverse:
            takes = in_order(blobs, takes, "bgr" if takes.order == "RGB" else "rgb")
            notes = [f"conv1 was reversed to {takes.order}."]
        made = Converted(form="caffe2", takes=takes, arrays=blobs)
        made.fates = {text: kept(text, text) for text in blobs}
        save_pickle(out, output.name, {"blobs": blobs, **source.marked(takes)})
        if source.network.stride_in_1x1:
            notes.append("The strides stand in the 1×1 convolutions, not in the 3×3.")
        notes.append(takes.text())
        details = {"reversed_channels": reverse}
        return run.finish(out, source, weights, made, notes=notes, details=details)
