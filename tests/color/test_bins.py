import io
import json
import re
from pathlib import Path

import numpy as np
import pytest

from sslprep import manifest
from sslprep.color.bins import color_bins, read_points, read_priors
from sslprep.color.gamut import grid_points
from sslprep.color.histogram import color_histogram
from sslprep.color.plot import plot_color_bins
from sslprep.color.priors import (
    fair_bins,
    nearest_counts,
    smooth_priors,
    standard_errors,
    zhang_bins,
)
from sslprep.errors import ArrayError, ImagesError, ManifestError, OutputError, ParameterError
from sslprep.input_files import sha256_of


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """A histogram of made-up counts over the colours that OpenCV can give."""
    counts = np.zeros((256, 256), np.int64)
    chance = np.random.default_rng(1)
    a, b = chance.integers(-60, 60, 3000), chance.integers(-60, 60, 3000)
    np.add.at(counts, (a + 128, b + 128), chance.integers(1, 10**9, 3000))
    path = tmp_path / "ab_histogram_train_toy.npy"
    np.save(path, counts)
    return path


def _write_manifest(path: Path, **fields: object) -> None:
    """Write a manifest beside a file, as of some hand-edited one."""
    record = {"schema": 1, "sslprep": "0", "command": "x", "inputs": [], "parameters": {}}
    output = {"file": path.name, "bytes": path.stat().st_size, "sha256": sha256_of(path)}
    record |= {"outputs": [output], **fields}
    path.with_suffix(".manifest.json").write_text(json.dumps(record))


class TestFair:
    def test_values_above_the_last_edge_are_dropped_and_one_on_it_is_kept(self) -> None:
        table = np.zeros((256, 256), np.int64)
        table[122 + 128, 0] = 3  # the last edge of size 10
        table[123 + 128, 0] = 5
        table[0, 127 + 128] = 7
        table[0, 0] = 1
        made = fair_bins(table, 10)
        assert made.points.tolist() == [[-128, -128], [112, -128]]
        assert made.counts.tolist() == [1, 3]
        assert made.outside == 12

    def test_no_pixel_in_any_bin(self) -> None:
        table = np.zeros((256, 256), np.int64)
        table[255, 255] = 1
        with pytest.raises(ImagesError, match=r"within \[-128, 72\]"):
            fair_bins(table, 200)

    def test_counts_beyond_float32_are_exact(self) -> None:
        table = np.zeros((256, 256), np.int64)
        table[128, 128], table[0, 0] = 2**40 + 1, 1
        assert fair_bins(table, 10).counts.tolist() == [1, 2**40 + 1]


