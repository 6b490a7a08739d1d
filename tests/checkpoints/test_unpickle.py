"""The machine that reads pickles: equal to Python's own on honest files, and lazy."""

import pickle
import pickletools
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from sslprep.checkpoints import arrays as arrays_module
from sslprep.checkpoints.arrays import MappedFile, Span, StoredArray
from sslprep.checkpoints.globals import NUMPY, NotRead, PickledArray
from sslprep.checkpoints.unpickle import MAX_OPCODES, Machine, read_pickle
from sslprep.errors import UnsafeFileError


def read(path: Path, data: bytes) -> Any:
    path.write_bytes(data)
    value, end = read_pickle(MappedFile(path))
    assert end == len(data)
    return plain(value)


def plain(value: Any) -> Any:
    """Load every array and long string of a value."""
    if isinstance(value, PickledArray):
        return plain(value.value)
    if isinstance(value, StoredArray):
        return value.load()
    if isinstance(value, Span):
        return value.text()
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(plain(item) for item in value)
    return value


def assert_equal(one: Any, other: Any) -> None:
    if isinstance(other, np.ndarray):
        assert one.dtype == other.dtype.newbyteorder("=")
        assert one.shape == other.shape
        np.testing.assert_array_equal(one, other)
        assert not one.flags.writeable
    elif isinstance(other, dict):
        assert list(one) == list(other)
        for key in other:
            assert_equal(one[key], other[key])
    elif isinstance(other, list | tuple):
        assert len(one) == len(other)
        for a, b in zip(one, other, strict=True):
            assert_equal(a, b)
    else:
        assert one == other
        assert type(one) is type(other)


ARRAYS = {
    "scalar array": np.array(2.5, np.float32),
    "one": np.array([0.1], np.float32),
    "empty": np.zeros((0, 3), np.float32),
    "ascii bytes": np.full(300, 0x41, np.uint8),
    "high bytes": np.full(300, 0xFF, np.uint8),
    "backslashes": np.full(1001, 0x5C, np.uint8),
    "newlines": np.full(300, 0x0A, np.uint8),
    "quotes": np.frombuffer(b"'\"" * 100, np.uint8),
    "every byte": np.arange(256, dtype=np.uint8),
    "fortran": np.asfortranarray(np.arange(200.0).reshape(20, 10)),
    "transposed": np.arange(2000, dtype=np.int32).reshape(4, 5, 100).transpose(2, 0, 1),
    "flipped": np.arange(100, dtype=np.int64)[::-1],
    "big endian": np.arange(100, dtype=">f4"),
    "half": np.linspace(0, 1, 77, dtype=np.float16),
    "bool": np.arange(200) % 3 == 0,
    "NaN": np.array([np.nan, np.inf, -0.0] * 30, np.float32),
}


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("name", ARRAYS)
def test_reads_arrays_of_every_protocol(name: str, protocol: int, tmp_path: Path) -> None:
    data = pickle.dumps({"a": ARRAYS[name]}, protocol=protocol)
    assert_equal(read(tmp_path / "a.pkl", data), {"a": ARRAYS[name]})


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_reads_plain_values_of_every_protocol(protocol: int, tmp_path: Path) -> None:
    value = {
        "none": None,
        "flags": [True, False],
        "numbers": (0, -1, 255, 256, 65536, -(2**31), 2**31, 2**100, -(2**100), 1.5, -0.0, 1e300),
        "texts": ["", "a", "é", "a\\b'\"\n", "x" * 5000, "é" * 5000],
        "ordered": OrderedDict(a=1, b=2),
        "nested": {"a": {"b": [(), [], {}]}},
    }
    data = pickle.dumps(value, protocol=protocol)
    assert_equal(read(tmp_path / "a.pkl", data), value)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_reads_numpy_numbers_as_python_ones(protocol: int, tmp_path: Path) -> None:
    data = pickle.dumps({"lr": np.float32(0.5), "n": np.int64(7)}, protocol=protocol)
    assert read(tmp_path / "a.pkl", data) == {"lr": 0.5, "n": 7}


