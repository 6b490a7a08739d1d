"""Blob names: one anchored grammar, read and rendered in every direction.

A `BlobName` is the parts of a name. `parse_caffe2`, `parse_torch` and `parse_spelled` read the
parts from a spelling; `str(name)`, `name.torch()` and `name.spelled()` render them. Nothing
here replaces text inside a name, so no part is ever mistaken for another (`s2` in `res2_…`). A
ResNet's trunk is spelled by the table `SPELLINGS`, in both directions.

    res{stage}_{block}_branch{1|2a|2b|2c}[_bn][_s{tower}]_{w|b|s|rm|riv}[_momentum]

The stem is `conv1` and its norm `res_conv1_bn`. AlexNets have `conv1…5` and `fc6…8`, with the
tower before the norm (`conv3_s0_bn_s`); Jigsaw's fully connected layers have `_reshape_bn`,
colorization has `conv1norm` and `fc6_1_norm`. Heads are `pred`, `fc_c5`, `fc6`, `pool5_bn`,
`conv1_cls` and their kin; a probe is a norm behind a pooling (`conv1_s4k19_resize_bn`: stride 4,
kernel 19). `_bn_norm_s` and `_bn_norm_b` are the first of the two affine layers of Detectron's
decomposed form.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal, NamedTuple, cast

Param = Literal["w", "b", "s", "rm", "riv"]

BOOKKEEPING = frozenset({"lr", "model_iter", "epoch"})
"""Blobs of the training run, not of the model."""

STEM_NORM = "res_conv1"

_CAFFE2 = re.compile(
    r"""
    (?P<layer> res[2-5]_(?:0|[1-9][0-9]?)_branch(?:1|2[abc]) | res_conv1 | conv[1-9](?:_cls)?
             | fc[1-9][0-9]{0,3}(?:_1|_cls)? | fc_[a-z]+[0-9]* | pool[1-9](?:_cls)? | pred )
    (?:_s (?P<early> 0|[1-9][0-9]? ) )?
    (?P<norm> _reshape_bn | _bn | _?norm(?=_(?:s|b|rm|riv)(?:_momentum)?$|_s[0-9]+k) )?
    (?:_s (?P<late> 0|[1-9][0-9]? ) )?
    (?P<probe> (?:_relu)? (?:_s[0-9]+k[0-9]+)? _resize (?=_bn_) )?
    (?(probe) _bn )
    (?P<affine> _norm )?
    _(?P<param> w|b|s|rm|riv )
    (?P<momentum> _momentum )?
    """,
    re.VERBOSE,
)
_UNIT = re.compile(r"res(?P<stage>[2-5])_(?P<block>[0-9]+)_branch(?P<branch>1|2[abc])")
_INSIDE = "downsample.0 downsample.1 conv1 bn1 conv2 bn2 conv3 bn3"
SPELLINGS = {
    "torchvision": ("conv1 bn1", 1, "layer{}.{}.", _INSIDE),
    "torchvision with shortcut": (
        "conv1 bn1", 1, "layer{}.{}.", _INSIDE.replace("downsample", "shortcut"),
    ),
    "detectron2": (
        "stem.conv1 stem.conv1.norm", 2, "res{}.{}.",
        "shortcut shortcut.norm conv1 conv1.norm conv2 conv2.norm conv3 conv3.norm",
    ),
    "lightly": ("0 1", 4, "{}.{}.", _INSIDE),
    "hugging face": (
        "embedder.embedder.convolution embedder.embedder.normalization",
        0, "encoder.stages.{}.layers.{}.",
        "shortcut.convolution shortcut.normalization layer.0.convolution layer.0.normalization "
        "layer.1.convolution layer.1.normalization layer.2.convolution layer.2.normalization",
    ),
    "simclr v2": (
        "net.0.0 net.0.1.0", 1, "net.{}.blocks.{}.",
        "projection.shortcut projection.bn.0 net.0 net.1.0 net.2 net.3.0 net.4 net.5.0",
    ),
}  # fmt: skip
"""How a ResNet's layers are called: the stem and its norm; the number of the first stage; what
stands before a block's layers; the shortcut and its norm, then each convolution and its norm."""
_BRANCHES = ("1", "1_bn", "2a", "2a_bn", "2b", "2b_bn", "2c", "2c_bn")
_MOST_BLOCKS = 100
_TORCH = {"w": "weight", "s": "weight", "b": "bias", "rm": "running_mean", "riv": "running_var"}


