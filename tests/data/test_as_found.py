"""Data as people have it: what is not as published is served, or said in a sentence that helps."""

import json
import os
import random
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import savemat

from sslprep import manifest, read_partition
from sslprep.cli import main
from sslprep.data.coco import write_coco
from sslprep.data.coco_labels import _count_ids
from sslprep.data.folders import write_folders
from sslprep.data.voc import write_voc
from sslprep.errors import AnnotationError, DatasetError, OutputError, ParameterError
from sslprep.partition import find_partitions
from sslprep.partition.check import check_images
from sslprep.partition.relocate import relocate

Tree = Callable[..., Path]
Voc = Callable[..., Path]
IMAGE = {"id": 1, "file_name": "a.jpg", "width": 100, "height": 50}
BOX = {"image_id": 1, "category_id": 1, "bbox": [1, 1, 30, 30], "area": 900}
CAT = {"id": 1, "name": "cat"}


def coco_text(**parts: Any) -> str:
    whole = {"images": [IMAGE], "annotations": [BOX], "categories": [CAT]} | parts
    return json.dumps(whole)


def train_of(tmp_path: Path, text: str | bytes, **more: Any) -> Any:
    (tmp_path / "train").mkdir(exist_ok=True)
    (tmp_path / "train" / "a.jpg").touch()
    data = text.encode() if isinstance(text, str) else text
    (tmp_path / "instances_train2014.json").write_bytes(data)
    return write_coco(
        tmp_path,
        tmp_path / "out",
        train_imgs_path=tmp_path / "train",
        partitions=("train",),
        **more,
    )


def by_name(out: Path, name: str = "train") -> dict[str, Any]:
    images, labels, _ = read_partition(out, name)
    return dict(zip([i.rpartition("/")[2] for i in images.tolist()], labels.tolist(), strict=True))


def names_of(out: Path) -> list[tuple[str, int]]:
    return [(c["name"], c["id"]) for c in json.loads((out / "classes.json").read_text())]


