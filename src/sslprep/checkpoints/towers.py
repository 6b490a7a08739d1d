"""The nine towers of a Jigsaw model: take one, leave the others.

The towers share their convolutions, which stand under the name of tower 0 alone; each tower has
batch norms of its own. Taking tower N therefore takes the norms of N and whatever is shared.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sslprep.checkpoints.account import OTHER_TOWER, Fate, dropped, kept
from sslprep.checkpoints.names import BlobName
from sslprep.errors import CheckpointError


@dataclass(frozen=True, kw_only=True)
class TowerChoice:
    """Which blobs make the model of one tower.

    Attributes:
        tower: The tower taken.
        towers: All towers in the file.
        sources: New name to old name of every blob that stays, in the file's order.
        fates: What becomes of every blob.
    """

    tower: int
    towers: tuple[int, ...]
    sources: dict[str, str]
    fates: list[Fate]


def towers_of(names: Iterable[BlobName]) -> tuple[int, ...]:
    """Return the numbers of the towers that names mention, ascending."""
    return tuple(sorted({name.tower for name in names if name.tower is not None}))


def choose_tower(names: Mapping[str, BlobName], tower: int = 0) -> TowerChoice:
    """Work out which blobs make the model of one tower, and under which names.

    Raises:
        CheckpointError: No towers, no such tower, or two blobs with one name.

    Example:
        >>> from sslprep.checkpoints.names import parse_caffe2
        >>> texts = ["conv1_s0_w", "res_conv1_bn_s0_b", "res_conv1_bn_s1_b"]
        >>> choose_tower({text: parse_caffe2(text) for text in texts}, 1).sources
        {'conv1_w': 'conv1_s0_w', 'res_conv1_bn_b': 'res_conv1_bn_s1_b'}
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
    owners: dict[BlobName, set[int]] = {}
    for name in names.values():
        if name.tower is not None:
            owners.setdefault(name.without_tower(), set()).add(name.tower)
    sources: dict[str, str] = {}
    fates = []
    for text, name in names.items():
        fate = _fate(text, name, tower, owners, len(towers))
        fates.append(fate)
        if fate.became is not None:
            if fate.became in sources:
                raise CheckpointError(
                    f"{sources[fate.became]} and {text} would both become {fate.became}",
                    expected="one blob of each name",
                    remedy="The file mixes two models; take the original.",
                )
            sources[fate.became] = text
    return TowerChoice(tower=tower, towers=towers, sources=sources, fates=fates)


def _fate(
    text: str, name: BlobName, tower: int, owners: Mapping[BlobName, set[int]], count: int
) -> Fate:
    if name.tower is None:
        return kept(text, text)
    single = name.without_tower()
    # What one tower alone has is shared by all of them; a trunk's norm never is, and where the
    # others lack a part of it the file is damaged.
    own_norm = count > 1 and name.is_norm and not name.layer.startswith(("fc", "pool", "pred"))
    shared = len(owners[single]) == 1 and not own_norm
    if name.tower == tower or shared:
        return kept(text, str(single), "shared by the towers" if shared else f"tower {tower}")
    return dropped(text, OTHER_TOWER)


def tower_distances(
    arrays: Mapping[str, NDArray[Any]], names: Mapping[str, BlobName], choice: TowerChoice
) -> dict[str, dict[str, Any]]:
    """Measure how far the batch norms of the other towers are from those of the chosen one.

    Returns:
        For each parameter (s, b, rm, riv) the largest absolute difference, the blob where it
        is, and the largest difference relative to the largest value of the chosen tower's blob.
    """
    chosen = {new: old for new, old in choice.sources.items() if old != new}
    found: dict[str, dict[str, Any]] = {}
    for fate in choice.fates:
        name = names[fate.blob]
        ours = chosen.get(str(name.without_tower()), "")
        if fate.reason != OTHER_TOWER or not {ours, fate.blob} <= arrays.keys():
            continue
        base = arrays[ours]
        if base.shape != arrays[fate.blob].shape or not base.size:
            continue
        apart = float(np.abs(arrays[fate.blob] - base).max())
        largest = float(np.abs(base).max())
        entry = found.setdefault(
            name.param, {"largest_difference": -1.0, "blob": None, "relative": 0.0}
        )
        entry["relative"] = max(entry["relative"], apart / largest if largest else 0.0)
        if apart > entry["largest_difference"]:
            entry.update(largest_difference=apart, blob=fate.blob)
    return found
