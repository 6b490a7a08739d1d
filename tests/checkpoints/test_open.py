"""Reading checkpoints of every format, and writing Caffe2's pickle."""

import io
import pickle
import pickletools
import resource
import struct
import subprocess
import sys
import tarfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sslprep.atomic import OutputSet
from sslprep.checkpoints.open import (
    open_checkpoint,
    read_checkpoint,
)
from sslprep.checkpoints.pickling import save_pickle, write_pickle
from sslprep.errors import CheckpointError, UnsafeFileError

RNG = np.random.default_rng(0)
BLOBS: dict[str, Any] = {
    "conv1_w": RNG.standard_normal((4, 3, 7, 7), np.float32),
    "res_conv1_bn_riv": np.array([2e-15, 1.0, 6e4, 1e-3], np.float32),
    "lr": np.array([0.1], np.float32),
    "model_iter": 7,
}


def same(found: dict[str, Any], expected: dict[str, Any] = BLOBS) -> None:
    assert list(found) == list(expected)
    for name, value in expected.items():
        assert np.shape(found[name]) == np.shape(value), name
        assert np.asarray(found[name]).tobytes() == np.asarray(value).tobytes(), name
        assert type(found[name]) is type(value)


def pickled(value: Any) -> bytes:
    file = io.BytesIO()
    write_pickle(file, value)
    return file.getvalue()


# Formats.


def test_reads_blobs_under_their_key(tmp_path: Path) -> None:
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps({"blobs": BLOBS, "cfg": "x: 1"}, protocol=2))
    found = read_checkpoint(path)
    same(found.blobs)
    assert (found.format, found.main, found.extra) == ("caffe2-pickle", ("blobs",), {"cfg": "x: 1"})


def test_reads_a_bare_dict(tmp_path: Path) -> None:
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps(BLOBS, protocol=2))
    found = read_checkpoint(path)
    same(found.blobs)
    assert (found.main, found.extra) == ((), {})


def test_reads_a_dict_saved_by_numpy(tmp_path: Path) -> None:
    path = tmp_path / "alexnet.npy"
    np.save(path, np.array(BLOBS, object), allow_pickle=True)
    found = read_checkpoint(path)
    same(found.blobs)
    assert found.format == "caffe2-npy"


def test_reads_detectron2s_layout(tmp_path: Path) -> None:
    path = tmp_path / "model.pkl"
    value = {"model": BLOBS, "__author__": "a", "matching_heuristics": True}
    path.write_bytes(pickle.dumps(value, protocol=2))
    found = read_checkpoint(path)
    assert (found.format, found.main) == ("detectron2-pickle", ("model",))
    assert found.extra == {"__author__": "a", "matching_heuristics": True}


def test_format_is_told_by_content_not_by_name(tmp_path: Path) -> None:
    path = tmp_path / "model.pth"
    path.write_bytes(pickle.dumps({"blobs": BLOBS}, protocol=2))
    assert read_checkpoint(path).format == "caffe2-pickle"


def test_settings_beside_the_blobs_are_kept_and_arrays_there_are_named(tmp_path: Path) -> None:
    path = tmp_path / "model.pkl"
    value = {"blobs": BLOBS, "marker": {"std": [0.225, 0.224]}, "other": {"a": np.ones(2)}}
    path.write_bytes(pickle.dumps(value, protocol=2))
    found = read_checkpoint(path)
    assert found.extra == {"marker": {"std": [0.225, 0.224]}}
    assert list(found.arrays)[-1] == ("other", "a")


torch_variants = pytest.mark.parametrize("new_format", [True, False], ids=["zip", "legacy"])


def tensors() -> "OrderedDict[str, Any]":
    import torch

    base = torch.arange(24, dtype=torch.float32).reshape(4, 6)
    return OrderedDict(
        plain=base,
        transposed=base.t(),
        sliced=base[1:3, 2:5],
        strided=base[:, ::2],
        expanded=torch.ones(3, 1).expand(3, 4),
        channels_last=torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last),
        parameter=torch.nn.Parameter(torch.ones(3)),
        scalar=torch.tensor(5),
        half=torch.ones(3, dtype=torch.float16),
        empty=torch.zeros(0, 3),
        bool=torch.tensor([True, False]),
    )