class TestCoco:
    @pytest.mark.parametrize(
        ("change", "reason"),
        [
            ({"ignore": 1}, "ignore is set: 1"),
            ({"ignore": True}, "ignore is set: 1"),
            ({"area": 0}, "no area: 1"),
            ({"bbox": [0, 0, 0, 0]}, "no box left: 1"),
            ({"bbox": [0.1, 0.2, 0.3, 0.4]}, "no box left: 1"),
        ],
        ids=["ignore", "ignore as a word", "area", "zero box", "normalised box"],
    )
    def test_what_does_not_count_is_said_and_kept(
        self, tmp_path: Path, change: dict[str, Any], reason: str
    ) -> None:
        other = {"id": 2, "name": "dog"}
        lost = BOX | change | {"category_id": 2}
        text = coco_text(annotations=[BOX, lost], categories=[CAT, other])
        warning, shown = train_of(tmp_path, text).warnings
        assert shown == "train: no image shows 1 of 2 classes: dog"
        assert f"1 of 2 annotations do not count ({reason}); classes that lose all: dog" in warning
        record = manifest.read(tmp_path / "out" / "train.manifest.json")
        assert record.warnings == [warning, shown]
        assert record.counts[f"not counted: {reason[:-3]}"] == 1
        assert record.counts["valid"] == 1

    def test_none_that_counts_is_an_error(self, tmp_path: Path) -> None:
        with pytest.raises(AnnotationError, match=r"1 of 1 .*no width or height .*--image-level"):
            train_of(tmp_path, coco_text(images=[IMAGE | {"width": 0}]))
        assert not (tmp_path / "out").exists()

    def test_image_level_labels_need_no_box(self, tmp_path: Path) -> None:
        bare = {"id": 1, "file_name": "a.jpg"}
        text = coco_text(images=[bare], annotations=[{"image_id": 1, "category_id": 1}])
        assert train_of(tmp_path, text, image_level=True).warnings == ()
        assert by_name(tmp_path / "out") == {"a.jpg": [1]}

    @pytest.mark.parametrize(
        "text",
        [
            coco_text()[:-1] + ', "annotations": []}',
            coco_text().replace('"area": 900', '"area": 900, "category_id": 1'),
            coco_text().replace('"area": 900', '"area": 900, "area": 0'),
        ],
        ids=["of the file", "of ids", "of an annotation"],
    )
    def test_a_key_given_twice_is_an_error(self, tmp_path: Path, text: str) -> None:
        with pytest.raises(AnnotationError, match="twice"):
            train_of(tmp_path, text)

    def test_ids_given_twice_are_seen_in_large_files(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("sslprep.data.coco_labels._SMALL", 0)
        train_of(tmp_path, coco_text())
        with pytest.raises(AnnotationError, match="'annotations' twice"):
            train_of(
                tmp_path,
                coco_text()[:-1] + f', "annotations": [{json.dumps(BOX)}]}}',
                overwrite=True,
            )

    def test_ids_are_counted_wherever_they_lie(self) -> None:
        for start in range(65_525, 65_540):
            text = b'{"a_id": 1}'.rjust(start) + b'"b_id", "id", "_i", _'
            assert _count_ids(text) == 2

    def test_byte_order_mark_and_nan_in_unread_fields(self, tmp_path: Path) -> None:
        text = coco_text(images=[IMAGE | {"flickr": float("nan"), "title": "NaN, Infinity"}])
        train_of(tmp_path, b"\xef\xbb\xbf" + text.encode())
        assert by_name(tmp_path / "out") == {"a.jpg": [1]}

    def test_a_whole_number_may_be_written_as_a_fraction(self, tmp_path: Path) -> None:
        train_of(tmp_path, coco_text().replace('"image_id": 1', '"image_id": 1.0'))
        assert by_name(tmp_path / "out") == {"a.jpg": [1]}

    @pytest.mark.parametrize(
        ("images", "annotations"),
        [
            ([IMAGE], [{k: v for k, v in BOX.items() if k != "area"}]),
            ([IMAGE], [BOX | {"bbox": []}]),
            ([IMAGE], [BOX | {"bbox": [1, 1, 5, None]}]),
            ([IMAGE | {"height": "9"}], [BOX]),
        ],
        ids=["no area", "empty box", "no height in the box", "height of the image"],
    )
    def test_boxes_that_may_not_matter(
        self, tmp_path: Path, images: list[Any], annotations: list[Any]
    ) -> None:
        with pytest.raises(AnnotationError) as caught:
            train_of(tmp_path, coco_text(images=images, annotations=annotations))
        where = (caught.value.where or "").partition("$")[2]
        told = "quotes" if "height" in where else "pass --image-level"
        assert told in (caught.value.remedy or "")

    @pytest.mark.parametrize("name", ["sub\\a.jpg", "sub/a.jpg"])
    def test_names_of_files_of_windows(self, tmp_path: Path, name: str) -> None:
        (tmp_path / "train" / "sub").mkdir(parents=True)
        (tmp_path / "train" / "sub" / "a.jpg").touch()
        assert train_of(tmp_path, coco_text(images=[IMAGE | {"file_name": name}])).warnings == ()
        assert read_partition(tmp_path / "out", "train").images[0].endswith("/train/sub/a.jpg")

    @pytest.mark.parametrize("name", ["..\\upload\\a.jpg", "http://x.org/a.jpg", "/data/a.jpg", ""])
    def test_names_of_no_file_in_the_folder(self, tmp_path: Path, name: str) -> None:
        text = coco_text(images=[IMAGE, IMAGE | {"id": 2, "file_name": name}])
        with pytest.raises(AnnotationError, match=r"images\[1\]\.file_name: got .* image folder"):
            train_of(tmp_path, text)

    @pytest.mark.parametrize(
        ("boxes", "said"),
        [
            ([[60, 30, 90, 40], [50, 20, 95, 49], [1, 1, 9, 9]], True),
            ([[60, 30, 90, 40], [50, 20, 40, 49], [1, 1, 9, 9]], False),
            ([[10, 10, 80, 38], [5, 5, 60, 40], [2, 2, 90, 45]], False),
            ([[0, 0, 100, 50], [1, 1, 99, 49]], False),
            ([[60, 30, 90, 40], *[[1, 1, 9, 9]] * 3], False),
            ([[60, 30, 90, 40], *[[1, 1, 9, 9]] * 2], True),
        ],
        ids=[
            *("corners", "one is none", "large, inside", "to the edge"),
            *("a quarter outside", "a third outside"),
        ],
    )
    def test_boxes_by_their_corners_are_said(
        self, tmp_path: Path, boxes: list[Any], said: bool
    ) -> None:
        annotations = [BOX | {"bbox": box} for box in boxes]
        warnings = train_of(tmp_path, coco_text(annotations=annotations)).warnings
        assert any("are the boxes left, top, right, bottom?" in text for text in warnings) == said
        assert by_name(tmp_path / "out") == {"a.jpg": [1]}

    def test_a_class_without_a_name(self, tmp_path: Path) -> None:
        with pytest.raises(AnnotationError, match=r'categories\[0\]\.name: got ""'):
            train_of(tmp_path, coco_text().replace('"name": "cat"', '"name": ""'))

    def test_a_string_of_digits_is_told_what_to_do(self, tmp_path: Path) -> None:
        with pytest.raises(AnnotationError, match=r'image_id: got "1".*without quotes'):
            train_of(tmp_path, coco_text().replace('"image_id": 1', '"image_id": "1"'))

    def test_values_are_named_in_plain_words(self, tmp_path: Path) -> None:
        with pytest.raises(AnnotationError, match="true or false or a number or null"):
            train_of(tmp_path, coco_text(annotations=[BOX | {"ignore": "1"}]))

    @pytest.mark.parametrize("ids", [(5, 1), (2**62, 1), (-(2**63), 2**63 - 1), (0, 2**23)])
    def test_ids_near_and_far(self, tmp_path: Path, ids: tuple[int, int]) -> None:
        images = [IMAGE | {"id": id_, "file_name": f"{at}.jpg"} for at, id_ in enumerate(ids)]
        text = coco_text(images=images, annotations=[BOX | {"image_id": ids[1]}])
        train_of(tmp_path, text, overwrite=True)
        assert by_name(tmp_path / "out") == {"0.jpg": [0], "1.jpg": [1]}
        for unknown in (7, -7, 2**63 - 2, 1 - 2**63):
            text = coco_text(images=images, annotations=[BOX | {"image_id": unknown}])
            with pytest.raises(
                AnnotationError, match=f": {unknown} is not among the file's images"
            ):
                train_of(tmp_path, text, overwrite=True)

    def test_names_of_2017_and_any_other_file(self, tmp_path: Path) -> None:
        for name in ("instances_train2017.json", "mine.json"):
            (tmp_path / name).write_text(coco_text())
        options: dict[str, Any] = {"train_imgs_path": tmp_path, "val_imgs_path": tmp_path}
        write_coco(tmp_path, tmp_path / "a", year="2017", partitions=("train",), **options)
        write_coco(tmp_path, tmp_path / "b", annotations={"dev": Path("mine.json")}, **options)
        write_coco(tmp_path / "mine.json", tmp_path / "c", **options)
        assert by_name(tmp_path / "a") == by_name(tmp_path / "b", "dev") == by_name(tmp_path / "c")
        for out, name, dataset in (
            *(("a", "train", "COCO2017"), ("b", "dev", tmp_path.name)),
            ("c", "train", "mine"),
        ):
            record = manifest.read(tmp_path / out / f"{name}.manifest.json")
            assert record.details["dataset"] == dataset

    def test_a_file_is_of_the_split_that_its_name_says(self, tmp_path: Path) -> None:
        path = tmp_path / "instances_val2017.json"
        path.write_text(coco_text())
        result = write_coco(path, tmp_path / "out", val_imgs_path=tmp_path)
        assert [*result.images] == ["val"]

    @pytest.mark.parametrize(
        ("names", "likely"),
        [
            (["valid/_annotations.coco.json", "train/_annotations.coco.json"], "train/_annot"),
            (
                ["annotations/captions_train2014.json", "annotations/instances_train2014.json"],
                "annotations/instances_train2014",
            ),
        ],
        ids=["Roboflow", "the folder around annotations"],
    )
    def test_files_in_folders_are_named(
        self, tree: Tree, tmp_path: Path, names: list[str], likely: str
    ) -> None:
        with pytest.raises(DatasetError, match=f"--annotations train={likely}"):
            write_coco(tree(*names), tmp_path / "out", partitions=("train",))

    def test_missing_file_names_what_is_there(self, tmp_path: Path) -> None:
        (tmp_path / "labels.json").write_text(coco_text())
        with pytest.raises(DatasetError, match=r"--annotations train=labels\.json"):
            write_coco(tmp_path, tmp_path / "out", partitions=("train",), train_imgs_path=tmp_path)

        (tmp_path / "instances_train2017.json").write_text(coco_text())
        with pytest.raises(DatasetError, match=r"Pass --year 2017\. Choose"):
            write_coco(tmp_path, tmp_path / "out", partitions=("train",), train_imgs_path=tmp_path)

    def test_trains_order_rules_wherever_it_is_named(self, tmp_path: Path) -> None:
        both = [CAT, {"id": 2, "name": "dog"}]
        for name, categories in (("t", both), ("v", both[::-1])):
            (tmp_path / f"{name}.json").write_text(coco_text(categories=categories))
        write_coco(
            tmp_path,
            tmp_path / "out",
            annotations={"val": Path("v.json"), "train": Path("t.json")},
            train_imgs_path=tmp_path / "train",
            val_imgs_path=tmp_path / "val",
        )
        assert names_of(tmp_path / "out") == [("cat", 1), ("dog", 2)]
        assert by_name(tmp_path / "out", "val") == {"a.jpg": [1, 0]}

    def test_exchanged_image_folders_are_seen(self, coco: Path) -> None:
        result = write_coco(
            coco / "annotations",
            coco / "out",
            train_imgs_path=coco / "val",
            val_imgs_path=coco / "train",
            partitions=("train", "val"),
        )
        assert [w.partition(" images")[0] for w in result.warnings] == [
            "train: 3 of 3",
            "val: 3 of 3",
        ]


class TestVoc:
    @pytest.mark.parametrize(
        ("cat", "dog", "message"),
        [
            ("1 1\n2 0\n", "1 0\n2 1\n", "hold 1 and 0, and no -1"),
            ("1 1\n2 -1\n", "1 1\n", "dog_train.txt lacks 1 images of other classes"),
            ("1 1\n2 -1\n", "", "dog_train.txt lacks 2 images"),
        ],
    )
    def test_what_becomes_ignored_is_said(
        self, voc: Voc, tmp_path: Path, cat: str, dog: str, message: str
    ) -> None:
        source = voc({"cat_train": cat, "dog_train": dog})
        warnings = write_voc(source, tmp_path / "out", partitions=("train",)).warnings
        assert any(message in warning for warning in warnings)

    def test_classes_that_look_alike_are_said(self, voc: Voc, tmp_path: Path) -> None:
        source = voc({"Cat_train": "1 1\n", "cat_train": "1 -1\n"})
        warnings = write_voc(source, tmp_path / "out", partitions=("train",)).warnings
        assert "the classes 'Cat' and 'cat' differ in case, blanks or the like alone" in warnings
        assert "train: no image shows 1 of 2 classes: cat" in warnings

    def test_images_of_both_train_and_test_are_said(self, voc: Voc, tmp_path: Path) -> None:
        source = voc({"cat_train": "1 1\n2 -1\n", "cat_val": "1 1\n3 1\n"})
        [warning] = [w for w in write_voc(source, tmp_path / "out").warnings if "too" in w]
        image = source / "JPEGImages" / "1.jpg"
        assert warning == f"test: 1 of its images are in train too, such as {image}"
        relocate(tmp_path / "out", tmp_path / "new", old_prefix=str(source), new_prefix="/x")
        for folder in ("out", "new"):
            said = manifest.read(tmp_path / folder / "test.manifest.json").warnings
            assert len([text for text in said if "too, such as" in text]) == 1

    def test_annotations_without_objects_are_an_error(self, voc: Voc, tmp_path: Path) -> None:
        source = voc({})
        (source / "Annotations").mkdir()
        (source / "Annotations" / "1.xml").write_text("<annotation></annotation>")
        (source / "ImageSets" / "Main" / "train.txt").write_text("1\n")
        with pytest.raises(DatasetError, match="no object"):
            write_voc(source, tmp_path / "out", partitions=("train",))
        (source / "ImageSets" / "Main" / "a_b_train.txt").write_text("1 yes\n")
        with pytest.raises(DatasetError, match="whole set: a_b"):
            write_voc(source, tmp_path / "out", partitions=("train",))

    def test_classes_with_an_underscore(self, voc: Voc, tmp_path: Path) -> None:
        text = "1 1\n2 -1\n"
        lists = {f"{c}_{s}": text for c in ("cat", "traffic_light") for s in ("trainval", "test")}
        lists |= {"person_head_trainval": "1 1\n", "person_head_test": "1 1\n", "a_b_test": text}
        [warning, *_] = write_voc(voc(lists), tmp_path / "out").warnings
        assert names_of(tmp_path / "out") == [("cat", 0), ("traffic_light", 1)]
        assert "a_b, person_head" in warning

    def test_only_classes_with_an_underscore(self, voc: Voc, tmp_path: Path) -> None:
        write_voc(voc({"a_b_train": "1 1\n"}), tmp_path / "out", partitions=("train",))
        assert names_of(tmp_path / "out") == [("a_b", 0)]

    def test_classes_are_chosen_in_order(self, voc: Voc, tmp_path: Path) -> None:
        source = voc({f"{c}_train": f"1 {m}\n" for c, m in (("a", 1), ("b_c", -1), ("d", 0))})
        write_voc(source, tmp_path / "out", partitions=("train",), classes=("d", "b_c"))
        assert names_of(tmp_path / "out") == [("d", 0), ("b_c", 1)]
        assert by_name(tmp_path / "out") == {"1.jpg": [-1, 0]}
        with pytest.raises(DatasetError, match=r"lacks z_train\.txt"):
            write_voc(source, tmp_path / "b", partitions=("train",), classes=("z",))

    def test_suffix_that_is_there_is_taken(self, voc: Voc, tmp_path: Path) -> None:
        source = voc({"a_train": "1 1\n2 1\n3.jpg 1\n4 1\n5 1\n"})
        for name in ("1.png", "2.JPG", "3.jpg", "3.jpg.png", "5.webp", "5.png"):
            (source / "JPEGImages" / name).touch()
        write_voc(source, tmp_path / "out", partitions=("train",))
        assert [*by_name(tmp_path / "out")] == [*("1.png", "2.JPG", "3.jpg", "4.jpg", "5.png")]

    def test_the_other_tar_is_named(self, voc: Voc, tmp_path: Path) -> None:
        with pytest.raises(DatasetError, match=r"Unpack VOCtrainval_06-Nov-2007\.tar too"):
            write_voc(voc({"a_test": "1 1\n"}), tmp_path / "out")

    def test_xml_gives_what_the_lists_give(self, voc: Voc, tmp_path: Path) -> None:
        rng = random.Random(0)
        classes = ["cat", "dog", "tv monitor"]
        marks = {i: [rng.choice(["1", "-1", "0"]) for _ in classes] for i in "abcdefgh"}
        lists = {
            f"{name}_train": "".join(f"{i} {m[at]}\n" for i, m in marks.items())
            for at, name in enumerate(classes)
        }
        source = voc(lists)
        options: dict[str, Any] = {"partitions": ("train",), "format": ("csv",)}
        write_voc(source, tmp_path / "lists", **options)
        (source / "Annotations").mkdir()
        for image, own in marks.items():
            objects = [
                f"<object><name>{name}</name><difficult>{int(mark == '0')}</difficult></object>"
                + (f"<object><name>{name}</name><difficult>1</difficult></object>" * (mark == "1"))
                for name, mark in zip(classes, own, strict=True)
                if mark != "-1"
            ]
            text = f"<annotation>{''.join(objects)}</annotation>"
            (source / "Annotations" / f"{image}.xml").write_text(text)
        for path in (source / "ImageSets" / "Main").iterdir():
            path.unlink()
        (source / "ImageSets" / "Main" / "train.txt").write_text("\r\n".join(marks))
        [warning, *_] = write_voc(source, tmp_path / "xml", **options).warnings
        assert "labels are from Annotations" in warning
        for name in ("train_images.npy", "train_labels.npy", "classes.json", "train.csv"):
            assert (tmp_path / "xml" / name).read_bytes() == (
                tmp_path / "lists" / name
            ).read_bytes()

    @pytest.mark.parametrize(
        ("difficult", "label"),
        [("true", -1), ("True", -1), ("FALSE", 1), ("Unspecified", 1), ("", 1), ("0", 1)],
    )
    def test_difficult_in_words(self, voc: Voc, tmp_path: Path, difficult: str, label: int) -> None:
        source = voc({"train": "1.jpg\n", "val": "1.jpg\n"})
        (source / "Annotations").mkdir()
        (source / "Annotations" / "1.xml").write_text(
            f"<a><object><name>cat</name><difficult>{difficult}</difficult></object></a>"
        )
        write_voc(source, tmp_path / "out", partitions=("train",))
        assert by_name(tmp_path / "out") == {"1.jpg": [label]}

    @pytest.mark.parametrize(
        "text",
        [
            "<Annotation><Object><Name>cat</Name></Object></Annotation>",
            "<annotation xmlns='http://x.org'><object><name>cat</name></object></annotation>",
            "<annotation><object><name>\tcat \n</name></object></annotation>",
        ],
    )
    def test_names_of_elements_in_other_forms(self, voc: Voc, tmp_path: Path, text: str) -> None:
        source = voc({"train": "1\n"})
        (source / "Annotations").mkdir()
        (source / "Annotations" / "1.xml").write_text(text)
        write_voc(source, tmp_path / "out", partitions=("train",))
        assert names_of(tmp_path / "out") == [("cat", 0)]
        assert by_name(tmp_path / "out") == {"1.jpg": [1]}

    def test_ids_with_blanks(self, voc: Voc, tmp_path: Path) -> None:
        source = voc({"train": '"my photo 1"\nmy photo 2  -1\nmy\t1\n'})
        (source / "Annotations").mkdir()
        for name in ("my photo 1", "my photo 2", "my"):
            text = f"<annotation><object><name>{name[-1]}</name></object></annotation>"
            (source / "Annotations" / f"{name}.xml").write_text(text)
        write_voc(source, tmp_path / "out", partitions=("train",))
        assert names_of(tmp_path / "out") == [("1", 0), ("2", 1), ("y", 2)]
        labels = by_name(tmp_path / "out")
        assert labels["my photo 1.jpg"] == [1, 0, 0]
        assert labels["my photo 2.jpg"] == [0, 1, 0]
        assert labels["my.jpg"] == [0, 0, 1]

    @pytest.mark.parametrize("line", ["{}", "{}.jpg", "{}.xml", "{}  -1"])
    def test_images_in_folders(self, voc: Voc, tmp_path: Path, line: str) -> None:
        """As CVAT writes them, and lists of the files there are."""
        source = voc({"train": "".join(f"{line.format(i)}\n" for i in ("sub/a", "b"))})
        end = ".jpg" if line == "{}.jpg" else ".png"
        for name in ("sub/a", "b"):
            text = f"<annotation><object><name>{name[-1]}</name></object></annotation>"
            for file in (f"Annotations/{name}.xml", f"JPEGImages/{name}{end}"):
                (source / file).parent.mkdir(parents=True, exist_ok=True)
                (source / file).write_text(text)
        write_voc(source, tmp_path / "out", partitions=("train",))
        images, labels, _ = read_partition(tmp_path / "out", "train")
        place = source / "JPEGImages"
        assert images.tolist() == [f"{place}/b{end}", f"{place}/sub/a{end}"]
        assert labels.tolist() == [[0, 1], [1, 0]]

    def test_annotations_named_after_whole_files(self, voc: Voc, tmp_path: Path) -> None:
        source = voc({"train": "1.jpg\n"})
        (source / "Annotations").mkdir()
        for name in ("1", "1.jpg"):
            text = f"<annotation><object><name>of {name}</name></object></annotation>"
            (source / "Annotations" / f"{name}.xml").write_text(text)
        write_voc(source, tmp_path / "out", partitions=("train",))
        assert names_of(tmp_path / "out") == [("of 1.jpg", 0)]

    @pytest.mark.parametrize("line", ["/etc/a", "../a", "sub/../../a"])
    def test_ids_that_lead_out_are_refused(self, voc: Voc, tmp_path: Path, line: str) -> None:
        source = voc({"train": f"{line}\n"})
        (source / "Annotations").mkdir()
        with pytest.raises(AnnotationError, match="expected an image id"):
            write_voc(source, tmp_path / "out", partitions=("train",))

    def test_annotations_without_lists_of_images(self, tree: Tree, tmp_path: Path) -> None:
        source = tree("Annotations/1.xml", "JPEGImages/1.jpg")
        with pytest.raises(DatasetError, match=r"no ImageSets/Main.* Write the ids of its images"):
            write_voc(source, tmp_path / "out")

    @pytest.mark.parametrize(
        "text",
        [
            "<annotation><object>",
            "<!DOCTYPE x [<!ENTITY a 'b'>]><a/>",
            "<a><object/></a>",
            "<a><object><name>cat</name><difficult>maybe</difficult></object></a>",
            "<annotations><image><box label='cat'/></image></annotations>",
            "",
        ],
    )
    def test_bad_xml_is_named(self, voc: Voc, tmp_path: Path, text: str) -> None:
        source = voc({})
        (source / "Annotations").mkdir()
        (source / "ImageSets" / "Main" / "train.txt").write_text("1\n")
        (source / "Annotations" / "1.xml").write_text(text)
        with pytest.raises(AnnotationError, match=r"1\.xml: not readable XML"):
            write_voc(source, tmp_path / "out", partitions=("train",))


class TestGroundTruth:
    @pytest.fixture
    def flat(self, tree: Tree) -> Path:
        return tree("train/n2/x.jpg", "train/n1/x.jpg", "val/v1.JPEG", "val/v2.JPEG")

    def devkit(self, place: Path, numbers: str) -> Path:
        data = place / "ILSVRC2012_devkit_t12" / "data"
        data.mkdir(parents=True)
        (data / "ILSVRC2012_validation_ground_truth.txt").write_text(numbers)
        table = np.zeros((3, 1), [("ILSVRC2012_ID", object), ("WNID", object)])
        for row, (number, synset) in enumerate([(7, "n1"), (490, "n2"), (3, "n3")]):
            table[row, 0] = (number, synset)
        savemat(data / "meta.mat", {"synsets": table})
        return place / "ILSVRC2012_devkit_t12"

    @pytest.mark.parametrize("given", ["", "data", "data/ILSVRC2012_validation_ground_truth.txt"])
    def test_devkit(self, flat: Path, tmp_path: Path, given: str) -> None:
        write_folders(flat, tmp_path / "out", val_labels=self.devkit(tmp_path, "490\n7\n") / given)
        assert by_name(tmp_path / "out", "val") == {"v1.JPEG": 1, "v2.JPEG": 0}
        assert manifest.verify(tmp_path / "out").ok

    @pytest.mark.parametrize(
        ("text", "message"),
        [("490\n7\n", "meta.mat"), ("490\n", "has 1 lines"), ("v1.JPEG\nv2.JPEG\n", "line 1")],
    )
    def test_numbers_that_nothing_explains(
        self, flat: Path, tmp_path: Path, text: str, message: str
    ) -> None:
        (tmp_path / "truth.txt").write_text(text)
        with pytest.raises(AnnotationError, match=message):
            write_folders(flat, tmp_path / "out", val_labels=tmp_path / "truth.txt")
        assert not (tmp_path / "out").exists()

    def test_damaged_meta_and_unknown_number(self, flat: Path, tmp_path: Path) -> None:
        devkit = self.devkit(tmp_path, "490\n8\n")
        with pytest.raises(AnnotationError, match="holds the number 8"):
            write_folders(flat, tmp_path / "out", val_labels=devkit)
        (devkit / "data" / "meta.mat").write_bytes(b"MATLAB 5.0 nonsense" * 20)
        with pytest.raises(AnnotationError, match=r"meta\.mat: not readable"):
            write_folders(flat, tmp_path / "out", val_labels=devkit)

    @pytest.mark.parametrize(
        "text",
        [
            "n2\nn1\n",
            "v1.JPEG\tn2\t0\t32\t44\t62\nv2.JPEG\tn1\t1\t2\t3\t4\n",
            "v1.JPEG n2\nv2.JPEG n1  \n",
            "\ufeffimage;class\nv1.JPEG;n2\nv2.JPEG;n1\n",
            '"v1.JPEG","n2"\r\n"v2.JPEG","n1"\r\n',
            "v1.JPEG\t1\nv2.JPEG\t0\n",
            "val/v1.JPEG 1\nval/v2.JPEG 0\n",
        ],
        ids=[
            "synset a line",
            "Tiny ImageNet",
            "trailing blanks",
            "header",
            "quoted",
            "ids by tab",
            "with folder",
        ],
    )
    def test_forms_of_lists(self, flat: Path, tmp_path: Path, text: str) -> None:
        (tmp_path / "truth.txt").write_text(text)
        write_folders(flat, tmp_path / "out", val_labels=tmp_path / "truth.txt")
        assert by_name(tmp_path / "out", "val") == {"v1.JPEG": 1, "v2.JPEG": 0}

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("image;class\nv1.JPEG;n2 1 2 3 4 n1 1 2 3 4\nv2.JPEG;n1 1 2 3 4\n", "line 2: got"),
            ("ImageId,PredictionString\nv1,n2 1 2 3 4 n1 1 2 3 4\nv2,n1 1 2 3 4\n", "line 2: got"),
            ("v1.JPEG\tn2\t1\t2\t3\t4\tn1\t1\t2\t3\t4\nv2.JPEG\tn1\n", "line 1: got"),
        ],
    )
    def test_boxes_of_two_classes_are_refused(
        self, flat: Path, tmp_path: Path, text: str, message: str
    ) -> None:
        (tmp_path / "truth.txt").write_text(text)
        with pytest.raises(AnnotationError, match=message):
            write_folders(flat, tmp_path / "out", val_labels=tmp_path / "truth.txt")

    def test_lines_without_names_take_a_plain_order(self, tree: Tree, tmp_path: Path) -> None:
        source = tree("train/n1/a.jpg", "train/n2/b.jpg", "val/v2.jpg", "val/v10.jpg")
        (tmp_path / "truth.txt").write_text("n2\nn1\n")
        with pytest.raises(AnnotationError, match=r"v10\.jpg, v2\.jpg .* leading zeros"):
            write_folders(source, tmp_path / "out", val_labels=tmp_path / "truth.txt")

    def test_ids_that_start_from_1_are_said(self, tree: Tree, tmp_path: Path) -> None:
        names = [f"train/n{n}/a.jpg" for n in range(3)]
        source = tree(*names, "val/v1.jpg", "val/v2.jpg")
        (tmp_path / "truth.txt").write_text("v1.jpg 1\nv2.jpg 2\n")
        result = write_folders(source, tmp_path / "out", val_labels=tmp_path / "truth.txt")
        assert f"{tmp_path}/truth.txt holds no 0; ids of classes start there" in result.warnings

    def test_numbers_alone_stay(self, tree: Tree, tmp_path: Path) -> None:
        source = tree("val/1.jpg", "val/2.jpg", "val/3.jpg")
        (tmp_path / "val.txt").write_text("1.jpg 2\n2.jpg 10\n3.jpg 1\n")
        options: dict[str, Any] = {"val_labels": tmp_path / "val.txt", "partitions": ("val",)}
        write_folders(source, tmp_path / "out", **options)
        assert by_name(tmp_path / "out", "val") == {"1.jpg": 2, "2.jpg": 10, "3.jpg": 1}
        assert names_of(tmp_path / "out") == [("1", 1), ("2", 2), ("10", 10)]

    def test_a_number_beyond_trains_classes(self, flat: Path, tmp_path: Path) -> None:
        (tmp_path / "val.txt").write_text("v1.JPEG 2\nv2.JPEG 0\n")
        with pytest.raises(AnnotationError, match=r"class id 2; expected 0 to 1"):
            write_folders(flat, tmp_path / "out", val_labels=tmp_path / "val.txt")

    @pytest.mark.parametrize(
        ("train", "numbers"), [(("0", "1", "10", "2"), "023"), (("1", "2"), "01")]
    )
    def test_numbers_that_are_names_or_ids(
        self, tree: Tree, tmp_path: Path, train: tuple[str, ...], numbers: str
    ) -> None:
        source = tree(*(f"train/{n}/a.jpg" for n in train), *(f"val/v{n}.jpg" for n in numbers))
        (tmp_path / "val.txt").write_text("".join(f"v{n}.jpg {n}\n" for n in numbers))
        with pytest.raises(AnnotationError, match=r"holds \d, a class folder of train, and \d"):
            write_folders(source, tmp_path / "out", val_labels=tmp_path / "val.txt")

    @pytest.mark.parametrize("text", ["n3\nn1\nn2\n", "v1.JPEG n3\nv2.JPEG n1\nv3.JPEG n2\n"])
    def test_some_classes_of_a_flat_folder(self, tree: Tree, tmp_path: Path, text: str) -> None:
        names = [f"train/n{n}/a.JPEG" for n in (1, 2, 3)] + [f"val/v{n}.JPEG" for n in (1, 2, 3)]
        (tmp_path / "val.txt").write_text(text)
        (tmp_path / "classes.txt").write_text("n3\nn2\n")
        options: dict[str, Any] = {"val_labels": tmp_path / "val.txt"}
        source = tree(*names)
        result = write_folders(
            source, tmp_path / "out", classes=tmp_path / "classes.txt", **options
        )
        assert f"{source}/val: 1 images of other classes were left out" in result.warnings
        assert by_name(tmp_path / "out", "val") == {"v1.JPEG": 0, "v3.JPEG": 1}
        inputs = manifest.read(tmp_path / "out" / "val.manifest.json").inputs
        assert [entry.files_used for entry in inputs if entry.files_used] == [2]
        (tmp_path / "val.txt").write_text("v1.JPEG n3\nv2.JPEG n4\nv3.JPEG n2\n")
        with pytest.raises(DatasetError, match="1 classes that train lacks: n4"):
            write_folders(source, tmp_path / "no", classes=tmp_path / "classes.txt", **options)

    def test_numbers_by_an_order_of_ones_own_are_said(self, tree: Tree, tmp_path: Path) -> None:
        source = tree("train/n1/a.JPEG", "train/n2/a.JPEG", "val/v1.JPEG", "val/v2.JPEG")
        (tmp_path / "val.txt").write_text("v1.JPEG 0\nv2.JPEG 1\n")
        for text, said in (("n2\nn1\n", True), ("n1\nn2\n", False)):
            (tmp_path / "classes.txt").write_text(text)
            result = write_folders(
                source,
                tmp_path / "out",
                val_labels=tmp_path / "val.txt",
                classes=tmp_path / "classes.txt",
                overwrite=True,
            )
            told = [w for w in result.warnings if "ids of this run's classes; 0 is n2" in w]
            assert len(told) == said

    def test_numbers_that_are_names_of_classes_left_out(self, tree: Tree, tmp_path: Path) -> None:
        source = tree(
            *(f"train/{n}/a.jpg" for n in (3, 4, 5)), *(f"val/{n}.jpg" for n in (3, 4, 5))
        )
        (tmp_path / "val.txt").write_text("3.jpg 3\n4.jpg 4\n5.jpg 5\n")
        (tmp_path / "classes.txt").write_text("5\n3\n")
        write_folders(
            source,
            tmp_path / "out",
            val_labels=tmp_path / "val.txt",
            classes=tmp_path / "classes.txt",
        )
        assert by_name(tmp_path / "out", "val") == {"5.jpg": 0, "3.jpg": 1}

    def test_numbers_that_count_the_images_are_said(self, tree: Tree, tmp_path: Path) -> None:
        """As Kaggle's `ImageSets/CLS-LOC/val.txt`."""
        source = tree(*(f"val/v{n}.JPEG" for n in (1, 2, 3)))
        (tmp_path / "val.txt").write_text("v1 1\nv2 2\nv3 3\n")
        options: dict[str, Any] = {"val_labels": tmp_path / "val.txt", "partitions": ("val",)}
        warnings = write_folders(source, tmp_path / "out", **options).warnings
        assert any("each image has a class of its own" in text for text in warnings)
        tree(*(f"train/n{n}/x.JPEG" for n in range(4)))  # with train they are its classes
        warnings = write_folders(source, tmp_path / "o", val_labels=tmp_path / "val.txt").warnings
        assert not any("each image has a class of its own" in text for text in warnings)

    def test_images_of_tiny_imagenet(self, tree: Tree, tmp_path: Path) -> None:
        source = tree("train/n1/a.jpg", "val/images/v1.jpg")
        (tmp_path / "val.txt").write_text("v1.jpg n1\n")
        with pytest.raises(DatasetError, match="--partitions train,val=val/images"):
            write_folders(source, tmp_path / "out", val_labels=tmp_path / "val.txt")
        options: dict[str, Any] = {"partitions": ("train", "val=val/images")}
        write_folders(source, tmp_path / "out", val_labels=tmp_path / "val.txt", **options)
        assert by_name(tmp_path / "out", "val") == {"v1.jpg": 0}


