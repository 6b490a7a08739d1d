"""What the four conversions have in common: outputs, proof, manifest, result."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sslprep import manifest
from sslprep.atomic import MANIFEST_SUFFIX, OutputSet
from sslprep.checkpoints import proof
from sslprep.checkpoints.account import (
    MOMENTUM,
    ConversionResult,
    Fate,
    counts,
    dropped,
    log_whole,
    short_table,
)
from sslprep.checkpoints.batchnorm import Arrays, unfold
from sslprep.checkpoints.names import BOOKKEEPING
from sslprep.checkpoints.picture import check_choice
from sslprep.checkpoints.recognise import raise_together
from sslprep.checkpoints.source import Model, open_model
from sslprep.errors import CheckpointError

logger = logging.getLogger(__name__)

_SELECTION = ("tower", "branch", "prefix", "under", "allow_unknown", "allow_missing")
"""Arguments that say what of a file is wanted."""


@dataclass(kw_only=True)
class Converted:
    """A model for its target: arrays by name, and what became of each Caffe2 blob."""

    arrays: dict[str, Any] = field(default_factory=dict)
    fates: dict[str, Fate] = field(default_factory=dict)


class Conversion:
    """One run of a conversion.

    Args:
        command: The command, as the manifest names it.
        arguments: All arguments of the command by name, in the order of the manifest.
    """

    def __init__(self, command: str, arguments: dict[str, Any]) -> None:
        self.command = command
        # What is left in the end bears on the content, and stands in the manifest.
        self.parameters = dict(arguments)
        self.model: Path = self.parameters.pop("model")
        self.output: Path = self.parameters.pop("output")
        self._check: bool = self.parameters.pop("check", False)
        self._picture: Path | None = self.parameters.pop("picture", None)
        self._overwrite: bool = self.parameters.pop("overwrite")
        self._inputs = manifest.Inputs(hash_inputs=self.parameters.pop("hash_inputs"))
        self._measured = f"{self.output.name}.check.json"

    @contextmanager
    def open(self) -> Iterator[OutputSet]:
        """Open the outputs; the caller reads nothing before."""
        check_choice(check=self._check, picture=self._picture)
        outputs = OutputSet(
            self.output.parent,
            [self.output.name, *([self._measured] if self._check else [])],
            manifests=[self.output.name + MANIFEST_SUFFIX],
            overwrite=self._overwrite,
            also_replaces=[self._measured],
        )
        with outputs as out:
            self._inputs.add_file(self.model)
            if self._picture is not None:
                self._inputs.add_file(self._picture)
            yield out

    def source(self, *, need_towers: bool = False) -> Model:
        """Open the checkpoint as the command's arguments ask for."""
        asked = {key: self.parameters[key] for key in _SELECTION if key in self.parameters}
        return open_model(self.model, need_towers=need_towers, **asked)

    def finish(
        self,
        out: OutputSet,
        model: Model,
        weights: Arrays,
        fates: Sequence[Fate],
        *,
        write: Callable[[str], None],
        tensors: int,
        target: proof.Target,
        notes: Sequence[str],
        details: Mapping[str, Any],
    ) -> ConversionResult:
        """Write the file, prove it where that was asked for, and describe it.

        `write` writes the file, of so many `tensors`, under a name; `notes` say what its user must
        know or set, `details` stand in the manifest.
        """
        write(self.output.name)
        stages, proven = None, {}
        if self._check:
            part = out.part(self.output.name)
            try:
                stages = proof.prove(
                    model, weights, target, part, fates=fates, picture=self._picture
                )
            except CheckpointError as error:
                raise error.at(self.model) from error
            proven = {
                "largest_relative_difference_below": proof.LIMIT,
                "stages": list(stages),
                "picture": str(self._picture or "scikit-image astronaut"),
            }
        for warning in model.warnings:
            logger.warning("%s", warning)
        log_whole(fates)
        manifest.write(
            out,
            self.output.name + MANIFEST_SUFFIX,
            kind="checkpoint",
            command=self.command,
            parameters=self.parameters,
            inputs=self._inputs.records(),
            counts={"tensors": tensors, **counts(fates)},
            warnings=model.warnings,
            details={
                "preprocessing": target.takes.record(),
                "stride_in_1x1": model.network.stride_in_1x1,
                **details,
                **({"proof": proven} if proven else {}),
                **model.details(fates),
            },
        )
        if stages is not None:
            # The differences are rounding, so they depend on the processor and its threads, and
            # equal input must give equal bytes: they stand in a file that no manifest lists.
            out.save_json(self._measured, {"largest_relative_difference": stages})
        out.commit()
        return ConversionResult(
            written=tuple(self.output.with_name(file.name) for file in out.written),
            model=model.describe,
            blobs=counts(fates),
            tensors=tensors,
            notes=tuple(notes),
            proof=stages,
            warnings=tuple(model.warnings),
            summary=short_table(fates),
        )


def left_out(model: Model, *, momentum: bool = True) -> dict[str, Fate]:
    """Return the fates of what belongs to the training run."""
    fates = {}
    for text, fate in model.fates.items():
        if fate.became is None:
            continue
        if fate.became in BOOKKEEPING:
            fates[fate.became] = dropped(text, "bookkeeping of the training run")
        elif momentum and (name := model.names.get(fate.became)) is not None and name.momentum:
            fates[fate.became] = dropped(text, MOMENTUM)
    return fates


def refuse_broken_norms(model: Model) -> None:
    """Check that no norm lacks a part: it cannot be folded, whatever the user allows.

    Raises:
        CheckpointError: Names the missing blobs.
    """
    present = {name.module for name in model.names.values() if name.is_norm}
    broken = [text for text in model.missing if text.rpartition("_")[0] in present]
    raise_together(
        [f"{name} is missing, without which its norm cannot be computed" for name in broken],
        remedy="Take a complete checkpoint.",
    )


def with_statistics(model: Model, blobs: Mapping[str, Any], eps: float) -> Arrays:
    """Return blobs whose batch norms have all four parts, also where they were folded.

    An affine layer becomes a norm of mean 0 and variance 1 - eps; two affine layers become one.
    """
    if not model.folded:
        return dict(blobs)
    whole: Arrays = {}
    for text, array in blobs.items():
        name = model.names[text]
        if not name.is_norm or name.momentum:
            whole[text] = array
            continue
        norm = name.module
        if name.affine or name.param != "s":
            continue
        shift = blobs[f"{norm}_b"]
        if f"{norm}_norm_s" in blobs:
            shift = array * blobs[f"{norm}_norm_b"] + shift
            array = array * blobs[f"{norm}_norm_s"]
        parts = unfold(array, shift, eps)
        whole |= {f"{norm}_{param}": part for param, part in parts.items()}
    return whole