@torch_variants
def test_reads_what_torch_saves(new_format: bool, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    path = tmp_path / "model.pth"
    state = tensors()
    torch.save(state, path, _use_new_zipfile_serialization=new_format)
    found = read_checkpoint(path)
    assert found.format == "torch"
    again = torch.load(path, weights_only=True)
    assert list(found.blobs) == list(again)
    for name, tensor in again.items():
        expected = tensor.detach().numpy()
        array = found.blobs[name]
        assert isinstance(array, np.ndarray)
        assert array.dtype == expected.dtype
        np.testing.assert_array_equal(array, expected)


@torch_variants
@pytest.mark.parametrize(
    "keys", [("state_dict",), ("model",), ("classy_state_dict", "base_model", "model", "trunk")]
)
def test_finds_the_state_dict_where_it_is_nested(
    keys: tuple[str, ...], new_format: bool, tmp_path: Path
) -> None:
    torch = pytest.importorskip("torch")
    value: Any = torch.nn.BatchNorm2d(3).state_dict()  # with its `_metadata` attribute
    for key in reversed(keys):
        value = {key: value}
    value |= {"epoch": 3, "optimizer": {"state": {0: {"momentum_buffer": torch.ones(2)}}}}
    path = tmp_path / "model.pth"
    torch.save(value, path, _use_new_zipfile_serialization=new_format)
    found = read_checkpoint(path)
    assert found.main == tuple(keys)
    assert set(found.blobs) == {
        "weight", "bias", "running_mean", "running_var", "num_batches_tracked",
    }  # fmt: skip
    assert found.extra == {"epoch": 3}
    assert ("optimizer", "state", "0", "momentum_buffer") in found.arrays


def old_tar(state: dict[str, Any], *, parameters: bool, views: Any = ()) -> bytes:
    """Write what PyTorch wrote before 0.1.10, torchvision's resnet50-19c8e357.pth among it."""
    numbers, tensors = pickle.dumps(len(state), 2), pickle.dumps(len(state), 2)
    names = b"\x80\x02ccollections\nOrderedDict\n](" if parameters else b"\x80\x02}("
    for i, (name, tensor) in enumerate(state.items()):
        kind = {"float32": b"Float", "int64": b"Long"}[tensor.numpy().dtype.name]
        key, storage, data = str(2**40 + i).encode(), b"L%dL\n" % (2**41 + i), tensor.numpy()
        numbers += b"\x80\x02" + storage + b"U\x06cuda:0ctorch\n" + kind + b"Storage\n\x87."
        numbers += struct.pack("<q", data.size) + data.tobytes("K")
        tensors += (
            b"\x80\x02L" + key + b"L\n" + storage + b"ctorch.cuda\n" + kind + b"Tensor\n\x87."
        )
        tensors += struct.pack("<i4x", data.ndim)
        tensors += struct.pack(f"<{2 * data.ndim + 1}q", *data.shape, *tensor.stride(), 0)
        value, named = b"U%c%sQ" % (len(key), key), b"U%c%s" % (len(name), name.encode())
        if parameters and kind == b"Float":  # it is a Parameter with its state
            value = b"ctorch.nn.parameter\nParameter\n" + value + b"\x85R(\x88\x89ccollections\n"
            value += b"OrderedDict\n)Rtb"
        names += b"(" + named + value + b"l" if parameters else named + value
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for part, data in {
            "sys_info": pickle.dumps({"protocol_version": 1000}, 2),
            "pickle": names + (b"e\x85R." if parameters else b"u."),
            "tensors": tensors,
            "storages": numbers + pickle.dumps([*views], 2),
        }.items():
            info = tarfile.TarInfo(part)
            info.size, info.mtime = len(data), 1484150000.5
            archive.addfile(info, io.BytesIO(data))
    return file.getvalue()


@pytest.mark.parametrize("parameters", [False, True])
def test_reads_the_tar_archives_of_2017_as_torch_does(parameters: bool, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    state = torch.nn.BatchNorm2d(3).state_dict() | {"w": torch.rand(4, 3, 2).permute(2, 0, 1)}
    path = tmp_path / "resnet50-19c8e357.pth"
    path.write_bytes(old_tar(state, parameters=parameters))
    assert path.read_bytes().startswith(b"././@PaxHeader")
    theirs = torch.load(path, weights_only=False, map_location="cpu")
    assert isinstance(theirs["w"], torch.nn.Parameter) == parameters
    ours = read_checkpoint(path)
    assert (ours.container, ours.format) == ("tar", "torch")
    same(ours.blobs, {name: tensor.detach().numpy() for name, tensor in theirs.items()})


def test_views_of_storages_in_such_an_archive_are_refused(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    path = tmp_path / "a.pth"
    path.write_bytes(old_tar({"w": torch.ones(3)}, parameters=False, views=[(1, 0, 0, 3)]))
    with pytest.raises(UnsafeFileError, match="views of storages"):
        read_checkpoint(path)


def test_reads_safetensors_as_its_library_does(tmp_path: Path) -> None:
    safetensors = pytest.importorskip("safetensors.numpy")
    path = tmp_path / "model.safetensors"
    arrays = {name: np.array(a) for name, a in BLOBS.items() if name != "model_iter"}
    arrays |= {"empty": np.zeros((0, 2), np.float32), "scalar": np.array(3, np.int64)}
    safetensors.save_file(arrays, path, metadata={"channels": "rgb"})
    found = read_checkpoint(path)
    assert found.extra == {"channels": "rgb"}
    same(dict(sorted(found.blobs.items())), dict(sorted(safetensors.load_file(path).items())))


def test_needs_no_torch(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    path = tmp_path / "model.pth"
    torch.save({"state_dict": {"a": torch.ones(3)}}, path)
    code = (
        "import sys; sys.modules.update(torch=None, safetensors=None)\n"
        "from pathlib import Path\n"
        "from sslprep.checkpoints.open import read_checkpoint\n"
        "print(read_checkpoint(Path(sys.argv[1])).blobs['a'].sum())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, path], capture_output=True, text=True, check=True
    )
    assert done.stdout == "3.0\n"


# Errors.


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no such file"):
        read_checkpoint(tmp_path / "none.pkl")


def test_folder(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="is a folder"):
        read_checkpoint(tmp_path)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([1, 2], "holds a value of type list; expected a checkpoint: a dict of named arrays"),
        ({"a": 1}, "holds no array; expected a checkpoint"),
        ({"blobs": {"a": [1], "b": {}}}, "holds no array; expected a checkpoint"),
        (np.ones(2), "holds a bare array; expected a checkpoint"),
        ("x" * 9999, "holds a text; expected a checkpoint"),
    ],
)
def test_what_is_no_checkpoint_is_said(value: Any, message: str, tmp_path: Path) -> None:
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps(value, protocol=2))
    with pytest.raises(CheckpointError) as caught:
        read_checkpoint(path)
    assert str(caught.value).startswith(str(path))
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\x1f\x8b\x08\x00", "is a gzip file; expected a pickle"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Run git lfs pull."),
        (b"\n<!DOCTYPE html><html>", "is a web page"),
        (b"<HTML><head>", "is a web page"),
        (b'{"metadata": {}}', "is JSON, perhaps the index of a model in shards"),
        (b"hello", "is of no format that is known here (it begins with b'hello')"),
    ],
)
def test_other_files_are_recognised(data: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "model.pkl"
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match="expected") as caught:
        read_checkpoint(path)
    assert message in str(caught.value)


