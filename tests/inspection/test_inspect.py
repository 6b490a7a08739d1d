"""`inspect` says what a file is, and reads no more of it than it must."""

import json
import pickle
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from sslprep import manifest
from sslprep.atomic import OutputSet
from sslprep.errors import CheckpointError, SslprepError, UnsafeFileError
from sslprep.inspection.command import inspect


@pytest.mark.parametrize(
    ("kind", "network", "what"),
    [
        ("jigsaw", "R-50", "Jigsaw with 9 towers"),
        ("supervised", "R-50", None),
        ("colorization", "R-50", "colorization (conv1 takes one channel, L)"),
        ("alexnet", "AlexNet", None),
        ("shallow", "ResNet with blocks 1-1-1-1", None),
    ],
)
def test_knows_the_network(
    kind: str, network: str, what: str | None, models: ModuleType, tmp_path: Path
) -> None:
    blobs = models.small(kind)
    found = inspect(file=models.write(tmp_path / "m.pkl", blobs))
    assert found.what == "checkpoint"
    assert found.facts["network"] == network
    assert found.facts["blobs"] == len(blobs) == len(found.blobs)
    if what is not None:
        assert found.facts["kind"] == what
    by_name = {row.name: row for row in found.blobs}
    for name, value in blobs.items():
        assert by_name[name].shape == np.shape(value)
        assert by_name[name].bytes == getattr(value, "nbytes", 0)


def test_says_that_a_channel_order_is_a_guess(models: ModuleType, tmp_path: Path) -> None:
    found = inspect(file=models.write(tmp_path / "m.pkl", models.small("supervised")))
    assert str(found.facts["channel order"]).startswith("BGR (a guess from the format)")


def test_colorization_has_no_channel_order(models: ModuleType, tmp_path: Path) -> None:
    found = inspect(file=models.write(tmp_path / "m.pkl", models.small("colorization")))
    assert found.facts["channel order"] == "none: conv1 takes one channel (L)"


def test_shows_settings_and_iterations(models: ModuleType, tmp_path: Path) -> None:
    blobs = models.small("supervised")
    path = models.write(tmp_path / "m.pkl", blobs, cfg="a: 1\n" * 100)
    found = inspect(file=path)
    assert found.facts["model_iter"] == blobs["model_iter"]
    assert str(found.facts["beside the blobs: cfg"]).endswith("…")
    assert "\na: 1" not in found.text()


