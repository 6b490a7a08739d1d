"""Say what network a checkpoint holds: what `convert` would take, by the same recogniser."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

from sslprep.checkpoints.account import names_text
from sslprep.checkpoints.arrays import StoredArray
from sslprep.checkpoints.names import BOOKKEEPING
from sslprep.checkpoints.open import Contents
from sslprep.checkpoints.recognise import check_shapes, missing_blobs
from sslprep.checkpoints.source import Model, find_model
from sslprep.errors import CheckpointError

_MOST_UNREAD = 50


def checkpoint_facts(contents: Contents) -> dict[str, object]:
    """Return facts about a checkpoint by their names, in the order in which to show them."""
    facts: dict[str, object] = {"format": contents.format}
    if contents.main:
        facts["arrays under"] = ".".join(contents.main)
    facts["blobs"] = len(contents.stored)
    arrays = contents.arrays.values()
    if len(contents.arrays) > sum(isinstance(b, StoredArray) for b in contents.stored.values()):
        facts["arrays in the whole file"] = len(contents.arrays)
    facts["numbers"] = sum(math.prod(array.shape) for array in arrays)
    facts["bytes of numbers"] = sum(map(bytes_of, arrays))
    other = Counter(array.type for array in arrays if array.type != "float32")
    if other:
        facts["types beside float32"] = ", ".join(f"{n} {count}" for n, count in other.items())
    facts |= network_facts(contents)
    for name, value in contents.extra.items():
        text = str(value)
        facts[f"beside the blobs: {name}"] = text if len(text) <= 80 else f"{text[:80]}…"
    if unread := list(contents.unread.items()):
        texts = [f"{'.'.join(key)} ({left.kind})" for key, left in unread[:_MOST_UNREAD]]
        more = f" and {len(unread) - _MOST_UNREAD:,} more" * (len(unread) > _MOST_UNREAD)
        facts["not read"] = ", ".join(texts) + more
    return facts


def bytes_of(array: StoredArray) -> int:
    """Return the bytes of an array's elements in the file."""
    return math.prod(array.shape) * array.raw.itemsize


def network_facts(contents: Contents) -> dict[str, object]:
    """Return what the network is, or that it is unknown and what is supported."""
    try:
        model = find_model(contents)
        check_shapes(model.network, model.shapes, model.channels)
    except CheckpointError as error:
        if error.problem.startswith("is "):
            return {"network": error.problem[3:], "supported": f"no; {error.expected}"}
        return {"network": "unknown", "why": str(error)}
    foreign = any(fate.action == "unknown" for fate in model.fates.values())
    network = f"like {model.network.describe}, but for unknown arrays"
    facts: dict[str, object] = {"network": network if foreign else model.network.describe}
    facts["kind"] = _kind(model)
    layout = model.encoder.layout
    if not model.caffe2 and layout is not None:
        facts["layout"] = f"{layout.name}, encoder under {model.encoder.prefix or 'the top level'}"
    if model.towers:
        facts["towers"] = len(model.towers)
    facts["norms"] = _norms(model)
    heads = [
        f"{fate.blob} {model.shapes[str(head)]}"
        for fate in model.fates.values()
        if (head := model.names.get(fate.became or "")) and head.param == "w"
        if head.module not in model.network.modules and not head.momentum
    ]
    if heads:
        facts["heads"] = ", ".join(heads)
    if momentum := sum(name.momentum for name in model.names.values()):
        facts["momentum blobs"] = momentum
    for name in sorted(BOOKKEEPING):
        if isinstance(value := model.stored.get(name), int | float):
            facts[name] = value
    for fate_action, label in (("dropped", "left out"), ("unknown", "unknown arrays")):
        reasons: dict[Any, list[str]] = {}
        for fate in model.fates.values():
            if fate.action == fate_action:
                reasons.setdefault(fate.reason, []).append(fate.blob)
        if reasons and not (model.towers and fate_action == "dropped"):
            facts[label] = "; ".join(
                f"{len(b)} {why} ({names_text(b[:1])})" for why, b in reasons.items()
            )
    if missing := missing_blobs(model.network, model.names):
        facts["missing"] = names_text(missing)
    elif usual := model.network.nearly:
        facts["missing"] = f"perhaps a block: it is {usual} but for one stage"
    facts["channel order"] = channel_order(model)
    if "conv1_w" in model.names:
        facts["input"] = model.preprocessing.text()
    return facts


def _kind(model: Model) -> str:
    network, towers = model.network, model.towers
    if len(towers) > 1:
        return f"Jigsaw with {len(towers)} towers"
    if towers:
        return f"one tower (s{towers[0]}) of a Jigsaw model"
    if network.colorization:
        return "colorization (conv1 takes one channel, L)"
    heads = [layer for layer in network.layers if layer.head and layer.op == "fc"]
    if len(heads) > 1:
        return f"linear classifiers behind {len(heads)} layers"
    if heads and f"{heads[0].name}_w" in model.names:
        count = model.shapes[f"{heads[0].name}_w"][0]
        return f"classifier of {count:,} classes{' (supervised, or Jigsaw)' * model.caffe2}"
    if "conv1_w" not in model.names:
        return "trunk without its first convolution"
    return f"trunk for {'three' if model.channels == 3 else model.channels}-channel images"


def _norms(model: Model) -> str:
    norms = [name for name in model.names.values() if name.is_norm and not name.momentum]
    if any(name.affine for name in norms):
        return "two affine layers each (Detectron, --decompose_bn)"
    if any(name.param == "riv" for name in norms):
        return "batch norm with running statistics"
    return "folded into scale and shift (Detectron)" if norms else "none"


def channel_order(model: Model) -> str:
    """Say in which order the network takes the colours, and how sure that is."""
    order = model.preprocessing.order
    if "conv1_w" not in model.names:
        return "unknown: there is no conv1"
    if order == "L":
        return "none: conv1 takes one channel (L)"
    if order is None:
        return f"unknown: conv1 takes {model.channels} channels"
    if model.facts.get("channels") in ("rgb", "bgr"):
        return f"{order} (says the file or its manifest)"
    if model.trainer:
        return f"{order} (as {model.trainer} trains)"
    return f"{order} (a guess from the format)"