def test_plain_array_is_no_checkpoint(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.ones(3))
    with pytest.raises(CheckpointError, match=r"is an array of shape \(3,\) and type float64"):
        read_checkpoint(tmp_path / "a.npy")


def test_data_after_the_pickle_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.pkl"
    data = pickle.dumps({"blobs": BLOBS}, protocol=2)
    path.write_bytes(data + b"more")
    with pytest.raises(UnsafeFileError, match=f"byte {len(data)}: 4 bytes follow the end"):
        read_checkpoint(path)


def test_damaged_text_of_an_array_is_found_when_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "model.pkl"
    data = pickle.dumps({"blobs": {"a": np.full(1500, 0xE9, np.uint8)}}, protocol=2)
    path.write_bytes(data.replace("é".encode() * 8, b"\xff" * 16, 1))
    assert open_checkpoint(path).stored
    with pytest.raises(UnsafeFileError, match=r"model\.pkl, byte \d+: a string that is not utf-8"):
        read_checkpoint(path)


# Writing.


def test_written_pickle_is_read_by_pickle(tmp_path: Path) -> None:
    value = {
        "blobs": BLOBS,
        "cfg": "x" * 1000,
        "marker": {"std": [0.225, 0.224], "t": (1, None, True, False), "big": -(2**100)},
        "none": {},
        "text": "é",
    }
    found = pickle.loads(pickled(value), encoding="latin1")
    same(found["blobs"])
    assert {k: v for k, v in found.items() if k != "blobs"} == {
        k: v for k, v in value.items() if k != "blobs"
    }


def test_written_pickle_has_names_as_python_2_has_them() -> None:
    """Byte strings: `str` to Python 2, and to Python 3 with `encoding="latin1"`."""
    data = pickled({"blobs": BLOBS})
    names = {op.name for op, _, _ in pickletools.genops(data)}
    assert {"SHORT_BINSTRING", "BINSTRING"} <= names
    assert not names & {"BINUNICODE", "SHORT_BINUNICODE", "BINBYTES", "SHORT_BINBYTES", "FRAME"}
    assert set(pickle.loads(data, encoding="bytes")) == {b"blobs"}


