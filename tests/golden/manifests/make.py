"""Make the expected manifests: `python tests/golden/manifests/make.py` writes them anew.

They pin what a manifest says of a run: parameters, inputs, outputs, counts, warnings, details.
What is of the machine or the day stands as a word: the version, and hashes of files whose last bits
are the machine's.
"""

import json
import os
import pickle
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from sslprep import (
    convert_jigsaw,
    draw_multilabel_samples,
    draw_singlelabel_samples,
    generate_color_bins,
    generate_permutations,
    merge_partitions,
    write_folders,
    write_voc,
)
from sslprep.demo import checkpoints

HERE = Path(__file__).parent
EVERYWHERE_ALIKE = ("data ", "lowshot ", "jigsaw ")


def make() -> dict[str, str]:
    """Return every manifest by `folder/name`, from runs in an empty folder."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as place:
        os.chdir(place)  # paths are relative, so that they are the same everywhere
        try:
            _data()
            _samples()
            generate_permutations(Path("jigsaw"), n=10, method="max_avg", seed=3)
            _color()
            blobs = checkpoints.blobs(checkpoints.small(checkpoints.JIGSAW, blocks=(1, 1, 1, 1)))
            Path("jigsaw.pkl").write_bytes(pickle.dumps({"blobs": blobs}, protocol=2))
            convert_jigsaw(Path("jigsaw.pkl"), Path("convert/model.pkl"))
            return {
                str(path).removesuffix(".manifest.json"): _alike(path.read_text("utf-8"))
                for path in sorted(Path().rglob("*.manifest.json"))
            }
        finally:
            os.chdir(before)


def _data() -> None:
    lists = Path("VOC2007/ImageSets/Main")
    lists.mkdir(parents=True)
    Path("VOC2007/JPEGImages").mkdir()
    for split, ids in (("train", (1, 2, 3)), ("val", (4, 5, 6))):
        for name, marks in (("cat", (1, -1, 0)), ("dog", (-1, 1, 1))):
            lines = (f"{i:06} {mark:2}\n" for i, mark in zip(ids, marks, strict=True))
            (lists / f"{name}_{split}.txt").write_text("".join(lines))
        for i in ids[:-1]:  # the last one of each is missing: a warning
            Path(f"VOC2007/JPEGImages/{i:06}.jpg").touch()
    write_voc(Path("VOC2007"), Path("voc"), generate_json=True)
    for name in ("train/b/2.jpg", "train/b/1.jpg", "train/a/x.png", "val/b/3.jpg", "train/a/x.txt"):
        Path("set", name).parent.mkdir(parents=True, exist_ok=True)
        Path("set", name).touch()
    write_folders(Path("set"), Path("folders"))
    write_folders(Path("set"), Path("more"), relative_to=Path("set"))
    merge_partitions((Path("folders/train"), Path("folders/val")), output=Path("merged"))


def _samples() -> None:
    labels = np.array([[i % 3 == 0, i % 5 == 0] for i in range(30)], np.int32)
    labels[7] = -1
    np.save("targets.npy", labels)
    draw_multilabel_samples(Path("targets.npy"), Path("multi"), k_values=(1, 4), num_samples=2)
    np.save("labels.npy", np.arange(40) % 4)
    np.save("images.npy", [f"{i:02}.jpg" for i in range(40)])
    draw_singlelabel_samples(
        Path("images.npy"), Path("labels.npy"), Path("single"), k_values=(2,), nested=True, seed=9
    )


def _color() -> None:
    Path("pictures").mkdir()
    for number in range(4):
        rows, columns = np.mgrid[:40, :60]
        picture = np.stack([rows * 6, columns * 4, rows * columns * (number + 1) % 256], -1)
        data = b"P6 60 40 255\n" + picture.astype(np.uint8).tobytes()
        Path(f"pictures/{number}.ppm").write_bytes(data)
    Path("pictures/broken.ppm").write_bytes(b"P6")
    generate_color_bins(Path("pictures"), Path("color"), bin_size=(32,), max_unreadable=0.5)


def _alike(text: str) -> str:
    manifest: dict[str, Any] = json.loads(text.replace(str(Path.cwd()), "/HERE"))
    manifest["sslprep"] = "VERSION"
    details = manifest["details"]
    if not manifest["command"].startswith(EVERYWHERE_ALIKE):
        for record in (*manifest["inputs"], *manifest["outputs"]):
            record.update(dict.fromkeys(record.keys() & {"sha256", "bytes"}, "OF THE MACHINE"))
        details.update(dict.fromkeys(details.keys() & {"opencv", "identity"}, "OF THE MACHINE"))
    if manifest["kind"] == "checkpoint":  # of hundreds of arrays, and of the random generator
        details["account"] = details["account"][:3]
        del details["towers"]["norms_apart"]
    return json.dumps(manifest, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    for old in HERE.glob("*/*.json"):
        old.unlink()
    for name, text in make().items():
        path = HERE / f"{name}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
