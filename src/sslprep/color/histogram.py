"""The colour histogram of an image set: one pass, to a 256 × 256 table of (a, b) counts.

Each picture is brought to 256 × 256 pixels and to 8-bit Lab, whose a and b are integers; so this
table holds all that bins and priors of any size need. Tables add up, so chunks may be counted in
any order: the state of a pass is its table and the set of finished chunks.
"""

from __future__ import annotations

import base64
import contextlib
import functools
import hashlib
import itertools
import logging
import os
import re
import time
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from sslprep import console, executors, manifest
from sslprep.atomic import MANIFEST_SUFFIX, OutputSet, replacing
from sslprep.color import counting
from sslprep.color.images import Images, is_shard, is_url, open_images, partition_of
from sslprep.errors import ImagesError, ManifestError, OutputError, ParameterError, WorkersLostError
from sslprep.parameters import Fraction, NotNegative, Positive, command
from sslprep.results import result

logger = logging.getLogger(__name__)

SAVE_EVERY = 30.0
"""Seconds between two saves of an unfinished pass."""

_COUNTS = {"images", "unreadable", "truncated", "pixels"}
# How many images are behind the damage, nobody knows.
_DAMAGED = "shards are damaged or hold tars: not all in them was counted"
NO_NAME = r"/\\\x00-\x1f\x7f-\x9f\u2028-\u202e\ud800-\udfff"
Word = Annotated[str, Meta(pattern=rf"\A[^{NO_NAME}]+\Z", description="a word for file names")]
Share = Annotated[float, Meta(ge=0, le=1)]
Side = Annotated[int, Meta(ge=1, le=4096)]
Seconds = Annotated[float, Meta(gt=0)]


@result
class HistogramResult:
    """What the pass found; of `color generate` also its bins.

    Attributes:
        images: Images in the list, or drawn from it.
        unreadable: Those that could not be read; they are in `…_unreadable.json`.
        truncated: Those whose end is missing; counted, and listed there too.
        pixels: Pixels counted.
        resumed_after: Images that an earlier run had counted; all, if it had finished.
        bins: Number of bins by size.
        warnings: What else to know.
        written: The files.
    """

    images: int
    unreadable: int
    truncated: int
    pixels: int
    resumed_after: int
    bins: dict[int, int] | None = None
    warnings: tuple[str, ...] = ()
    written: tuple[Path, ...] = ()


@command(renamed={"data_file": "images", "output_path": "output"})
def color_histogram(
    images: str | Path,
    output: Path,
    *,
    type: Word | None = None,
    dataset: Word | None = None,
    root: str | Path | None = None,
    global_resize_img: Side = 256,
    sample: Fraction | None = None,
    seed: NotNegative = 0,
    fast_decode: bool = False,
    strict_decode: bool = False,
    max_unreadable: Share = 0.01,
    recount: bool = False,
    jobs: Positive | None = None,
    scheduler: str | None = None,
    worker_timeout: Seconds = 600.0,
    overwrite: bool = False,
) -> HistogramResult:
    """Count the colours of all images into one table, from which bins of every size follow.

    Writes `ab_histogram_{type}_{dataset}.npy` (int64 [256, 256]), the list of unreadable images
    and a manifest. A killed run goes on where it was when it is started again with the same
    arguments, with any number of cores.

    Args:
        images: A path or URL: a list of paths or URLs (.npy, or one a line), a partition's list in
            any of its formats, a folder, a tar shard, or a list or folder of tar shards.
        output: Folder to write into.
        type: Part of the data set, for the file names; the list's partition or else train.
        dataset: Name of the data set, for the file names; the list's own or else imagenet.
        root: Folder or URL that relative paths start from; the list's own or else the current one.
        global_resize_img: Side in pixels that each image is brought to, aspect not kept.
        sample: Share of the images to draw at random and count, such as 0.05; all by default.
        seed: Seed of the draw.
        fast_decode: Let JPEGs be shrunk while decoding, where that is near enough; not exact.
        strict_decode: Leave out JPEGs whose end is missing, which OpenCV decodes in part.
        max_unreadable: Largest share of unreadable images, 0 to 1; above it nothing is written.
        recount: Count from the start, even where an unfinished or finished pass is there.
        jobs: Number of processes; all cores if not given.
        scheduler: Address of a Dask scheduler to work on, such as tcp://host:8786.
        worker_timeout: Seconds that a worker may take for one image, or 32 URLs; then it is ended.
        overwrite: Replace existing files.

    Returns:
        Numbers of images and pixels, and the files.

    Raises:
        ImagesError: No such list, no readable image, or too many unreadable ones.
        ParameterError: A parameter out of range, or no such scheduler.
        OutputError: A file exists, or another run writes here.
        MissingExtraError: OpenCV, Dask or fsspec is needed and not installed.
    """
    return histogram_of(named(locals()))


