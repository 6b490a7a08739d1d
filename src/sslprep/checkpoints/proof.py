"""`--check`: two programs that share no line compute the same on a real picture.

One is NumPy in float64 on the source's own blobs, fed what the source takes; the other is PyTorch
in float32 on the arrays of the written file, fed what the target's user is told to feed. They
share the description of the network, which the tests compare with the benchmark's operators.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sslprep.checkpoints.account import Converted, Fate, are, names_text
from sslprep.checkpoints.forward_numpy import forward
from sslprep.checkpoints.names import BlobName, parse_caffe2, parse_spelled, parse_torch, respelled
from sslprep.checkpoints.networks import Network
from sslprep.checkpoints.open import open_checkpoint
from sslprep.checkpoints.recognise import missing_blobs
from sslprep.checkpoints.source import Model
from sslprep.errors import CheckpointError, MissingExtraError, ParameterError

LIMIT = 1e-4
"""Largest relative difference of a stage that rounding may cause."""


def check_choice(*, check: bool, picture: Path | None) -> None:
    """Check before any work that a proof can be made, if one is wanted."""
    if not check:
        if picture is not None:
            raise ParameterError("--picture is given without --check", remedy="Add --check.")
        return
    if picture is not None and not picture.is_file():
        raise ParameterError(f"no picture {picture}", remedy="Check the path.")
    if find_spec("torch") is None:
        raise MissingExtraError(
            "--check computes with PyTorch", remedy="Install it: pip install torch."
        )
    if picture is None and find_spec("skimage") is None:
        raise MissingExtraError(
            "--check without --picture uses a photograph of scikit-image",
            remedy="Pass --picture FILE, or install it: pip install scikit-image.",
        )


def prove(
    model: Model,
    weights: Mapping[str, NDArray[Any]],
    target: Converted,
    written: Path,
    *,
    fates: Sequence[Fate],
    picture: Path | None = None,
) -> dict[str, float]:
    """Compare a source and its blobs with the file `written` of it, on a picture.

    Returns:
        For each stage, the largest difference relative to the stage's largest value.

    Raises:
        CheckpointError: A stage differs by more than rounding can, or a part of the forward pass
            was left out.
    """
    _refuse_gaps(model, fates)
    tensors = read_written(written, target)
    network = model.network
    if not any(name in tensors for layer in network.layers if layer.head for name in layer.blobs):
        network = network.without_heads()
    if lacking := missing_blobs(network, tensors):
        raise CheckpointError(
            f"{names_text(lacking)} of the forward pass would be left out, so there is no proof",
            remedy="Leave --check out, or pass --keep-head.",
        )
    pixels = read_picture(picture, network.size)
    with np.errstate(over="ignore", invalid="ignore"):
        expected = forward(network, weights, model.preprocessing.apply(pixels), eps=target.eps)
    found = target_stages(network, tensors, target.takes.apply(pixels), eps=target.eps)
    return compare(expected, found)


def _refuse_gaps(model: Model, fates: Sequence[Fate]) -> None:
    """Refuse a proof where a part of the forward pass may have been left out."""
    if model.missing:
        problem = f"{model.missing[0]} is missing, so the model computes nothing to compare"
    elif unknown := [fate.blob for fate in fates if fate.action == "unknown"]:
        problem = f"{are(unknown)} unknown and may belong to the forward pass, so there is no proof"
    else:
        return
    raise CheckpointError(problem, remedy="Leave --check out, or take a complete checkpoint.")


def read_written(path: Path, target: Converted) -> dict[str, NDArray[Any]]:
    """Read a written file, and bring its names to Caffe2's."""
    if target.form == "torch":
        import torch

        state = torch.load(path, weights_only=True)["state_dict"]
        arrays = {name: tensor.numpy() for name, tensor in state.items()}
    else:
        arrays = {n: b for n, b in open_checkpoint(path).blobs.items() if isinstance(b, np.ndarray)}
    forms: dict[str, Callable[[str], BlobName | None]] = {
        "caffe2": parse_caffe2,
        "detectron2": partial(parse_spelled, spelling="detectron2"),
    }
    parse = forms.get(target.form, partial(parse_torch, classifier=target.classifier or "pred"))
    parsed = {text: n for text in arrays if (n := parse(text)) is not None and not n.momentum}
    return {str(name): arrays[text] for text, name in respelled(parsed).items()}


def target_stages(
    network: Network, tensors: Mapping[str, NDArray[Any]], image: NDArray[np.float64], *, eps: float
) -> dict[str, NDArray[np.float32]]:
    """Send a picture through a written model, in float32."""
    import torch

    from sslprep.checkpoints.forward_torch import TorchNetwork

    batch = torch.from_numpy(image.astype(np.float32)[None])
    stages = TorchNetwork(network, tensors, eps=eps)(batch)
    return {stage: output[0].numpy() for stage, output in stages.items()}


def compare(
    expected: Mapping[str, NDArray[Any]], found: Mapping[str, NDArray[Any]]
) -> dict[str, float]:
    """Return the largest difference of each stage, relative to its largest value.

    Raises:
        CheckpointError: One is above 1e-4 or no number; the first is named.
    """
    differences: dict[str, float] = {}
    for stage, values in expected.items():
        with np.errstate(invalid="ignore"):
            largest = float(np.abs(values).max())
            apart = float(np.abs(values - found[stage]).max())
        differences[stage] = apart / largest if largest else apart
        # Not `>`: a NaN is a difference.
        if not differences[stage] <= LIMIT:
            raise CheckpointError(
                f"the converted model differs by {differences[stage]:.1e} in {stage}",
                expected=f"at most {LIMIT:.0e}, as much as rounding does",
                remedy="Nothing was written. Report this with the file's name.",
            )
    return differences


def read_picture(path: Path | None, size: int = 224) -> NDArray[np.uint8]:
    """Read a picture and cut out its middle: (size, size, 3), RGB."""
    from PIL import Image, ImageOps

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
    return np.asarray(ImageOps.fit(image, (size, size), bleed=1 / 16), dtype=np.uint8)
