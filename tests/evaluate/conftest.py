"""Networks of every kind, small, with drawn weights; and a few photographs."""

import json
import pickle
from functools import partial

import numpy as np
import pytest
from PIL import Image

from sslprep.checkpoints import networks

NETWORKS = {
    "ResNet": lambda: networks.resnet((3, 4, 6, 3)),
    "ResNet colorization": lambda: networks.resnet((3, 4, 6, 3), colorization=True),
    "CaffeNet": lambda: networks.alexnet("CaffeNet", fc=0),
    "AlexNet colorization": lambda: networks.alexnet("AlexNet colorization", fc=0),
    "AlexNet Jigsaw": lambda: networks.alexnet("AlexNet Jigsaw", probes=True, fc=0),
}


def draw(network, width=4, seed=0):
    """Return blobs that fit a network's layers, all of some channels."""
    random = np.random.default_rng(seed)
    channels = {"data": 1 if network.colorization else 3}
    blobs = {}
    for layer in network.layers:
        given = channels[layer.takes[0]]
        channels[layer.name] = given
        if layer.op == "conv":
            takes = given // 2 if layer.grouped == 2 else given
            shape = (width, takes, layer.kernel, layer.kernel)
            fan_in = takes * layer.kernel**2
            blobs[f"{layer.name}_w"] = random.normal(size=shape) * np.sqrt(2 / fan_in)
            if layer.bias:
                blobs[f"{layer.name}_b"] = 0.1 * random.normal(size=width)
            channels[layer.name] = width
        elif layer.op == "norm":
            blobs |= {
                f"{layer.name}_s": random.uniform(0.5, 1.5, given),
                f"{layer.name}_b": 0.1 * random.normal(size=given),
                f"{layer.name}_rm": 0.1 * random.normal(size=given),
                f"{layer.name}_riv": random.uniform(0.5, 2, given),
            }
    return {name: blob.astype(np.float32) for name, blob in blobs.items()}


@pytest.fixture
def drawn_blobs():
    return draw


@pytest.fixture
def write_checkpoint():
    """Write blobs as the benchmark's Caffe2 did."""

    def write(path, blobs):
        path.write_bytes(pickle.dumps({"blobs": blobs}, protocol=2))
        return path

    return write


@pytest.fixture(params=NETWORKS)
def network(request):
    return NETWORKS[request.param]().without_heads()


@pytest.fixture
def photos(tmp_path):
    """Seven pictures of several sizes and kinds, and the list of them."""
    random = np.random.default_rng(0)
    folder = tmp_path / "photos"
    folder.mkdir()
    names = []
    for n, size in enumerate(
        [(300, 260), (256, 256), (256, 400), (90, 500), (700, 300), (257, 300)]
    ):
        small = random.integers(0, 256, (6, 8, 3), np.uint8)
        Image.fromarray(small).resize(size).save(folder / f"{n}.jpg")
        names.append(f"{n}.jpg")
    Image.fromarray(random.integers(0, 256, (280, 300), np.uint8)).save(folder / "grey.png")
    np.save(tmp_path / "train_images.npy", [*names, "grey.png"])
    return folder


@pytest.fixture(scope="session")
def voc_like(tmp_path_factory):
    """Features and labels of a small multi-label set, in the files that the commands take."""
    folder = tmp_path_factory.mktemp("voc")
    random = np.random.default_rng(0)
    labels = (random.random((220, 4)) < (0.15, 0.25, 0.3, 0.4)).astype(np.int32)
    hidden = random.normal(size=(220, 9)) + 1.2 * labels @ random.normal(size=(4, 9))
    features = np.maximum(hidden @ random.normal(size=(9, 50)), 0).astype(np.float32)
    labels[random.random(labels.shape) < 0.05] = -1
    for name, part in {"train": slice(0, 140), "test": slice(140, 220)}.items():
        np.save(folder / f"{name}_features.npy", features[part])
        np.save(folder / f"{name}_labels.npy", labels[part])
    classes = [{"name": name, "id": n} for n, name in enumerate(["cat", "dog", "emu", "owl"])]
    (folder / "classes.json").write_text(json.dumps(classes))
    return folder


@pytest.fixture
def linear_svc():
    """The protocol's classifier in scikit-learn, exact."""
    from sklearn.svm import LinearSVC

    return partial(
        LinearSVC,
        loss="squared_hinge",
        dual=True,
        class_weight={1: 2, -1: 1},
        tol=1e-8,
        max_iter=1_000_000,
    )
