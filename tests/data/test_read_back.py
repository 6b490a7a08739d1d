"""What other programs read: Hugging Face datasets, WebDataset, torch; merging; trees of links."""

import hashlib
import json
import os
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sslprep import check_images, manifest, read_partition
from sslprep.data.folders import write_folders
from sslprep.data.voc import write_voc
from sslprep.errors import DatasetError, OutputError, ParameterError
from sslprep.partition.link_tree import link_tree
from sslprep.partition.merge import merge_partitions
from sslprep.partition.relocate import relocate

Voc = Callable[..., Path]


def picture(path: Path, shade: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), (shade, 0, 0)).save(path)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    for at, name in enumerate(("train/no: cat/1.jpg", "train/dog/2.png", "val/dog/3.jpg")):
        picture(tmp_path / "set" / name, 10 * at)
    return tmp_path / "set"


@pytest.fixture
def voc07(voc: Voc) -> Path:
    folder = voc({"cat_train": "1 1\n2 0\n", "dog_train": "1 -1\n2 1\n"})
    for name in "12":
        picture(folder / "JPEGImages" / f"{name}.jpg", int(name))
    return folder


def load_dataset(folder: Path, monkeypatch: pytest.MonkeyPatch, cache: Path) -> Any:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets = pytest.importorskip("datasets")
    datasets.disable_progress_bars()
    return datasets.load_dataset(str(folder), cache_dir=str(cache))


