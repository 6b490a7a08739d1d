"""Step A: one tower under the names of a model without towers."""

import numpy as np
import pytest

from sslprep import manifest
from sslprep.checkpoints.detectron import convert_detectron
from sslprep.checkpoints.jigsaw import convert_jigsaw
from sslprep.errors import CheckpointError, OutputError


def account(path):
    return {row["blob"]: row for row in manifest.read(path).details["account"]}


@pytest.mark.parametrize("tower", [0, 3, 8])
def test_keeps_one_tower_and_what_is_shared(models, tmp_path, tower):
    blobs = models.small("jigsaw")
    source = models.write(tmp_path / "m.pkl", blobs)
    convert_jigsaw(model_file=source, output_file=tmp_path / "a.pkl", tower=tower)
    models.assert_same(models.blobs_of(tmp_path / "a.pkl"), models.one_tower(blobs, tower))


def test_output_holds_blobs_alone_in_protocol_2_with_numpys_old_name(models, tmp_path):
    source = models.write(tmp_path / "m.pkl", models.small("jigsaw"))
    convert_jigsaw(model_file=source, output_file=tmp_path / "a.pkl")
    data = (tmp_path / "a.pkl").read_bytes()
    assert list(models.read(tmp_path / "a.pkl")) == ["blobs"]
    assert data.startswith(b"\x80\x02")
    assert b"numpy.core.multiarray" in data
    assert b"numpy._core" not in data


def test_stage_2_survives(models, tmp_path):
    """The reference's test for "s2" also hit "res2"."""
    source = models.write(tmp_path / "m.pkl", models.small("jigsaw"))
    convert_jigsaw(model_file=source, output_file=tmp_path / "a.pkl")
    made = models.blobs_of(tmp_path / "a.pkl")
    assert sum(name.startswith("res2_") and "_momentum" not in name for name in made) == 50


def test_alexnet_towers_stand_before_the_norm(models, tmp_path):
    blobs = models.small("alexnet")
    source = models.write(tmp_path / "m.pkl", blobs)
    convert_jigsaw(model_file=source, output_file=tmp_path / "a.pkl")
    made = models.blobs_of(tmp_path / "a.pkl")
    models.assert_same(made, {n.replace("_s0", ""): a for n, a in blobs.items()})


def test_every_blob_is_in_the_account(models, tmp_path):
    blobs = models.small("jigsaw")
    source = models.write(tmp_path / "m.pkl", blobs)
    result = convert_jigsaw(model_file=source, output_file=tmp_path / "a.pkl")
    rows = account(tmp_path / "a.pkl.manifest.json")
    assert set(rows) == set(blobs)
    assert rows["res_conv1_bn_s4_rm"]["action"] == "dropped"
    assert rows["res_conv1_bn_s4_rm"]["reason"] == "another tower"
    assert rows["conv1_s0_w"]["became"] == "conv1_w"
    assert rows["lr"]["action"] == "kept"
    assert sum(result.blobs.values()) == len(blobs)
    assert "another tower" in result.text()


def test_manifest_says_how_far_the_towers_are_apart(models, tmp_path):
    blobs = models.small("shallow jigsaw")
    blobs["res3_0_branch2a_bn_s7_rm"] = blobs["res3_0_branch2a_bn_s0_rm"] + np.float32(1000)
    source = models.write(tmp_path / "m.pkl", blobs)
    convert_jigsaw(model_file=source, output_file=tmp_path / "a.pkl")
    towers = manifest.read(tmp_path / "a.pkl.manifest.json").details["towers"]
    assert towers["present"] == list(range(9))
    assert towers["norms_apart"]["rm"]["blob"] == "res3_0_branch2a_bn_s7_rm"
    assert towers["norms_apart"]["rm"]["largest_difference"] == pytest.approx(1000, abs=0.01)
    largest = np.abs(blobs["res3_0_branch2a_bn_s0_rm"]).max()
    assert towers["norms_apart"]["rm"]["relative"] >= 1000 / largest * 0.99


