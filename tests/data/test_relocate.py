"""Moving finished partitions."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sslprep import manifest, read_partition
from sslprep.data.folders import write_folders
from sslprep.errors import DatasetError, ManifestError, OutputError
from sslprep.partition import image_root
from sslprep.partition.relocate import relocate


@pytest.fixture
def made(tree: Callable[..., Path], tmp_path: Path) -> Path:
    source = tree("train/a/1.jpg", "train/b/2.jpg", "val/a/3.jpg", "val/b/4.jpg")
    write_folders(
        data_source_dir=source,
        output_dir=tmp_path / "out",
        format=("csv", "txt", "jsonl", "parquet"),
        generate_json=True,
    )
    return tmp_path / "out"


def test_is_as_if_made_from_the_new_place(made: Path, tmp_path: Path) -> None:
    (tmp_path / "set").rename(tmp_path / "moved")
    write_folders(
        data_source_dir=tmp_path / "moved",
        output_dir=tmp_path / "fresh",
        format=("csv", "txt", "jsonl", "parquet"),
        generate_json=True,
    )
    relocate(
        folder=made,
        old_prefix=f"{tmp_path}/set",
        new_prefix=f"{tmp_path}/moved/",
        output_dir=tmp_path / "relocated",
    )
    for path in (tmp_path / "fresh").iterdir():
        if not path.name.endswith(manifest.MANIFEST_SUFFIX):
            assert path.read_bytes() == (tmp_path / "relocated" / path.name).read_bytes()
    fresh = manifest.read(tmp_path / "fresh" / "val.manifest.json")
    moved = manifest.read(tmp_path / "relocated" / "val.manifest.json")
    made_by = moved.details.pop("made_by")
    assert made_by["command"] == "data folders"
    assert moved.details == fresh.details | {"dataset": "set"}
    assert moved.counts == fresh.counts
    assert manifest.verify(folder=tmp_path / "relocated").ok


def test_in_place_takes_overwrite(made: Path, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="--overwrite"):
        relocate(folder=made, old_prefix=f"{tmp_path}/set", new_prefix="/new")
    for old, new in ((f"{tmp_path}/set", "/new"), ("/new/", ""), ("", "/there")):
        relocate(folder=made, old_prefix=old, new_prefix=new, overwrite=True)
    assert np.load(made / "val_images.npy").tolist() == ["/there/val/a/3.jpg", "/there/val/b/4.jpg"]
    assert manifest.verify(folder=made).ok
    record = manifest.read(made / "val.manifest.json")
    assert record.details["made_by"]["command"] == "data folders"


def test_only_the_partition_asked_for(made: Path, tmp_path: Path) -> None:
    relocate(
        folder=made,
        old_prefix=f"{tmp_path}/set",
        new_prefix="/new",
        partitions=("val",),
        overwrite=True,
    )
    assert np.load(made / "train_images.npy")[0].startswith(f"{tmp_path}/set/")
    assert manifest.verify(folder=made).ok


def test_prefix_ends_at_a_folder(made: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="2 paths do not begin with"):
        relocate(folder=made, old_prefix=f"{tmp_path}/se", new_prefix="/n", overwrite=True)


def test_changed_partition_is_refused(made: Path, tmp_path: Path) -> None:
    labels = np.load(made / "val_labels.npy")
    np.save(made / "val_labels.npy", labels[::-1])
    with pytest.raises(ManifestError, match="changed after it was written"):
        relocate(folder=made, old_prefix=f"{tmp_path}/set", new_prefix="/n", overwrite=True)


def test_folder_without_partitions_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no finished partition"):
        relocate(folder=tmp_path, old_prefix="/a", new_prefix="/b")
    with pytest.raises(DatasetError, match="no such folder"):
        relocate(folder=tmp_path / "absent", old_prefix="/a", new_prefix="/b")


def test_relative_paths_made_shorter_start_at_what_they_lost(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    relocate(made, tmp_path / "a", old_prefix=str(tmp_path), new_prefix="")
    relocate(tmp_path / "a", tmp_path / "b", old_prefix="set/", new_prefix="")
    monkeypatch.chdir("/")
    for name in ("train", "val"):
        [*images] = read_partition(tmp_path / "b", name).images.tolist()
        assert all((image_root(tmp_path / "b", name) / image).exists() for image in images)
        assert images[0].startswith(name)


def test_what_is_said_is_said_once(tree: Callable[..., Path], tmp_path: Path) -> None:
    source = tree("train/a/1.jpg", "train/A/2.jpg", "val/a/3.jpg", "val/A/4.jpg")
    write_folders(source, tmp_path / "out")
    said = relocate(
        tmp_path / "out", tmp_path / "new", old_prefix=str(source), new_prefix=str(source)
    )
    assert len(said.warnings) == 1
    for name in ("train", "val"):
        record = manifest.read(tmp_path / "new" / f"{name}.manifest.json")
        assert record.warnings == [*said.warnings]


def test_partitions_of_several_forms_are_refused(made: Path, tmp_path: Path) -> None:
    more: dict[str, Any] = {"old_prefix": str(tmp_path), "new_prefix": "/n", "overwrite": True}
    write_folders(tmp_path / "set", made, partitions=("val",), format=("csv",), overwrite=True)
    before = (made / "val.csv").read_bytes()
    with pytest.raises(DatasetError, match=r"val has other formats.* --partitions"):
        relocate(made, **more)
    assert (made / "val.csv").read_bytes() == before
    relocate(made, partitions=("val",), **more)
    assert (made / "val.csv").read_bytes() == before.replace(str(tmp_path).encode(), b"/n")


def test_relative_partitions_that_start_elsewhere_are_refused(made: Path, tmp_path: Path) -> None:
    source = tmp_path / "set"
    for name in ("train", "val"):
        write_folders(source, made, partitions=(name,), relative_to=source / name, overwrite=True)
    with pytest.raises(DatasetError, match=r"val .*starts elsewhere, than train"):
        relocate(made, old_prefix="", new_prefix="x", overwrite=True)
    relocate(made, old_prefix="", new_prefix="/x", overwrite=True)
