"""`lowshot verify`: proves from the files alone that samples are what their names say."""

from __future__ import annotations

import functools
import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import combinations, groupby
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sslprep import manifest
from sslprep.errors import ArrayError, DatasetError, ManifestError, SslprepError
from sslprep.input_files import sha256_of
from sslprep.lowshot.draw import GENERATOR, Draws, draw_sample
from sslprep.lowshot.labels import (
    Classes,
    ImageList,
    LabelMatrix,
    Names,
    classes_of,
    is_image_of,
    label_kinds,
    read_full,
)
from sslprep.lowshot.multilabel import wrong_labels
from sslprep.lowshot.sample_files import (
    KIND,
    Index,
    SampleFiles,
    find_samples,
    read_index,
    read_sample,
)
from sslprep.lowshot.sizes import Size, first_few, largest_k, needs
from sslprep.parameters import command
from sslprep.results import result, table

Held = dict[int | str, tuple[list[Any], list[Any]]]
"""What a sample holds of each class: rows of it and rows not of it, or images of it."""


@result
class Sample:
    """What is known of one sample."""

    file: Path  #: the sample
    size: str  #: `k4` or `fraction0.01`; `unknown` of a list whose name does not tell
    sample: int  #: its number
    classes: int = 0  #: number of classes
    positives: int = 0  #: positives (single-label: images) in all classes together
    negatives: int | None = None  #: the same; `None` for single-label samples
    subset: bool | None = None  #: whether every label is the full targets'; `None`: not known
    redrawn: bool | None = None  #: whether the manifest's seed draws it; `None`: not tried
    whole: bool = False  #: whether every class is drawn whole, so that all samples must be equal
    content: str = ""  #: SHA-256 of what it holds; empty: it cannot be read
    problems: tuple[str, ...] = ()  #: what is wrong


@result
class LowshotVerified:
    """What `lowshot verify` found."""

    folder: Path  #: what was looked through
    samples: tuple[Sample, ...]  #: every sample
    problems: tuple[str, ...]  #: one line for everything that is wrong
    unproven: tuple[str, ...]  #: what could not be checked, and what would make it possible

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems

    def text(self) -> str:
        """Lay the samples out as a table, then what is wrong and what is not proven."""
        words = {True: "yes", False: "NO", None: "not checked"}
        top = self.folder if self.folder.is_dir() else self.folder.parent
        rows = []
        for s in self.samples:
            numbers = (s.classes, s.positives, "-" if s.negatives is None else s.negatives)
            marks = (words[s.subset], words[s.redrawn], "WRONG" if s.problems else "ok")
            rows.append((s.file.relative_to(top), *numbers, *marks))
        headers = ("sample", "classes", "positives", "negatives", "subset", "redrawn", "result")
        lines = [table(headers, rows), ""]
        lines += [f"wrong: {text}" for text in self.problems]
        lines += [f"not proven: {text}" for text in self.unproven]
        end = f"{len(self.problems)} problems" if self.problems else "nothing wrong"
        return "\n".join([*lines, f"{len(self.samples)} samples, {end}"])