@pytest.mark.parametrize("kind", ["supervised", "colorization"])
def test_model_without_towers_is_an_error_and_nothing_is_lost(models, tmp_path, kind):
    source = models.write(tmp_path / "m.pkl", models.small(kind))
    before = source.read_bytes()
    with pytest.raises(CheckpointError, match=r"m\.pkl: has no towers"):
        convert_jigsaw(model_file=source, output_file=source, overwrite=True)
    assert source.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["m.pkl"]


def test_a_second_time_is_an_error_and_nothing_is_lost(models, tmp_path):
    source = models.write(tmp_path / "m.pkl", models.small("jigsaw"))
    convert_jigsaw(model_file=source, output_file=tmp_path / "a.pkl")
    before = (tmp_path / "a.pkl").read_bytes()
    with pytest.raises(CheckpointError, match="renamed already"):
        convert_jigsaw(model_file=tmp_path / "a.pkl", output_file=tmp_path / "b.pkl")
    assert (tmp_path / "a.pkl").read_bytes() == before
    assert not (tmp_path / "b.pkl").exists()


def test_a_tower_that_is_not_there(models, tmp_path):
    source = models.write(tmp_path / "m.pkl", models.small("jigsaw"))
    with pytest.raises(CheckpointError, match="has no tower 9; expected --tower from 0, 1, 2"):
        convert_jigsaw(model_file=source, output_file=tmp_path / "a.pkl", tower=9)


def test_two_blobs_of_one_name_are_an_error(models, tmp_path):
    blobs = models.small("shallow jigsaw")
    source = models.write(tmp_path / "m.pkl", {**blobs, "conv1_w": blobs["conv1_s0_w"]})
    with pytest.raises(CheckpointError, match="conv1_s0_w and conv1_w would both become conv1_w"):
        convert_jigsaw(model_file=source, output_file=tmp_path / "a.pkl")


def test_unknown_blobs_are_an_error_unless_allowed(models, tmp_path):
    extra = np.ones(3, np.float32)
    blobs = {**models.small("shallow jigsaw"), "my_s2_thing": extra}
    source = models.write(tmp_path / "m.pkl", blobs)
    with pytest.raises(CheckpointError, match="my_s2_thing is unknown"):
        convert_jigsaw(model_file=source, output_file=tmp_path / "a.pkl")
    convert_jigsaw(model_file=source, output_file=tmp_path / "a.pkl", allow_unknown=True)
    assert np.array_equal(models.blobs_of(tmp_path / "a.pkl")["my_s2_thing"], extra)


def test_missing_blobs_are_an_error_unless_allowed(models, tmp_path):
    blobs = models.small("shallow jigsaw")
    del blobs["res3_0_branch2b_bn_s0_riv"], blobs["res4_0_branch1_s0_w"]
    source = models.write(tmp_path / "m.pkl", blobs)
    wanted = "res3_0_branch2b_bn_riv, res4_0_branch1_w are missing"
    with pytest.raises(CheckpointError, match=wanted):
        convert_jigsaw(model_file=source, output_file=tmp_path / "a.pkl")
    result = convert_jigsaw(model_file=source, output_file=tmp_path / "a.pkl", allow_missing=True)
    assert "2 blobs are missing" in result.warnings[0]


def test_after_detectron_it_passes_the_model_on(models, tmp_path):
    """Both orders of the two commands give the same model."""
    source = models.write(tmp_path / "m.pkl", models.small("jigsaw"))
    first = {"output_file": tmp_path / "a.pkl"}
    convert_jigsaw(model_file=source, **first)
    convert_detectron(c2_model=tmp_path / "a.pkl", output_file=tmp_path / "ab.pkl", absorb_std=True)
    convert_detectron(c2_model=source, output_file=tmp_path / "b.pkl", absorb_std=True)
    result = convert_jigsaw(model_file=tmp_path / "b.pkl", output_file=tmp_path / "ba.pkl")
    assert "copied as it is" in result.warnings[0]
    models.assert_same(models.blobs_of(tmp_path / "ba.pkl"), models.blobs_of(tmp_path / "ab.pkl"))
    models.assert_same(models.blobs_of(tmp_path / "b.pkl"), models.blobs_of(tmp_path / "ab.pkl"))
    again = tmp_path / "again.pkl"
    with pytest.raises(CheckpointError, match="absorbed in conv1_w already"):
        convert_detectron(c2_model=tmp_path / "ba.pkl", output_file=again, absorb_std=True)


