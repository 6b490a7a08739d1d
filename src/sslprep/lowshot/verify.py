"""`lowshot verify`: proves from the files alone that samples are what their names say."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations, groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sslprep import manifest
from sslprep.errors import ArrayError, DatasetError, ManifestError, SslprepError
from sslprep.input_files import reading, sha256_of
from sslprep.lowshot import multilabel, singlelabel
from sslprep.lowshot.draw import GENERATOR, Draws
from sslprep.lowshot.labels import (
    ImageList,
    LabelMatrix,
    Names,
    Rows,
    images_beside,
    label_kinds,
    read_class_ids,
    read_images,
    read_label_matrix,
    rows_by_class,
)
from sslprep.lowshot.sample_files import (
    KIND,
    Index,
    SampleFiles,
    find_samples,
    read_index,
    read_sample,
)
from sslprep.lowshot.sizes import ClassCounts, Size
from sslprep.parameters import command
from sslprep.results import result, table

_SHOWN = 5


@result
class Sample:
    """What is known of one sample.

    Attributes:
        file: The sample.
        size: `k4` or `fraction0.01`; of a list of images `list`.
        sample: Its number.
        classes: Number of classes.
        positives: Positives (single-label: images) in all classes together.
        negatives: Negatives in all classes together; `None` for single-label samples.
        subset: Whether every label is that of the full targets; `None`: they are not at hand.
        redrawn: Whether drawing again by the manifest's seed gives this very sample; `None`:
            it could not be tried.
        whole: Whether every class is drawn whole, so that all samples must be equal.
        content: SHA-256 of what it holds; empty: it cannot be read.
        problems: What is wrong.
    """

    file: Path
    size: str
    sample: int
    classes: int = 0
    positives: int = 0
    negatives: int | None = None
    subset: bool | None = None
    redrawn: bool | None = None
    whole: bool = False
    content: str = ""
    problems: tuple[str, ...] = ()


@result
class LowshotVerified:
    """What `lowshot verify` found.

    Attributes:
        folder: What was looked through.
        samples: Every sample.
        problems: One line for everything that is wrong.
        unproven: What could not be checked, and what would make it possible.
    """

    folder: Path
    samples: tuple[Sample, ...]
    problems: tuple[str, ...]
    unproven: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems

    def text(self) -> str:
        """Lay the samples out as a table, then what is wrong and what is not proven."""
        words = {True: "yes", False: "NO", None: "not checked"}
        top = self.folder if self.folder.is_dir() else self.folder.parent
        rows = [
            (
                s.file.relative_to(top),
                s.classes,
                s.positives,
                "-" if s.negatives is None else s.negatives,
                words[s.subset],
                words[s.redrawn],
                "WRONG" if s.problems else "ok",
            )
            for s in self.samples
        ]
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
        samples: Folder of samples named like `train_targets_sample1_k4.npy`, and of lists of
            images as SimCLR and MSN publish theirs (folders below it too); or one such list.
        targets: The full targets (.npy or JSON); by default those that the manifest beside the
            samples names. Without them subsets are not proven.
        images: For single-label samples the full image list; by default the manifest's, or the
            one beside the targets.

    Returns:
        What was proven, what is wrong, and what could not be checked.

    Raises:
        DatasetError: No such folder, no samples in it, or a folder that cannot be read.
        ArrayError: The full targets that were given cannot be read.
    """
    found = find_samples(samples, lists=True)
    records, problems = _read_manifests(samples) if samples.is_dir() else ({}, [])
    names = {s.folder / name for s in found for name in s.files.values()}
    for path, record in records.items():
        problems += manifest.changed_outputs(path, record)
        if not any(path.parent / output.file in names for output in record.outputs):
            problems.append(f"{path}: none of its samples is here")
    if not found and not problems:
        raise DatasetError(
            "holds no low-shot samples",
            where=samples,
            expected="files named like train_targets_sample1_k4.npy",
        )
    full = _FullTargets(targets, images, records)
    if found and not full.fits & {s.multi_label for s in found}:
        kind = "a label matrix (images, classes)" if found[0].multi_label else "a list of class ids"
        raise ArrayError("does not fit the samples", where=targets, expected=kind)
    checked: list[Sample] = []
    unproven: list[str] = []
    for (folder, stem), members in groupby(found, key=lambda s: (s.folder, s.stem)):
        group = list(members)
        origins = [full.of(sample) for sample in group]
        held = [_read(sample) for sample in group]
        labels = _labels_of_lists(held, [original for original, *_ in origins])
        results = [
            check_sample(sample, content, original, labels_of, draws)
            for sample, content, labels_of, (original, draws, _) in zip(
                group, held, labels, origins, strict=True
            )
        ]
        checked += results
        problems += [text for sample in results for text in sample.problems]
        problems += equal_samples(results)
        place = folder / stem
        reasons = dict.fromkeys(reason for *_, reason in origins if reason)
        unproven += [f"{place}: that samples are subsets: {reason}" for reason in reasons]
        unlisted = [sample for sample in group if sample.main not in full.listed]
        if len(unlisted) < len(group):
            unproven += [f"{s.main}: how it was drawn: no manifest lists it" for s in unlisted]
        else:
            unproven += _gaps(place, group)
    return LowshotVerified(
        folder=samples,
        samples=tuple(checked),
        problems=tuple(problems),
        unproven=tuple(unproven),
    )


