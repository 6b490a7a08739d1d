"""Manifests: what stands in them, and the check of it."""

import json
import os
from pathlib import Path

import pytest

from sslprep import manifest
from sslprep.atomic import OutputSet
from sslprep.errors import ManifestError, ParameterError, SslprepError


def make(folder: Path, source: Path, text: bytes = b"x", **more: object) -> Path:
    inputs = manifest.Inputs()
    inputs.add_file(source)
    with OutputSet(folder, ["a.bin"], manifests=["a.manifest.json"], overwrite=True) as out:
        out.save_bytes("a.bin", text)
        manifest.write(
            out,
            "a.manifest.json",
            kind="partition",
            command="test",
            parameters={"file": source, "k": (1, 2)},
            inputs=inputs.records(),
            **more,  # type: ignore[arg-type]
        )
        out.commit()
    return folder / "a.manifest.json"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "input.txt"
    path.write_text("input")
    return path


def test_holds_what_was_made_from_what(tmp_path: Path, source: Path) -> None:
    record = json.loads(make(tmp_path / "out", source, seed=3).read_text())
    assert record["outputs"][0]["file"] == "a.bin"
    assert record["inputs"][0]["bytes"] == 5
    assert len(record["inputs"][0]["sha256"]) == 64
    assert record["parameters"] == {"file": str(source), "k": [1, 2]}
    assert record["seed"] == 3
    assert "created" not in record


def test_equal_input_gives_equal_bytes_in_any_folder(tmp_path: Path, source: Path) -> None:
    one, two = make(tmp_path / "one", source), make(tmp_path / "two", source)
    assert one.read_bytes() == two.read_bytes()


def test_a_date_only_from_source_date_epoch(
    tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")
    record = manifest.read(make(tmp_path / "out", source))
    assert record.created == "1970-01-01T00:00:00+00:00"


def test_an_input_that_changes_during_the_run_stops_it(tmp_path: Path, source: Path) -> None:
    inputs = manifest.Inputs()
    inputs.add_file(source)
    source.write_text("other")
    os.utime(source, ns=(1, 1))
    with pytest.raises(SslprepError, match="changed while it was being read"):
        inputs.records()


def test_large_inputs_are_not_hashed_unless_asked(
    source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(manifest, "HASH_LIMIT", 4)
    digests = []
    for options in ({}, {"hash_inputs": False}, {"hash_inputs": True}):
        inputs = manifest.Inputs(**options)
        inputs.add_file(source)
        digests.append(inputs.records()[0].sha256)
    assert digests[:2] == [None, None]
    assert digests[2] is not None
    monkeypatch.setattr(manifest, "HASH_LIMIT", source.stat().st_size)  # above it, not at it
    inputs = manifest.Inputs()
    inputs.add_file(source)
    assert inputs.records()[0].sha256 == digests[2]


def test_verify_accepts_what_was_written(tmp_path: Path, source: Path) -> None:
    make(tmp_path / "out", source)
    result = manifest.verify(folder=tmp_path)
    assert (result.ok, result.manifests, result.files) == (True, 1, 1)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: (f / "a.bin").write_bytes(b"y"), "has SHA-256"),
        (lambda f: (f / "a.bin").write_bytes(b"longer"), "has 6 bytes; expected 1"),
        (lambda f: (f / "a.bin").unlink(), "no such file"),
        (lambda f: (f / "a.manifest.json").write_text("{"), "ends in the middle"),
        (lambda f: (f / "a.manifest.json").write_text('{"schema": 99}'), "Upgrade sslprep"),
        (
            lambda f: (f / "a.manifest.json").write_text(
                (f / "a.manifest.json").read_text().replace("a.bin", "../x")
            ),
            "not a file beside it",
        ),
    ],
)
def test_verify_names_what_differs(
    tmp_path: Path, source: Path, damage: object, message: str
) -> None:
    make(tmp_path / "out", source)
    damage(tmp_path / "out")  # type: ignore[operator]
    result = manifest.verify(folder=tmp_path)
    assert not result.ok
    assert message in result.problems[0]


def test_verify_goes_on_behind_a_manifest_that_it_cannot_read(tmp_path: Path, source: Path) -> None:
    make(tmp_path / "b", source)
    (tmp_path / "a.manifest.json").write_text("{")
    (tmp_path / "b" / "a.bin").write_bytes(b"changed")
    result = manifest.verify(folder=tmp_path)
    assert (result.manifests, result.files, len(result.problems)) == (2, 1, 2)


def test_verify_needs_a_manifest(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="holds no manifest"):
        manifest.verify(folder=tmp_path)
    with pytest.raises(ManifestError, match="no such folder"):
        manifest.verify(folder=tmp_path / "x")


@pytest.mark.parametrize("name", ["a\\u0000b", "", ".", "..", "x/y"])
def test_verify_opens_only_files_beside_the_manifest(
    tmp_path: Path, source: Path, name: str
) -> None:
    make(tmp_path, source)
    path = tmp_path / "a.manifest.json"
    path.write_text(path.read_text().replace("a.bin", name))
    assert not manifest.verify(folder=tmp_path).ok


def test_verify_waits_for_no_pipe_and_reads_no_device(tmp_path: Path, source: Path) -> None:
    make(tmp_path, source)
    path = tmp_path / "a.manifest.json"
    path.write_text(path.read_text().replace('"bytes": 1', '"bytes": 0'))
    os.mkfifo(tmp_path / "pipe.manifest.json")
    for make_odd in (lambda p: os.mkfifo(p), lambda p: p.symlink_to("/dev/zero")):
        (tmp_path / "a.bin").unlink()
        make_odd(tmp_path / "a.bin")
        output, pipe = manifest.verify(folder=tmp_path).problems
        assert "a.bin: is no ordinary file" in output
        assert "pipe.manifest.json: is no ordinary file" in pipe


@pytest.mark.parametrize("epoch", ["yesterday", "1e9", str(10**30)])
def test_a_source_date_that_is_none_is_one_line(
    tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch, epoch: str
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", epoch)
    with pytest.raises(ParameterError, match="SOURCE_DATE_EPOCH"):
        make(tmp_path / "out", source)