def named(given: dict[str, Any]) -> dict[str, Any]:
    """Add to arguments the partition that `images` are of, if any, and the names that follow."""
    images, root = (os.path.expanduser(given[name] or "") for name in ("images", "root"))
    name, record = partition = partition_of(images)
    dataset = str(record.details.get("dataset", "")) if record else ""
    short = re.sub(r"^voc20(\d\d)$", r"voc\1", re.sub(r"[^\w.-]+", "-", dataset).lower())
    names = {"type": given["type"] or name, "dataset": given["dataset"] or short or "imagenet"}
    return given | names | {"images": images, "root": root or None, "partition": partition}


def histogram_of(given: dict[str, Any], *, reuse: bool = False) -> HistogramResult:
    """Count as `color histogram` does, from its arguments as `named`; others do not matter.

    With `reuse` the histogram of the same images and parameters is taken that is there already.
    """
    output, images, opencv = given["output"], given["images"], counting.versions()["opencv"]
    stem = "ab_histogram_{type}_{dataset}".format(**given)
    table, groups, listed = f"{stem}.npy", f"{stem}_groups.npy", f"{stem}_unreadable.json"
    own, unfinished = stem + MANIFEST_SUFFIX, output / f".{stem}.resume.json"
    settings = msgspec.convert(given, counting.Settings)
    inputs = manifest.Inputs(hash_inputs=True)

    @functools.cache  # a list at a URL is fetched once
    def opened() -> tuple[Images, str]:
        source = open_images(images, given["root"], inputs, *given["partition"])
        bears_on_it = (source.identity, settings, opencv)
        return source, hashlib.sha256(msgspec.json.encode(bears_on_it)).hexdigest()

    done = None
    with contextlib.suppress(ManifestError):
        record = manifest.read(output / own) if reuse else None
        if record and record.counts.keys() >= _COUNTS:
            same = record.details.get("identity") == opened()[1]
            done = record if same and not manifest.changed_outputs(output / own, record) else None
    with OutputSet(
        output,
        [table, listed, *([groups] if settings.sample else [])],
        manifests=[own],
        overwrite=given["overwrite"] or done is not None,
        also_replaces=[groups, unfinished.name],
        shared=[unfinished.name],
    ) as out:
        if done:
            _check_readable(done.counts, given, output / listed)
            logger.info("using %s, made from the same images; --recount counts them again", table)
            return _result(done.counts, done.warnings, resumed_after=done.counts["images"])
        source, identity = opened()
        if given["recount"]:
            unfinished.unlink(missing_ok=True)
        state = load(unfinished, identity, settings.groups, give_up=given["overwrite"])
        resumed_after = state.total
        _count(source, state, settings, given, unfinished)
        counts, warnings = _summary(source, state, settings)
        if counts["unreadable"] == counts["images"]:
            unfinished.unlink(missing_ok=True)
            raise _none_readable(state, given)
        _check_readable(counts, given, unfinished)
        for warning in warnings:
            logger.warning("%s", warning)
        out.save_array(table, state.tables.sum(0))
        if settings.sample:
            out.save_array(groups, state.tables)
        lines = [b"\n  " + msgspec.json.encode(entry) for entry in state.entries()]
        out.save_bytes(listed, b"[" + b",".join(lines) + (b"\n]\n" if lines else b"]\n"))
        used = inputs.records() or [manifest.InputRecord(path=images, files_used=source.total)]
        if is_url(images):
            used[0].path = images  # not its copy here
        bearing = ("type", "dataset", "images", "root", "global_resize_img", "fast_decode")
        manifest.write(
            out,
            own,
            kind="color-histogram",
            command="color histogram",
            parameters={name: given[name] for name in (*bearing, "strict_decode", "sample")},
            inputs=used,
            seed=settings.seed if settings.sample else None,
            generator="numpy PCG64 of (seed, chunk)" if settings.sample else None,
            counts=counts,
            warnings=warnings,
            details={
                "identity": identity,
                "opencv": opencv,
                "table": "int64 [256, 256]; axis 0 is a + 128, axis 1 is b + 128 (8-bit CIE Lab)",
            },
        )
        out.commit()
    written = tuple(output / record.file for record in out.written)
    return _result(counts, warnings, resumed_after=resumed_after, written=written)


