"""The colour histogram of an image set: one pass, to a 256 × 256 table of (a, b) counts.

Each picture is brought to 256 × 256 pixels and to 8-bit Lab, whose a and b are integers; so this
table holds all that bins and priors of any size need. Tables add up, so chunks may be counted in
any order: the state of a pass is its table and the set of finished chunks.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import logging
import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from sslprep import console, executors, manifest
from sslprep.atomic import MANIFEST_SUFFIX, OutputSet
from sslprep.color.counting import (
    Counts,
    Settings,
    count_chunk,
    count_watched,
    versions,
)
from sslprep.color.decoding import opencv
from sslprep.color.images import Chunk, Images, open_images, partition_of
from sslprep.color.resume import Pass
from sslprep.errors import (
    ArrayError,
    ImagesError,
    ParameterError,
    WorkersLostError,
)
from sslprep.input_files import sha256_of
from sslprep.npy import read_array
from sslprep.parameters import NotNegative, Positive, command
from sslprep.results import result

logger = logging.getLogger(__name__)

KIND = "color-histogram"
ENDS = (".npy", "_groups.npy", "_unreadable.json", MANIFEST_SUFFIX)
"""After `ab_histogram_{type}_{dataset}`: table, those of a sample's groups, list, manifest."""
SAVE_EVERY = 30.0
"""Seconds between two saves of an unfinished pass."""

Share = Annotated[float, Meta(ge=0, le=1)]
Part = Annotated[float, Meta(gt=0, lt=1)]
Side = Annotated[int, Meta(ge=1, le=4096)]
Seconds = Annotated[float, Meta(gt=0)]


def read_table(path: Path, groups: int = 0) -> NDArray[np.int64]:
    """Read and check a histogram, or with `groups` the tables of a sample's groups.

    Returns:
        int64 [256, 256] or [groups, 256, 256]; `table[a + 128, b + 128]` pixels.

    Raises:
        ArrayError: Not such a table, a count below 0, or no count at all.
    """
    found = read_array(path, kinds="iu")
    shape = (groups, 256, 256) if groups else (256, 256)
    if found.shape != shape:
        raise ArrayError(
            f"got shape {found.shape}",
            where=path,
            expected=f"{shape}: what `sslprep color histogram` writes",
        )
    limit = 2**62  # a sum of tables still fits
    if found.min() < 0 or found.max() > limit or not 0 < found.sum(dtype=object) < limit:
        raise ArrayError(
            "the counts are impossible",
            where=path,
            expected="counts of at least one pixel, none below 0",
        )
    return found.astype(np.int64)


def name_of(images: str, type: str | None, dataset: str | None) -> tuple[str, str]:
    """Return `--type` and `--dataset`: as given, else as the list's manifest says.

    Raises:
        ParameterError: One cannot be part of a file name.
    """
    part = partition_of(images)
    if part is not None:
        source = str(part[1].details.get("dataset", ""))
        short = re.sub(r"^voc20(\d\d)$", r"voc\1", re.sub(r"[^\w.-]+", "-", source).lower())
        return check_names(type or part[0], dataset or short or "imagenet")
    return check_names(type or "train", dataset or "imagenet")


def check_names(type: str, dataset: str) -> tuple[str, str]:
    """Return both, which are to be part of file names.

    Raises:
        ParameterError: One cannot be.
    """
    for flag, value in (("type", type), ("dataset", dataset)):
        if "/" in value or "\\" in value or not value.isprintable():
            raise ParameterError(
                f"--{flag} is {value!r}",
                expected="a word for the file names, such as train or imagenet",
            )
    return type, dataset


@dataclass(frozen=True, kw_only=True)
class Where:
    """Where the pass is worked on; see `histogram`."""

    jobs: int | None
    scheduler: str | None
    timeout: float