class TestClassOrder:
    def test_numbers_follow_text_with_a_warning(self, tree: Tree, tmp_path: Path) -> None:
        source = tree(*(f"train/{n}/a.jpg" for n in (0, 1, 2, 10)))
        options: dict[str, Any] = {"partitions": ("train",)}
        [warning] = write_folders(source, tmp_path / "text", **options).warnings
        assert "10 has the id 2" in warning
        assert [n for n, _ in names_of(tmp_path / "text")] == ["0", "1", "10", "2"]
        natural = write_folders(source, tmp_path / "n", class_order="natural", **options)
        assert natural.warnings == ()
        assert [n for n, _ in names_of(tmp_path / "n")] == ["0", "1", "2", "10"]

    @pytest.mark.parametrize(
        "names", [["0", "1", "9"], ["01", "02", "10"], ["a10", "b2"], ["a10", "a9b"]]
    )
    def test_no_warning_where_the_orders_agree(
        self, tree: Tree, tmp_path: Path, names: list[str]
    ) -> None:
        source = tree(*(f"train/{n}/a.jpg" for n in names))
        assert write_folders(source, tmp_path / "o", partitions=("train",)).warnings == ()

    def test_a_file_gives_classes_and_order(self, tree: Tree, tmp_path: Path) -> None:
        source = tree(*(f"{s}/{n}/a.jpg" for s in ("train", "val") for n in ("n1", "n2", "n 3")))
        (tmp_path / "c.txt").write_text("n 3\nn1 tench, Tinca tinca\n")
        result = write_folders(source, tmp_path / "out", classes=tmp_path / "c.txt")
        assert names_of(tmp_path / "out") == [("n 3", 0), ("n1", 1)]
        assert result.images == {"train": 2, "val": 2}
        assert result.warnings == (f"1 class folders are not in {tmp_path / 'c.txt'}",)
        for text, message in (
            ("n9\n", "'n9' has no folder"),
            ("n1\nn1\n", "line 2.*twice"),
            ("n1,n2\n", 'line 1: got "n1,n2"; expected one class a line'),
            ("n2 1\nn1 0\n", 'line 1: got "n2 1".*gets the id 0'),
            ("n1 1 tench\nn2 2 crane\n", 'line 1: got "n1 1 tench".*gets the id 0'),
        ):
            (tmp_path / "c.txt").write_text(text)
            with pytest.raises(AnnotationError, match=message):
                write_folders(source, tmp_path / "no", classes=tmp_path / "c.txt")