# As cPickle of Python 2.7 with NumPy 1.16 wrote it: raw strings, memo from 1, numpy.core.
PYTHON_2 = (
    b"\x80\x02}q\x01U\x05blobsq\x02}q\x03(U\x07conv1_wq\x04cnumpy.core.multiarray\n_reconstruct\n"
    b"q\x05cnumpy\nndarray\nq\x06K\x00\x85U\x01b\x87Rq\x07(K\x01K\x02\x85cnumpy\ndtype\nq\x08"
    b"U\x02f4K\x00K\x01\x87Rq\t(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89"
    b"U\x08\x00\x00\x80?\x00\x00\x00@tbU\nmodel_iterq\nM\xe8\x03us."
)
# The same from protocol 0, where OrderedDict takes a list of pairs.
PYTHON_2_TEXT = (
    b"ccollections\nOrderedDict\np1\n((lp2\n(lp3\nS'conv1_w'\np4\nacnumpy.core.multiarray\n"
    b"_reconstruct\np5\n(cnumpy\nndarray\np6\n(I0\ntS'b'\ntRp7\n(I1\n(I2\ntcnumpy\ndtype\np8\n"
    b"(S'f4'\nI0\nI1\ntRp9\n(I3\nS'<'\nNNNI-1\nI-1\nI0\ntbI00\nS'\\x00\\x00\\x80?\\x00\\x00\\x00@'\n"
    b"tbaa(lp10\nS'lr'\np11\naF0.1\naatRp12\n."
)


def test_reads_what_python_2_wrote(tmp_path: Path) -> None:
    expected = {"blobs": {"conv1_w": np.array([1, 2], np.float32), "model_iter": 1000}}
    assert_equal(read(tmp_path / "a.pkl", PYTHON_2), expected)


def test_reads_protocol_0_of_python_2(tmp_path: Path) -> None:
    expected = {"conv1_w": np.array([1, 2], np.float32), "lr": 0.1}
    assert_equal(read(tmp_path / "a.pkl", PYTHON_2_TEXT), expected)


def test_reads_both_spellings_of_numpy(tmp_path: Path) -> None:
    old = PYTHON_2.replace(b"numpy.core.", b"numpy._core.")
    assert_equal(read(tmp_path / "a.pkl", old), read(tmp_path / "b.pkl", PYTHON_2))


def test_raw_arrays_are_views_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.pkl"
    path.write_bytes(pickle.dumps({"a": np.arange(1000.0)}, protocol=4))
    file = MappedFile(path)
    value, _ = read_pickle(file)
    array = plain(value)["a"]
    whole = np.frombuffer(file.bytes, np.uint8)
    assert np.shares_memory(array, whole)


def test_text_shared_by_arrays_is_decoded_once(tmp_path: Path) -> None:
    same = np.arange(1000.0)
    path = tmp_path / "a.pkl"
    path.write_bytes(pickle.dumps([same, same], protocol=2))
    value, _ = read_pickle(MappedFile(path))
    assert np.shares_memory(plain(value[0]), plain(value[1]))


@pytest.mark.parametrize("protocol", [0, 2])
@pytest.mark.parametrize("chunk", [7, 16, 64, 1000])
def test_pieces_of_a_string_join_wherever_they_are_cut(
    protocol: int, chunk: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrays_module, "_CHUNK", max(chunk, 16))
    rng = np.random.default_rng(chunk)
    pool = np.frombuffer(b"\\\\\\\\u'\"x0\n\xe9\xffAb", np.uint8)
    array = rng.choice(pool, 3000)
    data = pickle.dumps({"a": array}, protocol=protocol)
    assert_equal(read(tmp_path / "a.pkl", data), {"a": array})


