"""The protocols by which papers train SVMs on features, as a table: no code knows one of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sslprep.evaluate.average_precision import Definition

Name = Literal["goyal2019", "openselfsup", "vissl", "pcl", "virtex"]

FOLDS = 3
"""Of the cross-validation: stratified, not shuffled, step-wise AP, the first maximum."""
SHARED_FOLDS = 2
"""The same where all classes share their rows (Places): three would take longer than the curve."""
FIXED_COST = 1.0
"""The cost of the honest curve where a sample is too small for cross-validation (k = 1)."""
_POWERS = tuple(0.5**n for n in range(4, 20))


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """One way from features to a figure.

    A label of -1 (difficult) is in training on the whole set a negative in all of them, in low-shot
    training it is left out.
    """

    costs: tuple[float, ...]  #: in the order in which the first maximum is looked for
    definition: Definition = "envelope"  #: of average precision
    ignored_in_test: Literal["left out", "negative"] = "left out"  #: a label of -1 in testing
    #: The rows of a class in a low-shot sample: those drawn for it (`own`), or the positives drawn
    #: for all classes, with all their labels (`pooled`); `None` without a low-shot curve.
    lowshot: Literal["own", "pooled"] | None = "own"
    source: str


PROTOCOLS: dict[Name, Protocol] = {
    "goyal2019": Protocol(
        costs=(1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0, *_POWERS),
        source="Goyal et al. 2019, arXiv 1905.01235",
    ),
    "openselfsup": Protocol(
        costs=(1.0, 10.0, 100.0, *_POWERS),
        source="OpenSelfSup, and mmselfsup after it",
    ),
    "vissl": Protocol(
        costs=(0.01, 0.1, 1.0, 2.0, 5.0, 10.0, 15.0, 20.0, 50.0, 100.0, 1000.0),
        source="VISSL's VOC07 SVM configuration",
    ),
    "pcl": Protocol(
        costs=(0.5,),
        ignored_in_test="negative",
        lowshot="pooled",
        source="Li et al. 2021, arXiv 2005.04966",
    ),
    "virtex": Protocol(
        costs=(0.01, 0.1, 1.0, 10.0),
        definition="step",
        lowshot=None,
        source="Desai and Johnson 2021, arXiv 2006.06666",
    ),
}