def _read_manifests(folder: Path) -> tuple[dict[Path, manifest.Manifest], list[str]]:
    """Read the manifests of samples in a folder and below; one that is junk is a problem."""
    found = {}
    problems = []
    for path in manifest.find(folder):
        try:
            record = manifest.read(path)
        except ManifestError as error:
            problems.append(str(error))
            continue
        if record.kind == KIND:
            found[path] = record
    return found, problems


def equal_samples(samples: Sequence[Sample]) -> list[str]:
    """Find samples of one size that are equal where they could differ.

    Equal samples are right where every class is drawn whole, and where drawing them again by
    their seed shows that it happened by chance (few images, small k).
    """
    return [
        f"{one.file} and {other.file.name} are equal"
        + ("" if one.subset else " (the full targets would show if they must be)")
        for _, group in groupby(samples, key=lambda sample: sample.size)
        for one, other in combinations(group, 2)
        if one.content and one.content == other.content and not one.whole
        if not (one.redrawn and other.redrawn)
    ]


def _gaps(place: Path, unlisted: Sequence[SampleFiles]) -> list[str]:
    """Say which numbers seem to be missing from samples that no manifest lists."""
    numbers = {found.sample for found in unlisted}
    return [
        f"{place}: that the set is complete: {size.name} has no sample {', '.join(missing)}"
        for size, members in groupby(unlisted, key=lambda found: found.size)
        if (missing := [str(n) for n in sorted(numbers - {m.sample for m in members})])
    ]


Drawn = dict[int | str, tuple[list[Any], list[Any]]]
"""What a sample holds of each class: rows of it and rows not of it, or images of it."""


