"""PyTorch checkpoint files, read and written without PyTorch and without its unpickler.

Since 1.6 a file is a zip archive of `data.pkl` and one uncompressed record per storage (here
container `zip`); before, it was five pickles followed by the storages (`legacy`), which every
version reads; before 0.1.10 a tar archive, which is read alone. All are read by the machine of
`unpickle` with a closed table of the names that a state dict needs. `torch.load` with
`weights_only=True` would refuse code as well, but not a 1 KB file that asks for 100 GB, and
importing PyTorch alone takes more than a whole conversion. Format: `torch/serialization.py`.
"""

from __future__ import annotations

import io
import re
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, BinaryIO, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from sslprep.atomic import OutputSet
from sslprep.checkpoints.arrays import (
    DTYPES,
    TYPES,
    WRITTEN,
    MappedFile,
    Span,
    StoredArray,
    check_lengths,
    check_shape,
    extent,
    refuse,
    shown,
)
from sslprep.checkpoints.globals import NUMPY, Global, NotRead
from sslprep.checkpoints.pickling import Name, Pickler, plain_array, raw_bytes
from sslprep.checkpoints.unpickle import DAMAGE, Machine, read_pickle
from sslprep.errors import CheckpointError

Container = Literal["zip", "legacy"]

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
"""The integer that a file of the old container begins with, as a pickle of its own."""
LEGACY_START = re.compile(
    rb"\x80[\x02-\x05](?:\x95.{8})?\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19\.", re.DOTALL
)
_LEGACY_VERSION = 1001
_STORAGES = {storage: name for name, (_, storage, _) in TYPES.items() if storage is not None}
_STORAGES["UntypedStorage"] = "uint8"
_NEWER = {f"torch.{name}": name for name, (_, storage, _) in TYPES.items() if storage is None}
"""Types without storages of their own: `_rebuild_tensor_v3` names them."""
_MAX_RECORDS = 50_000
_MAX_DIRECTORY = 4 << 20
_LOCAL_HEADER = 30
_ENCRYPTED = 1
_ALIGNMENT = 64
_DATA = re.compile("[^/]*/data\\.pkl")
_BLOCK = 512
_TAR_PARTS = (b"storages", b"tensors", b"pickle")
_MOST_PARTS = 16


class _Archive:
    """A file as zipfile wants it, which reads a directory in one piece, but not a large one."""

    def __init__(self, file: MappedFile) -> None:
        self.seek, self.tell, self._read = file.bytes.seek, file.bytes.tell, file.bytes.read

    def read(self, size: int = -1) -> bytes:
        if size > _MAX_DIRECTORY:
            refuse(f"a zip directory of {size:,} bytes")
        return self._read(size)


def zip_records(file: MappedFile) -> dict[str, tuple[int, int]]:
    """Return first byte and length of each record of a PyTorch archive by its name.

    Raises:
        CheckpointError: It is TorchScript, or no archive of PyTorch's.
        UnsafeFileError: A damaged directory; a record that is compressed or encrypted, so that it
            could unfold to more than its place in the file; one beyond the file.
    """
    try:
        infos = zipfile.ZipFile(_Archive(file)).infolist()  # type: ignore[call-overload]
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError, OverflowError) as error:
        refuse(f"a truncated or damaged zip archive ({error})", "Fetch it again.")
    if len(infos) > _MAX_RECORDS:
        refuse(f"a zip archive of {len(infos):,} records")
    if any(info.filename.endswith("/constants.pkl") for info in infos):
        raise CheckpointError(
            "is a TorchScript archive: a program, not a state dict",
            remedy="In PyTorch, torch.save(torch.jit.load(…).state_dict(), …) makes one of it.",
        )
    if sum(bool(_DATA.fullmatch(info.filename)) for info in infos) != 1:
        raise CheckpointError(
            "is a zip archive without one data.pkl, so not a PyTorch checkpoint",
            remedy="Unpack it, if the checkpoint is in it.",
        )
    records: dict[str, tuple[int, int]] = {}
    for info in infos:
        name, at = info.filename, info.header_offset
        packed = info.compress_type or info.compress_size != info.file_size
        if packed or info.flag_bits & _ENCRYPTED:
            refuse(f"record {shown(name)!r} is compressed or encrypted")
        if name in records:
            refuse(f"record {shown(name)!r} a second time")
        local = file.bytes[at : at + _LOCAL_HEADER] if at >= 0 else b""
        first = at + len(local) + int.from_bytes(local[26:28], "little")
        first += int.from_bytes(local[28:30], "little")
        if local[:4] != b"PK\x03\x04" or first + info.file_size > file.size:
            refuse(f"record {shown(name)!r} beyond the end of the file")
        records[name] = (first, info.file_size)
    return records