def count(source: Images, state: Pass, settings: Settings, where: Where) -> None:
    """Count all chunks that are not finished, saving as it goes.

    Raises:
        ImagesError: The workers were lost.
    """
    todo = (chunk for chunk in source.chunks() if not state.has(chunk.number))
    lost: executors.Lost = []
    total = None if source.total is None else round(source.total * (settings.sample or 1))
    try:
        with (
            executors.open_executor(where.jobs, where.scheduler) as executor,
            console.progress(total, "images", done=state.total) as advance,
        ):
            work = functools.partial(count_chunk, settings)
            results = executors.completed(work, todo, executor, timeout=where.timeout, lost=lost)
            _take(results, state, advance)
            # One after the other, each in a process of its own: here, or on the cluster.
            again = functools.partial(count_watched, settings, where.timeout)
            place = executor if isinstance(executor, executors.Dask) else None
            _take(executors.completed(again, [chunk for chunk, _ in lost], place), state, advance)
    except WorkersLostError as error:
        raise ImagesError(
            f"the workers were lost after {state.total:,} images ({error})",
            remedy="What was counted is kept; run the command again to go on.",
        ) from error


def _take(
    results: Iterable[tuple[Chunk, Counts]], state: Pass, advance: Callable[[int], None]
) -> None:
    saved = time.monotonic()
    unsaved = False
    try:
        for chunk, counts in results:
            state.add(chunk, counts)
            unsaved = True
            advance(counts.images)
            if time.monotonic() - saved >= SAVE_EVERY:
                state.save()
                saved, unsaved = time.monotonic(), False
    finally:
        if unsaved:  # also on Ctrl-C or lost workers: what is counted is not counted again
            state.save()


@result
class HistogramResult:
    """What the pass found.

    Attributes:
        written: The files.
        images: Images in the list, or drawn from it.
        unreadable: Those that could not be read; they are in `…_unreadable.json`.
        truncated: Those whose end is missing; counted, and listed there too.
        pixels: Pixels counted.
        resumed_after: Images that an earlier, unfinished run had counted.
        warnings: What else to know.
    """

    written: tuple[Path, ...]
    images: int
    unreadable: int
    truncated: int
    pixels: int
    resumed_after: int
    warnings: tuple[str, ...] = ()

    def text(self) -> str:
        """Say it in a few lines."""
        lines = [f"images: {self.images:,}, pixels: {self.pixels:,}"]
        if self.resumed_after:
            lines.append(f"of these, {self.resumed_after:,} images by an earlier run")
        if self.unreadable or self.truncated:
            listed = next(path for path in self.written if path.suffix == ".json")
            lines.append(
                f"unreadable: {self.unreadable:,}, truncated: {self.truncated:,}, see {listed}"
            )
        return "\n".join([*lines, *(f"wrote {path}" for path in self.written)])


