"""The blobs of one tower under the names of a PyTorch model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from sslprep.checkpoints.account import HEAD, Fate, dropped, kept
from sslprep.checkpoints.architecture import Trunk
from sslprep.checkpoints.names import BlobName
from sslprep.errors import CheckpointError


@dataclass(frozen=True, kw_only=True)
class StateDict:
    """A model with PyTorch names.

    Attributes:
        tensors: Arrays by name, in the order of the forward pass.
        fates: What became of every blob.
        classifier: The Caffe2 head that became `fc`.
        other_heads: Heads that are kept and that torchvision's models have no place for.
    """

    tensors: dict[str, NDArray[Any]]
    fates: list[Fate]
    classifier: str | None
    other_heads: tuple[str, ...]


def to_state_dict(
    blobs: Mapping[str, NDArray[Any]],
    names: Mapping[str, BlobName],
    trunk: Trunk,
    *,
    keep_head: bool = False,
    keep_pretext: bool = False,
) -> StateDict:
    """Give the blobs of one tower their PyTorch names.

    Args:
        blobs: Float32, Caffe2 names, batch norms unfolded.
        names: The parts of the names.
        trunk: Of the blobs.
        keep_head: Keep the heads; a classifier on the trunk's last features becomes `fc`.
        keep_pretext: Keep the heads other than `pred`, as the script of 2019 did.

    Raises:
        CheckpointError: Two blobs have one name in PyTorch.
    """
    classifier = find_classifier(blobs, names, trunk) if keep_head else None
    places = {layer: index for index, layer in enumerate(trunk.layers)}
    in_order = sorted(blobs, key=lambda text: places.get(names[text].layer, len(places)))
    tensors: dict[str, NDArray[Any]] = {}
    became: dict[str, Fate] = {}
    others: dict[str, None] = {}
    for text in in_order:
        name = names[text]
        head = name.layer not in places
        if head and not (keep_head or (keep_pretext and name.layer != "pred")):
            became[text] = dropped(text, HEAD)
            continue
        target = name.torch(classifier=classifier)
        if target is None or (trunk.family == "resnet" and text == "conv1_b"):
            became[text] = Fate(
                blob=text, became=None, action="unknown", reason=f"no place in a {trunk.describe}"
            )
            continue
        if target in tensors:
            raise CheckpointError(f"{text} and another blob would both become {target}")
        tensors[target] = blobs[text]
        became[text] = kept(text, target)
        if head and name.layer != classifier:
            others[target.rpartition(".")[0]] = None
    return StateDict(
        tensors=tensors,
        fates=[became[text] for text in blobs],
        classifier=classifier,
        other_heads=tuple(others),
    )


def find_classifier(
    blobs: Mapping[str, NDArray[Any]], names: Mapping[str, BlobName], trunk: Trunk
) -> str | None:
    """Return the head that takes the trunk's last features and so can be torchvision's `fc`.

    With several, `pred` is taken; otherwise none, as nobody can know which is meant.
    """
    if trunk.family != "resnet":
        return None
    features = max(
        (blobs[f"res5_{b}_branch2c_w"].shape[0] for b in range(trunk.blocks[-1])
         if f"res5_{b}_branch2c_w" in blobs),
        default=0,
    )  # fmt: skip
    heads = [
        name.layer
        for text, name in names.items()
        if text in blobs and name.param == "w" and name.layer not in trunk.layers
        and blobs[text].ndim == 2 and blobs[text].shape[1] == features
        and f"{name.layer}_b" in blobs
    ]  # fmt: skip
    if "pred" in heads:
        return "pred"
    return heads[0] if len(heads) == 1 else None
