"""Files as self-supervised trainers write them: each becomes torchvision, Detectron2, safetensors.

The encoder is a ResNet-50 of PyTorch's own layers (`models.resnet`), thin; its features are
computed by PyTorch in float64 and compared with what comes out of the converted files.
"""

import argparse
import pickle
from collections import OrderedDict

import numpy as np
import pytest

from sslprep import manifest
from sslprep.checkpoints.caffe2 import convert_caffe2
from sslprep.checkpoints.detectron import convert_detectron
from sslprep.checkpoints.layouts import COPY, HEAD, LAYOUTS, find_encoder, find_encoders
from sslprep.checkpoints.names import parse_torch
from sslprep.checkpoints.pytorch import convert_pytorch
from sslprep.errors import CheckpointError
from sslprep.inspection.command import inspect

torch = pytest.importorskip("torch")


@pytest.fixture(scope="module")
def net(models):
    return models.resnet()


@pytest.fixture(scope="module")
def spare(models):
    """Another, into which files are loaded."""
    return models.resnet()


def prefixed(state, prefix):
    return {f"{prefix}{name}": tensor for name, tensor in state.items()}


def mlp(prefix, size=8):
    return {f"{prefix}0.weight": torch.ones(size, size), f"{prefix}2.weight": torch.ones(size)}


def other(state):
    return {n: t + 1 if t.is_floating_point() else t for n, t in state.items()}


def numbered(state, prefix="backbone."):
    """As lightly numbers a Sequential of torchvision's children."""
    places = {"conv1": "0", "bn1": "1", "layer1": "4", "layer2": "5", "layer3": "6", "layer4": "7"}
    return {
        f"{prefix}{places[name.split('.')[0]]}.{name.split('.', 1)[1]}": tensor
        for name, tensor in state.items()
    }


def hugging_face(state):
    """As transformers' ResNetModel names it."""
    result = {}
    for name, tensor in state.items():
        *place, param = name.split(".")
        kinds = {"conv": "convolution", "bn": "normalization"}
        if place[0].startswith("layer"):
            head = f"resnet.encoder.stages.{int(place[0][5]) - 1}.layers.{place[1]}"
            if place[2] == "downsample":
                kind = "normalization" if place[3] == "1" else "convolution"
                head += f".shortcut.{kind}"
            else:
                head += f".layer.{int(place[2][-1]) - 1}.{kinds[place[2][:-1]]}"
        else:
            head = f"resnet.embedder.embedder.{kinds[place[0][:-1]]}"
        result[f"{head}.{param}"] = tensor
    return {**result, "classifier.1.weight": torch.ones(3, 128)}


def hwio(state):
    """Weights whose memory is height, width, in, out, as TensorFlow has them."""
    return {
        name: t.permute(2, 3, 1, 0).contiguous().permute(3, 2, 0, 1) if t.ndim == 4 else t
        for name, t in state.items()
    }


