"""The way back: a PyTorch state dict or a safetensors file as a Caffe2 pickle."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from sslprep import manifest
from sslprep.checkpoints import norms
from sslprep.checkpoints.account import (
    NO_SUCH_NAME,
    ConversionResult,
    Fate,
    counts,
    dropped,
    kept,
    log_whole,
    refuse_unknown,
    short_table,
)
from sslprep.checkpoints.architecture import find_trunk
from sslprep.checkpoints.arrays import StoredArray
from sslprep.checkpoints.names import parse_caffe2, parse_torch
from sslprep.checkpoints.open import Contents, open_checkpoint
from sslprep.checkpoints.pickling import save_pickle
from sslprep.checkpoints.pytorch import Order
from sslprep.checkpoints.source import (
    Source,
    as_float32,
    check_model,
    check_whole,
    missing_warnings,
    precision_warnings,
)
from sslprep.errors import CheckpointError, ManifestError
from sslprep.files import MANIFEST_SUFFIX, OutputSet, sha256_of

logger = logging.getLogger(__name__)

_COUNTER = "num_batches_tracked"


@dataclass(frozen=True, kw_only=True)
class Noted:
    """What is known of a state dict from the program that wrote it.

    Attributes:
        channels: Order of conv1's input channels, `None` when nobody knows.
        classifier: The Caffe2 head that is its `fc`.
    """

    channels: Order | None = None
    classifier: str = "pred"


def noted(path: Path, metadata: Mapping[str, object]) -> Noted:
    """Look up what `convert pytorch` noted: in the file, or in the manifest beside it.

    A manifest counts only when the file is still the one that it describes.
    """
    facts: Mapping[str, Any] = metadata
    beside = path.with_name(path.name + MANIFEST_SUFFIX)
    if "channels" not in facts and beside.is_file():
        try:
            record = manifest.read(beside)
        except ManifestError as error:
            logger.warning("%s; it is passed over", error)
        else:
            hashes = {output.file: output.sha256 for output in record.outputs}
            if hashes.get(path.name) == sha256_of(path):
                facts = record.details
    channels, classifier = facts.get("channels"), facts.get("classifier")
    known = isinstance(classifier, str) and parse_caffe2(f"{classifier}_w") is not None
    return Noted(
        channels="rgb" if channels == "rgb" else "bgr" if channels == "bgr" else None,
        classifier=str(classifier) if known else "pred",
    )


def common_prefix(names: Iterable[str]) -> str:
    """Return what wrappers put before every name, such as `module.`.

    Example:
        >>> common_prefix(["module.conv1.weight", "module.bn1.bias"])
        'module.'
        >>> common_prefix(["layer1.0.conv1.weight", "layer1.0.bn1.bias"])
        ''
    """
    names = list(names)
    prefix = ""
    while names and not any(parse_torch(name) for name in names):
        firsts = {name.partition(".")[0] for name in names}
        rests = [name.partition(".")[2] for name in names]
        if len(firsts) != 1 or not all(rests):
            return ""
        prefix += f"{firsts.pop()}."
        names = rests
    return prefix


def to_caffe2(names: Iterable[str], classifier: str) -> tuple[dict[str, str], list[Fate]]:
    """Return Caffe2 name to name in the state dict, and what becomes of every tensor.

    Raises:
        CheckpointError: Two tensors have one Caffe2 name.
    """
    names = list(names)
    prefix = common_prefix(names)
    sources: dict[str, str] = {}
    fates = []
    for text in names:
        name = parse_torch(text.removeprefix(prefix), classifier=classifier)
        if text.rpartition(".")[2] == _COUNTER:
            fates.append(dropped(text, "counter of the batch norm"))
        elif name is None:
            fates.append(Fate(blob=text, became=None, action="unknown", reason=NO_SUCH_NAME))
        else:
            target = str(name)
            if target in sources:
                raise CheckpointError(f"{sources[target]} and {text} would both become {target}")
            sources[target] = text
            fates.append(kept(text, target))
    return sources, fates


def reverses(channels: Order | None, bgr2rgb: bool | None, known: Order | None) -> bool:
    """Return whether conv1's channels are reversed on the way to Caffe2, which takes BGR.

    Args:
        channels: Order in the file, in the user's words.
        bgr2rgb: Whether to reverse, in the user's words.
        known: Order in the file, as noted when it was written.

    Example:
        >>> reverses(None, None, "bgr"), reverses(None, None, None), reverses("rgb", False, None)
        (False, True, True)
    """
    if channels is not None:
        return channels == "rgb"
    if bgr2rgb is not None:
        return bgr2rgb
    return known != "bgr"


def _load(contents: Contents, sources: Mapping[str, str]) -> dict[str, NDArray[Any]]:
    arrays = {}
    for target, text in sources.items():
        stored = contents.blobs[text]
        if not isinstance(stored, StoredArray):
            raise CheckpointError(f"{text} is the number {stored}, not a tensor")
        arrays[target] = stored.load()
    return arrays


def _order_warnings(
    path: Path, reverse: bool, channels: Order | None, known: Order | None
) -> list[str]:
    """Return the warning that conv1 ends up with another order than Caffe2's, or perhaps so."""
    if known is not None and reverse != (known == "rgb"):
        end = "RGB" if known == "rgb" else "reversed once too often"
        return [
            f"{path}: conv1 takes {known.upper()} as noted when it was written; now it is {end}"
        ]
    if known is None and channels is None:
        what = "taken for RGB and reversed" if reverse else "left in the order it has"
        return [f"{path}: nothing says which order conv1's channels have; they are {what}"]
    return []


