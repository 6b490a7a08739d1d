"""One model on its way from a file to another: opened, recognised, every array accounted for.

Here any file of a known layout becomes a network in Caffe2 names of one tower. The commands
render those names for their target and say what became of each; `Model.account` joins the two.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from sslprep import manifest
from sslprep.atomic import MANIFEST_SUFFIX
from sslprep.checkpoints import preprocessing
from sslprep.checkpoints.account import HEAD, MOMENTUM, Fate, are, dropped, kept, refuse_unknown
from sslprep.checkpoints.arrays import StoredArray
from sslprep.checkpoints.batchnorm import Arrays
from sslprep.checkpoints.layouts import DETECTRON2, TENSORFLOW, Encoder, find_encoder
from sslprep.checkpoints.names import BOOKKEEPING, BlobName, parse_caffe2, respelled
from sslprep.checkpoints.networks import Network
from sslprep.checkpoints.open import Contents, open_checkpoint
from sslprep.checkpoints.preprocessing import Preprocessing
from sslprep.checkpoints.recognise import (
    check_shapes,
    check_values,
    missing_blobs,
    raise_together,
    recognise,
    refuse_others,
)
from sslprep.checkpoints.towers import choose_tower, tower_distances, towers_of
from sslprep.errors import CheckpointError, ManifestError
from sslprep.input_files import sha256_of

logger = logging.getLogger(__name__)

MARK = "sslprep"
"""Top-level key beside the blobs that says what was done to them; others' readers pass it over."""


@dataclass(kw_only=True)
class Model:
    """A network in Caffe2 names, of one tower, whose arrays are still in the file.

    Attributes:
        path: The file.
        network: What it is.
        preprocessing: What it takes.
        encoder: Where in the file it stands.
        names: The parts of each of its names; momentum too.
        fates: By what each array of the file is called there, what became of it so far: its
            Caffe2 name, or why it is left out. In the file's order.
        stored: The arrays and numbers themselves, by what they are called in the file.
        shapes: Of its blobs by Caffe2 name; a bare number has none.
        mark: What sslprep noted in the file when it wrote it.
        facts: What sslprep noted in the file's metadata or the manifest beside it.
        sha256: Hash of the file, where a manifest beside it asked for it.
        towers: The towers in the file.
        tower: The one that was taken, `None` where there are none.
        distances: How far the other towers' norms are from those taken.
        missing: Blobs that the network lacks, with the user's leave.
        warnings: What may be wrong.
    """

    path: Path
    network: Network = field(init=False)
    preprocessing: Preprocessing = field(init=False)
    encoder: Encoder
    names: dict[str, BlobName]
    fates: dict[str, Fate]
    stored: Mapping[str, Any]
    shapes: dict[str, tuple[int, ...]]
    mark: dict[str, Any]
    facts: Mapping[str, Any]
    sha256: str | None
    towers: tuple[int, ...]
    tower: int | None
    distances: dict[str, dict[str, Any]]
    missing: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def caffe2(self) -> bool:
        """Whether the file has Caffe2's names."""
        return self.encoder.naming == "caffe2"

    @property
    def folded(self) -> bool:
        """Whether the batch norms are affine layers already, as Detectron wants them."""
        norms = [name for name in self.names.values() if name.is_norm and not name.momentum]
        return bool(norms) and not any(name.param in ("rm", "riv") for name in norms)

    @property
    def channels(self) -> int:
        """How many channels conv1 takes."""
        return len(self.preprocessing.mean)

    @property
    def trainer(self) -> str | None:
        """Who saves so, where what stands before the names shows it."""
        layout = self.encoder.layout
        return layout.name if layout and layout.encoder and not self.caffe2 else None

    @property
    def describe(self) -> str:
        """What it is, such as `R-50, Jigsaw with 9 towers` or `R-50 (MoCo v1/v2, DenseCL)`."""
        text = self.network.describe
        if self.towers:
            return f"{text}, Jigsaw with {len(self.towers)} tower{'s' * (len(self.towers) > 1)}"
        if self.network.colorization:
            return f"{text}, colorization"
        return f"{text} ({self.trainer})" if self.trainer else text

    def value(self, text: str) -> Any:
        """Read an array, or return a bare number, by what it is called in the file."""
        stored = self.stored[text]
        return stored.load() if isinstance(stored, StoredArray) else stored

    def weights(self, *, momentum: bool = False) -> Arrays:
        """Read the blobs of the model as float32, and check their values."""
        arrays, other, problems = {}, [], []
        for text, fate in self.fates.items():
            name = self.names.get(fate.became or "")
            if name is None or (name.momentum and not momentum):
                continue
            array = self.value(text)
            if array.dtype.kind != "f":
                problems.append(f"{text} holds {array.dtype}, not floats")
                continue
            if array.dtype != np.float32:
                other.append(text)
            with np.errstate(over="ignore"):
                arrays[str(fate.became)] = np.asarray(array, dtype=np.float32)
        try:
            raise_together(problems, remedy="No network is trained in these.")
            model = {n: a for n, a in arrays.items() if not self.names[n].momentum}
            dead = check_values(model)
        except CheckpointError as error:
            raise error.at(self.path) from error
        if other:
            self.warn(f"{len(other)} blobs were not float32, the first {other[0]}")
        if dead:
            count = sum(int((arrays[name] == 0).sum()) for name in dead)
            self.warn(f"{count} variances are 0 (dead filters), the first in {dead[0]}")
        return arrays

    def warn(self, text: str) -> None:
        """Note what may be wrong with the file."""
        self.warnings.append(f"{self.path}: {text}")

    def keep_unknown(self) -> dict[str, Any]:
        """Keep and read the arrays that no rule knows, where they are beside Caffe2's names."""
        unknown = [t for t, fate in self.fates.items() if self.caffe2 and fate.action == "unknown"]
        self.fates |= {text: replace(self.fates[text], became=text) for text in unknown}
        return {text: self.value(text) for text in unknown}

    def marked(self, takes: Preprocessing, **more: Any) -> dict[str, Any]:
        """Return the top-level key that says in a pickle what cannot be seen or guessed there."""
        mark = {key: value for key, value in self.mark.items() if key != "channels"} | more
        mark |= {"channels": "rgb"} if takes.order == "RGB" else {}
        return {MARK: mark} if mark else {}

    def account(self, outcomes: Mapping[str, Fate]) -> list[Fate]:
        """Return what became of every array, from what the target made of each Caffe2 name."""
        whole = []
        for text, fate in self.fates.items():
            after = None if fate.action == "unknown" else outcomes.get(fate.became or "")
            if after is not None and after.action in ("kept", "renamed"):
                fate = kept(text, str(after.became), after.reason or fate.reason)
            elif after is not None:
                fate = replace(after, blob=text, reason=after.reason or fate.reason)
            elif fate.became in BOOKKEEPING:
                fate = dropped(text, "bookkeeping of the training run")
            elif (name := self.names.get(fate.became or "")) and name.momentum:
                fate = dropped(text, MOMENTUM)
            elif name is not None and name.param == "b":
                fate = Fate(blob=text, became=None, action="folded", reason="into its norm's mean")
            whole.append(fate)
        return whole

    def details(self, fates: Iterable[Fate]) -> dict[str, Any]:
        """Return what every manifest of a conversion holds under `details`."""
        layout = self.encoder.layout
        record: dict[str, Any] = {
            "model": self.describe,
            "arch": self.network.arch,
            "input_channels": self.channels,
            "source": {
                "names": self.encoder.naming,
                "prefix": self.encoder.prefix,
                "layout": None if self.caffe2 or layout is None else layout.name,
                "preprocessing": self.preprocessing.record(),
            },
        }
        if self.towers:
            record["towers"] = {
                "taken": self.tower,
                "present": list(self.towers),
                "norms_apart": self.distances,
            }
        return {**record, "account": list(fates)}