def test_does_not_read_the_weights(
    models: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sslprep.checkpoints.arrays import StoredArray

    loaded: list[tuple[int, ...]] = []
    load = StoredArray.load
    monkeypatch.setattr(
        StoredArray, "load", lambda self: (loaded.append(self.shape), load(self))[1]
    )
    blobs = models.small("supervised")
    inspect(file=models.write(tmp_path / "m.pkl", blobs))
    assert loaded == []


def test_shortens_the_table_unless_asked(models: ModuleType, tmp_path: Path) -> None:
    path = models.write(tmp_path / "m.pkl", models.small("supervised"))
    assert "more (--all shows every one)" in inspect(file=path).text()
    whole = inspect(file=path, all=True).text()
    assert "more (" not in whole
    assert "res5_2_branch2c_w" in whole


def test_reads_every_format_alike(models: ModuleType, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    path = tmp_path / "m.pth"
    state = models.resnet((1, 1, 1, 1)).state_dict()
    for new in (True, False):
        torch.save({"state_dict": state}, path, _use_new_zipfile_serialization=new)
        found = inspect(file=path)
        assert found.facts["format"] == "torch"
        assert [row.name for row in found.blobs] == list(state)
        assert str(found.facts["channel order"]).startswith("RGB (a guess")


def test_says_what_the_manifest_beside_it_says(tmp_path: Path) -> None:
    with OutputSet(tmp_path, ["p.npy"], manifests=["p.manifest.json"]) as out:
        out.save_array("p.npy", np.array([[0, 1], [1, 0]]))
        manifest.write(
            out, "p.manifest.json", kind="permutations", command="jigsaw", parameters={}, inputs=[]
        )
        out.commit()
    facts = inspect(file=tmp_path / "p.npy").facts
    assert facts["manifest"] == "p.manifest.json"
    assert str(facts["made by"]).endswith(" jigsaw")
    found = inspect(file=tmp_path / "p.manifest.json")
    assert (found.what, found.facts["outputs"]) == ("manifest", "p.npy")


def test_damaged_manifest_of_another_does_not_matter(tmp_path: Path) -> None:
    (tmp_path / "x.manifest.json").write_text("{")
    np.save(tmp_path / "a.npy", np.ones(3))
    assert inspect(file=tmp_path / "a.npy").what == "array"


LABELS = np.array([[1, -1, 0], [0, 1, -1], [0, 0, 1], [1, 0, 0]], np.int32)


@pytest.mark.parametrize(
    ("array", "what", "facts"),
    [
        (np.array(["a.jpg", "bb.jpg"]), "list of images", {"count": 2, "longest": 6}),
        (LABELS, "label matrix (1 present, 0 absent, -1 ignored)",
         {"images": 4, "classes": 3, "positives of a class": "1 to 2", "ignored": 2}),
        (np.array([0, 2, 2, 0]), "class ids, one an image",
         {"images": 4, "classes": 2, "largest id": 2, "images of a class": "2"}),
        (np.array([[0, 1, 2], [1, 2, 0], [0, 2, 1]]), "permutation set",
         {"permutations": 3, "tiles": 3, "first tile": 0, "smallest distance": 2}),
        (np.array([[1, 2], [2, 1]]), "permutation set", {"first tile": 1}),
        (np.array([[-10.0, 0.0], [0.0, 10.0]]), "points in a plane (colour bins: a, b)",
         {"points": 2, "first axis": "-10 to 0", "spacing": "10"}),
        (np.array([0.25, 0.75]), "probabilities (priors)", {"count": 2, "smallest": 0.25}),
        (np.full((256, 256), 2), "histogram of a and b",
         {"pixels": 131072, "colours present": 65536}),
        (np.array([[1.5, np.nan, 2.5]]), "array", {"smallest": 1.5, "NaN or infinite": 1}),
        (np.array([-5, 7]), "array", {"smallest": -5, "largest": 7, "mean": 1.0}),
        (np.zeros((0, 3)), "empty array", {}),
        (np.array(3.0), "array", {"mean": 3.0}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_knows_the_array(array: Any, what: str, facts: dict[str, Any], tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", array)
    found = inspect(file=tmp_path / "a.npy")
    assert found.what == what
    assert found.facts["shape"] == array.shape
    assert {name: found.facts[name] for name in facts} == facts
    assert found.text()


def test_distances_agree_with_plain_loops(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = np.array([rng.permutation(9) for _ in range(60)])
    np.save(tmp_path / "a.npy", rows)
    pairs = [int((a != b).sum()) for i, a in enumerate(rows) for b in rows[:i]]
    facts = inspect(file=tmp_path / "a.npy").facts
    assert facts["smallest distance"] == min(pairs)
    assert facts["mean distance"] == round(sum(pairs) / len(pairs), 4)


def test_text_shows_no_control_characters(tmp_path: Path) -> None:
    path = tmp_path / "m.pkl"
    path.write_bytes(pickle.dumps({"blobs": {"\x1b[2Ja": np.ones(2)}, "\x07": "\x1b"}, protocol=2))
    assert all(c.isprintable() or c == "\n" for c in inspect(file=path).text())


def test_unsafe_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.pkl"
    path.write_bytes(b"cos\nsystem\n(S'id'\ntR.")
    with pytest.raises(UnsafeFileError, match=r"os\.system"):
        inspect(file=path)


@pytest.mark.parametrize("name", ["none.pkl", "."])
def test_no_file(name: str, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError):
        inspect(file=tmp_path / name)


def test_truncated_array(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.arange(100))
    data = (tmp_path / "a.npy").read_bytes()
    (tmp_path / "a.npy").write_bytes(data[:-8])
    with pytest.raises(SslprepError, match="truncated"):
        inspect(file=tmp_path / "a.npy")


def test_command_prints_a_record(run: Any, models: ModuleType, tmp_path: Path) -> None:
    path = models.write(tmp_path / "m.pkl", models.small("jigsaw"))
    done = run("inspect", path, "--json")
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert record["facts"]["towers"] == 9
    assert record["blobs"][0]["dtype"] == "float32"


@pytest.mark.parametrize("change", [lambda data: data[:-8], lambda data: data + b"\0"])
def test_says_that_a_file_has_not_the_size_of_its_manifest(tmp_path: Path, change: Any) -> None:
    with OutputSet(tmp_path, ["s.npy"], manifests=["s.manifest.json"]) as out:
        out.save_array("s.npy", np.array(["a.jpg", "b.jpg"]))
        manifest.write(out, "s.manifest.json", kind="x", command="y", parameters={}, inputs=[])
        out.commit()
    path = tmp_path / "s.npy"
    np.save(path, np.array(["a.jpg", "b.jpg", "c.jpg"][: 1 if len(change(b"x" * 9)) < 9 else 3]))
    assert "has another size" in str(inspect(path).facts["manifest"])


def test_names_what_a_network_lacks(models: ModuleType, tmp_path: Path) -> None:
    blobs = models.small("shallow")
    del blobs["res3_0_branch2b_bn_riv"]
    facts = inspect(models.write(tmp_path / "m.pkl", blobs)).facts
    assert facts["missing"] == "res3_0_branch2b_bn_riv"


def test_types_and_bytes_are_those_of_the_file(tmp_path: Path) -> None:
    """bfloat16 is widened when it is read, not in what is said of the file."""
    torch = pytest.importorskip("torch")
    state = {"layer1.0.conv1.weight": torch.ones(2, 2, 1, 1, dtype=torch.bfloat16)}
    torch.save(state, tmp_path / "m.pth")
    found = inspect(tmp_path / "m.pth")
    [row] = found.blobs
    assert (row.dtype, row.bytes, found.facts["bytes of numbers"]) == ("bfloat16", 8, 8)


def test_without_its_first_convolution_nobody_knows_what_it_takes(
    models: ModuleType, tmp_path: Path
) -> None:
    blobs = models.small("supervised")
    del blobs["conv1_w"]
    found = inspect(models.write(tmp_path / "m.pkl", blobs))
    assert found.facts["channel order"] == "unknown: there is no conv1"
    assert "BGR" not in found.text()
