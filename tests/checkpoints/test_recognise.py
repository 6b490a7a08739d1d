"""What a file is, said from shapes: supported, or named and refused."""

import numpy as np
import pytest

from sslprep import manifest
from sslprep.checkpoints.names import parse_torch
from sslprep.checkpoints.pytorch import convert_pytorch
from sslprep.checkpoints.recognise import recognise, refuse_others
from sslprep.errors import CheckpointError
from sslprep.inspection.command import inspect

torch = pytest.importorskip("torch")


def zeros(**shapes):
    return {name: torch.zeros(shape) for name, shape in shapes.items()}


def vit():
    blocks = {f"blocks.{i}.attn.qkv.weight": torch.zeros(3, 2) for i in range(12)}
    return {"patch_embed.proj.weight": torch.zeros(384, 3, 16, 16), **blocks}


def changed(models, change):
    state = dict(models.resnet((1, 1, 1, 1)).state_dict())
    change(state)
    return state


def cifar(state):
    state["conv1.weight"] = torch.zeros(4, 3, 3, 3)


def squeeze(state):
    state["layer1.0.se.fc1.weight"] = torch.zeros(2, 4)


def group_norm(state):
    for name in [n for n in state if "running" in n or "batches" in n]:
        del state[name]


def no_norms(state):
    for name in [n for n in state if "bn" in n or "downsample.1" in n]:
        del state[name]


def deep_stem(state):
    del state["conv1.weight"]
    state["conv1.0.weight"] = torch.zeros(4, 3, 3, 3)


def over_time(state):
    state["layer1.0.conv2.weight"] = torch.zeros(4, 4, 3, 3, 3)


LENET = {"conv1.weight": (6, 1, 5, 5), "conv2.weight": (16, 6, 5, 5), "fc1.weight": (120, 400)}
MTCNN = {"conv1.weight": (10, 3, 3, 3), "conv2.weight": (16, 10, 3, 3),
         "conv3.weight": (32, 16, 3, 3)}  # fmt: skip
VGG = {f"features.{i}.weight": (8, 8, 3, 3) for i in range(0, 26, 3)}
CASES = {
    "ViT": (lambda _: vit(), "a ViT of width 384, depth 12, patch 16"),
    "LeNet": (lambda _: zeros(**LENET), "LeNet"),
    "MTCNN": (lambda _: zeros(**MTCNN), "MTCNN's P-Net"),
    "VGG": (lambda _: zeros(**VGG), "a VGG"),
    "AlexNet of torchvision": (
        lambda _: zeros(**{"features.0.weight": (64, 3, 11, 11)}), "torchvision's AlexNet"),
    "RegNet": (lambda _: zeros(**{
        "stem.0.weight": (32, 3, 3, 3), "trunk_output.block1.block1-0.f.a.0.weight": (8, 32, 1, 1),
    }), "a RegNet"),
    "ConvNeXt": (lambda _: zeros(**{
        "stem.0.weight": (96, 3, 4, 4), "stages.0.blocks.0.conv_dw.weight": (96, 1, 7, 7),
    }), "a ConvNeXt"),
    "AlexNet of RotNet": (lambda _: zeros(**{
        "_feature_blocks.conv1.0.weight": (64, 3, 11, 11)}), "no network that is known here"),
    "CIFAR": (lambda m: changed(m, cifar), "a ResNet with the 3×3 stem of CIFAR"),
    "SE": (lambda m: changed(m, squeeze), "an SE-ResNet"),
    "GroupNorm": (lambda m: changed(m, group_norm), "group norms"),
    "no norms": (lambda m: changed(m, no_norms), "without batch norms"),
    "deep stem": (lambda m: changed(m, deep_stem), "a deep stem"),
    "R(2+1)D": (lambda m: changed(m, over_time), r"R(2+1)D"),
    "Swin": (lambda _: zeros(**{"layers.0.attn.relative_position_bias_table": (9, 3)}), "a Swin"),
    "something": (lambda _: zeros(**{"a.weight": (2, 2)}), "unknown"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_other_networks_are_named_and_refused(models, tmp_path, case):
    make, text = CASES[case]
    torch.save({"state_dict": make(models)}, tmp_path / "m.pth")
    facts = inspect(tmp_path / "m.pth").facts
    assert text in f"{facts['network']} {facts.get('why', '')}"
    said = "\n".join(f"{name} {value}" for name, value in facts.items())
    for wrong in ("R-50", "colorization", "RGB", "BGR"):
        assert wrong not in said
    with pytest.raises(CheckpointError) as caught:
        convert_pytorch(tmp_path / "m.pth", tmp_path / "o")
    assert text in str(caught.value) or case == "something"
    assert len(str(caught.value)) <= 500
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("channels", [1, 2, 4, 13])
def test_other_input_channels_have_no_order_that_anyone_knows(models, tmp_path, channels):
    """One channel is colorization only in Caffe2's files."""
    torch.save(models.resnet(channels=channels).state_dict(), tmp_path / "m.pth")
    facts = inspect(tmp_path / "m.pth").facts
    assert facts["channel order"] == f"unknown: conv1 takes {channels} channels"
    assert "colorization" not in str(facts["kind"])
    convert_pytorch(tmp_path / "m.pth", tmp_path / "o", check=True)


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"groups": 4, "base": 2}, "ResNeXt-50 4x2d"),
        ({"base": 8}, "Wide ResNet-50-2"),
        ({"blocks": (3, 4, 23, 3), "groups": 2}, "ResNeXt-101 2x4d"),
        ({"blocks": (2, 2, 2, 2), "basic": True}, "R-18"),
        ({}, "R-50"),
    ],
)
def test_widths_are_part_of_the_name(models, tmp_path, options, name):
    """A ResNeXt or a wide ResNet is no R-50: torchvision's resnet50 does not load it."""
    torch.save(models.resnet(classes=7, **options).state_dict(), tmp_path / "m.pth")
    facts = inspect(tmp_path / "m.pth").facts
    assert (facts["network"], facts["kind"]) == (name, "classifier of 7 classes")
    assert str(facts["heads"]).startswith("fc.weight (7, ")
    assert convert_pytorch(tmp_path / "m.pth", tmp_path / "o").model == name
    assert manifest.read(tmp_path / "o.manifest.json").details["arch"] == name
    if name != "R-50":
        with pytest.raises(CheckpointError, match=f"is {name}, not R-50"):
            convert_pytorch(tmp_path / "m.pth", tmp_path / "p", arch="R-50")


