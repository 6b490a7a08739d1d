"""Bad input to the data commands: one line that helps, nothing written, nothing run."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sslprep.data.coco import write_coco
from sslprep.data.folders import write_folders
from sslprep.data.voc import write_voc
from sslprep.errors import SslprepError
from sslprep.partition.check import check_images
from sslprep.partition.relocate import relocate

IMAGE = '{"id": 1, "file_name": "a.jpg", "width": 9, "height": 9}'
ANNOTATION = '{"image_id": 1, "category_id": 1, "bbox": [1, 1, 5, 5], "area": 4}'
CATEGORY = '{"id": 1, "name": "cat"}'


def coco_text(
    images: str = IMAGE, annotations: str = ANNOTATION, categories: str = CATEGORY
) -> str:
    return f'{{"images": [{images}], "annotations": [{annotations}], "categories": [{categories}]}}'


def with_bbox(bbox: str) -> str:
    return coco_text(annotations=ANNOTATION.replace("[1, 1, 5, 5]", bbox))


COCO = {
    # attack: (the file, what the one line must say)
    "empty": ("", "is empty"),
    "not JSON": ("<html>", "is a web page"),
    "truncated": (coco_text()[:-30], "ends in the middle"),
    "a list": ("[]", "got []; expected an object"),
    "no images": ('{"annotations": [], "categories": []}', 'has no "images"'),
    "no annotations": ('{"images": [], "categories": []}', 'has no "annotations"'),
    "no categories": ('{"images": [], "annotations": []}', 'has no "categories"'),
    "no annotation at all": (coco_text(annotations=""), "$.annotations: is empty"),
    "no category at all": (coco_text(annotations="", categories=""), "$.categories: is empty"),
    "three numbers": (
        with_bbox("[1, 1, 5]"),
        "$.annotations[0].bbox: got [1, 1, 5]; expected a list of length 4",
    ),
    "NaN": (with_bbox("[1, NaN, 5, 5]"), "$.annotations[0].bbox[1]: got NaN"),
    "Infinity": (with_bbox("[1, 1, 5, -Infinity]"), "$.annotations[0].bbox[3]: got -Infinity"),
    "huge number": (with_bbox("[1, 1, 5, 1e999]"), "$.annotations[0].bbox[3]"),
    "null": (with_bbox("[1, 1, null, 5]"), "$.annotations[0].bbox[2]: got null"),
    "no bbox": (with_bbox("null"), "$.annotations[0].bbox: got null"),
    "unknown image": (
        coco_text(annotations=ANNOTATION.replace('"image_id": 1', '"image_id": 22')),
        "$.annotations[0].image_id: 22 is not among the file's images",
    ),
    "unknown category": (
        coco_text(annotations=ANNOTATION.replace('"category_id": 1', '"category_id": 90')),
        "$.annotations[0].category_id: 90 is not among the file's categories",
    ),
    "image id twice": (
        coco_text(images=f"{IMAGE}, {IMAGE.replace('a.jpg', 'b.jpg')}"),
        "$.images[1].id: the id 1 occurs a second time",
    ),
    "category id twice": (coco_text(categories=f"{CATEGORY}, {CATEGORY}"), "$.categories[1].id"),
    "name twice": (
        coco_text(categories=f"{CATEGORY}, {CATEGORY.replace('1', '2')}"),
        "$.categories[1].name: the name cat occurs a second time",
    ),
    "id beyond 64 bits": (coco_text(images=IMAGE.replace("1", "9" * 40)), "$.images[0].id"),
    "id is text": (
        coco_text(images=IMAGE.replace("1", '"1"')),
        '$.images[0].id: got "1"; expected a whole number',
    ),
    "path out of the folder": (coco_text(images=IMAGE.replace("a.jpg", "../../a")), "file_name"),
    "absolute path": (coco_text(images=IMAGE.replace("a.jpg", "/etc/passwd")), "file_name"),
    "NUL in a name": (coco_text(images=IMAGE.replace("a.jpg", "a\\u0000")), "file_name"),
    "lone surrogate": (coco_text(images=IMAGE.replace("a.jpg", "\\ud800")), "JSON"),
    # 4 bytes a character, in every row: a small file that asks for a huge array
    "endless name": (coco_text(images=IMAGE.replace("a.jpg", "a" * 100_000)), "100"),
    "nested too deeply": ('{"x": ' + "[" * 200_000, "JSON|nested|ends"),
    "line break in a name": (
        coco_text(categories=CATEGORY.replace("1", '"a\\nb"')),
        'got "a\\nb"; expected a whole number',
    ),
}


@pytest.mark.parametrize("attack", COCO)
def test_bad_annotation_files(tmp_path: Path, attack: str) -> None:
    text, message = COCO[attack]
    (tmp_path / "instances_val2014.json").write_text(text)
    with pytest.raises(SslprepError) as caught:
        write_coco(
            json_annotations_dir=tmp_path,
            output_dir=tmp_path / "out" / "deep",
            val_imgs_path=tmp_path,
            partitions=("val",),
        )
    shown = str(caught.value)
    assert any(part in shown for part in message.split("|")), shown
    assert "instances_val2014.json" in shown
    assert "\n" not in shown
    assert len(shown) < 600
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("text", ["x\n", "1 2\n", "1.5\n", '["a"]', "[1", '{"a": 1}', "9" * 40])
def test_bad_minival_ids(tmp_path: Path, text: str) -> None:
    (tmp_path / "instances_val2014.json").write_text(coco_text())
    (tmp_path / "ids").write_text(text)
    with pytest.raises(SslprepError, match="ids"):
        write_coco(
            json_annotations_dir=tmp_path,
            output_dir=tmp_path / "out",
            val_imgs_path=tmp_path,
            partitions=("val", "minival"),
            minival_ids=tmp_path / "ids",
        )
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xfe0\x001\x00",
        b"\x00" * 100,
        b"1 1\n\x80\x81 1\n",
        b"1 1\r2 1\r",
        b"1 9\n",
        b"\x1b[31m 1 1\n",
    ],
    ids=repr,
)
def test_bad_class_lists(tmp_path: Path, data: bytes) -> None:
    main = tmp_path / "ImageSets" / "Main"
    main.mkdir(parents=True)
    (main / "cat_train.txt").write_bytes(data)
    where = r"cat_train\.txt: is UTF-16|cat_train\.txt, line \d"
    with pytest.raises(SslprepError, match=where) as caught:
        write_voc(data_source_dir=tmp_path, output_dir=tmp_path / "out", partitions=("train",))
    assert str(caught.value).isprintable()
    assert not (tmp_path / "out").exists()


def make_set(folder: Path) -> Path:
    for split in ("train", "val"):
        (folder / split / "cat").mkdir(parents=True)
        (folder / split / "cat" / "1.jpg").touch()
    return folder


def test_unreadable_class_folder(tmp_path: Path) -> None:
    source = make_set(tmp_path / "set")
    (source / "train" / "file").symlink_to("/proc/1/fd" if os.getuid() else "/proc/self/mem")
    (source / "val" / "cat").rename(tmp_path / "gone")
    (source / "val" / "cat").symlink_to(tmp_path / "gone" / "1.jpg")
    with pytest.raises(SslprepError, match="val"):
        write_folders(data_source_dir=source, output_dir=tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "data", [b"\xff\xfe", b"\x00\x00\x00", b"a/b.jpg 0\x00\n", b"a/b.jpg 99999999999999\n"]
)
def test_bad_lists(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "train_x.csv").write_bytes(data)
    with pytest.raises(SslprepError, match="train_x"):
        write_folders(
            data_source_dir=tmp_path, output_dir=tmp_path / "out", list=(tmp_path / "train_x.csv",)
        )
    assert not (tmp_path / "out").exists()


class Bomb:
    """Unpickling this leaves a trace."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("BOOM",)