def make_histogram(
    images: str,
    output: Path,
    *,
    type: str,
    dataset: str,
    root: Path | None,
    settings: Settings,
    max_unreadable: float,
    where: Where,
    recount: bool,
    overwrite: bool,
    hash_inputs: bool,
    reuse: bool = False,
) -> HistogramResult:
    """Make a histogram; see `histogram`, and for `reuse` see `color generate`."""
    opencv()
    stem = f"ab_histogram_{type}_{dataset}"
    table, groups, unreadable, record = (stem + end for end in ENDS)
    inputs = manifest.Inputs(hash_inputs=hash_inputs)

    @functools.cache
    def source() -> tuple[Images, str, Pass]:
        found = open_images(images, root, inputs)
        bearing = (found.identity, settings, versions()["opencv"])
        identity = hashlib.sha256(msgspec.json.encode(bearing)).hexdigest()
        state = Pass(output, stem, settings.groups, f"{identity}, {found.layout}")
        return found, identity, state

    def outputs(*, overwrite: bool) -> OutputSet:
        sampled = settings.sample is not None
        return OutputSet(
            output,
            [table, unreadable, *([groups] if sampled else [])],
            manifests=[record],
            overwrite=overwrite,
            also_replaces=() if sampled else [groups],
        )

    if reuse and (output / record).is_file():
        _, identity, state = source()
        if found := _finished(output / record, identity, max_unreadable):
            if state.file.exists():  # of a run that was stopped just after it had finished
                with outputs(overwrite=True):
                    state.remove()
            return found
    with outputs(overwrite=overwrite) as out:
        found_images, identity, state = source()
        if recount:
            state.remove()
        else:
            state.load(give_up=overwrite)
        resumed_after = state.total
        count(found_images, state, settings, where)
        _check_share(state, images, max_unreadable)
        warnings = _warnings(state, settings)
        out.save_array(table, state.tables.sum(0))
        if settings.sample is not None:
            out.save_array(groups, state.tables)
        with out.create(unreadable) as file:
            before = b"["
            for index, entry in state.listed():
                line = {"index": index, "path": entry.path, "reason": entry.reason}
                file.write(
                    before + b"\n  " + msgspec.json.encode({**line, "counted": entry.counted})
                )
                before = b","
            file.write(b"[]\n" if before == b"[" else b"\n]\n")
        manifest.write(
            out,
            record,
            kind=KIND,
            command="color histogram",
            parameters={
                "type": type,
                "dataset": dataset,
                "images": images,
                "root": root,
                "global_resize_img": settings.side,
                "fast_decode": settings.fast_decode,
                "strict_decode": settings.strict_decode,
                "sample": settings.sample,
            },
            inputs=found_images.records(),
            seed=None if settings.sample is None else settings.seed,
            generator=None if settings.sample is None else "numpy PCG64 of (seed, chunk)",
            counts={
                "images": state.total,
                "readable": state.total - state.unreadable,
                "unreadable": state.unreadable,
                "truncated": state.truncated,
                "pixels": int(state.tables.sum()),
                "pixels_per_image": settings.side**2,
            },
            warnings=warnings,
            details={
                "identity": identity,
                "opencv": versions()["opencv"],
                "table": "int64 [256, 256]; axis 0 is a + 128, axis 1 is b + 128 (8-bit CIE Lab)",
            },
        )
        out.commit()
        state.remove()
    return HistogramResult(
        written=tuple(output / file.name for file in out.written),
        images=state.total,
        unreadable=state.unreadable,
        truncated=state.truncated,
        pixels=int(state.tables.sum()),
        resumed_after=resumed_after,
        warnings=warnings,
    )


def _finished(path: Path, identity: str, max_unreadable: float) -> HistogramResult | None:
    """Return the histogram of the same images and parameters that is there already."""
    record = manifest.read(path)
    if record.kind != KIND or record.details.get("identity") != identity:
        return None
    for entry in record.outputs:
        file = path.with_name(entry.file)
        if not file.is_file() or sha256_of(file) != entry.sha256:
            return None
    share = record.counts["unreadable"] / record.counts["images"]
    if share > max_unreadable:
        raise ImagesError(
            f"the histogram that is there lacks {100 * share:.2g} % of the images as unreadable",
            where=path,
            expected=f"at most {100 * max_unreadable:.4g} %",
            remedy="Raise --max-unreadable, or repair the images and pass --recount.",
        )
    logger.info(
        "using %s, made from the same list with the same parameters; "
        "--recount counts the images again",
        path.with_name(record.outputs[0].file),
    )
    known = ("images", "unreadable", "truncated", "pixels")
    return HistogramResult(
        written=(),
        resumed_after=0,
        warnings=tuple(record.warnings),
        **{name: record.counts[name] for name in known},
    )


def _check_share(state: Pass, images: str, max_unreadable: float) -> None:
    """Refuse a pass with too many unreadable images.

    Raises:
        ImagesError: More than `max_unreadable`, or not one was readable.
    """
    if state.unreadable == state.total:
        first = [entry for _, entry in itertools.islice(state.listed(), 3)]
        examples = "; ".join(f"{entry.path}: {entry.reason}" for entry in first)
        state.remove()
        raise ImagesError(
            f"none of {state.total:,} images can be read ({examples or 'there is none'})",
            where=images,
            remedy="Check the paths: entries are used as they are, from the current folder "
            "or from --root.",
        )
    share = state.unreadable / state.total
    if share > max_unreadable:
        raise ImagesError(
            f"{state.unreadable:,} of {state.total:,} images cannot be read "
            f"({100 * share:.2g} %), listed in {state.journal}",
            where=images,
            expected=f"at most {100 * max_unreadable:.4g} %",
            remedy="The table is kept: raise --max-unreadable to accept it without a new pass, "
            "or repair the images and pass --recount.",
        )


