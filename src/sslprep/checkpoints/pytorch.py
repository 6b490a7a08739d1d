"""Step C: a state dict with torchvision's names, for PyTorch or as safetensors."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta

from sslprep.checkpoints import batchnorm
from sslprep.checkpoints.account import (
    HEAD,
    ConversionResult,
    Converted,
    dropped,
    names_text,
    refuse_unknown,
    unknown,
)
from sslprep.checkpoints.batchnorm import Arrays
from sslprep.checkpoints.conversion import (
    Conversion,
    in_order,
    with_statistics,
)
from sslprep.checkpoints.names import caffe2_name
from sslprep.checkpoints.preprocessing import Preprocessing
from sslprep.checkpoints.safetensorsfile import save_safetensors
from sslprep.checkpoints.source import Model
from sslprep.checkpoints.torchfile import save_torch
from sslprep.errors import CheckpointError
from sslprep.parameters import NotNegative, command

Arch = Literal["R-18", "R-34", "R-50", "R-101", "R-152"]


def to_state_dict(
    made: Converted, model: Model, blobs: Arrays, *, keep_head: bool, keep_pretext: bool
) -> None:
    """Give the blobs of one tower, batch norms with their statistics, their PyTorch names.

    Without `pred` in a head's name, `keep_pretext` keeps it, as the script of 2019 did.
    """
    network = model.network
    if keep_head and network.kind == "ResNet":
        # Behind a batch norm (`pool5_bn`) a head cannot be `fc`: torchvision's ResNet has none.
        fcs = (layer for layer in network.layers if layer.op == "fc")
        made.classifier = next((fc.name for fc in fcs if fc.takes == ("pool5",)), None)
    places = network.modules
    names = {text: caffe2_name(text) for text in blobs}
    for text in sorted(blobs, key=lambda text: places.get(names[text].module, len(places))):
        name = names[text]
        head = name.module not in places and not name.unit
        target = name.torch(classifier=made.classifier)
        if head and not (keep_head or (keep_pretext and "pred" not in name.layer)):
            made.fates[text] = dropped(text, HEAD)
        elif target is None:
            made.fates[text] = unknown(text, f"no place in a {network.describe}")
        else:
            made.put(text, target, blobs[text])
            if head and name.layer != made.classifier:
                made.other_heads[target.rpartition(".")[0]] = None


def check_wishes(arch: Arch | None, jigsaw: bool | None, model: Model) -> None:
    """Check what the user says of architecture and towers against what is there."""
    if arch not in (None, model.network.arch):
        raise CheckpointError(
            f"is {model.network.describe}, not {arch}",
            remedy="Leave --arch out: it is found from the blobs.",
        )
    towers = len(model.towers)
    if jigsaw is not None and jigsaw != bool(towers or (jigsaw and "tower" in model.mark)):
        raise CheckpointError(
            f"has {towers or 'no'} towers",
            expected=f"a {'Jigsaw model' if jigsaw else 'model without towers'} for "
            f"--jigsaw {jigsaw}",
            remedy="Leave --jigsaw out: towers are found from the blobs.",
        )


def _notes(model: Model, made: Converted, takes: Preprocessing) -> list[str]:
    network = model.network
    notes = [takes.text()]
    if takes.order == "BGR":
        notes[0] += " That is BGR as in Caffe2; --channels rgb would make it torchvision's RGB."
    if network.kind != "ResNet":
        return [
            *notes,
            "torchvision's AlexNet is another network; the names are in the documentation.",
        ]
    if network.depth is None:
        notes.append(f"torchvision has no {network.describe}; its ResNet class takes the blocks.")
    if (stem := model.shapes.get("conv1_w", (0,))[0]) > 64:
        notes.append(f"torchvision's ResNet has 64 channels behind conv1; this one has {stem}.")
    if network.colorization:
        notes.append(
            "A colorization model takes one channel (L), so it has no channel order. "
            "torchvision's resnet50 needs conv1 = Conv2d(1, 64, 7, 2, 3, bias=False) and stride 1 "
            "in layer4 (layer4[0].conv2 and layer4[0].downsample[0])."
        )
    elif model.channels != 3:
        notes.append(f"torchvision's ResNet needs conv1 for {model.channels} channels.")
    if network.stride_in_1x1:
        notes.append(
            "The stride of layer2 to layer4 stands in the first 1×1 convolution: in torchvision's "
            "ResNet, swap the strides of conv1 and conv2 in layer2[0], layer3[0] and layer4[0]."
        )
    if heads := list(made.other_heads):
        notes.append(
            f"{names_text(heads, 8)} {'has' if len(heads) == 1 else 'have'} no place in "
            "torchvision's ResNet: load with strict=False, or build these heads."
        )
    return notes


@command(renamed={"c2_model": "model", "output_model": "output"})
def convert_pytorch(
    model: Path,
    output: Path,
    *,
    format: Literal["torch", "safetensors"] = "torch",
    container: Literal["zip", "legacy"] = "zip",
    jigsaw: bool | None = None,
    tower: NotNegative | None = None,
    arch: Arch | None = None,
    channels: Literal["rgb", "bgr"] | None = None,
    bgr2rgb: bool | None = None,
    keep_head: bool = False,
    keep_pretext: bool = False,
    branch: str | None = None,
    prefix: str | None = None,
    under: str | None = None,
    bn_eps: Annotated[float, Meta(ge=0)] = batchnorm.EPS,
    check: bool = False,
    picture: Path | None = None,
    allow_unknown: bool = False,
    allow_missing: bool = False,
    overwrite: bool = False,
    hash_inputs: bool = False,
) -> ConversionResult:
    """Convert any checkpoint to a PyTorch state dict or a safetensors file.

    Names are torchvision's. Neither format needs PyTorch to be written.

    Args:
        model: The checkpoint: Caffe2, Detectron, Detectron2, PyTorch or safetensors, of any
            known layout.
        output: The file to write (`.dat`, `.pth`, `.safetensors`).
        format: `torch` writes `{'state_dict': …}` for torch.load, `safetensors` a safetensors file.
        container: Of a torch file: `zip` is read by torch 1.6 and later, `legacy` by every torch.
        jigsaw: Whether the model has Jigsaw towers; found from the blobs when left out.
        tower: The Jigsaw tower to take, where the model has towers; the first one by default.
        arch: The architecture; found from the blobs when left out, else checked against them.
        channels: Order of conv1's input channels: `rgb` (the default, as torchvision's users
            feed it) or `bgr` (as Caffe2 has it).
        bgr2rgb: The word of 2019 for the same: true is `rgb`, false is `bgr`. `--channels` wins.
        keep_head: Keep the heads; a classifier on the last features becomes `fc`.
        keep_pretext: Keep the heads whose names have no `pred` under their own names.
        branch: Which of two encoders to take, by a part of its keys, such as `student`.
        prefix: What stands before the encoder's names, where no layout is known.
        under: The keys under which the encoder stands, joined by dots.
        bn_eps: What the model's batch norms add to the variance, for `--check` and for norms
            that were folded.
        check: Prove on a picture that the written model computes the same (needs torch).
        picture: The picture for `--check`; by default one that scikit-image brings.
        allow_unknown: Leave out arrays whose names are none of the network's.
        allow_missing: Go on when the network is not whole.
        overwrite: Replace existing outputs.
        hash_inputs: Hash inputs above 1 GB too.

    Returns:
        What was written, and what became of the arrays.

    Raises:
        CheckpointError: The model is not the architecture, or not whole and sound.
        UnsafeFileError: The file cannot be read safely.
    """
    channels = channels or ("bgr" if bgr2rgb is False else "rgb")
    del bgr2rgb  # the manifest says it once
    run = Conversion("convert pytorch", locals())
    with run.open() as out:
        source = run.source()
        weights = source.weights()
        check_wishes(arch, jigsaw, source)
        blobs = with_statistics(source, weights, bn_eps)
        takes = in_order(blobs, source.preprocessing, channels)
        made = Converted(form=format, takes=takes, eps=bn_eps)
        to_state_dict(made, source, blobs, keep_head=keep_head, keep_pretext=keep_pretext)
        refuse_unknown(made.fates.values(), allow_unknown=allow_unknown)
        conv1_order = channels if takes.order in ("RGB", "BGR") else None
        notes = _notes(source, made, takes)
        if bn_eps != batchnorm.EPS:
            notes.append(
                f"Its batch norms add {bn_eps:g} to the variance: BatchNorm2d needs that eps."
            )
        if format == "safetensors":
            metadata = {
                "format": "pt",
                "source": "caffe2" if source.caffe2 else None,
                "arch": source.network.arch,
                "channels": conv1_order,
                "classifier": made.classifier,
            }
            texts = {key: value for key, value in metadata.items() if value is not None}
            save_safetensors(out, output.name, made.arrays, texts)
        else:
            save_torch(out, output.name, made.arrays, container=container)
        details = {
            "format": format,
            "channels": conv1_order,
            "classifier": made.classifier,
            "notes": notes,
        }
        return run.finish(out, source, weights, made, notes=notes, details=details)
