"""`--check`: two computations on a real picture, and the errors that it must find."""

import json

import numpy as np
import pytest
from PIL import Image

from sslprep import manifest
from sslprep.checkpoints import proof
from sslprep.checkpoints.architecture import find_trunk
from sslprep.checkpoints.detectron import convert_detectron
from sslprep.checkpoints.names import parse_caffe2
from sslprep.checkpoints.picture import read_picture, source_input
from sslprep.checkpoints.pytorch import convert_pytorch
from sslprep.checkpoints.statedict import to_state_dict
from sslprep.demo import checkpoints as demo
from sslprep.errors import CheckpointError, ParameterError

pytest.importorskip("torch")
STAGES = ["conv1", "res2", "res3", "res4", "res5", "pool5"]


def model(kind):
    made = demo.blobs(demo.small(kind, blocks=(1, 2, 1, 1)))
    training = ("lr", "model_iter")
    return {n: a for n, a in made.items() if not n.endswith("_momentum") and n not in training}


@pytest.fixture(scope="module")
def supervised():
    return model(demo.SUPERVISED)


def target_of(blobs, order="rgb", **changes):
    """Return the state dict of some blobs as a target, with conv1 in RGB."""
    names = {text: parse_caffe2(text) for text in blobs}
    tensors = to_state_dict(blobs, names, find_trunk(blobs), keep_head=False).tensors
    if order == "rgb" and tensors["conv1.weight"].shape[1] == 3:
        tensors["conv1.weight"] = tensors["conv1.weight"][:, ::-1]
    return proof.Target(arrays={**tensors, **changes}, form="torch", order=order)


def test_a_right_model_is_proven(supervised):
    stages = proof.prove(supervised, find_trunk(supervised), target_of(supervised))
    assert list(stages) == STAGES
    assert max(stages.values()) < 1e-5


def test_swapped_channels_are_found(supervised):
    wrong = target_of(supervised)
    wrong.arrays["conv1.weight"] = wrong.arrays["conv1.weight"][:, ::-1]
    with pytest.raises(CheckpointError, match=r"differs by .* in conv1"):
        proof.prove(supervised, find_trunk(supervised), wrong)


def test_a_norm_without_its_statistics_is_found(supervised):
    name = "layer2.0.bn2.running_var"
    wrong = target_of(supervised, **{name: np.ones_like(supervised["res3_0_branch2b_bn_riv"])})
    with pytest.raises(CheckpointError, match=r"differs by .* in res3"):
        proof.prove(supervised, find_trunk(supervised), wrong)


def test_a_forgotten_eps_is_found(supervised):
    """Variances of 2e-15, as a really trained model has them, show it at once."""
    made = target_of(supervised)
    wrong = proof.Target(arrays=made.arrays, form="torch", order="rgb", eps=0.0)
    with pytest.raises(CheckpointError, match=r"differs by .* in conv1"):
        proof.prove(supervised, find_trunk(supervised), wrong)


def test_swapped_blobs_are_found(supervised):
    made = target_of(supervised).arrays
    bias, mean = made["layer4.0.bn3.bias"], made["layer4.0.bn3.running_mean"]
    swapped = {"layer4.0.bn3.bias": mean, "layer4.0.bn3.running_mean": bias}
    with pytest.raises(CheckpointError, match=r"differs by .* in res5"):
        proof.prove(supervised, find_trunk(supervised), target_of(supervised, **swapped))


def test_a_wrong_stride_is_found(supervised, monkeypatch):
    """Stride 2 on the first 1×1 convolution, as in the first ResNets and Detectron's default."""
    from sslprep.checkpoints import network

    right = network.Bottleneck.__init__

    def wrong(self, given, middle, out, stride, norm):
        right(self, given, middle, out, stride, norm)
        self.conv1.stride, self.conv2.stride = self.conv2.stride, self.conv1.stride

    monkeypatch.setattr(network.Bottleneck, "__init__", wrong)
    with pytest.raises(CheckpointError, match=r"differs by .* in res3"):
        proof.prove(supervised, find_trunk(supervised), target_of(supervised))


def test_stride_2_in_a_colorization_model_is_found(monkeypatch):
    from sslprep.checkpoints import network

    blobs = model(demo.COLORIZATION)
    proof.prove(blobs, find_trunk(blobs), target_of(blobs))
    right = network.PlainResNet.__init__

    def wrong(self, blocks, *, strides, **options):
        right(self, blocks, strides=(1, 2, 2, 2), **options)

    monkeypatch.setattr(network.PlainResNet, "__init__", wrong)
    with pytest.raises(CheckpointError, match="differs in res5: shape"):
        proof.prove(blobs, find_trunk(blobs), target_of(blobs))


@pytest.fixture
def files(models, tmp_path):
    source = models.write(tmp_path / "m.pkl", models.small("supervised"))
    return source, tmp_path / "out"


FORMS = [
    {"target": "detectron"},
    {"target": "detectron", "absorb_std": True},
    {"target": "detectron", "absorb_std": True, "decompose_bn": True},
    {"target": "detectron", "bn_eps": 1e-3},
    {"target": "detectron2"},
    {"target": "detectron2", "absorb_std": True},
]


@pytest.mark.parametrize("options", FORMS)
def test_detectron_forms_are_proven(files, options):
    source, target = files
    result = convert_detectron(c2_model=source, output_file=target, check=True, **options)
    assert list(result.proof) == STAGES
    record = manifest.read(target.with_name("out.manifest.json"))
    assert record.details["proof"]["stages"] == STAGES
    assert max(result.proof.values()) < record.details["proof"]["largest_relative_difference_below"]
    assert "largest relative difference" in result.text()
    measured = json.loads(target.with_name("out.check.json").read_text())
    assert measured["largest_relative_difference"] == result.proof
    assert [output.file for output in record.outputs] == ["out"]


