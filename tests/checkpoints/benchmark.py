"""The benchmark's twelve networks, written by hand: their blobs, and what they compute.

Nothing of sslprep is used. Names, strides, padding and the order of operations are those of the
operators that a real Caffe2 runs; all arithmetic is float64. The networks are thin, not small:
pictures have their real size, so every pooling meets what it meets in the published ones.
"""

import re

import numpy as np
import torch
import torch.nn.functional as ops

CLASSES = 5
BLOCKS = (3, 4, 6, 3)


class Net:
    """Makes a network's blobs while a picture goes through it for the first time.

    Given blobs it only computes; `logits` holds what each classifier gives.
    """

    def __init__(self, blobs=None, *, seed=0):
        self.random = np.random.default_rng(seed) if blobs is None else None
        self.blobs = {} if blobs is None else blobs
        self.logits = {}

    def blob(self, name, shape, low, high):
        if self.random is not None:
            self.blobs[name] = self.random.uniform(low, high, shape).astype(np.float32)
        return torch.from_numpy(np.array(self.blobs[name], dtype=np.float64))

    def conv(self, x, name, out, kernel, stride=1, pad=0, group=1, bias=False):
        shape = (out, x.shape[1] // group, kernel, kernel)
        size = (6 / np.prod(shape[1:])) ** 0.5
        weights = self.blob(f"{name}_w", shape, -size, size)
        offset = self.blob(f"{name}_b", (out,), -0.1, 0.1) if bias else None
        return ops.conv2d(x, weights, offset, stride, pad, 1, group)

    def norm(self, x, name):
        n, shape = x.shape[1], (1, -1) + (1,) * (x.ndim - 2)
        s = self.blob(f"{name}_s", (n,), 0.5, 1.5).reshape(shape)
        b = self.blob(f"{name}_b", (n,), -0.2, 0.2).reshape(shape)
        rm = self.blob(f"{name}_rm", (n,), -0.2, 0.2).reshape(shape)
        riv = self.blob(f"{name}_riv", (n,), 0.3, 2.0).reshape(shape)
        return s * (x - rm) / torch.sqrt(riv + 1e-5) + b

    def fc(self, x, name, out):
        x = x.flatten(1)
        size = (3 / x.shape[1]) ** 0.5
        weights = self.blob(f"{name}_w", (out, x.shape[1]), -size, size)
        return x @ weights.T + self.blob(f"{name}_b", (out,), -0.1, 0.1)

    def classify(self, x, name):
        self.logits[name] = self.fc(x, name, CLASSES)[0].numpy()

    def probe(self, x, norm, classifier, kernel, stride, pad=0):
        pooled = ops.avg_pool2d(x, kernel, stride, pad, count_include_pad=False)
        self.classify(self.norm(pooled, norm), classifier)


def lrn(x):
    """Local response norm over 5 channels: x / (1 + 1e-4 / 5 · Σ x²)^0.75."""
    squares = ops.pad(x * x, (0, 0, 0, 0, 2, 2))
    near = sum(squares[:, i : i + x.shape[1]] for i in range(5))
    return x / (1 + 1e-4 / 5 * near) ** 0.75


def resnet(net, x, kind, linear, width=4):
    """supervised, jigsaw (one tower) or colorize; full or linear."""
    late = "_s0" if kind == "jigsaw" else ""

    def step(y, layer, out, kernel, stride):
        y = net.conv(y, f"{layer}{late}", out, kernel, stride, kernel // 2)
        return net.norm(y, f"{layer}_bn{late}")

    x = net.norm(net.conv(x, f"conv1{late}", width, 7, 2, 3), f"res_conv1_bn{late}").relu()
    if linear:
        net.probe(x, f"res_conv1_bn{late}_resize_bn", "conv1_cls", 10, 10, 4)
    x = ops.max_pool2d(x, 3, 2, 1)
    if linear:
        net.probe(x, f"pool1{late}_resize_bn", "pool1_cls", 5, 5, 2)
    poolings = {2: (8, 16), 3: (5, 13), 4: (3, 8), 5: (2, 12) if kind == "colorize" else (1, 6)}
    for stage, count in enumerate(BLOCKS, 2):
        middle = width << (stage - 2)
        for block in range(count):
            place = f"res{stage}_{block}_branch"
            stride = 1 if block or stage == 2 or (stage == 5 and kind == "colorize") else 2
            y = step(x, f"{place}2a", middle, 1, 1).relu()
            y = step(y, f"{place}2b", middle, 3, stride).relu()
            y = step(y, f"{place}2c", 4 * middle, 1, 1)
            around = step(x, f"{place}1", 4 * middle, 1, stride) if block == 0 else x
            x = (y + around).relu()
        if linear:
            stride, kernel = poolings[stage]
            name = f"{place}2c_bn{late}_s{stride}k{kernel}_resize_bn"
            net.probe(x, name, f"conv{stage}_cls", kernel, stride)
    x = ops.avg_pool2d(x, 14 if kind == "colorize" else 7, 1)
    if linear or kind != "supervised":
        x = net.norm(x, f"pool5{late}_bn")
    heads = {"supervised": "fc1", "jigsaw": "fc_c5", "colorize": "pred"}
    net.classify(x, "pool5_cls" if linear else heads[kind])


def alexnet_jigsaw(net, x, linear, n=16):
    def normed(y, layer):
        return net.norm(y, f"{layer}_bn").relu()

    def conv(y, number, out, kernel, pad, group):
        return net.conv(y, f"conv{number}_s0", out // n, kernel, 1, pad, group, bias=True)

    x = net.conv(x, "conv1_s0", 96 // n, 11, 2 if linear else 4, bias=True).relu()
    if linear:
        net.probe(x, "conv1_s0_s9k28_resize_bn", "fc_c1", 28, 9)
    x = ops.max_pool2d(x, 3, 2)
    if linear:
        net.probe(x, "pool1_s0_resize_bn", "fc_pool1", 6, 6, 3)
    x = conv(x if linear else lrn(x), 2, 256, 5, 2, 2).relu()
    if linear:
        net.probe(x, "conv2_s0_s6k24_resize_bn", "fc_c2", 24, 6)
    x = ops.max_pool2d(x, 3, 2)
    if linear:
        net.probe(x, "pool2_s0_resize_bn", "fc_pool2", 4, 4)
    x = x if linear else lrn(x)
    for number, out, group, (stride, kernel) in (
        (3, 384, 1, (3, 14)), (4, 384, 2, (3, 14)), (5, 256, 2, (2, 16)),
    ):  # fmt: skip
        x = normed(conv(x, number, out, 3, 1, group), f"conv{number}_s0")
        if linear:
            name = f"conv{number}_s0_bn_relu_s{stride}k{kernel}_resize_bn"
            net.probe(x, name, f"fc_c{number}", kernel, stride)
    x = ops.max_pool2d(x, 3, 2)
    if linear:
        net.probe(x, "pool5_s0_resize_bn", "fc_pool5", 2, 2)
        return
    x = normed(net.fc(x, "fc6", 4096 // n), "fc6_reshape")
    x = normed(net.fc(x, "fc7_s0", 4096 // n), "fc7_s0_reshape")
    net.classify(x, "fc8_s0")


BEHIND = ((4, 19), (3, 12), (1, 9), (1, 9), (1, 8))


def alexnet_colorize(net, x, linear, n=16):
    sizes = ((96, 11, 4, 0, 1), (256, 5, 1, 2, 2), (384, 3, 1, 1, 1), (384, 3, 1, 1, 2),
             (256, 3, 1, 1, 2))  # fmt: skip
    for number, (out, kernel, stride, pad, group) in enumerate(sizes, 1):
        x = net.conv(x, f"conv{number}", out // n, kernel, stride, pad, group, bias=True)
        x = net.norm(x, f"conv{number}norm").relu()
        if linear:
            step, side = BEHIND[number - 1]
            name = f"conv{number}norm_s{step}k{side}_resize_bn"
            net.probe(x, name, f"fc_c{number}", side, step)
        x = ops.max_pool2d(x, 3, 2) if number in (1, 2, 5) else x
    if linear:
        net.classify(net.norm(x, "pool5_bn"), "fc_pool5")
        return
    x = net.norm(net.conv(x, "fc6_1", 4096 // n, 6, bias=True), "fc6_1_norm").relu()
    x = net.norm(net.conv(x, "fc7_1", 4096 // n, 1, bias=True), "fc7_1_norm").relu()
    net.classify(x, "fc8_cls")


def caffenet(net, x, linear, n=16):
    sizes = ((96, 11, 4, 0, 1), (256, 5, 1, 2, 2), (384, 3, 1, 1, 1), (384, 3, 1, 1, 2),
             (256, 3, 1, 1, 2))  # fmt: skip
    for number, (out, kernel, stride, pad, group) in enumerate(sizes, 1):
        x = net.conv(x, f"conv{number}", out // n, kernel, stride, pad, group, bias=True).relu()
        if linear:
            step, side = BEHIND[number - 1]
            net.probe(x, f"conv{number}_s{step}k{side}_resize_bn", f"fc_c{number}", side, step)
        x = lrn(x) if number in (1, 2) else x
        x = ops.max_pool2d(x, 3, 2) if number in (1, 2, 5) else x
    x = net.fc(x, "fc6", 4096 // n).relu()
    x = net.fc(x, "fc7", 4096 // n).relu()
    if linear:
        net.logits["fc7"] = x[0].numpy()
    else:
        net.classify(x, "fc8_cls")


NETWORKS = {
    f"{name}_finetune_{protocol}": (function, arguments, protocol == "linear", channels, side)
    for name, function, arguments, channels, side in (
        ("resnet_supervised", resnet, ("supervised",), 3, 224),
        ("resnet_jigsaw", resnet, ("jigsaw",), 3, 224),
        ("resnet_colorize", resnet, ("colorize",), 1, 224),
        ("alexnet_jigsaw", alexnet_jigsaw, (), 3, 227),
        ("alexnet_colorize", alexnet_colorize, (), 1, 227),
        ("caffenet_bvlc_supervised", caffenet, (), 3, 227),
    )
    for protocol in ("full", "linear")
}


def compute(name, blobs=None, picture=None):
    """Return a network's blobs and logits, float64, for a picture as the network takes it."""
    function, arguments, linear, channels, side = NETWORKS[name]
    net = Net(blobs)
    if picture is None:
        picture = np.random.default_rng(1).standard_normal((channels, side, side))
    function(net, torch.from_numpy(picture[None]), *arguments, linear)
    return net.blobs, net.logits


def kinds(blobs):
    """Return one blob of every kind: the same name but for its numbers."""
    found = {}
    for name in blobs:
        found.setdefault(re.sub(r"(?<!branch)\d+", "N", name), name)
    return sorted(found.values())
