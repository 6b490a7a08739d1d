"""Step C: state dicts with torchvision's names, as PyTorch files and as safetensors."""

import numpy as np
import pytest

from sslprep import manifest
from sslprep.checkpoints.open import read_checkpoint
from sslprep.checkpoints.pytorch import convert_pytorch
from sslprep.demo import checkpoints as demo
from sslprep.errors import CheckpointError

torch = pytest.importorskip("torch")


def convert(models, tmp_path, blobs, **options):
    """Convert blobs and return the state dict as torch.load gives it by default."""
    source = models.write(tmp_path / "m.pkl", blobs)
    target = tmp_path / "m.dat"
    result = convert_pytorch(c2_model=source, output_model=target, overwrite=True, **options)
    return torch.load(target)["state_dict"], result


@pytest.mark.parametrize("kind", ["jigsaw", "supervised"])
def test_a_torchvision_shaped_model_loads_it_strictly(models, tmp_path, kind):
    state, _ = convert(models, tmp_path, models.small(kind))
    models.resnet().load_state_dict(state, strict=True)


def test_with_its_head_a_supervised_model_loads_strictly(models, tmp_path):
    state, result = convert(models, tmp_path, models.small("supervised"), keep_head=True)
    models.resnet(classes=10).load_state_dict(state, strict=True)
    assert state["fc.weight"].shape == (10, 128)
    assert not any("no place" in note for note in result.notes)


def test_a_classifier_of_another_name_becomes_fc(models, tmp_path):
    blobs = models.small("supervised")
    renamed = {n.replace("pred_", "fc1_"): a for n, a in blobs.items()}
    state, _ = convert(models, tmp_path, renamed, keep_head=True)
    assert np.array_equal(state["fc.weight"].numpy(), blobs["pred_w"])


def test_values_are_the_blobs_with_conv1_in_rgb(models, tmp_path):
    blobs = models.small("supervised")
    state, _ = convert(models, tmp_path, blobs)
    assert np.array_equal(state["conv1.weight"].numpy(), blobs["conv1_w"][:, ::-1])
    assert np.array_equal(
        state["layer3.5.bn3.running_var"].numpy(), blobs["res4_5_branch2c_bn_riv"]
    )
    assert np.array_equal(state["layer1.0.downsample.0.weight"].numpy(), blobs["res2_0_branch1_w"])
    assert {tensor.dtype for tensor in state.values()} == {torch.float32}


@pytest.mark.parametrize("options", [{"channels": "bgr"}, {"bgr2rgb": False}])
def test_conv1_stays_bgr_when_told(models, tmp_path, options):
    blobs = models.small("supervised")
    state, result = convert(models, tmp_path, blobs, **options)
    assert np.array_equal(state["conv1.weight"].numpy(), blobs["conv1_w"])
    assert "BGR as in Caffe2" in result.notes[0]


def test_channels_wins_over_the_word_of_2019(models, tmp_path):
    blobs = models.small("supervised")
    state, _ = convert(models, tmp_path, blobs, channels="rgb", bgr2rgb=False)
    assert np.array_equal(state["conv1.weight"].numpy(), blobs["conv1_w"][:, ::-1])


def test_colorization_has_no_order_and_says_what_torchvision_needs(models, tmp_path):
    blobs = models.small("colorization")
    state, result = convert(models, tmp_path, blobs)
    assert np.array_equal(state["conv1.weight"].numpy(), blobs["conv1_w"])
    models.resnet(channels=1, last_stride=1).load_state_dict(state, strict=True)
    assert "L * 100 / 255 - 50" in result.notes[0]
    assert "stride 1" in result.notes[1]
    assert "conv1 = Conv2d(1, 64" in result.notes[1]
    record = manifest.read(tmp_path / "m.dat.manifest.json")
    assert record.details["channels"] is None
    assert "stride 1" in record.details["notes"][1]
    assert record.details["preprocessing"]["mean"] == [127.5]


def test_pretext_heads_keep_their_names_as_in_2019(models, tmp_path):
    model = demo.ResNet(
        width=4,
        blocks=(3, 4, 6, 3),
        heads={"fc6": (5, 128), "fc_c5": (5, 128), "pred": (5, 5)},
        head_norms={"pool5": 128},
    )
    state, result = convert(models, tmp_path, demo.blobs(model), keep_pretext=True)
    heads = {name for name in state if name.startswith(("fc", "pool", "pred"))}
    assert heads == {
        "fc6.weight", "fc6.bias", "fc.c5.weight", "fc.c5.bias", "pool5_bn.weight",
        "pool5_bn.bias", "pool5_bn.running_mean", "pool5_bn.running_var",
    }  # fmt: skip
    assert "fc6, fc.c5, pool5_bn have no place in torchvision's ResNet" in result.notes[1]


