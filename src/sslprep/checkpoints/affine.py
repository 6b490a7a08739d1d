"""Batch norms as Detectron's affine layers: names and accounts; the arithmetic is in `norms`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from sslprep.checkpoints import norms
from sslprep.checkpoints.account import Fate, kept
from sslprep.checkpoints.architecture import raise_together
from sslprep.checkpoints.names import BlobName, parse_caffe2

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True, kw_only=True)
class Converted:
    """A model for a detector: its arrays by name, and what became of every blob."""

    arrays: Arrays
    fates: list[Fate]


def to_affine(
    blobs: Mapping[str, NDArray[Any]],
    names: Mapping[str, BlobName],
    *,
    decompose: bool = False,
    eps: float = norms.EPS,
) -> Converted:
    """Replace every batch norm by an affine layer (Detectron's AffineChannel).

    Args:
        blobs: One tower, float32, Caffe2 names.
        names: The parts of the names.
        decompose: Write two layers, `…_bn_norm_{s,b}` of the statistics and `…_bn_{s,b}` as
            they are, in place of one.
        eps: Added to the variances.
    """
    arrays: Arrays = {}
    fates = []
    for text, array in blobs.items():
        name = names[text]
        if not name.norm or name.momentum or name.affine:
            arrays[text] = array
            fates.append(kept(text, text))
            continue
        norm = name.module
        if decompose:
            first = f"{norm}_norm_{'s' if name.param == 'riv' else 'b'}"
            if name.param in ("s", "b"):
                arrays[text] = array
                fates.append(kept(text, text))
            else:
                fates.append(Fate(blob=text, became=first, action="folded"))
            if name.param == "riv":
                scale, shift = norms.decompose(blobs[f"{norm}_rm"], array, eps)
                arrays[f"{norm}_norm_s"], arrays[f"{norm}_norm_b"] = scale, shift
            continue
        became = (
            text if name.param in ("s", "b") else f"{norm}_{'s' if name.param == 'riv' else 'b'}"
        )
        fates.append(Fate(blob=text, became=became, action="folded"))
        if name.param == "s":
            b, rm, riv = (blobs[f"{norm}_{param}"] for param in ("b", "rm", "riv"))
            arrays[f"{norm}_s"], arrays[f"{norm}_b"] = norms.fold(array, b, rm, riv, eps)
    return Converted(arrays=arrays, fates=fates)


def refuse_broken_norms(blobs: Mapping[str, NDArray[Any]], missing: Sequence[str]) -> None:
    """Check that no norm lacks a part: it cannot be folded, whatever the user allows.

    Raises:
        CheckpointError: Names the missing blobs.
    """
    norms_present = {n.module for t in blobs if (n := parse_caffe2(t)) is not None and n.norm}
    broken = [
        text
        for text in missing
        if (n := parse_caffe2(text)) is not None and n.norm and n.module in norms_present
    ]
    raise_together(
        [f"{name} is missing, without which its norm cannot be computed" for name in broken],
        remedy="Take a complete checkpoint.",
    )
