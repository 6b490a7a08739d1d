"""Features against a slow oracle in float64, and runs that were killed."""

import json
import os
import shutil

import cv2
import numpy as np
import pytest
from PIL import Image

from sslprep.checkpoints.forward_numpy import forward
from sslprep.checkpoints.networks import alexnet, resnet
from sslprep.checkpoints.preprocessing import CAFFENET, IMAGENET_BGR, IMAGENET_RGB, LIGHTNESS
from sslprep.errors import SslprepError
from sslprep.evaluate import features
from sslprep.evaluate.extractor import Extractor, choose_layers, network_for_features
from sslprep.evaluate.features import write_features
from sslprep.evaluate.picture_input import make_input
from sslprep.manifest import verify

pytest.importorskip("torch")

# Goyal et al. 2019: kernel, stride, padding and dims of real widths, by network and layer.
POOLED = {
    "ResNet": {
        "conv1": (10, 10, 4, 64, 9216),
        "res2": (16, 8, 0, 256, 9216),
        "res3": (13, 5, 0, 512, 8192),
        "res4": (8, 3, 0, 1024, 9216),
        "res5": (6, 1, 0, 2048, 8192),
    },
    "CaffeNet": {
        "conv1": (19, 4, 0, 96, 9600),
        "conv2": (12, 3, 0, 256, 9216),
        "conv3": (9, 1, 0, 384, 9600),
        "conv4": (9, 1, 0, 384, 9600),
        "conv5": (8, 1, 0, 256, 9216),
    },
    "AlexNet Jigsaw": {
        "conv1": (28, 9, 0, 96, 9600),
        "conv2": (24, 6, 0, 256, 9216),
        "conv3": (14, 3, 0, 384, 9600),
        "conv4": (14, 3, 0, 384, 9600),
        "conv5": (16, 2, 0, 256, 9216),
    },
}
POOLED["AlexNet colorization"] = POOLED["CaffeNet"]
POOLED["ResNet colorization"] = {**POOLED["ResNet"], "res5": (12, 2, 0, 2048, 8192)}


def plain_pool(values, kernel, stride, pad):
    """Average over windows; what lies outside the map is not counted."""
    height, width = values.shape[1:]
    rows = []
    for top in range(-pad, height + pad - kernel + 1, stride):
        for left in range(-pad, width + pad - kernel + 1, stride):
            window = values[:, max(0, top) : top + kernel, max(0, left) : left + kernel]
            rows.append(window.mean(axis=(1, 2)))
    return np.stack(rows, axis=1).reshape(-1)  # channel first


