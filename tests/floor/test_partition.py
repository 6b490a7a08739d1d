"""What stands in the files of a partition, written and read back."""

import io
import json
from pathlib import Path

import numpy as np
import pytest

import sslprep
from sslprep.errors import AnnotationError, DatasetError
from sslprep.partition import find_partitions, image_root, read_targets, write_targets


@pytest.fixture
def written(tmp_path: Path) -> Path:
    for name in ("train/a/1.jpg", "train/b/2.jpg"):
        path = tmp_path / "set" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    sslprep.write_folders(
        data_source_dir=tmp_path / "set",
        output_dir=tmp_path / "out",
        partitions=("train",),
        relative_to=tmp_path / "set",
    )
    return tmp_path / "out"


def test_a_partition_is_read_back(written: Path) -> None:
    images, labels, classes = sslprep.read_partition(written, "train")
    assert images.tolist() == ["train/a/1.jpg", "train/b/2.jpg"]
    assert labels.tolist() == [0, 1]
    assert [(c.name, c.id) for c in classes] == [("a", 0), ("b", 1)]
    assert image_root(written, "train") == written.parent / "set"


def test_files_of_two_partitions_are_refused(written: Path) -> None:
    np.save(written / "train_labels.npy", np.zeros(3, np.int64))
    with pytest.raises(DatasetError, match="3,"):
        sslprep.read_partition(written, "train")


def test_partitions_of_a_folder(written: Path) -> None:
    assert find_partitions(written) == ["train"]
    with pytest.raises(DatasetError, match="holds no partition val; expected train"):
        find_partitions(written, ["val"])
    with pytest.raises(DatasetError, match="holds no finished partition"):
        find_partitions(written.parent / "set")


def test_targets_of_several_labels_come_back_sorted(tmp_path: Path) -> None:
    (tmp_path / "t.json").write_text('{"2": {"dog": 0, "cat": -1}, "1": {"cat": 1, "dog": 0}}')
    keys, labels, classes = read_targets(tmp_path / "t.json")
    assert (keys, labels.tolist(), classes) == (["1", "2"], [[1, 0], [-1, 0]], ("cat", "dog"))
    assert labels.dtype == np.int32


@pytest.mark.parametrize("labels", [[[1, 0], [-1, 1]], [3, 0]])
def test_targets_there_and_back(tmp_path: Path, labels: list[object]) -> None:
    file = io.BytesIO()
    matrix = np.array(labels, np.int32 if isinstance(labels[0], list) else np.int64)
    write_targets(file, ["a", 'b"ü'], matrix, ["cat", "dog"])
    (tmp_path / "t.json").write_bytes(file.getvalue())
    back = read_targets(tmp_path / "t.json")
    assert back.keys == ["a", 'b"ü']
    assert back.labels.dtype == matrix.dtype
    assert back.labels.tolist() == labels


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"1": {"a": 1}, "1": {"a": 0}}', "names '1' twice"),
        ('{"1": {"a": 1, "a": 0}}', "names 'a' twice"),
        ('{"1": {"a": 1}, "2": {"b": 0}}', "image '2' has"),
        ('{"1": {"a": 2}}', "image '1', class 'a' holds 2"),
        ('{"1": {"a": true}}', "image '1', class 'a' holds true"),
        ('{"1": {"a": 1}, "2": 5}', "image '2' has 5"),
        ('{"1": -1}', "image '1' has -1"),
        ("{}", "is another JSON, or empty"),
        ("[1]", "is another JSON"),
        ('{"1": NaN}', "not JSON at"),
    ],
)
def test_bad_targets_name_the_image(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "t.json").write_text(text)
    with pytest.raises(AnnotationError) as caught:
        read_targets(tmp_path / "t.json")
    assert message in str(caught.value)


def test_doubled_key_is_found_in_linear_time(tmp_path: Path) -> None:
    rows = {str(n): {"a": 1} for n in range(50_000)}
    text = json.dumps(rows)[:-1] + ', "49999": {"a": 1}}'
    (tmp_path / "t.json").write_text(text)  # quadratic, this would take minutes
    with pytest.raises(AnnotationError, match="'49999' twice"):
        read_targets(tmp_path / "t.json")