TORCH = {
    "torchvision": lambda s: {**s, "fc.weight": torch.ones(7, 128), "fc.bias": torch.ones(7)},
    "timm": lambda s: {"epoch": 3, "state_dict": s, "state_dict_ema": other(s)},
    "VICReg full": lambda s: {"model": {**prefixed(s, "module.backbone."),
                                        **mlp("module.projector.")}, "optimizer": {"state": {}}},
    "MoCo v1": lambda s: {"arch": "resnet50", "state_dict": {
        **prefixed(s, "module.encoder_q."), **prefixed(other(s), "module.encoder_k."),
        "module.encoder_q.fc.weight": torch.ones(9, 128), "module.encoder_q.fc.bias": torch.ones(9),
        "module.encoder_k.fc.weight": torch.ones(9, 128), "module.encoder_k.fc.bias": torch.ones(9),
        "module.queue": torch.ones(16, 8), "module.queue_ptr": torch.zeros(1, dtype=torch.int64)},
        "optimizer": {"state": {140234234234232: {"momentum_buffer": torch.ones(3)}}}},
    "MoCo v2": lambda s: {"state_dict": {
        **prefixed(s, "module.encoder_q."), **prefixed(other(s), "module.encoder_k."),
        **mlp("module.encoder_q.fc."), **mlp("module.encoder_k.fc."),
        "module.queue": torch.ones(16, 8)}},
    "MoCo v3": lambda s: {"state_dict": {
        **prefixed(s, "module.base_encoder."), **prefixed(other(s), "module.momentum_encoder."),
        **mlp("module.base_encoder.fc."), **mlp("module.predictor.")}},
    "SimSiam": lambda s: {"state_dict": {
        **prefixed(s, "module.encoder."), **mlp("module.encoder.fc."), **mlp("module.predictor.")}},
    "Barlow Twins": lambda s: {"epoch": 1, "model": {
        **prefixed(s, "module.backbone."), **mlp("module.projector."),
        "module.bn.running_mean": torch.ones(8), "module.bn.num_batches_tracked": torch.tensor(1)}},
    "SwAV": lambda s: {**prefixed(s, "module."), **mlp("module.projection_head."),
                       "module.prototypes.weight": torch.ones(9, 8)},
    "DINO full": lambda s: {
        "student": {**prefixed(other(s), "module.backbone."), **mlp("module.head.mlp.")},
        "teacher": {**prefixed(s, "backbone."), **mlp("head.mlp.")},
        "optimizer": {"state": {0: {"exp_avg": torch.ones(2)}}}, "epoch": 4,
        "args": argparse.Namespace(arch="resnet50"), "dino_loss": {"center": torch.ones(1, 8)}},
    "VISSL": lambda s: {"classy_state_dict": {"base_model": {"model": {
        "trunk": prefixed(s, "_feature_blocks."), "heads": mlp("0.clf.")}}}, "iteration": 5},
    "mmselfsup": lambda s: {"meta": {"epoch": 2}, "state_dict": {
        **prefixed(s, "backbone."), **mlp("neck."), **mlp("head.")}},
    "OpenSelfSup MoCo": lambda s: {"state_dict": {
        **prefixed(s, "encoder_q.0."), **prefixed(other(s), "encoder_k.0."),
        **mlp("encoder_q.1.mlp."), **mlp("encoder_k.1.mlp."), "queue": torch.ones(8, 16)}},
    "OpenSelfSup MoCo with its backbone": lambda s: {"state_dict": {
        **prefixed(s, "backbone."), **prefixed(s, "encoder_q.0."), **mlp("encoder_q.1.mlp."),
        **prefixed(other(s), "encoder_k.0."), **mlp("encoder_k.1.mlp.")}},
    "DINO of lightly": lambda s: {"state_dict": {
        **numbered(other(s), "student_backbone."), **mlp("student_head.layers."),
        **numbered(s, "teacher_backbone."), **mlp("teacher_head.layers.")}},
    "EsViT": lambda s: {"student": prefixed(other(s), "module."), "teacher": {**s, **mlp("head.")}},
    "OBoW": lambda s: {"network": {
        **prefixed(s, "feature_extractor."), **prefixed(other(s), "feature_extractor_teacher."),
        "bow_extractor.codebook": torch.ones(4, 4), **mlp("bow_predictor.layers_w.")}},
    "VICReg's evaluation": lambda s: {"model": {
        **prefixed(s, "module.0."), "module.1.weight": torch.ones(9, 128),
        "module.1.bias": torch.ones(9)}, "best_acc": argparse.Namespace(top1=70)},
    "mmselfsup BYOL": lambda s: {"state_dict": {
        **prefixed(s, "online_net.0."), **prefixed(other(s), "target_net.0."),
        **mlp("online_net.1."), **mlp("target_net.1."), **mlp("head.predictor.")}},
    "solo-learn": lambda s: {"state_dict": {
        **prefixed(s, "backbone."), **prefixed(other(s), "momentum_backbone."),
        **mlp("projector."), **mlp("classifier."), **mlp("backbone.fc.")},
        "pytorch-lightning_version": "1.9", "loops": {"state": {"total": 3}},
        "optimizer_states": [{"state": {0: {"momentum_buffer": torch.ones(2)}}}]},
    "lightly": lambda s: {"state_dict": {**numbered(s), **mlp("projection_head.layers."),
                                         **numbered(other(s), "backbone_momentum.")}},
    "SimCLR v2 of TensorFlow": lambda s: {"resnet": hwio(s), "head": mlp("layers.")},
    "Hugging Face": hugging_face,
    "SimCLR v2 of TensorFlow, converted": lambda s: {
        "resnet": {**simclr_v2(s), **mlp("fc.")}, "head": mlp("layers.")},
    "Detectron2": lambda s: {"model": detectron2(s), "__author__": "MoCo"},
    "Detectron2 detector": lambda s: {"model": {
        **prefixed(detectron2(s), "backbone.bottom_up."), **mlp("backbone.fpn_lateral2."),
        **mlp("proposal_generator.rpn_head."), **mlp("roi_heads.box_head."),
        "pixel_mean": torch.tensor([123.675, 116.28, 103.53]).reshape(3, 1, 1),
        "pixel_std": torch.tensor([58.395, 57.12, 57.375]).reshape(3, 1, 1)}, "iteration": 90000},
    "torchvision detector": lambda s: {
        **prefixed(s, "backbone.body."), **mlp("backbone.fpn.inner_blocks."), **mlp("rpn.head.")},
    "torch.compile": lambda s: {"model": prefixed(s, "_orig_mod.")},
    "scope": lambda s: prefixed(s, "gpu_0/"),
}  # fmt: skip


