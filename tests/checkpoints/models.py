"""Checkpoints of the tests: small ones of every kind, written and read by Python's own pickle.

The networks are those of `sslprep.demo.checkpoints`, whose names and shapes equal the lists of
real checkpoints (`test_models.py`). Files are written and read here without sslprep.
"""

import pickle
from pathlib import Path
from typing import Any

import numpy as np

from sslprep.demo import checkpoints as demo

R50 = (3, 4, 6, 3)

SMALL = {
    "jigsaw": demo.small(demo.JIGSAW),
    "supervised": demo.small(demo.SUPERVISED),
    "colorization": demo.small(demo.COLORIZATION),
    "alexnet": demo.AlexNet(scale=16),
    "shallow": demo.small(demo.SUPERVISED, blocks=(1, 1, 1, 1)),
    "shallow jigsaw": demo.small(demo.JIGSAW, blocks=(1, 1, 1, 1)),
}

Blobs = dict[str, Any]


def small(kind: str, seed: int = 0) -> Blobs:
    """Return the blobs of a small model."""
    return demo.blobs(SMALL[kind], seed=seed)


def write(path: Path, blobs: Blobs, **beside: object) -> Path:
    """Write a checkpoint as the benchmark did under Python 3."""
    path.write_bytes(pickle.dumps({"blobs": blobs, **beside}, protocol=2))
    return path


def read(path: Path) -> Blobs:
    """Read all of a pickle as the old readers do."""
    return pickle.loads(path.read_bytes(), encoding="latin1")


def blobs_of(path: Path) -> Blobs:
    return read(path)["blobs"]


def model_part(blobs: Blobs) -> Blobs:
    """Return the blobs without momentum and bookkeeping."""
    training = ("lr", "model_iter", "epoch")
    return {n: a for n, a in blobs.items() if not n.endswith("_momentum") and n not in training}


def one_tower(blobs: Blobs, tower: int = 0) -> Blobs:
    """Take a tower by plain text work: the oracle of step A."""
    result = {}
    for name, array in blobs.items():
        parts = name.split("_")
        numbers = [p for p in parts if len(p) == 2 and p[0] == "s" and p[1].isdigit()]
        if not numbers:
            result[name] = array
            continue
        shared = numbers == ["s0"] and "bn" not in parts
        if numbers == [f"s{tower}"] or shared:
            parts.remove(numbers[0])
            result["_".join(parts)] = array
    return result


def folded(blobs: Blobs, eps: float = 1e-5) -> Blobs:
    """Fold every batch norm in plain loops: the oracle of step B."""
    result = dict(model_part(blobs))
    for name in [n for n in result if n.endswith("_riv")]:
        norm = name[: -len("_riv")]
        std = np.sqrt(result[f"{norm}_riv"] + eps)
        s, b, rm = result[f"{norm}_s"], result[f"{norm}_b"], result[f"{norm}_rm"]
        result[f"{norm}_s"] = s / std
        result[f"{norm}_b"] = b - rm * s / std
        del result[f"{norm}_rm"], result[f"{norm}_riv"]
    return result


def assert_same(found: Blobs, expected: Blobs) -> None:
    """Compare names, types, shapes and every bit."""
    assert set(found) == set(expected)
    for name, array in expected.items():
        if isinstance(array, np.ndarray):
            assert found[name].dtype == array.dtype, name
            assert found[name].shape == array.shape, name
            assert found[name].tobytes() == array.tobytes(), name
        else:
            assert found[name] == array, name
