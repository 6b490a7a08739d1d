"""`--check`: two programs that share no line compute the same on a real picture.

One is the source's arithmetic, straight from the blobs (`arithmetic`); the other is a model as
the target's user builds it, loaded with what is written (`network`) and fed the target's input.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from sslprep.checkpoints.architecture import Trunk
from sslprep.checkpoints.names import STEM_CONV, BlobName, parse_caffe2
from sslprep.checkpoints.norms import EPS
from sslprep.checkpoints.picture import (
    detector_input,
    read_picture,
    source_input,
    torchvision_input,
)
from sslprep.errors import CheckpointError
from sslprep.files import OutputSet

LIMIT = 1e-4
"""Largest relative difference of a stage that rounding may cause."""
Form = Literal["torch", "detectron", "detectron2"]


@dataclass(frozen=True, kw_only=True)
class Target:
    """The model that is proven.

    Attributes:
        arrays: Its arrays, by its own names.
        form: Whose names and norms they have.
        order: Channel order that its conv1 takes.
        absorbed: Whether the std is absorbed in conv1.
        classifier: The Caffe2 head that is its `fc`.
        eps: What its batch norms add to the variance.
    """

    arrays: Mapping[str, NDArray[Any]]
    form: Form
    order: Literal["bgr", "rgb"] = "bgr"
    absorbed: bool = False
    classifier: str | None = None
    eps: float = EPS


def target_input(picture: NDArray[np.uint8], channels: int, target: Target) -> NDArray[np.float64]:
    """Return a picture as the target's user feeds it."""
    if channels == 1:
        return source_input(picture, 1)
    if target.form == "torch" and target.order == "rgb":
        return torchvision_input(picture)
    return detector_input(picture, divide=not target.absorbed)


def prove(
    blobs: Mapping[str, NDArray[Any]],
    trunk: Trunk,
    target: Target,
    *,
    eps: float = EPS,
    picture: Path | None = None,
    missing: Sequence[str] = (),
) -> dict[str, float]:
    """Compare source and target on a picture.

    Args:
        blobs: The source: one tower, Caffe2 names, batch norms unfolded.
        trunk: Of the blobs.
        target: The model that was made of them.
        eps: What the source's batch norms add to the variance.
        picture: A picture; by default scikit-image's astronaut.
        missing: Blobs that the source lacks; without them there is no proof.

    Returns:
        For each stage, the largest difference relative to the stage's largest value.

    Raises:
        CheckpointError: A stage differs by more than rounding can, or the target does not load.
    """
    if missing:
        raise CheckpointError(
            f"{missing[0]} is missing, so the model computes nothing to compare",
            remedy="Leave --check out, or take a complete checkpoint.",
        )
    biased = [n for n in map(parse_caffe2, blobs) if n is not None and _is_biased(n)]
    if biased and trunk.family == "resnet":
        raise CheckpointError(
            f"{biased[0]} is the bias of a convolution, which --check does not know in a ResNet",
            remedy="Leave --check out.",
        )
    from sslprep.checkpoints.arithmetic import alexnet_stages, resnet_stages

    pixels = read_picture(picture)
    image = source_input(pixels, trunk.channels)
    run = resnet_stages if trunk.family == "resnet" else alexnet_stages
    with np.errstate(over="ignore", invalid="ignore"):
        expected = run(blobs, image, trunk, eps=eps)
    if target.classifier is not None and trunk.family == "resnet":
        weights, bias = (blobs[f"{target.classifier}_{p}"].astype(np.float64) for p in "wb")
        expected["fc"] = expected["pool5"] @ weights.T + bias
    found = target_stages(target, trunk, target_input(pixels, trunk.channels, target))
    return compare(expected, found)


def _is_biased(name: BlobName) -> bool:
    conv = name.unit is not None or name.layer == STEM_CONV
    return conv and name.param == "b" and not name.norm and not name.momentum


def record(stages: Mapping[str, float] | None, picture: Path | None) -> dict[str, Any]:
    """Return what a manifest says of a proof.

    Not the differences themselves: they are rounding, so they depend on the processor and the
    number of threads, and equal input must give equal bytes. They go to a file of their own
    (`save_measured`), which the manifest does not list.
    """
    if stages is None:
        return {}
    return {
        "proof": {
            "largest_relative_difference_below": LIMIT,
            "stages": list(stages),
            "picture": "scikit-image astronaut" if picture is None else str(picture),
        }
    }


def measured_name(output: Path) -> str:
    """Return the name of the file of measured differences beside an output."""
    return f"{output.name}.check.json"


