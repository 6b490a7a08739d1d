"""The colour histogram of an image set: a 256 × 256 table of (a, b) counts.

Each picture is brought to 256 × 256 pixels and to 8-bit Lab, whose a and b are integers; so this
table holds all that bins and priors of any size need. Tables add up.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sslprep import manifest
from sslprep.color import passes
from sslprep.color.lab import Table, opencv
from sslprep.color.passes import Request, make_request
from sslprep.color.resume import State
from sslprep.errors import ArrayError, ManifestError
from sslprep.files import OutputSet, read_array, sha256_of

logger = logging.getLogger(__name__)

KIND = "color-histogram"


def read_table(path: Path) -> Table:
    """Read and check a histogram.

    Returns:
        int64 [256, 256]; `table[a + 128, b + 128]` pixels.

    Raises:
        ArrayError: Not such a table, a count below 0, or no count at all.
    """
    array = read_array(path, kinds="iu")
    if array.shape != (256, 256):
        raise ArrayError(
            f"got shape {array.shape}",
            where=path,
            expected="(256, 256): the table that `sslprep color histogram` writes",
        )
    limit = 2**62  # a sum of tables still fits
    if array.min() < 0 or array.max() > limit or not 0 < array.sum(dtype=object) < limit:
        raise ArrayError(
            "the counts are impossible",
            where=path,
            expected="counts of at least one pixel, none below 0",
        )
    return array.astype(np.int64)


def find_finished(request: Request, folder: Path) -> tuple[Table, manifest.Manifest] | None:
    """Return the histogram of the same images and parameters that is in `folder` already."""
    path = folder / request.names.manifest
    try:
        record = manifest.read(path)
    except ManifestError:
        return None
    if record.kind != KIND or record.details.get("identity") != request.identity():
        return None
    table = folder / request.names.table
    digests = {output.file: output.sha256 for output in record.outputs}
    if not table.is_file() or sha256_of(table) != digests.get(table.name):
        return None
    return read_table(table), record


@dataclass(frozen=True, kw_only=True)
class HistogramResult:
    """What the pass found.

    Attributes:
        written: The files.
        images: Images in the list.
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


def _write(out: OutputSet, state: State, request: Request) -> tuple[str, ...]:
    """Write table, list of unreadable images and manifest into `out`; return the warnings."""
    names = request.names
    progress, side = state.progress, request.settings.side
    warnings = []
    if progress.unreadable:
        warnings.append(f"{progress.unreadable:,} of {progress.images:,} images were unreadable")
    if progress.truncated:
        warnings.append(f"{progress.truncated:,} images are truncated and were counted")
    if request.settings.fast_decode:
        warnings.append("--fast-decode: JPEGs were shrunk while decoding; counts are not exact")
    for warning in warnings:
        logger.warning("%s", warning)
    out.save_array(names.table, state.table)
    with out.create(names.unreadable) as file:
        file.write(b"[")
        for number, line in enumerate(state.listed()):
            file.write(b"\n  " if number == 0 else b",\n  ")
            file.write(line)
        file.write(b"\n]\n" if progress.journal_bytes else b"]\n")
    manifest.write(
        out,
        names.manifest,
        kind=KIND,
        command="color histogram",
        parameters=request.parameters,
        inputs=request.input_records(),
        counts={
            "images": progress.images,
            "readable": progress.images - progress.unreadable,
            "unreadable": progress.unreadable,
            "truncated": progress.truncated,
            "pixels": int(state.table.sum()),
            "pixels_per_image": side * side,
        },
        warnings=warnings,
        details={
            "identity": request.identity(),
            "opencv": opencv().__version__,
            "table": "int64 [256, 256]; axis 0 is a + 128, axis 1 is b + 128 (8-bit CIE Lab)",
        },
    )
    return tuple(warnings)


def make_histogram(
    request: Request,
    folder: Path,
    *,
    recount: bool,
    jobs: int | None,
    scheduler: str | None,
    overwrite: bool,
) -> HistogramResult:
    """Run a checked request to its files; see `histogram`."""
    names = request.names
    files = [names.table, names.unreadable]
    with OutputSet(folder, files, manifests=[names.manifest], overwrite=overwrite) as out:
        state = passes.begin(request, folder, recount=recount, overwrite=overwrite)
        resumed_after = state.progress.images
        passes.count(request, state, jobs=jobs, scheduler=scheduler)
        passes.check_share(state, request)
        warnings = _write(out, state, request)
        out.commit()
        state.remove()
    return HistogramResult(
        written=tuple(folder / name for name in (*files, names.manifest)),
        images=state.progress.images,
        unreadable=state.progress.unreadable,
        truncated=state.progress.truncated,
        pixels=int(state.table.sum()),
        resumed_after=resumed_after,
        warnings=warnings,
    )


def histogram(
    *,
    data_file: str,
    output_path: Path,
    type: str = "train",
    dataset: str = "imagenet",
    global_resize_img: int = 256,
    fast_decode: bool = False,
    strict_decode: bool = False,
    max_unreadable: float = 0.01,
    recount: bool = False,
    jobs: int | None = None,
    scheduler: str | None = None,
    overwrite: bool = False,
    hash_inputs: bool = False,
) -> HistogramResult:
    """Count the colours of all images into one table, from which bins of every size follow.

    Writes `ab_histogram_{type}_{dataset}.npy` (int64 [256, 256]), the list of unreadable images
    and a manifest. A killed run goes on where it was when it is started again with the same
    arguments, with any number of cores.

    Args:
        data_file: The images: a .npy list or a text file of paths or URLs, a folder, a tar
            shard, or a list or folder of tar shards; itself a path or a URL.
        output_path: Folder to write into.
        type: Part of the data set, for the file names, such as train or val.
        dataset: Name of the data set, for the file names.
        global_resize_img: Side in pixels that each image is brought to, aspect not kept.
        fast_decode: Let JPEGs of at least twice that side be shrunk while decoding; not exact.
        strict_decode: Leave out JPEGs whose end is missing, which OpenCV decodes in part.
        max_unreadable: Largest share of unreadable images, 0 to 1; above it nothing is written.
        recount: Count from the start, even where an unfinished or finished pass is there.
        jobs: Number of processes; all cores if not given.
        scheduler: Address of a Dask scheduler to work on, such as tcp://host:8786.
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
    request = make_request(
        data_file=data_file,
        type=type,
        dataset=dataset,
        global_resize_img=global_resize_img,
        fast_decode=fast_decode,
        strict_decode=strict_decode,
        max_unreadable=max_unreadable,
        hash_inputs=hash_inputs,
    )
    return make_histogram(
        request,
        output_path,
        recount=recount,
        jobs=jobs,
        scheduler=scheduler,
        overwrite=overwrite,
    )