def test_written_pickle_is_protocol_2_and_names_the_old_numpy() -> None:
    data = pickled({"blobs": BLOBS})
    globals_ = {arg for op, arg, _ in pickletools.genops(data) if op.name == "GLOBAL"}
    assert max(op.proto for op, _, _ in pickletools.genops(data)) == 2
    assert globals_ == {"numpy.core.multiarray _reconstruct", "numpy ndarray", "numpy dtype"}


def test_written_pickle_is_no_larger_than_its_weights() -> None:
    weights = np.arange(1 << 18, dtype=np.float32)
    assert len(pickled({"blobs": {"a": weights}})) < weights.nbytes + 400


def test_written_pickle_is_the_same_every_time() -> None:
    assert pickled({"blobs": BLOBS}) == pickled({"blobs": BLOBS})


@pytest.mark.parametrize(
    "array",
    [
        np.arange(24.0).reshape(4, 6).T,
        np.arange(24.0)[::-1],
        np.asfortranarray(np.arange(24.0).reshape(4, 6)),
        np.arange(24.0).reshape(4, 6)[::2, 1:],
        np.arange(24, dtype=">f4"),
        np.zeros((0, 2), np.float32),
        np.array(1.5),
        np.array([True, False]),
    ],
    ids=["transposed", "flipped", "fortran", "sliced", "big endian", "empty", "0-d", "bool"],
)
def test_writes_arrays_whatever_their_memory_order(array: Any, tmp_path: Path) -> None:
    data = pickled({"a": array})
    found = pickle.loads(data, encoding="latin1")["a"]
    np.testing.assert_array_equal(found, array)
    assert found.shape == array.shape
    assert found.dtype == array.dtype.newbyteorder("=")
    (tmp_path / "a.pkl").write_bytes(data)
    np.testing.assert_array_equal(read_checkpoint(tmp_path / "a.pkl").blobs["a"], array)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"a": np.array([None])}, "an array of type object"),
        ({"a": np.array(["x"])}, "an array of type <U1"),
        ({"a": {1}}, "a value of type set"),
    ],
)
def test_refuses_what_a_checkpoint_never_holds(value: Any, message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        pickled(value)


def test_refuses_an_array_longer_than_a_string_can_be() -> None:
    huge = np.broadcast_to(np.zeros(1, np.uint8), (1 << 31,))
    with pytest.raises(CheckpointError, match="2,147,483,648 bytes; expected at most"):
        pickled({"a": huge})


def test_save_pickle_writes_what_is_read(tmp_path: Path) -> None:
    with OutputSet(tmp_path, ["m.pkl"], manifests=["m.pkl.manifest.json"]) as out:
        save_pickle(out, "m.pkl", {"blobs": BLOBS, "cfg": "x" * 300})
        out.commit()
    same(read_checkpoint(tmp_path / "m.pkl").blobs)


# Memory.


def test_reading_text_arrays_takes_no_more_than_the_file(tmp_path: Path) -> None:
    """Python 3 writes bytes as text, 1.5 times as long; neither is held whole beside the other."""
    size = 64 << 20
    path = tmp_path / "m.pkl"
    array = np.random.default_rng(0).integers(0, 256, size, np.uint8)
    with open(path, "wb") as file:
        pickle.dump({"blobs": {"a": array}}, file, protocol=2)
    code = (
        "import sys, resource\n"
        "from pathlib import Path\n"
        "from sslprep.checkpoints.open import read_checkpoint\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "read_checkpoint(Path(sys.argv[1])).blobs['a'].sum()\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, path], capture_output=True, text=True, check=True
    )
    unit = 1 if sys.platform == "darwin" else 1024
    assert int(done.stdout) * unit < 1.2 * size
    assert resource.RUSAGE_SELF == 0


def test_zip64_directories_are_read(tmp_path: Path) -> None:
    """PyTorch writes the 64-bit form for large files; here a small one is given it."""
    torch = pytest.importorskip("torch")
    plain = tmp_path / "plain.pth"
    torch.save({"a": torch.arange(4.0)}, plain)
    data = plain.read_bytes()
    end = data.rindex(b"PK\x05\x06")
    count, size, start = struct.unpack_from("<HII", data, end + 10)
    at = data.find(b"PK\x06\x06")
    body = data[:at] if at >= 0 else data[:end]
    record = struct.pack("<4sQHHIIQQQQ", b"PK\6\6", 44, 45, 45, 0, 0, count, count, size, start)
    locator = struct.pack("<4sIQI", b"PK\6\7", 0, len(body), 1)
    short = struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    path = tmp_path / "wide.pth"
    path.write_bytes(body + record + locator + short)
    np.testing.assert_array_equal(read_checkpoint(path).blobs["a"], [0, 1, 2, 3])
