"""Laws of the checkpoint converters, one test for each claim."""

import io
import pickle

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from sslprep.checkpoints import batchnorm
from sslprep.checkpoints.layouts import find_encoder
from sslprep.checkpoints.names import BlobName, parse_caffe2, parse_torch
from sslprep.checkpoints.networks import resnet
from sslprep.checkpoints.pickling import write_pickle
from sslprep.checkpoints.preprocessing import IMAGENET_BGR, absorb_std, reverse_channels
from sslprep.checkpoints.recognise import missing_blobs
from sslprep.checkpoints.towers import choose_tower

layers = st.one_of(
    st.builds(
        "res{}_{}_branch{}".format,
        st.integers(2, 5),
        st.integers(0, 35),
        st.sampled_from(["1", "2a", "2b", "2c"]),
    ),
    st.sampled_from(["conv1", "conv5", "fc6", "fc_c5", "fc_pred", "pred"]),
)
linear = st.builds(
    BlobName,
    layer=layers,
    param=st.sampled_from(["w", "b"]),
    tower=st.none() | st.integers(0, 8),
    momentum=st.booleans(),
)
norm = st.builds(
    BlobName,
    layer=layers | st.sampled_from(["res_conv1", "pool5"]),
    param=st.sampled_from(["s", "b", "rm", "riv"]),
    norm=st.just("_bn"),
    tower=st.none() | st.integers(0, 8),
    momentum=st.booleans(),
)
reshaped = st.builds(
    BlobName,
    layer=st.sampled_from(["fc6", "fc7"]),
    param=st.sampled_from(["s", "b", "rm", "riv"]),
    norm=st.just("_reshape_bn"),
    tower=st.none() | st.integers(0, 8),
)
names = linear | norm | reshaped
variances = st.floats(float(np.float32(2e-15)), 6e4, width=32)
reals = st.floats(-100, 100, width=32)


def vector(elements, size=4):
    return arrays.arrays(np.float32, size, elements=elements)


@given(names)
def test_reading_undoes_rendering(name):
    """Parse a name into its parts; render the parts."""
    assert parse_caffe2(str(name)) == name


@given(st.text("res2_0branchw1cvmi_snqfp5.", max_size=30))
def test_rendering_undoes_reading(text):
    """Whatever the grammar accepts it renders back, letter for letter."""
    parsed = parse_caffe2(text)
    assert parsed is None or str(parsed) == text


@given(names)
def test_torch_names_lead_back(name):
    """The name table is a bijection."""
    torch = name.torch()
    if torch is not None:
        assert parse_torch(torch) == name.without_tower()


@given(st.lists(names, unique=True, max_size=12), st.data())
def test_taking_a_tower_loses_nothing_silently(chosen, data):
    """Every blob is accounted for: renamed, kept, or dropped for a named reason."""
    towers = sorted({n.tower for n in chosen if n.tower is not None})
    texts = [str(n) for n in chosen if n.tower is not None or not towers]
    if not towers:
        return
    fates = choose_tower(
        {text: parse_caffe2(text) for text in texts}, data.draw(st.sampled_from(towers))
    )
    assert list(fates) == texts
    assert [fate.blob for fate in fates.values()] == texts
    kept = [fate.became for fate in fates.values() if fate.became is not None]
    assert all(parse_caffe2(new).tower is None for new in kept)
    assert all(f.reason == "another tower" for f in fates.values() if f.became is None)


@settings(max_examples=200)
@given(vector(reals), vector(reals), vector(reals), vector(variances), vector(reals))
def test_folding_leaves_the_output_unchanged_within_float32(s, b, rm, riv, x):
    """Folding batch norm leaves the network's output unchanged within float32."""
    scale, shift = batchnorm.fold(s, b, rm, riv)
    std = np.sqrt(riv.astype(np.float64) + 1e-5)
    exact = s.astype(np.float64) * (x - rm.astype(np.float64)) / std + b
    size = np.abs(s / std) * (np.abs(x) + np.abs(rm)) + np.abs(b)
    assert scale.dtype == shift.dtype == np.float32
    assert (np.abs(scale * x + shift - exact) <= 1e-6 * size + 1e-30).all()


