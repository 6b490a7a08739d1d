"""Step B: Detectron's affine layers and Detectron2's own layout."""

import numpy as np
import pytest

from sslprep import manifest
from sslprep.checkpoints import batchnorm, source
from sslprep.checkpoints.caffe2 import convert_caffe2
from sslprep.checkpoints.detectron import convert_detectron
from sslprep.checkpoints.jigsaw import convert_jigsaw
from sslprep.checkpoints.open import read_checkpoint
from sslprep.checkpoints.pytorch import convert_pytorch
from sslprep.errors import CheckpointError, ParameterError
from sslprep.input_files import sha256_of
from sslprep.inspection.command import inspect


def convert(models, tmp_path, blobs, **options):
    """Convert blobs and return the whole written pickle."""
    source = models.write(tmp_path / "m.pkl", blobs)
    convert_detectron(c2_model=source, output_file=tmp_path / "d.pkl", overwrite=True, **options)
    return models.read(tmp_path / "d.pkl")


@pytest.mark.parametrize("kind", ["supervised", "colorization"])
def test_folds_every_norm_bit_for_bit(models, tmp_path, kind):
    blobs = models.small(kind)
    made = convert(models, tmp_path, blobs)
    assert list(made) == ["blobs"]
    models.assert_same(made["blobs"], models.folded(blobs))


def test_does_the_towers_too(models, tmp_path):
    blobs = models.small("jigsaw")
    made = convert(models, tmp_path, blobs, tower=2)
    models.assert_same(made["blobs"], models.folded(models.one_tower(blobs, 2)))
    assert made["sslprep"] == {"tower": 2}


def test_folds_alexnet(models, tmp_path):
    blobs = models.small("alexnet")
    made = convert(models, tmp_path, blobs)
    models.assert_same(made["blobs"], models.folded(models.one_tower(blobs)))


def test_old_readers_find_no_numbers_and_no_statistics(models, tmp_path):
    made = convert(models, tmp_path, models.small("supervised"))["blobs"]
    assert all(isinstance(array, np.ndarray) for array in made.values())
    endings = ("_rm", "_riv", "_momentum", "lr", "model_iter")
    assert not [name for name in made if name.endswith(endings)]


def test_decomposes_a_norm_into_two_affine_layers(models, tmp_path):
    blobs = models.small("supervised")
    made = convert(models, tmp_path, blobs, decompose_bn=True)["blobs"]
    std = np.sqrt(blobs["res_conv1_bn_riv"] + 1e-5)
    assert np.array_equal(made["res_conv1_bn_norm_s"], 1 / std)
    assert np.array_equal(made["res_conv1_bn_norm_b"], -blobs["res_conv1_bn_rm"] / std)
    assert np.array_equal(made["res_conv1_bn_s"], blobs["res_conv1_bn_s"])
    assert np.array_equal(made["res_conv1_bn_b"], blobs["res_conv1_bn_b"])
    assert "res_conv1_bn_rm" not in made


def test_keeps_momentum_when_told(models, tmp_path):
    blobs = models.small("supervised")
    made = convert(models, tmp_path, blobs, keep_momentum=True)["blobs"]
    momentum = {n: a for n, a in blobs.items() if n.endswith("_momentum")}
    models.assert_same({n: made[n] for n in momentum}, momentum)
    models.assert_same({n: a for n, a in made.items() if n not in momentum}, models.folded(blobs))


def test_takes_another_eps(models, tmp_path):
    blobs = models.small("shallow")
    made = convert(models, tmp_path, blobs, bn_eps=1e-3)
    models.assert_same(made["blobs"], models.folded(blobs, eps=1e-3))


@pytest.mark.parametrize("eps", [-1e-5, float("nan"), float("inf")])
def test_refuses_an_impossible_eps(models, tmp_path, eps):
    with pytest.raises(ParameterError, match="--bn-eps"):
        convert(models, tmp_path, models.small("shallow"), bn_eps=eps)


def test_absorbs_the_std_in_bgr_order(models, tmp_path):
    blobs = models.small("supervised")
    made = convert(models, tmp_path, blobs, absorb_std=True)
    expected = blobs["conv1_w"].copy()
    for channel, std in enumerate([0.225, 0.224, 0.229]):
        expected[:, channel] /= 255 * std
    assert np.array_equal(made["blobs"]["conv1_w"], expected)
    assert made["sslprep"] == {"absorbed_std": True}
    assert manifest.read(tmp_path / "d.pkl.manifest.json").details["absorbed_std"] is True


