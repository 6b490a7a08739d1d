"""What stands beside the weights does not close a file, and what a file is instead is said."""

import argparse
import collections
import datetime
import io
import pathlib
import pickle
import sys
import types
import uuid
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sslprep.checkpoints.open import Contents, NotRead, open_checkpoint
from sslprep.errors import CheckpointError, SslprepError, UnsafeFileError

CONTAINERS = pytest.mark.parametrize("container", ["zip", "legacy"])
PROTOCOLS = pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
WEIGHTS = np.arange(6, dtype=np.float32).reshape(2, 3)


@pytest.fixture
def trainer(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Make classes of modules that are not installed here, as `trainer(module, name, base)`."""

    def make(module: str, name: str, base: type = object) -> Any:
        parts = module.split(".")
        for count in range(1, len(parts) + 1):
            part = ".".join(parts[:count])
            if part not in sys.modules:
                monkeypatch.setitem(sys.modules, part, types.ModuleType(part))
        made = type(name, (base,), {"__module__": module})
        monkeypatch.setattr(sys.modules[module], name, made, raising=False)
        return made

    return make


def opened(path: Path, data: bytes) -> Contents:
    path.write_bytes(data)
    return open_checkpoint(path)


def saved(value: Any, container: str) -> bytes:
    torch = pytest.importorskip("torch")
    file = io.BytesIO()
    torch.save(value, file, _use_new_zipfile_serialization=container == "zip")
    return file.getvalue()


def with_state(made: Any, **state: Any) -> Any:
    value = made()
    value.__dict__.update(state)
    return value


# Classes.

CLASSES = [
    ("mmengine.logging.history_buffer", "HistoryBuffer", object),
    ("yacs.config", "CfgNode", dict),
    ("easydict", "EasyDict", dict),
    ("utils", "AttrDict", dict),
    ("munch", "Munch", dict),
    ("addict.addict", "Dict", dict),
    ("pytorch_lightning.utilities.parsing", "AttributeDict", dict),
    ("omegaconf.dictconfig", "DictConfig", object),
    ("vissl.optimizers.lars", "LARS", object),
    ("apex.parallel.LARC", "LARC", object),
]


@PROTOCOLS
@pytest.mark.parametrize(("module", "name", "base"), CLASSES, ids=[name for _, name, _ in CLASSES])
def test_instances_of_trainers_classes_are_not_read(
    module: str, name: str, base: type, protocol: int, trainer: Any, tmp_path: Path
) -> None:
    value = with_state(trainer(module, name, base), lr=0.1, log=np.ones(3), inner=[np.ones(2)])
    if base is dict:
        value["a"] = {"b": 1}
    data = pickle.dumps({"state_dict": {"w": WEIGHTS}, "beside": value}, protocol=protocol)
    found = opened(tmp_path / "a.pkl", data)
    assert list(found.arrays) == [("state_dict", "w")]
    assert found.unread == {("beside",): NotRead(f"{module}.{name}")}


PYTHON: dict[str, Any] = {
    "collections.Counter": collections.Counter("aab"),
    "collections.defaultdict": collections.defaultdict(list, {"loss": [0.5]}),
    "argparse.Namespace": argparse.Namespace(lr=0.1, arch="resnet50"),
    "types.SimpleNamespace": types.SimpleNamespace(a=1),
    "pathlib.PosixPath": pathlib.PosixPath("/data/imagenet"),
    "datetime.datetime": datetime.datetime(2026, 1, 2),
    "collections.deque": collections.deque([0.5], maxlen=9),
    "uuid.UUID": uuid.UUID(int=7),
    "set": {1, 2},
    "frozenset": frozenset("ab"),
}


@PROTOCOLS
def test_instances_of_pythons_classes_are_not_read(protocol: int, tmp_path: Path) -> None:
    data = pickle.dumps({"w": WEIGHTS, **PYTHON}, protocol=protocol)
    found = opened(tmp_path / "a.pkl", data)
    assert list(found.arrays) == [("w",)]
    kinds = {key[0]: note.kind.removeprefix("builtins.") for key, note in found.unread.items()}
    assert {k: v.removeprefix("__builtin__.") for k, v in kinds.items()} == {k: k for k in PYTHON}


@CONTAINERS
def test_pytorchs_own_values_are_not_read(container: str, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    value = {
        "model": torch.nn.Linear(2, 3).state_dict(),
        "size": torch.Size([1, 2]),
        "device": torch.device("cuda", 0),
        "dtype": torch.float16,
        "args": argparse.Namespace(mean=torch.ones(3)),
    }
    found = opened(tmp_path / "a.pth", saved(value, container))
    assert found.container == container
    assert list(found.arrays) == [("model", "weight"), ("model", "bias")]
    assert {key[0]: note.kind for key, note in found.unread.items()} == {
        "size": "torch.Size",
        "device": "torch.device",
        "dtype": "torch.float16",
        "args": "argparse.Namespace",
    }


@CONTAINERS
def test_schedules_are_not_read(container: str, tmp_path: Path) -> None:
    """A warm-up's state holds the schedule after it, a OneCycleLR's held a method of its class."""
    torch = pytest.importorskip("torch")
    schedules = torch.optim.lr_scheduler
    after = schedules.CosineAnnealingLR(
        torch.optim.SGD([torch.nn.Parameter(torch.ones(3))], 0.1), 9
    )
    value = {
        "model": {"w": torch.ones(2)},
        "warmup": {"after_scheduler": after, "multiplier": 1.0},
        "onecycle": {"anneal_func": schedules.OneCycleLR._annealing_cos},
        "version": torch.torch_version.TorchVersion("1.13.1"),
    }
    found = opened(tmp_path / "a.pth", saved(value, container))
    assert list(found.arrays) == [("model", "w")]
    assert len(found.unread) == 3


@PROTOCOLS
def test_arrays_of_texts_are_not_read(protocol: int, tmp_path: Path) -> None:
    value = {"w": WEIGHTS, "classes": np.array(["cat", "dog"]), "raw": np.array([b"cat"]),
             "best": np.str_("cat")}  # fmt: skip
    found = opened(tmp_path / "a.pkl", pickle.dumps(value, protocol=protocol))
    assert list(found.arrays) == [("w",)]
    texts = NotRead("a NumPy array of texts")
    assert found.unread == {("classes",): texts, ("raw",): texts, ("best",): texts}


def test_method_of_a_log_is_not_read(trainer: Any, tmp_path: Path) -> None:
    """MMEngine's HistoryBuffer pickles methods, as `getattr(class, name)`."""
    made = trainer("mmengine.logging.history_buffer", "HistoryBuffer")
    made.mean = types.FunctionType(test_method_of_a_log_is_not_read.__code__, {}, "mean")
    data = (
        b"\x80\x02}(U\x01w" + pickle.dumps(WEIGHTS, protocol=2)[2:-1] + b"U\x01h"
        b"c__builtin__\ngetattr\ncmmengine.logging.history_buffer\nHistoryBuffer\nU\x04mean\x86Ru."
    )
    found = opened(tmp_path / "a.pkl", data)
    assert [note.kind for note in found.unread.values()] == [f"{made.__module__}.HistoryBuffer"]


@pytest.mark.parametrize("name", ["os.system", "builtins.eval", "mmengine.config.Unknown"])
def test_any_other_class_closes_the_file(name: str, tmp_path: Path) -> None:
    module, _, attribute = name.rpartition(".")
    data = b"\x80\x02}(U\x01w" + pickle.dumps(WEIGHTS, protocol=2)[2:-1]
    data += f"U\x01xc{module}\n{attribute}\n)Ru.".encode()
    with pytest.raises(UnsafeFileError, match=f"refers to {name}, which is not on the allowlist"):
        opened(tmp_path / "a.pkl", data)


# Keys and values.


@PROTOCOLS
def test_keys_may_be_any_short_plain_value(protocol: int, tmp_path: Path) -> None:
    state = {94690683019600: WEIGHTS, 2**63: 1, None: 2, True: 3, 2.5: 4, (1, "a"): 5, "1": 6}
    data = pickle.dumps({"optimizer": {"state": state}}, protocol=protocol)
    found = opened(tmp_path / "a.pkl", data)
    assert [key[2] for key in found.leaves] == [
        "94690683019600", "9223372036854775808", "None", "True", "2.5", "(1, a)", "1",
    ]  # fmt: skip
    assert list(found.arrays) == [("optimizer", "state", "94690683019600")]


@PROTOCOLS
def test_keys_of_lightnings_callbacks_are_long(protocol: int, tmp_path: Path) -> None:
    """Its ModelCheckpoint puts its settings into the key: 129 bytes where it watches val_loss."""
    key = (
        "ModelCheckpoint{'monitor': 'val_loss', 'mode': 'min', 'every_n_train_steps': 0, "
        "'every_n_epochs': 1, 'train_time_interval': None}"
    )
    assert len(key) == 129
    long = "é" * 100
    value = {"callbacks": {key: {"score": WEIGHTS}, long: 1, long + "e": 2}}
    found = opened(tmp_path / "a.pkl", pickle.dumps(value, protocol=protocol))
    assert list(found.leaves) == [("callbacks", key, "score"), ("callbacks", long),
                                  ("callbacks", long + "e")]  # fmt: skip
    with pytest.raises(UnsafeFileError, match="a dictionary key that is a text"):
        opened(tmp_path / "a.pkl", pickle.dumps({"x" * 1025: 1}, protocol=protocol))


def test_number_beside_its_own_text_as_keys(tmp_path: Path) -> None:
    found = opened(tmp_path / "a.pkl", pickle.dumps({"1": WEIGHTS, 1: WEIGHTS}))
    assert list(found.leaves) == [("1",), ("[1]",)]


def test_every_array_has_its_path_and_every_value_too(tmp_path: Path) -> None:
    value = {
        "epoch": 3,
        "name": "r50" * 99,
        "model": {"w": WEIGHTS, "note": None, "sizes": (3, 4), "deep": {"b": WEIGHTS}},
        "optimizer": {"groups": [{"lr": 0.1, "buffer": WEIGHTS}, {"lr": 0.2}]},
        "empty": {},
    }
    found = opened(tmp_path / "a.pkl", pickle.dumps(value))
    assert list(found.leaves) == [
        ("epoch",), ("name",), ("model", "w"), ("model", "note"), ("model", "sizes"),
        ("model", "deep", "b"), ("optimizer", "groups", "0", "lr"),
        ("optimizer", "groups", "0", "buffer"), ("optimizer", "groups", "1", "lr"),
    ]  # fmt: skip
    assert found.values[("name",)] == "r50" * 99
    assert (found.main, list(found.stored)) == (("model",), ["w"])


# Types and strides.


@CONTAINERS
def test_types_are_named_and_bfloat16_is_widened(container: str, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    bits = torch.arange(1 << 16, dtype=torch.int32).to(torch.int16).view(torch.bfloat16)
    value = {
        "all": bits.reshape(256, 256).t(),
        "half": torch.ones(2, dtype=torch.float16),
        "complex": torch.ones(2, dtype=torch.complex64),
        "float8": torch.ones(3).to(torch.float8_e4m3fn),
        "uint16": torch.ones(3, dtype=torch.uint16),
    }
    found = opened(tmp_path / "a.pth", saved(value, container)).arrays
    assert [array.type for array in found.values()] == [
        "bfloat16", "float16", "complex64", "float8_e4m3fn", "uint16",
    ]  # fmt: skip
    wide = found[("all",)].load()
    assert wide.dtype == np.float32
    np.testing.assert_array_equal(wide, value["all"].float().numpy())
    with pytest.raises(CheckpointError, match="an array of type float8_e4m3fn; expected float32"):
        found[("float8",)].load()


@pytest.mark.parametrize("name", ["bfloat16", "complex64", "float8_e4m3fn"])
def test_inspect_names_types_that_conversions_refuse(name: str, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from sslprep.inspection.command import inspect

    state = {"conv1.weight": torch.ones(64, 3, 7, 7).to(getattr(torch, name))}
    for block in range(3):
        state[f"layer1.{block}.conv1.weight"] = torch.ones(64, 256 if block else 64, 1, 1)
    (tmp_path / "a.pth").write_bytes(saved(state, "zip"))
    assert name in inspect(tmp_path / "a.pth").text()


def test_safetensors_of_wider_types(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    library = pytest.importorskip("safetensors.torch")
    value = {"b": torch.randn(5, 7).to(torch.bfloat16), "f": torch.ones(3).to(torch.float8_e5m2)}
    found = opened(tmp_path / "a.safetensors", library.save(value)).arrays
    assert {key[0]: array.type for key, array in found.items()} == {
        "b": "bfloat16", "f": "float8_e5m2",
    }  # fmt: skip
    np.testing.assert_array_equal(found[("b",)].load(), value["b"].float().numpy())


@CONTAINERS
def test_strides_are_bound_by_the_storage_alone(container: str, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    base = torch.arange(24.0)
    value = {
        "row": base[:4].as_strided((2, 2, 1, 1), (2, 1, 1 << 30, 1 << 62)),
        "empty": base[:0].as_strided((0, 3), (1 << 62, 1 << 62)),
        "zero": base.as_strided((3, 4), (0, 2)),
        "hwio": base.reshape(2, 3, 2, 2).permute(2, 3, 1, 0),
        "overlapping": base.as_strided((5, 4), (2, 3), 1),
    }
    found = opened(tmp_path / "a.pth", saved(value, container)).arrays
    for name, tensor in value.items():
        np.testing.assert_array_equal(found[(name,)].load(), tensor.numpy())


# What a file is instead.


@CONTAINERS
def test_pickled_module_is_named(container: str, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    data = saved(torch.nn.Linear(2, 2), container)
    with pytest.raises(SslprepError, match=r"Linear.*pickled module; .* save model\.state_dict"):
        opened(tmp_path / "a.pth", data)


@pytest.mark.filterwarnings("ignore")
def test_quantised_model_is_named(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    made = torch.quantize_per_tensor(torch.ones(2, 2), 0.1, 0, torch.qint8)
    with pytest.raises(UnsafeFileError, match="It is a quantised model; convert the one that"):
        opened(tmp_path / "a.pth", saved({"fc.weight": made}, "zip"))


def test_torchscript_is_named(tmp_path: Path) -> None:
    """Its code is compressed, so this must be said before the records are looked at."""
    with zipfile.ZipFile(tmp_path / "a.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("data.pkl", "code/__torch__/model.py", "constants.pkl", "version"):
            archive.writestr(f"a/{name}", b"x" * 100)
    with pytest.raises(CheckpointError, match="is a TorchScript archive"):
        open_checkpoint(tmp_path / "a.pt")


def test_zip_of_something_else_is_named(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", a=WEIGHTS)
    with pytest.raises(CheckpointError, match=r"is a zip archive without one data\.pkl"):
        open_checkpoint(tmp_path / "a.npz")


def test_haiku_is_named(trainer: Any, tmp_path: Path) -> None:
    made = trainer("haiku._src.data_structures", "FlatMapping", dict)
    with pytest.raises(UnsafeFileError, match="It is a checkpoint of JAX"):
        opened(tmp_path / "a.pkl", pickle.dumps({"params": made(a=1)}))


def files_of_every_kind() -> dict[str, bytes]:
    value = {"blobs": {"a": np.arange(300, dtype=np.float32)}}
    files = {f"protocol {n}": pickle.dumps(value, protocol=n) for n in (0, 2, 3)}
    boxed = io.BytesIO()
    np.save(boxed, np.array(value, object), allow_pickle=True)
    return {**files, "npy": boxed.getvalue()}


@pytest.mark.parametrize("name", files_of_every_kind())
def test_changed_line_ends_are_named(name: str, tmp_path: Path) -> None:
    data = files_of_every_kind()[name].replace(b"\n", b"\r\n")
    with pytest.raises(UnsafeFileError, match="Its line ends seem to have been changed"):
        opened(tmp_path / "a.pkl", data)


@CONTAINERS
def test_changed_line_ends_of_torchs_files_are_named(container: str, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    data = saved({"a": torch.ones(300)}, container).replace(b"\n", b"\r\n")
    with pytest.raises(UnsafeFileError, match="Its line ends seem to have been changed"):
        opened(tmp_path / "a.pth", data)


@pytest.mark.parametrize("name", files_of_every_kind())
def test_truncated_file_is_called_so(name: str, tmp_path: Path) -> None:
    data = files_of_every_kind()[name]
    for length in (len(data) - 1, len(data) // 2):
        with pytest.raises(UnsafeFileError, match="truncated"):
            opened(tmp_path / "a.pkl", data[:length])


@CONTAINERS
def test_truncated_file_of_torch_is_called_so(container: str, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    data = saved({"a": torch.ones(300)}, container)
    for length in (len(data) - 1, len(data) // 2, 40):
        with pytest.raises(UnsafeFileError, match="truncated"):
            opened(tmp_path / "a.pth", data[:length])


def test_long_names_do_not_make_long_messages(tmp_path: Path) -> None:
    name = "x" * 120
    bad = pickle.dumps({name: {name: 1}}) + b"more"
    key = (
        b"\x80\x02}(X\x78\0\0\0" + name.encode() + b"K\x01X\x78\0\0\0" + name.encode() + b"K\x01u."
    )
    global_ = f"c{'m' * 200}\n{'n' * 200}\n.".encode()
    for data in (bad, key, b"\x80\x02" + global_):
        with pytest.raises(SslprepError) as caught:
            opened(tmp_path / "a.pkl", data)
        assert len(str(caught.value)) <= 500