@command(
    renamed={"folder": "samples", "targets_data_file": "targets", "images_data_file": "images"}
)
def verify_samples(
    samples: Path, *, targets: Path | None = None, images: Path | None = None
) -> LowshotVerified:
    """Prove that low-shot samples are what their names say.

    From the files alone, also those of other programs: every class of every sample has exactly k
    positives (and, multi-label, (classes - 1)·k negatives); every label is that of the full
    targets; no two samples are equal that could differ. Where a manifest tells the seed, the
    samples are drawn again and compared; index files and manifests must agree with the samples.

    Args:
        samples: Folder of samples named like `train_targets_sample1_k4.npy` (folders below it are
            read too); or one list of images, as SimCLR and MSN publish theirs.
        targets: The full targets (.npy or JSON); by default those that the manifest beside the
            samples names. Without them subsets are not proven.
        images: For single-label samples the full image list; by default the manifest's, or the
            one beside the targets.

    Raises:
        DatasetError: No such folder, no samples in it, or a folder that cannot be read.
        ArrayError: The full targets that were given cannot be read.
    """
    found = find_samples(samples)
    records, problems = _read_manifests(samples, found)
    if not found and not problems:
        raise DatasetError(
            "holds no low-shot samples",
            where=samples,
            expected="files named like train_targets_sample1_k4.npy",
        )
    fits = {True, False} if targets is None else label_kinds(targets)
    if found and fits and not fits & {s.multi_label for s in found}:
        kind = "a label matrix (images, classes)" if found[0].multi_label else "a list of class ids"
        raise ArrayError("does not fit the samples", where=targets, expected=kind)
    load = functools.cache(lambda *what: Original(*read_full(*what)))
    checked: list[Sample] = []
    unproven: list[str] = []
    for (folder, stem), members in groupby(found, key=lambda s: (s.folder, s.stem)):
        group = []
        for sample in members:
            given = targets if sample.multi_label in fits or not fits else None
            origin = _drawn_from(sample, records.get(sample.main), given, images, load)
            group.append(_Case(*(sample, *_read(sample), *origin)))
        for original in {id(c.original): c.original for c in group if c.original}.values():
            lists = [c.held for c in group if c.original is original]
            original.look_up({k for h in lists if isinstance(h, ImageList) for k in h.keys})
        results = [check_sample(case) for case in group]
        checked += results
        problems += [text for sample in results for text in sample.problems]
        problems += equal_samples(results)
        reasons = dict.fromkeys(case.reason for case in group if case.reason)
        unproven += [f"{folder / stem}: that samples are subsets: {text}" for text in reasons]
        listing = {case.found.main: records.get(case.found.main) for case in group}
        for main, record in listing.items() if any(listing.values()) else ():
            if record is None or _draws(record) is None:
                why = "its manifest's draw is not known" if record else "no manifest lists it"
                unproven.append(f"{main}: how it was drawn: {why}")
    return LowshotVerified(
        folder=samples, samples=tuple(checked), problems=tuple(problems), unproven=tuple(unproven)
    )


def _read_manifests(
    place: Path, found: Sequence[SampleFiles]
) -> tuple[dict[Path, manifest.Manifest], list[str]]:
    """Return the manifest that lists each file; and what is wrong with manifests."""
    records: dict[Path, manifest.Manifest] = {}
    problems: list[str] = []
    here = {s.folder / name for s in found for name in s.files.values()}
    for path in manifest.find(place) if place.is_dir() else ():
        try:
            record = manifest.read(path)
        except ManifestError as error:
            problems.append(str(error))
            continue
        if record.kind == KIND:
            problems += manifest.changed_outputs(path, record)
            listed = dict.fromkeys((path.parent / output.file for output in record.outputs), record)
            records |= listed
            if not listed.keys() & here:
                problems.append(f"{path}: none of its samples is here")
    return records, problems


def _read(found: SampleFiles) -> tuple[LabelMatrix | ImageList | SslprepError, Index | None]:
    try:
        index = found.files.get("index")
        return read_sample(found), read_index(found.folder / index) if index else None
    except SslprepError as error:
        return error, None  # it does not keep others from being checked


def equal_samples(samples: Sequence[Sample]) -> list[str]:
    """Find samples of one size that are equal where they could differ.

    They must be equal where every class is drawn whole, and may be where their seed draws them so.
    """
    return [
        f"{one.file} and {other.file.name} are equal"
        + ("" if one.subset else " (the full targets would show if they must be)")
        for _, group in groupby(samples, key=lambda sample: sample.size)
        for one, other in combinations(group, 2)
        if one.content and one.content == other.content and not one.whole
        if not (one.redrawn and other.redrawn)
    ]


def by_class(images: Sequence[str], classes: Sequence[int | str]) -> Held:
    """List what a list of images holds of each class."""
    held: Held = {}
    for image, class_ in zip(images, classes, strict=True):
        held.setdefault(class_, ([], []))[0].append(image)
    return held


class Original:
    """The full labels that samples were drawn from, and the names of their rows, if at hand."""

    def __init__(self, labels: NDArray[Any], names: Names | None) -> None:
        self.labels, self.names = labels, names
        self.classes = classes_of(labels)
        self.labels_of: dict[str, list[int]] = {}

    def draw(self, draws: Draws, size: Size, sample: int) -> Held:
        """Draw a sample again; nothing where there is too little for it."""
        if needs(size, self.classes) > largest_k(self.classes):
            return {}
        positives, negatives = draw_sample(self.classes, draws, size, sample)
        if negatives is not None:
            pairs = enumerate(zip(positives, negatives, strict=True))
            return {n: (ones.tolist(), zeros.tolist()) for n, (ones, zeros) in pairs}
        rows = np.concatenate(positives)
        names = [] if self.names is None else [str(self.names[row]) for row in rows]
        return by_class(names, self.labels[rows].tolist())

    def look_up(self, wanted: set[str]) -> None:
        """Note the class ids of images in `labels_of`, in one pass; of paths or of bare names."""
        self.labels_of = {name: [] for name in wanted}
        names: Names = () if self.names is None or not wanted else self.names
        for start in range(0, len(names), 65536):
            images = np.asarray(names[start : start + 65536]).tolist()
            labels = self.labels[start : start + 65536].tolist()
            for image, label in zip(images, labels, strict=True):
                for name in {image, image.rpartition("/")[2]} & wanted:
                    self.labels_of[name].append(label)


