"""The way back from PyTorch and safetensors to Caffe2."""

import numpy as np
import pytest

from sslprep import manifest
from sslprep.checkpoints.caffe2 import convert_caffe2
from sslprep.checkpoints.detectron import convert_detectron
from sslprep.checkpoints.pytorch import convert_pytorch
from sslprep.checkpoints.source import open_model
from sslprep.errors import CheckpointError


def there_and_back(models, tmp_path, blobs, back=None, **options):
    source = models.write(tmp_path / "m.pkl", blobs)
    state = tmp_path / "m.state"
    convert_pytorch(c2_model=source, output_model=state, **options)
    convert_caffe2(pth_model=state, output_model=tmp_path / "b.pkl", **(back or {}))
    return models.blobs_of(tmp_path / "b.pkl")


@pytest.mark.parametrize("format", ["torch", "safetensors"])
@pytest.mark.parametrize("channels", ["rgb", "bgr"])
@pytest.mark.parametrize("kind", ["supervised", "colorization", "alexnet", "jigsaw"])
def test_there_and_back_gives_the_same_blobs(models, tmp_path, kind, channels, format):
    blobs = models.small(kind)
    back = there_and_back(models, tmp_path, blobs, channels=channels, format=format, keep_head=True)
    models.assert_same(back, models.model_part(models.one_tower(blobs)))


def test_classifier_gets_its_own_name_back(models, tmp_path):
    renamed = {n.replace("pred_", "fc1_"): a for n, a in models.small("supervised").items()}
    back = there_and_back(models, tmp_path, renamed, keep_head=True)
    models.assert_same(back, models.model_part(renamed))


def test_without_the_head_the_trunk_comes_back(models, tmp_path):
    blobs = models.small("jigsaw")
    trunk = models.model_part(models.one_tower(blobs))
    back = there_and_back(models, tmp_path, blobs)
    models.assert_same(back, {n: a for n, a in trunk.items() if not n.startswith(("fc", "pred"))})


def moved(models, tmp_path, channels):
    """Return a state dict without its manifest, and the blobs."""
    blobs = models.small("supervised")
    source = models.write(tmp_path / "m.pkl", blobs)
    convert_pytorch(c2_model=source, output_model=tmp_path / "m.pth", channels=channels)
    (tmp_path / "m.pth.manifest.json").unlink()
    return tmp_path / "m.pth", blobs


def test_a_file_of_unknown_origin_is_taken_for_rgb_and_says_so(models, tmp_path):
    state, blobs = moved(models, tmp_path, "rgb")
    result = convert_caffe2(pth_model=state, output_model=tmp_path / "b.pkl")
    assert np.array_equal(models.blobs_of(tmp_path / "b.pkl")["conv1_w"], blobs["conv1_w"])
    assert "nothing says which order" in result.warnings[0]


@pytest.mark.parametrize(
    "options", [{"channels": "bgr"}, {"bgr2rgb": False}, {"channels": "bgr", "bgr2rgb": True}]
)
def test_order_can_be_given(models, tmp_path, options):
    """`--channels` says what the file has, and wins; then there is nothing to warn of."""
    state, blobs = moved(models, tmp_path, "bgr")
    result = convert_caffe2(pth_model=state, output_model=tmp_path / "b.pkl", **options)
    assert bool(result.warnings) == ("channels" not in options)
    assert np.array_equal(models.blobs_of(tmp_path / "b.pkl")["conv1_w"], blobs["conv1_w"])


def test_a_wish_against_the_manifest_is_followed_with_a_warning(models, tmp_path):
    blobs = models.small("supervised")
    source = models.write(tmp_path / "m.pkl", blobs)
    convert_pytorch(c2_model=source, output_model=tmp_path / "m.pth")
    result = convert_caffe2(
        pth_model=tmp_path / "m.pth", output_model=tmp_path / "b.pkl", bgr2rgb=False
    )
    assert "conv1 takes RGB as noted" in result.warnings[0]
    flipped = models.blobs_of(tmp_path / "b.pkl")["conv1_w"]
    assert np.array_equal(flipped, blobs["conv1_w"][:, ::-1])
    beside = tmp_path / "b.pkl.manifest.json"
    assert manifest.read(beside).details["reversed_channels"] is False
    # The pickle says itself that it takes RGB.
    beside.unlink()
    convert_pytorch(tmp_path / "b.pkl", tmp_path / "c.pth")
    assert (tmp_path / "c.pth").read_bytes() == (tmp_path / "m.pth").read_bytes()