@pytest.mark.filterwarnings("ignore")
class TestHuggingFace:
    def test_single_labels(
        self, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        out = tmp_path / "out"
        # one partition a run: the card names those of earlier runs too
        for name in ("train", "val", "no=val"):  # unquoted, YAML's no is false
            write_folders(
                source, out, partitions=(name,), format=("hf", "csv"), relative_to=tmp_path
            )
        data = load_dataset(out, monkeypatch, tmp_path / "cache")
        assert {name: len(rows) for name, rows in data.items()} == {"no": 1, "train": 2, "val": 1}
        assert data["train"].features["label"].names == ["dog", "no: cat"]
        assert [row["label"] for row in data["train"]] == [0, 1]
        assert data["val"][0]["image"].getpixel((0, 0))[0] == pytest.approx(20, abs=3)
        assert manifest.verify(out).ok

    def test_names_of_classes_are_kept(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        names = sorted(["\U0001f431", "1e3", "a: b", "a\\b", "\x7f", "\u2028", "e\u0301", '"', "~"])
        for name in names:
            picture(tmp_path / "train" / name / "1.jpg", 1)
        write_folders(tmp_path, tmp_path / "out", partitions=("train",), format=("hf",))
        rows = load_dataset(tmp_path / "out", monkeypatch, tmp_path / "cache")["train"]
        assert rows.features["label"].names == names

    def test_several_labels(
        self, voc07: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write_voc(voc07, tmp_path / "out", partitions=("train",), format=("hf",))
        rows = load_dataset(tmp_path / "out", monkeypatch, tmp_path / "cache")["train"]
        assert rows.features["labels"].feature.names == ["cat", "dog"]
        assert [(row["labels"], row["ignored"]) for row in rows] == [([0], []), ([1], [0])]

    def test_images_alone(
        self, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write_folders(source, tmp_path / "out", unlabelled=True, format=("hf",))
        rows = load_dataset(tmp_path / "out", monkeypatch, tmp_path / "cache")["train"]
        assert rows.column_names == ["image"]
        assert len(rows) == 2

    def test_ids_that_do_not_count_from_0(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("dog/1.jpg", "cat/2.jpg"):
            picture(tmp_path / name, 1)
        (tmp_path / "train.txt").write_text("dog/1.jpg 3\ncat/2.jpg 7\n")
        lists = (tmp_path / "train.txt",)
        write_folders(tmp_path, tmp_path / "out", list=lists, format=("hf",))
        rows = load_dataset(tmp_path / "out", monkeypatch, tmp_path / "cache")["train"]
        assert rows.features["label"].names == ["dog", "cat"]
        assert rows["label"][:] == [0, 1]

    @pytest.mark.parametrize("first", ["labels", "images alone"])
    @pytest.mark.parametrize("several", [False, True])
    def test_images_alone_beside_labels(
        self,
        source: Path,
        voc07: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        first: str,
        several: bool,
    ) -> None:
        def with_labels() -> None:
            if several:
                write_voc(voc07, tmp_path / "out", partitions=("train",), format=("hf",))
            else:
                write_folders(source, tmp_path / "out", format=("hf",))

        if first == "labels":
            with_labels()
        options: dict[str, Any] = {"unlabelled": True, "partitions": ("more=.",)}
        write_folders(source, tmp_path / "out", format=("hf",), **options)
        if first != "labels":
            with_labels()
        data = load_dataset(tmp_path / "out", monkeypatch, tmp_path / "cache")
        label = "labels" if several else "label"
        assert data["train"][label] != [None] * len(data["train"])
        assert data["more"][label] == [None] * len(data["more"])
        assert data["more"][0]["image"].size == data["train"][0]["image"].size

    @pytest.mark.parametrize("name", ["val-2", "all"])
    def test_a_name_that_is_no_split_is_refused(
        self, source: Path, tmp_path: Path, name: str
    ) -> None:
        options: dict[str, Any] = {"format": ("hf",), "partitions": (f"{name}=val",)}
        with pytest.raises(ParameterError, match=f"no split called {name}"):
            write_folders(source, tmp_path / "out", **options)
        assert not (tmp_path / "out").exists()
        write_folders(source, tmp_path / "out", format=("hf",), partitions=("all_of.it=val",))

    def test_the_users_readme_is_kept(self, source: Path, tmp_path: Path) -> None:
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "README.md").write_text("mine")
        with pytest.raises(OutputError, match=r"README\.md: the output exists already"):
            write_folders(source, tmp_path / "out", format=("hf",))
        assert [p.name for p in (tmp_path / "out").iterdir()] == ["README.md"]


def shards(out: Path, name: str) -> list[Any]:
    webdataset = pytest.importorskip("webdataset")
    files = [str(path) for path in sorted(out.glob(f"{name}-*.tar"))]
    return list(webdataset.WebDataset(files, shardshuffle=False).decode("pil"))


@pytest.mark.filterwarnings("ignore")
class TestWebDataset:
    def test_single_labels(
        self, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("sslprep.partition.webdataset.SHARD", 1)
        write_folders(source, tmp_path / "out", format=("wds",), relative_to=tmp_path)
        rows = shards(tmp_path / "out", "train")
        images, labels, _ = read_partition(tmp_path / "out", "train")
        assert [row["cls"] for row in rows] == labels.tolist()
        assert [row["json"]["file_name"] for row in rows] == images.tolist()
        assert [row["__key__"] for row in rows] == ["000000000", "000000001"]
        assert rows[0]["png"].getpixel((0, 0)) == (10, 0, 0)
        for number in (0, 1):
            with tarfile.open(tmp_path / "out" / f"train-{number:06d}.tar") as tar:
                assert {name.partition(".")[0] for name in tar.getnames()} == {f"{number:09d}"}
        assert manifest.verify(tmp_path / "out").ok
        # fewer shards later: those of the earlier run go
        monkeypatch.setattr("sslprep.partition.webdataset.SHARD", 100)
        write_folders(source, tmp_path / "out", format=("wds",), overwrite=True)
        assert [p.name for p in sorted((tmp_path / "out").glob("*.tar"))] == [
            "train-000000.tar",
            "val-000000.tar",
        ]

    def test_an_image_without_suffix_is_a_jpg(self, tmp_path: Path) -> None:
        picture(tmp_path / "cat" / "1.jpg", 1)
        (tmp_path / "cat" / "1.jpg").rename(tmp_path / "cat" / "one")
        (tmp_path / "train.txt").write_text("cat/one 0\n")
        lists = (tmp_path / "train.txt",)
        write_folders(tmp_path, tmp_path / "out", list=lists, format=("wds",))
        [row] = shards(tmp_path / "out", "train")
        assert row["jpg"].size == (8, 8)

    def test_several_labels_and_equal_bytes(self, voc07: Path, tmp_path: Path) -> None:
        digests = set()
        for out in (tmp_path / "a", tmp_path / "b"):
            write_voc(voc07, out, partitions=("train",), format=("wds",))
            digests.add(hashlib.sha256((out / "train-000000.tar").read_bytes()).hexdigest())
            os.utime(voc07 / "JPEGImages" / "1.jpg", (1, 1))
        assert len(digests) == 1
        rows = shards(tmp_path / "a", "train")
        assert [row["json"]["labels"] for row in rows] == [
            {"cat": 1, "dog": 0},
            {"cat": -1, "dog": 1},
        ]

    def test_an_image_that_is_not_there_is_an_error(self, voc07: Path, tmp_path: Path) -> None:
        (voc07 / "JPEGImages" / "2.jpg").unlink()
        with pytest.raises(DatasetError, match=r"2\.jpg: no such file"):
            write_voc(voc07, tmp_path / "out", partitions=("train",), format=("wds",))
        assert not (tmp_path / "out").exists()


def test_the_dataset_of_the_docs(source: Path, tmp_path: Path) -> None:
    """The example of docs/data.md, run as it stands there."""
    torch = pytest.importorskip("torch")
    text = (Path(__file__).parents[2] / "docs" / "data.md").read_text()
    block = next(b for b in text.split("```python\n")[1:] if "torch.utils.data.Dataset" in b)
    write_folders(source, tmp_path / "out")
    names: dict[str, Any] = {}
    exec(block.split("```")[0].replace("out/imagenet1k", str(tmp_path / "out")), names)
    data = names["data"]
    assert isinstance(data, torch.utils.data.Dataset)
    assert len(data) == 2
    image, label = data[1]
    assert image.size == (8, 8)
    assert label == 1


class TestMerge:
    def test_columns_follow_the_first(self, voc: Voc, tmp_path: Path) -> None:
        lists = {"cat_train": "1 1\n2 0\n", "dog_train": "1 -1\n2 1\n"}
        write_voc(voc(lists, "VOC2007"), tmp_path / "a", partitions=("train",))
        other = voc(lists, "VOC2012")
        options: dict[str, Any] = {"partitions": ("train",), "classes": ("dog", "cat")}
        write_voc(other, tmp_path / "b", **options)
        merge_partitions(
            (tmp_path / "a" / "train", tmp_path / "b" / "train"), output=tmp_path / "out"
        )
        images, labels, classes = read_partition(tmp_path / "out", "train")
        assert labels.tolist() == [[1, 0], [-1, 1], [1, 0], [-1, 1]]
        assert labels.dtype == np.int32
        assert images[2].endswith("VOC2012/JPEGImages/1.jpg")
        assert [c.name for c in classes] == ["cat", "dog"]
        record = manifest.read(tmp_path / "out" / "train.manifest.json")
        assert [part["images"] for part in record.details["parts"]] == [2, 2]
        assert record.labels == manifest.read(tmp_path / "a" / "train.manifest.json").labels
        assert manifest.verify(tmp_path / "out").ok

    def test_class_ids_follow_the_first(self, tmp_path: Path) -> None:
        for at, text in enumerate(("a/1.jpg 5\nb/1.jpg 9\n", "a/2.jpg 1\nb/2.jpg 0\n")):
            (tmp_path / f"train_{at}.txt").write_text(text)
            write_folders(tmp_path, tmp_path / str(at), list=(tmp_path / f"train_{at}.txt",))
        merge_partitions(
            (tmp_path / "0" / "train", tmp_path / "1" / "train"), output=tmp_path / "out"
        )
        images, labels, _ = read_partition(tmp_path / "out", "train")
        assert dict(zip([i[-7:] for i in images.tolist()], labels.tolist(), strict=True)) == {
            "a/1.jpg": 5,
            "b/1.jpg": 9,
            "a/2.jpg": 5,
            "b/2.jpg": 9,
        }
        assert labels.dtype == np.int64
        merged, part = (tmp_path / folder / "train.manifest.json" for folder in ("out", "0"))
        assert manifest.read(merged).labels == manifest.read(part).labels

    def test_relative_paths_of_two_roots_become_whole(self, tmp_path: Path) -> None:
        for name in "ab":
            picture(tmp_path / name / "train" / "x" / f"{name}.jpg", 1)
            options: dict[str, Any] = {"partitions": ("train",), "relative_to": tmp_path / name}
            write_folders(tmp_path / name, tmp_path / f"out-{name}", **options)
        parts = (tmp_path / "out-a" / "train", tmp_path / "out-b" / "train")
        merge_partitions(parts, output=tmp_path / "out", name="both")
        assert check_images(tmp_path / "out", jobs=1).ok

    def test_images_without_labels(self, source: Path, tmp_path: Path) -> None:
        for name in ("train", "val"):
            write_folders(source / name, tmp_path / name, unlabelled=True)
        merge_partitions(
            (tmp_path / "train" / "train", tmp_path / "val" / "train"), output=tmp_path
        )
        assert read_partition(tmp_path, "train").labels.shape == (3, 0)
        assert manifest.verify(tmp_path).ok

    def test_what_does_not_fit_is_refused(self, voc: Voc, source: Path, tmp_path: Path) -> None:
        write_voc(voc({"cat_train": "1 1\n"}), tmp_path / "a", partitions=("train",))
        write_voc(voc({"cow_train": "1 1\n"}, "b"), tmp_path / "b", partitions=("train",))
        write_folders(source, tmp_path / "c")
        picture(tmp_path / "one" / "cat" / "7.jpg", 1)  # the same class, but one label an image
        write_folders(tmp_path / "one", tmp_path / "d", partitions=("train=.",))
        for other, message in (
            (
                "d/train",
                "has 1 classes and one label an image; expected the 1 classes and the labels of",
            ),
            ("a/train", "more than one part"),
            ("b/train", "cat"),
            ("c/val", "labels of"),
        ):
            with pytest.raises(DatasetError, match=message):
                merge_partitions(
                    (tmp_path / "a" / "train", tmp_path / other), output=tmp_path / "out"
                )
            assert not (tmp_path / "out").exists()


class TestLinkTree:
    @pytest.mark.parametrize("hard", [False, True])
    def test_torchvision_reads_a_flat_val_as_a_tree(
        self, source: Path, tmp_path: Path, hard: bool
    ) -> None:
        for name in ("v1.jpg", "v2.jpg"):
            picture(tmp_path / "flat" / "val" / name, 5)
        (tmp_path / "truth").write_text("v1.jpg dog\nv2.jpg cat/tabby\n")
        options: dict[str, Any] = {"partitions": ("val",), "val_labels": tmp_path / "truth"}
        write_folders(tmp_path / "flat", tmp_path / "out", relative_to=tmp_path, **options)
        before = sorted(os.listdir(tmp_path))
        made = link_tree(tmp_path / "out" / "val", tmp_path / "tree", hard=hard)
        assert (made.links, made.classes) == (2, 2)
        links = sorted((tmp_path / "tree").rglob("*.jpg"))
        assert [str(p.relative_to(tmp_path / "tree")) for p in links] == [
            "cat/tabby/v2.jpg",
            "dog/v1.jpg",
        ]
        assert all(
            p.is_symlink() is not hard and Image.open(p).convert("L").size == (8, 8) for p in links
        )
        with pytest.raises(OutputError, match="exists already"):
            link_tree(tmp_path / "out" / "val", tmp_path / "tree")
        link_tree(tmp_path / "out" / "val", tmp_path / "tree", remove=True)
        assert sorted(os.listdir(tmp_path)) == before
        assert len(list((tmp_path / "flat" / "val").iterdir())) == 2

    def test_nothing_else_is_ever_removed(self, source: Path, tmp_path: Path) -> None:
        write_folders(source, tmp_path / "out")
        link_tree(tmp_path / "out" / "train", tmp_path / "tree")
        (tmp_path / "tree" / "dog" / "notes.txt").write_text("mine")
        with pytest.raises(OutputError, match=r"notes\.txt: is no link"):
            link_tree(tmp_path / "out" / "train", tmp_path / "tree", remove=True)
        assert len(list((tmp_path / "tree").rglob("*.*"))) == 3

    def test_images_that_are_gone_are_said(
        self, source: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        write_folders(source, tmp_path / "out")
        source.rename(tmp_path / "moved")
        caplog.clear()
        link_tree(tmp_path / "out" / "train", tmp_path / "tree")
        assert "images looked at are not there" in caplog.text

    def test_a_class_within_a_class(self, tmp_path: Path) -> None:
        for name in ("cat/1.jpg", "cat/tabby/2.jpg"):
            picture(tmp_path / name, 1)
        (tmp_path / "train.txt").write_text("cat/1.jpg 0\ncat/tabby/2.jpg 1\n")
        write_folders(tmp_path, tmp_path / "out", list=(tmp_path / "train.txt",))
        assert link_tree(tmp_path / "out" / "train", tmp_path / "tree").classes == 2
        link_tree(tmp_path / "out" / "train", tmp_path / "tree", remove=True)
        with pytest.raises(OutputError, match="no such folder"):
            link_tree(tmp_path / "out" / "train", tmp_path / "tree", remove=True)

    def test_two_images_of_one_name_are_refused(self, tmp_path: Path) -> None:
        for name in ("cat/a/1.jpg", "cat/b/1.jpg"):
            picture(tmp_path / "set" / name, 1)
        options: dict[str, Any] = {"partitions": ("train=.",), "recursive": True}
        write_folders(tmp_path / "set", tmp_path / "out", **options)
        with pytest.raises(DatasetError, match=r"two images would be cat/1\.jpg"):
            link_tree(tmp_path / "out" / "train", tmp_path / "tree")
        assert not (tmp_path / "tree").exists()

    def test_no_link_leads_out_of_the_tree(self, tmp_path: Path) -> None:
        (tmp_path / "train.txt").write_text("cat/1.jpg ..\ndog/2.jpg dog\n")
        write_folders(tmp_path, tmp_path / "out", list=(tmp_path / "train.txt",))
        with pytest.raises(DatasetError, match=r"\.\./1\.jpg would be outside of the tree"):
            link_tree(tmp_path / "out" / "train", tmp_path / "tree")

    def test_a_name_mistyped_is_told_what_there_is(self, voc07: Path, tmp_path: Path) -> None:
        write_voc(voc07, tmp_path / "out", partitions=("train",))
        for name in ("trian", "train_images.npy"):
            with pytest.raises(DatasetError, match=f"no partition {name}; expected train"):
                read_partition(tmp_path / "out", name)

    def test_several_labels_have_no_folder(self, voc07: Path, tmp_path: Path) -> None:
        write_voc(voc07, tmp_path / "out", partitions=("train",))
        with pytest.raises(DatasetError, match="several labels"):
            link_tree(tmp_path / "out" / "train", tmp_path / "tree")
        assert not (tmp_path / "tree").exists()


class TestCheck:
    def test_what_the_decoder_opens_is_readable(self, tmp_path: Path) -> None:
        noise = Image.fromarray(np.random.default_rng(0).integers(0, 9, (32, 32, 3), np.uint8))
        folder = tmp_path / "set" / "train" / "a"
        folder.mkdir(parents=True)
        for suffix in ("avif", "jp2", "gif"):
            noise.save(folder / f"1.{suffix}")
        noise.save(folder / "2.jpg", format="AVIF")
        write_folders(tmp_path / "set", tmp_path / "out", partitions=("train",))
        result = check_images(tmp_path / "out", jobs=1)
        assert result.images == 4
        assert result.ok
        assert [(f.image[-5:], f.problem, f.detail) for f in result.findings] == [
            ("1.gif", "mode", "P"),
            ("2.jpg", "suffix", "a AVIF file"),
        ]

    def test_extraneous_bytes_are_listed_and_decoders_are_silent(
        self, tmp_path: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        pytest.importorskip("cv2")
        path = tmp_path / "set" / "train" / "a" / "1.jpg"
        picture(path, 3)
        data = path.read_bytes()
        path.write_bytes(data[:-2] + b"\x12\x34\x56" + data[-2:])
        write_folders(tmp_path / "set", tmp_path / "out", partitions=("train",))
        result = check_images(tmp_path / "out", jobs=1)
        assert result.ok
        [finding] = result.findings
        assert finding.problem == "extraneous"
        assert "extraneous bytes before marker 0xd9" in finding.detail
        assert "Corrupt" not in capfd.readouterr().err


def test_every_parameter_is_in_the_manifest(source: Path, tmp_path: Path) -> None:
    """But for those that do not bear on the content."""
    import inspect

    write_folders(source, tmp_path / "out")
    relocate(tmp_path / "out", tmp_path / "b", old_prefix=str(source), new_prefix="x")
    merge_partitions((tmp_path / "out" / "train",), output=tmp_path / "c")
    for function, folder in ((write_folders, "out"), (relocate, "b"), (merge_partitions, "c")):
        record = manifest.read(tmp_path / folder / "train.manifest.json")
        names = set(inspect.signature(function).parameters)
        assert names - {"output", "overwrite", "hash_inputs"} == set(record.parameters)
    assert json.loads((tmp_path / "b" / "classes.json").read_text())[0]["name"] == "dog"
