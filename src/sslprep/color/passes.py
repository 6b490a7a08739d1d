"""The one pass over the images: what decides it, how it runs, how it goes on after a kill."""

from __future__ import annotations

import functools
import hashlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from sslprep import console, executors
from sslprep.color import resume
from sslprep.color.counting import ChunkCounts, Settings, count_chunk
from sslprep.color.lab import opencv
from sslprep.color.sources import Source, open_source
from sslprep.errors import ImagesError, OutputError, ParameterError, WorkersLostError
from sslprep.files import OutputSet
from sslprep.manifest import InputRecord, Inputs

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Names:
    """File names of one histogram."""

    table: str
    unreadable: str
    manifest: str

    @classmethod
    def of(cls, kind: str, dataset: str) -> Names:
        """Name the files of `--type` and `--dataset`.

        Example:
            >>> Names.of("train", "imagenet").table
            'ab_histogram_train_imagenet.npy'
        """
        stem = f"ab_histogram_{kind}_{dataset}"
        return cls(
            table=f"{stem}.npy",
            unreadable=f"{stem}_unreadable.json",
            manifest=f"{stem}.manifest.json",
        )


@dataclass(frozen=True, kw_only=True)
class Request:
    """Everything that decides a histogram, checked.

    Attributes:
        data_file: The images, as the user named them.
        names: The files to write.
        parameters: What the manifest records.
        source: The images.
        inputs: Their list, noted for the manifest.
        settings: How each image is counted.
        max_unreadable: Largest share of unreadable images.
    """

    data_file: str
    names: Names
    parameters: dict[str, object]
    source: Source
    inputs: Inputs
    settings: Settings
    max_unreadable: float

    def identity(self) -> str:
        """Return a hash of what bears on the counts; equal ones give equal tables."""
        parts = (
            self.source.identity,
            self.settings.side,
            self.settings.fast_decode,
            self.settings.strict_decode,
            opencv().__version__,
        )
        return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()

    def input_records(self) -> list[InputRecord]:
        """Describe the inputs, complaining where one changed during the pass."""
        return self.source.records(self.inputs)


def make_request(
    *,
    data_file: str,
    type: str,
    dataset: str,
    global_resize_img: int,
    fast_decode: bool,
    strict_decode: bool,
    max_unreadable: float,
    hash_inputs: bool,
) -> Request:
    """Check the parameters of a pass and open its source; for their meaning see `histogram`.

    Raises:
        ParameterError: A name, a side outside 1…4096 or a share outside 0…1.
        ImagesError: No such source, or no image in it.
    """
    opencv()
    check_name_part("type", type)
    check_name_part("dataset", dataset)
    if not 1 <= global_resize_img <= 4096:
        raise ParameterError(f"--global-resize-img is {global_resize_img}", expected="1 to 4096")
    if not 0 <= max_unreadable <= 1:
        raise ParameterError(
            f"--max-unreadable is {max_unreadable}", expected="a share, 0 to 1 (0.01 is 1 %)"
        )
    data_file = str(data_file)  # a Path from Python is welcome
    inputs = Inputs(hash_inputs=hash_inputs)
    source = open_source(data_file, inputs)
    return Request(
        data_file=data_file,
        names=Names.of(type, dataset),
        parameters={
            "type": type,
            "dataset": dataset,
            "data_file": data_file,
            "global_resize_img": global_resize_img,
            "fast_decode": fast_decode,
            "strict_decode": strict_decode,
        },
        source=source,
        inputs=inputs,
        settings=Settings(
            side=global_resize_img,
            fast_decode=fast_decode,
            strict_decode=strict_decode,
        ),
        max_unreadable=max_unreadable,
    )


def check_name_part(flag: str, value: str) -> None:
    """Refuse a `--type` or `--dataset` that cannot be part of a file name.

    Raises:
        ParameterError: It is empty, names a folder, or holds control characters.
    """
    if not value or "/" in value or "\\" in value or not value.isprintable():
        raise ParameterError(
            f"--{flag} is {value!r}",
            expected="a word for the file names, such as train or imagenet",
        )


def _state_files(request: Request, folder: Path) -> tuple[Path, Path]:
    return (
        folder / f".{request.names.table}.resume.npz",
        folder / f".{request.names.unreadable}.resume.jsonl",
    )