def save_measured(out: OutputSet, output: Path, stages: Mapping[str, float] | None) -> None:
    """Write the differences as this machine measured them; call it after the manifest."""
    if stages is not None:
        out.save_json(measured_name(output), {"largest_relative_difference": stages})


def target_stages(
    target: Target, trunk: Trunk, image: NDArray[np.float64]
) -> dict[str, NDArray[np.float32]]:
    """Build the target's model, load it strictly, and send the image through it in float32.

    Raises:
        CheckpointError: The arrays do not fit the model.
    """
    import torch

    from sslprep.checkpoints import network

    tensors, norm = _torch_names(target)
    if trunk.family == "resnet":
        model: torch.nn.Module = network.PlainResNet(
            trunk.blocks,
            strides=(1, 2, 2, 1) if trunk.colorization else (1, 2, 2, 2),
            channels=tensors["conv1.weight"].shape[1],
            width=tensors["conv1.weight"].shape[0],
            classes=len(tensors["fc.weight"]) if "fc.weight" in tensors else 0,
            norm=network.NORMS[norm](target.eps),
        )
    else:
        model = network.PlainAlexNet(
            {name: array.shape for name, array in tensors.items()},
            norm=network.NORMS[norm](target.eps),
        )
    wanted = {name for name in model.state_dict() if not name.endswith("num_batches_tracked")}
    try:
        network.load(model, {name: a for name, a in tensors.items() if name in wanted})
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise CheckpointError(f"the converted model does not load: {reason}") from error
    with torch.inference_mode():
        stages = model(torch.from_numpy(image.astype(np.float32)))
    return {name: stage.numpy() for name, stage in stages.items()}


def _torch_names(target: Target) -> tuple[dict[str, NDArray[Any]], str]:
    """Return the target's arrays under the names of `network`, and which norm they need."""
    if target.form == "torch":
        return dict(target.arrays), "batch"
    tensors: dict[str, NDArray[Any]] = {}
    if target.form == "detectron2":
        for text, array in target.arrays.items():
            tensors[_from_detectron2(text)] = array
        return tensors, "frozen"
    decomposed = False
    for text, array in target.arrays.items():
        name = parse_caffe2(text)
        if name is None or name.momentum:
            continue
        plain = parse_caffe2(text.replace("_bn_norm_", "_bn_"))
        torch_name = plain.torch() if plain is not None else None
        if torch_name is None:
            continue
        if name.affine:
            decomposed = True
            place, _, param = torch_name.rpartition(".")
            torch_name = f"{place}.norm.{param}"
        tensors[torch_name] = array
    return tensors, "decomposed" if decomposed else "affine"


def _from_detectron2(name: str) -> str:
    """Return the torchvision name of a tensor of Detectron2's ResNet.

    Example:
        >>> _from_detectron2("res2.0.shortcut.norm.weight"), _from_detectron2("stem.conv1.weight")
        ('layer1.0.downsample.1.weight', 'conv1.weight')
    """
    parts = name.split(".")
    *place, param = parts
    norm = place[-1] == "norm"
    place = place[:-1] if norm else place
    where = place[-1]
    if where == "shortcut":
        where = f"downsample.{int(norm)}"
    elif norm:
        where = "bn" + where.removeprefix("conv")
    if place[0] == "stem":
        return f"{where}.{param}"
    return f"layer{int(place[0].removeprefix('res')) - 1}.{place[1]}.{where}.{param}"


def compare(
    expected: Mapping[str, NDArray[Any]], found: Mapping[str, NDArray[Any]]
) -> dict[str, float]:
    """Return the largest difference of each stage, relative to its largest value.

    Raises:
        CheckpointError: One is above 1e-4, or a stage has another shape; the first is named.

    Example:
        >>> compare({"conv1": np.array([1.0, 2.0])}, {"conv1": np.array([1.0, 2.0])})
        {'conv1': 0.0}
    """
    differences: dict[str, float] = {}
    for stage, values in expected.items():
        if stage not in found:
            continue
        other = found[stage]
        if other.shape != values.shape:
            raise CheckpointError(
                f"the converted model differs in {stage}: shape {other.shape}",
                expected=f"{values.shape}, as the source computes it",
                remedy="Nothing was written. Report this with the file's name.",
            )
        with np.errstate(invalid="ignore"):
            largest = float(np.abs(values).max())
            apart = float(np.abs(values - other).max())
        differences[stage] = apart / largest if largest else apart
        if not differences[stage] <= LIMIT:
            raise CheckpointError(
                f"the converted model differs by {differences[stage]:.1e} in {stage}",
                expected=f"at most {LIMIT:.0e}, as much as rounding does",
                remedy="Nothing was written. Report this with the file's name.",
            )
    return differences
