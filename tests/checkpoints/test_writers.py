"""PyTorch's two containers and safetensors as they are written."""

import io
import json
import pickle
import pickletools
import struct
import zipfile
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pytest

from sslprep.atomic import OutputSet
from sslprep.checkpoints.open import open_checkpoint
from sslprep.checkpoints.safetensorsfile import save_safetensors
from sslprep.checkpoints.torchfile import Container, save_torch
from sslprep.errors import CheckpointError, SslprepError

BASE = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
TENSORS: dict[str, Any] = {
    "conv1.weight": BASE,
    "flipped": BASE[:, ::-1],
    "transposed": BASE.T,
    "sliced": BASE[:, :, ::2],
    "fortran": np.asfortranarray(BASE),
    "empty": BASE[:0],
    "scalar": np.array(3.5, np.float32),
    "double": BASE.astype(np.float64),
    "half": BASE.astype(np.float16)[0, 0, :3],
    "bn1.num_batches_tracked": np.array(7, np.int64),
    "né": np.ones(3, np.float32),
}
CONTAINERS = pytest.mark.parametrize("container", ["zip", "legacy"])


def written(path: Path, container: Container, tensors: dict[str, Any] = TENSORS) -> Path:
    with OutputSet(path.parent, [path.name], manifests=["m.manifest.json"]) as out:
        save_torch(out, path.name, tensors, container=container)
        out.save_json("m.manifest.json", {})
        out.commit()
    return path


@CONTAINERS
@pytest.mark.parametrize("weights_only", [True, False])
def test_torch_loads_each_container(
    container: Container, weights_only: bool, tmp_path: Path
) -> None:
    torch = pytest.importorskip("torch")
    loaded = torch.load(written(tmp_path / "a.pth", container), weights_only=weights_only)
    state = loaded["state_dict"]
    assert list(loaded) == ["state_dict"]
    assert list(state) == list(TENSORS)
    for name, array in TENSORS.items():
        assert state[name].is_contiguous(), name
        np.testing.assert_array_equal(state[name].numpy(), array, err_msg=name)


def load_as_torch_1_0_does(file: BinaryIO) -> dict[str, Any]:
    """Read the old container as `torch/serialization.py` of version 1.0.1 does, step by step."""
    storages: dict[str, tuple[str, int]] = {}
    data: dict[str, np.ndarray[Any, Any]] = {}

    class Unpickler(pickle.Unpickler):
        def find_class(self, module: str, name: str) -> Any:
            if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
                return lambda *args: args
            return name if module == "torch" else super().find_class(module, name)

        def persistent_load(self, saved_id: Any) -> Any:
            assert saved_id[0] == "storage"
            data_type, root_key, location, size, view_metadata = saved_id[1:]
            assert (location, view_metadata) == ("cpu", None)
            storages[root_key] = (data_type, size)
            return root_key

    assert pickle.load(file) == 0x1950A86A20F9469CFC6C
    assert pickle.load(file) == 1001
    assert pickle.load(file) == {
        "protocol_version": 1001,
        "little_endian": True,
        "type_sizes": {"short": 2, "int": 4, "long": 4},
    }
    result = Unpickler(file).load()
    codes = {"FloatStorage": "f4", "DoubleStorage": "f8", "HalfStorage": "f2", "LongStorage": "i8"}
    for key in pickle.load(file):
        data_type, size = storages[key]
        assert struct.unpack("<q", file.read(8)) == (size,)
        dtype = np.dtype(codes[data_type])
        data[key] = np.frombuffer(file.read(size * dtype.itemsize), dtype)
    assert file.read() == b""
    return {
        name: np.lib.stride_tricks.as_strided(
            data[key][offset:], shape, [step * data[key].itemsize for step in strides]
        )
        for name, (key, offset, shape, strides, _, _) in result["state_dict"].items()
    }


def test_old_container_is_what_torch_1_0_reads(tmp_path: Path) -> None:
    with open(written(tmp_path / "a.pth", "legacy"), "rb") as file:
        state = load_as_torch_1_0_does(file)
    assert list(state) == list(TENSORS)
    for name, array in TENSORS.items():
        np.testing.assert_array_equal(state[name], array, err_msg=name)


def test_the_old_reader_of_this_test_reads_torchs_own_files() -> None:
    torch = pytest.importorskip("torch")
    file = io.BytesIO()
    state = {"a": torch.arange(6.0).reshape(2, 3).t()}
    torch.save({"state_dict": state}, file, _use_new_zipfile_serialization=False)
    file.seek(0)
    np.testing.assert_array_equal(load_as_torch_1_0_does(file)["a"], state["a"].numpy())


