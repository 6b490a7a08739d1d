"""`lowshot identify`: which published split a file is, by its content; lists of images as text.

`published_splits.tsv` holds facts about published splits (hashes, counts, where they are), not the
splits. A `.npy` or JSON of target matrices is known by its numbers (C order, little-endian int32),
a list of images by its lines, whatever their ends and with or without folders before the names.
"""

from __future__ import annotations

import csv
import hashlib
from collections import Counter
from collections.abc import Sequence
from importlib import resources
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sslprep.errors import ParameterError
from sslprep.input_files import sha256_of
from sslprep.lowshot.labels import (
    ImageList,
    class_of,
    is_json,
    promised_k,
    read_class_ids,
    read_label_matrix,
    read_list,
)
from sslprep.npy import read_array
from sslprep.parameters import command
from sslprep.partition import PRESENT
from sslprep.results import result, table


@result
class Identified:
    """What is known of one file.

    Attributes:
        file: The file.
        published: Published splits that it is, by source and name.
        images: Rows or lines.
        classes: How many classes; 0: it does not tell.
        least: Images (of a matrix: positives) of the class that has fewest.
        most: The same of the class that has most.
        repeated: Lines that stand there before.
        inside: Other files given that hold all its images.
        notes: What else is to be known.
        sha256: SHA-256 of the file.
    """

    file: Path
    published: tuple[str, ...]
    images: int
    classes: int
    least: int
    most: int
    repeated: int
    inside: tuple[Path, ...]
    notes: tuple[str, ...]
    sha256: str


@result
class IdentifyResult:
    """What is known of each file, in the order given."""

    files: tuple[Identified, ...]

    def text(self) -> str:
        """Lay the counts out as a table, then say of each file what it is."""
        rows = [
            (f.file, f.images, f.classes or "-", f.least, f.most, f.repeated) for f in self.files
        ]
        heads = ("file", "images", "classes", "least a class", "most a class", "repeated")
        lines = [table(heads, rows), ""]
        for f in self.files:
            texts = [f"is {name}" for name in f.published] or ["is no published split known here"]
            texts += [f"all its images are in {other}" for other in f.inside]
            lines += [f"{f.file}: {text}" for text in (*texts, *f.notes)]
        return "\n".join(lines)


@command()
def identify(files: tuple[Path, ...]) -> IdentifyResult:
    """Name published splits by their content, and tell what is in any other list or sample.

    Known are the VOC2007 low-shot samples of Goyal et al. 2019, the ImageNet subsets of SimCLR and
    MSN, and the subsets of SuNCEt.

    Args:
        files: Lists of images (text, or .npy of strings), class ids (.npy), or target matrices
            (.npy or JSON).

    Returns:
        For each file the published splits that it is, counts by class, repeated images, and which
        of the other files hold all its images.

    Raises:
        AnnotationError: A text or JSON of another kind.
        ArrayError: A .npy file of another kind.
    """
    if not files:
        raise ParameterError("no files are given")
    read = [_read(path) for path in files]
    return IdentifyResult(
        files=tuple(
            _identify(path, one, files, read) for path, one in zip(files, read, strict=True)
        )
    )


def _read(path: Path) -> ImageList | NDArray[np.int8] | NDArray[np.int64]:
    if is_json(path):
        return read_label_matrix(path).labels
    if path.suffix.lower() != ".npy":
        return read_list(path)
    array = read_array(path, kinds="iuU")
    if array.dtype.kind == "U":
        images = array.ravel().tolist()
        return ImageList(images=images, classes=[class_of(image) for image in images])
    return read_label_matrix(path).labels if array.ndim == 2 else read_class_ids(path)


def _identify(
    path: Path,
    read: ImageList | NDArray[np.int8] | NDArray[np.int64],
    files: Sequence[Path],
    others: Sequence[ImageList | NDArray[np.int8] | NDArray[np.int64]],
) -> Identified:
    digest = sha256_of(path)
    repeated, inside = 0, []
    if isinstance(read, ImageList):
        rows, names = len(read.images), set(read.names)
        repeated = rows - len(names)
        counts = list(Counter(read.classes).values()) if all(read.classes) else []
        inside = [
            file
            for file, other in zip(files, others, strict=True)
            if other is not read and isinstance(other, ImageList) and names <= set(other.names)
        ]
        found, how = _published_list(read, digest)
    else:
        rows = len(read)
        counts = (read == PRESENT).sum(axis=0).tolist() if read.ndim == 2 else _counts(read)
        content = content_of(read) if read.ndim == 2 else None
        found = [row for row in published_splits() if row["sha256_of_content"] == content]
        how = ""
    least, most = (min(counts), max(counts)) if counts else (0, 0)
    notes = [how] if how else []
    names = {PurePosixPath(row["file"]).name for row in found}
    if found and path.name not in names and not (how or is_json(path)):
        notes.append("has another name there")
    if (k := promised_k(path)) and {least, most} != {k}:
        holds = str(least) if least == most else f"{least} to {most}"
        notes.append(f"its name says {k} images a class, and it holds {holds}")
    return Identified(
        file=path,
        published=tuple(f"{row['source']} {row['file']}" for row in found),
        images=rows,
        classes=len(counts),
        least=least,
        most=most,
        repeated=repeated,
        inside=tuple(inside),
        notes=tuple(notes),
        sha256=digest,
    )


def _counts(labels: NDArray[Any]) -> list[int]:
    counts: list[int] = np.unique(labels, return_counts=True)[1].tolist()
    return counts


def content_of(labels: NDArray[Any]) -> str:
    """Return the SHA-256 of labels as the registry has it: little-endian int32 in C order."""
    return hashlib.sha256(np.ascontiguousarray(labels, "<i4").tobytes()).hexdigest()


def published_splits() -> list[dict[str, str]]:
    """Read the registry: source, file, counts and hashes of every split known."""
    text = resources.files(__package__).joinpath("published_splits.tsv").read_text("utf-8")
    return list(csv.DictReader(text.splitlines(), delimiter="\t"))


def _published_list(read: ImageList, digest: str) -> tuple[list[dict[str, str]], str]:
    """Look a list up by its bytes, then by its lines with all that does not matter taken away."""
    forms = {"with other line ends": read.images, "with folders before the names": read.names}
    for how, lines in {"": [], **forms}.items():
        data = "".join(f"{line}\n" for line in lines).encode("utf-8", "surrogateescape")
        digest = hashlib.sha256(data).hexdigest() if how else digest
        if found := [row for row in published_splits() if row["sha256_of_file"] == digest]:
            return found, f"the same lines {how}" if how else ""
    return [], ""