@dataclass(kw_only=True, eq=False)
class Original:
    """The full labels that samples were drawn from.

    Attributes:
        path: The targets.
        labels: (rows, classes) of 1, 0 and -1, or (rows,) of class ids.
        names: Names of the rows, where they are at hand.
    """

    path: Path
    labels: NDArray[Any]
    names: Names | None

    @cached_property
    def rows(self) -> tuple[list[Rows], list[Rows]] | singlelabel.Groups:
        """All rows by class."""
        group = rows_by_class if self.labels.ndim == 2 else singlelabel.group_rows
        return group(self.labels)

    @cached_property
    def counts(self) -> ClassCounts:
        """How many rows each class has."""
        if isinstance(self.rows, tuple):
            return multilabel.count_rows(*self.rows)
        return ClassCounts(ids=self.rows.ids, positives=np.diff(self.rows.starts))

    def draw(self, draws: Draws, size: Size, sample: int) -> Drawn:
        """Draw a sample again; nothing where there is too little for it."""
        if not self.counts.allows(size):
            return {}
        if isinstance(self.rows, tuple):
            return by_column(*multilabel.draw_rows(*self.rows, draws, size, sample))
        rows, _ = singlelabel.draw_rows(self.rows, draws, size, sample)
        names = [] if self.names is None else [str(self.names[row]) for row in rows]
        return by_class(names, self.labels[rows].tolist())

    def labels_of(self, wanted: Collection[str]) -> dict[str, list[int]]:
        """Find the class ids of some images, in one pass; an image may stand in several rows.

        Args:
            wanted: Images as they stand in the full list, or their file names alone.
        """
        found: dict[str, list[int]] = {}
        for start in range(0, len(self.labels) if self.names is not None and wanted else 0, 65536):
            images = np.asarray(self.names[start : start + 65536]).tolist()  # type: ignore[index]
            labels = self.labels[start : start + 65536].tolist()
            for image, label in zip(images, labels, strict=True):
                for name in {image, image.rpartition("/")[2]}:
                    if name in wanted:
                        found.setdefault(name, []).append(label)
        return found


def by_column(positives: Sequence[Rows], negatives: Sequence[Rows]) -> Drawn:
    """List what a matrix holds of each class."""
    pairs = zip(positives, negatives, strict=True)
    return {n: (ones.tolist(), zeros.tolist()) for n, (ones, zeros) in enumerate(pairs)}


def by_class(images: Sequence[str], classes: Sequence[int | str]) -> Drawn:
    """List what a list of images holds of each class."""
    drawn: Drawn = {}
    for image, class_ in zip(images, classes, strict=True):
        drawn.setdefault(class_, ([], []))[0].append(image)
    return drawn


class _FullTargets:
    """Reads full targets, once each: those that were given, else those that manifests name."""

    def __init__(
        self, targets: Path | None, images: Path | None, records: dict[Path, manifest.Manifest]
    ) -> None:
        self._targets, self._images = targets, images
        self._read: dict[tuple[Path, Path | None, bool], Original] = {}
        self.listed = {p.parent / o.file: r for p, r in records.items() for o in r.outputs}
        self.fits = {True, False}
        if targets is not None:
            with reading(targets):
                targets.stat()
            self.fits = label_kinds(targets) or self.fits

    def of(self, found: SampleFiles) -> tuple[Original | None, Draws | None, str]:
        """Return what a sample was drawn from, how to draw it again, and why one is not known.

        Raises:
            SslprepError: Targets that were given cannot be read.
        """
        record = self.listed.get(found.main)
        if found.files.keys() == {"index"}:
            return None, None, ""
        given = self._targets is not None and found.multi_label in self.fits
        path = self._targets if given else _recorded(record, found, "targets")
        if path is None:
            return None, None, "no manifest names the full targets; pass --targets"
        unchanged = record is not None and _is_input(record, path)
        try:
            if not given and not unchanged:
                state = "has changed since" if path.is_file() else "is not here"
                return None, None, f"{path}, the full targets, {state}; pass --targets"
            images = self._images or _recorded(record, found, "images")
            original = self._load(path, images, found.multi_label)
        except SslprepError as error:
            if given:
                raise
            return None, None, str(error)
        reason = "" if found.multi_label or original.names is not None else "pass --images"
        return original, _draws(record) if record and unchanged else None, reason

    def _load(self, path: Path, images: Path | None, multi_label: bool) -> Original:
        if (key := (path, images, multi_label)) not in self._read:
            if multi_label:
                matrix = read_label_matrix(path)
                original = Original(path=path, labels=matrix.labels, names=matrix.images)
            else:
                labels = read_class_ids(path)
                place = images if images and images.exists() else images_beside(path)
                names = read_images(place, len(labels), path) if place else None
                original = Original(path=path, labels=labels, names=names)
            self._read[key] = original
        return self._read[key]