def open_model(
    path: Path, *, allow_unknown: bool = False, allow_missing: bool = False, **wanted: Any
) -> Model:
    """Open a checkpoint and find its network, as `find_model` does with what is `wanted` of it.

    Raises:
        UnsafeFileError: The file cannot be read safely.
        CheckpointError: No network that is supported, or not a whole and sound one.
    """
    contents = open_checkpoint(path)
    try:
        model = find_model(contents, **wanted)
        refuse_unknown(model.fates.values(), allow_unknown=allow_unknown)
        _check(model, allow_missing=allow_missing)
    except CheckpointError as error:
        raise error.at(path) from error
    return model


def find_model(
    contents: Contents,
    *,
    tower: int | None = None,
    need_towers: bool = False,
    **choice: str | None,
) -> Model:
    """Find the network of an opened file, whole or not, and account for every array.

    Args:
        contents: The file.
        tower: The tower to take; by default 0 where there are towers.
        need_towers: Whether a file without towers is an error. One whose towers `convert
            detectron` took is none: both orders of the two commands must work.
        choice: Which encoder, see `find_encoder`.
    """
    keys = {".".join(key): key for key in contents.arrays}
    if len(keys) < len(contents.arrays):
        raise CheckpointError("has two arrays of one name in different dicts")
    stored: dict[str, Any] = {path: contents.arrays[key] for path, key in keys.items()}
    encoder = _encoder(stored, choice)
    caffe2 = encoder.naming == "caffe2"
    (facts, sha256), found = _noted(contents), contents.extra.get(MARK)
    noted = found.items() if isinstance(found, dict) else ()
    mark = {key: value for key, value in noted if (key, type(value)) in _MARKS}
    # The path of the dict that holds the encoder's arrays, with a dot behind it.
    first = next(iter(encoder.names))
    root = first.removesuffix(keys[first][-1])
    # Caffe2 notes its iteration as a bare number among the blobs.
    numbers = {".".join(k): v for k, v in contents.values.items() if isinstance(v, int | float)}
    last = {p: p.removeprefix(root).rpartition("/")[2] for p in (*stored, *numbers)}
    notes = {path: name for path, name in last.items() if caffe2 and name in BOOKKEEPING}
    stored |= {path: number for path, number in numbers.items() if path in notes}
    # What each array is called: as in that dict, or by its whole path where the top has one
    # of that name.
    texts = {p: p if (text := p.removeprefix(root)) in stored else text for p in stored}
    values = {texts[path]: value for path, value in stored.items()}
    names = {texts[path]: name for path, name in _respelled(encoder, facts).items()}
    towers, chosen, distances = towers_of(names.values()), {}, {}
    if towers or (need_towers and "tower" not in mark):
        chosen = choose_tower(names, tower or 0)
        distances = tower_distances(values, names, chosen)
    elif tower not in (None, mark.get("tower")):
        raise CheckpointError(
            f"has no towers, so no tower {tower} to take",
            remedy="Take it from the original Jigsaw model, or leave --tower out.",
        )
    fates = {texts[path]: replace(f, blob=texts[path]) for path, f in encoder.beside.items()}
    fates |= {texts[path]: kept(texts[path], name) for path, name in notes.items()}
    fates |= {text: chosen.get(text) or kept(text, str(name)) for text, name in names.items()}
    taken: dict[str, str] = {}
    for text in names:
        if (became := fates[text].became) in taken:
            raise CheckpointError(
                f"{taken[became]} and {text} would both become {became}",
                remedy="The file mixes two models; choose with --prefix or --under.",
            )
        if became is not None:
            taken[became] = text
    singles = {became: names[text].without_tower() for became, text in taken.items()}
    shapes = {became: values[text].shape for became, text in taken.items()}
    model = Model(
        path=contents.path,
        encoder=encoder,
        names=singles,
        fates={text: fates[text] for text in values},  # in the file's order
        stored=values,
        shapes=shapes,
        mark=mark,
        facts=facts,
        sha256=sha256,
        towers=towers,
        tower=(tower or 0) if towers else None,
        distances=distances,
    )
    model.network, model.preprocessing = _recognise(contents, model)
    return model


