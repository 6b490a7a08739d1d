"""What all partitions have in common: formats, the class list, what a run replaces."""

import csv
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sslprep import manifest, read_partition
from sslprep.data.folders import write_folders
from sslprep.data.voc import write_voc
from sslprep.errors import AnnotationError, DatasetError, MissingExtraError, OutputError
from sslprep.partition.check import check_images
from sslprep.partition.images import AsciiNames, Images, sort_names
from sslprep.partition.merge import merge_partitions
from sslprep.partition.write import PartitionSet

Voc = Callable[..., Path]
Tree = Callable[..., Path]
LISTS = {
    f"{name}_{split}": text
    for name, text in (("cat", "1 1\n2 0\n"), ("dog", "1 -1\n2 1\n"))
    for split in ("train", "trainval", "val", "test")
}


@pytest.mark.parametrize(
    "names",
    [
        [],
        ["a"],
        ["b.jpg", "a.jpg", "a-b.jpg", "a.b.jpg", "ab", "B.jpg", "_.jpg"],
        ["same_start_" + end for end in ("b", "a", "aa", "", "a" * 30, "a" * 29 + "b")],
        ["12345678" * 3 + end for end in "cab"] + ["22345678" * 3 + end for end in "cab"],
        ["a.jpg", "b" * 255, "c"],
        ["a.jpg", "b" * 20, "a" * 7, "a" * 8, "a" * 9, "b" * 16],
        ["b1", "\x7f", "\x01", "~", "a 1", "a1", "a\n"],
        ["é.jpg", "e\u0301.jpg", "z.jpg", "\U0001f600.jpg", "\uffff.jpg", "\udc80.jpg", "ÿ.jpg"],
    ],
)
@pytest.mark.parametrize("few", [0, 200])
def test_names_are_sorted_by_code_point_and_stored_as_they_are(
    names: list[str], few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sslprep.partition.images._FEW", few)
    found = sort_names(names)
    plain = "".join(names).isascii() and "b" * 255 not in names
    assert isinstance(found, AsciiNames) is (plain and len(names) > few)
    assert [*found] == sorted(names)
    assert (len(found), found.longest) == (len(names), max(map(len, names), default=0))
    images = Images([("here/", found), ("", found), ("é/", found)])
    if names:
        file = io.BytesIO()
        images.write(file)
        file.seek(0)
        paths = np.load(file)
        wanted = [prefix + name for prefix in ("here/", "", "é/") for name in sorted(names)]
        assert (paths.tolist(), [*images]) == (wanted, wanted)
        assert paths.dtype == f"<U{max(map(len, wanted))}"
    assert found.plain(".jpg") == all(name.endswith(".jpg") for name in names)
    assert not sort_names([*names, ".x.jpg"]).plain(".jpg")
    assert not sort_names([*names, "x.jpgg"]).plain(".jpg")


def parquet(path: Path) -> dict[str, list[object]]:
    import pyarrow.parquet

    return pyarrow.parquet.read_table(path).to_pydict()  # type: ignore[no-any-return]


def test_rows_of_a_set_with_several_labels(voc: Voc, tmp_path: Path) -> None:
    source, out = voc(LISTS), tmp_path / "out"
    write_voc(
        data_source_dir=source,
        output_dir=out,
        partitions=("val",),
        format=("csv", "jsonl", "parquet"),
        relative_to=source,
    )
    paths = ["JPEGImages/1.jpg", "JPEGImages/2.jpg"]
    assert list(csv.reader(io.StringIO((out / "val.csv").read_bytes().decode()))) == [
        ["file_name", "cat", "dog", "split"],
        [paths[0], "1", "0", "val"],
        [paths[1], "-1", "1", "val"],
    ]
    assert [json.loads(line) for line in (out / "val.jsonl").read_text().splitlines()] == [
        {"file_name": paths[0], "labels": [1, 0], "split": "val"},
        {"file_name": paths[1], "labels": [-1, 1], "split": "val"},
    ]
    assert parquet(out / "val.parquet") == {
        "file_name": paths,
        "labels": [[1, 0], [-1, 1]],
        "split": ["val", "val"],
    }
    assert manifest.verify(folder=out).ok


def test_rows_of_a_set_with_one_label(tree: Tree, tmp_path: Path) -> None:
    names = ['a,"b".jpg', "new\nline.jpg", "ü 1.jpg"]
    out = tmp_path / "out"
    write_folders(
        data_source_dir=tree("train/x/0.jpg", *(f"train/y/{name}" for name in names)),
        output_dir=out,
        partitions=("train",),
        format=("csv", "jsonl", "parquet"),
        relative_to=tmp_path / "set" / "train",
    )
    rows = [("x/0.jpg", 0), *((f"y/{name}", 1) for name in names)]
    assert list(csv.reader(io.StringIO((out / "train.csv").read_bytes().decode()))) == [
        ["file_name", "label", "split"],
        *([path, str(label), "train"] for path, label in rows),
    ]
    assert [json.loads(line) for line in (out / "train.jsonl").read_text().splitlines()] == [
        {"file_name": path, "label": label, "split": "train"} for path, label in rows
    ]
    assert parquet(out / "train.parquet")["file_name"] == [path for path, _ in rows]
    assert np.load(out / "train_images.npy").tolist() == [path for path, _ in rows]


@pytest.mark.parametrize("label", [-1, 2])
def test_labels_that_are_no_class_are_an_error(tree: Tree, tmp_path: Path, label: int) -> None:
    write_folders(tree("train/cat/1.jpg", "train/dog/2.jpg"), tmp_path, partitions=("train",))
    np.save(tmp_path / "train_labels.npy", np.array([0, label]))
    with pytest.raises(DatasetError, match=rf"holds the label {label}; expected ids of classes"):
        read_partition(tmp_path, "train")


def test_text_rows_are_path_and_label(tree: Tree, tmp_path: Path) -> None:
    source = tree("train/a b/1.jpg", "train/c/2.jpg")
    options = {"data_source_dir": source, "partitions": ("train",), "format": ("txt",)}
    write_folders(output_dir=tmp_path / "out", **options)  # type: ignore[arg-type]
    assert (tmp_path / "out" / "train.txt").read_text() == (
        f"{source}/train/a b/1.jpg 0\n{source}/train/c/2.jpg 1\n"
    )
    tree("train/c/new\nline.jpg")
    with pytest.raises(DatasetError, match="line break"):
        write_folders(output_dir=tmp_path / "out2", **options)  # type: ignore[arg-type]
    assert not (tmp_path / "out2").exists()


def test_parquet_without_pyarrow_names_the_extra(
    voc: Voc, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(MissingExtraError, match="pip install pyarrow"):
        write_voc(data_source_dir=voc(LISTS), output_dir=tmp_path / "out", format=("parquet",))


def test_images_outside_of_relative_to_are_an_error(voc: Voc, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="is not under"):
        write_voc(
            data_source_dir=voc(LISTS), output_dir=tmp_path / "out", relative_to=tmp_path / "else"
        )
    assert not (tmp_path / "out").exists()


def test_other_classes_in_one_folder_are_an_error(voc: Voc, tmp_path: Path) -> None:
    out = tmp_path / "out"
    write_voc(data_source_dir=voc(LISTS, "one"), output_dir=out, separate_partitions=True)
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    other = voc({name.replace("cat", "cow"): text for name, text in LISTS.items()}, "two")
    with pytest.raises(OutputError, match=r"val\.manifest\.json rests on it"):
        write_voc(data_source_dir=other, output_dir=out, overwrite=True)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    write_voc(data_source_dir=other, output_dir=out, separate_partitions=True, overwrite=True)
    assert manifest.verify(folder=out).ok


def test_users_own_classes_file_is_not_replaced_unasked(voc: Voc, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "classes.json").write_text("mine")
    with pytest.raises(OutputError, match="exists already"):
        write_voc(data_source_dir=voc(LISTS), output_dir=tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["classes.json"]
    assert (tmp_path / "out" / "classes.json").read_text() == "mine"


def test_overwriting_removes_only_what_the_earlier_run_made(voc: Voc, tmp_path: Path) -> None:
    out, source = tmp_path / "out", voc(LISTS)
    options = {"data_source_dir": source, "output_dir": out, "partitions": ("val",)}
    write_voc(format=("csv", "jsonl"), generate_json=True, **options)  # type: ignore[arg-type]
    (out / "val.txt").write_text("the user's own")
    write_voc(format=("csv",), overwrite=True, **options)  # type: ignore[arg-type]
    assert sorted(path.name for path in out.iterdir()) == [
        "classes.json",
        "val.csv",
        "val.manifest.json",
        "val.txt",
        "val_images.npy",
        "val_labels.npy",
    ]


def test_equal_input_gives_equal_bytes(voc: Voc, tmp_path: Path) -> None:
    source = voc(LISTS)
    for out in ("one", "two"):
        write_voc(data_source_dir=source, output_dir=tmp_path / out, format=("csv",))
    one, two = (
        {path.name: path.read_bytes() for path in (tmp_path / out).iterdir()}
        for out in ("one", "two")
    )
    assert one == two


def test_manifest_counts_images_by_class(voc: Voc, tmp_path: Path) -> None:
    write_voc(data_source_dir=voc(LISTS), output_dir=tmp_path / "out")
    record = manifest.read(tmp_path / "out" / "test.manifest.json")
    assert record.counts == {"images": 2, "classes": 2, "positives": 2, "ignored": 1}
    assert record.details == {
        "partition": "test",
        "source_split": "test",
        "multi_label": True,
        "classes": ["cat", "dog"],
        "images_per_class": [1, 1],
        "ignored_per_class": [1, 0],
        "dataset": "VOC2007",
    }


def test_two_runs_into_one_folder_exclude_each_other(voc: Voc, tmp_path: Path) -> None:
    """Whatever their partitions are called: they share a class list."""
    source = voc(LISTS)
    options = {"output": tmp_path / "out", "overwrite": False}
    with PartitionSet("x", options, ["test"]), pytest.raises(OutputError, match="another"):
        write_voc(source, tmp_path / "out", partitions=("train",))
    write_voc(source, tmp_path / "out", partitions=("train",))


def test_a_refused_run_leaves_nothing(voc: Voc, tmp_path: Path) -> None:
    source = voc(LISTS | {"cat_val": "1 9"})
    with pytest.raises(AnnotationError):
        write_voc(source, tmp_path / "out" / "deep", partitions=("val",))
    assert not (tmp_path / "out").exists()


def test_a_folder_for_a_partition_and_the_other_way(tree: Tree, tmp_path: Path) -> None:
    write_folders(tree("train/a/1.jpg", "val/a/2.jpg"), tmp_path / "out")
    with pytest.raises(DatasetError, match=r"no such folder. Give \S+/out and --partitions val\."):
        check_images(tmp_path / "out" / "val")
    with pytest.raises(DatasetError, match=r"no finished partition; .* Give \S+/out/train\."):
        merge_partitions((tmp_path / "out",), output=tmp_path / "all")


@pytest.mark.parametrize("shape", [(1, 2), (3, 2), (2, 1), (2, 3), (3,)])
def test_labels_that_do_not_fit_are_refused(voc: Voc, tmp_path: Path, shape: list[int]) -> None:
    write_voc(voc(LISTS), tmp_path / "out")
    assert read_partition(tmp_path / "out", "train").labels.shape == (2, 2)
    np.save(tmp_path / "out" / "train_labels.npy", np.zeros(shape, np.int32))
    with pytest.raises(DatasetError, match=r"labels of shape \(.*\) for 2 images and 2 classes"):
        read_partition(tmp_path / "out", "train")


def test_names_with_a_carriage_return_in_csv(tree: Tree, tmp_path: Path) -> None:
    source = tree("train/a/1\r2.jpg", "train/b/3.jpg")
    write_folders(source, tmp_path / "out", partitions=("train",), format=("csv",))
    with open(tmp_path / "out" / "train.csv", newline="") as file:
        rows = list(csv.reader(file))
    images = read_partition(tmp_path / "out", "train").images.tolist()
    assert [row[0] for row in rows] == ["file_name", *images]


@pytest.mark.parametrize("name", ["split", "file_name"])
def test_a_class_called_as_a_column_of_csv_is_refused(voc: Voc, tmp_path: Path, name: str) -> None:
    source = voc({f"{name}_train": "1 1\n", "cat_train": "1 -1\n"})
    options: dict[str, Any] = {"partitions": ("train",), "classes": (name, "cat")}
    with pytest.raises(DatasetError, match=f"a class is called '{name}', like another column"):
        write_voc(source, tmp_path / "out", format=("csv",), **options)
    write_voc(source, tmp_path / "out", format=("jsonl",), **options)