class TestFolders:
    @pytest.mark.parametrize(
        ("file", "message"),
        [
            ("train/2.jpg", "1 images outside of class folders were left out"),
            ("train/a/2.heic", "1 files ending in .heic were left out"),
            ("train/a/README", "1 files without suffix were left out"),
            ("train/a/Thumbs.db", None),
            ("train/a/more/README", None),
            ("train/a/.2.jpg", None),
        ],
    )
    def test_what_somebody_may_miss_is_said(
        self, tree: Tree, tmp_path: Path, file: str, message: str | None
    ) -> None:
        source = tree("train/a/1.jpg", file)
        result = write_folders(source, tmp_path / "out", partitions=("train",))
        assert result.warnings == ((f"{source}/train: {message}",) if message else ())
        assert manifest.read(tmp_path / "out" / "train.manifest.json").counts["skipped"] == 1

    def test_broken_links_are_said(self, tree: Tree, tmp_path: Path) -> None:
        source = tree("train/a/1.jpg")
        (source / "train" / "a" / "2.jpg").symlink_to("nowhere.jpg")
        (source / "train" / "a" / "3.jpg").symlink_to("3.jpg")
        [warning] = write_folders(source, tmp_path / "out", partitions=("train",)).warnings
        assert "2 images that are no files, such as broken links, were left out" in warning

    def test_images_in_sub_folders_are_said(self, tree: Tree, tmp_path: Path) -> None:
        source = tree("train/a/1.jpg", "train/a/x/2.jpg", "train/a/x/y/3.jpg", "train/a/x-/4.jpg")
        options: dict[str, Any] = {"partitions": ("train",)}
        [warning] = write_folders(source, tmp_path / "out", **options).warnings
        assert "3 images in sub-folders" in warning
        write_folders(source, tmp_path / "all", recursive=True, **options)
        images = read_partition(tmp_path / "all", "train").images.tolist()
        folder = str(source / "train" / "a")
        walked = sorted((place, sorted(names)) for place, _, names in os.walk(folder))
        assert images == [f"{place}/{name}" for place, names in walked for name in names]

    def test_links_back_up_end(self, tree: Tree, tmp_path: Path) -> None:
        source = tree("train/a/x/1.jpg")
        (source / "train" / "a" / "x" / "up").symlink_to(source / "train" / "a")
        (source / "train" / "a" / "x" / "y").mkdir()
        (source / "train" / "a" / "x" / "y" / "near").symlink_to(source / "train" / "a" / "x")
        write_folders(source, tmp_path / "out", partitions=("train",), recursive=True)
        assert read_partition(tmp_path / "out", "train").images.tolist() == [
            f"{source}/train/a/x/1.jpg"
        ]

    def test_what_is_no_image_is_counted_in_folders_below(self, tree: Tree, tmp_path: Path) -> None:
        source = tree("train/a/1.jpg", "train/a/x/2.jpg", "train/a/x/notes.txt", "train/a/b.heic")
        result = write_folders(source, tmp_path / "out", partitions=("train",), recursive=True)
        assert {text.partition(": ")[2] for text in result.warnings} == {
            "1 files ending in .txt were left out",
            "1 files ending in .heic were left out",
        }
        assert manifest.read(tmp_path / "out" / "train.manifest.json").counts["skipped"] == 2

    def test_a_subset_without_a_class_is_said(self, tree: Tree, tmp_path: Path) -> None:
        source = tree("train/a/1.jpg", "train/b/2.jpg", "train/c/README")
        (tmp_path / "list.txt").write_text("1.jpg\n")
        options: dict[str, Any] = {"partitions": ("train",), "subset": tmp_path / "list.txt"}
        warnings = write_folders(source, tmp_path / "out", **options).warnings
        assert f"{tmp_path}/list.txt names no image of 1 classes: b" in warnings

    @pytest.mark.parametrize("other", ["a ", "A", "e\u0301", "A\u00a0"])
    def test_classes_one_to_the_eye_are_said(self, tree: Tree, tmp_path: Path, other: str) -> None:
        name = "é" if "e" in other else "a"
        source = tree(f"train/{name}/1.jpg", f"train/{other}/2.jpg", "val/z/3.jpg")
        [warning] = write_folders(source, tmp_path / "out", partitions=("train",)).warnings
        assert "differ in case, blanks or the like alone" in warning
        assert ascii(other) in warning
        source.joinpath("train", name).rename(source / "train" / "z")
        source.joinpath("val", "z").rename(source / "val" / name)
        with pytest.raises(DatasetError) as caught:
            write_folders(source, tmp_path / "val")
        assert f"Train calls {name!a} {other!a}." in str(caught.value)

    def test_folders_around_the_classes_are_seen(self, tree: Tree, tmp_path: Path) -> None:
        source = tree("train/train/a/1.jpg", "train/train/b/2.jpg", "val/images/3.jpg")
        for recursive in (False, True):
            with pytest.raises(DatasetError, match=r"another train.*train=train/train"):
                write_folders(source, tmp_path / "out", recursive=recursive)
        partitions = ("train=val",)
        [warning] = write_folders(source, tmp_path / "out", partitions=partitions).warnings
        assert warning.endswith("val: all images are of one class, images")

    def test_archives_are_to_be_unpacked(self, tree: Tree, tmp_path: Path) -> None:
        source = tree("train/n01440764.tar", "train/n01443537.tar", "val/1.jpg", "set.zip")
        with pytest.raises(DatasetError, match=r"Unpack n01440764.tar, n01443537.tar, each"):
            write_folders(source, tmp_path / "out")
        with pytest.raises(DatasetError, match="It is a file; unpack it first"):
            write_folders(source / "set.zip", tmp_path / "out")
        with pytest.raises(DatasetError, match=r"no such folder; .* Check the path\."):
            write_folders(source / "gone", tmp_path / "out")

    def test_images_of_other_kinds_are_said(self, tree: Tree, tmp_path: Path) -> None:
        source = tree("train/a/1.heic", "train/a/2.heic")
        with pytest.raises(DatasetError, match=r"no image .* 2 files ending in \.heic were left"):
            write_folders(source, tmp_path / "out", partitions=("train",))

    def test_images_without_folders_are_told_what_takes_them(
        self, tree: Tree, tmp_path: Path
    ) -> None:
        source = tree("train/1.jpg", "train/2.jpg", "val/a/3.jpg")
        with pytest.raises(DatasetError, match=r"2 images outside of class folders .* take --list"):
            write_folders(source, tmp_path / "out")

    def test_imagenet_of_kaggle_is_found(self, tree: Tree, tmp_path: Path) -> None:
        source = tree("ILSVRC/Data/CLS-LOC/train/n1/a.JPEG")
        for place in (source, source / "ILSVRC"):
            with pytest.raises(DatasetError, match=r"Give \S+/ILSVRC/Data/CLS-LOC\."):
                write_folders(place, tmp_path / "out")

    def test_the_only_folder_is_looked_into(self, tree: Tree, tmp_path: Path) -> None:
        source = tree("pets/train/a/1.jpg", "pets/val/a/2.jpg")
        with pytest.raises(DatasetError, match=r"Give \S+/pets\."):
            write_folders(source, tmp_path / "out")
        tree("more/train/a/1.jpg")  # as likely a class
        with pytest.raises(DatasetError, match=r"pass --partitions train=\."):
            write_folders(source, tmp_path / "out")

    def test_names_of_windows_are_seen(self, tree: Tree, tmp_path: Path) -> None:
        source = tree("train\\a\\1.jpg", "val\\a\\2.jpg")
        with pytest.raises(DatasetError, match="names hold backslashes"):
            write_folders(source, tmp_path / "out")

    def test_the_output_is_no_class(self, tree: Tree, tmp_path: Path) -> None:
        source = tree("train/a/1.jpg", "val/a/2.jpg")
        with pytest.raises(ParameterError, match="would be a class folder"):
            write_folders(source, source / "train" / "out")
        assert not (source / "train" / "out").exists()
        write_folders(source, source / "out")
        assert names_of(source / "out") == [("a", 0)]
        write_folders(source, source / "alone", unlabelled=True, partitions=("all=.",))

    def test_all_splits_under_other_names_are_named(self, tree: Tree, tmp_path: Path) -> None:
        source = tree("Train/a/1.jpg", "Val/a/1.jpg")
        with pytest.raises(DatasetError, match="--partitions train=Train,val=Val"):
            write_folders(source, tmp_path / "out")

    def test_what_archivers_leave_is_no_class(self, tree: Tree, tmp_path: Path) -> None:
        junk = ("__MACOSX/a/._1.jpg", "@eaDir/a/1.jpg", "lost+found/x.jpg", ".git/1.jpg")
        source = tree("train/a/1.jpg", "train/a/@eaDir/1.jpg", *(f"train/{j}" for j in junk))
        result = write_folders(source, tmp_path / "out", partitions=("train",), recursive=True)
        assert names_of(tmp_path / "out") == [("a", 0)]
        assert result.images == {"train": 1}
        assert manifest.read(tmp_path / "out" / "train.manifest.json").counts["skipped"] == 5

    def test_other_names_of_splits(self, tree: Tree, tmp_path: Path) -> None:
        source = tree("training/a/1.jpg", "valid/a/2.jpg", "test/a/3.jpg")
        with pytest.raises(DatasetError, match=r"--partitions test,train=training"):
            write_folders(source, tmp_path / "out", partitions=("train", "test"))
        write_folders(source, tmp_path / "o", partitions=("train=training", "val=valid", "test"))
        assert by_name(tmp_path / "o", "val") == {"2.jpg": 0}
        assert manifest.verify(tmp_path / "o").manifests == 3
        with pytest.raises(ParameterError, match=r"names '\.\./x'"):
            write_folders(source, tmp_path / "o2", partitions=("../x",))

    def test_images_without_classes(self, tree: Tree, tmp_path: Path) -> None:
        source = tree("1.jpg", "deep/er/2.jpg", "deep/notes.txt")
        formats: Any = ("csv", "jsonl", "txt", "parquet", "hf")
        write_folders(source, tmp_path / "out", unlabelled=True, format=formats)
        images, labels, classes = read_partition(tmp_path / "out", "train")
        assert images.tolist() == [f"{source}/1.jpg", f"{source}/deep/er/2.jpg"]
        assert labels.shape == (2, 0)
        assert classes == ()
        assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
            "README.md",
            "train.csv",
            "train.jsonl",
            "train.manifest.json",
            "train.metadata.jsonl",
            "train.parquet",
            "train.txt",
            "train_images.npy",
        ]
        assert (tmp_path / "out" / "train.txt").read_text() == "".join(f"{i}\n" for i in images)
        rows = (tmp_path / "out" / "train.jsonl").read_text().splitlines()
        assert json.loads(rows[0]) == {"file_name": images[0], "split": "train"}
        assert manifest.verify(tmp_path / "out").ok

    def test_split_is_stratified_and_seeded(self, tree: Tree, tmp_path: Path) -> None:
        counts = {"a": 10, "b": 20, "c": 1}
        source = tree(
            *(f"train/{c}/{n:02}.jpg" for c, count in counts.items() for n in range(count))
        )
        result = write_folders(source, tmp_path / "out", val_fraction=0.1, seed=3)
        assert result.images == {"train": 28, "val": 3}
        assert "1 classes are too small for an image in val: c" in result.warnings[0]
        parts = [read_partition(tmp_path / "out", name) for name in ("train", "val")]
        assert sorted([*parts[0].images, *parts[1].images]) == sorted(
            str(p) for p in source.rglob("*.jpg")
        )
        assert np.bincount(parts[1].labels, minlength=3).tolist() == [1, 2, 0]
        before = [p.images.tolist() for p in parts]
        tree("train/d/1.jpg", "train/c/7.jpg")  # what happens elsewhere changes no draw
        write_folders(source, tmp_path / "again", val_fraction=0.1, seed=3)
        assert set(before[1]) <= set(read_partition(tmp_path / "again", "val").images.tolist())
        write_folders(source, tmp_path / "other", val_fraction=0.1, seed=4)
        assert before[1] != read_partition(tmp_path / "other", "val").images.tolist()

    def test_each_class_keeps_an_image_in_train(self, tree: Tree, tmp_path: Path) -> None:
        source = tree("train/a/1.jpg", "train/b/1.jpg", "train/b/2.jpg")
        result = write_folders(source, tmp_path / "out", val_fraction=0.9)
        assert result.images == {"train": 2, "val": 1}
        assert not any("left out" in text for text in result.warnings)
        assert read_partition(tmp_path / "out", "train").labels.tolist() == [0, 1]

    def test_a_val_that_is_made_anew_is_said(self, tree: Tree, tmp_path: Path) -> None:
        source = tree("train/a/1.jpg", "train/a/2.jpg", "val/a/3.jpg")
        result = write_folders(source, tmp_path / "out", val_fraction=0.5)
        assert f"{source}/val is left out, as --val-fraction makes val of train" in result.warnings

    def test_a_val_beside_a_list_is_not_said(self, tree: Tree, tmp_path: Path) -> None:
        source = tree("val/a/3.jpg")
        (tmp_path / "train.txt").write_text("a/1.jpg 0\na/2.jpg 0\n")
        lists = (tmp_path / "train.txt",)
        result = write_folders(source, tmp_path / "out", list=lists, val_fraction=0.5)
        assert not any("left out" in text for text in result.warnings)

    def test_a_partition_named_twice_is_refused(self, tree: Tree, tmp_path: Path) -> None:
        source = tree("train/a/1.jpg", "more/a/1.jpg")
        with pytest.raises(ParameterError, match="names 'train' twice"):
            write_folders(source, tmp_path / "out", partitions=("train", "train=more"))

    @pytest.mark.parametrize("line", ["{c}_{n}.JPEG", "{c}/{c}_{n}.JPEG"])
    def test_published_subsets(self, tree: Tree, tmp_path: Path, line: str) -> None:
        names = [(c, n) for c in ("n1", "n2") for n in range(4)]
        source = tree(*(f"train/{c}/{c}_{n}.JPEG" for c, n in names), "val/n1/x.jpg")
        text = "".join(line.format(c=c, n=n) + "\n" for c, n in reversed(names[::3]))
        (tmp_path / "1percent.txt").write_text(text)
        write_folders(source, tmp_path / "out", subset=tmp_path / "1percent.txt")
        assert by_name(tmp_path / "out") == {"n1_0.JPEG": 0, "n1_3.JPEG": 0, "n2_2.JPEG": 1}
        (tmp_path / "labels.txt").write_text("n1/n1_0.JPEG 1\nn2/n2_0.JPEG 0\n")
        result = write_folders(source, tmp_path / "labels", subset=tmp_path / "labels.txt")
        assert any("has labels, which are not read" in text for text in result.warnings)
        tree("train/n2/n1_0.JPEG")  # the name of an image of another class
        (tmp_path / "1percent.txt").write_text("n1/n1_0.JPEG\nn2/n1_0.JPEG\n")
        result = write_folders(source, tmp_path / "both", subset=tmp_path / "1percent.txt")
        assert result.images["train"] == 2
        (source / "train" / "n2" / "n1_0.JPEG").unlink()
        for extra, message in (("n1_9.JPEG\n", r"1 images .* n1_9\.JPEG"), (text, "listed twice")):
            (tmp_path / "1percent.txt").write_text(text + extra)
            with pytest.raises(AnnotationError, match=message):
                write_folders(source, tmp_path / "no", subset=tmp_path / "1percent.txt")


