"""Say what network a checkpoint holds, from names and shapes alone."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from sslprep.checkpoints.architecture import BLOCKS, Trunk, find_trunk
from sslprep.checkpoints.arrays import StoredArray
from sslprep.checkpoints.names import BOOKKEEPING, BlobName, parse_caffe2, parse_torch
from sslprep.checkpoints.open import Contents
from sslprep.checkpoints.towers import towers_of
from sslprep.errors import CheckpointError

_DETECTRON2_UNIT = re.compile(r"(?:.*\.)?res([2-5])\.([0-9]{1,2})\.conv1\.weight")
_DETECTRON2_STEM = re.compile(r"(?:.*\.)?stem\.conv1\.weight")


def describe_model(contents: Contents) -> dict[str, object]:
    """Return facts about the network by their names, in the order in which to show them."""
    arrays = {name: blob for name, blob in contents.blobs.items() if isinstance(blob, StoredArray)}
    names = _parse(arrays)
    towers = towers_of(arrays)
    single = {
        str(name.without_tower()): arrays[text]
        for text, name in names.items()
        if not name.momentum and name.tower in (None, *towers[:1])
    }
    conv1 = _conv1(arrays, single)
    channels = conv1.shape[1] if conv1 is not None and conv1.ndim == 4 else 0
    facts: dict[str, object] = {"network": _network(arrays, single)}
    facts["kind"] = _kind(towers, channels, single)
    if towers:
        facts["towers"] = len(towers)
    facts["norms"] = _norms(names, arrays)
    heads = _heads(single)
    if heads:
        facts["heads"] = heads
    momentum = sum(name.momentum for name in names.values())
    if momentum:
        facts["momentum blobs"] = momentum
    for name in sorted(BOOKKEEPING):
        value = contents.blobs.get(name)
        if isinstance(value, int | float):
            facts[name] = value
    unknown = [text for text in arrays if text not in names and text not in BOOKKEEPING]
    if unknown and contents.format != "detectron2-pickle":
        shown = ", ".join(unknown[:5])
        facts["names outside the grammar"] = (
            f"{len(unknown)} ({shown}{', …' if len(unknown) > 5 else ''})"
        )
    facts["channel order"] = channel_order(contents, conv1)
    mark = contents.extra.get("sslprep")
    if isinstance(mark, dict) and mark.get("absorbed_std"):
        facts["input"] = "pixels - 255·mean (the std is absorbed into conv1)"
    return facts


def _parse(arrays: Mapping[str, StoredArray]) -> dict[str, BlobName]:
    names = {}
    for text in arrays:
        name = parse_caffe2(text) or parse_torch(text.removeprefix("module."))
        if name is not None:
            names[text] = name
    return names


def _conv1(
    arrays: Mapping[str, StoredArray], single: Mapping[str, StoredArray]
) -> StoredArray | None:
    if "conv1_w" in single:
        return single["conv1_w"]
    return next((a for text, a in arrays.items() if _DETECTRON2_STEM.fullmatch(text)), None)


def _network(arrays: Mapping[str, StoredArray], single: Mapping[str, StoredArray]) -> str:
    units = [match for text in arrays if (match := _DETECTRON2_UNIT.fullmatch(text))]
    if units:
        blocks = tuple(
            1 + max((int(m[2]) for m in units if int(m[1]) == stage), default=-1)
            for stage in range(2, 6)
        )
        found = next((name for name, counts in BLOCKS.items() if counts == blocks), None)
        return found or f"ResNet with blocks {'-'.join(map(str, blocks))}"
    try:
        # Only shapes are looked at; a stored array has them as an array in memory has.
        trunk: Trunk = find_trunk(cast("Mapping[str, NDArray[Any]]", single))
    except CheckpointError:
        return "unknown"
    return trunk.describe


def _kind(towers: tuple[int, ...], channels: int, single: Mapping[str, StoredArray]) -> str:
    if len(towers) > 1:
        return f"Jigsaw with {len(towers)} towers"
    if towers:
        return f"one tower (s{towers[0]}) of a Jigsaw model"
    if channels == 1:
        return "colorization (conv1 takes one channel, L)"
    if "pred_w" in single:
        return f"classifier of {single['pred_w'].shape[0]:,} classes (supervised, or Jigsaw's)"
    return "trunk for three-channel images" if channels == 3 else "unknown"


def _norms(names: Mapping[str, BlobName], arrays: Mapping[str, StoredArray]) -> str:
    norms = [name for name in names.values() if name.norm and not name.momentum]
    if any(name.affine for name in norms):
        return "two affine layers each (Detectron, --decompose_bn)"
    if any(name.param == "riv" for name in norms):
        return "batch norm with running statistics"
    if norms:
        return "folded into scale and shift (Detectron)"
    if any(text.endswith("norm.running_var") for text in arrays):
        return "batch norm with running statistics"
    return "none"


def _heads(single: Mapping[str, StoredArray]) -> str:
    shown = []
    for text, array in single.items():
        name = parse_caffe2(text)
        if name is not None and name.param == "w" and name.layer.startswith(("fc", "pred")):
            shown.append(f"{text} {array.shape}")
    return ", ".join(shown)


def channel_order(contents: Contents, conv1: StoredArray | None) -> str:
    """Say in which order the network takes the colours, and how sure that is.

    The file's own marks come first. Without them it is a guess from the format: the benchmark's
    Caffe2 models take BGR, PyTorch users feed RGB.
    """
    if conv1 is None or conv1.ndim != 4:
        return "unknown"
    if conv1.shape[1] == 1:
        return "none: conv1 takes one channel (L)"
    for key in ("channels", "channel_order"):
        value = contents.extra.get(key)
        if isinstance(value, str) and value.lower() in ("rgb", "bgr"):
            return f"{value.upper()} (says the file)"
    usual = "RGB" if contents.format in ("torch", "safetensors") else "BGR"
    return f"{usual} (a guess from the format){_energies(conv1)}"


def _energies(conv1: StoredArray) -> str:
    """Return the share of each input channel in the energy of conv1, for those who can read it."""
    if conv1.shape[1] != 3 or conv1.dtype.kind != "f":
        return ""
    weights = np.asarray(conv1.load(), np.float64)
    energy = np.square(weights).sum(axis=(0, 2, 3))
    if not np.isfinite(energy).all() or not energy.sum() > 0:
        return ""
    return "; energy of conv1 by channel " + ", ".join(f"{e:.0%}" for e in energy / energy.sum())