@pytest.mark.parametrize("chunk", [16, 17, 18, 19, 20, 64])
def test_pieces_of_an_escaped_string_join(
    chunk: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrays_module, "_CHUNK", chunk)
    rng = np.random.default_rng(chunk)
    raw = rng.choice(np.frombuffer(b"\\\\\\\\'\"\n\x00\xffAx", np.uint8), 1000).tobytes()
    text = repr(raw)[1:].encode()  # as Python 2 wrote a str
    data = PYTHON_2_TEXT.replace(b"'\\x00\\x00\\x80?\\x00\\x00\\x00@'", text)
    data = data.replace(b"(I2\nt", b"(I250\nt")
    expected = np.frombuffer(raw, np.float32)
    found = read(tmp_path / "a.pkl", data)["conv1_w"]
    assert found.tobytes() == expected.tobytes()


def test_list_of_opcodes_is_closed() -> None:
    known = set(Machine.dispatch)
    refused = {op.name for op in pickletools.opcodes if ord(op.code) not in known}
    assert known <= {ord(opcode.code) for opcode in pickletools.opcodes}
    assert refused == {
        "INST", "OBJ", "EXT1", "EXT2", "EXT4", "PERSID", "POP", "POP_MARK", "DUP",
        "NEXT_BUFFER", "READONLY_BUFFER", "LONG4",
    }  # fmt: skip


def test_no_step_is_picklers_own_where_it_would_build_what_a_file_names() -> None:
    own = {op.name for op in pickletools.opcodes
           if Machine.dispatch.get(ord(op.code)) is pickle._Unpickler.dispatch.get(ord(op.code))
           and ord(op.code) in Machine.dispatch}  # fmt: skip
    assert own == {
        "PROTO", "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "FLOAT", "BINFLOAT",
        "NONE", "NEWTRUE", "NEWFALSE", "EMPTY_LIST", "LIST", "EMPTY_TUPLE", "TUPLE", "TUPLE1",
        "TUPLE2", "TUPLE3", "MARK", "STOP", "PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE",
        "GET", "BINGET", "LONG_BINGET", "GLOBAL", "STACK_GLOBAL", "BINPERSID",
        "APPEND", "APPENDS", "SETITEM", "SETITEMS", "ADDITEMS",
    }  # fmt: skip


def test_list_of_globals_is_closed() -> None:
    assert sorted(name for name in NUMPY if not name.startswith(("builtins.", "__builtin__."))) == [
        "_codecs.encode",
        "collections.OrderedDict",
        "copy_reg._reconstructor",
        "copyreg._reconstructor",
        "numpy._core.multiarray._reconstruct",
        "numpy._core.multiarray.scalar",
        "numpy._core.numeric._frombuffer",
        "numpy.core.multiarray._reconstruct",
        "numpy.core.multiarray.scalar",
        "numpy.core.numeric._frombuffer",
        "numpy.dtype",
        "numpy.ndarray",
    ]


def test_largest_honest_model_is_far_from_the_limit(tmp_path: Path) -> None:
    """A nine-tower ResNet-152 has about 8,700 blobs."""
    blobs = {f"res4_{i}_branch2a_bn_s0_riv_momentum": np.zeros(1, np.float32) for i in range(8700)}
    data = pickle.dumps({"blobs": blobs}, protocol=2)
    assert sum(1 for _ in pickletools.genops(data)) < MAX_OPCODES * 0.7
    assert len(read(tmp_path / "a.pkl", data)["blobs"]) == 8700


def test_boxed_dict_is_unwrapped_only_as_numpy_saves_it(tmp_path: Path) -> None:
    path = tmp_path / "a.pkl"
    path.write_bytes(pickle.dumps(np.array({"a": 1}, object), protocol=2))
    value, _ = read_pickle(MappedFile(path))
    assert plain(value) == {"a": 1}