def forget(request: Request, folder: Path) -> None:
    """Take away what a run left that was stopped just after it had finished its table."""
    names = request.names
    files = [names.table, names.unreadable]
    with OutputSet(folder, files, manifests=[names.manifest], overwrite=True):
        state = resume.State.load(*_state_files(request, folder))
        if state is not None and state.progress.done:
            state.remove()


def begin(request: Request, folder: Path, *, recount: bool, overwrite: bool) -> resume.State:
    """Return the unfinished pass of this input, or a new one.

    Raises:
        OutputError: An unfinished pass of another input or other parameters is here.
    """
    file, journal = _state_files(request, folder)
    identity = f"{request.identity()}, {request.source.layout}"
    if recount:
        return resume.State.new(file, journal, identity)
    state = resume.State.load(file, journal)
    if state is None:
        if file.exists():
            logger.warning("%s is damaged; the pass begins anew", file)
        return resume.State.new(file, journal, identity)
    if state.progress.identity != identity:
        if not overwrite:
            raise OutputError(
                f"an unfinished pass ({state.progress.images:,} images) of another input "
                "or other parameters is here",
                where=file,
                remedy="Finish it with its own arguments, choose another --output-path, "
                "or pass --recount to give it up.",
            )
        logger.warning("%s was of another input or other parameters; it is given up", file)
        return resume.State.new(file, journal, identity)
    logger.info("going on after %s images", f"{state.progress.images:,}")
    return state


def count(
    request: Request, state: resume.State, *, jobs: int | None, scheduler: str | None
) -> None:
    """Run the pass from where `state` stands to its end, saving as it goes."""
    if state.progress.done:
        return
    try:
        with (
            executors.open_executor(jobs, scheduler) as executor,
            console.progress(request.source.total, "images", done=state.progress.images) as advance,
        ):
            _count_on(executor, request, state, advance)
    except WorkersLostError as error:
        raise ImagesError(
            f"the workers were lost after {state.progress.images:,} images ({error})",
            remedy="What was counted is kept. If memory ran out, use fewer --jobs; "
            "run the command again to go on.",
        ) from error


def _count_on(
    executor: executors.Processes | executors.Dask | None,
    request: Request,
    state: resume.State,
    advance: Callable[[int], None],
) -> None:
    progress = state.progress
    work = functools.partial(count_chunk, request.settings)
    saved = time.monotonic()
    try:
        chunks = request.source.chunks(progress.chunks)
        for result in executors.map_chunks(work, chunks, executor):
            _add(state, result)
            advance(result.images)
            if time.monotonic() - saved >= resume.SAVE_EVERY:
                state.save()
                saved = time.monotonic()
        progress.done = True
    finally:
        # Also on Ctrl-C or lost workers: what is counted is not counted again.
        if progress.chunks:
            state.save()


def _add(state: resume.State, result: ChunkCounts) -> None:
    progress = state.progress
    result.add_to(state.table)
    state.note(
        resume.ListedImage(
            index=progress.images + image.index,
            path=_printable(image.path),
            reason=image.reason,
            counted=image.counted,
        )
        for image in result.listed
    )
    progress.chunks += 1
    progress.images += result.images
    truncated = sum(image.counted for image in result.listed)
    progress.truncated += truncated
    progress.unreadable += len(result.listed) - truncated


def _printable(path: str) -> str:
    """Make JSON of names that are no UTF-8."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def check_share(state: resume.State, request: Request) -> None:
    """Refuse a pass with too many unreadable images.

    Raises:
        ImagesError: More than `max_unreadable`, or not one was readable.
    """
    progress = state.progress
    if progress.unreadable == progress.images:
        first = [msgspec.json.decode(line, type=resume.ListedImage) for line in state.listed()][:3]
        examples = "; ".join(f"{image.path}: {image.reason}" for image in first)
        state.remove()
        raise ImagesError(
            f"none of {progress.images:,} images can be read ({examples or 'there is none'})",
            where=request.data_file,
            remedy="Check the paths: entries are used as they are, from the current folder.",
        )
    share = progress.unreadable / progress.images
    if share > request.max_unreadable:
        raise ImagesError(
            f"{progress.unreadable:,} of {progress.images:,} images cannot be read "
            f"({100 * share:.2g} %), listed in {state.journal}",
            where=request.data_file,
            expected=f"at most {100 * request.max_unreadable:.4g} %",
            remedy="The table is kept: raise --max-unreadable to accept it without a new pass, "
            "or repair the images and pass --recount.",
        )
