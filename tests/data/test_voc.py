"""VOC: lists, splits, labels."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from sslprep import manifest
from sslprep.data.voc import read_list, write_voc
from sslprep.errors import AnnotationError, DatasetError, ParameterError

Voc = Callable[..., Path]
LISTS_2007 = {
    f"{name}_{split}": f"{at}1  1\r\n{at}2 -1\r\n{at}3  0\r\n"
    for name in ("cat", "dog")
    for at, split in enumerate(("train", "val", "trainval", "test"))
}
LISTS_2012 = {name: text for name, text in LISTS_2007.items() if not name.endswith("_test")}


def load(folder: Path, name: str) -> tuple[list[str], np.ndarray]:
    labels = np.load(folder / f"{name}_labels.npy", mmap_mode="r")
    assert labels.dtype == np.int32
    return np.load(folder / f"{name}_images.npy", mmap_mode="r").tolist(), labels


def test_maps_marks_to_present_absent_ignore(voc: Voc, tmp_path: Path) -> None:
    source = voc(LISTS_2007)
    result = write_voc(data_source_dir=source, output_dir=tmp_path / "out" / "deep")
    assert not any("no -1" in text for text in result.warnings)
    images, labels = load(tmp_path / "out" / "deep", "train")
    assert images == [f"{source}/JPEGImages/2{n}.jpg" for n in (1, 2, 3)]
    assert labels.tolist() == [[1, 1], [0, 0], [-1, -1]]


@pytest.mark.parametrize(
    ("lists", "options", "splits"),
    [
        (LISTS_2007, {}, {"train": "trainval", "test": "test"}),
        (LISTS_2012, {}, {"train": "train", "test": "val"}),
        (
            LISTS_2007,
            {"separate_partitions": True},
            {"train": "train", "val": "val", "test": "test"},
        ),
        (LISTS_2012, {"separate_partitions": True}, {"train": "train", "val": "val"}),
        (LISTS_2012, {"partitions": ("trainval", "val")}, {"val": "val", "trainval": "trainval"}),
    ],
    ids=["2007", "2012", "2007 separate", "2012 separate", "chosen"],
)
def test_splits(voc: Voc, tmp_path: Path, lists: dict, options: dict, splits: dict) -> None:  # type: ignore[type-arg]
    out = tmp_path / "out"
    result = write_voc(data_source_dir=voc(lists, "VOC2012"), output_dir=out, **options)
    made = {name: manifest.read(out / f"{name}.manifest.json") for name in result.images}
    assert {name: record.details["source_split"] for name, record in made.items()} == splits
    assert not any("VOCtest" in warning for warning in result.warnings)  # VOC2007's own
    assert manifest.verify(folder=out).ok


def test_image_absent_from_a_list_is_ignored_there(voc: Voc, tmp_path: Path) -> None:
    source = voc({"b_train": "x 1\ny -1\n", "a_train": "z 1\ny 1\n"})
    write_voc(data_source_dir=source, output_dir=tmp_path / "out", partitions=("train",))
    images, labels = load(tmp_path / "out", "train")
    assert [path[-5] for path in images] == ["x", "y", "z"]
    assert labels.tolist() == [[-1, 1], [1, 0], [1, -1]]


def test_stray_files_are_left_alone(voc: Voc, tmp_path: Path) -> None:
    strays = [
        "train",
        "class",
        "testP",
        "person_head_train",
        "._cat_trainval",
        ".cow_trainval",
        "cat_trainval~",
        "cat_trainval copy",
        "_train",
    ]
    source = voc(LISTS_2007 | dict.fromkeys(strays, "nonsense"))
    (source / "ImageSets" / "Main" / "horse_trainval.txt").mkdir()
    result = write_voc(data_source_dir=source, output_dir=tmp_path / "out")
    assert result.classes == 2


def test_accepts_the_parent_of_one_data_set(voc: Voc, tmp_path: Path) -> None:
    source = voc(LISTS_2007, "VOCdevkit/VOC2007")
    write_voc(data_source_dir=source.parent, output_dir=tmp_path / "out")
    assert load(tmp_path / "out", "test")[0][0] == f"{source}/JPEGImages/31.jpg"
    voc(LISTS_2012, "VOCdevkit/VOC2012")
    with pytest.raises(DatasetError, match="holds 2 data sets: VOC2007, VOC2012"):
        write_voc(data_source_dir=source.parent, output_dir=tmp_path / "out2")


def test_targets_json_names_images_and_classes(voc: Voc, tmp_path: Path) -> None:
    write_voc(data_source_dir=voc(LISTS_2007), output_dir=tmp_path / "out", generate_json=True)
    targets = json.loads((tmp_path / "out" / "test_targets.json").read_text())
    assert targets == {
        "31": {"cat": 1, "dog": 1},
        "32": {"cat": 0, "dog": 0},
        "33": {"cat": -1, "dog": -1},
    }


def test_voc2007_without_test_lists_warns(voc: Voc, tmp_path: Path) -> None:
    result = write_voc(data_source_dir=voc(LISTS_2012, "VOC2007"), output_dir=tmp_path / "out")
    assert "VOCtest_06-Nov-2007" in result.warnings[0]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("1 1\n2\n", 2),
        ("1 1\n2 1 1\n", 2),
        ("1 1\n\n2 2\n", 3),
        ("1 1\n2 +1\n", 2),
        ("1 1 2\n1\n", 1),
        ("a  0\nb -1\nc-1 \n", 3),
        ("a 0\nb-1\n", 2),
        ("1 1\n../2 1\n", 2),
        ("1 1\n2 \x00 1\n", 2),
        ("1  1\n2 -1\n1 -1\n", 3),
    ],
    ids=repr,
)
def test_malformed_line_is_named(voc: Voc, tmp_path: Path, text: str, line: int) -> None:
    source = voc(LISTS_2007 | {"dog_trainval": text})
    with pytest.raises(AnnotationError, match=rf"dog_trainval\.txt, line {line}: ") as caught:
        write_voc(data_source_dir=source, output_dir=tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("text", ["1 1\n\n2 -1", "1\t1\r\n2   -1\r\n", "\ufeff1 1\n2 -1\n1 1\n"])
def test_reads_any_white_space(tmp_path: Path, text: str) -> None:
    (tmp_path / "cat_train.txt").write_bytes(text.encode())
    assert read_list(tmp_path / "cat_train.txt") == {"1": 1, "2": 0}


def test_class_in_one_split_only_is_an_error(voc: Voc, tmp_path: Path) -> None:
    source = voc(LISTS_2007 | {"horse_test": "1 1\n"})
    with pytest.raises(DatasetError, match=r"lacks horse_trainval\.txt"):
        write_voc(data_source_dir=source, output_dir=tmp_path / "out")


@pytest.mark.parametrize(("classes", "end"), [("mnopq", ""), ("mnopqr", " …")])
def test_at_most_five_lists_that_lack_are_named(
    voc: Voc, tmp_path: Path, classes: str, end: str
) -> None:
    source = voc(LISTS_2007 | {f"{name}_test": "1 1\n" for name in classes})
    with pytest.raises(DatasetError, match=f"lacks m_trainval.txt, .*, q_trainval.txt{end};"):
        write_voc(data_source_dir=source, output_dir=tmp_path / "out")


@pytest.mark.parametrize(
    "make", [lambda p: None, lambda p: p.joinpath("ImageSets/Main").mkdir(parents=True)]
)
def test_folder_without_lists_is_an_error(tmp_path: Path, make: Callable[[Path], None]) -> None:
    (tmp_path / "VOC2012").mkdir()
    make(tmp_path / "VOC2012")
    with pytest.raises(DatasetError, match="ImageSets/Main"):
        write_voc(data_source_dir=tmp_path / "VOC2012", output_dir=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_text_format_cannot_hold_several_labels(voc: Voc, tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="--format txt"):
        write_voc(data_source_dir=voc(LISTS_2007), output_dir=tmp_path, format=("txt",))
