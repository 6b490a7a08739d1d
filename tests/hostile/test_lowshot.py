"""Bad input to the low-shot commands: one line that helps, nothing written, nothing run."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sslprep.errors import SslprepError
from sslprep.lowshot.multilabel import draw_multilabel_samples
from sslprep.lowshot.singlelabel import draw_singlelabel_samples
from sslprep.lowshot.verify import verify_samples

GOOD = np.tile([[1, 0], [0, 1]], (10, 1))


class Bomb:
    """Unpickling this leaves a trace."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("BOOM",)


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def refused(call: Callable[[], object]) -> str:
    """Return the error's one line; nothing may have been written or unpickled."""
    with pytest.raises(SslprepError) as error:
        call()
    assert not Path("out").exists()
    assert not Path("BOOM").exists()
    text = str(error.value)
    assert "\n" not in text
    return text


def voc(**options: Any) -> str:
    parameters: dict[str, Any] = {
        "targets": Path("t.npy"),
        "output": Path("out"),
        "k_values": (1,),
        **options,
    }
    return refused(lambda: draw_multilabel_samples(**parameters))


def places(**options: Any) -> str:
    parameters: dict[str, Any] = {
        "images": Path("i.npy"),
        "targets": Path("t.npy"),
        "output": Path("out"),
        "k_values": (1,),
        **options,
    }
    return refused(lambda: draw_singlelabel_samples(**parameters))


@pytest.mark.parametrize(
    ("array", "text"),
    [
        (np.arange(4), "expected label matrix (images, classes). One class id for each image is"),
        (np.zeros((2, 2, 2), int), "got shape (2, 2, 2); expected label matrix"),
        (GOOD * 1.0, "t.npy: the labels are float64; expected integers. Save them with an"),
        (GOOD.astype(bool), "the labels are bool; expected integers"),
        (GOOD.astype(str), "expected integers"),
        (np.where(GOOD == 1, 2, 0), "row 0, column 0 holds 2, and 19 more values; expected 1 ("),
        (np.full((2, 2), -2), "row 0, column 0 holds -2, and 3 more values"),
        (np.full((2, 2), 255, np.uint8), "row 0, column 0 holds 255"),
        (np.full((2, 2), 257, np.int32), "row 0, column 0 holds 257"),  # 1, cut to 8 bits
        (np.empty((0, 20), int), "is empty, shape (0, 20)"),
        (np.empty((20, 0), int), "is empty, shape (20, 0)"),
        (GOOD.astype(object), "holds Python objects, which sslprep never unpickles"),
        (np.array([[Bomb()]], object), "holds Python objects, which sslprep never unpickles"),
    ],
    ids=lambda value: None if isinstance(value, str) else f"{value.dtype}{value.shape}",
)
def test_bad_matrices(array: Any, text: str) -> None:
    np.save("t.npy", array, allow_pickle=True)
    assert text in voc()


@pytest.mark.parametrize(
    ("array", "text"),
    [
        (GOOD, "expected one class id for each image. A label matrix (images, classes) is what"),
        (np.array([0.0, 1.0]), "the labels are float64; expected integers"),
        (np.array([True, False]), "the labels are bool; expected integers"),
        (np.array([0, -1]), "row 1 holds -1; expected class ids of 0 or above"),
        (np.array([-3, -1]), "row 0 holds -3, and 1 more values"),
        (np.array([0, 2**63], np.uint64), "row 1 holds 9223372036854775808"),
        (np.array([], int), "is empty, shape (0,)"),
        (np.array([0, 1, 1]), "i.npy: holds 2 images, and t.npy labels of 3; expected one label"),
        (np.array([Bomb(), 1], object), "holds Python objects, which sslprep never unpickles"),
    ],
    ids=lambda value: None if isinstance(value, str) else f"{value.dtype}{value.shape}",
)
def test_bad_class_ids(array: Any, text: str) -> None:
    np.save("i.npy", ["a.jpg", "b.jpg"])
    np.save("t.npy", array, allow_pickle=True)
    assert text in places()