@pytest.fixture
def finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_folders(data_source_dir=make_set(tmp_path / "set"), output_dir=tmp_path / "out")
    return tmp_path / "out"


@pytest.mark.parametrize(
    "attack",
    [
        # object array: unpickling would run code
        lambda f: np.save(f / "train_images.npy", np.array([Bomb()], object), allow_pickle=True),
        lambda f: np.save(f / "train_images.npy", np.arange(3)),
        lambda f: np.save(f / "train_labels.npy", np.zeros(7, np.int64)),
        lambda f: np.save(f / "train_labels.npy", np.zeros(1, np.float32)),
        lambda f: os.truncate(f / "train_images.npy", 60),
        lambda f: (f / "train_labels.npy").unlink(),
        lambda f: (f / "classes.json").write_text("[]" * 3),
        lambda f: (f / "train.manifest.json").write_text("{}"),
    ],
)
def test_damaged_partitions(finished: Path, attack: Callable[[Path], object]) -> None:
    attack(finished)
    before = {path.name: path.read_bytes() for path in finished.iterdir()}
    for command in (
        lambda: check_images(folder=finished, jobs=1),
        lambda: relocate(folder=finished, old_prefix="/", new_prefix="/x", overwrite=True),
    ):
        with pytest.raises(SslprepError) as caught:
            command()
        assert str(caught.value).isprintable()
    assert {path.name: path.read_bytes() for path in finished.iterdir()} == before
    assert not (finished.parent / "BOOM").exists()


def test_manifest_cannot_have_other_files_removed(finished: Path) -> None:
    """A doctored manifest names files that an overwriting run would take for its own."""
    precious = [finished / "thesis.txt", finished.parent / "train_thesis.txt"]
    for path in precious:
        path.write_text("years of work")
    record = json.loads((finished / "train.manifest.json").read_text())
    for name in ("thesis.txt", "../train_thesis.txt", "train_/../../train_thesis.txt"):
        record["outputs"].append({"file": name, "bytes": 1, "sha256": ""})
    (finished / "train.manifest.json").write_text(json.dumps(record))
    write_folders(data_source_dir=finished.parent / "set", output_dir=finished, overwrite=True)
    assert all(path.read_text() == "years of work" for path in precious)


def test_killed_run_leaves_no_file_under_a_final_name(tmp_path: Path) -> None:
    """kill -9 while the images are being written, by way of a name list that never ends."""
    make_set(tmp_path / "set")
    program = (
        "import sys, time, pathlib\n"
        "from sslprep.partition.images import Images\n"
        "old = Images.write\n"
        "def slow(*args):\n"
        "    old(*args)\n"
        "    print('writing', flush=True)\n"
        "    time.sleep(60)\n"
        "Images.write = slow\n"
        "from sslprep.data.folders import write_folders\n"
        "write_folders(data_source_dir=pathlib.Path('set'), output_dir=pathlib.Path('out'))\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program], cwd=tmp_path, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"writing\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    time.sleep(0.05)
    assert [p.name for p in (tmp_path / "out").iterdir() if not p.name.startswith(".")] == []
    write_folders(data_source_dir=tmp_path / "set", output_dir=tmp_path / "out")
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "classes.json",
        *(
            f"{s}{n}"
            for s in ("train", "val")
            for n in (".manifest.json", "_images.npy", "_labels.npy")
        ),
    ]
