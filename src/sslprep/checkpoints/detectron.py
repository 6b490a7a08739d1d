"""Step B: a model for Detectron (batch norms folded) or Detectron2 (batch norms as they are).

Detectron2 freezes batch norms but keeps their four parameters and adds eps itself. A folded
model (running mean 0, variance 1) would be divided by sqrt(1 + 1e-5) at every norm: off by
1.6e-4 at the end of a ResNet-50.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from msgspec import Meta

from sslprep.checkpoints import batchnorm, preprocessing
from sslprep.checkpoints.account import HEAD, ConversionResult, Converted, Fate, Form, dropped
from sslprep.checkpoints.batchnorm import Arrays
from sslprep.checkpoints.conversion import (
    Conversion,
    in_order,
    with_statistics,
    without_biases,
)
from sslprep.checkpoints.names import caffe2_name
from sslprep.checkpoints.pickling import save_pickle
from sslprep.checkpoints.preprocessing import Preprocessing
from sslprep.checkpoints.source import MARK, Model
from sslprep.errors import CheckpointError, ParameterError
from sslprep.parameters import NotNegative, command


def refuse_second_time(model: Model, target: str, *, absorb_std: bool) -> None:
    """Check that nothing is folded or absorbed twice."""
    problem = None
    if absorb_std and not model.preprocessing.divides:
        noted = "has the std absorbed in conv1_w already (noted in the file by sslprep)"
        problem = noted if model.mark.get("absorbed_std") else "divides by no std"
        expected = "a model whose conv1 takes (img / 255 - mean) / std"
    elif model.folded and target == "detectron":
        problem = "has folded batch norms already (no rm and riv beside s and b)"
        expected = "a model with running means and variances"
    if problem is not None:
        remedy = "Use it as it is, or start from the original checkpoint."
        raise CheckpointError(problem, expected=expected, remedy=remedy)


def to_affine(made: Converted, model: Model, blobs: Arrays, *, decompose: bool) -> None:
    """Replace every batch norm by an affine layer (Detectron's AffineChannel).

    Decomposed, it becomes two: `…_bn_norm_{s,b}` of the statistics, `…_bn_{s,b}` as they are.
    """
    for text, array in blobs.items():
        name = model.names[text]
        norm, own = name.module, name.param in ("s", "b")
        if not name.is_norm or name.momentum or name.affine or (decompose and own):
            made.put(text, text, array)
            continue
        made_of = f"{norm}_norm" if decompose else norm
        became = text if own else f"{made_of}_{'s' if name.param == 'riv' else 'b'}"
        made.fates[text] = Fate(blob=text, became=became, action="folded")
        if decompose and name.param == "riv":
            pair = batchnorm.decompose(blobs[f"{norm}_rm"], array, made.eps)
        elif name.param == "s":
            b, rm, riv = (blobs[f"{norm}_{param}"] for param in ("b", "rm", "riv"))
            pair = batchnorm.fold(array, b, rm, riv, made.eps)
        else:
            continue
        made.arrays[f"{made_of}_s"], made.arrays[f"{made_of}_b"] = pair


def to_detectron2(made: Converted, model: Model, blobs: Arrays) -> None:
    """Give the trunk Detectron2's names."""
    if model.network.kind != "ResNet":
        raise CheckpointError(
            f"holds {model.network.describe}", expected="a ResNet: Detectron2 has no AlexNet"
        )
    for text, array in blobs.items():
        name = caffe2_name(text)
        target = name.spelled("detectron2")
        if target is None and name.unit is None:
            made.fates[text] = dropped(text, HEAD)
        elif target is None:
            raise CheckpointError(f"{text} has no place in Detectron2's ResNet")
        else:
            made.put(text, target, array)


def settings(target: str, model: Model, takes: Preprocessing) -> dict[str, Any]:
    """Return what must be set in the detector's configuration, by key."""
    mean, std = ([round(v, 3) for v in values] for values in (takes.mean, takes.std))
    if target == "detectron":
        chosen: dict[str, Any] = {}
        if model.network.kind == "ResNet":
            chosen["RESNETS.STRIDE_1X1"] = model.network.stride_in_1x1
        return chosen | ({"PIXEL_MEANS": [[mean]]} if takes.order == "BGR" else {})
    middle, given = model.shapes.get("res2_0_branch2b_w", (None, None))[:2]
    groups = middle // given if middle and given else None
    basic = model.network.basic
    last = "res2_0_branch2b_w" if basic else "res2_0_branch2c_w"
    chosen = {
        "MODEL.RESNETS.DEPTH": model.network.depth,
        "MODEL.RESNETS.STRIDE_IN_1X1": model.network.stride_in_1x1,
        "MODEL.RESNETS.NUM_GROUPS": groups,
        "MODEL.RESNETS.WIDTH_PER_GROUP": None if basic or not groups else given,
        "MODEL.RESNETS.STEM_OUT_CHANNELS": model.shapes.get("conv1_w", (None,))[0],
        "MODEL.RESNETS.RES2_OUT_CHANNELS": model.shapes.get(last, (None,))[0],
        "MODEL.RESNETS.NORM": "FrozenBN" if model.caffe2 else "SyncBN",
        "MODEL.PIXEL_MEAN": mean,
        "MODEL.PIXEL_STD": std,
        "INPUT.FORMAT": takes.order if takes.order in ("RGB", "BGR") else None,
    }
    return {key: value for key, value in chosen.items() if value is not None}


def _notes(
    target: str, model: Model, chosen: Mapping[str, Any], takes: Preprocessing, *, decomposed: bool
) -> list[str]:
    name = "Detectron2" if target == "detectron2" else "Detectron"
    notes = [takes.text()]
    if chosen:
        text = ", ".join(f"{key} {value}" for key, value in chosen.items())
        notes.append(f"Set in {name}: {text}")
    if target == "detectron2":
        notes.append(
            "NORM is the protocol's choice: FrozenBN for models of Caffe2's time, SyncBN is usual "
            "for fine-tuning self-supervised ones."
        )
        if "MODEL.RESNETS.DEPTH" not in chosen:
            notes.append("Detectron2 has no DEPTH for these blocks; it must be taught them.")
    if target == "detectron" and takes.divides and len(takes.mean) == 3:
        notes.append(
            "Detectron does not divide pixels by 255 and the std; without --absorb_std the input "
            "must be (img / 255 - mean) / std."
        )
    if decomposed:
        notes.append("Each norm is two affine layers: …_bn_norm_{s,b}, then …_bn_{s,b}.")
    if model.network.colorization:
        stride = " and has stride 1 in res5" if model.network.kind == "ResNet" else ""
        notes.append(f"The model takes one channel (L){stride}.")
    return notes


@command(renamed={"c2_model": "model", "output_file": "output"})
def convert_detectron(
    model: Path,
    output: Path,
    *,
    target: Literal["detectron", "detectron2"] = "detectron",
    absorb_std: bool = False,
    channels: Literal["rgb", "bgr"] | None = None,
    decompose_bn: bool = False,
    keep_momentum: bool = False,
    bn_eps: Annotated[float, Meta(ge=0)] = batchnorm.EPS,
    tower: NotNegative | None = None,
    branch: str | None = None,
    prefix: str | None = None,
    under: str | None = None,
    check: bool = False,
    picture: Path | None = None,
    allow_unknown: bool = False,
    allow_missing: bool = False,
    overwrite: bool = False,
    hash_inputs: bool = False,
) -> ConversionResult:
    """Convert any checkpoint to a pickle that Detectron or Detectron2 takes.

    For Detectron every batch norm becomes an affine layer; for Detectron2 it stays as it is.
    A Jigsaw model's towers are reduced to one on the way; of a trainer's file the encoder is
    taken. What must be set in the detector's configuration is printed and stands in the manifest.

    Args:
        model: The checkpoint: Caffe2, PyTorch, safetensors or Detectron2, of any known layout.
        output: The pickle to write.
        target: Whose layout and names.
        absorb_std: Divide conv1's weights by 255 times the std, for pixels `img - 255 * mean`.
        channels: Order of conv1's input channels in the output; by default BGR for Detectron,
            and for Detectron2 the order that the model has.
        decompose_bn: Write a batch norm as two affine layers: statistics, then scale and shift.
        keep_momentum: Keep the momentum blobs.
        bn_eps: What the batch norms add to the variance.
        tower: The Jigsaw tower to take, where the model has towers; the first one by default.
        branch: Which of two encoders to take, by a part of its keys, such as `student`.
        prefix: What stands before the encoder's names, where no layout is known.
        under: The keys under which the encoder stands, joined by dots.
        check: Prove on a picture that the written model computes the same (needs torch).
        picture: The picture for `--check`; by default one that scikit-image brings.
        allow_unknown: Keep blobs whose names are none of the benchmark's (Detectron, from
            Caffe2), or leave them out.
        allow_missing: Go on when layers are missing; a norm must be whole all the same.
        overwrite: Replace existing outputs.
        hash_inputs: Hash inputs above 1 GB too.

    Returns:
        What was written, and what became of the arrays.

    Raises:
        CheckpointError: The model is not whole and sound, or is folded or absorbed already.
        UnsafeFileError: The file cannot be read safely.
    """
    run = Conversion("convert detectron", locals())
    asked = {
        "--decompose-bn": decompose_bn,
        "--keep-momentum": keep_momentum,
        "--bn-eps": bn_eps != batchnorm.EPS,  # its own norms add 1e-5, whatever the file's did
    }
    if target == "detectron2" and any(asked.values()):
        flag = next(flag for flag, given in asked.items() if given)
        raise ParameterError(
            f"{flag} is given with --target detectron2, whose layout has no place for it",
            remedy=f"Leave {flag} out.",
        )
    with run.open() as out:
        source = run.source()
        weights = source.weights(momentum=keep_momentum)
        refuse_second_time(source, target, absorb_std=absorb_std)
        takes, blobs = source.preprocessing, dict(weights)
        if absorb_std:
            if "conv1_w" not in blobs:
                raise CheckpointError("has no conv1_w to absorb the std into")
            blobs["conv1_w"] = preprocessing.absorb_std(blobs["conv1_w"], takes)
            takes = takes.absorbed()
        takes = in_order(blobs, takes, channels or ("bgr" if target == "detectron" else None))
        form: Form = "detectron2" if target == "detectron2" else "caffe2"
        made = Converted(form=form, takes=takes, eps=bn_eps)
        content: dict[str, Any] = {"blobs": made.arrays}
        if target == "detectron2":
            to_detectron2(made, source, with_statistics(source, blobs, bn_eps))
            content = {"model": made.arrays, "__author__": MARK, "matching_heuristics": True}
        else:
            to_affine(made, source, without_biases(source, blobs), decompose=decompose_bn)
            made.arrays |= source.keep_unknown()
        mark: dict[str, Any] = {"absorbed_std": True} if absorb_std else {}
        if source.tower is not None:
            mark["tower"] = source.tower
        save_pickle(out, output.name, content | source.marked(takes, **mark))
        chosen = settings(target, source, takes)
        notes = _notes(target, source, chosen, takes, decomposed=decompose_bn)
        details = {"target": target, "absorbed_std": absorb_std, "settings": chosen}
        return run.finish(out, source, weights, made, notes=notes, details=details)
