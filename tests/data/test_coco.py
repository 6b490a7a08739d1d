"""COCO: rows, columns, derived partitions."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from sslprep import manifest
from sslprep.data.coco import write_coco
from sslprep.errors import AnnotationError, DatasetError, OutputError, ParameterError
from sslprep.partition.write import PartitionsWritten


def write(place: Path, **more: object) -> PartitionsWritten:
    return write_coco(
        json_annotations_dir=place / "annotations",
        output_dir=place / "out" / "coco",
        train_imgs_path=place / "train",
        val_imgs_path=place / "val",
        **more,  # type: ignore[arg-type]
    )


def images(place: Path, name: str) -> list[str]:
    array = np.load(place / "out" / "coco" / f"{name}_images.npy", mmap_mode="r")
    assert array.dtype.kind == "U"
    return [path.rpartition("/")[2] for path in array.tolist()]


def labels(place: Path, name: str) -> list[list[int]]:
    array = np.load(place / "out" / "coco" / f"{name}_labels.npy", mmap_mode="r")
    assert array.dtype == np.int32
    return array.tolist()  # type: ignore[no-any-return]


def edit(path: Path, change: object) -> None:
    data = json.loads(path.read_text())
    change(data)  # type: ignore[operator]
    path.write_text(json.dumps(data))


def test_rows_are_all_images_sorted_by_file_name(coco: Path) -> None:
    write(coco, partitions=("train",))
    assert images(coco, "train") == ["a.jpg", "b.jpg", "c.jpg"]
    assert labels(coco, "train") == [[1, 0], [0, 0], [0, 1]]


def test_paths_begin_with_the_folder_of_the_partition(coco: Path) -> None:
    write(coco)
    for name in ("train", "val"):
        stored = np.load(coco / "out" / "coco" / f"{name}_images.npy")
        assert all(path.startswith(f"{coco / name}/") for path in stored.tolist())


def test_columns_of_every_partition_follow_train(coco: Path) -> None:
    write(coco)
    assert labels(coco, "val") == [[0, 0], [0, 1], [0, 0], [1, 0]]
    classes = json.loads((coco / "out" / "coco" / "classes.json").read_text())
    assert classes == [{"name": "dog", "id": 2}, {"name": "cat", "id": 18}]


def test_train_rules_the_columns_also_where_only_val_is_asked_for(coco: Path) -> None:
    write(coco, partitions=("val",))
    assert labels(coco, "val") == [[0, 0], [0, 1], [0, 0], [1, 0]]


def test_later_run_adds_a_partition_to_the_folder(coco: Path) -> None:
    write(coco, partitions=("train",))
    write(coco, partitions=("val",))
    result = manifest.verify(folder=coco / "out")
    assert result.ok
    assert result.manifests == 2


def test_two_entries_of_one_file_name_share_a_row(coco: Path) -> None:
    def second_entry(data: dict) -> None:  # type: ignore[type-arg]
        data["images"].append({**data["images"][0], "id": 77})
        data["annotations"].append({**data["annotations"][0], "image_id": 77, "category_id": 2})

    edit(coco / "annotations" / "instances_train2014.json", second_entry)
    write(coco, partitions=("train",))
    assert images(coco, "train") == ["a.jpg", "b.jpg", "c.jpg"]
    assert labels(coco, "train")[2] == [1, 1]


@pytest.mark.parametrize(
    ("change", "counts"),
    [
        ({"iscrowd": 1}, True),
        ({"iscrowd": 1, "segmentation": {"counts": [1, 2], "size": [50, 100]}}, True),
        ({"ignore": 1}, False),
        ({"ignore": 0}, True),
        ({"ignore": None}, True),
        ({"area": 0}, False),
        ({"area": -1}, False),
        ({"bbox": [10, 10, 1, 20]}, False),  # width 1: x2 = x1
        ({"bbox": [10, 10, 1.5, 20]}, True),
        ({"bbox": [99, 10, 20, 20]}, False),  # at the right edge: clipped to nothing
        ({"bbox": [98.5, 10, 20, 20]}, True),
        ({"bbox": [-20, 10, 21, 20]}, False),  # ends at 0
        ({"bbox": [-20, 10, 22, 20]}, True),
        ({"bbox": [10, 49, 20, 20]}, False),
        ({"bbox": [10, 10, -5, 20]}, False),
    ],
    ids=str,
)
def test_counts_only_valid_annotations(coco: Path, change: dict, counts: bool) -> None:  # type: ignore[type-arg]
    def replace(data: dict) -> None:  # type: ignore[type-arg]
        data["annotations"] = [data["annotations"][0] | change, data["annotations"][1]]

    edit(coco / "annotations" / "instances_train2014.json", replace)
    write(coco, partitions=("train",))
    assert labels(coco, "train") == [[1, 0], [0, 0], [0, int(counts)]]


def test_missing_minival_is_one_warning(coco: Path) -> None:
    result = write(coco)
    assert list(result.images) == ["train", "val"]
    assert len(result.warnings) == 1
    assert "minival and valminusminival not written" in result.warnings[0]


@pytest.mark.parametrize("text", ["43\n41\n", "[43, 41]", "\r\n41\r\n 43 \r\n"], ids=repr)
def test_derives_minival_from_a_list_of_ids(coco: Path, text: str) -> None:
    (coco / "ids").write_text(text)
    result = write(coco, minival_ids=coco / "ids")
    assert result.warnings == ()
    assert images(coco, "minival") == ["v1.jpg", "v3.jpg"]
    assert labels(coco, "minival") == [[0, 1], [1, 0]]
    assert images(coco, "valminusminival") == ["v0.jpg", "v2.jpg"]
    counts = manifest.read(coco / "out" / "coco" / "minival.manifest.json").counts
    assert counts.keys() == {"images", "classes", "positives", "ignored"}  # no count of all of val


def test_ids_that_nothing_needs_are_said(coco: Path) -> None:
    (coco / "ids").write_text("41\n")
    [warning] = write(coco, minival_ids=coco / "ids", partitions=("val",)).warnings
    assert warning == f"{coco}/ids was not used: no partition had to be derived"


def test_derives_minival_from_val2017(coco: Path) -> None:
    shutil.copy(
        coco / "annotations" / "instances_val2014.json",
        coco / "annotations" / "instances_val2017.json",
    )
    edit(
        coco / "annotations" / "instances_val2017.json",
        lambda data: data.update(images=data["images"][:1], annotations=[]),
    )
    write(coco)
    assert images(coco, "minival") == ["v0.jpg"]
    assert images(coco, "valminusminival") == ["v1.jpg", "v2.jpg", "v3.jpg"]


def test_each_of_minival_and_its_rest_follows_from_the_other(coco: Path) -> None:
    def keep_two(data: dict) -> None:  # type: ignore[type-arg]
        data.update(images=data["images"][:2], annotations=data["annotations"][:1])

    folder = coco / "annotations"
    for given, derived in (("minival", "valminusminival"), ("valminusminival", "minival")):
        shutil.copy(folder / "instances_val2014.json", folder / f"instances_{given}2014.json")
        edit(folder / f"instances_{given}2014.json", keep_two)
        write(coco, overwrite=True)
        assert images(coco, given) == ["v0.jpg", "v1.jpg"]
        assert images(coco, derived) == ["v2.jpg", "v3.jpg"]
        (folder / f"instances_{given}2014.json").unlink()


def test_unknown_minival_id_is_an_error(coco: Path) -> None:
    (coco / "ids").write_text("41\n7777\n")
    with pytest.raises(AnnotationError, match="7777"):
        write(coco, minival_ids=coco / "ids")
    assert not (coco / "out").exists()


def test_missing_train_is_an_error_unless_left_out(coco: Path) -> None:
    (coco / "annotations" / "instances_train2014.json").unlink()
    with pytest.raises(DatasetError, match=r"instances_train2014\.json"):
        write(coco)
    assert not (coco / "out").exists()
    write(coco, partitions=("val",))


def test_partition_without_its_image_folder_is_an_error(coco: Path) -> None:
    with pytest.raises(ParameterError, match="--val_imgs_path"):
        write_coco(
            json_annotations_dir=coco / "annotations",
            output_dir=coco / "out",
            train_imgs_path=coco / "train",
        )


def test_other_categories_are_an_error(coco: Path) -> None:
    edit(
        coco / "annotations" / "instances_val2014.json",
        lambda data: data["categories"].append({"id": 3, "name": "horse"}),
    )
    with pytest.raises(AnnotationError, match="horse"):
        write(coco)
    assert not (coco / "out").exists()


def test_existing_output_is_an_error_unless_overwritten(coco: Path) -> None:
    write(coco)
    with pytest.raises(OutputError, match="exists already"):
        write(coco)
    write(coco, overwrite=True)


def test_manifest_says_what_and_from_what(coco: Path) -> None:
    (coco / "ids").write_text("41\n")
    write(coco, minival_ids=coco / "ids")
    record = manifest.read(coco / "out" / "coco" / "minival.manifest.json")
    assert record.kind == "partition"
    assert [Path(i.path).name for i in record.inputs] == [
        "instances_val2014.json",
        "ids",
        "instances_train2014.json",
    ]
    assert [o.file for o in record.outputs] == [
        "minival_images.npy",
        "minival_labels.npy",
        "classes.json",
    ]
    assert record.labels == {"1": "present", "0": "absent", "-1": "ignore"}
    assert record.details["source_split"] == "val2014"
    assert record.details["images_per_class"] == [0, 1]


def test_a_named_file_that_is_missing_is_an_error(coco: Path) -> None:
    for name in ("minival", "dev"):
        with pytest.raises(DatasetError, match=r"does not hold missing\.json"):
            write_coco(
                coco / "annotations",
                coco / "out",
                annotations={name: Path("missing.json")},
                val_imgs_path=coco / "val",
            )


def test_a_file_without_annotations_is_an_error(coco: Path) -> None:
    edit(coco / "annotations" / "instances_val2014.json", lambda data: data["annotations"].clear())
    with pytest.raises(AnnotationError, match=r"\$\.annotations: is empty"):
        write(coco)
    assert not (coco / "out").exists()