def _encoder(arrays: Mapping[str, StoredArray], choice: Mapping[str, str | None]) -> Encoder:
    """Find the encoder among arrays by their paths, and heads beside its layers by their axes."""
    shapes = {path: array.shape for path, array in arrays.items()}
    try:
        encoder = find_encoder(shapes, **choice)
    except CheckpointError:
        refuse_others(shapes)
        raise
    start = encoder.prefix
    refuse_others({p[len(start) :]: shape for p, shape in shapes.items() if p.startswith(start)})
    conv1 = next((arrays[p] for p, name in encoder.names.items() if str(name) == "conv1_w"), None)
    of_tensorflow = conv1 is not None and (conv1.strides or ())[:2] == (1, *conv1.shape[:1])
    if of_tensorflow and not (encoder.layout and encoder.layout.encoder):
        encoder = replace(encoder, layout=TENSORFLOW)
    # What takes pictures has four axes; matrices and vectors alone take the pooled features.
    modules = {path: path.removeprefix(start).partition(".")[0] for path in shapes}
    layers = {modules[path] for path in encoder.names}
    axes: dict[str, int] = {}
    for path, module in modules.items():
        axes[module] = max(axes.get(module, 0), len(shapes[path]))
    heads = {
        path: dropped(path, HEAD)
        for path, fate in encoder.beside.items()
        if fate.action == "unknown" and encoder.naming != "caffe2"
        if axes[modules[path]] == 2 and modules[path] not in layers
    }
    return replace(encoder, beside={**encoder.beside, **heads})


def _respelled(encoder: Encoder, facts: Mapping[str, Any]) -> dict[str, BlobName]:
    """Return the encoder's names as the network that they come from spells them in Caffe2."""
    names = dict(encoder.names)
    if encoder.naming == "caffe2":
        return names
    classifier = facts.get("classifier")
    if isinstance(classifier, str) and parse_caffe2(f"{classifier}_w") is not None:
        names |= {
            path: replace(name, layer=classifier)
            for path, name in names.items()
            if name.layer == "pred" and path.removeprefix(encoder.prefix).startswith("fc.")
        }
    return respelled(names)


