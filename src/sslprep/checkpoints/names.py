"""Blob names: one anchored grammar, read and rendered in both directions.

A `BlobName` is the parts of a name. `parse_caffe2` and `parse_torch` read the parts from either
spelling; `str(name)`, `name.torch()` and `name.detectron2()` render them. Nothing here replaces
text inside a name, so no part is ever mistaken for another (`s2` in `res2_…`).

    res{stage}_{block}_branch{1|2a|2b|2c}[_bn][_s{tower}]_{w|b|s|rm|riv}[_momentum]

The stem is `conv1` and its norm `res_conv1_bn`. AlexNet has `conv1…5` and `fc6…8`, with the
tower before `_bn` (`conv3_s0_bn_s`) and `_reshape_bn` on the fully connected layers. Heads are
`pred`, `fc_c5`, `fc6`, `pool5_bn` and their kin. `_bn_norm_s` and `_bn_norm_b` are the first of
the two affine layers of Detectron's decomposed form.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal, cast

Param = Literal["w", "b", "s", "rm", "riv"]
Branch = Literal["1", "2a", "2b", "2c"]

BOOKKEEPING = frozenset({"lr", "model_iter", "epoch"})
"""Blobs of the training run, not of the model."""

STEM_CONV = "conv1"
STEM_NORM = "res_conv1"

_CAFFE2 = re.compile(
    r"""
    (?P<layer> res[2-5]_(?:0|[1-9][0-9]?)_branch(?:1|2[abc]) | res_conv1 | conv[1-9]
             | fc[1-9][0-9]? | fc_[a-z]+[0-9]* | pool[1-9] | pred )
    (?:_s (?P<early> 0|[1-9][0-9]? ) )?
    (?P<reshape> _reshape )?
    (?P<norm> _bn )?
    (?:_s (?P<late> 0|[1-9][0-9]? ) )?
    (?P<affine> _norm )?
    _(?P<param> w|b|s|rm|riv )
    (?P<momentum> _momentum )?
    """,
    re.VERBOSE,
)
_UNIT = re.compile(r"res(?P<stage>[2-5])_(?P<block>[0-9]+)_branch(?P<branch>1|2[abc])")
_TORCH = re.compile(
    r"""
    (?: layer(?P<layer>[1-4])\.(?P<block>0|[1-9][0-9]?)\.
        (?: (?P<kind>conv|bn)(?P<number>[1-3]) | downsample\.(?P<down>[01]) )
      | (?P<stem> bn1 )
      | (?P<named> conv[1-9] | fc[1-9][0-9]? | fc\.[a-z]+[0-9]* | fc | pool[1-9] | pred )
        (?P<reshape> _reshape )? (?P<norm> _bn )?
    )
    \.(?P<param> weight|bias|running_mean|running_var )
    """,
    re.VERBOSE,
)
_TORCH_NORM: dict[str, str] = {
    "s": "weight",
    "b": "bias",
    "rm": "running_mean",
    "riv": "running_var",
}
_TORCH_LINEAR = {"w": "weight", "b": "bias"}
_CAFFE2_NORM = {torch: caffe2 for caffe2, torch in _TORCH_NORM.items()}
_CAFFE2_LINEAR = {torch: caffe2 for caffe2, torch in _TORCH_LINEAR.items()}
_NUMBER = {"2a": 1, "2b": 2, "2c": 3}
_BRANCH: dict[str, Branch] = {"1": "2a", "2": "2b", "3": "2c"}


@dataclass(frozen=True, slots=True)
class Unit:
    """Place of a convolution in a ResNet: stage 2–5, block from 0, branch."""

    stage: int
    block: int
    branch: Branch


@dataclass(frozen=True, slots=True, kw_only=True)
class BlobName:
    """The parts of one blob's name.

    Attributes:
        layer: The layer, such as `res2_0_branch2a`, `conv1`, `res_conv1`, `fc6`, `pool5`.
        param: `w`, `b` of a layer; `s`, `b`, `rm`, `riv` of its batch norm (scale, shift,
            running mean, running variance).
        norm: Whether it belongs to the batch norm of the layer.
        reshape: Whether the norm is spelled `_reshape_bn` (AlexNet's fully connected layers).
        tower: Number of the Jigsaw tower, `None` without one.
        late: Whether the tower stands after `_bn` (ResNet) or before it (AlexNet, `pool5`).
        affine: Whether it belongs to the first of Detectron's two affine layers (`_bn_norm_s`).
        momentum: Whether it is the optimiser's momentum of that blob.
    """

    layer: str
    param: Param
    norm: bool = False
    reshape: bool = False
    tower: int | None = None
    late: bool = False
    affine: bool = False
    momentum: bool = False

    def __str__(self) -> str:
        affine, momentum = ("_norm" * self.affine), ("_momentum" * self.momentum)
        return f"{self.module}{affine}_{self.param}{momentum}"

    @property
    def module(self) -> str:
        """Name of what the blob belongs to, such as `res2_0_branch1_bn_s3` or `conv1`."""
        tower = "" if self.tower is None else f"_s{self.tower}"
        early, late = ("", tower) if self.late else (tower, "")
        return f"{self.layer}{early}{'_reshape' * self.reshape}{'_bn' * self.norm}{late}"

    @property
    def unit(self) -> Unit | None:
        """The place in the ResNet, `None` for stem, heads and AlexNet."""
        match = _UNIT.fullmatch(self.layer)
        if match is None:
            return None
        branch = cast("Branch", match["branch"])
        return Unit(int(match["stage"]), int(match["block"]), branch)

    def without_tower(self) -> BlobName:
        """Return the same blob as a model of one tower names it.

        Example:
            >>> name = parse_caffe2("res2_0_branch2a_bn_s2_riv")
            >>> str(name.without_tower())
            'res2_0_branch2a_bn_riv'
        """
        return replace(self, tower=None, late=False)

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
        if self.momentum or self.affine or self.tower is not None:
            return None
        param = (_TORCH_NORM if self.norm else _TORCH_LINEAR)[self.param]
        unit = self.unit
        if unit is not None:
            if not self.norm and self.param != "w":
                return None
            return f"{_torch_place(unit, norm=self.norm)}.{param}"
        if self.layer == STEM_NORM:
            return f"bn1.{param}"
        if self.layer == classifier and not self.norm:
            return f"fc.{param}"
        norm = ("_reshape" if self.reshape else "") + ("_bn" if self.norm else "")
        return f"{self.layer.replace('_', '.')}{norm}.{param}"

    def detectron2(self) -> str | None:
        """Render Detectron2's name of a trunk blob, `None` for anything else.

        Example:
            >>> parse_caffe2("res2_0_branch1_bn_s").detectron2()
            'res2.0.shortcut.norm.weight'
        """
        if self.momentum or self.affine or self.tower is not None:
            return None
        unit = self.unit
        if unit is not None:
            where = "shortcut" if unit.branch == "1" else f"conv{_NUMBER[unit.branch]}"
            place = f"res{unit.stage}.{unit.block}.{where}"
        elif self.layer in (STEM_CONV, STEM_NORM):
            place = "stem.conv1"
        else:
            return None
        if self.norm:
            return f"{place}.norm.{_TORCH_NORM[self.param]}"
        return f"{place}.{_TORCH_LINEAR[self.param]}"


def _torch_place(unit: Unit, *, norm: bool) -> str:
    block = f"layer{unit.stage - 1}.{unit.block}"
    if unit.branch == "1":
        return f"{block}.downsample.{int(norm)}"
    return f"{block}.{'bn' if norm else 'conv'}{_NUMBER[unit.branch]}"


@lru_cache(maxsize=1 << 13)
def parse_caffe2(name: str) -> BlobName | None:
    """Read a Caffe2 blob name; `None` when the grammar has no such name.

    Example:
        >>> parse_caffe2("conv3_s0_bn_riv").tower
        0
        >>> parse_caffe2("res2_0_branch1_w").tower is None
        True
        >>> parse_caffe2("weights") is None
        True
    """
    match = _CAFFE2.fullmatch(name)
    if match is None:
        return None
    layer, param, norm = match["layer"], match["param"], match["norm"] is not None
    early, late = match["early"], match["late"]
    impossible = (
        (early is not None and late is not None)
        or (late is not None and not norm)
        or (norm and param == "w")
        or (not norm and param not in ("w", "b"))
        or (layer == STEM_NORM and not norm)
        or (layer.startswith("pool") and not norm)
        or (match["reshape"] is not None and not (norm and layer.startswith("fc")))
        or (match["affine"] is not None and (not norm or param not in ("s", "b")))
    )
    if impossible:
        return None
    tower = early if early is not None else late
    return BlobName(
        layer=layer,
        param=cast("Param", param),
        norm=norm,
        reshape=match["reshape"] is not None,
        tower=None if tower is None else int(tower),
        late=late is not None,
        affine=match["affine"] is not None,
        momentum=match["momentum"] is not None,
    )


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
    match = _TORCH.fullmatch(name)
    if match is None:
        return None
    norm = False
    reshape = match["reshape"] is not None
    if match["layer"]:
        branch = "1" if match["down"] else _BRANCH[match["number"]]
        layer = f"res{int(match['layer']) + 1}_{match['block']}_branch{branch}"
        norm = match["kind"] == "bn" or match["down"] == "1"
        if not norm and match["param"] != "weight":
            return None
    elif match["stem"]:
        layer, norm = STEM_NORM, True
    else:
        layer, norm = match["named"].replace(".", "_"), match["norm"] is not None
        if layer == "fc":
            layer = classifier
            if norm:
                return None
        if layer.startswith("pool") and not norm:
            return None
        if reshape and not (norm and layer.startswith("fc")):
            return None
    param = (_CAFFE2_NORM if norm else _CAFFE2_LINEAR).get(match["param"])
    if param is None:
        return None
    return BlobName(layer=layer, param=cast("Param", param), norm=norm, reshape=reshape)
