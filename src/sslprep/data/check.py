"""Reading every image of finished partitions, to know before training what cannot be read."""

from __future__ import annotations

import stat
import struct
import warnings
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import msgspec

from sslprep import console
from sslprep.data.partition import FinishedPartition, find_partitions, read_partition
from sslprep.executors import map_chunks, open_executor
from sslprep.files import OutputSet, sha256_of

Problem = Literal["missing", "unreadable", "truncated", "suffix", "mode"]
PROBLEMS: dict[Problem, str] = {
    "missing": "no such file",
    "unreadable": "not an image, or damaged",
    "truncated": "the file ends in the middle of the image",
    "suffix": "another format than the suffix says; it reads all the same",
    "mode": "not RGB; it reads, and training converts it",
}
FATAL: tuple[Problem, ...] = ("missing", "unreadable", "truncated")

# Formats that Pillow reads by itself. Others, such as EPS, would start a program.
_FORMATS = ("JPEG", "PNG", "PPM", "BMP", "GIF", "TIFF", "WEBP")
_FORMAT_OF_SUFFIX = {
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".png": "PNG",
    ".ppm": "PPM",
    ".pgm": "PPM",
    ".bmp": "BMP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".webp": "WEBP",
    ".gif": "GIF",
}
_CHUNK = 256


class Finding(msgspec.Struct, frozen=True):
    """One problem of one image: its row, path as stored, kind, and particulars."""

    row: int
    image: str
    problem: Problem
    detail: str


class _Report(msgspec.Struct):
    partition: str
    images: int
    images_sha256: str
    counts: dict[str, int]
    findings: list[Finding]


def inspect_image(path: Path) -> list[tuple[Problem, str]]:
    """Read one image whole and return what is wrong with it.

    Example:
        >>> inspect_image(Path("no/such.jpg"))
        [('missing', 'no such file')]
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return [("unreadable", "not a regular file")]
        if not path.stat().st_size:
            return [("unreadable", "empty")]
    except (FileNotFoundError, NotADirectoryError):
        return [("missing", "no such file")]
    except OSError as error:
        return [("unreadable", error.strerror or str(error))]
    return _decode(path)


def _decode(path: Path) -> list[tuple[Problem, str]]:
    from PIL import Image, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # odd EXIF data, large images: not our question
            with Image.open(path, formats=_FORMATS) as image:
                kind, mode = image.format, image.mode
                # JPEG: all data is read, but only an eighth of the pixels computed.
                image.draft(None, (1, 1))
                image.load()
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
    expected = _FORMAT_OF_SUFFIX.get(path.suffix.lower())
    actual = "JPEG" if kind == "MPO" else kind  # MPO is a JPEG with further pictures after it
    if expected is not None and actual != expected:
        found.append(("suffix", f"a {actual} file"))
    if mode != "RGB":
        found.append(("mode", mode))
    return found


def inspect_images(rows: tuple[int, list[str]], root: Path) -> list[Finding]:
    """Inspect consecutive images; `rows` are the first one's row and the paths as stored."""
    start, paths = rows
    return [
        Finding(start + at, path, problem, detail)
        for at, path in enumerate(paths)
        for problem, detail in inspect_image(root / path)
    ]


@dataclass(frozen=True, kw_only=True)
class CheckResult:
    """What `check` found.

    Attributes:
        images: How many images were read.
        counts: How many images have each problem.
        findings: All problems, in row order.
        written: The report of each partition.
    """

    images: int
    counts: dict[str, int]
    findings: tuple[Finding, ...]
    written: tuple[Path, ...]

    @property
    def ok(self) -> bool:
        """Whether every image can be read; wrong suffixes and modes are only notes."""
        return not any(self.counts[problem] for problem in FATAL)

    def text(self) -> str:
        """Lay out the counts, and the first images with problems."""
        rows = [(name, self.counts[name], meaning) for name, meaning in PROBLEMS.items()]
        lines = [
            f"{self.images:,} images read",
            console.table(("problem", "images", "meaning"), rows),
        ]
        worst = sorted(self.findings, key=lambda f: f.problem not in FATAL)
        if worst:
            shown = [(f.problem, f.row, f.image, f.detail) for f in worst[:20]]
            lines += ["", console.table(("problem", "row", "image", "detail"), shown)]
        if len(worst) > 20:
            lines.append(f"… and {len(worst) - 20:,} more")
        lines += [f"all of them: {path}" for path in self.written]
        return "\n".join(lines)


def _chunks(part: FinishedPartition) -> Iterator[tuple[int, list[str]]]:
    for start in range(0, len(part.images), _CHUNK):
        yield start, part.images[start : start + _CHUNK].tolist()


def check(
    *,
    folder: Path,
    partitions: tuple[str, ...] | None = None,
    root: Path | None = None,
    output_dir: Path | None = None,
    jobs: int | None = None,
    scheduler: str | None = None,
    overwrite: bool = False,
) -> CheckResult:
    """Read every image of finished partitions and report those that are missing or damaged.

    The partitions and the images stay as they are; the report is `<partition>.check.json`.

    Args:
        folder: Folder of the partitions.
        partitions: Which partitions; by default all of the folder.
        root: Folder that relative image paths start from; by default the one that the partition
            was written relative to.
        output_dir: Folder for the reports; by default that of the partitions.
        jobs: Number of processes; all cores by default.
        scheduler: Address of a Dask scheduler to work on.
        overwrite: Replace existing reports.

    Returns:
        Counts and findings; `ok` is false (exit code 1) where an image cannot be read.

    Raises:
        DatasetError: No finished partition.
        OutputError: A report exists, or cannot be written.
    """
    finished = [read_partition(folder, name) for name in find_partitions(folder, partitions)]
    target = output_dir or folder
    names = [f"{part.name}.check.json" for part in finished]
    every: list[Finding] = []
    with OutputSet(target, names, manifests=[], lock="check", overwrite=overwrite) as out:
        with (
            console.progress(sum(len(part.images) for part in finished), "images") as advance,
            open_executor(jobs, scheduler) as executor,
        ):
            for part, name in zip(finished, names, strict=True):
                place = root or Path(part.manifest.parameters.get("relative_to") or "")
                findings: list[Finding] = []
                work = partial(inspect_images, root=place.absolute())
                for at, found in enumerate(map_chunks(work, _chunks(part), executor)):
                    findings += found
                    advance(min(_CHUNK, len(part.images) - at * _CHUNK))
                digest = sha256_of(folder / f"{part.name}_images.npy")
                report = _Report(part.name, len(part.images), digest, _count(findings), findings)
                out.save_json(name, report)
                every += findings
        out.commit()
    return CheckResult(
        images=sum(len(part.images) for part in finished),
        counts=_count(every),
        findings=tuple(every),
        written=tuple(target / name for name in names),
    )


def _count(findings: list[Finding]) -> dict[str, int]:
    counts: dict[Any, int] = dict.fromkeys(PROBLEMS, 0)
    for finding in findings:
        counts[finding.problem] += 1
    return counts