class _Case(NamedTuple):
    """A sample, what it holds, and what is known of how it was drawn."""

    found: SampleFiles
    held: LabelMatrix | ImageList | SslprepError
    listed: Index | None
    original: Original | None
    draws: Draws | None
    reason: str  # why one of them is not known


def _drawn_from(
    found: SampleFiles,
    record: manifest.Manifest | None,
    targets: Path | None,
    images: Path | None,
    load: Callable[[Path, Path | None, bool], Original],
) -> tuple[Original | None, Draws | None, str]:
    """Return what a sample was drawn from, how to draw it again, and why one is not known."""
    path = targets or _recorded(record, found, "targets")
    if path is None:
        return None, None, "no manifest names the full targets; pass --targets"
    unchanged = record is not None and path.is_file() and _is_input(record, path)
    if targets is None and not unchanged:
        state = "has changed since" if path.is_file() else "is not here"
        return None, None, f"{path}, the full targets, {state}; pass --targets"
    try:
        original = load(path, images or _recorded(record, found, "images"), found.multi_label)
    except SslprepError as error:
        if targets is not None:
            raise
        return None, None, str(error)
    reason = "" if found.multi_label or original.names is not None else "pass --images"
    return original, _draws(record) if record and unchanged else None, reason


def _recorded(record: manifest.Manifest | None, found: SampleFiles, name: str) -> Path | None:
    """Return an input's path as the manifest has it: from here, or from the samples' folder."""
    value = record.parameters.get(name) if record else None
    if not isinstance(value, str) or "\0" in value:
        return None
    return Path(value) if Path(value).exists() else found.folder / value


def _is_input(record: manifest.Manifest, path: Path) -> bool:
    same = [entry.sha256 for entry in record.inputs if entry.bytes == path.stat().st_size]
    return bool(same) and bool({None, sha256_of(path)} & {*same})


def _draws(record: manifest.Manifest) -> Draws | None:
    nested, seed = record.parameters.get("nested"), record.seed or 0
    known = record.generator == GENERATOR and isinstance(nested, bool) and 0 <= seed < 1 << 64
    return Draws(seed, bool(nested)) if known else None


def wrong_counts(held: Held, size: Size, full: Classes | None, multi_label: bool) -> list[str]:
    """Say which classes have other than k positives and, multi-label, (classes - 1)·k negatives."""
    totals: dict[int | str, int] = dict.fromkeys(held, 0)  # not known
    if full is not None:
        totals = dict(zip(full.ids, map(len, full.positives), strict=True))
    texts = [f"holds class {id_}, which is none" for id_ in held if id_ not in totals]
    least = min((len(ones) for ones, _ in held.values()), default=0)
    if size.balanced and full is not None:
        least = size.each(full.rows, len(totals))[0]
    for id_, total in totals.items():
        ones, zeros = held.get(id_, ([], []))
        wanted = {least, least + 1} if size.balanced else {size.count(total)}
        if not size.k and not size.balanced and not (total and size.fraction):
            wanted = {len(ones)}  # a fraction of what is not known
        if len(ones) not in wanted:
            what = "positives" if multi_label else "images"
            number = " or ".join(map(str, sorted(wanted)))
            texts.append(f"class {id_} has {len(ones)} {what}; expected {number}")
        others = size.k * (len(totals) - 1)
        if multi_label and len(zeros) != others:
            texts.append(f"class {id_} has {len(zeros)} negatives; expected {others}")
    return texts


