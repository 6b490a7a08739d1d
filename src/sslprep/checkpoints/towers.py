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

from sslprep.checkpoints.account import (
    NO_SUCH_NAME,
    OTHER_TOWER,
    Fate,
    dropped,
    kept,
    refuse_unknown,
)
from sslprep.checkpoints.names import BOOKKEEPING, BlobName, parse_caffe2
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


def towers_of(names: Iterable[str]) -> tuple[int, ...]:
    """Return the numbers of the towers that the names mention, ascending.

    Example:
        >>> towers_of(["res2_0_branch1_bn_s0_b", "res2_0_branch1_bn_s1_b", "fc_pred_w"])
        (0, 1)
        >>> towers_of(["res2_0_branch1_bn_s"])
        ()
    """
    parsed = (parse_caffe2(name) for name in names)
    return tuple(sorted({n.tower for n in parsed if n is not None and n.tower is not None}))


def choose_tower(
    names: Iterable[str], tower: int = 0, *, allow_unknown: bool = False
) -> TowerChoice:
    """Work out which blobs make the model of one tower, and under which names.

    Args:
        names: All names of the file.
        tower: The tower to take.
        allow_unknown: Keep blobs whose names the grammar does not know, as they are.

    Returns:
        The choice; every name is accounted for.

    Raises:
        CheckpointError: No towers, no such tower, unknown names, or two blobs with one name.

    Example:
        >>> choice = choose_tower(["conv1_s0_w", "res_conv1_bn_s0_b", "res_conv1_bn_s1_b"], 1)
        >>> choice.sources
        {'conv1_w': 'conv1_s0_w', 'res_conv1_bn_b': 'res_conv1_bn_s1_b'}
    """
    names = list(names)
    parsed = {text: parse_caffe2(text) for text in names}
    towers = towers_of(names)
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
    for name in parsed.values():
        if name is not None and name.tower is not None:
            owners.setdefault(name.without_tower(), set()).add(name.tower)
    sources: dict[str, str] = {}
    fates = []
    for text, name in parsed.items():
        fate = _fate(text, name, tower, owners)
        fates.append(fate)
        if fate.became is not None:
            if fate.became in sources:
                raise CheckpointError(
                    f"{sources[fate.became]} and {text} would both become {fate.became}",
                    expected="one blob of each name",
                    remedy="The file mixes two models; take the original.",
                )
            sources[fate.became] = text
    refuse_unknown(fates, allow_unknown=allow_unknown)
    return TowerChoice(tower=tower, towers=towers, sources=sources, fates=fates)


def _fate(
    text: str, name: BlobName | None, tower: int, owners: Mapping[BlobName, set[int]]
) -> Fate:
    if name is None:
        if text in BOOKKEEPING:
            return kept(text, text)
        return Fate(blob=text, became=text, action="unknown", reason=NO_SUCH_NAME)
    if name.tower is None:
        return kept(text, text)
    single = name.without_tower()
    having = owners[single]
    # What one tower alone has is shared by all of them.
    if name.tower == tower or len(having) == 1:
        shared = "shared by the towers" if len(having) == 1 else f"tower {tower}"
        return kept(text, str(single), shared)
    return dropped(text, OTHER_TOWER)


def tower_distances(
    arrays: Mapping[str, NDArray[Any]], choice: TowerChoice
) -> dict[str, dict[str, Any]]:
    """Measure how far the batch norms of the other towers are from those of the chosen one.

    Args:
        arrays: The blobs under their names in the file.
        choice: The tower taken.

    Returns:
        For each parameter (s, b, rm, riv) the largest absolute difference, the blob where it
        is, and the largest difference relative to the largest value of the chosen tower's blob.
    """
    chosen = {new: old for new, old in choice.sources.items() if old != new}
    found: dict[str, dict[str, Any]] = {}
    for fate in choice.fates:
        name = parse_caffe2(fate.blob)
        if fate.reason != OTHER_TOWER or name is None or not name.norm or name.momentum:
            continue
        ours = chosen.get(str(name.without_tower()))
        if ours is None or arrays[ours].shape != arrays[fate.blob].shape:
            continue
        base = arrays[ours]
        if not base.size:
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