def _warnings(state: Pass, settings: Settings) -> tuple[str, ...]:
    warnings = []
    if state.unreadable:
        warnings.append(f"{state.unreadable:,} of {state.total:,} images were unreadable")
    if state.truncated:
        warnings.append(f"{state.truncated:,} images are truncated and were counted")
    if settings.fast_decode:
        warnings.append("--fast-decode: JPEGs were shrunk while decoding; counts are not exact")
    if settings.sample is not None:
        warnings.append(f"--sample: {state.total:,} images, {100 * settings.sample:.4g} % of all")
    for warning in warnings:
        logger.warning("%s", warning)
    return tuple(warnings)


@command(renamed={"data_file": "images", "output_path": "output"})
def histogram(
    images: str | Path,
    output: Path,
    *,
    type: str | None = None,
    dataset: str | None = None,
    root: Path | None = None,
    global_resize_img: Side = 256,
    sample: Part | None = None,
    seed: NotNegative = 0,
    fast_decode: bool = False,
    strict_decode: bool = False,
    max_unreadable: Share = 0.01,
    recount: bool = False,
    jobs: Positive | None = None,
    scheduler: str | None = None,
    worker_timeout: Seconds = 600.0,
    overwrite: bool = False,
    hash_inputs: bool = False,
) -> HistogramResult:
    """Count the colours of all images into one table, from which bins of every size follow.

    Writes `ab_histogram_{type}_{dataset}.npy` (int64 [256, 256]), the list of unreadable images
    and a manifest. A killed run goes on where it was when it is started again with the same
    arguments, with any number of cores.

    Args:
        images: The images: a list of paths or URLs (.npy, csv, JSON lines, Parquet, or one a
            line), a folder, a tar shard, a list or folder of tar shards, or a pattern such as
            set-{000..146}.tar; itself a path or a URL.
        output: Folder to write into.
        type: Part of the data set, for the file names; the list's partition or else train.
        dataset: Name of the data set, for the file names; the list's own or else imagenet.
        root: Folder that relative paths of a list start from; by default the one that the
            list was written relative to, else the current one.
        global_resize_img: Side in pixels that each image is brought to, aspect not kept.
        sample: Share of the images to draw at random and count, such as 0.05; all by default.
        seed: Seed of the draw.
        fast_decode: Let JPEGs be shrunk while decoding, where that is near enough; not exact.
        strict_decode: Leave out JPEGs whose end is missing, which OpenCV decodes in part.
        max_unreadable: Largest share of unreadable images, 0 to 1; above it nothing is written.
        recount: Count from the start, even where an unfinished or finished pass is there.
        jobs: Number of processes; all cores if not given.
        scheduler: Address of a Dask scheduler to work on, such as tcp://host:8786.
        worker_timeout: Seconds after which a worker that says nothing of its 512 images (or its
            shard) is given up, and they are counted by another.
        overwrite: Replace existing files.
        hash_inputs: Hash the list also when it is above 1 GB.

    Returns:
        Numbers of images and pixels, and the files.

    Raises:
        ImagesError: No such list, no readable image, or too many unreadable ones.
        ParameterError: A parameter out of range, or no such scheduler.
        OutputError: A file exists, or another run writes here.
        MissingExtraError: OpenCV, Dask or fsspec is needed and not installed.
    """
    images = str(images)
    kind, dataset = name_of(images, type, dataset)
    return make_histogram(
        images,
        output,
        type=kind,
        dataset=dataset,
        root=root,
        settings=Settings(
            side=global_resize_img,
            fast_decode=fast_decode,
            strict_decode=strict_decode,
            sample=sample,
            seed=seed,
        ),
        max_unreadable=max_unreadable,
        where=Where(jobs=jobs, scheduler=scheduler, timeout=worker_timeout),
        recount=recount,
        overwrite=overwrite,
        hash_inputs=hash_inputs,
    )
