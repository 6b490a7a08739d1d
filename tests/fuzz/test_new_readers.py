"""Lists of images, the devkit's meta.mat, VOC's XML, checkpoints by layout, features and scores."""

import io
import json
import os
import random
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.io import savemat
from tests.fuzz.guard import Place, examples, place, scramble, scrambled, spoilt_json

from sslprep import inspect, write_folders, write_voc
from sslprep.checkpoints.detectron import convert_detectron
from sslprep.errors import SslprepError
from sslprep.evaluate.full import evaluate_full
from sslprep.evaluate.lowshot import evaluate_lowshot
from sslprep.evaluate.scores import evaluate_scores
from sslprep.lowshot.identify import identify_splits
from sslprep.lowshot.multilabel import draw_multilabel_samples

LIST = b"a/abbey/1.jpg 0\nb/beach/2.jpg 1\n/a/abbey/3 4.jpg\t0\n"
ALONE = b"n01/n01_1.JPEG\nn02/n02_2.JPEG\n"
XML = b"""<?xml version="1.0" encoding="utf-8"?>
<annotation><filename>1.jpg</filename><object><name>cat</name><difficult>1</difficult></object>
<object><name>dog</name><difficult>0</difficult></object></annotation>"""


@examples(60)
@given(scrambled(LIST), st.booleans())
def test_lists_and_the_images_that_a_subset_keeps(data: bytes, subset: bool) -> None:
    with place() as at:
        chosen = at.folder / "list.txt"
        chosen.write_bytes(data)
        if not subset:
            at.attempt(write_folders, source=at.inputs, output=at.out, list=(chosen,))
            return
        for name in ("n01", "n02"):
            (at.inputs / "train" / name).mkdir(parents=True)
            (at.inputs / "train" / name / f"{name}_1.JPEG").write_bytes(b"")
        at.attempt(write_folders, source=at.inputs, output=at.out, subset=chosen)


@examples(60)
@given(scrambled(ALONE))
def test_lists_to_be_identified(data: bytes) -> None:
    with place() as at:
        path = at.inputs / "list.txt"
        path.write_bytes(data)
        at.attempt(identify_splits, files=(path,))


@cache
def meta(compressed: bool) -> bytes:
    table = np.zeros((3, 1), [("ILSVRC2012_ID", object), ("WNID", object)])
    for row, (number, synset) in enumerate([(1, "n1"), (2, "n2"), (3, "n3")]):
        table[row, 0] = (number, synset)
    file = io.BytesIO()
    savemat(file, {"synsets": table}, do_compression=compressed)
    return file.getvalue()


@examples(60)
@given(st.integers(0, 2**32), st.booleans())
def test_the_devkit(seed: int, compressed: bool) -> None:
    """Compressed files with changed bytes, others cut off.

    SciPy's reader can run for minutes where a number of an uncompressed file says so.
    """
    numbers = random.Random(seed)
    data = bytearray(meta(compressed))
    for _ in range(numbers.randint(1, 4) if compressed else 0):
        data[numbers.randrange(136, len(data))] = numbers.randrange(256)
    if not compressed:
        del data[numbers.randrange(len(data)) :]
    with place() as at:
        for part, name in (("train/n1", "x"), ("train/n2", "x"), ("val", "v1"), ("val", "v2")):
            (at.inputs / part).mkdir(parents=True, exist_ok=True)
            (at.inputs / part / f"{name}.JPEG").write_bytes(b"")
        devkit = at.folder / "data"
        devkit.mkdir()
        (devkit / "ILSVRC2012_validation_ground_truth.txt").write_text("2\n1\n")
        (devkit / "meta.mat").write_bytes(bytes(data))
        at.attempt(write_folders, source=at.inputs, output=at.out, val_labels=devkit)


def voc_without_lists(at: Place, data: bytes) -> None:
    (at.inputs / "JPEGImages").mkdir()
    (at.inputs / "Annotations").mkdir()
    (at.inputs / "ImageSets" / "Main").mkdir(parents=True)
    (at.inputs / "ImageSets" / "Main" / "train.txt").write_text("1\n2\n")
    (at.inputs / "Annotations" / "1.xml").write_bytes(XML)
    (at.inputs / "Annotations" / "2.xml").write_bytes(data)


@examples(100)
@given(scrambled(XML))
def test_voc_annotations(data: bytes) -> None:
    with place() as at:
        voc_without_lists(at, data)
        at.attempt(write_voc, source=at.inputs, output=at.out, partitions=("train",))


