"""What the four conversions have in common: outputs, proof, manifest, result."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sslprep import manifest
from sslprep.atomic import MANIFEST_SUFFIX, OutputSet
from sslprep.checkpoints import proof
from sslprep.checkpoints.account import ConversionResult, Converted, short_table
from sslprep.checkpoints.batchnorm import Arrays, unfold
from sslprep.checkpoints.names import STEM_NORM
from sslprep.checkpoints.preprocessing import Preprocessing, reverse_channels
from sslprep.checkpoints.recognise import raise_together
from sslprep.checkpoints.source import Model, open_model
from sslprep.errors import CheckpointError
from sslprep.results import table

logger = logging.getLogger(__name__)

_SELECTION = ("tower", "branch", "prefix", "under", "allow_unknown", "allow_missing")
"""Arguments that say what of a file is wanted."""


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
        """Open the outputs, and name the model in what goes wrong; nothing is read before."""
        proof.check_choice(check=self._check, picture=self._picture)
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
            try:
                yield out
            except CheckpointError as error:
                if error.where is None:
                    raise error.at(self.model) from error
                raise

    def source(self, *, need_towers: bool = False) -> Model:
        """Open the checkpoint as the command's arguments ask for."""
        asked = {key: self.parameters[key] for key in _SELECTION if key in self.parameters}
        model = open_model(self.model, need_towers=need_towers, **asked)
        if model.sha256 is not None:
            self._inputs.digests[self.model] = model.sha256
        if not need_towers:  # step A computes nothing
            _refuse_broken_norms(model)
        return model

    def finish(
        self,
        out: OutputSet,
        model: Model,
        weights: Arrays,
        made: Converted,
        *,
        notes: Sequence[str],
        details: Mapping[str, Any],
    ) -> ConversionResult:
        """Prove what was written of a model, where that was asked for, and describe it.

        `notes` say what its user must know or set, `details` stand in the manifest.
        """
        stages, proven, fates = None, {}, model.account(made.fates)
        if self._check:
            part = out.part(self.output.name)
            stages = proof.prove(model, weights, made, part, fates=fates, picture=self._picture)
            proven = {
                "largest_relative_difference_below": proof.LIMIT,
                "stages": list(stages),
                "picture": str(self._picture or "scikit-image astronaut"),
            }
        for warning in model.warnings:
            logger.warning("%s", warning)
        if logger.isEnabledFor(logging.DEBUG):
            rows = [[f.blob, f.became or "–", f.action, f.reason or ""] for f in fates]
            whole = table(["blob", "became", "action", "reason"], rows)
            logger.debug("what became of every blob:\n%s", whole)
        counts: dict[str, int] = dict(Counter(fate.action for fate in fates))
        manifest.write(
            out,
            self.output.name + MANIFEST_SUFFIX,
            kind="checkpoint",
            command=self.command,
            parameters=self.parameters,
            inputs=self._inputs.records(),
            counts={"tensors": len(made.arrays), **counts},
            warnings=model.warnings,
            details={
                "preprocessing": made.takes.record(),
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
            written=tuple(self.output.with_name(record.file) for record in out.written),
            model=model.describe,
            blobs=counts,
            tensors=len(made.arrays),
            notes=tuple(notes),
            proof=stages,
            warnings=tuple(model.warnings),
            summary=short_table(fates),
        )


def in_order(blobs: Arrays, takes: Preprocessing, order: str | None) -> Preprocessing:
    """Reverse conv1 where it takes the other order of colours; return what it takes then."""
    if takes.order not in ("RGB", "BGR") or order in (None, takes.order.lower()):
        return takes
    if "conv1_w" in blobs:
        blobs["conv1_w"] = reverse_channels(blobs["conv1_w"])
    return takes.reversed()


def _refuse_broken_norms(model: Model) -> None:
    """Check that no norm lacks a part: it cannot be computed, whatever the user allows."""
    present = {name.module for name in model.names.values() if name.is_norm}
    broken = [
        text for text in model.missing if text.rpartition("_")[0].removesuffix("_norm") in present
    ]
    raise_together(
        [f"{name} is missing, without which its norm cannot be computed" for name in broken],
        remedy="Take a complete checkpoint.",
    )


def without_biases(model: Model, blobs: Arrays) -> Arrays:
    """Return a ResNet's blobs with the convolutions' biases taken off the means of their norms.

    MSRA's ResNet-50 has one on conv1, where torchvision's and the detectors' networks have none.
    """
    whole = dict(blobs)
    for text in blobs:
        layer = text.removesuffix("_b")
        mean = f"{STEM_NORM if layer == 'conv1' else layer}_bn_rm"
        if f"{layer}_b" == text and mean in blobs and model.network.kind == "ResNet":
            whole[mean] = whole[mean] - whole.pop(text)
    return whole


def with_statistics(model: Model, blobs: Arrays, eps: float) -> Arrays:
    """Return blobs whose batch norms have all four parts, also where they were folded.

    An affine layer becomes a norm of mean 0 and variance 1 - eps; two affine layers become one.
    """
    if not model.folded:
        return without_biases(model, blobs)
    whole: Arrays = {}
    for text, array in blobs.items():
        name = model.names[text]
        norm = name.module
        if not name.is_norm:
            whole[text] = array
        elif name.param == "s" and not name.affine:
            shift = blobs[f"{norm}_b"]
            if f"{norm}_norm_s" in blobs:
                shift = array * blobs[f"{norm}_norm_b"] + shift
                array = array * blobs[f"{norm}_norm_s"]
            parts = unfold(array, shift, eps)
            whole |= {f"{norm}_{param}": part for param, part in parts.items()}
    return without_biases(model, whole)
