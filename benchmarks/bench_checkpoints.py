"""Checkpoint conversions against a plain script that does the same with pickle and PyTorch.

    python benchmarks/bench_checkpoints.py            a nine-tower Jigsaw ResNet-50, 361 MB
    python benchmarks/bench_checkpoints.py --quick    a quarter of its width

The plain one is what one writes first: `pickle.load`, a loop over the names, `pickle.dump` or
`torch.save`. It checks nothing, hashes nothing and syncs nothing; ours does all of that within
its figures. "importing torch" is the part of the plain
script's conversion to PyTorch that no script can avoid; ours imports it only for `--check`.
"""

from __future__ import annotations

import pickle
import re
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

from measure import HEADER, SSLPREP, command, compare, row, run


def make(file: str, width: int) -> None:
    """Write the checkpoint as Python 2 wrote it: raw byte strings, 361 MB."""
    from sslprep.checkpoints.pickling import write_pickle
    from sslprep.demo import checkpoints as demo

    model = replace(
        demo.JIGSAW,
        width=width,
        heads={"fc6": (16 * width, 288 * width), "pred": (2000, 16 * width)},
    )
    with open(file, "wb") as out:
        write_pickle(out, {"blobs": demo.blobs(model)})


def plain_rename(source: str, out: str) -> None:
    with open(source, "rb") as file:
        blobs = pickle.load(file, encoding="latin1")["blobs"]
    others = re.compile("_s[1-8](_|$)")
    kept = {re.sub("_s0(?=_)", "", n): a for n, a in blobs.items() if not others.search(n)}
    with open(out, "wb") as file:
        pickle.dump({"blobs": kept}, file, protocol=2)


def plain_detectron(source: str, out: str) -> None:
    with open(source, "rb") as file:
        blobs = pickle.load(file, encoding="latin1")["blobs"]
    for name in list(blobs):
        if name.endswith("_momentum") or name in ("lr", "model_iter"):
            del blobs[name]
    for name in [n for n in blobs if n.endswith("_riv")]:
        norm = name[:-4]
        std = np.sqrt(blobs.pop(f"{norm}_riv") + 1e-5)
        mean = blobs.pop(f"{norm}_rm")
        blobs[f"{norm}_b"] = blobs[f"{norm}_b"] - mean * blobs[f"{norm}_s"] / std
        blobs[f"{norm}_s"] = blobs[f"{norm}_s"] / std
    for channel, std in enumerate([0.225, 0.224, 0.229]):
        blobs["conv1_w"][:, channel] /= 255 * std
    with open(out, "wb") as file:
        pickle.dump({"blobs": blobs}, file, protocol=2)


def plain_pytorch(source: str, out: str) -> None:
    import torch

    with open(source, "rb") as file:
        blobs = pickle.load(file, encoding="latin1")["blobs"]
    state = {}
    for name, array in blobs.items():
        if re.search("_s[1-8]_|_momentum$|^fc|^pred", name) or not isinstance(array, np.ndarray):
            continue
        state[re.sub("_s0(?=_)", "", name)] = torch.from_numpy(array)
    torch.save({"state_dict": state}, out)


def import_torch() -> None:
    import torch  # noqa: F401


def plain_inspect(source: str) -> None:
    with open(source, "rb") as file:
        blobs = pickle.load(file, encoding="latin1")["blobs"]
    for name, array in blobs.items():
        print(name, getattr(array, "shape", array))


def rewrite_as_text(source: str, out: str) -> None:
    """Write the same as Python 3 writes protocol 2: bytes as text, 1.5 times as long."""
    with open(source, "rb") as file:
        value = pickle.load(file, encoding="latin1")
    with open(out, "wb") as file:
        pickle.dump(value, file, protocol=2)


def ours_read(source: str) -> None:
    """Read every weight: without a use of them, views of the file would cost nothing."""
    from sslprep.checkpoints.open import read_checkpoint

    for array in read_checkpoint(Path(source)).blobs.values():
        np.sum(array)


def plain_read(source: str) -> None:
    with open(source, "rb") as file:
        blobs = pickle.load(file, encoding="latin1")["blobs"]
    for array in blobs.values():
        np.sum(array)


def ours_write(source: str, out: str) -> None:
    from sslprep.atomic import OutputSet
    from sslprep.checkpoints.open import read_checkpoint
    from sslprep.checkpoints.pickling import save_pickle

    blobs = read_checkpoint(Path(source)).blobs
    name, record = Path(out).name, f"{Path(out).name}.manifest.json"
    with OutputSet(Path(out).parent, [name], manifests=[record], overwrite=True) as files:
        save_pickle(files, name, {"blobs": blobs})


def plain_write(source: str, out: str) -> None:
    with open(source, "rb") as file:
        value = pickle.load(file, encoding="latin1")
    with open(out, "wb") as file:
        pickle.dump(value, file, protocol=2)


def main() -> None:
    quick = "--quick" in sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        source, renamed, text, out = (f"{folder}/{name}.pkl" for name in ("m", "a", "t", "out"))
        run(command(make, source, 16 if quick else 64))
        run([*SSLPREP, "convert", "jigsaw", source, renamed])
        run(command(rewrite_as_text, source, text))
        size = Path(source).stat().st_size / 1e6
        to_torch = [*SSLPREP, "convert", "pytorch", source, out, "--overwrite"]
        tasks = {
            f"rename, {size:.0f} MB": {
                "plain": command(plain_rename, source, out),
                "sslprep": [*SSLPREP, "convert", "jigsaw", source, out, "--overwrite"],
            },
            "Detectron": {
                "plain": command(plain_detectron, renamed, out),
                "sslprep": [
                    *SSLPREP,
                    "convert",
                    "detectron",
                    renamed,
                    out,
                    "--absorb-std",
                    "--overwrite",
                ],
            },
            "PyTorch": {
                "plain": command(plain_pytorch, source, out),
                "importing torch": command(import_torch),
                "sslprep": to_torch,
                "sslprep, --container legacy": [*to_torch, "--container", "legacy"],
                "sslprep, safetensors": [*to_torch, "--format", "safetensors"],
            },
            "read, as Python 2 wrote it": {
                "plain": command(plain_read, source),
                "sslprep": command(ours_read, source),
            },
            "read, as Python 3 writes it": {
                "plain": command(plain_read, text),
                "sslprep": command(ours_read, text),
            },
            "read and write": {
                "plain": command(plain_write, source, out),
                "sslprep": command(ours_write, source, out),
            },
            "inspect": {
                "plain": command(plain_inspect, source),
                "sslprep": [*SSLPREP, "inspect", source],
            },
        }
        print(HEADER)
        for task, cases in tasks.items():
            medians = compare(cases, repeat=3)
            for name, measured in medians.items():
                base = medians["plain"] if name.startswith("sslprep") else None
                print(row(task, name, measured, base), flush=True)


if __name__ == "__main__":
    main()