@dataclass(frozen=True)
class _Storage:
    """A storage that tensors lie in: its key in the file, type and number of elements."""

    key: str
    type: str
    count: int

    @property
    def item(self) -> int:
        """Bytes of an element."""
        return DTYPES[TYPES[self.type][0]].itemsize


class _TensorMachine(Machine):
    """Reads tensors over the storages of a file; `place` says where these are in the end."""

    known = NUMPY | {
        *(f"torch._utils._rebuild_{kind}" for kind in ("tensor", "tensor_v2", "tensor_v3")),
        *(f"torch._utils._rebuild_parameter{kind}" for kind in ("", "_with_state")),
        *(f"torch.{storage}" for storage in _STORAGES),
        "torch.storage.UntypedStorage", "torch.nn.parameter.Parameter",
    }  # fmt: skip

    def __init__(self, file: MappedFile, start: int, stop: int) -> None:
        super().__init__(file, start, stop)
        self.found: dict[str, _Storage] = {}
        self.tensors: dict[str, StoredArray] = {}
        self._views: list[tuple[Span, _Storage]] = []

    def place(self, places: Mapping[str, tuple[int, int]]) -> None:
        """Say where the storages are: first byte and length of each by its key."""
        for span, storage in self._views:
            if storage.key not in places:
                refuse(f"storage {shown(storage.key)!r}, which is not in the file")
            start, length = places[storage.key]
            if length != storage.count * storage.item:
                of = f"{shown(storage.key)!r} of {storage.count:,} {storage.type}"
                refuse(f"storage {of} with {length:,} bytes")
            span.start, span.stop = span.start + start, span.stop + start

    def persistent_load(self, pid: Any) -> _Storage | StoredArray:
        """Return what ('storage', type, key, device, elements[, view]) or a tensor's key names."""
        match pid:
            # Nothing but None has stood behind the count since 0.4 (there, a view of a storage).
            case ("storage", Global(kind), str(key), _, int(count), *view) if (
                kind in _STORAGES and count >= 0 and view in ([], [None])
            ):
                storage = _Storage(key, _STORAGES[kind], count)
            case str() if pid in self.tensors:
                return self.tensors[pid]
            case _:
                refuse("a persistent id that is not a storage")
        if self.found.setdefault(storage.key, storage) != storage:
            refuse(f"storage {shown(storage.key)!r} with two types")
        return storage

    def call(self, name: str, args: tuple[Any, ...]) -> Any:
        """Build a tensor or a parameter."""
        match name, args:
            case "_rebuild_tensor" | "_rebuild_tensor_v2", (
                _Storage() as storage, offset, shape, strides, *_,
            ):  # fmt: skip
                return self._tensor(storage, offset, shape, strides)
            case "_rebuild_tensor_v3", (
                _Storage(type="uint8") as storage, offset, shape, strides, _, _, NotRead(kind), *_,
            ) if kind in _NEWER:  # fmt: skip
                typed = replace(storage, type=_NEWER[kind])
                typed = replace(typed, count=storage.count // typed.item)
                return self._tensor(typed, offset, shape, strides)
            case _, (StoredArray() as made, *_) if "arameter" in name:
                return made
        return super().call(name, args)

    def _tensor(self, storage: _Storage, offset: Any, shape: Any, strides: Any) -> StoredArray:
        shape = check_shape(shape)
        strides = check_lengths(strides, "strides")
        if type(offset) is not int or offset < 0:
            refuse("a tensor with an impossible offset")
        reach = extent(shape, strides)
        if offset + reach > storage.count:
            refuse(f"a tensor of shape {shape} that reaches beyond its storage")
        span = Span(self.file, offset * storage.item, (offset + reach) * storage.item, "raw")
        self._views.append((span, self.found[storage.key]))
        return StoredArray(shape, storage.type, span, strides)


def read_zip(file: MappedFile) -> Any:
    """Read a checkpoint in PyTorch's zip container; tensors are `StoredArray`."""
    records = zip_records(file)
    folder = next(name for name in records if _DATA.fullmatch(name)).split("/")[0]
    start, length = records.get(f"{folder}/byteorder", (0, 0))
    if length and file.bytes[start : start + min(length, 16)] != b"little":
        refuse("a checkpoint in big-endian byte order")
    start, length = records[f"{folder}/data.pkl"]
    machine = _TensorMachine(file, start, start + length)
    value = machine.run()
    if machine.at != machine.end:
        refuse("more bytes after the end of the pickle")
    prefix = f"{folder}/data/"
    machine.place({name.removeprefix(prefix): place for name, place in records.items()})
    return value


def read_legacy(file: MappedFile) -> Any:
    """Read a checkpoint in PyTorch's container of before 1.6, as `read_zip` does."""
    _, position = read_pickle(file)  # the magic number, by which the file was known
    version, position = read_pickle(file, position)
    system, position = read_pickle(file, position)
    if version != _LEGACY_VERSION or not isinstance(system, dict):
        refuse("not PyTorch's old container")
    if system.get("little_endian") is not True:
        refuse("a checkpoint in big-endian byte order")
    machine = _TensorMachine(file, position, file.size)
    value = machine.run()
    keys = machine.run()
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        refuse("a list of storages that is not one")
    places: dict[str, tuple[int, int]] = {}
    for key in keys:
        if key not in machine.found or key in places:
            refuse(f"storage {shown(key)!r}, which no tensor names, or twice")
        length = machine.number(8, signed=True) * machine.found[key].item
        places[key] = (machine.skip(length), length)
    if machine.at != file.size:
        refuse(f"{file.size - machine.at:,} bytes after the last storage")
    machine.place(places)
    return value


def read_tar(file: MappedFile) -> Any:
    """Read a checkpoint in PyTorch's container of before 0.1.10, as `read_zip` does.

    `storages` and `tensors` are a pickled count and so many records, each a pickle and raw
    numbers; `pickle` names the tensors. torchvision's files of 2017 are such archives.
    """
    parts: dict[bytes, tuple[int, int]] = {}
    at = 0
    while at < file.size and file.bytes[at] and len(parts) < _MOST_PARTS:
        header, at = file.bytes[at : at + _BLOCK], at + _BLOCK
        digits = header[124:136].strip(b" \0")
        if not re.fullmatch(rb"[0-7]{1,11}", digits) or at + int(digits, 8) > file.size:
            refuse("a truncated tar archive", "Fetch it again.")
        parts[header[:100].rstrip(b"\0")] = at, at + int(digits, 8)
        at += -(-int(digits, 8) // _BLOCK) * _BLOCK
    if not parts.keys() >= {*_TAR_PARTS}:
        remedy = "Unpack it, if the checkpoint is in it."
        raise CheckpointError("is a tar archive, but none of PyTorch's", remedy=remedy)
    storages, tensors, names = (_TensorMachine(file, *parts[name]) for name in _TAR_PARTS)
    places: dict[str, tuple[int, int]] = {}
    try:
        for _ in range(min(storages.run(), _MAX_RECORDS)):
            key, _, kind = storages.run()
            held = _Storage(f"{key:d}", _STORAGES[kind.name], storages.number(8))
            length = held.count * held.item
            places[held.key], tensors.found[held.key] = (storages.skip(length), length), held
        if storages.run() != []:
            refuse("views of storages")
        for _ in range(min(tensors.run(), _MAX_RECORDS)):
            key, storage, _ = tensors.run()
            axes = int.from_bytes(tensors.read(8)[:1])
            *shape, offset = struct.unpack(f"<{2 * axes + 1}q", tensors.read(16 * axes + 8))
            held, strides = tensors.found[f"{storage:d}"], tuple(shape[axes:])
            names.tensors[f"{key:d}"] = tensors._tensor(held, offset, tuple(shape[:axes]), strides)
    except DAMAGE:
        refuse("a damaged tar archive", "Fetch it again.")
    tensors.place(places)
    return names.run()


_REBUILD = Name("torch._utils", "_rebuild_tensor_v2")
_ORDERED = Name("collections", "OrderedDict")


class _StatePickler(Pickler):
    """Tensors as `torch.save` pickles them; text stays text, as PyTorch's unpickler wants it."""

    def __init__(self, file: BinaryIO, container: Container) -> None:
        super().__init__(file)
        self._count = 0
        self._view = () if container == "zip" else (None,)

    def persistent_id(self, value: Any) -> Any:
        """Return what stands for a storage in the pickle."""
        if isinstance(value, _Storage):
            kind = Name("torch", str(TYPES[value.type][1]))
            return "storage", kind, value.key, "cpu", value.count, *self._view
        return None

    def _tensor(self, array: NDArray[Any]) -> None:
        storage = _Storage(str(self._count), array.dtype.name, array.size)
        strides = tuple(step // array.itemsize for step in array.strides)
        self._count += 1
        arguments: tuple[Any, ...] = (storage, 0, array.shape, strides, False, OrderedDict())
        self.save_reduce(_REBUILD, arguments)

    def _ordered(self, value: OrderedDict[str, Any]) -> None:
        self.save_reduce(_ORDERED, (), None, None, iter(value.items()), obj=value)

    dispatch: ClassVar[dict[Any, Any]] = {
        **Pickler.dispatch,
        str: Pickler.save_str,
        np.ndarray: _tensor,
        OrderedDict: _ordered,
        _Storage: None,
    }


def save_torch(
    out: OutputSet, name: str, tensors: Mapping[str, NDArray[Any]], *, container: Container = "zip"
) -> None:
    """Write `{'state_dict': OrderedDict}` of arrays by name as `torch.save` would."""
    arrays = OrderedDict((key, plain_array(key, a, WRITTEN)) for key, a in tensors.items())
    with out.create(name) as file:
        if container == "zip":
            _write_zip(file, arrays)
        else:
            _write_legacy(file, arrays)


def _write_zip(file: BinaryIO, arrays: OrderedDict[str, NDArray[Any]]) -> None:
    names = io.BytesIO()
    _StatePickler(names, "zip").dump({"state_dict": arrays})
    records: dict[str, Any] = {
        "data.pkl": names.getvalue(),
        "byteorder": b"little",
        **{f"data/{i}": raw_bytes(array) for i, array in enumerate(arrays.values())},
        "version": b"3\n",
    }
    with zipfile.ZipFile(file, "w") as archive:
        for record, content in records.items():
            info = zipfile.ZipInfo(f"archive/{record}")  # of 1980: no time of writing
            begin = archive.fp.tell() + _LOCAL_HEADER + len(info.filename) + 4  # type: ignore[union-attr]
            padding = -begin % _ALIGNMENT
            info.extra = struct.pack("<2sH", b"FB", padding) + b"Z" * padding
            archive.writestr(info, content)


def _write_legacy(file: BinaryIO, arrays: OrderedDict[str, NDArray[Any]]) -> None:
    sizes = {"short": 2, "int": 4, "long": 4}
    system = {"protocol_version": _LEGACY_VERSION, "little_endian": True, "type_sizes": sizes}
    keys = [str(index) for index in range(len(arrays))]
    for value in (LEGACY_MAGIC, _LEGACY_VERSION, system, {"state_dict": arrays}, keys):
        _StatePickler(file, "legacy").dump(value)
    for array in arrays.values():
        file.write(struct.pack("<q", array.size))
        file.write(raw_bytes(array))
