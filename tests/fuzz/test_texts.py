"""Manifests and the report on them, JSON targets, image lists, tar shards, checkpoints."""

import io
import json
import pickle
import random
import tarfile
from functools import cache
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from tests.fuzz.guard import examples, place, scrambled, spoil, spoilt_json

from sslprep import (
    color_histogram,
    draw_multilabel_samples,
    generate_permutations,
    inspect,
    verify,
    write_folders,
    write_report,
)
from sslprep.errors import SslprepError

TARGETS = {f"{i:06d}": {"cat": i % 2, "dog": (i + 1) % 2} for i in range(6)}


@cache
def artefacts() -> dict[str, bytes]:
    """Make a partition and a permutation set; return the files' contents."""
    with place() as at:
        for split in ("train", "val"):
            for name in ("a", "b"):
                folder = at.inputs / split / name
                folder.mkdir(parents=True)
                Image.new("RGB", (8, 8), (name == "a" and "red") or "blue").save(folder / "1.png")
        write_folders(data_source_dir=at.inputs, output_dir=at.out)
        generate_permutations(output_dir=at.out, n=20)
        np.save(at.inputs / "t.npy", np.eye(6, 2, dtype=np.int32))
        draw_multilabel_samples(
            targets_data_file=at.inputs / "t.npy", output_path=at.out, k_values=(1,), num_samples=2
        )
        return {path.name: path.read_bytes() for path in sorted(at.out.iterdir())}


def manifests() -> list[str]:
    return [name for name in artefacts() if name.endswith(".manifest.json")]


@st.composite
def spoilt_folders(draw: st.DrawFn) -> dict[str, bytes]:
    """One manifest spoilt, or one data file."""
    files = dict(artefacts())
    name = draw(st.sampled_from([*manifests(), *manifests(), *files]))
    if name.endswith(".json"):
        files[name] = draw(spoilt_json(json.loads(files[name])))
    else:
        files[name] = draw(scrambled(files[name]))
    return files


def put(folder: Path, files: dict[str, bytes]) -> None:
    for name, data in files.items():
        (folder / name).write_bytes(data)


@examples(150)
@given(spoilt_folders())
def test_verify(files: dict[str, bytes]) -> None:
    with place() as at:
        put(at.inputs, files)
        at.attempt(verify, folder=at.inputs)


@examples(20)
@given(spoilt_folders())
def test_report(files: dict[str, bytes]) -> None:
    with place() as at:
        put(at.inputs, files)
        done = at.attempt(write_report, folder=at.inputs, output=at.out / "report.html")
        assert isinstance(done, SslprepError) or (at.out / "report.html").stat().st_size > 1000


@examples(60)
@given(spoilt_folders(), st.integers(0, 99))
def test_inspect(files: dict[str, bytes], which: int) -> None:
    with place() as at:
        put(at.inputs, files)
        at.attempt(inspect, file=at.inputs / sorted(files)[which % len(files)])


@examples(120)
@given(spoilt_json(TARGETS))
def test_json_targets(data: bytes) -> None:
    with place() as at:
        (at.inputs / "t.json").write_bytes(data)
        at.attempt(
            draw_multilabel_samples,
            targets_data_file=at.inputs / "t.json",
            output_path=at.out,
            k_values=(1,),
            num_samples=2,
        )


def image() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (16, 12), (200, 30, 40)).save(file, "PNG")
    return file.getvalue()


@examples(60)
@given(st.lists(st.one_of(st.just(b"good"), st.binary(max_size=30)), max_size=5), st.booleans())
def test_lists_of_images(lines: list[bytes], strict: bool) -> None:
    with place() as at:
        (at.inputs / "good.png").write_bytes(image())
        good = bytes(at.inputs / "good.png")
        names = [good if line == b"good" else line for line in lines]
        (at.inputs / "list.txt").write_bytes(b"\n".join(names))
        at.attempt(
            color_histogram,
            data_file=str(at.inputs / "list.txt"),
            output_path=at.out,
            strict_decode=strict,
            max_unreadable=0.9,
            jobs=1,
        )


def shard() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        for name in ("1.png", "1.cls", "../2.png", "/etc/3.png"):
            data = image() if name.endswith("png") else b"0"
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return file.getvalue()


@examples(60)
@given(scrambled(shard()))
def test_tar_shards(data: bytes) -> None:
    with place() as at:
        (at.inputs / "s.tar").write_bytes(data)
        at.attempt(
            color_histogram,
            data_file=str(at.inputs / "s.tar"),
            output_path=at.out,
            max_unreadable=1.0,  # above it the state is kept
            jobs=1,
        )


@examples(60)
@given(scrambled(image()))
def test_damaged_images(data: bytes) -> None:
    with place() as at:
        (at.inputs / "a.png").write_bytes(data)
        (at.inputs / "b.png").write_bytes(image())
        at.attempt(
            color_histogram,
            data_file=str(at.inputs),
            output_path=at.out,
            max_unreadable=0.9,
            jobs=1,
        )


@cache
def checkpoint(kind: str) -> bytes:
    blobs = {"conv1_w": np.ones((4, 3, 7, 7), np.float32), "lr": np.array([0.1], np.float32)}
    if kind == "safetensors":
        from safetensors.numpy import save

        return save(blobs)
    if kind == "pth":
        import torch

        file = io.BytesIO()
        torch.save({"state_dict": {n: torch.from_numpy(a) for n, a in blobs.items()}}, file)
        return file.getvalue()
    return pickle.dumps({"blobs": blobs}, protocol=2)


@examples(150)
@given(st.data(), st.sampled_from(["pkl", "safetensors", "pth"]))
def test_checkpoints(data: st.DataObject, kind: str) -> None:
    """Light; tests/hostile/test_checkpoints.py mutates far more."""
    with place() as at:
        file = at.inputs / f"model.{kind}"
        file.write_bytes(data.draw(scrambled(checkpoint(kind))))
        at.attempt(inspect, file=file)


def test_spoil_reaches_every_depth() -> None:
    document = {"a": [{"b": 1}]}
    seen = {json.dumps(spoil(document, random.Random(seed)), default=str) for seed in range(200)}
    assert len(seen) > 50
