"""PyTorch checkpoint files, read and written without PyTorch and without its unpickler.

Since 1.6 a file is a zip archive of `data.pkl` and one uncompressed record per storage (here
container `zip`); before, it was five pickles followed by the storages (`legacy`), which every
version reads. Both are read by the machine of `unpickle` with a closed table of the names that a
state dict needs. `torch.load(weights_only=True)` would refuse code as well, but not a 1 KB file
that asks for 100 GB, and importing PyTorch alone takes more than a whole conversion.
Format: `torch/serialization.py`.
"""

from __future__ import annotations

import io
import re
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
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
    check_shape,
    check_strides,
    extent,
    refuse,
    shown,
    stored,
)
from sslprep.checkpoints.globals import NUMPY, NotRead, Stub, Vocabulary
from sslprep.checkpoints.pickling import Global, Pickler, plain_array, raw_bytes
from sslprep.checkpoints.unpickle import read_pickle
from sslprep.errors import CheckpointError

Container = Literal["zip", "legacy"]
Tensors = Mapping[str, NDArray[Any]]

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
"""The integer that a file of the old container begins with, as a pickle of its own."""
LEGACY_START = re.compile(
    rb"\x80[\x02-\x05](?:\x95.{8})?\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19\.", re.DOTALL
)
_LEGACY_VERSION = 1001
_STORAGES = {storage: name for name, (_, storage, _) in TYPES.items() if storage is not None}
_NEWER = [name for name, (_, storage, _) in TYPES.items() if storage is None]
"""Types without storages of their own: `_rebuild_tensor_v3` names them."""
_MAX_RECORDS = 50_000
_MAX_DIRECTORY = 4 << 20
_LOCAL_HEADER = 30
_ENCRYPTED = 1
_ALIGNMENT = 64


class _Tail:
    """The file as `zipfile` reads its directory: in one piece, which must not be a large one."""

    def __init__(self, file: MappedFile) -> None:
        self._file = file
        self.seek, self.tell = file.bytes.seek, file.bytes.tell
        self.seek(0)

    def read(self, size: int = -1) -> bytes:
        if size < 0:
            size = self._file.size - self.tell()
        if size > _MAX_DIRECTORY:
            refuse(self.tell(), f"a zip directory of {size:,} bytes")
        return self._file.bytes.read(size)


def _is_data(name: str) -> bool:
    return name.split("/")[1:] == ["data.pkl"]


def zip_records(file: MappedFile) -> dict[str, tuple[int, int]]:
    """Return first byte and length of each record of a PyTorch archive by its name.

    Raises:
        CheckpointError: It is TorchScript, or no archive of PyTorch's.
        UnsafeFileError: A damaged directory; a record that is compressed or encrypted, so that it
            could unfold to more than its place in the file; one beyond the file.
    """
    try:
        infos = zipfile.ZipFile(_Tail(file)).infolist()  # type: ignore[call-overload]
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError, OverflowError) as error:
        refuse(file.size, f"a truncated or damaged zip archive ({error})", "Fetch it again.")
    if len(infos) > _MAX_RECORDS:
        refuse(file.size, f"a zip archive of {len(infos):,} records")
    if any(info.filename.endswith("/constants.pkl") for info in infos):
        raise CheckpointError(
            "is a TorchScript archive: a program, not a state dict",
            remedy="In PyTorch, torch.save(torch.jit.load(…).state_dict(), …) makes one of it.",
        )
    if sum(_is_data(info.filename) for info in infos) != 1:
        raise CheckpointError(
            "is a zip archive without one data.pkl, so not a PyTorch checkpoint",
            remedy="Unpack it, if the checkpoint is in it.",
        )
    records: dict[str, tuple[int, int]] = {}
    for info in infos:
        name, at = info.filename, info.header_offset
        packed = info.compress_type or info.compress_size != info.file_size
        if packed or info.flag_bits & _ENCRYPTED:
            refuse(max(at, 0), f"record {shown(name)!r} is compressed or encrypted")
        if name in records:
            refuse(max(at, 0), f"record {shown(name)!r} a second time")
        local = file.bytes[at : at + _LOCAL_HEADER] if at >= 0 else b""
        first = at + len(local) + int.from_bytes(local[26:28], "little")
        first += int.from_bytes(local[28:30], "little")
        if local[:4] != b"PK\x03\x04" or first + info.file_size > file.size:
            refuse(max(at, 0), f"record {shown(name)!r} beyond the end of the file")
        records[name] = (first, info.file_size)
    return records


