"""Whatever lies under the folder: `report` writes a page, or says in one line why it cannot."""

import io
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from PIL import Image

from sslprep.errors import ManifestError
from sslprep.report import partitions, pictures
from sslprep.report.collect import collect, regular_file
from sslprep.report.page import write_report
from sslprep.report.partitions import tally

KINDS = (
    *("partition", "lowshot", "permutations", "color-histogram", "color-bins", "checkpoint"),
    *("report2", "", "<b>"),
)


def put(folder: Path, name: str, **fields: Any) -> None:
    record = {
        "schema": 1,
        "sslprep": "0.1",
        "kind": "partition",
        "command": "data voc",
        "parameters": {},
        "inputs": [],
        "outputs": [],
    }
    path = folder / f"{name}.manifest.json"
    path.write_bytes(msgspec.json.encode(record | fields))


def listed(*names: str) -> list[dict[str, Any]]:
    return [{"file": name, "bytes": 1, "sha256": "0"} for name in names]


def page_of(folder: Path) -> str:
    result = write_report(folder=folder, overwrite=True)
    assert result.bytes < 2_000_000
    return result.written[0].read_text("utf-8")


def save_partition(folder: Path, images: list[str], **fields: Any) -> None:
    np.save(folder / "t_images.npy", np.array(images))
    np.save(folder / "t_labels.npy", np.zeros(len(images), np.int64))
    outputs = listed("t_images.npy", "t_labels.npy")
    put(folder, "t", outputs=outputs, details={"classes": ["cat"]}, **fields)


VALUES = (
    *(None, True, -1, 1.5, 1e308, 2**62, "text", "", [], {}, [[]], [None], ["a", 1], {"a": {}}),
    *([1e308] * 3, {"k": [1]}, [{"k": None}], [{"index": "../x"}, 5, None]),
)
DETAILS = (
    *("classes", "images_per_class", "ignored_per_class", "dataset", "source_split", "partition"),
    *("multi_label", "sets", "k_values", "fraction", "largest_k", "method", "grid", "points_are"),
    *("account", "proof", "towers", "settings", "model", "channels", "absorbed_std"),
)


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_details_of_any_type_are_survived(tmp_path: Path, value: Any) -> None:
    """A list where a number should stand, a text where a list should."""
    fill: Callable[[], dict[str, Any]] = lambda: dict.fromkeys(DETAILS, value)  # noqa: E731
    for i, kind in enumerate(KINDS):
        put(tmp_path, f"m{i}", kind=kind, details=fill(), parameters=fill(), command="x y")
    page_of(tmp_path)


@pytest.mark.parametrize(
    "damage",
    [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"schema": 99}', b'{"schema": "1"}', b"[" * 90000],
    ids=["empty", "cut", "list", "null", "not-utf8", "newer", "text-schema", "nested"],
)
def test_a_broken_manifest_is_a_note_and_the_others_are_shown(
    tmp_path: Path, damage: bytes
) -> None:
    put(tmp_path, "good", counts={"images": 3}, details={"images_per_class": [1, 2]})
    (tmp_path / "bad.manifest.json").write_bytes(damage)
    text = page_of(tmp_path)
    assert "What could not be shown" in text
    assert "bad.manifest.json" in text
    assert ">good</h3>" in text


def test_a_manifest_of_a_newer_version_says_to_upgrade(tmp_path: Path) -> None:
    (tmp_path / "new.manifest.json").write_text('{"schema": 7}')
    assert "Upgrade sslprep" in page_of(tmp_path)


@pytest.mark.parametrize(
    "name", ["../outside.npy", "/etc/passwd", "..", ".", "", "a\0b", "a/b.npy"]
)
def test_an_output_that_is_no_plain_name_is_not_read(tmp_path: Path, name: str) -> None:
    """A manifest that points out of its folder."""
    np.save(tmp_path / "outside.npy", np.array([[3, 1, 2]]) - 1)
    inner = tmp_path / "inner"
    inner.mkdir()
    put(inner, "x", kind="permutations", outputs=listed(name, "after.npy"))
    text = page_of(inner)
    assert "is not the name of a file beside its manifest" in text
    assert "Distances of all pairs" not in text