def simclr_v2(state):
    """The names of the PyTorch conversion: stem, then `blocks` of layers in a Sequential."""
    made = {}
    for name, tensor in state.items():
        top, _, rest = name.partition(".")
        if not top.startswith("layer"):
            made[name.replace("conv1.", "net.0.0.").replace("bn1.", "net.0.1.0.")] = tensor
            continue
        block, layer, rest = rest.split(".", 2)
        if layer == "downsample":
            place, param = rest.split(".")
            inside = ("projection.shortcut.", "projection.bn.0.")[int(place)] + param
        else:
            number = 2 * int(layer[-1]) - 2
            inside = f"net.{number}.{rest}" if "conv" in layer else f"net.{number + 1}.0.{rest}"
        made[f"net.{top[5:]}.blocks.{block}.{inside}"] = tensor
    return made


def detectron2(state):
    return {parsed.spelled("detectron2"): tensor for name, tensor in state.items()
            if (parsed := parse_torch(name)) is not None}  # fmt: skip


# Ones that no row of the table describes: the encoder is found by its structure.
OTHERS = {
    "BYOL with two state dicts": lambda s: {
        "online_network_state_dict": {**numbered(s, "encoder."), **mlp("projetion.net.")},
        "target_network_state_dict": numbered(other(s), "encoder.")},
    "BYOL with a target": lambda s: {
        **prefixed(s, "online_encoder.net."), **mlp("online_encoder.projector."),
        **prefixed(other(s), "target_encoder.net."), **mlp("online_predictor.")},
    "PixPro": lambda s: {"model": {
        **prefixed(s, "module.encoder."), **prefixed(other(s), "module.encoder_k."),
        **mlp("module.projector_k."), **mlp("module.value_transform.")}},
    "SupContrast": lambda s: {"model": {**prefixed(s, "encoder.module."), **mlp("head.")}},
    "moving average of Lightning": lambda s: {
        "state_dict": {**prefixed(s, "encoder."), **prefixed(other(s), "ema_encoder.")}},
    "MoCo's linear evaluation": lambda s: {
        "state_dict": {**prefixed(s, "module."), **mlp("module.fc.")},
        "best_acc1": torch.tensor(67.5)},
    "PAWS": lambda s: {"encoder": {**prefixed(s, "module."), **mlp("module.pred.")},
                       "opt": {"state": {1: {"step": torch.tensor(3.0)}}}},
    "memory banks": lambda s: {
        **prefixed(s, "backbone."), "memory_bank.bank": torch.ones(2, 2), **mlp("linear."),
        "contrast.memory_v1": torch.ones(2, 2), "instance_queue": torch.ones(2, 2)},
    "counters and random states as tensors": lambda s: {
        "state_dict": s, "epoch": torch.tensor(3), "global_step": torch.tensor(9),
        "cuda_rng_state": [torch.get_rng_state()], "rng": torch.get_rng_state(),
        "lr_scheduler": {"last_lr": [torch.tensor(0.1)]}, "grad_scaler": {"_scale": torch.ones(1)},
        "acc1": torch.tensor(70.0), "center": torch.zeros(1, 8)},
    "SparK": lambda s: {"module": {
        **prefixed(s, "sparse_encoder.sp_cnn."), **mlp("dense_decoder.proj.")}},
    "FSDP": lambda s: {"model": prefixed(s, "_fsdp_wrapped_module.")},
    "DeepSpeed": lambda s: {"module": prefixed(s, "backbone."), "dp_world_size": 8},
    "averaged": lambda s: {**prefixed(s, "module."), "n_averaged": torch.tensor(3)},
    "Hugging Face without its prefix": lambda s: {
        n.removeprefix("resnet."): t for n, t in hugging_face(s).items() if "class" not in n},
    "shortcut": lambda s: {n.replace("downsample", "shortcut"): t for n, t in s.items()},
    "mmselfsup BYOL": lambda s: {"state_dict": {
        **prefixed(s, "backbone."), **prefixed(other(s), "target_net.module.0."),
        "data_preprocessor.mean": torch.ones(3)}},
    "PyContrast": lambda s: {
        "model": {**prefixed(s, "module.encoder."), **mlp("module.head_jig.fc1.")},
        "contrast": {"memory": torch.ones(9, 8), "params": torch.ones(3)}},
    "CLD": lambda s: {"state_dict": {
        **prefixed(s, "encoder_q."), **mlp("encoder_q.fc."), **mlp("encoder_q.groupDis."),
        **mlp("encoder_q.instDis."), **prefixed(other(s), "encoder_k.")}},
    "mean shift": lambda s: {"state_dict": {
        **prefixed(s, "encoder_q."), **mlp("predict_q."), **prefixed(other(s), "encoder_t."),
        "labels": torch.ones(9, dtype=torch.int64)}},
    "DETR": lambda s: {"model": {
        **prefixed(s, "backbone.0.body."), "query_embed.weight": torch.ones(4, 4)}},
    "fastai": lambda s: {"model": {**numbered(s, "0."), **mlp("1.")}},
    "heads of any name": lambda s: {"state_dict": {
        **s, **mlp("top_layer."), "logits.weight": torch.ones(5, 128), "logits.bias": torch.ones(5),
        "rot.bn.running_mean": torch.ones(4), "rot.lin.weight": torch.ones(4, 128)}},
    "wrapped layers": lambda s: {"model": {
        f"_orig_mod.{n.replace('layer1.0.', 'layer1.0._checkpoint_wrapped_module.')}": t
        for n, t in s.items()}},
    "metrics of Lightning": lambda s: {"state_dict": {
        **prefixed(s, "net."), **mlp("net.last_linear."), "val_f1.tp": torch.ones(3)}},
}  # fmt: skip