ENTITIES = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 9 if n else "ha" * 9}">' for n in range(9))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-le"])
def test_entities_that_would_fill_any_memory(encoding: str) -> None:
    bomb = f"<!DOCTYPE a [{ENTITIES}]><annotation><object><name>&e8;</name></object></annotation>"
    with place() as at:
        voc_without_lists(at, bomb.encode(encoding))
        found = at.attempt(write_voc, source=at.inputs, output=at.out, partitions=("train",))
        assert "2.xml: not readable XML" in str(found)


@cache
def layouts() -> tuple[tuple[str, bytes], ...]:
    """Save a small ResNet as some trainers do."""
    torch = pytest.importorskip("torch")
    names = {"conv1.weight": (4, 3, 7, 7), "bn1.weight": (4,), "bn1.running_var": (4,)}
    state = {name: torch.ones(shape) for name, shape in names.items()}
    moco = {f"module.encoder_q.{n}": t for n, t in state.items()}
    whole = {
        "moco": {"epoch": 3, "arch": "resnet50", "state_dict": moco, "optimizer": {"state": {}}},
        "dino": {"student": state, "teacher": {f"backbone.{n}": t for n, t in state.items()}},
        "lightning": {"state_dict": {f"encoder.{n}": t for n, t in state.items()}, "callbacks": {}},
    }
    saved = []
    for name, value in whole.items():
        for zipped in (True, False):
            file = io.BytesIO()
            torch.save(value, file, _use_new_zipfile_serialization=zipped)
            saved.append((name, file.getvalue()))
    return tuple(saved)


@examples(40)
@given(st.integers(0, 5), st.integers(0, 2**32))
def test_checkpoints_of_trainers(which: int, seed: int) -> None:
    data = scramble(layouts()[which][1], random.Random(seed))
    with place() as at:
        path = at.inputs / "model.pth"
        path.write_bytes(data)
        at.attempt(inspect, file=path)
        at.attempt(convert_detectron, model=path, output=at.out / "model.pkl")


def npy(array: object) -> bytes:
    file = io.BytesIO()
    np.save(file, array)  # type: ignore[arg-type]
    return file.getvalue()


@cache
def evaluated() -> dict[str, bytes]:
    """Make the input files of the evaluate commands."""
    random_ = np.random.default_rng(0)
    labels = (random_.random((30, 2)) < 0.5).astype(np.int32)
    features = (random_.normal(size=(30, 4)) + labels @ random_.normal(size=(2, 4))).astype("f4")
    files = {
        "train_features.npy": npy(features),
        "train_labels.npy": npy(labels),
        "test_features.npy": npy(features[:12]),
        "test_labels.npy": npy(labels[:12]),
        "scores.npy": npy(random_.normal(size=(12, 2))),
    }
    with place() as at:
        (at.inputs / "train_labels.npy").write_bytes(files["train_labels.npy"])
        draw_multilabel_samples(
            at.inputs / "train_labels.npy", at.out, k_values=(1, 2), num_samples=1
        )
        for path in at.out.iterdir():
            files[f"samples/{path.name}"] = path.read_bytes()
    return files


ODD = (np.nan, np.inf, -1e300, 2**31, -7)


def spoil_array(data: bytes, seed: int) -> bytes:
    """Return other values, another shape or type, or bytes scrambled."""
    numbers = random.Random(seed)
    if numbers.random() < 0.5:
        return scramble(data, numbers)
    array = np.load(io.BytesIO(data))
    chance = numbers.random()
    if chance < 0.4:
        array = array.astype(numbers.choice([array.dtype, "f8", "f2", "i8", "?", "U3", "c8"]))
        if array.dtype.kind == "f":
            with np.errstate(all="ignore"):  # half precision has no such number
                array.flat[numbers.randrange(array.size)] = numbers.choice(ODD)
        elif array.dtype.kind == "i":
            array.flat[numbers.randrange(array.size)] = numbers.choice((2, -1, 5, -7, 10**6))
    elif chance < 0.7:
        array = numbers.choice([array[:-1], array[:0], array[:, :1], array.T, array.ravel(), array])
        array = array * numbers.choice([0, 1])
    else:
        array = numbers.choice([array[None], array[..., None], np.full_like(array, 1), array[::-1]])
    return npy(array)