@pytest.mark.parametrize(("width", "name"), [(64, "R-50"), (128, "R-50w2"), (256, "R-50w4")])
def test_a_network_that_is_wider_everywhere_is_no_r50(models, width, name):
    """SwAV's RN50w2, SimCLR's ResNet-50 (2x): torchvision's resnet50 does not load them."""
    with torch.device("meta"):
        state = models.resnet(width=width).state_dict()
    shapes = {str(n): tuple(t.shape) for text, t in state.items() if (n := parse_torch(text))}
    assert recognise(shapes, caffe2=False).arch == name


@pytest.mark.parametrize("part", ["bn1.IN.weight", "convs.0.weight", "ca.fc1.weight"])
def test_a_resnet_with_parts_of_another_kind_is_only_like_one(models, tmp_path, part):
    """IBN-Net, Res2Net, CBAM: `convert` refuses them, so `inspect` calls them no R-50."""
    state = {**models.resnet().state_dict(), f"layer1.0.{part}": torch.ones(2, 2, 3, 3)}
    torch.save(state, tmp_path / "m.pth")
    facts = inspect(tmp_path / "m.pth").facts
    assert facts["network"] == "like R-50, but for unknown arrays"
    assert f"layer1.0.{part}" in str(facts["unknown arrays"])
    with pytest.raises(CheckpointError, match="is unknown"):
        convert_pytorch(tmp_path / "m.pth", tmp_path / "o")


@pytest.mark.parametrize("shape", [(), (0,), (1, 1)])
def test_weights_of_any_number_of_axes_are_no_traceback(models, tmp_path, shape):
    for name in ("conv1.weight", "layer1.0.conv2.weight", "layer1.0.conv3.weight", "bn1.weight"):
        torch.save({**models.resnet().state_dict(), name: torch.zeros(shape)}, tmp_path / "m.pth")
        assert inspect(tmp_path / "m.pth").facts["network"] == "unknown"
        with pytest.raises(CheckpointError, match="has shape"):
            convert_pytorch(tmp_path / "m.pth", tmp_path / "o")


def test_an_alexnets_weights_of_no_axes_are_no_traceback_either(models, tmp_path):
    for name, blob in (whole := models.small("alexnet")).items():
        if name.endswith("_w"):
            blobs = {**whole, name: np.zeros((), blob.dtype)}
            with pytest.raises(CheckpointError):
                convert_pytorch(models.write(tmp_path / "m.pkl", blobs), tmp_path / "o")


def test_long_names_are_searched_once():
    """A pattern that begins at each `layer1.0` and runs to the end would take hours."""
    refuse_others({"layer1.0" * 200_000: (1,), "layer1.0." * 200_000: (1, 1)})


def test_an_error_of_many_blobs_is_short(models, tmp_path):
    blobs = {f"{'x' * 90}_{i}": np.ones(1, "f4") for i in range(200)}
    source = models.write(tmp_path / "m.pkl", {**models.small("supervised"), **blobs})
    with pytest.raises(CheckpointError) as caught:
        convert_pytorch(source, tmp_path / "o")
    assert len(str(caught.value)) - len(str(source)) <= 500