def wrong_index(case: _Case, index: Index, held: Held, ids: Names | None) -> str:
    """Say how an index differs from what its sample holds, or its rows from the full targets."""
    found, _, _, original, draws, _ = case
    size = Size(index.k or 0, index.fraction or 0.0, bool(index.balanced))
    if (size, index.sample) != (found.size, found.sample):
        return "is of another sample"
    if draws is not None and (index.seed, index.nested) != (draws.seed, draws.nested):
        return "names another seed than the manifest"
    images = index.images or {}
    listed: Held = {c.id: (c.positives, c.negatives or []) for c in index.classes}
    rows = [(row, id_) for id_, (ones, _) in listed.items() for row in ones]
    if not found.multi_label:
        listed = {id_: ([images.get(row) for row in ones], []) for id_, (ones, _) in listed.items()}
    if listed != held:
        return "lists other rows" if found.multi_label else "lists other images"
    last = len(original.labels) if original else index.rows
    if any(not 0 <= row < last for row in (*images, *(row for row, _ in rows))):
        return "lists rows that cannot be"
    labels = original.labels if original and not found.multi_label else None
    if labels is not None and any(labels[row] != id_ for row, id_ in rows):
        return "lists rows of other classes"
    known = {name: str(ids[row]) for row, name in images.items()} if ids is not None else {}
    same = is_image_of if found.multi_label else str.__eq__
    return "" if all(map(same, known, known.values())) else "lists rows of other images"


_Content = tuple[Held, bool | None, list[str]]
"""What a sample holds, whether all of it is the full targets', and what of it is wrong."""


def check_sample(case: _Case) -> Sample:
    """Check one sample: its counts, its index file, the full targets, the draw."""
    found, held, index, original, draws, _ = case
    known: dict[str, Any] = {"file": found.main, "size": found.size.name, "sample": found.sample}
    if isinstance(held, SslprepError):
        return Sample(**known, problems=(str(held),))
    names = original.names if original else None
    if isinstance(held, LabelMatrix):
        what, subset, wrong = _in_matrix(held, original)
        names = held.images or names
    else:
        what, subset, wrong = _in_list(held, original)
    full = original.classes if original else None
    counts = wrong_counts(what, found.size, full, found.multi_label)
    problems = first_few(counts) + first_few(wrong)
    if index is not None and (text := wrong_index(case, index, what, names)):
        problems.append(f"{found.files['index']} {text}")
    redrawn = None
    if subset and original and draws:
        redrawn = original.draw(draws, found.size, found.sample) == what
        problems += ["is not what the manifest's seed draws"] * (not redrawn)
    ones = [len(rows) for rows, _ in what.values()]
    zeros = [len(rows) for _, rows in what.values()]
    return Sample(
        **known,
        classes=len(what.keys() - {""}),
        positives=sum(ones),
        negatives=sum(zeros) if found.multi_label else None,
        subset=subset,
        redrawn=redrawn,
        whole=full is not None
        and sorted(ones) == sorted(map(len, full.positives))
        and (full.negatives is None or zeros == [*map(len, full.negatives)]),
        content=hashlib.sha256(repr(what).encode()).hexdigest(),
        problems=tuple(f"{found.main}: {text}" for text in problems),
    )


def _in_matrix(held: LabelMatrix, original: Original | None) -> _Content:
    ones, zeros = ([np.flatnonzero(c == v).tolist() for c in held.labels.T] for v in (1, 0))
    what: Held = dict(enumerate(zip(ones, zeros, strict=True)))
    if original is None:
        return what, None, []
    wrong = wrong_labels(held.labels, original.labels)
    if held.images and original.names is not None and list(held.images) != list(original.names):
        wrong.append("names other images than the full targets")
    return what, not wrong, wrong


def _in_list(held: ImageList, original: Original | None) -> _Content:
    classes = held.classes
    labels = original.labels_of if original and original.names is not None else None
    if held.as_text and labels:  # the class of a name is that of its first image in the full list
        pairs = zip(reversed(held.keys), reversed(classes), strict=True)
        first = {class_: labels[key][0] for key, class_ in pairs if labels[key]}
        classes = [first.get(class_, class_) for class_ in classes]
    rows = list(zip(held.images, held.keys, classes, strict=True))
    wrong = [
        f"{image} is not an image of class {class_} in the full targets"
        for image, key, class_ in rows
        if labels is not None and class_ not in labels[key]
    ]
    repeated = [
        f"holds {image} {count} times"
        for (image, key, class_), count in Counter(rows).items()
        if count > max(1, (labels or {}).get(key, []).count(class_))  # type: ignore[arg-type]
    ]
    subset = None if labels is None else not wrong
    return by_class(held.images, classes), subset, [*wrong, *repeated]
