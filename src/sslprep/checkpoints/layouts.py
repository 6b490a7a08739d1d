"""Where a file keeps the encoder, and what stands beside it: a table of data.

Names are read once, here: `find_encoder` looks at the whole path of every array
(`state_dict.module.encoder_q.conv1.weight`), splits it into a prefix and a name of the grammar,
and takes the prefix under which a network stands. `LAYOUTS` says which of two encoders is meant
and why the other arrays are left out. A new layout is one row.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import NamedTuple

from sslprep.checkpoints.account import Fate, dropped, names_text, unknown
from sslprep.checkpoints.names import SPELLINGS, BlobName, parse_caffe2, parse_spelled, parse_torch
from sslprep.checkpoints.preprocessing import IMAGENET_RGB, ZERO_TO_ONE, Preprocessing
from sslprep.errors import CheckpointError

HEAD = "projection head"
COPY = "a second encoder; --branch takes it"
TWICE = "the encoder under a second name"
OUTSIDE = "outside of the encoder"
COUNTER = "counter of the batch norm"
DETECTOR = "detector"
DETECTRON2 = "Detectron2 detector"
_SEPARATOR = re.compile("[./]")
_MOST_PARTS = 10
_MOST_ENCODERS = 16
_DEEPEST = 24


class Layout(NamedTuple):
    """A trainer's way of saving a network.

    `encoder` is the regular expression of what stands before the encoder's names, without the
    parts that are wrappers; `beside` says why arrays are left out whose path has a part of this
    name; `spelling` is the one of `names.SPELLINGS` that it alone has.
    """

    name: str
    encoder: str
    beside: Mapping[str, str]
    spelling: str | None = None
    preprocessing: Preprocessing = IMAGENET_RGB


_WRAPPER = re.compile(
    r"(?<![^./])(?:blobs|state_dict|model|model_state_dict|model_state|module|network|net|trunk"
    r"|base_model|classy_state_dict|weights|params|gpu_[0-9]+|_orig_mod|_fsdp_wrapped_module)[./]"
)
_INSIDE = re.compile(r"\b_(?:orig_mod|fsdp_wrapped_module|checkpoint_wrapped_module)\.")
_COPY = r"(?:target|momentum|key)(?:_\w+)?|\w+_(?:momentum|target|k)"
_EMA = r"(?:\w+_)?ema(?:_\w+)?"
_SECOND = re.compile(f"{_COPY}|{_EMA}")
_BESIDE = (
    (r"optimizers?|opt|optimizer_states|(?:\w+_)?schedulers?|(?:\w+_)?scaler|amp"
     r"|momentum_buffer|exp_avg(?:_sq)?", "state of the optimizer"),
    (r"(?:\w+_)?loss|criterion|center", "loss"),
    (r"loops|callbacks|(?:\w+_)?rng(?:_states?)?|hyper_parameters|n_averaged|meta|initted"
     r"|epoch|iteration|(?:global_)?step|(?:best_|val_)?(?:acc|prec|score|metric)s?[0-9]*",
     "state of the trainer"),
    (r"data_preprocessor|pixel_mean|pixel_std", "normalisation of the pictures"),
    (r"(?:\w+_)?queue\w*|memory_(?:bank|v?[0-9]+)", "queue of keys"),
    (r"(?:\w+_)?pred(?:ict\w*)?", "predictor"),
    (r"(?:\w+_)?prototypes?\w*", "prototypes"),
    (r"(?:\w+_)?classifier\w*|non_linear_evaluator|(?:last_)?linear", "classifier"),
    (r"(?:\w+_)?(?:proj|head|neck)\w*|\w+Dis|value_transform|logit_scale|fc[0-9]*", HEAD),
    (r"target_generator", "target of the pretext task"),
    (r"(?:\w+_)?decoder", "decoder of the pretext task"),
    (_EMA, "moving average of the weights; --branch takes it"),
    (_COPY, COPY),
)  # fmt: skip
"""Why a part of a path, in any layout, says that the array is left out; the first that fits."""
_TOLD = re.compile("|".join(f"({pattern})" for pattern, _ in _BESIDE))

LAYOUTS: tuple[Layout, ...] = (
    Layout("torchvision names", "", {}),
    Layout("MoCo v1/v2, DenseCL", r"encoder_q\.", {"fc": HEAD}),
    Layout("MoCo v3", r"base_encoder\.", {"fc": HEAD}),
    Layout("SimSiam, PixPro, PyContrast", r"encoder\.", {"fc": HEAD}),
    Layout("SwAV", "", {"projection_head": HEAD, "prototypes": "prototypes"}),
    Layout("DINO", r"teacher\.(?:backbone\.)?|teacher_backbone\.",
           {"student": COPY, "student_backbone": COPY}),
    Layout("OBoW", r"feature_extractor\.",
           {"feature_extractor_teacher": COPY, "bow_extractor": "words of the teacher"}),
    Layout("VICReg's evaluation", r"0\.", {"1": "classifier"}),
    Layout("VISSL", r"_feature_blocks\.", {}),
    Layout("Barlow Twins, VICReg, Lightning, solo-learn, mmselfsup", r"backbone\.",
           {"fc": HEAD, "bn": HEAD, "encoder_q": TWICE, "online_net": TWICE}),
    Layout("OpenSelfSup, mmselfsup (contrastive)", r"encoder_q\.0\.", {"1": HEAD}),
    Layout("BYOL of mmselfsup", r"online_net\.0\.", {"1": HEAD}),
    Layout("SimCLR", r"(?:convnet|f)\.", {"g": HEAD}),
    Layout("SimCLR v2 of TensorFlow", r"(?:resnet\.)?", {"fc": "classifier"}, "simclr v2",
           ZERO_TO_ONE),
    Layout("Hugging Face", r"(?:resnet\.)?", {}, "hugging face"),
    Layout("Detectron2", "", {}, "detectron2"),
    Layout(DETECTRON2, r"backbone\.(?:bottom_up\.)?",
           dict.fromkeys(("proposal_generator", "roi_heads", "backbone"), DETECTOR), "detectron2"),
    Layout("torchvision detector", r"backbone\.body\.",
           dict.fromkeys(("fpn", "rpn", "roi_heads"), DETECTOR)),
)  # fmt: skip
"""The table. Where two rows fit, one of the spelling; then the one of whose `beside` more is there;
then the first."""


TENSORFLOW = Layout("SimCLR of TensorFlow", r"(?:resnet\.)?", {}, None, ZERO_TO_ONE)
"""Known by its memory, height, width, in, out, since `resnet.` stands before anybody's names."""