@pytest.mark.parametrize("structure", OTHERS)
def test_a_structure_that_is_no_row_converts(net, tmp_path, structure):
    torch.save(OTHERS[structure](OrderedDict(net.state_dict())), tmp_path / "m.pth")
    result = convert_pytorch(tmp_path / "m.pth", tmp_path / "o")
    state, expected = torch.load(tmp_path / "o")["state_dict"], net.state_dict()
    assert set(state) == {name for name in expected if "batches" not in name}
    assert all(torch.equal(tensor, expected[name]) for name, tensor in state.items())
    assert "unknown" not in result.blobs


@pytest.mark.parametrize("first", ["l_to_ab.", "student_backbone."])
def test_two_encoders_of_equal_rank_ask_which(net, tmp_path, first):
    both = {**prefixed(net.state_dict(), first), **prefixed(net.state_dict(), "ab_to_l.")}
    torch.save({"state_dict": both}, tmp_path / "m.pth")
    with pytest.raises(CheckpointError, match=r"2 networks .*--branch, --prefix or --under"):
        convert_pytorch(tmp_path / "m.pth", tmp_path / "o")


def save(path, layout, net):
    torch.save(TORCH[layout](OrderedDict(net.state_dict())), path)
    return path


def arrays_of(value, prefix=""):
    """Name every array of a file, wherever it stands."""
    if isinstance(value, torch.Tensor | np.ndarray):
        yield prefix
    elif isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, item in items:
            yield from arrays_of(item, f"{prefix}.{key}" if prefix else str(key))


def features(net, picture):
    """Return a float64 network's last features."""
    with torch.no_grad():
        return net.double()(torch.from_numpy(picture[None]))[0].numpy()


@pytest.fixture(scope="module", params=TORCH)
def layout(request):
    return request.param


@pytest.fixture(scope="module")
def source(layout, net, tmp_path_factory):
    """A file of a layout, for all tests of it."""
    return save(tmp_path_factory.mktemp("layout") / "m.pth", layout, net)


@pytest.mark.parametrize("format", ["torch", "safetensors"])
def test_becomes_torchvisions_with_every_array_accounted_for(net, spare, tmp_path, source, format):
    target = tmp_path / "out"
    result = convert_pytorch(source, target, format=format, check=format == "torch")
    if format == "torch":
        state = torch.load(target)["state_dict"]
    else:
        state = pytest.importorskip("safetensors.torch").load_file(target)
    expected = net.state_dict()
    assert set(state) == {n for n in expected if "batches" not in n}
    for name, tensor in state.items():
        assert torch.equal(tensor, expected[name]), name
    spare.load_state_dict(state, strict=True)
    rows = manifest.read(tmp_path / "out.manifest.json").details["account"]
    whole = torch.load(source, weights_only=False)
    names = list(arrays_of(whole))
    assert len(rows) == len(names) == sum(result.blobs.values())
    assert all(any(name.endswith(row["blob"]) for name in names) for row in rows)
    assert all(row["reason"] for row in rows if row["action"] == "dropped")
    assert "unknown" not in result.blobs
    order = manifest.read(tmp_path / "out.manifest.json").details["preprocessing"]["order"]
    assert order == "RGB"


def test_becomes_detectron2s_with_rgb_kept(net, tmp_path, layout, source):
    target = tmp_path / "d2.pkl"
    result = convert_detectron(source, target, target="detectron2", check=True)
    made = pickle.loads(target.read_bytes(), encoding="latin1")
    assert len(made["model"]) == 265
    assert np.array_equal(made["model"]["stem.conv1.weight"], net.state_dict()["conv1.weight"])
    settings = manifest.read(tmp_path / "d2.pkl.manifest.json").details["settings"]
    assert settings["INPUT.FORMAT"] == "RGB"
    assert settings["MODEL.RESNETS.STRIDE_IN_1X1"] is False
    tensorflow = layout.startswith("SimCLR v2")
    assert settings["MODEL.PIXEL_MEAN"] == ([0, 0, 0] if tensorflow else [123.675, 116.28, 103.53])
    assert settings["MODEL.RESNETS.NORM"] == "SyncBN"
    assert any("SyncBN is usual" in note for note in result.notes)


def test_inspect_says_the_same(source, layout):
    facts = inspect(source).facts
    assert facts["network"] == "R-50"
    assert str(facts["channel order"]).startswith("RGB")
    assert "unknown arrays" not in facts
    if "Detectron2" in layout:  # no other row's names are like these
        assert str(facts["layout"]).startswith(f"{layout}, encoder under model.")