def test_a_later_run_without_a_check_takes_the_old_measurement_away(files):
    source, target = files
    convert_detectron(c2_model=source, output_file=target, check=True)
    convert_detectron(c2_model=source, output_file=target, overwrite=True)
    assert not target.with_name("out.check.json").exists()


@pytest.mark.parametrize("options", [{}, {"channels": "bgr"}, {"keep_head": True}])
def test_state_dicts_are_proven(files, options):
    source, target = files
    result = convert_pytorch(c2_model=source, output_model=target, check=True, **options)
    assert max(result.proof.values()) < 1e-5
    assert ("fc" in result.proof) == ("keep_head" in options)


@pytest.mark.parametrize("kind", ["colorization", "alexnet", "jigsaw"])
def test_every_kind_of_model_is_proven(models, tmp_path, kind):
    blobs = models.small(kind)
    source = models.write(tmp_path / "m.pkl", blobs)
    one = convert_pytorch(c2_model=source, output_model=tmp_path / "a", check=True)
    other = convert_detectron(c2_model=source, output_file=tmp_path / "b", check=True)
    assert list(one.proof) == list(other.proof)
    assert len(one.proof) >= 6


def test_swapped_groups_of_an_alexnet_are_found(models):
    blobs = models.model_part(models.one_tower(models.small("alexnet")))
    right = target_of(blobs)
    half = len(blobs["conv2_w"]) // 2
    swapped = np.concatenate([blobs["conv2_w"][half:], blobs["conv2_w"][:half]])
    proof.prove(blobs, find_trunk(blobs), right)
    wrong = target_of(blobs, **{"conv2.weight": swapped})
    with pytest.raises(CheckpointError, match=r"differs by .* in conv2"):
        proof.prove(blobs, find_trunk(blobs), wrong)


def test_an_unfolded_norm_is_found(files, monkeypatch):
    """The command itself, with a converter that forgets the statistics; nothing is written."""
    from sslprep.checkpoints import norms

    source, target = files
    monkeypatch.setattr(norms, "fold", lambda s, b, rm, riv, eps: (s, b))
    with pytest.raises(CheckpointError, match="the converted model differs by"):
        convert_detectron(c2_model=source, output_file=target, check=True)
    assert not target.exists()
    convert_detectron(c2_model=source, output_file=target)


def test_a_folded_pickle_in_detectron2_is_off_by_its_second_eps(supervised):
    """Why Detectron2 gets the norms unfolded."""
    from sslprep.checkpoints import affine, detectron2

    names = {text: parse_caffe2(text) for text in supervised}
    folded = affine.to_affine(supervised, names).arrays
    for name in names.values():
        if name.param == "riv":
            folded[f"{name.module}_rm"] = np.zeros_like(supervised[str(name)])
            folded[f"{name.module}_riv"] = np.ones_like(supervised[str(name)])
    arrays, _ = detectron2.rename(folded)
    stages = STAGES
    target = proof.Target(arrays=arrays, form="detectron2")
    image = source_input(read_picture(None), 3)
    found = proof.target_stages(target, find_trunk(supervised), image)
    right = proof.target_stages(target_of(supervised, order="bgr"), find_trunk(supervised), image)
    off = np.abs(found["res5"] - right["res5"]).max() / np.abs(right["res5"]).max()
    assert list(found) == stages
    assert 1e-6 < off < 1e-3


def test_a_picture_can_be_given(files, tmp_path):
    source, target = files
    noise = np.random.default_rng(0).integers(0, 256, (100, 300, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "p.png")
    convert_pytorch(c2_model=source, output_model=target, check=True, picture=tmp_path / "p.png")


def test_picture_errors_come_before_any_work(files, tmp_path):
    source, target = files
    (tmp_path / "no.png").write_text("no picture")
    with pytest.raises(ParameterError, match="--picture is given without --check"):
        convert_pytorch(c2_model=source, output_model=target, picture=tmp_path / "no.png")
    with pytest.raises(ParameterError, match="no picture"):
        convert_pytorch(
            c2_model=source, output_model=target, check=True, picture=tmp_path / "absent.png"
        )
    with pytest.raises(ParameterError, match="is no readable picture"):
        convert_pytorch(
            c2_model=source, output_model=target, check=True, picture=tmp_path / "no.png"
        )


def test_an_incomplete_model_cannot_be_proven(models, tmp_path):
    blobs = models.small("supervised")
    del blobs["res3_1_branch2a_w"]
    source = models.write(tmp_path / "m.pkl", blobs)
    with pytest.raises(CheckpointError, match="res3_1_branch2a_w is missing"):
        convert_pytorch(
            c2_model=source, output_model=tmp_path / "o", check=True, allow_missing=True
        )


def test_a_bias_that_the_proof_does_not_know_is_said(supervised):
    blobs = {**supervised, "conv1_b": np.ones(4, np.float32)}
    with pytest.raises(CheckpointError, match="conv1_b is the bias of a convolution"):
        proof.prove(blobs, find_trunk(blobs), target_of(supervised))


def test_a_proof_leaves_equal_bytes(files, tmp_path):
    """Differences are rounding and may vary; the manifest holds none of them."""
    source, _ = files
    texts = []
    for folder in ("one", "two"):
        convert_pytorch(c2_model=source, output_model=tmp_path / folder / "m", check=True)
        texts.append((tmp_path / folder / "m.manifest.json").read_bytes())
    assert texts[0] == texts[1]