@pytest.mark.parametrize("target", ["detectron", "detectron2"])
def test_absorbing_twice_is_an_error(models, tmp_path, target):
    convert(models, tmp_path, models.small("shallow"), absorb_std=True, target=target)
    with pytest.raises(CheckpointError, match="absorbed in conv1_w already"):
        convert_detectron(
            c2_model=tmp_path / "d.pkl", output_file=tmp_path / "e.pkl", absorb_std=True
        )
    assert not (tmp_path / "e.pkl").exists()


@pytest.mark.parametrize("decompose", [False, True])
def test_the_account_says_into_what_each_part_of_a_norm_went(models, tmp_path, decompose):
    convert(models, tmp_path, models.small("shallow"), decompose_bn=decompose)
    account = manifest.read(tmp_path / "d.pkl.manifest.json").details["account"]
    became = {row["blob"]: row["became"] for row in account}
    norm, first = (
        "res2_0_branch2a_bn",
        "res2_0_branch2a_bn_norm" if decompose else "res2_0_branch2a_bn",
    )
    assert became[f"{norm}_s"] == f"{norm}_s"
    assert became[f"{norm}_b"] == f"{norm}_b"
    assert became[f"{norm}_rm"] == f"{first}_b"
    assert became[f"{norm}_riv"] == f"{first}_s"


@pytest.mark.parametrize("decompose", [False, True])
def test_folding_twice_is_an_error(models, tmp_path, decompose):
    convert(models, tmp_path, models.small("shallow"), decompose_bn=decompose)
    with pytest.raises(CheckpointError, match="folded batch norms already"):
        convert_detectron(c2_model=tmp_path / "d.pkl", output_file=tmp_path / "e.pkl")


def test_colorization_has_no_std_to_absorb(models, tmp_path):
    with pytest.raises(CheckpointError, match=r"m\.pkl: conv1_w has shape .*colorization model"):
        convert(models, tmp_path, models.small("colorization"), absorb_std=True)


def broken(models, **changes):
    blobs = models.small("shallow")
    for name, change in changes.items():
        if change is None:
            del blobs[name]
        else:
            blobs[name] = change(blobs[name].copy())
    return blobs


def put(value):
    def change(array):
        array.reshape(-1)[1] = value
        return array

    return change