def test_every_row_of_the_table_is_tried():
    """A new layout needs an example here."""
    paths = {}
    for name, make in TORCH.items():
        state = {"conv1.weight": torch.ones(1), "layer1.0.conv1.weight": torch.ones(1)}
        layout = find_encoder(arrays_of(make(state))).layout
        paths[name] = layout and layout.name
    tried = set(paths.values()) | {"SimCLR"}
    assert {layout.name for layout in LAYOUTS} <= tried


@pytest.mark.parametrize(
    ("layout", "branch"),
    [("DINO full", "student"), ("MoCo v2", "encoder_k"), ("timm", "state_dict_ema")],
)
def test_a_branch_can_be_chosen(net, tmp_path, layout, branch):
    source = save(tmp_path / "m.pth", layout, net)
    convert_pytorch(source, tmp_path / "o", branch=branch)
    state = torch.load(tmp_path / "o")["state_dict"]
    assert torch.equal(state["conv1.weight"], net.state_dict()["conv1.weight"] + 1)
    with pytest.raises(CheckpointError, match="known here for --branch nobody; its keys: "):
        convert_pytorch(source, tmp_path / "p", branch="nobody")


@pytest.mark.parametrize("under", ["resnet", "state_dict", "encoder"])
@pytest.mark.parametrize("memory", ["TensorFlow", "PyTorch"])
def test_simclr_of_tensorflow_is_known_by_its_memory(net, tmp_path, under, memory):
    """Many a PyTorch trainer calls its encoder `resnet`, and a trainer is known by other words."""
    state = hwio(net.state_dict()) if memory == "TensorFlow" else net.state_dict()
    torch.save({under: state, "head": mlp("layers.")}, tmp_path / "m.pth")
    result = convert_pytorch(tmp_path / "m.pth", tmp_path / "o")
    simclr = memory == "TensorFlow" and under != "encoder"
    assert ("(SimCLR of TensorFlow)" in result.model) == simclr
    mean = manifest.read(tmp_path / "o.manifest.json").details["preprocessing"]["mean"]
    assert mean == ([0, 0, 0] if simclr else [123.675, 116.28, 103.53])


def test_two_networks_and_no_rule(net, tmp_path):
    state = net.state_dict()
    torch.save({"a": dict(state), "b": other(state)}, tmp_path / "m.pth")
    with pytest.raises(CheckpointError, match=r"holds 2 networks .* a\. \(265\), b\. \(265\)"):
        convert_pytorch(tmp_path / "m.pth", tmp_path / "o")
    convert_pytorch(tmp_path / "m.pth", tmp_path / "o", under="a", allow_unknown=True)


def test_the_top_level_may_have_the_same_names(net, tmp_path):
    """With the dict's path taken off, the arrays of one network would stand for the other's."""
    state = net.state_dict()
    torch.save({"model": dict(state), **other(state)}, tmp_path / "m.pth")
    with pytest.raises(CheckpointError, match="holds 2 networks"):
        convert_pytorch(tmp_path / "m.pth", tmp_path / "o")
    convert_pytorch(tmp_path / "m.pth", tmp_path / "o", under="model", allow_unknown=True)
    written = torch.load(tmp_path / "o")["state_dict"]
    assert torch.equal(written["conv1.weight"], state["conv1.weight"])
    account = manifest.read(tmp_path / "o.manifest.json").details["account"]
    assert len(account) == 2 * len(state)


def test_an_unknown_wrapper_is_found_by_its_structure(net, tmp_path):
    torch.save({"net": prefixed(net.state_dict(), "tower.image.")}, tmp_path / "m.pth")
    convert_pytorch(tmp_path / "m.pth", tmp_path / "o", prefix="tower.image")
    convert_pytorch(tmp_path / "m.pth", tmp_path / "o", overwrite=True)


@pytest.mark.parametrize("prefix", ["encoder", "net.encoder.", "gpu_0/", "."])
def test_a_prefix_is_made_of_whole_parts(net, tmp_path, prefix):
    """`encoder` was `my_encoder` too, and nothing chose the top level, which a dot does."""
    state = net.state_dict()
    places = ["net.encoder.", "net.my_encoder.", "gpu_0/", ""]
    both = {f"{place}{n}": t + i for i, place in enumerate(places) for n, t in state.items()
            if t.is_floating_point()}  # fmt: skip
    torch.save(both, tmp_path / "m.pth")
    convert_pytorch(tmp_path / "m.pth", tmp_path / "o", prefix=prefix)
    number = {"gpu_0/": 2, ".": 3}.get(prefix, 0)
    written = torch.load(tmp_path / "o")["state_dict"]["conv1.weight"]
    assert torch.equal(written, state["conv1.weight"] + number)