class TestLists:
    def write(self, tmp_path: Path, train: str, val: str | None = None, **more: Any) -> Path:
        (tmp_path / "train_x.csv").write_text(train)
        lists = [tmp_path / "train_x.csv"]
        if val is not None:
            (tmp_path / "val_x.csv").write_text(val)
            lists.append(tmp_path / "val_x.csv")
        write_folders(tmp_path / "set", tmp_path / "out", list=tuple(lists), overwrite=True, **more)
        return tmp_path / "out"

    @pytest.mark.parametrize(
        "text",
        [
            '"a/b, c/1.jpg",0\n"d/2.jpg",1\n',
            "filename;label\na/b, c/1.jpg;0\nd/2.jpg;1\n",
            "\ufeffa/b, c/1.jpg\t0\nd/2.jpg\t1\n",
            "a/b, c/1.jpg 0   \r\nd/2.jpg 1\t\r\n\r\n",
            "a/b, c/1.jpg,0\nd/2.jpg,1",
        ],
        ids=["quoted", "semicolon and header", "tab and mark", "trailing blanks", "comma"],
    )
    def test_separators(self, tmp_path: Path, text: str) -> None:
        out = self.write(tmp_path, text)
        assert by_name(out) == {"1.jpg": 0, "2.jpg": 1}
        assert names_of(out) == [("a/b, c", 0), ("d", 1)]

    @pytest.mark.parametrize(
        "text",
        [
            'file_name,label,split\na/1.jpg,0,train\n"b, c/2.jpg",1,train\n',
            ',path,label\n0,a/1.jpg,0\n1,"b, c/2.jpg",1\n',
            "label\tpath\n0\ta/1.jpg\n1\tb, c/2.jpg\n",
            "age;class;image\n9;0;a/1.jpg\n9;1;b, c/2.jpg\n",
            "# image and class\na/1.jpg 0\nb, c/2.jpg 1\n",
            "a/1.jpg 0.0\nb, c/2.jpg 1.0\n",
            "./a/1.jpg 0\nb, c//2.jpg 1\n",
            '{"file_name": "a/1.jpg", "label": 0}\n{"label": 1, "file_name": "b, c/2.jpg"}\n',
            "path\tlabel\ra/1.jpg\t0\rb, c/2.jpg\t1\r",
        ],
        ids=[
            *("our csv", "pandas", "label first", "more columns", "comment", "1.0", "./ and //"),
            *("JSON lines", "line ends of old Macs"),
        ],
    )
    def test_columns_and_numbers(self, tmp_path: Path, text: str) -> None:
        out = self.write(tmp_path, text)
        assert by_name(out) == {"1.jpg": 0, "2.jpg": 1}
        assert names_of(out) == [("a", 0), ("b, c", 1)]

    @pytest.mark.parametrize(
        "text",
        [
            "a/1.jpg 0 1\nb/2.jpg 1 0\n",
            "0 a/1.jpg\n1 b/2.jpg\n",
            "a/1.jpg: cat\nb/2.jpg: dog\n",
            "a/1.jpg,0,train\n",
            "0,a/1.jpg\n1,b/2.jpg\n",
            "0,a/1.jpg,3\n",
            '[{"file_name": "a/1.jpg", "label": 0}]\n',
            '{"file_name": "a/1.jpg", "label": 0}\n{"file_name": "b/2.jpg", "label": 1\n',
            '{"file_name": "a/1.jpg", "label": 0}\n{"file_name": "b/2.jpg"}\n',
            '{"file_name": "a/1.jpg", "labels": [0, 1]}\n',
            "path,label\na/1.jpg,cat|dog\nb/2.jpg,dog\n",
            "path,label\na/1.jpg,\"['cat', 'dog']\"\nb/2.jpg,cat\n",
            "Image,Id\na_1.jpg,cat\nb_2.jpg,dog\n",
            "photograph,label\na.jpg,cat\nb.jpg,dog\n",
            "https://x.org/a/1.jpg 0\n",
            "a\\1.jpg 0\nb\\2.jpg 1\n",
            "a/1.jpg 0.5\nb/2.jpg 1.5\n",
            "file_name,cat,dog,split\na/1.jpg,1,0,train\n",
            "image,label,x\na/1.jpg,0\n",
            "cat\ta/1.jpg\ndog\tb/2.jpg\n",
            "a/1.jpg +1\nb/2.jpg +2\n",
            "a/1.jpg 10,20,30,40,0\n",
            "id_code,diagnosis\n0a,2\n0b,4\n",
            "uuid,species\n1.jpg,cat\n2.jpg,dog\n",
            "Abyssinian_100 1 1 1\nbeagle_1 2 2 2\n",
            "a/1\0.jpg 0\n",
            "a/ 0\n",
        ],
        ids=[
            *("two labels", "number and blank first", "colon"),
            *("three cells", "label first", "number first", "a JSON list"),
            *("cut JSON line", "JSON line without label", "JSON lines of several labels"),
            *("several labels", "a list of labels", "nothing called label", "no path", "URL"),
            *("Windows", "fractions", "a column a class", "cells missing"),
            *("word first", "signs", "a box", "unknown columns of ids", "unknown columns"),
            *("numbers of the Oxford pets", "NUL", "a folder"),
        ],
    )
    def test_lines_that_nobody_can_tell(self, tmp_path: Path, text: str) -> None:
        with pytest.raises(AnnotationError, match=r"train_x\.csv, line [12]: got"):
            self.write(tmp_path, text)
        assert not (tmp_path / "out").exists()

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("a.jpg,nan\nb.jpg,cat\n", "1 images have the class nan; is a label missing?"),
            ("a.jpg,cat dog\nb.jpg,cat\nc.jpg,dog\nd.jpg,cat\n", "'cat dog' is taken for one"),
            ("a.jpg,a b\nb.jpg,a c\nc.jpg,b c\nd.jpg,a b c\n", "'a b c' are made of each other's"),
            ('a.jpg,"cat,dog"\nb.jpg,cat\nc.jpg,dog\nd.jpg,cat\n', "'cat,dog' is taken for one"),
            ("a.jpg,x\nb.jpg,y\nc.jpg,z\n", "each image has a class of its own, such as x"),
            ("a.jpg,images\nb.jpg,images\n", "all images are of one class, images"),
        ],
    )
    def test_classes_that_may_be_none_are_said(
        self, tmp_path: Path, text: str, message: str
    ) -> None:
        path = tmp_path / "train.csv"
        path.write_text(f"path,label\n{text}")
        warnings = write_folders(tmp_path, tmp_path / "out", list=(path,)).warnings
        assert len([w for w in warnings if message in w]) == 1

    def test_two_images_of_two_classes_are_nothing_odd(self, tmp_path: Path) -> None:
        out = self.write(tmp_path, "a.jpg,x\nb.jpg,y\n")
        warnings = manifest.read(out / "train.manifest.json").warnings
        assert not any("each image has a class" in text for text in warnings)

    def test_folders_of_several_splits_are_part_of_the_class(self, tmp_path: Path) -> None:
        out = self.write(tmp_path, "train/a/1.jpg\nval/a/2.jpg\n")
        assert [name for name, _ in names_of(out)] == ["train/a", "val/a"]

    def test_a_list_named_after_two_splits_is_of_neither(self, tmp_path: Path) -> None:
        (tmp_path / "train_val.txt").write_text("a/1.jpg 0\n")
        with pytest.raises(ParameterError, match=r"train_val\.txt is of neither"):
            write_folders(tmp_path, tmp_path / "out", list=(tmp_path / "train_val.txt",))

    def test_trains_list_rules_the_ids_whatever_the_order(self, tmp_path: Path) -> None:
        for name, text in (("test", "b/2.jpg\n"), ("train", "a/1.jpg\nb/3.jpg\n")):
            (tmp_path / f"{name}.txt").write_text(text)
        lists = (tmp_path / "test.txt", tmp_path / "train.txt")
        write_folders(tmp_path, tmp_path / "out", list=lists)
        assert by_name(tmp_path / "out", "test") == {"2.jpg": 1}

    @pytest.mark.parametrize("place", ["", "train/"])
    @pytest.mark.parametrize("end", [".jpg", ".JPEG"])
    def test_ids_of_kaggle_get_the_suffix_that_is_there(
        self, tree: Tree, tmp_path: Path, place: str, end: str
    ) -> None:
        tree(*(f"{place}{name}" for name in (f"0a{end}", f"0b{end}", "0c.png")))
        out = self.write(tmp_path, "id,breed\n0b,dingo\n0a,boston_bull\n0c.png,dingo\n")
        assert by_name(out) == {f"0a{end}": 0, f"0b{end}": 1, "0c.png": 1}
        assert all(os.path.exists(image) for image in read_partition(out, "train").images)

    @pytest.mark.parametrize("line", ["cat,{}", "cat {}"])
    def test_labels_before_images_that_are_there(
        self, tree: Tree, tmp_path: Path, line: str
    ) -> None:
        tree("a/1.jpg", "cat b/2.jpg")
        with pytest.raises(AnnotationError, match=r'line 1: got "cat.a/1\.jpg"'):
            self.write(tmp_path, line.format("a/1.jpg\n"))
        assert names_of(self.write(tmp_path, "cat b/2.jpg\n")) == [("cat b", 0)]
        long = f"cat {'b' * 300}"  # more than any file system takes
        assert names_of(self.write(tmp_path, f"{long}/2.jpg\n")) == [(long, 0)]

    def test_numbers_that_count_words_are_said(self, tmp_path: Path) -> None:
        for train, said in (
            ("1.jpg,cat\n2.jpg,dog\n", True),
            ("cat/1.jpg 0\ndog/2.jpg 1\n", False),
        ):
            out = self.write(tmp_path, train, "3.jpg,1\n4.jpg,0\n")
            assert by_name(out, "val") == {"3.jpg": 1, "4.jpg": 0}
            warnings = manifest.read(out / "val.manifest.json").warnings
            assert any("numbers count train's sorted classes" in w for w in warnings) == said

    def test_ids_of_food101(self, tree: Tree, tmp_path: Path) -> None:
        tree("apple_pie/100.jpg", "sushi/200.jpg")
        out = self.write(tmp_path, "sushi/200\napple_pie/100\n")
        assert by_name(out) == {"100.jpg": 0, "200.jpg": 1}
        assert names_of(out) == [("apple_pie", 0), ("sushi", 1)]
        with pytest.raises(AnnotationError, match="line 1"):
            self.write(tmp_path, "sushi/900\n")

    @pytest.mark.parametrize(
        ("text", "said"),
        [("1.jpg 1\n2.jpg 2\n", "1 to 2"), ("a/1.jpg 0\nb/2.jpg 7\n", "0 to 7"), ("1.jpg 0\n", "")],
    )
    def test_ids_that_do_not_count_from_0_are_said(
        self, tmp_path: Path, text: str, said: str
    ) -> None:
        warnings = manifest.read(self.write(tmp_path, text) / "train.manifest.json").warnings
        told = [w for w in warnings if f"ids from {said}" in w]
        assert len(told) == bool(said)

    def test_an_order_that_nothing_follows_is_refused(self, tree: Tree, tmp_path: Path) -> None:
        source = tree("a/1.jpg")
        (tmp_path / "train.txt").write_text("a\n")
        for name in ("classes", "list"):
            given: dict[str, Any] = {name: tmp_path / "train.txt", "class_order": "natural"}
            with pytest.raises(ParameterError, match=f"--{name} and --class-order exclude"):
                write_folders(source, tmp_path / "out", **given)

    def test_a_list_can_be_split(self, tmp_path: Path) -> None:
        text = "".join(f"{c}/{c}{n}.jpg {at}\n" for at, c in enumerate("ab") for n in range(4))
        out = self.write(tmp_path, text, val_fraction=0.25)
        assert len(by_name(out)) == 6
        with pytest.raises(ParameterError, match="--val-fraction makes val of train"):
            self.write(tmp_path, text, text, val_fraction=0.25)

    def test_absolute_paths_stay(self, tree: Tree, tmp_path: Path) -> None:
        place = tree("photo/dog/1.jpg", "photo/cat/2.jpg")
        out = self.write(tmp_path, f"{place}/photo/dog/1.jpg 0\n{place}/photo/cat/2.jpg 1\n")
        images, _, classes = read_partition(out, "train")
        assert images.tolist() == [f"{place}/photo/dog/1.jpg", f"{place}/photo/cat/2.jpg"]
        assert [c.name for c in classes] == ["dog", "cat"]
        out = self.write(tmp_path, f"{place}/photo/dog/1.jpg 5\n{place}/photo/dog/9.jpg 5\n")
        assert names_of(out) == [("dog", 5)]
        assert read_partition(out, "train").images[1] == f"{place}/photo/dog/9.jpg"
        out = self.write(
            tmp_path,
            f"{place}/photo/dog/1.jpg 0\nphoto/cat/2.jpg 1\n",
            relative_to=place,
        )
        images = read_partition(out, "train").images
        assert images.tolist() == ["photo/dog/1.jpg", "photo/cat/2.jpg"]
        with pytest.raises(DatasetError, match="is not under"):
            self.write(tmp_path, f"{place}/photo/dog/1.jpg 0\n", relative_to=place / "else")

    def test_leading_slash_of_places_is_understood(self, tree: Tree, tmp_path: Path) -> None:
        tree("a/abbey/1.jpg")
        out = self.write(tmp_path, "/a/abbey/1.jpg 0\n")
        assert read_partition(out, "train").images.tolist() == [f"{tmp_path}/set/a/abbey/1.jpg"]
        tree("tmp/abbey/1.jpg")  # though there is a folder /tmp
        out = self.write(tmp_path, "/tmp/abbey/1.jpg 0\n")
        assert read_partition(out, "train").images.tolist() == [f"{tmp_path}/set/tmp/abbey/1.jpg"]

    def test_bare_names_of_simclr(self, tree: Tree, tmp_path: Path) -> None:
        tree("train/n02/n02_1.JPEG", "train/n01/n01_2.JPEG")
        out = self.write(tmp_path, "n02_1.JPEG\nn01_2.JPEG\n")
        images, labels, classes = read_partition(out, "train")
        assert images.tolist() == [
            f"{tmp_path}/set/train/{n[:3]}/{n}" for n in ("n01_2.JPEG", "n02_1.JPEG")
        ]
        assert labels.tolist() == [0, 1]
        assert [c.name for c in classes] == ["n01", "n02"]

    def test_val_list_of_places365_takes_trains_names(self, tmp_path: Path) -> None:
        train = "/a/airfield/1.jpg 0\n/b/bar/1.jpg 1\n"
        out = self.write(tmp_path, train, "Places365_val_1.jpg 1\nPlaces365_val_2.jpg 0\n")
        assert by_name(out, "val") == {"Places365_val_1.jpg": 1, "Places365_val_2.jpg": 0}
        assert names_of(out) == [("a/airfield", 0), ("b/bar", 1)]

    @pytest.mark.parametrize("text", ['2 b/1.jpg 0\n"3 c/1.jpg",1\n', '"2 b/1.jpg"\n"3 c/1.jpg"\n'])
    def test_folders_that_begin_with_a_number(self, tmp_path: Path, text: str) -> None:
        assert names_of(self.write(tmp_path, text)) == [("2 b", 0), ("3 c", 1)]

    @pytest.mark.parametrize("val", ["val/{0}/{1}.jpg {2}\n", "val/{1}.jpg {2}\n"])
    def test_the_folder_of_a_split_is_no_class(self, tmp_path: Path, val: str) -> None:
        rows = [("a", "1", 0), ("b", "2", 1)]
        train = "".join(f"train/{c}/{n}.jpg {id_}\n" for c, n, id_ in rows)
        out = self.write(tmp_path, train, "".join(val.format(*row) for row in rows))
        assert names_of(out) == [("a", 0), ("b", 1)]
        assert by_name(out) == by_name(out, "val") == {"1.jpg": 0, "2.jpg": 1}
        images = read_partition(out, "val").images.tolist()
        assert images[0] == f"{tmp_path}/set/" + val.format(*rows[0]).split()[0]

    @pytest.mark.parametrize("column", ["fname", "img_name", "FileName"])
    def test_names_of_the_column_of_images(self, tmp_path: Path, column: str) -> None:
        out = self.write(tmp_path, f"{column},x1,class\na.jpg,7,1\nb.jpg,8,0\n")
        assert by_name(out) == {"a.jpg": 1, "b.jpg": 0}

    def test_words_are_class_names(self, tmp_path: Path) -> None:
        out = self.write(tmp_path, "image,label\n1.jpg,traffic light\n2.jpg,cat\n")
        assert by_name(out) == {"1.jpg": 1, "2.jpg": 0}
        assert names_of(out) == [("cat", 0), ("traffic light", 1)]

    def test_a_list_may_be_named_on_the_command(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "imgs.txt").write_text("a/1.jpg 0\n")
        monkeypatch.chdir(tmp_path)
        for at, options in enumerate(
            ({"list": (Path("dev=imgs.txt"),)}, {"list": (Path("imgs.txt"),), "partitions": "dev"})
        ):
            write_folders(tmp_path, tmp_path / str(at), **options)  # type: ignore[arg-type]
            assert by_name(tmp_path / str(at), "dev") == {"1.jpg": 0}

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("a/1.jpg 0\nb/2.jpg cat\n", "line 2"),
            ("a/1.jpg cat\nb/2.jpg 3\n", "line 2"),
            ("1.jpg\n", "line 1"),
            ("a/1.jpg cat\na/1.jpg dog\n", "a/1.jpg is listed twice"),
            ("path,label,split\na/1.jpg,cat,train\nb/2.jpg,dog,val\n", "holds train and val"),
            (
                "path,label,is_valid\na/1.jpg,0,False\nb/2.jpg,1,True\n",
                "is_valid holds False",
            ),
            ("", "lists no image"),
        ],
    )
    def test_mixed_lines(self, tmp_path: Path, text: str, message: str) -> None:
        with pytest.raises(AnnotationError, match=message):
            self.write(tmp_path, text)