class TestZhang:
    @pytest.mark.parametrize("size", [5, 10, 20])
    def test_each_pixel_goes_to_the_nearest_point(self, table: Path, size: int) -> None:
        counts, points = np.load(table), grid_points(size)
        expected = np.zeros(len(points))
        for a, b in np.argwhere(counts).tolist():
            squared = ((points - (a - 128, b - 128)) ** 2).sum(1)
            nearest = np.flatnonzero(squared == squared.min())
            expected[nearest] += counts[a, b] / len(nearest)
        found = nearest_counts(counts, points)
        assert np.allclose(found, expected, rtol=1e-13)
        assert np.isclose(found.sum(), counts.sum(), rtol=1e-13)

    def test_ties_are_shared_by_two_three_and_four(self) -> None:
        table = np.zeros((256, 256), np.int64)
        table[128 + 5, 128 + 5] = 12
        square = np.array([[0, 0], [0, 10], [10, 0], [10, 10]])
        assert nearest_counts(table, square).tolist() == [3, 3, 3, 3]
        assert nearest_counts(table, square[:3]).tolist() == [4, 4, 4]
        assert nearest_counts(table, square[:2]).tolist() == [6, 6]

    def test_a_table_that_is_the_same_mirrored_has_mirrored_priors(self) -> None:
        table = np.zeros((256, 256), np.int64)
        chance = np.random.default_rng(0)
        quarter = chance.integers(1, 99, (40, 40))
        table[128:168, 128:168] = quarter
        table[89:129, 89:129] += quarter[::-1, ::-1]
        points = np.array([[a, b] for a in range(-50, 51, 10) for b in range(-50, 51, 10)])
        counts = nearest_counts(table, points)
        assert np.allclose(counts, counts[::-1])

    def test_smoothing_is_a_gaussian_over_the_bins(self) -> None:
        points = np.array([[0, 0], [10, 0], [0, 90]])
        counts = np.array([0, 4, 0])
        weights = np.exp(-np.array([10**2, 0, 10**2 + 90**2]) / 50)
        assert np.allclose(smooth_priors(counts, points, 5), weights / weights.sum(), rtol=1e-12)

    def test_each_bins_share_is_spread_whole_also_at_the_edge(self) -> None:
        points = np.array([[0, 0], [10, 0], [20, 0], [30, 0], [90, 0]])
        counts = np.array([0, 8, 0, 0, 24])  # the last has no neighbour to give to
        priors = smooth_priors(counts, points, 5)
        assert priors[4] == pytest.approx(0.75)
        assert priors[:4].sum() == pytest.approx(0.25)

    def test_where_smoothing_leaves_a_0_one_pixel_is_shared_out(self) -> None:
        priors = smooth_priors(np.array([6, 2, 0, 0]), np.eye(4)[:, :2] * 9 + 3, 0)
        assert np.allclose(priors, np.array([6.25, 2.25, 0.25, 0.25]) / 9, rtol=1e-15)

    @pytest.mark.parametrize("sigma", [0.0, 1e-300, 1e-160, 1e-3, 0.5, 5.0, 1e4])
    def test_no_prior_is_0(self, table: Path, sigma: float) -> None:
        points = grid_points(10)
        priors = smooth_priors(nearest_counts(np.load(table), points), points, sigma)
        assert (priors > 0).all()
        assert abs(priors.sum() - 1) < 1e-12


class TestStandardErrors:
    """By hand: of two colours, three groups hold 30 and 10 pixels, 10 and 30, 20 and 20."""

    @pytest.fixture
    def groups(self) -> np.ndarray:
        groups = np.zeros((3, 256, 256), np.int64)
        groups[:, 118, 128], groups[:, 138, 128] = (30, 10, 20), (10, 30, 20)
        return groups

    # Of each group 20 are expected in each bin: the differences are 10, 10 and 0 of 120 pixels.
    @pytest.mark.parametrize("share", [0.0, 0.75])
    def test_of_the_fair_grid(self, groups: np.ndarray, share: float) -> None:
        bins = fair_bins(groups.sum(0), 10)
        errors = standard_errors(groups, bins, share, fair_size=10, sigma=5.0)
        assert bins.points.tolist() == [[-18, -8], [2, -8]]
        assert np.allclose(errors, np.sqrt((1 - share) * 3 / 2 * 2 * (10 / 120) ** 2), rtol=1e-12)

    def test_of_centres_differences_are_smoothed_as_priors_are(self, groups: np.ndarray) -> None:
        points = np.array([[-10, 0], [10, 0]])
        bins = zhang_bins(groups.sum(0), 10, 10.0, points)
        errors = standard_errors(groups, bins, 0.0, fair_size=None, sigma=10.0)
        near, far = np.array([1, np.exp(-2)]) / (1 + np.exp(-2))  # the Gaussian, 20 apart
        assert np.allclose(errors, np.sqrt(3 / 2 * 2) * (near - far) * 10 / 120, rtol=1e-12)


