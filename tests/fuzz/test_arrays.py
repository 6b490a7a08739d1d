"""`.npy` headers, and the readers of targets, images, permutations and histograms."""

import struct

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from tests.fuzz.guard import examples, place, scrambled

from sslprep import (
    color_bins,
    draw_multilabel_samples,
    draw_singlelabel_samples,
    inspect,
    permutation_stats,
    verify_samples,
)
from sslprep.npy import read_array

DTYPES = (
    *("<i4", ">i8", "|u1", "<f2", "<f8", "<c16", "|b1", "<U3", "<U0", "|S0", "|S5", "|V0", "|V4"),
    *("<M8[D]", "<m8[ns]", "|O", "<i3", "", "i4,f8", "<U999999999", "|S9999999999", "f16", "(9)i4"),
)
SHAPES = (
    *("()", "(3,)", "(2, 2)", "(0,)", "(0, 10**30)", "(1000000000000000000,)", "(-1,)", "(1.5,)"),
    *("(True,)", "((3,),)", "[3]", "3", "None", "(1,)*3", f"({'1, ' * 70})", "('3',)", "(2**64,)"),
    *(f"({'0, ' * 40}5)", "(18446744073709551616,)", "(99999999999999999999999999999999,)"),
)
HEADERS = st.one_of(
    st.builds(
        "{{'descr': {!r}, 'fortran_order': {}, 'shape': {}, }}".format,
        st.sampled_from(DTYPES),
        st.sampled_from(["False", "True", "0", "None", "'x'"]),
        st.sampled_from(SHAPES),
    ),
    st.builds(
        "{{'descr': {}, 'fortran_order': False, 'shape': (3,), }}".format,
        st.sampled_from(
            [
                *("[('a', '<i4'), ('a', '<i4')]", "[('a', '<i4', (10**9, 10**9))]", "[]", "()"),
                *(
                    "[('', '|O')]",
                    "[[('a', '<i4')]]",
                    "['a']",
                    "{}",
                    "1",
                    "'<i4' '<i4'",
                    "[('a',)]",
                ),
                *("[('a', [('b', '<U0')])]", "(('<i4',), (3,))", "[('a\\0', 'i4')]", "b'<i4'"),
            ]
        ),
    ),
    st.text(max_size=80),
    st.sampled_from(
        ["(" * 300, "[" * 5000, "{'descr': '<i4'", "1L", "'" * 3, "\\", "{" + "0:0," * 9]
    ),
)


@st.composite
def npy_files(draw: st.DrawFn) -> bytes:
    header = draw(HEADERS).encode("utf-8", "surrogatepass") + b"\n"
    version = draw(st.sampled_from([(1, 0), (2, 0), (3, 0), (0, 0), (9, 9)]))
    declared = len(header) + draw(st.sampled_from([0, 0, 0, 0, 1, -1, 2**16 - 1]))
    length = (
        struct.pack("<H", declared % 2**16)
        if version == (1, 0)
        else struct.pack("<I", declared % 2**32)
    )
    body = draw(st.sampled_from([b"", bytes(12), bytes(24), bytes(16), b"\xff" * 48]))
    return b"\x93NUMPY" + bytes(version) + length + header + body


def saved(array: np.ndarray) -> bytes:
    with place() as at:
        np.save(at.inputs / "a.npy", array)
        return (at.inputs / "a.npy").read_bytes()


@examples(250)
@given(npy_files(), st.booleans())
def test_headers(data: bytes, mmap: bool) -> None:
    with place() as at:
        path = at.inputs / "a.npy"
        path.write_bytes(data)
        at.attempt(read_array, path=path, mmap=mmap)
        at.attempt(inspect, file=path)


VALUES = st.one_of(
    st.sampled_from([0, 1, -1, 2, 127, 2**31 - 1, 2**62, -(2**62)]), st.integers(-3, 12)
)


