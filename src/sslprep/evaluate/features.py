"""The command `evaluate features`: images and a checkpoint to one array a layer."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from sslprep import console, manifest
from sslprep.atomic import MANIFEST_SUFFIX, OutputSet
from sslprep.checkpoints.source import open_model
from sslprep.errors import (
    ArrayError,
    CheckpointError,
    ImagesError,
    ManifestError,
    MissingExtraError,
    OutputError,
    ParameterError,
)
from sslprep.evaluate.extractor import (
    EPS,
    Extractor,
    Pooling,
    choose_layers,
    network_for_features,
)
from sslprep.evaluate.feature_file import KIND
from sslprep.evaluate.finished_rows import FinishedRows
from sslprep.evaluate.picture_input import SHORTER_SIDE, Chunk, read_chunk
from sslprep.executors import completed, open_executor
from sslprep.input_files import sha256_of
from sslprep.npy import read_array
from sslprep.parameters import Positive, command
from sslprep.results import result

_NAMED = 10


@result
class FeaturesWritten:
    """What `evaluate features` wrote."""

    written: tuple[Path, ...]  #: the features, one file a layer
    manifest: Path
    images: int  #: number of rows
    dims: dict[str, int]  #: numbers of each row, by layer
    network: str  #: in a word
    warnings: tuple[str, ...] = ()  #: what may be wrong with the checkpoint


@command(renamed={"data_file": "images"})
def write_features(
    images: Path,
    checkpoint: Path,
    output: Path,
    *,
    layers: tuple[str, ...] | None = None,
    pooling: Pooling = "goyal",
    root: Path | None = None,
    batch_size: Annotated[int, Meta(ge=1, le=1024)] = 32,
    jobs: Positive | None = None,
    worker_timeout: Annotated[float, Meta(gt=0)] = 600.0,
    device: Literal["cpu", "cuda", "auto"] = "cpu",
    branch: str | None = None,
    prefix: str | None = None,
    overwrite: bool = False,
) -> FeaturesWritten:
    """Compute features of images, one array a layer, as the benchmark does.

    Input, network and pooling are those of Goyal et al. 2019: shorter side to 256, whole picture
    to 224 × 224 (AlexNets 227), test mode, average pooling of each layer to some 9,000 numbers.
    A killed run goes on where it was.

    Args:
        images: Image list (.npy) of a partition.
        checkpoint: Any checkpoint that `inspect` knows the network of.
        output: Folder for the features; created if missing.
        layers: Such as res2,res3,res4,res5 (also conv1); AlexNets conv1 to conv5. By default all.
        pooling: `goyal`, or `global` for the mean over positions (2048 numbers of res5).
        root: Folder that relative image paths start from.
        batch_size: Pictures that go through the network together.
        jobs: Processes that decode images; by default as many as there are cores.
        worker_timeout: Seconds after which a worker that says nothing of its batch is given up.
        device: Where the network runs; `auto` takes a GPU if there is one.
        branch: Which encoder, where a checkpoint holds two.
        prefix: Where the encoder is, in a checkpoint of unknown layout.
        overwrite: Replace existing features.

    Returns:
        What was written.

    Raises:
        CheckpointError: The checkpoint is none, its network is not known, or gives no numbers.
        ImagesError: Images cannot be read; up to ten are named. Nothing is left out silently.
        ParameterError: A layer that the network does not have.
        MissingExtraError: PyTorch or OpenCV is not installed.
        OutputError: The features exist already, their manifest is of other layers too, or they
            cannot be written.
        WorkersLostError: A worker died or hung; finished rows are kept.
    """
    _need_torch()
    stem = images.name.split(".")[0].removesuffix("_images")
    record = f"{stem}_features{MANIFEST_SUFFIX}"
    with OutputSet(output, [], manifests=[record], overwrite=overwrite) as out:
        inputs = manifest.Inputs(hash_inputs=True)
        inputs.add_file(images)
        inputs.add_file(checkpoint)
        names: NDArray[np.str_] = read_array(images, ndim=1, kinds="U")
        if not len(names):
            raise ArrayError("lists no images", where=images)
        model = open_model(checkpoint, branch=branch, prefix=prefix)
        if model.preprocessing.order is None:
            raise CheckpointError(model.preprocessing.text(), where=checkpoint)
        network = network_for_features(model.network, pooling)
        chosen = choose_layers(network, layers)
        files = {layer: f"{stem}_{layer}_features.npy" for layer in chosen}
        out.announce(files.values())
        _refuse_to_forget(output / record, files.values())
        arguments = {
            "layers": chosen,
            "pooling": pooling,
            "batch_size": batch_size,
            "branch": branch,
            "prefix": prefix,
        }
        prepared = {
            "input": model.preprocessing.record(),
            "sizes": [SHORTER_SIDE, network.size],
        }
        identity: dict[str, object] = {
            **arguments,
            **prepared,
            "images": sha256_of(images),
            "checkpoint": sha256_of(checkpoint),
            "root": str(root),
            "device": _device(device),
        }
        paths = [os.path.join(root or "", name) for name in names.tolist()]
        finished = FinishedRows(output, stem, identity, range(0, len(paths), batch_size))
        chunks = [
            Chunk(
                first, tuple(paths[first : first + batch_size]), model.preprocessing, network.size
            )
            for first in finished.unfinished(chosen, paths)
        ]
        extractor = Extractor(network, model.weights(), chosen, pooling, _device(device))
        with open_executor(jobs) as executor:
            read = completed(read_chunk, chunks, executor, timeout=worker_timeout)
            _compute(finished, extractor, chunks, read, len(paths), checkpoint)
        dims = {
            layer: _write(out, files[layer], finished.read(layer), len(paths)) for layer in chosen
        }
        manifest.write(
            out,
            record,
            kind=KIND,
            command="evaluate features",
            parameters={"images": images, "checkpoint": checkpoint, **arguments, "root": root},
            inputs=inputs.records(),
            counts={"images": len(paths)},
            warnings=model.warnings,
            details={
                **prepared,
                "network": model.describe,
                "eps": EPS,
                "files": {
                    file: {"checkpoint": checkpoint.stem, "layer": layer, "dims": dims[layer]}
                    for layer, file in files.items()
                },
            },
        )
        out.commit()
        finished.remove()
    return FeaturesWritten(
        written=tuple(output / file for file in files.values()),
        manifest=output / record,
        images=len(paths),
        dims=dims,
        network=model.describe,
        warnings=tuple(model.warnings),
    )


def _need_torch() -> None:
    import importlib.util

    if missing := [name for name in ("torch", "cv2") if importlib.util.find_spec(name) is None]:
        raise MissingExtraError(
            f"features need {' and '.join(missing)}",
            remedy="Install them: pip install torch opencv-python-headless.",
        )


def _device(asked: str) -> str:
    import torch

    if asked == "cpu":
        return "cpu"
    if torch.cuda.is_available():
        return "cuda"
    if asked == "cuda":
        raise ParameterError("--device is cuda", expected="a machine whose PyTorch sees a GPU")
    return "cpu"


def _refuse_to_forget(record: Path, files: Collection[str]) -> None:
    """Refuse to replace a manifest by one that is of fewer files: they would be nobody's."""
    with contextlib.suppress(ManifestError):  # there is none
        others = {output.file for output in manifest.read(record).outputs} - {*files}
        if others:
            raise OutputError(
                f"is also of {', '.join(sorted(others))}, which this run does not write",
                where=record,
                remedy="Name all of these layers, or choose another output folder.",
            )