class TestCommand:
    def test_files_of_several_sizes(self, table: Path) -> None:
        result = color_bins(histogram=(table,), bin_size=(20, 5, 20), weights=True)
        assert result.bins == {20: 101, 5: 1083}
        for size, count in result.bins.items():
            end = f"train_toy_bin{size}"
            points = np.load(table.with_name(f"pts_in_hull_{end}.npy"))
            priors = np.load(table.with_name(f"priors_{end}.npy"))
            weights = np.load(table.with_name(f"rebalance_weights_{end}.npy"))
            assert (points.shape, points.dtype) == ((count, 2), np.int64)
            assert (priors.shape, priors.dtype) == ((count,), np.float64)
            assert abs((priors * weights).sum() - 1) < 1e-12
            record = manifest.read(table.with_name(f"pts_in_hull_{end}.manifest.json"))
            assert record.kind == "color-bins"
            assert record.counts["bins"] == count
            assert len(record.outputs) == 3
            assert (record.details["points_are"], record.details["ties"][:6]) == (
                "centres",
                "shared",
            )
        assert manifest.verify(folder=table.parent).ok

    def test_tables_add_up(self, table: Path, tmp_path: Path) -> None:
        counts = np.load(table)
        first = counts // 3
        np.save(tmp_path / "a.npy", first)
        np.save(tmp_path / "b.npy", counts - first)
        arguments = {"type": "train", "dataset": "toy", "grid": "fair"}
        color_bins(histogram=(table,), output_path=tmp_path / "whole", **arguments)
        both = (tmp_path / "a.npy", tmp_path / "b.npy")
        color_bins(histogram=both, output_path=tmp_path / "parts", **arguments)
        for name in ("pts_in_hull_train_toy_bin10.npy", "priors_train_toy_bin10.npy"):
            whole, parts = tmp_path / "whole" / name, tmp_path / "parts" / name
            assert whole.read_bytes() == parts.read_bytes()

    def test_the_same_table_twice_is_refused(self, table: Path) -> None:
        copy = table.with_name("copy.npy")
        copy.write_bytes(table.read_bytes())
        np.save(table.with_name("turned.npy"), np.load(table).astype(">i8", order="F"))
        for other in (table, copy, table.with_name("turned.npy")):
            with pytest.raises(ParameterError, match="has the same content as"):
                color_bins(histogram=(table, other))

    def test_given_points(self, table: Path, tmp_path: Path) -> None:
        given = np.array([[40.5, 0.0], [-40.0, 3.0], [0.0, 0.0], [-128.0, 128.0]])
        np.save(tmp_path / "published.npy", given)
        color_bins(
            histogram=(table,), points=tmp_path / "published.npy", output_path=tmp_path / "o"
        )
        assert np.array_equal(np.load(tmp_path / "o" / "pts_in_hull_train_toy_bin10.npy"), given)
        priors = np.load(tmp_path / "o" / "priors_train_toy_bin10.npy")
        assert (priors > 0).all()
        assert abs(priors.sum() - 1) < 1e-12

    def test_old_weights_go_when_they_would_not_fit(self, table: Path) -> None:
        color_bins(histogram=(table,), weights=True)
        with pytest.raises(OutputError, match="exists already"):
            color_bins(histogram=(table,), grid="fair")
        color_bins(histogram=(table,), grid="fair", overwrite=True)
        assert not list(table.parent.glob("rebalance*"))

    def test_names_come_from_the_manifest_or_the_flags(self, table: Path, tmp_path: Path) -> None:
        other = table.with_name("counts.npy")
        other.write_bytes(table.read_bytes())
        with pytest.raises(ParameterError, match="neither name nor manifest"):
            color_bins(histogram=(other,))
        result = color_bins(histogram=(other,), type="val", dataset="places")
        assert result.written[0].name == "pts_in_hull_val_places_bin10.npy"

    def test_manifests_of_others_are_not_taken(self, table: Path) -> None:
        other = table.with_name("counts.npy")
        table.rename(other)
        _write_manifest(other, kind="plot", parameters={"type": "val", "dataset": "toy"})
        with pytest.raises(ParameterError, match="neither name nor manifest"):
            color_bins(histogram=(other,))

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            *(("type", value) for value in ("../../x", 7, ["train"], {})),
            *(("sample", value) for value in ("0.05", [0.05], 0, 1.5, True)),
            *(("global_resize_img", value) for value in ("256", 1.5, [256])),
            *((name, "yes") for name in ("fast_decode", "strict_decode")),
        ],
    )
    def test_odd_values_in_a_manifest_are_one_line(
        self, table: Path, name: str, value: object
    ) -> None:
        _write_manifest(table, kind="color-histogram", parameters={name: value})
        before = sorted(table.parent.iterdir())
        with pytest.raises(ManifestError, match=rf"not the manifest of a .*\$\.{name}"):
            color_bins(histogram=(table,))
        assert sorted(table.parent.iterdir()) == before

    def test_a_broken_manifest_is_not_taken_for_none(self, table: Path) -> None:
        table.with_suffix(".manifest.json").write_text("{")
        with pytest.raises(ManifestError, match=r"toy\.manifest\.json: "):
            color_bins(histogram=(table,))

    def test_a_table_that_changed_since_its_manifest_was_written_is_refused(
        self, table: Path
    ) -> None:
        names = {"type": "train", "dataset": "toy"}
        _write_manifest(table, kind="color-histogram", parameters=names)
        color_bins(histogram=(table,), output=table.parent / "before")
        np.save(table, np.load(table) * 2)
        with pytest.raises(ManifestError, match="is not what its manifest says"):
            color_bins(histogram=(table,))
        table.with_suffix(".manifest.json").unlink()
        assert color_bins(histogram=(table,)).bins == {10: 313}

    @pytest.mark.parametrize(
        ("options", "text"),
        [
            ({"bin_size": ()}, "--bin-size is"),
            ({"bin_size": (10, 0, 256)}, "--bin-size is"),
            ({"grid": "square"}, "--grid is 'square'"),
            ({"smooth": -1.0}, "--smooth is -1.0"),
            ({"smooth": float("nan")}, "--smooth is nan"),
            ({"smooth": 1e300}, r"--smooth is 1e\+300"),
            ({"histogram": ()}, "--histogram is"),
            ({"dataset": "a/b"}, "--dataset is 'a/b'"),
        ],
        ids=lambda value: None if isinstance(value, str) else "-".join(value),
    )
    def test_bad_parameters(self, table: Path, options: dict[str, object], text: str) -> None:
        with pytest.raises(ParameterError, match=text):
            color_bins(**{"histogram": (table,), **options})  # type: ignore[arg-type]
        assert list(table.parent.iterdir()) == [table]

    def test_points_exclude_several_sizes_and_the_fair_grid(
        self, table: Path, tmp_path: Path
    ) -> None:
        np.save(tmp_path / "p.npy", np.eye(2))
        with pytest.raises(ParameterError, match="2 sizes"):
            color_bins(histogram=(table,), points=tmp_path / "p.npy", bin_size=(5, 10))
        with pytest.raises(ParameterError, match="--grid fair"):
            color_bins(histogram=(table,), points=tmp_path / "p.npy", grid="fair")

    @pytest.mark.parametrize(
        "points",
        [
            np.zeros((4, 3)),
            np.zeros((0, 2)),
            np.array([[0, 0], [0, 0]]),
            np.array([[0, np.nan]]),
            np.array([[0, 1000]]),
            np.array([[0, 0], [128, 255]], np.uint8),
            np.array([["a", "b"]]),
        ],
        ids=["shape", "none", "twice", "nan", "outside", "unsigned", "strings"],
    )
    def test_points_that_are_none(self, table: Path, tmp_path: Path, points: np.ndarray) -> None:
        np.save(tmp_path / "p.npy", points)
        with pytest.raises(ArrayError, match=r"p.npy"):
            color_bins(histogram=(table,), points=tmp_path / "p.npy")

    @pytest.mark.parametrize("size", [65, 100, 200, 255])
    def test_large_bins_that_reach_beyond_all_colours_are_read(
        self, table: Path, tmp_path: Path, size: int
    ) -> None:
        color_bins(histogram=(table,), bin_size=size, output=tmp_path)
        path = tmp_path / f"pts_in_hull_train_toy_bin{size}.npy"
        assert np.abs(np.load(path)).max() > 128
        assert np.array_equal(read_points(path), np.load(path))