@lru_cache
def _modules(spelling: str) -> tuple[dict[str, str], dict[str, str]]:
    """Return each layer's Caffe2 name by its name in a spelling, and the other way round."""
    stem, first, before, inside = SPELLINGS[spelling]
    found = dict(zip(stem.split(), ("conv1", f"{STEM_NORM}_bn"), strict=True))
    layers = list(zip(inside.split(), _BRANCHES, strict=True))
    for stage in range(4):
        for block in range(_MOST_BLOCKS):
            there, here = before.format(stage + first, block), f"res{stage + 2}_{block}_branch"
            found |= {f"{there}{layer}": f"{here}{branch}" for layer, branch in layers}
    return found, {caffe2: layer for layer, caffe2 in found.items()}


class Unit(NamedTuple):
    """Place of a convolution in a ResNet: stage 2–5, block from 0, branch."""

    stage: int
    block: int
    branch: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BlobName:
    """The parts of one blob's name.

    Attributes:
        layer: The layer, such as `res2_0_branch2a`, `conv1`, `res_conv1`, `fc6`, `pool5`.
        param: `w`, `b` of a layer; `s`, `b`, `rm`, `riv` of its batch norm (scale, shift,
            running mean, running variance).
        norm: How the batch norm of the layer is spelled: `_bn`, `_reshape_bn` (Jigsaw's fully
            connected layers), `norm`, `_norm` (colorization's AlexNet); empty for the layer.
        tower: Number of the Jigsaw tower, `None` without one. It stands behind the `_bn` of a
            ResNet's trunk, and before every other.
        probe: The pooling whose batch norm it is, such as `_s4k19_resize`; before it stands
            what is pooled.
        affine: Whether it belongs to the first of Detectron's two affine layers (`_bn_norm_s`).
        momentum: Whether it is the optimiser's momentum of that blob.
    """

    layer: str
    param: Param
    norm: str = ""
    tower: int | None = None
    probe: str = ""
    affine: bool = False
    momentum: bool = False

    def __str__(self) -> str:
        affine, momentum = ("_norm" * self.affine), ("_momentum" * self.momentum)
        return f"{self.module}{affine}_{self.param}{momentum}"

    @property
    def is_norm(self) -> bool:
        """Whether it belongs to a batch norm."""
        return bool(self.norm or self.probe)

    @property
    def module(self) -> str:
        """Name of what the blob belongs to, such as `res2_0_branch1_bn_s3` or `conv1`."""
        tower = "" if self.tower is None else f"_s{self.tower}"
        norm = self.norm + tower if self.layer.startswith("res") else tower + self.norm
        return f"{self.layer}{norm}{self.probe}{'_bn' * bool(self.probe)}"

    @property
    def unit(self) -> Unit | None:
        """The place in the ResNet, `None` for stem, heads and AlexNet."""
        match = None if self.probe else _UNIT.fullmatch(self.layer)
        if match is None:
            return None
        return Unit(int(match["stage"]), int(match["block"]), match["branch"])

    def without_tower(self) -> BlobName:
        """Return the same blob as a model of one tower names it."""
        return replace(self, tower=None)

    def torch(self, *, classifier: str | None = None) -> str | None:
        """Render the torchvision name; heads and AlexNet have names by the same rule.

        Args:
            classifier: The head layer that torchvision calls `fc`.

        Returns:
            The name, or `None` for what a PyTorch model has no place for (momentum, towers,
            folded norms, a bias in a ResNet block).

        Example:
            >>> parse_caffe2("res4_5_branch2c_bn_riv").torch()
            'layer3.5.bn3.running_var'
            >>> parse_caffe2("fc_c5_w").torch(), parse_caffe2("pool5_bn_s").torch()
            ('fc.c5.weight', 'pool5_bn.weight')
        """
        if (self.unit or self.layer == STEM_NORM) and not self.probe:
            return self.spelled("torchvision")
        if self.momentum or self.affine or self.tower is not None:
            return None
        norm = "_bn" if self.norm in ("norm", "_norm") else self.norm
        module = replace(self, norm=norm).module
        if self.layer == classifier and not self.norm:
            module = "fc"
        elif module.startswith("fc_"):
            module = f"fc.{module[3:]}"
        return f"{module}.{_TORCH[self.param]}"

    def spelled(self, spelling: str) -> str | None:
        """Render the name of a ResNet's layer in one of `SPELLINGS`, `None` for anything else.

        Example:
            >>> parse_caffe2("res2_0_branch1_bn_s").spelled("detectron2")
            'res2.0.shortcut.norm.weight'
        """
        layer = _modules(spelling)[1].get(self.module)
        biased = self.unit and not self.norm and self.param != "w"
        if layer is None or biased or self.momentum or self.affine:
            return None
        return f"{layer}.{_TORCH[self.param]}"


