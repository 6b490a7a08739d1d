"""Reading every image of finished partitions, to know before training what cannot be read."""

from __future__ import annotations

import contextlib
import os
import re
import stat
import struct
import tempfile
import warnings
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from sslprep import console
from sslprep.atomic import OutputSet
from sslprep.errors import WorkersLostError
from sslprep.executors import Loss, completed, open_executor, working_on
from sslprep.image_files import IMAGE_FORMATS
from sslprep.input_files import sha256_of
from sslprep.parameters import Positive, command
from sslprep.partition import IMAGES, find_partitions, image_root, read_partition
from sslprep.partition.images import nearest
from sslprep.results import result, table

Problem = Literal["missing", "unreadable", "truncated", "extraneous", "suffix", "mode"]
PROBLEMS: dict[Problem, str] = {
    "missing": "no such file",
    "unreadable": "not an image, or damaged",
    "truncated": "the file ends in the middle of the image",
    "extraneous": "a JPEG with bytes that do not belong there; it reads all the same",
    "suffix": "another format than the suffix says; it reads all the same",
    "mode": "not RGB; it reads, and training converts it",
}
FATAL: tuple[Problem, ...] = ("missing", "unreadable", "truncated")

_FORMATS = [*sorted(set(IMAGE_FORMATS.values())), "DIB", "ICO", "PCX", "SGI", "TGA"]
"""Formats that Pillow reads by itself. Others, such as EPS, would start a program."""
_CHUNK = 256
_MOST_LOST = 10


_Rows = tuple[int, list[str]]
"""The first row of consecutive images, and their paths as stored."""


class Finding(msgspec.Struct, frozen=True):
    """One problem of one image: its row, path as stored, kind, and particulars."""

    row: int
    image: str
    problem: Problem
    detail: str