class TestSwappedFiles:
    def test_points_under_the_name_of_priors(self, table: Path, tmp_path: Path) -> None:
        path = tmp_path / "priors_train_imagenet_bin10.npy"
        np.save(path, grid_points(10))
        with pytest.raises(ArrayError, match=r"points of shape .* under the name of priors"):
            color_bins(histogram=(table,), points=path)
        with pytest.raises(ArrayError, match=r"points of shape .* under the name of priors"):
            read_priors(path, 313)

    def test_priors_under_the_name_of_points(self, table: Path, tmp_path: Path) -> None:
        path = tmp_path / "pts_in_hull_train_imagenet_bin10.npy"
        np.save(path, np.full(313, 1 / 313))
        with pytest.raises(ArrayError, match=r"priors of shape .* under the name of points"):
            color_bins(histogram=(table,), points=path)


class TestPlot:
    def test_draws_beside_the_bins(self, table: Path) -> None:
        for grid, size in (("zhang", 313), ("fair", 167)):
            color_bins(histogram=(table,), grid=grid, overwrite=True)  # type: ignore[arg-type]
            result = plot_color_bins(
                points=table.with_name("pts_in_hull_train_toy_bin10.npy"), overwrite=True
            )
            with pytest.raises(OutputError, match="exists already"):
                plot_color_bins(points=table.with_name("pts_in_hull_train_toy_bin10.npy"))
            picture = result.written[0].read_text()
            used = [Path(x.path).name for x in manifest.read(result.written[1]).inputs]
            assert used == ["pts_in_hull_train_toy_bin10.npy", "priors_train_toy_bin10.npy"]
            assert result.bins == size
            colours = set(re.findall(r'fill="(#[0-9a-f]{6})"', picture))
            assert len(colours) > size * 0.7  # the rarest lie outside sRGB and are alike
        assert manifest.verify(folder=table.parent).ok

    def test_bins_of_the_fair_grid_are_drawn_from_their_left_edge(self, table: Path) -> None:
        """Lower corners at 0 and centres at 5 are the same squares."""
        counts = np.zeros((256, 256), np.int64)
        counts[128 + 5, 128 + 5], counts[128 + 25, 128 + 5] = 1, 3
        np.save(table, counts)
        color_bins(histogram=(table,), grid="fair", output=table.parent / "fair")
        edges = np.load(table.parent / "fair" / "pts_in_hull_train_toy_bin10.npy")
        np.save(table.with_name("centres.npy"), edges + 5)
        color_bins(
            histogram=(table,),
            points=table.with_name("centres.npy"),
            smooth=0,
            output=table.parent / "zhang",
        )
        drawn = [
            plot_color_bins(points=table.parent / grid / "pts_in_hull_train_toy_bin10.npy").written[
                0
            ]
            for grid in ("fair", "zhang")
        ]
        first, second = (re.findall(r"<rect[^>]*fill=[^>]*>", p.read_text()) for p in drawn)
        assert first == second

    @pytest.mark.parametrize(
        ("priors", "text"),
        [
            (np.full(3, 1 / 3), r"got shape \(3,\)"),
            (np.full(313, 0.5), "holds no priors"),
            (np.full(313, np.nan), "holds no priors"),
            (np.full(313, 1.01 / 313), "holds no priors"),
        ],
        ids=["too few", "no shares", "nan", "sum 1.01"],
    )
    def test_priors_that_do_not_fit(self, table: Path, priors: np.ndarray, text: str) -> None:
        color_bins(histogram=(table,))
        np.save(table.with_name("other.npy"), priors)
        with pytest.raises(ArrayError, match=text):
            plot_color_bins(
                points=table.with_name("pts_in_hull_train_toy_bin10.npy"),
                priors=table.with_name("other.npy"),
            )

    def test_a_manifest_of_another_kind_beside_the_points_does_not_matter(
        self, table: Path
    ) -> None:
        color_bins(histogram=(table,))
        points = table.with_name("pts_in_hull_train_toy_bin10.npy")
        own = points.with_suffix(".manifest.json")
        own.write_text(own.read_text().replace('"color-bins"', '"plot"'))
        own.write_text(own.read_text().replace('"bin_size"', '"other"'))
        assert plot_color_bins(points).bins == 313

    @pytest.mark.parametrize("size", ["10", 0, [10]])
    def test_an_odd_bin_size_in_the_manifest_is_one_line(self, table: Path, size: object) -> None:
        color_bins(histogram=(table,))
        points = table.with_name("pts_in_hull_train_toy_bin10.npy")
        _write_manifest(points, kind="color-bins", parameters={"bin_size": size})
        with pytest.raises(ManifestError, match=r"not the manifest of a color-bins: .*bin_size"):
            plot_color_bins(points)
        assert not points.with_suffix(".svg").exists()

    def test_bins_that_changed_since_are_not_drawn_by_their_old_manifest(self, table: Path) -> None:
        color_bins(histogram=(table,))
        points = table.with_name("pts_in_hull_train_toy_bin10.npy")
        np.save(points, np.load(points) + 5)
        with pytest.raises(ManifestError, match="is not what its manifest says"):
            plot_color_bins(points)

    def test_only_svg(self, table: Path) -> None:
        color_bins(histogram=(table,))
        with pytest.raises(ParameterError, match=r"plot.jpg"):
            plot_color_bins(
                points=table.with_name("pts_in_hull_train_toy_bin10.npy"),
                output_file=table.with_name("plot.jpg"),
            )


