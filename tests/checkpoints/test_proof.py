"""`--check`: two computations on a real picture, and the errors that it must find."""

import json

import numpy as np
import pytest
from PIL import Image

from sslprep import manifest
from sslprep.checkpoints import detectron, proof
from sslprep.checkpoints.detectron import convert_detectron
from sslprep.checkpoints.pytorch import convert_pytorch
from sslprep.demo import checkpoints as demo
from sslprep.errors import CheckpointError, ParameterError

pytest.importorskip("torch")
STAGES = ["conv1", "pool1", "res2", "res3", "res4", "res5", "pool5"]


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
    {"target": "detectron2", "channels": "rgb"},
]


@pytest.mark.parametrize("options", FORMS)
def test_detectron_forms_are_proven(files, options):
    source, target = files
    result = convert_detectron(source, target, check=True, **options)
    stages = STAGES if options["target"] == "detectron2" else [*STAGES, "pred"]
    assert list(result.proof) == stages
    record = manifest.read(target.with_name("out.manifest.json"))
    assert record.details["proof"]["stages"] == stages
    assert max(result.proof.values()) < record.details["proof"]["largest_relative_difference_below"]
    assert "largest relative difference" in result.text()
    measured = json.loads(target.with_name("out.check.json").read_text())
    assert measured["largest_relative_difference"] == result.proof
    assert [output.file for output in record.outputs] == ["out"]


def test_a_later_run_without_a_check_takes_the_old_measurement_away(files):
    source, target = files
    convert_detectron(source, target, check=True)
    convert_detectron(source, target, overwrite=True)
    assert not target.with_name("out.check.json").exists()


@pytest.mark.parametrize("options", [{}, {"channels": "bgr"}, {"keep_head": True}])
@pytest.mark.parametrize("format", ["torch", "safetensors"])
def test_state_dicts_are_proven(files, options, format):
    source, target = files
    result = convert_pytorch(source, target, check=True, format=format, **options)
    assert max(result.proof.values()) < 1e-5
    assert ("pred" in result.proof) == ("keep_head" in options)


@pytest.mark.parametrize("kind", ["colorization", "alexnet", "jigsaw"])
def test_every_kind_of_model_is_proven(models, tmp_path, kind):
    source = models.write(tmp_path / "m.pkl", models.small(kind))
    one = convert_pytorch(source, tmp_path / "a", check=True)
    other = convert_detectron(source, tmp_path / "b", check=True)
    assert set(one.proof) <= set(other.proof)
    assert len(one.proof) >= 7


def damaged(monkeypatch, change):
    """Let the proof read a written file in which an array was changed, by its Caffe2 name."""
    right = proof.read_written

    def read(path, target):
        tensors = {name: np.array(array) for name, array in right(path, target).items()}
        change(tensors)
        return tensors

    monkeypatch.setattr(proof, "read_written", read)


def swap_channels(tensors):
    tensors["conv1_w"] = tensors["conv1_w"][:, ::-1]


def forget_variance(tensors):
    tensors["res3_0_branch2b_bn_riv"][:] = 1


def swap_blobs(tensors):
    a, b = "res5_0_branch2c_bn_b", "res5_0_branch2c_bn_rm"
    tensors[a], tensors[b] = tensors[b], tensors[a]


def put_nan(tensors):
    tensors["res4_0_branch2a_w"][0, 0] = np.nan


@pytest.mark.parametrize(
    ("change", "stage"),
    [
        (swap_channels, "conv1"),
        (forget_variance, "res3"),
        (swap_blobs, "res5"),
        (put_nan, "res4"),
    ],
)
def test_wrong_values_in_the_written_file_are_found(files, monkeypatch, change, stage):
    source, target = files
    damaged(monkeypatch, change)
    with pytest.raises(CheckpointError, match=f"differs by .* in {stage};"):
        convert_pytorch(source, target, check=True)
    assert [path.name for path in target.parent.iterdir()] == ["m.pkl"]


def test_nan_is_no_proof():
    """`d > limit` would let it pass."""
    one = {"conv1": np.array([1.0, np.nan])}
    with pytest.raises(CheckpointError, match="differs by nan in conv1"):
        proof.compare(one, one)


def test_a_forgotten_eps_is_found(files, monkeypatch):
    """Variances of 2e-15, as a really trained model has them, show it at once."""
    right = proof.target_stages
    monkeypatch.setattr(
        proof, "target_stages", lambda n, t, image, eps: right(n, t, image, eps=0.0)
    )
    with pytest.raises(CheckpointError, match=r"differs by .* in conv1"):
        convert_pytorch(*files, check=True)


def test_exchanged_shifts_of_a_colorization_model_are_found(models, tmp_path, monkeypatch):
    """Beside a lightness of ±50 they differ by 4e-5 of what comes out."""
    blobs = models.small("colorization")
    a, b = "res5_0_branch2a_bn_b", "res5_0_branch2b_bn_b"
    blobs |= {name: blobs[name] * np.float32(0.3) for name in (a, b)}
    source = models.write(tmp_path / "m.pkl", blobs)

    def swap(tensors):
        tensors[a], tensors[b] = tensors[b], tensors[a]

    damaged(monkeypatch, swap)
    with pytest.raises(CheckpointError, match=r"differs by \S+ in res5"):
        convert_pytorch(source, tmp_path / "o", check=True)