@pytest.mark.parametrize(
    ("array", "text"),
    [
        (np.array([["a", "b"]]), "got shape (1, 2); expected an array with 1 axis"),
        (np.array([1, 2]), "got dtype int64; expected an array of strings"),
        (np.array([b"a", b"b"]), "got dtype |S1; expected an array of strings"),
        (np.array(["a", "b"], object), "holds Python objects"),
        (np.array([Bomb(), "b"], object), "holds Python objects"),
    ],
    ids=lambda value: None if isinstance(value, str) else f"{value.dtype}{value.shape}",
)
def test_bad_image_lists(array: Any, text: str) -> None:
    np.save("i.npy", array, allow_pickle=True)
    np.save("t.npy", [0, 1])
    assert text in places()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty; expected JSON"),
        ("{", "ends in the middle, after 1 bytes"),
        ('{"a": {"x": NaN}}', "not JSON at"),
        ("[" * 100_000, "nested too deeply"),  # deeper than the parser goes
        ("[]", "is another JSON, or empty; expected {image: {class name: 1, 0 or -1}}"),
        ('{"n01/a.jpg": 3}', "holds one class id for each image"),  # the single-label form
        ("{}", "is another JSON, or empty"),
        ('{"a": {}}', "image 'a' has {}"),
        ('{"a": {"x": 1}, "a": {"x": 0}}', "names 'a' twice"),
        ('{"a": {"x": 1, "x": 0}}', "names 'x' twice"),
        ('{"a": {"x": 1, "y": 0}, "b": {"x": 1}}', "image 'b' "),
        ('{"a": {"x": 1}, "b": {"x": 1, "z": 1}}', "image 'b' "),
        ('{"a": {"x": 2}}', "image 'a', class 'x' holds 2; expected 1 (present), 0 (absent)"),
        ('{"a": {"x": true}}', "holds true"),
        ('{"a": {"x": 1.0}}', "holds 1.0"),
        ('{"a": {"x": "1"}}', 'holds "1"'),
        ('{"a": {"x": [[[1]]]}}', "holds [[[1]]]"),
        ('{"a": {"x": 99999999999999999999}}', "holds 99999999999999999999"),
    ],
)
def test_bad_json(text: str, message: str) -> None:
    Path("t.json").write_text(text)
    assert message in voc(targets=Path("t.json"))


def test_json_that_is_no_text() -> None:
    Path("t.json").write_bytes(b'{"\xff": {"x": 1}}')
    assert "t.json, line 1: holds the byte 0xff; expected text in UTF-8" in voc(
        targets=Path("t.json")
    )


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"k_values": (0,)}, "--k-values is (0,); expected a whole number, 1 or more"),
        ({"k_values": (-1, 2)}, "--k-values is (-1, 2)"),
        ({"k_values": (2, 2)}, "--k-values repeats 2"),
        ({"k_values": ()}, "--k-values is ()"),
        ({"num_samples": 0}, "--num-samples is 0; expected a whole number, 1 or more"),
        ({"seed": -1}, "--seed is -1"),
        ({"k_values": (10**30,)}, "needs 1000000000000000000000000000000"),
    ],
)
@pytest.mark.parametrize("command", [voc, places])
def test_bad_parameters(command: Callable[..., str], options: dict[str, Any], text: str) -> None:
    np.save("t.npy", GOOD if command is voc else [0, 1])
    np.save("i.npy", ["a.jpg", "b.jpg"])
    assert text in command(**options)


def test_missing_truncated_and_lying_files() -> None:
    assert "t.npy: no such file" in voc()
    Path("t.npy").mkdir()
    assert "t.npy: is a folder" in voc()
    Path("t.npy").rmdir()
    np.save("t.npy", GOOD)
    data = Path("t.npy").read_bytes()
    Path("t.npy").write_bytes(data[:-1])
    assert "truncated" in voc()
    # A header that asks for terabytes is refused by its length, before any memory is asked for.
    Path("t.npy").write_bytes(data.replace(b"(20, 2), }         ", b"(20, 2999999999), }"))
    assert "t.npy: holds 320 bytes of data; expected" in voc()


