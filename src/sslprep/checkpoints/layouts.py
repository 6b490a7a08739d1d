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

from sslprep.checkpoints.account import Fate, dropped, unknown
from sslprep.checkpoints.names import BlobName, parse_caffe2, parse_detectron2, parse_torch
from sslprep.checkpoints.preprocessing import IMAGENET_RGB, ZERO_TO_ONE, Preprocessing
from sslprep.errors import CheckpointError

HEAD = "projection head"
QUEUE = "queue of keys"
COPY = "a second encoder; --branch takes it"
OPTIMIZER = "state of the optimizer"
COUNTER = "counter of the batch norm"


_SEPARATOR = re.compile("[./]")


@dataclass(frozen=True, kw_only=True)
class Layout:
    """A trainer's way of saving a network.

    Attributes:
        name: Who saves so.
        encoder: Regular expression of what stands before the encoder's names, once `_WRAPPERS`
            are taken off.
        beside: Why arrays are left out whose path has a part of this name.
        preprocessing: What its networks take.
    """

    name: str
    encoder: str = ""
    beside: Mapping[str, str] = field(default_factory=dict)
    preprocessing: Preprocessing = IMAGENET_RGB


_WRAPPERS = re.compile(
    r"(?:(?:blobs|state_dict|model|model_state_dict|model_state|module|network|net|trunk|base_model"
    r"|classy_state_dict|weights|params|gpu_[0-9]+|_orig_mod)[./])*"
)
_EMA = dict.fromkeys(
    ("state_dict_ema", "model_ema", "ema_state_dict", "ema", "ema_model"),
    "moving average of the weights; --branch takes it",
)

LAYOUTS: tuple[Layout, ...] = (
    Layout(name="torchvision names", beside=_EMA),
    Layout(
        name="MoCo v1/v2, DenseCL",
        encoder=r"encoder_q\.",
        beside={"encoder_k": COPY, "queue": QUEUE, "queue_ptr": QUEUE,
                "queue2": QUEUE, "queue2_ptr": QUEUE, "fc": HEAD},
    ),
    Layout(
        name="MoCo v3",
        encoder=r"base_encoder\.",
        beside={"momentum_encoder": COPY, "predictor": "predictor", "fc": HEAD, "head": HEAD},
    ),
    Layout(
        name="SimSiam",
        encoder=r"encoder\.",
        beside={"predictor": "predictor", "projector": HEAD, "fc": HEAD},
    ),
    Layout(name="SwAV", beside={"projection_head": HEAD, "prototypes": "prototypes"}),
    Layout(
        name="DINO",
        encoder=r"teacher\.(?:module\.)?backbone\.",
        beside={"student": COPY, "head": HEAD, "dino_loss": "loss", "fp16_scaler": OPTIMIZER},
    ),
    Layout(
        name="VISSL",
        encoder=r"_feature_blocks\.",
        beside={"heads": HEAD, "loss": "loss", "meta": "loss"},
    ),
    Layout(
        name="Barlow Twins, VICReg, Lightning, solo-learn, mmselfsup",
        encoder=r"backbone\.",
        beside={"projector": HEAD, "predictor": "predictor", "classifier": "classifier",
                "neck": HEAD, "head": HEAD, "projection_head": HEAD, "fc": HEAD,
                "prediction_head": "predictor", "bn": HEAD, "momentum_backbone": COPY,
                "backbone_momentum": COPY,
                "momentum_projector": HEAD, "projection_head_momentum": HEAD, "queue": QUEUE,
                "online_classifier": "classifier", "prototypes": "prototypes",
                "target_generator": "target of the pretext task"},
    ),
    Layout(
        name="OpenSelfSup, mmselfsup (contrastive)",
        encoder=r"encoder_q\.0\.",
        beside={"encoder_k": COPY, "queue": QUEUE, "queue_ptr": QUEUE,
                "queue_idx": QUEUE, "neck": HEAD, "head": HEAD, "1": HEAD},
    ),
    Layout(
        name="BYOL of mmselfsup",
        encoder=r"online_net\.0\.",
        beside={"target_net": COPY, "neck": HEAD, "head": HEAD, "1": HEAD},
    ),
    Layout(name="SimCLR", encoder=r"(?:convnet|f)\.", beside={"projector": HEAD, "g": HEAD}),
    Layout(
        name="SimCLR of TensorFlow",
        encoder=r"resnet\.",
        beside={"head": HEAD, "fc": "classifier"},
        preprocessing=ZERO_TO_ONE,
    ),
    Layout(name="Hugging Face", encoder=r"resnet\.", beside={"classifier": "classifier"}),
    Layout(
        name="Detectron2 detector",
        encoder=r"backbone\.(?:bottom_up\.)?",
        beside={"proposal_generator": "detector", "roi_heads": "detector", "backbone": "detector",
                "pixel_mean": "detector", "pixel_std": "detector"},
    ),
)  # fmt: skip
"""The table. Where two rows fit, the one of whose `beside` more is there; then the first."""