@dataclass(frozen=True, eq=False)
class _StorageType(Stub):
    type: str = ""


@dataclass(frozen=True)
class _Storage:
    """A storage that tensors lie in: its key in the file, type and number of elements."""

    key: str
    type: str
    count: int

    @property
    def dtype(self) -> np.dtype[Any]:
        return DTYPES[TYPES[self.type][0]].newbyteorder("<")


class _Storages:
    """Builds tensors over the storages of one file, and tells them where these are in the end."""

    def __init__(self, file: MappedFile) -> None:
        self._file = file
        self.found: dict[str, _Storage] = {}
        self._views: list[tuple[Span, _Storage, int]] = []
        self.vocabulary: Vocabulary = {
            **NUMPY,
            ("torch._utils", "_rebuild_tensor_v2"): Stub(self._tensor),
            ("torch._utils", "_rebuild_tensor"): Stub(self._tensor),
            ("torch._utils", "_rebuild_tensor_v3"): Stub(self._newer_tensor),
            ("torch._utils", "_rebuild_parameter"): Stub(_parameter),
            ("torch._utils", "_rebuild_parameter_with_state"): Stub(_parameter),
            **{("torch", name): _StorageType(type=kind) for name, kind in _STORAGES.items()},
            ("torch.storage", "UntypedStorage"): _StorageType(type="uint8"),
            **{("torch", name): NotRead(f"torch.{name}") for name in _NEWER},
        }

    def read(self, start: int = 0, stop: int | None = None) -> tuple[Any, int]:
        """Read a pickle of tensors; `place` must follow."""
        return read_pickle(
            self._file, start, stop=stop, vocabulary=self.vocabulary, persistent=self._storage
        )

    def place(self, places: Mapping[str, tuple[int, int]]) -> None:
        """Say where the storages are: first byte and length of each by its key."""
        for span, storage, position in self._views:
            if storage.key not in places:
                refuse(position, f"storage {shown(storage.key)!r}, which is not in the file")
            start, length = places[storage.key]
            if length != storage.count * storage.dtype.itemsize:
                of = f"{shown(storage.key)!r} of {storage.count:,} {storage.dtype}"
                refuse(position, f"storage {of} with {length:,} bytes")
            span.start, span.stop = span.start + start, span.stop + start

    def _storage(self, value: Any, position: int) -> _Storage:
        """Return what a persistent id ('storage', type, key, device, elements[, view]) names."""
        match value:
            # Nothing but None has stood behind the count since 0.4 (there, a view of a storage).
            case ("storage", _StorageType(type=kind), str(key), _, int(count), *view) if (
                count >= 0 and view in ([], [None])
            ):
                storage = _Storage(key, kind, count)
            case _:
                refuse(position, "a persistent id that is not a storage")
        if self.found.setdefault(storage.key, storage) != storage:
            refuse(position, f"storage {shown(storage.key)!r} with two types")
        return storage

    def _tensor(self, args: tuple[Any, ...], position: int) -> StoredArray:
        if not 4 <= len(args) <= 7 or not isinstance(args[0], _Storage):
            refuse(position, "a tensor that is not (storage, offset, shape, strides, …)")
        storage, offset = args[:2]
        shape = check_shape(args[2], position)
        strides = check_strides(args[3], shape, position)
        if type(offset) is not int or offset < 0:
            refuse(position, "a tensor with an impossible offset")
        reach = extent(shape, strides)
        if offset + reach > storage.count:
            refuse(position, f"a tensor of shape {shape} that reaches beyond its storage")
        size = storage.dtype.itemsize
        span = Span(self._file, offset * size, (offset + reach) * size, "raw")
        self._views.append((span, self.found[storage.key], position))
        return stored(position, shape, storage.type, span, strides)

    def _newer_tensor(self, args: tuple[Any, ...], position: int) -> StoredArray:
        """Build (untyped storage, offset, shape, strides, requires grad, hooks, type)."""
        kind = args[6].kind if len(args) > 6 and isinstance(args[6], NotRead) else ""
        name = kind.removeprefix("torch.")
        if name not in _NEWER or not isinstance(args[0], _Storage) or args[0].type != "uint8":
            refuse(position, "a tensor that is not (untyped storage, offset, shape, …, type)")
        size = DTYPES[TYPES[name][0]].itemsize
        storage = _Storage(args[0].key, name, args[0].count // size)
        return self._tensor((storage, *args[1:4]), position)


def _parameter(args: tuple[Any, ...], position: int) -> StoredArray:
    if not 1 <= len(args) <= 4 or not isinstance(args[0], StoredArray):
        refuse(position, "a parameter that is not a tensor")
    return args[0]


def read_zip(file: MappedFile) -> Any:
    """Read a checkpoint in PyTorch's zip container; tensors are `StoredArray`."""
    records = zip_records(file)
    folder = next(name for name in records if _is_data(name)).split("/")[0]
    start, length = records.get(f"{folder}/byteorder", (0, 0))
    if length and file.bytes[start : start + min(length, 16)] != b"little":
        refuse(start, "a checkpoint in big-endian byte order")
    storages = _Storages(file)
    start, length = records[f"{folder}/data.pkl"]
    value, end = storages.read(start, start + length)
    if end != start + length:
        refuse(end, "more bytes after the end of the pickle")
    prefix = f"{folder}/data/"
    storages.place({name.removeprefix(prefix): place for name, place in records.items()})
    return value


def read_legacy(file: MappedFile) -> Any:
    """Read a checkpoint in PyTorch's container of before 1.6, as `read_zip` does."""
    magic, position = read_pickle(file)
    version, position = read_pickle(file, position)
    system, position = read_pickle(file, position)
    if magic != LEGACY_MAGIC or version != _LEGACY_VERSION or not isinstance(system, dict):
        refuse(position, "not PyTorch's old container")
    if system.get("little_endian") is not True:
        refuse(position, "a checkpoint in big-endian byte order")
    storages = _Storages(file)
    value, position = storages.read(position)
    keys, position = read_pickle(file, position)
    storages.place(_legacy_places(file, keys, storages.found, position))
    return value


def _legacy_places(
    file: MappedFile, keys: Any, storages: Mapping[str, _Storage], position: int
) -> dict[str, tuple[int, int]]:
    """Return where each storage is: 8 bytes of count before each, in the order of the keys."""
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        refuse(position, "a list of storages that is not one")
    places: dict[str, tuple[int, int]] = {}
    for key in keys:
        if key not in storages or key in places:
            refuse(position, f"storage {shown(key)!r}, which no tensor names, or twice")
        left = file.size - position - 8
        if left < 0:
            refuse(position, "the file ends before its storages; it is truncated")
        length = struct.unpack_from("<q", file.bytes, position)[0]
        length *= storages[key].dtype.itemsize
        if not 0 <= length <= left:
            problem = f"storage {shown(key)!r} of {length:,} bytes where {left:,} are left"
            refuse(position, f"{problem} (truncated?)")
        places[key] = (position + 8, length)
        position += 8 + length
    if position != file.size:
        refuse(position, f"{file.size - position:,} bytes after the last storage")
    return places


class _Stored:
    """A storage to be written: pickled as its persistent id."""

    def __init__(self, key: int, array: NDArray[Any], view: tuple[None, ...]) -> None:
        kind = Global("torch", str(TYPES[array.dtype.name][1]))
        self.id = ("storage", kind, str(key), "cpu", array.size, *view)


_REBUILD = Global("torch._utils", "_rebuild_tensor_v2")
_ORDERED = Global("collections", "OrderedDict")


class _StatePickler(Pickler):
    """Tensors as `torch.save` pickles them; text stays text, as PyTorch's unpickler wants it."""

    def __init__(self, file: BinaryIO, container: Container) -> None:
        super().__init__(file)
        self._count = 0
        self._view = () if container == "zip" else (None,)

    def persistent_id(self, value: Any) -> Any:
        """Return what stands for a storage in the pickle."""
        return value.id if isinstance(value, _Stored) else None

    def _tensor(self, array: NDArray[Any]) -> None:
        storage = _Stored(self._count, array, self._view)
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
        _Stored: None,
    }


def save_torch(
    out: OutputSet, name: str, tensors: Tensors, *, container: Container = "zip"
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
    storages = {f"data/{i}": raw_bytes(array) for i, array in enumerate(arrays.values())}
    records: dict[str, Any] = {
        "data.pkl": names.getvalue(),
        "byteorder": b"little",
        **storages,
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
    system = {
        "protocol_version": _LEGACY_VERSION,
        "little_endian": True,
        "type_sizes": {"short": 2, "int": 4, "long": 4},
    }
    keys = [str(index) for index in range(len(arrays))]
    for value in (LEGACY_MAGIC, _LEGACY_VERSION, system, {"state_dict": arrays}, keys):
        _StatePickler(file, "legacy").dump(value)
    for array in arrays.values():
        file.write(struct.pack("<q", array.size))
        file.write(raw_bytes(array))