def test_swapped_groups_of_an_alexnet_are_found(models, tmp_path, monkeypatch):
    source = models.write(tmp_path / "m.pkl", models.small("alexnet"))

    def swap(tensors):
        weights = tensors["conv2_w"]
        tensors["conv2_w"] = np.concatenate(np.split(weights, 2)[::-1])

    damaged(monkeypatch, swap)
    with pytest.raises(CheckpointError, match=r"differs by .* in conv2"):
        convert_pytorch(source, tmp_path / "o", check=True)


def test_an_unfolded_norm_is_found(files, monkeypatch):
    """The command itself, with a converter that forgets the statistics; nothing is written."""
    from sslprep.checkpoints import batchnorm

    source, target = files
    monkeypatch.setattr(batchnorm, "fold", lambda s, b, rm, riv, eps: (s, b))
    with pytest.raises(CheckpointError, match="the converted model differs by"):
        convert_detectron(source, target, check=True)
    assert not target.exists()
    convert_detectron(source, target)


def test_a_folded_pickle_in_detectron2_is_off_by_its_second_eps(files, tmp_path):
    """Why folded norms get variance 1 - eps, and Detectron2 gets others as they are."""
    from sslprep.checkpoints.source import open_model

    source, target = files
    convert_detectron(source, target)
    model = open_model(target)
    folded = model.weights()
    naive = dict(folded)
    for name in [n for n in folded if n.endswith("_bn_s")]:
        naive[name.removesuffix("s") + "rm"] = np.zeros_like(folded[name])
        naive[name.removesuffix("s") + "riv"] = np.ones_like(folded[name])
    image = np.random.default_rng(0).standard_normal((3, 224, 224))
    network = model.network.without_heads()
    right = proof.target_stages(network, folded, image, eps=1e-5)["res5"]
    wrong = proof.target_stages(network, naive, image, eps=1e-5)["res5"]
    assert 1e-5 < np.abs(wrong - right).max() / np.abs(right).max() < 1e-3
    result = convert_detectron(target, tmp_path / "d2", target="detectron2", check=True)
    assert max(result.proof.values()) < 1e-5


def test_a_picture_can_be_given(files, tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (100, 300, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "p.png")
    convert_pytorch(*files, check=True, picture=tmp_path / "p.png")


def test_picture_errors_come_before_any_work(files, tmp_path):
    (tmp_path / "no.png").write_text("no picture")
    with pytest.raises(ParameterError, match="--picture is given without --check"):
        convert_pytorch(*files, picture=tmp_path / "no.png")
    with pytest.raises(ParameterError, match="no picture"):
        convert_pytorch(*files, check=True, picture=tmp_path / "absent.png")
    with pytest.raises(ParameterError, match="is no readable picture"):
        convert_pytorch(*files, check=True, picture=tmp_path / "no.png")


@pytest.mark.parametrize("layer", ["conv1", "res3_1_branch2b"])
def test_a_bias_that_was_lost_is_seen(models, tmp_path, monkeypatch, layer):
    blobs = models.small("supervised")
    bias = np.full(len(blobs[f"{layer}_w"]), 0.3, np.float32)
    source = models.write(tmp_path / "m.pkl", {**blobs, f"{layer}_b": bias})
    convert_detectron(source, tmp_path / "o", check=True)
    forget = {"without_biases": lambda model, blobs: {n: b for n, b in blobs.items()
                                                      if n != f"{layer}_b"}}  # fmt: skip
    monkeypatch.setattr(detectron, "without_biases", forget["without_biases"])
    with pytest.raises(CheckpointError, match="the converted model differs by"):
        convert_detectron(source, tmp_path / "p", check=True)


@pytest.mark.parametrize("size", [(100, 300), (300, 100), (600, 500)])
def test_the_middle_of_a_picture_of_any_shape_is_taken(tmp_path, size):
    Image.new("RGB", size, (9, 8, 7)).save(tmp_path / "a.png")
    picture = proof.read_picture(tmp_path / "a.png")
    assert picture.shape == (224, 224, 3)
    assert (picture == (9, 8, 7)).all()


def test_a_proof_leaves_equal_bytes(files, tmp_path):
    """Differences are rounding and may vary; the manifest holds none of them."""
    source, _ = files
    texts = []
    for folder in ("one", "two"):
        convert_pytorch(source, tmp_path / folder / "m", check=True)
        texts.append((tmp_path / folder / "m.manifest.json").read_bytes())
    assert texts[0] == texts[1]


@pytest.mark.parametrize("width", [2, 6])
def test_other_widths_are_proven(models, tmp_path, width):
    """A thin ResNet ended in an error line of 25,000 characters."""
    blobs = demo.blobs(demo.small(demo.SUPERVISED, width=width))
    source = models.write(tmp_path / "m.pkl", blobs)
    assert len(convert_pytorch(source, tmp_path / "a", check=True).proof) == 7
    assert len(convert_detectron(source, tmp_path / "b", check=True).proof) == 8


def test_a_stage_of_zeros_must_stay_one():
    zero, other = {"conv1": np.zeros(3)}, {"conv1": np.array([0, 0, 1e-3])}
    assert proof.compare(zero, zero) == {"conv1": 0.0}
    with pytest.raises(CheckpointError, match=r"differs by 1\.0e-03 in conv1"):
        proof.compare(zero, other)
