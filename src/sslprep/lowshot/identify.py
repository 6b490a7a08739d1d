"""`lowshot identify`: which published split a file is, by its content.

`published_splits.tsv` holds hashes and counts, not the splits. A target matrix is known by its
numbers (C order, little-endian int32), a list of images by its lines, whatever their ends and with
or without folders before the names.
"""

from __future__ import annotations

import csv
import hashlib
from collections import Counter
from collections.abc import Mapping
from importlib import resources
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sslprep import partition
from sslprep.input_files import sha256_of
from sslprep.lowshot.labels import (
    ImageList,
    class_of,
    classes_of,
    promised_k,
    read_class_ids,
    read_label_matrix,
    read_list,
)
from sslprep.npy import read_array
from sslprep.parameters import command
from sslprep.results import result, table

Labels = NDArray[np.signedinteger[Any]]


@result
class Identified:
    """What is known of one file."""

    file: Path  #: the file
    published: tuple[str, ...]  #: published splits that it is, by source and name
    images: int  #: rows or lines
    classes: int  #: how many classes; 0: it does not tell
    least: int  #: images (of a matrix: positives) of the class that has fewest
    most: int  #: the same of the class that has most
    repeated: int  #: lines that stand there before
    inside: tuple[Path, ...]  #: other files given that hold all its images
    notes: tuple[str, ...]  #: what else is to be known
    sha256: str  #: SHA-256 of the file


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
def identify_splits(files: tuple[Path, ...]) -> IdentifyResult:
    """Name published splits by their content, and tell what is in any other list or sample.

    Known are the VOC2007 samples of Goyal et al. 2019 and the subsets of SimCLR, MSN and SuNCEt.

    Args:
        files: Lists of images (text, or .npy of strings), class ids (.npy), or target matrices
            (.npy or JSON).

    Raises:
        SslprepError: A file of another kind.
    """
    known = {path: _read(path) for path in files}
    return IdentifyResult(files=tuple(_identify(path, held, known) for path, held in known.items()))


def _read(path: Path) -> ImageList | Labels:
    if path.suffix.lower() == ".json":
        return partition.read_targets(path).labels
    if path.suffix.lower() != ".npy":
        return read_list(path)
    array = read_array(path, kinds="iuU", mmap=True)
    if array.dtype.kind == "U":
        images = read_array(path, ndim=1, kinds="U").tolist()
        return ImageList(images, [class_of(image) for image in images])
    return read_label_matrix(path).labels if array.ndim == 2 else read_class_ids(path)


def _identify(
    path: Path, held: ImageList | Labels, known: Mapping[Path, ImageList | Labels]
) -> Identified:
    digest = sha256_of(path)
    repeated, inside, notes = 0, [], []
    if isinstance(held, ImageList):
        images, counts = len(held.images), [*Counter(held.classes).values()]
        counts = counts if all(held.classes) else []
        repeated = images - len(set(held.images))
        others = {p: other for p, other in known.items() if isinstance(other, ImageList)}
        inside = [p for p, other in others.items() if other is not held and _holds(other, held)]
        published, how = _published_list(held, digest)
        notes += [how] if how else []
    else:
        images, counts = len(held), [len(rows) for rows in classes_of(held).positives]
        content = hashlib.sha256(np.ascontiguousarray(held, "<i4").tobytes()).hexdigest()
        published = [row for row in published_splits() if row["sha256_of_content"] == content]
    names = {PurePosixPath(row["file"]).name for row in published}
    if published and path.name not in names and not notes and path.suffix.lower() != ".json":
        notes.append("has another name there")
    least, most = (min(counts), max(counts)) if counts else (0, 0)
    if (k := promised_k(path.name)) and {least, most} != {k}:
        holds = str(least) if least == most else f"{least} to {most}"
        notes.append(f"its name says {k} images a class, and it holds {holds}")
    return Identified(
        file=path,
        published=tuple(f"{row['source']} {row['file']}" for row in published),
        images=images,
        classes=len(counts),
        least=least,
        most=most,
        repeated=repeated,
        inside=tuple(inside),
        notes=tuple(notes),
        sha256=digest,
    )


def _holds(whole: ImageList, part: ImageList) -> bool:
    """Tell whether all images of a list are in another, by file names where they are unique."""
    if len({*whole.names}) < len({*whole.images}):
        return {*part.images} <= {*whole.images}
    return {*part.names} <= {*whole.names}


def published_splits() -> list[dict[str, str]]:
    """Read the registry: source, file, counts and hashes of every split known."""
    text = resources.files(__package__).joinpath("published_splits.tsv").read_text("utf-8")
    return list(csv.DictReader(text.splitlines(), delimiter="\t"))


def _published_list(held: ImageList, digest: str) -> tuple[list[dict[str, str]], str]:
    """Look a list up by its bytes, then by its lines with all that does not matter taken away."""
    digests = {digest: ""}
    for how, lines in (("line ends", held.images), ("folders before the names", held.names)):
        data = "".join(f"{line}\n" for line in lines).encode("utf-8", "surrogateescape")
        digests.setdefault(hashlib.sha256(data).hexdigest(), f"the same images but for {how}")
    found = [row for row in published_splits() if row["sha256_of_file"] in digests]
    return found, digests[found[0]["sha256_of_file"]] if found else ""