@pytest.mark.parametrize("layout", ["OpenSelfSup MoCo", "VICReg's evaluation", "SimSiam"])
def test_a_part_inside_the_encoder_is_never_taken_for_a_head(net, tmp_path, layout):
    """`1`, which names a head beside these encoders, names a block inside them."""
    content = TORCH[layout](OrderedDict(net.state_dict()))
    state = content.get("state_dict", content.get("model"))
    [conv] = [n for n in state if n.endswith("layer1.1.conv1.weight") and "encoder_k" not in n]
    state[conv.replace("conv1.weight", "attention.fc.weight")] = torch.ones(4, 4)
    torch.save(content, tmp_path / "m.pth")
    with pytest.raises(CheckpointError, match=r"layer1\.1\.attention\.fc\.weight is unknown"):
        convert_pytorch(tmp_path / "m.pth", tmp_path / "o")


def test_the_account_tells_a_second_encoder_from_a_head(net, tmp_path):
    convert_pytorch(save(tmp_path / "m.pth", "OpenSelfSup MoCo", net), tmp_path / "o")
    account = manifest.read(tmp_path / "o.manifest.json").details["account"]
    reasons = {row["blob"]: row["reason"] for row in account}
    assert reasons["encoder_k.0.layer1.1.conv1.weight"] == COPY
    assert reasons["encoder_k.1.mlp.0.weight"] == reasons["encoder_q.1.mlp.0.weight"] == HEAD


def test_a_projection_head_is_never_kept_as_a_classifier(net, tmp_path):
    """MoCo v1's is called `fc`, as torchvision's classifier is."""
    source = save(tmp_path / "m.pth", "MoCo v1", net)
    convert_pytorch(source, tmp_path / "o", keep_head=True)
    assert "fc.weight" not in torch.load(tmp_path / "o")["state_dict"]
    account = manifest.read(tmp_path / "o.manifest.json").details["account"]
    reasons = {row["blob"]: row["reason"] for row in account}
    assert reasons["module.encoder_q.fc.weight"] == HEAD


def test_a_file_of_a_thousand_networks_takes_no_thousand_times_as_long():
    """Each is held against every array, so a file of 10 MB would have taken hours."""
    paths = [f"m{i}.layer1.0.conv1.weight" for i in range(5000)]
    assert len(find_encoders(paths)) == 16
    with pytest.raises(CheckpointError, match="holds 16 networks"):
        find_encoder([*paths, "x." * 100_000 + "weight"])


def test_the_layout_is_the_chosen_encoders(net, tmp_path):
    source = save(tmp_path / "m.pth", "OpenSelfSup MoCo with its backbone", net)
    assert str(inspect(source).facts["layout"]).startswith("Barlow Twins")


def test_a_branch_may_be_a_much_smaller_network(models, net, tmp_path):
    """As in distillation: a ResNet-18 beside its teacher has a third of the arrays."""
    small = models.resnet((2, 2, 2, 2), basic=True).state_dict()
    both = {**prefixed(small, "student."), **prefixed(net.state_dict(), "teacher.")}
    torch.save({"model": both}, tmp_path / "m.pth")
    result = convert_pytorch(tmp_path / "m.pth", tmp_path / "o", branch="student", check=True)
    assert result.model.startswith("R-18")


def test_of_a_distillation_neither_network_is_the_copy(models, net, tmp_path):
    """SEED's student is a ResNet-18; DINO's, which is its teacher's network, is left out."""
    small = models.resnet((2, 2, 2, 2), basic=True).state_dict()
    both = {**prefixed(small, "module.student."), **prefixed(net.state_dict(), "module.teacher.")}
    torch.save({"state_dict": both}, tmp_path / "m.pth")
    with pytest.raises(CheckpointError, match=r"2 networks .*--branch, --prefix or --under"):
        convert_pytorch(tmp_path / "m.pth", tmp_path / "o")


@pytest.mark.parametrize(
    ("name", "shape"),
    [("input.weight", (3,)), ("mixer.weight", (3, 128, 1, 1)), ("bn1.mixing", (4, 4))],
)
def test_what_may_take_pictures_is_no_head(net, tmp_path, name, shape):
    """A norm before conv1, a convolution, a part of a layer that the network has."""
    torch.save({"state_dict": {**net.state_dict(), name: torch.ones(shape)}}, tmp_path / "m.pth")
    with pytest.raises(CheckpointError, match=f"{name} is unknown"):
        convert_pytorch(tmp_path / "m.pth", tmp_path / "o")


def test_a_matrix_among_caffe2s_blobs_is_no_head(models, tmp_path):
    """Their names have no modules, so every blob stands for itself."""
    source = models.write(
        tmp_path / "m.pkl", {**models.small("shallow"), "strange_w": np.ones((2, 2), "f4")}
    )
    with pytest.raises(CheckpointError, match="strange_w is unknown"):
        convert_pytorch(source, tmp_path / "o", allow_missing=True)


def test_an_encoder_may_lie_deep_in_a_file(net, tmp_path):
    content = prefixed(net.state_dict(), "a.b.c.d.e.f.g.h.i.j.backbone.")
    torch.save({"hooks": {"ema": None}, "checkpoint": {"weights": content}}, tmp_path / "m.pth")
    assert inspect(tmp_path / "m.pth").facts["network"] == "R-50"