def test_a_fragment_is_called_one_and_what_it_lacks_is_named(tmp_path):
    state = {
        "conv1.weight": torch.zeros(8, 3, 7, 7),
        "layer1.0.conv1.weight": torch.ones(8, 8, 1, 1),
    }
    torch.save({"state_dict": state}, tmp_path / "m.pth")
    facts = inspect(tmp_path / "m.pth").facts
    assert facts["network"] == "ResNet with blocks 1-0-0-0"
    assert str(facts["missing"]).startswith("res_conv1_bn_s, ")
    with pytest.raises(CheckpointError, match=r"res_conv1_bn_s, .* are missing"):
        convert_pytorch(tmp_path / "m.pth", tmp_path / "o")


def resized(blobs, layer, width):
    """Give a layer and the norm behind it another number of channels."""
    changed = dict(blobs)
    for name, array in blobs.items():
        if name == f"{layer}_w" or name.startswith(f"{layer}_bn_"):
            changed[name] = np.resize(array, (width, *array.shape[1:]))
    return changed


@pytest.mark.parametrize("width", [12, 20])
def test_a_shortcut_must_give_what_its_block_gives(models, tmp_path, width):
    blobs = resized(models.small("supervised"), "res2_0_branch1", width)
    source = models.write(tmp_path / "m.pkl", blobs)
    with pytest.raises(CheckpointError, match=f"res2_0_branch2c_w gives 16 channels, not {width}"):
        convert_pytorch(source, tmp_path / "o")


def test_a_layer_without_channels_is_an_error(models, tmp_path):
    blobs = resized(models.small("supervised"), "res2_1_branch2a", 0)
    blobs["res2_1_branch2b_w"] = np.zeros((4, 0, 3, 3), np.float32)
    source = models.write(tmp_path / "m.pkl", blobs)
    with pytest.raises(CheckpointError, match=r"res2_1_branch2a_w has shape \(0, 16, 1, 1\)"):
        convert_pytorch(source, tmp_path / "o")


def test_an_alexnets_fc6_takes_whole_feature_maps(models, tmp_path):
    """Of one tower or of several side by side; anything else is no head to leave out."""
    blobs = models.small("alexnet")
    [name] = [name for name in blobs if name.startswith("fc6") and name.endswith("_w")]
    blobs[name] = np.ones((blobs[name].shape[0], blobs[name].shape[1] + 1), np.float32)
    with pytest.raises(CheckpointError, match=r"fc6_w has shape"):
        convert_pytorch(models.write(tmp_path / "m.pkl", blobs), tmp_path / "o")


def test_an_alexnet_has_one_group_or_two(models, tmp_path):
    blobs = models.small("alexnet")
    name = next(name for name in blobs if name.startswith("conv4") and name.endswith("_w"))
    given = blobs[name].shape[1] * 2
    for groups in (1, 2, 4):
        shape = (blobs[name].shape[0], given // groups, *blobs[name].shape[2:])
        source = models.write(tmp_path / "m.pkl", {**blobs, name: np.ones(shape, np.float32)})
        if groups < 4:
            convert_pytorch(source, tmp_path / "o", overwrite=True)
        else:
            with pytest.raises(CheckpointError, match=r"conv4_w has shape"):
                convert_pytorch(source, tmp_path / "p")


def test_one_convolution_of_another_size_makes_no_basic_blocks(models, tmp_path):
    blobs = models.small("supervised")
    blobs["res4_2_branch2a_w"] = np.ones((*blobs["res4_2_branch2a_w"].shape[:2], 3, 3), np.float32)
    source = models.write(tmp_path / "m.pkl", blobs)
    wrong = r"res4_2_branch2a_w has shape \(16, 64, 3, 3\), not \(any, 64, 1, 1\)"
    with pytest.raises(CheckpointError, match=wrong):
        convert_pytorch(source, tmp_path / "o")


def test_of_two_heads_that_nobody_knows_neither_is_the_classifier(models, tmp_path):
    trunk = {
        n: b for n, b in models.small("supervised").items() if not n.startswith(("fc", "pred"))
    }
    heads = {}
    for name in ("fc6", "fc9"):
        heads |= {f"{name}_w": np.ones((5, 128), "f4"), f"{name}_b": np.ones(5, "f4")}
    source = models.write(tmp_path / "m.pkl", {**trunk, **heads})
    convert_pytorch(source, tmp_path / "o", keep_head=True)
    state = torch.load(tmp_path / "o")["state_dict"]
    assert {"fc6.weight", "fc9.weight"} <= set(state)
    assert "fc.weight" not in state