_TRAINING = {
    "optimizer": OPTIMIZER, "optimizers": OPTIMIZER, "optimizer_states": OPTIMIZER,
    "lr_schedulers": OPTIMIZER, "scheduler": OPTIMIZER, "scaler": OPTIMIZER, "amp": OPTIMIZER,
    "momentum_buffer": OPTIMIZER, "exp_avg": OPTIMIZER, "exp_avg_sq": OPTIMIZER,
    "loss": "loss", "criterion": "loss", "loops": "state of the trainer",
    "callbacks": "state of the trainer", "rng_state": "state of the trainer",
    "hyper_parameters": "state of the trainer",
}  # fmt: skip
"""Parts of a path that name no part of any network."""


Naming = Callable[[str], BlobName | None]

_MSRA = {"gamma": "s", "beta": "b", "running_mean": "rm", "running_var": "riv"}
_MSRA_NAME = re.compile(r"(.*?)_bn_(gamma|beta|running_mean|running_var)")
_LIGHTLY = re.compile(r"(?P<place>[014567])\.(?P<rest>.+)")
_LIGHTLY_PLACES = {"0": "conv1", "1": "bn1", "4": "layer1", "5": "layer2", "6": "layer3",
                   "7": "layer4"}  # fmt: skip
_HUGGING_FACE = re.compile(
    r"(?:embedder\.embedder|encoder\.stages\.(?P<stage>[0-3])\.layers\.(?P<block>[0-9]+)"
    r"\.(?:(?P<shortcut>shortcut)|layer\.(?P<number>[0-2])))"
    r"\.(?P<kind>convolution|normalization)\.(?P<param>\w+)"
)


def _msra(name: str) -> BlobName | None:
    """Read a Caffe2 name, also with the norms' parts as MSRA's ResNets spell them."""
    match = _MSRA_NAME.fullmatch(name)
    if match is None:
        return parse_caffe2(name)
    layer = "res_conv1" if match[1] == "conv1" else match[1]
    return parse_caffe2(f"{layer}_bn_{_MSRA[match[2]]}")


def _lightly(name: str) -> BlobName | None:
    match = _LIGHTLY.fullmatch(name)
    return None if match is None else parse_torch(f"{_LIGHTLY_PLACES[match[1]]}.{match['rest']}")


def _hugging_face(name: str) -> BlobName | None:
    match = _HUGGING_FACE.fullmatch(name)
    if match is None:
        return None
    norm = match["kind"] == "normalization"
    if match["stage"] is None:
        place = "bn1" if norm else "conv1"
    else:
        within = f"downsample.{int(norm)}"
        if not match["shortcut"]:
            within = f"{'bn' if norm else 'conv'}{int(match['number']) + 1}"
        place = f"layer{int(match['stage']) + 1}.{match['block']}.{within}"
    return parse_torch(f"{place}.{match['param']}")


NAMINGS: Mapping[str, Naming] = {
    "caffe2": _msra,
    "torchvision": parse_torch,
    "detectron2": parse_detectron2,
    "lightly": _lightly,
    "hugging face": _hugging_face,
}


@dataclass(frozen=True, kw_only=True)
class Encoder:
    """A network in a file.

    Attributes:
        prefix: What stands before its names.
        naming: Which of `NAMINGS` its names follow.
        names: The parts of its names, by the whole path of the array.
        layout: The row of the table that it was found by; `None` when it was found by its
            structure alone.
        others: What stands before the names of the file's other networks.
        beside: Why other arrays are left out, by a part of their path.
    """

    prefix: str
    naming: str
    names: Mapping[str, BlobName]
    layout: Layout | None = None
    others: tuple[str, ...] = ()
    beside: Mapping[str, str] = field(default_factory=dict)


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
        starts = [0, *(dot.end() for dot in _SEPARATOR.finditer(path))]
        for naming, parse in NAMINGS.items():
            for start in starts:
                name = parse(path[start:])
                if name is not None:
                    found.setdefault((path[:start], naming), {})[path] = name
                    break
    encoders = [
        Encoder(prefix=prefix, naming=naming, names=names)
        for (prefix, naming), names in found.items()
        if any(n.unit is not None or n.layer == "conv2" for n in names.values())
    ]
    # A head may hold a layer or two of a name that networks have; it is no network.
    largest = max((len(encoder.names) for encoder in encoders), default=0)
    encoders = [encoder for encoder in encoders if len(encoder.names) > largest / 10]
    return sorted(encoders, key=lambda encoder: -len(encoder.names))


