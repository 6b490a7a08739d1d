"""The nine towers of a Jigsaw model: take one, leave the others.

The towers share their convolutions, which stand under the name of tower 0 alone; each tower has
batch norms of its own. Taking tower N therefore takes the norms of N and whatever is shared.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from sslprep.checkpoints.account import OTHER_TOWER, Fate, dropped, kept
from sslprep.checkpoints.names import BlobName
from sslprep.errors import CheckpointError


def towers_of(names: Iterable[BlobName]) -> tuple[int, ...]:
    """Return the numbers of the towers that names mention, ascending."""
    return tuple(sorted({name.tower for name in names if name.tower is not None}))


def choose_tower(names: Mapping[str, BlobName], tower: int = 0) -> dict[str, Fate]:
    """Return what becomes of every blob in the model of one tower, in the file's order.

    Example:
        >>> from sslprep.checkpoints.names import parse_caffe2
        >>> texts = ["conv1_s0_w", "res_conv1_bn_s0_b", "res_conv1_bn_s1_b"]
        >>> fates = choose_tower({text: parse_caffe2(text) for text in texts}, 1)
        >>> [fate.became for fate in fates.values()]
        ['conv1_w', None, 'res_conv1_bn_b']
    """
    towers = towers_of(names.values())
    if not towers:
        raise CheckpointError(
            "has no towers (no blob has a part such as _s0), so it is not a Jigsaw model or its "
            "towers were renamed already",
            expected="a Jigsaw model with blobs such as res2_0_branch2a_bn_s0_rm",
            remedy="Use the file as it is.",
        )
    if tower not in towers:
        raise CheckpointError(
            f"has no tower {tower}",
            expected=f"--tower from {', '.join(map(str, towers))}",
        )
    singles = {text: name.without_tower() for text, name in names.items()}
    pairs = {(singles[text], name.tower) for text, name in names.items()}
    owners = Counter(single for single, number in pairs if number is not None)
    fates = {}
    for text, name in names.items():
        # What one tower alone has is shared by all of them; a trunk's norm never is, and where
        # the others lack a part of it the file is damaged.
        own = name.is_norm and not name.layer.startswith(("fc", "pool", "pred"))
        shared = owners[singles[text]] == 1 and not own
        reason = "shared by the towers" if shared else f"tower {tower}"
        if name.tower is None:
            fates[text] = kept(text, str(name))
        elif shared or name.tower == tower:
            fates[text] = kept(text, str(singles[text]), reason)
        else:
            fates[text] = dropped(text, OTHER_TOWER)
    return fates


def tower_distances(
    stored: Mapping[str, Any], names: Mapping[str, BlobName], fates: Mapping[str, Fate]
) -> dict[str, dict[str, Any]]:
    """Measure how far the batch norms of the other towers are from those of the chosen one.

    Returns:
        For each parameter (s, b, rm, riv) the largest absolute difference, the blob where it
        is, and the largest difference relative to the largest value of the chosen tower's blob.
    """
    chosen = {fate.became: text for text, fate in fates.items()}
    found: dict[str, dict[str, Any]] = {}
    for text, name in names.items():
        if fates[text].became is not None or not name.is_norm or name.momentum:
            continue
        mine, other = stored.get(chosen.get(str(name.without_tower()), "")), stored[text]
        if mine is None or mine.shape != other.shape or mine.dtype.kind != "f":
            continue
        values = mine.load()
        apart, largest = (float(np.abs(v).max(initial=0)) for v in (other.load() - values, values))
        entry = found.setdefault(
            name.param, {"largest_difference": -1.0, "blob": None, "relative": 0.0}
        )
        entry["relative"] = max(entry["relative"], apart / largest if largest else 0.0)
        if apart > entry["largest_difference"]:
            entry.update(largest_difference=apart, blob=text)
    return found
