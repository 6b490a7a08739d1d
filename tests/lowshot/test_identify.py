"""`lowshot identify`: published splits by their content, and what is in any other list."""

import csv
import hashlib
import json
from importlib import resources
from pathlib import Path

import numpy as np
import pytest

from sslprep.errors import SslprepError
from sslprep.lowshot import identify as module
from sslprep.lowshot.identify import identify_splits, published_splits
from sslprep.lowshot.labels import read_list

LINES = [f"n0{n}_{i}.JPEG" for n in range(3) for i in range(5)]
MATRIX = np.where(np.arange(60).reshape(20, 3) % 7 < 2, 1, -1).astype(np.int32)
MATRIX[:, 1] = np.where(MATRIX[:, 1] == -1, 0, 1)


@pytest.fixture(autouse=True)
def registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three published splits of our own: two names of one list, and one matrix."""
    as_bytes = "".join(f"{line}\n" for line in LINES).encode()
    content = hashlib.sha256(MATRIX.astype("<i4").tobytes()).hexdigest()
    rows = [
        ("lab/one", "sets/3imgs_class.txt", hashlib.sha256(as_bytes).hexdigest(), ""),
        ("lab/two", "copies/mine.txt", hashlib.sha256(as_bytes).hexdigest(), ""),
        ("lab/three", "t_sample1_k1.npy", "0", content),
    ]
    keys = ("source", "file", "sha256_of_file", "sha256_of_content")
    monkeypatch.setattr(
        module, "published_splits", lambda: [dict(zip(keys, r, strict=True)) for r in rows]
    )


def put(path: Path, lines: list[str], end: str = "\n") -> Path:
    path.write_text("".join(line + end for line in lines), newline="")
    return path


def test_the_registry_holds_facts_that_fit_each_other() -> None:
    rows = published_splits()
    assert len([r for r in rows if "low_shot_voc07" in r["file"]]) == 40
    for row in rows:
        assert len(row["sha256_of_file"]) == 64
        if row["classes"]:
            least, most, classes = (
                int(row[n]) for n in ("least_per_class", "most_per_class", "classes")
            )
            assert "npy" in row["file"] or least * classes <= int(row["rows"]) <= most * classes
    three = next(r for r in rows if r["file"] == "imagenet_subsets3/3imgs_class.txt")
    assert (three["least_per_class"], three["most_per_class"]) == ("5", "5")
    names = [r["file"] for r in rows if r["sha256_of_file"].startswith("71e82a48")]
    assert [n.rpartition("/")[2] for n in names] == ["1percent.txt"] * 2 + ["99percent.txt"]


def test_the_registry_is_in_the_package() -> None:
    path = resources.files("sslprep.lowshot").joinpath("published_splits.tsv")
    heads = next(csv.reader(path.read_text().splitlines(), delimiter="\t"))
    assert heads[0] == "source"


def test_a_list_is_named_with_all_its_names_and_what_is_odd(tmp_path: Path) -> None:
    [found] = identify_splits(put(tmp_path / "3imgs_class.txt", LINES)).files
    assert found.published == ("lab/one sets/3imgs_class.txt", "lab/two copies/mine.txt")
    assert (found.images, found.classes, found.least, found.most, found.repeated) == (
        15,
        3,
        5,
        5,
        0,
    )
    assert found.notes == ("its name says 3 images a class, and it holds 5",)


@pytest.mark.parametrize(
    ("lines", "end", "note"),
    [
        (LINES, "\r\n", "the same images but for line ends"),
        (["", *LINES], "\n", "the same images but for line ends"),
        (
            [f"/d/train/x/{n}" for n in LINES],
            "\n",
            "the same images but for folders before the names",
        ),
    ],
    ids=["CRLF", "blank line", "folders"],
)
def test_a_list_is_known_in_other_dress(
    lines: list[str], end: str, note: str, tmp_path: Path
) -> None:
    [found] = identify_splits(put(tmp_path / "mine.txt", lines, end)).files
    assert found.published
    assert note in found.notes[0]


def test_an_image_list_of_ours_is_known_too(tmp_path: Path) -> None:
    np.save(tmp_path / "train_images.npy", [f"/imagenet/{n[:3]}/{n}" for n in LINES])
    [found] = identify_splits(tmp_path / "train_images.npy").files
    assert found.published
    assert (found.classes, found.least, found.most) == (3, 5, 5)


@pytest.mark.parametrize("kind", ["npy", "big-endian", "json"])
def test_a_matrix_is_known_by_its_numbers(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.npy"
    if kind == "json":
        path = tmp_path / "mine.json"
        rows = {f"{i:02d}": dict(zip("abc", r, strict=True)) for i, r in enumerate(MATRIX.tolist())}
        path.write_text(json.dumps(dict(reversed(rows.items()))))
    else:
        np.save(path, np.asfortranarray(MATRIX.astype(">i8")) if kind == "big-endian" else MATRIX)
    [found] = identify_splits(path).files
    assert found.published == ("lab/three t_sample1_k1.npy",)
    assert (found.images, found.classes) == (20, 3)
    assert found.notes == (() if kind == "json" else ("has another name there",))
    other = MATRIX.copy()
    other[0, 0] *= -1
    np.save(tmp_path / "other.npy", other)
    [found] = identify_splits(tmp_path / "other.npy").files
    assert found.published == ()


def test_any_other_list_is_counted_and_compared(tmp_path: Path) -> None:
    part = put(tmp_path / "part.txt", [LINES[0], LINES[6], LINES[7], LINES[0]])
    whole = put(tmp_path / "mine.txt", LINES)
    result = identify_splits((part, whole))
    first, second = result.files
    assert (first.images, first.classes, first.least, first.most, first.repeated) == (4, 2, 2, 2, 1)
    assert (first.inside, second.inside) == ((whole,), ())
    text = result.text()
    assert f"{part}: is no published split known here" in text
    assert f"{part}: all its images are in {whole}" in text


def test_files_of_one_name_in_several_folders_are_told_apart(tmp_path: Path) -> None:
    """Places has a 00000001.jpg in every class: names alone would find any list in any other."""
    whole = put(tmp_path / "whole.txt", ["a/1.jpg", "a/2.jpg", "b/1.jpg"])
    part = put(tmp_path / "part.txt", ["b/1.jpg"])
    other = put(tmp_path / "other.txt", ["c/1.jpg"])
    assert identify_splits((whole, part)).files[1].inside == (whole,)
    assert identify_splits((whole, other)).files[1].inside == ()


def test_lists_with_class_ids_and_lists_without_classes(tmp_path: Path) -> None:
    held = read_list(put(tmp_path / "a.txt", ["x y/1.jpg 0", "2.png, 11", "b/3.jpg\t0"]))
    assert held.images == ["x y/1.jpg", "2.png", "b/3.jpg"]
    assert held.classes == ["0", "11", "0"]
    [found] = identify_splits(put(tmp_path / "rows.txt", ["17", "4", "17"])).files
    assert (found.images, found.classes, found.repeated) == (3, 0, 1)
    np.save(tmp_path / "ids.npy", [3, 3, 5])
    [found] = identify_splits(tmp_path / "ids.npy").files
    assert (found.images, found.classes, found.least, found.most) == (3, 2, 1, 2)


@pytest.mark.parametrize(
    "lines",
    [
        ["filename,label", "1.jpg,n01", "2.jpg,n01", "3.jpg,n02"],  # miniImageNet's
        ['"path";"class id"', '"1.jpg";"n01"', '"2.jpg";"n01"', '"3.jpg";"n02"'],
        ["image\tlabel", "1.jpg\tn01", "2.jpg\tn01", "3.jpg\tn02"],
    ],
    ids=["comma", "quoted", "tab"],
)
def test_tables_with_headings_and_class_names_are_lists(lines: list[str], tmp_path: Path) -> None:
    held = read_list(put(tmp_path / "a.csv", lines))
    assert (held.images, held.classes) == (["1.jpg", "2.jpg", "3.jpg"], ["n01", "n01", "n02"])


def test_folders_of_one_name_in_several_are_several_classes(tmp_path: Path) -> None:
    """SUN397 and Places have an `outdoor` in many scenes."""
    lines = [f"/{scene}/outdoor/sun_{n}.jpg" for scene in ("b/bar", "c/cabin") for n in range(3)]
    [found] = identify_splits(put(tmp_path / "Training_01.txt", lines)).files
    assert (found.classes, found.least, found.most) == (2, 3, 3)


def test_json_of_class_ids_is_counted(tmp_path: Path) -> None:
    (tmp_path / "ids.json").write_text('{"a.jpg": 3, "b.jpg": 5, "c.jpg": 3}')
    [found] = identify_splits(tmp_path / "ids.json").files
    assert (found.images, found.classes, found.least, found.most) == (3, 2, 1, 2)


def test_a_table_of_strings_is_no_list(tmp_path: Path) -> None:
    np.save(tmp_path / "table.npy", [["a.jpg", "0"], ["b.jpg", "1"]])
    with pytest.raises(SslprepError, match=r"got shape \(2, 2\)"):
        identify_splits(tmp_path / "table.npy")


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"filename,label\nhello,world\n", "line 2: got 'hello,world'"),
        (b"a.jpg\nhello world\n", "t.txt, line 2: got 'hello world'; expected an image such as"),
        (b"a.jpg\n7 7\n", "line 2: got '7 7'"),
        (b"\n \n", "holds no images"),
        (b"", "holds no images"),
        (b"a.jpg\n\xff.jpg\n", "line 2: holds the byte 0xff"),
        (b"\x1f\x8b\x08", "is a gzip file"),
    ],
)
def test_what_is_no_list_is_refused(data: bytes, text: str, tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_bytes(data)
    with pytest.raises(SslprepError) as error:
        identify_splits(tmp_path / "t.txt")
    assert text in str(error.value)