@given(vector(reals), vector(reals), vector(reals), vector(variances))
def test_folding_is_the_formula_bit_for_bit(s, b, rm, riv):
    """`s / sqrt(riv + 1e-5)`, `b - rm * s / sqrt(riv + 1e-5)`, in float32, one by one."""
    scale, shift = batchnorm.fold(s, b, rm, riv)
    for i in range(len(s)):
        std = np.float32(np.sqrt(np.float32(riv[i] + np.float32(1e-5))))
        assert scale[i] == np.float32(s[i] / std)
        assert shift[i] == np.float32(b[i] - np.float32(np.float32(rm[i] * s[i]) / std))


@given(vector(reals), vector(reals), vector(reals), vector(variances), vector(reals))
def test_two_affine_layers_equal_one(s, b, rm, riv, x):
    """`--decompose_bn` computes the same as the folded form."""
    scale, shift = batchnorm.fold(s, b, rm, riv)
    first, second = batchnorm.decompose(rm, riv)
    size = np.abs(s * first) * (np.abs(x) + np.abs(rm)) + np.abs(b)
    apart = np.abs((x * first + second) * s + b - (x * scale + shift))
    assert (apart <= 2e-6 * size + 1e-30).all()


@given(arrays.arrays(np.float32, (2, 3, 2, 2), elements=reals))
def test_reversing_channels_twice_is_the_identity(weights):
    """BGR to RGB and back; always contiguous, as safetensors needs it."""
    once = reverse_channels(weights)
    assert once.flags.c_contiguous
    assert np.array_equal(reverse_channels(once), weights)


@given(arrays.arrays(np.float32, (2, 3, 2, 2), elements=st.floats(-1, 1, width=32)))
def test_absorbed_std_takes_detectrons_pixels(weights):
    """`(img / 255 - mean) / std` into conv1 equals `img - 255 * mean` into the absorbed one."""
    pixel = np.array([12.0, 200.0, 97.0])
    mean, std = np.array([0.406, 0.456, 0.485]), np.array([0.225, 0.224, 0.229])
    ours = np.einsum("oc,c->o", weights[:, :, 0, 0].astype(float), (pixel / 255 - mean) / std)
    absorbed = absorb_std(weights, IMAGENET_BGR)[:, :, 0, 0].astype(float)
    theirs = np.einsum("oc,c->o", absorbed, pixel - 255 * mean)
    assert np.allclose(ours, theirs, rtol=1e-5, atol=1e-5)


@given(st.lists(st.integers(1, 40), min_size=4, max_size=4), st.data())
def test_whatever_is_taken_away_is_missed(blocks, data):
    """Missing is an error: each blob of a trunk is needed."""
    network = resnet(blocks)
    gone = data.draw(st.sets(st.sampled_from(network.blobs), max_size=4))
    there = [name for name in network.blobs if name not in gone]
    assert set(missing_blobs(network, there)) == gone


@given(st.sampled_from(["module.", "module.encoder.", "backbone.", ""]))
def test_a_wrappers_prefix_does_not_matter(prefix):
    """`DataParallel` puts `module.` before every name."""
    wanted = resnet([1, 1, 1, 1]).blobs
    torch = [f"{prefix}{parse_caffe2(name).torch()}" for name in wanted]
    found = find_encoder(torch)
    assert found.prefix == prefix
    assert [str(name) for name in found.names.values()] == wanted


plain = arrays.arrays(
    st.sampled_from([np.float32, np.float64, np.float16, np.int32]),
    arrays.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4),
)


@given(st.dictionaries(st.text("abc_12", min_size=1), plain, max_size=5))
def test_written_pickles_load_with_pickle(blobs):
    """What we write, Python's own pickle loads: protocol 2, `encoding="latin1"`."""
    file = io.BytesIO()
    write_pickle(file, {"blobs": blobs})
    found = pickle.loads(file.getvalue(), encoding="latin1")["blobs"]
    assert list(found) == list(blobs)
    for name, array in blobs.items():
        assert found[name].dtype == array.dtype
        assert found[name].tobytes() == array.tobytes()