def test_same_input_gives_the_same_bytes(models, tmp_path):
    source = models.write(tmp_path / "m.pkl", models.small("shallow jigsaw"))
    files = []
    for folder in ("one", "two"):
        convert_jigsaw(model_file=source, output_file=tmp_path / folder / "a.pkl")
        files.append([p.read_bytes() for p in sorted((tmp_path / folder).iterdir())])
    assert files[0] == files[1]
    assert len(files[0]) == 2


def test_existing_output_is_an_error_unless_overwritten(models, tmp_path):
    source = models.write(tmp_path / "m.pkl", models.small("shallow jigsaw"))
    convert_jigsaw(model_file=source, output_file=tmp_path / "a.pkl")
    with pytest.raises(OutputError, match="exists already"):
        convert_jigsaw(model_file=source, output_file=tmp_path / "a.pkl")
    convert_jigsaw(model_file=source, output_file=tmp_path / "a.pkl", overwrite=True)


@pytest.mark.parametrize("tower", [0, 1])
@pytest.mark.parametrize("change", [lambda a: a[None], lambda a: float(a[0])])
@pytest.mark.parametrize("convert", [convert_jigsaw, convert_detectron])
def test_a_norm_of_another_shape_is_an_error_and_no_traceback(
    models, tmp_path, tower, change, convert
):
    blobs = models.small("shallow jigsaw")
    name = f"res_conv1_bn_s{tower}_s"
    blobs[name] = change(blobs[name])
    source = models.write(tmp_path / "m.pkl", blobs)
    if tower == 0:
        with pytest.raises(CheckpointError, match=r"m\.pkl: res_conv1_bn_s"):
            convert(source, tmp_path / "a.pkl")
    else:
        convert(source, tmp_path / "a.pkl")


@pytest.mark.parametrize("part", ["s", "b", "rm", "riv"])
def test_a_statistic_that_only_tower_0_has_is_missing_in_tower_5(models, tmp_path, part):
    """Tower 0's variances were taken as shared by the towers, exit 0."""
    blobs = models.small("shallow jigsaw")
    for tower in range(1, 9):
        del blobs[f"res2_0_branch2a_bn_s{tower}_{part}"]
    source = models.write(tmp_path / "m.pkl", blobs)
    with pytest.raises(CheckpointError, match=f"res2_0_branch2a_bn_{part} is missing"):
        convert_jigsaw(source, tmp_path / "a.pkl", tower=5)


def test_the_tower_that_detectron_took_need_not_be_named_again(models, tmp_path):
    source = models.write(tmp_path / "m.pkl", models.small("shallow jigsaw"))
    convert_detectron(source, tmp_path / "b.pkl", tower=3)
    convert_jigsaw(tmp_path / "b.pkl", tmp_path / "ba.pkl")
    convert_jigsaw(tmp_path / "b.pkl", tmp_path / "bb.pkl", tower=3)
    assert (tmp_path / "ba.pkl").read_bytes() == (tmp_path / "bb.pkl").read_bytes()
    for other in (0, 2, 4):
        with pytest.raises(CheckpointError, match=f"has no towers, so no tower {other} to take"):
            convert_jigsaw(tmp_path / "b.pkl", tmp_path / "c.pkl", tower=other)


def test_a_wish_for_a_tower_is_an_error_where_there_is_none(models, tmp_path):
    source = models.write(tmp_path / "m.pkl", models.small("shallow"))
    with pytest.raises(CheckpointError, match="has no towers, so no tower 0 to take"):
        convert_detectron(source, tmp_path / "o", tower=0)
    convert_detectron(source, tmp_path / "o")
