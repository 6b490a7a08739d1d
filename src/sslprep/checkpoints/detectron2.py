"""Detectron2's layout: its own names, the batch norms unfolded, and what the user must set.

Detectron2 freezes batch norms but keeps their four parameters and adds eps itself. A folded
model (running mean 0, variance 1) would be divided by sqrt(1 + 1e-5) at every norm: off by
1.6e-4 at the end of a ResNet-50.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from sslprep.checkpoints.account import HEAD, Fate, dropped, kept
from sslprep.checkpoints.architecture import Trunk
from sslprep.checkpoints.names import parse_caffe2
from sslprep.checkpoints.norms import MEAN_BGR, STD_BGR
from sslprep.errors import CheckpointError

AUTHOR = "sslprep"


def rename(blobs: Mapping[str, NDArray[Any]]) -> tuple[dict[str, NDArray[Any]], list[Fate]]:
    """Return the trunk under Detectron2's names, and what became of every blob.

    Raises:
        CheckpointError: A blob of the trunk has no place in Detectron2's ResNet.
    """
    renamed: dict[str, NDArray[Any]] = {}
    fates = []
    for text, array in blobs.items():
        name = parse_caffe2(text)
        target = None if name is None else name.detectron2()
        if name is None or (target is None and name.unit is None):
            fates.append(dropped(text, HEAD))
            continue
        if target is None or text == "conv1_b":
            raise CheckpointError(f"{text} has no place in Detectron2's ResNet")
        renamed[target] = array
        fates.append(kept(text, target))
    return renamed, fates


def layout(renamed: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
    """Return the top level that Detectron2's checkpointer takes as a model of its own names."""
    return {"model": dict(renamed), "__author__": AUTHOR, "matching_heuristics": True}


def settings(trunk: Trunk, *, absorbed: bool) -> dict[str, Any]:
    """Return the configuration keys that the user must set, with their values."""
    depth = {"R-50": 50, "R-101": 101, "R-152": 152}.get(trunk.arch or "")
    chosen: dict[str, Any] = {
        "MODEL.RESNETS.DEPTH": depth,
        "MODEL.RESNETS.STRIDE_IN_1X1": False,
        "MODEL.RESNETS.NORM": "FrozenBN",
    }
    if trunk.channels == 3:
        std = (1.0, 1.0, 1.0) if absorbed else tuple(round(255 * v, 3) for v in STD_BGR)
        chosen |= {
            "MODEL.PIXEL_MEAN": [round(255 * v, 3) for v in MEAN_BGR],
            "MODEL.PIXEL_STD": list(std),
            "INPUT.FORMAT": "BGR",
        }
    return {key: value for key, value in chosen.items() if value is not None}
