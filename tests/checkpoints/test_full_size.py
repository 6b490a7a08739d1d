"""The four kinds of checkpoints at full size: names and every bit, there and back."""

from dataclasses import replace

import numpy as np
import pytest

from sslprep.checkpoints.caffe2 import convert_caffe2
from sslprep.checkpoints.detectron import convert_detectron
from sslprep.checkpoints.jigsaw import convert_jigsaw
from sslprep.checkpoints.pickling import write_pickle
from sslprep.checkpoints.pytorch import convert_pytorch
from sslprep.demo import checkpoints as demo

FULL = {
    "jigsaw": demo.JIGSAW,  # with the optimiser's momentum, which is as large as the weights
    "supervised": replace(demo.SUPERVISED, momentum=False),
    "colorization": replace(demo.COLORIZATION, momentum=False),
    "alexnet": replace(demo.ALEXNET, momentum=False),
}


@pytest.mark.parametrize("kind", FULL)
def test_full_size(models, tmp_path, kind):
    blobs = demo.blobs(FULL[kind])
    with open(tmp_path / "m.pkl", "wb") as file:
        write_pickle(file, {"blobs": blobs})
    single = models.one_tower(blobs)
    towers = kind in ("jigsaw", "alexnet")
    absorb = kind != "colorization"

    source = tmp_path / "m.pkl"
    if towers:
        convert_jigsaw(model_file=source, output_file=tmp_path / "a.pkl")
        models.assert_same(models.blobs_of(tmp_path / "a.pkl"), single)
        source = tmp_path / "a.pkl"

    convert_detectron(c2_model=source, output_file=tmp_path / "d.pkl", absorb_std=absorb)
    expected = models.folded(single)
    if absorb:
        divisors = np.array([255 * std for std in (0.225, 0.224, 0.229)], np.float32)
        expected["conv1_w"] = expected["conv1_w"] / divisors[:, None, None]
    models.assert_same(models.blobs_of(tmp_path / "d.pkl"), expected)
    (tmp_path / "d.pkl").unlink()

    convert_pytorch(c2_model=tmp_path / "m.pkl", output_model=tmp_path / "m.dat", keep_head=True)
    load_strictly(models, kind, tmp_path / "m.dat")
    convert_caffe2(pth_model=tmp_path / "m.dat", output_model=tmp_path / "b.pkl")
    models.assert_same(models.blobs_of(tmp_path / "b.pkl"), models.model_part(single))
    for path in tmp_path.iterdir():
        path.unlink()


def load_strictly(models, kind, path):
    """Load a state dict into a torchvision-shaped ResNet-50, the other heads left out."""
    torch = pytest.importorskip("torch")

    state = torch.load(path, mmap=True)["state_dict"]
    build = {
        "jigsaw": {},
        "supervised": {"classes": 1000},
        "colorization": {"channels": 1, "last_stride": 1},
    }
    if kind in build:
        others = ("fc6.", "pred.", "pool5_bn.")
        trunk = {n: tensor for n, tensor in state.items() if not n.startswith(others)}
        models.resnet(width=64, **build[kind]).load_state_dict(trunk, strict=True)
    if kind == "supervised":
        assert len(trunk) == len(state)