class TestPaths:
    def test_a_folder_that_is_not_utf8(self, tmp_path: Path) -> None:
        source = Path(os.fsdecode(os.fsencode(tmp_path) + b"/od\xffd"))
        (source / "train" / "a").mkdir(parents=True)
        (source / "train" / "a" / "1.jpg").touch()
        write_folders(source, tmp_path / "out", partitions=("train",))
        assert os.path.exists(read_partition(tmp_path / "out", "train").images[0])
        with pytest.raises(DatasetError, match=r"not UTF-8, and --format csv"):
            write_folders(source, tmp_path / "b", partitions=("train",), format=("csv", "hf"))
        options: dict[str, Any] = {"relative_to": source, "format": ("csv",)}
        write_folders(source, tmp_path / "c", partitions=("train",), **options)

    @pytest.mark.parametrize(("length", "refused"), [(4096, False), (4097, True)])
    def test_paths_that_no_system_opens(self, tmp_path: Path, length: int, refused: bool) -> None:
        name = "x" * (length - len(f"{tmp_path}/a/.jpg"))
        (tmp_path / "train.txt").write_text(f"a/{name}.jpg 0\n")
        lists = (tmp_path / "train.txt",)
        if refused:
            with pytest.raises(DatasetError, match="an image path of train has 4097 characters"):
                write_folders(tmp_path, tmp_path / "out", list=lists)
        else:
            write_folders(tmp_path, tmp_path / "out", list=lists)

    def test_class_folders_directly_in_the_source(self, tree: Tree, tmp_path: Path) -> None:
        source = tree("a/1.jpg", "b/2.jpg")
        with pytest.raises(DatasetError, match=r"pass --partitions train=\."):
            write_folders(source, tmp_path / "out")
        write_folders(source, tmp_path / "out", partitions=("train=.",))
        assert by_name(tmp_path / "out") == {"1.jpg": 0, "2.jpg": 1}

    def test_nearest_name_is_said(self, tree: Tree, tmp_path: Path) -> None:
        source = tree("JPEGImages/000001.jpg")
        (source / "train.txt").write_text("JPEGImage/000001.jpg 0\n")
        result = write_folders(source, tmp_path / "out", list=(source / "train.txt",))
        assert "no folder" in result.warnings[0]
        assert "the nearest name there is JPEGImages" in result.warnings[0]

    @pytest.mark.parametrize(
        ("there", "listed", "said"),
        [("e\u0301.jpg", "\u00e9.jpg", "in another Unicode form"), ("1.JPEG", "1.jpg", "1.JPEG")],
    )
    def test_names_that_are_nearly_there(
        self, tree: Tree, tmp_path: Path, there: str, listed: str, said: str
    ) -> None:
        source = tree(f"a/{there}")
        (source / "train.txt").write_text(f"a/{listed} 0\n", encoding="utf-8")
        [warning] = write_folders(source, tmp_path / "out", list=(source / "train.txt",)).warnings
        assert f"the nearest name there is {there}" in warning
        assert warning.endswith(said)

    @pytest.mark.parametrize(("place", "said"), [("a", "no folder"), ("a/1.jpg", "a broken link")])
    def test_what_is_there_and_nothing_to_read(
        self, tree: Tree, tmp_path: Path, place: str, said: str
    ) -> None:
        source = tree("b/2.jpg")
        (source / place).parent.mkdir(exist_ok=True)
        (source / place).symlink_to("gone")
        (source / "train.txt").write_text("a/1.jpg 0\n")
        [warning] = write_folders(source, tmp_path / "out", list=(source / "train.txt",)).warnings
        assert warning.endswith(f"{source}/{place} is {said}")

    def test_check_finds_relative_images_from_anywhere(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from PIL import Image

        (tmp_path / "set" / "train" / "a").mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(tmp_path / "set" / "train" / "a" / "1.png")
        monkeypatch.chdir(tmp_path)
        write_folders("set", "plain", partitions=("train",))  # type: ignore[arg-type]
        write_folders("set", "rel", partitions=("train",), relative_to="set")  # type: ignore[arg-type]
        monkeypatch.chdir("/")
        for name in ("plain", "rel"):
            result = check_images(tmp_path / name, jobs=1)
            assert result.ok
            assert result.text().startswith("1 images listed: 1 read, 0 missing")

    def test_relocated_paths_start_where_they_did(self, tmp_path: Path) -> None:
        from PIL import Image

        from sslprep.partition.relocate import relocate

        folder = tmp_path / "ds" / "pics" / "train" / "a"
        folder.mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(folder / "1.png")
        out = tmp_path / "out"
        write_folders(
            tmp_path / "ds" / "pics", out, partitions=("train",), relative_to=tmp_path / "ds"
        )
        (tmp_path / "ds" / "pics").rename(tmp_path / "ds" / "photos")
        missing = check_images(out, jobs=1)
        assert missing.note is not None
        assert "no folder" in missing.note
        relocate(out, old_prefix="pics", new_prefix="photos", overwrite=True)
        assert check_images(out, jobs=1).ok
        relocate(out, old_prefix="photos", new_prefix=f"{tmp_path}/ds/photos", overwrite=True)
        relocate(out, old_prefix=f"{tmp_path}/ds", new_prefix="", overwrite=True)
        assert read_partition(out, "train").images.tolist() == ["photos/train/a/1.png"]
        assert check_images(out, jobs=1).ok

    def test_existing_outputs_are_refused_before_anything_is_read(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        train_of(tmp_path, coco_text())
        monkeypatch.setattr("sslprep.data.coco.read_presence", None)
        with pytest.raises(OutputError, match="exists already"):
            train_of(tmp_path, coco_text())


DOWNLOADED = {
    "ILSVRC/Data/CLS-LOC": {
        "ILSVRC/Data/CLS-LOC/train/n1/n1_1.JPEG": "",
        "ILSVRC/Data/CLS-LOC/val/v_1.JPEG": "",
        "LOC_val_solution.csv": "ImageId,PredictionString\nv_1,n1 85 1 499 272 \n",
    },
    "hf": {
        "hf/train/n01_10026_n01.JPEG": "",
        "hf/val/ILSVRC2012_val_00000293_n01.JPEG": "",
        "train.txt": "n01_10026_n01.JPEG n01\n",
        "val.txt": "ILSVRC2012_val_00000293_n01.JPEG n01\n",
    },
    "imagenetv2": {"imagenetv2/0/a.jpeg": ""},
    "imagenet": {
        "imagenet/train/n1/n1_1.JPEG": "",
        "imagenet-r/n1/art_0.jpg": "",
        "imagenet-r/README.txt": "",
    },
    "tiny": {
        "tiny/train/n1/images/n1_0.JPEG": "",
        "tiny/train/n1/n1_boxes.txt": "n1_0.JPEG\t0\t0\t62\t63\n",
        "tiny/val/images/val_0.JPEG": "",
        "tiny/val/val_annotations.txt": "val_0.JPEG\tn1\t0\t32\t44\t62\n",
    },
    ".": {
        "train/a/airfield/1.jpg": "",
        "val/Places365_val_1.jpg": "",
        "places365_train_standard.txt": "/a/airfield/1.jpg 0\n",
        "places365_val.txt": "Places365_val_1.jpg 0\n",
    },
    "food-101/images": {
        "food-101/images/sushi/1.jpg": "",
        "food-101/images/sushi/2.jpg": "",
        "food-101/meta/train.txt": "sushi/1\n",
        "food-101/meta/test.txt": "sushi/2\n",
    },
    "SUN397": {
        "SUN397/a/abbey/1.jpg": "",
        "SUN397/a/abbey/2.jpg": "",
        "Training_01.txt": "/a/abbey/1.jpg\n",
        "Testing_01.txt": "/a/abbey/2.jpg\n",
    },
    "dtd/images": {
        "dtd/images/dotted/1.jpg": "",
        "dtd/images/dotted/2.jpg": "",
        "dtd/labels/train1.txt": "dotted/1.jpg\n",
        "dtd/labels/test1.txt": "dotted/2.jpg\n",
    },
}
"""What is in each data set of the docs that a command names: file -> text."""


@pytest.mark.parametrize("source", DOWNLOADED)
def test_commands_of_the_docs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str) -> None:
    page = Path(__file__).parents[2] / "docs" / "datasets.md"
    [words] = re.findall(rf"`sslprep (data folders {re.escape(source)} .+?)`", page.read_text())
    for name, text in DOWNLOADED[source].items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match="0"):
        main(words.split())
    [out] = (tmp_path / "out").iterdir()
    for name in find_partitions(out):
        images, labels, classes = read_partition(out, name)
        assert all(map(os.path.exists, images))
        assert (labels.tolist(), len(classes)) == ([0], 1)


def test_lists_of_inaturalist(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "datasets.md").read_text()
    [code] = re.findall(r'python -c "\n(.+?)" train2018\.json', page, re.DOTALL)
    (tmp_path / "train_val2018" / "Aves" / "7").mkdir(parents=True)
    lists = (tmp_path / "train.txt", tmp_path / "val.txt")
    for path in lists:
        name = f"train_val2018/Aves/7/{path.stem}.jpg"
        (tmp_path / name).touch()
        labels = [{"image_id": 9, "category_id": 7}]
        text = coco_text(images=[{"id": 9, "file_name": name}], annotations=labels)
        (tmp_path / "2018.json").write_text(text)
        with open(path, "w") as file:
            command = [sys.executable, "-c", code, tmp_path / "2018.json"]
            subprocess.run(command, stdout=file, check=True)
    write_folders(tmp_path, tmp_path / "out", list=lists)
    assert names_of(tmp_path / "out") == [("train_val2018/Aves/7", 7)]
    for name in ("train", "val"):
        images, ids, _ = read_partition(tmp_path / "out", name)
        assert (os.path.exists(images[0]), ids.tolist()) == (True, [7])