class Call:
    """What is pickled as a call of a function with some arguments."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (Call(OrderedDict, 5), "calls OrderedDict with other arguments than pickles do"),
        (Call(OrderedDict, [1]), "an OrderedDict that is not made of pairs"),
        (Call(OrderedDict, [], []), "calls OrderedDict with other arguments"),
        (Call(np._core.numeric._frombuffer, b"", np.dtype("f4"), (0,)), "calls _frombuffer with"),
    ],
    ids=["a number", "no pairs", "two lists", "an array without order"],
)
def test_calls_that_no_writer_makes_are_refused(tmp_path: Path, call: Call, text: str) -> None:
    with pytest.raises(UnsafeFileError, match=text):
        read(tmp_path / "a.pkl", pickle.dumps(call, protocol=2))


def test_keys_become_texts_each_once(tmp_path: Path) -> None:
    value = {"1": 0, 1: 1, 2**64 - 1: 2, (1, "a"): 3, tuple("abcdefgh"): 4, None: 5, 2.5: 6}
    assert read(tmp_path / "a.pkl", pickle.dumps(value)) == {
        "1": 0, "[1]": 1, "18446744073709551615": 2, "(1, a)": 3, "(a, b, c, d, e, f, g, h)": 4,
        "None": 5, "2.5": 6,
    }  # fmt: skip


@pytest.mark.parametrize("key", [2**64, tuple("abcdefghi"), ((1,), 2)], ids=repr)
def test_other_keys_are_refused(tmp_path: Path, key: Any) -> None:
    with pytest.raises(UnsafeFileError, match="a dictionary key that is a"):
        read(tmp_path / "a.pkl", pickle.dumps({key: 1}))


@pytest.mark.parametrize(("module", "advised"), [("trainer.model", True), ("os", False)])
def test_what_may_be_a_module_is_told_so(tmp_path: Path, module: str, advised: bool) -> None:
    with pytest.raises(UnsafeFileError) as caught:
        read(tmp_path / "a.pkl", f"c{module}\nNet\n.".encode())
    assert ("It may be a pickled module" in str(caught.value)) == advised


@pytest.mark.parametrize("name", ["torch.float16", "torch.strided", "typing.Any", "builtins.set"])
def test_names_beside_weights_are_not_read(tmp_path: Path, name: str) -> None:
    module, _, kind = name.rpartition(".")
    found = read(tmp_path / "a.pkl", f"c{module}\n{kind}\n.".encode())
    assert (type(found), found.kind) == (NotRead, name)


def test_error_names_the_place(tmp_path: Path) -> None:
    with pytest.raises(UnsafeFileError, match=r"byte 2: refers to os\.system"):
        read(tmp_path / "a.pkl", b"\x80\x02cos\nsystem\n.")


PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**120), 2**120)
    | st.floats(allow_nan=False)
    | st.text(st.characters(max_codepoint=255), max_size=200),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(st.text(st.characters(max_codepoint=127), max_size=20), inner, max_size=4)
    ),
    max_leaves=12,
)
DTYPES = st.sampled_from([np.dtype(code) for code in ("<f4", ">f4", "<f8", "<i8", "u1", "?", "f2")])


class TestEqualToPickle:
    """What Python's pickle writes, this machine reads as Python's pickle would."""

    @given(value=PLAIN, protocol=st.integers(0, pickle.HIGHEST_PROTOCOL))
    @settings(max_examples=150)
    def test_values(
        self, value: Any, protocol: int, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        path = tmp_path_factory.getbasetemp() / "value.pkl"
        assert_equal(read(path, pickle.dumps(value, protocol=protocol)), value)

    @given(
        array=DTYPES.flatmap(
            lambda dtype: npst.arrays(dtype, npst.array_shapes(min_dims=0, min_side=0, max_side=9))
        ),
        protocol=st.integers(0, pickle.HIGHEST_PROTOCOL),
    )
    @settings(max_examples=150)
    def test_arrays(
        self, array: Any, protocol: int, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        path = tmp_path_factory.getbasetemp() / "array.pkl"
        found = read(path, pickle.dumps([array], protocol=protocol))[0]
        assert found.tobytes() == array.astype(array.dtype.newbyteorder("=")).tobytes()
        assert found.shape == array.shape