def inspect_image(path: Path) -> list[tuple[Problem, str]]:
    """Read one image whole and return what is wrong with it.

    Example:
        >>> inspect_image(Path("no/such.jpg"))
        [('missing', 'no such file')]
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            return [("unreadable", "not a regular file")]
        if not status.st_size:
            return [("unreadable", "empty")]
    except (FileNotFoundError, NotADirectoryError):
        return [("missing", "no such file")]
    except OSError as error:
        return [("unreadable", error.strerror or str(error))]
    return _decode(path)


def _decode(path: Path) -> list[tuple[Problem, str]]:
    from PIL import Image, UnidentifiedImageError

    extraneous = None
    try:
        with warnings.catch_warnings(), _captured() as said:
            warnings.simplefilter("ignore")  # odd EXIF data, large images: not our question
            with Image.open(path, formats=_FORMATS) as image:
                kind, mode = image.format, image.mode
                if kind != "JPEG" or not _opencv_reads(path) or os.fstat(said).st_size:
                    # JPEG: all data is read, but only an eighth of the pixels computed.
                    image.draft(None, (1, 1))
                    image.load()
                extraneous = re.search(rb"\d+ extraneous bytes[ -~]*", os.pread(said, 4096, 0))
    except UnidentifiedImageError:
        return [("unreadable", "not an image")]
    except Image.DecompressionBombError as error:
        return [("unreadable", str(error))]
    except (
        ArithmeticError,
        AttributeError,
        EOFError,
        LookupError,
        MemoryError,
        OSError,
        SyntaxError,
        TypeError,
        ValueError,
        struct.error,
        zlib.error,
    ) as error:  # what Pillow's readers raise on damaged files
        cut = isinstance(error, EOFError) or "truncated" in str(error).lower()
        return [("truncated" if cut else "unreadable", str(error) or type(error).__name__)]
    found: list[tuple[Problem, str]] = []
    if extraneous:
        found.append(("extraneous", extraneous[0].decode()))
    expected = IMAGE_FORMATS.get(path.suffix.lower())
    # MPO is a JPEG with further pictures after it, DIB a BMP without its first bytes.
    actual = {"MPO": "JPEG", "DIB": "BMP"}.get(kind or "", kind)
    if actual != expected:
        found.append(("suffix", f"a {actual} file"))
    if mode != "RGB":
        found.append(("mode", mode))
    return found


@contextlib.contextmanager
def _captured() -> Iterator[int]:
    """Keep what decoders write on standard error from the screen; yield a file with it."""
    with tempfile.TemporaryFile() as file:
        before = os.dup(2)
        os.dup2(file.fileno(), 2)
        try:
            yield file.fileno()
        finally:
            os.dup2(before, 2)
            os.close(before)


def _opencv_reads(path: Path) -> bool:
    """Decode a JPEG by OpenCV, where it is installed: its libjpeg tells of extraneous bytes."""
    try:
        import cv2
    except ImportError:
        return False
    return cv2.imread(str(path), cv2.IMREAD_REDUCED_GRAYSCALE_8) is not None


def inspect_images(rows: _Rows, root: Path) -> list[Finding]:
    """Inspect consecutive images."""
    findings = []
    for row, path in enumerate(rows[1], rows[0]):
        working_on(row)
        findings += [Finding(row, path, *found) for found in inspect_image(root / path)]
    return findings


@result
class CheckResult:
    """What `check` found.

    Attributes:
        images: How many images the partitions list.
        counts: How many images have each problem.
        findings: All problems, in row order.
        written: The report of each partition.
        note: What may be wrong, where images are missing.
    """

    images: int
    counts: dict[str, int]
    findings: tuple[Finding, ...]
    written: tuple[Path, ...]
    note: str | None = None

    @property
    def ok(self) -> bool:
        """Whether every image can be read; wrong suffixes and modes are only notes."""
        return not any(self.counts[problem] for problem in FATAL)

    def text(self) -> str:
        """Lay out the counts, and the first images with problems."""
        rows = [(name, self.counts[name], meaning) for name, meaning in PROBLEMS.items()]
        missing = self.counts["missing"]
        lines = [
            f"{self.images:,} images listed: {self.images - missing:,} read, {missing:,} missing",
            *([self.note] if self.note else []),
            table(("problem", "images", "meaning"), rows),
        ]
        worst = sorted(self.findings, key=lambda f: f.problem not in FATAL)
        if worst:
            shown = [(f.problem, f.row, f.image, f.detail) for f in worst[:20]]
            lines += ["", table(("problem", "row", "image", "detail"), shown)]
        if len(worst) > 20:
            lines.append(f"… and {len(worst) - 20:,} more")
        lines += [f"all of them: {path}" for path in self.written]
        return "\n".join(lines)


@command(renamed={"output_dir": "output"})
def check_images(
    folder: Path,
    output: Path | None = None,
    *,
    partitions: tuple[str, ...] | None = None,
    root: Path | None = None,
    jobs: Positive | None = None,
    scheduler: str | None = None,
    worker_timeout: Annotated[float, Meta(gt=0)] = 600.0,
    overwrite: bool = False,  # noqa: ARG001
) -> CheckResult:
    """Read every image of finished partitions and report those that are missing or damaged.

    The partitions and the images stay as they are; the report is `<partition>.check.json`.

    Args:
        folder: Folder of the partitions.
        output: Folder for the reports; by default that of the partitions.
        partitions: Which partitions; by default all of the folder.
        root: Folder that relative image paths start from; by default where they started when
            the partition was written, whatever the working folder is now.
        jobs: Number of processes; all cores by default.
        scheduler: Address of a Dask scheduler to work on.
        worker_timeout: Seconds that a worker may take for one image; then it is unreadable.
        overwrite: Not needed any more: earlier reports are replaced.

    Returns:
        Counts and findings; `ok` is false (exit code 1) where an image cannot be read.

    Raises:
        DatasetError: No finished partition.
        OutputError: A report cannot be written.
        WorkersLostError: None can be started, or too many died or hung.
    """
    finished = {n: read_partition(folder, n) for n in find_partitions(folder, partitions)}
    target = output or folder
    total = sum(len(part.images) for part in finished.values())
    every: list[Finding] = []
    note = None
    names = {name: f"{name}.check.json" for name in finished}
    with OutputSet(target, names.values(), manifests=[], lock="check", overwrite=True) as out:
        with (
            console.progress(total, "images") as advance,
            open_executor(jobs, scheduler) as executor,
        ):
            for name, part in finished.items():
                place = root.absolute() if root else image_root(folder, name)
                work = partial(inspect_images, root=place)
                run = partial(completed, work, executor=executor, timeout=worker_timeout)
                findings = _inspect(part.images, run, advance)
                gone = next((f.image for f in findings if f.problem == "missing"), None)
                near = nearest(place / gone) if gone else None
                note = note or (f"{gone} is missing; {near}" if near else None)
                report = {
                    "partition": name,
                    "images": len(part.images),
                    "images_sha256": sha256_of(folder / (name + IMAGES)),
                    "counts": _count(findings),
                    "findings": findings,
                }
                out.save_json(names[name], report)
                every += findings
        out.commit()
    return CheckResult(
        images=total,
        counts=_count(every),
        findings=tuple(every),
        written=tuple(target / name for name in names.values()),
        note=note,
    )


def _inspect(
    images: NDArray[np.str_],
    run: Callable[..., Iterator[tuple[_Rows, list[Finding]]]],
    advance: Callable[[int], None],
) -> list[Finding]:
    """Inspect all images; one that ends its worker, or takes too long, is unreadable."""
    findings: list[Finding] = []
    starts = range(0, len(images), _CHUNK)
    chunks: Iterable[_Rows] = ((at, images[at : at + _CHUNK].tolist()) for at in starts)
    lost: list[Loss] = []
    deadly: list[Loss] = []
    for losses in (lost, deadly):
        for (_, paths), found in run(_while_few(losses, chunks), lost=losses):
            findings += found
            advance(len(paths))
        # Those of a lost worker once more, each alone.
        chunks = [(at + n, [path]) for (at, paths), *_ in lost for n, path in enumerate(paths)]
    for (row, (path,)), how, _ in deadly:
        findings.append(Finding(row, path, "unreadable", f"its worker was lost: {how}"))
    return sorted(findings, key=lambda finding: finding.row)


def _while_few(lost: list[Loss], chunks: Iterable[_Rows]) -> Iterator[_Rows]:
    """Yield chunks until so many workers are lost that no single image is to blame."""
    for chunk in chunks:
        if len(lost) >= _MOST_LOST:
            raise WorkersLostError(
                f"{len(lost)} workers were lost ({lost[-1].how})",
                remedy="Use fewer --jobs if memory ran out, a longer --worker-timeout if files "
                "are slow to read; then run the command again.",
            )
        yield chunk


def _count(findings: list[Finding]) -> dict[str, int]:
    counts = Counter(finding.problem for finding in findings)
    return {problem: counts[problem] for problem in PROBLEMS}