@pytest.mark.filterwarnings("ignore")
@examples(60)
@given(st.sampled_from(["full", "lowshot"]), st.integers(0, 30), st.integers(0, 2**32))
def test_features_and_samples(command: str, which: int, seed: int) -> None:
    files = dict(evaluated())
    taken = [n for n in files if n != "scores.npy" and (command == "lowshot" or "/" not in n)]
    name = taken[which % len(taken)]
    with place() as at:
        (at.inputs / "samples").mkdir()
        for file, data in files.items():
            if file == name and file.endswith(".npy"):
                data = spoil_array(data, seed)
            elif file == name:
                data = scramble(data, random.Random(seed))
            (at.inputs / file).write_bytes(data)
        common = {
            "train_features": at.inputs / "train_features.npy",
            "test_features": at.inputs / "test_features.npy",
            "test_targets": at.inputs / "test_labels.npy",
            "output": at.out,
        }
        if command == "full":
            at.attempt(evaluate_full, **common, train_targets=at.inputs / "train_labels.npy")
        else:
            at.attempt(evaluate_lowshot, **common, samples=at.inputs / "samples")


PREDICTIONS = {f"{n}.jpg": {"cat": n / 7, "dog": -n / 3} for n in range(5)}
TRUTH = {f"{n}.jpg": {"cat": n % 2, "dog": (n % 3) - 1} for n in range(5)}


@examples(100)
@given(st.sampled_from(["predictions", "targets"]), st.data())
def test_scores(which: str, data: st.DataObject) -> None:
    good = {"predictions": PREDICTIONS, "targets": TRUTH}
    with place() as at:
        for name, value in good.items():
            content = json.dumps(value).encode()
            if name == which:
                content = data.draw(spoilt_json(value))
            (at.inputs / f"{name}.json").write_bytes(content)
        found = at.attempt(
            evaluate_scores,
            predictions=at.inputs / "predictions.json",
            targets=at.inputs / "targets.json",
        )
        assert isinstance(found, SslprepError) or found.text()


@examples(60)
@given(st.booleans(), st.integers(0, 2**32))
def test_scores_in_arrays(predictions: bool, seed: int) -> None:
    with place() as at:
        for name, wanted in (("scores.npy", predictions), ("test_labels.npy", not predictions)):
            data = evaluated()[name]
            (at.inputs / name).write_bytes(spoil_array(data, seed) if wanted else data)
        at.attempt(
            evaluate_scores,
            predictions=at.inputs / "scores.npy",
            targets=at.inputs / "test_labels.npy",
        )


HOSTILE = (
    *("a\nb", "a\0b", "../x", "-rf", "--help", "\x1b[31mred", "é" * 200, " ", "a" * 300, "con"),
    *("%s%n", "{0}", "$(touch x)", "<script>", "a\\b", "\udcff", "~root/x", "http://", "\u202egpj"),
)
"""Names that somebody may give to a file, a folder, a class, a partition."""


def arguments() -> list[tuple[str, str]]:
    """Name every text or path parameter of every command."""
    from sslprep.cli import COMMANDS, load
    from sslprep.parameters import parameters_of

    return [
        (name, parameter.name)
        for name in COMMANDS
        if name not in ("demo", "lowshot places")
        for parameter in parameters_of(load(name))
        if parameter.form in ("value", "list")
        and any(kind in str(parameter.annotation) for kind in ("str", "Path"))
    ]


@pytest.mark.parametrize(("name", "argument"), arguments())
def test_hostile_names_in_every_argument(
    name: str, argument: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every name is refused in one line, or used as it is; nothing appears elsewhere."""
    from sslprep.cli import load
    from sslprep.parameters import parameters_of

    monkeypatch.chdir(tmp_path)
    function = load(name)
    needed = [p for p in parameters_of(function) if p.required]
    for word in HOSTILE:
        given_: dict[str, object] = {}
        for parameter in needed:
            text = "missing" if parameter.name != "output" else "out"
            given_[parameter.name] = (Path(text),) if parameter.form == "list" else Path(text)
            if "str" in str(parameter.annotation) and "Path" not in str(parameter.annotation):
                given_[parameter.name] = text
        given_[argument] = word
        if name == "jigsaw generate":  # it takes no file that could be missing
            given_["grid"] = "nothing"
        with pytest.raises(SslprepError) as refused:
            function(**given_)
        assert str(refused.value).isprintable(), repr(str(refused.value))
        assert os.listdir(tmp_path) == [], word