@lru_cache(maxsize=1 << 13)
def parse_caffe2(name: str) -> BlobName | None:
    """Read a Caffe2 blob name; `None` when the grammar has no such name.

    Example:
        >>> parse_caffe2("conv3_s0_bn_riv").tower
        0
        >>> parse_caffe2("conv1_s0_s9k28_resize_bn_s").probe
        '_s9k28_resize'
        >>> parse_caffe2("weights") is None
        True
    """
    match = _CAFFE2.fullmatch(name)
    if match is None:
        return None
    layer, param, norm, probe = match["layer"], match["param"], match["norm"] or "", match["probe"]
    is_norm = bool(norm or probe)
    impossible = (
        (is_norm and param == "w")
        or (not is_norm and param not in ("w", "b"))
        or (layer == STEM_NORM and norm != "_bn")
        or (layer.startswith("pool") and not is_norm and not layer.endswith("_cls"))
        or (norm == "_reshape_bn" and not layer.startswith("fc"))
        or (norm == "norm" and not layer.startswith("conv"))
        or (norm == "_norm" and not layer.endswith("_1"))
        or (match["affine"] is not None and (not is_norm or param not in ("s", "b")))
    )
    if impossible:
        return None
    tower = match["early"] or match["late"]
    found = BlobName(
        layer=layer,
        param=cast("Param", param),
        norm=norm,
        tower=None if tower is None else int(tower),
        probe=probe or "",
        affine=match["affine"] is not None,
        momentum=match["momentum"] is not None,
    )
    return found if str(found) == name else None  # None: a tower in the wrong place, or two


def caffe2_name(text: str) -> BlobName:
    """Read a name that is one of Caffe2's."""
    if (found := parse_caffe2(text)) is None:
        raise ValueError(f"{text} is no name of a blob")
    return found


@lru_cache(maxsize=1 << 13)
def parse_torch(name: str, *, classifier: str = "pred") -> BlobName | None:
    """Read the name of a tensor in a PyTorch state dict; `None` when it is not one of ours.

    Args:
        name: The name, without a `module.` in front.
        classifier: The head layer that torchvision calls `fc`.

    Example:
        >>> str(parse_torch("layer1.0.downsample.1.running_mean"))
        'res2_0_branch1_bn_rm'
        >>> str(parse_torch("fc.weight", classifier="fc1"))
        'fc1_w'
    """
    if (found := parse_spelled(name, "torchvision")) is not None:
        return found
    module, _, param = name.rpartition(".")
    if module == "fc":
        return _parse_part(classifier, param)
    found = _parse_part(module.replace(".", "_"), param)
    return found if found is not None and found.torch() == name else None


def parse_spelled(name: str, spelling: str) -> BlobName | None:
    """Read the name of a ResNet's tensor in one of `SPELLINGS`; `None` when it is none."""
    module, _, param = name.rpartition(".")
    layer = _modules(spelling)[0].get(module)
    found = None if layer is None else _parse_part(layer, param)
    return found if found is not None and found.spelled(spelling) == name else None


def _parse_part(module: str, param: str) -> BlobName | None:
    """Read the blob that PyTorch calls `param` of what Caffe2 calls `module`."""
    texts = [f"{module}_{caffe2}" for caffe2, torch in _TORCH.items() if torch == param]
    return next((found for text in texts if (found := parse_caffe2(text)) is not None), None)


def respelled(names: Mapping[str, BlobName]) -> dict[str, BlobName]:
    """Return names read from PyTorch's spelling as their network spells them in Caffe2.

    Only colorization's AlexNet has a norm on conv1, and it spells its norms `conv1norm` and
    `fc6_1_norm`; in PyTorch they are `conv1_bn` and `fc6_1_bn`, as in the other networks.
    """
    if not any(name.norm and name.layer in ("conv1", "fc6_1", "fc7_1") for name in names.values()):
        return dict(names)
    norms = {"conv": "norm", "fc6_": "_norm", "fc7_": "_norm"}
    return {
        text: replace(name, norm=norms.get(name.layer[:4], name.norm)) if name.norm else name
        for text, name in names.items()
    }