_MSRA = {"gamma": "s", "beta": "b", "running_mean": "rm", "running_var": "riv"}
_MSRA_NAME = re.compile(r"(.*?)_bn_(gamma|beta|running_mean|running_var)")


def _msra(name: str) -> BlobName | None:
    """Read a Caffe2 name, also with the norms' parts as MSRA's ResNets spell them."""
    match = _MSRA_NAME.fullmatch(name)
    if match is None:
        return parse_caffe2(name)
    layer = "res_conv1" if match[1] == "conv1" else match[1]
    return parse_caffe2(f"{layer}_bn_{_MSRA[match[2]]}")


NAMINGS: Mapping[str, Callable[[str], BlobName | None]] = {
    **{spelling: partial(parse_spelled, spelling=spelling) for spelling in SPELLINGS},
    "torchvision": parse_torch,
}
"""How names with dots are read; Caffe2's have none."""
_PARAMS = (".weight", ".bias", ".running_mean", ".running_var")
"""What every one of them ends with."""


@dataclass(frozen=True, kw_only=True)
class Encoder:
    """A network in a file.

    Attributes:
        prefix: What stands before its names.
        naming: Which of `NAMINGS` its names follow.
        names: The parts of its names, by the whole path of the array.
        layout: The row of the table that it was found by; `None` when it was found by its
            structure alone.
        beside: What becomes of every array that is no part of it, by its whole path.
    """

    prefix: str
    naming: str
    names: Mapping[str, BlobName]
    layout: Layout | None = None
    beside: Mapping[str, Fate] = field(default_factory=dict)


def find_encoders(paths: Iterable[str]) -> list[Encoder]:
    """Return every network that stands under a prefix of its own, the largest first.

    Example:
        >>> [found] = find_encoders(["model.module.conv1.weight",
        ...                          "model.module.layer1.0.conv1.weight"])
        >>> found.prefix, found.naming, len(found.names)
        ('model.module.', 'torchvision', 2)
    """
    found: dict[tuple[str, str], dict[str, BlobName]] = {}
    for path in paths:
        # No name has more parts, and a hostile one may have a million.
        dotted = NAMINGS if path.endswith(_PARAMS) else {}
        starts = [0, *(dot.end() for dot in _SEPARATOR.finditer(path))][-_MOST_PARTS:]
        seen = set()
        for start in starts:
            text = _INSIDE.sub("", path[start:])
            for naming, parse in (dotted if "." in text else {"caffe2": _msra}).items():
                if naming not in seen and (name := parse(text)) is not None:
                    found.setdefault((path[:start], naming), {})[path] = name
                    seen.add(naming)
    encoders = [
        Encoder(prefix=prefix, naming=naming, names=names)
        for (prefix, naming), names in found.items()
        if any(n.unit is not None or n.layer == "conv2" for n in names.values())
    ]
    encoders.sort(key=lambda encoder: -len(encoder.names))
    # A head may hold a layer or two of a name that networks have; it is no network. The same names
    # in two spellings are one network; the larger reading counts.
    largest: dict[str, Encoder] = {}
    for encoder in encoders:
        if len(encoder.names) > len(encoders[0].names) / 10:
            largest.setdefault(encoder.prefix, encoder)
    return list(largest.values())[:_MOST_ENCODERS]