BROKEN = {
    "negative variance": ("res3_0_branch2b_bn_riv", put(-1e-9), "1 negative variances"),
    "NaN variance": ("res3_0_branch2b_bn_riv", put(np.nan), "1 values that are NaN or infinite"),
    "NaN weight": ("res2_0_branch2a_w", put(np.nan), "1 values that are NaN or infinite"),
    "infinite weight": ("conv1_w", put(np.inf), "1 values that are NaN or infinite"),
    "NaN head": ("pred_w", put(np.nan), "1 values that are NaN or infinite"),
    "integers": ("conv1_w", lambda a: a.astype(np.int32), "int32, not floats"),
    "missing mean": ("res3_0_branch2b_bn_rm", None, "missing"),
    "missing scale": ("res_conv1_bn_s", None, "missing"),
    "missing weights": ("res5_0_branch1_w", None, "missing"),
    "short norm": ("res4_0_branch2c_bn_b", lambda a: a[:-1], r"has shape \(63,\), not \(64,\)"),
    "wrong kernel": ("res2_0_branch2b_w", lambda a: a[:, :, :1], r"not \(any, 4, 3, 3\)"),
    "wrong inputs": ("res3_0_branch2a_w", lambda a: a[:, :7], r"not \(any, 16, 1, 1\)"),
    "flat weights": ("res3_0_branch2a_w", lambda a: a.reshape(-1), r"not \(any, 16, 1, 1\)"),
    "shortcut width": ("res3_0_branch1_w", lambda a: a[:9], r"_bn_s has shape \(32,\), not \(9,\)"),
    "flat stem": ("conv1_w", lambda a: a[0], r"has shape \(3, 7, 7\), not \(any, 3, 7, 7\)"),
    "head bias": ("pred_b", lambda a: a[:3], r"has shape \(3,\), not \(10,\)"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_models_are_an_error_that_names_the_blob(models, tmp_path, case):
    blob, change, text = BROKEN[case]
    with pytest.raises(CheckpointError, match=rf"m\.pkl: .*{blob.removesuffix('_w')}.*{text}"):
        convert(models, tmp_path, broken(models, **{blob: change}))
    assert not (tmp_path / "d.pkl").exists()


def test_momentum_may_hold_anything(models, tmp_path):
    blobs = broken(models, conv1_w_momentum=put(np.nan))
    convert(models, tmp_path, blobs)


def test_half_a_norm_cannot_be_folded_whatever_is_allowed(models, tmp_path):
    blobs = broken(models, res3_0_branch2b_bn_rm=None)
    with pytest.raises(CheckpointError, match="res3_0_branch2b_bn_rm is missing, without which"):
        convert(models, tmp_path, blobs, allow_missing=True)


def test_whole_layers_may_be_missing_when_allowed(models, tmp_path):
    blobs = {n: a for n, a in models.small("shallow").items() if "res5_0_branch1" not in n}
    made = convert(models, tmp_path, blobs, allow_missing=True)
    models.assert_same(made["blobs"], models.folded(blobs))


def test_unknown_blobs_are_kept_when_allowed(models, tmp_path):
    blobs = {**models.small("shallow"), "other": np.ones(2, np.float32)}
    with pytest.raises(CheckpointError, match="other is unknown"):
        convert(models, tmp_path, blobs)
    assert "other" in convert(models, tmp_path, blobs, allow_unknown=True)["blobs"]
    made = convert(models, tmp_path, blobs, allow_unknown=True, target="detectron2")
    assert "other" not in made["model"]


def test_float64_blobs_become_float32_with_a_warning(models, tmp_path):
    blobs = models.small("shallow")
    wide = {n: a.astype(np.float64) if n == "conv1_w" else a for n, a in blobs.items()}
    made = convert(models, tmp_path, wide)
    models.assert_same(made["blobs"], models.folded(blobs))
    record = manifest.read(tmp_path / "d.pkl.manifest.json")
    assert "1 blobs were not float32, the first conv1_w" in record.warnings[0]


def test_detectron2_keeps_the_norms_and_has_its_own_names(models, tmp_path):
    blobs = models.small("supervised")
    made = convert(models, tmp_path, blobs, target="detectron2")
    assert made["matching_heuristics"] is True
    assert made["__author__"] == "sslprep"
    model = made["model"]
    assert len(model) == 265
    expected = {
        "stem.conv1.weight": "conv1_w",
        "stem.conv1.norm.running_var": "res_conv1_bn_riv",
        "res2.0.conv1.weight": "res2_0_branch2a_w",
        "res2.0.conv1.norm.weight": "res2_0_branch2a_bn_s",
        "res2.0.shortcut.weight": "res2_0_branch1_w",
        "res2.0.shortcut.norm.bias": "res2_0_branch1_bn_b",
        "res5.2.conv3.norm.running_mean": "res5_2_branch2c_bn_rm",
    }
    for name, blob in expected.items():
        assert np.array_equal(model[name], blobs[blob]), name
    assert not [name for name in model if "pred" in name]


@pytest.mark.parametrize("absorbed", [False, True])
def test_says_what_detectron2_must_be_set_to(models, tmp_path, absorbed):
    source = models.write(tmp_path / "m.pkl", models.small("supervised"))
    result = convert_detectron(
        c2_model=source,
        output_file=tmp_path / "d.pkl",
        target="detectron2",
        absorb_std=absorbed,
    )
    wanted = {
        "MODEL.RESNETS.DEPTH": 50,
        "MODEL.RESNETS.STRIDE_IN_1X1": False,
        "MODEL.RESNETS.NUM_GROUPS": 1,
        "MODEL.RESNETS.WIDTH_PER_GROUP": 4,
        "MODEL.RESNETS.STEM_OUT_CHANNELS": 4,
        "MODEL.RESNETS.RES2_OUT_CHANNELS": 16,
        "MODEL.RESNETS.NORM": "FrozenBN",
        "MODEL.PIXEL_MEAN": [103.53, 116.28, 123.675],
        "MODEL.PIXEL_STD": [1.0, 1.0, 1.0] if absorbed else [57.375, 57.12, 58.395],
        "INPUT.FORMAT": "BGR",
    }
    assert manifest.read(tmp_path / "d.pkl.manifest.json").details["settings"] == wanted
    for key in wanted:
        assert key in result.text()


@pytest.mark.parametrize("option", [{"decompose_bn": True}, {"keep_momentum": True},
                                    {"bn_eps": 1e-3}])  # fmt: skip
def test_detectron2_has_no_place_for_momentum_two_layers_or_an_eps(models, tmp_path, option):
    """Its frozen norm adds 1e-5 whatever the file's did, and a proof with another would lie."""
    with pytest.raises(ParameterError, match="has no place for it"):
        convert(models, tmp_path, models.small("shallow"), target="detectron2", **option)


@pytest.mark.parametrize("stage", [2, 4, 5])
def test_a_block_that_may_be_missing_is_an_error(models, tmp_path, stage):
    """Without a stage's last block a ResNet is whole by itself, and no blob of it is missed."""
    blobs, last = models.small("supervised"), {2: 2, 4: 5, 5: 2}[stage]
    cut = {n: array for n, array in blobs.items() if not n.startswith(f"res{stage}_{last}")}
    source = models.write(tmp_path / "m.pkl", cut)
    text = "R-50 but for one stage"
    for convert_to in (convert_detectron, convert_pytorch):
        with pytest.raises(CheckpointError, match=f"{text}, so a block may be missing"):
            convert_to(source, tmp_path / "d.pkl")
    assert text in str(inspect(source).facts["missing"])
    convert_detectron(source, tmp_path / "d.pkl", allow_missing=True)


def test_detectron2_has_no_alexnet(models, tmp_path):
    with pytest.raises(CheckpointError, match="holds AlexNet"):
        convert(models, tmp_path, models.small("alexnet"), target="detectron2")


def test_a_variance_of_zero_is_a_dead_filter_and_a_warning(models, tmp_path):
    blobs = broken(models, res3_0_branch2b_bn_riv=put(0))
    models.assert_same(convert(models, tmp_path, blobs)["blobs"], models.folded(blobs))
    record = manifest.read(tmp_path / "d.pkl.manifest.json")
    assert "1 variances are 0 (dead filters), the first in res3_0_branch2b" in record.warnings[0]


def test_weights_that_float32_cannot_hold_are_an_error(models, tmp_path):
    """float64 weights times 1e300 were written as infinities, exit 0."""
    blobs = broken(models, conv1_w=lambda a: a.astype(np.float64) * 1e300)
    with pytest.raises(CheckpointError, match=r"conv1_w holds 588 values .* infinite in float32"):
        convert(models, tmp_path, blobs)


def test_same_input_gives_the_same_bytes(models, tmp_path):
    source = models.write(tmp_path / "m.pkl", models.small("shallow"))
    files = []
    for folder in ("one", "two"):
        convert_detectron(c2_model=source, output_file=tmp_path / folder / "d.pkl")
        files.append([p.read_bytes() for p in sorted((tmp_path / folder).iterdir())])
    assert files[0] == files[1]


def test_fold_equals_the_norm_in_float64():
    random = np.random.default_rng(0)
    riv = np.array([2e-15, 1e-7, 1e-3, 1, 6e4], np.float32)
    s, b, rm, x = random.standard_normal((4, 5)).astype(np.float32)
    scale, shift = batchnorm.fold(s, b, rm, riv)
    exact = s.astype(float) * (x - rm.astype(float)) / np.sqrt(riv.astype(float) + 1e-5) + b
    assert np.allclose(scale * x + shift, exact, rtol=1e-5, atol=1e-5 * np.abs(scale).max())
    first, second = batchnorm.decompose(rm, riv)
    assert np.allclose((x * first + second) * s + b, exact, rtol=1e-4, atol=1e-3)


def test_without_conv1_there_is_nothing_to_absorb_into(models, tmp_path):
    blobs = {n: a for n, a in models.small("shallow").items() if not n.startswith("conv1")}
    with pytest.raises(CheckpointError, match="has no conv1_w to absorb the std into"):
        convert(models, tmp_path, blobs, absorb_std=True, allow_missing=True)


def test_a_mark_of_another_make_is_not_believed_or_passed_on(models, tmp_path):
    source = tmp_path / "m.pkl"
    models.write(source, models.small("shallow"), sslprep={"absorbed_std": "x", "other": [1]})
    convert_detectron(c2_model=source, output_file=tmp_path / "d.pkl", absorb_std=True)
    assert models.read(tmp_path / "d.pkl")["sslprep"] == {"absorbed_std": True}


@pytest.mark.parametrize(
    ("kind", "gone"),
    [
        ("colorization", "pool5_bn_riv"),
        ("alexnet", "conv4_s0_bn_rm"),
        ("alexnet", "fc7_s0_reshape_bn_b"),
        ("alexnet", "conv5_s0_w"),
        ("alexnet", "fc6_b"),
    ],
)
def test_parts_of_heads_and_of_an_alexnet_are_missed_too(models, tmp_path, kind, gone):
    blobs = models.small(kind)
    del blobs[gone]
    with pytest.raises(CheckpointError, match=f"{gone.replace('_s0', '')} is missing"):
        convert(models, tmp_path, blobs)


def test_a_source_with_a_manifest_is_hashed_once(models, tmp_path, monkeypatch):
    """To know whether the manifest is of this file, and to name the file in the new one."""
    renamed, target = tmp_path / "renamed.pkl", tmp_path / "d.pkl"
    convert_jigsaw(models.write(tmp_path / "m.pkl", models.small("jigsaw")), renamed)
    hashed = []
    for module in (source, manifest):
        monkeypatch.setattr(module, "sha256_of", lambda p: hashed.append(p) or sha256_of(p))
    convert_detectron(renamed, target)
    assert hashed == [renamed]
    record = manifest.read(tmp_path / "d.pkl.manifest.json")
    assert record.inputs[0].sha256 == sha256_of(renamed)


def test_two_affine_layers_become_one_norm_again(models, tmp_path):
    """A decomposed model on its way to PyTorch: Detectron's two layers, then mean 0, variance 1."""
    pytest.importorskip("torch")
    source = models.write(tmp_path / "m.pkl", models.small("supervised"))
    convert_detectron(source, tmp_path / "two.pkl", decompose_bn=True)
    convert_detectron(source, tmp_path / "one.pkl")
    proof = convert_pytorch(tmp_path / "two.pkl", tmp_path / "two.pth", check=True).proof
    assert max(proof.values()) < 1e-5
    convert_pytorch(tmp_path / "one.pkl", tmp_path / "one.pth")
    one, two = (read_checkpoint(tmp_path / f"{name}.pth").blobs for name in ("one", "two"))
    assert list(one) == list(two)
    for name in one:
        np.testing.assert_allclose(two[name], one[name], rtol=1e-4, atol=1e-4, err_msg=name)


def test_a_bias_without_its_norm_has_no_place_in_detectron2(models, tmp_path):
    """With its norm it goes into the mean; Detectron2's convolutions in blocks have none."""
    blobs = {n: b for n, b in models.small("shallow").items() if "res2_0_branch2a_bn" not in n}
    blobs["res2_0_branch2a_b"] = np.ones(len(blobs["res2_0_branch2a_w"]), "f4")
    with pytest.raises(CheckpointError, match=r"res2_0_branch2a_b has no place in Detectron2's"):
        convert(models, tmp_path, blobs, target="detectron2", allow_missing=True)


@pytest.mark.parametrize("part", ["s", "b"])
def test_half_of_the_first_affine_layer_is_an_error_too(models, tmp_path, part):
    whole = convert(models, tmp_path, models.small("supervised"), decompose_bn=True)["blobs"]
    lacking = f"res2_0_branch2a_bn_norm_{part}"
    source = models.write(tmp_path / "m.pkl", {n: a for n, a in whole.items() if n != lacking})
    with pytest.raises(CheckpointError, match=f"{lacking} is missing; expected a whole network"):
        convert_pytorch(source, tmp_path / "o")
    with pytest.raises(CheckpointError, match=f"{lacking} is missing, without which its norm"):
        convert_pytorch(source, tmp_path / "o", allow_missing=True)


@pytest.mark.parametrize(
    ("command", "parts"),
    [
        (convert_detectron, ("s", "b", "rm", "riv")),
        (convert_pytorch, ("s", "b", "rm", "riv")),
        (convert_caffe2, ("s", "b")),
    ],
)
def test_half_a_norm_is_an_error_whatever_is_allowed(models, tmp_path, command, parts):
    """A folded one without its shift was a KeyError on the way to Caffe2."""
    whole = models.small("supervised")
    whole = models.folded(whole) if len(parts) == 2 else whole
    for part in parts:
        lacking = f"res2_0_branch2a_bn_{part}"
        source = models.write(tmp_path / "m.pkl", {n: a for n, a in whole.items() if n != lacking})
        with pytest.raises(CheckpointError, match=f"{lacking} is missing, without which its norm"):
            command(source, tmp_path / "o", allow_missing=True)