def _notes(channels: int, reverse: bool) -> tuple[str, ...]:
    if channels != 3:
        return ()
    return ("conv1 was reversed to BGR." if reverse else "conv1 keeps its channels' order.",)


def convert_caffe2(
    *,
    pth_model: Path,
    output_model: Path,
    channels: Order | None = None,
    bgr2rgb: bool | None = None,
    allow_unknown: bool = False,
    allow_missing: bool = False,
    overwrite: bool = False,
    hash_inputs: bool = False,
) -> ConversionResult:
    """Convert a PyTorch state dict or a safetensors file back to a Caffe2 pickle.

    It undoes `convert pytorch`: the same blobs come back. A file of torchvision works too.

    Args:
        pth_model: The state dict (`.pth`, `.dat`, `.safetensors`).
        output_model: The pickle to write: `{'blobs': {name: array}}`, protocol 2.
        channels: Order of conv1's input channels in the file. By default what the file or its
            manifest says, else `rgb`; Caffe2's own is BGR.
        bgr2rgb: Whether to reverse conv1's input channels, as the script of 2019 was told.
            `--channels` wins.
        allow_unknown: Leave out tensors whose names are none of the networks'.
        allow_missing: Go on when the network is not whole.
        overwrite: Replace existing outputs.
        hash_inputs: Hash inputs above 1 GB too.

    Returns:
        What was written, and what became of the tensors.

    Raises:
        CheckpointError: The tensors are not a whole and sound network.
        UnsafeFileError: The file cannot be read safely.
    """
    inputs = manifest.Inputs(hash_inputs=hash_inputs)
    inputs.add_file(pth_model)
    contents = open_checkpoint(pth_model)
    facts = noted(pth_model, contents.extra)
    try:
        if sum(parse_caffe2(n) is not None for n in contents.blobs) > len(contents.blobs) / 2:
            raise CheckpointError(
                "has Caffe2 names already (such as res2_0_branch2a_w)",
                expected="PyTorch names (such as layer1.0.conv1.weight)",
                remedy="Use it as it is.",
            )
        sources, fates = to_caffe2(contents.blobs, facts.classifier)
        refuse_unknown(fates, allow_unknown=allow_unknown)
        blobs, other = as_float32(_load(contents, sources))
        find_trunk(blobs)
    except CheckpointError as error:
        raise error.at(pth_model) from error
    source = Source(
        path=pth_model,
        stored={target: contents.blobs[text] for target, text in sources.items()},
        names={text: name for text in sources if (name := parse_caffe2(text)) is not None},
        fates=fates,
        mark={},
    )
    trunk = check_model(source, blobs)
    missing = check_whole(source, blobs, trunk, allow_missing=allow_missing)
    warnings = missing_warnings(source, missing) + precision_warnings(source, other)
    reverse = trunk.channels == 3 and reverses(channels, bgr2rgb, facts.channels)
    if trunk.channels == 3:
        warnings += _order_warnings(pth_model, reverse, channels, facts.channels)
    if reverse:
        blobs["conv1_w"] = norms.bgr_to_rgb(blobs["conv1_w"])
    for warning in warnings:
        logger.warning("%s", warning)
    log_whole(fates)
    record = output_model.name + MANIFEST_SUFFIX
    with OutputSet(
        output_model.parent, [output_model.name], manifests=[record], overwrite=overwrite
    ) as out:
        save_pickle(out, output_model.name, {"blobs": blobs})
        manifest.write(
            out,
            record,
            kind="checkpoint",
            command="convert caffe2",
            parameters={
                "channels": channels,
                "bgr2rgb": bgr2rgb,
                "allow_unknown": allow_unknown,
                "allow_missing": allow_missing,
            },
            inputs=inputs.records(),
            counts={"tensors": len(blobs), **counts(fates)},
            warnings=warnings,
            details={"reversed_channels": reverse, **source.details(trunk, fates)},
        )
        out.commit()
    return ConversionResult(
        written=(output_model, output_model.with_name(record)),
        model=source.describe(trunk),
        blobs=counts(fates),
        tensors=len(blobs),
        notes=_notes(trunk.channels, reverse),
        warnings=tuple(warnings),
        summary=short_table(fates),
    )