def _result(counts: Mapping[str, int], warnings: list[str], **more: Any) -> HistogramResult:
    said: dict[str, Any] = {name: counts[name] for name in _COUNTS}
    return HistogramResult(**said, warnings=tuple(warnings), **more)


def _count(
    source: Images, state: Pass, settings: counting.Settings, given: dict[str, Any], file: Path
) -> None:
    """Count all chunks that are not finished, saving to `file` now and then."""
    todo = (chunk for chunk in source.chunks() if chunk.number not in state.images)
    total = None if source.shards else round(source.total * (settings.sample or 1))
    lost: list[executors.Loss] = []
    timeout, saved = given["worker_timeout"], time.monotonic()
    work = functools.partial(counting.count_chunk, settings, tell_every=timeout / 10)
    try:
        with (
            executors.open_executor(given["jobs"], given["scheduler"]) as executor,
            contextlib.closing(executors.Processes(1)) as process,
            console.progress(total, "images", done=state.total) as advance,
        ):
            found = executors.completed(work, todo, executor, timeout=timeout, lost=lost)
            again = functools.partial(counting.count_watched, settings, timeout, process)
            found_again = ((loss.chunk, again(loss)) for loss in lost)  # one by one, here
            for chunk, counts in itertools.chain(found, found_again):
                state.add(chunk.number, counts)
                advance(counts.images)
                if time.monotonic() - saved >= SAVE_EVERY:
                    state.save(file)
                    saved = time.monotonic()
    except WorkersLostError as error:
        raise ImagesError(
            f"the workers were lost after {state.total:,} images ({error})",
            remedy="What was counted is kept; run the command again to go on.",
        ) from error
    finally:
        if state.images:  # also on Ctrl-C or lost workers: what is counted is not counted again
            state.save(file)


def _summary(
    source: Images, state: Pass, settings: counting.Settings
) -> tuple[dict[str, int], list[str]]:
    """Return the numbers of a finished pass, and what else is to be known of it."""
    total, truncated = state.total, sum(entry.counted for entry in state.listed)
    unreadable = len(state.listed) - truncated
    chunks = {entry.chunk for entry in state.listed if source.shards and is_shard(entry.path)}
    damaged = min(len(chunks), source.total)  # a lone shard has several chunks
    counts = {
        "images": total,
        "unreadable": unreadable,
        "truncated": truncated,
        "pixels": int(state.tables.sum()),
    }
    if source.shards:
        counts |= {"shards": source.total, "damaged_shards": damaged}
    said = {
        f"{unreadable:,} of {total:,} images were unreadable": unreadable,
        f"{truncated:,} images are truncated and were counted": truncated,
        "--fast-decode: JPEGs were shrunk in decoding; not exact": settings.fast_decode,
        f"--sample: {total:,} images were drawn": settings.sample,
        f"{damaged} {_DAMAGED}": damaged,
    }
    return counts, [text for text, holds in said.items() if holds]