def test_nothing_known_lists_the_keys(tmp_path):
    torch.save({"net": {"a.weight": torch.ones(2), "a.bias": torch.ones(2)}}, tmp_path / "m.pth")
    with pytest.raises(CheckpointError, match=r"its keys: net\.a \(2\).*--prefix or --under"):
        convert_pytorch(tmp_path / "m.pth", tmp_path / "o")


def msra(models, *, folded=False, stem=""):
    """A ResNet as MSRA's pickles hold it: stride in the 1×1, their names of the norms' parts."""
    network = models.resnet(stride_in_1x1=True)
    parts = {"s": "gamma", "b": "beta", "rm": "running_mean", "riv": "running_var"}
    blobs = {}
    for name, tensor in network.state_dict().items():
        parsed = parse_torch(name)
        if parsed is None:
            continue
        text = str(parsed)
        if parsed.norm and not folded:
            text = f"{parsed.module.removeprefix(stem)}_{parts[parsed.param]}"
        blobs[text] = tensor.numpy()
    blobs |= {"fc1000_w": np.ones((5, 128), "f4"), "fc1000_b": np.ones(5, "f4")}
    return network, models.folded(blobs) if folded else blobs


@pytest.mark.parametrize(("folded", "stem"), [(False, ""), (True, ""), (False, "res_")])
def test_msras_pickles_have_their_stride_in_the_1x1(models, tmp_path, folded, stem):
    """The norm of the stem is `res_conv1_bn_gamma` or `conv1_bn_gamma`."""
    _, blobs = msra(models, folded=folded, stem=stem)
    source = tmp_path / "R-50.pkl"
    source.write_bytes(pickle.dumps(blobs, protocol=2))
    result = convert_pytorch(source, tmp_path / "o", check=True)
    assert any("swap the strides" in note for note in result.notes)
    assert "divided neither by 255" in result.notes[0]
    convert_detectron(source, tmp_path / "d", target="detectron2", check=True)
    settings = manifest.read(tmp_path / "d.manifest.json").details["settings"]
    assert settings["MODEL.RESNETS.STRIDE_IN_1X1"] is True
    assert settings["MODEL.PIXEL_STD"] == [1, 1, 1]
    assert settings["INPUT.FORMAT"] == "BGR"


@pytest.mark.parametrize("folded", [False, True])
def test_the_bias_of_msras_conv1_goes_into_its_norm(models, tmp_path, folded):
    """Detectron2's R-50.pkl has one, `stem.conv1.bias` there; no ResNet of today has."""
    network, blobs = msra(models, folded=folded)
    bias = np.random.default_rng(2).normal(size=4).astype("f4")
    source = models.write(tmp_path / "R-50.pkl", {**blobs, "conv1_b": bias})
    result = convert_pytorch(source, tmp_path / "o", channels="bgr", check=True)
    account = manifest.read(tmp_path / "o.manifest.json").details["account"]
    [fate] = [row for row in account if row["blob"] == "conv1_b"]
    assert (fate["action"], fate["became"]) == ("folded", None)
    assert "unknown" not in result.blobs
    for options in ({}, {"target": "detectron2"}):
        if not (folded and not options):
            convert_detectron(source, tmp_path / "d", check=True, overwrite=True, **options)
    picture = np.random.default_rng(3).normal(size=(3, 64, 64))
    network.conv1.bias = torch.nn.Parameter(torch.from_numpy(bias))
    expected = features(network, picture)
    plain = models.resnet(stride_in_1x1=True)
    plain.load_state_dict(torch.load(tmp_path / "o")["state_dict"], strict=True)
    assert np.abs(features(plain, picture) - expected).max() < 1e-5 * np.abs(expected).max()
    wrong = models.write(tmp_path / "wrong.pkl", {**blobs, "conv1_b": bias[:1]})
    with pytest.raises(CheckpointError, match=r"conv1_b has shape \(1,\), not \(4,\)"):
        convert_pytorch(wrong, tmp_path / "w")


@pytest.mark.parametrize(
    "author", ["MoCo", "OpenSelfSup", "torchvision", "Caffe2", "sslprep", "somebody"]
)
def test_detectron2_pickles_by_their_author(net, tmp_path, author):
    names = {
        parsed.spelled("detectron2"): tensor.numpy()
        for name, tensor in net.state_dict().items()
        if (parsed := parse_torch(name)) is not None
    }
    source = tmp_path / "d2.pkl"
    content = {"model": names, "__author__": author, "matching_heuristics": True}
    source.write_bytes(pickle.dumps(content, protocol=2))
    convert_pytorch(source, tmp_path / "o", check=True)
    state = torch.load(tmp_path / "o")["state_dict"]
    bgr = author in ("Caffe2", "sslprep")
    conv1 = net.state_dict()["conv1.weight"]
    assert torch.equal(state["conv1.weight"], conv1.flip(1) if bgr else conv1)


