"""`--check`: two programs that share no line compute the same on a real picture.

One is the source's arithmetic, straight from the blobs (`arithmetic`); the other is a model as
the target's user builds it, loaded with what is written (`network`) and fed the target's input.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from sslprep.checkpoints.architecture import Trunk
from sslprep.checkpoints.names import parse_caffe2
from sslprep.checkpoints.norms import EPS, MEAN_BGR, STD_BGR
from sslprep.errors import CheckpointError, MissingExtraError, ParameterError

logger = logging.getLogger(__name__)

LIMIT = 1e-4
"""Largest relative difference of a stage that rounding may cause."""
SIZE = 224
_RESIZED = 256

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


def check_choice(*, check: bool, picture: Path | None) -> None:
    """Check before any work that a proof can be made, if one is wanted.

    Raises:
        ParameterError: A picture without `--check`, or no such picture.
        MissingExtraError: PyTorch or the default picture is not installed.
    """
    if not check:
        if picture is not None:
            raise ParameterError("--picture is given without --check", remedy="Add --check.")
        return
    if picture is not None and not picture.is_file():
        raise ParameterError(f"no picture {picture}", remedy="Check the path.")
    import importlib.util

    if importlib.util.find_spec("torch") is None:
        raise MissingExtraError(
            "--check computes with PyTorch", remedy='Install it: pip install "sslprep[torch]".'
        )
    if picture is None and importlib.util.find_spec("skimage") is None:
        raise MissingExtraError(
            "--check without --picture uses a photograph of scikit-image",
            remedy='Pass --picture FILE, or install it: pip install "sslprep[demo]".',
        )


def read_picture(path: Path | None) -> NDArray[np.uint8]:
    """Read a picture and cut out its middle: (224, 224, 3), RGB.

    Raises:
        ParameterError: The file is no picture.
    """
    from PIL import Image

    if path is None:
        from skimage import data

        image = Image.fromarray(np.asarray(data.astronaut()))  # type: ignore[no-untyped-call]
    else:
        try:
            with Image.open(path) as opened:
                image = opened.convert("RGB")
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            raise ParameterError(
                f"{path} is no readable picture ({error})", expected="a JPEG or PNG file"
            ) from error
    scale = _RESIZED / min(image.size)
    image = image.resize((round(image.width * scale), round(image.height * scale)))
    left, top = (image.width - SIZE) // 2, (image.height - SIZE) // 2
    return np.asarray(image.crop((left, top, left + SIZE, top + SIZE)), dtype=np.uint8)


def source_input(picture: NDArray[np.uint8], channels: int) -> NDArray[np.float64]:
    """Return a picture as the benchmark's networks take it: (1, C, H, W).

    Three channels are BGR, `(x / 255 - mean) / std`; one is a lightness between -50 and 50.
    """
    if channels == 1:
        luma = picture @ np.array([0.299, 0.587, 0.114])
        return np.ascontiguousarray((luma / 255 * 100 - 50)[None, None])
    bgr = picture[:, :, ::-1] / 255
    return _planes((bgr - np.array(MEAN_BGR)) / np.array(STD_BGR))


def target_input(picture: NDArray[np.uint8], channels: int, target: Target) -> NDArray[np.float64]:
    """Return a picture as the target's user feeds it, written from the target's own recipe."""
    if channels == 1:
        return source_input(picture, 1)
    mean_rgb, std_rgb = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    if target.form == "torch" and target.order == "rgb":
        return _planes((picture / 255 - mean_rgb) / std_rgb)
    centred = picture[:, :, ::-1] - 255 * mean_rgb[::-1]
    return _planes(centred if target.absorbed else centred / (255 * std_rgb[::-1]))


def _planes(image: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.ascontiguousarray(image.transpose(2, 0, 1)[None])


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
