"""Check single-label samples, which are an image list and a label list each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sslprep.errors import ArrayError, SslprepError
from sslprep.files import read_array
from sslprep.lowshot import index, proof, singlelabel
from sslprep.lowshot.checked import Checked, SampleProof, index_problems, read_index, unreadable
from sslprep.lowshot.found import FoundSample
from sslprep.lowshot.full import Full
from sslprep.lowshot.shots import Population


@dataclass(frozen=True, kw_only=True, eq=False)
class _ImageList:
    images: NDArray[np.str_]
    labels: NDArray[np.int64]
    listed: index.Index | None

    def pairs(self) -> list[proof.Pair]:
        return list(zip(self.images.tolist(), self.labels.tolist(), strict=True))


@dataclass(frozen=True, kw_only=True, eq=False)
class _Whole:
    """What the samples of a set are compared with.

    Attributes:
        classes: Every class id and how many images there are of it; 0: not known.
        pairs: How often the full lists hold each pair that a sample holds; `None`: not at hand.
        groups: Rows by class, where the full labels are at hand.
        full: The full targets.
    """

    classes: Mapping[int, int]
    pairs: Mapping[proof.Pair, int] | None = None
    groups: singlelabel.Groups | None = None
    full: Full | None = None


def check_lists(samples: Sequence[FoundSample], full: Full | None) -> list[Checked]:
    """Check all samples of a set: counts, index files, the full targets, the draw."""
    read: list[_ImageList | SslprepError] = []
    for sample in samples:
        try:
            read.append(_read(sample))
        except SslprepError as error:
            read.append(error)
    whole = _whole([item for item in read if isinstance(item, _ImageList)], full)
    return [
        unreadable(sample, str(item))
        if isinstance(item, SslprepError)
        else _check(sample, item, whole)
        for sample, item in zip(samples, read, strict=True)
    ]


def _read(sample: FoundSample) -> _ImageList:
    for kind in ("images", "labels"):
        if kind not in sample.files:
            raise ArrayError(f"the {kind} of this sample are missing", where=sample.main)
    # Any integers: class ids that are none are found against the full targets.
    labels = read_array(sample.folder / sample.files["labels"], ndim=1, kinds="iu")
    path = sample.folder / sample.files["images"]
    images: NDArray[np.str_] = read_array(path, ndim=1, kinds="U")
    if len(images) != len(labels):
        raise ArrayError(
            f"holds {len(images)} images, and {sample.files['labels']} {len(labels)} labels",
            where=path,
            expected="one label for each image",
        )
    return _ImageList(images=images, labels=labels.astype(np.int64), listed=read_index(sample))


def _whole(lists: Sequence[_ImageList], full: Full | None) -> _Whole:
    if full is None or full.labels is None:
        # Without the full targets, a class is what any of the samples holds.
        return _Whole(
            classes=dict.fromkeys(sorted({n for x in lists for n in x.labels.tolist()}), 0)
        )
    groups = singlelabel.group_rows(full.labels)
    sizes = np.diff(groups.starts)
    classes = dict(zip(groups.ids.tolist(), sizes.tolist(), strict=True))
    pairs = None
    if full.images is not None:
        wanted = {name for item in lists for name in item.images.tolist()}
        pairs = proof.count_pairs(full.images, full.labels, wanted)
    return _Whole(classes=classes, pairs=pairs, groups=groups, full=full)


def _check(sample: FoundSample, read: _ImageList, whole: _Whole) -> Checked:
    problems = proof.list_counts(read.labels, sample.shot, whole.classes)
    pairs = read.pairs()
    subset = redrawn = None
    if whole.pairs is None:
        problems += proof.repeated_images(read.images.tolist())
    else:
        wrong = proof.list_subset(pairs, whole.pairs)
        subset = not wrong
        problems += wrong
        if subset:
            redrawn = _redraws(sample, read, whole)
        if redrawn is False:
            problems.append("is not what the manifest's seed draws")
    problems += _index_problems(sample, read, whole)
    counts = Counter(read.labels.tolist())
    return Checked(
        found=sample,
        content=proof.fingerprint(sorted(pairs)),
        only_one=whole.groups is not None and counts == whole.classes,
        proof=SampleProof(
            file=sample.main,
            size=sample.shot.name,
            sample=sample.sample,
            classes=len(counts),
            positives=len(read.labels),
            subset=subset,
            redrawn=redrawn,
            problems=tuple(f"{sample.main}: {text}" for text in problems),
        ),
    )


def _index_problems(sample: FoundSample, read: _ImageList, whole: _Whole) -> list[str]:
    """Check that the index names the sample's images in order, and rows that hold them."""
    if read.listed is None:
        return []
    classes = read.listed.classes
    rows = [row for c in classes for row in c.positives]
    labels = [c.id for c in classes for _ in c.positives]
    name = sample.files["index"]
    named = read.listed.images or {}
    images = read.images.tolist()
    if labels != read.labels.tolist() or [named.get(row) for row in rows] != images:
        return [f"{name} lists other images"]
    full = whole.full
    if full is not None and full.labels is not None and full.images is not None:
        if len(set(rows)) < len(rows) or not all(0 <= row < len(full.images) for row in rows):
            return [f"{name} lists rows that cannot be"]
        at = np.array(rows, np.int64)
        if full.images[at].tolist() != images or full.labels[at].tolist() != labels:
            return [f"{name} lists rows of other images"]
    return index_problems(sample, read.listed, [c.positives for c in classes], None)


def _redraws(sample: FoundSample, read: _ImageList, whole: _Whole) -> bool | None:
    """Draw the sample again by the manifest's seed and compare, order included."""
    full, groups = whole.full, whole.groups
    if full is None or groups is None or full.draws is None or not sample.listed:
        return None
    if full.labels is None or full.images is None:
        return None
    if not Population(ids=groups.ids, positives=np.diff(groups.starts)).allows(sample.shot):
        return False
    rows, _ = singlelabel.draw_rows(groups, full.draws, sample.shot, sample.sample)
    return bool(
        np.array_equal(full.images[rows], read.images)
        and np.array_equal(full.labels[rows], read.labels)
    )