def test_every_layer_equals_the_slow_oracle(network, drawn_blobs):
    blobs = drawn_blobs(network)
    kind = network.kind
    table = POOLED["ResNet colorization" if kind == "ResNet" and network.colorization else kind]
    shape = (1 if network.colorization else 3, network.size, network.size)
    picture = np.random.default_rng(1).normal(size=shape)
    stages = forward(network, blobs, picture, eps=1.0000001e-5)
    assert choose_layers(network, tuple(table)) == list(table)
    found = Extractor(network, blobs, list(table), "goyal")(picture[None].astype(np.float32))
    means = Extractor(network, blobs, list(table), "global")(picture[None].astype(np.float32))
    for layer, (kernel, stride, pad, channels, dims) in table.items():
        expected = plain_pool(stages[layer], kernel, stride, pad)
        assert found[layer].shape == (1, dims // channels * len(stages[layer])), layer
        assert np.abs(found[layer][0] - expected).max() <= 1e-5 * np.abs(expected).max(), layer
        mean = stages[layer].mean(axis=(1, 2))
        assert np.abs(means[layer][0] - mean).max() <= 1e-5 * np.abs(mean).max(), layer


def test_jigsaws_alexnet_is_the_linear_protocols_for_goyals_pooling_alone():
    trunk = alexnet("AlexNet Jigsaw", fc=0).without_heads()
    assert network_for_features(trunk, "global") is trunk
    linear = network_for_features(trunk, "goyal")
    strides = [next(x.stride for x in n.layers if x.name == "conv1") for n in (trunk, linear)]
    assert strides == [4, 2]


def plain_resize(image, height, width):
    """Bilinear, pixel centres at halves, edges repeated, no antialias."""
    result = np.empty((height, width, image.shape[2]))
    for y in range(height):
        v = min(max((y + 0.5) * image.shape[0] / height - 0.5, 0), image.shape[0] - 1)
        for x in range(width):
            u = min(max((x + 0.5) * image.shape[1] / width - 0.5, 0), image.shape[1] - 1)
            top, left = int(v), int(u)
            down, right = min(top + 1, image.shape[0] - 1), min(left + 1, image.shape[1] - 1)
            a, b = v - top, u - left
            result[y, x] = (1 - a) * ((1 - b) * image[top, left] + b * image[top, right]) + a * (
                (1 - b) * image[down, left] + b * image[down, right]
            )
    return result


@pytest.mark.parametrize("size", [(256, 300), (90, 130)])
@pytest.mark.parametrize(
    "taken", [IMAGENET_BGR, IMAGENET_RGB, CAFFENET, LIGHTNESS], ids=["BGR", "RGB", "CaffeNet", "L"]
)
def test_the_input_equals_the_slow_oracle(size, taken):
    picture = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    pixels = picture.astype(np.float64)
    if taken.order == "L":
        pixels = cv2.cvtColor(picture, cv2.COLOR_BGR2LAB)[:, :, :1] * 100.0 / 255 - 50
    height, width = size
    if min(size) != 256:
        longer = 256 * max(size) // min(size)
        height, width = (256, longer) if height < width else (longer, 256)
        pixels = plain_resize(pixels, height, width)
    pixels = plain_resize(pixels, 224, 224)
    if taken.order != "L":
        mean, std = (0.406, 0.456, 0.485), (0.225, 0.224, 0.229)
        pixels = (
            pixels - 255 * np.array(mean)
            if taken is CAFFENET
            else (
                (pixels / 255 - (mean if taken.order == "BGR" else 0))
                / (std if taken.order == "BGR" else 1)
            )
        )
        if taken.order == "RGB":
            pixels = (pixels[:, :, ::-1] - mean[::-1]) / std[::-1]
    found = make_input(picture, taken, 224)
    assert found.dtype == np.float32
    expected = pixels.transpose(2, 0, 1)
    assert np.abs(found - expected).max() <= 2e-5 * np.abs(expected).max()


@pytest.fixture
def run(photos, tmp_path, drawn_blobs, write_checkpoint):
    network = resnet((1, 1, 1, 1)).without_heads()
    checkpoint = write_checkpoint(tmp_path / "small.pkl", drawn_blobs(network))

    def write(output="out", **changed):
        options = {"layers": ("conv1", "res5"), "root": photos, "batch_size": 2, "jobs": 1}
        return write_features(
            tmp_path / "train_images.npy", checkpoint, tmp_path / output, **{**options, **changed}
        )

    return write


def test_writes_an_array_for_each_layer(run, tmp_path):
    written = run()
    assert [p.name for p in written.written] == [
        "train_conv1_features.npy",
        "train_res5_features.npy",
    ]
    array = np.load(tmp_path / "out" / "train_res5_features.npy")
    assert array.dtype == np.float32
    assert array.shape == (7, written.dims["res5"])
    assert verify(tmp_path / "out").ok
    record = json.loads((tmp_path / "out" / "train_features.manifest.json").read_text())
    assert record["details"]["files"]["train_res5_features.npy"]["checkpoint"] == "small"
    assert record["inputs"][0]["sha256"]
    assert not list((tmp_path / "out").glob(".*"))


def files_of(folder):
    return {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file()}


def test_processes_and_this_process_give_the_same_bytes(run, tmp_path):
    run()
    run("two", jobs=2)
    assert files_of(tmp_path / "out") == files_of(tmp_path / "two")


@pytest.mark.parametrize("batches", [0, 1, 3])
def test_a_killed_run_goes_on_and_gives_the_same_bytes(run, tmp_path, monkeypatch, batches):
    run("whole")
    whole, count = Extractor.__call__, 0

    def killed(self, inputs):
        nonlocal count
        count += 1
        if count > batches:
            raise KeyboardInterrupt
        return whole(self, inputs)

    monkeypatch.setattr(Extractor, "__call__", killed)
    with pytest.raises(KeyboardInterrupt):
        run()
    assert not list((tmp_path / "out").glob("*.npy"))
    computed = []
    monkeypatch.setattr(
        Extractor, "__call__", lambda self, x: computed.append(len(x)) or whole(self, x)
    )
    run()
    assert sum(computed) == 7 - 2 * batches
    assert files_of(tmp_path / "out") == files_of(tmp_path / "whole")


def test_another_run_does_not_go_on_with_these_rows(run, tmp_path, monkeypatch):
    monkeypatch.setattr(features, "_write", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run()
    monkeypatch.undo()
    run(pooling="global")
    assert np.load(tmp_path / "out" / "train_res5_features.npy").shape == (7, 4)


def test_images_of_another_root_are_not_taken_for_finished(run, photos, tmp_path, monkeypatch):
    """They have the same names, and are older than the rows."""
    shutil.copytree(photos, tmp_path / "other")
    for path in (tmp_path / "other").iterdir():
        turned = Image.open(path).rotate(180)
        turned.save(path)
    monkeypatch.setattr(features, "_write", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run()
    monkeypatch.undo()
    run(root=tmp_path / "other")
    run("fresh", root=tmp_path / "other")
    name = "train_res5_features.npy"
    assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "fresh" / name).read_bytes()


def test_every_unreadable_image_is_named(run, photos, tmp_path):
    (photos / "2.jpg").unlink()
    (photos / "4.jpg").write_bytes(b"<html>")
    (photos / "5.jpg").write_bytes((photos / "5.jpg").read_bytes()[:-300])
    with pytest.raises(SslprepError) as error:
        run()
    text = str(error.value)
    assert "3 of 7 images cannot be read: row 2, " in text
    assert "2.jpg: missing; row 4, " in text
    assert "5.jpg: truncated;" in text
    assert not list((tmp_path / "out").glob("*.npy"))


def test_what_is_no_file_and_what_is_too_narrow_is_named(run, photos, tmp_path):
    """A pipe was waited for, a null byte and 24 GB for one row of pixels ended in tracebacks."""
    (photos / "0.jpg").unlink()
    os.mkfifo(photos / "0.jpg")
    cv2.imwrite(str(photos / "1.jpg"), np.zeros((1, 257, 3), np.uint8))
    (photos / "3.jpg").unlink()
    (photos / "3.jpg").mkdir()
    names = np.load(tmp_path / "train_images.npy").tolist()
    np.save(tmp_path / "train_images.npy", [*names[:2], "a\0b.jpg", *names[3:]])
    with pytest.raises(SslprepError) as error:
        run()
    text = str(error.value)
    assert "4 of 7 images cannot be read: row 0, " in text
    assert "0.jpg: not a regular file; row 1, " in text
    assert "1.jpg: 1 × 257 pixels are too narrow to be brought to 256; row 2, " in text
    assert "b.jpg: embedded null byte; row 3, " in text
    assert "3.jpg: not a regular file; " in text


@pytest.mark.parametrize("factor", [0, 1e30])
def test_features_that_are_no_numbers_are_refused(
    run, tmp_path, drawn_blobs, write_checkpoint, factor
):
    """They were written, and hours later `evaluate lowshot` refused them."""
    blobs = drawn_blobs(resnet((1, 1, 1, 1)).without_heads())
    blobs |= {name: blob * np.float32(factor) for name, blob in blobs.items() if name[-2:] == "_s"}
    blobs |= {name: blob * 0 for name, blob in blobs.items() if name[-2:] == "_b"}
    write_checkpoint(tmp_path / "small.pkl", blobs)
    with pytest.raises(
        SslprepError, match=r"small.pkl: gives row 0 \(.*\) features of \w+ that ho"
    ):
        run()
    assert not list((tmp_path / "out").glob("*.npy"))


def test_other_layers_are_not_left_without_a_manifest(run, tmp_path):
    run()
    before = files_of(tmp_path / "out")
    with pytest.raises(SslprepError, match=r"is also of train_conv1_features\.npy, which this run"):
        run(layers=("res5",), overwrite=True)
    assert files_of(tmp_path / "out") == before
    run(layers=("res4", "conv1", "res5"), overwrite=True)
    assert len(files_of(tmp_path / "out")) == 4


def test_an_image_that_was_replaced_is_read_again(run, photos, tmp_path, monkeypatch):
    """By whatever has an older date, too, as an archive that is unpacked again."""
    monkeypatch.setattr(features, "_write", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run()
    monkeypatch.undo()
    name = np.load(tmp_path / "train_images.npy")[3]
    cv2.imwrite(str(photos / name), np.full((300, 300, 3), 200, np.uint8))
    os.utime(photos / name, (0, 0))
    run()
    run("fresh")
    assert files_of(tmp_path / "out") == files_of(tmp_path / "fresh")


def test_a_batch_of_which_a_layer_is_missing_is_made_again(run, tmp_path, monkeypatch):
    """A kill may come between the files of two layers."""
    monkeypatch.setattr(features, "_write", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run()
    monkeypatch.undo()
    [file] = (tmp_path / "out").glob(".*.unfinished/*/2_res5.npy")
    file.unlink()
    run()
    run("fresh")
    assert files_of(tmp_path / "out") == files_of(tmp_path / "fresh")


def test_layers_must_be_the_networks(run):
    with pytest.raises(SslprepError, match=r"--layers names res6; expected layers of .*res2, res3"):
        run(layers=("res6",))
