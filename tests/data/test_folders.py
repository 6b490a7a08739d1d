"""Image folders, ground truth, official lists."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from sslprep import manifest
from sslprep.data.folders import write_folders
from sslprep.errors import AnnotationError, DatasetError, ParameterError

Tree = Callable[..., Path]


def rows(out: Path, name: str, root: Path) -> list[tuple[str, int]]:
    images = np.load(out / f"{name}_images.npy", mmap_mode="r")
    labels = np.load(out / f"{name}_labels.npy", mmap_mode="r")
    assert images.dtype.kind == "U"
    assert labels.dtype == np.int64
    names = [path.removeprefix(f"{root}/") for path in images.tolist()]
    return list(zip(names, labels.tolist(), strict=True))


def test_sorts_class_folders_and_files(tree: Tree, tmp_path: Path) -> None:
    source = tree(
        "train/b/2.JPEG",
        "train/b/10.JPEG",
        "train/a/1.png",
        "train/B/1.jpg",
        "val/b/1.jpg",
        "val/a/9.jpg",
        "val/B/3.webp",
    )
    write_folders(data_source_dir=source, output_dir=tmp_path / "out" / "x")
    assert rows(tmp_path / "out" / "x", "train", source) == [
        ("train/B/1.jpg", 0),
        ("train/a/1.png", 1),
        ("train/b/10.JPEG", 2),
        ("train/b/2.JPEG", 2),
    ]
    assert rows(tmp_path / "out" / "x", "val", source) == [
        ("val/B/3.webp", 0),
        ("val/a/9.jpg", 1),
        ("val/b/1.jpg", 2),
    ]


def test_val_keeps_trains_ids_where_it_lacks_a_class(tree: Tree, tmp_path: Path) -> None:
    source = tree("train/a/1.jpg", "train/b/1.jpg", "val/b/1.jpg")
    result = write_folders(data_source_dir=source, output_dir=tmp_path / "out")
    assert rows(tmp_path / "out", "val", source) == [("val/b/1.jpg", 1)]
    assert result.warnings == (f"{source}/val lacks 1 classes of train: a",)


def test_class_of_val_that_train_lacks_is_an_error(tree: Tree, tmp_path: Path) -> None:
    source = tree("train/a/1.jpg", "val/a/1.jpg", "val/b/1.jpg")
    for partitions in (None, ("val",)):
        with pytest.raises(DatasetError, match="1 classes that train lacks: b"):
            write_folders(
                data_source_dir=source, output_dir=tmp_path / "out", partitions=partitions
            )
    assert not (tmp_path / "out").exists()


def test_skips_and_counts_what_is_no_image(tree: Tree, tmp_path: Path) -> None:
    junk = [".DS_Store", "Thumbs.db", ".hidden.jpg", "notes.txt", "jpg", "sub/2.jpg", "dir.jpg/x"]
    source = tree(
        "train/a/1.jpg", "train/.git/1.jpg", "train/1.jpg", *(f"train/a/{n}" for n in junk)
    )
    write_folders(data_source_dir=source, output_dir=tmp_path / "out", partitions=("train",))
    assert rows(tmp_path / "out", "train", source) == [("train/a/1.jpg", 0)]
    record = manifest.read(tmp_path / "out" / "train.manifest.json")
    assert record.counts["skipped"] == len(junk) + 2
    assert [(i.path, i.files_used) for i in record.inputs] == [(f"{source}/train", 1)]


def test_empty_class_folder_warns_and_keeps_its_id(tree: Tree, tmp_path: Path) -> None:
    source = tree("train/a/x.txt", "train/b/1.jpg")
    result = write_folders(
        data_source_dir=source, output_dir=tmp_path / "out", partitions=("train",)
    )
    assert rows(tmp_path / "out", "train", source) == [("train/b/1.jpg", 1)]
    assert "hold no image: a" in result.warnings[0]


def test_follows_links_and_survives_loops(tree: Tree, tmp_path: Path) -> None:
    source = tree("train/a/1.jpg", "else/2.jpg", "folder/3.jpg")
    (source / "train" / "a" / "2.jpg").symlink_to(source / "else" / "2.jpg")
    (source / "train" / "a" / "dangling.jpg").symlink_to("nowhere")
    (source / "train" / "a" / "self.jpg").symlink_to("self.jpg")
    (source / "train" / "b").symlink_to(source / "folder")
    (source / "train" / "loop").symlink_to(source / "train")
    os.mkfifo(source / "train" / "a" / "fifo.jpg")
    write_folders(data_source_dir=source, output_dir=tmp_path / "out", partitions=("train",))
    assert rows(tmp_path / "out", "train", source) == [
        ("train/a/1.jpg", 0),
        ("train/a/2.jpg", 0),
        ("train/b/3.jpg", 1),
    ]


def test_name_that_is_not_utf8_is_an_error(tree: Tree, tmp_path: Path) -> None:
    source = tree("train/a/1.jpg")
    Path(os.fsdecode(bytes(source / "train" / "a") + b"/\xff.jpg")).touch()
    with pytest.raises(DatasetError, match="is not UTF-8") as caught:
        write_folders(data_source_dir=source, output_dir=tmp_path / "out", partitions=("train",))
    str(caught.value).encode()


def test_missing_val_names_the_way_out(tree: Tree, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"no folder val.*--partitions train"):
        write_folders(data_source_dir=tree("train/a/1.jpg"), output_dir=tmp_path / "out")


def test_val_alone_numbers_its_own_classes_and_warns(tree: Tree, tmp_path: Path) -> None:
    source = tree("val/a/1.jpg", "val/b/1.jpg")
    result = write_folders(data_source_dir=source, output_dir=tmp_path / "out", partitions=("val",))
    assert [label for _, label in rows(tmp_path / "out", "val", source)] == [0, 1]
    assert "has no train" in result.warnings[0]


def test_targets_json_holds_class_and_file(tree: Tree, tmp_path: Path) -> None:
    source = tree("train/a/1.jpg", "train/b/ü.jpg")
    write_folders(
        data_source_dir=source,
        output_dir=tmp_path / "out",
        partitions=("train",),
        generate_json=True,
    )
    text = (tmp_path / "out" / "train_targets.json").read_text()
    assert json.loads(text) == {"a/1.jpg": 0, "b/ü.jpg": 1}


@pytest.mark.parametrize(
    "text",
    [
        "1.JPEG b\n2.JPEG a\n10.JPEG b\n",
        "ImageId,PredictionString\n1,b 1 2 3 4 b 5 6 7 8 \n2,a 0 0 0 0\n10,b 1 1 1 1\n",
    ],
    ids=["lines", "challenge csv"],
)
def test_flat_val_gives_the_rows_of_class_folders(tree: Tree, tmp_path: Path, text: str) -> None:
    source = tree("train/a/x.jpg", "train/b/x.jpg", "val/1.JPEG", "val/2.JPEG", "val/10.JPEG")
    (tmp_path / "truth").write_text(text)
    write_folders(
        data_source_dir=source,
        output_dir=tmp_path / "out",
        val_labels=tmp_path / "truth",
        generate_json=True,
    )
    assert rows(tmp_path / "out", "val", source) == [
        ("val/2.JPEG", 0),
        ("val/1.JPEG", 1),
        ("val/10.JPEG", 1),
    ]
    targets = json.loads((tmp_path / "out" / "val_targets.json").read_text())
    assert targets == {"a/2.JPEG": 0, "b/1.JPEG": 1, "b/10.JPEG": 1}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1.JPEG\n", "line 1"),
        ("1.JPEG a b\n", "line 1"),
        ("1.JPEG a\n1.JPEG b\n", "line 2"),
        ("2.JPEG a\n", r"no class for 1 images of .*: 1\.JPEG"),
        ("1.JPEG c\n", "1 classes that train lacks: c"),
    ],
)
def test_bad_ground_truth(tree: Tree, tmp_path: Path, text: str, message: str) -> None:
    source = tree("train/a/x.jpg", "train/b/x.jpg", "val/1.JPEG")
    (tmp_path / "truth").write_text(text)
    with pytest.raises((AnnotationError, DatasetError), match=message):
        write_folders(
            data_source_dir=source, output_dir=tmp_path / "out", val_labels=tmp_path / "truth"
        )
    assert not (tmp_path / "out").exists()


def test_reads_the_official_lists(tmp_path: Path) -> None:
    (tmp_path / "train_places205.csv").write_text(
        "a/abbey/2.jpg 0\na/abbey/1.jpg 0\nc/church/outdoor/9.jpg 1\n"
    )
    (tmp_path / "val_places205.csv").write_text("/c/church/outdoor/my photo.jpg,1\r\n")
    out = tmp_path / "out"
    write_folders(
        data_source_dir=tmp_path / "images",
        output_dir=out,
        list=(tmp_path / "val_places205.csv", tmp_path / "train_places205.csv"),
    )
    assert rows(out, "train", tmp_path / "images") == [
        ("a/abbey/1.jpg", 0),
        ("a/abbey/2.jpg", 0),
        ("c/church/outdoor/9.jpg", 1),
    ]
    assert rows(out, "val", tmp_path / "images") == [("c/church/outdoor/my photo.jpg", 1)]
    classes = json.loads((out / "classes.json").read_text())
    assert classes == [{"name": "a/abbey", "id": 0}, {"name": "c/church/outdoor", "id": 1}]


@pytest.mark.parametrize(
    ("train", "val", "message"),
    [
        ("a/x.jpg 0\na/y.jpg\n", "", r"train_x\.csv, line 2"),
        ("a/x.jpg -1\n", "", r"train_x\.csv, line 1"),
        ("../a/x.jpg 1\n", "", r"train_x\.csv, line 1"),
        ("a/x.jpg 0\na/y.jpg 1\n", "", "line 2: a has the label 1, but a had 0"),
        ("a/x.jpg 0\nb/y.jpg 0\n", "", "line 2: b has the label 0, but a has it too"),
        ("a/x.jpg 0\na/x.jpg 0\n", "", "a/x.jpg is listed twice"),
        ("a/x.jpg 0\n", "b/x.jpg 1\n", "gives b the label 1, which train's list does not"),
        ("a/x.jpg 0\n", "a/x.jpg 1\n", "gives a the label 1, which train's list does not"),
    ],
)
def test_bad_lists(tmp_path: Path, train: str, val: str, message: str) -> None:
    (tmp_path / "train_x.csv").write_text(train)
    (tmp_path / "val_x.csv").write_text(val or "a/x.jpg 0\n")
    with pytest.raises((AnnotationError, DatasetError), match=message):
        write_folders(
            data_source_dir=tmp_path,
            output_dir=tmp_path / "out",
            list=(tmp_path / "train_x.csv", tmp_path / "val_x.csv"),
        )
    assert not (tmp_path / "out").exists()


def test_list_of_no_partition_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("a/x.jpg 0\n")
    with pytest.raises(ParameterError, match="is of neither"):
        write_folders(
            data_source_dir=tmp_path, output_dir=tmp_path / "out", list=(tmp_path / "x.csv",)
        )


@pytest.mark.parametrize(("extra", "warns"), [("", False), ("9.JPEG b\n", True)])
def test_ground_truth_of_more_images_warns(
    tree: Tree, tmp_path: Path, extra: str, warns: bool
) -> None:
    source = tree("train/a/x.jpg", "train/b/x.jpg", "val/1.JPEG", "val/2.JPEG")
    (tmp_path / "truth").write_text("1.JPEG a\n2.JPEG b\n" + extra)
    result = write_folders(source, tmp_path / "out", val_labels=tmp_path / "truth")
    assert any("names 3 images" in warning for warning in result.warnings) is warns
    assert len(result.warnings) == warns