def test_alexnet_has_names_of_its_own(models, tmp_path):
    blobs = models.small("alexnet")
    state, result = convert(models, tmp_path, blobs, keep_head=True)
    assert len(state) == 36
    assert np.array_equal(state["conv2.weight"].numpy(), blobs["conv2_s0_w"])
    assert np.array_equal(state["fc6_reshape_bn.bias"].numpy(), blobs["fc6_reshape_bn_b"])
    assert "torchvision's AlexNet is another network" in result.notes[1]


@pytest.mark.parametrize("depth", [101, 152])
def test_deeper_networks_are_found_from_their_blocks(models, tmp_path, depth):
    from sslprep.checkpoints.networks import BLOCKS

    state, result = convert(models, tmp_path, demo.blobs(demo.ResNet(depth=depth, width=2)))
    assert result.model == f"R-{depth}"
    models.resnet(BLOCKS[f"R-{depth}"], width=2).load_state_dict(state, strict=True)


def test_arch_is_checked_against_the_blocks(models, tmp_path):
    with pytest.raises(CheckpointError, match=r"is R-50, not R-101\. Leave --arch out"):
        convert(models, tmp_path, models.small("supervised"), arch="R-101")
    with pytest.raises(CheckpointError, match="blocks 1-1-1-1, not R-50"):
        convert(models, tmp_path, models.small("shallow"), arch="R-50")
    convert(models, tmp_path, models.small("supervised"), arch="R-50")


def test_other_numbers_of_blocks_convert(models, tmp_path):
    """As to every other target, and as `inspect` says."""
    state, result = convert(models, tmp_path, models.small("shallow"))
    models.resnet((1, 1, 1, 1)).load_state_dict(state, strict=True)
    assert "torchvision has no ResNet with blocks 1-1-1-1; its ResNet class" in str(result.notes)


def test_jigsaw_is_a_real_boolean_and_is_checked(models, tmp_path):
    convert(models, tmp_path, models.small("jigsaw"), jigsaw=True)
    convert(models, tmp_path, models.small("supervised"), jigsaw=False)
    with pytest.raises(CheckpointError, match="has no towers; expected a Jigsaw model"):
        convert(models, tmp_path, models.small("supervised"), jigsaw=True)
    with pytest.raises(CheckpointError, match="has 9 towers; expected a model without"):
        convert(models, tmp_path, models.small("jigsaw"), jigsaw=False)


def test_folded_models_get_norms_of_mean_0_and_variance_1_minus_eps(models, tmp_path):
    folded = models.folded(models.small("supervised"))
    state, _ = convert(models, tmp_path, folded, check=True)
    assert np.array_equal(state["bn1.weight"].numpy(), folded["res_conv1_bn_s"])
    assert np.array_equal(state["bn1.bias"].numpy(), folded["res_conv1_bn_b"])
    assert not state["bn1.running_mean"].any()
    assert np.array_equal(state["bn1.running_var"].numpy(), np.full(4, np.float32(1 - 1e-5)))
    models.resnet().load_state_dict(state, strict=True)


def test_a_bias_in_a_block_goes_into_the_mean_of_its_norm(models, tmp_path):
    blobs = models.small("supervised")
    bias = np.arange(4, dtype=np.float32)
    state, _ = convert(models, tmp_path, {**blobs, "res2_0_branch2a_b": bias}, check=True)
    assert len(state) == 265
    mean = state["layer1.0.bn1.running_mean"].numpy()
    assert np.array_equal(mean, blobs["res2_0_branch2a_bn_rm"] - bias)


def test_every_blob_is_in_the_account(models, tmp_path):
    blobs = models.small("jigsaw")
    _, result = convert(models, tmp_path, blobs)
    rows = manifest.read(tmp_path / "m.dat.manifest.json").details["account"]
    became = {row["blob"]: row for row in rows}
    assert set(became) == set(blobs)
    assert became["res2_0_branch2a_bn_s0_rm"]["became"] == "layer1.0.bn1.running_mean"
    assert became["model_iter"]["reason"] == "bookkeeping of the training run"
    assert became["conv1_s0_w_momentum"]["reason"] == "momentum of the optimiser"
    assert became["fc6_w"]["reason"] == "head of the pretext task or classifier"
    assert sum(result.blobs.values()) == len(blobs)


def test_torch_file_loads_in_every_way(models, tmp_path):
    """Default weights_only, memory mapped, and by pickle."""
    state, _ = convert(models, tmp_path, models.small("supervised"))
    for options in ({"mmap": True}, {"weights_only": False}, {"map_location": "cpu"}):
        other = torch.load(tmp_path / "m.dat", **options)["state_dict"]
        assert list(other) == list(state)
        assert all(torch.equal(other[name], state[name]) for name in state)
    assert type(state).__name__ == "OrderedDict"
    torch.save(state, tmp_path / "again.pth")


