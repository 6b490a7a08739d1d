"""A ResNet built as Detectron2 builds one, from exactly the settings that are printed.

Its names, the meaning of its settings and its way of loading (equal names, equal shapes, what is
left over is skipped) are Detectron2's; it is not installable beside this package.
"""

import pickle

import numpy as np
import pytest

from sslprep import manifest
from sslprep.checkpoints.detectron import convert_detectron

torch = pytest.importorskip("torch")
nn = torch.nn

BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}


class Conv(nn.Conv2d):
    """A convolution with its norm inside, as `conv1.norm`."""

    def __init__(self, given, out, kernel, stride=1, groups=1):
        super().__init__(given, out, kernel, stride, kernel // 2, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(out)

    def forward(self, x):
        return self.norm(super().forward(x))


class Block(nn.Module):
    def __init__(self, given, middle, out, stride, cfg, basic):
        super().__init__()
        if given != out:
            self.shortcut = Conv(given, out, 1, stride)
        if basic:
            self.conv1, self.conv2 = Conv(given, out, 3, stride), Conv(out, out, 3)
            return
        first, second = (stride, 1) if cfg["STRIDE_IN_1X1"] else (1, stride)
        self.conv1 = Conv(given, middle, 1, first)
        self.conv2 = Conv(middle, middle, 3, second, cfg["NUM_GROUPS"])
        self.conv3 = Conv(middle, out, 1)

    def forward(self, x):
        y = self.conv2(self.conv1(x).relu())
        y = self.conv3(y.relu()) if hasattr(self, "conv3") else y
        return (y + (self.shortcut(x) if hasattr(self, "shortcut") else x)).relu()


class Backbone(nn.Module):
    def __init__(self, settings):
        super().__init__()
        cfg = {k.rpartition(".")[2]: v for k, v in settings.items() if "RESNETS" in k}
        basic = cfg["DEPTH"] in (18, 34)
        given, out = cfg["STEM_OUT_CHANNELS"], cfg["RES2_OUT_CHANNELS"]
        self.stem = nn.Module()
        self.stem.conv1 = Conv(len(settings["MODEL.PIXEL_MEAN"]), given, 7, 2)
        middle = None if basic else cfg["NUM_GROUPS"] * cfg["WIDTH_PER_GROUP"]
        for stage, count in enumerate(BLOCKS[cfg["DEPTH"]], 2):
            blocks = []
            for i in range(count):
                stride = 2 if i == 0 and stage > 2 else 1
                blocks.append(Block(given, middle, out, stride, cfg, basic))
                given = out
            self.add_module(f"res{stage}", nn.Sequential(*blocks))
            out, middle = 2 * out, middle and 2 * middle

    def forward(self, x):
        x = nn.functional.max_pool2d(self.stem.conv1(x).relu(), 3, 2, 1)
        return self.res5(self.res4(self.res3(self.res2(x))))


def load(path, settings):
    """Build from the settings and load: what is skipped on either side is an error."""
    content = pickle.loads(path.read_bytes(), encoding="latin1")
    assert content["matching_heuristics"] is True
    backbone = Backbone(settings).eval()
    own = backbone.state_dict()
    taken = {
        name: torch.from_numpy(array)
        for name, array in content["model"].items()
        if name in own and own[name].shape == array.shape
    }
    assert set(taken) == set(content["model"]), "tensors of the file would be skipped"
    assert set(taken) == {name for name in own if "batches" not in name}
    backbone.load_state_dict(taken, strict=False)
    return backbone


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"stride_in_1x1": False, "base": 8},
        {"groups": 2, "base": 2},
        {"blocks": (2, 2, 2, 2), "basic": True},
        {"blocks": (3, 4, 6, 3), "basic": True},
    ],
    ids=["R-50", "wide", "ResNeXt", "R-18", "R-34"],
)
@pytest.mark.parametrize("channels", [None, "bgr"])
@pytest.mark.parametrize("absorb", [False, True])
def test_the_printed_settings_are_enough(models, tmp_path, options, channels, absorb):
    network = models.resnet(**options)
    torch.save({"state_dict": network.state_dict()}, tmp_path / "m.pth")
    target = tmp_path / "d2.pkl"
    convert_detectron(
        tmp_path / "m.pth", target, target="detectron2", channels=channels, absorb_std=absorb
    )
    settings = manifest.read(tmp_path / "d2.pkl.manifest.json").details["settings"]
    backbone = load(target, settings)
    pixels = np.random.default_rng(0).integers(0, 256, (3, 64, 64)).astype(np.float32)
    planes = pixels[::-1] if settings["INPUT.FORMAT"] == "BGR" else pixels
    mean, std = (np.array(settings[f"MODEL.PIXEL_{name}"])[:, None, None]
                 for name in ("MEAN", "STD"))  # fmt: skip
    usual = (pixels / 255 - [[[0.485]], [[0.456]], [[0.406]]]) / [[[0.229]], [[0.224]], [[0.225]]]
    with torch.no_grad():
        found = backbone(torch.from_numpy(((planes - mean) / std)[None]).float())
        expected = network(torch.from_numpy(usual[None]).float())
    assert torch.allclose(found.mean((2, 3)), expected, rtol=1e-4, atol=1e-5)