def test_written_arrays_are_plain(table: Path) -> None:
    color_bins(histogram=(table,), weights=True)
    for path in table.parent.glob("*.npy"):
        assert path.read_bytes().startswith(b"\x93NUMPY\1\0")
        np.load(io.BytesIO(path.read_bytes()), allow_pickle=False)


class TestTablesMadeDifferently:
    @pytest.fixture
    def two(self, photos: list[str], tmp_path: Path) -> tuple[Path, Path]:
        for name, part in (("a", photos[:5]), ("b", photos[5:9])):
            (tmp_path / f"{name}.txt").write_text("\n".join(part))
            color_histogram(
                tmp_path / f"{name}.txt",
                tmp_path / name,
                global_resize_img=16 if name == "a" else 32,
                fast_decode=name == "b",
                jobs=1,
            )
        return tuple(tmp_path / n / "ab_histogram_train_imagenet.npy" for n in "ab")  # type: ignore[return-value]

    def test_do_not_add_up_in_silence(
        self, two: tuple[Path, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        result = color_bins(two, output=tmp_path / "both")
        text = " ".join(result.warnings)
        assert "made differently: global_resize_img is 16 in" in text
        assert "fast_decode is False in" in text
        assert "opencv" not in text
        assert text in caplog.text.replace("\n", " ") or "made differently" in caplog.text
        (record,) = (tmp_path / "both").glob("*.manifest.json")
        assert manifest.read(record).warnings == list(result.warnings)
        assert color_bins(two[:1], output=tmp_path / "one").warnings == ()
        own = two[1].with_suffix(".manifest.json")
        own.write_text(re.sub(r'"opencv": ".*"', '"opencv": "4.5.0"', own.read_text()))
        result = color_bins(two, output=tmp_path / "versions")
        assert "made differently: opencv is" in result.warnings[-1]

    def test_elsewhere_their_paths_are_kept_and_beside_them_their_names(
        self, two: tuple[Path, Path], tmp_path: Path
    ) -> None:
        color_bins(two, output=tmp_path / "a")
        (record,) = (tmp_path / "a").glob("pts*.manifest.json")
        paths = [said.path for said in manifest.read(record).inputs]
        assert paths == [two[0].name, str(two[1])]

    def test_samples_of_other_shares_add_up_without_standard_errors(
        self, photos: list[str], tmp_path: Path
    ) -> None:
        tables = []
        for share in (0.3, 0.6):
            color_histogram(
                Path(photos[0]).parent, tmp_path / f"{share}", sample=share, jobs=1, seed=1
            )
            tables.append(tmp_path / f"{share}" / "ab_histogram_train_imagenet.npy")
        both = color_bins(tuple(tables), output=tmp_path / "both")
        assert [path.name[:6] for path in both.written] == ["pts_in", "priors", "pts_in"]
        assert both.pixels == sum(int(np.load(path).sum()) for path in tables)