def _refuse_empty(
    values: Mapping[str, NDArray[np.float32]], chunk: Chunk, checkpoint: Path
) -> None:
    """Refuse features that no command here would take: NaN, infinity, nothing but zeros."""
    for layer, rows in values.items():
        bad = ~np.isfinite(rows).all(axis=1) | ~rows.any(axis=1)
        if bad.any():
            n = int(bad.argmax())
            raise CheckpointError(
                f"gives row {chunk.first + n} ({chunk.paths[n]}) features of {layer} that hold NaN "
                "or infinity, or nothing but zeros",
                where=checkpoint,
                expected="weights whose features are numbers",
                remedy="The checkpoint is damaged or diverged; take another one.",
            )


def _compute(
    finished: FinishedRows,
    extractor: Extractor,
    todo: Sequence[Chunk],
    read: Iterable[tuple[Chunk, tuple[NDArray[np.float32], list[str]]]],
    total: int,
    checkpoint: Path,
) -> None:
    """Compute and keep all batches that are not finished; others are kept if some cannot be.

    Batches have the same pictures whatever was finished before, so that a run that was killed
    gives the same bytes as one that was not.
    """
    problems: list[str] = []
    done = total - sum(len(chunk.paths) for chunk in todo)
    with console.progress(total, "images", done=done) as advance:
        for chunk, (inputs, unreadable) in read:
            advance(len(chunk.paths))
            problems += unreadable
            if not problems:  # else the rest is read all the same, to name every image at once
                values = extractor(inputs)
                _refuse_empty(values, chunk, checkpoint)
                finished.save(chunk.first, values)
    if problems:
        problems.sort(key=lambda text: int(text.split(",")[0].removeprefix("row ")))
        more = f"; and {len(problems) - _NAMED:,} more" if len(problems) > _NAMED else ""
        raise ImagesError(
            f"{len(problems):,} of {total:,} images cannot be read: "
            f"{'; '.join(problems[:_NAMED])}{more}",
            expected="every image, as each has a row of features",
            remedy="Mend them and run the command again: finished rows are kept.",
        )


def _write(out: OutputSet, name: str, blocks: Iterator[NDArray[np.float32]], rows: int) -> int:
    """Write the features of a layer from its finished blocks; return the numbers of a row."""
    dims = 0
    with out.create(name) as file:
        for block in blocks:
            if not dims:
                dims = block.shape[1]
                header = {"descr": "<f4", "fortran_order": False, "shape": (rows, dims)}
                np.lib.format.write_array_header_1_0(file, header)
            file.write(block.data.cast("B"))
    return dims
