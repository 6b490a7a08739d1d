"""The test models have exactly the names, types and shapes of real checkpoints."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest

from sslprep.demo import checkpoints as demo


def listing(model):
    """Return what the benchmark's blob lists hold: a line of name, type and shape per blob."""
    lines = []
    for name, shape in model.shapes().items():
        lines.append(f"{name}\tfloat32\t{shape}")
        if not name.endswith(("_rm", "_riv")):
            lines.append(f"{name}_momentum\tfloat32\t{shape}")
    return sorted([*lines, "lr\tfloat32\t(1,)", "model_iter\tint\t"])


# Number of blobs and SHA-256 of the sorted lists of checkpoints that real Caffe2 wrote.
REAL = {
    "jigsaw": (replace(demo.JIGSAW, heads={"fc_pred": (20, 18432)}), 2974, "92478628bb6d2b0c"),
    "supervised": (demo.ResNet(heads={"fc1": (20, 2048)}), 430, "5c7e1f0f5f250bea"),
    "colorization": (demo.COLORIZATION, 436, "ac20b77afca3d804"),
    "alexnet": (demo.ALEXNET, 64, "9656657d8e360ce4"),
}


@pytest.mark.parametrize("kind", REAL)
def test_names_and_shapes_are_those_of_real_checkpoints(kind):
    model, count, digest = REAL[kind]
    lines = listing(model)
    assert len(lines) == count
    assert hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16] == digest


@pytest.mark.parametrize(
    ("depth", "weights"), [(50, 25_557_032), (101, 44_549_160), (152, 60_192_808)]
)
def test_depths_have_the_published_number_of_weights(depth, weights):
    shapes = demo.ResNet(depth=depth, heads={"pred": (1000, 2048)}).shapes()
    trained = [s for n, s in shapes.items() if not n.endswith(("_rm", "_riv"))]
    assert sum(int(np.prod(shape)) for shape in trained) == weights


def test_blobs_are_float32_but_for_the_bare_iteration():
    made = demo.blobs(demo.small(demo.JIGSAW, blocks=(1, 1, 1, 1)))
    assert made.pop("model_iter") == 100_000
    assert made["lr"].shape == (1,)
    assert {array.dtype for array in made.values()} == {np.dtype("float32")}


def test_variances_span_those_of_a_trained_model():
    made = demo.blobs(demo.small(demo.SUPERVISED, width=16))
    variances = np.concatenate([a for n, a in made.items() if n.endswith("_riv")])
    assert 0 < variances.min() < 3e-15
    assert variances.max() > 5e4


def test_seed_gives_the_weights():
    model = demo.small(demo.SUPERVISED, blocks=(1, 1, 1, 1))
    one, same, other = demo.blobs(model, seed=1), demo.blobs(model, seed=1), demo.blobs(model)
    assert np.array_equal(one["conv1_w"], same["conv1_w"])
    assert not np.array_equal(one["conv1_w"], other["conv1_w"])