def _recorded(record: manifest.Manifest | None, found: SampleFiles, name: str) -> Path | None:
    """Return an input's path as the manifest has it: from here, or from the samples' folder."""
    value = record.parameters.get(name) if record else None
    if not isinstance(value, str) or "\0" in value:
        return None
    path = Path(value)
    return path if path.exists() else found.folder / path


def _is_input(record: manifest.Manifest, path: Path) -> bool:
    """Tell whether a file is one of the inputs that a manifest records, by size and hash."""
    size = path.stat().st_size if path.is_file() else -1
    return any(r.bytes == size and r.sha256 in {None, sha256_of(path)} for r in record.inputs)


def _draws(record: manifest.Manifest) -> Draws | None:
    nested = record.parameters.get("nested")
    known = record.generator == GENERATOR and isinstance(nested, bool)
    if not known or record.seed is None or not 0 <= record.seed < 1 << 64:
        return None
    return Draws(record.seed, nested=bool(nested))


Content = LabelMatrix | ImageList | SslprepError


def _read(found: SampleFiles) -> Content:
    try:
        return read_sample(found)
    except SslprepError as error:
        return error  # one sample that cannot be read does not keep others from being checked


def _labels_of_lists(
    held: Sequence[Content], originals: Sequence[Original | None]
) -> list[dict[str, list[int]]]:
    """Find the class ids of all listed images, in one pass over each full list."""
    found: dict[int, dict[str, list[int]]] = {id(None): {}}
    for original in {id(o): o for o in originals if o is not None}.values():
        lists = [h for h, o in zip(held, originals, strict=True) if o is original]
        wanted = {n for h in lists if isinstance(h, ImageList) for n in (*h.images, *h.names)}
        found[id(original)] = original.labels_of(wanted)
    return [found[id(original)] for original in originals]


def _match_list(held: ImageList, labels_of: Mapping[str, list[int]]) -> tuple[Drawn, list[str]]:
    """Find listed images in the full list; say which are not there with their class.

    The class ids of a list as text are those of the first image of each class.
    """
    ids: dict[int | str, int] = {}
    texts = []
    has = [labels_of.get(n, []) for n in (held.names if held.as_text else held.images)]
    for class_, labels in zip(held.classes, has, strict=True):
        if held.as_text and labels:
            ids.setdefault(class_, labels[0])
    classes = [ids.get(class_, class_) for class_ in held.classes]
    times = Counter(zip(held.images, classes, strict=True))
    for image, class_, labels in zip(held.images, classes, has, strict=True):
        count = times.pop((image, class_), 0)
        if class_ not in labels:
            texts.append(f"{image} is not an image of class {class_} in the full targets")
        elif count > labels.count(class_):
            full = labels.count(class_)
            texts.append(f"holds {image} {count} times, and the full targets {full} times")
    return by_class(held.images, classes), texts


def wrong_counts(
    drawn: Drawn, size: Size, full: ClassCounts | None, *, multi_label: bool
) -> list[str]:
    """Say which classes have other than k positives and, multi-label, (classes - 1)·k negatives.

    Args:
        drawn: The sample.
        size: What the file's name says.
        full: How many rows each class has, where that is known.
        multi_label: Whether there are negatives.

    Example:
        >>> wrong_counts({0: ([1], []), 1: ([2, 3], [])}, Size(k=1), None, multi_label=False)
        ['class 1 has 2 images; expected 1']
    """
    totals: dict[int | str, int] = dict.fromkeys(drawn, 0)
    if full is not None:
        totals = dict(zip(full.ids.tolist(), full.positives.tolist(), strict=True))
    texts = [f"holds class {id_}, which is none" for id_ in drawn if id_ not in totals]
    least = min((len(ones) for ones, _ in drawn.values()), default=0)
    if size.balanced and full is not None:
        least = size.each(sum(totals.values()), len(totals))[0]
    for id_, total in totals.items():
        ones, zeros = drawn.get(id_, ([], []))
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