def test_safetensors_holds_the_same_with_metadata(models, tmp_path):
    safetensors = pytest.importorskip("safetensors")
    blobs = models.small("supervised")
    state, _ = convert(models, tmp_path, blobs, keep_head=True)
    target = tmp_path / "m.safetensors"
    convert_pytorch(
        c2_model=tmp_path / "m.pkl", output_model=target, format="safetensors", keep_head=True
    )
    with safetensors.safe_open(target, "numpy") as file:
        assert file.metadata() == {
            "format": "pt", "source": "caffe2", "arch": "R-50", "channels": "rgb",
            "classifier": "pred",
        }  # fmt: skip
        assert set(file.keys()) == set(state)
        for name, tensor in state.items():
            assert np.array_equal(file.get_tensor(name), tensor.numpy()), name


@pytest.mark.parametrize("format", ["torch", "safetensors"])
def test_same_input_gives_the_same_bytes(models, tmp_path, format):
    source = models.write(tmp_path / "m.pkl", models.small("supervised"))
    files = []
    for folder in ("one", "two"):
        convert_pytorch(c2_model=source, output_model=tmp_path / folder / "m", format=format)
        files.append([p.read_bytes() for p in sorted((tmp_path / folder).iterdir())])
    assert files[0] == files[1]


def test_file_name_does_not_enter_the_bytes(models, tmp_path):
    source = models.write(tmp_path / "m.pkl", models.small("supervised"))
    for name in ("a.pth", "b.dat"):
        convert_pytorch(c2_model=source, output_model=tmp_path / name)
    assert (tmp_path / "a.pth").read_bytes() == (tmp_path / "b.dat").read_bytes()


def test_flipped_and_strided_arrays_are_written_right(tmp_path):
    """safetensors.numpy writes such arrays wrongly and says nothing."""
    from sslprep.atomic import OutputSet
    from sslprep.checkpoints.safetensorsfile import save_safetensors
    from sslprep.checkpoints.torchfile import save_torch

    base = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    tensors = {
        "flipped": base[:, ::-1],
        "transposed": base.T,
        "sliced": base[:, :, ::2],
        "fortran": np.asfortranarray(base),
        "empty": base[:0],
        "scalar": np.array(3.5, np.float32),
        "big endian": base.astype(">f4"),
        "double": base.astype(np.float64),
        "half": base.astype(np.float16)[0, 0, :3],
    }
    native = {n: a.astype(a.dtype.newbyteorder("=")) for n, a in tensors.items()}
    with OutputSet(tmp_path, ["a", "b"], manifests=["m.manifest.json"]) as out:
        save_torch(out, "a", native)
        save_safetensors(out, "b", native, {"z": "1", "a": "2"})
        out.save_json("m.manifest.json", {})
        out.commit()
    loaded = torch.load(tmp_path / "a")["state_dict"]
    other = pytest.importorskip("safetensors.numpy").load_file(tmp_path / "b")
    for name, array in native.items():
        assert np.array_equal(loaded[name].numpy(), array), name
        assert np.array_equal(other[name], array), name


def test_our_reader_and_torchs_agree(models, tmp_path):
    state, _ = convert(models, tmp_path, models.small("supervised"))
    ours = read_checkpoint(tmp_path / "m.dat").blobs
    assert list(ours) == list(state)
    assert all(np.array_equal(ours[name], state[name].numpy()) for name in state)


def test_records_begin_at_multiples_of_64(models, tmp_path):
    """So that memory-mapped tensors are aligned."""
    import struct
    import zipfile

    convert(models, tmp_path, models.small("supervised"))
    data = (tmp_path / "m.dat").read_bytes()
    with zipfile.ZipFile(tmp_path / "m.dat") as archive:
        assert archive.testzip() is None
        for entry in archive.infolist():
            name, extra = struct.unpack_from("<HH", data, entry.header_offset + 26)
            assert (entry.header_offset + 30 + name + extra) % 64 == 0, entry.filename


def test_another_eps_is_said(models, tmp_path):
    """torchvision's norms add 1e-5 unless they are told."""
    _, result = convert(models, tmp_path, models.small("supervised"), bn_eps=1e-3)
    assert "Its batch norms add 0.001 to the variance: BatchNorm2d needs that eps." in result.notes


def test_a_counter_outside_of_the_blobs_is_none_of_them(models, tmp_path):
    """Caffe2's `lr` and `model_iter` stand among the blobs; a number elsewhere was a KeyError."""
    source = models.write(tmp_path / "m.pkl", models.small("shallow"), trainer={"epoch": 3})
    convert_pytorch(source, tmp_path / "o", allow_missing=True)
    account = manifest.read(tmp_path / "o.manifest.json").details["account"]
    assert not [row for row in account if row["blob"].endswith("epoch")]
