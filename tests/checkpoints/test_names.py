"""The grammar of blob names and its three renderings."""

from pathlib import Path

import pytest

from sslprep.checkpoints.names import BlobName, parse_caffe2, parse_spelled, parse_torch
from sslprep.checkpoints.networks import BLOCKS, resnet
from sslprep.demo import checkpoints as demo

GOLDEN = Path(__file__).parents[1] / "golden" / "checkpoints"
EVERY_KIND = [
    demo.JIGSAW,
    demo.SUPERVISED,
    demo.COLORIZATION,
    demo.ALEXNET,
    demo.ResNet(towers=9, head_norms={"pool5": 2048}, heads={"fc_c5": (8, 8), "fc1": (8, 8)}),
]


def name_table(arch):
    """Return the three names of every trunk blob, a line each."""
    rows = [parse_caffe2(name) for name in resnet(BLOCKS[arch]).blobs]
    return "".join(f"{row}\t{row.torch()}\t{row.spelled('detectron2')}\n" for row in rows)


def regenerate():
    """Rewrite the expected table; read the diff."""
    (GOLDEN / "names_R-50.tsv").write_text(name_table("R-50"))


def test_name_table_of_resnet50_is_the_expected_one():
    assert name_table("R-50") == (GOLDEN / "names_R-50.tsv").read_text(), "see regenerate()"


@pytest.mark.parametrize("arch", BLOCKS)
def test_name_table_is_a_bijection(arch):
    rows = [line.split("\t") for line in name_table(arch).splitlines()]
    for column in zip(*rows, strict=True):
        assert len(set(column)) == len(rows)
    for caffe2, torch, detectron2 in rows:
        assert str(parse_torch(torch)) == str(parse_spelled(detectron2, "detectron2")) == caffe2


@pytest.mark.parametrize("arch", BLOCKS)
def test_torch_names_are_those_of_a_torchvision_shaped_model(models, arch):
    pytest.importorskip("torch")

    wanted = {n for n in models.resnet(BLOCKS[arch], width=1).state_dict() if "batches" not in n}
    assert {line.split("\t")[1] for line in name_table(arch).splitlines()} == wanted


@pytest.mark.parametrize("model", EVERY_KIND)
def test_every_real_name_is_read_and_rendered_back(model):
    for name in model.shapes():
        for text in (name, f"{name}_momentum"):
            parsed = parse_caffe2(text)
            assert parsed is not None, text
            assert str(parsed) == text
            assert parsed.momentum == (text != name)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("res2_0_branch2a_w", BlobName(layer="res2_0_branch2a", param="w")),
        (
            "res4_22_branch2c_bn_s8_riv",
            BlobName(layer="res4_22_branch2c", param="riv", norm="_bn", tower=8),
        ),
        ("conv3_s0_bn_s", BlobName(layer="conv3", param="s", norm="_bn", tower=0)),
        ("conv1norm_s", BlobName(layer="conv1", param="s", norm="norm")),
        ("fc6_1_norm_riv", BlobName(layer="fc6_1", param="riv", norm="_norm")),
        (
            "conv1norm_s4k19_resize_bn_b",
            BlobName(layer="conv1", param="b", norm="norm", probe="_s4k19_resize"),
        ),
        (
            "res5_2_branch2c_bn_s0_s1k6_resize_bn_s",
            BlobName(
                layer="res5_2_branch2c",
                param="s",
                norm="_bn",
                tower=0,
                probe="_s1k6_resize",
            ),
        ),
        (
            "fc7_s0_reshape_bn_rm",
            BlobName(layer="fc7", param="rm", norm="_reshape_bn", tower=0),
        ),
        ("pool5_s2_bn_b", BlobName(layer="pool5", param="b", norm="_bn", tower=2)),
        ("res_conv1_bn_norm_b", BlobName(layer="res_conv1", param="b", norm="_bn", affine=True)),
        ("fc_c5_w_momentum", BlobName(layer="fc_c5", param="w", momentum=True)),
    ],
)
def test_parts_of_a_name(text, parts):
    assert parse_caffe2(text) == parts
    assert str(parts) == text


def test_a_stage_is_no_tower():
    for text in ("res2_0_branch2a_w", "res2_1_branch2b_bn_s", "res3_2_branch2c_bn_s_momentum"):
        assert parse_caffe2(text).tower is None


@pytest.mark.parametrize(
    "text",
    [
        "", "w", "conv1", "conv1_w ", " conv1_w", "conv1_w\n", "xconv1_w", "conv1_w_x", "conv0_w",
        "res1_0_branch1_w", "res6_0_branch1_w", "res2_00_branch1_w", "res2_0_branch2d_w",
        "res2_0_branch1_bn_w", "res2_0_branch1_rm", "res2_0_branch1_s1_bn_s2_b",
        "res2_0_branch1_bn_s01_b", "res_conv1_w", "pool5_w", "conv1_norm_s", "pred_reshape_w",
        "conv3_reshape_bn_s",
        "res2_0_branch1_bn_norm_rm", "layer1.0.conv1.weight", "lr", "conv1_w_momentum_momentum",
        "CONV1_W", "res٢_0_branch1_w", "conv1_s0_s1_w",
    ],
)  # fmt: skip
def test_names_outside_the_grammar(text):
    assert parse_caffe2(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "layer0.0.conv1.weight", "layer1.0.conv4.weight", "layer1.0.conv1.bias", "bn1.weight.x",
        "layer1.0.downsample.0.bias", "fc_bn.weight", "pool5.weight", "conv1.running_mean",
        "bn2.weight", "module.conv1.weight", "layer1.00.conv1.weight", "bn1.num_batches_tracked",
    ],
)  # fmt: skip
def test_torch_names_outside_the_grammar(text):
    assert parse_torch(text) is None


@pytest.mark.parametrize(
    ("caffe2", "torch"),
    [
        ("fc6_w", "fc6.weight"),
        ("pool5_bn_s", "pool5_bn.weight"),
        ("fc_c5_w", "fc.c5.weight"),
        ("fc_pred_b", "fc.pred.bias"),
        ("conv3_bn_riv", "conv3_bn.running_var"),
        ("fc6_reshape_bn_rm", "fc6_reshape_bn.running_mean"),
        ("conv1_b", "conv1.bias"),
        ("pred_w", "pred.weight"),
    ],
)
def test_heads_and_alexnet_have_names_by_one_rule(caffe2, torch):
    assert parse_caffe2(caffe2).torch() == torch
    assert str(parse_torch(torch)) == caffe2


def test_classifier_becomes_fc_and_comes_back():
    for head in ("pred", "fc1", "fc_pred"):
        name = parse_caffe2(f"{head}_w")
        assert name.torch(classifier=head) == "fc.weight"
        assert parse_torch("fc.weight", classifier=head) == name


def test_what_has_no_place_in_pytorch_has_no_name():
    for text in ("conv1_w_momentum", "conv1_s0_w", "res_conv1_bn_norm_s", "res2_0_branch1_b"):
        assert parse_caffe2(text).torch() is None