@CONTAINERS
def test_pickle_has_only_opcodes_that_every_torch_knows(
    container: Container, tmp_path: Path
) -> None:
    """Those that torch.save itself writes; its safe unpickler knows few others."""
    torch = pytest.importorskip("torch")
    data = written(tmp_path / "a.pth", container).read_bytes()
    own = io.BytesIO()
    state = {name: torch.from_numpy(array.copy()) for name, array in TENSORS.items()}
    torch.save({"state_dict": state}, own, _use_new_zipfile_serialization=container == "zip")
    allowed = opcodes(own.getvalue(), container) | {"EMPTY_LIST", "APPEND", "APPENDS", "TUPLE2"}
    assert opcodes(data, container) - allowed <= {"TUPLE3", "BININT", "LONG1", "NEWTRUE"}


def opcodes(data: bytes, container: str) -> set[str]:
    if container == "zip":
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            data = archive.read(next(n for n in archive.namelist() if n.endswith("/data.pkl")))
    file, names = io.BytesIO(data), set()
    for _ in range(1 if container == "zip" else 5):
        names |= {op.name for op, _, _ in pickletools.genops(file)}
    return names


@CONTAINERS
def test_our_reader_reads_each_container(container: Container, tmp_path: Path) -> None:
    found = open_checkpoint(written(tmp_path / "a.pth", container))
    assert found.container == container
    assert [key[-1] for key in found.arrays] == list(TENSORS)
    for name, array in TENSORS.items():
        np.testing.assert_array_equal(found.arrays["state_dict", name].load(), array)


@CONTAINERS
def test_same_tensors_same_bytes(container: Container, tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    first = written(tmp_path / "one" / "a.pth", container).read_bytes()
    assert written(tmp_path / "two" / "b.dat", container).read_bytes() == first


@CONTAINERS
def test_types_that_no_state_dict_holds_are_refused(container: Container, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="a holds complex64; expected floats or integers"):
        written(tmp_path / "a.pth", container, {"a": np.ones(2, np.complex64)})
    assert list(tmp_path.iterdir()) == []


def safe(path: Path, tensors: dict[str, Any], **metadata: str) -> bytes:
    with OutputSet(path.parent, [path.name], manifests=["m.manifest.json"]) as out:
        save_safetensors(out, path.name, tensors, metadata)
        out.save_json("m.manifest.json", {})
        out.commit()
    return path.read_bytes()


def test_safetensors_data_begin_at_a_multiple_of_eight(tmp_path: Path) -> None:
    for length in range(9):
        data = safe(tmp_path / f"{length}.safetensors", {"x" * (length + 1): BASE})
        assert struct.unpack("<Q", data[:8])[0] % 8 == 0
        (tmp_path / "m.manifest.json").unlink()


def test_safetensors_are_aligned_and_their_metadata_in_order(tmp_path: Path) -> None:
    data = safe(tmp_path / "a.safetensors", TENSORS, z="1", a="2")
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + size])
    assert list(header["__metadata__"].items()) == [("a", "2"), ("z", "1")]
    widths = {"F64": 8, "I64": 8, "F32": 4, "F16": 2}
    for name in TENSORS:
        assert header[name]["data_offsets"][0] % widths[header[name]["dtype"]] == 0


@pytest.mark.parametrize("more", [b"x", b"\0" * 8])
def test_safetensors_with_trailing_bytes_are_refused(more: bytes, tmp_path: Path) -> None:
    data = safe(tmp_path / "a.safetensors", TENSORS)
    (tmp_path / "b.safetensors").write_bytes(data + more)
    with pytest.raises(SslprepError, match="bytes that belong to no tensor"):
        open_checkpoint(tmp_path / "b.safetensors")


def test_encrypted_records_are_refused(tmp_path: Path) -> None:
    data = bytearray(written(tmp_path / "a.pth", "zip").read_bytes())
    at = data.rindex(b"PK\x01\x02")
    data[at + 8] |= 1
    (tmp_path / "b.pth").write_bytes(data)
    with pytest.raises(SslprepError, match="is compressed or encrypted"):
        open_checkpoint(tmp_path / "b.pth")


def test_bytes_behind_the_pickle_of_an_archive_are_refused(tmp_path: Path) -> None:
    source = written(tmp_path / "a.pth", "zip")
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(tmp_path / "b.pth", "w") as new:
        for name in old.namelist():
            more = b"more" if name.endswith("data.pkl") else b""
            new.writestr(name, old.read(name) + more)
    with pytest.raises(SslprepError, match="more bytes after the end of the pickle"):
        open_checkpoint(tmp_path / "b.pth")


@pytest.mark.parametrize(("copies", "fits"), [(2, True), (12, False)])
def test_arrays_may_share_data_only_about_twice(copies: int, fits: bool, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    storage = torch.zeros(1 << 20)
    torch.save({str(n): storage for n in range(copies)}, tmp_path / "a.pth")
    if fits:
        assert len(open_checkpoint(tmp_path / "a.pth").arrays) == copies
    else:
        with pytest.raises(SslprepError, match="share their data so often"):
            open_checkpoint(tmp_path / "a.pth")
