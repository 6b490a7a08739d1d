"""`--check`: two programs that share no line compute the same on a real picture.

One is NumPy in float64 on the source's own blobs, fed what the source takes; the other is PyTorch
in float32 on the arrays of the written file, fed what the target's user is told to feed. They
share the description of the network, which the tests compare with the benchmark's operators.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from sslprep.checkpoints.account import Fate, are, names_text
from sslprep.checkpoints.batchnorm import EPS
from sslprep.checkpoints.forward_numpy import forward
from sslprep.checkpoints.names import BlobName, parse_caffe2, parse_spelled, parse_torch, respelled
from sslprep.checkpoints.networks import Network
from sslprep.checkpoints.open import open_checkpoint
from sslprep.checkpoints.picture import read_picture
from sslprep.checkpoints.preprocessing import Preprocessing
from sslprep.checkpoints.recognise import missing_blobs
from sslprep.checkpoints.source import Model
from sslprep.errors import CheckpointError

LIMIT = 1e-4
"""Largest relative difference of a stage that rounding may cause."""
Form = Literal["torch", "safetensors", "detectron2", "caffe2"]


@dataclass(kw_only=True)
class Target:
    """The written model.

    Attributes:
        form: Whose names it has.
        takes: What its user is told to feed.
        classifier: The Caffe2 head that is its `fc`.
        eps: What its batch norms, and the source's, add to the variance.
    """

    form: Form
    takes: Preprocessing
    classifier: str | None = None
    eps: float = EPS


def prove(
    model: Model,
    weights: Mapping[str, NDArray[Any]],
    target: Target,
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
    folded = not any(name.endswith("_riv") for name in tensors)
    lacking = missing_blobs(network, tensors, folded=folded)
    if lacking:
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
    unknown = [fate.blob for fate in fates if fate.action == "unknown"]
    trunk = model.network.modules
    extra = [
        text
        for text, name in model.names.items()
        if name.module in trunk
        and not name.momentum
        and not name.affine
        and text not in model.network.blobs
    ]
    problem = None
    if model.missing:
        problem = f"{model.missing[0]} is missing, so the model computes nothing to compare"
    elif extra:
        problem = f"{extra[0]} is a bias or part that a {model.network.describe} does not have, so "
        problem += "--check would not compute with it"
    elif unknown:
        problem = f"{are(unknown)} unknown and may belong to the forward pass, so there is no proof"
    if problem is not None:
        raise CheckpointError(problem, remedy="Leave --check out, or take a complete checkpoint.")


def read_written(path: Path, target: Target) -> dict[str, NDArray[Any]]:
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

    Example:
        >>> compare({"conv1": np.array([1.0, 2.0])}, {"conv1": np.array([1.0, 2.0])})
        {'conv1': 0.0}
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
