"""The command `evaluate features`: images and a checkpoint to one array a layer."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from sslprep import console, manifest
from sslprep.atomic import MANIFEST_SUFFIX, OutputSet
from sslprep.checkpoints.preprocessing import Preprocessing
from sslprep.checkpoints.source import open_model
from sslprep.errors import (
    ArrayError,
    CheckpointError,
    ImagesError,
    MissingExtraError,
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
    """What `evaluate features` wrote.

    Attributes:
        written: The features, one file a layer.
        manifest: The manifest.
        images: Number of rows.
        dims: Numbers of each row, by layer.
        network: The network, in a word.
        warnings: What may be wrong with the checkpoint.
    """

    written: tuple[Path, ...]
    manifest: Path
    images: int
    dims: dict[str, int]
    network: str
    warnings: tuple[str, ...] = ()


@command(renamed={"data_file": "images"})
def write_features(
    images: Path,
    checkpoint: Path,
    output: Path,
    *,
    layers: tuple[str, ...] | None = None,
    pooling: Pooling = "goyal",
    root: Path | None = None,
    batch_size: Positive = 32,
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
        CheckpointError: The checkpoint is none, or its network is not known.
        ImagesError: Images cannot be read; up to ten are named. Nothing is left out silently.
        ParameterError: A layer that the network does not have.
        MissingExtraError: PyTorch or OpenCV is not installed.
        OutputError: The features exist already, or cannot be written.
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
        identity = {
            **arguments,
            **prepared,
            "images": sha256_of(images),
            "checkpoint": sha256_of(checkpoint),
            "root": str(root),
            "device": _device(device),
        }
        finished = FinishedRows(output, stem, identity, chosen, len(names), batch_size)
        extractor = Extractor(network, model.weights(), chosen, pooling, _device(device))
        paths = [os.path.join(root or "", name) for name in names.tolist()]
        _compute(
            *(finished, extractor, paths, model.preprocessing, network.size, batch_size),
            jobs=jobs,
            timeout=worker_timeout,
        )
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


def _compute(
    finished: FinishedRows,
    extractor: Extractor,
    paths: Sequence[str],
    taken: Preprocessing,
    size: int,
    batch_size: int,
    *,
    jobs: int | None,
    timeout: float,
) -> None:
    """Compute all blocks that are not finished.

    Batches have the same pictures whatever was finished before, so that a run that was killed
    gives the same bytes as one that was not.

    Raises:
        ImagesError: Images cannot be read; those that stand in other blocks are kept.
    """
    todo = finished.unfinished()
    waiting = {first: len(range(0, len(finished.rows_of(first)), batch_size)) for first in todo}
    values: dict[int, dict[str, NDArray[Any]]] = {}
    problems: list[str] = []

    def chunks() -> Iterator[Chunk]:
        for block in todo:
            rows = finished.rows_of(block)
            for first in rows[::batch_size]:
                part = tuple(paths[first : min(first + batch_size, rows.stop)])
                yield Chunk(first=first, paths=part, taken=taken, size=size)

    done = len(paths) - sum(len(finished.rows_of(first)) for first in todo)
    with (
        console.progress(len(paths), "images", done=done) as advance,
        open_executor(jobs) as executor,
    ):
        for chunk, (inputs, unreadable) in completed(
            read_chunk, chunks(), executor, timeout=timeout
        ):
            advance(len(chunk.paths))
            problems += unreadable
            if problems:
                continue  # the rest is read all the same, to name every image at once
            block = chunk.first - chunk.first % finished.block
            rows = finished.rows_of(block)
            for layer, part in extractor(inputs).items():
                of_block = values.setdefault(block, {})
                if layer not in of_block:
                    of_block[layer] = np.empty((len(rows), part.shape[1]), np.float32)
                of_block[layer][chunk.first - block : chunk.first - block + len(part)] = part
            waiting[block] -= 1
            if not waiting[block]:
                finished.save(block, values.pop(block))
    if problems:
        problems.sort(key=lambda text: int(text.split(",")[0].removeprefix("row ")))
        more = f"; and {len(problems) - _NAMED:,} more" if len(problems) > _NAMED else ""
        raise ImagesError(
            f"{len(problems):,} of {len(paths):,} images cannot be read: "
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