@pytest.mark.parametrize("said", ["pixels", "author", "nothing"])
def test_a_detector_says_its_colours_and_strides_or_a_warning_does(net, tmp_path, said):
    """Detectron2's own detectors take BGR and have their strides in the 1×1."""
    content = {"model": prefixed(detectron2(net.state_dict()), "backbone.bottom_up.")}
    if said == "pixels":
        content["model"]["pixel_mean"] = torch.tensor([[[103.53]], [[116.28]], [[123.675]]])
        content["model"]["pixel_std"] = torch.ones(3, 1, 1)
    if said == "author":
        content["__author__"] = "Detectron2 Model Zoo"
    torch.save(content, tmp_path / "m.pth")
    result = convert_pytorch(tmp_path / "m.pth", tmp_path / "o")
    state = torch.load(tmp_path / "o")["state_dict"]
    conv1 = net.state_dict()["conv1.weight"]
    known = said != "nothing"
    assert torch.equal(state["conv1.weight"], conv1.flip(1) if known else conv1)
    assert any("swap the strides" in note for note in result.notes) == known
    assert any("nothing in a detector says" in text for text in result.warnings) != known


def test_one_hop_to_caffe2(models, net, tmp_path):
    source = save(tmp_path / "m.pth", "MoCo v2", net)
    convert_caffe2(source, tmp_path / "o.pkl", check=True)
    blobs = models.blobs_of(tmp_path / "o.pkl")
    assert np.array_equal(blobs["conv1_w"], net.state_dict()["conv1.weight"].numpy()[:, ::-1])
    assert len(blobs) == 265


@pytest.mark.parametrize(
    "options",
    [
        {"base": 8},
        {"groups": 2, "base": 2},
        {"channels": 13},
        {"channels": 1},
        {"blocks": (2, 2, 2, 2), "basic": True},
        {"blocks": (3, 4, 6, 3), "basic": True},
        {"blocks": (3, 24, 36, 3)},
    ],
    ids=["wide", "ResNeXt", "13 channels", "grey", "R-18", "R-34", "VICReg's R-200"],
)
def test_other_resnets_convert(models, tmp_path, options):
    network = models.resnet(**options)
    torch.save(network.state_dict(), tmp_path / "m.pth")
    convert_pytorch(tmp_path / "m.pth", tmp_path / "o", check=True)
    network.load_state_dict(torch.load(tmp_path / "o")["state_dict"], strict=True)
    convert_detectron(tmp_path / "m.pth", tmp_path / "d", target="detectron2", check=True)
    settings = manifest.read(tmp_path / "d.manifest.json").details["settings"]
    assert settings["MODEL.RESNETS.NUM_GROUPS"] == options.get("groups", 1)
    if "base" in options:
        assert settings["MODEL.RESNETS.WIDTH_PER_GROUP"] == options["base"]
    assert ("MODEL.RESNETS.WIDTH_PER_GROUP" in settings) != options.get("basic", False)


def test_strides_in_the_1x1_are_known_from_the_manifest(models, tmp_path):
    _, blobs = msra(models)
    convert_pytorch(models.write(tmp_path / "R-50.pkl", blobs), tmp_path / "o")
    convert_detectron(tmp_path / "o", tmp_path / "d", target="detectron2", check=True)
    settings = manifest.read(tmp_path / "d.manifest.json").details["settings"]
    assert settings["MODEL.RESNETS.STRIDE_IN_1X1"] is True


def test_a_pickle_of_ours_says_itself_that_it_takes_rgb(net, tmp_path):
    torch.save(net.state_dict(), tmp_path / "m.pth")
    convert_detectron(tmp_path / "m.pth", tmp_path / "d", channels="rgb")
    (tmp_path / "d.manifest.json").unlink()
    convert_pytorch(tmp_path / "d", tmp_path / "o")
    conv1 = torch.load(tmp_path / "o")["state_dict"]["conv1.weight"]
    assert torch.equal(conv1, net.state_dict()["conv1.weight"])


def test_a_pickle_whose_colours_were_turned_says_rgb_no_more(net, tmp_path):
    torch.save(net.state_dict(), tmp_path / "m.pth")
    convert_detectron(tmp_path / "m.pth", tmp_path / "a", target="detectron2")
    convert_detectron(tmp_path / "a", tmp_path / "b", target="detectron2", channels="bgr")
    (tmp_path / "b.manifest.json").unlink()
    convert_pytorch(tmp_path / "b", tmp_path / "o")
    conv1 = torch.load(tmp_path / "o")["state_dict"]["conv1.weight"]
    assert torch.equal(conv1, net.state_dict()["conv1.weight"])


def test_a_folded_model_becomes_caffe2s_with_statistics(models, tmp_path):
    _, blobs = msra(models, folded=True)
    convert_caffe2(models.write(tmp_path / "f.pkl", blobs), tmp_path / "o", check=True)
    assert "res_conv1_bn_riv" in models.blobs_of(tmp_path / "o")