def find_encoder(
    paths: Iterable[str], *, branch: str | None = None, prefix: str | None = None,
    under: str | None = None,
) -> Encoder:  # fmt: skip
    """Return the network that a file is about, from the whole paths of all arrays.

    `open_model` says what the other arguments are.

    Raises:
        CheckpointError: No network, or several and no rule that chooses.
    """
    paths = list(paths)
    found = [replace(e, layout=_row(e, paths)) for e in find_encoders(paths)]
    asked = [f"--{k} {v}" for k, v in (("branch", branch), ("prefix", prefix), ("under", under))
             if v is not None]  # fmt: skip
    encoders = [
        encoder
        for encoder in found
        if (branch is None or branch in re.split("[./]", encoder.prefix))
        and (prefix is None or encoder.prefix.endswith(f"{prefix.rstrip('.')}.".lstrip(".")))
        and (under is None or encoder.prefix.startswith(f"{under}."))
    ]
    if not encoders:
        wish = f" for {' '.join(asked)}" if asked else ""
        raise CheckpointError(
            f"holds no network that is known here{wish}; its keys: {keys_text(paths)}",
            expected="a ResNet or one of the benchmark's AlexNets",
            remedy="Pass --prefix or --under if one of them holds it.",
        )
    chosen = _choose(encoders)
    if chosen is None:
        names = ", ".join(f"{e.prefix[:60] or 'top level'} ({len(e.names)})" for e in encoders[:5])
        raise CheckpointError(
            f"holds {len(encoders)} networks and no rule that chooses: {names}",
            remedy="Choose with --branch, --prefix or --under.",
        )
    rows = [e.layout for e in (chosen, *found) if e.layout is not None]
    beside: dict[str, str] = {}
    for row in reversed(rows):
        beside |= row.beside
    others = tuple(e.prefix for e in found if e.prefix != chosen.prefix)
    layout = rows[0] if rows else None
    return replace(chosen, layout=layout, others=others, beside=beside)


def _row(encoder: Encoder, paths: Iterable[str]) -> Layout | None:
    """Return the row that fits a prefix: the one of whose `beside` most is there."""
    place = encoder.prefix[_WRAPPERS.match(encoder.prefix).end() :]  # type: ignore[union-attr]
    rows = [row for row in LAYOUTS if re.fullmatch(row.encoder, place)]
    parts = {part for path in paths if path not in encoder.names for part in path.split(".")}
    return max(rows, key=lambda row: len(parts & row.beside.keys()), default=None)


def _choose(encoders: list[Encoder]) -> Encoder | None:
    if len(encoders) == 1:
        return encoders[0]
    known = [encoder for encoder in encoders if encoder.layout is not None]
    second = {part for e in known for part in e.layout.beside} if known else set()  # type: ignore[union-attr]
    first = [e for e in known if not second & set(e.prefix.split("."))]
    # The same names in two spellings are one network; the larger reading comes first.
    same = {e.prefix for e in first}
    return first[0] if first and (len(first) == 1 or len(same) == 1) else None


def account_beside(paths: Iterable[str], encoder: Encoder) -> dict[str, Fate]:
    """Return what becomes of every array that is no part of the encoder, and why."""
    beside = encoder.beside
    fates: dict[str, Fate] = {}
    for path in paths:
        inside = path.startswith(encoder.prefix)
        parts = re.split("[./]", path.removeprefix(encoder.prefix) if inside else path)
        reason = next((beside[part] for part in parts if part in beside), None)
        if path in encoder.names and (reason is None or parts[0] != "fc"):
            continue
        if parts[-1] == "num_batches_tracked" and (inside or reason is None):
            reason = COUNTER
        elif reason is None and any(path.startswith(other) for other in encoder.others if other):
            reason = COPY
        reason = reason or next((_TRAINING[part] for part in parts if part in _TRAINING), None)
        if reason is None and inside and parts[0] in ("fc", "head", "classifier"):
            reason = HEAD
        fates[path] = unknown(path) if reason is None else dropped(path, reason)
    return fates


def keys_text(paths: Iterable[str], limit: int = 6) -> str:
    """List the first two keys of paths, with how many arrays each holds.

    Example:
        >>> keys_text(["a.b.w", "a.b.v", "c"])
        'a.b (2), c (1)'
    """
    counts = Counter(".".join(path.split(".")[:-1][:2]) or path for path in paths)
    shown = [f"{key[:60]} ({count})" for key, count in counts.most_common(limit)]
    return ", ".join(shown) + (f" and {len(counts) - limit} more" if len(counts) > limit else "")