@st.composite
def arrays(draw: st.DrawFn) -> np.ndarray:
    kind = draw(st.sampled_from(["<i4", "<i8", "|u1", "<u8", "<f4", "<f8", "|b1", "<U4", "|S3"]))
    shape = draw(st.sampled_from([(), (0,), (1,), (6,), (40,), (6, 2), (40, 3), (0, 3), (3, 0)]))
    numbers = np.random.default_rng(draw(st.integers(0, 9)))
    flat = [draw(VALUES) if draw(st.booleans()) else int(numbers.integers(0, 2)) for _ in range(8)]
    values = np.resize(np.array(flat), shape)
    if kind in ("<f4", "<f8"):
        odd = draw(st.sampled_from([0.0, 0.5, float("nan"), float("inf"), -1.0]))
        return np.asarray(values + odd, kind)
    if kind in ("<U4", "|S3"):
        return np.asarray(values.astype(str), kind)
    return np.asarray(values % 128 if kind in ("|u1", "|b1") else values, dtype=np.int64).astype(
        kind
    )


@examples(150)
@given(arrays(), st.sampled_from([(1,), (1, 2), (0,), (3, 3), (2**40,), ()]), st.booleans())
def test_multilabel_targets(array: np.ndarray, k: tuple[int, ...], skip: bool) -> None:
    with place() as at:
        np.save(at.inputs / "t.npy", array)
        at.attempt(
            draw_multilabel_samples,
            targets_data_file=at.inputs / "t.npy",
            output_path=at.out,
            k_values=k,
            num_samples=2,
            skip_impossible=skip,
        )


@examples(150)
@given(arrays(), arrays(), st.sampled_from([(1,), (2, 1), (2**40,)]), st.booleans())
def test_singlelabel_targets(
    images: np.ndarray, labels: np.ndarray, k: tuple[int, ...], fit: bool
) -> None:
    with place() as at:
        if fit:
            images = np.array([f"{i}.jpg" for i in range(labels.size)])
        np.save(at.inputs / "i.npy", images)
        np.save(at.inputs / "l.npy", labels)
        at.attempt(
            draw_singlelabel_samples,
            images_data_file=at.inputs / "i.npy",
            targets_data_file=at.inputs / "l.npy",
            output_path=at.out,
            k_values=k,
            num_samples=2,
        )


@examples(150)
@given(arrays())
def test_permutation_files(array: np.ndarray) -> None:
    with place() as at:
        np.save(at.inputs / "p.npy", array)
        at.attempt(permutation_stats, file=at.inputs / "p.npy")
        at.attempt(inspect, file=at.inputs / "p.npy")


@examples(60)
@given(scrambled(saved(np.array([[0, 1, 2], [2, 1, 0], [1, 2, 0]]))))
def test_scrambled_permutation_files(data: bytes) -> None:
    with place() as at:
        (at.inputs / "p.npy").write_bytes(data)
        at.attempt(permutation_stats, file=at.inputs / "p.npy")


@examples(40)
@given(arrays(), st.booleans())
def test_histograms_and_points(array: np.ndarray, points: bool) -> None:
    with place() as at:
        table = np.zeros((256, 256), np.int64)
        table[128, 128] = 5
        name = "ab_histogram_train_imagenet.npy"
        np.save(at.inputs / name, table if points else array)
        np.save(at.inputs / "points.npy", array)
        at.attempt(
            color_bins,
            histogram=(at.inputs / name,),
            output_path=at.out,
            points=at.inputs / "points.npy" if points else None,
        )


@examples(80)
@given(arrays(), st.sampled_from(["t_sample1_k1.npy", "train_labels_sample1_k1.npy"]))
def test_samples_of_others(array: np.ndarray, name: str) -> None:
    with place() as at:
        np.save(at.inputs / name, array)
        np.save(at.folder / "full.npy", np.eye(6, 2, dtype=np.int32))
        at.attempt(verify_samples, folder=at.inputs)
        at.attempt(verify_samples, folder=at.inputs, targets_data_file=at.folder / "full.npy")