def _none_readable(state: Pass, given: dict[str, Any]) -> ImagesError:
    problem, remedy = "holds no images", None
    if state.total:
        first = [f"{entry.path}: {entry.reason}" for entry in sorted(state.listed)[:3]]
        problem = f"none of {state.total:,} images can be read ({'; '.join(first)})"
        remedy = "Check the paths: relative ones start from the current folder or --root."
    elif given["sample"]:
        problem, remedy = f"--sample {given['sample']} draws no image", "Take a larger --sample."
    return ImagesError(problem, where=given["images"], remedy=remedy)


def _check_readable(counts: dict[str, int], given: dict[str, Any], listed: Path) -> None:
    most, bad_images = given["max_unreadable"], ("unreadable", "images", "images cannot be read")
    for bad, of, says in (bad_images, ("damaged_shards", "shards", _DAMAGED)):
        number, total = counts.get(bad, 0), counts.get(of, 0)
        if number > most * total:
            raise ImagesError(
                f"{number:,} of {total:,} {says} ({100 * number / total:.3g} %)",
                where=given["images"],
                expected=f"at most {100 * most:.4g} %",
                remedy=f"They are listed in {listed}. The table is kept: raise --max-unreadable "
                "to accept it without a new pass, or repair the images and pass --recount.",
            )


class Pass(msgspec.Struct):
    """A pass under way: its tables, [groups, 256, 256], and how many images each done chunk has.

    Passes of the same `identity` have the same results.
    """

    identity: str
    tables: NDArray[np.int64]
    images: dict[int, int] = {}
    listed: list[counting.Listed] = []

    @property
    def total(self) -> int:
        """Images of all finished chunks."""
        return sum(self.images.values())

    def add(self, chunk: int, counts: counting.Counts) -> None:
        """Take a chunk's counts, if they were made with our versions."""
        for package, here in counting.versions().items():
            if (there := counts.versions[package]) != here:
                raise ParameterError(
                    f"the worker {counts.worker} has {package} {there}",
                    expected=f"{here}, as here",
                    remedy="Install the same versions on all workers; counts may differ.",
                )
        self.tables.reshape(-1)[counts.cells] += counts.pixels
        self.images[chunk] = counts.images
        self.listed += counts.listed

    def save(self, file: Path) -> None:
        """Write the state to disk, whole or not at all."""
        with replacing(file) as out:
            out.write(msgspec.json.encode(self, enc_hook=lambda x: zlib.compress(x, 1)))

    def entries(self) -> list[dict[str, object]]:
        """Return the listed images in order, each with its index among all images."""
        chunks = sorted(self.images)
        before = itertools.accumulate((self.images[chunk] for chunk in chunks), initial=0)
        first = dict(zip(chunks, before, strict=False))
        return [
            {"index": first[x.chunk] + x.place, "path": x.path, "reason": x.reason}
            | {"counted": x.counted}
            for x in sorted(self.listed)
        ]


def load(file: Path, identity: str, groups: int, *, give_up: bool) -> Pass:
    """Go on from what is on disk; what another input has left is refused, or given up."""
    state = None
    try:
        if file.is_file():
            state = msgspec.json.decode(file.read_bytes(), type=Pass, dec_hook=_table)
    except (OSError, zlib.error, msgspec.DecodeError):
        logger.warning("%s is damaged; the pass begins anew", file)
    if state and state.identity == identity:
        logger.info("going on after %s images", f"{state.total:,}")
        return state
    if state and not give_up:
        raise OutputError(
            f"an unfinished pass ({state.total:,} images) of another input or parameters is here",
            where=file,
            remedy="Finish it with its own arguments, choose another --output, or pass --recount "
            "to give it up.",
        )
    return Pass(identity, np.zeros((groups, 256, 256), np.int64))


def _table(_: type, text: str) -> NDArray[np.int64]:
    flat = np.frombuffer(zlib.decompress(base64.b64decode(text)), np.int64)
    return flat.reshape(-1, 256, 256).copy()