_MARKS = (("absorbed_std", bool), ("tower", int), ("channels", str))
"""What sslprep may have noted in a file; nothing else that stands there counts."""


def _noted(contents: Contents) -> tuple[Mapping[str, Any], str | None]:
    """Look up what sslprep noted when it wrote a file: in the file, or in the manifest beside it.

    A manifest counts only when the file is still the one that it describes; with its facts comes
    the file's hash.
    """
    if contents.extra.get("source") == "caffe2":
        return contents.extra, None
    path = contents.path
    beside = path.with_name(path.name + MANIFEST_SUFFIX)
    if not beside.is_file():
        return {}, None
    try:
        record = manifest.read(beside)
    except ManifestError as error:
        logger.warning("%s; it is passed over", error)
        return {}, None
    sha256 = sha256_of(path)
    same = any(out.file == path.name and out.sha256 == sha256 for out in record.outputs)
    return (record.details if same else {}), sha256


_BGR_AUTHORS = ("Caffe2", "Detectron2 Model Zoo", MARK)


def _pixels(contents: Contents) -> Preprocessing | None:
    """Return what a detector takes, by the `pixel_mean` and `pixel_std` that some files hold."""
    found = {
        key[-1]: tuple(array.load().ravel().tolist())
        for key, array in contents.arrays.items()
        if key[-1] in ("pixel_mean", "pixel_std")
        and array.shape in ((3,), (3, 1, 1))
        and array.dtype.kind == "f"
    }
    mean, std = found.get("pixel_mean", ()), found.get("pixel_std", ())
    if not (mean and std and np.isfinite(mean + std).all() and min(std) > 0 and mean[0] != mean[2]):
        return None
    return Preprocessing(order="BGR" if mean[0] < mean[2] else "RGB", mean=mean, std=std)


def _recognise(contents: Contents, model: Model) -> tuple[Network, Preprocessing]:
    """Return a model's network and what it takes, from shapes and from who wrote the file."""
    encoder, facts = model.encoder, model.facts
    inside = [path[len(encoder.prefix) :] for path in encoder.names]
    msra = any("_bn_gamma" in name or name.startswith("fc1000_") for name in inside)
    author, pixels = str(contents.values.get(("__author__",), "")), _pixels(contents)
    if encoder.layout and encoder.layout.name == DETECTRON2 and not author and pixels is None:
        model.warn(
            "nothing in a detector says which colours it takes and where its strides stand; RGB "
            "and the 3×3 are assumed, Detectron2's own have BGR and the 1×1"
        )
    # A detector whose pixels are not divided began from MSRA's ResNet, as Detectron2's own do.
    msra |= author == "Detectron2 Model Zoo" if pixels is None else not pixels.divides
    shapes = {name: shape for name, shape in model.shapes.items() if not model.names[name].momentum}
    network = recognise(
        shapes,
        caffe2=model.caffe2
        or facts.get("source") == "caffe2"
        or "colorization" in str(facts.get("model", "")),
        stride_in_1x1=msra or facts.get("stride_in_1x1") is True,
    )
    conv1 = shapes.get("conv1_w", ())
    if len(conv1) == 4 and conv1[1] != 3:
        other = preprocessing.unknown(conv1[1])
        return network, preprocessing.LIGHTNESS if network.colorization else other
    with suppress(msgspec.ValidationError):  # no manifest says it
        return network, msgspec.convert(facts.get("preprocessing"), Preprocessing)
    if pixels is not None:
        return network, pixels
    takes = encoder.layout.preprocessing if encoder.layout else preprocessing.IMAGENET_RGB
    if msra or network.kind == "CaffeNet":
        takes = preprocessing.CAFFENET.reversed()
    bgr = author in _BGR_AUTHORS if author else model.caffe2
    if (noted := model.mark.get("channels") or facts.get("channels")) is not None:
        bgr = noted == "bgr"
    takes = takes.reversed() if bgr else takes
    return network, takes.absorbed() if model.mark.get("absorbed_std") else takes


def _check(model: Model, *, allow_missing: bool) -> None:
    check_shapes(model.network, model.shapes, model.channels)
    if (usual := model.network.nearly) and not allow_missing:
        raise CheckpointError(
            f"is a {model.network.describe}: {usual} but for one stage, so a block may be missing",
            remedy="Pass --allow-missing if it is whole.",
        )
    missing = missing_blobs(model.network, model.names)
    if missing and not allow_missing:
        raise CheckpointError(
            f"{are(missing)} missing",
            expected="a whole network",
            remedy="Pass --allow-missing to go on without them.",
        )
    model.missing = missing
    if missing:
        model.warn(f"{len(missing)} blobs are missing, the first {missing[0]}")