def test_a_name_that_is_only_dots_names_no_samples() -> None:
    np.save("t.npy", GOOD)
    Path("t.npy").rename(".npy")
    assert "nothing before its first dot" in voc(targets=Path(".npy"))


def test_class_names_cannot_break_the_one_line_of_an_error() -> None:
    np.save("t.npy", GOOD)
    names = [{"name": "a\nsslprep: all is well\x1b[2J", "id": 0}, {"name": "b", "id": 1}]
    Path("classes.json").write_text(json.dumps(names))
    assert "\\nsslprep: all is well\\x1b[2J" in voc(k_values=(11,))


def test_an_output_folder_that_is_a_file() -> None:
    np.save("t.npy", GOOD)
    Path("file").touch()
    assert "cannot write" in voc(output=Path("file"))


@pytest.mark.parametrize("name", ["t_sample1_k1.npy", "t_images_sample1_k1.npy"])
def test_verify_never_unpickles(name: str) -> None:
    np.save(name, np.array([[Bomb()]], object), allow_pickle=True)
    result = verify_samples(Path())
    assert not result.ok
    assert not Path("BOOM").exists()


@pytest.mark.parametrize(
    "name",
    [
        "t_sample1_k1.npy",
        "t_labels_sample1_k1.npy",
        "t_sample1_k1.json",
        "t_sample1_k1_index.json",
        "t_k1.manifest.json",
        "t_sample1_fraction0.5.npy",
    ],
)
@pytest.mark.parametrize("data", [b"", b"\x93NUMPY", b"\xff" * 300, b"{}", b"[" * 99999])
def test_verify_reports_junk_and_goes_on(name: str, data: bytes) -> None:
    np.save("good_sample1_k1.npy", np.array([[1, 0], [0, 1]]))
    Path(name).write_bytes(data)
    result = verify_samples(Path())
    assert not result.ok
    assert all("\n" not in text for text in result.problems)
    assert any(sample.file.name == "good_sample1_k1.npy" for sample in result.samples)


@pytest.mark.parametrize(
    "name",
    [
        "t_sample0_k1.npy",
        "t_sample1_k0.npy",
        "t_sample1_k99999999999999999999.npy",
        "t_sample1_fraction0.npy",
        "t_sample1_fraction7.npy",
        ".t_sample1_k1.npy.part",
        ".t_sample1_k1.npy",
        "_sample1_k1.npy",
        "x\nt_sample1_k1.npy",
    ],
)
def test_names_that_are_none_are_passed_over(name: str) -> None:
    Path(name).touch()
    with pytest.raises(SslprepError, match="holds no low-shot samples"):
        verify_samples(Path())


def test_a_manifest_cannot_point_outside_its_folder() -> None:
    np.save("t.npy", GOOD)
    draw_multilabel_samples(targets=Path("t.npy"), output=Path("out"), k_values=(1,), num_samples=1)
    path = Path("out/t_k1.manifest.json")
    record = json.loads(path.read_text())
    record["outputs"].append({"file": "../t.npy", "bytes": 1, "sha256": "0"})
    path.write_text(json.dumps(record))
    result = verify_samples(Path("out"))
    assert result.problems == (f"{path}: names '../t.npy', not a file beside it",)


@pytest.mark.parametrize(
    "change",
    [
        {"seed": -1},
        {"seed": 2**63, "generator": "other"},
        {"parameters": {}},
        {"parameters": {"targets": 7, "nested": "x"}},
        {"parameters": {"targets": "\0", "nested": False}},
        {"parameters": {"targets": "/dev/zero", "nested": False}},
        {"inputs": []},
    ],
)
def test_a_manifest_is_not_trusted(change: dict[str, Any]) -> None:
    np.save("t.npy", GOOD)
    draw_multilabel_samples(targets=Path("t.npy"), output=Path("out"), k_values=(1,), num_samples=1)
    path = Path("out/t_k1.manifest.json")
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    result = verify_samples(Path("out"))
    assert result.samples[0].redrawn is not True