def test_a_manifest_of_another_file_is_passed_over(models, tmp_path):
    state, blobs = moved(models, tmp_path, "rgb")
    other = models.write(tmp_path / "o.pkl", models.small("supervised", seed=5))
    convert_pytorch(c2_model=other, output_model=tmp_path / "o.pth", channels="bgr")
    text = (tmp_path / "o.pth.manifest.json").read_text().replace("o.pth", "m.pth")
    (tmp_path / "m.pth.manifest.json").write_text(text)
    convert_caffe2(pth_model=state, output_model=tmp_path / "b.pkl")
    assert np.array_equal(models.blobs_of(tmp_path / "b.pkl")["conv1_w"], blobs["conv1_w"])


def test_files_of_torch_itself_come_back(models, tmp_path):
    """As torchvision saves them: counters, Parameters, a wrapper's prefix, a nested dict."""
    torch = pytest.importorskip("torch")
    state = models.resnet(classes=7).state_dict()
    assert any("num_batches_tracked" in name for name in state)
    wrapped = {f"module.{name}": tensor for name, tensor in state.items()}
    torch.save(state, tmp_path / "a.pth")
    torch.save({"state_dict": wrapped, "epoch": 3}, tmp_path / "b.pth")
    for name in ("a", "b"):
        convert_caffe2(pth_model=tmp_path / f"{name}.pth", output_model=tmp_path / f"{name}.pkl")
    one, other = (models.blobs_of(tmp_path / f"{name}.pkl") for name in ("a", "b"))
    models.assert_same(one, other)
    assert len(one) == 267
    assert np.array_equal(one["pred_w"], state["fc.weight"].numpy())
    rows = manifest.read(tmp_path / "a.pkl.manifest.json").details["account"]
    reasons = {row["reason"] for row in rows if row["action"] == "dropped"}
    assert reasons == {"counter of the batch norm"}


def test_unknown_tensors_are_an_error_unless_allowed(models, tmp_path):
    torch = pytest.importorskip("torch")
    state = {**models.resnet().state_dict(), "attention.0.weight": torch.ones(2)}
    torch.save(state, tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match=r"a\.pth: attention\.0\.weight is unknown"):
        convert_caffe2(pth_model=tmp_path / "a.pth", output_model=tmp_path / "a.pkl")
    convert_caffe2(
        pth_model=tmp_path / "a.pth", output_model=tmp_path / "a.pkl", allow_unknown=True
    )
    assert len(models.blobs_of(tmp_path / "a.pkl")) == 265


def test_caffe2_names_are_an_error(models, tmp_path):
    source = models.write(tmp_path / "m.pkl", models.small("supervised"))
    with pytest.raises(CheckpointError, match="has Caffe2 names already"):
        convert_caffe2(pth_model=source, output_model=tmp_path / "b.pkl")


def test_missing_tensors_are_an_error(models, tmp_path):
    torch = pytest.importorskip("torch")
    state = models.resnet().state_dict()
    del state["layer2.1.bn2.running_var"]
    torch.save(state, tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match="res3_1_branch2b_bn_riv is missing"):
        convert_caffe2(pth_model=tmp_path / "a.pth", output_model=tmp_path / "a.pkl")


def test_what_a_pickle_notes_of_its_colours_follows_them(models, tmp_path):
    """Detectron2's pickle keeps RGB and says so; on the way back conv1 is reversed."""
    source = models.write(tmp_path / "m.pkl", models.small("supervised"))
    convert_pytorch(source, tmp_path / "m.pth")
    convert_detectron(tmp_path / "m.pth", tmp_path / "d2.pkl", target="detectron2")
    convert_caffe2(tmp_path / "d2.pkl", tmp_path / "back.pkl")
    (tmp_path / "back.pkl.manifest.json").unlink()
    assert open_model(tmp_path / "d2.pkl").preprocessing.order == "RGB"
    assert open_model(tmp_path / "back.pkl").preprocessing.order == "BGR"