def test_only_regular_files_within_their_limit_are_read(tmp_path: Path) -> None:
    """Neither a pipe (which would wait) nor a folder nor a device, and no byte more than said."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "pipe", tmp_path / "folder", Path("/dev/null")):
        with pytest.raises(ManifestError, match=r"is no ordinary file|is not a regular file"):
            regular_file(path)
    (tmp_path / "file").write_bytes(b"1234")
    assert regular_file(tmp_path / "file", limit=4) == tmp_path / "file"
    with pytest.raises(ManifestError, match="has 4 bytes, too many to show; expected 3"):
        regular_file(tmp_path / "file", limit=3)


def test_manifests_that_are_still_being_written_are_not_read(tmp_path: Path) -> None:
    put(tmp_path, "finished")
    put(tmp_path, ".unfinished")
    found = collect(tmp_path)
    assert [artefact.name for artefact in found.artefacts] == ["finished"]
    assert found.notes == []


def test_a_pipe_in_place_of_a_file_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "t_labels.npy")
    os.mkfifo(tmp_path / "pipe.manifest.json")
    os.mkfifo(tmp_path / "photo.jpg")
    np.save(tmp_path / "t_images.npy", np.array([str(tmp_path / "photo.jpg")]))
    put(tmp_path, "t", outputs=listed("t_images.npy", "t_labels.npy"))
    text = page_of(tmp_path)
    assert text.count("is no ordinary file") >= 2


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x93NUMPY",
        b"\x93NUMPY\x01\x00\x10\x00{'descr': 'O'}   ",
        b"\x93NUMPY\x01\x00v\x00" + b"{'descr': '<i8', 'fortran_order': False, 'shape': (9" * 2,
        b"not an array",
    ],
    ids=["empty", "magic-only", "objects", "damaged-header", "text"],
)
@pytest.mark.parametrize("kind", KINDS[:5])
def test_a_damaged_array_is_a_note(tmp_path: Path, content: bytes, kind: str) -> None:
    names = ("t_labels.npy", "t_images.npy", "pts_in_hull_x.npy", "ab_histogram_x.npy")
    for name in names:
        (tmp_path / name).write_bytes(content)
    put(tmp_path, "t", kind=kind, outputs=listed(*names))
    page_of(tmp_path)


ARRAYS = {
    "floats": np.zeros((3, 3)),
    "not-finite": np.array([[np.nan, np.inf], [0, 1]]),
    "empty": np.zeros((0, 2), np.int64),
    "no-columns": np.zeros((4, 0), np.int32),
    "scalar": np.array(3),
    "deep": np.zeros((1, 1, 1, 1), np.int8),
    "huge-values": np.full((256, 256), 2**62),
    "negative": np.full((256, 256), -1),
    "texts": np.array(["a", "b"]),
    "surrogates": np.array(["\ud800.jpg", "a\x00b", "\u202eevil.jpg"]),
    "unsigned": np.full(5, 2**64 - 1, np.uint64),
    "big-endian": np.arange(4, dtype=">i4").reshape(2, 2),
    "booleans": np.ones((2, 2), bool),
}


@pytest.mark.parametrize("array", ARRAYS.values(), ids=ARRAYS.keys())
@pytest.mark.parametrize("kind", KINDS[:5])
def test_an_array_of_another_shape_or_type_is_survived(
    tmp_path: Path, kind: str, array: np.ndarray
) -> None:
    names = (
        *("t_labels.npy", "t_images.npy", "pts_in_hull_x.npy", "ab_histogram_x.npy"),
        *("priors_x.npy", "rebalance_weights_x.npy"),
    )
    for name in names:
        np.save(tmp_path / name, array)
    for i, chosen in enumerate((names, names[:2], names[2:3], names[3:])):
        put(tmp_path, f"t{i}", kind=kind, outputs=listed(*chosen), counts={"images": 2})
    page_of(tmp_path)


def test_class_ids_beyond_the_list_are_counted_not_followed(tmp_path: Path) -> None:
    """A single label of 2⁶² must not ask for as many counters."""
    found = tally(np.array([0, 1, 2**62, -5]), 2)
    assert found.present.tolist() == [1, 1]
    assert found.outside == 2
    np.save(tmp_path / "t_labels.npy", np.array([0, 2**62]))
    put(tmp_path, "t", outputs=listed("t_labels.npy"))
    page_of(tmp_path)


def bomb(width: int, height: int) -> bytes:
    """Return a PNG of a few hundred bytes that claims width × height pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = zlib.compress(b"\0" * 1000)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    )


def jpeg() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (40, 30), (200, 20, 20)).save(file, "JPEG")
    return file.getvalue()


PHOTOS = {
    "gone": None,
    "empty": b"",
    "text": b"GIF89a" + b"not really",
    "cut": jpeg()[:200],
    "bomb": bomb(60_000, 60_000),
    "large": bomb(9_000, 9_000),
    "postscript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(/tmp/x) (w) file\n",
    "svg": b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>",
}


@pytest.mark.parametrize("content", PHOTOS.values(), ids=PHOTOS.keys())
def test_a_photo_that_cannot_be_shown_says_so_in_its_place(
    tmp_path: Path, content: bytes | None
) -> None:
    photo = tmp_path / "photo.jpg"
    if content is not None:
        photo.write_bytes(content)
    save_partition(tmp_path, [str(photo)])
    text = page_of(tmp_path)
    assert "None of 1 photos of t can be shown. photo.jpg: " in text
    assert "<img" not in text


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "/dev/zero", "/proc/self/mem", "x" * 5000, ".", ""]
)
def test_a_path_to_something_else_than_a_photo_is_not_shown(tmp_path: Path, path: str) -> None:
    save_partition(tmp_path, [path])
    text = page_of(tmp_path)
    assert "None of 1 photos of t can be shown." in text
    assert "root:" not in text


def test_pixels_are_limited_before_they_are_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "p.jpg").write_bytes(jpeg())
    monkeypatch.setattr(pictures, "LARGEST_PICTURE", 100)
    save_partition(tmp_path, [str(tmp_path / "p.jpg")])
    assert "40 × 30 pixels, too many to show" in page_of(tmp_path)