def wrong_index(
    index: Index, found: SampleFiles, drawn: Drawn, original: Original | None, names: Names | None
) -> str | None:
    """Compare an index with what its sample holds, and its rows with the full targets."""
    size = Size(index.k or 0, index.fraction or 0.0, bool(index.balanced))
    if (size, index.sample) != (found.size, found.sample):
        return "is of another sample"
    images = index.images or {}
    listed: Drawn = {c.id: (c.positives, c.negatives or []) for c in index.classes}
    rows = [(row, id_) for id_, (ones, _) in listed.items() for row in ones]
    if not found.multi_label:
        listed = {id_: ([images.get(row) for row in ones], []) for id_, (ones, _) in listed.items()}
    if listed != drawn:
        return "lists other rows" if found.multi_label else "lists other images"
    last = index.rows if original is None else len(original.labels)
    if any(not 0 <= row < last for row in (*images, *(row for row, _ in rows))):
        return "lists rows that cannot be"
    labels = None if original is None or found.multi_label else original.labels
    if labels is not None and any(labels[row] != id_ for row, id_ in rows):
        return "lists rows of other classes"
    if names is not None and any(str(names[row]) != name for row, name in images.items()):
        return "lists rows of other images"
    return None


def check_sample(
    found: SampleFiles,
    held: Content,
    original: Original | None,
    labels_of: Mapping[str, list[int]],
    draws: Draws | None,
) -> Sample:
    """Check one sample: its counts, its index file, the full targets, the draw."""
    known: dict[str, Any] = {"file": found.main, "size": found.size.name, "sample": found.sample}
    try:
        index = read_index(found.folder / found.files["index"]) if "index" in found.files else None
        if isinstance(held, SslprepError):
            raise held
    except SslprepError as error:
        return Sample(**known, problems=(str(error),))
    names = None if original is None else original.names
    subset: bool | None = None
    if isinstance(held, LabelMatrix):
        drawn, wrong = by_column(*rows_by_class(held.labels)), []
        if original is not None:
            wrong = multilabel.wrong_labels(held.labels, original.labels)
            if held.images and names is not None and list(held.images) != list(names):
                wrong.append(f"names other images than {original.path}")
            subset = not wrong
        names = held.images or names
    elif names is not None:
        drawn, wrong = _match_list(held, labels_of)
        subset = not wrong
    else:
        drawn = by_class(held.images, held.classes)
        twice = [name for name, count in Counter(held.images).items() if count > 1]
        wrong = [f"holds {name} more than once" for name in twice]
    counts = None if original is None else original.counts
    problems = _shorten(wrong_counts(drawn, found.size, counts, multi_label=found.multi_label))
    problems += _shorten(wrong)
    if index is not None and (text := wrong_index(index, found, drawn, original, names)):
        problems.append(f"{found.files['index']} {text}")
    redrawn = None
    if subset and original is not None and draws is not None:
        redrawn = original.draw(draws, found.size, found.sample) == drawn
    if redrawn is False:
        problems.append("is not what the manifest's seed draws")
    ones = [len(rows) for rows, _ in drawn.values()]
    zeros = [len(rows) for _, rows in drawn.values()]
    whole = counts is not None and sorted(ones) == sorted(counts.positives.tolist())
    if whole and counts is not None and counts.negatives is not None:
        whole = zeros == counts.negatives.tolist()
    return Sample(
        **known,
        classes=len(drawn),
        positives=sum(ones),
        negatives=sum(zeros) if found.multi_label else None,
        subset=subset,
        redrawn=redrawn,
        whole=whole,
        content=hashlib.sha256(repr(drawn).encode()).hexdigest(),
        problems=tuple(f"{found.main}: {text}" for text in problems),
    )


def _shorten(texts: list[str]) -> list[str]:
    more = [f"and {len(texts) - _SHOWN} more like this"] if len(texts) > _SHOWN else []
    return [*texts[:_SHOWN], *more]