def find_encoder(
    paths: Iterable[str],
    *,
    branch: str | None = None,
    prefix: str | None = None,
    under: str | None = None,
) -> Encoder:
    """Return the network that a file is about, and why its other arrays are left out.

    `branch`, `prefix` and `under` choose, as the commands' arguments of these names say.

    Raises:
        CheckpointError: No network, or several and no rule that chooses.
    """
    paths = list(paths)
    found = [replace(e, layout=_row(e, paths)) for e in find_encoders(paths)]
    asked = {"branch": branch, "prefix": prefix, "under": under}
    # Parts are whole: `encoder` is not `my_encoder`; a dot alone is the top level.
    last = (prefix or "").rstrip("./")
    ending = rf"(?:.*[./])?{re.escape(last)}[./]" if last else ""
    encoders = [
        encoder
        for encoder in found
        if (branch is None or branch in re.split("[./]", encoder.prefix))
        and (prefix is None or re.fullmatch(ending, encoder.prefix))
        and (under is None or encoder.prefix.startswith(f"{under}."))
    ]
    if not encoders:
        wish = " ".join(f"--{name} {value}" for name, value in asked.items() if value is not None)
        counts = Counter(".".join(path.split(".")[:-1][:2]) or path for path in paths)
        keys = [f"{key[:60]} ({count})" for key, count in counts.most_common()]
        raise CheckpointError(
            f"holds no network that is known here{' for ' * bool(wish)}{wish}; its keys: "
            + names_text(keys, 6),
            expected="a ResNet or one of the benchmark's AlexNets",
            remedy="Pass --prefix or --under if one of them holds it.",
        )
    first = _first(encoders)
    if len(first) != 1:
        several = [f"{e.prefix[:60] or 'top level'} ({len(e.names)})" for e in encoders]
        raise CheckpointError(
            f"holds {len(encoders)} networks and no rule that chooses: {names_text(several, 5)}",
            remedy="Choose with --branch, --prefix or --under.",
        )
    [chosen] = first
    rows = [e.layout for e in (chosen, *found) if e.layout is not None]
    reasons = {part: why for row in reversed(rows) for part, why in row.beside.items()}
    others = {path: e.prefix for e in found for path in e.names if path not in chosen.names}
    beside = _beside(paths, chosen, reasons, others)
    names = {path: name for path, name in chosen.names.items() if path not in beside}
    return replace(chosen, names=names, layout=rows[0] if rows else None, beside=beside)


def _row(encoder: Encoder, paths: Iterable[str]) -> Layout | None:
    """Return the row that fits a prefix: the one of whose `beside` most is there."""
    place = _WRAPPER.sub("", encoder.prefix)
    rows = [
        row
        for row in LAYOUTS
        if re.fullmatch(row.encoder, place) and row.spelling in (None, encoder.naming)
    ]
    parts = {part for path in paths if path not in encoder.names for part in path.split(".")}
    return max(
        rows,
        key=lambda row: (row.spelling is not None, len(parts & row.beside.keys())),
        default=None,
    )


def _first(encoders: list[Encoder]) -> list[Encoder]:
    """Leave out what stands beside encoders, then second ones, then those of no layout."""
    beside = {part: why for e in encoders if e.layout for part, why in e.layout.beside.items()}
    parts = {e.prefix: e.prefix.split(".") for e in encoders}
    own = [e for e in encoders if not beside.keys() & set(parts[e.prefix])] or encoders
    first = [e for e in own if not any(map(_SECOND.fullmatch, parts[e.prefix]))] or own
    first = [e for e in first if e.layout is not None] or first
    # A student that is another network than its teacher is no copy, it may be what is wanted.
    size = {e.prefix: sum(n.unit is not None for n in e.names.values()) for e in encoders}
    copies = [e for e in encoders if COPY in map(beside.get, parts[e.prefix])]
    return [*first, *(e for e in copies if size[e.prefix] != size[first[0].prefix])]


def _beside(
    paths: Iterable[str], encoder: Encoder, reasons: Mapping[str, str], others: Mapping[str, str]
) -> dict[str, Fate]:
    """Return what becomes of every array that is no part of the encoder, and why.

    `others` is the prefix of another encoder by the paths of its arrays.
    """
    fates: dict[str, Fate] = {}
    for path in paths:
        inside, place = path.startswith(encoder.prefix), others.get(path, path)
        parts = _SEPARATOR.split(place.removeprefix(encoder.prefix) if inside else place, _DEEPEST)
        # Further in, a name that tells a head elsewhere may be that of a part of a block.
        telling = parts[:1] if inside else parts
        row = next((reasons[part] for part in telling if part in reasons), None)
        if path in encoder.names and not (row and parts[0] == "fc"):  # MoCo v1's `fc` is a head
            continue
        if path.endswith("num_batches_tracked"):
            reason: str | None = COUNTER
        elif row or path in others:
            reason = row or COPY
        elif inside and encoder.naming == "caffe2":
            reason = None
        else:
            found = [int(match.lastindex or 0) for t in telling if (match := _TOLD.fullmatch(t))]
            outside = None if inside or encoder.naming == "caffe2" else OUTSIDE
            reason = _BESIDE[min(found) - 1][1] if found else outside
        fates[path] = unknown(path) if reason is None else dropped(path, reason)
    return fates