def test_very_long_names_do_not_fill_the_page(tmp_path: Path) -> None:
    """Ten classes whose names are a megabyte each, in names, warnings and parameters."""
    long = "<&\"'" * 250_000
    put(
        tmp_path,
        "t",
        counts={"images": 9},
        details={"classes": [long] * 10, "images_per_class": [1] * 10, "dataset": long},
        warnings=[long] * 30,
        parameters={long: long, "b": [long] * 9},
        generator=long,
    )
    text = page_of(tmp_path)
    assert len(text) < 200_000


def test_many_classes_do_not_fill_the_page(tmp_path: Path) -> None:
    names = [f"class {i}" for i in range(22_000)]
    details = {"classes": names, "images_per_class": list(range(22_000))}
    put(tmp_path, "t", counts={"images": 9}, details=details)
    text = page_of(tmp_path)
    assert "The 15 largest and the 15 smallest of 22,000." in text
    assert len(text) < 100_000


def test_a_low_shot_index_with_absurd_rows_is_survived(tmp_path: Path) -> None:
    content = {
        "kind": "lowshot-index",
        "schema": 1,
        "k": 2,
        "sample": -1,
        "seed": 0,
        "nested": False,
        "generator": "",
        "rows": -5,
        "files": [],
        "classes": [
            {"id": 2**62, "positives": [-1, 2**62, 3]},
            {"id": -7, "name": "<b>", "positives": []},
        ],
    }
    for i, change in enumerate(({}, {"classes": []}, {"schema": 9}, {"k": None}, {"rows": "x"})):
        (tmp_path / f"i{i}_index.json").write_bytes(msgspec.json.encode(content | change))
    names = [f"i{i}_index.json" for i in range(6)]
    put(tmp_path, "t", kind="lowshot", outputs=listed(*names))
    assert "A sample cannot be shown." in page_of(tmp_path)


def test_a_checkpoint_that_would_run_code_is_refused_on_the_page(tmp_path: Path) -> None:
    """A pickle whose loading runs a program."""
    marker = tmp_path / "ran"
    code = f"cos\nsystem\n(S'touch {marker}'\ntR.".encode()
    for name in ("out.pkl", "in.pkl"):
        (tmp_path / name).write_bytes(code)
    source = [{"path": str(tmp_path / "in.pkl")}]
    put(tmp_path, "t", kind="checkpoint", outputs=listed("out.pkl"), inputs=source)
    text = page_of(tmp_path)
    assert "The written checkpoint cannot be read." in text
    assert not marker.exists()


def test_filters_that_are_not_finite_are_a_note(tmp_path: Path) -> None:
    import pickle

    blobs = {"conv1_w": np.full((4, 3, 7, 7), np.nan, np.float32)}
    (tmp_path / "out.pkl").write_bytes(pickle.dumps({"blobs": blobs}, protocol=2))
    put(tmp_path, "t", kind="checkpoint", outputs=listed("out.pkl"))
    assert "values that are not finite" in page_of(tmp_path)


def test_a_check_result_of_another_list_is_pointed_out(tmp_path: Path) -> None:
    save_partition(tmp_path, ["a.jpg"])
    content = {"images": 1, "images_sha256": "9", "counts": {}, "findings": []}
    (tmp_path / "t.check.json").write_bytes(msgspec.json.encode(content))
    assert "read another image list" in page_of(tmp_path)
    (tmp_path / "t.check.json").write_text("{}")
    assert "data check cannot be shown" in page_of(tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_read_is_a_note(tmp_path: Path) -> None:
    put(tmp_path, "t", counts={"images": 1})
    closed = tmp_path / "closed"
    closed.mkdir(mode=0)
    try:
        assert "cannot be looked into" in page_of(tmp_path)
    finally:
        closed.chmod(0o700)


def test_a_loop_of_links_ends(tmp_path: Path) -> None:
    put(tmp_path, "t", counts={"images": 1})
    (tmp_path / "loop").symlink_to(tmp_path)
    assert page_of(tmp_path).count("<article") == 1


def test_a_matrix_larger_than_the_limit_is_sampled(monkeypatch: pytest.MonkeyPatch) -> None:
    labels = np.tile(np.array([[1, 0], [0, -1]], np.int32), (5000, 1))
    found = tally(labels, 2, most=6400)
    assert found.images == 10_000
    assert found.rows == 6400 // 2
    assert found.present.tolist() == [found.rows // 2, 0]


def test_reads_few_pages_of_a_long_image_list(tmp_path: Path) -> None:
    """A list of a million paths takes neither memory nor minutes."""
    images = np.full(300_000, "no/such/photo.jpg")
    np.save(tmp_path / "t_images.npy", images)
    np.save(tmp_path / "t_labels.npy", np.arange(300_000) % 1000)
    put(
        tmp_path,
        "t",
        outputs=listed("t_images.npy", "t_labels.npy"),
        details={"classes": [f"c{i}" for i in range(1000)]},
    )
    text = page_of(tmp_path)
    assert "300,000" in text
    assert partitions.LEAD
